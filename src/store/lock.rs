//! Locks: one maker of a key at a time, and nobody who removes while somebody adds.
//!
//! All are `flock`s, which die with the process that holds them; on NFS, Linux makes byte-range locks of
//! them, so that they hold between hosts. Each holder opens the file itself, so that threads of one
//! process exclude each other too.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Result, at};
use super::objects::Identity;
use super::{LOCKS, Store, found};
use crate::digest::Digest;

/// The right to make a key, until dropped.
#[derive(Debug)]
pub struct Lock {
    key: Digest,
    /// Closing it lets go.
    _file: File,
}

impl Lock {
    /// The key that may be made.
    pub fn key(&self) -> &Digest {
        &self.key
    }
}

impl Store {
    /// Waits until nobody else makes `key`.
    pub fn lock(&self, key: &Digest) -> Result<Lock> {
        Ok(Lock { key: *key, _file: hold(&self.lock_path(key))? })
    }

    /// The lock of `key`, unless somebody else holds it.
    pub fn try_lock(&self, key: &Digest) -> Result<Option<Lock>> {
        let path = self.lock_path(key);
        loop {
            let file = open(&path)?;
            if !attempt(&file).map_err(at("lock", &path))? {
                return Ok(None);
            }
            if is_named(&file, &path)? {
                return Ok(Some(Lock { key: *key, _file: file }));
            }
        }
    }

    pub(super) fn lock_path(&self, key: &Digest) -> PathBuf {
        self.area(LOCKS).join(format!("{key}.lock"))
    }

    /// Keeps those out who remove. Held for moments: while objects and a record get their names.
    pub(super) fn shared(&self) -> Result<File> {
        let path = self.root().join("lock");
        let file = open(&path)?;
        wait(|| file.lock_shared()).map_err(at("lock", &path))?;
        Ok(file)
    }

    /// Keeps everyone out who adds or removes.
    pub(super) fn exclusive(&self) -> Result<File> {
        let path = self.root().join("lock");
        let file = open(&path)?;
        wait(|| file.lock()).map_err(at("lock", &path))?;
        Ok(file)
    }

    /// [`exclusive`](Self::exclusive), unless somebody adds or removes just now.
    pub(super) fn try_exclusive(&self) -> Result<Option<File>> {
        let path = self.root().join("lock");
        let file = open(&path)?;
        Ok(attempt(&file).map_err(at("lock", &path))?.then_some(file))
    }
}

/// Waits for the lock on the file of this name.
pub(super) fn hold(path: &Path) -> Result<File> {
    loop {
        let file = open(path)?;
        wait(|| file.lock()).map_err(at("lock", path))?;
        if is_named(&file, path)? {
            return Ok(file);
        }
    }
}

/// Whether somebody holds the lock on the file of this name, if there is one.
pub(super) fn is_held(path: &Path) -> Result<bool> {
    let file = found(File::options().read(true).write(true).open(path)).map_err(at("open", path))?;
    file.map_or(Ok(false), |file| Ok(!attempt(&file).map_err(at("lock", path))?))
}

/// Opens a lock file. For writing: on NFS a lock that excludes needs it.
pub(super) fn open(path: &Path) -> Result<File> {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    options.map_err(at("open the lock", path))
}

/// Whether the lock was to be had at once.
pub(super) fn attempt(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Waits for a lock, through signals.
pub(super) fn wait(mut lock: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether the file that was locked still has its name: while we waited, it may have been removed, and
/// another may have locked a new file of the name.
fn is_named(file: &File, path: &Path) -> Result<bool> {
    let held = file.metadata().map_err(at("examine", path))?;
    let named = found(fs::metadata(path)).map_err(at("examine", path))?;
    Ok(named.is_some_and(|named| Identity::of(&named).is_same_file(&Identity::of(&held))))
}
