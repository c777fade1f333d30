//! The part of a file that has arrived, in the folder that outlives attempts.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use tartan::action::Pin;
use tartan::digest::Digest;
use tartan::event::Failure;

use crate::stage::{failure, failure_with_help, write_failure};

/// Bytes on the disk, their digest so far, and whom they come from.
pub(super) struct Partial {
    path: PathBuf,
    origin_path: PathBuf,
    file: File,
    hasher: Hasher,
    origin: Option<Origin>,
    /// The first bytes, to tell a web page by.
    head: Vec<u8>,
    /// How many bytes.
    pub(super) len: u64,
    /// Whether they come of more than one answer.
    pub(super) pieced: bool,
}

enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
}

impl Hasher {
    fn of(pin: &Pin) -> Self {
        match pin {
            Pin::Blake3(_) => Self::Blake3(Box::default()),
            Pin::Sha256(_) => Self::Sha256(sha2::Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn hex(&self) -> String {
        match self {
            Self::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
            Self::Sha256(hasher) => {
                hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
            }
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Blake3(hasher) => drop(hasher.reset()),
            Self::Sha256(hasher) => hasher.reset(),
        }
    }
}

/// Whom the bytes come from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    /// Of the URL's text, which may hold a token.
    url: Digest,
    /// The server's name for this state of the file: its `ETag`, or when it was last modified.
    validator: Option<String>,
}

const HEAD: usize = 512;

impl Partial {
    /// Opens what earlier attempts left in `folder`, and hashes it.
    pub(super) fn open(folder: &Path, pin: &Pin) -> Result<Self, Failure> {
        let (path, origin_path) = (folder.join("file"), folder.join("origin.json"));
        let file = open(&path)?;
        // One that a kill left half-written is as good as none: it only saves a request.
        let origin = fs::read(&origin_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let hasher = Hasher::of(pin);
        let mut partial =
            Self { path, origin_path, file, hasher, origin, head: vec![], len: 0, pieced: false };
        partial.count_all()?;
        partial.pieced = partial.len > 0;
        Ok(partial)
    }

    /// The server's name for the state of the file that the bytes are of, if they come from `url`.
    pub(super) fn validator(&self, url: &str) -> Option<&str> {
        self.origin.as_ref().filter(|origin| origin.url == Digest::of(url.as_bytes()))?.validator.as_deref()
    }

    /// Remembers whom the bytes that follow come from.
    pub(super) fn note_origin(&mut self, url: &str, validator: Option<String>) -> Result<(), Failure> {
        let origin = Origin { url: Digest::of(url.as_bytes()), validator };
        if self.origin.as_ref() != Some(&origin) {
            let bytes = serde_json::to_vec(&origin).map_err(failure)?;
            fs::write(&self.origin_path, bytes).map_err(|error| write_failure(&self.origin_path, &error))?;
            self.origin = Some(origin);
        }
        Ok(())
    }

    /// Adds bytes at the end.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| write_failure(&self.path, &error))?;
        self.count(bytes);
        Ok(())
    }

    /// Counts what the file under the name holds, from its start to its end.
    fn count_all(&mut self) -> Result<(), Failure> {
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = self.file.read(&mut chunk);
            match count.map_err(|error| failure(format!("cannot read {}: {error}", self.path.display())))? {
                0 => return Ok(()),
                count => self.count(&chunk[..count]),
            }
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.head.extend(bytes.iter().take(HEAD.saturating_sub(self.head.len())));
        self.len += bytes.len() as u64;
    }

    /// Begins anew with nothing.
    pub(super) fn clear(&mut self) -> Result<(), Failure> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| write_failure(&self.path, &error))?;
        self.restart();
        self.pieced = false;
        Ok(())
    }

    fn restart(&mut self) {
        self.hasher.restart();
        self.head.clear();
        self.len = 0;
    }

    /// The digest of the bytes so far.
    pub(super) fn hex(&self) -> String {
        self.hasher.hex()
    }

    /// Whether the bytes begin as HTML does: a page of a portal, or one that says what went wrong.
    pub(super) fn looks_like_a_page(&self) -> bool {
        let head = String::from_utf8_lossy(&self.head).trim_start().to_ascii_lowercase();
        head.starts_with("<!doctype html") || head.starts_with("<html")
    }

    /// Moves the file to `to`, in the same file system, once it is on the disk and reads as it arrived. What
    /// was hashed on its way is not what the disk has, if that fails or another process writes there.
    pub(super) fn deliver(mut self, to: &Path) -> Result<(), Failure> {
        let arrived = (self.len, self.hex());
        self.file.sync_all().map_err(|error| write_failure(&self.path, &error))?;
        // By its name, for that is what is moved.
        self.file = open(&self.path)?;
        self.restart();
        self.count_all()?;
        if (self.len, self.hex()) != arrived {
            self.clear()?;
            return Err(failure_with_help(
                format!("{} does not hold what arrived and was right", self.path.display()),
                "run again; if it stays so, check the disk, and whether something else writes to the store",
            ));
        }
        fs::rename(&self.path, to).map_err(|error| write_failure(to, &error))
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|error| write_failure(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers `right` after `meddle` had the folder to itself; what came of it, and what is left.
    fn deliver(pin: &Pin, meddle: impl Fn(&Path)) -> (Result<Vec<u8>, String>, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = (folder.path().join("file"), folder.path().join("out"));
        let mut partial = Partial::open(folder.path(), pin).unwrap();
        partial.add(b"right").unwrap();
        assert_eq!(partial.hex(), pin.hex());
        meddle(&path);
        let result = partial.deliver(&to).map_err(|failure| failure.message);
        assert_eq!(to.exists(), result.is_ok());
        (result.map(|()| fs::read(&to).unwrap()), fs::read(&path).ok())
    }

    #[test]
    fn what_is_delivered_is_what_the_disk_has() {
        let sha256 = sha2::Sha256::digest(b"right").iter().map(|byte| format!("{byte:02x}")).collect();
        for pin in [Pin::Blake3(Digest::of(b"right")), Pin::Sha256(sha256)] {
            assert_eq!(deliver(&pin, |_| ()), (Ok(b"right".to_vec()), None));
            // In its place, cut, longer, and another file of the name.
            let write = |bytes: &'static [u8]| move |path: &Path| fs::write(path, bytes).unwrap();
            let replace = |path: &Path| {
                fs::remove_file(path).unwrap();
                fs::write(path, b"wrong").unwrap();
            };
            let gone = |path: &Path| fs::remove_file(path).unwrap();
            let meddlers: [&dyn Fn(&Path); 5] =
                [&write(b"wrong"), &write(b"rig"), &write(b"right and more"), &replace, &gone];
            for meddle in meddlers {
                let (result, left) = deliver(&pin, meddle);
                assert!(result.unwrap_err().ends_with("file does not hold what arrived and was right"));
                assert_eq!(left.as_deref(), Some(&b""[..]), "the next attempt begins anew");
            }
        }
    }
}
