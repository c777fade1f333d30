//! The fields of `train` and `learn-weights`: one loop, and so nearly one block.

use std::collections::BTreeSet;

use super::fields::{Fields, Range, not_in_range, number, whole};
use super::kinds::{Context, metrics, refs, required_ref};
use super::vars::Vars;
use super::yaml::{At, Node};
use super::{Block, Ref};
use crate::action::{
    self, AdamW, Checkpoint, DevHead, DevHeadFit, GradientAt, Learned, Length, Meta, MetaOptimizer, Metric,
    Precision, Schedule, Similarity, Weights,
};
use crate::diag::{Code, Diagnostic, MEANT, list, nearest};

/// Reads a `train` block.
pub(super) fn train(mut fields: Fields, vars: &Vars, context: &Context) -> Block {
    let init = required_ref(&mut fields, "init", "the encoder or train stage to start from");
    let objectives = Objectives::read(&mut fields, context);
    if objectives.sound && objectives.names().is_empty() {
        fields.missing("end_task", "a train stage has an `end_task`, `auxiliary` objectives, or both");
    }
    let (weights, weights_from) = weights(&mut fields, &objectives, vars);
    let (checkpoint, action) = training(&mut fields, vars, weights);
    fields.finish("a `train` block");
    let Objectives { end_task, auxiliary, .. } = objectives;
    Block::Train { init, end_task, auxiliary, weights_from, checkpoint, action }
}

/// Reads a `learn-weights` block.
pub(super) fn learn_weights(mut fields: Fields, vars: &Vars, context: &Context) -> Block {
    let init = required_ref(&mut fields, "init", "the encoder or train stage to start from");
    let objectives = Objectives::read(&mut fields, context);
    if objectives.sound && objectives.end_task.is_none() {
        fields.missing("end_task", "weights are learned for an end-task, from its dev split");
    }
    let (node, at) = fields.take("meta").unwrap_or_else(|| (Node::Map(vec![]), fields.at.clone()));
    let (checkpoint, action) = training(&mut fields, vars, Weights::Uniform);
    let (batch, body) = (action.batch, action.body);
    let meta = Fields::of(&node, "`meta`", at, vars, fields.faults)
        .map(|fields| meta_fields(fields, vars, &objectives, batch, body));
    fields.finish("a `learn-weights` block");
    let Objectives { end_task, auxiliary, .. } = objectives;
    let weights = meta.map_or(Weights::Uniform, |meta| Weights::Meta(Box::new(meta)));
    let action = action::Train { weights, ..action };
    Block::Train { init, end_task, auxiliary, weights_from: None, checkpoint, action }
}

/// The optimiser's defaults (the paper's scripts).
const ADAMW: AdamW = AdamW { lr: 1e-4, weight_decay: 0.01, betas: (0.9, 0.98), eps: 1e-6 };

/// What a block trains on.
struct Objectives {
    end_task: Option<Ref>,
    auxiliary: Vec<Ref>,
    /// Names that could not be read have been reported; nothing follows from them.
    sound: bool,
    /// Whether none looks like a slip of a stage's name, which is for the plan to tell: what is said of weights is meant
    /// for that stage.
    known: bool,
}

impl Objectives {
    fn read(fields: &mut Fields, context: &Context) -> Self {
        let before = fields.faults.len();
        let end_task = fields.text("end_task").map(|(stage, at)| Ref { stage, at });
        let auxiliary = refs(fields, "auxiliary", context);
        let sound = fields.faults.len() == before;
        let objectives: Vec<&Ref> = end_task.iter().chain(&auxiliary).collect();
        let mut seen = BTreeSet::new();
        for objective in &objectives {
            if !seen.insert(&objective.stage) {
                let fault = Diagnostic::error(
                    Code::RepeatedObjective,
                    format!("objective `{}` is named twice", objective.stage),
                )
                .help("name it once; if it is to count more, give it a weight under `weights`");
                fields.fault(objective.at.clone(), fault);
            }
        }
        let is_slip = |of: &&Ref| {
            let stages = context.stages;
            !stages.contains(of.stage.as_str())
                && nearest(&of.stage, stages.iter().take(MEANT).copied()).is_some()
        };
        let known = sound && !objectives.iter().any(is_slip);
        Self { end_task, auxiliary, sound, known }
    }

    /// The end-task's name first, where there is one.
    fn names(&self) -> Vec<&str> {
        self.end_task.iter().chain(&self.auxiliary).map(|objective| objective.stage.as_str()).collect()
    }
}

/// The fields that both kinds have.
fn training(fields: &mut Fields, vars: &Vars, weights: Weights) -> (Option<Checkpoint>, action::Train) {
    let length = length(fields);
    let body = AdamW {
        betas: betas(fields).unwrap_or(ADAMW.betas),
        lr: fields.number("lr", Range::NotNegative).unwrap_or(ADAMW.lr),
        weight_decay: fields.number("weight_decay", Range::NotNegative).unwrap_or(ADAMW.weight_decay),
        eps: fields.number("eps", Range::Positive).unwrap_or(ADAMW.eps),
    };
    let mut head = AdamW { lr: 1e-3, weight_decay: 0.1, ..body };
    if let Some((node, at)) = fields.take("head")
        && let Some(mut fields) = Fields::of(&node, "`head`", at, vars, fields.faults)
    {
        head.lr = fields.number("lr", Range::NotNegative).unwrap_or(head.lr);
        head.weight_decay = fields.number("weight_decay", Range::NotNegative).unwrap_or(head.weight_decay);
        fields.finish("a `head` block");
    }
    let checkpoint = checkpoint(fields, vars);
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
        evaluate_every: evaluate_every(fields),
        patience: fields.count("patience", 0).unwrap_or(20),
        metric: fields.word("metric", &metrics()).unwrap_or(Metric::MacroF1),
        dropout: fields.truth("dropout").unwrap_or(true),
        attend_pads: fields.truth("attend_pads").unwrap_or(false),
        precision: precision(fields),
        seed: fields.count("seed", 0).unwrap_or(0),
    };
    (checkpoint, action)
}

/// `precision: bf16`; float32 where nothing is said.
pub(super) fn precision(fields: &mut Fields) -> Precision {
    let words = [("float32", Precision::Float32), ("tf32", Precision::Tf32), ("bf16", Precision::Bf16)];
    fields.word("precision", &words).unwrap_or_default()
}

fn length(fields: &mut Fields) -> Option<Length> {
    let before = fields.faults.len();
    let epochs = fields.number("epochs", Range::Positive).map(Length::Epochs);
    let steps = fields.count("steps", 1).map(Length::Steps);
    match (epochs, steps) {
        (Some(length), None) | (None, Some(length)) => Some(length),
        (Some(_), Some(_)) => {
            let at = fields.at.key("steps").on_key();
            fields.fault(
                at,
                Diagnostic::error(Code::Exclusive, "`epochs` and `steps` exclude each other")
                    .help("keep one of them"),
            );
            None
        }
        (None, None) => {
            if fields.faults.len() == before {
                fields.missing_one(&["epochs", "steps"], "how long to train, in `epochs` or `steps`");
            }
            None
        }
    }
}

/// `evaluate_every: 30` steps, or `evaluate_every: epoch`.
fn evaluate_every(fields: &mut Fields) -> Option<u64> {
    let Some((node, at)) = fields.take("evaluate_every") else { return Some(30) };
    if node == Node::Text("epoch".to_owned()) {
        return None;
    }
    let steps = whole(&node).filter(|steps| *steps > 0);
    if steps.is_none() {
        let fault = Diagnostic::error(
            not_in_range(&node),
            format!("`evaluate_every` is a number of steps or `epoch`, not {}", node.what()),
        );
        fields.fault(at, fault.help("such as `evaluate_every: 100`"));
    }
    steps
}

fn betas(fields: &mut Fields) -> Option<(f64, f64)> {
    let (node, at) = fields.take("betas")?;
    let sound = |beta: &f64| (0.0..1.0).contains(beta);
    if let Node::List(items) = &node
        && let [first, second] = items.as_slice()
        && let (Some(first), Some(second)) = (number(first).filter(sound), number(second).filter(sound))
    {
        return Some((first, second));
    }
    let fault = Diagnostic::error(
        Code::OutOfRange,
        format!("`betas` is two numbers, at least 0 and below 1, not {}", node.what()),
    );
    fields.fault(at, fault.help("such as `betas: [0.9, 0.98]`"));
    None
}

/// `checkpoint: {steps: 100}`, `checkpoint: {minutes: 5}`, or `checkpoint: false`; every ten minutes where
/// nothing is said.
fn checkpoint(fields: &mut Fields, vars: &Vars) -> Option<Checkpoint> {
    let Some((node, at)) = fields.take("checkpoint") else { return Some(Checkpoint::Minutes(10.0)) };
    if node == Node::Bool(false) {
        return None;
    }
    let here = at.clone();
    let mut fields = Fields::of(&node, "`checkpoint`", at, vars, fields.faults)?;
    let before = fields.faults.len();
    let steps = fields.count("steps", 1).map(Checkpoint::Steps);
    let minutes = fields.number("minutes", Range::Positive).map(Checkpoint::Minutes);
    if steps.is_some() == minutes.is_some() && fields.faults.len() == before {
        let fault = Diagnostic::error(Code::Exclusive, "`checkpoint` is either `steps` or `minutes`")
            .help("write `checkpoint: {minutes: 10}`, or `checkpoint: false` for none");
        fields.fault(here, fault);
    }
    fields.finish("a `checkpoint` block");
    steps.or(minutes)
}

/// `weights: uniform`, a number for each objective by its stage's name, or `{from: STAGE, use: final}`.
fn weights(fields: &mut Fields, objectives: &Objectives, vars: &Vars) -> (Weights, Option<Ref>) {
    let Some((node, at)) = fields.take("weights") else { return (Weights::Uniform, None) };
    if let Node::Map(block) = &node
        && block.iter().any(|(key, value)| key == "from" && matches!(value, Node::Text(_)))
    {
        let Some(mut fields) = Fields::of(&node, "`weights`", at, vars, fields.faults) else {
            return (Weights::Uniform, None);
        };
        let from = required_ref(&mut fields, "from", "the `learn-weights` stage");
        let words = [("final", Learned::Final), ("mean", Learned::Mean), ("replay", Learned::Replay)];
        let which = fields.word("use", &words).unwrap_or_default();
        fields.finish("a `weights` block");
        return (Weights::Learned(which), Some(from));
    }
    match node {
        Node::Text(word) if word == "uniform" => (Weights::Uniform, None),
        Node::Map(given) if objectives.known => {
            let values = by_objective(fields, &given, &at, "weights", &objectives.names());
            if values.iter().all(|weight| *weight == 0.0) && !values.is_empty() {
                fields.fault(
                    at,
                    Diagnostic::error(
                        Code::ObjectiveWeights,
                        "every weight is 0, so nothing would be learned",
                    )
                    .help("give one of them a weight above 0"),
                );
            }
            (Weights::Static(values), None)
        }
        Node::Map(_) => (Weights::Uniform, None),
        other => {
            let first = objectives.names().first().map_or("end-task", |name| *name).to_owned();
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`weights` is `uniform` or a number for each objective, not {}", other.what()),
            )
            .help(format!(
                "write `weights: {{{first}: 0.5, …}}`, or `weights: {{from: STAGE}}` for those that a \
                 `learn-weights` stage came to"
            ));
            fields.fault(at, fault);
            (Weights::Uniform, None)
        }
    }
}

/// A number, at least 0, for each objective, in the objectives' order. A loop's name gives its number to each
/// of the loop's stages that has none of its own.
fn by_objective(
    fields: &mut Fields,
    given: &[(String, Node)],
    at: &At,
    what: &str,
    names: &[&str],
) -> Vec<f64> {
    let mut values = vec![];
    let in_loop = |name: &str| name.split_once('@').map(|(of, _)| of.to_owned());
    for name in names {
        let own = given.iter().find(|(key, _)| key == name);
        let found = own.or_else(|| given.iter().find(|(key, _)| Some(key) == in_loop(name).as_ref()));
        match found.map(|(key, node)| (key, node, number(node))) {
            Some((_, _, Some(weight))) if weight >= 0.0 && weight.is_finite() => values.push(weight),
            Some((name, node, _)) => {
                let fault = Diagnostic::error(
                    not_in_range(node),
                    format!("the weight of `{name}` is a number at least 0, not {}", node.what()),
                );
                fields.fault(at.key(name), fault.help(format!("such as `{name}: 0.5`")));
            }
            // A slip of the pen is reported as that.
            None if given
                .iter()
                .any(|(key, _)| !names.contains(&key.as_str()) && nearest(key, [*name]).is_some()) => {}
            None => {
                let fault = Diagnostic::error(
                    Code::ObjectiveWeights,
                    format!("`{what}` says nothing of objective `{name}`"),
                )
                .help("give every objective of the stage a weight, 0 if it must be");
                fields.fault(at.on_key(), fault);
            }
        }
    }
    for (key, _) in given {
        if !names.contains(&key.as_str()) && !names.iter().any(|name| in_loop(name).as_ref() == Some(key)) {
            let fault =
                Diagnostic::error(Code::ObjectiveWeights, format!("`{key}` is no objective of this stage"))
                    .meant(key, names.iter().copied(), || format!("its objectives are {}", list(names)));
            fields.fault(at.key(key).on_key(), fault);
        }
    }
    values
}

/// The fields of `meta`. The dev head's optimiser has the betas and eps of the others, and a dev batch is as
/// large as the end-task's unless said otherwise.
fn meta_fields(mut fields: Fields, vars: &Vars, objectives: &Objectives, batch: u64, body: AdamW) -> Meta {
    let names = objectives.names();
    let optimizers =
        [("sgd", MetaOptimizer::Sgd), ("momentum", MetaOptimizer::Momentum), ("adam", MetaOptimizer::Adam)];
    let floor_at = fields.at.key("floor");
    let floor = fields.number("floor", Range::BelowOne).unwrap_or(0.0);
    if floor * names.len() as f64 >= 1.0 && objectives.sound {
        let most = 1.0 / names.len() as f64;
        let fault = Diagnostic::error(
            Code::InitialWeights,
            format!("{} objectives of at least {floor} each leave nothing to learn", names.len()),
        )
        .help(format!("choose a floor below {most:.3}"));
        fields.fault(floor_at, fault);
    }
    let meta = Meta {
        lr: fields.number("lr", Range::NotNegative).unwrap_or(1e-2),
        optimizer: fields.word("optimizer", &optimizers).unwrap_or_default(),
        similarity: fields
            .word("similarity", &[("cosine", Similarity::Cosine), ("dot", Similarity::Dot)])
            .unwrap_or_default(),
        jacobian: fields.truth("jacobian").unwrap_or(false),
        gradient_at: fields
            .word("gradient_at", &[("current", GradientAt::Current), ("next", GradientAt::Next)])
            .unwrap_or_default(),
        dev_head: dev_head(&mut fields, vars, body),
        dev_batch: fields.count("dev_batch", 1).unwrap_or(batch),
        disjoint_dev: fields.truth("disjoint_dev").unwrap_or(false),
        every: fields.count("every", 1).unwrap_or(1),
        initial: initial(&mut fields, objectives, floor),
        floor,
    };
    fields.finish("a `meta` block");
    meta
}

/// `initial: {end-task: 0.6, tapt: 0.4}`
fn initial(fields: &mut Fields, objectives: &Objectives, floor: f64) -> Option<Vec<f64>> {
    let (node, at) = fields.take("initial")?;
    let Node::Map(given) = &node else {
        let first = objectives.names().first().map_or("end-task", |name| *name).to_owned();
        let fault = Diagnostic::error(
            Code::WrongType,
            format!("`initial` is a number for each objective, not {}", node.what()),
        )
        .help(format!("write `initial: {{{first}: 0.5, …}}`"));
        fields.fault(at, fault);
        return None;
    };
    if !objectives.known {
        return None;
    }
    let names = objectives.names();
    let before = fields.faults.len();
    let values = by_objective(fields, given, &at, "initial", &names);
    if fields.faults.len() > before {
        return None;
    }
    let sum: f64 = values.iter().sum();
    if (sum - 1.0).abs() > 1e-6 {
        let fault =
            Diagnostic::error(Code::InitialWeights, format!("the initial weights sum to {sum}, not 1"))
                .help("divide each of them by that sum");
        fields.fault(at, fault);
        return None;
    }
    if let Some(low) = values.iter().position(|weight| *weight <= floor) {
        let fault = if floor > 0.0 {
            let what = format!("the initial weight of `{}` is not above the `floor` of {floor}", names[low]);
            Diagnostic::error(Code::InitialWeights, what).help("start it higher, or lower the floor")
        } else {
            Diagnostic::error(
                Code::InitialWeights,
                format!("the initial weight of `{}` is not above 0", names[low]),
            )
            .help("a weight is learned on a scale without 0: start it small, such as 0.01")
        };
        fields.fault(at.key(names[low]), fault);
        return None;
    }
    Some(values)
}

/// `dev_head: {steps: 10, batch: 32, …}`, or `dev_head: training`.
fn dev_head(fields: &mut Fields, vars: &Vars, body: AdamW) -> DevHead {
    let own = |fields: Option<Fields>| {
        let mut fit = DevHeadFit {
            steps: 10,
            batch: 32,
            optimizer: AdamW { lr: 1e-3, weight_decay: 0.1, ..body },
            tolerance: 1e-3,
            on_train: false,
        };
        if let Some(mut fields) = fields {
            fit.steps = fields.count("steps", 1).unwrap_or(fit.steps);
            fit.batch = fields.count("batch", 1).unwrap_or(fit.batch);
            fit.optimizer.lr = fields.number("lr", Range::NotNegative).unwrap_or(fit.optimizer.lr);
            fit.optimizer.weight_decay =
                fields.number("weight_decay", Range::NotNegative).unwrap_or(fit.optimizer.weight_decay);
            fit.tolerance = fields.number("tolerance", Range::NotNegative).unwrap_or(fit.tolerance);
            fit.on_train = fields.word("fit_on", &[("dev", false), ("train", true)]).unwrap_or(fit.on_train);
            fields.finish("a `dev_head` block");
        }
        DevHead::Own(fit)
    };
    match fields.take("dev_head") {
        None => own(None),
        Some((Node::Text(word), _)) if word == "training" => DevHead::Training,
        Some((node @ Node::Map(_), at)) => own(Fields::of(&node, "`dev_head`", at, vars, fields.faults)),
        Some((other, at)) => {
            let fault = Diagnostic::error(Code::WrongType, format!("`dev_head` is a block or `training`, not {}", other.what()))
                .help("`training` takes the head that is being trained; a block fits one of its own: `{steps: 10, batch: 32}`");
            fields.fault(at, fault);
            own(None)
        }
    }
}
