//! The plan: every stage that the targets need, once however many sweep points share it, and what each
//! reads. Pure: it is made from a [`Spec`](crate::spec::Spec) and digests, and touches no file.
//!
//! A stage's key needs the digests of its inputs' content, and those of a stage that has not run yet are
//! not known. So a plan gives keys as far as outputs are known ([`Plan::manifest`]), and whoever runs
//! it asks again as stages finish.

mod build;
mod checks;
mod folders;
mod made;
mod outline;
mod shown;
mod targets;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use build::build;
pub use checks::{EncoderFacts, check_encoders, encoders, unneeded};
pub use outline::{Outline, outline};
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::action::{Action, Checkpoint, Head, Manifest, Means};
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
    /// All that another node makes under a folder, each file with a role of its own: `a/b` for `b` of the
    /// folder where this stands as `a`.
    Folder {
        /// The node.
        node: NodeId,
        /// The folder, with a `/` at its end; empty for all that there is.
        folder: String,
    },
}

impl Input {
    /// The node that makes it.
    pub fn maker(&self) -> Option<NodeId> {
        match self {
            Self::File { .. } => None,
            Self::Output { node, .. } | Self::Folder { node, .. } => Some(*node),
        }
    }
}

/// A stage to have: one action over one set of inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What to call it: the stage's name, with the sweep point where points do not share it.
    pub name: String,
    /// The stage's name in the pipeline; of a `fetch`, the end of its URL, or the repository of the hub, which
    /// has a `/` as no stage's name has.
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
    /// Of a `fetch` from the hub, the revision whose commit is not known yet. Until it is, there is no key.
    pub unresolved: Option<String>,
    /// How often it leaves a checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// By what means a `command` runs.
    pub means: Means,
    /// Folders to which its outputs are copied (`export: {to: …}`).
    pub deliver_to: Vec<PathBuf>,
}

impl Node {
    /// Where the file of a role comes from: a single file, also where the role stands for one of a folder.
    pub fn source(&self, role: &str) -> Option<Input> {
        match self.inputs.get(role) {
            Some(Input::Folder { .. }) => None,
            Some(input) => Some(input.clone()),
            None => self.inputs.iter().find_map(|(whole, input)| match input {
                Input::Folder { node, folder } => {
                    let rest = role.strip_prefix(whole)?.strip_prefix('/')?;
                    Some(Input::Output { node: *node, file: format!("{folder}{rest}") })
                }
                _ => None,
            }),
        }
    }

    /// Whether it wants a GPU where there is one.
    pub fn wants_gpu(&self) -> bool {
        self.action.wants_gpu() || self.means.gpu
    }
}

/// Every stage that the targets need.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// For each sweep point, the node of each stage that is needed there.
    pub points: Vec<BTreeMap<String, NodeId>>,
    // Boxed, so that the graph grows without moving them.
    graph: DiGraph<Box<Node>, ()>,
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
        let needs: BTreeSet<NodeId> = node.inputs.values().filter_map(Input::maker).collect();
        let index = self.graph.add_node(Box::new(node));
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

    /// The node's manifest, once every output that it reads is known: `made` gives what a node that is done has
    /// made, by role. An output that its maker did not make counts as unknown, and so does the commit of a revision
    /// of the hub that nobody has asked for.
    pub fn manifest<'a, O: AsRef<Digest> + 'a>(
        &self,
        id: NodeId,
        made: impl Fn(NodeId) -> Option<&'a BTreeMap<String, O>>,
    ) -> Option<Manifest> {
        let inputs = self.inputs(id, made)?.into_iter().map(|(role, digest)| (role.into_owned(), digest));
        Some(Manifest::new(&self.node(id).action, inputs.collect()))
    }

    /// The key of the node's [`manifest`](Self::manifest).
    pub fn key<'a, O: AsRef<Digest> + 'a>(
        &self,
        id: NodeId,
        made: impl Fn(NodeId) -> Option<&'a BTreeMap<String, O>>,
    ) -> Option<Digest> {
        let inputs = self.inputs(id, made)?;
        let inputs = inputs.iter().map(|(role, digest)| (role.as_ref(), *digest));
        Some(match &self.heads[id.0] {
            Some(head) => head.key(inputs),
            None => Head::new(&self.node(id).action).key(inputs),
        })
    }

    /// The digests of the node's inputs, in the order of their roles.
    fn inputs<'a, O: AsRef<Digest> + 'a>(
        &self,
        id: NodeId,
        made: impl Fn(NodeId) -> Option<&'a BTreeMap<String, O>>,
    ) -> Option<Vec<(Cow<'_, str>, Digest)>> {
        let Node { inputs, unresolved, .. } = self.node(id);
        if unresolved.is_some() {
            return None;
        }
        let mut found = Vec::with_capacity(inputs.len());
        let mut in_order = true;
        for (role, input) in inputs {
            match input {
                Input::File { digest, .. } => found.push((Cow::from(role), *digest)),
                Input::Output { node, file } => {
                    found.push((Cow::from(role), *made(*node)?.get(file)?.as_ref()));
                }
                Input::Folder { node, folder } => {
                    let before = found.len();
                    found.extend(made(*node)?.iter().filter_map(|(file, output)| {
                        let file = file.strip_prefix(folder.as_str())?;
                        Some((Cow::from(format!("{role}/{file}")), *output.as_ref()))
                    }));
                    if found.len() == before {
                        return None;
                    }
                    // `a/b` comes after `a-c`, which comes after `a`.
                    in_order = false;
                }
            }
        }
        if !in_order {
            found.sort();
        }
        Some(found)
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
