//! Partial work: a folder for each key that outlives the attempts to make it.
//!
//! Whatever a worker leaves there, the next attempt at the key finds, be it after a failure, a kill or a
//! reboot. It is no result: nothing in it is verified, and whoever takes up from it must check what it
//! finds. There is one writer, the worker of who holds the key's lock, and the folder goes when the key has its
//! record. That lock dies with `tartan`; since a worker may outlive it, each holds a lock in the folder as well.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::{Result, at};
use super::scratch::remove;
use super::{Lock, PARTIAL, Store, create_dir, lock};
use crate::digest::Digest;

const OWNER: &str = "lock";

/// Waits until no other worker is at a folder of unfinished work, and keeps others out until dropped.
pub fn own_partial(folder: &Path) -> Result<File> {
    lock::hold(&folder.join(OWNER))
}

/// Whether a worker is at a folder of unfinished work, be it one that outlived its run.
pub(super) fn is_owned(folder: &Path) -> Result<bool> {
    Ok(folder.is_dir() && lock::is_held(&folder.join(OWNER))?)
}

impl Store {
    /// The folder of unfinished work on the lock's key, with what earlier attempts left in it; made where
    /// it is not.
    pub fn partial(&self, lock: &Lock) -> Result<PathBuf> {
        // `gc` has either seen that the key is held, or is through.
        let _adding = self.shared()?;
        create_dir(&self.area(PARTIAL))?;
        let path = self.partial_path(lock.key());
        create_dir(&path)?;
        Ok(path)
    }

    /// Forgets what earlier attempts at the lock's key left, and returns true; unless a worker that outlived
    /// its run is still at it.
    pub fn discard_partial(&self, lock: &Lock) -> Result<bool> {
        let path = self.partial_path(lock.key());
        if is_owned(&path)? {
            return Ok(false);
        }
        remove(&path).map_err(at("remove", &path))?;
        Ok(true)
    }

    pub(super) fn partial_path(&self, key: &Digest) -> PathBuf {
        self.area(PARTIAL).join(key.hex())
    }
}
