//! Holds the streaming META-TARTAN step to the literal algorithm, computed by `PyTorch` in float64.
//! `tests/fixtures/make_meta.py` makes the numbers and says what they are.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tartan::action::{self, Meta, Schedule, Weights};
use tch::{Kind, Tensor, no_grad};

use super::{examples, read_tensors};
use crate::learn::head;
use crate::learn::job::{Job, Loss};
use crate::learn::meta::{DevUse, Probe};
use crate::learn::optimiser::lr_factor;
use crate::learn::step::{StepSize, Trainer};
use crate::learn::weighting::MetaWeights;
use crate::learn::weights::Tensors;

#[derive(Deserialize)]
struct Settings {
    classes: usize,
    aux_classes: usize,
    micro_steps: usize,
    planned_steps: u64,
    warmup_steps: u64,
    clip: f64,
    body: action::AdamW,
    head: action::AdamW,
    runs: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
struct Described {
    steps: u64,
    attend_pads: bool,
    meta: Meta,
}

/// How far off each number may be.
struct Tolerance {
    kind: Kind,
    figures: f64,
    parameters: f64,
}

const DOUBLE: Tolerance = Tolerance { kind: Kind::Double, figures: 1e-10, parameters: 1e-10 };
const FLOAT: Tolerance = Tolerance { kind: Kind::Float, figures: 1e-4, parameters: 1e-4 };

struct Fixture {
    settings: Settings,
    tensors: Tensors,
}

impl Fixture {
    fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/numerics");
        let described = std::fs::read(folder.join("meta.json")).unwrap();
        let tensors = read_tensors(&folder.join("meta.safetensors"));
        Self { settings: serde_json::from_slice(&described).unwrap(), tensors }
    }

    fn under(&self, prefix: &str) -> Tensors {
        super::under(&self.tensors, prefix)
    }

    fn job(&self, family: &str, run: &Described) -> Job {
        let Settings { classes, aux_classes, micro_steps, body, head, clip, .. } = &self.settings;
        let mut job = super::Fixture::load(family).job();
        job.settings.micro_steps = *micro_steps as u64;
        (job.settings.body, job.settings.head, job.settings.clip) = (*body, *head, *clip);
        job.settings.attend_pads = run.attend_pads;
        job.settings.weights = Weights::Meta(Box::new(run.meta.clone()));
        job.weights = self.under(&format!("{family}/start/"));
        job.head = Some(self.under(&format!("{family}/start/head.")));
        job.tasks[0].loss = Loss::Classify { classes: *classes, dropout: 0.0 };
        job.tasks[2].loss = Loss::Classify { classes: *aux_classes, dropout: 0.0 };
        job
    }

    fn check(&self, family: &str, name: &str, tolerance: &Tolerance) {
        let run = &self.settings.runs[name];
        let job = self.job(family, run);
        let mut trainer = job.trainer(tolerance.kind);
        for (name, value) in self.under(&format!("{family}/start/aux_head.")) {
            let leaf = &trainer.heads.as_ref().unwrap().params.leaves()[&format!("auxiliary/1.{name}")];
            no_grad(|| leaf.shallow_clone().copy_(&value));
        }
        let mut weights = MetaWeights::new(&run.meta, 3);
        let layout = job.layout();
        assert_eq!(layout.attend_pads, run.attend_pads);
        let expect = |what: &str| &self.tensors[&format!("{family}/{name}/{what}")];
        let row = |what: &str, at: u64| expect(what).get(i64::try_from(at).unwrap());
        let check = |what: &str, found: &[f64], expected: &Tensor| {
            let off = (Tensor::from_slice(found) - expected).abs().max().double_value(&[]);
            assert!(off < tolerance.figures, "{family} {name}: {what} is off by {off:e}");
        };

        for step in 0..run.steps {
            check("the logits", &weights.state().logits, &row("logits", step));
            let coefficients = weights.weights();
            check("the weights", &coefficients, &row("weights", step));
            let size = StepSize {
                micro_steps: self.settings.micro_steps,
                weights: &coefficients,
                lr_factor: lr_factor(
                    Schedule::Linear,
                    step,
                    self.settings.warmup_steps,
                    self.settings.planned_steps,
                ),
            };
            let texts = |at: String, mlm: bool| {
                examples(&self.tensors, &format!("{family}/{at}"), "ids", mlm, layout)
            };
            let mut dev = |which| match which {
                DevUse::Fit => texts(format!("dev_fit/{step}"), false),
                DevUse::Gradient => texts(format!("dev_gradient/{step}"), false),
            };
            let mut probe = Probe {
                settings: run.meta.clone(),
                head_specs: head::params(
                    "",
                    job.config.hidden,
                    i64::try_from(self.settings.classes).unwrap(),
                ),
                fresh_head: self.under(&format!("{family}/dev_head/{step}/")),
                head_dropout: 0.0,
                examples: &mut dev,
            };
            let updates = step.is_multiple_of(run.meta.every);
            let stepped = trainer
                .step(
                    size,
                    &mut |m, t| texts(format!("step/{step}/{m}/{t}"), t == 1),
                    updates.then_some(&mut probe),
                )
                .unwrap();
            let losses: Vec<f64> = stepped.losses.iter().map(|loss| loss.unwrap()).collect();
            check("a loss", &losses, &row("losses", step));
            let Some(found) = stepped.comparison else {
                assert!(!updates);
                continue;
            };
            check("a similarity", &found.similarities, &row("similarities", step));
            check("a norm", &found.norms, &row("norms", step));
            check("the dev norm", &[found.dev_norm], &row("dev_norm", step));
            check("the dev loss", &[found.dev_loss], &row("dev_loss", step));
            let fitting: Vec<f64> = Vec::try_from(row("dev_head_losses", step)).unwrap();
            let fitting: Vec<f64> = fitting.into_iter().take_while(|loss| !loss.is_nan()).collect();
            assert_eq!(found.dev_head_losses.len(), fitting.len(), "{family} {name}: steps of the fitting");
            if !fitting.is_empty() {
                check("a loss of the dev head", &found.dev_head_losses, &Tensor::from_slice(&fitting));
            }
            weights.update(&found.similarities);
        }
        check("the last logits", &weights.state().logits, &row("logits", run.steps));
        check("the last weights", &weights.weights(), &row("weights", run.steps));
        self.check_parameters(&format!("{family}/{name}/end/"), &trainer, tolerance);
    }

    fn check_parameters(&self, prefix: &str, trainer: &Trainer, tolerance: &Tolerance) {
        let expected = self.under(prefix);
        if expected.is_empty() {
            return;
        }
        let body = trainer.body.params.leaves().iter().map(|(name, leaf)| (name.clone(), leaf));
        let heads = trainer.heads.as_ref().unwrap().params.leaves();
        let fixture_name =
            |name: &str| name.replace("end_task.", "head.").replace("auxiliary/1.", "aux_head.");
        let found: BTreeMap<String, &Tensor> =
            body.chain(heads.iter().map(|(name, leaf)| (fixture_name(name), leaf))).collect();
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (name, value) in found {
            // The attention's softmax takes out what every key has in common: in float32 rounding is all
            // that moves it, and Adam makes that as large as any step.
            if name.ends_with("key.bias") && tolerance.kind == Kind::Float {
                continue;
            }
            let off = (value - &expected[&name]).abs().max().double_value(&[]);
            assert!(off < tolerance.parameters, "{prefix}{name} is off by {off:e}");
        }
    }
}

#[test]
fn twelve_steps_are_as_in_the_literal_algorithm() {
    let fixture = Fixture::load();
    for family in ["bert", "roberta"] {
        fixture.check(family, "plain", &DOUBLE);
        fixture.check(family, "plain", &FLOAT);
    }
}

#[test]
fn every_switch_is_as_in_the_literal_algorithm() {
    let fixture = Fixture::load();
    assert_eq!(fixture.settings.runs.len(), 12);
    for name in fixture.settings.runs.keys() {
        fixture.check("bert", name, &DOUBLE);
    }
}

#[test]
fn the_fixture_has_teeth() {
    // Padded batches, weights that part, fittings that stop early and that do not.
    let fixture = Fixture::load();
    let weights = fixture.tensors["bert/plain/weights"].get(12);
    assert!((weights.max() - weights.min()).double_value(&[]) > 0.1, "{weights:?}");
    let fitted = fixture.tensors["bert/plain/dev_head_losses"].isnan().logical_not().sum_dim_intlist(
        1,
        false,
        Kind::Int64,
    );
    let fitted: Vec<i64> = Vec::try_from(fitted).unwrap();
    assert!(fitted.iter().filter(|steps| **steps < 10).count() >= 2, "{fitted:?}");
    assert!(fitted.iter().filter(|steps| **steps == 10).count() >= 2, "{fitted:?}");
    let lengths: Vec<i64> = Vec::try_from(&fixture.tensors["bert/step/0/0/0/lengths"]).unwrap();
    assert!(
        lengths.iter().any(|length| *length < lengths[0]) || lengths[1..].iter().any(|l| *l > lengths[0])
    );
}
