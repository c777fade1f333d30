//! Looking keys up: what each made, if all of it is there.
//!
//! This is what a run with nothing to do asks of the store, ten thousand times over. So a record is read for its
//! outputs alone, names are resolved from the store's own folders, and a thread uses one buffer for all it reads.
//! It finds what [`record`](Store::record) finds: records are verified, and objects are there in their size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, retry_on_intr};
use serde::Deserialize;

use super::error::{Result, at};
use super::objects::is_plain;
use super::seal::unseal;
use super::{OBJECTS, Output, RECORDS, Record, Store};
use crate::digest::Digest;

/// What a key made: its record without how that came about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Artifacts {
    /// The key.
    pub key: Digest,
    /// What was made, by file name; `/` parts folders.
    pub outputs: BTreeMap<String, Output>,
}

impl From<Record> for Artifacts {
    fn from(record: Record) -> Self {
        Self { key: record.key, outputs: record.outputs }
    }
}

/// Room for the longest record of a usual stage.
const BUFFER: usize = 16 << 10;

/// The folders in which names are resolved.
#[derive(Debug)]
pub(super) struct Folders {
    records: OwnedFd,
    objects: OwnedFd,
}

/// What one thread reads with.
struct Reader {
    name: String,
    bytes: Vec<u8>,
}

impl Store {
    /// What each of these keys made, looked up in parallel; nothing for one that has no record, or whose objects
    /// are not all there in their size. A record that cannot be read as one is set aside and counts as missing.
    pub fn look_up(&self, keys: &[Digest]) -> Result<Vec<Option<Artifacts>>> {
        let folders = self.folders()?;
        let reader = || Reader { name: String::new(), bytes: Vec::with_capacity(BUFFER) };
        keys.par_iter().map_init(reader, |reader, key| self.look_one_up(folders, key, reader)).collect()
    }

    fn look_one_up(&self, folders: &Folders, key: &Digest, reader: &mut Reader) -> Result<Option<Artifacts>> {
        let failed = |error: io::Error| at("read", &self.record_path(key))(error);
        if !reader.read(folders, key).map_err(failed)? {
            return Ok(None);
        }
        let artifacts = match unseal::<Artifacts>(&reader.bytes) {
            Some(found) if found.key == *key && found.outputs.keys().all(|name| is_plain(name)) => found,
            // Torn or damaged: it is set aside there.
            _ => return Ok(self.record(key)?.map(Artifacts::from)),
        };
        for output in artifacts.outputs.values() {
            let failed = |error: io::Error| at("examine", &self.object(&output.digest))(error);
            if !reader.is_there(folders, output).map_err(failed)? {
                return Ok(None);
            }
        }
        Ok(Some(artifacts))
    }

    fn folders(&self) -> Result<&Folders> {
        if let Some(folders) = self.inner.folders.get() {
            return Ok(folders);
        }
        let open = |area: &str| {
            let path = self.area(area);
            let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
            retry_on_intr(|| openat(CWD, &path, flags, Mode::empty()))
                .map_err(|error| at("open", &path)(error.into()))
        };
        let folders = Folders { records: open(RECORDS)?, objects: open(OBJECTS)? };
        Ok(self.inner.folders.get_or_init(|| folders))
    }
}

impl Reader {
    /// Reads the record of a key. Returns whether there is one.
    fn read(&mut self, folders: &Folders, key: &Digest) -> io::Result<bool> {
        self.point_to(key, ".json");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| openat(&folders.records, self.name.as_str(), flags, Mode::empty()))
        {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.bytes.clear();
        // Through `take`, since reading a plain file to its end asks for its size first.
        file.take(u64::MAX).read_to_end(&mut self.bytes)?;
        Ok(true)
    }

    /// Whether an object is there and has its size.
    fn is_there(&mut self, folders: &Folders, output: &Output) -> io::Result<bool> {
        self.point_to(&output.digest, "");
        match retry_on_intr(|| statat(&folders.objects, self.name.as_str(), AtFlags::empty())) {
            Ok(stat) => {
                let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                Ok(is_file && u64::try_from(stat.st_size).is_ok_and(|size| size == output.size))
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// `ab/HEX` and an ending, as in [`Store::shard`].
    fn point_to(&mut self, digest: &Digest, ending: &str) {
        self.name.clear();
        digest.with_hex(|hex| {
            self.name.push_str(&hex[..2]);
            self.name.push('/');
            self.name.push_str(hex);
        });
        self.name.push_str(ending);
    }
}
