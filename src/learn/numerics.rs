//! Holds the model, the losses, every gradient and ten steps of MT-TARTAN to what `transformers` and
//! `PyTorch` compute in float64. `tests/fixtures/make_numerics.py` makes the numbers.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use tartan::action::{self, Precision, Schedule, Vocabulary};
use tartan::data::batch::Batch;
use tartan::data::mask::Masked;
use tartan::data::split::Split;
use tch::{Device, Kind, Tensor};

use super::config::Config;
use super::job::{Job, Loss, Task};
use super::optimiser::lr_factor;
use super::step::{Examples, Part, StepSize, Stepped, Trainer};
use super::tokens::{Attention, Layout, Tokens};
use super::weighting::Weighting;
use super::weights::Tensors;

mod meta;

const TOLERANCE: f64 = 1e-10;

#[derive(Deserialize)]
struct Settings {
    steps: u64,
    warmup_steps: u64,
    micro_steps: usize,
    weights: Vec<f64>,
    body: action::AdamW,
    head: action::AdamW,
    clip: f64,
}

#[derive(Deserialize)]
struct Described {
    config: Value,
    settings: Settings,
    classes: usize,
}

/// One family's numbers.
struct Fixture {
    config: Config,
    settings: Settings,
    classes: usize,
    tensors: Tensors,
}

impl Fixture {
    fn load(family: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/numerics");
        let described = std::fs::read(folder.join(format!("{family}.json"))).unwrap();
        let Described { config, settings, classes } = serde_json::from_slice(&described).unwrap();
        let config = Config::from_json(config.to_string().as_bytes()).unwrap();
        let tensors = read_tensors(&folder.join(format!("{family}.safetensors")));
        Self { config, settings, classes, tensors }
    }

    fn examples(&self, at: &str, ids: &str, mlm: bool) -> Examples {
        examples(&self.tensors, at, ids, mlm, self.job().layout())
    }

    fn under(&self, prefix: &str) -> Tensors {
        under(&self.tensors, prefix)
    }

    /// An end-task and two auxiliary objectives.
    fn job(&self) -> Job {
        let pad = u32::try_from(self.config.pad.unwrap()).unwrap();
        let task = |loss| Task { name: String::new(), loss, train: Split::default(), batch: 1 };
        let mlm = Loss::Mlm { rate: 0.15, mask: 4 };
        let settings = serde_json::json!({
            "length": {"steps": self.settings.steps}, "batch": 1, "auxiliary_batch": 1, "seed": 0,
            "micro_steps": self.settings.micro_steps, "body": self.settings.body, "head": self.settings.head,
            "warmup": 0.2, "clip": self.settings.clip, "patience": 0, "metric": "accuracy",
        });
        Job {
            settings: serde_json::from_value(settings).unwrap(),
            config: self.config.clone(),
            vocabulary: Vocabulary { size: 48, pad, mask: Some(4), special: vec![pad], max_positions: 18 },
            weights: self.under("start/"),
            head: Some(self.under("start/head.")),
            tasks: vec![task(Loss::Classify { classes: self.classes, dropout: 0.0 }), task(mlm), task(mlm)],
            weighting: Weighting::Fixed(self.settings.weights.clone()),
            end_task: true,
            dev: None,
            device: Device::Cpu,
        }
    }

    /// A trainer in float64, as the loop makes it.
    fn trainer(&self) -> Trainer {
        self.job().trainer(Kind::Double)
    }
}

/// The tensors of a fixture.
fn read_tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let shape: Vec<i64> = view.shape().iter().map(|&n| i64::try_from(n).unwrap()).collect();
        let kind = match view.dtype() {
            Dtype::F64 => Kind::Double,
            Dtype::I64 => Kind::Int64,
            other => panic!("{name} holds {other:?}"),
        };
        (name, Tensor::from_data_size(view.data(), &shape, kind))
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// The tensors under a prefix, without it.
fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    let of = |(name, tensor): (&String, &Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    tensors.iter().filter_map(of).collect()
}

fn integers(tensors: &Tensors, name: &str) -> Vec<i64> {
    Vec::try_from(tensors[name].reshape([-1])).unwrap()
}

/// The texts at `at`, whose pads go unless they are attended to; and where each of the padded places that
/// are left came to lie.
fn batch(tensors: &Tensors, at: &str, ids: &str, attend_pads: bool) -> (Batch, BTreeMap<i64, i64>) {
    let ids = &tensors[&format!("{at}/{ids}")];
    let width = usize::try_from(ids.size()[1]).unwrap();
    let mut lengths: Vec<usize> = integers(tensors, &format!("{at}/lengths"))
        .into_iter()
        .map(|length| usize::try_from(length).unwrap())
        .collect();
    if attend_pads {
        lengths.fill(width);
    }
    let ids: Vec<i64> = Vec::try_from(ids.reshape([-1])).unwrap();
    let kept: Vec<usize> = (0..ids.len()).filter(|place| place % width < lengths[place / width]).collect();
    let labels = format!("{at}/labels");
    let batch = Batch {
        ids: kept.iter().map(|&place| ids[place]).collect(),
        lengths,
        labels: if tensors.contains_key(&labels) { integers(tensors, &labels) } else { vec![] },
    };
    let places = kept.into_iter().map(|place| i64::try_from(place).unwrap()).zip(0..).collect();
    (batch, places)
}

/// The examples at `at`, as training would have made them.
fn examples(tensors: &Tensors, at: &str, ids: &str, mlm: bool, layout: Layout) -> Examples {
    let (batch, places) = batch(tensors, at, ids, layout.attend_pads);
    if !mlm {
        return Examples::classify(&batch, layout, 0);
    }
    let targets = integers(tensors, &format!("{at}/targets"));
    let chosen: Vec<i64> =
        integers(tensors, &format!("{at}/chosen")).iter().map(|place| places[place]).collect();
    let mut start = 0;
    let part = |part: &Batch| {
        let tokens = start..start + i64::try_from(part.ids.len()).unwrap();
        start = tokens.end;
        let of_part =
            |(place, target): (&i64, &i64)| tokens.contains(place).then_some((place - tokens.start, *target));
        let (chosen, targets) = chosen.iter().zip(&targets).filter_map(of_part).unzip();
        Part::mlm(part, &Masked { ids: part.ids.clone(), chosen, targets }, layout)
    };
    Examples { parts: layout.parts(&batch).iter().map(part).collect(), seed: 0 }
}

/// Every parameter of a trainer under the fixture's names, mapped by `of`.
fn parameters(trainer: &Trainer, of: fn(&Tensor) -> Tensor) -> Tensors {
    let body = trainer.body.params.leaves().iter().map(|(name, leaf)| (name.clone(), of(leaf)));
    let heads = trainer.heads.as_ref().unwrap().params.leaves();
    let head = heads.iter().map(|(name, leaf)| (name.replace("end_task.", "head."), of(leaf)));
    body.chain(head).collect()
}

fn losses(stepped: &Stepped) -> Vec<f64> {
    stepped.losses.iter().map(|loss| loss.unwrap()).collect()
}

fn check(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "shape of {what}");
    assert_eq!(found.kind(), Kind::Double, "kind of {what}");
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference < TOLERANCE, "{what} is off by {difference:e}");
}

/// The gradients of one pass; and again with attention laid out as on a GPU.
fn check_gradients(fixture: &Fixture, prefix: &str, examples: &mut Examples, objective: usize, loss: &str) {
    check_gradients_as_laid_out(fixture, prefix, examples, objective, loss);
    let (batch, _) = batch(&fixture.tensors, "one", "ids", false);
    examples.parts[0].tokens.attention = Attention::padded(&batch.lengths, Device::Cpu);
    check_gradients_as_laid_out(fixture, prefix, examples, objective, loss);
}

fn check_gradients_as_laid_out(
    fixture: &Fixture,
    prefix: &str,
    examples: &Examples,
    objective: usize,
    loss: &str,
) {
    let mut trainer = fixture.trainer();
    trainer.body.params.zero_grad();
    trainer.dropout = false;
    let found = trainer.backward(objective, examples, 1.0).unwrap();
    check(loss, &found, &fixture.tensors[loss]);
    let expected = fixture.under(prefix);
    for (name, gradient) in parameters(&trainer, Tensor::grad) {
        match expected.get(&name) {
            Some(expected) => check(&format!("{prefix}{name}"), &gradient, expected),
            None => check(&format!("{prefix}{name}"), &gradient, &gradient.zeros_like()),
        }
    }
    assert!(expected.len() > 30, "only {} gradients under {prefix}", expected.len());
}

fn check_family(family: &str) {
    let fixture = Fixture::load(family);

    let Part { mut tokens, .. } = fixture.examples("one", "ids", false).parts.remove(0);
    let (batch, places) = batch(&fixture.tensors, "one", "ids", false);
    let places: Vec<i64> = places.into_keys().collect();
    let expected = fixture.tensors["one/hidden"].flatten(0, 1).index_select(0, &Tensor::from_slice(&places));
    let all = Tensor::arange(tokens.ids.size()[0], (Kind::Int64, Device::Cpu));
    let hidden = |tokens: &Tokens| fixture.trainer().model.encoder.forward(tokens, &all, None).hidden;
    check("the hidden states", &hidden(&tokens), &expected);
    tokens.attention = Attention::padded(&batch.lengths, Device::Cpu);
    check("the hidden states, padded on the way", &hidden(&tokens), &expected);

    check_gradients(
        &fixture,
        "mlm_grad/",
        &mut fixture.examples("one", "masked_ids", true),
        1,
        "one/mlm_loss",
    );
    check_gradients(
        &fixture,
        "classify_grad/",
        &mut fixture.examples("one", "ids", false),
        0,
        "one/classify_loss",
    );

    check_steps(&fixture, fixture.job().layout());
    // Each text a part of its own.
    check_steps(&fixture, Layout { tokens_at_once: 1, ..fixture.job().layout() });
}

fn check_steps(fixture: &Fixture, layout: Layout) {
    let mut trainer = fixture.trainer();
    let Settings { steps, warmup_steps, micro_steps, weights, .. } = &fixture.settings;
    for step in 0..*steps {
        let lr_factor = lr_factor(Schedule::Linear, step, *warmup_steps, *steps);
        let size = StepSize { micro_steps: *micro_steps, weights, lr_factor };
        let mut of = |m, t| examples(&fixture.tensors, &format!("step/{step}/{m}/{t}"), "ids", t > 0, layout);
        let stepped = trainer.step(size, &mut of, None).unwrap();
        let expected = fixture.tensors["losses"].get(i64::try_from(step).unwrap());
        check(&format!("the losses of step {step}"), &Tensor::from_slice(&losses(&stepped)), &expected);
    }
    let expected = fixture.under("end/");
    let found = parameters(&trainer, Tensor::detach);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, value) in found {
        check(&format!("`{name}` after {steps} steps"), &value, &expected[&name]);
        // The attention's softmax takes out what every key has in common.
        if name.ends_with("key.bias") {
            continue;
        }
        let moved = (&value - &fixture.tensors[&format!("start/{name}")]).abs().max().double_value(&[]);
        assert!(moved > 1e-3, "`{name}` has hardly moved: {moved:e}");
    }
}

/// Ten steps in bfloat16 give the reference's losses and parameters as far as its eight bits reach.
#[test]
fn bf16_follows_the_reference() {
    for family in ["bert", "roberta"] {
        let fixture = Fixture::load(family);
        let mut job = fixture.job();
        job.settings.precision = Precision::Bf16;
        let mut trainer = job.trainer(Kind::Float);
        let Settings { steps, warmup_steps, micro_steps, weights, .. } = &fixture.settings;
        for step in 0..*steps {
            let lr_factor = lr_factor(Schedule::Linear, step, *warmup_steps, *steps);
            let size = StepSize { micro_steps: *micro_steps, weights, lr_factor };
            let mut examples = |m, t| fixture.examples(&format!("step/{step}/{m}/{t}"), "ids", t > 0);
            let stepped = trainer.step(size, &mut examples, None).unwrap();
            let expected = fixture.tensors["losses"].get(i64::try_from(step).unwrap());
            let off = (Tensor::from_slice(&losses(&stepped)) / expected - 1.0).abs().max().double_value(&[]);
            assert!(off < 2e-2, "{family}: a loss of step {step} is off by {off:e} of itself");
        }
        // How far the parameters have moved, and by how much that differs, over all of them.
        let (mut moved, mut off) = (0.0, 0.0);
        let expected = fixture.under("end/");
        for (name, value) in parameters(&trainer, Tensor::detach) {
            let square = |x: Tensor| x.square().sum(Kind::Double).double_value(&[]);
            moved += square(&expected[&name] - &fixture.tensors[&format!("start/{name}")]);
            off += square(value.to_kind(Kind::Double) - &expected[&name]);
        }
        let relative = (off / moved).sqrt();
        assert!(relative < 0.1, "{family}: off by {relative} of the way");
    }
}

#[test]
fn bert_is_as_in_transformers() {
    check_family("bert");
}

#[test]
fn roberta_is_as_in_transformers() {
    check_family("roberta");
}

#[test]
fn a_loss_that_is_not_finite_changes_nothing() {
    let fixture = Fixture::load("bert");
    let mut trainer = fixture.trainer();
    let before = trainer.snapshot();
    let weights = [1.0, f64::INFINITY, 1.0];
    let size = StepSize { micro_steps: 1, weights: &weights, lr_factor: 1.0 };
    let found =
        trainer.step(size, &mut |m, t| fixture.examples(&format!("step/0/{m}/{t}"), "ids", t > 0), None);
    assert_eq!(found, Err(super::step::NotFinite::BodyGradient));

    let mut broken = fixture.trainer();
    let bias = &broken.heads.as_ref().unwrap().params.leaves()["end_task.out_proj.bias"];
    tch::no_grad(|| drop(bias.shallow_clone().fill_(f64::NAN)));
    let size = StepSize { weights: &fixture.settings.weights, ..size };
    let found =
        broken.step(size, &mut |m, t| fixture.examples(&format!("step/0/{m}/{t}"), "ids", t > 0), None);
    assert_eq!(found, Err(super::step::NotFinite::Loss(0)));
    for trainer in [&trainer, &broken] {
        assert_eq!(trainer.snapshot().0, before.0);
    }
}
