//! Who made what a result was made from.
//!
//! A plan says which node each input comes from. What is none of its results knows only the content of what it
//! read: who made that is found among all records, and there may be several.

use std::collections::{BTreeMap, BTreeSet};

use crate::action::roles;
use crate::digest::Digest;
use crate::plan::{Input, NodeId, Plan};
use crate::store::Record;

/// A result, and which of the plan's it is: nodes that come to the same key share a record, and are made from
/// what other nodes made.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Its record.
    pub record: &'a Record,
    /// Its node, where it is a result of the plan.
    pub node: Option<NodeId>,
}

/// Every record, and who made what.
#[derive(Debug, Default)]
pub struct Library<'a> {
    records: BTreeMap<Digest, Record>,
    makers: BTreeMap<Digest, Vec<Digest>>,
    plan: Option<&'a Plan>,
    keys: BTreeMap<NodeId, Digest>,
    nodes: BTreeMap<Digest, NodeId>,
}

/// Where some of a result's inputs come from: those of one role from one maker.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot<'a> {
    /// Who made them; none for the user's own files.
    pub(super) maker: Option<Made<'a>>,
    /// Who else made the same bytes, where nothing says whose were read.
    pub(super) others: Vec<Made<'a>>,
    /// The digests by role.
    pub(super) files: BTreeMap<String, Digest>,
}

impl Slot<'_> {
    pub(super) fn digests(&self) -> Vec<&Digest> {
        self.files.values().collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotName {
    pub(super) role: String,
    pub(super) kind: Option<String>,
}

impl<'a> Library<'a> {
    /// All records of a store.
    pub fn new(records: Vec<Record>) -> Self {
        let mut makers: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for record in &records {
            for output in record.outputs.values() {
                makers.entry(output.digest).or_default().push(record.key);
            }
        }
        let records = records.into_iter().map(|record| (record.key, record)).collect();
        Self { records, makers, ..Self::default() }
    }

    /// The same with a plan, and the keys of those of its nodes that have a result.
    #[must_use]
    pub fn with_plan(self, plan: &'a Plan, keys: BTreeMap<NodeId, Digest>) -> Self {
        // Of several nodes with one key, it is called as the first.
        let nodes = keys.iter().rev().map(|(id, key)| (*key, *id)).collect();
        Self { plan: Some(plan), keys, nodes, ..self }
    }

    /// The records whose keys begin so.
    pub fn with_prefix(&self, prefix: &str) -> Vec<Made<'_>> {
        let records = self.records.values().filter(|record| record.key.hex().starts_with(prefix));
        records.map(|record| self.made(record)).collect()
    }

    /// A node's result; none where there is none.
    pub fn of_node(&self, id: NodeId) -> Option<Made<'_>> {
        let record = self.records.get(self.keys.get(&id)?)?;
        Some(Made { record, node: Some(id) })
    }

    /// What to call a result: as the plan does, else as it was when it was made.
    pub fn name(&self, made: Made) -> String {
        match self.plan.zip(made.node) {
            Some((plan, id)) => plan.node(id).name.clone(),
            None => made.record.provenance.stage.clone(),
        }
    }

    fn made<'b>(&self, record: &'b Record) -> Made<'b> {
        Made { record, node: self.nodes.get(&record.key).copied() }
    }

    /// The inputs of a result, grouped: `end_task/objective.json` and `end_task/train.safetensors` are both of
    /// `end_task`, from an objective and from a tokenize stage.
    pub(super) fn slots(&self, of: Made) -> BTreeMap<SlotName, Slot<'_>> {
        match self.plan.zip(of.node) {
            Some((plan, id)) => self.planned_slots(of.record, plan, id),
            None => self.slots_by_content(of.record),
        }
    }

    fn planned_slots(&self, record: &Record, plan: &Plan, id: NodeId) -> BTreeMap<SlotName, Slot<'_>> {
        let mut slots = BTreeMap::new();
        for (role, digest) in &record.manifest.inputs {
            let maker = match plan.node(id).source(role) {
                // What was fetched is the user's own file, wherever it lay.
                Some(Input::Output { node, .. }) if plan.node(node).action.kind() != "fetch" => {
                    self.of_node(node)
                }
                _ => None,
            };
            put(&mut slots, role, *digest, maker, &[]);
        }
        slots
    }

    fn slots_by_content(&self, record: &Record) -> BTreeMap<SlotName, Slot<'_>> {
        let mut folders: BTreeMap<&str, BTreeMap<String, Digest>> = BTreeMap::new();
        for (role, digest) in &record.manifest.inputs {
            folders.entry(folder_and_file(role).0).or_default().insert(role.clone(), *digest);
        }
        let mut slots = BTreeMap::new();
        for (folder, mut files) in folders {
            // An encoder, a tokenizer and a command read the user's own files, which other stages may have copied.
            let own = ["encoder", "command"].contains(&record.manifest.kind.as_str()) || folder == "source";
            while let Some((maker, others)) =
                (!own).then(|| self.makers_of(&files, record)).and_then(|found| split_first(&found))
            {
                let (made, rest): (BTreeMap<_, _>, _) =
                    files.into_iter().partition(|(role, input)| has_made(maker.record, role, input));
                for (role, digest) in made {
                    put(&mut slots, &role, digest, Some(maker), &others);
                }
                files = rest;
            }
            for (role, digest) in files {
                put(&mut slots, &role, digest, None, &[]);
            }
        }
        slots
    }

    /// Who may have made some of these inputs of `of`, the likeliest first: who made most of them, for some
    /// files (a configuration) are the same bytes whoever makes them; of those one of the same pipeline that
    /// is not younger. A stage that kept what it began with has the bytes of its init: a test reads the end of
    /// such a chain, and another training its start. Last, the youngest.
    fn makers_of(&self, inputs: &BTreeMap<String, Digest>, of: &Record) -> Vec<Made<'_>> {
        let keys: BTreeSet<&Digest> =
            inputs.values().filter_map(|input| self.makers.get(input)).flatten().collect();
        let count =
            |maker: &Record| inputs.iter().filter(|(role, input)| has_made(maker, role, input)).count();
        let mut makers: Vec<(usize, &Record)> = keys
            .into_iter()
            .filter_map(|key| self.records.get(key))
            .filter(|maker| maker.key != of.key)
            .map(|maker| (count(maker), maker))
            .filter(|(made, _)| *made > 0)
            .collect();
        let most = makers.iter().map(|(made, _)| *made).max().unwrap_or_default();
        makers.retain(|(made, _)| *made == most);
        let reads_the_end = of.manifest.kind == "evaluate" || of.manifest.kind == "export";
        makers.sort_by_key(|(_, maker)| {
            let started = maker.provenance.started;
            let before = started <= of.provenance.started;
            let passes_on = maker.manifest.inputs.values().any(|read| {
                inputs
                    .iter()
                    .any(|(role, input)| read == input && has_made(maker, role, input) && is_weights(role))
            });
            std::cmp::Reverse((
                maker.provenance.pipeline == of.provenance.pipeline,
                before,
                passes_on == reads_the_end,
                if before { started } else { u64::MAX - started },
                maker.key,
            ))
        });
        makers.into_iter().map(|(_, maker)| self.made(maker)).collect()
    }
}

fn split_first<'a>(found: &[Made<'a>]) -> Option<(Made<'a>, Vec<Made<'a>>)> {
    found.split_first().map(|(first, rest)| (*first, rest.to_vec()))
}

/// Puts an input where it belongs: with what else its maker made for the folder, or alone.
fn put<'a>(
    slots: &mut BTreeMap<SlotName, Slot<'a>>,
    role: &str,
    digest: Digest,
    maker: Option<Made<'a>>,
    others: &[Made<'a>],
) {
    let name = match maker {
        Some(maker) => SlotName {
            role: folder_and_file(role).0.to_owned(),
            kind: Some(maker.record.manifest.kind.clone()),
        },
        None => SlotName { role: role.to_owned(), kind: None },
    };
    let slot =
        slots.entry(name).or_insert_with(|| Slot { maker, others: others.to_vec(), ..Slot::default() });
    slot.files.insert(role.to_owned(), digest);
}

/// `init/config.json` as `init` and `config.json`; an input without a folder is its own.
fn folder_and_file(role: &str) -> (&str, &str) {
    role.rsplit_once('/').unwrap_or((role, role))
}

fn is_weights(role: &str) -> bool {
    folder_and_file(role).1 == roles::WEIGHTS
}

/// Whether a record made the input in a role: its kind is one that the role reads, and an input is called in
/// its folder as its maker calls it.
fn has_made(maker: &Record, role: &str, input: &Digest) -> bool {
    let (folder, file) = folder_and_file(role);
    let kinds: &[&str] = match (folder, file) {
        ("init" | "model", _) => &["encoder", "train", "learn-weights"],
        ("weights", _) => &["learn-weights"],
        (_, roles::OBJECTIVE) => &["objective"],
        (_, roles::TOKENIZER | roles::VOCABULARY) => &["encoder"],
        _ => &["tokenize"],
    };
    kinds.contains(&maker.manifest.kind.as_str())
        && maker.outputs.get(file).is_some_and(|output| output.digest == *input)
}
