//! Plans from pipelines, and what their keys depend on.

mod command;

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rand::seq::SliceRandom as _;

use super::*;
use crate::data::rng;
use crate::diag::{Code, Diagnostic, Severity};
use crate::spec::Spec;

mod hub;

/// A pipeline as stages of a kind with fields, so that tests can shuffle and change them. `@x` in a value
/// is the name of stage `x`.
type Stages = Vec<(&'static str, &'static str, Vec<(&'static str, &'static str)>)>;

fn stages() -> Stages {
    vec![
        ("enc", "encoder", vec![("from", "enc"), ("seed", "0")]),
        (
            "task",
            "tokenize",
            vec![
                ("tokenizer", "@enc"),
                ("splits", "{train: a.jsonl, dev: b.jsonl, test: c.jsonl}"),
                ("text", "text"),
                ("label", "label"),
                ("max_length", "128"),
            ],
        ),
        (
            "text",
            "tokenize",
            vec![("tokenizer", "@enc"), ("splits", "{train: t.txt}"), ("sample", "2x @task"), ("seed", "0")],
        ),
        ("end", "objective", vec![("classify", "{data: @task, dropout: 0.1}")]),
        ("tapt", "objective", vec![("mlm", "{data: @text, mask: 0.15}")]),
        (
            "model",
            "train",
            vec![
                ("init", "@enc"),
                ("end_task", "@end"),
                ("auxiliary", "[@tapt]"),
                ("weights", "{@end: 0.5, @tapt: 0.5}"),
                ("epochs", "3"),
                ("batch", "8"),
                ("auxiliary_batch", "8"),
                ("micro_steps", "1"),
                ("lr", "1e-4"),
                ("weight_decay", "0.01"),
                ("betas", "[0.9, 0.98]"),
                ("eps", "1e-6"),
                ("head", "{lr: 1e-3, weight_decay: 0.1}"),
                ("schedule", "linear"),
                ("warmup", "0.06"),
                ("clip", "1.0"),
                ("evaluate_every", "10"),
                ("patience", "5"),
                ("metric", "macro_f1"),
                ("dropout", "true"),
                ("attend_pads", "false"),
                ("precision", "float32"),
                ("seed", "0"),
            ],
        ),
        (
            "meta",
            "learn-weights",
            vec![
                ("init", "@enc"),
                ("end_task", "@end"),
                ("auxiliary", "[@tapt]"),
                ("meta", "{lr: 1e-2}"),
                ("steps", "9"),
                ("seed", "0"),
            ],
        ),
        (
            "test",
            "evaluate",
            vec![
                ("model", "@model"),
                ("data", "@task"),
                ("split", "test"),
                ("metrics", "[accuracy]"),
                ("batch", "8"),
                ("attend_pads", "false"),
                ("precision", "float32"),
            ],
        ),
        ("out", "export", vec![("model", "@model")]),
        ("learned", "export", vec![("model", "@meta")]),
    ]
}

fn text(stages: &Stages) -> String {
    renamed(stages, "")
}

/// The pipeline's text, every stage's name with `prefix` before it.
fn renamed(stages: &Stages, prefix: &str) -> String {
    let mut text = "tartan: 1\nstages:\n".to_owned();
    for (name, kind, fields) in stages {
        text += &format!("  {prefix}{name}:\n    {kind}:\n");
        for (field, value) in fields {
            text += &format!("      {field}: {}\n", value.replace('@', prefix));
        }
    }
    text
}

fn plan_of(text: &str) -> (Plan, Vec<Diagnostic>) {
    let (spec, mut diagnostics) = Spec::from_text(Path::new("p.yaml"), text, &[]);
    let outline = outline(&spec, &[], &mut diagnostics);
    let digest = |path: &PathBuf| Digest::of(path.to_string_lossy().as_bytes());
    let digests = outline.files().keys().map(|path| (path.clone(), digest(path))).collect();
    let plan = build(&outline, &digests, &mut diagnostics);
    (plan, diagnostics)
}

fn sound(text: &str) -> Plan {
    let (plan, diagnostics) = plan_of(text);
    let error = diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
    assert!(error.is_none(), "{}\n{text}", diagnostics[0]);
    plan
}

/// What each node made.
type Made = BTreeMap<NodeId, BTreeMap<String, Digest>>;

/// Every stage's key, as if each stage's outputs were a function of its key.
fn keys(plan: &Plan) -> BTreeMap<String, Digest> {
    let mut outputs: Made = BTreeMap::new();
    let mut keys = BTreeMap::new();
    let reads: Vec<(NodeId, String)> = plan
        .ids()
        .flat_map(|id| plan.node(id).inputs.values().cloned().collect::<Vec<_>>())
        .filter_map(|input| match input {
            Input::Output { node, file } => Some((node, file)),
            Input::File { .. } | Input::Folder { .. } => None,
        })
        .collect();
    for id in plan.ids() {
        let made = |node| outputs.get(&node);
        let key = plan.manifest(id, made).expect("inputs come first").key();
        assert_eq!(plan.key(id, made), Some(key), "the shorter way to it");
        keys.insert(plan.node(id).name.clone(), key);
        for (_, file) in reads.iter().filter(|(node, _)| *node == id) {
            let made = Digest::of(format!("{key}{file}").as_bytes());
            outputs.entry(id).or_default().insert(file.clone(), made);
        }
    }
    keys
}

/// Keys outlive versions: another key here, and everyone's cache is stale.
#[test]
fn keys_stay_as_they_were() {
    let now = keys(&sound(&text(&stages())));
    for (stage, key) in [
        ("enc", "a50e573f683e7dd9a4d033eafa7fe4dc8a3899113d4fc1790e16465d1cff5ba2"),
        ("task", "f48760af634e6cd960d28e2b07c419a21754ddc05bdfdd234df34a8c1bf0441a"),
        ("text", "1fb1efdb091aff4ab05ec4d058643ef3755327dc0d118c679161017e038fdb3a"),
        ("end", "bc65b29561e31c3c815b3f580edb940dfa9d379f6a4d1967781f00baa04a76e4"),
        ("tapt", "a08b13db6258a133432c23147502c10b48fd7b949a2748de3afa61d5a7ba2320"),
        ("model", "46a58ad3c128f6b821cd71178281712b71c3970bc1bd9dccff65c6ca848e189d"),
        ("meta", "5a9279132557b58517866f6d840da75e8bc69adf58edb75800ce59c3f9ecba11"),
        ("test", "21d38f5ad421e5ae58f3787a9143d5b492e1d47e91932245a1f26bac709a1ca8"),
        ("out", "36764e9672fca17f16e466bdcfa6026ff4de5e5497a5e02dd14c06ef278ad560"),
    ] {
        assert_eq!(now[stage].hex(), key, "{stage}");
    }
}

#[test]
fn every_parameter_changes_its_stage_and_what_follows_and_nothing_else() {
    let before = keys(&sound(&text(&stages())));
    let follows: BTreeMap<&str, &[&str]> = [
        ("enc", &["enc", "task", "text", "end", "tapt", "model", "test", "out", "meta", "learned"][..]),
        ("task", &["task", "text", "end", "tapt", "model", "test", "out", "meta", "learned"]),
        ("text", &["text", "tapt", "model", "test", "out", "meta", "learned"]),
        ("end", &["end", "model", "test", "out", "meta", "learned"]),
        ("tapt", &["tapt", "model", "test", "out", "meta", "learned"]),
        ("meta", &["meta", "learned"]),
        ("model", &["model", "test", "out"]),
        ("test", &["test"]),
        ("out", &["out"]),
    ]
    .into();
    let changes = [
        ("enc", "from", "enc2"),
        ("enc", "seed", "1"),
        ("task", "splits", "{train: a2.jsonl, dev: b.jsonl, test: c.jsonl}"),
        ("task", "text", "body"),
        ("task", "label", "class"),
        ("task", "max_length", "129"),
        ("text", "splits", "{train: t2.txt}"),
        ("text", "sample", "3x @task"),
        ("text", "sample", "500"),
        ("text", "sample", "0.5"),
        ("text", "seed", "1"),
        ("end", "classify", "{data: @task, dropout: 0.2}"),
        ("tapt", "mlm", "{data: @text, mask: 0.2}"),
        ("model", "weights", "{@end: 0.4, @tapt: 0.5}"),
        ("model", "weights", "uniform"),
        ("model", "epochs", "4"),
        ("model", "batch", "9"),
        ("model", "auxiliary_batch", "9"),
        ("model", "micro_steps", "2"),
        ("model", "lr", "2e-4"),
        ("model", "weight_decay", "0.02"),
        ("model", "betas", "[0.9, 0.99]"),
        ("model", "eps", "1e-8"),
        ("model", "head", "{lr: 2e-3, weight_decay: 0.1}"),
        ("model", "head", "{lr: 1e-3, weight_decay: 0.2}"),
        ("model", "schedule", "constant"),
        ("model", "warmup", "0.1"),
        ("model", "clip", "0.5"),
        ("model", "evaluate_every", "11"),
        ("model", "patience", "6"),
        ("model", "metric", "accuracy"),
        ("model", "dropout", "false"),
        ("model", "attend_pads", "true"),
        ("model", "precision", "bf16"),
        ("model", "weights", "{from: @meta}"),
        ("model", "weights", "{from: @meta, use: mean}"),
        ("model", "weights", "{from: @meta, use: replay}"),
        ("meta", "meta", "{lr: 2e-2}"),
        ("meta", "meta", "{lr: 1e-2, optimizer: adam}"),
        ("meta", "meta", "{lr: 1e-2, optimizer: momentum}"),
        ("meta", "meta", "{lr: 1e-2, similarity: dot}"),
        ("meta", "meta", "{lr: 1e-2, jacobian: true}"),
        ("meta", "meta", "{lr: 1e-2, gradient_at: next}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: training}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: {steps: 9}}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: {batch: 31}}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: {lr: 2e-3}}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: {weight_decay: 0.2}}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: {tolerance: 1e-2}}"),
        ("meta", "meta", "{lr: 1e-2, dev_head: {fit_on: train}}"),
        ("meta", "meta", "{lr: 1e-2, dev_batch: 63}"),
        ("meta", "meta", "{lr: 1e-2, disjoint_dev: true}"),
        ("meta", "meta", "{lr: 1e-2, every: 2}"),
        ("meta", "meta", "{lr: 1e-2, initial: {@end: 0.6, @tapt: 0.4}}"),
        ("meta", "meta", "{lr: 1e-2, floor: 0.1}"),
        ("meta", "steps", "10"),
        ("meta", "seed", "1"),
        ("model", "seed", "1"),
        ("test", "split", "dev"),
        ("test", "metrics", "[macro_f1]"),
        ("test", "batch", "9"),
        ("test", "attend_pads", "true"),
        ("test", "precision", "bf16"),
    ];
    // Every field of the pipeline that is no name of another stage must be among the changes.
    let references = ["tokenizer", "init", "end_task", "auxiliary", "model", "data"];
    for (stage, _, fields) in stages() {
        for (field, _) in fields.iter().filter(|(field, _)| !references.contains(field)) {
            assert!(
                changes.iter().any(|(s, f, _)| *s == stage && f == field),
                "{stage}.{field} is never changed"
            );
        }
    }
    for (stage, field, value) in changes {
        let mut other = stages();
        let fields = &mut other.iter_mut().find(|(name, ..)| *name == stage).expect("stage").2;
        fields.iter_mut().find(|(name, _)| *name == field).expect("field").1 = value;
        let after = keys(&sound(&text(&other)));
        for (name, key) in &before {
            let should = follows[stage].contains(&name.as_str());
            assert_eq!(after[name] != *key, should, "{stage}.{field} = {value}: key of {name}");
        }
    }
}

#[test]
fn a_model_scored_otherwise_than_it_was_trained_is_warned_of() {
    let (_, diagnostics) = plan_of(&text(&stages()).replacen("attend_pads: false", "attend_pads: true", 1));
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert_eq!(diagnostics[0].severity, Severity::Warning);
    assert!(diagnostics[0].message.contains("`attend_pads: true` and scored with `attend_pads: false`"));
}

#[test]
fn how_often_a_checkpoint_is_left_changes_no_key() {
    let before = keys(&sound(&text(&stages())));
    for value in ["{steps: 5}", "{minutes: 0.5}", "false"] {
        let mut other = stages();
        for (_, kind, fields) in &mut other {
            if ["train", "learn-weights"].contains(kind) {
                fields.push(("checkpoint", value));
            }
        }
        assert_eq!(keys(&sound(&text(&other))), before, "{value}");
    }
}

#[test]
fn a_parameter_at_its_default_is_as_if_it_were_not_said() {
    let full = keys(&sound(&text(&stages())));
    let mut bare = stages();
    for (_, kind, fields) in &mut bare {
        let defaults: &[&str] = match *kind {
            "encoder" | "tokenize" => &["seed", "text"],
            "train" => &[
                "lr",
                "weight_decay",
                "betas",
                "eps",
                "head",
                "schedule",
                "warmup",
                "clip",
                "metric",
                "dropout",
                "attend_pads",
                "precision",
                "seed",
            ],
            "learn-weights" => &["meta", "seed"],
            "evaluate" => &["attend_pads", "precision"],
            _ => &[],
        };
        fields.retain(|(field, _)| !defaults.contains(field));
    }
    assert_eq!(keys(&sound(&text(&bare))), full);
}

proptest! {
    #[test]
    fn order_comments_and_names_change_no_key(seed in any::<u64>()) {
        let mut rng = rng::stream(seed, "test", 0);
        let plain = text(&stages());
        let mut shuffled = stages();
        shuffled.shuffle(&mut rng);
        for (_, _, fields) in &mut shuffled {
            fields.shuffle(&mut rng);
        }
        let other = renamed(&shuffled, "other-").replace('\n', "   # a comment\n");
        let renamed = keys(&sound(&other));
        let mut before: Vec<Digest> = keys(&sound(&plain)).into_values().collect();
        let mut after: Vec<Digest> = renamed.into_values().collect();
        before.sort();
        after.sort();
        prop_assert_eq!(before, after);
    }
}

#[test]
fn sweep_points_share_what_is_equal_and_names_tell_the_rest_apart() {
    let mut shared = stages();
    shared.retain(|(name, ..)| !["tapt", "text", "out", "meta", "learned"].contains(name));
    for (name, _, fields) in &mut shared {
        if *name == "model" {
            fields.retain(|(field, _)| !["auxiliary", "weights", "seed"].contains(field));
            fields.push(("seed", "\"${seed}\""));
        }
    }
    let text = text(&shared)
        + "vars: {seed: 0, unused: x}\nsweep: {unused: [x, y], seed: {range: [0, 3]}}\nreport: {metric: test.accuracy}\n";
    let plan = sound(&text);
    let names: Vec<&str> = plan.ids().map(|id| plan.node(id).name.as_str()).collect();
    assert_eq!(names.len(), 3 + 2 * 3, "{names:?}");
    assert!(names.contains(&"task") && names.contains(&"model (seed=2)"), "{names:?}");
    let model = plan.points[4]["model"];
    assert_eq!(plan.node(model).points, [1, 4]);
    assert_eq!(plan.points[1]["model"], model);
}

#[test]
fn encoders_of_different_seeds_share_their_tokens() {
    let text = "tartan: 1\nvars: {seed: 0}\nstages:\n  e: {encoder: {random: e, seed: \"${seed}\"}}\n  t: {tokenize: {tokenizer: e, splits: {train: t.txt}}}\n  o: {objective: {mlm: {data: t}}}\n  m: {train: {init: e, auxiliary: [o], steps: 1}}\nsweep: {seed: [0, 1]}\n";
    let plan = sound(text);
    let mut names: Vec<&str> = plan.ids().map(|id| plan.node(id).name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["e (seed=0)", "e (seed=1)", "m (seed=0)", "m (seed=1)", "o", "t"]);
}

#[test]
fn only_what_the_targets_need_is_planned() {
    let (spec, mut diagnostics) = Spec::from_text(Path::new("p.yaml"), &text(&stages()), &[]);
    let outline = outline(&spec, &["tapt".to_owned()], &mut diagnostics);
    assert!(diagnostics.is_empty());
    let (_, needed) = outline.points().next().expect("a point");
    let names: Vec<&str> = needed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["enc", "task", "text", "tapt"]);
    let mut diagnostics = vec![];
    super::outline(&spec, &["tapd".to_owned()], &mut diagnostics);
    assert_eq!(diagnostics[0].help.as_deref(), Some("did you mean `tapt`?"));
}

#[test]
fn names_that_make_no_sense_are_placed() {
    for (from, to, part) in [
        (
            "init: enc",
            "init: end",
            "an `encoder`, `train` or `learn-weights` stage is wanted here, and `end` is an `objective` stage",
        ),
        ("init: enc", "init: model", "need each other: model → model"),
        (
            "end_task: end\n      auxiliary: [tapt]\n      weights: {end: 0.5, tapt: 0.5}",
            "end_task: tapt",
            "is an `mlm` objective",
        ),
        (
            "end_task: end\n      auxiliary: [tapt]\n      weights: {end: 0.5, tapt: 0.5}",
            "end_task: ned",
            "did you mean `end`?",
        ),
        ("data: task, dropout", "data: enc, dropout", "it may be `task` or `text`"),
        ("{train: a.jsonl, dev: b.jsonl, test: c.jsonl}", "{train: a.jsonl}", "`task` has no split `test`"),
        (
            "      model: model\n      data",
            "      model: enc\n      data",
            "a `train` or `learn-weights` stage with an end-task",
        ),
        ("{train: t.txt}", "{dev: t.txt}", "`text` has no split `train`"),
    ] {
        let whole = text(&stages());
        let changed = whole.replacen(from, to, 1);
        assert_ne!(whole, changed);
        let (_, diagnostics) = plan_of(&changed);
        let hit = diagnostics.iter().any(|d| d.place.is_some() && d.to_string().contains(part));
        assert!(hit, "{to}: {part}\n{diagnostics:#?}");
    }
}

#[test]
fn a_circle_is_named_whole() {
    let text = "tartan: 1\nstages:\n  a: {train: {init: b, auxiliary: [o], steps: 1}}\n  b: {train: {init: c, auxiliary: [o], steps: 1}}\n  c: {train: {init: a, auxiliary: [o], steps: 1}}\n  o: {objective: {mlm: {data: t}}}\n  t: {tokenize: {tokenizer: e, splits: {train: t.txt}}}\n  e: {encoder: {from: e}}\n";
    let (_, diagnostics) = plan_of(text);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:#?}");
    assert!(diagnostics[0].message.contains("a → b → c → a"), "{}", diagnostics[0]);
}

#[test]
fn tokens_of_another_tokenizer_are_refused() {
    let mut two = stages();
    two.push(("enc2", "encoder", vec![("from", "enc2")]));
    for (name, _, fields) in &mut two {
        if *name == "text" {
            fields.iter_mut().find(|(field, _)| *field == "tokenizer").expect("field").1 = "enc2";
        }
    }
    let (_, diagnostics) = plan_of(&text(&two));
    assert!(diagnostics[0].message.contains("tokenizer of `enc2`"), "{diagnostics:#?}");
}

/// Small stages of every kind that a model needs, then `more`.
fn with(more: &str) -> String {
    let stages = "  e: {encoder: {from: e, seed: \"${seed}\"}}\n  t: {tokenize: {tokenizer: e, splits: {train: t.jsonl}}}\n  o: {objective: {classify: {data: t}}}\n  m: {train: {init: e, end_task: o, steps: 1, seed: \"${seed}\"}}\n";
    format!("tartan: 1\nvars: {{seed: 0}}\nstages:\n{stages}{more}")
}

#[test]
fn a_folder_gets_one_export_and_none_over_what_is_read() {
    let fault = |more: &str| {
        let (_, diagnostics) = plan_of(&with(more));
        assert_eq!(diagnostics.len(), 1, "{more}: {diagnostics:#?}");
        assert!(diagnostics[0].place.is_some(), "{more}");
        diagnostics[0].to_string()
    };
    let swept = fault("  out: {export: {model: m, to: x}}\nsweep: {seed: [1, 2]}\n");
    assert!(swept.contains("`out (seed=1)` and `out (seed=2)` would both be written to `x`"), "{swept}");
    assert!(swept.contains("such as `x-${seed}`"), "{swept}");
    let two = fault("  a: {export: {model: m, to: x}}\n  b: {export: {model: e, to: ./x}}\n");
    assert!(two.contains("`a` and `b` would both"), "{two}");
    let over = fault("  a: {export: {model: m, to: e}}\n");
    assert!(over.contains("overwrite `config.json` in `e`"), "{over}");

    let plan = sound(&with("  out: {export: {model: m, to: \"x-${seed}\"}}\nsweep: {seed: [1, 2]}\n"));
    assert_eq!(plan.ids().map(|id| plan.node(id).deliver_to.len()).sum::<usize>(), 2);
    // One result may go to two folders, and by two names to one.
    sound(&with(
        "  a: {export: {model: m, to: x}}\n  b: {export: {model: m, to: x}}\n  c: {export: {model: m, to: y}}\n",
    ));
}

#[test]
fn a_table_shows_what_its_stage_measures() {
    let stages = with("  s: {evaluate: {model: m, data: t, split: train, metrics: [accuracy]}}\n");
    sound(&format!("{stages}report: {{metric: s.accuracy}}\n"));
    let (_, diagnostics) = plan_of(&format!("{stages}report: {{metric: s.macro_f1}}\n"));
    assert!(diagnostics[0].message.contains("`s` does not measure `macro_f1`"), "{diagnostics:#?}");
    assert!(diagnostics[0].place.is_some());
}

#[test]
fn a_remote_file_is_a_node_of_its_digest_whatever_its_url() {
    let file = |url: &str, n: u8| format!("{{url: \"{url}\", blake3: {}}}", Digest::of(&[n]).hex());
    let text = |train: &str, dev: &str| {
        format!(
            "tartan: 1\nvars: {{seed: 0}}\nstages:\n  e: {{encoder: {{random: e, seed: \"${{seed}}\"}}}}\n  t: {{tokenize: {{tokenizer: e, splits: {{train: {train}, dev: {dev}}}}}}}\nsweep: {{seed: [0, 1]}}\n"
        )
    };
    let plan = sound(&text(&file("https://a/d/x.txt?v=1", 1), &file("http://b/x.txt", 1)));
    let names = |plan: &Plan| plan.ids().map(|id| plan.node(id).name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&plan), ["e (seed=0)", "fetch b/x.txt", "t", "e (seed=1)"]);
    let fetch = plan.node(NodeId(1));
    assert_eq!((fetch.stage.as_str(), &fetch.points[..]), ("b/x.txt", &[0, 1][..]));
    assert_eq!(fetch.urls, ["http://b/x.txt", "https://a/d/x.txt?v=1"]);
    assert!(!plan.points[0].contains_key("b/x.txt"), "no stage of the pipeline");
    // Its key is known from the start, and what reads it waits for its bytes.
    let nothing = |_| None::<&BTreeMap<String, Digest>>;
    let key = plan.key(NodeId(1), nothing).expect("a key");
    assert!(plan.manifest(NodeId(2), nothing).is_none());
    let mirror = sound(&text(&file("https://m/x.txt", 1), &file("https://m/x.txt", 1)));
    assert_eq!(mirror.key(NodeId(1), nothing), Some(key));
    assert_ne!(sound(&text(&file("https://m/x.txt", 2), "x.txt")).key(NodeId(1), nothing), Some(key));

    let alike = sound(&text(&file("https://a/1/d/x.txt", 1), &file("https://a/2/d/x.txt", 2)));
    let named = |n: u8| format!("fetch d/x.txt@{}", &Digest::of(&[n]).hex()[..8]);
    assert_eq!(names(&alike)[1..3], [named(2), named(1)]);
    assert_eq!(names(&sound(&text(&file("https://x.txt", 1), "y.txt")))[1], "fetch x.txt/");
}

#[test]
fn what_chooses_texts_is_in_the_key_and_names_of_files_are_not() {
    let key = |splits: &str, fields: &str| {
        let text = format!(
            "tartan: 1\nstages:\n  e: {{encoder: {{from: e}}}}\n  t: {{tokenize: {{tokenizer: e, splits: {splits}{fields}}}}}\n"
        );
        keys(&sound(&text))["t"]
    };
    let parts = "{train: a.csv, dev: 0.1}";
    let mut seen = vec![key(parts, "")];
    for (splits, fields) in [
        ("{train: a.csv, dev: 0.2}", ""),
        ("{train: a.csv, dev: 10}", ""),
        ("{train: a.csv, test: 0.1}", ""),
        ("{train: a.tsv, dev: 0.1}", ""),
        ("{train: [a.csv, b.csv], dev: 0.1}", ""),
        ("{train: [b.csv, a.csv], dev: 0.1}", ""),
        (parts, ", split_seed: 1"),
        (parts, ", stratify: false"),
        (parts, ", text: [text, body]"),
        (parts, ", text: [text, body], join: \"\\n\""),
        (parts, ", label_map: {a: b}"),
        (parts, ", label_map: {a: null, b: b}"),
        (parts, ", quotes: false"),
        (parts, ", deduplicate: true"),
        (parts, ", deduplicate: across"),
        (parts, ", strict: true"),
    ] {
        let key = key(splits, fields);
        assert!(!seen.contains(&key), "{splits}{fields}");
        seen.push(key);
    }
    for same in [
        "",
        ", format: csv",
        ", split_seed: 0, stratify: true, quotes: true, deduplicate: false, strict: false",
    ] {
        assert_eq!(key("{train: [a.csv], dev: 0.1}", same), seen[0], "{same}");
    }
}

#[test]
fn a_part_of_a_file_is_no_test_split_for_who_divides_it_alike() {
    let plan = |fields: &str| {
        let splits = "splits: {train: a.csv, dev: 0.1, test: 0.1}";
        let text = format!(
            "tartan: 1\nstages:\n  e: {{encoder: {{from: e}}}}\n  t: {{tokenize: {{tokenizer: e, {splits}}}}}\n  u: {{tokenize: {{tokenizer: e, {fields}}}}}\n  o: {{objective: {{classify: {{data: t}}}}}}\n  p: {{objective: {{mlm: {{data: u}}}}}}\n  m: {{train: {{init: e, end_task: o, auxiliary: [p], steps: 1}}}}\n  s: {{evaluate: {{model: m, data: t, split: test}}}}\n"
        );
        plan_of(&text).1.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>()
    };
    assert_eq!(plan("splits: {train: a.csv, dev: 0.1, test: 0.1}, sample: 10, max_length: 9"), []);
    for other in [
        "splits: {train: a.csv}",
        "splits: {train: a.csv, dev: 0.1, test: 0.1}, split_seed: 1",
        "splits: {train: a.csv, test: 0.1}, text: title",
    ] {
        assert_eq!(plan(other), [Code::TestSplit], "{other}");
    }
}
