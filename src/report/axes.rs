//! The axes of a table when nobody says them.

use std::collections::BTreeSet;

use crate::plan::{Input, NodeId, Plan};
use crate::spec::{Axes, Spec};

/// Rows, columns and what is averaged over, for a table of a stage. Seeds are averaged over: a variable with
/// `seed` in its name, else the only one that counts up in whole numbers. A variable that decides which texts
/// are scored makes columns, since scores on other texts do not compare; the rest make rows.
pub fn chosen(spec: &Spec, plan: &Plan, stage: &str) -> Axes {
    let over = repeated(spec);
    let rest: Vec<&String> = spec.swept.iter().filter(|var| over.as_ref() != Some(var)).collect();
    let (columns, rows): (Vec<&String>, Vec<&String>) =
        rest.iter().partition(|var| decides_texts(spec, plan, stage, var));
    let owned = |vars: &[&String]| vars.iter().map(|var| (*var).clone()).collect();
    if rows.is_empty() {
        return Axes { rows: owned(&columns), over, ..Axes::default() };
    }
    Axes { rows: owned(&rows), columns: owned(&columns), over, baseline: None }
}

fn repeated(spec: &Spec) -> Option<String> {
    let seeds: Vec<&String> = spec.swept.iter().filter(|var| var.contains("seed")).collect();
    if let [seed] = seeds.as_slice() {
        return Some((*seed).clone());
    }
    let counts = |var: &&String| {
        let numbers: Option<Vec<i64>> = spec.values(var).iter().map(|value| value.parse().ok()).collect();
        numbers
            .is_some_and(|numbers| numbers.len() > 1 && numbers.windows(2).all(|pair| pair[1] - pair[0] == 1))
    };
    let counting: Vec<&String> = spec.swept.iter().filter(counts).collect();
    match counting.as_slice() {
        [one] if seeds.is_empty() => Some((*one).clone()),
        _ => None,
    }
}

/// Whether the stage scores other texts at one value of the variable than at another.
fn decides_texts(spec: &Spec, plan: &Plan, stage: &str, var: &str) -> bool {
    let Some(index) = spec.swept.iter().position(|swept| swept == var) else { return false };
    let texts = |value: &String| -> BTreeSet<NodeId> {
        let points = spec.points.iter().zip(&plan.points).filter(|(point, _)| point.values[index] == *value);
        let nodes = points.filter_map(|(_, nodes)| nodes.get(stage));
        nodes.filter_map(|id| scored(plan, *id)).collect()
    };
    let all: Vec<BTreeSet<NodeId>> =
        spec.values(var).iter().map(texts).filter(|texts| !texts.is_empty()).collect();
    all.iter().enumerate().any(|(i, texts)| all[..i].iter().any(|other| texts.is_disjoint(other)))
}

/// The stage that made the tokens which an evaluate stage scores.
fn scored(plan: &Plan, id: NodeId) -> Option<NodeId> {
    plan.node(id).inputs.iter().find_map(|(role, input)| match input {
        Input::Output { node, .. } if role.starts_with("data/") && role.ends_with(".safetensors") => {
            Some(*node)
        }
        _ => None,
    })
}
