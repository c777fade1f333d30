//! From files to a pipeline that the language accepts.

use std::path::{Path, PathBuf};

use super::*;
use crate::spec::Spec;

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("write");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn look(&self, name: &str) -> Seen {
        look(&self.path(name)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refuses(&self, name: &str) -> String {
        let error = look(&self.path(name)).expect_err(name);
        format!("{error}; {}", error.help().unwrap_or_default())
            .replace(&self.folder.path().display().to_string(), "")
    }
}

const GPU: Machine = Machine { gpus: 1, threads: 8, bf16: false };
const CPU: Machine = Machine { gpus: 0, threads: 2, bf16: false };

/// Reviews with stars, uneven: of ten, seven good ones.
fn reviews() -> String {
    let mut text = "id,review,stars\n".to_owned();
    for i in 0..40 {
        let stars = ["good", "good", "good", "good", "good", "good", "good", "bad", "bad", "so, so"][i % 10];
        text.push_str(&format!("{i},\"number {i}, \"\"a\"\" long walk by the sea\nand back\",\"{stars}\"\n"));
    }
    text
}

fn drafted(world: &World, names: &[&str], machine: Machine) -> Draft {
    let files: Vec<PathBuf> = names.iter().map(|name| world.path(name)).collect();
    let splits = name_splits(&files).expect("splits");
    let splits: Vec<Split> =
        splits.into_iter().map(|(name, path)| Split { name, seen: look(&path).expect("records") }).collect();
    let roles = choose(&splits[0].seen, None, None).expect("roles");
    draft(&Inputs {
        name: "mine",
        folder: &world.path(""),
        splits: &splits,
        roles: &roles,
        machine,
        encoder: &Encoder::Folder(world.path("model"), Some(512)),
        corpus: None,
    })
}

fn finding<'a>(draft: &'a Draft, what: &str) -> &'a str {
    draft.findings.iter().find(|(name, _)| *name == what).map(|(_, finding)| finding.as_str()).expect(what)
}

#[test]
fn a_table_becomes_a_sound_pipeline_with_reasons() {
    let world = World::new(&[("reviews.csv", &reviews())]);
    for machine in [GPU, CPU] {
        let draft = drafted(&world, &["reviews.csv"], machine);
        let (spec, diagnostics) = Spec::from_text(&world.path("mine.yaml"), &draft.text, &[]);
        assert!(diagnostics.is_empty(), "{}\n{}", diagnostics[0], draft.text);
        assert_eq!(spec.swept, ["method", "seed"]);
        // What there is no file of is a part of the one that there is.
        let crate::spec::Block::Tokenize { action, .. } = &spec.points[0].stages["task"] else {
            panic!("kind")
        };
        assert_eq!(action.parts.keys().collect::<Vec<_>>(), ["dev", "test"]);
        assert!(finding(&draft, "text").starts_with("`review`: by its name"), "{:?}", draft.findings);
        assert!(finding(&draft, "label").starts_with("`stars`: the only field"), "{:?}", draft.findings);
        assert!(
            finding(&draft, "metric").starts_with("macro_f1: labels are uneven (`good` 70%, `so, so` 10.0%)"),
            "{:?}",
            draft.findings
        );
        assert!(finding(&draft, "length").starts_with("32 tokens"), "{:?}", draft.findings);
    }
    let draft = drafted(&world, &["reviews.csv"], GPU);
    assert!(draft.text.contains("precision: bf16") && draft.text.contains("range: [0, 3]"), "{}", draft.text);
}

#[test]
fn what_would_spoil_a_result_is_told() {
    let record =
        |text: &str, label: &str| format!("{{\"text\": \"{text} and more\", \"label\": \"{label}\"}}\n");
    let train: String = (0..20).map(|i| record(&format!("text {i}"), ["a", "b"][i % 2])).collect();
    let test = record("text 3", "b") + &record("new", "c");
    let world = World::new(&[
        ("train.jsonl", &(train + &record("text 7", "b") + "{\"text\": \"none at all\", \"label\": null}\n")),
        ("test.jsonl", &test),
    ]);
    let draft = drafted(&world, &["train.jsonl"], CPU);
    let told = draft.warnings.join("\n");
    for part in [
        "1 record of the train split lack `label`",
        "1 record of the train split repeat the text",
        "1 text of test are in the train split too",
        "test has 1 labels that train lacks",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    assert!(finding(&draft, "metric").starts_with("accuracy"), "{:?}", draft.findings);
}

#[test]
fn names_that_yaml_would_misread_are_quoted() {
    let record =
        |text: &str, label: &str| format!("{{\"true\": \"{text} words here\", \"a: b\": \"{label}\"}}\n");
    let text = record("some", "x") + &record("other", "y") + &record("more", "x") + &record("and", "y");
    let world = World::new(&[("no#: ${x}.jsonl", &text)]);
    let seen = world.look("no#: ${x}.jsonl");
    let roles = choose(&seen, Some("true"), Some("a: b")).expect("roles");
    let draft = draft(&Inputs {
        name: "no",
        folder: &world.path(""),
        splits: &[Split { name: "train", seen }],
        roles: &roles,
        machine: CPU,
        encoder: &Encoder::Toy(world.path("toy")),
        corpus: Some(&world.path("c\nd.txt")),
    });
    let (spec, diagnostics) = Spec::from_text(&world.path("no.yaml"), &draft.text, &[]);
    assert!(diagnostics.is_empty(), "{}\n{}", diagnostics[0], draft.text);
    assert_eq!(spec.name, "no");
    let crate::spec::Block::Tokenize { splits, action, .. } = &spec.points[0].stages["task"] else {
        panic!("kind")
    };
    assert_eq!((action.text.as_str(), action.label.as_deref()), ("true", Some("a: b")));
    let crate::spec::SplitSource::Files(files) = &splits["train"] else { panic!("files") };
    let [crate::spec::SplitFile::Local(file)] = files.as_slice() else { panic!("a file") };
    assert_eq!(file.path, world.path("no#: ${x}.jsonl"));
}

#[test]
fn fields_are_chosen_by_name_then_by_what_they_hold() {
    let world = World::new(&[
        ("a.tsv", "x\ty\tz\nlong words here\t1\tp\nmore words here\t2\tp\neven more words\t1\tp\n"),
        (
            "b.csv",
            "one,two,words\n1,p,a few words\n2,q,more of them\n1,q,and again some\n2,p,at last these\n",
        ),
        ("c.csv", "a,b\n1,2\n3,4\n"),
    ]);
    let roles = choose(&world.look("a.tsv"), None, None).expect("roles");
    assert_eq!((roles.text.field.as_str(), roles.label.field.as_str()), ("x", "y"));
    let several = choose(&world.look("b.csv"), None, None).expect_err("several");
    assert!(several.to_string().contains("`one` has 2 different values, `two` has 2"), "{several}");
    assert_eq!(choose(&world.look("b.csv"), None, Some("two")).expect("roles").label.field, "two");
    assert!(matches!(choose(&world.look("c.csv"), None, None), Err(ChooseError::NoText { .. })));
    let unknown = choose(&world.look("b.csv"), Some("wrds"), None).expect_err("unknown");
    assert_eq!(unknown.help(), "did you mean `words`?");
    let asked = choose(&world.look("b.csv"), Some("one"), Some("two")).expect("roles");
    assert_eq!(asked.text.field, "one");
    let world = World::new(&[("n.jsonl", "{\"n\": 1, \"m\": \"a\"}\n{\"n\": 2, \"m\": \"b\"}\n")]);
    assert!(matches!(choose(&world.look("n.jsonl"), Some("n"), None), Err(ChooseError::NoTexts { .. })));
}

#[test]
fn fields_inside_others_are_fields() {
    let record = |i: usize| {
        format!(
            "{{\"meta\": {{\"body\": \"some words of text {i}\", \"kind\": \"{}\"}}, \"n\": {{}}}}\n",
            ["a", "b"][i % 2]
        )
    };
    let world = World::new(&[("n.jsonl", &(0..20).map(record).collect::<String>())]);
    let roles = choose(&world.look("n.jsonl"), Some("meta.body"), None).expect("roles");
    assert_eq!((roles.text.field.as_str(), roles.label.field.as_str()), ("meta.body", "meta.kind"));
}

#[test]
fn cells_that_look_like_numbers_are_texts() {
    let text = "text,label\nsome words,0.5\n2020,1.5\nnan,1.5\nTrue,0.5\nmore words,01\nand more,0.5\n\
                the last,99999999999999999999\n";
    let world = World::new(&[("a.csv", text)]);
    let seen = world.look("a.csv");
    let roles = choose(&seen, None, None).expect("roles");
    assert_eq!((roles.text.field.as_str(), roles.label.field.as_str()), ("text", "label"));
    let labels: Vec<&String> = seen.column("label").expect("label").labels.keys().collect();
    assert_eq!(labels, ["0.5", "01", "1.5", "99999999999999999999"]);
    assert!(choose(&seen, Some("label"), Some("text")).is_ok());
}

#[test]
fn texts_without_blanks_are_texts() {
    let row = |i: usize| format!("{},{}\n", "映画は本当に".repeat(10), ["好", "悪"][i % 2]);
    let rows: String = (0..20).map(row).collect();
    let world = World::new(&[
        ("a.csv", &format!("text,label\n{rows}")),
        ("b.csv", &format!("本文,label\n{rows}")),
        ("c.csv", "text,label\ngood,a\nbad,b\nfine,a\n"),
    ]);
    for name in ["a.csv", "b.csv"] {
        let draft = drafted(&world, &[name], GPU);
        assert!(finding(&draft, "text").contains("60 tokens on average"), "{:?}", draft.findings);
        let length = finding(&draft, "length");
        assert!(length.starts_with("64 tokens: 99 of 100 texts have at most some 62 tokens"), "{length}");
    }
    assert_eq!(choose(&world.look("c.csv"), None, None).expect("roles").text.field, "text");
}

#[test]
fn what_is_no_file_of_records_is_named() {
    let world = World::new(&[
        ("empty.csv", ""),
        ("head.csv", "text,label\n"),
        ("list.json", "[{\"text\": \"a\"}]"),
        ("b.jsonl", "{\"text\": \"a\"}\n{\"text\": \n"),
        ("n.jsonl", "[1]\n"),
        ("short.csv", "a,b\n1,2\n3\n"),
        ("twice.csv", "text,label,label\na b,1,2\n"),
        ("semi.csv", "text;label\na b, c;1\n"),
        ("t.txt", "a\n"),
        ("p.csv", "PAR1"),
        ("z.jsonl", "\0\0\0"),
    ]);
    std::fs::write(world.path("latin.csv"), b"text,label\ncaf\xe9,1\n").expect("write");
    for (name, part) in [
        ("empty.csv", "has no record"),
        ("head.csv", "has no record"),
        ("list.json", "jq -c"),
        ("b.jsonl", "broken record in line 2"),
        ("n.jsonl", "line 1: it is no JSON object"),
        ("short.csv", "line 3: it has 1 fields, and those above have 2"),
        ("twice.csv", "has more than one column `label`; give each column a name of its own"),
        ("semi.csv", "is separated by semicolons, as it seems"),
        ("t.txt", "--corpus"),
        ("p.csv", "a Parquet file"),
        ("z.jsonl", "is binary"),
        ("latin.csv", "a stray byte in line 2"),
        ("none.csv", "failed to read"),
        ("", "a folder"),
    ] {
        let refusal = world.refuses(name);
        assert!(refusal.contains(part), "{name}: {refusal}");
    }
}

#[test]
fn splits_go_by_their_names() {
    let world = World::new(&[("x-Train.csv", ""), ("x-valid.csv", ""), ("x-test.csv", "")]);
    let names = |files: &[&str]| {
        let files: Vec<PathBuf> = files.iter().map(|file| Path::new(file).to_owned()).collect();
        name_splits(&files).map(|splits| splits.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
    };
    assert_eq!(names(&["test.csv", "my_validation.csv", "train.csv"]), Ok(vec!["train", "dev", "test"]));
    assert_eq!(names(&["a.csv"]), Ok(vec!["train"]));
    assert_eq!(names(&["dev=a.csv", "train=b.csv"]), Ok(vec!["train", "dev"]));
    assert!(matches!(names(&["a.csv", "train.csv"]), Err(SplitsError::Which { .. })));
    assert!(matches!(names(&["dev.csv", "valid.csv"]), Err(SplitsError::Twice { .. })));
    assert!(matches!(names(&["dev.csv", "test.csv"]), Err(SplitsError::NoTrain)));
    let found = name_splits(&[world.path("x-Train.csv")]).expect("splits");
    let found: Vec<&str> = found.iter().filter_map(|(_, path)| path.file_name()?.to_str()).collect();
    assert_eq!(found, ["x-Train.csv", "x-valid.csv", "x-test.csv"]);
}

#[test]
fn of_a_large_file_the_head_is_looked_at() {
    let line = format!("{{\"text\": \"{}\", \"label\": \"a\"}}\n", "word ".repeat(2000));
    let world = World::new(&[]);
    let path = world.path("large.jsonl");
    let lines = 40 * (1 << 20) / line.len();
    std::fs::write(&path, line.repeat(lines)).expect("write");
    let seen = look(&path).expect("records");
    assert!(seen.estimated);
    assert_eq!(seen.records, lines as u64);
}

#[test]
fn the_head_of_a_table_may_end_within_a_value() {
    let row = format!("\"{}\",a\n", "word\n".repeat(2000));
    let rows = 40 * (1 << 20) / row.len();
    let world = World::new(&[("large.CSV", &format!("text,label\n{}", row.repeat(rows)))]);
    let seen = world.look("large.CSV");
    assert!(seen.estimated);
    assert!(seen.records.abs_diff(rows as u64) < 3, "{} of {rows}", seen.records);
}
