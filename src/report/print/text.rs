//! A table for the terminal.

use super::{Counts, Entry, Grid, grids};
use crate::report::table::Table;

/// The table as aligned text. `styled`: the caption and the best scores in bold, for a terminal.
pub fn text(table: &Table, styled: bool) -> String {
    let grids: Vec<String> = grids(table, Counts::Cells).iter().map(|grid| set(grid, styled)).collect();
    grids.join("\n")
}

fn set(grid: &Grid, styled: bool) -> String {
    let header: Vec<Entry> = grid.header.iter().map(Entry::of).collect();
    let width = |entry: &Entry| entry.head.chars().count() + entry.rest.chars().count();
    let widths: Vec<usize> = (0..header.len())
        .map(|i| grid.rows.iter().chain([&header]).map(|row| width(&row[i])).max().unwrap_or(0))
        .collect();
    let bold = |text: &str| if styled { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
    let line = |row: &[Entry]| {
        let mut line = String::new();
        let mut pending = 0;
        for (entry, full) in row.iter().zip(&widths) {
            if width(entry) > 0 {
                line += &" ".repeat(pending);
                line += &if entry.best { bold(&entry.head) } else { entry.head.clone() };
                line += &entry.rest;
                pending = 0;
            }
            pending += full - width(entry) + 3;
        }
        line + "\n"
    };
    let rule: usize = widths.iter().sum::<usize>() + 3 * widths.len().saturating_sub(1);
    let mut text = bold(&grid.caption) + "\n" + &line(&header) + &"─".repeat(rule) + "\n";
    for row in &grid.rows {
        text += &line(row);
    }
    for note in &grid.notes {
        text += note;
        text.push('\n');
    }
    text
}
