//! A table on a page: text for the terminal, Markdown, LaTeX.
//!
//! A [`Table`] becomes one or two grids of short texts first, the same for every format; a format only
//! sets them. Scores and differences are in percent, weights are parts of 1.

mod latex;
mod markdown;
mod text;

pub use latex::latex;
pub use markdown::markdown;
pub use text::text;

use std::collections::BTreeSet;

use super::stats::{Comparison, FEWEST_FOR_INTERVAL, RESAMPLES};
use super::table::{Apart, Cell, Line, Table};
use super::words;

/// Lines of short texts under a header.
struct Grid {
    /// What it shows.
    caption: String,
    /// The columns' names; the first few are of labels.
    header: Vec<String>,
    /// How many of the columns are labels.
    labels: usize,
    /// As wide as the header.
    rows: Vec<Vec<Entry>>,
    /// What a reader must know to read it, a sentence or two each.
    notes: Vec<String>,
}

/// What stands in one place of a grid.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    /// What is set in bold where it is the best.
    head: String,
    /// What follows it.
    rest: String,
    best: bool,
}

impl Entry {
    fn of(head: impl Into<String>) -> Self {
        Self { head: head.into(), ..Self::default() }
    }
}

/// Where the number of scores is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// In each cell.
    Cells,
    /// In the caption, if it is the same everywhere.
    Caption,
}

/// A table as grids: its scores; then, where there is a baseline, the differences from it, beside the scores
/// if there is one column of them, else in a grid of their own.
fn grids(table: &Table, counts: Counts) -> Vec<Grid> {
    let n = shared_count(table).filter(|_| counts == Counts::Caption);
    let caption = caption(table, n);
    let mut header = table.row_vars.clone();
    if header.is_empty() {
        header.push(String::new());
    }
    let labels = header.len();
    header.extend(table.columns.iter().map(|column| column_name(table, column)));
    let cells = |cells: &[Cell]| cells.iter().map(|cell| score(table, cell, n.is_some())).collect::<Vec<_>>();
    let mut scores = Grid {
        caption,
        header,
        labels,
        rows: table.rows.iter().map(|(line, row)| [names(table, line), cells(row)].concat()).collect(),
        notes: unranked(table),
    };
    let Some(baseline) = &table.baseline else { return vec![scores] };
    let notes = notes(table);
    if table.columns.len() == 1 {
        scores.header.push(format!("difference from {}", baseline.value));
        scores.header.extend(["95% interval".to_owned(), "p".to_owned()]);
        for (entries, (_, row)) in scores.rows.iter_mut().zip(&table.rows) {
            entries.extend(
                row.first().map(|cell| comparison_entries(cell, table.scores.plain)).unwrap_or_default(),
            );
        }
        scores.notes.extend(notes);
        return vec![scores];
    }
    let compared = |cells: &[Cell]| !cells.iter().all(|cell| cell.is_baseline);
    let differences = Grid {
        caption: format!(
            "difference from {}{} [95% interval], p",
            baseline.value,
            if table.scores.plain { "" } else { ", points" }
        ),
        header: scores.header.clone(),
        labels,
        rows: table
            .rows
            .iter()
            .filter(|(_, row)| compared(row))
            .map(|(line, row)| {
                let cells: Vec<Entry> =
                    row.iter().map(|cell| comparison_entry(cell, table.scores.plain)).collect();
                [names(table, line), cells].concat()
            })
            .collect(),
        notes,
    };
    vec![scores, differences]
}

/// `macro_f1 on test, %, mean ± sd over seed (n = 3)`
fn caption(table: &Table, n: Option<usize>) -> String {
    let what = if table.of_weights {
        format!("final weights of {}", table.stages.join(", "))
    } else {
        let of = match &table.split {
            Some(split) => format!("on {split}"),
            None => format!("of {}", table.stages.join(", ")),
        };
        format!("{} {of}{}", table.metrics.join(" or "), if table.scores.plain { "" } else { ", %" })
    };
    let over = table.over.as_ref().map_or_else(String::new, |over| {
        format!(", mean ± sd over {over}{}", n.map_or_else(String::new, |n| format!(" (n = {n})")))
    });
    let title = table.title.as_ref().map_or_else(String::new, |title| format!("{title}: "));
    format!("{title}{what}{over}")
}

/// The number of scores, if every cell has the same and none is missing.
fn shared_count(table: &Table) -> Option<usize> {
    let cells = table.rows.iter().flat_map(|(_, cells)| cells);
    let counts: BTreeSet<usize> = cells.clone().map(|cell| cell.scores.len()).collect();
    let whole = cells.clone().all(|cell| cell.missing == 0);
    counts.first().copied().filter(|n| *n > 0 && whole && counts.len() == 1)
}

fn column_name(table: &Table, column: &Line) -> String {
    let values = column.values.join(", ");
    match &column.metric {
        Some(metric) if values.is_empty() => metric.clone(),
        Some(metric) => format!("{values} ({metric})"),
        None if values.is_empty() => match table.metrics.as_slice() {
            [metric] => metric.clone(),
            _ => "score".to_owned(),
        },
        None => values,
    }
}

/// A row's labels: a value for each variable, or the stage.
fn names(table: &Table, line: &Line) -> Vec<Entry> {
    let mut names = line.values.clone();
    if names.is_empty() {
        names.push(table.stages.join(", "));
    }
    if let (Some(last), Some(metric)) = (names.last_mut(), &line.metric) {
        *last = format!("{last} ({metric})");
    }
    names.into_iter().map(Entry::of).collect()
}

/// `81.48 ± 0.52 (n=3)`
fn score(table: &Table, cell: &Cell, counted: bool) -> Entry {
    let number = |value: f64| table.shown(value);
    let Some(mean) = cell.mean() else {
        return Entry::of(if cell.missing > 0 { "missing" } else { "–" });
    };
    let mut rest = cell.deviation().map_or_else(String::new, |sd| format!(" ± {}", number(sd)));
    let missing = (cell.missing > 0).then(|| format!("{} missing", cell.missing));
    let n = (table.over.is_some() && !counted).then(|| format!("n={}", cell.scores.len()));
    let remarks: Vec<String> = n.into_iter().chain(missing).collect();
    if !remarks.is_empty() {
        rest += &format!(" ({})", remarks.join(", "));
    }
    Entry { head: number(mean), rest, best: cell.best }
}

/// The difference, its interval and its p, for three columns.
fn comparison_entries(cell: &Cell, plain: bool) -> Vec<Entry> {
    let Some(found) = &cell.comparison else {
        return vec![Entry::of(if cell.is_baseline { "" } else { "–" }), Entry::of(""), Entry::of("")];
    };
    vec![
        Entry { head: signed(found.difference, plain), rest: fewer_pairs(cell, found), best: false },
        Entry::of(found.interval.map_or_else(|| "–".to_owned(), |bounds| interval(bounds, plain))),
        Entry::of(found.p.map_or_else(|| "–".to_owned(), p)),
    ]
}

/// `+4.16 [+1.20, +6.03], p = 0.25`
fn comparison_entry(cell: &Cell, plain: bool) -> Entry {
    let Some(found) = &cell.comparison else {
        return Entry::of(if cell.is_baseline { "" } else { "–" });
    };
    let bounds = found.interval.map_or_else(String::new, |bounds| format!(" {}", interval(bounds, plain)));
    let p = found.p.map_or_else(String::new, |value| {
        let p = p(value);
        if p.starts_with('<') { format!(", p {p}") } else { format!(", p = {p}") }
    });
    Entry {
        head: signed(found.difference, plain),
        rest: bounds + &p + &fewer_pairs(cell, found),
        best: false,
    }
}

/// Says so where not every score has its pair.
fn fewer_pairs(cell: &Cell, found: &Comparison) -> String {
    match found.pairs {
        pairs if pairs >= cell.scores.len() => String::new(),
        1 => " (1 pair)".to_owned(),
        pairs => format!(" ({pairs} pairs)"),
    }
}

/// A difference in percentage points, its sign always there.
pub fn points(difference: f64) -> String {
    let text = format!("{:+.2}", 100.0 * difference);
    match text.strip_prefix('-') {
        Some("0.00") => "+0.00".to_owned(),
        Some(size) => format!("−{size}"),
        None => text,
    }
}

/// A difference, its sign always there: in points, or of a command's own numbers as it is.
fn signed(difference: f64, plain: bool) -> String {
    match (plain, difference < 0.0) {
        (false, _) => points(difference),
        (true, true) => format!("−{}", words::number(-difference)),
        (true, false) => format!("+{}", words::number(difference)),
    }
}

fn interval((low, high): (f64, f64), plain: bool) -> String {
    format!("[{}, {}]", signed(low, plain), signed(high, plain))
}

fn p(p: f64) -> String {
    match p {
        p if p < 0.001 => "< 0.001".to_owned(),
        p if p < 0.0995 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}

/// Where there is no best, and why.
fn unranked(table: &Table) -> Vec<String> {
    let over =
        table.over.as_ref().map_or_else(String::new, |over| format!(" or the values of {over} differ"));
    let note = format!("best: not marked where results are missing{over}.");
    table.unranked.then_some(note).into_iter().collect()
}

/// How the comparisons were made, and what so few pairs can show.
fn notes(table: &Table) -> Vec<String> {
    let found: Vec<&Comparison> =
        table.rows.iter().flat_map(|(_, cells)| cells).filter_map(|cell| cell.comparison.as_ref()).collect();
    let mut notes = vec![];
    let over = table.over.as_deref().unwrap_or("point");
    let tested: Vec<&&Comparison> = found.iter().filter(|found| found.p.is_some()).collect();
    if let Some(fewest) = tested.iter().map(|found| found.pairs).min() {
        let how =
            if tested.iter().all(|found| found.exact) { "exact" } else { "100,000 draws beyond 16 pairs" };
        notes.push(format!(
            "p: paired permutation test by {over}, two-sided, {how}; not corrected for the number of comparisons."
        ));
        if fewest <= 10 {
            let least = p(Comparison::least_p(fewest));
            notes.push(format!(
                "{fewest} pairs cannot give a p below {} (2/2ⁿ).",
                least.trim_start_matches("< ")
            ));
        }
    }
    let apart: BTreeSet<Apart> =
        table.rows.iter().flat_map(|(_, cells)| cells).filter_map(|cell| cell.apart).collect();
    notes.extend(apart.into_iter().map(|apart| {
        let why = match apart {
            Apart::Texts => "other texts",
            Apart::Metric => "another metric",
        };
        format!("–: not compared: {why}.")
    }));
    if !found.is_empty() {
        notes.push(interval_note(&found));
    }
    notes
}

/// How the intervals were made, and why some are not there.
fn interval_note(found: &[&Comparison]) -> String {
    let mut parts = vec![];
    if found.iter().any(|found| found.interval.is_some()) {
        let (thousands, rest) = (RESAMPLES / 1000, RESAMPLES % 1000);
        parts.push(format!("bootstrap-t of the mean difference, {thousands},{rest:03} resamples"));
    }
    if found.iter().any(|found| found.pairs < FEWEST_FOR_INTERVAL) {
        parts.push(format!("none of fewer than {FEWEST_FOR_INTERVAL} pairs"));
    }
    if found.iter().any(|found| found.pairs >= FEWEST_FOR_INTERVAL && found.interval.is_none()) {
        parts.push("none where most differences are the same".to_owned());
    }
    format!("95% interval: {}.", parts.join("; "))
}

#[cfg(test)]
mod tests;
