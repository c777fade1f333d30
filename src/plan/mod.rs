//! The plan: every stage that the targets need, once however many sweep points share it, and what each
//! reads. Pure: it is made from a [`Spec`](crate::spec::Spec) and digests, and touches no file.
//!
//! A stage's key needs the digests of its inputs' content, and those of a stage that has not run yet are
//! not known. So a plan gives keys as far as outputs are known ([`Plan::manifest`]), and whoever runs
//! it asks again as stages finish.

mod build;
mod checks;
mod outline;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use build::build;
pub use checks::{EncoderFacts, check_encoders, encoders, unneeded};
pub use outline::{Outline, outline};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::action::{Action, Checkpoint, Head, Manifest};
use crate::digest::Digest;

/// A node of a plan. Ids count up in an order in which every node comes after those it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Where a node finds an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The user's own file.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its path as the pipeline says it.
        name: String,
        /// Its content's digest when the plan was made.
        digest: Digest,
    },
    /// What another node makes.
    Output {
        /// The node.
        node: NodeId,
        /// The output's role.
        file: String,
    },
}

/// A stage to have: one action over one set of inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What to call it: the stage's name, with the sweep point where points do not share it.
    pub name: String,
    /// The stage's name in the pipeline; of a `fetch`, the end of its URL, which has a `/` as no stage's
    /// name has.
    pub stage: String,
    /// The sweep points that have it.
    pub points: Vec<usize>,
    /// What it does.
    pub action: Action,
    /// What it reads, by role.
    pub inputs: BTreeMap<String, Input>,
    /// What to call its objectives (see [`Request`](crate::action::Request)).
    pub objective_names: Vec<String>,
    /// Where a `fetch` finds its file, in the order to try.
    pub urls: Vec<String>,
    /// How often it leaves a checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Folders to which its outputs are copied (`export: {to: …}`).
    pub deliver_to: Vec<PathBuf>,
}

/// Every stage that the targets need.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// For each sweep point, the node of each stage that is needed there.
    pub points: Vec<BTreeMap<String, NodeId>>,
    graph: DiGraph<Node, ()>,
    /// Of each node, where it is known: nodes of one action share it.
    heads: Vec<Option<Arc<Head>>>,
}

impl Plan {
    /// An empty plan of the pipeline.
    pub fn new(pipeline: &str) -> Self {
        Self { pipeline: pipeline.to_owned(), points: vec![], graph: DiGraph::new(), heads: vec![] }
    }

    /// Adds a node. Every node it reads from must be there already.
    pub fn add(&mut self, node: Node) -> NodeId {
        self.add_headed(node, None)
    }

    /// [`add`](Self::add), where the head of the node's manifest is known.
    fn add_headed(&mut self, node: Node, head: Option<Arc<Head>>) -> NodeId {
        let needs: BTreeSet<NodeId> = node
            .inputs
            .values()
            .filter_map(|input| match input {
                Input::Output { node, .. } => Some(*node),
                Input::File { .. } => None,
            })
            .collect();
        let index = self.graph.add_node(node);
        for need in needs {
            self.graph.add_edge(NodeIndex::new(need.0), index, ());
        }
        self.heads.push(head);
        NodeId(index.index())
    }

    /// Every node, each after those it needs.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.graph.node_count()).map(NodeId)
    }

    /// How many nodes.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there is nothing to have.
    pub fn is_empty(&self) -> bool {
        self.graph.node_count() == 0
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.graph[NodeIndex::new(id.0)]
    }

    /// A node, to change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.heads[id.0] = None;
        self.weight_mut(id)
    }

    /// A node, to change in all but its action.
    fn weight_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.graph[NodeIndex::new(id.0)]
    }

    /// The nodes that `id` reads from, in the order of their ids.
    pub fn needs(&self, id: NodeId) -> Vec<NodeId> {
        self.neighbours(id, Direction::Incoming)
    }

    /// The nodes that read from `id`, in the order of their ids.
    pub fn dependents(&self, id: NodeId) -> Vec<NodeId> {
        self.neighbours(id, Direction::Outgoing)
    }

    /// The node's manifest, once every output that it reads is known: `made` gives the digest of a node's
    /// output by its role. An output that its maker did not make counts as unknown.
    pub fn manifest(&self, id: NodeId, made: impl Fn(NodeId, &str) -> Option<Digest>) -> Option<Manifest> {
        let inputs = self.inputs(id, made).map(|input| input.map(|(role, digest)| (role.to_owned(), digest)));
        Some(Manifest::new(&self.node(id).action, inputs.collect::<Option<_>>()?))
    }

    /// The key of the node's [`manifest`](Self::manifest).
    pub fn key(&self, id: NodeId, made: impl Fn(NodeId, &str) -> Option<Digest>) -> Option<Digest> {
        let inputs: Vec<(&str, Digest)> = self.inputs(id, made).collect::<Option<_>>()?;
        let inputs = inputs.into_iter();
        Some(match &self.heads[id.0] {
            Some(head) => head.key(inputs),
            None => Head::new(&self.node(id).action).key(inputs),
        })
    }

    /// The digests of the node's inputs, in the order of their roles.
    fn inputs(
        &self,
        id: NodeId,
        made: impl Fn(NodeId, &str) -> Option<Digest>,
    ) -> impl Iterator<Item = Option<(&str, Digest)>> {
        self.node(id).inputs.iter().map(move |(role, input)| {
            let digest = match input {
                Input::File { digest, .. } => Some(*digest),
                Input::Output { node, file } => made(*node, file),
            };
            digest.map(|digest| (role.as_str(), digest))
        })
    }

    fn neighbours(&self, id: NodeId, direction: Direction) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self
            .graph
            .neighbors_directed(NodeIndex::new(id.0), direction)
            .map(|index| NodeId(index.index()))
            .collect();
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
mod tests;
