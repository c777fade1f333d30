//! From an outline and the files' digests to the plan.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::checks::{check_empty_splits, check_test_splits};
use super::folders::check_folders;
use super::outline::{Outline, encoder_files, hub_files};
use super::{Input, Node, NodeId, Plan};
use crate::action::{Action, Checkpoint, Export, Fetch, Head, HubFiles, Means, Pin, roles};
use crate::diag::{Code, Diagnostic};
use crate::digest::{Digest, Encoding};
use crate::spec::{
    Block, CommandBlock, HubSource, ModelSource, Point, Ref, Remote, Source, Spec, SplitFile, SplitSource,
    Stages,
};

/// Builds the plan. `digests` holds every file of [`Outline::files`]; a file that it lacks is a fault of
/// the caller and leaves the stage out. Stages that do the same with the same inputs become one node,
/// whatever their names and sweep points.
pub fn build(
    outline: &Outline,
    digests: &BTreeMap<PathBuf, Digest>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Plan {
    let mut builder = Builder {
        spec: outline.spec,
        digests,
        commits: &outline.commits,
        plan: Plan::new(&outline.spec.name),
        heads: BTreeMap::new(),
        by_recipe: BTreeMap::new(),
        by_tokenizer: BTreeMap::new(),
        of_tokenizer: BTreeMap::new(),
        folders: BTreeMap::new(),
    };
    for ((index, point), needed) in outline.spec.points.iter().enumerate().zip(&outline.needed) {
        let count = point.stages.len();
        let mut here = Here { stages: &point.stages, nodes: vec![None; count], encoders: vec![None; count] };
        for &position in needed {
            here.encoders[position] = here.encoder_of(position);
            here.nodes[position] = builder.add(index, position, &here, diagnostics);
        }
        let nodes = here.nodes.iter().enumerate().filter_map(|(position, id)| {
            let (name, _) = point.stages.at(position);
            Some((name.to_owned(), (*id)?))
        });
        builder.plan.points.push(nodes.collect());
    }
    let Builder { mut plan, folders, .. } = builder;
    name_nodes(&mut plan, outline.spec);
    check_folders(&folders, &plan, outline.spec, digests, diagnostics);
    check_empty_splits(outline, digests, diagnostics);
    check_test_splits(outline, digests, diagnostics);
    plan
}

struct Builder<'a> {
    spec: &'a Spec,
    digests: &'a BTreeMap<PathBuf, Digest>,
    commits: &'a BTreeMap<(String, String), String>,
    plan: Plan,
    /// The head of each block's action, and its digest. Points share blocks.
    heads: BTreeMap<*const Block, (Arc<Head>, Digest)>,
    /// Nodes by their recipe: what they do and what all that they need does, down to the files.
    by_recipe: BTreeMap<Digest, NodeId>,
    /// The first encoder with each tokenizer, and of every encoder the first one with its tokenizer.
    by_tokenizer: BTreeMap<Digest, NodeId>,
    of_tokenizer: BTreeMap<NodeId, NodeId>,
    /// The folders that results are copied to, with the nodes they come from and where that is said.
    folders: BTreeMap<PathBuf, Vec<(NodeId, &'a Source)>>,
}

/// The stages of a sweep point, and the nodes of those that are in the plan already.
struct Here<'a> {
    stages: &'a Stages,
    nodes: Vec<Option<NodeId>>,
    /// The place of the encoder that each of them comes from: the one that a model was at first, or whose
    /// tokenizer made the tokens.
    encoders: Vec<Option<usize>>,
}

impl<'a> Here<'a> {
    fn node(&self, of: &Ref) -> Option<NodeId> {
        self.nodes[self.stages.position(&of.stage)?]
    }

    fn block(&self, of: &Ref) -> Option<&'a Block> {
        self.stages.get(&of.stage)
    }

    /// The encoder that a stage comes from.
    fn encoder(&self, of: &Ref) -> Option<usize> {
        self.encoders[self.stages.position(&of.stage)?]
    }

    fn encoder_of(&self, position: usize) -> Option<usize> {
        match &**self.stages.at(position).1 {
            Block::Encoder { .. } => Some(position),
            Block::Tokenize { tokenizer: of, .. }
            | Block::Objective { data: of, .. }
            | Block::Train { init: of, .. } => self.encoder(of),
            Block::Evaluate { .. } | Block::Export { .. } | Block::Command(_) | Block::Broken(_) => None,
        }
    }
}

impl<'a> Builder<'a> {
    fn add(
        &mut self,
        index: usize,
        position: usize,
        here: &Here,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<NodeId> {
        let point: &'a Point = &self.spec.points[index];
        let (name, shared) = point.stages.at(position);
        let block: &'a Block = shared;
        let mut inputs = Inputs { here, found: BTreeMap::new(), complete: true };
        let mut objective_names = vec![];
        let mut checkpoint = None;
        let mut means = Means::default();
        let mut deliver_to: Option<&Source> = None;
        match block {
            Block::Broken(_) => return None,
            Block::Encoder { from, action } => {
                self.encoder(index, from, encoder_files(action), &mut inputs);
            }
            Block::Tokenize { tokenizer, splits, sample_of, .. } => {
                inputs.output(roles::TOKENIZER, tokenizer, roles::TOKENIZER);
                inputs.output(roles::VOCABULARY, tokenizer, roles::VOCABULARY);
                self.splits(index, splits, &mut inputs);
                if let Some(of) = sample_of {
                    inputs.output("sample/sizes.json", of, roles::SIZES);
                }
            }
            Block::Objective { data, .. } => {
                inputs.output("data/sizes.json", data, roles::SIZES);
                inputs.output("data/labels.json", data, roles::LABELS);
                inputs.made("data/vocabulary.json", inputs.of_encoder(data), roles::VOCABULARY);
            }
            Block::Train { init, end_task, auxiliary, weights_from, checkpoint: every, .. } => {
                checkpoint = *every;
                inputs.model("init", init);
                if let Some(end_task) = end_task {
                    inputs.objective("end_task", end_task, true);
                }
                for (i, objective) in auxiliary.iter().enumerate() {
                    inputs.objective(&format!("auxiliary/{i}"), objective, false);
                }
                for objective in end_task.iter().chain(auxiliary) {
                    self.check_tokenizer(here, init, objective, diagnostics);
                }
                objective_names.extend(end_task.iter().chain(auxiliary).map(|of| of.stage.clone()));
                if let Some(from) = weights_from {
                    inputs.output(&format!("weights/{}", roles::WEIGHTS_LOG), from, roles::WEIGHTS_LOG);
                }
            }
            Block::Evaluate { model, data, action, .. } => {
                inputs.model("model", model);
                let split = roles::split(&action.split);
                inputs.output(&format!("data/{split}"), data, &split);
                inputs.output("data/labels.json", data, roles::LABELS);
                inputs.made("data/vocabulary.json", inputs.of_encoder(data), roles::VOCABULARY);
            }
            Block::Export { model, to } => {
                inputs.model("model", model);
                let encoder = inputs.of_encoder(model);
                inputs.made(roles::TOKENIZER, encoder, roles::TOKENIZER);
                inputs.made(roles::VOCABULARY, encoder, roles::VOCABULARY);
                deliver_to = to.as_ref();
            }
            Block::Command(command) => {
                self.command(index, command, &mut inputs);
                means = command.means.clone();
            }
        }
        if !inputs.complete {
            return None;
        }
        let inputs = inputs.found;
        // Points share blocks and nodes, and what a command is given may be large: it is copied for a new node alone.
        let head = if let Some(known) = self.heads.get(&std::ptr::from_ref(block)) {
            known.clone()
        } else {
            let head = headed(&action(block)?);
            self.heads.entry(std::ptr::from_ref(block)).or_insert(head).clone()
        };
        let recipe = self.recipe(head.1, &inputs);
        let id = if let Some(id) = self.known(recipe, &means) {
            id
        } else {
            let node = bare(name.to_owned(), name.to_owned(), action(block)?);
            self.add_new(recipe, Node { inputs, objective_names, means, ..node }, head.0)
        };
        self.stands_at(index, id, checkpoint);
        if let Some(to) = deliver_to {
            self.deliver(id, to);
        }
        Some(id)
    }

    /// The files of a tokenize stage's splits.
    fn splits(&mut self, index: usize, splits: &'a BTreeMap<String, SplitSource>, inputs: &mut Inputs) {
        for (split, source) in splits {
            let files = source.files();
            for (place, file) in files.iter().enumerate() {
                let place = (files.len() > 1).then_some(place);
                self.source(index, &roles::source(split, place), file, inputs);
            }
        }
    }

    /// The node of a recipe, if it is in the plan.
    fn known(&mut self, recipe: Digest, means: &Means) -> Option<NodeId> {
        let id = *self.by_recipe.get(&recipe)?;
        self.plan.weight_mut(id).means.join(means);
        Some(id)
    }

    fn add_new(&mut self, recipe: Digest, node: Node, head: Arc<Head>) -> NodeId {
        let id = self.plan.add_headed(node, Some(head));
        self.by_recipe.insert(recipe, id);
        self.note_tokenizer(id);
        id
    }

    /// Notes that a sweep point has a node.
    fn stands_at(&mut self, index: usize, id: NodeId, checkpoint: Option<Checkpoint>) {
        let node = self.plan.weight_mut(id);
        node.checkpoint = node.checkpoint.or(checkpoint);
        if node.points.last() != Some(&index) {
            node.points.push(index);
        }
    }

    /// The files of an encoder.
    fn encoder(&mut self, index: usize, from: &ModelSource, files: &[&str], inputs: &mut Inputs) {
        match from {
            ModelSource::Folder(folder) => {
                for file in files {
                    let said = format!("{}/{file}", folder.name.trim_end_matches('/'));
                    inputs.file(file, &folder.path.join(file), &said, self.digests);
                }
            }
            ModelSource::Made(made) => {
                for file in files {
                    inputs.output(file, &made.stage, &format!("{}{file}", made.file));
                }
            }
            ModelSource::Hub(source) => {
                let node = self.fetch_hub(index, source, hub_files(source, files));
                for file in files {
                    inputs.made(file, Some(node), file);
                }
            }
        }
    }

    /// What a command reads: its programs, and what is in its folder.
    fn command(&mut self, index: usize, command: &CommandBlock, inputs: &mut Inputs) {
        for (role, program) in &command.programs {
            inputs.file(role, &program.path, &program.name, self.digests);
        }
        for (name, file) in &command.inputs {
            self.source(index, &roles::input(name), file, inputs);
        }
    }

    /// What stands in a role: a file of the user's, one to fetch, or what another stage makes.
    fn source(&mut self, index: usize, role: &str, file: &SplitFile, inputs: &mut Inputs) {
        match file {
            SplitFile::Local(Source { path, name, .. }) => inputs.file(role, path, name, self.digests),
            SplitFile::Remote(remote) => {
                let node = self.fetch(index, remote);
                inputs.made(role, Some(node), roles::FETCHED);
            }
            SplitFile::Hub(source) => {
                let node = self.fetch_hub(index, source, vec![source.name.path.clone()]);
                inputs.made(role, Some(node), HubFiles::role(&source.name.path));
            }
            SplitFile::Made(made) if made.is_folder() => inputs.folder(role, &made.stage, &made.file),
            SplitFile::Made(made) => inputs.output(role, &made.stage, &made.file),
        }
    }

    /// The node that fetches a file: one for each digest, whatever URLs are said to have it.
    fn fetch(&mut self, index: usize, remote: &Remote) -> NodeId {
        let id = self.place_fetch(index, name_of(&remote.url), remote.pin.clone(), None);
        let urls = &mut self.plan.weight_mut(id).urls;
        if !urls.contains(&remote.url) {
            urls.push(remote.url.clone());
        }
        id
    }

    /// The node that fetches files of the hub.
    fn fetch_hub(&mut self, index: usize, source: &HubSource, files: Vec<String>) -> NodeId {
        let repo = source.name.repo.to_string();
        let revision = source.name.revision.clone();
        let commit = self.commits.get(&(repo.clone(), revision.clone())).cloned();
        let mut stage = if repo.contains('/') { repo.clone() } else { format!("models/{repo}") };
        // A whole model goes by its repository or folder there; a file, or a model's without its weights, by its own.
        let of = if files.iter().any(|file| HubFiles::role(file) == roles::WEIGHTS) {
            Some(&source.name.path)
        } else {
            files.first()
        };
        if let Some(of) = of.filter(|of| !of.is_empty()) {
            stage = format!("{stage}/{of}");
        }
        let unresolved = commit.is_none().then(|| revision.clone());
        let commit = commit.unwrap_or(revision);
        self.place_fetch(index, stage, Pin::Commit(HubFiles { repo, commit, files }), unresolved)
    }

    fn place_fetch(&mut self, index: usize, stage: String, pin: Pin, unresolved: Option<String>) -> NodeId {
        let node = Node { unresolved, ..bare(format!("fetch {stage}"), stage, Action::Fetch(Fetch { pin })) };
        let (head, digest) = headed(&node.action);
        let recipe = self.recipe(digest, &node.inputs);
        let id = match self.known(recipe, &node.means) {
            Some(id) => id,
            None => self.add_new(recipe, node, head),
        };
        self.stands_at(index, id, None);
        id
    }

    fn deliver(&mut self, id: NodeId, to: &'a Source) {
        let node = self.plan.weight_mut(id);
        if !node.deliver_to.contains(&to.path) {
            node.deliver_to.push(to.path.clone());
        }
        let folder = std::path::absolute(&to.path).unwrap_or_else(|_| to.path.clone());
        let writers = self.folders.entry(folder).or_default();
        if !writers.iter().any(|(writer, _)| *writer == id) {
            writers.push((id, to));
        }
    }

    /// The recipe of an action (by its head) over inputs. What another node makes is told by that node: there is
    /// one for each recipe.
    fn recipe(&self, head: Digest, inputs: &BTreeMap<String, Input>) -> Digest {
        let mut encoding = Encoding::tagged("recipe");
        encoding.bytes_of(&head);
        for (role, input) in inputs {
            encoding.field(role);
            match input {
                Input::File { digest, .. } => encoding.bytes_of(digest),
                Input::Output { node, file } => {
                    let of_tokenizer = [roles::TOKENIZER, roles::VOCABULARY].contains(&file.as_str());
                    let alike = self.of_tokenizer.get(node).filter(|_| of_tokenizer);
                    encoding.number(alike.unwrap_or(node).0 as u64);
                    encoding.text(file);
                }
                Input::Folder { node, folder } => {
                    encoding.number(node.0 as u64);
                    encoding.object(1);
                    encoding.field(folder);
                }
            }
        }
        encoding.digest()
    }

    /// Notes of an encoder which tokenizer it has. Tokenizer and vocabulary come from two of its files alone, so
    /// encoders that differ in their seed or weights share all that is tokenised.
    fn note_tokenizer(&mut self, id: NodeId) {
        let node = self.plan.node(id);
        if !matches!(node.action, Action::Encoder(_)) {
            return;
        }
        let mut encoding = Encoding::tagged("tokenizer");
        encoding.number(node.action.revision().into());
        for role in [roles::CONFIG, roles::TOKENIZER] {
            match node.inputs.get(role) {
                Some(Input::File { digest, .. }) => encoding.bytes_of(digest),
                // As the hub has it, of one commit.
                Some(Input::Output { node, file }) => {
                    encoding.number(node.0 as u64);
                    encoding.text(file);
                }
                // A tokenizer of its own.
                Some(Input::Folder { .. }) | None => encoding.number(id.0 as u64),
            }
        }
        let first = *self.by_tokenizer.entry(encoding.digest()).or_insert(id);
        self.of_tokenizer.insert(id, first);
    }

    /// An objective's tokens must be those of the tokenizer that its model was made for.
    fn check_tokenizer(&self, here: &Here, init: &Ref, objective: &Ref, diagnostics: &mut Vec<Diagnostic>) {
        let (Some(model), Some(data)) = (here.encoder(init), here.encoder(objective)) else { return };
        if model == data {
            return;
        }
        let ((model, of_model), (data, of_data)) = (here.stages.at(model), here.stages.at(data));
        let tokenizer = |encoder: &Block| match encoder {
            Block::Encoder { from: ModelSource::Folder(folder), .. } => {
                self.digests.get(&folder.path.join(roles::TOKENIZER))
            }
            // What the hub's or another stage's is, shows once it is here.
            _ => None,
        };
        let (Some(of_model), Some(of_data)) = (tokenizer(of_model), tokenizer(of_data)) else { return };
        if of_model != of_data {
            let fault = Diagnostic::error(Code::OtherTokenizer, format!(
                "the tokens of `{}` come from the tokenizer of `{}`, and the model starts from `{}`, which has another",
                objective.stage, data, model
            ))
            .help(format!("tokenize with `tokenizer: {model}`"));
            diagnostics.push(self.spec.diagnose(&objective.at, fault));
        }
    }
}

/// A node of which there is no more to say.
fn bare(name: String, stage: String, action: Action) -> Node {
    Node {
        name,
        stage,
        points: vec![],
        action,
        inputs: BTreeMap::new(),
        objective_names: vec![],
        urls: vec![],
        unresolved: None,
        checkpoint: None,
        means: Means::default(),
        deliver_to: vec![],
    }
}

/// What a stage does; nothing where that could not be read.
fn action(block: &Block) -> Option<Action> {
    Some(match block {
        Block::Broken(_) => return None,
        Block::Encoder { action, .. } => Action::Encoder(action.clone()),
        Block::Tokenize { action, .. } => Action::Tokenize(action.clone()),
        Block::Objective { action, .. } => Action::Objective(action.clone()),
        Block::Train { action, .. } if action.learns_weights() => Action::LearnWeights(action.clone()),
        Block::Train { action, .. } => Action::Train(action.clone()),
        Block::Evaluate { action, .. } => Action::Evaluate(action.clone()),
        Block::Export { .. } => Action::Export(Export {}),
        Block::Command(command) => Action::Command(command.action.clone()),
    })
}

/// The head of an action, and its digest.
fn headed(action: &Action) -> (Arc<Head>, Digest) {
    let head = Head::new(action);
    let digest = head.digest();
    (Arc::new(head), digest)
}

/// The inputs of one node, as they are found.
struct Inputs<'a> {
    here: &'a Here<'a>,
    found: BTreeMap<String, Input>,
    complete: bool,
}

impl Inputs<'_> {
    fn file(&mut self, role: &str, path: &std::path::Path, name: &str, digests: &BTreeMap<PathBuf, Digest>) {
        match digests.get(path) {
            Some(digest) => {
                let input = Input::File { path: path.to_owned(), name: name.to_owned(), digest: *digest };
                self.found.insert(role.to_owned(), input);
            }
            None => self.complete = false,
        }
    }

    fn output(&mut self, role: &str, of: &Ref, file: &str) {
        self.made(role, self.here.node(of), file);
    }

    /// A file that a node makes.
    fn made(&mut self, role: &str, node: Option<NodeId>, file: &str) {
        match node {
            Some(node) => {
                self.found.insert(role.to_owned(), Input::Output { node, file: file.to_owned() });
            }
            None => self.complete = false,
        }
    }

    fn folder(&mut self, role: &str, of: &Ref, folder: &str) {
        match self.here.node(of) {
            Some(node) => {
                let input = Input::Folder { node, folder: folder.to_owned() };
                self.found.insert(role.to_owned(), input);
            }
            None => self.complete = false,
        }
    }

    /// The node of the encoder that a stage comes from.
    fn of_encoder(&self, of: &Ref) -> Option<NodeId> {
        self.here.nodes[self.here.encoder(of)?]
    }

    /// A model's files; a trained one has a head too.
    fn model(&mut self, role: &str, of: &Ref) {
        let node = self.here.node(of);
        for file in roles::MODEL {
            self.made(&format!("{role}/{file}"), node, file);
        }
        if matches!(self.here.block(of), Some(Block::Train { .. })) {
            self.made(&format!("{role}/{}", roles::HEAD), node, roles::HEAD);
        }
    }

    /// An objective's description, and its data's train split; with `dev`, its dev split if it has one.
    fn objective(&mut self, role: &str, of: &Ref, dev: bool) {
        self.output(&format!("{role}/{}", roles::OBJECTIVE), of, roles::OBJECTIVE);
        let Some(Block::Objective { data, .. }) = self.here.block(of) else {
            self.complete = false;
            return;
        };
        let node = self.here.node(data);
        let has_dev = dev
            && matches!(self.here.block(data), Some(Block::Tokenize { splits, .. }) if splits.contains_key("dev"));
        for split in if has_dev { &["train", "dev"][..] } else { &["train"] } {
            let file = roles::split(split);
            self.made(&format!("{role}/{file}"), node, &file);
        }
    }
}

/// What to call the file behind a URL: the last two parts of its path, or its host and what it has of a
/// path. There is a `/` in it, as there is in no stage's name.
fn name_of(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [.., folder, file] => format!("{folder}/{file}"),
        parts => format!("{}/", parts.concat()),
    }
}

/// Adds to a node's name the swept values that tell it from its stage's other nodes; to that of a file which
/// is called as another is, its digest.
fn name_nodes(plan: &mut Plan, spec: &Spec) {
    let mut by_stage: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
    for id in plan.ids() {
        by_stage.entry(plan.node(id).stage.clone()).or_default().push(id);
    }
    for (stage, ids) in by_stage {
        if ids.len() < 2 {
            continue;
        }
        if stage.contains('/') {
            for id in ids {
                let node = plan.weight_mut(id);
                if let Action::Fetch(Fetch { pin }) = &node.action {
                    let digest: String = pin.hex().chars().take(8).collect();
                    node.stage = format!("{stage}@{digest}");
                    node.name = format!("fetch {}", node.stage);
                }
            }
            continue;
        }
        let value = |point: &usize, var: usize| spec.points[*point].values[var].as_str();
        let points = |id: &NodeId| plan.node(*id).points.iter();
        // A variable tells nodes apart where they do not all have the same value of it.
        let telling: Vec<usize> = (0..spec.swept.len())
            .filter(|var| {
                let mut values = ids.iter().flat_map(points).map(|point| value(point, *var));
                values.next().is_some_and(|first| values.any(|other| other != first))
            })
            .collect();
        let mut names = vec![];
        for id in &ids {
            let mut pairs = vec![];
            for &var in &telling {
                let mut values = points(id).map(|point| value(point, var));
                let Some(first) = values.next() else { continue };
                if values.all(|other| other == first) {
                    pairs.push(format!("{}={first}", spec.swept[var]));
                }
            }
            let name =
                if pairs.is_empty() { stage.clone() } else { format!("{stage} ({})", pairs.join(", ")) };
            names.push((*id, name));
        }
        for (id, name) in names {
            plan.weight_mut(id).name = name;
        }
    }
}
