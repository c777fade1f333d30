//! Partial work: a folder for each key that outlives the attempts to make it.
//!
//! Whatever a worker leaves there, the next attempt at the key finds, be it after a failure, a kill or a
//! reboot. It is no result: nothing in it is verified, and whoever takes up from it must check what it
//! finds. There is one writer, the holder of the key's lock, and the folder goes when the key has its record.

use std::path::PathBuf;

use super::error::{Result, at};
use super::scratch::remove;
use super::{Lock, PARTIAL, Store, create_dir};
use crate::digest::Digest;

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

    /// Forgets what earlier attempts at the lock's key left.
    pub fn discard_partial(&self, lock: &Lock) -> Result<()> {
        let path = self.partial_path(lock.key());
        remove(&path).map_err(at("remove", &path))
    }

    pub(super) fn partial_path(&self, key: &Digest) -> PathBuf {
        self.area(PARTIAL).join(key.hex())
    }
}
