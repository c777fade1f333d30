//! The kinds of stages: the fields of each, their types, ranges and defaults.

use std::collections::BTreeMap;
use std::path::Path;

use super::digests::Pins;
use super::fields::{Faults, Fields, Range, list, number, whole};
use super::vars::Vars;
use super::yaml::{At, Node};
use super::{Block, Ref, Source, splits};
use crate::action::{self, AdamW, Encoder, Format, Length, Metric, Sample, Schedule, Tokenize, Weights};
use crate::diag::{Diagnostic, nearest};

const KINDS: [&str; 6] = ["encoder", "tokenize", "objective", "train", "evaluate", "export"];
const SPLITS: [(&str, ()); 3] = [("train", ()), ("dev", ()), ("test", ())];

/// Reads a stage: one key, its kind, over a block of that kind's fields.
pub(super) fn read(
    node: &Node,
    at: &At,
    vars: &Vars,
    folder: &Path,
    pins: &Pins,
    faults: &mut Faults,
) -> Option<Block> {
    let Node::Map(block) = node else {
        let fault =
            Diagnostic::error(format!("a stage is its kind over a block of fields, not {}", node.what()))
                .help(format!("write `{{train: {{…}}}}`; the kinds are {}", list(&KINDS)));
        faults.push((at.clone(), fault));
        return None;
    };
    let [(kind, body)] = block.as_slice() else {
        let keys: Vec<&str> = block.iter().map(|(key, _)| key.as_str()).collect();
        let fault =
            Diagnostic::error(format!("a stage has one key, its kind, and this one has {}", list(&keys)))
                .help("give each kind a stage of its own");
        faults.push((at.on_key(), fault));
        return None;
    };
    let at_kind = at.key(kind);
    let Some(name) = KINDS.iter().find(|name| *name == kind) else {
        let help = match nearest(kind, KINDS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the kinds are {}", list(&KINDS)),
        };
        faults.push((at_kind.on_key(), Diagnostic::error(format!("unknown kind `{kind}`")).help(help)));
        return None;
    };
    let what = format!("`{name}`");
    let fields = Fields::of(body, &what, at_kind, vars, faults)?;
    match *name {
        "encoder" => encoder(fields, folder),
        "tokenize" => tokenize(fields, folder, pins),
        "objective" => objective(fields, vars),
        "train" => train(fields, vars),
        "evaluate" => evaluate(fields),
        _ => export(fields, folder),
    }
}

fn encoder(mut fields: Fields, folder: &Path) -> Option<Block> {
    let from = fields.text("from");
    let random = fields.text("random");
    let seed = fields.count("seed", 0).unwrap_or(0);
    let is_random = random.is_some();
    let source = match (from, random) {
        (Some((name, at)), None) | (None, Some((name, at))) => Some(source(name, at, folder)),
        (Some(_), Some((_, at))) => {
            let fault = Diagnostic::error("`from` and `random` exclude each other")
                .help("`from` reads a checkpoint; `random` draws the weights anew from a configuration");
            fields.fault(at.on_key(), fault);
            None
        }
        (None, None) => {
            fields.missing("from", "the folder of a model (config.json, model.safetensors, tokenizer.json)");
            None
        }
    };
    if let Some(source) = source.as_ref().filter(|source| source.name.contains("://")) {
        let fault = Diagnostic::error(format!("`{}` is not a folder", source.name))
            .note("this version reads encoders from folders only")
            .help("download config.json, model.safetensors and tokenizer.json into a folder and name that");
        fields.fault(source.at.clone(), fault);
    }
    fields.finish("an `encoder` block");
    Some(Block::Encoder { folder: source?, action: Encoder { random: is_random, seed } })
}

fn tokenize(mut fields: Fields, folder: &Path, pins: &Pins) -> Option<Block> {
    let tokenizer = required_ref(&mut fields, "tokenizer", "the encoder stage whose tokenizer is used");
    let format =
        fields.word("format", &[("jsonl", Some(Format::Jsonl)), ("lines", Some(Format::Lines))]).flatten();
    let text = fields.text("text").map_or_else(Tokenize::default_text, |(text, _)| text);
    let label = fields.text("label").map(|(label, _)| label);
    let max_length = match fields.count("max_length", 3) {
        Some(length) => u32::try_from(length).unwrap_or(u32::MAX),
        None => Tokenize::default_max_length(),
    };
    let seed = fields.count("seed", 0).unwrap_or(0);
    let (sample, sample_of) = sample(&mut fields);

    let mut sources = BTreeMap::new();
    let mut formats = BTreeMap::new();
    match fields.take("splits") {
        Some((Node::Map(splits), at)) if !splits.is_empty() => {
            for (split, node) in splits {
                let at = at.key(&split);
                if fields.one_of(&split, "split", &SPLITS, at.on_key()).is_none() {
                    continue;
                }
                let Some(file) = splits::read(&split, &node, &at, folder, pins, fields.faults) else {
                    continue;
                };
                let name = splits::name(&file);
                let Some(format) = format.or_else(|| format_of(name)) else {
                    let fault = Diagnostic::error(format!(
                        "the format of `{name}` is not known from its name"
                    ))
                    .help("say `format: jsonl` or `format: lines`, or name the file `.jsonl` or `.txt`");
                    fields.fault(at, fault);
                    continue;
                };
                formats.insert(split.clone(), format);
                sources.insert(split, file);
            }
        }
        Some((other, at)) => {
            let fault = Diagnostic::error(format!("`splits` is a block of files, not {}", other.what()))
                .help("write `splits: {train: data/train.jsonl, dev: data/dev.jsonl}`");
            fields.fault(at, fault);
        }
        None => fields.missing("splits", "the files of `train`, `dev` and `test`"),
    }
    fields.finish("a `tokenize` block");
    let action = Tokenize { splits: formats, text, label, max_length, sample, seed };
    Some(Block::Tokenize { tokenizer: tokenizer?, splits: sources, sample_of, action })
}

fn format_of(name: &str) -> Option<Format> {
    let extension = Path::new(name).extension()?.to_str()?;
    match extension {
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "txt" => Some(Format::Lines),
        _ => None,
    }
}

/// `sample: 500`, `sample: 0.1`, `sample: 10x task`.
fn sample(fields: &mut Fields) -> (Option<Sample>, Option<Ref>) {
    let Some((node, at)) = fields.take("sample") else { return (None, None) };
    if let Node::Int(_) = node
        && let Some(count) = whole(&node).filter(|count| *count > 0)
    {
        return (Some(Sample::Count(count)), None);
    }
    if let Node::Float(part) = node
        && part > 0.0
        && part <= 1.0
    {
        return (Some(Sample::Fraction(part)), None);
    }
    if let Node::Text(text) = &node
        && let Some((times, stage)) = text.split_once('x')
        && let Ok(times) = times.trim().parse::<f64>()
        && times > 0.0
        && times.is_finite()
        && stage.starts_with(' ')
        && !stage.trim().is_empty()
    {
        let of = Ref { stage: stage.trim().to_owned(), at };
        return (Some(Sample::Times(times)), Some(of));
    }
    let fault = Diagnostic::error(format!("`sample` is not {}", node.what())).help(
        "write a number of texts (`500`), a part of them (`0.1`), or a multiple of a stage's train split (`10x task`)",
    );
    fields.fault(at, fault);
    (None, None)
}

fn objective(mut fields: Fields, vars: &Vars) -> Option<Block> {
    let at = fields.at.clone();
    let classify = fields.raw("classify");
    let mlm = fields.raw("mlm");
    let block = match (classify, mlm) {
        (Some((node, at)), None) => {
            let mut fields = Fields::of(node, "`classify`", at, vars, fields.faults)?;
            let data = required_ref(&mut fields, "data", "the tokenize stage with texts and labels");
            let dropout = fields.number("dropout", Range::BelowOne).unwrap_or(0.1);
            fields.finish("a `classify` block");
            data.map(|data| Block::Objective { data, action: action::Objective::Classify { dropout } })
        }
        (None, Some((node, at))) => {
            let mut fields = Fields::of(node, "`mlm`", at, vars, fields.faults)?;
            let data = required_ref(&mut fields, "data", "the tokenize stage with texts");
            let mask = fields.number("mask", Range::UpToOne).unwrap_or(0.15);
            fields.finish("an `mlm` block");
            data.map(|data| Block::Objective { data, action: action::Objective::Mlm { mask } })
        }
        _ => {
            let fault = Diagnostic::error("an objective is either `classify` or `mlm`").help(
                "write `{objective: {classify: {data: STAGE}}}` or `{objective: {mlm: {data: STAGE}}}`",
            );
            fields.fault(at.on_key(), fault);
            None
        }
    };
    fields.finish("an `objective` block");
    block
}

fn train(mut fields: Fields, vars: &Vars) -> Option<Block> {
    let init = required_ref(&mut fields, "init", "the encoder or train stage to start from");
    let before = fields.faults.len();
    let end_task = fields.text("end_task").map(|(stage, at)| Ref { stage, at });
    let auxiliary: Vec<Ref> = fields
        .texts("auxiliary")
        .unwrap_or_default()
        .into_iter()
        .map(|(stage, at)| Ref { stage, at })
        .collect();
    let objectives: Vec<&Ref> = end_task.iter().chain(&auxiliary).collect();
    // Names that could not be read have been reported; nothing follows from them.
    let names_are_sound = fields.faults.len() == before;
    if objectives.is_empty() && names_are_sound {
        fields.missing("end_task", "a train stage has an `end_task`, `auxiliary` objectives, or both");
    }
    for (i, objective) in objectives.iter().enumerate() {
        if objectives[..i].iter().any(|other| other.stage == objective.stage) {
            let fault = Diagnostic::error(format!("objective `{}` is named twice", objective.stage));
            fields.fault(objective.at.clone(), fault);
        }
    }
    let weights = if names_are_sound {
        weights(&mut fields, &objectives)
    } else {
        fields.raw("weights");
        Weights::Uniform
    };

    let before = fields.faults.len();
    let epochs = fields.number("epochs", Range::Positive).map(Length::Epochs);
    let steps = fields.count("steps", 1).map(Length::Steps);
    let length = match (epochs, steps) {
        (Some(length), None) | (None, Some(length)) => Some(length),
        (Some(_), Some(_)) => {
            let at = fields.at.key("steps").on_key();
            fields.fault(
                at,
                Diagnostic::error("`epochs` and `steps` exclude each other").help("keep one of them"),
            );
            None
        }
        (None, None) => {
            if fields.faults.len() == before {
                fields.missing("epochs", "how long to train, in `epochs` or `steps`");
            }
            None
        }
    };
    let betas = fields.take("betas");
    let betas = match betas {
        None => (0.9, 0.98),
        Some((node, at)) => betas_of(&node).unwrap_or_else(|| {
            let fault = Diagnostic::error(format!(
                "`betas` is two numbers, at least 0 and below 1, not {}",
                node.what()
            ));
            fields.fault(at, fault);
            (0.9, 0.98)
        }),
    };
    let body = AdamW {
        lr: fields.number("lr", Range::NotNegative).unwrap_or(1e-4),
        weight_decay: fields.number("weight_decay", Range::NotNegative).unwrap_or(0.01),
        betas,
        eps: fields.number("eps", Range::Positive).unwrap_or(1e-6),
    };
    let mut head = AdamW { lr: 1e-3, weight_decay: 0.1, ..body };
    if let Some((node, at)) = fields.raw("head")
        && let Some(mut fields) = Fields::of(node, "`head`", at, vars, fields.faults)
    {
        head.lr = fields.number("lr", Range::NotNegative).unwrap_or(head.lr);
        head.weight_decay = fields.number("weight_decay", Range::NotNegative).unwrap_or(head.weight_decay);
        fields.finish("a `head` block");
    }
    let action = action::Train {
        weights,
        length: length.unwrap_or(Length::Steps(1)),
        batch: fields.count("batch", 1).unwrap_or(64),
        auxiliary_batch: fields.count("auxiliary_batch", 1).unwrap_or(64),
        micro_steps: fields.count("micro_steps", 1).unwrap_or(2),
        body,
        head,
        schedule: fields
            .word("schedule", &[("linear", Schedule::Linear), ("constant", Schedule::Constant)])
            .unwrap_or_default(),
        warmup: fields.number("warmup", Range::BelowOne).unwrap_or(0.06),
        clip: fields.number("clip", Range::NotNegative).unwrap_or(1.0),
        evaluate_every: Some(fields.count("evaluate_every", 1).unwrap_or(30)),
        patience: fields.count("patience", 0).unwrap_or(20),
        metric: fields.word("metric", &metrics()).unwrap_or(Metric::MacroF1),
        dropout: fields.truth("dropout").unwrap_or(true),
        seed: fields.count("seed", 0).unwrap_or(0),
    };
    fields.finish("a `train` block");
    Some(Block::Train { init: init?, end_task, auxiliary, action })
}

fn betas_of(node: &Node) -> Option<(f64, f64)> {
    let Node::List(items) = node else { return None };
    let [first, second] = items.as_slice() else { return None };
    let (first, second) = (number(first)?, number(second)?);
    let sound = |beta: f64| (0.0..1.0).contains(&beta);
    (sound(first) && sound(second)).then_some((first, second))
}

/// `weights: uniform`, or a number for each objective by its stage's name.
fn weights(fields: &mut Fields, objectives: &[&Ref]) -> Weights {
    let Some((node, at)) = fields.take("weights") else { return Weights::Uniform };
    let names: Vec<&str> = objectives.iter().map(|objective| objective.stage.as_str()).collect();
    let Node::Map(given) = node else {
        if node != Node::Text("uniform".to_owned()) {
            let fault = Diagnostic::error(format!(
                "`weights` is `uniform` or a number for each objective, not {}",
                node.what()
            ))
            .help(format!("write `weights: {{{}: 0.5, …}}`", names.first().unwrap_or(&"end-task")));
            fields.fault(at, fault);
        }
        return Weights::Uniform;
    };
    let mut values = vec![];
    for name in &names {
        match given.iter().find(|(key, _)| key == name).map(|(_, node)| (node, number(node))) {
            Some((_, Some(weight))) if weight >= 0.0 && weight.is_finite() => values.push(weight),
            Some((node, _)) => {
                let fault = Diagnostic::error(format!(
                    "the weight of `{name}` is a number at least 0, not {}",
                    node.what()
                ));
                fields.fault(at.key(name), fault);
            }
            None => {
                let fault = Diagnostic::error(format!("`weights` says nothing of objective `{name}`"))
                    .help("give every objective of the stage a weight, 0 if it must be");
                fields.fault(at.on_key(), fault);
            }
        }
    }
    for (key, _) in &given {
        if !names.contains(&key.as_str()) {
            let fault = Diagnostic::error(format!("`{key}` is no objective of this stage")).help(
                match nearest(key, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its objectives are {}", list(&names)),
                },
            );
            fields.fault(at.key(key).on_key(), fault);
        }
    }
    if values.iter().all(|weight| *weight == 0.0) && !values.is_empty() {
        fields.fault(at, Diagnostic::error("every weight is 0, so nothing would be learned"));
    }
    Weights::Static(values)
}

fn metrics() -> Vec<(&'static str, Metric)> {
    Metric::ALL.iter().map(|metric| (metric.name(), *metric)).collect()
}

fn evaluate(mut fields: Fields) -> Option<Block> {
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
                let fault = Diagnostic::error("`metrics` is empty, so nothing would be measured")
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
    fields.finish("an `evaluate` block");
    let action = action::Evaluate { split: split?.0, metrics: chosen, batch };
    Some(Block::Evaluate { model: model?, data: data?, split_at, action })
}

fn export(mut fields: Fields, folder: &Path) -> Option<Block> {
    let model = required_ref(&mut fields, "model", "the train stage to export");
    let to = fields.text("to").map(|(name, at)| source(name, at, folder));
    fields.finish("an `export` block");
    Some(Block::Export { model: model?, to })
}

fn required_ref(fields: &mut Fields, name: &'static str, what: &str) -> Option<Ref> {
    let before = fields.faults.len();
    let found = fields.text(name).map(|(stage, at)| Ref { stage, at });
    if found.is_none() && fields.faults.len() == before {
        fields.missing(name, what);
    }
    found
}

pub(super) fn source(name: String, at: At, folder: &Path) -> Source {
    Source { path: folder.join(&name), name, at }
}
