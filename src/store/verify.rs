//! Verification: every object hashed again, every record read, and who is hit by what is bad.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::error::{Result, at};
use super::objects::Health;
use super::records::Found;
use super::{OBJECTS, Store, found};
use crate::digest::Digest;

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Objects hashed.
    pub objects: u64,
    /// Objects in all.
    pub objects_total: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// Something bad in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An object was not what its name says; it is set aside.
    Corrupt {
        /// The object.
        digest: Digest,
        /// What it belongs to; empty if no record names it.
        owners: Vec<Owner>,
    },
    /// An object that records name is not there.
    Missing {
        /// The object.
        digest: Digest,
        /// What it belongs to.
        owners: Vec<Owner>,
    },
    /// A record could not be read as one; it is set aside.
    Record {
        /// Where it was.
        path: PathBuf,
    },
    /// A file among the objects that is none.
    Stray {
        /// Where it is.
        path: PathBuf,
    },
}

/// What a bad object belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The key that made it.
    pub key: Digest,
    /// The stage, by its display name.
    pub stage: String,
    /// The stage's pipeline.
    pub pipeline: String,
    /// The output's name.
    pub file: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digest, fault, owners) = match self {
            Self::Corrupt { digest, owners } => (digest, "is damaged and set aside", owners),
            Self::Missing { digest, owners } => (digest, "is missing", owners),
            Self::Record { path } => {
                return write!(f, "record {} is damaged and set aside", path.display());
            }
            Self::Stray { path } => return write!(f, "{} is not an object", path.display()),
        };
        write!(f, "object {} {fault}", digest.short())?;
        for (n, owner) in owners.iter().enumerate() {
            let lead = if n == 0 { ": " } else { ", " };
            write!(f, "{lead}{} of stage {} ({})", owner.file, owner.stage, owner.pipeline)?;
        }
        Ok(())
    }
}

impl Store {
    /// Hashes every object and reads every record. What is bad is set aside, so that the next run makes
    /// it again. `on_progress` is called after each object, from several threads.
    pub fn verify(&self, on_progress: impl Fn(Checked) + Sync) -> Result<Vec<Fault>> {
        let mut faults = vec![];
        let mut owners: BTreeMap<Digest, Vec<Owner>> = BTreeMap::new();
        for file in self.record_files()? {
            let record = match self.sift(&file.path, &file.key)? {
                Found::Sound(record) => record,
                Found::Garbage(_) => {
                    faults.push(Fault::Record { path: file.path });
                    continue;
                }
                // Freed since it was listed.
                Found::Nothing => continue,
            };
            // A divergence's objects may have been freed; see `gc`.
            for (name, output) in record.outputs.iter().filter(|_| !file.divergence) {
                owners.entry(output.digest).or_default().push(Owner {
                    key: record.key,
                    stage: record.provenance.stage.clone(),
                    pipeline: record.provenance.pipeline.clone(),
                    file: name.clone(),
                });
            }
        }

        let mut objects = vec![];
        for (path, size) in self.files(OBJECTS)? {
            let digest = path.file_name().and_then(|name| name.to_str()?.parse::<Digest>().ok());
            match digest {
                Some(digest) if self.object(&digest) == path => objects.push((digest, size)),
                _ => faults.push(Fault::Stray { path }),
            }
        }
        let objects_total = objects.len() as u64;
        let bytes_total = objects.iter().map(|(_, size)| size).sum();
        let done = (AtomicU64::new(0), AtomicU64::new(0));
        let health: Result<Vec<Health>> = objects
            .par_iter()
            .map(|(digest, size)| {
                let health = self.check(digest)?;
                let bytes = done.1.fetch_add(*size, Ordering::Relaxed) + size;
                let objects = done.0.fetch_add(1, Ordering::Relaxed) + 1;
                on_progress(Checked { objects, objects_total, bytes, bytes_total });
                Ok(health)
            })
            .collect();
        for ((digest, _), health) in objects.iter().zip(health?) {
            if health == Health::Bad {
                let owners = owners.remove(digest).unwrap_or_default();
                faults.push(Fault::Corrupt { digest: *digest, owners });
            }
        }
        for (digest, mut owners) in owners {
            let path = self.object(&digest);
            if found(path.symlink_metadata()).map_err(at("examine", &path))?.is_none() {
                // Not a fault if the record was freed with it meanwhile.
                owners.retain(|owner| self.record_path(&owner.key).exists());
                if !owners.is_empty() {
                    faults.push(Fault::Missing { digest, owners });
                }
            }
        }
        Ok(faults)
    }
}
