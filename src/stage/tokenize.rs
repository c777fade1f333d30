//! `tokenize`: texts to tokens, with their labels and what was seen on the way.

use std::collections::BTreeMap;

use serde::Serialize;
use tartan::action::{InputFile, Tokenize, Vocabulary, roles};
use tartan::data::corpus::{self, Inputs};
use tartan::data::source::Source;
use tartan::diag::Code;
use tartan::event::{Failure, Progress};

use super::{Io, model};

/// Runs the stage.
pub fn run(params: &Tokenize, io: &Io) -> Result<(), Failure> {
    let tokenizer = io.input(roles::TOKENIZER)?;
    let vocabulary: Vocabulary = io.json(roles::VOCABULARY)?;
    let base = format!("sample/{}", roles::SIZES);
    let base_sizes: Option<BTreeMap<String, u64>> = if io.has(&base) { Some(io.json(&base)?) } else { None };
    let mut sources = vec![];
    for (split, format) in &params.splits {
        let files = source_files(io, split)?;
        sources.push(Source { split, format: *format, files });
    }
    let inputs = Inputs {
        tokenizer: &tokenizer,
        vocabulary: &vocabulary,
        sources: &sources,
        base_sizes: base_sizes.as_ref(),
    };

    let pool = rayon::ThreadPoolBuilder::new().num_threads(io.request.threads).build().map_err(|error| {
        Failure::new(Code::System, format!("cannot start {} threads: {error}", io.request.threads))
    })?;
    let progress = |done, total| {
        io.progress(Progress {
            phase: "tokenize".to_owned(),
            done,
            total: Some(total),
            unit: "texts".to_owned(),
            figures: vec![],
        });
    };
    let corpus = corpus::build(params, &inputs, &pool, &progress).map_err(|error| {
        error.findings().into_iter().for_each(|finding| io.finding(finding));
        Failure { help: error.help(), corrupt: error.damaged(), ..Failure::new(error.code(), error) }
    })?;
    corpus.findings.iter().cloned().for_each(|finding| io.finding(finding));
    for (name, split) in &corpus.splits {
        io.output_with(&roles::split(name), |file| split.write(file))?;
    }
    write_json(io, roles::LABELS, &corpus.labels)?;
    write_json(io, roles::SIZES, &corpus.sizes())?;
    write_json(io, roles::STATS, &corpus.stats)
}

/// The files of a split, each with its role.
fn source_files<'a>(io: &'a Io, split: &str) -> Result<Vec<(String, &'a InputFile)>, Failure> {
    let only = roles::source(split, None);
    if io.has(&only) {
        return Ok(vec![(only.clone(), io.file(&only)?)]);
    }
    let several = (0..).map(|place| roles::source(split, Some(place))).take_while(|role| io.has(role));
    let files = several.map(|role| Ok((role.clone(), io.file(&role)?))).collect::<Result<Vec<_>, _>>()?;
    if files.is_empty() {
        Err(Failure::defect(format!("the request has no input `{only}`")))
    } else {
        Ok(files)
    }
}

/// Writes an output as JSON that people can read.
pub fn write_json(io: &Io, role: &str, value: &impl Serialize) -> Result<(), Failure> {
    io.output(role, &model::pretty_json(value)?)
}
