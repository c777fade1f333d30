//! What bad input gets.

use crate::world::{Ended, World};

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

/// The codes of the stages that failed.
fn codes(ended: &Ended) -> Vec<&str> {
    let failed = ended.events.iter().filter(|event| event["event"] == "stage-failed");
    failed.filter_map(|event| event["failure"]["code"].as_str()).collect()
}

#[test]
fn a_stage_that_fails_has_a_code_and_a_place() {
    let world = World::new();
    let command =
        |fields: &str| format!("tartan: 1\nstages:\n  c:\n    command:\n{fields}      outputs: [x]\n");
    world.write("p.yaml", &command("      shell: echo why >&2; exit 3\n"));
    let ended = world.run(&["--quiet"]).code(1);
    assert_eq!(codes(&ended), ["T1102"]);
    let log =
        ended.stderr.lines().find_map(|line| line.strip_prefix("  = note: stage `c` failed; its log: "));
    let expected = format!(
        "\
✗ c failed
error[T1102]: `sh` exited with status 3
 --> p.yaml:5:14
  |
5 |       shell: echo why >&2; exit 3
  |              ^^^^^^^^^^^^^^^^^^^^
  = note: its log ends:
            why
  = note: stage `c` failed; its log: {}
  = help: it found nothing in its folder, and a clean environment; what else it needs is declared by `inputs`, `env` or \
         `pass_env`

",
        log.expect("a log")
    );
    assert_eq!(ended.stderr, expected);

    // The worker of a command is its parent.
    world.write("p.yaml", &command("      run: [sh, -c, kill -9 $PPID]\n"));
    let ended = world.run(&[]).code(1);
    assert_eq!(codes(&ended), ["T1101"]);
    ended.says("error[T1101]: the worker was killed by SIGKILL without saying why\n --> p.yaml:3:3\n");

    // Weights that are none, are gone when they are read, and were not there.
    world.write("encoder/model.safetensors", "no weights");
    world.write("p.yaml", "tartan: 1\nstages:\n  e:\n    encoder:\n      from: encoder\n");
    let ended = world.run(&["e"]).code(1);
    assert_eq!(codes(&ended), ["T1106"]);
    ended.says("error[T1106]: ").says("\n --> p.yaml:5:13\n").says("stage `e` failed; its log: ");
    let worker =
        format!("#!/bin/sh\nrm -f encoder/model.safetensors\nexec {}\n", env!("CARGO_BIN_EXE_tartan-worker"));
    world.script("worker.sh", &worker);
    let ended = world.run_with(&["e"], &[("TARTAN_WORKER", "./worker.sh")]).code(1);
    assert_eq!(codes(&ended), ["T0503"]);
    ended.says("error[T0503]: cannot read ").says("\n --> p.yaml:5:13\n");
    world.run(&["e"]).code(2).says("error[T0501]: ").says("\n --> p.yaml:5:13\n");
}

#[test]
fn what_is_found_wrong_is_told_once() {
    let world = World::new();
    world.write("text.txt", "\n\n");
    let ended = world.run(&[]).code(1);
    assert_eq!(ended.stderr.matches("has no text").count(), 1, "{}", ended.stderr);
    ended.says("✗ text failed\nerror[T0611]: ").says("stage `text` failed; its log: ");
}

#[test]
fn a_worker_that_dies_is_explained() {
    let world = World::new();
    world
        .script("worker.sh", "#!/bin/sh\nread -r request\necho 'the last line of the log' >&2\nkill -9 $$\n");
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
