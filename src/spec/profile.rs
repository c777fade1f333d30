//! Profiles: named changes of a pipeline, such as the same graph at a tiny budget (`--profile smoke`).
//!
//! A profile says variables, fields of stages, and what to sweep over. It changes what is there and adds
//! nothing: a name that the pipeline does not have is a fault, whether the profile is asked for or not.

use super::origin::{FileId, Origins};
use super::sweep;
use super::yaml::{At, Node, slot};
use crate::diag::{Code, Diagnostic, list};

/// What one file says of a profile.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) node: Node,
    pub(super) file: FileId,
    pub(super) at: At,
}

/// The blocks of a profile.
const BLOCKS: [&str; 3] = ["vars", "stages", "sweep"];

/// Checks every profile, and lays those of the `chosen` names over `top`, in their order. Returns the
/// variables that they take out of the sweep by giving them a value.
pub(super) fn apply(
    top: &mut Node,
    layers: &[Layer],
    chosen: &[String],
    origins: &mut Origins,
    faults: &mut Vec<Diagnostic>,
) -> Vec<String> {
    for layer in layers {
        let mut check = Check { top, layer, origins, faults };
        check.profile();
    }
    let mut held: Vec<String> = vec![];
    for name in chosen {
        let known: Vec<&str> =
            layers.iter().map(|layer| layer.name.as_str()).filter(|n| !n.is_empty()).collect();
        if !known.contains(&name.as_str()) {
            let all = || match known.as_slice() {
                [] => {
                    "the pipeline has none: write `profiles: {smoke: {vars: {…}, stages: {…}, sweep: {…}}}`"
                        .to_owned()
                }
                known => format!("the pipeline has {}", list(known)),
            };
            let fault = Diagnostic::error(Code::UnknownProfile, format!("unknown profile `{name}`"));
            faults.push(fault.meant(name, known.iter().copied(), all));
        }
        for layer in layers.iter().filter(|layer| layer.name == *name) {
            lay(top, layer, origins, &mut held);
        }
    }
    held
}

fn lay(top: &mut Node, layer: &Layer, origins: &mut Origins, held: &mut Vec<String>) {
    if let Some(Node::Map(vars)) = layer.node.get("vars") {
        held.extend(vars.iter().map(|(name, _)| name.clone()));
    }
    if let Some(Node::Map(swept)) = layer.node.get("sweep") {
        // What a profile sweeps over is swept, whatever value it has besides.
        let swept = sweep::names(&Node::Map(swept.clone()));
        held.retain(|name| !swept.contains(name));
    }
    let is_points = |name: &String| top.get("sweep").is_some_and(|swept| sweep::is_points(swept, name));
    let points: Vec<String> = held.iter().filter(|name| is_points(name)).cloned().collect();
    let Node::Map(fields) = top else { return };
    let mut say = |at: &At, there: At| origins.say(at, layer.file, there);
    for block in BLOCKS {
        let Some(node) = layer.node.get(block) else { continue };
        let (at, there) = (At::top().key(block), layer.at.key(block));
        match (slot(fields, block), node) {
            // What a variable is swept over is one thing, and so are a zip and an exclusion.
            (Node::Map(swept), Node::Map(changes)) if block == "sweep" => {
                for (name, change) in changes {
                    *slot(swept, name) = change.clone();
                    say(&at.key(name), there.key(name));
                }
            }
            (_, Node::Null) => {}
            (under, over) => {
                // What the points of a sweep are called is no variable of the pipeline until one is chosen.
                if let (Node::Map(vars), "vars") = (&mut *under, block) {
                    for name in points.iter().filter(|name| over.get(name).is_some()) {
                        slot(vars, name);
                    }
                }
                overlay(under, &at, over, &there, &mut say);
            }
        }
    }
}

/// Lays `over` over `under`, blocks field by field, and tells of each node that is replaced where it is and
/// where it is said.
fn overlay(under: &mut Node, at: &At, over: &Node, there: &At, say: &mut dyn FnMut(&At, At)) {
    let (Node::Map(fields), Node::Map(changes)) = (&mut *under, over) else {
        *under = over.clone();
        say(at, there.clone());
        return;
    };
    let in_stages = at.within(&At::top().key("stages"));
    for (key, change) in changes {
        let is_there = fields.iter().any(|(known, _)| known == key);
        // That a name is not there has been told. A field of a stage may be at its default.
        if !is_there && !(in_stages && (at.depth() > 2 || (at.depth() == 2 && key == "for"))) {
            continue;
        }
        if let Some(other) = excluded_by(key).filter(|_| in_stages)
            && !changes.iter().any(|(key, _)| key == other)
        {
            fields.retain(|(key, _)| key != other);
        }
        overlay(slot(fields, key), &at.key(key), change, &there.key(key), say);
    }
}

/// The field that gives way to a field which is set over a block: a stage trains for some epochs or some steps.
pub(super) fn excluded_by(field: &str) -> Option<&'static str> {
    match field {
        "steps" => Some("epochs"),
        "epochs" => Some("steps"),
        _ => None,
    }
}

/// Looks at one profile.
struct Check<'a> {
    top: &'a Node,
    layer: &'a Layer,
    origins: &'a Origins,
    faults: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    fn profile(&mut self) {
        let (layer, at) = (self.layer, &self.layer.at);
        let what = if layer.name.is_empty() { "`profiles`" } else { "a profile" };
        let Node::Map(blocks) = &layer.node else {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("{what} is a block of fields, not {}", layer.node.what()),
            )
            .help("write `profiles: {smoke: {vars: {…}, stages: {…}, sweep: {…}}}`");
            return self.fault(at, fault);
        };
        for (block, node) in blocks {
            let at = at.key(block);
            if !BLOCKS.contains(&block.as_str()) {
                let fault =
                    Diagnostic::error(Code::UnknownField, format!("unknown field `{block}` in a profile"));
                let fault = fault.meant(block, BLOCKS, || format!("its fields are {}", list(&BLOCKS)));
                self.fault(&at.on_key(), fault);
                continue;
            }
            match node {
                Node::Map(fields) if block == "vars" => {
                    // It may choose one of the sweep's named points.
                    let swept = self.top.get("sweep").unwrap_or(&Node::Null);
                    let is_var = |(name, _): &&(String, Node)| !sweep::is_points(swept, name);
                    let vars: Vec<(String, Node)> = fields.iter().filter(is_var).cloned().collect();
                    self.within("variable", &vars, self.top.get("vars"), &at);
                }
                Node::Map(fields) if block == "stages" => self.stages(fields, &at),
                // What it sweeps over is checked with the sweep, and names as they are here.
                Node::Map(fields) => {
                    let vars = self.top.get("vars").cloned().unwrap_or(Node::Null);
                    for (name, at) in sweep::assigned(fields, &at) {
                        if vars.get(&name).is_none() {
                            self.unknown_in("variable", &name, Some(&vars), &at);
                        }
                    }
                }
                Node::Null => {}
                other => {
                    let fault = Diagnostic::error(
                        Code::WrongType,
                        format!("`{block}` is a block of fields, not {}", other.what()),
                    )
                    .help("write `profiles: {smoke: {vars: {…}, stages: {…}, sweep: {…}}}`");
                    self.fault(&at, fault);
                }
            }
        }
    }

    /// Whether each of the fields is there, and the fields of blocks are.
    fn within(&mut self, what: &str, fields: &[(String, Node)], under: Option<&Node>, at: &At) {
        for (name, node) in fields {
            let at = at.key(name);
            match (under.and_then(|under| under.get(name)), node) {
                (None, _) => self.unknown_in(what, name, under, &at),
                (Some(under @ Node::Map(_)), Node::Map(fields)) => {
                    self.within("field", fields, Some(under), &at);
                }
                (Some(_), _) => {}
            }
        }
    }

    fn stages(&mut self, stages: &[(String, Node)], at: &At) {
        let top = self.top.get("stages");
        for (name, node) in stages {
            let at = at.key(name);
            let Some(stage) = top.and_then(|stages| stages.get(name)) else {
                self.unknown_in("stage", name, top, &at);
                continue;
            };
            let Node::Map(blocks) = node else {
                let fault = Diagnostic::error(
                    Code::NotOneKind,
                    format!("a stage is its kind over a block of fields, not {}", node.what()),
                )
                .help("write the kind that it has, and under it the fields to change: `model: {train: {steps: 1}}`");
                self.fault(&at, fault);
                continue;
            };
            for (kind, _) in blocks {
                if stage.get(kind).is_none() && kind != "for" {
                    let is = match stage {
                        Node::Map(is) => {
                            is.iter().map(|(key, _)| key.as_str()).filter(|key| *key != "for").collect()
                        }
                        _ => vec![],
                    };
                    let fault = Diagnostic::error(
                        Code::WrongStageKind,
                        format!("stage `{name}` is {}, not `{kind}`", list(&is)),
                    )
                    .help("a profile changes fields of a stage, under the kind that it has");
                    self.fault(&at.key(kind).on_key(), fault);
                }
            }
        }
    }

    fn unknown_in(&mut self, what: &str, name: &str, known: Option<&Node>, at: &At) {
        let known: Vec<&str> = match known {
            Some(Node::Map(fields)) => fields.iter().map(|(name, _)| name.as_str()).collect(),
            _ => vec![],
        };
        let code = match what {
            "stage" => Code::UnknownStage,
            "variable" => Code::UnknownVariable,
            _ => Code::UnknownVariableField,
        };
        let fault =
            Diagnostic::error(code, format!("unknown {what} `{name}`: a profile changes what is there"));
        let fault = fault.meant(name, known.iter().copied(), || format!("there are {}", list(&known)));
        self.fault(&at.on_key(), fault);
    }

    fn fault(&mut self, at: &At, fault: Diagnostic) {
        let fault = self.origins.diagnose_in(self.layer.file, at, fault);
        self.faults.push(fault);
    }
}
