//! What comes out of training, evaluation and export.

use serde_json::Value;

use crate::world::World;

#[test]
fn the_same_pipeline_gives_the_same_bytes() {
    let (one, two) = (World::new(), World::new());
    one.run(&[]).code(0);
    // Other names, another folder, another number of jobs: nothing that may change a result.
    two.change("p.yaml", "  model:\n", "  the-model:\n");
    two.change("p.yaml", "model: model", "model: the-model");
    two.run(&["--jobs", "1"]).code(2).says("cannot be used multiple times");
    two.run(&[]).code(0);
    let (one, mut two) = (one.made(), two.made());
    let renamed = two.remove("the-model").expect("a model");
    two.insert("model".to_owned(), renamed);
    assert_eq!(one, two);
}

#[test]
fn evaluation_hangs_together() {
    let world = World::new();
    world.run(&[]).code(0);
    let read =
        |stage: &str, file: &str| std::fs::read_to_string(world.object(stage, file)).expect("an artifact");
    let metrics: Value = serde_json::from_str(&read("test", "metrics.json")).expect("json");
    let rows: Vec<Value> = read("test", "predictions.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect();
    assert_eq!(rows.len(), 16);
    let right = rows.iter().filter(|row| row["gold"] == row["predicted"]).count();
    let accuracy = metrics["metrics"]["accuracy"].as_f64().expect("accuracy");
    assert!((accuracy - right as f64 / 16.0).abs() < 1e-12);
    for row in &rows {
        let probabilities = row["probabilities"].as_object().expect("probabilities");
        let sum: f64 = probabilities.values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{row}");
        let best =
            probabilities.iter().max_by(|a, b| a.1.as_f64().partial_cmp(&b.1.as_f64()).expect("numbers"));
        assert_eq!(row["predicted"].as_str(), best.map(|(label, _)| label.as_str()));
    }
    let history = read("model", "history.jsonl");
    assert!(history.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    assert!(history.lines().count() > 1);
}

#[test]
fn an_export_is_a_folder_of_its_own() {
    use std::os::unix::fs::MetadataExt as _;
    let world = World::new();
    world.change("p.yaml", "report:", "  out: {export: {model: model, to: exported}}\nreport:");
    world.run(&[]).code(0);
    let config: Value = serde_json::from_str(&world.read("exported/config.json")).expect("json");
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    let weights = world.path("exported/model.safetensors");
    assert_eq!(std::fs::metadata(&weights).expect("weights").nlink(), 1, "no link into the store");
    // What a user deletes or spoils comes back, without running anything.
    std::fs::remove_file(&weights).expect("removed");
    assert_eq!(world.run(&[]).code(0).ran(), Vec::<&str>::new());
    assert!(weights.exists());
}

#[test]
fn an_encoder_is_exported_as_a_masked_language_model() {
    let world = World::new();
    world.change("p.yaml", "report:", "  out: {export: {model: encoder, to: exported}}\nreport:");
    world.run(&["out"]).code(0);
    let config: Value = serde_json::from_str(&world.read("exported/config.json")).expect("json");
    assert_eq!(config["architectures"][0], "BertForMaskedLM");
}

#[test]
fn a_model_may_start_from_another() {
    let world = World::new();
    world.change(
        "p.yaml",
        "  test:",
        "  again: {train: {init: model, end_task: end-task, epochs: 1, batch: 8, lr: 0, head: {lr: 0}}}\n  test:",
    );
    world.change("p.yaml", "model: model", "model: again");
    let ended = world.run(&[]).code(0);
    assert!(ended.ran().contains(&"again"));
    // With a learning rate of 0 and the head taken over, nothing moves.
    let made = world.made();
    assert_eq!(made["again"]["model.safetensors"], made["model"]["model.safetensors"]);
    assert_eq!(made["again"]["head.safetensors"], made["model"]["head.safetensors"]);
}
