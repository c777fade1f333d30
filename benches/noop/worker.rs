//! A worker that writes in a moment what stages of each kind write, tiny and each different: it fills a store
//! for `benches/noop.py`.

use std::io::{BufRead as _, Write as _};
use std::path::Path;

use tartan::action::{Action, Request, roles};
use tartan::digest::Digest;
use tartan::event::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let request: Request = serde_json::from_str(&line)?;
    let mut seed = serde_json::to_vec(&request.action)?;
    for (role, input) in &request.inputs {
        seed.extend(role.as_bytes());
        seed.extend(std::fs::read(&input.path).map(|bytes| *Digest::of(&bytes).as_bytes())?);
    }
    let seed = Digest::of(&seed);
    for file in files(&request.action) {
        write(&request.out, &file, &content(&request.action, &file, &seed))?;
    }
    let done = Message::Done { peak_memory: None, versions: [("bench".to_owned(), "1".to_owned())].into() };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&done)?)?;
    Ok(())
}

/// What a stage of this action writes.
fn files(action: &Action) -> Vec<String> {
    let model = || roles::MODEL.into_iter();
    let names: Vec<&str> = match action {
        Action::Fetch(_) => vec![roles::FETCHED],
        Action::Encoder(_) => model().chain([roles::TOKENIZER, roles::VOCABULARY, roles::ENCODER]).collect(),
        Action::Tokenize(_) => vec![roles::LABELS, roles::SIZES, roles::STATS],
        Action::Objective(_) => vec![roles::OBJECTIVE],
        Action::Train(_) => model().chain([roles::HEAD, roles::HISTORY, roles::TRAIN]).collect(),
        Action::LearnWeights(_) => {
            model().chain([roles::HEAD, roles::HISTORY, roles::TRAIN, roles::WEIGHTS_LOG]).collect()
        }
        Action::Evaluate(_) => vec![roles::METRICS, roles::PREDICTIONS],
        _ => model().chain([roles::TOKENIZER]).collect(),
    };
    let mut files: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if let Action::Tokenize(tokenize) = action {
        files.extend(tokenize.splits.keys().map(|split| roles::split(split)));
    }
    files
}

/// A file's content: the same for all models where it says what they are, else of the seed alone.
fn content(action: &Action, file: &str, seed: &Digest) -> String {
    match (action, file) {
        (_, roles::CONFIG | roles::VOCABULARY) => "{}".to_owned(),
        (Action::Evaluate(evaluate), roles::METRICS) => {
            let score = f64::from(seed.as_bytes()[0]) / 256.0;
            let metrics: serde_json::Map<String, serde_json::Value> =
                evaluate.metrics.iter().map(|metric| (metric.name().to_owned(), score.into())).collect();
            serde_json::json!({"split": evaluate.split, "metrics": metrics}).to_string()
        }
        _ => format!("{file} {seed}\n"),
    }
}

fn write(out: &Path, file: &str, text: &str) -> std::io::Result<()> {
    std::fs::write(out.join(file), text)
}
