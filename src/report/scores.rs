//! What each sweep point gave: the raw material of a table.
//!
//! Reads plans, records and the store; knows nothing of rows and columns.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::weights;
use crate::action::{Action, Evaluate, Pin, roles};
use crate::digest::Digest;
use crate::plan::{Input, NodeId, Plan};
use crate::spec::{At, Block, Point, Report, Score, Shows, Spec};
use crate::store::{Artifacts, Output, Store, StoreError};

/// The name of the variable that tells objectives apart in a table of weights.
pub(super) const OBJECTIVE: &str = "objective";

/// Why a table cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A result that is whole, and not what this program writes.
    #[error("`{file}` of `{stage}` cannot be read: {why}")]
    Unreadable {
        /// The stage.
        stage: String,
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A number that a command did not give at any sweep point.
    #[error("`{stage}` gave no number `{metric}`")]
    NotGiven {
        /// The stage.
        stage: String,
        /// The number's name.
        metric: String,
        /// The numbers that it gave.
        given: Vec<String>,
        /// Where the report asks for it.
        at: At,
    },
    /// A figure's file.
    #[error("failed to write the figure `{file}`: {why}")]
    Figure {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}

/// The results that are known, by node.
pub type Records = BTreeMap<NodeId, Artifacts>;

/// Which texts are scored, and against which labels. How they are tokenised is not in it: two models with
/// tokenizers of their own compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Texts {
    /// The files.
    files: Vec<SplitOf>,
    /// What is read of them, as the canonical JSON of the parameters that choose it.
    read: String,
}

/// What is known of a split's file before it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SplitOf {
    /// Its content; of a file that is fetched, its pin.
    Pinned(Pin),
    /// Who makes it.
    Made(NodeId, String),
}

impl Texts {
    /// What an evaluate stage scores: the files of its split, as its tokenize stage reads them. A command scores what
    /// the evaluate stages score that it reads, if they all score the same.
    pub(super) fn of(plan: &Plan, scored: NodeId) -> Option<Self> {
        let node = plan.node(scored);
        let split = match &node.action {
            Action::Evaluate(Evaluate { split, .. }) => split,
            Action::Command(_) => {
                let needs = plan.needs(scored).into_iter();
                let evaluates = needs.filter(|need| matches!(plan.node(*need).action, Action::Evaluate(_)));
                let of: BTreeSet<Self> = evaluates.filter_map(|need| Self::of(plan, need)).collect();
                return of.first().filter(|_| of.len() == 1).cloned();
            }
            _ => return None,
        };
        let Input::Output { node: tokens, .. } = node.inputs.get(&format!("data/{}", roles::split(split)))?
        else {
            return None;
        };
        let tokens = plan.node(*tokens);
        let Action::Tokenize(params) = &tokens.action else { return None };
        let depends = params.split_depends_on(split);
        let files = tokens.inputs.iter().filter(|(role, _)| {
            depends.iter().any(|split| {
                role.strip_prefix(&roles::source(split, None))
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        });
        let files = files.map(|(_, input)| match input {
            Input::File { digest, .. } => Some(SplitOf::Pinned(Pin::Blake3(*digest))),
            Input::Output { node, file } => Some(match &plan.node(*node).action {
                Action::Fetch(fetch) => SplitOf::Pinned(fetch.pin.clone()),
                _ => SplitOf::Made(*node, file.clone()),
            }),
            Input::Folder { .. } => None,
        });
        Some(Self { files: files.collect::<Option<_>>()?, read: params.choosing(split).to_string() })
    }

    /// The texts of a file of this digest.
    #[cfg(test)]
    pub(super) fn of_file(digest: Digest) -> Self {
        Self { files: vec![SplitOf::Pinned(Pin::Blake3(digest))], read: String::new() }
    }
}

/// A number that a sweep point gave, or that is still missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The values of the table's variables at this point.
    pub values: Vec<String>,
    /// The stage.
    pub stage: String,
    /// Its node: points may share one.
    pub node: NodeId,
    /// What was measured: a metric's name, or `weight`.
    pub metric: String,
    /// The split, where it is known.
    pub split: Option<String>,
    /// What was scored. Scores on other texts do not compare.
    pub data: Option<Texts>,
    /// The key of the result.
    pub key: Option<Digest>,
    /// The number: between 0 and 1, but for a command's own.
    pub score: Option<f64>,
}

/// A report's numbers in the order of the sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The variables of [`Seen::values`]: the swept ones, and `objective` for weights.
    pub vars: Vec<String>,
    /// The numbers.
    pub seen: Vec<Seen>,
    /// Whether they are a command's own, of whatever unit, and not scores between 0 and 1.
    pub plain: bool,
}

/// Why a command's numbers cannot be shown.
#[derive(Debug, PartialEq)]
enum Bad {
    /// It wrote something else.
    Unreadable(String),
    /// It has others.
    Lacks(Vec<String>),
}

/// The numbers of a result.
struct Metrics {
    metrics: BTreeMap<String, f64>,
    split: Option<String>,
}

impl Metrics {
    /// Those of an `evaluate` stage.
    fn of_evaluate(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct File {
            metrics: BTreeMap<String, f64>,
            split: String,
        }
        let File { metrics, split } = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        Ok(Self { metrics, split: Some(split) })
    }

    /// Those that a command gives: the numbers of a JSON object, or of the object `metrics` in it. It must have
    /// `wanted`, be it null: whoever asks for a number that a program of their own does not give wants to know.
    fn of_command(bytes: &[u8], wanted: &str) -> Result<Self, Bad> {
        let value: Value = serde_json::from_slice(bytes).or_else(|why| {
            serde_json::from_slice(&without_nan(bytes)).map_err(|_| Bad::Unreadable(why.to_string()))
        })?;
        let object = match value.get("metrics") {
            Some(inner @ Value::Object(_)) => inner,
            _ => &value,
        };
        let Value::Object(fields) = object else {
            return Err(Bad::Unreadable("it is no JSON object".to_owned()));
        };
        let numbers = fields.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        let metrics: BTreeMap<String, f64> = numbers.collect();
        if metrics.contains_key(wanted) || fields.get(wanted).is_some_and(Value::is_null) {
            return Ok(Self { metrics, split: None });
        }
        Err(Bad::Lacks(metrics.into_keys().collect()))
    }
}

/// JSON as Python writes it, made what it should be: no byte order mark, and null for what is no number.
fn without_nan(bytes: &[u8]) -> Vec<u8> {
    const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut rest = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut json = Vec::with_capacity(rest.len());
    let (mut quoted, mut escaped) = (false, false);
    while let Some((&byte, after)) = rest.split_first() {
        let no_number = NO_NUMBERS.iter().find_map(|word| rest.strip_prefix(word.as_bytes()));
        if let Some(after) = no_number.filter(|_| !quoted) {
            json.extend_from_slice(b"null");
            rest = after;
            continue;
        }
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = byte == b'\\' && quoted && !escaped;
        json.push(byte);
        rest = after;
    }
    json
}

/// Gathers what a report shows at every sweep point that has its stage.
pub fn gather(
    report: &Report,
    spec: &Spec,
    plan: &Plan,
    records: &Records,
    store: &Store,
) -> Result<Scores, ReportError> {
    let scores = match &report.shows {
        Shows::Scores(scores) => scores,
        Shows::Weights(stage) => return weights::gather(&stage.stage, spec, plan, records, store),
    };
    let at_points = spec.points.iter().zip(&plan.points).zip(scores);
    let shown: Vec<Shown> = at_points
        .filter_map(|((point, nodes), Score { stage, metric })| {
            let file = match point.stages.get(&stage.stage) {
                Some(Block::Command(command)) => command.metrics.as_deref(),
                _ => None,
            };
            let node = *nodes.get(&stage.stage)?;
            Some(Shown { point, stage: &stage.stage, metric, at: &stage.at, node, file })
        })
        .collect();
    // Points share nodes.
    let wanted: BTreeMap<(NodeId, &str), &Shown> =
        shown.iter().map(|shown| ((shown.node, shown.metric), shown)).collect();
    let wanted: Vec<&Shown> = wanted.into_values().collect();
    let read: Vec<Read> = wanted.par_iter().map(|shown| shown.read(plan, records, store)).collect();
    let read = settle(&wanted, read)?;
    let plain = shown.iter().any(|shown| shown.file.is_some());
    let seen = shown.iter().map(|shown| {
        let metrics = read.get(&(shown.node, shown.metric)).and_then(Option::as_ref);
        Seen {
            values: shown.point.values.clone(),
            stage: shown.stage.to_owned(),
            node: shown.node,
            metric: shown.metric.to_owned(),
            split: metrics.and_then(|metrics| metrics.split.clone()),
            data: Texts::of(plan, shown.node),
            key: records.get(&shown.node).map(|record| record.key),
            score: metrics.and_then(|found| found.metrics.get(shown.metric).copied()),
        }
    });
    let seen = seen.collect();
    Ok(Scores { vars: spec.swept.clone(), seen, plain })
}

/// A number of a table that is to be read.
struct Shown<'a> {
    point: &'a Point,
    stage: &'a str,
    metric: &'a str,
    /// Where it is asked for.
    at: &'a At,
    node: NodeId,
    /// Of a `command`, the file that it is in.
    file: Option<&'a str>,
}

impl Shown<'_> {
    /// What the node's file has; none where it has no result.
    fn read(&self, plan: &Plan, records: &Records, store: &Store) -> Read {
        let file = self.file.unwrap_or(roles::METRICS);
        let bytes = artifact(store, records.get(&self.node).map(|record| &record.outputs), file)?;
        let metrics = bytes.map(|bytes| match self.file {
            Some(_) => Metrics::of_command(&bytes, self.metric),
            None => Metrics::of_evaluate(&bytes).map_err(Bad::Unreadable),
        });
        metrics.transpose().map_err(|bad| match bad {
            Bad::Unreadable(why) => unreadable(plan, self.node, file, &why),
            Bad::Lacks(given) => ReportError::NotGiven {
                stage: self.stage.to_owned(),
                metric: self.metric.to_owned(),
                given,
                at: self.at.clone(),
            },
        })
    }
}

/// What was read of a result; none where there is none.
type Read = Result<Option<Metrics>, ReportError>;

/// What was read, by node and metric. A number that a command gave at other sweep points is missing where it cannot
/// be read; one that it gave nowhere is a fault.
fn settle<'a>(
    wanted: &[&'a Shown<'a>],
    read: Vec<Read>,
) -> Result<BTreeMap<(NodeId, &'a str), Option<Metrics>>, ReportError> {
    let commands = wanted.iter().zip(&read).filter(|(shown, _)| shown.file.is_some());
    let given: BTreeSet<(&str, &str)> = commands
        .filter(|(_, read)| matches!(read, Ok(Some(_))))
        .map(|(shown, _)| (shown.stage, shown.metric))
        .collect();
    let settled = wanted.iter().zip(read).map(|(shown, read)| {
        let found = match read {
            Err(ReportError::Unreadable { .. } | ReportError::NotGiven { .. })
                if given.contains(&(shown.stage, shown.metric)) =>
            {
                None
            }
            other => other?,
        };
        Ok(((shown.node, shown.metric), found))
    });
    settled.collect()
}

/// The bytes of a result's file; none where there is no result, or it has no such file.
pub(super) fn artifact(
    store: &Store,
    outputs: Option<&BTreeMap<String, Output>>,
    file: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let output = outputs.and_then(|outputs| outputs.get(file));
    output.map(|output| store.read(&output.digest)).transpose()
}

pub(super) fn unreadable(plan: &Plan, id: NodeId, file: &str, why: &impl ToString) -> ReportError {
    ReportError::Unreadable { stage: plan.node(id).name.clone(), file: file.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_missing_and_the_others_are_there() {
        let read =
            |text: &str, wanted| Metrics::of_command(text.as_bytes(), wanted).map(|found| found.metrics);
        let one: Result<_, Bad> = Ok(BTreeMap::from([("b".to_owned(), 1.0)]));
        for text in [
            r#"{"a": NaN, "b": 1}"#,
            r#"{"a": null, "b": 1, "c": "NaN"}"#,
            r#"{"metrics": {"a": -Infinity, "b": 1}, "c\"": [Infinity, "\\"]}"#,
            "\u{feff}{\"a\": NaN, \"b\": 1}",
        ] {
            assert_eq!(read(text, "a"), one, "{text}");
            assert_eq!(read(text, "b"), one, "{text}");
        }
        assert_eq!(read(r#"{"b": 1}"#, "a"), Err(Bad::Lacks(vec!["b".to_owned()])));
        let unreadable = read(r#"{"a": NaN, "b": "#, "a");
        assert!(matches!(unreadable, Err(Bad::Unreadable(why)) if why.contains("line 1 column")));
    }
}
