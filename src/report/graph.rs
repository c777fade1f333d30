//! The plan as a picture: a stage a box, however many sweep points it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::plan::Plan;

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For the terminal.
    Text,
    /// For Markdown.
    Mermaid,
    /// For graphviz.
    Dot,
}

struct Stage<'a> {
    name: &'a str,
    kind: &'a str,
    nodes: usize,
    needs: BTreeSet<&'a str>,
}

/// Draws the plan. Stages come after those they need.
pub fn render(plan: &Plan, format: Format) -> String {
    let stages = stages(plan);
    match format {
        Format::Text => text(&stages),
        Format::Mermaid => mermaid(&stages),
        Format::Dot => dot(&stages),
    }
}

fn stages(plan: &Plan) -> Vec<Stage<'_>> {
    let mut order: Vec<Stage> = vec![];
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for id in plan.ids() {
        let node = plan.node(id);
        let place = *places.entry(&node.stage).or_insert_with(|| {
            let kind = node.action.kind();
            order.push(Stage { name: &node.stage, kind, nodes: 0, needs: BTreeSet::new() });
            order.len() - 1
        });
        order[place].nodes += 1;
        order[place].needs.extend(plan.needs(id).into_iter().map(|need| plan.node(need).stage.as_str()));
    }
    order
}

/// A stage a line: its name, kind, how many times it is there, and what it needs directly.
fn text(stages: &[Stage]) -> String {
    let width = |of: &dyn Fn(&Stage) -> usize| stages.iter().map(of).max().unwrap_or(0);
    let names = width(&|stage| stage.name.chars().count());
    let kinds = width(&|stage| stage.kind.len());
    let mut out = String::new();
    for stage in stages {
        let times = if stage.nodes > 1 { format!("×{}", stage.nodes) } else { String::new() };
        let needs: Vec<&str> = stage.needs.iter().copied().collect();
        let arrow = if needs.is_empty() { "" } else { "← " };
        let line =
            format!("{:names$}  {:kinds$}  {times:5}{arrow}{}", stage.name, stage.kind, needs.join(", "));
        out += line.trim_end();
        out.push('\n');
    }
    out
}

fn mermaid(stages: &[Stage]) -> String {
    let ids: BTreeMap<&str, usize> = stages.iter().enumerate().map(|(i, stage)| (stage.name, i)).collect();
    let mut out = "graph LR\n".to_owned();
    for (i, stage) in stages.iter().enumerate() {
        let times = if stage.nodes > 1 { format!(" ×{}", stage.nodes) } else { String::new() };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  s{i}[\"{}<br/><small>{}{times}</small>\"]", stage.name, stage.kind);
    }
    for (i, stage) in stages.iter().enumerate() {
        for need in &stage.needs {
            let _ = writeln!(out, "  s{} --> s{i}", ids[need]);
        }
    }
    out
}

fn dot(stages: &[Stage]) -> String {
    let mut out = "digraph tartan {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n".to_owned();
    for stage in stages {
        let times = if stage.nodes > 1 { format!(" ×{}", stage.nodes) } else { String::new() };
        // Stage names hold no quotes or backslashes; the pipeline language sees to it.
        let _ = writeln!(out, "  \"{0}\" [label=\"{0}\\n{1}{times}\"];", stage.name, stage.kind);
    }
    for stage in stages {
        for need in &stage.needs {
            let _ = writeln!(out, "  \"{need}\" -> \"{}\";", stage.name);
        }
    }
    out + "}\n"
}
