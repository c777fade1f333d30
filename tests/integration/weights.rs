//! `learn-weights`, and what uses the weights.

use serde_json::Value;

use crate::world::World;

/// The small pipeline with a stage that learns weights in place of `model`, and `again` that uses them.
fn world(weights: &str) -> World {
    let world = World::new();
    world.change("p.yaml", "  model:\n    train:", "  meta:\n    learn-weights:");
    world.change(
        "p.yaml",
        "auxiliary: [tapt]",
        "auxiliary: [tapt]\n      meta: {lr: 0.5, dev_head: {batch: 8}}",
    );
    world.change(
        "p.yaml",
        "  test:",
        &format!(
            "  again: {{train: {{init: encoder, end_task: end-task, auxiliary: [tapt], steps: 4, batch: 8, \
             auxiliary_batch: 8, micro_steps: 1, lr: 1e-3, weights: {weights}}}}}\n  test:"
        ),
    );
    world.change("p.yaml", "model: model", "model: again");
    world
}

fn rows(world: &World, stage: &str, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(world.object(stage, file)).expect("an artifact");
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

#[test]
fn learned_weights_are_kept_and_used() {
    let replaying = world("{from: meta, use: replay}");
    replaying.run(&[]).code(0);
    let log = rows(&replaying, "meta", "weights.jsonl");
    assert!(log.len() > 4, "{log:?}");
    let weights = |row: &Value| -> Vec<f64> {
        row["weights"].as_array().expect("weights").iter().filter_map(Value::as_f64).collect()
    };
    assert_eq!(weights(&log[0]), [0.5, 0.5]);
    assert_ne!(weights(&log[4]), [0.5, 0.5]);
    let used = rows(&replaying, "again", "history.jsonl");
    assert_eq!(
        used.iter().map(weights).collect::<Vec<_>>(),
        log[..4].iter().map(weights).collect::<Vec<_>>()
    );

    let steps = &log[..log.len() - 1];
    let mean = (0..2).map(|t| steps.iter().map(|row| weights(row)[t]).sum::<f64>() / steps.len() as f64);
    let last = weights(log.last().expect("a row"));
    for (which, expected) in [("{from: meta, use: mean}", mean.collect()), ("{from: meta}", last)] {
        let world = world(which);
        world.run(&[]).code(0);
        let used = rows(&world, "again", "history.jsonl");
        assert!(used.iter().all(|row| weights(row) == expected), "{which}: {used:?}");
    }
}

#[test]
fn faults_in_a_stage_that_learns_weights_are_found_before_anything_runs() {
    for (from, to, part) in [
        ("weights: {from: meta}", "weights: {from: end-task}", "a `learn-weights` stage is wanted here"),
        ("weights: {from: meta}", "weights: {from: meta, use: last}", "unknown use `last`"),
        ("weights: {from: meta}", "weights: meta", "`weights: {from: STAGE}`"),
        (
            "auxiliary: [tapt], steps",
            "auxiliary: [], steps",
            "`meta` learned the weights of `end-task` and `tapt`",
        ),
        (", dev: dev.jsonl", "", "`task` has no split `dev`"),
        ("meta: {lr: 0.5,", "meta: {lr: 0.5, floor: 0.5,", "leave nothing to learn"),
        ("meta: {lr: 0.5,", "meta: {lr: 0.5, initial: {tapt: 1},", "says nothing of objective `end-task`"),
        ("meta: {lr: 0.5,", "meta: {lr: 0.5, initial: {tapt: 1, end-task: 0},", "is not above 0"),
        ("meta: {lr: 0.5,", "meta: {lr: 0.5, initial: {tapt: 1, end-task: 1},", "sum to 2"),
        ("meta: {lr: 0.5,", "meta: {lr: 0.5, optimiser: adam,", "did you mean `optimizer`?"),
        ("dev_head: {batch: 8}", "dev_head: own", "a block or `training`"),
        ("      end_task: end-task\n", "", "`end_task` is missing"),
        (
            "meta: {lr: 0.5,",
            "checkpoint: {steps: 1, minutes: 1}\n      meta: {lr: 0.5,",
            "either `steps` or `minutes`",
        ),
    ] {
        let world = world("{from: meta}");
        world.change("p.yaml", from, to);
        world.run(&[]).code(2).says(part);
    }
}

#[test]
fn dev_labels_that_train_lacks_are_told() {
    let world = world("{from: meta}");
    world.change("dev.jsonl", "\"label\":\"", "\"label\":\"un");
    world.run(&[]).code(1).says("has labels that train lacks");
}
