//! What each sweep point gave: the raw material of a table.
//!
//! Reads plans, records and the store; knows nothing of rows and columns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Deserialize;

use super::weights;
use crate::action::{Action, Evaluate, Pin, roles};
use crate::digest::Digest;
use crate::plan::{Input, NodeId, Plan};
use crate::spec::{Report, Shows, Spec};
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
    /// The split's file. A fetched one is known by its pin before it is there.
    file: Pin,
    /// The field that holds the text.
    text: String,
    /// The field that holds the label, where it is said.
    label: Option<String>,
}

impl Texts {
    /// What an evaluate stage scores: the file of its split, as its tokenize stage reads it.
    pub(super) fn of(plan: &Plan, evaluate: NodeId) -> Option<Self> {
        let node = plan.node(evaluate);
        let Action::Evaluate(Evaluate { split, .. }) = &node.action else { return None };
        let Input::Output { node: tokens, .. } = node.inputs.get(&format!("data/{}", roles::split(split)))?
        else {
            return None;
        };
        let tokens = plan.node(*tokens);
        let Action::Tokenize(read) = &tokens.action else { return None };
        let file = match tokens.inputs.get(&format!("source/{split}"))? {
            Input::File { digest, .. } => Pin::Blake3(*digest),
            Input::Output { node, .. } => match &plan.node(*node).action {
                Action::Fetch(fetch) => fetch.pin.clone(),
                _ => return None,
            },
        };
        Some(Self { file, text: read.text.clone(), label: read.label.clone() })
    }

    /// The texts of a file of this digest.
    #[cfg(test)]
    pub(super) fn of_file(digest: Digest) -> Self {
        Self { file: Pin::Blake3(digest), text: "text".to_owned(), label: None }
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
    /// The number, between 0 and 1.
    pub score: Option<f64>,
}

/// A report's numbers in the order of the sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// The variables of [`Seen::values`]: the swept ones, and `objective` for weights.
    pub vars: Vec<String>,
    /// The numbers.
    pub seen: Vec<Seen>,
}

#[derive(Deserialize)]
struct Metrics {
    metrics: BTreeMap<String, f64>,
    split: String,
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
    let mut seen = vec![];
    let mut read: BTreeMap<NodeId, Option<Metrics>> = BTreeMap::new();
    for ((point, nodes), shown) in spec.points.iter().zip(&plan.points).zip(scores) {
        let Some(&id) = nodes.get(&shown.stage.stage) else { continue };
        let record = records.get(&id);
        if let Entry::Vacant(free) = read.entry(id) {
            let bytes = artifact(store, record.map(|record| &record.outputs), roles::METRICS)?;
            let metrics = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
            free.insert(metrics.map_err(|why| unreadable(plan, id, roles::METRICS, &why))?);
        }
        let metrics = read.get(&id).and_then(Option::as_ref);
        let split = metrics.map(|metrics| metrics.split.clone());
        seen.push(Seen {
            values: point.values.clone(),
            stage: shown.stage.stage.clone(),
            node: id,
            metric: shown.metric.name().to_owned(),
            split,
            data: Texts::of(plan, id),
            key: record.map(|record| record.key),
            score: metrics.and_then(|found| found.metrics.get(shown.metric.name()).copied()),
        });
    }
    Ok(Scores { vars: spec.swept.clone(), seen })
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
