//! The loop on tiny encoders: what is kept, when it stops, what is drawn by chance.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tartan::action::Vocabulary;
use tartan::digest::Digest;
use tch::Device;

use super::*;
use crate::learn::config::{Config, Spec};
use crate::learn::job::Task;
use crate::learn::weights;

/// Texts of five tokens of which the second says the label.
pub(super) fn corpus(texts: usize) -> Split {
    let mut split = Split { offsets: vec![0], ..Split::default() };
    for text in 0..texts {
        let label = i32::try_from(text % 2).unwrap();
        let noise = |n: usize| i32::try_from(7 + (text * n) % 11).unwrap();
        split.ids.extend([1, 5 + label, noise(3), noise(5), 2]);
        split.offsets.push(i64::try_from(split.ids.len()).unwrap());
        split.labels.push(label);
        split.rows.push(i64::try_from(text).unwrap());
    }
    split
}

/// A job on a tiny fresh encoder; `settings` go over the defaults.
pub(super) fn job(end_task: bool, auxiliary: usize, settings: &serde_json::Value) -> Job {
    let config =
        br#"{"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 20, "max_position_embeddings": 8, "initializer_range": 0.2}"#;
    let config = Config::from_json(config).unwrap();
    let specs: Vec<Spec> = config.encoder_params().into_iter().chain(config.lm_head_params()).collect();
    let adamw = serde_json::json!({"lr": 0.01, "weight_decay": 0.01, "betas": [0.9, 0.98], "eps": 1e-6});
    let mut fields = serde_json::json!({
        "length": {"steps": 30}, "batch": 8, "auxiliary_batch": 4, "seed": 5, "micro_steps": 2, "body": adamw,
        "head": adamw, "warmup": 0.1, "clip": 1.0, "patience": 0, "metric": "accuracy", "evaluate_every": 5,
    });
    for (name, value) in settings.as_object().unwrap() {
        fields[name] = value.clone();
    }
    let classify = Task {
        name: "end".to_owned(),
        loss: Loss::Classify { classes: 2, dropout: 0.1 },
        train: corpus(20),
        batch: 8,
    };
    let mlm = || Task {
        name: "aux".to_owned(),
        loss: Loss::Mlm { rate: 0.3, mask: 4 },
        train: corpus(10),
        batch: 4,
    };
    let tasks: Vec<Task> =
        end_task.then_some(classify).into_iter().chain((0..auxiliary).map(|_| mlm())).collect();
    Job {
        settings: serde_json::from_value(fields).unwrap(),
        weights: weights::make(&specs, config.initializer_range, 1, ""),
        config,
        vocabulary: Vocabulary {
            size: 20,
            pad: 0,
            mask: Some(4),
            special: vec![0, 1, 2, 4],
            max_positions: 8,
        },
        head: None,
        weighting: Weighting::Fixed(vec![1.0 / tasks.len() as f64; tasks.len()]),
        tasks,
        end_task,
        dev: end_task.then(|| corpus(12)),
        device: Device::Cpu,
    }
}

pub(super) const SILENT: Listener = Listener { watch: &|_| (), note: &|_| (), stop: &|| false };

/// libtorch's threads are the whole process's.
pub(super) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    tch::set_num_threads(1);
    guard
}

pub(super) fn run(job: &Job) -> Outcome {
    let _guard = one_at_a_time();
    train(job, None, &SILENT).unwrap()
}

pub(super) fn digest(weights: &Tensors) -> Digest {
    Digest::of(&weights::write(weights, None).unwrap())
}

#[test]
fn learns_an_easy_task_and_keeps_the_first_best() {
    let mut job = job(true, 1, &serde_json::json!({"length": {"steps": 60}}));
    job.weighting = Weighting::Fixed(vec![0.9, 0.1]);
    let outcome = run(&job);
    assert_eq!(outcome.summary.kept_score, Some(1.0), "{:?}", outcome.history);
    let first_best =
        outcome.history.iter().find(|line| line.dev.as_ref().is_some_and(|dev| dev["accuracy"] >= 1.0));
    assert_eq!(first_best.unwrap().step, outcome.summary.kept_step);
    assert_eq!((outcome.summary.steps, outcome.summary.stopped), (60, "length"));
    assert_eq!(outcome.history.last().unwrap().loss.len(), 2);
}

#[test]
fn the_same_job_gives_the_same_bytes_and_another_seed_others() {
    let bytes = |job: &Job| {
        let outcome = run(job);
        (digest(&outcome.weights), outcome.history)
    };
    let short = serde_json::json!({"length": {"steps": 4}});
    let first = bytes(&job(true, 2, &short));
    assert_eq!(first, bytes(&job(true, 2, &short)));
    let other = job(true, 2, &serde_json::json!({"length": {"steps": 4}, "seed": 6}));
    assert_ne!(first.0, bytes(&other).0);
}

#[test]
fn what_no_objective_uses_stays_as_it_was() {
    let job = job(true, 0, &serde_json::json!({"length": {"steps": 3}}));
    let outcome = run(&job);
    for spec in job.config.lm_head_params() {
        assert_eq!(outcome.weights[&spec.name], job.weights[&spec.name], "{}", spec.name);
    }
    let moved = |spec: &Spec| outcome.weights[&spec.name] != job.weights[&spec.name];
    assert!(job.config.encoder_params().iter().all(moved));
}

#[test]
fn a_head_taken_over_is_kept_unless_dev_improves() {
    let first = run(&job(true, 0, &serde_json::json!({})));
    let mut second = job(true, 0, &serde_json::json!({"patience": 2, "length": {"epochs": 40.0}}));
    second.weights = first.weights;
    second.head = first.head;
    let outcome = run(&second);
    assert_eq!((outcome.summary.kept_step, outcome.summary.kept_score), (0, Some(1.0)));
    assert_eq!((outcome.summary.steps, outcome.summary.stopped), (10, "patience"));
    assert_eq!(outcome.summary.planned_steps, 50, "40 epochs of 20 texts, 16 a step");
    assert_eq!(outcome.history[0].step, 0);
    for (name, tensor) in &second.weights {
        assert_eq!(outcome.weights[name], *tensor, "{name}");
    }
}

#[test]
fn without_an_end_task_the_last_parameters_are_kept() {
    let job = job(false, 2, &serde_json::json!({"length": {"epochs": 2.0}, "patience": 1}));
    let outcome = run(&job);
    // 10 texts an epoch, 4 a micro-step, 2 micro-steps.
    assert_eq!((outcome.summary.steps, outcome.summary.kept_step), (3, 3));
    assert!(outcome.head.is_none() && outcome.summary.kept_score.is_none());
    assert!(outcome.history.iter().all(|line| line.dev.is_none()));
    assert_ne!(outcome.weights["cls.predictions.bias"], job.weights["cls.predictions.bias"]);
}

#[test]
fn a_loss_that_is_not_finite_names_step_and_objective() {
    let mut job = job(true, 1, &serde_json::json!({}));
    let bias = &job.weights["cls.predictions.bias"];
    let broken = bias.copy().fill_(f64::INFINITY);
    job.weights.insert("cls.predictions.bias".to_owned(), broken);
    let _guard = one_at_a_time();
    let error = train(&job, None, &SILENT).unwrap_err().to_string();
    assert_eq!(error, "the loss of `aux` is not finite at step 1; the parameters were not updated");
}

#[test]
fn one_more_objective_leaves_the_others_their_texts_and_masks() {
    // With a weight of 0 the second auxiliary objective changes nothing but the body's decay.
    let settings = serde_json::json!({"length": {"steps": 3}, "clip": 0.0});
    let (mut one, mut two) = (job(true, 1, &settings), job(true, 2, &settings));
    one.weighting = Weighting::Fixed(vec![0.5, 0.5]);
    two.weighting = Weighting::Fixed(vec![0.5, 0.5, 0.0]);
    let (one, two) = (run(&one), run(&two));
    assert_eq!(digest(&one.weights), digest(&two.weights));
}

#[test]
fn dropout_and_masks_are_drawn_anew_each_step() {
    // One text, and parameters that do not move: only chance tells the steps apart.
    let still = |config: &[(&str, f64)], settings: serde_json::Value| {
        let mut job = job(true, 1, &settings);
        for (name, rate) in config {
            match *name {
                "hidden" => job.config.hidden_dropout = *rate,
                "attention" => job.config.attention_dropout = *rate,
                _ => {
                    job.tasks[0].loss = Loss::Classify { classes: 2, dropout: *rate };
                }
            }
        }
        for task in &mut job.tasks {
            task.train = corpus(1);
        }
        let history = run(&job).history;
        (0..2)
            .map(|t| {
                let losses: Vec<u64> = history.iter().map(|line| line.loss[t].unwrap().to_bits()).collect();
                losses.iter().collect::<std::collections::BTreeSet<_>>().len()
            })
            .collect::<Vec<_>>()
    };
    let adamw = serde_json::json!({"lr": 0, "weight_decay": 0, "betas": [0.9, 0.98], "eps": 1e-6});
    let settings = serde_json::json!({
        "length": {"steps": 8}, "micro_steps": 1, "body": adamw, "head": adamw, "evaluate_every": 100,
    });
    let none = [("hidden", 0.0), ("attention", 0.0), ("head", 0.0)];
    let different = still(&none, settings.clone());
    assert_eq!(different[0], 1, "without dropout the end-task's loss stays");
    assert!(different[1] > 1, "the same masks at every step");
    for name in ["hidden", "attention", "head"] {
        let rates = none.map(|(other, _)| (other, if other == name { 0.5 } else { 0.0 }));
        assert!(still(&rates, settings.clone())[0] > 4, "{name} dropout is not drawn anew");
        let mut without = settings.clone();
        without["dropout"] = false.into();
        // `dropout: false` is the encoder's; the head has its own.
        assert_eq!(still(&rates, without)[0] > 1, name == "head", "{name}");
    }
}

#[test]
fn an_epoch_is_one_of_the_largest_auxiliary_corpus() {
    let planned = |end_task: bool, sizes: &[usize], epochs: f64| {
        let mut job = job(end_task, sizes.len(), &serde_json::json!({"length": {"epochs": epochs}}));
        for (task, size) in job.tasks.iter_mut().skip(usize::from(end_task)).zip(sizes) {
            task.train = corpus(*size);
        }
        job.planned_steps()
    };
    // 8 texts of an auxiliary corpus a step, 16 of the end-task's 20.
    assert_eq!(planned(true, &[16, 80, 8], 3.0), 30);
    assert_eq!(planned(false, &[16, 80], 3.0), 30);
    assert_eq!(planned(true, &[8], 1.0), 1, "the end-task's 20 texts do not count");
    assert_eq!(planned(true, &[], 4.0), 5);
    assert_eq!(planned(true, &[80], 1.1), 11);
    assert_eq!(planned(true, &[80], 1e-12), 1);
}
