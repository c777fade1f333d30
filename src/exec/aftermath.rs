//! What follows when a stage is done, away from the loop because it reads and syncs whole files: taking
//! its outputs into the store, and copying them to the folders that the user asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::schedule::in_words;
use crate::action::{Action, Fetch, Manifest, Pin, roles};
use crate::diag::Code;
use crate::digest::Digest;
use crate::event::Failure;
use crate::store::{Artifacts, Committed, Lock, Output, Provenance, Scratch, Store, StoreError};

/// A worker's result that is not in the store yet.
pub(super) struct Harvest<'a> {
    pub(super) action: &'a Action,
    pub(super) manifest: Manifest,
    pub(super) provenance: Provenance,
    // Before the lock, so that the folder is gone when the lock is let go.
    pub(super) scratch: Scratch,
    pub(super) lock: Lock,
}

/// A result that is in the store.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) committed: Committed,
    pub(super) seconds: f64,
    /// Whether it equals what this stage of this pipeline made last.
    pub(super) unchanged: bool,
}

/// What each stage of a pipeline made last, by its display name: read once a run, and then kept up to date.
#[derive(Debug, Default)]
pub(super) struct Last(Mutex<Option<BTreeMap<String, Outputs>>>);

type Outputs = BTreeMap<String, Output>;

impl Last {
    /// Reads what was made before this run. It must come before anything of it is committed.
    fn load(&self, store: &Store, pipeline: &str) -> Result<(), StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none() {
            let records = store.all_latest(pipeline)?.into_iter();
            *last = Some(records.map(|(stage, record)| (stage, record.outputs)).collect());
        }
        Ok(())
    }

    /// Notes what a stage made. Returns what it made the time before.
    fn replace(&self, stage: String, outputs: Outputs) -> Option<Outputs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut()?.insert(stage, outputs)
    }
}

/// Takes a result into the store and lets go of its lock.
pub(super) fn keep(store: &Store, last: &Last, harvest: Harvest) -> Result<Kept, Failure> {
    let Harvest { action, manifest, provenance, scratch, lock } = harvest;
    check_pin(action, &scratch)?;
    let keep = || {
        last.load(store, &provenance.pipeline)?;
        let (seconds, stage) = (provenance.seconds, provenance.stage.clone());
        let committed = store.commit(&lock, &manifest, &scratch, provenance)?;
        let before = last.replace(stage, committed.record.outputs.clone());
        let unchanged = before.is_some_and(|outputs| outputs == committed.record.outputs);
        Ok(Kept { committed, seconds, unchanged })
    };
    keep().map_err(|error| in_words(&error))
}

/// That a fetched file is the pinned one. The worker has seen to it; but what a wrong file would be kept as
/// is known here too, where the pin is in the store's own hash function.
fn check_pin(action: &Action, scratch: &Scratch) -> Result<(), Failure> {
    let Action::Fetch(Fetch { pin: Pin::Blake3(pinned) }) = action else { return Ok(()) };
    let path = scratch.path().join(roles::FETCHED);
    let digest = File::open(&path).and_then(Digest::of_reader).map_err(|error| {
        Failure::new(Code::UnreadableFile, format!("cannot read {}: {error}", path.display()))
    })?;
    if digest == *pinned {
        return Ok(());
    }
    Err(Failure::new(Code::OtherFile, "the worker brought another file than the pinned one")
        .note(format!("its blake3 is     {digest}\nthe pinned blake3 is {pinned}")))
}

/// Copies a result to folders. Returns those in which something changed.
pub(super) fn deliver(
    store: &Store,
    artifacts: &Artifacts,
    folders: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, StoreError> {
    let mut written = vec![];
    for folder in folders {
        if store.deliver(&artifacts.outputs, &folder)? {
            written.push(folder);
        }
    }
    Ok(written)
}
