//! Scratch folders: where a worker writes, on the store's own file system.
//!
//! Each has a file that its owner holds locked. A folder whose file nobody holds is a dead owner's, on
//! whatever host it was.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::{Result, at};
use super::{Store, TMP, found, lock};
use crate::digest::Digest;

const OWNER: &str = "owner";
const OUT: &str = "out";

/// An empty folder to write into. Removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    out: PathBuf,
    // Before the lock, so that the folder is gone when the lock is let go.
    _folder: TempDir,
    _owner: File,
}

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.out
    }
}

impl Store {
    /// A fresh folder in which to make `key`.
    pub fn scratch(&self, key: &Digest) -> Result<Scratch> {
        // Nobody may take the folder for a dead owner's before its lock is held.
        let _adding = self.shared()?;
        let tmp = self.area(TMP);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-", key.short()))
            .tempdir_in(&tmp)
            .map_err(at("create a folder in", &tmp))?;
        let path = folder.path().join(OWNER);
        let owner = lock::open(&path)?;
        lock::wait(|| owner.lock()).map_err(at("lock", &path))?;
        let out = folder.path().join(OUT);
        fs::create_dir(&out).map_err(at("create", &out))?;
        Ok(Scratch { out, _folder: folder, _owner: owner })
    }

    /// Removes what dead processes left in `tmp/`, unless the store is busy just now.
    pub(super) fn sweep(&self) -> Result<()> {
        let tmp = self.area(TMP);
        if fs::read_dir(&tmp).map_err(at("list", &tmp))?.next().is_none() {
            return Ok(());
        }
        let Some(_alone) = self.try_exclusive()? else { return Ok(()) };
        for path in self.stale()? {
            match remove(&path) {
                // Another user's: they, or `cache gc` under their name, will remove it.
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                result => result.map_err(at("remove", &path))?,
            }
        }
        Ok(())
    }

    /// What dead processes left in `tmp/`. The caller holds the store alone; so whoever is alive either
    /// holds the lock of a folder, or has nothing there.
    pub(super) fn stale(&self) -> Result<Vec<PathBuf>> {
        let tmp = self.area(TMP);
        let mut stale = vec![];
        for entry in fs::read_dir(&tmp).map_err(at("list", &tmp))? {
            let path = entry.map_err(at("list", &tmp))?.path();
            if !is_held(&path).map_err(at("examine", &path))? {
                stale.push(path);
            }
        }
        stale.sort();
        Ok(stale)
    }
}

fn is_held(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path).is_ok_and(|m| m.is_dir()) {
        return Ok(false);
    }
    match found(File::options().read(true).write(true).open(path.join(OWNER))) {
        Ok(Some(owner)) => Ok(!lock::attempt(&owner)?),
        Ok(None) => Ok(false),
        // Another user's; who cannot ask must take them for alive.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(true),
        Err(e) => Err(e),
    }
}

/// Removes a file or a whole folder; that it is gone already is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let Some(metadata) = found(fs::symlink_metadata(path))? else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    found(removed).map(|_| ())
}
