//! Text to spec: the pipeline language. The only room that knows YAML.
//!
//! A [`Spec`] has no variables left: each sweep point is a set of stages with typed blocks. Stages still
//! name each other; that the names mean something is for the plan to say. Every fault of the text is
//! found in one pass, each with its place.

mod digests;
mod fields;
mod kinds;
mod points;
mod report;
mod splits;
mod sweep;
mod training;
mod vars;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use points::{Point, Stages};
pub use report::{Axes, Baseline, FigureFile, FigureKind, Report, Score, Shows, number as axis_number};
pub use yaml::At;

use crate::action;
use crate::diag::{Code, Diagnostic, Place};
use fields::{Faults, Fields};
use yaml::{Node, Text};

/// The version of the pipeline language.
const FORMAT: i64 = 1;

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
    text: Text,
    overrides: Vec<(At, String)>,
}

/// A stage's block: what it does, and what it names.
#[derive(Clone, Debug)]
pub enum Block {
    /// `encoder`
    Encoder {
        /// The model's folder.
        folder: Source,
        /// What it does.
        action: action::Encoder,
    },
    /// `tokenize`
    Tokenize {
        /// The encoder stage whose tokenizer is used.
        tokenizer: Ref,
        /// The splits' files.
        splits: BTreeMap<String, SplitFile>,
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
    /// A block with faults, so that naming it is not a fault too.
    Broken,
}

impl Block {
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
            Self::Broken => "broken",
        }
    }
}

/// A stage named by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// The stage's name.
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

/// Where a split's texts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitFile {
    /// The user's own file.
    Local(Source),
    /// A file to fetch.
    Remote(Remote),
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
    /// Reads a pipeline file. `sets` are `NAME=VALUE` from the command line: NAME is a variable, or a
    /// path such as `stages.model.train.epochs`. What could be read comes back even when there are
    /// errors among the diagnostics, so that later faults are found too; it must not be run then.
    pub fn load(file: &Path, sets: &[String]) -> (Self, Vec<Diagnostic>) {
        match Text::read(file) {
            Ok(text) => Self::read(file, text, sets),
            Err(diagnostic) => (Self::default(), vec![*diagnostic]),
        }
    }

    /// Reads a pipeline from a text, as if it stood in `file`.
    pub fn from_text(file: &Path, text: &str, sets: &[String]) -> (Self, Vec<Diagnostic>) {
        Self::read(file, Text::new(file, text), sets)
    }

    /// Whether the command line sets something.
    pub fn is_overridden(&self) -> bool {
        !self.overrides.is_empty()
    }

    /// The place of what stands at `at`; none if it came from the command line.
    pub fn place(&self, at: &At) -> Option<Place> {
        if self.overrides.iter().any(|(set, _)| at.within(set)) { None } else { self.text.place(at) }
    }

    /// The place of a stage's parameter, by its path in the stage's key: the field that says it, or else
    /// the stage. A key groups some fields that stand side by side in a block (`body.lr` is `lr`).
    pub fn field_place(&self, stage: &str, path: &[String]) -> Option<Place> {
        let stage = At::top().key("stages").key(stage);
        let kinds = self.points.first().and_then(|point| {
            let name = stage.last_key();
            Some(point.stages.get(&name)?.kind())
        })?;
        let block = stage.key(kinds);
        let within = |path: &[String]| path.iter().fold(block.clone(), |at, key| at.key(key));
        let tails = (0..path.len()).map(|skip| &path[skip..]);
        tails
            .filter(|tail| !tail.is_empty())
            .find_map(|tail| self.text.exact(&within(tail)))
            .or_else(|| self.place(&stage.on_key()))
    }

    /// A diagnostic about what stands at `at`.
    pub fn diagnose(&self, at: &At, mut diagnostic: Diagnostic) -> Diagnostic {
        // A fault of a file that the pipeline names has its place there.
        if let (None, Some(place)) = (&diagnostic.place, self.place(at)) {
            diagnostic = diagnostic.at(place);
        }
        if let Some((_, said)) = self.overrides.iter().find(|(set, _)| at.within(set)) {
            diagnostic = diagnostic.note(format!("given on the command line: `--set {said}`"));
        }
        diagnostic
    }

    /// The names of the stages, those of all points.
    pub fn stage_names(&self) -> BTreeSet<&str> {
        points::names(&self.points)
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

    fn read(file: &Path, text: Text, sets: &[String]) -> (Self, Vec<Diagnostic>) {
        let mut spec = Self { file: file.to_owned(), text, ..Self::default() };
        let mut diagnostics = vec![];
        let Some(mut top) = spec.text.parse(&mut diagnostics) else { return (spec, diagnostics) };
        for set in sets {
            match override_node(&mut top, set) {
                Ok(at) => spec.overrides.push((at, set.clone())),
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        let mut faults = Faults::new();
        spec.fill(&top, &mut faults);
        faults.dedup();
        diagnostics.extend(faults.into_iter().map(|(at, fault)| {
            let mut diagnostic = spec.diagnose(&at, fault);
            if diagnostic.place.is_none() && at.is_top() {
                diagnostic = diagnostic.note(format!("in {}", file.display()));
            }
            diagnostic
        }));
        (spec, diagnostics)
    }

    fn fill(&mut self, top: &Node, faults: &mut Faults) {
        let nothing = vars::Vars::new();
        let Some(mut fields) = Fields::of(top, "a pipeline", At::top(), &nothing, faults) else { return };
        match fields.take("tartan") {
            Some((Node::Int(FORMAT), _)) => {}
            Some((other, at)) => {
                let fault = Diagnostic::error(
                    Code::FormatVersion,
                    format!("this program reads format {FORMAT}, not {}", other.what()),
                )
                .help(format!("write `tartan: {FORMAT}`, or use the program the file was written for"));
                fields.fault(at, fault);
            }
            None => {
                let fault = Diagnostic::error(
                    Code::FormatVersion,
                    "`tartan` is missing: the version of the pipeline format",
                )
                .help(format!("begin the file with `tartan: {FORMAT}`"));
                fields.fault(At::top(), fault);
            }
        }
        let stem = self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.name = fields.text("name").map(|(name, _)| name).or(stem).unwrap_or_default();

        let raw_vars = block_of(&mut fields, "vars").unwrap_or_default();
        let dims = match fields.raw("sweep") {
            Some((node, at)) => sweep::dimensions(node, &at, &raw_vars, fields.faults),
            None => vec![],
        };
        let set: Vec<At> = self.overrides.iter().map(|(at, _)| at.clone()).collect();
        // `--set seed=3` chooses one point of a sweep over `seed`.
        let (held, dims): (Vec<sweep::Dimension>, Vec<sweep::Dimension>) =
            dims.into_iter().partition(|dim| set.contains(&At::top().key("vars").key(&dim.name)));
        let sweep = At::top().key("sweep");
        let given = dims.iter().filter(|dim| set.iter().any(|at| at.within(&sweep.key(&dim.name))));
        self.fixed = held.iter().chain(given).map(|dim| dim.name.clone()).collect();
        self.swept = dims.iter().map(|dim| dim.name.clone()).collect();

        let stages = block_of(&mut fields, "stages").unwrap_or_default();
        if stages.is_empty() {
            fields.missing("stages", "a pipeline has at least one stage");
        }
        for (name, _) in &stages {
            let plain =
                !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if !plain {
                let fault = Diagnostic::error(Code::StageName, format!("`{name}` is no name for a stage"))
                    .help("a stage's name is made of letters, digits, `-`, `_` and `.`");
                fields.fault(At::top().key("stages").key(name).on_key(), fault);
            }
        }
        let folder = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let pins = digests::Pins::read(&fields.texts("digests").unwrap_or_default(), &folder, fields.faults);
        if let Some(targets) = fields.texts("targets") {
            self.targets = targets;
        }
        let folder = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let context =
            report::Context { dims: &dims, narrowed: !held.is_empty(), vars: &raw_vars, folder: &folder };
        let mut drafts = report::drafts(&mut fields, &context);
        fields.finish("a pipeline");

        let points = sweep::points(&dims);
        let sweep = points::Sweep { vars: &raw_vars, swept: &self.swept, points: &points, stages: &stages };
        self.points = points::read(
            &sweep,
            faults,
            |node, at, vars, faults| kinds::read(node, at, vars, &folder, &pins, faults),
            |vars, faults| drafts.iter_mut().for_each(|draft| draft.at_point(vars, faults)),
        );
        self.reports = drafts.into_iter().filter_map(|draft| draft.finish(self.points.len())).collect();
    }
}

/// A field's own fields, as they stand.
fn block_of(fields: &mut Fields, name: &'static str) -> Option<Vec<(String, Node)>> {
    match fields.raw(name)? {
        (Node::Map(block), _) => Some(block.clone()),
        (Node::Null, _) => None,
        (other, at) => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`{name}` is a block of fields, not {}", other.what()),
            );
            fields.fault(at, fault);
            None
        }
    }
}

/// Applies `NAME=VALUE` to the tree and returns what it set.
fn override_node(top: &mut Node, set: &str) -> Result<At, Box<Diagnostic>> {
    let wrong = |code: Code, message: String| {
        Diagnostic::error(code, message).note(format!("given on the command line: `--set {set}`"))
    };
    let Some((name, value)) = set.split_once('=') else {
        return Err(Box::new(
            wrong(Code::BadSet, "`--set` wants NAME=VALUE".to_owned()).help("such as `--set seed=3`"),
        ));
    };
    let value = yaml::parse_value(value).unwrap_or_else(|| Node::Text(value.to_owned()));
    let steps: Vec<&str> = name.split('.').collect();
    let is_top = top.get(steps[0]).is_some() && steps.len() > 1;
    let (mut node, mut at) = (top, At::top());
    let path: Vec<&str> = if is_top { steps } else { std::iter::once("vars").chain(steps).collect() };
    for (depth, step) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        let around = at.clone();
        at = at.key(step);
        let Node::Map(fields) = node else {
            let fault = format!("`{around}` has no fields, so `{at}` cannot be set");
            return Err(Box::new(wrong(Code::BadSet, fault)));
        };
        let found = fields.iter().position(|(key, _)| key == step);
        let index = match found {
            Some(index) => index,
            // A parameter at its default need not stand in the file to be set; a variable must.
            None if last && is_top => {
                fields.push(((*step).to_owned(), Node::Null));
                fields.len() - 1
            }
            None => {
                let diagnostic = if is_top {
                    wrong(Code::BadSet, format!("`{around}` has no `{step}`"))
                } else {
                    wrong(Code::UnknownVariable, format!("unknown variable `{step}`"))
                };
                let all = || {
                    "name a variable of the pipeline, or a path such as `stages.model.train.epochs`"
                        .to_owned()
                };
                let known = fields.iter().map(|(key, _)| key.as_str());
                return Err(Box::new(diagnostic.meant(step, known, all)));
            }
        };
        node = &mut fields[index].1;
    }
    *node = value;
    Ok(at)
}

#[cfg(test)]
mod tests;
