//! A table in Markdown, as GitHub and most notebooks read it.

use super::{Counts, Entry, Grid, grids};
use crate::report::table::Table;

/// The table in Markdown, its caption in bold above it.
pub fn markdown(table: &Table) -> String {
    let grids: Vec<String> = grids(table, Counts::Caption).iter().map(set).collect();
    grids.join("\n")
}

fn set(grid: &Grid) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("**{}**\n\n", escaped(&grid.caption));
    text += &line(grid.header.iter().map(|name| escaped(name)).collect());
    let rules = (0..grid.header.len()).map(|i| if i < grid.labels { ":---" } else { "---:" });
    text += &line(rules.map(str::to_owned).collect());
    for row in &grid.rows {
        text += &line(row.iter().map(entry).collect());
    }
    for note in &grid.notes {
        text += &format!("\n{}\n", escaped(note));
    }
    text
}

fn entry(entry: &Entry) -> String {
    let head = escaped(&entry.head);
    let head = if entry.best { format!("**{head}**") } else { head };
    head + &escaped(&entry.rest)
}

/// Characters that Markdown would take for its own.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if matches!(c, '\\' | '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '#') {
            out.push('\\');
        }
        out.push(if c == '\n' { ' ' } else { c });
    }
    out
}
