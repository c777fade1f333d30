//! A table in LaTeX, with booktabs.

use super::{Counts, Entry, Grid, grids};
use crate::action::Metric;
use crate::report::table::Table;

/// The table as a float to paste into a paper. Needs the package booktabs.
pub fn latex(table: &Table) -> String {
    let grids = grids(table, Counts::Caption);
    let several = table.row_vars.len() > 1;
    let mut texts = vec![];
    for (i, grid) in grids.iter().enumerate() {
        let what = if i == 0 { "" } else { "-differences" };
        let of = if table.of_weights { vec!["weights".to_owned()] } else { table.metrics.clone() };
        let label = [table.stages.clone(), of].concat().join("-") + what;
        let has_best = i == 0 && table.rows.iter().any(|(_, cells)| cells.iter().any(|cell| cell.best));
        texts.push(set(grid, &label, has_best, several));
    }
    format!("% \\usepackage{{booktabs}}\n{}", texts.join("\n"))
}

fn set(grid: &Grid, label: &str, has_best: bool, several: bool) -> String {
    let mut caption = sentence(&grid.caption);
    if has_best {
        caption += " Best in bold.";
    }
    for note in &grid.notes {
        caption += &format!(" {}", sentence(note));
    }
    let label: String =
        label.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let columns = "l".repeat(grid.labels) + &"c".repeat(grid.header.len() - grid.labels);
    let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
    let name = |name: &String| if name == "p" { "$p$".to_owned() } else { escaped(name) };
    let mut body = line(grid.header.iter().map(name).collect());
    body += "    \\midrule\n";
    let mut group: Option<&Entry> = None;
    for row in &grid.rows {
        // Rows of several variables: a little room where the first one changes.
        if several && group.is_some_and(|last| *last != row[0]) {
            body += "    \\addlinespace\n";
        }
        group = row.first();
        body += &line(row.iter().map(entry).collect());
    }
    format!(
        "\\begin{{table}}[t]\n  \\centering\n  \\caption{{{caption}}}\n  \\label{{tab:{label}}}\n  \
         \\begin{{tabular}}{{{columns}}}\n    \\toprule\n{body}    \\bottomrule\n  \\end{{tabular}}\n\\end{{table}}\n"
    )
}

fn entry(entry: &Entry) -> String {
    let head = escaped(&entry.head);
    let head = if entry.best { format!("\\textbf{{{head}}}") } else { head };
    head + &escaped(&entry.rest)
}

/// With a capital letter at its start and a full stop at its end.
fn sentence(text: &str) -> String {
    let text = in_words(text.trim_end_matches('.'));
    let mut chars = text.chars();
    // `p` is a symbol; it stays small.
    let first = chars.next().map_or_else(String::new, |c| {
        if text.starts_with("p:") { c.to_string() } else { c.to_uppercase().to_string() }
    });
    escaped(&(first + chars.as_str())).replacen("p: ", "$p$: ", 1) + "."
}

/// Metrics called as in a paper: macro-F1.
fn in_words(text: &str) -> String {
    Metric::ALL
        .map(Metric::name)
        .into_iter()
        .fold(text.to_owned(), |text, name| text.replace(name, &name.replace("_f1", "-F1")))
}

/// Characters that LaTeX would take for its own, and those that want mathematics.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in in_words(text).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out += "\\textbackslash{}",
            '~' => out += "\\textasciitilde{}",
            '^' => out += "\\textasciicircum{}",
            '<' => out += "$<$",
            '>' => out += "$>$",
            '±' => out += "$\\pm$",
            '−' => out += "$-$",
            '–' => out += "--",
            'ⁿ' => out += "$^n$",
            '\n' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}
