//! Which file is which split, by their names.

use std::path::{Path, PathBuf};

/// The splits and the words by which files of them go.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training", "trn"]),
    ("dev", &["dev", "valid", "validation", "val", "development"]),
    ("test", &["test", "eval", "evaluation", "heldout"]),
];

/// Why files are no splits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitsError {
    /// Two files are the same split.
    #[error("`{}` and `{}` are both the {split} split", first.display(), second.display())]
    Twice {
        /// The split.
        split: &'static str,
        /// A file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// A file's name says nothing.
    #[error("which split is `{}`?", path.display())]
    Which {
        /// The file.
        path: PathBuf,
    },
    /// Nothing to learn from.
    #[error("none of the files is the train split")]
    NoTrain,
}

impl SplitsError {
    /// The way out.
    pub fn help(&self) -> &'static str {
        "say it: `--data train=FILE dev=FILE test=FILE`"
    }
}

/// The files as splits, train first. One file alone is the train split, and brings those beside it whose
/// names differ from its own by that word.
pub fn name_splits(files: &[PathBuf]) -> Result<Vec<(&'static str, PathBuf)>, SplitsError> {
    let mut found: Vec<(&'static str, PathBuf)> = vec![];
    for file in files {
        let (split, path) = match said(file) {
            Some(said) => said,
            None => match word(file) {
                Some((split, _)) => (split, file.clone()),
                None if files.len() == 1 => ("train", file.clone()),
                None => return Err(SplitsError::Which { path: file.clone() }),
            },
        };
        if let Some((_, first)) = found.iter().find(|(known, _)| *known == split) {
            return Err(SplitsError::Twice { split, first: first.clone(), second: path });
        }
        found.push((split, path));
    }
    if let [(_, only)] = found.as_slice() {
        let only = only.clone();
        found[0].0 = "train";
        found.extend(siblings(&only));
    }
    let place = |split: &str| SPLITS.iter().position(|(known, _)| *known == split);
    found.sort_by_key(|(split, _)| place(split));
    match found.first() {
        Some(("train", _)) => Ok(found),
        _ => Err(SplitsError::NoTrain),
    }
}

/// `dev=FILE`
fn said(file: &Path) -> Option<(&'static str, PathBuf)> {
    let (split, path) = file.to_str()?.split_once('=')?;
    SPLITS.iter().find(|(known, _)| *known == split).map(|(known, _)| (*known, PathBuf::from(path)))
}

/// The split that a file's name says, and the word that says it.
fn word(file: &Path) -> Option<(&'static str, String)> {
    let stem = file.file_stem()?.to_str()?;
    let words = stem.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).find_map(|word| {
        let lower = word.to_lowercase();
        let (split, _) = SPLITS.iter().find(|(_, words)| words.contains(&lower.as_str()))?;
        Some((*split, word.to_owned()))
    })
}

/// The files beside a train split that are the other ones.
fn siblings(train: &Path) -> Vec<(&'static str, PathBuf)> {
    let Some(("train", said)) = word(train) else { return vec![] };
    let Some(name) = train.file_name().and_then(|name| name.to_str()) else { return vec![] };
    let mut found = vec![];
    for (split, words) in &SPLITS[1..] {
        let files = words.iter().map(|word| train.with_file_name(name.replacen(&said, word, 1)));
        found.extend(files.into_iter().find(|file| file.is_file()).map(|file| (*split, file)));
    }
    found
}
