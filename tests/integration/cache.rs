//! What runs again and what does not.

use crate::world::{World, flip_bit};

const ALL: [&str; 7] = ["encoder", "end-task", "model", "tapt", "task", "test", "text"];

#[test]
fn a_second_run_executes_nothing_and_shows_the_same() {
    let world = World::new();
    let first = world.run(&[]).code(0);
    assert_eq!(first.ran(), ALL);
    let second = world.run(&[]).code(0);
    assert_eq!(second.ran(), Vec::<&str>::new());
    assert_eq!(second.stages("stage-started"), Vec::<&str>::new());
    assert_eq!(second.stdout, first.stdout);
    assert!(first.stdout.contains("macro_f1 on test"), "{}", first.stdout);
}

#[test]
fn a_changed_field_reruns_exactly_its_descendants() {
    let world = World::new();
    world.run(&[]).code(0);
    world.change("p.yaml", "seed: \"${seed}\"", "seed: 7");
    assert_eq!(world.run(&[]).code(0).ran(), ["model", "test"]);
    world.change("p.yaml", "{data: text}", "{data: text, mask: 0.3}");
    assert_eq!(world.run(&[]).code(0).ran(), ["model", "tapt", "test"]);
    // Back to what was: all of it is there.
    world.change("p.yaml", "{data: text, mask: 0.3}", "{data: text}");
    assert_eq!(world.run(&[]).code(0).ran(), Vec::<&str>::new());
}

#[test]
fn data_that_gives_the_same_tokens_reruns_only_the_tokenising() {
    let world = World::new();
    world.run(&[]).code(0);
    let text = world.read("train.jsonl");
    world.write("train.jsonl", &text.replace("{\"", "{\"note\": 1, \""));
    assert_eq!(world.run(&[]).code(0).ran(), ["task"]);
    // A test text concerns only what reads it.
    let test = world.read("test.jsonl");
    let fewer: String = test.lines().skip(1).map(|line| format!("{line}\n")).collect();
    world.write("test.jsonl", &fewer);
    let ran = world.run(&[]).code(0);
    assert!(!ran.ran().contains(&"model"), "{:?}", ran.ran());
    assert!(ran.ran().contains(&"test"), "{:?}", ran.ran());
}

#[test]
fn two_runs_on_one_store_do_the_work_once() {
    let world = World::new();
    let mut runs = [world.start("a.jsonl"), world.start("b.jsonl")];
    for run in &mut runs {
        assert!(run.wait().expect("a run").success());
    }
    let events = world.read("a.jsonl") + &world.read("b.jsonl");
    let mut finished: Vec<&str> = events
        .lines()
        .filter(|line| line.contains("\"stage-finished\""))
        .map(|line| {
            ALL.into_iter().find(|name| line.contains(&format!("\"stage\":\"{name}\""))).expect("a stage")
        })
        .collect();
    finished.sort_unstable();
    assert_eq!(finished, ALL);
}

#[test]
fn a_flipped_bit_is_found_and_made_again() {
    let world = World::new();
    let first = world.run(&[]).code(0);
    let before = world.made();
    // In what another stage reads:
    flip_bit(&world.object("task", "train.safetensors"));
    world.change("p.yaml", "seed: \"${seed}\"", "seed: 1");
    let again = world.run(&[]).code(0);
    assert_eq!(again.ran(), ["model", "task", "test"]);
    assert_eq!(world.made()["task"], before["task"]);
    // In what the table reads:
    world.change("p.yaml", "seed: 1", "seed: \"${seed}\"");
    world.run(&[]).code(0);
    for file in crate::world::files(&world.path("cache/objects")) {
        if std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"confusion\"")) {
            flip_bit(&file);
        }
    }
    let again = world.run(&[]).code(0);
    assert_eq!(again.ran(), ["test"]);
    assert_eq!(again.stdout, first.stdout);
}

#[test]
fn damage_that_two_stages_share_is_made_good() {
    let world = World::new();
    world.run(&[]).code(0);
    // A model's configuration is its encoder's: one object that both made.
    assert_eq!(world.object("encoder", "config.json"), world.object("model", "config.json"));
    flip_bit(&world.object("model", "config.json"));
    let again = world.run(&["--force", "test"]).code(0);
    // With the encoder's made again, the model's is there too.
    assert_eq!(again.ran(), ["encoder", "test"]);
    world.tartan(&["cache", "verify"]).code(0);
}

#[test]
fn verify_finds_what_a_run_would_not_read() {
    let world = World::new();
    world.run(&[]).code(0);
    world.tartan(&["cache", "verify"]).code(0);
    flip_bit(&world.object("model", "history.jsonl"));
    let verify = world.tartan(&["cache", "verify"]).code(1);
    assert!(verify.stdout.contains("history.jsonl") && verify.stdout.contains("model"), "{}", verify.stdout);
    assert_eq!(world.run(&[]).code(0).ran(), ["model"]);
    world.tartan(&["cache", "verify"]).code(0);
}

#[test]
fn gc_keeps_what_the_named_pipelines_reach() {
    let world = World::new();
    let first = world.run(&[]).code(0);
    world.run(&["--set", "seed=5"]).code(0);
    let dry = world.tartan(&["cache", "gc", "p.yaml", "--dry-run"]).code(0);
    assert!(dry.stdout.contains("2 results"), "{}", dry.stdout);
    world.tartan(&["cache", "gc", "p.yaml"]).code(2).says("--yes");
    world.tartan(&["cache", "gc", "p.yaml", "--yes"]).code(0);
    let again = world.run(&[]).code(0);
    assert_eq!((again.ran(), &again.stdout), (vec![], &first.stdout));
    assert_eq!(world.run(&["--set", "seed=5"]).code(0).ran(), ["model", "test"]);
}

#[test]
fn gc_keeps_what_waits_for_something_damaged() {
    let world = World::new();
    let first = world.run(&[]).code(0);
    flip_bit(&world.object("task", "train.safetensors"));
    world.tartan(&["cache", "verify"]).code(1);
    world.tartan(&["cache", "gc", "p.yaml", "--yes"]).code(0);
    let again = world.run(&[]).code(0);
    assert_eq!((again.ran(), &again.stdout), (vec!["task"], &first.stdout));
}

#[test]
fn sweep_points_share_equal_stages() {
    let world = World::new();
    world.change("p.yaml", "report:", "sweep: {seed: {range: [0, 2]}}\nreport:");
    let ran = world.run(&[]).code(0);
    let expected = [
        "encoder",
        "end-task",
        "model (seed=0)",
        "model (seed=1)",
        "tapt",
        "task",
        "test (seed=0)",
        "test (seed=1)",
        "text",
    ];
    assert_eq!(ran.ran(), expected);
    assert!(ran.stdout.contains("n=2"), "{}", ran.stdout);
    // One more point costs one more point.
    world.change("p.yaml", "[0, 2]", "[0, 3]");
    assert_eq!(world.run(&[]).code(0).ran(), ["model (seed=2)", "test (seed=2)"]);
}

#[test]
fn force_runs_a_stage_that_is_there() {
    let world = World::new();
    world.run(&[]).code(0);
    let dry = world.run(&["--force", "task", "--dry-run"]).code(0);
    assert!(
        dry.stdout.lines().any(|line| line.contains("task") && line.ends_with("forced")),
        "{}",
        dry.stdout
    );
    assert_eq!(world.run(&["--force", "task"]).code(0).ran(), ["task"]);
    world.run(&["--force", "tusk"]).code(2).says("did you mean `task`?");
}
