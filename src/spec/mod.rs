//! Text to spec: the pipeline language. The only room that knows YAML.
//!
//! A [`Spec`] has no variables left: each sweep point is a set of stages with typed blocks. Stages still
//! name each other; that the names mean something is for the plan to say. Every fault of the text is
//! found in one pass, each with its place.

mod command;
mod digests;
mod fields;
mod format;
mod globs;
mod include;
mod kinds;
mod loops;
mod origin;
mod points;
mod profile;
mod read;
pub mod reference;
mod report;
mod set;
mod splits;
mod sweep;
mod training;
mod unused;
mod values;
mod vars;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use format::format;
pub use globs::is_pattern;
pub use loops::{Loops, names_many};
pub use points::{Point, Stages};
pub use report::{Axes, Baseline, FigureFile, FigureKind, Report, Score, Shows, number as axis_number};
pub use yaml::At;

use crate::action;
use crate::diag::{Diagnostic, Place};
use crate::hub;
use origin::Origins;
use yaml::Text;

/// A pipeline, read and typed.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Its name: the `name` field, or the file's.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// The sweep's points in order; a pipeline without a sweep has one.
    pub points: Vec<Point>,
    /// The swept variables in order.
    pub swept: Vec<String>,
    /// The variables of the sweep whose values `--set` gives in place of the file.
    pub fixed: Vec<String>,
    /// The stages to have when the command line names none.
    pub targets: Vec<(String, At)>,
    /// Tables to print at the end, and the figures of them.
    pub reports: Vec<Report>,
    /// The stages of each loop (`for`), by the loop's name.
    pub loops: Loops,
    /// The names of its profiles.
    pub profiles: Vec<String>,
    origins: Origins,
    is_overridden: bool,
    /// Whether a file that it includes could not be read whole.
    lacks_parts: bool,
}

/// What a command lays over a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Names of the pipeline's profiles, in the order in which they are laid over it.
    pub profiles: Vec<String>,
    /// `NAME=VALUE`, over the profiles: NAME is a variable, or a path such as `stages.model.train.epochs`.
    pub sets: Vec<String>,
}

/// A stage's block: what it does, and what it names.
#[derive(Clone, Debug)]
pub enum Block {
    /// `encoder`
    Encoder {
        /// Where the model's files are.
        from: ModelSource,
        /// What it does.
        action: action::Encoder,
    },
    /// `tokenize`
    Tokenize {
        /// The encoder stage whose tokenizer is used.
        tokenizer: Ref,
        /// What the splits' texts come from.
        splits: BTreeMap<String, SplitSource>,
        /// The stage that a sample is a multiple of.
        sample_of: Option<Ref>,
        /// What it does.
        action: action::Tokenize,
    },
    /// `objective`
    Objective {
        /// The tokenize stage.
        data: Ref,
        /// What it does.
        action: action::Objective,
    },
    /// `train`, or `learn-weights` where the action's weights are [`action::Weights::Meta`].
    Train {
        /// The stage to start from: an encoder, or one that trained.
        init: Ref,
        /// The end-task's objective stage.
        end_task: Option<Ref>,
        /// The auxiliary objective stages.
        auxiliary: Vec<Ref>,
        /// The `learn-weights` stage whose weights are used.
        weights_from: Option<Ref>,
        /// How often to save what a run can be taken up from. Changes no result.
        checkpoint: Option<action::Checkpoint>,
        /// What it does.
        action: action::Train,
    },
    /// `evaluate`
    Evaluate {
        /// The train stage.
        model: Ref,
        /// The tokenize stage.
        data: Ref,
        /// Where the split is said.
        split_at: At,
        /// What it does.
        action: action::Evaluate,
    },
    /// `export`
    Export {
        /// The train or encoder stage.
        model: Ref,
        /// The folder to write to.
        to: Option<Source>,
    },
    /// `command`
    Command(Box<CommandBlock>),
    /// A block with faults, so that naming it is not a fault too; what could be read of it, since the stages that it
    /// names may be wrong too.
    Broken(Option<Box<Block>>),
}

impl Block {
    /// What could be read of it, where it has faults; else itself.
    pub fn as_read(&self) -> &Self {
        match self {
            Self::Broken(Some(read)) => read,
            other => other,
        }
    }

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Encoder { .. } => "encoder",
            Self::Tokenize { .. } => "tokenize",
            Self::Objective { .. } => "objective",
            Self::Train { action, .. } if action.learns_weights() => "learn-weights",
            Self::Train { .. } => "train",
            Self::Evaluate { .. } => "evaluate",
            Self::Export { .. } => "export",
            Self::Command(_) => "command",
            Self::Broken(_) => "broken",
        }
    }
}

/// The block of a `command` stage.
#[derive(Clone, Debug)]
pub struct CommandBlock {
    /// The programs whose content counts, by role.
    pub programs: BTreeMap<String, Source>,
    /// The files that it finds in its folder, by their names there.
    pub inputs: BTreeMap<String, SplitFile>,
    /// Which of its outputs holds the numbers that tables show.
    pub metrics: Option<String>,
    /// By what means it runs.
    pub means: action::Means,
    /// What it does.
    pub action: action::Command,
}

/// A stage named by another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ref {
    /// The stage's name; empty in a block with faults, where none could be read.
    pub stage: String,
    /// Where it is named.
    pub at: At,
}

/// A file or folder of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its path as the pipeline says it.
    pub name: String,
    /// Where it is said.
    pub at: At,
}

/// Where a split's texts, or a command's input, come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitSource {
    /// From files of its own, at least one, in their order.
    Files(Vec<SplitFile>),
    /// From the files of the train split: how many, the action says.
    Part,
}

impl SplitSource {
    /// Its own files.
    pub fn files(&self) -> &[SplitFile] {
        match self {
            Self::Files(files) => files,
            Self::Part => &[],
        }
    }
}

/// A file of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitFile {
    /// The user's own file.
    Local(Source),
    /// A file to fetch.
    Remote(Remote),
    /// A file of the hub's.
    Hub(HubSource),
    /// What another stage makes.
    Made(Made),
}

/// What a stage makes: `{stage: clean, file: out/clean.jsonl}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The stage.
    pub stage: Ref,
    /// One of its files, or with a `/` at its end a folder of them; empty for all that it makes.
    pub file: String,
    /// Where the file is said, or else the stage.
    pub at: At,
}

impl Made {
    /// Whether it stands for several files.
    pub fn is_folder(&self) -> bool {
        self.file.is_empty() || self.file.ends_with('/')
    }
}

/// Where an encoder's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// In a folder of the user's.
    Folder(Source),
    /// On the hub: all of a repository, or a folder in it.
    Hub(HubSource),
    /// In a folder that another stage makes.
    Made(Made),
}

/// What stands on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSource {
    /// The repository, the revision, and the path in it.
    pub name: hub::Name,
    /// Where it is said.
    pub at: At,
}

/// A file behind a URL, and what it must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `http://…` or `https://…`
    pub url: String,
    /// What it must hash to, as the pipeline or one of its digest files says.
    pub pin: action::Pin,
    /// Where it is said.
    pub at: At,
}

impl Spec {
    /// Reads a pipeline file and those that it includes. What could be read comes back even when there are
    /// errors among the diagnostics, so that later faults are found too; it must not be run then.
    pub fn load(file: &Path, overrides: &Overrides) -> (Self, Vec<Diagnostic>) {
        match Text::read(file) {
            Ok(text) => read::read(file, text, overrides),
            Err(diagnostic) => (Self::default(), vec![*diagnostic]),
        }
    }

    /// Reads a pipeline from a text, as if it stood in `file`, with `sets` (see [`Overrides`]) laid over it.
    pub fn from_text(file: &Path, text: &str, sets: &[String]) -> (Self, Vec<Diagnostic>) {
        let overrides = Overrides { profiles: vec![], sets: sets.to_vec() };
        read::read(file, Text::new(file, text), &overrides)
    }

    /// Whether the command line sets something, or a profile does.
    pub fn is_overridden(&self) -> bool {
        self.is_overridden
    }

    /// Whether a stage of this name may be among what could not be read: in a file to include, or of a loop whose
    /// values have faults.
    pub fn may_have(&self, stage: &str) -> bool {
        let name = stage.split_once('@').map_or(stage, |(name, _)| name);
        self.lacks_parts || self.loops.get(name).is_some_and(Vec::is_empty)
    }

    /// The place of what stands at `at`; none if it came from the command line.
    pub fn place(&self, at: &At) -> Option<Place> {
        self.origins.place(at)
    }

    /// The place of a stage's parameter, by its path in the stage's key: the field that says it, or else
    /// the stage. A key groups some fields that stand side by side in a block (`body.lr` is `lr`).
    pub fn field_place(&self, stage: &str, path: &[String]) -> Option<Place> {
        let kind = self.points.first()?.stages.get(stage)?.kind();
        let stage = self.stage_at(stage).value();
        let block = stage.key(kind);
        let within = |path: &[String]| path.iter().fold(block.clone(), |at, key| at.key(key));
        let tails = (0..path.len()).map(|skip| &path[skip..]);
        tails
            .filter(|tail| !tail.is_empty())
            .find_map(|tail| self.origins.exact(&within(tail)))
            .or_else(|| self.place(&stage.on_key()))
    }

    /// Where a remote file of one of these URLs is first named.
    pub fn remote_place(&self, urls: &[String]) -> Option<Place> {
        let files = |block: &Block| -> Vec<SplitFile> {
            match block {
                Block::Tokenize { splits, .. } => {
                    splits.values().flat_map(SplitSource::files).cloned().collect()
                }
                Block::Command(command) => command.inputs.values().cloned().collect(),
                _ => vec![],
            }
        };
        let blocks = self.points.iter().flat_map(|point| point.stages.iter().map(|(_, block)| block));
        let at = blocks.flat_map(files).find_map(|file| match file {
            SplitFile::Remote(remote) if urls.contains(&remote.url) => Some(remote.at),
            _ => None,
        })?;
        self.place(&at)
    }

    /// A diagnostic about what stands at `at`.
    pub fn diagnose(&self, at: &At, diagnostic: Diagnostic) -> Diagnostic {
        self.origins.diagnose(at, diagnostic)
    }

    /// The names of the stages, those of all points.
    pub fn stage_names(&self) -> BTreeSet<&str> {
        points::names(&self.points)
    }

    /// Where a stage stands; the stages of a loop have one block.
    pub fn stage_at(&self, stage: &str) -> At {
        let in_loop = |(name, stages): (&'_ String, &Vec<String>)| {
            stages.iter().any(|of| of == stage).then(|| name.clone())
        };
        let name = self.loops.iter().find_map(in_loop);
        At::of_stage(name.as_deref().unwrap_or(stage))
    }

    /// A point's name for people: `task=chemprot, seed=3`. Empty without a sweep.
    pub fn point_name(&self, point: usize) -> String {
        let pairs: Vec<String> = self
            .swept
            .iter()
            .zip(&self.points[point].values)
            .map(|(var, value)| format!("{var}={value}"))
            .collect();
        pairs.join(", ")
    }

    /// The values that a swept variable takes, in order; none for one that is not swept.
    pub fn values(&self, var: &str) -> Vec<String> {
        let Some(index) = self.swept.iter().position(|swept| swept == var) else { return vec![] };
        let mut seen = BTreeSet::new();
        let all = self.points.iter().map(|point| &point.values[index]);
        all.filter(|value| seen.insert(*value)).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
