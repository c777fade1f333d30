//! Two results side by side: what differs in what they were made by, all the way up.
//!
//! Works on records, and on a plan where there is one: two results compare whatever pipelines they are from,
//! also long after those have changed. Inputs of the same content are not looked into: what they came from made
//! no difference.

mod library;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

pub use library::{Library, Made};
use library::{Slot, SlotName};

use super::changes::flatten;
use super::scores::{ReportError, artifact};
use crate::action::roles;
use crate::digest::Digest;
use crate::store::{Record, Store};

/// What stands on a line on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What it is: a parameter's path, a metric, an input's role.
    pub name: String,
    /// On the left; none where there is no such thing, or a parameter is at its default.
    pub a: Option<String>,
    /// On the right.
    pub b: Option<String>,
}

/// The results in one role, and how they were made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// The roles that lead to it from the results compared, such as `model › init`; empty for those.
    pub role: String,
    /// The kind of both, or of the one that is there; both kinds where they differ.
    pub kind: String,
    /// The stages' names; none where one side has nothing in this role.
    pub a: Option<String>,
    /// On the right.
    pub b: Option<String>,
    /// Other results that are the same bytes, where no plan says whose were read.
    pub others: Option<Pair>,
    /// Parameters.
    pub parameters: Vec<Pair>,
    /// Inputs that no record of the store made: the user's own files, by their digests.
    pub files: Vec<Pair>,
    /// What came out: metrics of an evaluation, how a training went.
    pub outcomes: Vec<Pair>,
    /// Why there is nothing in it, where there is nothing.
    pub remark: Option<&'static str>,
}

/// Compares two results, and what they came from. `all`: also what is the same.
pub fn compare(
    a: Made,
    b: Made,
    library: &Library,
    store: &Store,
    all: bool,
) -> Result<Vec<Section>, ReportError> {
    let mut sections = vec![];
    let mut seen = BTreeSet::new();
    let mut open = vec![(String::new(), Some(a), Some(b), None)];
    while let Some((role, made_a, made_b, others)) = open.pop() {
        let (a, b) = (made_a.map(|a| a.record), made_b.map(|b| b.record));
        let (left, right) = (a.map(|a| a.key), b.map(|b| b.key));
        // What one side has here and the other one elsewhere has been compared there.
        let elsewhere = match (left, right) {
            (Some(_), None) => seen.iter().any(|(_, right)| *right == left),
            (None, Some(_)) => seen.iter().any(|(left, _)| *left == right),
            _ => false,
        };
        if elsewhere || !seen.insert((left, right)) {
            continue;
        }
        let both = a.is_some() && b.is_some();
        let alike = a.zip(b).is_none_or(|(a, b)| are_alike(&a.manifest.kind, &b.manifest.kind));
        // Revisions count for each kind apart.
        let revision = a.zip(b).is_some_and(|(a, b)| a.manifest.kind == b.manifest.kind);
        let mut section = Section {
            kind: kinds(a, b),
            a: made_a.map(|made| library.name(made)),
            b: made_b.map(|made| library.name(made)),
            others,
            parameters: if alike {
                pairs(&parameters(a, revision), &parameters(b, revision), all)
            } else {
                vec![]
            },
            files: vec![],
            outcomes: if alike {
                pairs(&outcomes(a, store, all)?, &outcomes(b, store, all)?, all)
            } else {
                vec![]
            },
            remark: None,
            role: role.clone(),
        };
        // What only one side has is not looked into: there is nothing to compare it with.
        let (of_a, of_b) = match made_a.zip(made_b) {
            Some((a, b)) => (library.slots(a), library.slots(b)),
            None => Default::default(),
        };
        let mut found = vec![];
        for (slot, a, b) in aligned(of_a, of_b) {
            if a.digests() == b.digests() && !all {
                continue;
            }
            if a.maker.is_none() && b.maker.is_none() {
                if !alike {
                    continue;
                }
                let short = |slot: &Slot| slot.files.values().next().map(Digest::short);
                section.files.push(Pair { name: slot.role, a: short(&a), b: short(&b) });
                continue;
            }
            let path = if role.is_empty() { slot.role } else { format!("{role} › {}", slot.role) };
            found.push((path, a.maker, b.maker, alternatives(&a, &b, library)));
        }
        // The one that comes first is looked into first.
        open.extend(found.into_iter().rev());
        let is_bare =
            section.parameters.is_empty() && section.files.is_empty() && section.outcomes.is_empty();
        section.remark = is_bare.then(|| match a.zip(b) {
            None => "no parameters but defaults",
            Some(_) if !alike => "stages of other kinds: nothing to put side by side",
            Some((a, b)) if a.key == b.key => "the same result",
            Some(_) => "no difference but in what it is made from",
        });
        if !is_bare || !both || !alike || sections.is_empty() {
            sections.push(section);
        }
    }
    Ok(sections)
}

/// Who else may have made what two slots hold.
fn alternatives(a: &Slot, b: &Slot, library: &Library) -> Option<Pair> {
    const SHOWN: usize = 3;
    let listed = |slot: &Slot| {
        let name = |made: &Made| format!("{} {}", library.name(*made), made.record.key.short());
        let mut names: Vec<String> = slot.others.iter().take(SHOWN).map(name).collect();
        if slot.others.len() > SHOWN {
            names.push(format!("{} more", slot.others.len() - SHOWN));
        }
        (!names.is_empty()).then(|| names.join(", "))
    };
    let pair = Pair { name: "may also be".to_owned(), a: listed(a), b: listed(b) };
    (pair.a.is_some() || pair.b.is_some()).then_some(pair)
}

/// Whether two kinds have parameters and outcomes in common. An encoder and a trained model have none.
fn are_alike(a: &str, b: &str) -> bool {
    let trains = |kind: &str| kind == "train" || kind == "learn-weights";
    a == b || trains(a) && trains(b)
}

fn kinds(a: Option<&Record>, b: Option<&Record>) -> String {
    let mut kinds: Vec<&str> = a.iter().chain(&b).map(|record| record.manifest.kind.as_str()).collect();
    kinds.dedup();
    kinds.join(" / ")
}

/// Slots of the same name side by side. Auxiliary objectives are numbered in the order of their list: those
/// of the same content belong together wherever they stand in it.
fn aligned<'a>(
    mut a: BTreeMap<SlotName, Slot<'a>>,
    mut b: BTreeMap<SlotName, Slot<'a>>,
) -> Vec<(SlotName, Slot<'a>, Slot<'a>)> {
    let is_auxiliary = |name: &SlotName| name.role.starts_with("auxiliary/");
    let names: BTreeSet<SlotName> = a.keys().chain(b.keys()).cloned().collect();
    let mut pairs = vec![];
    for name in names.iter().filter(|name| is_auxiliary(name)) {
        let Some(slot) = a.get(name) else { continue };
        let same = b.iter().find(|(other, of_b)| {
            is_auxiliary(other) && other.kind == name.kind && of_b.digests() == slot.digests()
        });
        if let Some(other) = same.map(|(other, _)| other.clone())
            && let (Some(a), Some(b)) = (a.remove(name), b.remove(&other))
        {
            pairs.push((name.clone(), a, b));
        }
    }
    for name in &names {
        if a.contains_key(name)
            && let Some(b) = b.remove(name)
        {
            pairs.push((name.clone(), a.remove(name).unwrap_or_default(), b));
        }
    }
    // Of what is left, makers of different kinds may still have the same role: an encoder and a trained model.
    for (name, a) in a {
        let other = b.keys().find(|other| other.role == name.role).cloned();
        let b = other.and_then(|other| b.remove(&other)).unwrap_or_default();
        pairs.push((name, a, b));
    }
    pairs.extend(b.into_iter().map(|(name, b)| (name, Slot::default(), b)));
    pairs.sort_by(|(a, _, _), (b, _, _)| a.cmp(b));
    pairs
}

/// A record's parameters; with the kind's revision where there is another to compare it with.
fn parameters(record: Option<&Record>, revision: bool) -> Vec<(String, String)> {
    let Some(manifest) = record.map(|record| &record.manifest) else { return vec![] };
    let leaves = flatten(&manifest.parameters).into_iter().map(|(path, value)| (path.join("."), value));
    leaves.chain(revision.then(|| ("revision".to_owned(), manifest.revision.to_string()))).collect()
}

/// The numbers of an evaluation, and how a training went. `all`: also those of each label.
fn outcomes(record: Option<&Record>, store: &Store, all: bool) -> Result<Vec<(String, String)>, ReportError> {
    let mut found = vec![];
    for file in [roles::METRICS, roles::TRAIN] {
        let Some(bytes) = artifact(store, record.map(|record| &record.outputs), file)? else { continue };
        let value: Value = match serde_json::from_slice(&bytes) {
            Ok(value) => value,
            // What a command calls so may be anything.
            Err(_) if record.is_some_and(|record| record.manifest.kind == "command") => continue,
            Err(why) => {
                return Err(ReportError::Unreadable {
                    stage: record.map(|record| record.provenance.stage.clone()).unwrap_or_default(),
                    file: file.to_owned(),
                    why: why.to_string(),
                });
            }
        };
        let shown = match value.get("metrics") {
            Some(metrics) if !all => metrics,
            _ => &value,
        };
        found.extend(flatten(shown).into_iter().map(|(path, value)| (path.join("."), value)));
    }
    Ok(found)
}

fn pairs(a: &[(String, String)], b: &[(String, String)], all: bool) -> Vec<Pair> {
    let value = |of: &[(String, String)], name: &str| {
        // JSON's nothing: an outcome that there was not.
        of.iter().find(|(known, value)| known == name && value != "null").map(|(_, value)| value.clone())
    };
    let mut names: Vec<&String> = a.iter().map(|(name, _)| name).collect();
    names.extend(b.iter().map(|(name, _)| name).filter(|name| value(a, name).is_none()));
    let pairs =
        names.into_iter().map(|name| Pair { name: name.clone(), a: value(a, name), b: value(b, name) });
    pairs.filter(|pair| all || pair.a != pair.b).collect()
}

#[cfg(test)]
mod tests;
