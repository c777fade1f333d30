//! The worker's side: from a request to the files it asks for, one module a kind.
//!
//! A stage reads its inputs by role, calls `data` or `learn`, and writes its outputs by role. It knows
//! neither the store nor the pipeline, only the [`Request`].

mod encoder;
mod evaluate;
mod export;
mod model;
mod objective;
mod tokenize;
mod train;

use std::cell::Cell;
use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tartan::action::{Action, Request};
use tartan::digest::Digest;
use tartan::event::{Failure, Level, Message, Progress};

/// Runs the request's stage; every output is in the request's folder when it returns without failure.
pub fn run(request: &Request, say: &dyn Fn(Message)) -> Result<(), Failure> {
    let io = Io::new(request, say);
    match &request.action {
        Action::Encoder(action) => encoder::run(action, &io),
        Action::Tokenize(action) => tokenize::run(action, &io),
        Action::Objective(action) => objective::run(action, &io),
        Action::Train(action) => train::run(action, &io),
        Action::Evaluate(action) => evaluate::run(action, &io),
        Action::Export(_) => export::run(&io),
    }
}

/// A failure without a way out.
pub fn failure(message: impl Display) -> Failure {
    Failure { message: message.to_string(), ..Failure::default() }
}

/// A failure and the way out.
pub fn failure_with_help(message: impl Display, help: impl Display) -> Failure {
    Failure { message: message.to_string(), help: Some(help.to_string()), corrupt: vec![] }
}

/// What a stage reads, writes and says.
pub struct Io<'a> {
    /// What was asked for.
    pub request: &'a Request,
    /// Where messages go.
    pub say: &'a dyn Fn(Message),
    progress_sent: Cell<Option<Instant>>,
}

impl<'a> Io<'a> {
    /// Progress in between is dropped: ten messages a second are enough to watch.
    const BETWEEN_PROGRESS: Duration = Duration::from_millis(100);

    fn new(request: &'a Request, say: &'a dyn Fn(Message)) -> Self {
        Self { request, say, progress_sent: Cell::new(None) }
    }

    /// Whether the request has an input of this role.
    pub fn has(&self, role: &str) -> bool {
        self.request.inputs.contains_key(role)
    }

    /// What to call the input of this role in messages.
    pub fn name(&self, role: &str) -> String {
        self.request.inputs.get(role).map_or_else(|| role.to_owned(), |file| file.name.clone())
    }

    /// The bytes of an input, checked against their digest.
    pub fn input(&self, role: &str) -> Result<Vec<u8>, Failure> {
        let Some(file) = self.request.inputs.get(role) else {
            return Err(failure(format!("the request has no input `{role}`")));
        };
        let bytes =
            fs::read(&file.path).map_err(|error| failure(format!("cannot read {}: {error}", file.name)))?;
        if Digest::of(&bytes) == file.digest {
            return Ok(bytes);
        }
        Err(if file.stored {
            Failure {
                message: format!("{} is damaged in the store: its bytes do not match its digest", file.name),
                help: None,
                corrupt: vec![role.to_owned()],
            }
        } else {
            failure_with_help(
                format!("{} changed while the pipeline was running", file.name),
                "run the pipeline again",
            )
        })
    }

    /// An input that is JSON.
    pub fn json<T: DeserializeOwned>(&self, role: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.input(role)?)
            .map_err(|error| failure(format!("{}: {error}", self.name(role))))
    }

    /// Writes an output, whole and closed.
    pub fn output(&self, role: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.request.out.join(role);
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create_new(&path)?;
            file.write_all(bytes)?;
            file.flush()
        };
        write().map_err(|error| failure(format!("cannot write {}: {error}", path.display())))
    }

    /// Says how far the stage has come, at most ten times a second.
    pub fn progress(&self, progress: Progress) {
        if self.progress_sent.get().is_some_and(|sent| sent.elapsed() < Self::BETWEEN_PROGRESS) {
            return;
        }
        self.progress_sent.set(Some(Instant::now()));
        (self.say)(Message::Progress(progress));
    }

    /// Says something worth reading.
    pub fn note(&self, level: Level, text: String) {
        (self.say)(Message::Note { level, text });
    }
}
