//! Why training stops short.

use crate::learn::job::Job;
use crate::learn::step::NotFinite;

/// Why training stopped short.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A loss that is no number any more.
    #[error("the loss of `{objective}` is not finite at step {step}; the parameters were not updated")]
    Loss {
        /// The step, from 1.
        step: u64,
        /// The objective's name.
        objective: String,
    },
    /// An objective's gradient that is no number any more.
    #[error(
        "the gradient of `{objective}` is not finite at step {step}, though its loss is; the parameters were not updated"
    )]
    Objective {
        /// The step, from 1.
        step: u64,
        /// The objective's name.
        objective: String,
    },
    /// A gradient that is no number any more.
    #[error("the gradient of the {part} is not finite at step {step}, though every loss ({}) is; the parameters were not updated", .objectives.join(", "))]
    Gradient {
        /// The step, from 1.
        step: u64,
        /// Which group of parameters.
        part: &'static str,
        /// The names of all objectives.
        objectives: Vec<String>,
    },
    /// A dev loss, or its gradient, that is no number any more.
    #[error(
        "the dev loss of `{objective}`, which the weights are learned from, or its gradient is not finite at step {step}"
    )]
    Dev {
        /// The step, from 1.
        step: u64,
        /// The end-task's name.
        objective: String,
    },
    /// Somebody asked.
    #[error("stopped after step {step} of {steps}")]
    Stopped {
        /// Optimiser steps done.
        step: u64,
        /// Optimiser steps in all.
        steps: u64,
    },
    /// Parameters that are no number any more.
    #[error("parameters are not finite after step {step}")]
    Parameters {
        /// The step, from 1.
        step: u64,
    },
}

impl TrainError {
    /// What was not finite in a step of the job.
    pub(super) fn of(job: &Job, step: u64, what: NotFinite) -> Self {
        let objectives = || job.tasks.iter().map(|task| format!("`{}`", task.name)).collect();
        match what {
            NotFinite::Loss(t) => Self::Loss { step, objective: job.tasks[t].name.clone() },
            NotFinite::Gradient(t) => Self::Objective { step, objective: job.tasks[t].name.clone() },
            NotFinite::BodyGradient => Self::Gradient { step, part: "encoder", objectives: objectives() },
            NotFinite::HeadGradient => Self::Gradient { step, part: "heads", objectives: objectives() },
            NotFinite::Dev => Self::Dev { step, objective: job.tasks[0].name.clone() },
        }
    }
}
