//! The commands that look without running.

use crate::world::World;

#[test]
fn plan_says_what_would_run_and_why() {
    let world = World::new();
    let plan = world.tartan(&["plan", "p.yaml", "--check"]).code(3);
    assert!(plan.stdout.contains("never run") && plan.stdout.contains("on encoder"), "{}", plan.stdout);
    world.run(&[]).code(0);
    world.tartan(&["plan", "p.yaml", "--check"]).code(0);
    world.change("p.yaml", "lr: 1e-3", "lr: 2e-3");
    let plan = world.tartan(&["plan", "p.yaml"]).code(0);
    assert!(plan.stdout.contains("body.lr: 0.001 → 0.002  (p.yaml:23:11)"), "{}", plan.stdout);
    assert!(plan.stdout.contains("1 to run, 1 waiting"), "{}", plan.stdout);
    let why = world.tartan(&["why", "model", "--pipeline", "p.yaml"]).code(0);
    assert!(why.stdout.contains("body.lr: 0.001 → 0.002"), "{}", why.stdout);
    let why = world.tartan(&["why", "task"]).code(0);
    assert!(why.stdout.contains("up to date"), "{}", why.stdout);
    let dry = world.run(&["--dry-run"]).code(0);
    assert_eq!(dry.stdout, plan.stdout);
}

#[test]
fn show_and_logs_tell_of_a_stage() {
    let world = World::new();
    world.tartan(&["show", "model"]).code(2).says("--pipeline");
    world.run(&[]).code(0);
    let show = world.tartan(&["show", "model"]).code(0);
    for part in
        ["model.safetensors", "length.epochs", "end_task/train.safetensors", "tartan run p.yaml", "torch"]
    {
        assert!(show.stdout.contains(part), "`{part}` is not in:\n{}", show.stdout);
    }
    let json = world.tartan(&["show", "test", "--json"]).code(0);
    let record: serde_json::Value = serde_json::from_str(&json.stdout).expect("json");
    assert_eq!(record["manifest"]["kind"], "evaluate");
    let logs = world.tartan(&["logs", "model"]).code(0);
    assert!(!logs.stdout.is_empty());
    world.tartan(&["show", "modle"]).code(2).says("did you mean `model`?");
}

#[test]
fn graph_draws_in_three_formats() {
    let world = World::new();
    let text = world.tartan(&["graph", "p.yaml"]).code(0).stdout;
    assert!(
        text.lines().any(|line| line.starts_with("test") && line.ends_with("← encoder, model, task")),
        "{text}"
    );
    let mermaid = world.tartan(&["graph", "p.yaml", "--format", "mermaid"]).code(0).stdout;
    assert!(mermaid.starts_with("graph LR\n") && mermaid.matches("-->").count() > 8, "{mermaid}");
    let dot = world.tartan(&["graph", "p.yaml", "--format", "dot", "tapt"]).code(0).stdout;
    assert!(dot.contains("\"text\" -> \"tapt\"") && !dot.contains("model"), "{dot}");
}

#[test]
fn exit_codes_are_as_documented() {
    let world = World::new();
    world.tartan(&["--version"]).code(0);
    world.tartan(&["run"]).code(2);
    world.tartan(&["run", "none.yaml"]).code(2).says("none.yaml");
    world.tartan(&["check", "p.yaml"]).code(0);
    world.tartan(&["cache", "du"]).code(0);
    let help = world.tartan(&["--help"]).code(0);
    assert!(help.stdout.contains("130"), "{}", help.stdout);
}

#[test]
fn a_result_that_cannot_be_written_is_no_success() {
    let world = World::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let status = world
        .command(&["graph", "p.yaml"])
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status()
        .expect("tartan starts");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_table_of_what_is_no_target_is_left_out() {
    let world = World::new();
    let ended = world.run(&["text"]).code(0).says("no table of `test`");
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_pipeline_that_moved_is_asked_for() {
    let world = World::new();
    world.run(&[]).code(0);
    std::fs::rename(world.path("p.yaml"), world.path("q.yaml")).expect("moved");
    world.tartan(&["why", "model"]).code(2).says("is not there any more").says("--pipeline FILE");
    world.tartan(&["why", "model", "--pipeline", "q.yaml"]).code(0);
}
