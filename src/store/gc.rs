//! What the store takes up, and freeing what nobody needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Sum;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use super::error::{Result, at};
use super::records::{Found, RecordFile, entries, examine};
use super::scratch::remove;
use super::{LOCKS, LOGS, OBJECTS, PARTIAL, QUARANTINE, Record, Store, TMP, found, lock, partial};
use crate::digest::Digest;

/// So many files of so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    fn of(bytes: u64) -> Self {
        Self { count: 1, bytes }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |mut sum, amount| {
            sum += amount;
            sum
        })
    }
}

/// What the store takes up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Artifacts.
    pub objects: Amount,
    /// Records and divergences.
    pub records: Amount,
    /// Logs.
    pub logs: Amount,
    /// What unfinished attempts left for the next.
    pub partial: Amount,
    /// What was found bad.
    pub quarantine: Amount,
    /// Scratch folders, of whoever works now or died.
    pub scratch: Amount,
    /// Objects by the kind of stage that made them; one that two kinds made counts for both.
    pub by_kind: BTreeMap<String, Amount>,
}

/// What was freed, or would be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Freed {
    /// Records, and divergences beside them.
    pub records: Amount,
    /// Objects that no record left names.
    pub objects: Amount,
    /// Logs of keys that are not kept.
    pub logs: Amount,
    /// What unfinished attempts left, of keys that are not kept or have a result by now.
    pub partial: Amount,
    /// What was found bad.
    pub quarantine: Amount,
    /// What dead processes left.
    pub scratch: Amount,
    /// The records one by one, in the order of their keys.
    pub list: Vec<FreedRecord>,
}

impl Freed {
    /// All of it.
    pub fn total(&self) -> Amount {
        [self.records, self.objects, self.logs, self.partial, self.quarantine, self.scratch].into_iter().sum()
    }
}

/// A record that was freed, or would be.
#[derive(Clone, Debug, PartialEq)]
pub struct FreedRecord {
    /// Its key.
    pub key: Digest,
    /// The stage that made it, by its display name.
    pub stage: String,
    /// The pipeline of the stage.
    pub pipeline: String,
    /// The stage's kind.
    pub kind: String,
    /// Bytes of its outputs. Another record may need some of them still.
    pub bytes: u64,
}

impl FreedRecord {
    fn of(record: &Record) -> Self {
        Self {
            key: record.key,
            stage: record.provenance.stage.clone(),
            pipeline: record.provenance.pipeline.clone(),
            kind: record.manifest.kind.clone(),
            bytes: record.outputs.values().map(|output| output.size).sum(),
        }
    }
}

impl Store {
    /// What the store takes up, in bytes of content.
    pub fn usage(&self) -> Result<Usage> {
        let sum = |area: &str| -> Result<Amount> {
            Ok(self.files(area)?.into_iter().map(|(_, size)| Amount::of(size)).sum())
        };
        let mut objects_by_kind: BTreeMap<String, BTreeMap<Digest, u64>> = BTreeMap::new();
        for record in self.all_records()? {
            let objects = objects_by_kind.entry(record.manifest.kind.clone()).or_default();
            for output in record.outputs.values() {
                if self.is_there(output)? {
                    objects.insert(output.digest, output.size);
                }
            }
        }
        Ok(Usage {
            objects: sum(OBJECTS)?,
            records: self.record_files()?.iter().map(|file| Amount::of(file.size)).sum(),
            logs: sum(LOGS)?,
            partial: measure(&self.area(PARTIAL))?,
            quarantine: measure(&self.area(QUARANTINE))?,
            scratch: measure(&self.area(TMP))?,
            by_kind: objects_by_kind
                .into_iter()
                .map(|(kind, objects)| (kind, objects.into_values().map(Amount::of).sum()))
                .collect(),
        })
    }

    /// Frees every record whose key is not in `keep`, every object that no record left names, logs and
    /// divergences of keys that are not kept, what was set aside, and what dead processes left. A key
    /// whose lock somebody holds is being made, and is kept. With `dry_run` nothing is changed.
    ///
    /// What unfinished attempts left stays for the keys of `keep` that have no result: those that the next
    /// run would make. So `keep` may hold keys without a record.
    ///
    /// Objects that only a divergence names are freed; the divergence of a kept key stays.
    pub fn gc(&self, keep: &BTreeSet<Digest>, dry_run: bool) -> Result<Freed> {
        // While it is held nobody moves objects in before their record is there.
        let _alone = self.exclusive()?;
        let is_kept = |key: &Digest| -> Result<bool> { Ok(keep.contains(key) || self.is_held(key)?) };
        let erase = |path: &Path, amount: Amount, sum: &mut Amount| -> Result<()> {
            *sum += amount;
            if dry_run { Ok(()) } else { remove(path).map_err(at("remove", path)) }
        };

        let mut freed = Freed::default();
        let mut finished = BTreeSet::new();
        let mut named = BTreeSet::new();
        // Records before objects: at no moment does a record name what is gone.
        for RecordFile { path, key, size, divergence } in self.record_files()? {
            let record = match examine(&path, &key)? {
                Found::Sound(record) => Some(record),
                Found::Nothing | Found::Garbage(_) => None,
            };
            if is_kept(&key)?
                && let Some(record) = &record
            {
                if !divergence {
                    named.extend(record.outputs.values().map(|output| output.digest));
                    // One that lost its objects is made again.
                    finished.extend(self.is_whole(record)?.then_some(key));
                }
                continue;
            }
            freed.list.extend(record.filter(|_| !divergence).map(|r| FreedRecord::of(&r)));
            erase(&path, Amount::of(size), &mut freed.records)?;
        }
        for (path, size) in self.files(OBJECTS)? {
            if !stem(&path).is_some_and(|digest| named.contains(&digest)) {
                erase(&path, Amount::of(size), &mut freed.objects)?;
            }
        }
        for (path, size) in self.files(LOGS)? {
            if !stem(&path).map_or(Ok(false), |key| is_kept(&key))? {
                erase(&path, Amount::of(size), &mut freed.logs)?;
            }
        }
        for path in found_entries(&self.area(PARTIAL))? {
            let is_wanted = |key: &Digest| keep.contains(key) && !finished.contains(key);
            let is_used = |key| Ok(is_wanted(&key) || self.is_held(&key)? || partial::is_owned(&path)?);
            if !stem(&path).map_or(Ok(false), is_used)? {
                erase(&path, measure(&path)?, &mut freed.partial)?;
            }
        }
        for path in entries(&self.area(QUARANTINE))? {
            erase(&path, measure(&path)?, &mut freed.quarantine)?;
        }
        for path in self.stale()? {
            erase(&path, measure(&path)?, &mut freed.scratch)?;
        }
        if !dry_run {
            self.remove_locks()?;
            self.prune_memo()?;
        }
        freed.list.sort_by_key(|record| record.key);
        Ok(freed)
    }

    /// Whether somebody makes `key` now.
    fn is_held(&self, key: &Digest) -> Result<bool> {
        lock::is_held(&self.lock_path(key))
    }

    /// Removes lock files that nobody holds. Who waits for one sees that it lost its name.
    fn remove_locks(&self) -> Result<()> {
        for path in entries(&self.area(LOCKS))? {
            let file = lock::open(&path)?;
            if lock::attempt(&file).map_err(at("lock", &path))? {
                remove(&path).map_err(at("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// The paths in a folder that may not be there.
fn found_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.is_dir() { entries(folder) } else { Ok(vec![]) }
}

/// The digest that a file is named by.
fn stem(path: &Path) -> Option<Digest> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The regular files under a path, itself included.
fn measure(path: &Path) -> Result<Amount> {
    let Some(metadata) = found(fs::symlink_metadata(path)).map_err(at("examine", path))? else {
        return Ok(Amount::default());
    };
    if !metadata.is_dir() {
        return Ok(Amount::of(metadata.len()));
    }
    let Some(folder) = found(fs::read_dir(path)).map_err(at("list", path))? else {
        return Ok(Amount::default());
    };
    let mut sum = Amount::default();
    for entry in folder {
        sum += measure(&entry.map_err(at("list", path))?.path())?;
    }
    Ok(sum)
}
