//! `tokenize`: texts to tokens, with their labels and what was seen on the way.

use std::collections::BTreeMap;

use serde::Serialize;
use tartan::action::{Format, Tokenize, Vocabulary, roles};
use tartan::data::corpus::{self, Inputs};
use tartan::data::source::Source;
use tartan::event::{Failure, Level, Progress};

use super::{Io, failure};

/// Runs the stage.
pub fn run(params: &Tokenize, io: &Io) -> Result<(), Failure> {
    let tokenizer = io.input(roles::TOKENIZER)?;
    let vocabulary: Vocabulary = io.json(roles::VOCABULARY)?;
    let base = format!("sample/{}", roles::SIZES);
    let base_sizes: Option<BTreeMap<String, u64>> = if io.has(&base) { Some(io.json(&base)?) } else { None };
    let mut files: Vec<(&str, Format, String, Vec<u8>)> = vec![];
    for (split, format) in &params.splits {
        let role = format!("source/{split}");
        files.push((split, *format, io.name(&role), io.input(&role)?));
    }
    let sources: Vec<Source> = files
        .iter()
        .map(|(split, format, file, bytes)| Source { split, file, format: *format, bytes })
        .collect();
    let inputs = Inputs {
        tokenizer: &tokenizer,
        vocabulary: &vocabulary,
        sources: &sources,
        base_sizes: base_sizes.as_ref(),
    };

    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(io.request.threads)
        .build()
        .map_err(|error| failure(format!("cannot start {} threads: {error}", io.request.threads)))?;
    let progress = |done, total| {
        io.progress(Progress {
            phase: "tokenize".to_owned(),
            done,
            total: Some(total),
            unit: "texts".to_owned(),
            figures: vec![],
        });
    };
    let corpus = corpus::build(params, &inputs, &pool, &progress)
        .map_err(|error| Failure { help: error.help(), ..failure(error) })?;

    for warning in &corpus.warnings {
        io.note(Level::Warning, warning.clone());
    }
    for (name, split) in &corpus.splits {
        io.output(&roles::split(name), &split.to_bytes().map_err(failure)?)?;
    }
    write_json(io, roles::LABELS, &corpus.labels)?;
    write_json(io, roles::SIZES, &corpus.sizes())?;
    write_json(io, roles::STATS, &corpus.stats)
}

/// Writes an output as JSON that people can read.
pub fn write_json(io: &Io, role: &str, value: &impl Serialize) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(failure)?;
    bytes.push(b'\n');
    io.output(role, &bytes)
}
