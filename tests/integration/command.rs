//! Commands: programs of the user's, in folders of their own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::world::{Ended, World, files};

const PIPELINE: &str = r#"tartan: 1
name: own
stages:
  clean:
    command:
      run: [sh, clean.sh, "3"]
      inputs: {clean.sh: scripts/clean.sh, raw.txt: text.txt}
      outputs: [out/clean.txt]
      env: {GREETING: hello}
      params: {n: 3}
  count:
    command:
      shell: "wc -l < made/out/clean.txt > lines.txt; env | cut -d= -f1 | sort > env.txt; : > files.txt; find . -type f | sort > files.txt"
      inputs: {made: {stage: clean}}
      outputs: [lines.txt, env.txt, files.txt]
"#;

fn world(pipeline: &str) -> World {
    let world = World::new();
    world.write("p.yaml", pipeline);
    world.write(
        "scripts/clean.sh",
        "head -n \"$1\" raw.txt > out/clean.txt; echo \"$GREETING\" >> out/clean.txt\n",
    );
    world
}

/// One command of these fields, and how its run ended.
fn run(fields: &str) -> Ended {
    let world = world(&format!("tartan: 1\nstages:\n  c:\n    command:\n{fields}"));
    let ended = world.run(&[]);
    assert_eq!(std::fs::read_dir(world.path("cache/tmp")).expect("tmp").count(), 0, "its folder is gone");
    ended
}

fn output(world: &World, stage: &str, file: &str) -> String {
    std::fs::read_to_string(world.object(stage, file)).expect("an object")
}

#[test]
fn a_command_runs_on_its_inputs_alone_and_again_when_they_change() {
    let world = world(PIPELINE);
    assert_eq!(world.run(&[]).code(0).ran(), ["clean", "count"]);
    assert_eq!(output(&world, "count", "lines.txt").trim(), "4");
    // The commands of a pipe begin in any order, so the file is made before them.
    let listed = output(&world, "count", "files.txt");
    assert_eq!(listed, "./env.txt\n./files.txt\n./lines.txt\n./made/out/clean.txt\n");
    let env = output(&world, "count", "env.txt");
    assert!(env.contains("HOME\n") && !env.contains("TARTAN_WORKER") && !env.contains("NO_PROXY"), "{env}");
    assert_eq!(world.run(&[]).code(0).ran(), Vec::<&str>::new());

    let script = world.read("scripts/clean.sh");
    world.write("scripts/clean.sh", &format!("# the same, said otherwise\n{script}"));
    let why = world.tartan(&["why", "clean"]).code(0);
    assert!(why.stdout.contains("file scripts/clean.sh changed"), "{}", why.stdout);
    assert_eq!(world.run(&[]).code(0).ran(), ["clean"], "the same bytes came out");

    world.change("p.yaml", "GREETING: hello", "GREETING: good day");
    let plan = world.tartan(&["plan", "p.yaml"]).code(0);
    assert!(plan.stdout.contains("env.GREETING: hello → good day  (p.yaml:9:23)"), "{}", plan.stdout);
    assert_eq!(world.run(&[]).code(0).ran(), ["clean", "count"]);
    let graph = world.tartan(&["graph", "p.yaml"]).code(0);
    assert!(graph.stdout.contains("count  command       ← clean"), "{}", graph.stdout);
    let show = world.tartan(&["show", "count"]).code(0);
    assert!(show.stdout.contains("inputs/made/out/clean.txt"), "{}", show.stdout);
}

#[test]
fn a_command_that_fails_says_why() {
    let undeclared =
        run("      shell: cat \"$FILE\"\n      env: {FILE: raw.txt}\n      outputs: [x]\n").code(1);
    undeclared
        .says("error[T1102]: `sh` exited with status 1")
        .says("its log ends:")
        .says("raw.txt: No such file or directory")
        .says("it found nothing in its folder, and a clean environment");
    run("      shell: kill -9 $$\n      outputs: [x]\n")
        .code(1)
        .says("was killed by SIGKILL")
        .says("out of memory");
    run("      shell: echo > y\n      outputs: [x, d/]\n")
        .code(1)
        .says("it did not make `x`, one of its outputs")
        .says("it made nothing in `d/`")
        .says("did not declare: y");
    run("      shell: ln -s /etc/hostname x; ln -s /etc d\n      outputs: [x, d/]\n")
        .code(1)
        .says("`x` is a symbolic link")
        .says("`d` is a symbolic link");
    run("      shell: mkdir x\n      outputs: [x]\n").code(1).says("`x/`");
    run("      shell: sleep 1000\n      timeout: 10ms\n      outputs: [x]\n")
        .code(1)
        .says("longer than its `timeout` of 10ms");
}

#[test]
fn a_folder_is_kept_whole_and_a_model_may_come_from_a_command() {
    let world = world(
        r"tartan: 1
stages:
  copy: {command: {shell: cp -r from to, inputs: {from: encoder}, outputs: [to/]}}
  list: {command: {shell: ls there > names.txt, inputs: {there: {stage: copy, file: to/}}, outputs: [names.txt]}}
",
    );
    world.run(&[]).code(0);
    assert_eq!(output(&world, "list", "names.txt"), "config.json\ntokenizer.json\n");
}

#[test]
fn an_input_has_one_mode_whatever_the_file_has() {
    let world = world(
        r"tartan: 1
stages:
  c: {command: {shell: stat -c %a raw.txt > mode.txt, inputs: {raw.txt: text.txt}, outputs: [mode.txt]}}
",
    );
    world.run(&[]).code(0);
    assert_eq!(output(&world, "c", "mode.txt").trim(), "555");
}

#[test]
fn every_kind_makes_what_the_plan_says() {
    let world = World::new();
    world.change("p.yaml", "report:", "  out: {export: {model: model}}\nreport:");
    world.run(&[]).code(0);
    for (stage, outputs) in world.made() {
        let all = outputs
            .keys()
            .map(|file| format!("{file}: {{stage: {stage}, file: {file}}}"))
            .collect::<Vec<_>>();
        let text = world.read("p.yaml");
        let own = format!(
            "  own: {{command: {{shell: 'true', inputs: {{{}}}, outputs: [x]}}}}\nreport:",
            all.join(", ")
        );
        world.write("q.yaml", &text.replacen("report:", &own, 1));
        world.tartan(&["check", "q.yaml"]).code(0);
        world.change("q.yaml", &format!("stage: {stage}, file: "), &format!("stage: {stage}, file: no-"));
        world.tartan(&["check", "q.yaml"]).code(2).says(&format!("`{stage}` makes no `no-"));
    }
}

/// Whether a process runs: one that has ended and is not waited for does not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

#[test]
fn nothing_that_a_command_started_outlives_it() {
    let background = "setsid sleep 1000 & echo $! > \"$PIDS.new\"";
    let pipeline = |then: &str, pids: &Path| {
        format!(
            "tartan: 1\nstages:\n  c:\n    command:\n      shell: '{background}; {then}'\n      env: {{PIDS: {}}}\n      outputs: [x]\n",
            pids.display()
        )
    };
    // It ends well, and leaves something running.
    let world = world("");
    let pids = world.path("pids");
    world.write("p.yaml", &pipeline("echo > x", &pids));
    world.run(&[]).code(0);
    assert!(!runs(world.read("pids.new").trim()), "left running");

    // It is interrupted, or the whole run is killed.
    for signal in ["INT", "KILL"] {
        std::fs::remove_file(world.path("pids.new")).expect("pids");
        world.write(
            "p.yaml",
            &pipeline(
                &format!("echo $$ >> \"$PIDS.new\"; mv \"$PIDS.new\" \"$PIDS\"; sleep 1000; : {signal}"),
                &pids,
            ),
        );
        let mut run = world.start("e.jsonl");
        wait_until("the command runs", || pids.exists());
        let sent = Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        run.wait().expect("a run");
        let text = world.read("pids");
        assert_eq!(text.lines().count(), 2);
        wait_until(&format!("{signal} ends all: {text}"), || !text.lines().any(runs));
        std::fs::rename(&pids, world.path("pids.new")).expect("pids");
    }
    world.write("p.yaml", PIPELINE);
    world.run(&[]).code(0);
    assert!(files(&world.path("cache/tmp")).is_empty());
}

#[test]
fn the_shipped_programs_prepare_and_score() {
    let world = World::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    for name in ["own-programs.yaml", "scripts/balance.py", "scripts/calibration.py"] {
        world.write(
            name,
            &std::fs::read_to_string(shipped.join(name)).expect(name).replace("../examples/toy/", ""),
        );
    }
    world.change("own-programs.yaml", "per_label: [2, 4, 8]", "per_label: [2, 4]");
    world.change("own-programs.yaml", "steps: 120", "steps: 4");
    world.change("own-programs.yaml", "evaluate_every: 20", "evaluate_every: 2");
    let run = ["run", "own-programs.yaml", "--jobs", "2", "--threads", "1"];
    let ended = world.tartan(&run).code(0);
    let (_, table) =
        ended.stdout.split_once("expected calibration error: ece of calibration").expect("a table");
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("(n=3)")).collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(rows.iter().all(|row| row.contains(" ± ")), "{table}");

    world.change("scripts/balance.py", "import json\n", "import json  # as before\n");
    world.tartan(&run).code(0).says("2 ran");
    world.change("own-programs.yaml", "calibration.ece", "calibration.eec");
    let ended = world.tartan(&run).code(1);
    let ended = ended.says("error[T0702]: `calibration` gave no number `eec`").says("did you mean `ece`?");
    assert!(ended.stdout.contains(" ± "), "the other tables are there: {}", ended.stdout);
}
