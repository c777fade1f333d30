//! The store: content-addressed objects, and records of what each key made.
//!
//! Knows bytes, manifests and digests; neither stages, nor pipelines, nor what the bytes mean. Its
//! folder, which may be shared by several processes and hosts:
//!
//! ```text
//! format                 the layout's version
//! objects/ab/HEX         bytes under their blake3, read-only
//! records/ab/KEY.json    what a key made; KEY.divergence-N.json: what it made another time
//! logs/ab/KEY.log        what a key's worker said
//! locks/KEY.lock         held by whoever makes the key
//! partial/KEY/           what unfinished attempts at a key left for the next one
//! tmp/                   scratch folders, and files on their way to their name
//! quarantine/            objects and records that turned out bad
//! memo.json              digests of the user's own files
//! lock                   held shared by who adds, alone by who removes
//! ```
//!
//! Nothing has its final name before it is whole and synced, and a record comes after its objects. So a
//! process may be killed at any moment: what it leaves is a record and all its objects, or no record.
//! Permissions are a courtesy; what is read is verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use crate::action::Manifest;
use crate::digest::Digest;

mod error;
mod gc;
mod lock;
mod lookup;
mod memo;
mod objects;
mod partial;
mod records;
mod scratch;
mod seal;
mod verify;

pub use error::StoreError;
pub use gc::{Amount, Freed, FreedRecord, Usage};
pub use lock::Lock;
pub use lookup::Artifacts;
pub use partial::own_partial;
pub use scratch::Scratch;
pub use verify::{Checked, Fault, Owner};

use error::{Result, at};
use memo::Memo;

/// The layout's version. Raised when older programs would misread it.
const FORMAT: u32 = 1;
const FORMAT_NAME: &str = "tartan-store";

const OBJECTS: &str = "objects";
const RECORDS: &str = "records";
const LOGS: &str = "logs";
const LOCKS: &str = "locks";
const PARTIAL: &str = "partial";
const TMP: &str = "tmp";
const QUARANTINE: &str = "quarantine";

/// A store. Cheap to clone; clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    memo: Mutex<Memo>,
    /// Open from the first look-up on.
    folders: OnceLock<lookup::Folders>,
}

/// What a key made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The key: the digest of the manifest.
    pub key: Digest,
    /// All that the result depends on.
    pub manifest: Manifest,
    /// What was made, by file name; `/` parts folders.
    pub outputs: BTreeMap<String, Output>,
    /// How it was made.
    pub provenance: Provenance,
}

/// A file that a key made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Of its bytes, and its name in the store.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl AsRef<Digest> for Output {
    fn as_ref(&self) -> &Digest {
        &self.digest
    }
}

/// How a result was made. No part of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The stage's display name.
    pub stage: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The command that ran the pipeline, word by word.
    pub command: Vec<String>,
    /// The commit of the repository that the pipeline is in.
    pub git_commit: Option<String>,
    /// Versions of what computed.
    pub versions: BTreeMap<String, String>,
    /// The machine's name.
    pub host: String,
    /// `cpu`, `cuda:0`, …
    pub device: String,
    /// Threads computed with.
    pub threads: usize,
    /// When work began, in seconds since 1970.
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The most memory held, in bytes, where known.
    pub peak_memory: Option<u64>,
}

/// What a [`commit`](Store::commit) came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The key's record: the first, where there was one already.
    pub record: Record,
    /// Whether the key had made other bytes before.
    pub diverged: bool,
}

impl Store {
    /// Opens the store in the folder `root`, and makes it where it is not. Scratch folders that dead
    /// processes left are removed.
    pub fn open(root: &Path) -> Result<Self> {
        let root = std::path::absolute(root).map_err(at("find", root))?;
        let store =
            Self { inner: Arc::new(Inner { root, memo: Mutex::default(), folders: OnceLock::new() }) };
        let format = store.root().join("format");
        let known = found(fs::read_to_string(&format)).map_err(at("open the store", store.root()))?;
        match &known {
            Some(text) => store.check_format(text)?,
            None => fs::create_dir_all(store.root()).map_err(at("create the store", store.root()))?,
        }
        for name in [OBJECTS, RECORDS, LOGS, LOCKS, TMP, QUARANTINE] {
            create_dir(&store.area(name))?;
        }
        if known.is_none() {
            let _adding = store.shared()?;
            store.write_synced(&format, format!("{FORMAT_NAME} {FORMAT}\n").as_bytes())?;
        }
        rustix::fs::access(store.root(), rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|e| at("write to", store.root())(e.into()))?;
        store.sweep()?;
        Ok(store)
    }

    /// The store's folder, absolute.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Where the log of `key` is, or is to be written.
    pub fn log_path(&self, key: &Digest) -> PathBuf {
        let path = self.shard(LOGS, key).join(format!("{key}.log"));
        if let Some(folder) = path.parent() {
            // Whoever opens the log meets the same error, and can say what the log was for.
            let _ = fs::create_dir_all(folder);
        }
        path
    }

    fn check_format(&self, text: &str) -> Result<()> {
        let version = text.trim_end().strip_prefix(FORMAT_NAME).and_then(|v| v.trim().parse::<u32>().ok());
        match version {
            Some(FORMAT) => Ok(()),
            Some(found) => {
                Err(StoreError::OtherFormat { root: self.root().to_owned(), found, known: FORMAT })
            }
            None => Err(StoreError::NoStore { root: self.root().to_owned() }),
        }
    }

    fn area(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The folder of `digest` in an area: its first two digits.
    fn shard(&self, area: &str, digest: &Digest) -> PathBuf {
        self.area(area).join(&digest.hex()[..2])
    }

    /// Writes a whole file under its final name, or nothing. The caller holds the store's lock: any
    /// plain file in `tmp/` that nobody could be writing is swept.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(self.area(TMP))
            .map_err(at("create a file in", &self.area(TMP)))?;
        let plain = file.as_file_mut();
        plain.write_all(bytes).and_then(|()| plain.sync_all()).map_err(at("write", path))?;
        file.persist(path).map_err(|e| at("write", path)(e.error))?;
        path.parent().map_or(Ok(()), sync_dir)
    }
}

/// Makes a folder, if need be, so that it outlives a crash.
fn create_dir(path: &Path) -> Result<()> {
    create_dirs([path])
}

/// Creates folders, each where its parent is there, and syncs a parent once.
fn create_dirs(paths: impl IntoIterator<Item: AsRef<Path>>) -> Result<()> {
    let mut parents = BTreeSet::new();
    for path in paths {
        let path = path.as_ref();
        match fs::create_dir(path) {
            Ok(()) => parents.extend(path.parent().map(Path::to_owned)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(at("create", path)(e)),
        }
    }
    parents.iter().try_for_each(|parent| sync_dir(parent))
}

/// Makes the names in a folder outlive a crash.
fn sync_dir(path: &Path) -> Result<()> {
    match File::open(path).and_then(|folder| folder.sync_all()) {
        // Some network file systems cannot sync a folder; they write names through.
        Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        result => result.map_err(at("sync", path)),
    }
}

/// Turns "there is none" into `None`.
fn found<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
