//! What happened, as plain data: what a worker tells the run, and what the run tells whoever watches.
//!
//! Knows nothing of how it is shown or stored. `tartan run --events FILE` writes [`Event`]s as JSON
//! lines; a worker writes [`Message`]s as JSON lines to its standard output.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::diag::Code;
use crate::digest::Digest;

/// How far a stage has come in what it does now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it does now: `train`, `evaluate`, `tokenize`, …
    pub phase: String,
    /// Units done.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// What is counted: `steps`, `texts`, …
    pub unit: String,
    /// Named figures to show: `loss`, `dev macro_f1`, …
    pub figures: Vec<(String, f64)>,
}

/// How much a note weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth reading in the log.
    Info,
    /// Worth showing to the user.
    Warning,
}

/// What a stage found in its data that whoever wrote the pipeline should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which kind of fault it is.
    pub code: Code,
    /// Whether the stage fails for it. Then it is told in place of the stage's failure.
    pub is_error: bool,
    /// The field that it is about, as the way to it from the stage's block: `splits`, `dev`.
    pub field: Vec<String>,
    /// What it is: a lower-case fragment.
    pub message: String,
    /// The way out, where one is known.
    pub help: Option<String>,
}

/// Why a stage failed, in the words the user sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind of fault it is.
    pub code: Code,
    /// The field that it is about, as the way to it from the stage's block; empty where it is none or not known.
    pub field: Vec<String>,
    /// What went wrong: a lower-case fragment; what follows its first line is a list.
    pub message: String,
    /// What else there is to know; each may hold several lines.
    pub notes: Vec<String>,
    /// The way out, where one is known.
    pub help: Option<String>,
    /// The roles of inputs whose bytes were not what their digest says: the store sets those objects
    /// aside and has them made again.
    pub corrupt: Vec<String>,
}

impl Failure {
    /// A failure without a way out yet.
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { code, field: vec![], message, notes: vec![], help: None, corrupt: vec![] }
    }

    /// What can only be this program's own fault.
    pub fn defect(message: impl fmt::Display) -> Self {
        Self::new(Code::Defect, message).help("please report it, with the stage's log")
    }

    /// The same about a field of the stage's block.
    #[must_use]
    pub fn at(self, field: &str) -> Self {
        Self { field: vec![field.to_owned()], ..self }
    }

    /// The same, with one more thing to know.
    #[must_use]
    pub fn note(mut self, note: impl fmt::Display) -> Self {
        self.notes.push(note.to_string());
        self
    }

    /// The same, with a way out.
    #[must_use]
    pub fn help(self, help: impl fmt::Display) -> Self {
        Self { help: Some(help.to_string()), ..self }
    }
}

/// One line from a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// How far it has come. At most about ten a second.
    Progress(Progress),
    /// Something worth saying.
    Note {
        /// Its weight.
        level: Level,
        /// One sentence.
        text: String,
    },
    /// Something about its data.
    Finding(Finding),
    /// Every output is written and closed. The last line of a worker that succeeded.
    Done {
        /// The most memory the worker held, in bytes, where the system tells.
        peak_memory: Option<u64>,
        /// Versions of what computed: `torch` and its like.
        versions: std::collections::BTreeMap<String, String>,
    },
    /// It failed. The last line of a worker that knows why.
    Failed(Failure),
}

/// One thing that happened in a run. Stages go by their display name: the stage's own name, with the
/// sweep point in brackets where several points do not share it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The plan is made and the run begins.
    RunStarted {
        /// The pipeline's name.
        pipeline: String,
        /// Stages that the targets need, each counted once however many sweep points share it.
        stages: usize,
        /// How many of them are known to be up to date already.
        cached: usize,
        /// Worker processes at a time.
        jobs: usize,
        /// Threads of each.
        threads: usize,
    },
    /// A stage's result was found in the store.
    StageCached {
        /// The stage.
        stage: String,
        /// Its key.
        key: Digest,
    },
    /// A worker was started for a stage.
    StageStarted {
        /// The stage.
        stage: String,
        /// Its key.
        key: Digest,
        /// Its kind: `train`, `evaluate`, …
        kind: String,
        /// Where it runs: `cpu`, `cuda:0`, …
        device: String,
    },
    /// Another process is making the same stage; this run waits for it.
    StageWaiting {
        /// The stage.
        stage: String,
        /// Its key.
        key: Digest,
    },
    /// A running stage has come further.
    StageProgress {
        /// The stage.
        stage: String,
        /// How far.
        progress: Progress,
    },
    /// A running stage said something.
    StageNote {
        /// The stage.
        stage: String,
        /// Its weight.
        level: Level,
        /// One sentence.
        text: String,
    },
    /// A running stage found something in its data.
    StageFinding {
        /// The stage.
        stage: String,
        /// What.
        finding: Finding,
    },
    /// A stage's result is in the store.
    StageFinished {
        /// The stage.
        stage: String,
        /// Its key.
        key: Digest,
        /// Wall-clock seconds of the worker.
        seconds: f64,
        /// Whether every output equals, byte for byte, that of the nearest earlier run of this stage.
        unchanged: bool,
    },
    /// A running stage was put back: something that it reads is made again first.
    StageRetried {
        /// The stage.
        stage: String,
        /// Why, in a few words.
        because: String,
    },
    /// A stage failed; nothing of it was kept but its log.
    StageFailed {
        /// The stage.
        stage: String,
        /// Why.
        failure: Failure,
        /// Its log file.
        log: Option<String>,
    },
    /// A stage was not run, because one it needs failed or the run was stopped.
    StageSkipped {
        /// The stage.
        stage: String,
        /// Why, in a few words.
        because: String,
    },
    /// Something about the run that belongs to no stage.
    RunNote {
        /// Its weight.
        level: Level,
        /// One sentence.
        text: String,
    },
    /// The run is over.
    RunFinished {
        /// Stages run to their end.
        ran: usize,
        /// Stages found in the store.
        cached: usize,
        /// Stages that failed.
        failed: usize,
        /// Stages not run.
        skipped: usize,
        /// Wall-clock seconds of the run.
        seconds: f64,
        /// Whether a signal stopped it.
        interrupted: bool,
    },
}

/// The first few of some names, and how many more there are.
pub fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.split_at_checked(SHOWN) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}
