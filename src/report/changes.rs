//! What differs between two keys, and which earlier record a new key is nearest to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::action::Manifest;
use crate::digest::Digest;
use crate::store::Record;

/// One difference between an old manifest and a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The kind's revision: the program makes it differently now.
    Revision {
        /// Then.
        old: u32,
        /// Now.
        new: u32,
    },
    /// A parameter; absent where it was or is at its default.
    Parameter {
        /// Its path in the block.
        path: Vec<String>,
        /// Then.
        old: Option<String>,
        /// Now.
        new: Option<String>,
    },
    /// The content of an input.
    Input {
        /// Its role.
        role: String,
        /// Then.
        old: Option<Digest>,
        /// Now.
        new: Option<Digest>,
    },
}

/// What differs, in the order: revision, parameters, inputs.
pub fn changes(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let mut found = vec![];
    if old.revision != new.revision {
        found.push(Change::Revision { old: old.revision, new: new.revision });
    }
    let before: BTreeMap<_, _> = flatten(&old.parameters).into_iter().collect();
    let after: BTreeMap<_, _> = flatten(&new.parameters).into_iter().collect();
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        if old != new {
            found.push(Change::Parameter { path: path.clone(), old: old.cloned(), new: new.cloned() });
        }
    }
    let roles: BTreeSet<_> = old.inputs.keys().chain(new.inputs.keys()).collect();
    for role in roles {
        let (old, new) = (old.inputs.get(role), new.inputs.get(role));
        if old != new {
            found.push(Change::Input { role: role.clone(), old: old.copied(), new: new.copied() });
        }
    }
    found
}

/// The record to compare a new key with: of the same kind, of the same stage and pipeline where there is
/// one, then with the fewest changes, then the youngest.
pub fn nearest<'a>(new: &Manifest, stage: &str, pipeline: &str, records: &'a [Record]) -> Option<&'a Record> {
    records.iter().filter(|record| record.manifest.kind == new.kind).min_by_key(|record| {
        let made = &record.provenance;
        // A display name carries the sweep point; the stage itself comes before the bracket.
        let same_stage = made.pipeline == pipeline && bare(&made.stage) == bare(stage);
        (!same_stage, changes(&record.manifest, new).len(), std::cmp::Reverse(made.started))
    })
}

fn bare(name: &str) -> &str {
    name.split(" (").next().unwrap_or(name)
}

/// Every leaf of a JSON value with its path, in order. A list of scalars is one leaf.
pub fn flatten(value: &Value) -> Vec<(Vec<String>, String)> {
    let mut leaves = vec![];
    let mut open = vec![(vec![], value)];
    while let Some((path, value)) = open.pop() {
        let child = |name: &str| path.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>();
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                open.extend(fields.iter().rev().map(|(name, field)| (child(name), field)));
            }
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                open.extend(items.iter().enumerate().rev().map(|(i, item)| (child(&i.to_string()), item)));
            }
            // Which of several blocks stands there says something even where all in it is at its default.
            Value::Object(_) if !path.is_empty() => leaves.push((path, "{}".to_owned())),
            Value::Object(_) => {}
            Value::String(text) => leaves.push((path, text.clone())),
            other => leaves.push((path, other.to_string())),
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(parameters: Value, input: &[u8]) -> Manifest {
        let inputs = [("source/train".to_owned(), Digest::of(input))].into();
        Manifest { kind: "train".to_owned(), revision: 1, parameters, inputs }
    }

    #[test]
    fn every_difference_is_found_and_nothing_else() {
        let old = manifest(json!({"body": {"lr": 0.1, "eps": 1e-6}, "seed": 1, "betas": [0.9, 0.98]}), b"a");
        let new = manifest(json!({"body": {"lr": 0.2, "eps": 1e-6}, "betas": [0.9, 0.98]}), b"b");
        assert_eq!(changes(&old, &old), []);
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            changes(&old, &new),
            [
                Change::Parameter { path: path("body.lr"), old: Some("0.1".into()), new: Some("0.2".into()) },
                Change::Parameter { path: path("seed"), old: Some("1".into()), new: None },
                Change::Input {
                    role: "source/train".into(),
                    old: Some(Digest::of(b"a")),
                    new: Some(Digest::of(b"b")),
                },
            ]
        );
    }

    #[test]
    fn lists_of_scalars_are_one_leaf() {
        let leaves = flatten(&json!({"b": [1, 2], "a": [{"x": 1}], "c": {}}));
        let leaves: Vec<String> =
            leaves.into_iter().map(|(path, value)| format!("{}={value}", path.join("."))).collect();
        assert_eq!(leaves, ["a.0.x=1", "b=[1,2]", "c={}"]);
        assert_eq!(flatten(&json!({})), []);
    }
}
