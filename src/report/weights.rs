//! The weights of a stage's objectives at each step: `weights.jsonl`, read.
//!
//! A line is a JSON object with the number of the step and the weights after that many steps, the
//! end-task's first where there is one; other fields are not looked at.

use serde::Deserialize;

use super::scores::{Records, ReportError, artifact, unreadable};
use crate::action::roles;
use crate::plan::{NodeId, Plan};
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
    let Some(bytes) = artifact(store, records.get(&id), roles::WEIGHTS_LOG)? else { return Ok(None) };
    let read = || {
        let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
        Path::read(text, plan.node(id).objective_names.len())
    };
    read().map(Some).map_err(|why| unreadable(plan, id, roles::WEIGHTS_LOG, &why))
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
