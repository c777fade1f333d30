//! Objects: bytes under the name of their digest; in by [`commit`](super::Store::commit), out by
//! [`read`](super::Store::read) and [`deliver`](super::Store::deliver).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use super::error::{Result, at};
use super::{OBJECTS, Output, QUARANTINE, Store, StoreError, create_dirs, found, sync_dir};
use crate::digest::Digest;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

impl Store {
    /// Where the bytes of `digest` are, if the store has them.
    pub fn object(&self, digest: &Digest) -> PathBuf {
        let name = digest.hex();
        self.root().join(OBJECTS).join(&name[..2]).join(name)
    }

    /// The bytes of `digest`, verified. What is bad is set aside: [`StoreError::Corrupt`].
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.object(digest);
        let bytes = found(fs::read(&path)).map_err(at("read", &path))?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            _ => {
                self.set_aside(digest)?;
                Err(StoreError::Corrupt { digest: *digest })
            }
        }
    }

    /// Verifies one object. If it is bad, it goes to `quarantine/`. Returns whether it was bad or
    /// missing.
    pub fn set_aside(&self, digest: &Digest) -> Result<bool> {
        Ok(self.check(digest)? != Health::Sound)
    }

    /// Verifies one object, and sets it aside if it is bad. The caller must not hold the store's lock.
    pub(super) fn check(&self, digest: &Digest) -> Result<Health> {
        let path = self.object(digest);
        loop {
            let Some(mut file) = found(File::open(&path)).map_err(at("open", &path))? else {
                return Ok(Health::Missing);
            };
            let identity = Identity::of(&file.metadata().map_err(at("examine", &path))?);
            let (actual, _) = hash(&mut file).map_err(at("read", &path))?;
            if actual == *digest {
                return Ok(Health::Sound);
            }
            if self.quarantine(&path, &identity)? {
                return Ok(Health::Bad);
            }
        }
    }

    /// Copies outputs into the user's folder `to`, each verified and under its name only when whole.
    /// Files that are equal already are left. Returns whether anything changed.
    pub fn deliver(&self, outputs: &BTreeMap<String, Output>, to: &Path) -> Result<bool> {
        let mut changed = false;
        for (name, output) in outputs {
            if !is_plain(name) {
                return Err(StoreError::Name { path: to.join(name) });
            }
            changed |= self.deliver_one(output, &to.join(name))?;
        }
        Ok(changed)
    }

    fn deliver_one(&self, output: &Output, to: &Path) -> Result<bool> {
        let there = found(fs::metadata(to)).map_err(at("examine", to))?;
        if there.is_some_and(|m| m.is_file() && m.len() == output.size)
            && hash_path(to).map_err(at("read", to))?.0 == output.digest
        {
            return Ok(false);
        }
        let folder = to.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(at("create", folder))?;
        let mut copy = tempfile::Builder::new()
            .prefix(".tartan-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(at("create a file in", folder))?;

        let from = self.object(&output.digest);
        let corrupt = || StoreError::Corrupt { digest: output.digest };
        let Some(object) = found(File::open(&from)).map_err(at("open", &from))? else {
            return Err(corrupt());
        };
        let digest = if rustix::fs::ioctl_ficlone(copy.as_file(), &object).is_ok() {
            hash_path(copy.path()).map_err(at("read", copy.path()))?.0
        } else {
            // Other file systems, or one that cannot share blocks.
            copy_hashed(object, &from, copy.as_file_mut(), to)?
        };
        if digest != output.digest {
            self.set_aside(&output.digest)?;
            return Err(corrupt());
        }
        copy.as_file().sync_all().map_err(at("write", to))?;
        copy.persist(to).map_err(|e| at("write", to)(e.error))?;
        Ok(true)
    }

    /// Makes every file under `folder` ready to become an object (whole on the disk, read-only,
    /// hashed), and lists them by their relative names.
    pub(super) fn settle(folder: &Path) -> Result<BTreeMap<String, Output>> {
        let mut names = vec![];
        list(folder, "", &mut names)?;
        names.into_par_iter().map(|name| Ok((name.clone(), settle_one(&folder.join(name))?))).collect()
    }

    /// Moves settled files into the objects. The caller holds the store's lock.
    pub(super) fn adopt(&self, folder: &Path, outputs: &BTreeMap<String, Output>) -> Result<()> {
        let shards = outputs.values().map(|output| self.shard(OBJECTS, &output.digest));
        let shards: BTreeSet<PathBuf> = shards.collect();
        create_dirs(&shards)?;
        for (name, output) in outputs {
            let from = folder.join(name);
            if self.is_sound(output)? {
                fs::remove_file(&from).map_err(at("remove", &from))?;
            } else {
                let to = self.object(&output.digest);
                fs::rename(&from, &to).map_err(at("move a file to", &to))?;
            }
        }
        // Of objects that were there too: their maker may not have come to this yet. Side by side, since the file
        // system syncs several at about the price of one.
        shards.into_par_iter().try_for_each(|shard| sync_dir(&shard))
    }

    /// Whether the object is there and its bytes are right.
    pub(super) fn is_sound(&self, output: &Output) -> Result<bool> {
        let path = self.object(&output.digest);
        if !self.is_there(output)? {
            return Ok(false);
        }
        let hashed = found(hash_path(&path)).map_err(at("read", &path))?;
        Ok(hashed.is_some_and(|(digest, _)| digest == output.digest))
    }

    /// Whether the object is there and has its size.
    pub(super) fn is_there(&self, output: &Output) -> Result<bool> {
        let path = self.object(&output.digest);
        let metadata = found(fs::metadata(&path)).map_err(at("examine", &path))?;
        Ok(metadata.is_some_and(|m| m.is_file() && m.len() == output.size))
    }

    /// Moves a file that was found bad out of the way, unless another has taken its place. Returns
    /// whether it did. The caller must not hold the store's lock.
    pub(super) fn quarantine(&self, path: &Path, identity: &Identity) -> Result<bool> {
        let _alone = self.exclusive()?;
        let there = found(fs::metadata(path)).map_err(at("examine", path))?;
        if there.is_none_or(|m| Identity::of(&m) != *identity) {
            return Ok(false);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut to = self.area(QUARANTINE).join(&*name);
        let mut copies = 1;
        while to.exists() {
            copies += 1;
            to = self.area(QUARANTINE).join(format!("{name}.{copies}"));
        }
        fs::rename(path, &to).map_err(at("set aside", path))?;
        Ok(true)
    }
}

/// What an object was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Sound,
    Bad,
    Missing,
}

/// Which file it is, and in which state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether it is the same file, in whatever state.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Whether an output's name stays inside the folder it is put in.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The digest of all that is left in `reader`, and how many bytes it was.
pub(super) fn hash(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(reader)?;
    Ok((hasher.finalize().into(), hasher.count()))
}

fn hash_path(path: &Path) -> io::Result<(Digest, u64)> {
    hash(&mut File::open(path)?)
}

fn copy_hashed(mut from: File, from_path: &Path, to: &mut File, to_path: &Path) -> Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(n) => {
                hasher.update(&chunk[..n]);
                to.write_all(&chunk[..n]).map_err(at("write", to_path))?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(at("read", from_path)(e)),
        }
    }
}

/// The names of all regular files under `folder`; anything but files and folders is refused.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(at("list", folder))? {
        let entry = entry.map_err(at("list", folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(at("examine", &path))?;
        let Ok(name) = entry.file_name().into_string() else { return Err(StoreError::Name { path }) };
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            list(&path, &format!("{name}/"), names)?;
        } else if kind.is_file() {
            names.push(name);
        } else {
            return Err(StoreError::NotAFile { path });
        }
    }
    Ok(())
}

fn settle_one(path: &Path) -> Result<Output> {
    let links = fs::symlink_metadata(path).map_err(at("examine", path))?.nlink();
    if links > 1 {
        // Somebody else has this file under another name, and could write to it there.
        let folder = path.parent().unwrap_or(Path::new("."));
        let copy = tempfile::NamedTempFile::new_in(folder).map_err(at("create a file in", folder))?;
        fs::copy(path, copy.path()).map_err(at("copy", path))?;
        copy.persist(path).map_err(|e| at("write", path)(e.error))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).map_err(at("make read-only", path))?;
    let mut file = File::open(path).map_err(at("open", path))?;
    let (digest, size) = hash(&mut file).map_err(at("read", path))?;
    file.sync_all().map_err(at("write", path))?;
    Ok(Output { digest, size })
}
