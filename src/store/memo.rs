//! The memo: digests of the user's own files, so that what has not changed is not read again.
//!
//! A file is taken for unchanged when its size, times of modification and of change (in ns) and inode
//! are those at which it was hashed, and the times were old enough then: within the grain of a file
//! system's clock, a file can be written twice and look the same (git calls this racy). The device is
//! left out, since hosts that share the store number theirs differently.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::error::{Result, at};
use super::objects::hash;
use super::seal::{seal, unseal};
use super::{Store, StoreError, found, lock};
use crate::digest::Digest;

/// The coarsest clock of a file system in use (FAT), in ns.
const GRAIN_NS: i64 = 2_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Memo {
    /// By absolute path; absent until first asked for.
    entries: Option<Entries>,
    unsaved: bool,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    digest: Digest,
    stamp: Stamp,
    /// When reading began, by this machine's clock; ns since 1970.
    hashed_at: i64,
}

/// What a file looks like from outside. Times in ns since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified: i64,
    changed: i64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            size: metadata.len(),
            modified: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

impl Entry {
    fn holds_for(&self, stamp: &Stamp) -> bool {
        let youngest = stamp.modified.max(stamp.changed);
        self.stamp == *stamp && youngest < self.hashed_at.saturating_sub(GRAIN_NS)
    }
}

impl Store {
    /// The digest of a file's content, read only if it may have changed since it was last asked for.
    pub fn digest_file(&self, path: &Path) -> Result<Digest> {
        let metadata = fs::metadata(path).map_err(at("read", path))?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile { path: path.to_owned() });
        }
        let before = Stamp::of(&metadata);
        // A path that is not UTF-8 is hashed each time.
        let name = std::path::absolute(path).map_err(at("find", path))?.into_os_string().into_string().ok();
        if let Some(entry) = name.as_ref().and_then(|name| self.recall(name))
            && entry.holds_for(&before)
        {
            return Ok(entry.digest);
        }

        let hashed_at = now_ns();
        let mut file = File::open(path).map_err(at("open", path))?;
        let (digest, size) = hash(&mut file).map_err(at("read", path))?;
        let stamp = Stamp::of(&file.metadata().map_err(at("examine", path))?);
        if (size, stamp.modified) != (before.size, before.modified) || stamp.size != size {
            return Err(StoreError::Changed { path: path.to_owned() });
        }
        if let Some(name) = name {
            let mut memo = self.memo();
            memo.entries.get_or_insert_default().insert(name, Entry { digest, stamp, hashed_at });
            memo.unsaved = true;
        }
        Ok(digest)
    }

    /// [`digest_file`](Self::digest_file) of many, in parallel.
    pub fn digest_files(&self, paths: &[PathBuf]) -> Vec<Result<Digest>> {
        paths.par_iter().map(|path| self.digest_file(path)).collect()
    }

    /// Keeps the digests for later processes, together with what others have kept meanwhile.
    pub fn save_memo(&self) -> Result<()> {
        if !self.memo().unsaved {
            return Ok(());
        }
        let _adding = self.shared()?;
        self.merge_memo(|_| true)
    }

    /// Drops the digests of files that are gone. The caller holds the store's lock.
    pub(super) fn prune_memo(&self) -> Result<()> {
        self.merge_memo(|path| Path::new(path).exists())
    }

    fn merge_memo(&self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let path = self.memo_path();
        let guard = self.root().join("memo.lock");
        let alone = lock::open(&guard)?;
        lock::wait(|| alone.lock()).map_err(at("lock", &guard))?;
        let mut entries = load(&path)?;
        let mut memo = self.memo();
        for (name, entry) in memo.entries.take().unwrap_or_default() {
            if entries.get(&name).is_none_or(|other| other.hashed_at <= entry.hashed_at) {
                entries.insert(name, entry);
            }
        }
        entries.retain(|name, _| keep(name));
        let bytes = seal(&entries).map_err(|source| StoreError::Encode { path: path.clone(), source })?;
        memo.entries = Some(entries);
        self.write_synced(&path, &bytes)?;
        memo.unsaved = false;
        Ok(())
    }

    fn recall(&self, name: &str) -> Option<Entry> {
        let mut memo = self.memo();
        if memo.entries.is_none() {
            // A memo that cannot be read costs time, not truth; saving it says what is wrong.
            memo.entries = Some(load(&self.memo_path()).unwrap_or_default());
        }
        memo.entries.as_ref()?.get(name).cloned()
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        // Nothing panics while it is held in a state that lies.
        self.inner.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memo_path(&self) -> PathBuf {
        self.root().join("memo.json")
    }
}

/// The saved memo; none if there is none, or a damaged one.
fn load(path: &Path) -> Result<Entries> {
    let bytes = found(fs::read(path)).map_err(at("read", path))?;
    Ok(bytes.and_then(|bytes| unseal(&bytes)).unwrap_or_default())
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
