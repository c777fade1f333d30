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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Writes what is saved, what is unsaved here, and of these what is to be kept; nothing if that is
    /// what is saved already (where a disk is full, `gc` must not begin by writing).
    fn merge_memo(&self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let path = self.memo_path();
        let guard = self.root().join("memo.lock");
        let alone = lock::open(&guard)?;
        lock::wait(|| alone.lock()).map_err(at("lock", &guard))?;
        let saved = load(&path)?;
        let mut entries = saved.clone();
        let mut memo = self.memo();
        for (name, entry) in memo.entries.take().unwrap_or_default() {
            if entries.get(&name).is_none_or(|other| other.hashed_at <= entry.hashed_at) {
                entries.insert(name, entry);
            }
        }
        entries.retain(|name, _| keep(name));
        let bytes = seal(&entries).map_err(|source| StoreError::Encode { path: path.clone(), source })?;
        let is_news = entries != saved;
        memo.entries = Some(entries);
        if is_news {
            self.write_synced(&path, &bytes)?;
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// A store and a file of its user.
    fn world(text: &str) -> (TempDir, Store, PathBuf) {
        let folder = TempDir::new().expect("folder");
        let store = Store::open(&folder.path().join("cache")).expect("store");
        let path = folder.path().join("data.jsonl");
        fs::write(&path, text).expect("write");
        (folder, store, path)
    }

    /// Makes the memo believe that the file was hashed so long after it was written, and that it held
    /// `of` then. (A file's time of change cannot be set back.)
    fn plant(store: &Store, path: &Path, seconds: i64, of: &[u8]) {
        store.digest_file(path).expect("digest");
        let mut memo = store.memo();
        let entries = memo.entries.as_mut().expect("loaded");
        let entry = entries.get_mut(path.to_str().expect("UTF-8")).expect("entry");
        entry.hashed_at = entry.stamp.changed.max(entry.stamp.modified) + seconds * 1_000_000_000;
        entry.digest = Digest::of(of);
        memo.unsaved = true;
    }

    #[test]
    fn an_old_file_that_looks_the_same_is_not_read_again() {
        let (_folder, store, path) = world("one");
        assert_eq!(store.digest_file(&path).expect("digest"), Digest::of(b"one"));
        plant(&store, &path, 3, b"as remembered");
        assert_eq!(store.digest_file(&path).expect("digest"), Digest::of(b"as remembered"));
        store.save_memo().expect("save");
        let other = Store::open(store.root()).expect("open");
        assert_eq!(other.digest_file(&path).expect("digest"), Digest::of(b"as remembered"));
    }

    #[test]
    fn a_file_as_young_as_the_memo_is_read_again() {
        let (_folder, store, path) = world("one");
        for seconds in [-3600, 0, 1, 2] {
            plant(&store, &path, seconds, b"as remembered");
            assert_eq!(store.digest_file(&path).expect("digest"), Digest::of(b"one"), "{seconds} s");
        }
    }

    #[test]
    fn a_file_that_looks_different_is_read_again() {
        let (_folder, store, path) = world("one");
        plant(&store, &path, 3, b"as remembered");
        let times = fs::metadata(&path).expect("metadata").modified().expect("time");
        // The same size and time of modification: the time of change tells.
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, "two").expect("write");
        File::options().write(true).open(&path).expect("open").set_modified(times).expect("set");
        assert_eq!(store.digest_file(&path).expect("digest"), Digest::of(b"two"));

        plant(&store, &path, 3, b"as remembered");
        let other = path.with_extension("new");
        fs::write(&other, "six").expect("write");
        fs::rename(&other, &path).expect("rename");
        assert_eq!(store.digest_file(&path).expect("digest"), Digest::of(b"six"));
    }

    #[test]
    fn a_damaged_memo_is_no_memo_and_savers_keep_each_others_digests() {
        let (folder, store, path) = world("one");
        plant(&store, &path, 3, b"as remembered");
        store.save_memo().expect("save");
        let other_path = folder.path().join("other");
        fs::write(&other_path, "two").expect("write");
        let other = Store::open(store.root()).expect("open");
        other.digest_file(&other_path).expect("digest");
        store.digest_file(&folder.path().join("cache/format")).expect("digest");
        store.save_memo().expect("save");
        other.save_memo().expect("save");
        assert_eq!(load(&store.memo_path()).expect("load").len(), 3);

        fs::remove_file(&other_path).expect("remove");
        store.gc(&std::collections::BTreeSet::new(), false).expect("gc");
        assert_eq!(load(&store.memo_path()).expect("load").len(), 2, "who is gone is forgotten");

        let mut bytes = fs::read(store.memo_path()).expect("read");
        bytes[100] ^= 1;
        fs::write(store.memo_path(), bytes).expect("write");
        let fresh = Store::open(store.root()).expect("open");
        assert_eq!(fresh.digest_file(&path).expect("digest"), Digest::of(b"one"));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let (folder, store, path) = world("one");
        let paths = [path, folder.path().to_owned(), folder.path().join("none"), "/dev/null".into()];
        let digests = store.digest_files(&paths);
        assert!(digests[0].is_ok());
        assert!(matches!(&digests[1], Err(StoreError::NotAFile { .. })));
        let text = digests[2].as_ref().expect_err("none").to_string();
        assert!(text.contains("none: No such file"), "{text}");
        assert!(matches!(&digests[3], Err(StoreError::NotAFile { .. })));
    }
}
