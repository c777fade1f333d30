//! From a table to its figure: which numbers are bars, lines or trails, and the files they are written to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::figure::{Bars, Curve, Figure, Lines, Panel, Sample, Series, Steps, Trail};
use super::scores::{Records, ReportError, Seen};
use super::table::{Line, Table};
use super::weights;
use crate::plan::{NodeId, Plan};
use crate::spec::{FigureFile, FigureKind, axis_number};
use crate::store::Store;

/// Draws a table's figure. Nothing where no number of it is known.
pub fn figure(
    file: &FigureFile,
    table: &Table,
    plan: &Plan,
    records: &Records,
    store: &Store,
) -> Result<Option<Figure>, ReportError> {
    if table.scores.seen.iter().all(|seen| seen.score.is_none()) {
        return Ok(None);
    }
    Ok(Some(match file.kind {
        FigureKind::Bars => Figure::Bars(bars(table)),
        FigureKind::Lines => Figure::Lines(lines(table, file.log)),
        FigureKind::Steps => Figure::Steps(steps(table, &paths(table, plan, records, store)?)),
    }))
}

/// Writes a figure as `.svg` and `.png`; returns both files. Each is whole or as it was before.
pub fn write(figure: &Figure, file: &Path) -> Result<[PathBuf; 2], ReportError> {
    let failed = |path: &Path, why: &dyn ToString| ReportError::Figure {
        file: path.display().to_string(),
        why: why.to_string(),
    };
    let with = |extension: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    let (svg, png) = (with(".svg"), with(".png"));
    let pixels = figure.png().map_err(|error| failed(&png, &error))?;
    for (path, bytes) in [(&svg, figure.svg().as_bytes()), (&png, pixels.as_slice())] {
        write_whole(path, bytes).map_err(|error| failed(path, &error))?;
    }
    Ok([svg, png])
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o666)).tempfile_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(path)?;
    Ok(())
}

/// `macro_f1 on test, %`
fn measured(table: &Table) -> String {
    let split = table.split.as_ref().map_or_else(String::new, |split| format!(" on {split}"));
    let unit = if table.scores.plain { "" } else { ", %" };
    format!("{}{split}{unit}", table.metrics.join(" or "))
}

fn title(table: &Table) -> String {
    table.title.clone().unwrap_or_default()
}

/// Scores in percent, or a command's own numbers as they are.
fn sample(table: &Table, scores: &[f64]) -> Option<Sample> {
    let scale = if table.scores.plain { 1.0 } else { 100.0 };
    let scaled: Vec<f64> = scores.iter().map(|score| scale * score).collect();
    Sample::of(&scaled)
}

fn name(line: &Line) -> String {
    let values = line.values.join(", ");
    match &line.metric {
        Some(metric) => format!("{values} ({metric})"),
        None => values,
    }
}

/// A group a column, a bar a row. Rows of a table without columns are groups of their own, of several
/// variables by the first, a bar for each of the rest.
fn bars(table: &Table) -> Bars {
    let (mut groups, mut series): (Vec<String>, Vec<Series>) = (vec![], vec![]);
    for (row, cells) in &table.rows {
        for (column, cell) in table.columns.iter().zip(cells) {
            let (group, bar) = match (column.values.is_empty(), row.values.as_slice()) {
                (true, [first, rest @ ..]) if !rest.is_empty() => (first.clone(), rest.join(", ")),
                (true, _) => (name(row), String::new()),
                _ => (name(column), name(row)),
            };
            let group = place_of(&mut groups, &group);
            let at = series.iter().position(|known| known.name == bar).unwrap_or_else(|| {
                series.push(Series { name: bar, cells: vec![] });
                series.len() - 1
            });
            let bars = &mut series[at].cells;
            bars.resize(bars.len().max(group + 1), None);
            bars[group] = sample(table, &cell.scores);
        }
    }
    for series in &mut series {
        series.cells.resize(groups.len(), None);
    }
    Bars { title: title(table), y: measured(table), groups, series, values: false }
}

fn place_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

/// A line a row, against the numbers that the columns are called. A row with the same results in every column
/// does not depend on them: it is a line across.
fn lines(table: &Table, log: bool) -> Lines {
    let (mut curves, mut baselines) = (vec![], vec![]);
    for (row, cells) in &table.rows {
        let is_level = cells.len() > 1 && cells.iter().all(|cell| cell.scores == cells[0].scores);
        if let Some(mean) = cells[0].mean().filter(|_| is_level) {
            baselines.push((name(row), 100.0 * mean));
            continue;
        }
        let points = table.columns.iter().zip(cells).filter_map(|(column, cell)| {
            Some((axis_number(column.values.first()?)?, sample(table, &cell.scores)?))
        });
        curves.push(Curve { name: name(row), points: points.collect() });
    }
    let with_unit = |column: &Line| column.values.first().is_some_and(|value| value.ends_with('x'));
    Lines {
        title: title(table),
        x: table.column_vars.join(", "),
        x_unit: if table.columns.iter().any(with_unit) { "x".to_owned() } else { String::new() },
        log,
        y: measured(table),
        curves,
        baselines,
    }
}

/// The weights at each step, of every node that a table is of and of each of its objectives by name.
type Paths = BTreeMap<NodeId, BTreeMap<String, Vec<(u64, f64)>>>;

fn paths(table: &Table, plan: &Plan, records: &Records, store: &Store) -> Result<Paths, ReportError> {
    let mut paths = Paths::new();
    for id in table.scores.seen.iter().map(|seen| seen.node) {
        if paths.contains_key(&id) {
            continue;
        }
        let Some(path) = weights::of_node(plan, id, records, store)? else { continue };
        let names = plan.node(id).objective_names.iter().enumerate();
        let of = |i: usize| (0..).zip(path.weights.iter().map(|weights| weights[i])).collect();
        paths.insert(id, names.map(|(i, name)| (name.clone(), of(i))).collect());
    }
    Ok(paths)
}

/// A panel a row, a trail an objective, a run for each different result.
fn steps(table: &Table, paths: &Paths) -> Steps {
    let index = |var: &String| table.scores.vars.iter().position(|known| known == var);
    let rows: Vec<usize> = table.row_vars.iter().filter_map(index).collect();
    let panels = table.rows.iter().map(|(row, _)| {
        let is_here = |seen: &&Seen| rows.iter().zip(&row.values).all(|(i, value)| seen.values[*i] == *value);
        let nodes: BTreeSet<NodeId> =
            table.scores.seen.iter().filter(is_here).map(|seen| seen.node).collect();
        let trails = table.columns.iter().filter_map(|column| {
            let name = column.values.first()?;
            let runs: Vec<Vec<(u64, f64)>> =
                nodes.iter().filter_map(|id| paths.get(id)?.get(name).cloned()).collect();
            (!runs.is_empty()).then(|| Trail { name: name.clone(), runs })
        });
        Panel { name: name(row), trails: trails.collect() }
    });
    Steps {
        title: title(table),
        x: "optimiser steps".to_owned(),
        y: "weight".to_owned(),
        within: Some([0.0, 1.0]),
        panels: panels.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::{made, made_of_weights};

    #[test]
    fn bars_are_grouped_by_column_or_by_the_first_variable() {
        for (rows, columns) in [("method", "task"), ("task method", "")] {
            let bars = bars(&made(rows, columns, "seed", ""));
            assert_eq!(bars.groups, ["task-a", "task-b"]);
            let names: Vec<&str> = bars.series.iter().map(|series| series.name.as_str()).collect();
            assert_eq!(names, ["ft", "mt"]);
            let cell = bars.series[1].cells[1].as_ref().expect("a bar");
            assert!((cell.mean - 81.0).abs() < 1e-9 && cell.n == 2);
            assert_eq!(bars.y, "macro_f1 on test, %");
        }
        let bars = bars(&made("method", "", "seed", ""));
        assert_eq!((bars.series.len(), bars.groups.len()), (2, 2));
    }

    #[test]
    fn lines_stand_at_the_columns_numbers() {
        let mut table = made("method", "task", "seed", "");
        for (column, value) in table.columns.iter_mut().zip(["1x", "10x"]) {
            column.values = vec![value.to_owned()];
        }
        let drawn = lines(&table, true);
        assert_eq!((drawn.x.as_str(), drawn.x_unit.as_str(), drawn.log), ("task", "x", true));
        let places: Vec<f64> = drawn.curves[0].points.iter().map(|(x, _)| *x).collect();
        assert_eq!(places, [1.0, 10.0]);
        // What does not depend on the columns is a line across.
        let same = table.rows[0].1[0].scores.clone();
        table.rows[0].1[1].scores = same;
        let drawn = lines(&table, false);
        assert_eq!((drawn.curves.len(), drawn.baselines.len()), (1, 1));
        assert!((drawn.baselines[0].1 - 61.0).abs() < 1e-9, "{:?}", drawn.baselines);
    }

    #[test]
    fn weights_have_a_panel_a_row_and_a_run_a_result() {
        let table = made_of_weights();
        let run = |weight: f64| -> BTreeMap<String, Vec<(u64, f64)>> {
            [
                ("end-task".into(), vec![(0, 0.5), (1, 1.0 - weight)]),
                ("tapt".into(), vec![(0, 0.5), (1, weight)]),
            ]
            .into()
        };
        let paths: Paths = [(NodeId(0), run(0.4)), (NodeId(1), run(0.3))].into();
        let steps = steps(&table, &paths);
        assert_eq!((steps.panels.len(), steps.panels[0].name.as_str()), (1, "task-a"));
        let trails = &steps.panels[0].trails;
        assert_eq!((trails.len(), trails[1].name.as_str()), (2, "tapt"));
        assert_eq!(trails[1].runs, [vec![(0, 0.5), (1, 0.4)], vec![(0, 0.5), (1, 0.3)]]);
    }

    #[test]
    fn files_are_written_whole_and_into_new_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let figure = Figure::Bars(bars(&made("method", "task", "seed", "")));
        let files = write(&figure, &folder.path().join("deep/er/v1.2")).expect("written");
        assert!(files[0].ends_with("v1.2.svg") && files[1].ends_with("v1.2.png"), "{files:?}");
        assert!(std::fs::read_to_string(&files[0]).expect("svg").contains("task-b"));
        assert!(std::fs::read(&files[1]).expect("png").starts_with(b"\x89PNG"));
        let error = write(&figure, Path::new("/dev/null/x")).expect_err("no folder");
        assert!(error.to_string().contains("/dev/null/x.svg"), "{error}");
    }
}
