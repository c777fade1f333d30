//! Running a plan: one scheduling loop, worker processes, pools of limited depth.
//!
//! Knows plans, the store and processes; nothing of how a pipeline is written, of what a stage computes,
//! or of how a run is shown: whoever starts it gives a function that receives [`Event`]s. The loop is in
//! `schedule`, a worker's process in `worker`, and what is up to date without running in `status`.

mod aftermath;
mod pools;
mod resolve;
mod schedule;
mod status;
mod stop;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::event::Event;
use crate::plan::{NodeId, Plan};
use crate::store::{Artifacts, Store, StoreError};

pub use resolve::resolve;
pub use status::{NodeStatus, Status, known};
pub use stop::Stop;

/// Where stages that want a GPU run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// On the GPUs that are seen, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On the GPU of this number, or on every GPU that is seen.
    Cuda(Option<usize>),
}

/// How to run a plan. Nothing here is part of a key.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Worker processes at a time; absent: as many as the plan can use, at most one a core.
    pub jobs: Option<usize>,
    /// Threads of each worker; absent: the cores, shared out evenly over the jobs.
    pub threads: Option<usize>,
    /// Where stages that want a GPU run.
    pub device: DeviceChoice,
    /// After a failure, go on with what does not depend on the stage that failed.
    pub keep_going: bool,
    /// Stages (by their name in the pipeline, or a display name) to run even if they are recorded.
    pub force: BTreeSet<String>,
    /// The worker's program.
    pub worker: PathBuf,
    /// The command line, for the records.
    pub command: Vec<String>,
    /// The commit that the pipeline's folder is at, for the records.
    pub git_commit: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Stages run to their end.
    pub ran: usize,
    /// Stages found in the store.
    pub cached: usize,
    /// Stages that failed.
    pub failed: usize,
    /// Stages not run.
    pub skipped: usize,
    /// Whether a signal stopped it before it was through.
    pub interrupted: bool,
    /// What each node that is done made.
    pub outputs: BTreeMap<NodeId, Artifacts>,
}

/// Why a run could not go on. A stage that fails is no such error: it is in the [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The worker's program is not there.
    #[error("the worker program {} is missing", path.display())]
    NoWorker {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The worker that was to ask the hub did not.
    #[error("the worker did not ask the hub: {why}")]
    Resolve {
        /// Why.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExecError {
    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoWorker { .. } => Some(
                "`cargo xtask install` puts `tartan` and `tartan-worker` side by side; in a checkout, \
                 `cargo xtask run` builds both"
                    .to_owned(),
            ),
            Self::Resolve { .. } => {
                Some("`tartan` and `tartan-worker` must be of one version: install both again".to_owned())
            }
            Self::Store(error) => error.help(),
        }
    }
}

/// Has every node of `plan`: those recorded in `store` are taken from there, the others run in worker
/// processes. Blocks until all is done, or has failed, or `stop` was asked for and the workers are gone.
/// `on_event` is called from this thread, in the order things happen.
pub fn run(
    plan: &Plan,
    store: &Store,
    options: &Options,
    stop: &Stop,
    on_event: &mut dyn FnMut(Event),
) -> Result<Outcome, ExecError> {
    schedule::run(plan, store, options, stop, on_event)
}
