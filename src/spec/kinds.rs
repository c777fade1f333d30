//! The kinds of stages: the fields of each, their types, ranges and defaults.

mod tokenize;

use std::cell::Cell;
use std::collections::BTreeSet;

use super::command::OnPath;
use super::digests::Pins;
use super::fields::{self, Faults, Fields, Range};
use super::globs::Globs;
use super::loops::Loops;
use super::origin::Origins;
use super::read::MOST_STAGES;
use super::vars::Vars;
use super::yaml::{At, Node};
use super::{Block, ModelSource, Ref, Source, command, splits, training};
use crate::action::{self, Encoder, Metric};
use crate::diag::{Code, Diagnostic, list, without_query};
use crate::hub;

const KINDS: [&str; 8] =
    ["encoder", "tokenize", "objective", "train", "learn-weights", "evaluate", "export", "command"];
const SPLITS: [(&str, ()); 3] = [("train", ()), ("dev", ()), ("test", ())];

/// What stages are read against, the same at every sweep point.
pub(super) struct Context<'a> {
    /// Who says what: a path is relative to the file that says it.
    pub(super) origins: &'a Origins,
    /// What remote files must hash to.
    pub(super) pins: &'a Pins,
    /// What patterns of files match.
    pub(super) globs: &'a Globs,
    /// What programs there are.
    pub(super) on_path: &'a OnPath,
    /// The stages that a loop's name stands for in a list.
    pub(super) loops: &'a Loops,
    /// How many stages of loops have been named by lists.
    pub(super) looped: Cell<usize>,
    /// The names of all stages.
    pub(super) stages: &'a BTreeSet<&'a str>,
}

impl Context<'_> {
    /// The file or folder `name`, said at `at`.
    pub(super) fn source(&self, name: String, at: At) -> Source {
        Source { path: self.origins.folder(&at).join(&name), name, at }
    }
}

/// Reads a stage: one key, its kind, over a block of that kind's fields.
pub(super) fn read(
    node: &Node,
    at: &At,
    vars: &Vars,
    context: &Context,
    faults: &mut Faults,
) -> Option<Block> {
    let node = &*fields::block(node, vars, at, faults)?;
    let Node::Map(block) = node else {
        let fault = Diagnostic::error(
            Code::NotOneKind,
            format!("a stage is its kind over a block of fields, not {}", node.what()),
        )
        .help(format!("write `{{train: {{…}}}}`; the kinds are {}", list(&KINDS)));
        faults.push((at.clone(), fault));
        return None;
    };
    if block.is_empty() {
        let fault =
            Diagnostic::error(Code::NotOneKind, "a stage has one key, its kind, and this one has none");
        faults.push((at.on_key(), fault.help(format!("the kinds are {}", list(&KINDS)))));
        return None;
    }
    let [(kind, body)] = block.as_slice() else {
        let keys: Vec<&str> = block.iter().map(|(key, _)| key.as_str()).collect();
        let fault = Diagnostic::error(
            Code::NotOneKind,
            format!("a stage has one key, its kind, and this one has {}", list(&keys)),
        )
        .help("give each kind a stage of its own");
        faults.push((at.on_key(), fault));
        return None;
    };
    let at_kind = at.key(kind);
    let Some(name) = KINDS.iter().find(|name| *name == kind) else {
        let fault = Diagnostic::error(Code::UnknownKind, format!("unknown kind `{kind}`"));
        let fault = fault.meant(kind, KINDS, || format!("the kinds are {}", list(&KINDS)));
        faults.push((at_kind.on_key(), fault));
        return None;
    };
    let what = format!("`{name}`");
    let body = fields::block(body, vars, &at_kind, faults)?;
    let fields = Fields::of(&body, &what, at_kind, vars, faults)?;
    Some(match *name {
        "encoder" => return encoder(fields, context),
        "tokenize" => tokenize::read(fields, context),
        "objective" => return objective(fields, vars),
        "train" => training::train(fields, vars, context),
        "learn-weights" => training::learn_weights(fields, vars, context),
        "evaluate" => evaluate(fields),
        "command" => command::command(fields, context),
        _ => export(fields, context),
    })
}

fn encoder(mut fields: Fields, context: &Context) -> Option<Block> {
    let from = model(&mut fields, "from", context);
    let random = model(&mut fields, "random", context);
    let seed = fields.count("seed", 0).unwrap_or(0);
    let is_random = random.is_some();
    let source = match (from, random) {
        (Some((source, _)), None) | (None, Some((source, _))) => source,
        (Some(_), Some((_, at))) => {
            let fault = Diagnostic::error(Code::Exclusive, "`from` and `random` exclude each other")
                .help("`from` reads a checkpoint; `random` draws the weights anew from a configuration");
            fields.fault(at.on_key(), fault);
            None
        }
        (None, None) => {
            fields.missing_one(
                &["from", "random"],
                "a model's folder (config.json, model.safetensors, tokenizer.json), or `hf://org/name` on the hub",
            );
            None
        }
    };
    fields.finish("an `encoder` block");
    Some(Block::Encoder { from: source?, action: Encoder { random: is_random, seed } })
}

/// A field that names a model, and where it stands: a folder, what holds one on the hub, or what a stage makes.
fn model(fields: &mut Fields, name: &'static str, context: &Context) -> Option<(Option<ModelSource>, At)> {
    if let Some((node, at)) = fields.take(name)
        && let Node::Map(block) = &node
        && splits::is_made(block)
    {
        let made = splits::made(&node, &at, fields.faults).map(|mut made| {
            if !made.is_folder() {
                made.file.push('/');
            }
            ModelSource::Made(made)
        });
        return Some((made, at));
    }
    let (name, at) = fields.text(name)?;
    Some((model_source(name, at.clone(), context, fields.faults), at))
}

/// A model's folder, or what holds one on the hub.
fn model_source(name: String, at: At, context: &Context, faults: &mut Faults) -> Option<ModelSource> {
    if name.starts_with(hub::SCHEME) {
        let found = splits::on_hub(&name, &at, faults)?;
        if found.name.repo.is_data {
            let fault = Diagnostic::error(
                Code::BadHubName,
                format!("`{name}` is a data set, and an encoder is a model"),
            )
            .help("name a model: `hf://org/name`");
            faults.push((at, fault));
            return None;
        }
        return Some(ModelSource::Hub(found));
    }
    if name.contains("://") {
        let fault = Diagnostic::error(Code::BadUrl, format!("`{}` is not a folder", without_query(&name))).help(
            "name a folder with config.json, model.safetensors and tokenizer.json, or a model of the hub: `hf://org/name`",
        );
        faults.push((at, fault));
        return None;
    }
    Some(ModelSource::Folder(context.source(name, at)))
}

fn objective(mut fields: Fields, vars: &Vars) -> Option<Block> {
    let at = fields.at.clone();
    let classify = fields.raw("classify");
    let mlm = fields.raw("mlm");
    let block = match (classify, mlm) {
        (Some((node, at)), None) => {
            let node = fields::block(node, vars, &at, fields.faults)?;
            let mut fields = Fields::of(&node, "`classify`", at, vars, fields.faults)?;
            let data = required_ref(&mut fields, "data", "the tokenize stage with texts and labels");
            let dropout = fields.number("dropout", Range::BelowOne).unwrap_or(0.1);
            fields.finish("a `classify` block");
            Some(Block::Objective { data, action: action::Objective::Classify { dropout } })
        }
        (None, Some((node, at))) => {
            let node = fields::block(node, vars, &at, fields.faults)?;
            let mut fields = Fields::of(&node, "`mlm`", at, vars, fields.faults)?;
            let data = required_ref(&mut fields, "data", "the tokenize stage with texts");
            let mask = fields.number("mask", Range::UpToOne).unwrap_or(0.15);
            fields.finish("an `mlm` block");
            Some(Block::Objective { data, action: action::Objective::Mlm { mask } })
        }
        _ => {
            let fault = Diagnostic::error(Code::Exclusive, "an objective is either `classify` or `mlm`")
                .help(
                    "write `{objective: {classify: {data: STAGE}}}` or `{objective: {mlm: {data: STAGE}}}`",
                );
            fields.fault(at.on_key(), fault);
            None
        }
    };
    fields.finish("an `objective` block");
    block
}

pub(super) fn metrics() -> Vec<(&'static str, Metric)> {
    Metric::ALL.iter().map(|metric| (metric.name(), *metric)).collect()
}

fn evaluate(mut fields: Fields) -> Block {
    let model = required_ref(&mut fields, "model", "the train stage to score");
    let data = required_ref(&mut fields, "data", "the tokenize stage to score it on");
    let split_at = fields.at.key("split");
    let split = fields.text("split");
    if split.is_none() && !fields.faults.iter().any(|(at, _)| *at == split_at) {
        fields.missing("split", "`dev` or `test`");
    }
    if let Some((split, at)) = &split {
        fields.one_of(split, "split", &SPLITS, at.clone());
    }
    let mut chosen = vec![];
    match fields.texts("metrics") {
        Some(names) if names.is_empty() => {
            let at = fields.at.key("metrics");
            if !fields.faults.iter().any(|(fault, _)| fault.within(&at)) {
                let fault =
                    Diagnostic::error(Code::EmptyList, "`metrics` is empty, so nothing would be measured")
                        .help("leave it out to have them all");
                fields.fault(at, fault);
            }
        }
        Some(names) => {
            for (name, at) in names {
                if let Some(metric) = fields.one_of(&name, "metric", &metrics(), at) {
                    chosen.push(metric);
                }
            }
        }
        None => chosen.extend(Metric::ALL),
    }
    // Their order says nothing, so it is not part of the key.
    chosen.sort_unstable();
    chosen.dedup();
    let batch = fields.count("batch", 1).unwrap_or(64);
    let attend_pads = fields.truth("attend_pads").unwrap_or(false);
    let precision = training::precision(&mut fields);
    fields.finish("an `evaluate` block");
    let split = split.map(|(split, _)| split).unwrap_or_default();
    let action = action::Evaluate { split, metrics: chosen, batch, attend_pads, precision };
    Block::Evaluate { model, data, split_at, action }
}

fn export(mut fields: Fields, context: &Context) -> Block {
    let model = required_ref(&mut fields, "model", "the train stage to export");
    let to = fields.text("to").map(|(name, at)| context.source(name, at));
    fields.finish("an `export` block");
    Block::Export { model, to }
}

/// The stage that a field names. It must be there; where it is not, what else the block names is still looked at.
pub(super) fn required_ref(fields: &mut Fields, name: &'static str, what: &str) -> Ref {
    let before = fields.faults.len();
    let found = fields.text(name).map(|(stage, at)| Ref { stage, at });
    match found {
        Some(of) if of.stage.is_empty() => {
            let fault = Diagnostic::error(Code::MissingField, format!("`{name}` names no stage: {what}"));
            fields.fault(of.at, fault.help("write the stage's name"));
        }
        Some(of) => return of,
        None if fields.faults.len() == before => fields.missing(name, what),
        None => {}
    }
    Ref::default()
}

/// The stages that a list names; a loop's name stands for all of its stages.
pub(super) fn refs(fields: &mut Fields, name: &'static str, context: &Context) -> Vec<Ref> {
    let mut all = vec![];
    for (stage, at) in fields.texts(name).unwrap_or_default() {
        let Some(stages) = context.loops.get(&stage) else {
            all.push(Ref { stage, at });
            continue;
        };
        let count = context.looped.get() + stages.len();
        if count > MOST_STAGES {
            let fault = format!("loops that are named in lists come to more than {MOST_STAGES} stages");
            let fault = Diagnostic::error(Code::TooManyPoints, fault).help("name loops of fewer stages");
            fields.fault(at, fault);
            continue;
        }
        context.looped.set(count);
        all.extend(stages.iter().map(|stage| Ref { stage: stage.clone(), at: at.clone() }));
    }
    all
}
