//! Interrupts and kills.

use std::process::Command;
use std::time::Duration;

use crate::world::World;

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// Whether this process, and what it starts, was started with SIGHUP ignored.
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1)
}

/// Waits until the run's events have `part`.
fn wait_for(world: &World, events: &str, part: &str) {
    for _ in 0..6000 {
        if std::fs::read_to_string(world.path(events)).is_ok_and(|text| text.contains(part)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("`{part}` never came");
}

#[test]
fn an_interrupt_keeps_what_is_finished() {
    let world = World::new();
    // Long enough to be interrupted in the middle of training.
    world.change("p.yaml", "epochs: 1", "epochs: 100000");
    let mut run = world.start("e.jsonl");
    wait_for(&world, "e.jsonl", "\"phase\":\"train\"");
    signal(run.id(), "INT");
    assert_eq!(run.wait().expect("a run").code(), Some(130));
    assert_eq!(std::fs::read_dir(world.path("cache/tmp")).expect("tmp").count(), 0, "scratch is gone");
    world.change("p.yaml", "epochs: 100000", "epochs: 1");
    assert_eq!(world.run(&[]).code(0).ran(), ["model", "test"]);
}

#[test]
fn an_interrupt_keeps_what_was_trained() {
    let world = World::new();
    world.change("p.yaml", "epochs: \"${epochs}\"", "steps: 3000");
    world.change("p.yaml", "evaluate_every: 2", "evaluate_every: 100\n      patience: 0");
    let mut run = world.start("e.jsonl");
    wait_for(&world, "e.jsonl", "\"phase\":\"train\"");
    std::thread::sleep(Duration::from_millis(300));
    // As when the terminal goes away; under `nohup` that is nothing.
    signal(run.id(), if ignores_hangups() { "TERM" } else { "HUP" });
    assert_eq!(run.wait().expect("a run").code(), Some(130));
    world.run(&[]).code(0).says("goes on after step");
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_that_looks_whole_and_is_not() {
    let quiet = World::new();
    quiet.run(&[]).code(0);
    let expected = quiet.made();

    let world = World::new();
    // Moments over the first seconds of a run; each run takes up where the last one was killed.
    for moment in [20_u64, 150, 400, 700, 1100, 1600, 2300] {
        let mut run = world.start("e.jsonl");
        std::thread::sleep(Duration::from_millis(moment));
        let _ = run.kill();
        run.wait().expect("a run");
        if world.path("cache/objects").exists() {
            world.tartan(&["cache", "verify"]).code(0);
        }
    }
    world.run(&[]).code(0);
    assert_eq!(world.made(), expected);
    world.tartan(&["cache", "verify"]).code(0);
}

#[test]
fn training_killed_at_any_moment_goes_on_to_the_very_same_result() {
    let learning = |checkpoint: &str| {
        let world = World::new();
        world.change("p.yaml", "    train:", "    learn-weights:");
        world.change("p.yaml", "epochs: \"${epochs}\"", &format!("steps: 4000\n      {checkpoint}"));
        world.change("p.yaml", "evaluate_every: 2", "evaluate_every: 50\n      patience: 0");
        world
    };
    let quiet = learning("checkpoint: false");
    quiet.run(&[]).code(0);

    let world = learning("checkpoint: {steps: 5}");
    let (mut killed, mut state) = (0, 88_172_645_463_325_252_u64);
    while killed < 20 {
        let mut run = world.start("e.jsonl");
        // In the middle of training, wherever that is by now: a moment of up to half a second.
        wait_for(&world, "e.jsonl", "\"phase\":\"train\"");
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        std::thread::sleep(Duration::from_millis(state % 500));
        let _ = run.kill();
        assert!(
            !run.wait().expect("a run").success(),
            "training ended after {killed} kills: it is too short"
        );
        killed += 1;
        std::fs::remove_file(world.path("e.jsonl")).expect("events");
    }
    world.run(&[]).code(0);
    assert_eq!(world.made(), quiet.made());
    let left = crate::world::files(&world.path("cache/partial"));
    assert!(left.is_empty(), "checkpoints of a finished stage: {left:?}");
}
