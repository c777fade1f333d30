//! Tables of scores that are made up here: `method=mt, task=a, seed=0` and a score.

use super::*;
use crate::digest::Digest;
use crate::spec::{Axes, Spec};

fn texts(name: &str) -> Texts {
    Texts::of_file(Digest::of(name.as_bytes()))
}

/// The scores of `(values, score)` over `vars`; a score of its own node each, unless it is the same text.
fn scores(vars: &[&str], lines: &[(&str, &str, Option<f64>)]) -> Scores {
    let seen = lines.iter().enumerate().map(|(i, (values, metric, score))| Seen {
        values: values.split(' ').map(str::to_owned).collect(),
        stage: "test".into(),
        node: NodeId(i),
        metric: (*metric).to_owned(),
        split: Some("test".into()),
        data: Some(texts(values.split(' ').find(|value| value.starts_with("task")).unwrap_or(""))),
        key: score.map(|_| Digest::of(values.as_bytes())),
        score: *score,
    });
    let vars = vars.iter().map(|var| (*var).to_owned()).collect();
    Scores { vars, seen: seen.collect(), plain: false }
}

/// A report of `test` with these axes: `rows`, `columns`, `over`, and a baseline as `var=value`.
fn report(rows: &str, columns: &str, over: &str, baseline: &str) -> Report {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut spec = Spec::default();
    spec.points.push(crate::spec::Point::default());
    let mut report = Report::of_metric(&spec, "test", "macro_f1");
    (report.rows, report.columns, report.over) = (list(rows), list(columns), list(over).pop());
    report.baseline =
        baseline.split_once('=').map(|(var, value)| Baseline { var: var.into(), value: value.into() });
    report
}

/// Two methods on two tasks, three seeds; one result is missing, and one seed is of one method alone.
fn sample() -> Scores {
    let f1 = "macro_f1";
    scores(
        &["method", "task", "seed"],
        &[
            ("ft task-a 0", f1, Some(0.60)),
            ("ft task-a 1", f1, Some(0.62)),
            ("ft task-a 2", f1, Some(0.61)),
            ("ft task-b 0", f1, Some(0.80)),
            ("ft task-b 1", f1, Some(0.81)),
            ("ft task-b 2", f1, Some(0.85)),
            ("mt task-a 0", f1, Some(0.70)),
            ("mt task-a 1", f1, Some(0.71)),
            ("mt task-a 2", f1, Some(0.73)),
            ("mt task-b 0", f1, Some(0.82)),
            ("mt task-b 1", f1, None),
            ("mt task-b 2", f1, Some(0.80)),
        ],
    )
}

/// The sample with nothing missing.
fn whole() -> Scores {
    let mut scores = sample();
    scores.seen[10].score = Some(0.81);
    scores
}

fn best(table: &Table) -> Vec<bool> {
    table.rows.iter().flat_map(|(_, cells)| cells.iter().map(|cell| cell.best)).collect()
}

/// The sample as a table.
pub(in crate::report) fn made(rows: &str, columns: &str, over: &str, baseline: &str) -> Table {
    arrange(&report(rows, columns, over, baseline), sample())
}

fn values(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.values.join(" ")).collect()
}

#[test]
fn rows_columns_and_cells() {
    let table = arrange(&report("method", "task", "seed", ""), sample());
    assert_eq!(values(&table.columns), ["task-a", "task-b"]);
    let rows: Vec<Line> = table.rows.iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(values(&rows), ["ft", "mt"]);
    let cell = &table.rows[0].1[0];
    assert!((cell.mean().expect("mean") - 0.61).abs() < 1e-12);
    assert!((cell.deviation().expect("sd") - 0.01).abs() < 1e-12);
    let holes = &table.rows[1].1[1];
    assert_eq!((holes.scores.len(), holes.missing, table.missing()), (2, 1, 1));
    // A column each: `mt` is best on task a. On task b it lacks a result.
    assert_eq!((best(&table), table.unranked), (vec![false, false, true, false], true));
}

#[test]
fn scores_on_other_texts_do_not_compete() {
    let table = arrange(&report("task method", "", "seed", ""), whole());
    let rows: Vec<Line> = table.rows.iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(values(&rows), ["task-a ft", "task-a mt", "task-b ft", "task-b mt"]);
    assert_eq!(best(&table), [false, true, true, false]);
    // With the methods side by side, each row has its best.
    let table = arrange(&report("task", "method", "seed", ""), whole());
    assert_eq!(best(&table), [false, true, true, false]);
}

#[test]
fn what_lacks_results_neither_wins_nor_loses() {
    // `mt` would have the better mean, of the two seeds that are there.
    let mut scores = whole();
    scores.seen[9].score = Some(0.95);
    scores.seen[10].score = None;
    let table = arrange(&report("method", "task", "seed", ""), scores.clone());
    assert_eq!((best(&table), table.unranked), (vec![false, false, true, false], true));
    // Nor where a cell has nothing at all.
    scores.seen.iter_mut().skip(9).for_each(|seen| seen.score = None);
    let table = arrange(&report("method", "task", "seed", ""), scores.clone());
    assert_eq!((best(&table), table.unranked), (vec![false, false, true, false], true));
    // Nor where it was averaged over other seeds.
    let mut others = whole();
    others.seen.remove(11);
    let table = arrange(&report("method", "task", "seed", ""), others);
    assert_eq!((best(&table), table.unranked), (vec![false, false, true, false], true));
    // Before anything has run there is nothing to say.
    scores.seen.iter_mut().for_each(|seen| seen.score = None);
    assert!(!arrange(&report("method", "task", "seed", ""), scores).unranked);
    assert!(!arrange(&report("method", "task", "seed", ""), whole()).unranked);
}

#[test]
fn what_prints_alike_is_equally_good() {
    let lines = |a: f64, b: f64| {
        let scores = scores(&["method"], &[("ft", "macro_f1", Some(a)), ("mt", "macro_f1", Some(b))]);
        let table = arrange(&report("method", "", "", ""), scores);
        (best(&table), percent(a) == percent(b))
    };
    // 12.35 and 12.35 on the page: times a hundred, 0.12345 is just above the half.
    assert_eq!(lines(0.123_45, 0.123_46), (vec![true, true], true));
    assert_eq!(lines(0.123_44, 0.123_46), (vec![false, true], false));
    for thousandths in 0..1000 {
        let (a, b) = (f64::from(thousandths) / 1e3 + 5e-5, f64::from(thousandths) / 1e3 + 6e-5);
        let (best, alike) = lines(a, b);
        assert_eq!(best, [alike, true], "{a} prints as {}, {b} as {}", percent(a), percent(b));
    }
}

#[test]
fn scores_on_other_texts_are_not_compared() {
    // Task b is another file than task a: a baseline of one says nothing about the other.
    let table = arrange(&report("method", "task", "seed", "task=task-a"), whole());
    for (_, cells) in &table.rows {
        assert!(cells[0].is_baseline && cells[0].apart.is_none());
        assert_eq!((&cells[1].comparison, cells[1].apart), (&None, Some(Apart::Texts)));
    }
    let mut same = whole();
    same.seen.iter_mut().for_each(|seen| seen.data = Some(texts("one file")));
    let table = arrange(&report("method", "task", "seed", "task=task-a"), same);
    assert!(table.rows.iter().all(|(_, cells)| cells[1].comparison.is_some() && cells[1].apart.is_none()));
}

#[test]
fn comparisons_are_paired_by_what_both_have() {
    for (rows, columns) in [("method", "task"), ("task", "method"), ("task method", ""), ("", "method task")]
    {
        let table = arrange(&report(rows, columns, "seed", "method=ft"), sample());
        let cells: Vec<&Cell> = table.rows.iter().flat_map(|(_, cells)| cells).collect();
        assert_eq!(cells.iter().filter(|cell| cell.is_baseline).count(), 2, "{rows} by {columns}");
        let mut found: Vec<&Comparison> = cells.iter().filter_map(|cell| cell.comparison.as_ref()).collect();
        found.sort_by_key(|comparison| std::cmp::Reverse(comparison.pairs));
        let [a, b] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((a.pairs, a.p), (3, Some(0.25)));
        assert!((a.difference - (0.10 + 0.09 + 0.12) / 3.0).abs() < 1e-12);
        // Seed 1 of `mt` on task b is missing.
        assert_eq!((b.pairs, b.interval), (2, None));
        assert!((b.difference - (0.02 - 0.05) / 2.0).abs() < 1e-12);
    }
}

#[test]
fn a_shared_result_counts_once() {
    let mut shared = sample();
    for seen in shared.seen.iter_mut().filter(|seen| seen.values[0] == "ft") {
        seen.node = NodeId(if seen.values[1] == "task-a" { 100 } else { 101 });
        seen.score = Some(0.6);
    }
    let table = arrange(&report("method", "task", "seed", "method=ft"), shared);
    assert_eq!(table.rows[0].1[0].scores, [0.6]);
    // Every seed of `mt` still has its pair.
    assert_eq!(table.rows[1].1[0].comparison.as_ref().map(|comparison| comparison.pairs), Some(3));
}

#[test]
fn a_metric_of_its_own_is_named_with_its_line() {
    let scores = scores(
        &["task", "method"],
        &[
            ("task-a ft", "macro_f1", Some(0.6)),
            ("task-b ft", "accuracy", Some(0.9)),
            ("task-a mt", "macro_f1", Some(0.7)),
            ("task-b mt", "accuracy", Some(0.8)),
        ],
    );
    let table = arrange(&report("method", "task", "", "task=task-a"), scores.clone());
    let named: Vec<Option<&str>> = table.columns.iter().map(|column| column.metric.as_deref()).collect();
    assert_eq!(named, [Some("macro_f1"), Some("accuracy")]);
    assert!(table.rows.iter().all(|(row, _)| row.metric.is_none()));
    // Other metrics do not compare.
    assert!(table.rows.iter().all(|(_, cells)| cells.iter().all(|cell| cell.comparison.is_none())));
    let table = arrange(&report("task method", "", "", ""), scores);
    assert!(table.columns[0].metric.is_none() && table.rows[3].0.metric.as_deref() == Some("accuracy"));
}

/// The final weights of two objectives, over two seeds.
pub(in crate::report) fn made_of_weights() -> Table {
    let mut report = report("task", "", "seed", "");
    report.shows = Shows::Weights(report.shows.stages()[0].clone());
    let lines = [
        ("task-a 0 end-task", "weight", Some(0.6)),
        ("task-a 0 tapt", "weight", Some(0.4)),
        ("task-a 1 end-task", "weight", Some(0.7)),
        ("task-a 1 tapt", "weight", Some(0.3)),
    ];
    let mut scores = scores(&["task", "seed", OBJECTIVE], &lines);
    // One node tells of all its objectives.
    for (i, seen) in scores.seen.iter_mut().enumerate() {
        seen.node = NodeId(i / 2);
    }
    arrange(&report, scores)
}

#[test]
fn weights_have_the_objectives_as_columns() {
    let table = made_of_weights();
    assert_eq!(values(&table.columns), ["end-task", "tapt"]);
    let cells = &table.rows[0].1;
    assert!((cells[1].mean().expect("mean") - 0.35).abs() < 1e-12);
    assert!(cells.iter().all(|cell| !cell.best && cell.scores.len() == 2));
}

#[test]
fn a_command_line_takes_over_axes() {
    let text = "tartan: 1\nvars: {method: ft, task: a, seed: 0}\nsweep: {method: [ft, mt], task: [a, b], seed: [0, 1]}\n\
                stages: {e: {encoder: {from: x}}}\nreport: {metric: test.macro_f1, rows: method, over: seed, baseline: ft}\n";
    let (spec, _) = Spec::from_text(std::path::Path::new("p.yaml"), text, &[]);
    let report = spec.reports[0].clone();
    let axes = |rows: &[&str], columns: &[&str], over: Option<&str>, baseline: Option<&str>| Axes {
        rows: rows.iter().map(|var| (*var).to_owned()).collect(),
        columns: columns.iter().map(|var| (*var).to_owned()).collect(),
        over: over.map(str::to_owned),
        baseline: baseline.map(str::to_owned),
    };
    let changed = report.clone().with_axes(&spec, &axes(&[], &["method"], None, Some("mt"))).expect("axes");
    assert_eq!((changed.rows.len(), changed.columns.as_slice()), (0, &["method".to_owned()][..]));
    assert_eq!(changed.baseline, Some(Baseline { var: "method".into(), value: "mt".into() }));
    let changed = report.clone().with_axes(&spec, &axes(&["seed"], &[], Some("method"), None)).expect("axes");
    assert_eq!((changed.over.as_deref(), changed.baseline), (Some("method"), None));
    for (axes, part) in [
        (axes(&["metod"], &[], None, None), "did you mean `method`?"),
        (axes(&["task"], &["task"], None, None), "both `rows` and `columns`"),
        (axes(&[], &[], None, Some("mtt")), "did you mean `mt`?"),
    ] {
        let error = report.clone().with_axes(&spec, &axes).expect_err("a fault");
        assert!(error.to_string().contains(part), "{error}");
    }
}
