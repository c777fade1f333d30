//! The worker's side: from a request to the files it asks for, one module a kind.
//!
//! A stage reads its inputs by role, calls `data` or `learn`, and writes its outputs by role. It knows
//! neither the store nor the pipeline, only the [`Request`].

mod command;
mod encoder;
mod evaluate;
mod export;
mod fetch;
pub mod hub;
mod model;
mod objective;
mod tokenize;
mod train;

use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

pub use command::end_descendants;
use serde::de::DeserializeOwned;
use tartan::action::{Action, InputFile, Request};
use tartan::diag::Code;
use tartan::digest::Digest;
use tartan::event::{Failure, Finding, Level, Message, Progress};

/// Runs the request's stage; every output is in the request's folder when it returns without failure.
pub fn run(request: &Request, say: &dyn Fn(Message)) -> Result<(), Failure> {
    let io = Io::new(request, say);
    match &request.action {
        Action::Fetch(action) => fetch::run(action, &io),
        // It can fail of what is in its folder.
        Action::Encoder(action) => encoder::run(action, &io)
            .map_err(|failure| failure.at(if action.random { "random" } else { "from" })),
        Action::Tokenize(action) => tokenize::run(action, &io),
        Action::Objective(action) => objective::run(action, &io),
        Action::Train(action) | Action::LearnWeights(action) => train::run(action, &io),
        Action::Evaluate(action) => evaluate::run(action, &io),
        Action::Export(_) => export::run(&io),
        Action::Command(action) => command::run(action, &io),
    }
}

/// A file could not be read.
pub fn read_failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::UnreadableFile, format!("cannot read {}: {error}", path.display()))
}

/// A file could not be written.
pub fn write_failure(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::new(Code::System, format!("cannot write {}: {error}", path.display()));
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failure.help(
            "free some space (`tartan cache gc` frees what no pipeline reaches), or use a store on another disk \
             with `--cache DIR`",
        ),
        _ => failure,
    }
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
        let file = self.file(role)?;
        let bytes = fs::read(&file.path).map_err(|error| unreadable(role, file, &error))?;
        if Digest::of(&bytes) == file.digest { Ok(bytes) } else { Err(differs(role, file)) }
    }

    /// Checks an input that somebody else reads.
    pub fn verify(&self, role: &str) -> Result<(), Failure> {
        let file = self.file(role)?;
        let digest = fs::File::open(&file.path).and_then(Digest::of_reader);
        let digest = digest.map_err(|error| unreadable(role, file, &error))?;
        if digest == file.digest { Ok(()) } else { Err(differs(role, file)) }
    }

    /// Copies an input to a file of its own, read-only, and checks what has arrived. Where the file system can,
    /// the two share their blocks.
    pub fn copy(&self, role: &str, to: &Path) -> Result<(), Failure> {
        let file = self.file(role)?;
        let copied = fs::copy(&file.path, to).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => write_failure(to, &error),
            _ => unreadable(role, file, &error),
        });
        copied?;
        let check = || -> std::io::Result<Digest> {
            let copy = fs::File::open(to)?;
            let mut permissions = copy.metadata()?.permissions();
            permissions.set_readonly(true);
            copy.set_permissions(permissions)?;
            Digest::of_reader(copy)
        };
        let digest = check().map_err(|error| write_failure(to, &error))?;
        if digest == file.digest { Ok(()) } else { Err(differs(role, file)) }
    }

    /// An input's file, for who reads it bit by bit and checks it against its digest.
    pub fn file(&self, role: &str) -> Result<&InputFile, Failure> {
        let file = self.request.inputs.get(role);
        file.ok_or_else(|| Failure::defect(format!("the request has no input `{role}`")))
    }

    /// An input that is JSON.
    pub fn json<T: DeserializeOwned>(&self, role: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.input(role)?)
            .map_err(|error| Failure::defect(format!("{}: {error}", self.name(role))))
    }

    /// Writes an output, whole and closed.
    pub fn output(&self, role: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.output_with(role, |file| file.write_all(bytes))
    }

    /// Writes an output piece by piece, whole and closed.
    pub fn output_with(
        &self,
        role: &str,
        write: impl FnOnce(&mut fs::File) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let path = self.request.out.join(role);
        let written = fs::File::create_new(&path).and_then(|mut file| {
            write(&mut file)?;
            file.flush()
        });
        written.map_err(|error| write_failure(&path, &error))
    }

    /// Says how far the stage has come, at most ten times a second.
    pub fn progress(&self, progress: Progress) {
        if self.progress_sent.get().is_some_and(|sent| sent.elapsed() < Self::BETWEEN_PROGRESS) {
            return;
        }
        self.progress_sent.set(Some(Instant::now()));
        (self.say)(Message::Progress(progress));
    }

    /// Says what was found in the data.
    pub fn finding(&self, finding: Finding) {
        (self.say)(Message::Finding(finding));
    }

    /// Says something worth reading.
    pub fn note(&self, level: Level, text: String) {
        (self.say)(Message::Note { level, text });
    }
}

/// Why an input cannot be read.
fn unreadable(role: &str, file: &InputFile, error: &std::io::Error) -> Failure {
    // Another stage may have found it bad, and had it set aside, since this one was started.
    if file.stored && error.kind() == ErrorKind::NotFound {
        return damaged(role, file, "it is gone");
    }
    Failure::new(Code::UnreadableFile, format!("cannot read {}: {error}", file.name))
}

/// An input's bytes are not what they were.
fn differs(role: &str, file: &InputFile) -> Failure {
    if file.stored {
        return damaged(role, file, "its bytes do not match its digest");
    }
    Failure::new(Code::ChangedFile, format!("{} changed while the pipeline was running", file.name))
        .help("run the pipeline again")
}

fn damaged(role: &str, file: &InputFile, how: &str) -> Failure {
    let message = format!("{} is damaged in the store: {how}", file.name);
    Failure { corrupt: vec![role.to_owned()], ..Failure::new(Code::Damaged, message) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tartan::action::{Export, Means};

    use super::*;

    fn request(folder: &std::path::Path, bytes: &[u8], stored: bool) -> Request {
        let path = folder.join("object");
        fs::write(&path, bytes).unwrap();
        let digest = Digest::of(b"what it was");
        let file = InputFile { path, digest, name: "encoder/config.json".to_owned(), stored };
        Request {
            stage: "out".to_owned(),
            action: Action::Export(Export {}),
            inputs: BTreeMap::from([("model/config.json".to_owned(), file)]),
            out: folder.to_owned(),
            device: "cpu".to_owned(),
            threads: 1,
            checkpoint: None,
            resume: folder.join("resume"),
            objective_names: vec![],
            urls: vec![],
            means: Means::default(),
        }
    }

    #[test]
    fn a_damaged_object_is_named_for_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let damaged = run(&request(folder.path(), b"what it wAs", true), &|_| ()).unwrap_err();
        assert_eq!(damaged.corrupt, ["model/config.json"]);
        let mut gone = request(folder.path(), b"", true);
        fs::remove_file(folder.path().join("object")).unwrap();
        assert_eq!(run(&gone, &|_| ()).unwrap_err().corrupt, ["model/config.json"], "set aside meanwhile");
        gone.inputs.values_mut().for_each(|file| file.stored = false);
        assert!(run(&gone, &|_| ()).unwrap_err().corrupt.is_empty(), "the user's own file");
        let changed = run(&request(folder.path(), b"what it wAs", false), &|_| ()).unwrap_err();
        assert!(changed.corrupt.is_empty());
        assert_eq!(changed.message, "encoder/config.json changed while the pipeline was running");
    }

    #[test]
    fn an_output_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), b"what it was", true);
        let io = Io::new(&request, &|_| ());
        assert_eq!(io.input("model/config.json").unwrap(), b"what it was");
        io.output("a.json", b"{}").unwrap();
        assert!(io.output("a.json", b"[]").is_err());
        assert_eq!(fs::read(folder.path().join("a.json")).unwrap(), b"{}");
        assert!(io.input("model/head.safetensors").unwrap_err().message.contains("no input"));
    }

    #[test]
    fn progress_is_not_a_flood() {
        let folder = tempfile::tempdir().unwrap();
        let request = request(folder.path(), b"", true);
        let heard = Cell::new(0);
        let say = |_| heard.set(heard.get() + 1);
        let io = Io::new(&request, &say);
        let progress =
            |done| Progress { phase: String::new(), done, total: None, unit: String::new(), figures: vec![] };
        // As many as can be said in the meantime: the first, and no more than ten a second after it.
        let start = Instant::now();
        (0..1000).for_each(|done| io.progress(progress(done)));
        assert!(heard.get() >= 1 && heard.get() <= 2 + start.elapsed().as_millis() / 100);
    }
}
