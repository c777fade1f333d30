//! Workers that die, lie, hang or read damaged bytes, and runs that are stopped.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{Bench, chain, plan};
use crate::action::{Action, Fetch, Pin};
use crate::diag::Code;
use crate::digest::Digest;
use crate::event::{Event, Failure};
use crate::exec::Stop;
use crate::plan::{Input, NodeId};

/// Runs one stage that does `script`, and returns its failure.
fn failure_of(script: &str) -> Failure {
    let bench = Bench::new();
    bench.script("a", script);
    let ran = bench.run(&plan(&[("a", 1, None)]));
    assert_eq!(ran.counts(), [0, 0, 1, 0], "{script}");
    ran.failure().clone()
}

#[test]
fn a_worker_that_dies_is_spoken_for() {
    let killed = failure_of("seq 1 20 >&2; kill -9 $$");
    assert_eq!(killed.code, Code::WorkerEnded);
    assert_eq!(killed.message, "the worker was killed by SIGKILL without saying why");
    let [log] = killed.notes.as_slice() else { panic!("{:?}", killed.notes) };
    assert!(log.ends_with("\n  19\n  20") && !log.contains("\n  10"), "{log}");
    assert!(killed.help.is_some_and(|help| help.contains("auxiliary_batch")));
    let exited = failure_of("echo half a story; exit 101");
    assert_eq!(exited.message, "the worker exited with status 101 without saying why");
    assert_eq!(exited.notes, ["its log ends:\n  half a story"], "what is no message is in the log");
    let exited = failure_of("exit 0");
    assert_eq!(exited.message, "the worker exited with status 0 without saying why");
    assert_eq!(exited.notes, ["its log is empty"]);
    let exited = failure_of("echo '{\"done\":{\"peak_memory\":null,\"versions\":{}}}'; exit 3");
    assert_eq!(exited.message, "the worker said that it was done, but then exited with status 3");
}

#[test]
fn a_worker_that_does_not_end_is_ended() {
    let silent = failure_of("exec >&-; sleep 1000");
    assert!(silent.message.contains("closed its output"), "{silent:?}");
    let overdue = failure_of("echo '{\"done\":{\"peak_memory\":null,\"versions\":{}}}'; sleep 1000");
    assert!(overdue.message.contains("did not exit"), "{overdue:?}");
    assert_eq!([silent.code, overdue.code], [Code::WorkerEnded; 2]);
}

#[test]
fn a_wrong_file_is_not_kept_whatever_the_worker_says_of_it() {
    let bench = Bench::new();
    let mut plan = plan(&[("a", 1, None)]);
    plan.node_mut(NodeId(0)).action = Action::Fetch(Fetch { pin: Pin::Blake3(Digest::of(b"right\n")) });
    bench.script("a", "echo wrong >\"$out/file\"; finish");
    let ran = bench.run(&plan);
    assert_eq!(ran.counts(), [0, 0, 1, 0]);
    assert_eq!(ran.failure().code, Code::OtherFile);
    assert!(ran.failure().notes[0].contains(&Digest::of(b"wrong\n").hex()), "{:?}", ran.failure());
    bench.script("a", "finish");
    assert_eq!(bench.run(&plan).failure().code, Code::UnreadableFile);
    assert!(bench.store.all_records().expect("records").is_empty());
    assert!(!bench.store.object(&Digest::of(b"wrong\n")).exists());

    bench.script("a", "echo right >\"$out/file\"; finish");
    assert_eq!(bench.run(&plan).counts(), [1, 0, 0, 0]);
}

#[test]
fn noise_and_children_left_behind_do_no_harm() {
    let bench = Bench::new();
    bench.script("a", "head -c 3000000 /dev/zero | tr '\\0' x >&2; head -c 3000000 /dev/zero; echo; echo '{\"done\":7}'; echo '[1'");
    bench.script("b", "sleep 1000 &");
    bench.script("c", "i=0; while [ $i -lt 3000 ]; do echo '{\"note\":{\"level\":\"info\",\"text\":\"hm\"}}'; i=$((i+1)); done");
    let ran = bench.run(&chain());
    assert_eq!(ran.counts(), [3, 0, 0, 0]);
    assert_eq!(ran.events.iter().filter(|event| matches!(event, Event::StageNote { .. })).count(), 3000);
}

#[test]
fn a_worker_that_cannot_start_fails_its_stage() {
    let mut bench = Bench::new();
    bench.options.worker = bench.folder.path().join("ran");
    fs::write(&bench.options.worker, "").expect("file");
    let ran = bench.run(&plan(&[("a", 1, None)]));
    assert_eq!(ran.failure().code, Code::NoWorker);
    assert!(ran.failure().message.starts_with("cannot start the worker "), "{:?}", ran.failure());
}

#[test]
fn an_output_that_was_not_made_is_missed_by_name() {
    let bench = Bench::new();
    let mut plan = chain();
    let input = Input::Output { node: NodeId(0), file: "model".to_owned() };
    plan.node_mut(NodeId(1)).inputs.insert("in".to_owned(), input);
    for _ in 0..2 {
        let ran = bench.run(&plan);
        assert_eq!(ran.failure().code, Code::NotMade);
        assert_eq!(ran.failure().message, "it reads `model`, which `a` did not make");
        assert_eq!(ran.outcome.failed, 1);
    }
}

#[test]
fn damaged_inputs_are_made_again() {
    let bench = Bench::new();
    let first = bench.run(&chain());
    bench.take_ran();
    let object = bench.store.object(&first.outcome.outputs[&NodeId(1)].outputs["out"].digest);
    let sound = fs::read(&object).expect("object");
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).expect("permissions");
    fs::write(&object, "X".repeat(sound.len())).expect("damage");

    bench.script("c", "grep -q X $inputs && damaged");
    let changed = plan(&[("a", 1, None), ("b", 2, Some(0)), ("c", 30, Some(1)), ("d", 4, Some(1))]);
    let ran = bench.run(&changed);
    assert_eq!(bench.take_ran(), ["c", "b", "c", "d"]);
    assert_eq!(ran.counts(), [3, 1, 0, 0]);
    assert!(ran.warnings()[0].contains("damaged"), "{:?}", ran.warnings());
    assert!(
        ran.events.iter().any(|event| matches!(event, Event::StageRetried { stage, .. } if stage == "c"))
    );
    assert_eq!(fs::read(&object).expect("object"), sound);
}

#[test]
fn inputs_that_stay_damaged_fail_in_the_end() {
    let bench = Bench::new();
    bench.script("b", "damaged");
    let ran = bench.run(&chain());
    assert_eq!(
        (ran.counts(), bench.take_ran()),
        ([0, 1, 1, 1], ["a", "b", "b", "b"].map(String::from).to_vec())
    );
    assert_eq!(ran.failure().message, "`in` is damaged");
}

#[test]
fn a_damaged_result_is_made_again_before_it_is_delivered() {
    let bench = Bench::new();
    let first = bench.run(&chain());
    bench.take_ran();
    let object = bench.store.object(&first.outcome.outputs[&NodeId(2)].outputs["out"].digest);
    let sound = fs::read(&object).expect("object");
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).expect("permissions");
    fs::write(&object, "X".repeat(sound.len())).expect("damage");

    let mut plan = chain();
    let to = bench.folder.path().join("exported");
    plan.node_mut(NodeId(2)).deliver_to = vec![to.clone()];
    assert_eq!((bench.run(&plan).counts(), bench.take_ran()), ([1, 2, 0, 0], vec!["c".into()]));
    assert_eq!(fs::read(to.join("out")).expect("out"), sound);
}

#[test]
fn a_stop_keeps_what_is_finished_and_nothing_half() {
    let bench = Bench::new();
    let note = "echo '{\"note\":{\"level\":\"info\",\"text\":\"half\"}}'";
    bench.script("b", &format!("echo half >\"$out/out\"; {note}; sleep 1000"));
    let stop = Stop::new();
    let ran = bench.run_until(&chain(), &stop, |event| {
        if matches!(event, Event::StageNote { .. }) {
            stop.ask();
        }
    });
    assert_eq!((ran.counts(), ran.outcome.interrupted), ([1, 0, 0, 2], true));
    assert_eq!(ran.skipped()["c"], "the run was stopped");
    assert_eq!(bench.take_ran(), ["a", "b"]);
    bench.script("b", "");
    assert_eq!(
        (bench.run(&chain()).counts(), bench.take_ran()),
        ([2, 1, 0, 0], vec!["b".into(), "c".into()])
    );
}

#[test]
fn an_urgent_stop_kills() {
    let bench = Bench::new();
    bench.script("a", "trap '' TERM; echo '{\"note\":{\"level\":\"info\",\"text\":\"deaf\"}}'; while :; do sleep 0.05; done");
    let stop = Stop::new();
    let ran = bench.run_until(&chain(), &stop, |event| {
        if matches!(event, Event::StageNote { .. }) {
            stop.ask_urgently();
        }
    });
    assert_eq!((ran.counts(), ran.outcome.interrupted), ([0, 0, 0, 3], true));
    bench.script("a", "");
    assert_eq!(bench.run(&chain()).counts(), [3, 0, 0, 0]);
}

#[test]
fn signals_ask_to_stop() {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::low_level::raise;
    let stop = Stop::install().expect("install");
    let wait_for = |flag: &dyn Fn() -> bool| {
        while !flag() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };
    raise(SIGTERM).expect("raise");
    wait_for(&|| stop.asked());
    assert!(!stop.urgent());
    raise(SIGINT).expect("raise");
    wait_for(&|| stop.urgent());
}
