//! Learned weights in the loop, and taking it up from a checkpoint, on tiny encoders.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use tartan::action::{Checkpoint, DevHead, Weights};

use super::tests::{SILENT, corpus, digest, job, one_at_a_time, run};
use super::*;
use crate::learn::job::Task;

/// A job that learns the weights of an end-task, an `mlm` and a `classify` objective.
fn learning(meta: &Value, settings: &Value) -> Job {
    let adamw = json!({"lr": 0.05, "weight_decay": 0.1, "betas": [0.9, 0.98], "eps": 1e-6});
    let fit = json!({"steps": 10, "batch": 6, "optimizer": adamw, "tolerance": 1e-3});
    let mut fields = json!({"lr": 0.5, "dev_head": {"own": fit}, "dev_batch": 5});
    for (name, value) in meta.as_object().unwrap() {
        fields[name] = value.clone();
    }
    let mut all = json!({"weights": {"meta": fields}, "length": {"steps": 12}});
    for (name, value) in settings.as_object().unwrap() {
        all[name] = value.clone();
    }
    let mut job = job(true, 1, &all);
    job.tasks.push(Task {
        name: "labelled".to_owned(),
        loss: Loss::Classify { classes: 3, dropout: 0.1 },
        train: Split { labels: (0..14).map(|text| text % 3).collect(), ..corpus(14) },
        batch: 4,
    });
    weigh(&mut job);
    job
}

fn every_two_steps(folder: &std::path::Path) -> Checkpoints {
    Checkpoints::new(folder, Some(Checkpoint::Steps(2)), "cpu with 1 thread".to_owned())
}

fn weigh(job: &mut Job) {
    job.weighting = Weighting::new(&job.settings.weights, job.tasks.len(), &[]).unwrap();
}

fn final_weights(outcome: &Outcome) -> &[f64] {
    &outcome.weights_log.last().unwrap().weights
}

#[test]
fn every_step_is_in_the_log_of_weights() {
    let outcome = run(&learning(&json!({}), &json!({})));
    let steps: Vec<u64> = outcome.weights_log.iter().map(|line| line.step).collect();
    assert_eq!(steps, (0..=12).collect::<Vec<_>>());
    assert_eq!(outcome.weights_log[0].weights, vec![1.0 / 3.0; 3]);
    assert!(outcome.weights_log[0].similarities.is_empty());
    for line in &outcome.weights_log[1..] {
        assert!((line.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(line.similarities.iter().all(|cosine| cosine.abs() <= 1.0 + 1e-6), "{line:?}");
        assert!(line.norms.iter().all(|norm| *norm > 0.0) && line.dev_norm > Some(0.0), "{line:?}");
        assert!((1..=10).contains(&line.dev_head_losses.len()) && line.dev_loss.is_some());
    }
    assert_eq!(outcome.summary.weights, final_weights(&outcome));
    let spread = final_weights(&outcome).iter().fold(0.0_f64, |most, w| most.max((w - 1.0 / 3.0).abs()));
    assert!(spread > 0.05, "the weights hardly moved: {:?}", final_weights(&outcome));
}

#[test]
fn weights_that_stay_uniform_give_the_model_of_uniform_weights() {
    for at in ["current", "next"] {
        let learned = run(&learning(&json!({"lr": 0.0, "gradient_at": at}), &json!({})));
        let mut given = learning(&json!({}), &json!({}));
        given.weighting = Weighting::Fixed(vec![1.0 / 3.0; 3]);
        let given = run(&given);
        // The attention's softmax takes out what every key has in common: what is left there is rounding.
        for (name, tensor) in given.weights.iter().filter(|(name, _)| !name.ends_with("key.bias")) {
            let off = (tensor - &learned.weights[name]).abs().max().double_value(&[]);
            assert!(off < 1e-4, "{at}: `{name}` is off by {off:e}");
        }
    }
}

#[test]
fn weights_are_updated_every_so_many_steps() {
    let outcome = run(&learning(&json!({"every": 3}), &json!({})));
    for pair in outcome.weights_log.windows(2) {
        let updated = pair[0].step % 3 == 0;
        assert_eq!(pair[1].similarities.is_empty(), !updated, "{:?}", pair[1]);
        assert_eq!(pair[1].weights == pair[0].weights, !updated, "{:?}", pair[1]);
    }
}

#[test]
fn without_auxiliary_objectives_it_is_fine_tuning() {
    let mut alone = learning(&json!({}), &json!({}));
    alone.tasks.truncate(1);
    weigh(&mut alone);
    let outcome = run(&alone);
    assert_eq!(final_weights(&outcome), [1.0]);
    let plain = run(&job(true, 0, &json!({"length": {"steps": 12}})));
    assert_eq!(digest(&outcome.weights), digest(&plain.weights));
}

#[test]
fn odd_dev_sets_do() {
    let ways = [
        ("smaller than its batches", corpus(2), json!({})),
        ("of one class", Split { labels: vec![1; 7], ..corpus(7) }, json!({})),
        ("in parts", corpus(7), json!({"disjoint_dev": true})),
        ("in parts of one text", corpus(3), json!({"disjoint_dev": true})),
    ];
    for (what, dev, meta) in ways {
        let mut job = learning(&meta, &json!({}));
        job.dev = Some(dev);
        let weights = run(&job).summary.weights;
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{what}: {weights:?}");
    }
}

#[test]
fn the_parts_of_dev_are_disjoint_and_whole() {
    use super::super::dev::share_out;
    let mut job = learning(&json!({"disjoint_dev": true}), &json!({}));
    job.dev = Some(corpus(11));
    let dev = job.dev.as_ref().unwrap();
    let (mut texts, selection) = share_out(&job, job.meta().unwrap(), dev);
    let mut all = [texts.fit.order.next(3), texts.gradient.order.next(3), selection].concat();
    all.sort_unstable();
    assert_eq!(all, (0..11).collect::<Vec<_>>());
}

#[test]
fn an_objective_without_a_gradient_neither_gains_nor_loses() {
    let mut job = learning(&json!({}), &json!({}));
    // Masking never chooses a token.
    job.tasks[1].loss = Loss::Mlm { rate: 0.0, mask: 4 };
    let outcome = run(&job);
    for line in &outcome.weights_log[1..] {
        assert_eq!((line.similarities[1], line.norms[1]), (0.0, 0.0), "{line:?}");
    }
    assert!(outcome.history.iter().all(|line| line.loss[1].is_none() && line.loss[0].is_some()));
}

#[test]
fn a_dev_loss_that_is_not_finite_is_told() {
    let _guard = one_at_a_time();
    let mut job = learning(&json!({}), &json!({}));
    let Weights::Meta(meta) = &mut job.settings.weights else { panic!("weights") };
    let DevHead::Own(fit) = &mut meta.dev_head else { panic!("head") };
    fit.optimizer.lr = f64::INFINITY;
    let error = train(&job, None, &SILENT).unwrap_err().to_string();
    assert!(error.starts_with("the dev loss of `end`, which the weights are learned from,"), "{error}");
    assert!(error.ends_with("at step 1"), "{error}");
}

#[test]
fn the_head_in_training_can_take_the_dev_heads_place() {
    let outcome = run(&learning(&json!({"dev_head": "training"}), &json!({})));
    assert!(outcome.weights_log[1..].iter().all(|line| line.dev_head_losses.is_empty()));
    let own = run(&learning(&json!({}), &json!({})));
    assert_ne!(final_weights(&outcome), final_weights(&own));
}

#[test]
fn training_cut_off_anywhere_goes_on_to_the_very_same_result() {
    let adam = json!({"optimizer": "adam", "lr": 0.05, "disjoint_dev": true, "every": 2});
    let settings = json!({"evaluate_every": 4});
    let jobs = [
        learning(&adam, &settings),
        learning(&json!({"optimizer": "momentum"}), &settings),
        job(false, 2, &json!({"length": {"steps": 12}})),
    ];
    for job in jobs {
        let whole = run(&job);
        for cut in [1, 2, 5, 8, 11, 12] {
            let _guard = one_at_a_time();
            let folder = tempfile::tempdir().unwrap();
            let checkpoints = || Some(every_two_steps(folder.path()));
            let watch = |watch: Watch| assert!(watch.step < cut, "cut off");
            let cut_off = Listener { watch: &watch, note: &|_| (), stop: &|| false };
            let attempt = catch_unwind(AssertUnwindSafe(|| train(&job, checkpoints(), &cut_off).map(drop)));
            assert!(attempt.is_err());
            let notes = std::cell::RefCell::new(vec![]);
            let listener =
                Listener { watch: &|_| (), note: &|text| notes.borrow_mut().push(text), stop: &|| false };
            let resumed = train(&job, checkpoints(), &listener).unwrap();
            let told = notes.borrow().iter().any(|note| note.starts_with("goes on after step"));
            assert_eq!(told, cut > 2, "{:?}", notes.borrow());
            assert_eq!(digest(&resumed.weights), digest(&whole.weights), "cut off at {cut}");
            assert_eq!(resumed.head.as_ref().map(digest), whole.head.as_ref().map(digest));
            assert_eq!(resumed.history, whole.history);
            assert_eq!(resumed.weights_log, whole.weights_log);
            assert_eq!(resumed.summary, whole.summary);
        }
    }
}

#[test]
fn whoever_is_asked_to_stop_leaves_a_checkpoint() {
    let job = learning(&json!({}), &json!({"length": {"steps": 7}}));
    let whole = run(&job);
    let _guard = one_at_a_time();
    let folder = tempfile::tempdir().unwrap();
    let rarely = || {
        let every = Some(Checkpoint::Minutes(60.0));
        Some(Checkpoints::new(folder.path(), every, "cpu with 1 thread".to_owned()))
    };
    let step = std::cell::Cell::new(0);
    let watch = |watch: Watch| step.set(watch.step);
    let stopping = Listener { watch: &watch, note: &|_| (), stop: &|| step.get() == 3 };
    let error = train(&job, rarely(), &stopping).unwrap_err().to_string();
    assert_eq!(error, "stopped after step 3 of 7");
    // Asked during the last step, there is nothing left but to hand the result over.
    let late = Listener { watch: &watch, note: &|_| (), stop: &|| step.get() == 7 };
    assert_eq!(digest(&train(&job, None, &late).unwrap().weights), digest(&whole.weights));
    let resumed =
        train(&job, rarely(), &Listener { watch: &|watch| assert!(watch.step >= 3), ..SILENT }).unwrap();
    assert_eq!(digest(&resumed.weights), digest(&whole.weights));
}

#[test]
fn a_checkpoint_of_another_number_of_threads_is_used_and_told() {
    let _guard = one_at_a_time();
    let job = learning(&json!({}), &json!({"length": {"steps": 6}}));
    let folder = tempfile::tempdir().unwrap();
    let watch = |watch: Watch| assert!(watch.step < 5, "cut off");
    let cut_off = Listener { watch: &watch, note: &|_| (), stop: &|| false };
    let first = Some(every_two_steps(folder.path()));
    let _ = catch_unwind(AssertUnwindSafe(|| train(&job, first, &cut_off).map(drop)));
    let notes = std::cell::RefCell::new(vec![]);
    let listener = Listener { watch: &|_| (), note: &|text| notes.borrow_mut().push(text), stop: &|| false };
    // Whoever wants no more checkpoints goes on from the one that is there.
    let second = Checkpoints::new(folder.path(), None, "cpu with 2 threads".to_owned());
    train(&job, Some(second), &listener).unwrap();
    let notes = notes.borrow();
    assert!(notes[0].starts_with("goes on after step 4"), "{notes:?}");
    assert!(notes[1].contains("on cpu with 1 thread, these are on cpu with 2 threads"), "{notes:?}");
}

#[test]
fn a_gradient_that_is_not_finite_is_told_of_its_objective() {
    let _guard = one_at_a_time();
    let mut job = learning(&json!({}), &json!({}));
    // Logits near the largest float: their softmax is finite, what follows from it is not.
    let bias = &job.weights["cls.predictions.transform.LayerNorm.weight"];
    let large = bias.copy().fill_(3e38);
    job.weights.insert("cls.predictions.transform.LayerNorm.weight".to_owned(), large);
    let error = train(&job, None, &SILENT).unwrap_err().to_string();
    assert!(error.contains("`aux`"), "{error}");
}

#[test]
fn a_checkpoint_that_is_damaged_or_of_another_model_is_told_and_not_used() {
    let job = learning(&json!({}), &json!({"length": {"steps": 6}}));
    let whole = run(&job);
    let _guard = one_at_a_time();
    let damage: [&dyn Fn(&std::path::Path); 4] = [
        &|folder| {
            let description = folder.join("checkpoint.json");
            std::fs::remove_file(&description).unwrap();
            std::fs::create_dir(description).unwrap();
        },
        &|folder| std::fs::write(folder.join("checkpoint.json"), "{}").unwrap(),
        &|folder| {
            for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
                if file.extension().is_some_and(|extension| extension == "safetensors") {
                    let mut bytes = std::fs::read(&file).unwrap();
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&file, bytes).unwrap();
                }
            }
        },
        &|folder| {
            let mut other = super::tests::job(true, 1, &json!({"length": {"steps": 6}}));
            other.tasks[0].loss = Loss::Classify { classes: 5, dropout: 0.1 };
            let watch = |watch: Watch| assert!(watch.step < 5, "cut off");
            let cut_off = Listener { watch: &watch, note: &|_| (), stop: &|| false };
            let checkpoints = Some(every_two_steps(folder));
            let _ = catch_unwind(AssertUnwindSafe(|| train(&other, checkpoints, &cut_off).map(drop)));
        },
    ];
    for damage in damage {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = || Some(every_two_steps(folder.path()));
        let watch = |watch: Watch| assert!(watch.step < 5, "cut off");
        let cut_off = Listener { watch: &watch, note: &|_| (), stop: &|| false };
        let _ = catch_unwind(AssertUnwindSafe(|| train(&job, checkpoints(), &cut_off).map(drop)));
        damage(folder.path());
        let notes = std::cell::RefCell::new(vec![]);
        let listener =
            Listener { watch: &|_| (), note: &|text| notes.borrow_mut().push(text), stop: &|| false };
        let again = train(&job, checkpoints(), &listener).unwrap();
        assert!(notes.borrow()[0].contains("is not used, and training starts anew"), "{:?}", notes.borrow());
        assert_eq!(digest(&again.weights), digest(&whole.weights));
    }
}

#[test]
fn what_helps_the_end_task_outweighs_noise() {
    // Over 150 seeds the weights are 0.43 and 0.18, with standard deviations of 0.06 and 0.04.
    let mut lead = 0.0;
    for seed in 0..5 {
        let settings = json!({"seed": seed, "length": {"steps": 60}, "micro_steps": 1, "evaluate_every": 60});
        let mut job = learning(&json!({"lr": 0.1, "dev_batch": 12}), &settings);
        let labelled = |name: &str, label: &dyn Fn(usize) -> i32| Task {
            name: name.to_owned(),
            loss: Loss::Classify { classes: 2, dropout: 0.1 },
            train: Split { labels: (0..24).map(label).collect(), ..corpus(24) },
            batch: 12,
        };
        // The end-task's labels under other names, and labels that say nothing of their texts.
        let same = |text: usize| i32::from(text.is_multiple_of(2));
        let dealt_out = |text: usize| i32::from((text / 2).is_multiple_of(2));
        job.tasks[1] = labelled("same", &same);
        job.tasks[2] = labelled("dealt out", &dealt_out);
        let weights = run(&job).summary.weights;
        lead += (weights[1] - weights[2]) / 5.0;
    }
    assert!(lead > 0.1, "{lead}");
}

#[test]
fn a_step_that_ended_midway_is_made_anew_as_if_it_had_not_begun() {
    let job = learning(&json!({}), &json!({}));
    let _guard = one_at_a_time();
    let weights = job.weighting.at(0);
    let size = StepSize { micro_steps: 2, weights: &weights, lr_factor: 1.0 };
    let step = |run: &mut Run<'_>| (run.step(size, &SILENT).unwrap(), run.trainer.snapshot());
    let (mut whole, mut cut) = (Run::new(&job), Run::new(&job));
    let taken = cut.taken();
    cut.orders[1].next(3);
    cut.dev_texts.as_mut().unwrap().fit.order.next(5);
    let _ = cut.trainer.body.params.grad().shallow_clone().fill_(7.0);
    cut.rewind(&taken);
    assert_eq!(step(&mut whole), step(&mut cut));
}
