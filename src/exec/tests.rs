//! Plans run over a real store by `tests/fake-worker.sh`.

mod misbehaviour;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{ExecError, NodeStatus, Options, Outcome, Stop, known, run};
use crate::action::{Action, Encoder, Means};
use crate::diag::Code;
use crate::event::{Event, Failure, Level, Message};
use crate::plan::{Input, Node, NodeId, Plan};
use crate::store::Store;

/// A folder with a store and the fake worker.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    options: Options,
}

/// What a run came to.
struct Ran {
    outcome: Outcome,
    events: Vec<Event>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/exec/tests/fake-worker.sh");
        let worker = folder.path().join("worker");
        // Not written here: a script that is open for writing anywhere cannot be executed.
        std::os::unix::fs::symlink(script, &worker).expect("worker");
        let store = Store::open(&folder.path().join("cache")).expect("store");
        let options = Options { worker, jobs: Some(1), threads: Some(1), ..Options::default() };
        Self { folder, store, options }
    }

    /// Has the worker do `script` for a stage.
    fn script(&self, stage: &str, script: &str) {
        fs::write(self.folder.path().join(format!("do-{stage}")), script).expect("script");
    }

    fn run(&self, plan: &Plan) -> Ran {
        self.run_until(plan, &Stop::new(), |_| {})
    }

    fn run_until(&self, plan: &Plan, stop: &Stop, mut watch: impl FnMut(&Event)) -> Ran {
        let mut events = vec![];
        let outcome = run(plan, &self.store, &self.options, stop, &mut |event| {
            watch(&event);
            events.push(event);
        })
        .expect("run");
        let total = outcome.ran + outcome.cached + outcome.failed + outcome.skipped;
        assert_eq!(total, plan.len(), "every node is counted once: {outcome:?}");
        assert!(matches!(events.last(), Some(Event::RunFinished { .. })));
        let tmp = fs::read_dir(self.store.root().join("tmp")).expect("tmp").count();
        assert_eq!(tmp, 0, "scratch folders are left");
        Ran { outcome, events }
    }

    /// The stages that workers ran since the last call, in order.
    fn take_ran(&self) -> Vec<String> {
        let path = self.folder.path().join("ran");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, "").expect("ran");
        text.lines().map(str::to_owned).collect()
    }
}

impl Ran {
    /// `[ran, cached, failed, skipped]`.
    fn counts(&self) -> [usize; 4] {
        [self.outcome.ran, self.outcome.cached, self.outcome.failed, self.outcome.skipped]
    }

    fn failure(&self) -> &Failure {
        let failure = self.events.iter().find_map(|event| match event {
            Event::StageFailed { failure, .. } => Some(failure),
            _ => None,
        });
        failure.expect("a failure")
    }

    fn skipped(&self) -> BTreeMap<&str, &str> {
        let skipped = self.events.iter().filter_map(|event| match event {
            Event::StageSkipped { stage, because } => Some((stage.as_str(), because.as_str())),
            _ => None,
        });
        skipped.collect()
    }

    fn warnings(&self) -> Vec<&str> {
        let warnings = self.events.iter().filter_map(|event| match event {
            Event::StageNote { level: Level::Warning, text, .. } => Some(text.as_str()),
            _ => None,
        });
        warnings.collect()
    }
}

/// A plan of `(name, seed, the node it reads from)`.
fn plan(nodes: &[(&str, u64, Option<usize>)]) -> Plan {
    let mut plan = Plan::new("test");
    for (name, seed, reads) in nodes {
        let input = |node: &usize| Input::Output { node: NodeId(*node), file: "out".to_owned() };
        plan.add(Node {
            name: (*name).to_owned(),
            stage: (*name).to_owned(),
            points: vec![],
            action: Action::Encoder(Encoder { random: true, seed: *seed }),
            inputs: reads.iter().map(|node| ("in".to_owned(), input(node))).collect(),
            checkpoint: None,
            means: Means::default(),
            objective_names: vec![],
            urls: vec![],
            unresolved: None,
            deliver_to: vec![],
        });
    }
    plan
}

fn chain() -> Plan {
    plan(&[("a", 1, None), ("b", 2, Some(0)), ("c", 3, Some(1))])
}

#[test]
fn a_chain_runs_in_order_and_then_never_again() {
    let bench = Bench::new();
    let first = bench.run(&chain());
    assert_eq!((first.counts(), bench.take_ran()), ([3, 0, 0, 0], vec!["a".into(), "b".into(), "c".into()]));
    let key = first.outcome.outputs[&NodeId(2)].key;
    let record = bench.store.record(&key).expect("record").expect("is there");
    assert_eq!(record.provenance.stage, "c");
    assert_eq!(record.provenance.peak_memory, Some(1000));
    assert_eq!(record.provenance.versions.keys().collect::<Vec<_>>(), ["fake", "tartan"]);
    let made = bench.store.read(&record.outputs["out"].digest).expect("output");
    let made = String::from_utf8(made).expect("text");
    let seeds: Vec<usize> = [3, 2, 1].iter().filter_map(|n| made.find(&format!("\"seed\":{n}"))).collect();
    assert!(seeds.len() == 3 && seeds.is_sorted(), "it read what the chain made: {made}");

    let second = bench.run(&chain());
    assert_eq!((second.counts(), bench.take_ran()), ([0, 3, 0, 0], vec![]));
    assert_eq!(second.outcome.outputs, first.outcome.outputs);
    assert!(matches!(second.events[0], Event::RunStarted { cached: 3, stages: 3, .. }));
}

#[test]
fn a_changed_parameter_reruns_what_follows_and_nothing_else() {
    let bench = Bench::new();
    let make = |seed| {
        plan(&[("a", 1, None), ("b", seed, Some(0)), ("c", 3, Some(1)), ("d", 4, Some(0)), ("e", 5, None)])
    };
    bench.run(&make(2));
    bench.take_ran();
    assert_eq!(bench.run(&make(20)).counts(), [2, 3, 0, 0]);
    assert_eq!(bench.take_ran(), ["b", "c"]);
}

#[test]
fn equal_bytes_stop_a_change_from_spreading() {
    let bench = Bench::new();
    bench.script("a", "echo same >\"$out/out\"; finish");
    bench.run(&chain());
    bench.take_ran();
    let changed = plan(&[("a", 100, None), ("b", 2, Some(0)), ("c", 3, Some(1))]);
    let ran = bench.run(&changed);
    assert_eq!((ran.counts(), bench.take_ran()), ([1, 2, 0, 0], vec!["a".into()]));
    assert!(ran.events.iter().any(|event| matches!(event, Event::StageFinished { unchanged: true, .. })));
}

#[test]
fn after_a_failure_nothing_starts_unless_asked_to_go_on() {
    let mut bench = Bench::new();
    let failure = Failure::new(Code::CommandFailed, "no good").at("run").help("do better");
    let word = serde_json::to_string(&Message::Failed(failure.clone())).expect("json");
    bench.script("a", &format!("echo trouble >&2; echo '{word}'; exit 1"));
    let both = plan(&[("a", 1, None), ("b", 2, Some(0)), ("c", 3, Some(1)), ("z", 4, None)]);
    let ran = bench.run(&both);
    assert_eq!((ran.counts(), bench.take_ran()), ([0, 0, 1, 3], vec!["a".into()]));
    assert_eq!(*ran.failure(), failure);
    assert_eq!(ran.skipped(), BTreeMap::from(["b", "c", "z"].map(|stage| (stage, "`a` failed"))));
    let log = ran.events.iter().find_map(|event| match event {
        Event::StageFailed { log, .. } => log.clone(),
        _ => None,
    });
    assert!(fs::read_to_string(log.expect("a log")).expect("log").contains("\ntrouble\n"));

    bench.options.keep_going = true;
    let ran = bench.run(&both);
    assert_eq!((ran.counts(), bench.take_ran()), ([1, 0, 1, 2], vec!["a".into(), "z".into()]));
    assert_eq!(ran.skipped().into_keys().collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn jobs_run_side_by_side() {
    let mut bench = Bench::new();
    bench.options.jobs = Some(2);
    // Each waits for the other.
    let meet = |other: &str| format!("until grep -qx {other} \"$here/ran\"; do sleep 0.02; done");
    bench.script("a", &meet("b"));
    bench.script("b", &meet("a"));
    assert_eq!(bench.run(&plan(&[("a", 1, None), ("b", 2, None), ("c", 3, None)])).counts(), [3, 0, 0, 0]);
}

#[test]
fn equal_work_is_done_once() {
    let mut bench = Bench::new();
    bench.options.jobs = Some(4);
    // `c` and `d` come to the same key only once `a` and `b` are found to make the same.
    for stage in ["a", "b"] {
        bench.script(stage, "echo same >\"$out/out\"; finish");
    }
    let twins = plan(&[("a", 1, None), ("b", 2, None), ("c", 3, Some(0)), ("d", 3, Some(1))]);
    assert_eq!(bench.run(&twins).counts(), [3, 1, 0, 0]);
    assert_eq!(bench.take_ran().len(), 3);

    bench.options.force = BTreeSet::from(["c".to_owned(), "d".to_owned()]);
    assert_eq!(bench.run(&twins).counts(), [1, 3, 0, 0]);
    assert_eq!(bench.take_ran().len(), 1);

    bench.options.force.clear();
    bench.options.keep_going = true;
    let fails = plan(&[("c", 7, None), ("d", 7, None), ("e", 8, Some(1))]);
    for stage in ["c", "d"] {
        bench.script(stage, "exit 1");
    }
    let ran = bench.run(&fails);
    assert_eq!((ran.counts(), bench.take_ran().len()), ([0, 0, 1, 2], 1), "{:?}", ran.events);
}

#[test]
fn two_runs_at_once_do_the_work_once() {
    let bench = Bench::new();
    for stage in ["a", "b"] {
        bench.script(stage, "sleep 0.3");
    }
    let counts = |ran: &Outcome| [ran.ran, ran.cached, ran.failed + ran.skipped];
    let go = || {
        let store = Store::open(bench.store.root()).expect("store");
        run(&chain(), &store, &bench.options, &Stop::new(), &mut |_| {}).expect("run")
    };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(go);
        (counts(&go()), counts(&other.join().expect("run")))
    });
    assert_eq!(first[0] + second[0], 3, "{first:?} {second:?}");
    assert_eq!(first[1] + second[1], 3, "{first:?} {second:?}");
    assert_eq!(bench.take_ran(), ["a", "b", "c"]);
}

#[test]
fn a_key_that_another_holds_is_waited_for() {
    let bench = Bench::new();
    let key = match known(&chain(), &bench.store, &BTreeSet::new()).expect("status").node(NodeId(0)) {
        NodeStatus::Run(manifest) => manifest.key(),
        other => panic!("{other:?}"),
    };
    let mut lock = Some(bench.store.lock(&key).expect("lock"));
    let ran = bench.run_until(&chain(), &Stop::new(), |event| {
        if let Event::StageWaiting { stage, .. } = event {
            assert_eq!(stage, "a");
            lock.take();
        }
    });
    assert!(lock.is_none(), "it said that it waits");
    assert_eq!(ran.counts(), [3, 0, 0, 0]);
}

#[test]
fn force_runs_again_and_the_first_result_stays() {
    let mut bench = Bench::new();
    let first = bench.run(&chain());
    bench.take_ran();
    bench.options.force = BTreeSet::from(["b".to_owned()]);
    let ran = bench.run(&chain());
    assert_eq!((ran.counts(), bench.take_ran()), ([1, 2, 0, 0], vec!["b".into()]));
    assert_eq!(ran.warnings(), [""; 0]);

    bench.script("b", "echo other >\"$out/out\"; finish");
    let ran = bench.run(&chain());
    assert_eq!((ran.counts(), bench.take_ran()), ([1, 2, 0, 0], vec!["b".into()]));
    assert!(ran.warnings()[0].contains("other bytes"), "{:?}", ran.warnings());
    assert_eq!(ran.outcome.outputs, first.outcome.outputs);
}

#[test]
fn what_a_killed_worker_left_is_there_for_the_next_until_it_is_done() {
    let mut bench = Bench::new();
    let one = plan(&[("a", 1, None)]);
    // Counts its attempts, and lives to its end in the third.
    let count = "echo x >>\"$resume/attempts\"; grep -c x \"$resume/attempts\" >\"$out/out\"; ";
    bench.script("a", &format!("{count} [ $(cat \"$out/out\") = 3 ] || kill -9 $$; finish"));
    for _ in 0..2 {
        assert_eq!(bench.run(&one).counts(), [0, 0, 1, 0]);
    }
    let ran = bench.run(&one);
    assert_eq!(ran.counts(), [1, 0, 0, 0]);
    let out = ran.outcome.outputs[&NodeId(0)].outputs["out"].digest;
    assert_eq!(bench.store.read(&out).expect("out"), b"3\n");
    let left = || fs::read_dir(bench.store.root().join("partial")).expect("partial").count();
    assert_eq!(left(), 0);

    // What is forced begins anew, each time.
    bench.options.force = BTreeSet::from(["a".to_owned()]);
    for _ in 0..2 {
        bench.script("a", &format!("{count} echo attempts: >&2; cat \"$out/out\" >&2; kill -9 $$"));
        assert!(bench.run(&one).failure().notes[0].ends_with("attempts:\n  1"));
    }
}

#[test]
fn status_is_told_without_running() {
    let bench = Bench::new();
    let names = |force: &BTreeSet<String>, plan: &Plan| -> Vec<String> {
        let status = known(plan, &bench.store, force).expect("status");
        status
            .iter()
            .map(|(_, status)| match status {
                NodeStatus::Cached(_) => "cached".to_owned(),
                NodeStatus::Run(_) => "run".to_owned(),
                NodeStatus::Waits(on) => format!("waits on {on:?}"),
            })
            .collect()
    };
    let none = BTreeSet::new();
    assert_eq!(names(&none, &chain()), ["run", "waits on [NodeId(0)]", "waits on [NodeId(1)]"]);
    bench.run(&chain());
    assert_eq!(names(&none, &chain()), ["cached"; 3]);
    assert_eq!(names(&BTreeSet::from(["b".to_owned()]), &chain())[1..], ["run", "waits on [NodeId(1)]"]);
    assert_eq!(bench.take_ran().len(), 3);
}

#[test]
fn results_are_delivered_and_the_folder_mended() {
    let bench = Bench::new();
    let to = bench.folder.path().join("exported");
    let mut plan = chain();
    plan.node_mut(NodeId(2)).deliver_to = vec![to.clone()];
    let notes = |ran: &Ran| {
        ran.events
            .iter()
            .filter(|e| matches!(e, Event::StageNote { text, .. } if text.contains("exported")))
            .count()
    };
    assert_eq!(notes(&bench.run(&plan)), 1);
    let made = fs::read(to.join("out")).expect("out");
    assert_eq!(notes(&bench.run(&plan)), 0);
    fs::write(to.join("out"), "mine").expect("write");
    assert_eq!(notes(&bench.run(&plan)), 1);
    assert_eq!(fs::read(to.join("out")).expect("out"), made);

    // Where it cannot be written, that stage has failed.
    fs::remove_dir_all(&to).expect("remove");
    fs::write(&to, "a file").expect("write");
    assert_eq!(bench.run(&plan).counts(), [0, 2, 1, 0]);
}

#[test]
fn a_missing_worker_is_said_before_anything_starts() {
    let mut bench = Bench::new();
    bench.run(&chain());
    bench.options.worker = bench.folder.path().join("no-such-worker");
    assert_eq!(bench.run(&chain()).counts(), [0, 3, 0, 0], "nothing to run needs no worker");
    let mut events = 0;
    let result =
        run(&plan(&[("x", 9, None)]), &bench.store, &bench.options, &Stop::new(), &mut |_| events += 1);
    let error = result.expect_err("no worker");
    assert!(matches!(error, ExecError::NoWorker { .. }), "{error}");
    assert!(error.to_string().contains("no-such-worker") && error.help().is_some());
    assert_eq!(events, 0);
}
