//! The training loop: end-task and auxiliary objectives at once, with fixed weights (MT-TARTAN; Dery et
//! al. 2022). With one objective it is plain fine-tuning, or plain pre-training.

use serde::Serialize;
use std::collections::BTreeMap;
use tartan::action::{self, Length, Metric, Vocabulary};
use tartan::data::batch::{Batch, Order};
use tartan::data::mask::mask;
use tartan::data::rng;
use tartan::data::split::Split;
use tch::{Device, Kind};

use super::config::{Config, Spec};
use super::encoder::{Encoder, LmHead};
use super::head::{self, Head};
use super::metrics::Confusion;
use super::optimiser::{lr_factor, warmup_steps};
use super::params::Params;
use super::predict::{most_probable, predict};
use super::step::{Examples, Group, Model, NotFinite, StepSize, Trainer};
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
    /// One coefficient an objective.
    pub coefficients: Vec<f64>,
    /// Whether the first of `tasks` is the end-task.
    pub end_task: bool,
    /// The end-task's dev split, where it has one.
    pub dev: Option<Split>,
    /// Where to compute.
    pub device: Device,
}

/// What training made.
#[derive(Debug)]
pub struct Outcome {
    /// The encoder and the LM head.
    pub weights: Tensors,
    /// The end-task's head, where there is an end-task.
    pub head: Option<Tensors>,
    /// A line an evaluated or logged step.
    pub history: Vec<HistoryLine>,
    /// How it went.
    pub summary: Summary,
}

/// A line of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryLine {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes done over the corpus that an epoch is counted by.
    pub epoch: f64,
    /// The body's learning rate at the last step.
    pub lr: f64,
    /// Each objective's loss, averaged over the steps since the last line; the end-task's first. Empty
    /// where there was no step.
    pub loss: Vec<f64>,
    /// Each objective's weight.
    pub weights: Vec<f64>,
    /// The end-task's scores on dev, where it was evaluated.
    pub dev: Option<BTreeMap<&'static str, f64>>,
}

/// What `train.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Optimiser steps done.
    pub steps: u64,
    /// Optimiser steps that were planned.
    pub planned_steps: u64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// The step whose parameters were kept.
    pub kept_step: u64,
    /// Its score on dev, where there was an evaluation.
    pub kept_score: Option<f64>,
    /// What the score is.
    pub metric: &'static str,
    /// Why training stopped: `length` or `patience`.
    pub stopped: &'static str,
    /// Each objective's weight.
    pub weights: Vec<f64>,
}

/// How far training has come.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// The weighted sum of the last step's losses.
    pub loss: Option<f64>,
    /// The last score on dev.
    pub dev: Option<f64>,
}

/// Why training stopped short.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A loss that is no number any more.
    #[error("the loss of `{objective}` is not finite at step {step}; the parameters were not updated")]
    Loss {
        /// The step, from 1.
        step: u64,
        /// The objective's name.
        objective: String,
    },
    /// A gradient that is no number any more.
    #[error("the gradient of the {part} is not finite at step {step}, though every loss ({}) is; the parameters were not updated", .objectives.join(", "))]
    Gradient {
        /// The step, from 1.
        step: u64,
        /// Which group of parameters.
        part: &'static str,
        /// The names of all objectives.
        objectives: Vec<String>,
    },
    /// Parameters that are no number any more.
    #[error("parameters are not finite after step {step}")]
    Parameters {
        /// The step, from 1.
        step: u64,
    },
}

/// Trains, and gives back the parameters of the best evaluation on dev; without dev, the last.
pub fn train(job: &Job, watch: &dyn Fn(Watch)) -> Result<Outcome, TrainError> {
    let settings = &job.settings;
    let steps = planned_steps(job);
    let warmup_steps = warmup_steps(settings.warmup, steps);
    let steps_per_epoch = texts_per_epoch(job).div_ceil(texts_per_step(job)).max(1);
    let evaluate_every = settings.evaluate_every.unwrap_or(steps_per_epoch).max(1);
    let log_every = steps.div_ceil(100).max(1);
    let micro_steps = usize::try_from(settings.micro_steps.max(1)).unwrap_or(usize::MAX);

    let mut trainer = trainer(job, Kind::Float);
    let mut orders: Vec<Order> = job
        .tasks
        .iter()
        .enumerate()
        .map(|(t, task)| Order::new(task.train.len(), settings.seed, &format!("order/{}", purpose(job, t))))
        .collect();

    let mut history = vec![];
    let mut since_logged: Vec<Vec<f64>> = vec![];
    let mut best: Option<Best> = None;
    let mut evaluations_without_better = 0;
    let mut stopped = "length";
    let mut dev_score = None;
    let mut done = 0;

    // A head that was trained before may be as good as it gets: then training is kept only if dev improves.
    if job.head.is_some()
        && let Some(dev) = evaluate(job, &trainer)
    {
        let score = dev[settings.metric.name()];
        dev_score = Some(score);
        best = Some(Best { step: 0, score, parameters: trainer.snapshot() });
        history.push(line(job, 0, 0.0, &[], Some(dev)));
    }
    watch(Watch { step: 0, steps, loss: None, dev: dev_score });

    while done < steps {
        let lr_factor = lr_factor(settings.schedule, done, warmup_steps, steps);
        let size = StepSize { micro_steps, weights: &job.coefficients, lr_factor };
        let losses = trainer
            .step(size, &mut |micro_step, t| {
                let count = done * micro_steps as u64 + micro_step as u64;
                next_examples(job, t, &mut orders[t], count)
            })
            .map_err(|what| not_finite(job, done + 1, what))?;
        done += 1;
        let loss = losses.iter().zip(&job.coefficients).map(|(loss, weight)| loss * weight).sum();
        since_logged.push(losses);

        let dev = if done % evaluate_every == 0 || done == steps { evaluate(job, &trainer) } else { None };
        if let Some(dev) = &dev {
            let score = dev[settings.metric.name()];
            dev_score = Some(score);
            if best.as_ref().is_none_or(|best| score > best.score) {
                best = Some(Best { step: done, score, parameters: trainer.snapshot() });
                evaluations_without_better = 0;
            } else {
                evaluations_without_better += 1;
            }
        }
        watch(Watch { step: done, steps, loss: Some(loss), dev: dev_score });
        if dev.is_some() || done % log_every == 0 || done == steps {
            history.push(line(job, done, settings.body.lr * lr_factor, &since_logged, dev));
            since_logged.clear();
        }
        if settings.patience > 0 && evaluations_without_better >= settings.patience {
            stopped = "patience";
            break;
        }
    }

    let (kept_step, kept_score) = match &best {
        Some(best) => {
            trainer.restore(&best.parameters);
            (best.step, Some(best.score))
        }
        None => (done, None),
    };
    if !trainer.all_finite() {
        return Err(TrainError::Parameters { step: kept_step });
    }
    let summary = Summary {
        steps: done,
        planned_steps: steps,
        warmup_steps,
        kept_step,
        kept_score,
        metric: settings.metric.name(),
        stopped,
        weights: job.coefficients.clone(),
    };
    let (weights, head) = trained(job, &trainer);
    Ok(Outcome { weights, head, history, summary })
}

/// The best parameters so far.
struct Best {
    step: u64,
    score: f64,
    parameters: (tch::Tensor, Option<tch::Tensor>),
}

/// What chance is used for, so that each objective has streams of its own.
fn purpose(job: &Job, task: usize) -> String {
    match (job.end_task, task) {
        (true, 0) => "end_task".to_owned(),
        (true, task) => format!("auxiliary/{}", task - 1),
        (false, task) => format!("auxiliary/{task}"),
    }
}

/// A fresh trainer on the job's parameters, computing in `kind`.
pub fn trainer(job: &Job, kind: Kind) -> Trainer {
    let (config, settings) = (&job.config, &job.settings);
    // An LM head that no objective trains stays as it is: it would only decay.
    let mut body_specs = config.encoder_params();
    if trains_lm_head(job) {
        body_specs.extend(config.lm_head_params());
    }
    let body = Params::new(&body_specs, &job.weights, kind, job.device);

    let mut head_specs: Vec<Spec> = vec![];
    let mut head_tensors = Tensors::new();
    for (t, task) in job.tasks.iter().enumerate() {
        let Loss::Classify { classes, .. } = task.loss else { continue };
        let specs = head_params(job, t, classes);
        head_tensors.extend(weights::make(&specs, head::INITIALIZER_RANGE, settings.seed, "head/"));
        head_specs.extend(specs);
    }
    if let Some(head) = &job.head {
        let prefix = head_prefix(job, 0);
        head_tensors
            .extend(head.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.shallow_clone())));
    }
    let heads = (!head_specs.is_empty()).then(|| Params::new(&head_specs, &head_tensors, kind, job.device));

    let head = |(t, task): (usize, &Task)| match task.loss {
        Loss::Classify { dropout, .. } => {
            heads.as_ref().map(|heads| Head::new(heads.leaves(), &head_prefix(job, t), dropout))
        }
        Loss::Mlm { .. } => None,
    };
    let model = Model {
        encoder: Encoder::new(config, i64::from(job.vocabulary.pad), body.leaves()),
        lm_head: trains_lm_head(job).then(|| LmHead::new(config, body.leaves())),
        heads: job.tasks.iter().enumerate().map(head).collect(),
    };
    Trainer {
        model,
        body: Group::new(body, settings.body),
        heads: heads.map(|heads| Group::new(heads, settings.head)),
        dropout: settings.dropout,
        clip: settings.clip,
    }
}

fn trains_lm_head(job: &Job) -> bool {
    job.tasks.iter().any(|task| matches!(task.loss, Loss::Mlm { .. }))
}

fn head_prefix(job: &Job, task: usize) -> String {
    format!("{}.", purpose(job, task))
}

fn head_params(job: &Job, task: usize, classes: usize) -> Vec<Spec> {
    let classes = i64::try_from(classes).unwrap_or(i64::MAX);
    head::params(&head_prefix(job, task), job.config.hidden, classes)
}

/// What objective `t` trains on in its micro-step `count`, counted from the start of training. Seeds
/// libtorch's generator for the dropout that follows.
fn next_examples(job: &Job, t: usize, order: &mut Order, count: u64) -> Examples {
    let task = &job.tasks[t];
    let (seed, purpose) = (job.settings.seed, purpose(job, t));
    let batch = Batch::collate(&task.train, &order.next(task.batch), job.vocabulary.pad);
    let examples = match task.loss {
        Loss::Classify { .. } => Examples::classify(&batch, job.device),
        Loss::Mlm { rate, mask: mask_token } => {
            let mut stream = rng::stream(seed, &format!("mask/{purpose}"), count);
            let masked = mask(&batch, &job.vocabulary, mask_token, rate, &mut stream);
            Examples::mlm(&batch, &masked, job.device)
        }
    };
    tch::manual_seed(rng::seed_of(seed, &format!("dropout/{purpose}"), count).cast_signed());
    examples
}

/// The end-task's scores on dev by every metric; none without an end-task or a dev split.
fn evaluate(job: &Job, trainer: &Trainer) -> Option<BTreeMap<&'static str, f64>> {
    let dev = job.dev.as_ref()?;
    let (task, head) = (job.tasks.first()?, trainer.model.heads.first()?.as_ref()?);
    let Loss::Classify { classes, .. } = task.loss else { return None };
    let probabilities =
        predict(&trainer.model.encoder, head, dev, job.vocabulary.pad, task.batch, job.device, &|_| ());
    let confusion = Confusion::of(&dev.labels, probabilities.iter().map(|row| most_probable(row)), classes);
    Some(Metric::ALL.into_iter().map(|metric| (metric.name(), confusion.score(metric))).collect())
}

fn line(
    job: &Job,
    step: u64,
    lr: f64,
    losses: &[Vec<f64>],
    dev: Option<BTreeMap<&'static str, f64>>,
) -> HistoryLine {
    let mean = |t: usize| losses.iter().map(|losses| losses[t]).sum::<f64>() / losses.len() as f64;
    HistoryLine {
        step,
        epoch: (step * texts_per_step(job)) as f64 / texts_per_epoch(job) as f64,
        lr,
        loss: if losses.is_empty() { vec![] } else { (0..job.tasks.len()).map(mean).collect() },
        weights: job.coefficients.clone(),
        dev,
    }
}

/// Texts of the largest auxiliary corpus, or of the end-task where there is none.
fn texts_per_epoch(job: &Job) -> u64 {
    let auxiliary = job.tasks.iter().skip(usize::from(job.end_task)).map(|task| task.train.len()).max();
    auxiliary
        .or_else(|| job.tasks.first().map(|task| task.train.len()))
        .map_or(1, |texts| texts.max(1) as u64)
}

/// Texts that an optimiser step takes of the corpus that an epoch is counted by.
fn texts_per_step(job: &Job) -> u64 {
    let batch = job.tasks.last().map_or(1, |task| task.batch) as u64;
    batch.saturating_mul(job.settings.micro_steps).max(1)
}

/// Optimiser steps to do.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of steps, at least 0")]
fn planned_steps(job: &Job) -> u64 {
    match job.settings.length {
        Length::Steps(steps) => steps,
        Length::Epochs(epochs) => {
            let steps = epochs * texts_per_epoch(job) as f64 / texts_per_step(job) as f64;
            // A hair less, so that 1.1 epochs of 10 steps are 11 and not 12.
            ((steps - 1e-9).ceil() as u64).max(1)
        }
    }
}

fn not_finite(job: &Job, step: u64, what: NotFinite) -> TrainError {
    let objectives = || job.tasks.iter().map(|task| format!("`{}`", task.name)).collect();
    match what {
        NotFinite::Loss(t) => TrainError::Loss { step, objective: job.tasks[t].name.clone() },
        NotFinite::BodyGradient => TrainError::Gradient { step, part: "encoder", objectives: objectives() },
        NotFinite::HeadGradient => TrainError::Gradient { step, part: "heads", objectives: objectives() },
    }
}

/// The trained parameters under their canonical names: what was not trained as it was, and the end-task's
/// head.
fn trained(job: &Job, trainer: &Trainer) -> (Tensors, Option<Tensors>) {
    let mut weights: Tensors =
        job.weights.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let leaves = trainer.body.params.leaves();
    weights.extend(leaves.iter().map(|(name, tensor)| (name.clone(), tensor.detach())));
    let prefix = head_prefix(job, 0);
    let head = trainer.heads.as_ref().filter(|_| job.end_task).map(|heads| {
        let of_end_task = |(name, tensor): (&String, &tch::Tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.detach()))
        };
        heads.params.leaves().iter().filter_map(of_end_task).collect()
    });
    (weights, head)
}

#[cfg(test)]
mod tests;
