//! What is up to date, as far as it can be told without running anything.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::action::Manifest;
use crate::digest::Digest;
use crate::plan::{Node, NodeId, Plan};
use crate::store::{Artifacts, Output, Store, StoreError};

/// How a node stands.
#[derive(Clone, Debug)]
pub enum NodeStatus {
    /// Its result is in the store.
    Cached(Artifacts),
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

    /// What a node made, where its result is in the store.
    fn made(&self, id: NodeId) -> Option<&BTreeMap<String, Output>> {
        match self.node(id) {
            NodeStatus::Cached(artifacts) => Some(&artifacts.outputs),
            _ => None,
        }
    }
}

/// Looks the whole plan up in the store without running anything. Nodes go level by level, each level in
/// one look-up. Nodes of the stages in `force` count as not recorded.
pub fn known(plan: &Plan, store: &Store, force: &BTreeSet<String>) -> Result<Status, StoreError> {
    let mut missing: Vec<usize> = plan.ids().map(|id| plan.needs(id).len()).collect();
    let mut status = Status { nodes: plan.ids().map(|_| NodeStatus::Waits(vec![])).collect() };
    let mut level: Vec<NodeId> = plan.ids().filter(|id| missing[id.0] == 0).collect();
    while !level.is_empty() {
        let mut next = vec![];
        for (id, found) in look(plan, store, |id| status.made(id), &level)? {
            status.nodes[id.0] = match found {
                Found::Cached(artifacts) if !forced(plan.node(id), force) => {
                    for dependent in plan.dependents(id) {
                        missing[dependent.0] -= 1;
                        if missing[dependent.0] == 0 {
                            next.push(dependent);
                        }
                    }
                    NodeStatus::Cached(artifacts)
                }
                Found::Cached(_) | Found::Nothing => {
                    let manifest = plan.manifest(id, |id| status.made(id));
                    manifest.map_or(NodeStatus::Waits(vec![]), NodeStatus::Run)
                }
                Found::Unknown => NodeStatus::Waits(vec![]),
            };
        }
        level = next;
    }
    for id in plan.ids() {
        if matches!(status.node(id), NodeStatus::Waits(_)) {
            // A node whose needs are all known waits for an output that its maker did not make.
            let needs = plan.needs(id);
            let is_known = |need: &NodeId| matches!(status.node(*need), NodeStatus::Cached(_));
            let unknown: Vec<NodeId> = needs.iter().copied().filter(|need| !is_known(need)).collect();
            status.nodes[id.0] = NodeStatus::Waits(if unknown.is_empty() { needs } else { unknown });
        }
    }
    Ok(status)
}

/// What the store knows of a node.
pub(super) enum Found {
    /// What its key made.
    Cached(Artifacts),
    /// Its key has no result.
    Nothing,
    /// It has no key, because its makers did not make an output that it reads.
    Unknown,
}

/// Looks nodes up, all of whose needs are done; `made` gives what a node made.
pub(super) fn look<'a>(
    plan: &Plan,
    store: &Store,
    made: impl Fn(NodeId) -> Option<&'a BTreeMap<String, Output>> + Sync,
    ids: &[NodeId],
) -> Result<Vec<(NodeId, Found)>, StoreError> {
    let keys: Vec<Option<Digest>> = ids.par_iter().map(|&id| plan.key(id, &made)).collect();
    let known: Vec<Digest> = keys.iter().flatten().copied().collect();
    let mut artifacts = store.look_up(&known)?.into_iter();
    let found = keys.into_iter().map(|key| match key {
        Some(_) => artifacts.next().flatten().map_or(Found::Nothing, Found::Cached),
        None => Found::Unknown,
    });
    Ok(ids.iter().copied().zip(found).collect())
}

/// Whether the user wants the node to run whatever is recorded.
pub(super) fn forced(node: &Node, force: &BTreeSet<String>) -> bool {
    force.contains(&node.stage) || force.contains(&node.name)
}
