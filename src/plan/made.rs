//! Files that a pipeline names by the stage that makes them: whether they are made, and that nothing is trained on
//! what has seen the test split.
//!
//! A command may read the test split, or what `evaluate` made of it: a metric of one's own needs that. From then on
//! it is marked, and so is every command that reads what it makes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::outline::encoder_files;
use crate::action::roles;
use crate::diag::{Code, Diagnostic, list};
use crate::spec::{Block, Made, ModelSource, Point, SplitFile, SplitSource};

const TEST: &str = "test";

/// All that a block names by the stage that makes it.
pub(super) fn named(block: &Block) -> Vec<&Made> {
    let files: Vec<&SplitFile> = match block {
        Block::Encoder { from: ModelSource::Made(made), .. } => return vec![made],
        Block::Tokenize { splits, .. } => splits.values().flat_map(SplitSource::files).collect(),
        Block::Command(command) => command.inputs.values().collect(),
        _ => vec![],
    };
    files.into_iter().filter_map(made).collect()
}

/// The same, file by file where it is known which files are read.
pub(super) fn files(block: &Block) -> Vec<Cow<'_, Made>> {
    match block {
        Block::Encoder { from: ModelSource::Made(made), action } => {
            let file =
                |file: &&str| Cow::Owned(Made { file: format!("{}{file}", made.file), ..made.clone() });
            encoder_files(action).iter().map(file).collect()
        }
        _ => named(block).into_iter().map(Cow::Borrowed).collect(),
    }
}

fn made(file: &SplitFile) -> Option<&Made> {
    match file {
        SplitFile::Made(made) => Some(made),
        SplitFile::Local(_) | SplitFile::Remote(_) | SplitFile::Hub(_) => None,
    }
}

/// The files that a stage makes, folders of unknown files with a `/` at their end; none where it is not known.
pub(super) fn outputs(block: &Block) -> Vec<String> {
    let names: &[&str] = match block {
        Block::Encoder { .. } => {
            &[roles::CONFIG, roles::WEIGHTS, roles::TOKENIZER, roles::VOCABULARY, roles::ENCODER]
        }
        Block::Tokenize { splits, .. } => {
            let files = [roles::LABELS, roles::SIZES, roles::STATS].map(str::to_owned);
            return splits.keys().map(|split| roles::split(split)).chain(files).collect();
        }
        Block::Objective { .. } => &[roles::OBJECTIVE],
        Block::Train { action, .. } if action.learns_weights() => {
            &[roles::CONFIG, roles::WEIGHTS, roles::HEAD, roles::HISTORY, roles::WEIGHTS_LOG, roles::TRAIN]
        }
        Block::Train { .. } => &[roles::CONFIG, roles::WEIGHTS, roles::HEAD, roles::HISTORY, roles::TRAIN],
        Block::Evaluate { .. } => &[roles::METRICS, roles::PREDICTIONS],
        Block::Export { .. } => {
            &[roles::CONFIG, roles::WEIGHTS, roles::TOKENIZER, roles::TOKENIZER_CONFIG, roles::SPECIAL_TOKENS]
        }
        Block::Command(command) => return command.action.outputs.iter().cloned().collect(),
        Block::Broken(_) => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Why a stage does not make what is named of it, if it does not.
pub(super) fn fault(made: &Made, maker: &Block) -> Option<Diagnostic> {
    let outputs = outputs(maker);
    let in_folder = |output: &String| output.ends_with('/') && made.file.starts_with(output.as_str());
    let is_made = if made.is_folder() {
        outputs.iter().any(|output| output.starts_with(&made.file) || in_folder(output))
    } else {
        outputs.iter().any(|output| *output == made.file || in_folder(output))
    };
    if is_made || outputs.is_empty() {
        return None;
    }
    let fault = Diagnostic::error(Code::NotMade, format!("`{}` makes no `{}`", made.stage.stage, made.file));
    Some(fault.meant(&made.file, outputs.iter().map(String::as_str), || {
        let declared = "; what a command makes is declared under its `outputs`";
        let declared = if matches!(maker, Block::Command(_)) { declared } else { "" };
        format!("it makes {}{declared}", list(&outputs))
    }))
}

/// Which stages of a sweep point have seen the test split, and how, a sentence a step.
pub(super) struct Seen<'a> {
    how: BTreeMap<&'a str, Vec<String>>,
}

impl<'a> Seen<'a> {
    /// Of the stages that are needed, each after those it names. `tested` says whose test split a file is or holds.
    pub(super) fn of(
        point: &'a Point,
        needed: &[(&'a str, &Block)],
        tested: impl Fn(&SplitFile) -> Option<&'a str>,
    ) -> Self {
        let mut seen = Self { how: BTreeMap::new() };
        for &(name, block) in needed {
            match block {
                Block::Evaluate { action, .. } if action.split == TEST => {
                    seen.how.insert(name, vec![format!("`{name}` scores the test split")]);
                }
                Block::Command(command) => {
                    let how = command.inputs.values().find_map(|file| match tested(file) {
                        Some(of) => Some(vec![format!("`{name}` reads the test split of `{of}`")]),
                        None => seen.through(point, name, made(file)?),
                    });
                    seen.how.extend(how.map(|how| (name, how)));
                }
                _ => {}
            }
        }
        seen
    }

    /// [`fault`](Self::fault) of a split's file.
    pub(super) fn fault_of<'b>(&self, trained: &str, file: &'b SplitFile) -> Option<(&'b Made, Diagnostic)> {
        let made = made(file)?;
        Some((made, self.fault(trained, made)?))
    }

    /// Why nothing may be trained on what a stage makes, if it has seen the test split.
    pub(super) fn fault(&self, trained: &str, made: &Made) -> Option<Diagnostic> {
        let maker = &made.stage.stage;
        let how = self.how.get(maker.as_str())?;
        let fault = Diagnostic::error(
            Code::TestSplit,
            format!("`{trained}` would learn from what `{maker}` makes, which has seen the test split"),
        );
        let fault = how.iter().fold(fault, |fault, step| fault.note(step.clone()));
        Some(fault.help("make what is trained on by a command of its own, which reads no test split"))
    }

    /// How a stage has seen the test split by what another one makes, if it has.
    fn through(&self, point: &Point, reader: &str, file: &Made) -> Option<Vec<String>> {
        let maker = file.stage.stage.as_str();
        let how = match point.stages.get(maker) {
            Some(Block::Tokenize { splits, .. }) => {
                if splits.contains_key(TEST) && (file.is_folder() || file.file == roles::split(TEST)) {
                    return Some(vec![format!("`{reader}` reads the tokens of the test split of `{maker}`")]);
                }
                let others = splits.iter().filter(|(split, _)| *split != TEST);
                let mut sources = others.flat_map(|(_, source)| source.files()).filter_map(made);
                sources.find_map(|source| self.through(point, maker, source))
            }
            _ => self.how.get(maker).cloned(),
        };
        let mut how = how?;
        how.insert(0, format!("`{reader}` reads what `{maker}` makes"));
        Some(how)
    }
}
