//! Two results side by side: what differs in what they were made by, all the way up.
//!
//! Works on records alone: who made an input is found by its content, so two results compare whatever
//! pipelines they are from, also long after those have changed. Inputs of the same content are not looked
//! into: what they came from made no difference.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

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
    /// Parameters.
    pub parameters: Vec<Pair>,
    /// Inputs that no record of the store made: the user's own files, by their digests.
    pub files: Vec<Pair>,
    /// What came out: metrics of an evaluation, how a training went.
    pub outcomes: Vec<Pair>,
}

/// Every record, and who made what.
#[derive(Debug, Default)]
pub struct Library {
    records: BTreeMap<Digest, Record>,
    makers: BTreeMap<Digest, Vec<Digest>>,
    names: BTreeMap<Digest, String>,
}

impl Library {
    /// All records of a store. `names` gives the stages' names in the pipeline at hand, by key; other records
    /// are called as they were when they were made.
    pub fn new(records: Vec<Record>, names: BTreeMap<Digest, String>) -> Self {
        let mut makers: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for record in &records {
            for output in record.outputs.values() {
                makers.entry(output.digest).or_default().push(record.key);
            }
        }
        Self { records: records.into_iter().map(|record| (record.key, record)).collect(), makers, names }
    }

    /// The records whose keys begin so.
    pub fn with_prefix(&self, prefix: &str) -> Vec<&Record> {
        self.records.values().filter(|record| record.key.hex().starts_with(prefix)).collect()
    }

    /// What to call a record.
    pub fn name(&self, record: &Record) -> String {
        self.names.get(&record.key).unwrap_or(&record.provenance.stage).clone()
    }

    /// Who made some of these inputs of `of`: who made most of them, for some files (a configuration) are the
    /// same bytes whoever makes them. Of several one of the pipeline at hand, then of the pipeline that made
    /// `of`, then the youngest that is not younger than `of`.
    fn maker(&self, inputs: &BTreeMap<String, Digest>, of: &Record) -> Option<&Record> {
        let keys: BTreeSet<&Digest> =
            inputs.values().filter_map(|input| self.makers.get(input)).flatten().collect();
        let makers = keys.into_iter().filter_map(|key| self.records.get(key));
        let made =
            |maker: &Record| inputs.iter().filter(|(role, input)| has_made(maker, role, input)).count();
        makers.filter(|maker| maker.key != of.key && made(maker) > 0).max_by_key(|maker| {
            let started = maker.provenance.started;
            let before = started <= of.provenance.started;
            (
                made(maker),
                self.names.contains_key(&maker.key),
                maker.provenance.pipeline == of.provenance.pipeline,
                before,
                if before { started } else { u64::MAX - started },
                maker.key,
            )
        })
    }
}

/// Whether a record made the input in a role. An input is called in its folder as its maker calls it.
fn has_made(maker: &Record, role: &str, input: &Digest) -> bool {
    let file = role.rsplit('/').next().unwrap_or(role);
    maker.outputs.get(file).is_some_and(|output| output.digest == *input)
}

/// Compares two results, and what they came from. `all`: also what is the same.
pub fn compare(
    a: &Record,
    b: &Record,
    library: &Library,
    store: &Store,
    all: bool,
) -> Result<Vec<Section>, ReportError> {
    let mut sections = vec![];
    let mut seen = BTreeSet::new();
    let mut open = vec![(String::new(), Some(a), Some(b))];
    while let Some((role, a, b)) = open.pop() {
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
        // An encoder and a trained model have nothing in common that could be put side by side.
        let alike = a.zip(b).is_none_or(|(a, b)| a.manifest.kind == b.manifest.kind);
        let mut section = Section {
            kind: kinds(a, b),
            a: a.map(|record| library.name(record)),
            b: b.map(|record| library.name(record)),
            parameters: if alike { pairs(&parameters(a, both), &parameters(b, both), all) } else { vec![] },
            files: vec![],
            outcomes: if alike {
                pairs(&outcomes(a, store, all)?, &outcomes(b, store, all)?, all)
            } else {
                vec![]
            },
            role: role.clone(),
        };
        // What only one side has is not looked into: there is nothing to compare it with.
        let (of_a, of_b) = if both { (slots(a, library), slots(b, library)) } else { Default::default() };
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
            found.push((path, a.maker, b.maker));
        }
        // The one that comes first is looked into first.
        open.extend(found.into_iter().rev());
        let says_nothing = both
            && alike
            && section.parameters.is_empty()
            && section.files.is_empty()
            && section.outcomes.is_empty();
        if !says_nothing || sections.is_empty() {
            sections.push(section);
        }
    }
    Ok(sections)
}

fn kinds(a: Option<&Record>, b: Option<&Record>) -> String {
    let mut kinds: Vec<&str> = a.iter().chain(&b).map(|record| record.manifest.kind.as_str()).collect();
    kinds.dedup();
    kinds.join(" / ")
}

/// Where a record's inputs come from: those of one role from one maker.
#[derive(Clone, Debug, Default)]
struct Slot<'a> {
    maker: Option<&'a Record>,
    files: BTreeMap<String, Digest>,
}

impl Slot<'_> {
    fn digests(&self) -> Vec<&Digest> {
        self.files.values().collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SlotName {
    role: String,
    kind: Option<String>,
}

/// The inputs, grouped: `end_task/objective.json` and `end_task/train.safetensors` are both of `end_task`,
/// from an objective and from a tokenize stage.
fn slots<'a>(record: Option<&'a Record>, library: &'a Library) -> BTreeMap<SlotName, Slot<'a>> {
    let mut folders: BTreeMap<String, BTreeMap<String, Digest>> = BTreeMap::new();
    for (role, digest) in record.iter().flat_map(|record| &record.manifest.inputs) {
        let folder = role.rsplit_once('/').map_or(role.as_str(), |(folder, _)| folder);
        folders.entry(folder.to_owned()).or_default().insert(role.clone(), *digest);
    }
    let mut slots: BTreeMap<SlotName, Slot> = BTreeMap::new();
    for (folder, mut files) in folders {
        // An encoder and a tokenizer read the user's own files, which other stages may have copied.
        let own = record.is_some_and(|record| record.manifest.kind == "encoder") || folder == "source";
        while let Some(maker) = record.filter(|_| !own).and_then(|record| library.maker(&files, record)) {
            let (made, rest) = files.into_iter().partition(|(role, input)| has_made(maker, role, input));
            let name = SlotName { role: folder.clone(), kind: Some(maker.manifest.kind.clone()) };
            let slot = slots.entry(name).or_insert_with(|| Slot { maker: Some(maker), ..Slot::default() });
            slot.files.extend::<BTreeMap<_, _>>(made);
            files = rest;
        }
        for (role, digest) in files {
            let slot = Slot { maker: None, files: [(role.clone(), digest)].into() };
            slots.insert(SlotName { role, kind: None }, slot);
        }
    }
    slots
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
        let Some(bytes) = artifact(store, record, file)? else { continue };
        let value: Value = serde_json::from_slice(&bytes).map_err(|why| ReportError::Unreadable {
            stage: record.map(|record| record.provenance.stage.clone()).unwrap_or_default(),
            file: file.to_owned(),
            why: why.to_string(),
        })?;
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
mod tests {
    use super::*;
    use crate::action::Manifest;
    use crate::store::{Output, Provenance};
    use serde_json::json;

    /// A record of `kind` that read `inputs` and wrote `outputs`: pairs of a role and a content.
    fn record(
        name: &str,
        kind: &str,
        parameters: Value,
        inputs: &[(&str, &str)],
        outputs: &[(&str, &str)],
    ) -> Record {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let inputs = inputs.iter().map(|(role, text)| ((*role).to_owned(), digest(text))).collect();
        let manifest = Manifest { kind: kind.to_owned(), revision: 1, parameters, inputs };
        let output = |text: &str| Output { digest: digest(text), size: 1 };
        Record {
            key: manifest.key(),
            manifest,
            outputs: outputs.iter().map(|(file, text)| ((*file).to_owned(), output(text))).collect(),
            provenance: Provenance { stage: name.to_owned(), ..Provenance::default() },
        }
    }

    fn pair(name: &str, a: &str, b: &str) -> Pair {
        Pair { name: name.into(), a: Some(a.into()), b: Some(b.into()) }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a store");
        (folder, store)
    }

    const CONFIG: (&str, &str) = ("config.json", "config");

    fn encoder(name: &str, seed: u64) -> Record {
        let outputs = [CONFIG, ("model.safetensors", name)];
        record(name, "encoder", json!({"seed": seed}), &[CONFIG], &outputs)
    }

    fn train(name: &str, lr: f64, init: &str, auxiliary: &[&str]) -> Record {
        let mut inputs = vec![
            ("init/config.json".to_owned(), "config"),
            ("init/model.safetensors".to_owned(), init),
            ("end_task/objective.json".to_owned(), "end-task"),
        ];
        let objectives = auxiliary.iter().enumerate();
        inputs.extend(objectives.map(|(i, of)| (format!("auxiliary/{i}/objective.json"), *of)));
        let inputs: Vec<(&str, &str)> = inputs.iter().map(|(role, text)| (role.as_str(), *text)).collect();
        let outputs = [CONFIG, ("model.safetensors", name)];
        record(name, "train", json!({"body": {"lr": lr}, "seed": 1}), &inputs, &outputs)
    }

    fn test(name: &str, model: &str) -> Record {
        let inputs = [("model/config.json", "config"), ("model/model.safetensors", model)];
        record(name, "evaluate", json!({}), &inputs, &[])
    }

    #[test]
    fn what_differs_is_found_all_the_way_up() {
        let objective = |name: &str, mask: f64| {
            record(name, "objective", json!({"mlm": {"mask": mask}}), &[], &[("objective.json", name)])
        };
        let (a, b) = (test("test a", "one"), test("test b", "two"));
        let records = vec![
            encoder("e1", 1),
            encoder("e2", 2),
            objective("tapt", 0.15),
            objective("dapt", 0.2),
            objective("wide", 0.3),
            // Every model has the same configuration: the weights say who made it.
            train("one", 0.1, "e1", &["tapt", "dapt"]),
            train("two", 0.2, "e2", &["wide", "tapt"]),
            a.clone(),
            b.clone(),
        ];
        let library = Library::new(records, [(a.key, "test (seed=0)".to_owned())].into());
        let (_folder, store) = store();
        let sections = compare(&a, &b, &library, &store, false).expect("a comparison");
        let sides: Vec<_> =
            sections.iter().map(|s| (s.role.as_str(), s.a.as_deref(), s.b.as_deref())).collect();
        let expected = [
            ("", Some("test (seed=0)"), Some("test b")),
            ("model", Some("one"), Some("two")),
            // `tapt` is in both lists, if at other places: it is no difference.
            ("model › auxiliary/0", None, Some("wide")),
            ("model › auxiliary/1", Some("dapt"), None),
            ("model › init", Some("e1"), Some("e2")),
        ];
        assert_eq!(sides, expected);
        assert_eq!(sections[1].parameters, [pair("body.lr", "0.1", "0.2")]);
        assert_eq!(sections[4].parameters, [pair("seed", "1", "2")]);
        let all = compare(&a, &b, &library, &store, true).expect("a comparison");
        assert!(all[1].parameters.contains(&pair("seed", "1", "1")), "{all:?}");
        // The same result: nothing to say but its name.
        assert_eq!(compare(&a, &a, &library, &store, false).expect("a comparison").len(), 1);
    }

    #[test]
    fn a_trained_model_meets_an_encoder_without_a_list_of_parameters() {
        let (a, b) = (train("one", 0.1, "e1", &[]), train("two", 0.1, "one", &[]));
        let library = Library::new(vec![encoder("e1", 1), a.clone(), b.clone()], BTreeMap::new());
        let (_folder, store) = store();
        let sections = compare(&a, &b, &library, &store, false).expect("a comparison");
        assert_eq!((sections.len(), sections[1].kind.as_str()), (2, "encoder / train"), "{sections:?}");
        assert!(sections[1].parameters.is_empty());
    }

    #[test]
    fn a_users_files_differ_by_their_digests() {
        let tokens = |text: &str| {
            record(text, "tokenize", json!({}), &[("source/train", text)], &[("train.safetensors", text)])
        };
        let (a, b) = (tokens("x"), tokens("y"));
        // Another stage has written the very bytes of the user's file.
        let copy = record("copy", "export", json!({}), &[], &[("train", "x")]);
        let library = Library::new(vec![a.clone(), b.clone(), copy], BTreeMap::new());
        let (_folder, store) = store();
        let sections = compare(&a, &b, &library, &store, false).expect("a comparison");
        assert_eq!(sections.len(), 1);
        assert_eq!(sections[0].files[0].name, "source/train");
        assert_eq!(sections[0].files[0].a, Some(Digest::of(b"x").short()));
    }
}
