//! Tables over a sweep: a metric by rows and columns, mean ± standard deviation over the rest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::action::roles;
use crate::plan::{NodeId, Plan};
use crate::spec::{Report, Shows, Spec};
use crate::store::{Record, Store, StoreError};

/// A table: what the columns and rows are called, and a cell of scores for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it shows: `macro_f1 on test`.
    pub title: String,
    /// What the rows are: the variables' names.
    pub corner: String,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows' names and cells.
    pub rows: Vec<(String, Vec<Cell>)>,
}

/// The scores of one cell: one for each result that differs in what is averaged over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Scores between 0 and 1.
    pub scores: Vec<f64>,
    /// Results that are not there, because they failed or were not run.
    pub missing: usize,
}

impl Cell {
    /// The mean.
    pub fn mean(&self) -> Option<f64> {
        let n = self.scores.len();
        (n > 0).then(|| self.scores.iter().sum::<f64>() / n as f64)
    }

    /// The sample standard deviation (n − 1); none for fewer than two scores.
    pub fn deviation(&self) -> Option<f64> {
        let n = self.scores.len();
        let mean = self.mean()?;
        let squares: f64 = self.scores.iter().map(|score| (score - mean).powi(2)).sum();
        (n > 1).then(|| (squares / (n - 1) as f64).sqrt())
    }

    /// In percent: `81.48 ± 0.52 (3)`.
    fn text(&self) -> String {
        let missing = if self.missing > 0 { format!(", {} missing", self.missing) } else { String::new() };
        match (self.mean(), self.deviation()) {
            (None, _) if self.missing > 0 => "missing".to_owned(),
            (None, _) => "–".to_owned(),
            (Some(mean), None) => format!("{:.2} (n=1{missing})", 100.0 * mean),
            (Some(mean), Some(sd)) => {
                format!("{:.2} ± {:.2} (n={}{missing})", 100.0 * mean, 100.0 * sd, self.scores.len())
            }
        }
    }
}

#[derive(Deserialize)]
struct Metrics {
    metrics: BTreeMap<String, f64>,
    split: String,
}

/// Builds a table from the results of a run. Swept variables that the report does not name become rows.
pub fn build(
    report: &Report,
    spec: &Spec,
    plan: &Plan,
    outputs: &BTreeMap<NodeId, Record>,
    store: &Store,
) -> Result<Table, StoreError> {
    let column = |name: &String| spec.swept.iter().position(|swept| swept == name);
    let over = report.over.as_ref().and_then(column);
    let columns: Vec<usize> = report.columns.iter().filter_map(column).collect();
    let named: Vec<usize> = report.rows.iter().filter_map(column).collect();
    let rest =
        (0..spec.swept.len()).filter(|i| Some(*i) != over && !columns.contains(i) && !named.contains(i));
    let rows: Vec<usize> = named.iter().copied().chain(rest).collect();
    let Shows::Scores(scores) = &report.shows else { return Ok(Table::default()) };
    let Some(first) = scores.first() else { return Ok(Table::default()) };

    let mut split = String::new();
    let mut seen: BTreeSet<(String, String, NodeId)> = BTreeSet::new();
    let mut cells: BTreeMap<(String, String), Cell> = BTreeMap::new();
    let (mut row_names, mut column_names) = (vec![], vec![]);
    let mut read: BTreeMap<NodeId, Option<f64>> = BTreeMap::new();
    for ((point, nodes), shown) in spec.points.iter().zip(&plan.points).zip(scores) {
        let Some(&id) = nodes.get(&shown.stage.stage) else { continue };
        let row = rows.iter().map(|i| point.values[*i].as_str()).collect::<Vec<_>>().join(", ");
        let column = columns.iter().map(|i| point.values[*i].as_str()).collect::<Vec<_>>().join(", ");
        push_new(&mut row_names, &row);
        push_new(&mut column_names, &column);
        // Points that share a result count it once.
        if !seen.insert((row.clone(), column.clone(), id)) {
            continue;
        }
        let score = if let Some(score) = read.get(&id) {
            *score
        } else {
            let record = outputs.get(&id).and_then(|record| record.outputs.get(roles::METRICS));
            let bytes = record.map(|output| store.read(&output.digest)).transpose()?;
            let metrics = bytes.and_then(|bytes| serde_json::from_slice::<Metrics>(&bytes).ok());
            if let Some(metrics) = &metrics {
                split.clone_from(&metrics.split);
            }
            *read.entry(id).or_insert(metrics.and_then(|m| m.metrics.get(shown.metric.name()).copied()))
        };
        let cell = cells.entry((row, column)).or_default();
        match score {
            Some(score) => cell.scores.push(score),
            None => cell.missing += 1,
        }
    }

    let names: Vec<&str> = rows.iter().map(|i| spec.swept[*i].as_str()).collect();
    let title = match &report.over {
        _ if split.is_empty() => format!("{} of {}", first.metric.name(), first.stage.stage),
        Some(over) => format!("{} on {split}, %, mean ± sd over {over}", first.metric.name()),
        None => format!("{} on {split}, %", first.metric.name()),
    };
    let rows = row_names
        .into_iter()
        .map(|row| {
            let cells = column_names
                .iter()
                .map(|column| cells.get(&(row.clone(), column.clone())).cloned().unwrap_or_default())
                .collect();
            let name = if row.is_empty() { first.stage.stage.clone() } else { row };
            (name, cells)
        })
        .collect();
    if columns.is_empty() {
        column_names = vec![first.metric.name().to_owned()];
    }
    Ok(Table { title, corner: names.join(", "), columns: column_names, rows })
}

fn push_new(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

impl Table {
    /// The table for people, its title in bold on a terminal that wants it.
    pub fn text(&self, styled: bool) -> String {
        let header: Vec<String> = std::iter::once(self.corner.clone()).chain(self.columns.clone()).collect();
        let body: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|(name, cells)| std::iter::once(name.clone()).chain(cells.iter().map(Cell::text)).collect())
            .collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|i| body.iter().chain([&header]).map(|row| row[i].chars().count()).max().unwrap_or(0))
            .collect();
        let line = |row: &[String]| {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("{}\n", cells.join("   ").trim_end())
        };
        let bold = styled && std::env::var_os("NO_COLOR").is_none();
        let title =
            if bold { format!("\x1b[1m{}\x1b[0m\n", self.title) } else { format!("{}\n", self.title) };
        let rule: usize = widths.iter().sum::<usize>() + 3 * widths.len().saturating_sub(1);
        let mut text = title + &line(&header) + &"─".repeat(rule) + "\n";
        for row in &body {
            text += &line(row);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_deviation() {
        let cell = Cell { scores: vec![0.5, 0.7, 0.6], missing: 0 };
        assert!((cell.mean().expect("mean") - 0.6).abs() < 1e-12);
        assert!((cell.deviation().expect("sd") - 0.1).abs() < 1e-12);
        assert_eq!(cell.text(), "60.00 ± 10.00 (n=3)");
        assert_eq!(Cell { scores: vec![0.5], missing: 2 }.text(), "50.00 (n=1, 2 missing)");
        assert_eq!(Cell { scores: vec![], missing: 1 }.text(), "missing");
        assert_eq!(Cell::default().text(), "–");
    }

    #[test]
    fn prints_aligned() {
        let cell = |score| vec![Cell { scores: vec![score], missing: 0 }];
        let table = Table {
            title: "macro_f1 on test, %".into(),
            corner: "method".into(),
            columns: vec!["macro_f1".into()],
            rows: vec![("fine-tune".into(), cell(0.5)), ("mt".into(), cell(0.625))],
        };
        let expected = "\
macro_f1 on test, %
method      macro_f1
───────────────────────
fine-tune   50.00 (n=1)
mt          62.50 (n=1)
";
        assert_eq!(table.text(false), expected);
    }
}
