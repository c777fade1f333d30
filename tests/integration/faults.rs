//! What bad input gets.

use crate::world::World;

#[test]
fn a_wrong_pipeline_is_told_all_at_once_and_nothing_runs() {
    let world = World::new();
    world.change("p.yaml", "lr: 1e-3", "lr: fast");
    world.change("p.yaml", "{data: task}", "{data: tusk}");
    world.change("p.yaml", "train: text.txt", "train: txet.txt");
    let ended = world.run(&[]).code(2).says("`lr` is a number").says("did you mean `task`?").says("3 errors");
    assert!(
        ended.stderr.contains("there is no file `txet.txt`") || ended.stderr.contains("no file `./txet.txt`"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("did you mean `text.txt`?"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--> p.yaml:"), "{}", ended.stderr);
    assert!(!world.path("cache").exists(), "a wrong pipeline leaves nothing behind");
}

#[test]
fn a_broken_line_of_data_is_named() {
    let world = World::new();
    let mut lines: Vec<String> = world.read("train.jsonl").lines().map(str::to_owned).collect();
    lines[4] = "{\"txt\": \"no text here\", \"label\": \"a\"}".to_owned();
    world.write("train.jsonl", &lines.join("\n"));
    let ended = world.run(&[]).code(1).says("train.jsonl:5").says("no text here");
    assert_eq!(ended.stages("stage-failed"), ["task"]);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_stage_and_names_step_and_objective() {
    let world = World::new();
    world.change("p.yaml", "lr: 1e-3", "lr: 1e30\n      warmup: 0\n      clip: 0");
    let ended = world.run(&[]).code(1).says("step").says("not finite");
    assert_eq!(ended.stages("stage-failed"), ["model"]);
    let names = ["end-task", "tapt"];
    assert!(names.iter().any(|name| ended.stderr.contains(name)), "{}", ended.stderr);
}

#[test]
fn keep_going_runs_what_does_not_depend_on_the_failure() {
    let world = World::new();
    world.write("text.txt", "\n\n");
    let ended = world.run(&["--keep-going"]).code(1);
    assert_eq!(ended.stages("stage-failed"), ["text"]);
    assert_eq!(ended.ran(), ["encoder", "end-task", "task"]);
    assert_eq!(ended.stages("stage-skipped"), ["model", "tapt", "test"]);
}

#[test]
fn a_worker_that_dies_is_explained() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    world.write("worker.sh", "#!/bin/sh\nread -r request\necho 'the last line of the log' >&2\nkill -9 $$\n");
    std::fs::set_permissions(world.path("worker.sh"), std::fs::Permissions::from_mode(0o755))
        .expect("permissions");
    let output = world
        .command(&["run", "p.yaml"])
        .env("TARTAN_WORKER", world.path("worker.sh"))
        .output()
        .expect("tartan starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in ["encoder", "SIGKILL", "the last line of the log", "memory"] {
        assert!(stderr.contains(part), "`{part}` is not in:\n{stderr}");
    }
    let output =
        world.command(&["run", "p.yaml"]).env("TARTAN_WORKER", "/no/such/worker").output().expect("tartan");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/worker"));
}

#[test]
fn labels_that_do_not_fit_are_explained() {
    let world = World::new();
    let unlabelled = world.read("train.jsonl").replace("\"label\"", "\"lable\"");
    world.write("train.jsonl", &unlabelled);
    world.run(&[]).code(1);
}
