//! What follows when a stage is done, away from the loop because it reads and syncs whole files: taking
//! its outputs into the store, and copying them to the folders that the user asked for.

use std::path::PathBuf;

use crate::action::Manifest;
use crate::store::{Committed, Lock, Provenance, Record, Scratch, Store, StoreError};

/// A worker's result that is not in the store yet.
pub(super) struct Harvest {
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

/// Takes a result into the store and lets go of its lock.
pub(super) fn keep(store: &Store, harvest: Harvest) -> Result<Kept, StoreError> {
    let Harvest { manifest, provenance, scratch, lock } = harvest;
    let before = store.latest(&provenance.stage, &provenance.pipeline)?;
    let seconds = provenance.seconds;
    let committed = store.commit(&lock, &manifest, &scratch, provenance)?;
    let unchanged = before.is_some_and(|record| record.outputs == committed.record.outputs);
    Ok(Kept { committed, seconds, unchanged })
}

/// Copies a result to folders. Returns those in which something changed.
pub(super) fn deliver(
    store: &Store,
    record: &Record,
    folders: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, StoreError> {
    let mut written = vec![];
    for folder in folders {
        if store.deliver(&record.outputs, &folder)? {
            written.push(folder);
        }
    }
    Ok(written)
}
