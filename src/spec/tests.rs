//! The language, from text to spec.

mod language;
mod properties;

use super::*;
use crate::action::{Length, Metric, Sample, Weights};

const PIPELINE: &str = r#"
tartan: 1
name: demo
vars: {task: a, method: mt, seed: 0}
stages:
  encoder: {encoder: {from: "enc/${task}"}}
  task:
    tokenize: {tokenizer: encoder, splits: {train: "data/${task}.jsonl"}, max_length: 64}
  text: {tokenize: {tokenizer: encoder, splits: {train: t.txt}, sample: 10x task, seed: "${seed}"}}
  end-task: {objective: {classify: {data: task}}}
  tapt: {objective: {mlm: {data: text}}}
  mt-model:
    train:
      init: encoder
      end_task: end-task
      auxiliary: [tapt]
      weights: {end-task: 0.75, tapt: 0.25}
      epochs: 2
      lr: 1e-3
      seed: "${seed}"
  test: {evaluate: {model: "${method}-model", data: task, split: test, metrics: [macro_f1, accuracy]}}
sweep: {task: [a, b], seed: {range: [0, 3]}}
report: {metric: test.macro_f1, rows: task, over: seed}
"#;

fn read(text: &str, sets: &[&str]) -> (Spec, Vec<Diagnostic>) {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Spec::from_text(Path::new("dir/p.yaml"), text, &sets)
}

fn sound(text: &str, sets: &[&str]) -> Spec {
    let (spec, diagnostics) = read(text, sets);
    assert!(diagnostics.is_empty(), "{}", print(&diagnostics));
    spec
}

fn print(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What the caret of a diagnostic stands under.
fn under_caret(diagnostic: &Diagnostic) -> Option<String> {
    let place = diagnostic.place.as_ref()?;
    Some(place.source.chars().skip(place.column - 1).take(place.width).collect())
}

#[test]
fn a_pipeline_becomes_typed_stages_at_every_point() {
    let spec = sound(PIPELINE, &[]);
    assert_eq!((spec.name.as_str(), spec.points.len()), ("demo", 6));
    assert_eq!(spec.point_name(4), "task=b, seed=1");
    let point = &spec.points[4];
    let Block::Encoder { from: ModelSource::Folder(folder), .. } = &point.stages["encoder"] else {
        panic!("kind")
    };
    assert_eq!(folder.path, Path::new("dir/enc/b"));
    let Block::Tokenize { action, sample_of, .. } = &point.stages["text"] else { panic!("kind") };
    assert_eq!((action.sample, action.seed), (Some(Sample::Times(10.0)), 1));
    assert_eq!(sample_of.as_ref().map(|r| r.stage.as_str()), Some("task"));
    let Block::Train { action, auxiliary, .. } = &point.stages["mt-model"] else { panic!("kind") };
    assert_eq!(action.weights, Weights::Static(vec![0.75, 0.25]));
    assert_eq!((action.length, action.seed, auxiliary.len()), (Length::Epochs(2.0), 1, 1));
    // The paper's scripts evaluate every 30 steps.
    assert_eq!((action.evaluate_every, action.batch, action.micro_steps), (Some(30), 64, 2));
    let Block::Evaluate { model, action, .. } = &point.stages["test"] else { panic!("kind") };
    assert_eq!(model.stage, "mt-model");
    assert_eq!(action.metrics, [Metric::Accuracy, Metric::MacroF1]);
    assert_eq!(spec.reports[0].shows.stages()[0].stage, "test");
}

#[test]
fn the_command_line_sets_variables_and_fields() {
    let spec =
        sound(PIPELINE, &["task=c", "stages.mt-model.train.epochs=7", "stages.mt-model.train.patience=3"]);
    assert_eq!(spec.points.len(), 3, "a swept variable that is set is no longer swept");
    assert_eq!(spec.fixed, ["task"]);
    let spec_of_two = sound(PIPELINE, &["sweep.seed=[3, 4]"]);
    assert_eq!((spec_of_two.values("seed").len(), spec_of_two.fixed), (2, vec!["seed".to_owned()]));
    assert_eq!(sound(PIPELINE, &[]).fixed.len(), 0);
    let Block::Train { action, .. } = &spec.points[0].stages["mt-model"] else { panic!("kind") };
    assert_eq!((action.length, action.patience), (Length::Epochs(7.0), 3));
    let Block::Encoder { from: ModelSource::Folder(folder), .. } = &spec.points[0].stages["encoder"] else {
        panic!("kind")
    };
    assert_eq!(folder.name, "enc/c");

    for (set, part) in [
        ("tsk=c", "did you mean `task`?"),
        ("task", "NAME=VALUE"),
        ("stages.mt-modl.train.epochs=7", "did you mean `mt-model`?"),
        ("task.x=1", "has no fields"),
        ("stages.mt-model.train.epochs=many", "--set stages.mt-model.train.epochs=many"),
    ] {
        let (_, diagnostics) = read(PIPELINE, &[set]);
        assert!(print(&diagnostics).contains(part), "{set}: {}", print(&diagnostics));
    }
}

/// Each fault alone, in a pipeline that is sound but for it: the place and the words that must be there.
#[test]
fn faults_are_placed_and_say_the_way_out() {
    for (from, to, marked, part) in [
        ("lr: 1e-3", "lr: fast", "fast", "`lr` is a number at least 0, not `fast`"),
        ("lr: 1e-3", "lrr: 1e-3", "lrr", "did you mean `lr`?"),
        ("lr: 1e-3", "lr: -1", "-1", "at least 0"),
        ("epochs: 2", "epochs: 0", "0", "above 0"),
        ("epochs: 2", "epochs: 2\n      steps: 3", "steps", "exclude each other"),
        ("      epochs: 2\n", "", "train", "`epochs` is missing"),
        ("${method}-model", "${methd}-model", "methd", "did you mean `method`?"),
        ("split: test", "split: tset", "tset", "did you mean `test`?"),
        ("[macro_f1, accuracy]", "[macro_f1, acuracy]", "acuracy", "did you mean `accuracy`?"),
        ("evaluate:", "evalute:", "evalute", "did you mean `evaluate`?"),
        ("tapt: 0.25", "tapd: 0.25", "tapd", "did you mean `tapt`?"),
        ("sample: 10x task", "sample: 10xtask", "10xtask", "a multiple of a stage's train split"),
        ("tartan: 1", "tartan: 2", "2", "reads format 1"),
        ("name: demo", "nmae: demo", "nmae", "did you mean `name`?"),
        ("rows: task", "rows: tusk", "tusk", "did you mean `task`?"),
        ("test.macro_f1", "macro_f1", "macro_f1", "does not say whose metric"),
        ("train: t.txt", "train: t.doc", "t.doc", "format"),
        ("from:", "form:", "form", "did you mean `from`?"),
        ("method: mt", "method: mt, task: b", "task", "duplicate key `task`"),
        ("[tapt]", "[tapt, tapt]", "tapt", "named twice"),
        ("over: seed", "over: task", "task", "`task` is both `rows` and `over`"),
        ("[macro_f1, accuracy]", "[]", "[", "nothing would be measured"),
        ("epochs: 2", "epochs: 99999999999999999999", "99999999999999999999", "beyond 64 bits"),
        ("epochs: 2", "epochs: !x 2", "!x 2", "a tag"),
        ("name: demo", "name: de\u{1b}mo", "\u{1b}", "a control character (U+001B)"),
    ] {
        let text = PIPELINE.replacen(from, to, 1);
        assert_ne!(text, PIPELINE, "{from}");
        let (_, diagnostics) = read(&text, &[]);
        let hit = diagnostics
            .iter()
            .any(|d| under_caret(d).as_deref() == Some(marked) && d.to_string().contains(part));
        assert!(hit, "{to} should say `{part}` under `{marked}`:\n{}", print(&diagnostics));
    }
}

#[test]
fn all_faults_come_at_once_and_each_only_once() {
    let text = PIPELINE.replace("lr: 1e-3", "lr: fast").replace("max_length: 64", "max_lenght: 64");
    let (spec, diagnostics) = read(&text, &[]);
    assert_eq!(diagnostics.len(), 2, "{}", print(&diagnostics));
    assert!(matches!(spec.points[0].stages["task"], Block::Broken(_)));
    assert!(matches!(spec.points[0].stages["test"], Block::Evaluate { .. }));
    // What is there but wrong is not missing too.
    for (from, to) in [("epochs: 2", "steps: -2"), ("end_task: end-task", "end_task: [end-task]")] {
        let (_, diagnostics) = read(&PIPELINE.replace(from, to), &[]);
        assert_eq!(diagnostics.len(), 1, "{}", print(&diagnostics));
    }
}

#[test]
fn a_fault_of_the_whole_file_stands_at_its_beginning() {
    for text in ["# nothing yet\n", ""] {
        let (_, diagnostics) = read(text, &[]);
        assert!(print(&diagnostics).contains("--> dir/p.yaml:1:1\n"), "{}", print(&diagnostics));
        assert!(!print(&diagnostics).contains("Option"), "{}", print(&diagnostics));
    }
}

#[test]
fn what_has_no_end_is_not_read_to_it() {
    let (_, diagnostics) = Spec::load(Path::new("/dev/zero"), &Overrides::default());
    assert!(diagnostics[0].message.contains("more than 16 MiB"), "{}", print(&diagnostics));
}

#[test]
fn what_is_no_pipeline_is_refused_without_panic() {
    for text in [
        "",
        "3",
        "[]",
        "a",
        "tartan: 1",
        "tartan: 1\nstages: 3",
        "stages: {a: {b: {c: d}}}",
        "{",
        "a: &a [*a]",
    ] {
        let (_, diagnostics) = read(text, &[]);
        assert!(!diagnostics.is_empty(), "{text:?}");
    }
    let deep = "[".repeat(10_000);
    assert!(!read(&deep, &[]).1.is_empty());
}

/// A pipeline with another `report` block, and variables for it.
fn with_report(block: &str) -> String {
    let (before, _) = PIPELINE.split_once("report:").expect("a report");
    before
        .replace("seed: 0}", "seed: 0, size: 1, out: pics, measured: {a: macro_f1, b: accuracy}}")
        .replace("{task: [a, b]", "{task: [a, b], size: [1, 10, 100x]")
        .replace("enc/${task}", "enc/${task}${size}${out}${measured.a}")
        + "report: "
        + block
        + "\n"
}

fn report(block: &str) -> Report {
    sound(&with_report(block), &[]).reports.remove(0)
}

#[test]
fn a_report_says_what_is_compared_and_drawn() {
    let found = report(
        "{metric: test.macro_f1, rows: [method, task], columns: size, over: seed, baseline: b,
          title: Size, figure: {lines: '${out}/size', log: true}}",
    );
    assert_eq!((found.rows.len(), found.columns.as_slice()), (2, &["size".to_owned()][..]));
    assert_eq!(found.baseline, Some(Baseline { var: "task".into(), value: "b".into() }));
    let figure = found.figure.expect("a figure");
    assert_eq!((figure.kind, figure.log), (FigureKind::Lines, true));
    assert_eq!(
        (figure.file.path.as_path(), found.title.as_deref()),
        (Path::new("dir/pics/size"), Some("Size"))
    );

    // A baseline may be a column's value, a number, and of a variable that the report does not name.
    for (block, var) in [
        ("{metric: test.macro_f1, columns: task, over: seed, baseline: a}", "task"),
        ("{metric: test.macro_f1, rows: task, over: seed, baseline: 10}", "size"),
    ] {
        assert_eq!(report(block).baseline.expect("a baseline").var, var);
    }
    let weights = report("{weights: mt-model, rows: task, over: seed, figure: {steps: w}}");
    assert!(matches!(&weights.shows, Shows::Weights(stage) if stage.stage == "mt-model"));
}

#[test]
fn a_reports_metric_may_vary_over_the_sweep() {
    let text = with_report("{metric: 'test.${measured.${task}}', rows: task, over: seed}");
    let spec = sound(&text, &[]);
    let Shows::Scores(scores) = &spec.reports[0].shows else { panic!("scores") };
    let of = |task: &str| -> Vec<&str> {
        let here = spec.points.iter().zip(scores).filter(|(point, _)| point.values[0] == task);
        here.map(|(_, score)| score.metric.as_str()).collect()
    };
    assert_eq!((of("a"), of("b")), (vec!["macro_f1"; 9], vec!["accuracy"; 9]));
}

#[test]
fn a_baseline_goes_with_the_points_it_is_of() {
    let text = with_report("{metric: test.macro_f1, rows: task, over: seed, baseline: b}");
    assert_eq!(sound(&text, &["task=a"]).reports[0].baseline, None);
    assert!(sound(&text, &["seed=1"]).reports[0].baseline.is_some());
}

#[test]
fn faults_of_a_report_are_placed_and_say_the_way_out() {
    for (block, marked, part) in [
        ("{metric: test.macro_f1, rows: task, baseline: aa}", "aa", "did you mean `a`?"),
        (
            "{metric: test.macro_f1, rows: task, over: seed, baseline: zebra}",
            "zebra",
            "the values are `a`, `b`, `1`",
        ),
        ("{metric: test.macro_f1, rows: [task, tusk]}", "tusk", "did you mean `task`?"),
        ("{metric: test.macro_f1, rows: [task, task]}", "task", "`task` stands twice in `rows`"),
        ("{metric: test.macro_f1, rows: task, columns: [task]}", "task", "both `rows` and `columns`"),
        ("{metric: test.macro_f1, over: [seed, task]}", "task", "`over` is one variable"),
        ("{metric: 'test.${mesured}'}", "mesured", "did you mean `measured`?"),
        ("{metric: [test.macro_f1]}", "[", "`metric` is a text"),
        ("{rows: task}", "report", "`metric` is missing"),
        ("{metric: test.macro_f1, weights: mt-model}", "weights", "exclude each other"),
        ("{weights: mt-model, columns: task}", "task", "the objectives as columns"),
        ("{weights: mt-model, baseline: a}", "baseline", "has no baseline"),
        ("{weights: mt-model, figure: {bars: w}}", "bars", "steps: PATH"),
        ("{metric: test.macro_f1, figure: {steps: w}}", "steps", "weights: STAGE"),
        ("{metric: test.macro_f1, figure: {bar: w}}", "bar", "did you mean `bars`?"),
        ("{metric: test.macro_f1, figure: {}}", "figure", "`bars` is missing"),
        ("{metric: test.macro_f1, figure: {bars: a, lines: b}}", "lines", "of one kind"),
        ("{metric: test.macro_f1, figure: {bars: a.png}}", "a.png", "leave out `.png`"),
        ("{metric: test.macro_f1, figure: {bars: 'a-${task}'}}", "'a-${task}'", "varies over the sweep"),
        ("{metric: test.macro_f1, figure: {bars: a, log: true}}", "log", "of `lines`"),
        ("{metric: test.macro_f1, figure: {lines: a}}", "lines", "columns: VAR"),
        ("{metric: test.macro_f1, columns: task, figure: {lines: a}}", "task", "takes the value `a`"),
        ("{metric: test.macro_f1, columns: seed, figure: {lines: a, log: true}}", "seed", "no place for `0`"),
        (
            "[{metric: test.macro_f1, figure: {bars: a}}, {metric: test.accuracy, figure: {bars: a}}]",
            "a",
            "two figures",
        ),
    ] {
        let (_, diagnostics) = read(&with_report(block), &[]);
        let hit = diagnostics
            .iter()
            .any(|d| under_caret(d).as_deref() == Some(marked) && d.to_string().contains(part));
        assert!(hit, "{block} should say `{part}` under `{marked}`:\n{}", print(&diagnostics));
        let elsewhere = diagnostics.iter().any(|d| under_caret(d).as_deref() != Some(marked));
        assert!(!elsewhere, "{block}:\n{}", print(&diagnostics));
    }
}
