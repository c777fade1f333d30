//! The weights of a stage's objectives at each step: `weights.jsonl`, read, and gathered over a sweep.
//!
//! A line is a JSON object with the number of the step and the weights after that many steps, the
//! end-task's first where there is one; other fields are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::scores::{OBJECTIVE, Records, ReportError, Scores, Seen, artifact, unreadable};
use crate::action::roles;
use crate::plan::{NodeId, Plan};
use crate::spec::Spec;
use crate::store::Store;

/// The weights at each step, from step 0 on: `weights[step][objective]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    /// One list a step, each of the same length.
    pub weights: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Line {
    step: usize,
    weights: Vec<f64>,
}

impl Path {
    /// Reads the file's text, for so many objectives. The error says what is wrong with which line.
    pub fn read(text: &str, objectives: usize) -> Result<Self, String> {
        let mut weights = vec![];
        for (i, text) in text.lines().enumerate() {
            let wrong = |what: String| format!("line {}: {what}", i + 1);
            let line: Line = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            if line.step != i {
                return Err(wrong(format!("step {} stands where step {i} should", line.step)));
            }
            if line.weights.len() != objectives {
                return Err(wrong(format!("{} weights for {objectives} objectives", line.weights.len())));
            }
            weights.push(line.weights);
        }
        if weights.is_empty() {
            return Err("it has no line".to_owned());
        }
        Ok(Self { weights })
    }

    /// An objective's weight after the last step.
    pub fn last(&self, objective: usize) -> Option<f64> {
        self.weights.last()?.get(objective).copied()
    }
}

/// The weights of a node; none where it has no result.
pub(super) fn of_node(
    plan: &Plan,
    id: NodeId,
    records: &Records,
    store: &Store,
) -> Result<Option<Path>, ReportError> {
    let Some(bytes) = artifact(store, records.get(&id).map(|record| &record.outputs), roles::WEIGHTS_LOG)?
    else {
        return Ok(None);
    };
    let read = || {
        let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
        Path::read(text, plan.node(id).objective_names.len())
    };
    read().map(Some).map_err(|why| unreadable(plan, id, roles::WEIGHTS_LOG, &why))
}

/// Gathers the last weights that a stage learned, once for each of its nodes: points that share one differ in
/// variables that the stage does not depend on, and these are left out.
pub(super) fn gather(
    stage: &str,
    spec: &Spec,
    plan: &Plan,
    records: &Records,
    store: &Store,
) -> Result<Scores, ReportError> {
    let points = spec.points.iter().zip(&plan.points);
    let points: Vec<(&[String], NodeId)> =
        points.filter_map(|(point, nodes)| Some((point.values.as_slice(), *nodes.get(stage)?))).collect();
    let telling = telling(&points, spec.swept.len());
    let mut taken = BTreeSet::new();
    let mut seen = vec![];
    for (values, id) in points {
        let values: Vec<String> = telling.iter().map(|var| values[*var].clone()).collect();
        if !taken.insert((id, values.clone())) {
            continue;
        }
        let path = of_node(plan, id, records, store)?;
        for (i, objective) in plan.node(id).objective_names.iter().enumerate() {
            seen.push(Seen {
                values: values.iter().chain([objective]).cloned().collect(),
                stage: stage.to_owned(),
                node: id,
                metric: "weight".to_owned(),
                split: None,
                data: None,
                key: records.get(&id).map(|record| record.key),
                score: path.as_ref().and_then(|path| path.last(i)),
            });
        }
    }
    let vars = telling.iter().map(|var| spec.swept[*var].clone()).chain([OBJECTIVE.to_owned()]);
    Ok(Scores { vars: vars.collect(), seen, plain: false })
}

/// The places of the variables that tell nodes apart, of so many. One is left out where points that differ in
/// it share their node, and it is needed for no other two.
fn telling(points: &[(&[String], NodeId)], vars: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..vars).collect();
    for var in 0..vars {
        let rest: Vec<usize> = kept.iter().copied().filter(|other| *other != var).collect();
        let mut first: BTreeMap<Vec<&String>, (NodeId, &String)> = BTreeMap::new();
        let (mut is_shared, mut is_needed) = (false, false);
        for (values, id) in points {
            let of_rest = rest.iter().map(|other| &values[*other]).collect();
            let (node, value) = *first.entry(of_rest).or_insert((*id, &values[var]));
            is_needed |= node != *id;
            is_shared |= *value != values[var];
        }
        if is_shared && !is_needed {
            kept = rest;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_weights_of_every_step() {
        let text =
            "{\"step\":0,\"weights\":[0.5,0.5],\"cosines\":[0.1]}\n{\"step\":1,\"weights\":[0.25,0.75]}\n";
        let path = Path::read(text, 2).expect("weights");
        assert_eq!(path.weights, [[0.5, 0.5], [0.25, 0.75]]);
        assert_eq!((path.last(1), path.last(2)), (Some(0.75), None));
    }

    #[test]
    fn variables_that_change_nothing_are_left_out() {
        let places = |points: &[(&str, usize)]| {
            let split: Vec<(Vec<String>, NodeId)> = points
                .iter()
                .map(|(values, node)| (values.split(' ').map(str::to_owned).collect(), NodeId(*node)))
                .collect();
            let points: Vec<(&[String], NodeId)> =
                split.iter().map(|(values, node)| (values.as_slice(), *node)).collect();
            telling(&points, 2)
        };
        // The second variable changes nothing; the first; both; neither.
        assert_eq!(places(&[("a x", 0), ("a y", 0), ("b x", 1), ("b y", 1)]), [0]);
        assert_eq!(places(&[("a x", 0), ("a y", 1), ("b x", 0), ("b y", 1)]), [1]);
        assert!(places(&[("a x", 0), ("a y", 0), ("b x", 0), ("b y", 0)]).is_empty());
        assert_eq!(places(&[("a x", 0), ("a y", 1), ("b x", 2), ("b y", 3)]), [0, 1]);
        // What counts at one value counts at all; where the variables go hand in hand nothing is shared.
        assert_eq!(places(&[("a x", 0), ("a y", 0), ("b x", 1), ("b y", 2)]), [0, 1]);
        assert_eq!(places(&[("a x", 0), ("b y", 1)]), [0, 1]);
        // A stage that one point alone has keeps its name.
        assert_eq!(places(&[("a x", 0)]), [0, 1]);
    }

    #[test]
    fn points_that_share_the_stage_are_told_once() {
        let text = "tartan: 1
vars: {use: mean, lr: 0, seed: 0}
stages:
  encoder: {encoder: {random: enc}}
  task: {tokenize: {tokenizer: encoder, splits: {train: a.jsonl, dev: b.jsonl, test: c.jsonl}}}
  end-task: {objective: {classify: {data: task}}}
  meta: {learn-weights: {init: encoder, end_task: end-task, steps: 1, lr: '${lr}', seed: '${seed}'}}
  final: {train: {init: encoder, end_task: end-task, weights: {from: meta, use: '${use}'}, steps: 1}}
  test: {evaluate: {model: final, data: task, split: test}}
sweep: {use: [mean, replay], lr: [0.1, 0.2], seed: [0, 1]}
";
        let (spec, mut faults) = Spec::from_text(std::path::Path::new("p.yaml"), text, &[]);
        let outline = crate::plan::outline(&spec, &[], &mut faults);
        let digests = outline.files().into_keys().map(|path| {
            let digest = crate::digest::Digest::of(path.to_string_lossy().as_bytes());
            (path, digest)
        });
        let plan = crate::plan::build(&outline, &digests.collect(), &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).expect("a store");
        let scores = gather("meta", &spec, &plan, &Records::new(), &store).expect("scores");
        assert_eq!(scores.vars, ["lr", "seed", OBJECTIVE]);
        let values: Vec<String> = scores.seen.iter().map(|seen| seen.values.join(" ")).collect();
        assert_eq!(values, ["0.1 0 end-task", "0.1 1 end-task", "0.2 0 end-task", "0.2 1 end-task"]);
    }

    #[test]
    fn says_what_is_wrong_with_which_line() {
        for (text, part) in [
            ("", "no line"),
            ("{\"step\":0,\"weights\":[1]}", "line 1: 1 weights for 2"),
            ("{\"step\":0,\"weights\":[0,1]}\n{\"step\":2,\"weights\":[0,1]}", "line 2: step 2 stands"),
            ("{\"step\":0,\"weights\":[0,1]}\n\n", "line 2:"),
            ("{\"step\":0,\"weights\":[0,null]}", "line 1:"),
        ] {
            let error = Path::read(text, 2).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
