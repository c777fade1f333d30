//! What becomes of texts on their way into a corpus.

use proptest::prelude::*;

use super::*;
use crate::action::{Deduplicate, Format, InputFile, Part, Sample};
use crate::data::source::tests::file;
use crate::data::tokenize::tests::{tokenizer_json, vocabulary};

struct Case {
    params: Tokenize,
    files: Vec<(&'static str, Format, String)>,
    base: Option<u64>,
}

impl Case {
    fn new(files: &[(&'static str, Format, &str)]) -> Self {
        let params = Tokenize {
            splits: files.iter().map(|(split, format, _)| ((*split).to_owned(), *format)).collect(),
            max_length: 5,
            ..Tokenize::default()
        };
        let files = files.iter().map(|(split, format, text)| (*split, *format, (*text).to_owned())).collect();
        Self { params, files, base: None }
    }

    fn sampled(mut self, sample: Sample) -> Self {
        self.params.sample = Some(sample);
        self
    }

    fn build(&self) -> Result<Corpus, CorpusError> {
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<(&str, Format, InputFile)> = self
            .files
            .iter()
            .map(|(split, format, text)| (*split, *format, file(folder.path(), split, text.as_bytes())))
            .collect();
        let sources: Vec<Source> = files
            .iter()
            .map(|(split, format, file)| Source {
                split,
                format: *format,
                files: vec![(format!("source/{split}"), file)],
            })
            .collect();
        let base_sizes = self.base.map(|base| BTreeMap::from([("train".to_owned(), base)]));
        let inputs = Inputs {
            tokenizer: &tokenizer_json(),
            vocabulary: &vocabulary(),
            sources: &sources,
            base_sizes: base_sizes.as_ref(),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("pool");
        build(&self.params, &inputs, &pool, &|done, total| assert!(done <= total, "{done} of {total}"))
    }
}

fn messages(corpus: &Corpus) -> Vec<&str> {
    corpus.findings.iter().map(|finding| finding.message.as_str()).collect()
}

fn jsonl(records: &[(&str, &str)]) -> String {
    let line =
        |(text, label): &(&str, &str)| serde_json::json!({"text": text, "label": label}).to_string() + "\n";
    records.iter().map(line).collect()
}

fn letters(count: usize) -> String {
    (0..count).map(|i| ["a", "b", "c", "d", "e"][i % 5].to_owned() + "\n").collect()
}

#[test]
fn makes_splits_labels_sizes_and_stats() {
    let train = jsonl(&[("a b", "z"), ("a b c d e", "B")]) + "\n" + &jsonl(&[("", "z")]);
    let dev = jsonl(&[("c", "a"), ("c", "B"), ("c", "a")]);
    let corpus = Case::new(&[
        ("train", Format::Jsonl, train.as_str()),
        ("dev", Format::Jsonl, dev.as_str()),
        ("test", Format::Lines, "a"),
    ])
    .build()
    .expect("corpus");

    assert_eq!(corpus.labels, Labels { names: vec!["B".into(), "z".into(), "a".into()], classes: 2 });
    let train = &corpus.splits["train"];
    assert_eq!(train.ids, [2, 5, 6, 3, 2, 5, 6, 7, 3, 2, 3]);
    assert_eq!(train.offsets, [0, 4, 9, 11]);
    assert_eq!((&train.labels[..], &train.rows[..]), (&[1, 0, 1][..], &[0, 1, 2][..]));
    assert_eq!(corpus.splits["dev"].labels, [2, 0, 2]);
    assert_eq!(corpus.splits["test"].labels, [0; 0]);
    assert_eq!(
        corpus.sizes(),
        [("dev", 3), ("test", 1), ("train", 3)].map(|(k, v)| (k.to_owned(), v)).into()
    );
    let stats = &corpus.stats["train"];
    let expected = Stats {
        texts: 3,
        source_texts: 3,
        blank_lines: 1,
        tokens: 11,
        mean_length: 11.0 / 3.0,
        p50_length: 4,
        p95_length: 5,
        max_length: 5,
        truncated: 1,
        labels: BTreeMap::from([("B".to_owned(), 1), ("z".to_owned(), 2)]),
        ..Stats::default()
    };
    assert_eq!(*stats, expected);
    assert_eq!(
        messages(&corpus),
        [
            "split `test` has no labels, and train has: no model can be scored on it",
            "2 of the 3 texts of split `dev` have labels that train lacks: `a` (2)",
            "1 of the 3 texts of split `train` (33.3%) are cut at 5 tokens",
        ]
    );
    for split in corpus.splits.values() {
        assert_eq!(Split::from_bytes(&split.to_bytes().expect("bytes")).expect("split"), *split);
    }
}

#[test]
fn without_train_every_label_is_a_class() {
    let (dev, test) = (jsonl(&[("a", "x")]), jsonl(&[("b", "b")]));
    let case = Case::new(&[("dev", Format::Jsonl, &dev), ("test", Format::Jsonl, &test)]);
    let corpus = case.build().expect("corpus");
    assert_eq!(corpus.labels, Labels { names: vec!["x".into(), "b".into()], classes: 2 });
    assert_eq!(messages(&corpus), [""; 0]);
    // A train split without labels is another matter: there is no class to learn.
    let case = Case::new(&[("train", Format::Lines, "a"), ("dev", Format::Jsonl, &dev)]);
    assert_eq!(case.build().expect("corpus").labels, Labels { names: vec!["x".into()], classes: 0 });
}

#[test]
fn samples_train_alone_and_keeps_its_rows() {
    let text = letters(100);
    let files = [("train", Format::Lines, text.as_str()), ("dev", Format::Lines, text.as_str())];
    let whole = Case::new(&files).build().expect("corpus");
    let sampled = Case::new(&files).sampled(Sample::Fraction(0.1)).build().expect("corpus");
    assert_eq!((sampled.sizes()["train"], sampled.sizes()["dev"]), (10, 100));
    assert_eq!((sampled.stats["train"].texts, sampled.stats["train"].source_texts), (10, 100));
    let train = &sampled.splits["train"];
    assert!(train.rows.is_sorted());
    for (index, &row) in train.rows.iter().enumerate() {
        let row = usize::try_from(row).expect("row");
        assert_eq!(train.text(index), whole.splits["train"].text(row));
    }
    let other = Case { params: Tokenize { seed: 1, ..Case::new(&files).params }, ..Case::new(&files) };
    let other = other.sampled(Sample::Fraction(0.1)).build().expect("corpus");
    assert_ne!(other.splits["train"].rows, train.rows);
}

#[test]
fn a_sample_keeps_the_classes_of_the_whole() {
    let train = jsonl(&[("a", "x"), ("b", "y"), ("c", "z")]);
    let corpus =
        Case::new(&[("train", Format::Jsonl, &train)]).sampled(Sample::Count(1)).build().expect("corpus");
    assert_eq!((corpus.sizes()["train"], corpus.labels.classes), (1, 3));
    assert_eq!(corpus.stats["train"].labels.len(), 1);
}

#[test]
fn a_multiple_counts_another_stages_texts() {
    let text = letters(100);
    let mut case = Case::new(&[("train", Format::Lines, &text)]).sampled(Sample::Times(10.0));
    assert!(matches!(case.build(), Err(CorpusError::NoBase)));
    case.base = Some(7);
    assert_eq!(case.build().expect("corpus").sizes()["train"], 70);
    case.base = Some(11);
    let corpus = case.build().expect("corpus");
    assert_eq!(corpus.sizes()["train"], 100);
    assert_eq!(messages(&corpus), ["the sample asks for 110 texts, and `data/train` has 100: all are taken"]);
}

#[test]
fn broken_files_are_all_reported() {
    let case = Case::new(&[
        ("train", Format::Jsonl, "x\n"),
        ("dev", Format::Lines, "\n"),
        ("test", Format::Lines, "a"),
    ]);
    let error = case.build().expect_err("broken");
    let message = error.to_string();
    assert!(message.contains("data/train:1: expected a JSON object"), "{message}");
    assert!(message.contains("\nsplit `dev` has no text"), "{message}");
    assert!(error.help().is_some());
}

fn case(params: Tokenize, files: &[(&'static str, Format, &str)]) -> Case {
    let case = Case::new(files);
    Case { params: Tokenize { splits: case.params.splits, max_length: 5, ..params }, ..case }
}

#[test]
fn a_label_map_renames_and_leaves_out() {
    let train = jsonl(&[("a", "Background"), ("b", "Uses"), ("c", "Other"), ("d", "Uses")]);
    let map = |pairs: &[(&str, Option<&str>)]| Tokenize {
        label_map: pairs.iter().map(|(from, to)| ((*from).to_owned(), to.map(str::to_owned))).collect(),
        ..Tokenize::default()
    };
    let files = [("train", Format::Jsonl, train.as_str())];
    let params = map(&[("Background", Some("rest")), ("Uses", Some("use")), ("Other", None)]);
    let corpus = case(params, &files).build().expect("corpus");
    assert_eq!(corpus.labels.names, ["rest", "use"]);
    let split = &corpus.splits["train"];
    assert_eq!((&split.labels[..], &split.rows[..]), (&[0, 1, 1][..], &[0, 1, 3][..]));
    let stats = &corpus.stats["train"];
    assert_eq!((stats.texts, stats.source_texts, stats.left_out.by_label), (3, 4, 1));

    let any = case(map(&[("Uses", Some("use")), ("*", Some("rest"))]), &files).build().expect("corpus");
    assert_eq!(any.splits["train"].labels, [0, 1, 0, 1]);

    let error = case(map(&[("Uses", Some("use"))]), &files).build().expect_err("unknown labels").to_string();
    assert_eq!(
        error,
        "data/train:1: the label `Background` is not in `label_map`\ndata/train:3: the label `Other` is not in `label_map`"
    );
    let error = case(map(&[("*", None), ("x", Some("y"))]), &files).build().expect_err("empty").to_string();
    assert_eq!(
        error,
        "split `train` has no text: of the 4 in `data/train`, 4 have labels that `label_map` leaves out"
    );
}

#[test]
fn every_record_has_a_label_or_none_has() {
    let error = |label: Option<&str>, text: &str| {
        let params = Tokenize { label: label.map(str::to_owned), ..Tokenize::default() };
        case(params, &[("train", Format::Jsonl, text)]).build().expect_err("a label is missing").to_string()
    };
    assert_eq!(
        error(None, "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"}\n"),
        "data/train:2: expected a \"label\", as line 1 has one, found: {\"text\": \"b\"}"
    );
    assert_eq!(
        error(None, "{\"text\": \"a\"}\n{\"text\": 1}\n{\"text\": \"b\", \"label\": 1}\n"),
        "data/train:1: expected a \"label\", as line 3 has one, found: {\"text\": \"a\"}\n\
         data/train:2: expected a JSON object with a string \"text\", found a number there: {\"text\": 1}"
    );
    assert_eq!(
        error(Some("class"), "{\"text\": \"a\", \"label\": 1}\n"),
        "data/train:1: expected a \"class\", found: {\"text\": \"a\", \"label\": 1}"
    );
    let many = error(None, &"nonsense\n".repeat(1000));
    assert_eq!(many.lines().count(), 11);
    assert!(many.ends_with("\nand 990 more lines like these"), "{many}");
    // A label's field means nothing in a file of plain lines.
    let params = Tokenize { label: Some("class".to_owned()), ..Tokenize::default() };
    assert!(case(params, &[("train", Format::Lines, "a")]).build().is_ok());
}

#[test]
fn a_split_without_texts_is_named() {
    for (text, why) in [
        ("", "`data/train` is empty"),
        ("\u{feff}", "`data/train` is empty"),
        (" \n\r\n", "`data/train` has only blank lines"),
    ] {
        let error = Case::new(&[("train", Format::Lines, text)]).build().expect_err("empty").to_string();
        assert_eq!(error, format!("split `train` has no text: {why}"));
    }
}

#[test]
fn texts_that_two_splits_share_are_told_or_taken_out() {
    let train = jsonl(&[("a", "x"), ("b", "y"), ("a", "y"), ("c", "x"), ("d", "x")]);
    let dev = jsonl(&[("a", "x"), ("a", "x"), ("e", "y"), ("b b", "x")]);
    let test = jsonl(&[("c", "x"), ("e", "y"), ("c c", "y")]);
    let files = [
        ("train", Format::Jsonl, train.as_str()),
        ("dev", Format::Jsonl, dev.as_str()),
        ("test", Format::Jsonl, test.as_str()),
    ];
    let corpus = case(Tokenize::default(), &files).build().expect("corpus");
    let told = messages(&corpus);
    assert_eq!(
        told,
        [
            "1 of the 3 texts of split `test` is also in `train`, such as that of data/test:1, which is that of data/train:4",
            "2 of the 4 texts of split `dev` are also in `train`, such as that of data/dev:1, which is that of data/train:1",
            "1 of the 3 texts of split `test` is also in `dev`, such as that of data/test:2, which is that of data/dev:3",
        ]
    );
    assert_eq!(corpus.stats["test"].shared, [("dev".to_owned(), 1), ("train".to_owned(), 1)].into());
    assert_eq!(corpus.sizes().into_values().collect::<Vec<_>>(), [4, 3, 5]);

    let strict = case(Tokenize { strict: true, ..Tokenize::default() }, &files).build().expect_err("strict");
    assert_eq!(strict.to_string().lines().count(), 3);

    let within = Tokenize { deduplicate: Deduplicate::Within, ..Tokenize::default() };
    let corpus = case(within, &files).build().expect("corpus");
    assert_eq!(corpus.splits["train"].rows, [0, 1, 3, 4]);
    assert_eq!(corpus.splits["dev"].rows, [0, 2, 3]);
    let left_out = &corpus.stats["train"].left_out;
    assert_eq!((left_out.repeated, left_out.relabelled), (1, 1));
    assert_eq!(corpus.stats["dev"].left_out.relabelled, 0);
    assert_eq!(corpus.findings.len(), 3);

    let across = Tokenize { deduplicate: Deduplicate::Across, strict: true, ..Tokenize::default() };
    let corpus = case(across, &files).build().expect("corpus");
    assert_eq!(corpus.splits["train"].rows, [1, 4]);
    assert_eq!(corpus.splits["dev"].rows, [0, 3]);
    assert_eq!(corpus.splits["test"].rows, [0, 1, 2]);
    assert_eq!(corpus.stats["train"].left_out.shared, [("dev".to_owned(), 2), ("test".to_owned(), 1)].into());
    assert_eq!(messages(&corpus), [""; 0]);
}

#[test]
fn strict_makes_errors_of_labels_that_train_lacks() {
    let (train, dev) = (jsonl(&[("a", "x")]), jsonl(&[("b", "y"), ("c", "x")]));
    let files = [("train", Format::Jsonl, train.as_str()), ("dev", Format::Jsonl, dev.as_str())];
    let corpus = case(Tokenize::default(), &files).build().expect("corpus");
    assert_eq!(corpus.stats["dev"].unknown_labels, 1);
    let Err(CorpusError::Strict(errors)) =
        case(Tokenize { strict: true, ..Tokenize::default() }, &files).build()
    else {
        panic!("no error")
    };
    assert_eq!(errors[0].message, "1 of the 2 texts of split `dev` have labels that train lacks: `y` (1)");
    assert_eq!(errors[0].field, ["splits", "dev"]);
}

/// Texts of three labels, all different but for one that comes three times.
fn labelled(count: usize) -> Vec<(String, &'static str)> {
    let label = |i: usize| ["x", "y", "z", "x", "x"][i % 5];
    let mut records: Vec<(String, &str)> = (0..count).map(|i| (format!("a {i}"), label(i))).collect();
    records.extend([("again".to_owned(), "x"), ("again".to_owned(), "x"), ("again".to_owned(), "x")]);
    records
}

fn divided(records: &[(String, &str)], params: Tokenize) -> Result<Corpus, CorpusError> {
    let pairs: Vec<(&str, &str)> = records.iter().map(|(text, label)| (text.as_str(), *label)).collect();
    let text = jsonl(&pairs);
    case(params, &[("train", Format::Jsonl, &text)]).build()
}

fn parts(dev: Part, test: Part) -> Tokenize {
    let parts = [("dev".to_owned(), dev), ("test".to_owned(), test)];
    Tokenize { parts: parts.into(), ..Tokenize::default() }
}

#[test]
fn parts_have_their_share_of_every_label() {
    let records = labelled(1000);
    let params = parts(Part::Fraction(0.1), Part::Count(200));
    let corpus = divided(&records, params.clone()).expect("corpus");
    let sizes = corpus.sizes();
    assert_eq!((sizes["dev"], sizes["test"], sizes["train"]), (100, 200, 703));
    assert_eq!(
        corpus.stats["dev"].labels,
        [("x", 60), ("y", 20), ("z", 20)].map(|(l, n)| (l.to_owned(), n)).into()
    );
    assert_eq!(corpus.labels.classes, 3);
    let mut rows: Vec<i64> = corpus.splits.values().flat_map(|split| split.rows.clone()).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..1003).collect::<Vec<_>>());

    // Test does not depend on whether there is a dev.
    let mut alone = params.clone();
    alone.parts.remove("dev");
    assert_eq!(divided(&records, alone).expect("corpus").splits["test"], corpus.splits["test"]);
    let other = Tokenize { split_seed: 1, ..params.clone() };
    assert_ne!(divided(&records, other).expect("corpus").splits["test"].rows, corpus.splits["test"].rows);
    let loose = Tokenize { stratify: false, ..params.clone() };
    assert_eq!(divided(&records, loose).expect("corpus").sizes()["dev"], 100);
    let sampled = Tokenize { sample: Some(Sample::Fraction(0.5)), ..params };
    let sampled = divided(&records, sampled).expect("corpus");
    assert_eq!((sampled.sizes()["train"], &sampled.splits["dev"]), (352, &corpus.splits["dev"]));

    let all = parts(Part::Count(1000), Part::Count(3));
    let error = divided(&records, all).expect_err("nothing left").to_string();
    assert!(error.starts_with("1003 of the 1003 texts of `train`"), "{error}");
}

#[test]
fn train_keeps_a_text_of_every_label() {
    let mut records = labelled(20);
    records.push(("rare".to_owned(), "rare"));
    let corpus = divided(&records, parts(Part::Fraction(0.45), Part::Fraction(0.45))).expect("corpus");
    assert_eq!(corpus.stats["train"].labels.len(), 4);
    assert_eq!(messages(&corpus), [""; 0]);

    let corpus = divided(&records[..5], parts(Part::Count(3), Part::Count(1))).expect("corpus");
    assert_eq!(corpus.sizes()["dev"], 1);
    let told = "split `dev` gets 1 of the 3 texts that are asked for: train keeps a text of each label, and equal texts \
                stay together";
    assert_eq!(messages(&corpus), [told]);
    assert_eq!(corpus.findings[0].field, ["splits", "dev"]);
}

proptest! {
    #[test]
    fn parts_depend_on_texts_and_seed_and_not_on_order(count in 4_usize..60, dev in 0.05..0.4, seed: u64) {
        let params = Tokenize { split_seed: seed, ..parts(Part::Fraction(dev), Part::Fraction(0.3)) };
        let records = labelled(count);
        let mut turned = records.clone();
        turned.rotate_left(count / 2);
        turned.reverse();
        let texts = |records: &[(String, &str)]| {
            let corpus = divided(records, params.clone()).expect("corpus");
            let texts = |split: &Split| {
                let row = |row: &i64| records[usize::try_from(*row).expect("a row")].0.clone();
                let mut texts: Vec<String> = split.rows.iter().map(row).collect();
                texts.sort_unstable();
                texts
            };
            corpus.splits.iter().map(|(name, split)| (name.clone(), texts(split))).collect::<BTreeMap<_, _>>()
        };
        let divided = texts(&records);
        prop_assert_eq!(&texts(&turned), &divided);
        for (name, split) in &divided {
            prop_assert!(!split.is_empty());
            let elsewhere = divided.iter().filter(|(other, _)| *other != name).flat_map(|(_, split)| split);
            prop_assert!(elsewhere.clone().all(|text| !split.contains(text)), "{divided:?}");
        }
    }
}

/// The field, message and help of each finding of an error.
fn told(error: &CorpusError) -> Vec<(String, String, String)> {
    let of = |finding: Finding| (finding.field.join("."), finding.message, finding.help.unwrap_or_default());
    error.findings().into_iter().map(of).collect()
}

#[test]
fn what_is_wrong_is_told_at_the_field_that_says_it() {
    let objects = "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": \"y\"}\n";
    let case = |change: &dyn Fn(&mut Tokenize)| {
        let mut case = Case::new(&[("train", Format::Jsonl, objects)]);
        change(&mut case.params);
        told(&case.build().expect_err("broken"))
    };
    let map = |pairs: &[&str]| {
        pairs.iter().map(|label| ((*label).to_owned(), Some("z".to_owned()))).collect::<BTreeMap<_, _>>()
    };
    for (change, field, message, help) in [
        (
            &(|params: &mut Tokenize| params.label = Some("lable".into())) as &dyn Fn(&mut Tokenize),
            "label",
            "data/train:1: expected a \"lable\", found",
            "did you mean `label`?",
        ),
        (
            &|params| params.label = Some("topic".into()),
            "label",
            "data/train:2: expected a \"topic\", found",
            "the first record has `label`, `text`",
        ),
        (
            &|params| params.text = "txt".into(),
            "text",
            "data/train:1: expected a JSON object with a string \"txt\"",
            "did you mean `text`?",
        ),
        (
            &|params| params.label_map = map(&["x"]),
            "label_map",
            "data/train:2: the label `y` is not in `label_map`",
            "give `y` a line of `label_map`; `'*'` stands for every label that is not named",
        ),
        (
            &|params| {
                params.text = "titel".into();
                params.more_text = vec!["text".into()];
            },
            "text",
            "no record of `data/train` has a field `titel`; the first has `label`, `text`",
            "one that some records lack is left out there",
        ),
    ] {
        let found = case(change);
        let [(at, what, way_out)] = found.as_slice() else { panic!("one fault: {found:?}") };
        assert_eq!(at, field, "{what}");
        assert!(what.contains(message) && way_out.contains(help), "{what}\n{way_out}");
    }
}

#[test]
fn what_the_pipeline_does_not_say_is_told_at_the_split() {
    for (lines, help) in [
        ("{\"txt\": \"a\"}\n", "did you mean `txt`?"),
        ("{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"}\n", "`text` and `label` name the fields"),
    ] {
        let error = Case::new(&[("train", Format::Jsonl, lines)]).build().expect_err("broken");
        let found = told(&error);
        assert_eq!(found[0].0, "splits.train", "{found:?}");
        assert!(found[0].2.contains(help), "{found:?}");
    }
    let mut table = Case::new(&[("train", Format::Csv, "text,lbl\na,x\n")]);
    table.params.label = Some("label".into());
    assert_eq!(told(&table.build().expect_err("no column"))[0].0, "label");
    table.params.label = None;
    table.params.text = "title".into();
    assert_eq!(told(&table.build().expect_err("no column"))[0].0, "text");
}

#[test]
fn a_field_of_several_may_lack_in_some_records_and_in_some_splits() {
    let some = "{\"title\": \"a\", \"text\": \"b\"}\n{\"text\": \"c\"}\n";
    let mut case =
        Case::new(&[("train", Format::Jsonl, some), ("test", Format::Jsonl, "{\"text\": \"d\"}\n")]);
    case.params.text = "title".into();
    case.params.more_text = vec!["text".into()];
    case.build().expect("a title somewhere");
}

#[test]
fn parts_that_leave_nothing_are_told_at_the_largest() {
    let mut case = Case::new(&[("train", Format::Lines, "a\nb\nc\n")]);
    case.params.parts =
        [("dev", 1), ("test", 2)].map(|(split, count)| (split.to_owned(), Part::Count(count))).into();
    assert_eq!(told(&case.build().expect_err("nothing left"))[0].0, "splits.test");
}
