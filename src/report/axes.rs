//! The axes of a table when nobody says them.

use std::collections::BTreeSet;

use super::scores::Texts;
use crate::plan::Plan;
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
    let texts = |value: &String| -> BTreeSet<Texts> {
        let points = spec.points.iter().zip(&plan.points).filter(|(point, _)| point.values[index] == *value);
        let nodes = points.filter_map(|(_, nodes)| nodes.get(stage));
        nodes.filter_map(|id| Texts::of(plan, *id)).collect()
    };
    let all: Vec<BTreeSet<Texts>> =
        spec.values(var).iter().map(texts).filter(|texts| !texts.is_empty()).collect();
    all.iter().enumerate().any(|(i, texts)| all[..i].iter().any(|other| texts.is_disjoint(other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn axes(sweep: &str) -> Axes {
        let text = format!(
            "tartan: 1
vars: {{task: a, method: ft, seed: 0, size: 1, draw: 0, length: 8, enc: enc}}
stages:
  encoder: {{encoder: {{random: '${{enc}}', seed: '${{draw}}'}}}}
  task:
    tokenize:
      tokenizer: encoder
      splits: {{train: '${{task}}.jsonl', test: '${{task}}-test.jsonl'}}
      max_length: '${{length}}'
  text: {{tokenize: {{tokenizer: encoder, splits: {{train: t.txt}}, sample: '${{size}}x task'}}}}
  end-task: {{objective: {{classify: {{data: task}}}}}}
  mlm: {{objective: {{mlm: {{data: text}}}}}}
  ft: {{train: {{init: encoder, end_task: end-task, epochs: 1, seed: '${{seed}}'}}}}
  mt: {{train: {{init: encoder, end_task: end-task, auxiliary: [mlm], epochs: 1, seed: '${{seed}}'}}}}
  test: {{evaluate: {{model: '${{method}}', data: task, split: test}}}}
sweep: {sweep}
"
        );
        let (spec, mut faults) = Spec::from_text(std::path::Path::new("p.yaml"), &text, &[]);
        let outline = crate::plan::outline(&spec, &[], &mut faults);
        let digests = outline.files().into_keys().map(|path| {
            let digest = Digest::of(path.to_string_lossy().as_bytes());
            (path, digest)
        });
        let plan = crate::plan::build(&outline, &digests.collect(), &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        chosen(&spec, &plan, "test")
    }

    #[test]
    fn seeds_are_averaged_over_and_other_texts_stand_apart() {
        for (sweep, rows, columns, over) in [
            ("{task: [a, b], method: [ft, mt], seed: [0, 1]}", &["method"][..], &["task"][..], Some("seed")),
            ("{task: [a, b], seed: [3, 7]}", &["task"], &[], Some("seed")),
            // What decides the auxiliary text alone leaves the scored texts as they are.
            ("{method: [ft, mt], size: [1, 10]}", &["method", "size"], &[], None),
            ("{method: [ft, mt], draw: {range: [0, 3]}}", &["method"], &[], Some("draw")),
            // Nor does how texts are cut into tokens.
            ("{enc: [one, two], length: [8, 16], task: [a, b]}", &["enc", "length"], &["task"], None),
            ("{}", &[], &[], None),
        ] {
            let found = axes(sweep);
            assert_eq!(
                (found.rows.as_slice(), found.columns.as_slice()),
                (&owned(rows)[..], &owned(columns)[..]),
                "{sweep}"
            );
            assert_eq!(found.over.as_deref(), over, "{sweep}");
        }
    }

    fn owned(vars: &[&str]) -> Vec<String> {
        vars.iter().map(|var| (*var).to_owned()).collect()
    }
}
