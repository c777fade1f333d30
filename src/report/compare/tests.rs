//! Comparisons of records that are made up here.

use super::*;
use crate::action::Manifest;
use crate::plan::{Input, NodeId, Plan};
use crate::spec::Spec;
use crate::store::{Output, Provenance};
use serde_json::json;

/// A record of `kind` that read `inputs` and wrote `outputs`: pairs of a role and a content.
fn record(
    name: &str,
    kind: &str,
    parameters: Value,
    inputs: &[(&str, &str)],
    outputs: &[(&str, &str)],
) -> Record {
    let digest = |text: &str| Digest::of(text.as_bytes());
    let inputs = inputs.iter().map(|(role, text)| ((*role).to_owned(), digest(text))).collect();
    let manifest = Manifest { kind: kind.to_owned(), revision: 1, parameters, inputs };
    let output = |text: &str| Output { digest: digest(text), size: 1 };
    Record {
        key: manifest.key(),
        manifest,
        outputs: outputs.iter().map(|(file, text)| ((*file).to_owned(), output(text))).collect(),
        provenance: Provenance { stage: name.to_owned(), ..Provenance::default() },
    }
}

/// A record of no plan.
fn bare(record: &Record) -> Made<'_> {
    Made { record, node: None }
}

fn pair(name: &str, a: &str, b: &str) -> Pair {
    Pair { name: name.into(), a: Some(a.into()), b: Some(b.into()) }
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    (folder, store)
}

const CONFIG: (&str, &str) = ("config.json", "config");

fn encoder(name: &str, seed: u64) -> Record {
    let outputs = [CONFIG, ("model.safetensors", name)];
    record(name, "encoder", json!({"seed": seed}), &[CONFIG], &outputs)
}

fn train(name: &str, lr: f64, init: &str, auxiliary: &[&str]) -> Record {
    let mut inputs = vec![
        ("init/config.json".to_owned(), "config"),
        ("init/model.safetensors".to_owned(), init),
        ("end_task/objective.json".to_owned(), "end-task"),
    ];
    let objectives = auxiliary.iter().enumerate();
    inputs.extend(objectives.map(|(i, of)| (format!("auxiliary/{i}/objective.json"), *of)));
    let inputs: Vec<(&str, &str)> = inputs.iter().map(|(role, text)| (role.as_str(), *text)).collect();
    let outputs = [CONFIG, ("model.safetensors", name)];
    record(name, "train", json!({"body": {"lr": lr}, "seed": 1}), &inputs, &outputs)
}

fn test(name: &str, model: &str) -> Record {
    let inputs = [("model/config.json", "config"), ("model/model.safetensors", model)];
    record(name, "evaluate", json!({}), &inputs, &[])
}

#[test]
fn what_differs_is_found_all_the_way_up() {
    let objective = |name: &str, mask: f64| {
        record(name, "objective", json!({"mlm": {"mask": mask}}), &[], &[("objective.json", name)])
    };
    let (a, b) = (test("test a", "one"), test("test b", "two"));
    let records = vec![
        encoder("e1", 1),
        encoder("e2", 2),
        objective("tapt", 0.15),
        objective("dapt", 0.2),
        objective("wide", 0.3),
        // Every model has the same configuration: the weights say who made it.
        train("one", 0.1, "e1", &["tapt", "dapt"]),
        train("two", 0.2, "e2", &["wide", "tapt"]),
        a.clone(),
        b.clone(),
    ];
    let library = Library::new(records);
    let (_folder, store) = store();
    let sections = compare(bare(&a), bare(&b), &library, &store, false).expect("a comparison");
    let sides: Vec<_> = sections.iter().map(|s| (s.role.as_str(), s.a.as_deref(), s.b.as_deref())).collect();
    let expected = [
        ("", Some("test a"), Some("test b")),
        ("model", Some("one"), Some("two")),
        // `tapt` is in both lists, if at other places: it is no difference.
        ("model › auxiliary/0", None, Some("wide")),
        ("model › auxiliary/1", Some("dapt"), None),
        ("model › init", Some("e1"), Some("e2")),
    ];
    assert_eq!(sides, expected);
    assert_eq!(sections[1].parameters, [pair("body.lr", "0.1", "0.2")]);
    assert_eq!(sections[4].parameters, [pair("seed", "1", "2")]);
    let all = compare(bare(&a), bare(&b), &library, &store, true).expect("a comparison");
    assert!(all[1].parameters.contains(&pair("seed", "1", "1")), "{all:?}");
    // The same result: nothing to say but its name.
    let same = compare(bare(&a), bare(&a), &library, &store, false).expect("a comparison");
    assert_eq!((same.len(), same[0].remark), (1, Some("the same result")));
    assert_eq!(sections[0].remark, Some("no difference but in what it is made from"));
}

#[test]
fn a_trained_model_meets_an_encoder_without_a_list_of_parameters() {
    let (a, b) = (train("one", 0.1, "e1", &[]), train("two", 0.1, "one", &[]));
    let library = Library::new(vec![encoder("e1", 1), a.clone(), b.clone()]);
    let (_folder, store) = store();
    let sections = compare(bare(&a), bare(&b), &library, &store, false).expect("a comparison");
    assert_eq!((sections.len(), sections[1].kind.as_str()), (2, "encoder / train"), "{sections:?}");
    assert!(sections[1].parameters.is_empty());
    assert_eq!(sections[1].remark, Some("stages of other kinds: nothing to put side by side"));
}

#[test]
fn a_stage_that_learns_weights_trains_too() {
    let (_folder, store) = store();
    let made = |kind: &str, revision: u32, parameters: Value, outcome: Value| {
        let manifest = Manifest { kind: kind.into(), revision, parameters, inputs: BTreeMap::new() };
        let key = manifest.key();
        let (lock, scratch) = (store.lock(&key).expect("a lock"), store.scratch(&key).expect("a folder"));
        std::fs::write(scratch.path().join(roles::TRAIN), outcome.to_string()).expect("written");
        let made = store.commit(&lock, &manifest, &scratch, Provenance::default()).expect("a record");
        made.record
    };
    let a = made("train", 3, json!({"seed": 1, "batch": 8}), json!({"steps": 5, "weights": [0.5, 0.5]}));
    let of_meta = json!({"seed": 2, "batch": 8, "weights": {"meta": {"lr": 0.1}}});
    let b = made("learn-weights", 4, of_meta, json!({"steps": 5, "weights": [0.25, 0.75]}));
    let library = Library::new(vec![a.clone(), b.clone()]);
    let sections = compare(bare(&a), bare(&b), &library, &store, false).expect("sections");
    let lr = Pair { name: "weights.meta.lr".into(), a: None, b: Some("0.1".into()) };
    assert_eq!(sections[0].parameters, [pair("seed", "1", "2"), lr]);
    assert_eq!(sections[0].outcomes, [pair("weights", "[0.5,0.5]", "[0.25,0.75]")]);
    assert_eq!(sections[0].remark, None);
}

#[test]
fn a_users_files_differ_by_their_digests() {
    let tokens = |text: &str| {
        record(text, "tokenize", json!({}), &[("source/train", text)], &[("train.safetensors", text)])
    };
    let (a, b) = (tokens("x"), tokens("y"));
    // Another stage has written the very bytes of the user's file.
    let copy = record("copy", "export", json!({}), &[], &[("train", "x")]);
    let library = Library::new(vec![a.clone(), b.clone(), copy]);
    let (_folder, store) = store();
    let sections = compare(bare(&a), bare(&b), &library, &store, false).expect("a comparison");
    assert_eq!(sections.len(), 1);
    assert_eq!(sections[0].files[0].name, "source/train");
    assert_eq!(sections[0].files[0].a, Some(Digest::of(b"x").short()));
}

/// A pipeline whose final fine-tune keeps what it began with, planned; and a record of each of its nodes, in
/// which a model is the bytes of its body. `same`: both bodies are the same bytes too.
fn pipeline(same: bool) -> (Plan, Vec<Record>, BTreeMap<NodeId, Digest>) {
    let text = "tartan: 1
vars: {method: mt}
stages:
  encoder: {encoder: {random: enc}}
  task: {tokenize: {tokenizer: encoder, splits: {train: a.jsonl, dev: b.jsonl, test: c.jsonl}}}
  text: {tokenize: {tokenizer: encoder, splits: {train: t.txt}}}
  end-task: {objective: {classify: {data: task}}}
  mlm: {objective: {mlm: {data: text}}}
  mt-body: {train: {init: encoder, end_task: end-task, auxiliary: [mlm], epochs: 1, lr: 1e-3}}
  meta-body: {learn-weights: {init: encoder, end_task: end-task, auxiliary: [mlm], epochs: 1, lr: 1e-4}}
  finished: {train: {init: \"${method}-body\", end_task: end-task, epochs: 1}}
  test: {evaluate: {model: finished, data: task, split: test}}
sweep: {method: [mt, meta]}
";
    let (spec, mut faults) = Spec::from_text(std::path::Path::new("p.yaml"), text, &[]);
    let outline = crate::plan::outline(&spec, &[], &mut faults);
    let digests = outline.files().into_keys().map(|path| {
        let digest = Digest::of(path.to_string_lossy().as_bytes());
        (path, digest)
    });
    let plan = crate::plan::build(&outline, &digests.collect(), &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let (mut records, mut keys) = (vec![], BTreeMap::new());
    let mut outputs: BTreeMap<NodeId, BTreeMap<String, Digest>> = BTreeMap::new();
    for id in plan.ids() {
        let node = plan.node(id);
        let manifest = plan.manifest(id, |node| outputs.get(&node)).expect("a manifest");
        let read = plan.ids().flat_map(|id| plan.node(id).inputs.values());
        let files = read.filter_map(|input| match input {
            Input::Output { node, file } if *node == id => Some(file.clone()),
            _ => None,
        });
        let made: BTreeMap<String, Digest> = files
            .map(|file| {
                let kept = manifest.inputs.get(&format!("init/{file}")).filter(|_| node.stage == "finished");
                let maker = if same {
                    node.action.kind().replace("learn-weights", "train")
                } else {
                    node.stage.clone()
                };
                (file.clone(), kept.copied().unwrap_or(Digest::of(format!("{maker} {file}").as_bytes())))
            })
            .collect();
        outputs.insert(id, made.clone());
        keys.insert(id, manifest.key());
        records.push(Record {
            key: manifest.key(),
            manifest,
            outputs: made.into_iter().map(|(file, digest)| (file, Output { digest, size: 1 })).collect(),
            provenance: Provenance { stage: node.name.clone(), ..Provenance::default() },
        });
    }
    (plan, records, keys)
}

fn node(plan: &Plan, name: &str) -> NodeId {
    plan.ids().find(|id| plan.node(*id).name == name).expect(name)
}

fn sides(sections: &[Section]) -> Vec<(&str, Option<&str>, Option<&str>)> {
    sections.iter().map(|s| (s.role.as_str(), s.a.as_deref(), s.b.as_deref())).collect()
}

#[test]
fn the_plan_says_who_made_bytes_that_several_have() {
    let (plan, records, keys) = pipeline(true);
    let library = Library::new(records).with_plan(&plan, keys);
    let (_folder, store) = store();
    let of = |name: &str| library.of_node(node(&plan, name)).expect("a result");
    let sections =
        compare(of("test (method=mt)"), of("test (method=meta)"), &library, &store, true).expect("sections");
    let sides = sides(&sections);
    assert_eq!(sides[0], ("", Some("test (method=mt)"), Some("test (method=meta)")));
    let model = ("model", Some("finished (method=mt)"), Some("finished (method=meta)"));
    let init = ("model › init", Some("mt-body"), Some("meta-body"));
    assert!(sides.contains(&model) && sides.contains(&init), "{sides:?}");
    assert!(sections.iter().all(|section| section.others.is_none()), "{sections:?}");
}

#[test]
fn without_a_plan_the_likeliest_maker_is_named_and_the_others_too() {
    let (_, mut records, _) = pipeline(false);
    // A copy of the model has the same names and bytes, and nothing reads from it.
    let model = records.iter().find(|record| record.provenance.stage == "finished (method=mt)");
    let model = model.expect("a model").clone();
    records.push(Record {
        key: Digest::of(b"copy"),
        manifest: Manifest { kind: "export".into(), ..model.manifest.clone() },
        ..model
    });
    let by_name = |records: &[Record], name: &str| {
        records.iter().find(|record| record.provenance.stage == name).expect(name).clone()
    };
    let (a, b) = (by_name(&records, "test (method=mt)"), by_name(&records, "test (method=meta)"));
    let body = by_name(&records, "mt-body");
    let library = Library::new(records);
    let (_folder, store) = store();
    let sections = compare(bare(&a), bare(&b), &library, &store, true).expect("sections");
    let found = |role: &str| sections.iter().find(|section| section.role == role).expect(role);
    // What the test reads is the end of the chain, and that began with the body.
    assert_eq!(found("model").a.as_deref(), Some("finished (method=mt)"));
    assert_eq!(found("model › init").a.as_deref(), Some("mt-body"));
    let others = found("model").others.as_ref().and_then(|others| others.a.clone()).expect("others");
    assert_eq!(others, format!("mt-body {}", body.key.short()));
}
