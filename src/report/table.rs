//! Tables over a sweep: rows by columns, in each cell the scores that differ in what is averaged over.
//!
//! Numbers only; how a table looks on a page is for `print`, and single scores as data for `raw`.

use std::collections::{BTreeMap, BTreeSet};

use super::scores::{OBJECTIVE, Records, ReportError, Scores, Seen, Texts, gather};
use super::stats::{self, Comparison};
use super::words;
use crate::plan::{NodeId, Plan};
use crate::spec::{Baseline, Report, Shows, Spec};
use crate::store::Store;

/// A table: what the rows and columns are called, and a cell of scores for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What its author calls it.
    pub title: Option<String>,
    /// The stages it is of.
    pub stages: Vec<String>,
    /// The split that was scored, where it is one and known.
    pub split: Option<String>,
    /// What is measured; several where it depends on the row or column.
    pub metrics: Vec<String>,
    /// Whether the cells are scores, shown in percent, or weights that sum to 1.
    pub of_weights: bool,
    /// The variables whose values name the rows.
    pub row_vars: Vec<String>,
    /// The variables whose values name the columns.
    pub column_vars: Vec<String>,
    /// The variable that is averaged over.
    pub over: Option<String>,
    /// What the rest is compared with.
    pub baseline: Option<Baseline>,
    /// Whether somewhere no best is marked, because results are missing or are of other seeds.
    pub unranked: bool,
    /// The columns.
    pub columns: Vec<Line>,
    /// The rows, and in each a cell for each column.
    pub rows: Vec<(Line, Vec<Cell>)>,
    /// What it was made of.
    pub scores: Scores,
}

/// A row or a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The values of its variables.
    pub values: Vec<String>,
    /// What is measured in it, where other lines measure other things.
    pub metric: Option<String>,
}

/// The scores of one cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Scores, one for each different result.
    pub scores: Vec<f64>,
    /// Results that are not there, because they failed or were not run.
    pub missing: usize,
    /// What is measured.
    pub metric: String,
    /// Whether no other cell that it competes with has a better mean; never where one of them lacks results.
    pub best: bool,
    /// Whether it is what others are compared with.
    pub is_baseline: bool,
    /// How it differs from its baseline, paired by what is averaged over.
    pub comparison: Option<Comparison>,
    /// Why there is no comparison with the baseline that stands opposite.
    pub apart: Option<Apart>,
    /// The score and result at each value of what is averaged over.
    by_unit: BTreeMap<String, (NodeId, f64)>,
    data: BTreeSet<Option<Texts>>,
}

/// Why two cells do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Apart {
    /// They score other texts.
    Texts,
    /// They are by another metric.
    Metric,
}

impl Cell {
    /// The mean.
    pub fn mean(&self) -> Option<f64> {
        stats::mean(&self.scores)
    }

    /// The sample standard deviation (n − 1); none for fewer than two scores.
    pub fn deviation(&self) -> Option<f64> {
        stats::deviation(&self.scores)
    }

    /// Whether the sweep has a point here.
    fn is_swept(&self) -> bool {
        !self.data.is_empty()
    }
}

/// Builds a table from the results that are known. Swept variables that the report does not name become
/// rows.
pub fn build(
    report: &Report,
    spec: &Spec,
    plan: &Plan,
    records: &Records,
    store: &Store,
) -> Result<Table, ReportError> {
    Ok(arrange(report, gather(report, spec, plan, records, store)?))
}

/// In place of a report's table that cannot be made.
pub fn empty(report: &Report) -> Table {
    Table { stages: vec![], ..arrange(report, Scores::default()) }
}

/// Arranges scores into rows and columns, and compares them.
fn arrange(report: &Report, scores: Scores) -> Table {
    let index = |var: &String| scores.vars.iter().position(|known| known == var);
    let of_weights = matches!(report.shows, Shows::Weights(_));
    let over = report.over.as_ref().and_then(index);
    let columns: Vec<usize> = if of_weights {
        index(&OBJECTIVE.to_owned()).into_iter().collect()
    } else {
        report.columns.iter().filter_map(index).collect()
    };
    let named: Vec<usize> = report.rows.iter().filter_map(index).collect();
    let rest =
        (0..scores.vars.len()).filter(|i| Some(*i) != over && !columns.contains(i) && !named.contains(i));
    let rows: Vec<usize> = named.iter().copied().chain(rest).collect();

    let ranks = ranks(&scores);
    let key = |axis: &[usize], seen: &Seen| -> Vec<usize> {
        axis.iter().map(|i| ranks[*i][seen.values[*i].as_str()]).collect()
    };
    let mut cells: BTreeMap<(Vec<usize>, Vec<usize>), Cell> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    for seen in &scores.seen {
        let at = (key(&rows, seen), key(&columns, seen));
        let cell = cells.entry(at.clone()).or_default();
        cell.metric.clone_from(&seen.metric);
        if let Some(score) = seen.score {
            let unit = over.map_or_else(String::new, |i| seen.values[i].clone());
            cell.by_unit.insert(unit, (seen.node, score));
        }
        cell.data.insert(seen.data.clone());
        // Points that share a result count it once.
        if counted.insert((at, seen.node, seen.metric.clone())) {
            match seen.score {
                Some(score) => cell.scores.push(score),
                None => cell.missing += 1,
            }
        }
    }

    let values = |axis: &[usize], key: &[usize]| -> Vec<String> {
        axis.iter().zip(key).map(|(i, rank)| value_at(&ranks[*i], *rank)).collect()
    };
    let row_keys: BTreeSet<&Vec<usize>> = cells.keys().map(|(row, _)| row).collect();
    let column_keys: BTreeSet<&Vec<usize>> = cells.keys().map(|(_, column)| column).collect();
    let line = |axis: &[usize], key: &Vec<usize>| Line { values: values(axis, key), metric: None };
    let names = |axis: &[usize]| axis.iter().map(|i| scores.vars[*i].clone()).collect();
    let mut table = Table {
        title: report.title.clone(),
        stages: report.shows.stages().iter().map(|stage| stage.stage.clone()).collect(),
        split: only(scores.seen.iter().filter_map(|seen| seen.split.clone())),
        metrics: in_order(scores.seen.iter().map(|seen| seen.metric.clone())),
        of_weights,
        row_vars: names(&rows),
        column_vars: names(&columns),
        over: over.map(|i| scores.vars[i].clone()),
        baseline: report.baseline.clone().filter(|baseline| index(&baseline.var).is_some()),
        unranked: false,
        columns: column_keys.iter().map(|key| line(&columns, key)).collect(),
        rows: row_keys
            .iter()
            .map(|row| {
                let of_row = column_keys.iter().map(|column| {
                    cells.get(&((*row).clone(), (*column).clone())).cloned().unwrap_or_default()
                });
                (line(&rows, row), of_row.collect())
            })
            .collect(),
        scores,
    };
    table.name_metrics();
    // Of a command's own number nobody knows whether more of it is better.
    if !of_weights && !table.scores.plain {
        table.mark_best();
    }
    table.compare();
    table
}

/// A score as it is printed, in percent.
pub(super) fn percent(score: f64) -> String {
    format!("{:.2}", 100.0 * score)
}

/// For each variable, the place of each of its values in the sweep.
fn ranks(scores: &Scores) -> Vec<BTreeMap<String, usize>> {
    let mut ranks = vec![BTreeMap::new(); scores.vars.len()];
    for seen in &scores.seen {
        for (ranks, value) in ranks.iter_mut().zip(&seen.values) {
            let next = ranks.len();
            ranks.entry(value.clone()).or_insert(next);
        }
    }
    ranks
}

fn value_at(ranks: &BTreeMap<String, usize>, rank: usize) -> String {
    ranks.iter().find(|(_, at)| **at == rank).map(|(value, _)| value.clone()).unwrap_or_default()
}

/// Each once, in the order of their first.
fn in_order(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn only(names: impl Iterator<Item = String>) -> Option<String> {
    let mut names = in_order(names).into_iter();
    names.next().filter(|_| names.next().is_none())
}

impl Table {
    /// A number as it is printed: a score in percent, a weight or a command's own number as it is.
    pub(super) fn shown(&self, number: f64) -> String {
        if self.of_weights {
            format!("{number:.3}")
        } else if self.scores.plain {
            words::number(number)
        } else {
            percent(number)
        }
    }

    /// Whether no sweep point has the table's stage.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Results that are not there.
    pub fn missing(&self) -> usize {
        let nodes: BTreeSet<NodeId> =
            self.scores.seen.iter().filter(|seen| seen.score.is_none()).map(|seen| seen.node).collect();
        nodes.len()
    }

    /// Where the metric depends on the column, or else on the row, says so with each.
    fn name_metrics(&mut self) {
        if self.metrics.len() < 2 {
            return;
        }
        let of = |cells: Vec<&Cell>| {
            only(cells.into_iter().map(|cell| cell.metric.clone()).filter(|metric| !metric.is_empty()))
        };
        let by_column: Option<Vec<String>> = (0..self.columns.len())
            .map(|i| of(self.rows.iter().map(|(_, cells)| &cells[i]).collect()))
            .collect();
        if let Some(metrics) = by_column {
            for (column, metric) in self.columns.iter_mut().zip(metrics) {
                column.metric = Some(metric);
            }
            return;
        }
        for (row, cells) in &mut self.rows {
            row.metric = of(cells.iter().collect());
        }
    }

    /// Marks the best of each column or, where a column has nothing to compete with, of each row. Cells
    /// compete when they score the same texts by the same metric; what prints alike is equally good. The mean
    /// of fewer seeds, or of others, may be better by their luck alone: beside it nothing is marked.
    fn mark_best(&mut self) {
        let column = |_: usize, column: usize| column;
        let row = |row: usize, _: usize| row;
        if !self.mark_best_within(column) {
            self.mark_best_within(row);
        }
    }

    fn mark_best_within(&mut self, line: impl Fn(usize, usize) -> usize) -> bool {
        let mut rivals: BTreeMap<_, Vec<(usize, usize)>> = BTreeMap::new();
        for (i, (_, cells)) in self.rows.iter().enumerate() {
            for (j, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.is_swept()) {
                let group = (line(i, j), cell.metric.clone(), cell.data.clone());
                rivals.entry(group).or_default().push((i, j));
            }
        }
        rivals.retain(|_, places| places.len() > 1);
        for places in rivals.values() {
            let cells: Vec<&Cell> = places.iter().map(|(i, j)| &self.rows[*i].1[*j]).collect();
            let Some(best) = cells.iter().filter_map(|cell| cell.mean()).max_by(f64::total_cmp) else {
                continue;
            };
            if !cells.iter().all(|cell| cell.missing == 0 && cell.by_unit.keys().eq(cells[0].by_unit.keys()))
            {
                self.unranked = true;
                continue;
            }
            for (i, j) in places {
                let cell = &mut self.rows[*i].1[*j];
                cell.best = cell.mean().is_some_and(|mean| percent(mean) == percent(best));
            }
        }
        !rivals.is_empty()
    }

    /// Compares each cell with the one that has the baseline's value and is else the same.
    fn compare(&mut self) {
        let Some(Baseline { var, value }) = &self.baseline else { return };
        let (in_rows, in_columns) = (
            self.row_vars.iter().position(|known| known == var),
            self.column_vars.iter().position(|known| known == var),
        );
        let counterpart = |lines: &[&Line], at: usize, var: Option<usize>| -> Option<usize> {
            let Some(var) = var else { return Some(at) };
            let mut values = lines[at].values.clone();
            values[var].clone_from(value);
            lines.iter().position(|line| line.values == values)
        };
        let rows: Vec<&Line> = self.rows.iter().map(|(line, _)| line).collect();
        let columns: Vec<&Line> = self.columns.iter().collect();
        let mut found = vec![];
        for i in 0..rows.len() {
            for j in 0..columns.len() {
                let (Some(row), Some(column)) =
                    (counterpart(&rows, i, in_rows), counterpart(&columns, j, in_columns))
                else {
                    continue;
                };
                let (cell, base) = (&self.rows[i].1[j], &self.rows[row].1[column]);
                let compared = if !(cell.is_swept() && base.is_swept()) {
                    Ok(None)
                } else if cell.metric != base.metric {
                    Err(Apart::Metric)
                } else if cell.data != base.data {
                    Err(Apart::Texts)
                } else {
                    Ok(Comparison::of(&differences(cell, base)))
                };
                found.push((i, j, (row, column) == (i, j), compared));
            }
        }
        for (i, j, is_baseline, compared) in found {
            let cell = &mut self.rows[i].1[j];
            cell.is_baseline = is_baseline;
            if !is_baseline {
                cell.apart = compared.as_ref().err().copied();
                cell.comparison = compared.unwrap_or_default();
            }
        }
    }
}

/// The differences at each value of what is averaged over that both have; a pair of results counts once.
fn differences(cell: &Cell, base: &Cell) -> Vec<f64> {
    let mut counted = BTreeSet::new();
    let pairs = cell.by_unit.iter().filter_map(|(unit, (node, score))| {
        let (base_node, base_score) = base.by_unit.get(unit)?;
        counted.insert((*node, *base_node)).then_some(score - base_score)
    });
    pairs.collect()
}

#[cfg(test)]
pub(super) mod tests;
