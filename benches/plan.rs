//! What a run does before it runs anything: `cargo bench --no-default-features --bench plan`.
//!
//! `benches/noop.py` times the whole program, beside its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use tartan::digest::Digest;
use tartan::exec::{NodeStatus, known};
use tartan::plan::{self, NodeId, Plan};
use tartan::spec::Spec;
use tartan::store::{Artifacts, Provenance, Store};

/// An encoder, its data, and pairs of a model and its score: so many stages at each of so many points. Each point
/// has a node of its own for each stage.
fn pipeline(stages: usize, points: usize) -> String {
    let mut text = "tartan: 1
name: bench
vars: {seed: 0}
stages:
  encoder: {encoder: {random: encoder, seed: \"${seed}\"}}
  task: {tokenize: {tokenizer: encoder, splits: {train: train.jsonl, test: test.jsonl}, seed: \"${seed}\"}}
  end-task: {objective: {classify: {data: task}}}
  text: {objective: {mlm: {data: task}}}
"
    .to_owned();
    for pair in 0..(stages - 4) / 2 {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "  model-{pair}: {{train: {{init: encoder, end_task: end-task, auxiliary: [text], steps: 10, lr: {}e-6}}}}\n  \
             test-{pair}: {{evaluate: {{model: model-{pair}, data: task, split: test}}}}",
            pair + 1
        );
    }
    if points > 1 {
        let _ = writeln!(text, "sweep: {{seed: {{range: [0, {points}]}}}}");
    }
    text
}

fn read(text: &str) -> Spec {
    let (spec, diagnostics) = Spec::from_text(Path::new("bench.yaml"), text, &[]);
    assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
    spec
}

fn planned(spec: &Spec) -> Plan {
    let mut diagnostics = vec![];
    let outline = plan::outline(spec, &[], &mut diagnostics);
    let digest = |path: PathBuf| (path.clone(), Digest::of(path.as_os_str().as_encoded_bytes()));
    let digests: BTreeMap<PathBuf, Digest> = outline.files().into_keys().map(digest).collect();
    let plan = plan::build(&outline, &digests, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{}", diagnostics[0]);
    plan
}

/// Puts a result of every node into a store: of each file that another node reads, a few bytes.
fn fill(store: &Store, plan: &Plan) {
    let mut done: BTreeMap<NodeId, Artifacts> = BTreeMap::new();
    let mut files: BTreeMap<NodeId, BTreeSet<&str>> = BTreeMap::new();
    for input in plan.ids().flat_map(|id| plan.node(id).inputs.values()) {
        if let plan::Input::Output { node, file } = input {
            files.entry(*node).or_default().insert(file);
        }
    }
    for id in plan.ids() {
        let made = |id: NodeId| done.get(&id).map(|artifacts| &artifacts.outputs);
        let manifest = plan.manifest(id, made).expect("its inputs are there");
        let key = manifest.key();
        let (lock, scratch) = (store.lock(&key).expect("lock"), store.scratch(&key).expect("scratch"));
        for file in files.get(&id).into_iter().flatten() {
            std::fs::write(scratch.path().join(file), format!("{file} {key}")).expect("write");
        }
        let committed = store.commit(&lock, &manifest, &scratch, Provenance::default()).expect("commit");
        done.insert(id, committed.record.into());
    }
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(20);
    for (name, stages, points) in [
        ("1,000 stages", 1000, 1),
        ("100 stages x 100 points", 100, 100),
        ("6 stages x 10,000 points", 6, 10_000),
    ] {
        let text = pipeline(stages, points);
        let spec = read(&text);
        group.bench_function(format!("{name}: read"), |bench| bench.iter(|| read(&text)));
        group.bench_function(format!("{name}: plan"), |bench| bench.iter(|| planned(&spec)));
    }

    let plan = planned(&read(&pipeline(1000, 1)));
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(folder.path()).expect("store");
    fill(&store, &plan);
    let force = BTreeSet::new();
    group.bench_function("1,000 stages: look up", |bench| {
        bench.iter(|| {
            let status = known(&plan, &store, &force).expect("status");
            assert!(status.iter().all(|(_, status)| matches!(status, NodeStatus::Cached(_))));
            status
        });
    });
    group.finish();
}

criterion_group!(benches, plans);
criterion_main!(benches);
