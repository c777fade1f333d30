//! What comes from the hub: a commit is known or not, and is in the key.

use super::*;
use crate::action::{Action, Fetch, HubFiles, Pin};
use crate::hub::Ask;

const TEXT: &str = "tartan: 1
vars: {seed: 0}
stages:
  e: {encoder: {from: \"hf://org/name\", seed: \"${seed}\"}}
  t: {tokenize: {tokenizer: e, splits: {train: \"hf://datasets/org/texts@v1/d/x.txt\", dev: y.txt}}}
sweep: {seed: [0, 1]}
";

/// The plan of a text where revisions are at these commits.
fn plan_at(text: &str, commits: &[(&str, &str, char)]) -> Plan {
    let (spec, mut diagnostics) = Spec::from_text(Path::new("p.yaml"), text, &[]);
    let mut outline = outline(&spec, &[], &mut diagnostics);
    for (repo, revision, digit) in commits {
        let ask = Ask { repo: (*repo).to_owned(), revision: (*revision).to_owned(), files: vec![] };
        outline.resolve(&ask, digit.to_string().repeat(40));
    }
    let digests = outline.files().into_keys().map(|path| (path, Digest::of(b"y"))).collect();
    let plan = build(&outline, &digests, &mut diagnostics);
    assert_eq!(diagnostics, []);
    plan
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.ids().map(|id| plan.node(id).name.as_str()).collect()
}

#[test]
fn the_hub_is_asked_for_what_the_needed_stages_read() {
    let (spec, mut diagnostics) = Spec::from_text(Path::new("p.yaml"), TEXT, &[]);
    let asks: Vec<Ask> = outline(&spec, &[], &mut diagnostics).asks().into_keys().collect();
    let ask = |repo: &str, revision: &str, files: &[&str]| Ask {
        repo: repo.to_owned(),
        revision: revision.to_owned(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
    };
    assert_eq!(
        asks,
        [
            ask("datasets/org/texts", "v1", &["d/x.txt"]),
            ask("org/name", "main", &["config.json", "tokenizer.json", "model.safetensors"])
        ]
    );
    let only = outline(&spec, &["e".to_owned()], &mut diagnostics).asks();
    assert_eq!(only.len(), 1);
    let at = only.values().next().expect("a place");
    assert_eq!(spec.place(at).map(|place| (place.line, place.column)), Some((4, 23)));
    // A folder in the repository, and an encoder drawn at random, which has no weights to read.
    let text = "tartan: 1\nstages: {e: {encoder: {random: hf://org/name@v1/sub}}}\n";
    let (spec, mut diagnostics) = Spec::from_text(Path::new("p.yaml"), text, &[]);
    let asks: Vec<Ask> = outline(&spec, &[], &mut diagnostics).asks().into_keys().collect();
    assert_eq!(asks, [ask("org/name", "v1", &["sub/config.json", "sub/tokenizer.json"])]);
}

#[test]
fn a_commit_is_in_the_key_and_without_one_there_is_none() {
    let open = plan_at(TEXT, &[]);
    let fetched = ["fetch org/name", "e (seed=0)", "fetch datasets/org/texts/d/x.txt", "t", "e (seed=1)"];
    assert_eq!(names(&open), fetched, "the tokens do not depend on the encoder's seed");
    assert_eq!(open.node(NodeId(0)).unresolved.as_deref(), Some("main"));
    let nothing = |_: NodeId| None::<&BTreeMap<String, Digest>>;
    let fetches = [NodeId(0), NodeId(2)];
    assert!(
        fetches.iter().all(|id| open.manifest(*id, nothing).is_none() && open.key(*id, nothing).is_none())
    );

    let commits = [("org/name", "main", '1'), ("datasets/org/texts", "v1", '2')];
    let known = plan_at(TEXT, &commits);
    assert_eq!(names(&known), fetched);
    assert!(fetches.iter().all(|id| known.manifest(*id, nothing).is_some()), "they read nothing");
    let files = |file: &[&str]| file.iter().map(|file| (*file).to_owned()).collect();
    let pin = Pin::Commit(HubFiles {
        repo: "datasets/org/texts".to_owned(),
        commit: "2".repeat(40),
        files: files(&["d/x.txt"]),
    });
    assert_eq!(known.node(NodeId(2)).action, Action::Fetch(Fetch { pin }));
    let input = known.node(NodeId(3)).inputs.get("source/train");
    assert_eq!(input, Some(&Input::Output { node: NodeId(2), file: "x.txt".to_owned() }));

    let moved = plan_at(TEXT, &[("org/name", "main", '3'), commits[1]]);
    let (before, after) = (keys(&known), keys(&moved));
    let changed: Vec<&str> = before
        .iter()
        .filter(|(name, key)| after.get(*name) != Some(key))
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        changed.contains(&"fetch org/name") && !changed.contains(&"fetch datasets/org/texts/d/x.txt"),
        "{changed:?}"
    );
}

#[test]
fn what_is_called_alike_is_told_apart() {
    let text = "tartan: 1
stages:
  a: {encoder: {from: \"hf://org/name\"}}
  b: {encoder: {from: \"hf://org/name@v1\"}}
  c: {encoder: {random: \"hf://org/name\"}}
  d: {encoder: {from: \"hf://name\"}}
";
    let plan = plan_at(text, &[("org/name", "main", '1'), ("name", "main", '1')]);
    let mut fetches: Vec<&str> = names(&plan).into_iter().filter(|name| name.starts_with("fetch")).collect();
    fetches.sort_unstable();
    assert_eq!(
        fetches,
        ["fetch models/name", "fetch org/name/config.json", "fetch org/name@11111111", "fetch org/name@v1"]
    );
}
