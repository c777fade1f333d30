//! What differs between two keys, and which earlier record a new key is nearest to.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::rc::Rc;

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

/// Records to compare new keys with.
pub struct Earlier<'a> {
    /// By kind, pipeline and stage; and by kind alone.
    by_stage: BTreeMap<(&'a str, &'a str, &'a str), Vec<Told<'a>>>,
    by_kind: BTreeMap<&'a str, Vec<Told<'a>>>,
}

/// A record, and what tells its key from others.
#[derive(Clone)]
struct Told<'a> {
    record: &'a Record,
    /// Hashes of what may differ and of how it stands there, in the order of the former.
    parts: Rc<[(u64, u64)]>,
}

impl<'a> Earlier<'a> {
    /// Of all these records.
    pub fn of(records: &'a [Record]) -> Self {
        let mut earlier = Self { by_stage: BTreeMap::new(), by_kind: BTreeMap::new() };
        for record in records {
            let told = Told { record, parts: parts(&record.manifest).into() };
            let (kind, made) = (record.manifest.kind.as_str(), &record.provenance);
            // A display name carries the sweep point; the stage itself comes before the bracket.
            let stage = (kind, made.pipeline.as_str(), bare(&made.stage));
            earlier.by_stage.entry(stage).or_default().push(told.clone());
            earlier.by_kind.entry(kind).or_default().push(told);
        }
        earlier
    }

    /// The record to compare a new key with: of the same kind, of the same stage and pipeline where there is
    /// one, then with the fewest changes, then the youngest.
    pub fn nearest(&self, new: &Manifest, stage: &str, pipeline: &str) -> Option<&'a Record> {
        let of_stage = self.by_stage.get(&(new.kind.as_str(), pipeline, bare(stage)));
        let parts = parts(new);
        let near = |told: &&Told| (differing(&told.parts, &parts), Reverse(told.record.provenance.started));
        of_stage
            .or_else(|| self.by_kind.get(new.kind.as_str()))?
            .iter()
            .min_by_key(near)
            .map(|told| told.record)
    }
}

/// What [`changes`] compares, hashed: a sweep may have ten thousand keys to compare with ten thousand records.
fn parts(manifest: &Manifest) -> Vec<(u64, u64)> {
    let parameters = flatten(&manifest.parameters);
    let parameters = parameters.iter().map(|(path, value)| (hash(&("parameter", path)), hash(value)));
    let inputs = manifest.inputs.iter().map(|(role, digest)| (hash(&("input", role)), hash(digest)));
    let mut parts: Vec<(u64, u64)> =
        [(hash("revision"), manifest.revision.into())].into_iter().chain(parameters).chain(inputs).collect();
    parts.sort_unstable();
    parts
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// How many parts differ between two manifests.
fn differing(old: &[(u64, u64)], new: &[(u64, u64)]) -> usize {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut differing = 0;
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return differing,
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        differing += usize::from(before != after);
    }
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

    #[test]
    fn the_nearest_record_is_of_the_stage_and_has_the_fewest_changes() {
        let record = |stage: &str, parameters: Value, started: u64| Record {
            key: Digest::of(format!("{stage}{parameters}{started}").as_bytes()),
            manifest: manifest(parameters, b"a"),
            outputs: BTreeMap::new(),
            provenance: crate::store::Provenance {
                stage: stage.to_owned(),
                pipeline: "p".to_owned(),
                started,
                ..crate::store::Provenance::default()
            },
        };
        let records = [
            record("other", json!({"lr": 1, "seed": 0}), 9),
            record("model (seed=0)", json!({"lr": 2, "seed": 0}), 1),
            record("model (seed=1)", json!({"lr": 2, "seed": 1}), 2),
            record("model (seed=1)", json!({"lr": 3, "seed": 1, "more": [1]}), 3),
        ];
        let earlier = Earlier::of(&records);
        let nearest = |stage: &str, parameters: Value, input: &[u8]| {
            let found = earlier.nearest(&manifest(parameters, input), stage, "p").expect("a record");
            records.iter().position(|record| record.key == found.key)
        };
        assert_eq!(nearest("model (seed=0)", json!({"lr": 1, "seed": 0}), b"a"), Some(1));
        assert_eq!(nearest("model (seed=1)", json!({"lr": 1, "seed": 1}), b"b"), Some(2));
        assert_eq!(
            nearest("model (seed=7)", json!({"lr": 3, "seed": 7}), b"a"),
            Some(3),
            "the youngest of three"
        );
        assert_eq!(nearest("new", json!({"lr": 1, "seed": 0}), b"a"), Some(0), "of whatever stage");
        for old in &records {
            for new in &records {
                let count = differing(&parts(&old.manifest), &parts(&new.manifest));
                assert_eq!(count, changes(&old.manifest, &new.manifest).len());
            }
        }
        assert!(Earlier::of(&[]).nearest(&records[0].manifest, "x", "p").is_none());
    }
}
