//! What there is to train on, and the trainer that it makes: objectives, heads, streams of chance.

use tartan::action::{self, Length, Meta, Precision, Train, Vocabulary, Weights};
use tartan::data::batch::Batch;
use tartan::data::mask::mask;
use tartan::data::rng;
use tartan::data::split::Split;
use tch::{Device, Kind};

use super::config::{Config, Spec};
use super::encoder::Encoder;
use super::head::{self, Head};
use super::lm_head::LmHead;
use super::meta::{DevUse, Probe};
use super::params::Params;
use super::step::{Examples, Group, Model, Part, Trainer};
use super::tokens::Layout;
use super::weighting::Weighting;
use super::weights::{self, Tensors};

/// An objective and its data.
#[derive(Debug)]
pub struct Task {
    /// What to call it in messages. It reaches no output.
    pub name: String,
    /// The loss, bound to its examples.
    pub loss: Loss,
    /// The texts to train on, at least one.
    pub train: Split,
    /// Texts a micro-step.
    pub batch: usize,
}

/// A loss, with all that it needs but the texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Cross-entropy of the labels.
    Classify {
        /// Labels below this number.
        classes: usize,
        /// Dropout of the head.
        dropout: f64,
    },
    /// Cross-entropy of the chosen tokens.
    Mlm {
        /// The chance of a token to be chosen.
        rate: f64,
        /// The mask token.
        mask: u32,
    },
}

/// What to train, on what, and how.
#[derive(Debug)]
pub struct Job {
    /// How.
    pub settings: action::Train,
    /// The encoder's configuration.
    pub config: Config,
    /// The tokens' meaning.
    pub vocabulary: Vocabulary,
    /// The encoder and the LM head to start from.
    pub weights: Tensors,
    /// The end-task's head to start from, under `dense` and `out_proj`; absent: a fresh one.
    pub head: Option<Tensors>,
    /// The objectives, the end-task first where there is one.
    pub tasks: Vec<Task>,
    /// How they are weighed.
    pub weighting: Weighting,
    /// Whether the first of `tasks` is the end-task.
    pub end_task: bool,
    /// The end-task's dev split, where it has one. Learning weights needs it.
    pub dev: Option<Split>,
    /// Where to compute.
    pub device: Device,
}

impl Job {
    /// What chance is used for, so that each objective has streams of its own.
    pub fn purpose(&self, task: usize) -> String {
        match (self.end_task, task) {
            (true, 0) => "end_task".to_owned(),
            (true, task) => format!("auxiliary/{}", task - 1),
            (false, task) => format!("auxiliary/{task}"),
        }
    }

    /// How texts are laid out.
    pub fn layout(&self) -> Layout {
        let Train { precision, attend_pads, .. } = self.settings;
        Layout::new(&self.config, &self.vocabulary, self.device, precision, attend_pads)
    }

    /// How the weights are learned, where they are.
    pub fn meta(&self) -> Option<&Meta> {
        match (&self.weighting, &self.settings.weights) {
            (Weighting::Learned(_), Weights::Meta(meta)) => Some(meta),
            _ => None,
        }
    }

    /// A fresh trainer on the job's parameters, which are held in `kind`.
    pub fn trainer(&self, kind: Kind) -> Trainer {
        let (config, settings) = (&self.config, &self.settings);
        // An LM head that no objective trains stays as it is: it would only decay.
        let mut body_specs = config.encoder_params();
        if self.trains_lm_head() {
            body_specs.extend(config.lm_head_params());
        }
        let body = Params::new(&body_specs, &self.weights, kind, self.device);
        let body = match settings.precision {
            Precision::Float32 | Precision::Tf32 => body,
            Precision::Bf16 => body.computing_in(Kind::BFloat16),
        };
        let lm_head: Vec<String> = config.lm_head_params().into_iter().map(|spec| spec.name).collect();
        let encoder_ranges = body.ranges(|name| !lm_head.iter().any(|of_lm_head| of_lm_head == name));

        let mut head_specs: Vec<Spec> = vec![];
        let mut head_tensors = Tensors::new();
        for (t, task) in self.tasks.iter().enumerate() {
            let Loss::Classify { classes, .. } = task.loss else { continue };
            let specs = self.head_specs(&self.head_prefix(t), classes);
            head_tensors.extend(weights::make(&specs, head::INITIALIZER_RANGE, settings.seed, "head/"));
            head_specs.extend(specs);
        }
        if let Some(head) = &self.head {
            let prefix = self.head_prefix(0);
            let named =
                |(name, tensor): (&String, &tch::Tensor)| (format!("{prefix}{name}"), tensor.shallow_clone());
            head_tensors.extend(head.iter().map(named));
        }
        let heads =
            (!head_specs.is_empty()).then(|| Params::new(&head_specs, &head_tensors, kind, self.device));
        let ranges_of = |t: usize| {
            let prefix = self.head_prefix(t);
            heads.as_ref().map(|heads| heads.ranges(|name| name.starts_with(&prefix))).unwrap_or_default()
        };

        let head = |(t, task): (usize, &Task)| match task.loss {
            Loss::Classify { dropout, .. } => {
                heads.as_ref().map(|heads| Head::new(heads.leaves(), &self.head_prefix(t), dropout))
            }
            Loss::Mlm { .. } => None,
        };
        let model = Model {
            encoder: Encoder::new(config, body.leaves(), body.computed()),
            lm_head: self.trains_lm_head().then(|| LmHead::new(config, body.leaves(), body.computed())),
            heads: self.tasks.iter().enumerate().map(head).collect(),
        };
        Trainer {
            model,
            encoder_ranges,
            head_ranges: (0..self.tasks.len()).map(ranges_of).collect(),
            body: Group::new(body, settings.body),
            heads: heads.map(|heads| Group::new(heads, settings.head)),
            dropout: settings.dropout,
            clip: settings.clip,
            buffers: None,
            updating: false,
        }
    }

    /// Under what the head of an objective is named among all heads.
    pub fn head_prefix(&self, task: usize) -> String {
        format!("{}.", self.purpose(task))
    }

    fn head_specs(&self, prefix: &str, classes: usize) -> Vec<Spec> {
        head::params(prefix, self.config.hidden, i64::try_from(classes).unwrap_or(i64::MAX))
    }

    fn trains_lm_head(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task.loss, Loss::Mlm { .. }))
    }

    /// What objective `t` trains on in its micro-step `count`, counted from the start of training.
    pub fn examples(&self, t: usize, texts: &[usize], count: u64, layout: Layout) -> Examples {
        let (task, purpose) = (&self.tasks[t], self.purpose(t));
        let batch = layout.collate(&task.train, texts);
        let dropout_seed = self.dropout_seed(&purpose, count);
        match task.loss {
            Loss::Classify { .. } => Examples::classify(&batch, layout, dropout_seed),
            Loss::Mlm { rate, mask: mask_token } => {
                let mut stream = rng::stream(self.settings.seed, &format!("mask/{purpose}"), count);
                let part = |part: &Batch| {
                    let masked = mask(part, &self.vocabulary, mask_token, rate, &mut stream);
                    Part::mlm(part, &masked, layout)
                };
                let parts = layout.parts(&batch).iter().map(part).collect();
                Examples { parts, seed: dropout_seed }
            }
        }
    }

    /// The seed of the dropout of one pass.
    pub fn dropout_seed(&self, purpose: &str, count: u64) -> u64 {
        rng::seed_of(self.settings.seed, &format!("dropout/{purpose}"), count)
    }

    /// What the gradients of the step after `done` steps are compared with: labelled texts that `examples`
    /// gives, through a dev head that was never used. Nothing unless this step updates the weights.
    pub fn probe<'a>(&self, done: u64, examples: &'a mut dyn FnMut(DevUse) -> Examples) -> Option<Probe<'a>> {
        let meta = self.meta().filter(|meta| done.is_multiple_of(meta.every))?;
        let Loss::Classify { classes, dropout } = self.tasks.first()?.loss else { return None };
        let head_specs = self.head_specs("", classes);
        let (seed, purpose) = (self.settings.seed, format!("dev_head/{done}/"));
        let fresh_head = weights::make(&head_specs, head::INITIALIZER_RANGE, seed, &purpose);
        Some(Probe { settings: meta.clone(), head_specs, fresh_head, head_dropout: dropout, examples })
    }

    /// Texts of the largest auxiliary corpus, or of the end-task where there is none.
    pub fn texts_per_epoch(&self) -> u64 {
        let auxiliary = self.tasks.iter().skip(usize::from(self.end_task)).map(|task| task.train.len()).max();
        auxiliary
            .or_else(|| self.tasks.first().map(|task| task.train.len()))
            .map_or(1, |texts| texts.max(1) as u64)
    }

    /// Texts that an optimiser step takes of the corpus that an epoch is counted by.
    pub fn texts_per_step(&self) -> u64 {
        let batch = self.tasks.last().map_or(1, |task| task.batch) as u64;
        batch.saturating_mul(self.settings.micro_steps).max(1)
    }

    /// Optimiser steps to do.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of steps, at least 0"
    )]
    pub fn planned_steps(&self) -> u64 {
        match self.settings.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                let steps = epochs * self.texts_per_epoch() as f64 / self.texts_per_step() as f64;
                // A hair less, so that 1.1 epochs of 10 steps are 11 and not 12.
                ((steps - 1e-9).ceil() as u64).max(1)
            }
        }
    }
}
