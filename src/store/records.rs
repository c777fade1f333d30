//! Records: what a key made. The first result of a key stays; another is kept beside it as a divergence.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::error::{Result, at};
use super::objects::{Identity, is_plain};
use super::seal::{seal, unseal};
use super::{Committed, Lock, Provenance, RECORDS, Record, Scratch, Store, StoreError, create_dir, found};
use crate::action::Manifest;
use crate::digest::Digest;

/// A record's file as it was found.
pub(super) enum Found {
    Nothing,
    Sound(Box<Record>),
    /// Torn, damaged, or not of this key.
    Garbage(Identity),
}

impl Store {
    /// The record of `key`, if every object that it names is there in its size. A record that cannot be
    /// read as one is set aside and counts as missing.
    pub fn record(&self, key: &Digest) -> Result<Option<Record>> {
        let Some(record) = self.load(&self.record_path(key), key)? else { return Ok(None) };
        Ok(if self.is_whole(&record)? { Some(record) } else { None })
    }

    /// Every record, in the order of keys, whether or not its objects are still there.
    pub fn all_records(&self) -> Result<Vec<Record>> {
        let files = self.record_files()?;
        let records: Result<Vec<Option<Record>>> = files
            .par_iter()
            .filter(|file| !file.divergence)
            .map(|file| self.load(&file.path, &file.key))
            .collect();
        Ok(records?.into_iter().flatten().collect())
    }

    /// The newest record of a stage, by when work on it began; whether or not its objects are there.
    pub fn latest(&self, stage: &str, pipeline: &str) -> Result<Option<Record>> {
        Ok(self.all_latest(pipeline)?.remove(stage))
    }

    /// The [`latest`](Self::latest) record of each stage of a pipeline.
    pub fn all_latest(&self, pipeline: &str) -> Result<BTreeMap<String, Record>> {
        let age = |record: &Record| (record.provenance.started, record.key);
        let mut latest: BTreeMap<String, Record> = BTreeMap::new();
        for record in self.all_records()?.into_iter().filter(|record| record.provenance.pipeline == pipeline)
        {
            match latest.get_mut(&record.provenance.stage) {
                Some(known) if age(known) >= age(&record) => {}
                Some(known) => *known = record,
                None => {
                    latest.insert(record.provenance.stage.clone(), record);
                }
            }
        }
        Ok(latest)
    }

    /// What `key` made other than its record says, oldest first.
    pub fn divergences(&self, key: &Digest) -> Result<Vec<Record>> {
        let mut records = vec![];
        for number in 1.. {
            let path = self.divergence_path(key, number);
            if !path.exists() {
                break;
            }
            records.extend(self.load(&path, key)?);
        }
        Ok(records)
    }

    /// Takes every file in the scratch folder as what `manifest` made. Its objects are in the store and
    /// on the disk before its record is. The first result of a key wins: of a second one that differs,
    /// the record is kept as a divergence. Only if the first one's objects are lost, the second takes
    /// its place. What unfinished attempts left is removed in the end.
    pub fn commit(
        &self,
        lock: &Lock,
        manifest: &Manifest,
        scratch: &Scratch,
        provenance: Provenance,
    ) -> Result<Committed> {
        let committed = self.take(lock, manifest, scratch, provenance)?;
        // The result is in. What should stay all the same is in nobody's way, and `gc` frees it.
        drop(self.discard_partial(lock));
        Ok(committed)
    }

    fn take(
        &self,
        lock: &Lock,
        manifest: &Manifest,
        scratch: &Scratch,
        provenance: Provenance,
    ) -> Result<Committed> {
        let key = manifest.key();
        if key != *lock.key() {
            return Err(StoreError::WrongLock { held: *lock.key(), key });
        }
        let outputs = Self::settle(scratch.path())?;

        let _adding = self.shared()?;
        self.adopt(scratch.path(), &outputs)?;
        let record = Record { key, manifest: manifest.clone(), outputs, provenance };
        let path = self.record_path(&key);
        let Found::Sound(first) = examine(&path, &key)? else {
            self.write_record(&path, &record)?;
            return Ok(Committed { record, diverged: false });
        };
        if first.outputs == record.outputs {
            return Ok(Committed { record: *first, diverged: false });
        }
        for output in first.outputs.values() {
            if !self.is_sound(output)? {
                self.write_divergence(&first)?;
                self.write_record(&path, &record)?;
                return Ok(Committed { record, diverged: true });
            }
        }
        self.write_divergence(&record)?;
        Ok(Committed { record: *first, diverged: true })
    }

    pub(super) fn record_path(&self, key: &Digest) -> PathBuf {
        let name = key.hex();
        self.root().join(RECORDS).join(&name[..2]).join(name + ".json")
    }

    fn divergence_path(&self, key: &Digest, number: usize) -> PathBuf {
        self.shard(RECORDS, key).join(format!("{key}.divergence-{number}.json"))
    }

    /// Whether every object that the record names is there in its size.
    pub(super) fn is_whole(&self, record: &Record) -> Result<bool> {
        for output in record.outputs.values() {
            if !self.is_there(output)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn load(&self, path: &Path, key: &Digest) -> Result<Option<Record>> {
        Ok(match self.sift(path, key)? {
            Found::Sound(record) => Some(*record),
            Found::Nothing | Found::Garbage(_) => None,
        })
    }

    /// What a record's file holds; garbage is set aside. The caller must not hold the store's lock.
    pub(super) fn sift(&self, path: &Path, key: &Digest) -> Result<Found> {
        loop {
            match examine(path, key)? {
                Found::Garbage(identity) if !self.quarantine(path, &identity)? => {}
                found => return Ok(found),
            }
        }
    }

    fn write_record(&self, path: &Path, record: &Record) -> Result<()> {
        let bytes = seal(record).map_err(|source| StoreError::Encode { path: path.to_owned(), source })?;
        create_dir(&self.shard(RECORDS, &record.key))?;
        self.write_synced(path, &bytes)
    }

    fn write_divergence(&self, record: &Record) -> Result<()> {
        for number in 1.. {
            let path = self.divergence_path(&record.key, number);
            match examine(&path, &record.key)? {
                Found::Sound(other) if other.outputs == record.outputs => break,
                Found::Sound(_) => {}
                Found::Nothing | Found::Garbage(_) => return self.write_record(&path, record),
            }
        }
        Ok(())
    }

    /// The files of all records and divergences, in the order of their names.
    pub(super) fn record_files(&self) -> Result<Vec<RecordFile>> {
        let mut files: Vec<RecordFile> = self
            .files(RECORDS)?
            .into_iter()
            .filter_map(|(path, size)| {
                let (key, kind) = path.file_name()?.to_str()?.split_once('.')?;
                let key = key.parse().ok()?;
                Some(RecordFile { divergence: kind != "json", path, key, size })
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Every file in an area that is split by first digits, with its size.
    pub(super) fn files(&self, area: &str) -> Result<Vec<(PathBuf, u64)>> {
        let area = self.area(area);
        let mut files = vec![];
        for shard in entries(&area)? {
            // A stray file where folders should be is nobody's.
            if !shard.is_dir() {
                continue;
            }
            for path in entries(&shard)? {
                // Gone since it was listed: somebody else removes.
                if let Some(metadata) = found(fs::symlink_metadata(&path)).map_err(at("examine", &path))? {
                    files.push((path, metadata.len()));
                }
            }
        }
        Ok(files)
    }
}

/// A file in `records/`.
pub(super) struct RecordFile {
    pub(super) path: PathBuf,
    pub(super) key: Digest,
    pub(super) size: u64,
    pub(super) divergence: bool,
}

/// What a record's file holds, without setting anything aside.
pub(super) fn examine(path: &Path, key: &Digest) -> Result<Found> {
    let Some(mut file) = found(File::open(path)).map_err(at("open", path))? else {
        return Ok(Found::Nothing);
    };
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).map_err(at("read", path))?;
    match unseal::<Record>(&bytes) {
        Some(record) if record.key == *key && record.outputs.keys().all(|name| is_plain(name)) => {
            Ok(Found::Sound(Box::new(record)))
        }
        _ => Ok(Found::Garbage(Identity::of(&file.metadata().map_err(at("examine", path))?))),
    }
}

/// The paths in a folder, in order.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![];
    for entry in fs::read_dir(folder).map_err(at("list", folder))? {
        paths.push(entry.map_err(at("list", folder))?.path());
    }
    paths.sort();
    Ok(paths)
}
