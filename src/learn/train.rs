//! THE training loop: end-task and auxiliary objectives at once, with weights that are given (MT-TARTAN)
//! or learned on the way (META-TARTAN; Dery et al. 2022). With one objective it is plain fine-tuning, or
//! plain pre-training.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tartan::action::{Metric, Precision};
use tartan::data::batch::Order;
use tartan::data::split::Split;
use tch::{Device, Kind, Tensor};

use super::checkpoint::{Checkpoints, State};
use super::dev::{self, DevTexts};
use super::job::{Job, Loss};
use super::libtorch;
use super::meta::Comparison;
use super::metrics::Confusion;
use super::optimiser::{lr_factor, warmup_steps};
use super::predict::{most_probable, predict};
use super::step::{Group, NotFinite, StepSize, Stepped, Trainer};
use super::tokens::{LEAST_TOKENS_AT_ONCE, Layout};
use super::weighting::Weighting;
use super::weights::Tensors;
pub use error::TrainError;

/// What training made.
#[derive(Debug)]
pub struct Outcome {
    /// The encoder and the LM head.
    pub weights: Tensors,
    /// The end-task's head, where there is an end-task.
    pub head: Option<Tensors>,
    /// A line an evaluated or logged step.
    pub history: Vec<HistoryLine>,
    /// A line a step, and one for the start; none where the weights are not learned.
    pub weights_log: Vec<WeightsLine>,
    /// How it went.
    pub summary: Summary,
}

/// A line of `history.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes done over the corpus that an epoch is counted by.
    pub epoch: f64,
    /// The body's learning rate at the last step.
    pub lr: f64,
    /// Each objective's loss, averaged over the steps since the last line that had one; the end-task's
    /// first. Null where none had: masking chose no token. Empty where there was no step.
    pub loss: Vec<Option<f64>>,
    /// Each objective's weight at the last step.
    pub weights: Vec<f64>,
    /// The end-task's scores on dev, where it was evaluated.
    pub dev: Option<BTreeMap<String, f64>>,
}

/// A line of `weights.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsLine {
    /// Optimiser steps done.
    pub step: u64,
    /// Each objective's weight after them, which the next step is made with; the end-task's first.
    pub weights: Vec<f64>,
    /// The similarity of each objective's gradient of the encoder with the dev gradient in the last step
    /// (cosine, or inner product), averaged over its micro-steps. Empty where the weights were not updated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similarities: Vec<f64>,
    /// The L2 norm of each objective's gradient of the encoder, averaged over the micro-steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub norms: Vec<f64>,
    /// The L2 norm of the dev gradient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_norm: Option<f64>,
    /// The end-task's loss on the dev gradient's batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_loss: Option<f64>,
    /// The dev head's loss before each step of its fitting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dev_head_losses: Vec<f64>,
}

impl WeightsLine {
    fn new(step: u64, weights: Vec<f64>, comparison: Option<Comparison>) -> Self {
        let (dev_norm, dev_loss) = comparison.as_ref().map(|found| (found.dev_norm, found.dev_loss)).unzip();
        let Comparison { similarities, norms, dev_head_losses, .. } = comparison.unwrap_or_default();
        Self { step, weights, similarities, norms, dev_norm, dev_loss, dev_head_losses }
    }
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
    /// Each objective's weight at the end.
    pub weights: Vec<f64>,
}

/// How far training has come.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Optimiser steps done.
    pub step: u64,
    /// Optimiser steps in all.
    pub steps: u64,
    /// The weighted sum of the last step's losses.
    pub loss: Option<f64>,
    /// The last score on dev.
    pub dev: Option<f64>,
    /// Each objective's weight, where they are learned.
    pub weights: Option<Vec<f64>>,
}

/// Whom training tells what.
pub struct Listener<'a> {
    /// How far it has come.
    pub watch: &'a dyn Fn(Watch),
    /// What is worth reading.
    pub note: &'a dyn Fn(String),
    /// Whether to stop after this step, to go on another time.
    pub stop: &'a dyn Fn() -> bool,
}

/// What happened so far: all that training goes on from but the tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    done: u64,
    history: Vec<HistoryLine>,
    weights: Vec<WeightsLine>,
    /// The losses of the steps since the last line of the history.
    since_line: Vec<Vec<Option<f64>>>,
    /// The step whose parameters are the best so far, and its score on dev.
    best: Option<(u64, f64)>,
    evaluations_without_better: u64,
    dev_score: Option<f64>,
    /// Where memory ran out: the tokens at once that it was enough for.
    #[serde(default)]
    tokens_at_once: Option<usize>,
}

/// Trains, and gives back the parameters of the best evaluation on dev; without dev, the last. Goes on from
/// the last checkpoint where there is one, to the very result that an undisturbed run would have.
pub fn train(
    job: &Job,
    mut checkpoints: Option<Checkpoints>,
    listener: &Listener<'_>,
) -> Result<Outcome, TrainError> {
    let settings = &job.settings;
    let steps = job.planned_steps();
    let warmup_steps = warmup_steps(settings.warmup, steps);
    let steps_per_epoch = job.texts_per_epoch().div_ceil(job.texts_per_step()).max(1);
    let evaluate_every = settings.evaluate_every.unwrap_or(steps_per_epoch).max(1);
    let log_every = steps.div_ceil(100).max(1);
    let micro_steps = usize::try_from(settings.micro_steps.max(1)).unwrap_or(usize::MAX);

    let mut run = Run::new(job);
    if settings.precision == Precision::Bf16 && job.device != Device::Cpu && !run.layout().flash {
        (listener.note)("flash attention does not work here: attention pads texts to the longest".to_owned());
    }
    if !run.resume(checkpoints.as_mut(), listener) {
        run.start();
    }
    run.tell(listener, steps, None);

    while run.log.done < steps && !run.out_of_patience() {
        let done = run.log.done;
        let weights = run.weighting.at(done);
        let lr_factor = lr_factor(settings.schedule, done, warmup_steps, steps);

        let size = StepSize { micro_steps, weights: &weights, lr_factor };
        let stepped = run.step(size, listener).map_err(|what| TrainError::of(job, done + 1, what))?;
        run.log.done += 1;
        let done = run.log.done;
        let weighted = |(loss, weight): (&Option<f64>, &f64)| loss.unwrap_or(0.0) * weight;
        let loss: f64 = stepped.losses.iter().zip(&weights).map(weighted).sum();
        run.log.since_line.push(stepped.losses);
        if let (Weighting::Learned(learned), Some(comparison)) = (&mut run.weighting, &stepped.comparison) {
            learned.update(&comparison.similarities);
        }
        run.write_weights(stepped.comparison);

        let dev = if done.is_multiple_of(evaluate_every) || done == steps { run.evaluate() } else { None };
        run.tell(listener, steps, Some(loss));
        if dev.is_some() || done.is_multiple_of(log_every) || done == steps {
            run.write_line(settings.body.lr * lr_factor, weights, dev);
        }
        // After the last step there is nothing to go on to, and only the result to hand over.
        let stop = done < steps && (listener.stop)();
        if done < steps
            && let Some(checkpoints) = checkpoints.as_mut().filter(|checkpoints| checkpoints.due(done, stop))
            && let Err(error) = checkpoints.save(run.state())
        {
            (listener.note)(format!("no checkpoint could be written after step {done}: {error}"));
        }
        if stop {
            return Err(TrainError::Stopped { step: done, steps });
        }
    }

    let stopped = if run.log.done < steps { "patience" } else { "length" };
    let (kept_step, kept_score) = match (run.log.best, &run.best) {
        (Some((step, score)), Some(best)) => {
            run.trainer.restore(best);
            (step, Some(score))
        }
        _ => (run.log.done, None),
    };
    if !run.trainer.all_finite() {
        return Err(TrainError::Parameters { step: kept_step });
    }
    let summary = Summary {
        steps: run.log.done,
        planned_steps: steps,
        warmup_steps,
        kept_step,
        kept_score,
        metric: settings.metric.name(),
        stopped,
        weights: run.weighting.at(run.log.done),
    };
    let (weights, head) = trained(job, &run.trainer);
    let Log { history, weights: weights_log, .. } = run.log;
    Ok(Outcome { weights, head, history, weights_log, summary })
}

/// Training under way.
struct Run<'j> {
    job: &'j Job,
    trainer: Trainer,
    weighting: Weighting,
    /// Which texts of each objective come when.
    orders: Vec<Order>,
    /// The texts that the weights are learned from.
    dev_texts: Option<DevTexts<'j>>,
    /// The texts that checkpoints are chosen on.
    selection: Option<Cow<'j, Split>>,
    /// The best parameters so far.
    best: Option<(Tensor, Option<Tensor>)>,
    log: Log,
}

impl<'j> Run<'j> {
    fn new(job: &'j Job) -> Self {
        let order = |t: usize| {
            let purpose = format!("order/{}", job.purpose(t));
            Order::new(job.tasks[t].train.len(), job.settings.seed, &purpose)
        };
        let mut run = Self {
            job,
            trainer: job.trainer(Kind::Float),
            weighting: job.weighting.clone(),
            orders: (0..job.tasks.len()).map(order).collect(),
            dev_texts: None,
            selection: job.dev.as_ref().map(Cow::Borrowed),
            best: None,
            log: Log::default(),
        };
        if let (Some(meta), Some(dev)) = (job.meta(), &job.dev) {
            let (texts, selection) = dev::share_out(job, meta, dev);
            run.dev_texts = Some(texts);
            if selection.len() < dev.len() {
                run.selection = Some(Cow::Owned(dev.select(&selection)));
            }
        }
        run
    }

    /// What comes before the first step.
    fn start(&mut self) {
        self.write_weights(None);
        // A head that was trained before may be as good as it gets: then training is kept only if dev improves.
        if self.job.head.is_some()
            && let Some(dev) = self.evaluate()
        {
            self.write_line(0.0, self.weighting.at(0), Some(dev));
        }
    }

    /// One optimiser step. Where memory runs out, it is made anew in smaller parts, and so are all that follow.
    fn step(&mut self, size: StepSize<'_>, listener: &Listener<'_>) -> Result<Stepped, NotFinite> {
        loop {
            let taken = self.taken();
            let error = match libtorch::unless_out_of_memory(|| self.try_step(size)) {
                Ok(stepped) => return stepped,
                Err(error) => error,
            };
            let tokens = self.layout().tokens_at_once;
            assert!(!self.trainer.updating && tokens > LEAST_TOKENS_AT_ONCE, "{error}");
            let tokens = (tokens / 2).max(LEAST_TOKENS_AT_ONCE);
            self.log.tokens_at_once = Some(tokens);
            (listener.note)(format!(
                "out of memory: from here on a batch is computed in parts of at most {tokens} tokens, to the same \
                 mean"
            ));
            self.rewind(&taken);
        }
    }

    fn try_step(&mut self, size: StepSize<'_>) -> Result<Stepped, NotFinite> {
        let layout = self.layout();
        let Self { job, trainer, orders, dev_texts, log, .. } = self;
        let first = log.done * size.micro_steps as u64;
        let mut examples = |micro_step: usize, t: usize| {
            let texts = orders[t].next(job.tasks[t].batch);
            job.examples(t, &texts, first + micro_step as u64, layout)
        };
        let Some(dev_texts) = dev_texts else { return trainer.step(size, &mut examples, None) };
        let mut dev_examples = |which| dev_texts.next(job, which, log.done, layout);
        let mut probe = job.probe(log.done, &mut dev_examples);
        trainer.step(size, &mut examples, probe.as_mut())
    }

    /// How texts are laid out.
    fn layout(&self) -> Layout {
        let layout = self.job.layout();
        Layout { tokens_at_once: self.log.tokens_at_once.unwrap_or(layout.tokens_at_once), ..layout }
    }

    fn out_of_patience(&self) -> bool {
        let patience = self.job.settings.patience;
        patience > 0 && self.log.evaluations_without_better >= patience
    }

    /// The end-task's scores on dev by every metric, and whether they are the best so far; none without an
    /// end-task or a dev split.
    fn evaluate(&mut self) -> Option<BTreeMap<String, f64>> {
        let job = self.job;
        let dev = self.selection.as_deref()?;
        let (task, head) = (job.tasks.first()?, self.trainer.model.heads.first()?.as_ref()?);
        let Loss::Classify { classes, .. } = task.loss else { return None };
        let probabilities =
            predict(&self.trainer.model.encoder, head, dev, task.batch, self.layout(), &|_| ());
        let confusion =
            Confusion::of(&dev.labels, probabilities.iter().map(|row| most_probable(row)), classes);

        let score = confusion.score(job.settings.metric);
        self.log.dev_score = Some(score);
        if self.log.best.is_none_or(|(_, best)| score > best) {
            self.log.best = Some((self.log.done, score));
            self.log.evaluations_without_better = 0;
            self.best = Some(self.trainer.snapshot());
        } else {
            self.log.evaluations_without_better += 1;
        }
        Some(
            Metric::ALL
                .into_iter()
                .map(|metric| (metric.name().to_owned(), confusion.score(metric)))
                .collect(),
        )
    }

    /// Notes the weights that the next step is made with, where they are learned: nobody else asks for them.
    fn write_weights(&mut self, comparison: Option<Comparison>) {
        if self.job.settings.learns_weights() {
            let step = self.log.done;
            self.log.weights.push(WeightsLine::new(step, self.weighting.at(step), comparison));
        }
    }

    /// Closes a line of the history.
    fn write_line(&mut self, lr: f64, weights: Vec<f64>, dev: Option<BTreeMap<String, f64>>) {
        let losses = std::mem::take(&mut self.log.since_line);
        let mean = |t: usize| {
            let losses: Vec<f64> = losses.iter().filter_map(|losses| losses[t]).collect();
            (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
        };
        let (step, job) = (self.log.done, self.job);
        self.log.history.push(HistoryLine {
            step,
            epoch: (step * job.texts_per_step()) as f64 / job.texts_per_epoch() as f64,
            lr,
            loss: if losses.is_empty() { vec![] } else { (0..job.tasks.len()).map(mean).collect() },
            weights,
            dev,
        });
    }

    fn tell(&self, listener: &Listener<'_>, steps: u64, loss: Option<f64>) {
        let step = self.log.done;
        let weights = self.job.meta().map(|_| self.weighting.at(step));
        (listener.watch)(Watch { step, steps, loss, dev: self.log.dev_score, weights });
    }

    /// What to go on from.
    fn state(&self) -> State {
        let mut tensors = Tensors::new();
        let mut add = |name: &str, tensor: &Tensor| {
            tensors.insert(name.to_owned(), tensor.shallow_clone());
        };
        let mut optimiser_steps = [0; 2];
        for (at, (name, group)) in self.groups().into_iter().enumerate() {
            let (first, second, steps) = group.optimiser.state();
            add(name, group.params.flat());
            add(&format!("{name}/first_moment"), first);
            add(&format!("{name}/second_moment"), second);
            optimiser_steps[at] = steps;
        }
        if let Some((body, heads)) = &self.best {
            add("best/body", body);
            if let Some(heads) = heads {
                add("best/heads", heads);
            }
        }
        let meta = match &self.weighting {
            Weighting::Learned(learned) => Some(learned.state().clone()),
            Weighting::Fixed(_) | Weighting::Replayed(_) => None,
        };
        let taken = self.taken();
        State { log: self.log.clone(), taken, meta, optimiser_steps, tensors, computed_on: String::new() }
    }

    /// How many texts were taken of each order.
    fn taken(&self) -> Vec<u64> {
        let dev = self.dev_texts.iter().flat_map(|texts| [&texts.fit.order, &texts.gradient.order]);
        self.orders.iter().chain(dev).map(Order::taken).collect()
    }

    /// Goes on as if so many texts had been taken of each order.
    fn rewind(&mut self, taken: &[u64]) {
        let dev =
            self.dev_texts.iter_mut().flat_map(|texts| [&mut texts.fit.order, &mut texts.gradient.order]);
        for (order, taken) in self.orders.iter_mut().chain(dev).zip(taken) {
            order.resume(*taken);
        }
    }

    fn groups(&self) -> Vec<(&'static str, &Group)> {
        [("body", &self.trainer.body)]
            .into_iter()
            .chain(self.trainer.heads.iter().map(|heads| ("heads", heads)))
            .collect()
    }

    /// Goes on from the last checkpoint, if there is one that can be gone on from.
    fn resume(&mut self, checkpoints: Option<&mut Checkpoints>, listener: &Listener<'_>) -> bool {
        let Some(checkpoints) = checkpoints else { return false };
        let (state, why_not) = checkpoints.load();
        let why_not = why_not.or_else(|| match &state {
            Some(state) if !self.fits(state) => Some("it is of another model".to_owned()),
            _ => None,
        });
        if let Some(why) = why_not {
            (listener.note)(format!(
                "the checkpoint of an earlier attempt is not used, and training starts anew: {why}"
            ));
            return false;
        }
        let Some(state) = state else { return false };
        (listener.note)(format!(
            "goes on after step {}, from the checkpoint of an earlier attempt",
            state.log.done
        ));
        if state.computed_on != checkpoints.computed_on() {
            (listener.note)(format!(
                "the steps before were computed on {}, these are on {}: the last bits may not be those of an undisturbed run",
                state.computed_on,
                checkpoints.computed_on()
            ));
        }
        let tensors = &state.tensors;
        let groups = [Some(&mut self.trainer.body), self.trainer.heads.as_mut()];
        for ((name, group), steps) in ["body", "heads"].into_iter().zip(groups).zip(state.optimiser_steps) {
            let Some(group) = group else { continue };
            group.params.restore(&tensors[name]);
            let moment = |which: &str| &tensors[&format!("{name}/{which}_moment")];
            group.optimiser.set_state(moment("first"), moment("second"), steps);
        }
        let device = self.job.device;
        let best = |name: &str| tensors.get(name).map(|tensor| tensor.to_device(device));
        self.best = best("best/body").map(|body| (body, best("best/heads")));
        if let (Weighting::Learned(learned), Some(meta)) = (&mut self.weighting, state.meta) {
            learned.set_state(meta);
        }
        self.rewind(&state.taken);
        self.log = state.log;
        true
    }

    /// Whether a state is of this model and of this training.
    fn fits(&self, state: &State) -> bool {
        let orders = self.orders.len() + 2 * usize::from(self.dev_texts.is_some());
        let meta = match (&self.weighting, &state.meta) {
            (Weighting::Learned(_), Some(meta)) => meta.logits.len() == self.orders.len(),
            (Weighting::Learned(_), None) => false,
            (Weighting::Fixed(_) | Weighting::Replayed(_), _) => true,
        };
        if state.taken.len() != orders || !meta || state.log.done >= self.job.planned_steps() {
            return false;
        }
        let has =
            |name: &str, like: &Tensor| state.tensors.get(name).is_some_and(|t| t.size() == like.size());
        let fits = |(name, group): (&'static str, &Group)| {
            let flat = group.params.flat();
            has(name, flat)
                && has(&format!("{name}/first_moment"), flat)
                && has(&format!("{name}/second_moment"), flat)
                && (state.log.best.is_none() || has(&format!("best/{name}"), flat))
        };
        self.groups().into_iter().all(fits)
    }
}

/// The trained parameters under their canonical names: what was not trained as it was, and the end-task's
/// head.
fn trained(job: &Job, trainer: &Trainer) -> (Tensors, Option<Tensors>) {
    let mut weights: Tensors =
        job.weights.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let leaves = trainer.body.params.leaves();
    weights.extend(leaves.iter().map(|(name, tensor)| (name.clone(), tensor.detach())));
    let prefix = job.head_prefix(0);
    let head = trainer.heads.as_ref().filter(|_| job.end_task).map(|heads| {
        let of_end_task = |(name, tensor): (&String, &Tensor)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), tensor.detach()))
        };
        heads.params.leaves().iter().filter_map(of_end_task).collect()
    });
    (weights, head)
}

mod error;
#[cfg(test)]
mod learning;
#[cfg(test)]
mod tests;
