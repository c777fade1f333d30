//! What is up to date, as far as it can be told without running anything.

use std::collections::BTreeSet;

use crate::action::Manifest;
use crate::plan::{Node, NodeId, Outputs, Plan};
use crate::store::{Record, Store, StoreError};

/// How a node stands.
#[derive(Clone, Debug)]
pub enum NodeStatus {
    /// Its result is in the store.
    Cached(Box<Record>),
    /// Its key is known, and has no result yet (or the node is forced): it would run.
    Run(Manifest),
    /// Its key depends on the outputs of these nodes, which are not known yet.
    Waits(Vec<NodeId>),
}

/// How every node stands, by its id.
#[derive(Clone, Debug, Default)]
pub struct Status {
    nodes: Vec<NodeStatus>,
}

impl Status {
    /// How a node stands.
    pub fn node(&self, id: NodeId) -> &NodeStatus {
        &self.nodes[id.0]
    }

    /// Every node with how it stands, each after those it needs.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &NodeStatus)> {
        self.nodes.iter().enumerate().map(|(at, status)| (NodeId(at), status))
    }

    /// How many nodes are up to date.
    pub fn cached(&self) -> usize {
        self.nodes.iter().filter(|status| matches!(status, NodeStatus::Cached(_))).count()
    }

    pub(super) fn into_nodes(self) -> Vec<NodeStatus> {
        self.nodes
    }
}

/// Looks the whole plan up in the store without running anything. Nodes go level by level, each level in
/// one look-up. Nodes of the stages in `force` count as not recorded.
pub fn known(plan: &Plan, store: &Store, force: &BTreeSet<String>) -> Result<Status, StoreError> {
    let mut outputs = Outputs::new();
    let mut missing: Vec<usize> = plan.ids().map(|id| plan.needs(id).len()).collect();
    let mut nodes: Vec<NodeStatus> = plan.ids().map(|_| NodeStatus::Waits(vec![])).collect();
    let mut level: Vec<NodeId> = plan.ids().filter(|id| missing[id.0] == 0).collect();
    while !level.is_empty() {
        let mut next = vec![];
        for (id, found) in look(plan, store, &outputs, &level)? {
            nodes[id.0] = match found {
                Found { record: Some(record), .. } if !forced(plan.node(id), force) => {
                    outputs.insert(id, digests(&record));
                    for dependent in plan.dependents(id) {
                        missing[dependent.0] -= 1;
                        if missing[dependent.0] == 0 {
                            next.push(dependent);
                        }
                    }
                    NodeStatus::Cached(Box::new(record))
                }
                Found { manifest: Some(manifest), .. } => NodeStatus::Run(manifest),
                Found { manifest: None, .. } => NodeStatus::Waits(vec![]),
            };
        }
        level = next;
    }
    for id in plan.ids() {
        if let NodeStatus::Waits(on) = &mut nodes[id.0] {
            // A node whose needs are all known waits for an output that its maker did not make.
            let needs = plan.needs(id);
            let unknown: Vec<NodeId> =
                needs.iter().copied().filter(|need| !outputs.contains_key(need)).collect();
            *on = if unknown.is_empty() { needs } else { unknown };
        }
    }
    Ok(Status { nodes })
}

/// What the store knows of a node.
pub(super) struct Found {
    /// Absent where its makers did not make an output that it reads.
    pub(super) manifest: Option<Manifest>,
    pub(super) record: Option<Record>,
}

/// Looks nodes up, all of whose needs are in `outputs`.
pub(super) fn look(
    plan: &Plan,
    store: &Store,
    outputs: &Outputs,
    ids: &[NodeId],
) -> Result<Vec<(NodeId, Found)>, StoreError> {
    let manifests: Vec<(NodeId, Option<Manifest>)> =
        ids.iter().map(|&id| (id, plan.manifest(id, outputs))).collect();
    let keys: Vec<_> = manifests.iter().filter_map(|(_, manifest)| Some(manifest.as_ref()?.key())).collect();
    let mut records = store.records(&keys)?.into_iter();
    Ok(manifests
        .into_iter()
        .map(|(id, manifest)| {
            let record = if manifest.is_some() { records.next().flatten() } else { None };
            (id, Found { manifest, record })
        })
        .collect())
}

/// The digests of a record's outputs, by role.
pub(super) fn digests(record: &Record) -> std::collections::BTreeMap<String, crate::digest::Digest> {
    record.outputs.iter().map(|(role, output)| (role.clone(), output.digest)).collect()
}

/// Whether the user wants the node to run whatever is recorded.
pub(super) fn forced(node: &Node, force: &BTreeSet<String>) -> bool {
    force.contains(&node.stage) || force.contains(&node.name)
}
