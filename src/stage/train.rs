//! `train` and `learn-weights`: an encoder on one or more objectives.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGTERM;

use tartan::action::{self, Labels, Objective, ObjectiveFile, Vocabulary, Weights, roles};
use tartan::data::split::Split;
use tartan::diag::Code;
use tartan::event::{Failure, Level, Progress};

use super::{Io, model};
use crate::learn::checkpoint::Checkpoints;
use crate::learn::config::Config;
use crate::learn::dev;
use crate::learn::job::{Job, Loss, Task};
use crate::learn::optimiser::warmup_steps;
use crate::learn::train::{Listener, TrainError, Watch, WeightsLine, train};
use crate::learn::weighting::Weighting;
use crate::learn::weights::{self, Tensors};

/// Trains, and writes the model, the end-task's head, the history and how it went.
pub fn run(action: &action::Train, io: &Io<'_>) -> Result<(), Failure> {
    let device = model::device(io)?;
    let config_json = io.input("init/config.json")?;
    let config = model::config(&config_json, &io.name("init/config.json"))?;
    let weights = model::read_weights(io, "init/model.safetensors", &config)?;

    let end_task = io.has("end_task/objective.json");
    let mut sources: Vec<Source> = vec![];
    if end_task {
        sources.push(Source::read(io, "end_task", 0)?);
    }
    while io.has(&format!("auxiliary/{}/objective.json", sources.len() - usize::from(end_task))) {
        let prefix = format!("auxiliary/{}", sources.len() - usize::from(end_task));
        sources.push(Source::read(io, &prefix, sources.len())?);
    }
    let Some(first) = sources.first() else {
        let message = "there is nothing to train on: neither an end-task nor an auxiliary objective";
        return Err(Failure::defect(message));
    };
    let vocabulary = first.file.vocabulary.clone();
    for source in &sources {
        source.check(&config, &vocabulary)?;
    }

    let labels = end_task.then(|| classes(first.file.labels.as_ref())).flatten();
    if end_task && labels.is_none() {
        let name = &first.name;
        let message = format!("the end-task `{name}` has no labels; it must be a `classify` objective");
        return Err(Failure::new(Code::WrongStageKind, message).at("end_task"));
    }
    let dev = if end_task && io.has("end_task/dev.safetensors") {
        Some(dev_split(io, first, &config)?)
    } else {
        None
    };
    if end_task && dev.is_none() {
        io.note(
            Level::Warning,
            format!(
                "the data of `{}` has no dev split: the last parameters are kept, whatever they score",
                first.name
            ),
        );
    }
    let head = match &labels {
        Some(labels) => earlier_head(io, &config, labels)?,
        None => None,
    };

    if let (Weights::Meta(meta), Some(dev)) = (&action.weights, &dev) {
        check_dev(meta, dev, first, io)?;
    }
    let log = match action.weights {
        Weights::Learned(_) => weights_log(io)?,
        _ => vec![],
    };
    let weighting = Weighting::new(&action.weights, sources.len(), &log)
        .map_err(|error| Failure::new(Code::ObjectiveWeights, error).at("weights"))?;
    let tasks = sources
        .into_iter()
        .enumerate()
        .map(|(t, source)| {
            source.into_task(if end_task && t == 0 { action.batch } else { action.auxiliary_batch })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
    let settings = action.clone();
    let job = Job { settings, config, vocabulary, weights, head, tasks, weighting, end_task, dev, device };
    warn_of_plan(&job, io);
    let (threads, on) = (io.request.threads, &io.request.device);
    let computed_on = format!("{on} with {threads} thread{}", if threads == 1 { "" } else { "s" });
    let checkpoints =
        Checkpoints::new(&io.request.resume.join("checkpoint"), io.request.checkpoint, computed_on);
    // `tartan` asks its workers to end when it is interrupted: what was trained so far is kept.
    let asked_to_end = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&asked_to_end))
        .map_err(|error| Failure::new(Code::System, error))?;
    let listener = Listener {
        watch: &|watch| io.progress(progress(action, &names, watch)),
        note: &|text| io.note(Level::Info, text),
        stop: &|| asked_to_end.load(Ordering::Relaxed),
    };
    let outcome = train(&job, Some(checkpoints), &listener).map_err(explain)?;

    io.output(roles::CONFIG, &config_json)?;
    io.output(roles::WEIGHTS, &weights::write(&outcome.weights, None).map_err(Failure::defect)?)?;
    io.output(roles::HEAD, &head_bytes(outcome.head.as_ref(), labels.as_deref())?)?;
    io.output(roles::HISTORY, &model::json_lines(&outcome.history)?)?;
    if action.learns_weights() {
        io.output(roles::WEIGHTS_LOG, &model::json_lines(&outcome.weights_log)?)?;
    }
    io.output(roles::TRAIN, &model::pretty_json(&outcome.summary)?)
}

/// The weights after 0, 1, 2, … steps of a `learn-weights` stage.
fn weights_log(io: &Io<'_>) -> Result<Vec<Vec<f64>>, Failure> {
    let role = "weights/weights.jsonl";
    let wrong = |error: &dyn Display| Failure::defect(format!("{}: {error}", io.name(role)));
    let text = String::from_utf8(io.input(role)?).map_err(|error| wrong(&error))?;
    text.lines()
        .map(|line| {
            let line: WeightsLine = serde_json::from_str(line).map_err(|error| wrong(&error))?;
            Ok(line.weights)
        })
        .collect()
}

/// Whether weights can be learned from a dev split, and what to know of it.
fn check_dev(meta: &action::Meta, dev: &Split, end_task: &Source, io: &Io<'_>) -> Result<(), Failure> {
    let what = format!("the dev split of `{}`", end_task.name);
    let classes = end_task.file.labels.as_ref().map_or(0, |labels| labels.classes);
    let known = |label: &i32| usize::try_from(*label).is_ok_and(|label| label < classes);
    if !dev.labels.iter().all(known) {
        let message = format!("{what} has labels that train lacks, and weights are learned from its loss");
        let help = "take those texts out of dev, or add some of the label to train";
        return Err(Failure::new(Code::UnknownLabels, message).help(help));
    }
    let parts = dev::parts(meta);
    if meta.disjoint_dev && dev.len() < parts {
        let message = format!("{what} has fewer texts than {parts} disjoint parts need: {}", dev.len());
        return Err(Failure::new(Code::SampleTooLarge, message).at("meta").help("leave `disjoint_dev` out"));
    }
    if dev.labels.iter().all(|label| Some(label) == dev.labels.first()) {
        let text = format!("every text of {what} has the same label: its loss says little of the end-task");
        io.note(Level::Warning, text);
    }
    Ok(())
}

/// Says what of the plan is likely not meant.
fn warn_of_plan(job: &Job, io: &Io<'_>) {
    let steps = job.planned_steps();
    let s = |n: u64| if n == 1 { "" } else { "s" };
    // In the first step of a warm-up the learning rate is 0, as in `transformers`.
    if steps <= warmup_steps(job.settings.warmup, steps) {
        let text = format!(
            "{steps} step{} of warm-up are all there is: the learning rate begins at 0 and never reaches `lr`; set \
             `warmup: 0`, or train longer",
            s(steps)
        );
        io.note(Level::Warning, text);
    }
    if let Some(replayed) = job.weighting.replayed_steps().filter(|replayed| *replayed < steps) {
        let rest = steps - replayed;
        let text = format!(
            "the weights were learned in {replayed} step{}; the last of them serve the other {rest} step{}",
            s(replayed),
            s(rest)
        );
        io.note(Level::Warning, text);
    }
}

/// An objective's files.
struct Source {
    name: String,
    file: ObjectiveFile,
    train: Split,
}

impl Source {
    fn read(io: &Io<'_>, prefix: &str, index: usize) -> Result<Self, Failure> {
        let name = io.request.objective_names.get(index).cloned().unwrap_or_else(|| prefix.to_owned());
        let file: ObjectiveFile = io.json(&format!("{prefix}/objective.json"))?;
        let train = model::split(io, &format!("{prefix}/train.safetensors"))?;
        Ok(Self { name, file, train })
    }

    /// Whether the encoder can read every text of it.
    fn check(&self, config: &Config, vocabulary: &Vocabulary) -> Result<(), Failure> {
        let name = &self.name;
        if self.train.is_empty() {
            return Err(Failure::new(Code::EmptySplit, format!("the train split of `{name}` has no text")));
        }
        if self.file.vocabulary != *vocabulary {
            let message = format!(
                "the data of `{name}` was tokenised with another tokenizer than that of the first objective"
            );
            let help = "give every tokenize stage the same `tokenizer`";
            return Err(Failure::new(Code::OtherTokenizer, message).help(help));
        }
        let what = format!("the train split of `{name}`");
        model::check_split(&self.train, config, vocabulary, &what)
    }

    fn into_task(self, batch: u64) -> Result<Task, Failure> {
        let Self { name, file, train } = self;
        let loss = match file.objective {
            Objective::Classify { dropout } => {
                let classes = file.labels.as_ref().map_or(0, |labels| labels.classes);
                let known = |label: &i32| usize::try_from(*label).is_ok_and(|label| label < classes);
                if train.labels.is_empty() || !train.labels.iter().all(known) {
                    let message = format!("the train split of `{name}` lacks labels");
                    return Err(Failure::new(Code::NoLabels, message));
                }
                Loss::Classify { classes, dropout }
            }
            Objective::Mlm { mask: rate } => {
                let Some(mask) = file.vocabulary.mask else {
                    let message = format!("`{name}` is `mlm`, but its tokenizer has no mask token");
                    return Err(Failure::new(Code::NoSpecialToken, message));
                };
                Loss::Mlm { rate, mask }
            }
        };
        Ok(Task { name, loss, train, batch: usize::try_from(batch).unwrap_or(usize::MAX) })
    }
}

/// The names of the labels that a model tells apart.
fn classes(labels: Option<&Labels>) -> Option<Vec<String>> {
    labels.map(|labels| labels.names.iter().take(labels.classes).cloned().collect())
}

fn dev_split(io: &Io<'_>, end_task: &Source, config: &Config) -> Result<Split, Failure> {
    let dev = model::split(io, "end_task/dev.safetensors")?;
    let what = format!("the dev split of `{}`", end_task.name);
    if dev.is_empty() {
        return Err(Failure::new(Code::EmptySplit, format!("{what} has no text")));
    }
    if dev.labels.is_empty() {
        let help = "give its records labels as those of train have, or leave dev out of the tokenize stage's `splits`";
        return Err(Failure::new(Code::NoLabels, format!("{what} has no labels")).help(help));
    }
    model::check_split(&dev, config, &end_task.file.vocabulary, &what)?;
    Ok(dev)
}

/// The head that `init` trained, where it tells the same labels apart.
fn earlier_head(io: &Io<'_>, config: &Config, labels: &[String]) -> Result<Option<Tensors>, Failure> {
    let role = "init/head.safetensors";
    if !io.has(role) {
        return Ok(None);
    }
    let Some(earlier) = model::read_head(io, role, config)? else { return Ok(None) };
    if earlier.labels == labels {
        io.note(
            Level::Info,
            "the head of `init` tells the same labels apart: training goes on from it".to_owned(),
        );
        return Ok(Some(earlier.tensors));
    }
    io.note(
        Level::Info,
        "the head of `init` tells other labels apart: training starts with a fresh one".to_owned(),
    );
    Ok(None)
}

fn head_bytes(head: Option<&Tensors>, labels: Option<&[String]>) -> Result<Vec<u8>, Failure> {
    let labels = labels.map(serde_json::to_string).transpose().map_err(Failure::defect)?;
    let empty = Tensors::new();
    weights::write(head.unwrap_or(&empty), labels.map(|labels| (model::HEAD_LABELS, labels)))
        .map_err(Failure::defect)
}

fn progress(action: &action::Train, names: &[String], watch: Watch) -> Progress {
    let loss = watch.loss.map(|loss| ("loss".to_owned(), loss));
    let dev = watch.dev.map(|score| (format!("dev {}", action.metric.name()), score));
    let weights = watch.weights.into_iter().flatten().zip(names);
    let weights = weights.map(|(weight, name)| (format!("w {name}"), weight));
    Progress {
        phase: "train".to_owned(),
        done: watch.step,
        total: Some(watch.steps),
        unit: "steps".to_owned(),
        figures: loss.into_iter().chain(dev).chain(weights).collect(),
    }
}

fn explain(error: TrainError) -> Failure {
    let (code, help) = match error {
        TrainError::Stopped { .. } => (Code::WorkerEnded, "run again to go on from there"),
        TrainError::Dev { .. } => {
            (Code::NotFinite, "lower the `lr` of `meta.dev_head`, or `lr`, or lengthen `warmup`")
        }
        _ => (Code::NotFinite, "lower `lr`, lengthen `warmup`, or set `clip`"),
    };
    Failure::new(code, error).help(help)
}
