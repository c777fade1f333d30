//! The part of a file that has arrived, in a folder that outlives attempts, and whether it is all of it.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use tartan::diag::Code;
use tartan::digest::Digest;
use tartan::event::Failure;

use crate::stage::{read_failure, write_failure};

/// Bytes on the disk, their digest so far, and whom they come from.
pub(in crate::stage) struct Partial {
    path: PathBuf,
    origin_path: PathBuf,
    file: File,
    check: Check,
    hasher: Hasher,
    origin: Option<Origin>,
    /// The first bytes, to tell a web page by.
    head: Vec<u8>,
    /// How many bytes.
    pub(in crate::stage) len: u64,
    /// Whether they come of more than one answer.
    pub(super) pieced: bool,
}

/// What tells that a file is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stage) enum Check {
    /// As `b3sum` prints it.
    Blake3(String),
    /// As `sha256sum` prints it.
    Sha256(String),
    /// As git names a file of so many bytes by its content: the SHA-1 of its length and bytes.
    Git(String, u64),
    /// So many bytes: all that some mirrors of the hub tell.
    Length(u64),
}

impl Check {
    /// What it is a check of, in messages.
    pub(super) fn function(&self) -> &'static str {
        match self {
            Self::Blake3(_) => "blake3",
            Self::Sha256(_) => "sha256",
            Self::Git(..) => "git hash",
            Self::Length(_) => "length",
        }
    }

    /// What it must come to.
    pub(super) fn wanted(&self) -> String {
        match self {
            Self::Blake3(hex) | Self::Sha256(hex) | Self::Git(hex, _) => hex.clone(),
            Self::Length(length) => length.to_string(),
        }
    }
}

enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
    Git(sha1::Sha1),
    Length(u64),
}

impl Hasher {
    fn of(check: &Check) -> Self {
        match check {
            Check::Blake3(_) => Self::Blake3(Box::default()),
            Check::Sha256(_) => Self::Sha256(sha2::Sha256::new()),
            Check::Git(_, length) => Self::Git(sha1::Sha1::new().chain_update(format!("blob {length}\0"))),
            Check::Length(_) => Self::Length(0),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
            Self::Length(length) => *length += bytes.len() as u64,
        }
    }

    fn found(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
            Self::Sha256(hasher) => hex(&hasher.clone().finalize()),
            Self::Git(hasher) => hex(&hasher.clone().finalize()),
            Self::Length(length) => length.to_string(),
        }
    }
}

/// Whether a file that lies there passes a check.
pub(in crate::stage) fn is_sound(path: &Path, check: &Check) -> std::io::Result<bool> {
    let (mut file, mut hasher) = (File::open(path)?, Hasher::of(check));
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.found() == check.wanted()),
            count => hasher.update(&chunk[..count]),
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
    /// Opens what earlier attempts left under `path`, and hashes it. Beside it, in `origin_path`, stands whom it
    /// comes from.
    pub(in crate::stage) fn open(path: PathBuf, origin_path: PathBuf, check: Check) -> Result<Self, Failure> {
        let file = open(&path)?;
        // One that a kill left half-written is as good as none: it only saves a request.
        let origin = fs::read(&origin_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let hasher = Hasher::of(&check);
        let mut partial =
            Self { path, origin_path, file, check, hasher, origin, head: vec![], len: 0, pieced: false };
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
            let bytes = serde_json::to_vec(&origin).map_err(Failure::defect)?;
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
            match count.map_err(|error| read_failure(&self.path, &error))? {
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
        self.hasher = Hasher::of(&self.check);
        self.head.clear();
        self.len = 0;
    }

    /// What the bytes must come to.
    pub(super) fn check(&self) -> &Check {
        &self.check
    }

    /// What the bytes so far come to.
    pub(super) fn found(&self) -> String {
        self.hasher.found()
    }

    /// Whether the bytes are all of the file.
    pub(in crate::stage) fn is_whole(&self) -> bool {
        self.found() == self.check.wanted()
    }

    /// Whether the bytes begin as HTML does: a page of a portal, or one that says what went wrong.
    pub(super) fn looks_like_a_page(&self) -> bool {
        let head = String::from_utf8_lossy(&self.head).trim_start().to_ascii_lowercase();
        head.starts_with("<!doctype html") || head.starts_with("<html")
    }

    /// Moves the file to `to`, in the same file system, once it is on the disk and reads as it arrived. What
    /// was hashed on its way is not what the disk has, if that fails or another process writes there.
    pub(in crate::stage) fn deliver(mut self, to: &Path) -> Result<(), Failure> {
        let arrived = (self.len, self.found());
        self.file.sync_all().map_err(|error| write_failure(&self.path, &error))?;
        // By its name, for that is what is moved.
        self.file = open(&self.path)?;
        self.restart();
        self.count_all()?;
        if (self.len, self.found()) != arrived {
            self.clear()?;
            return Err(Failure::new(
                Code::System,
                format!("{} does not hold what arrived and was right", self.path.display()),
            )
            .help(
                "run again; if it stays so, check the disk, and whether something else writes to the store",
            ));
        }
        fs::rename(&self.path, to).map_err(|error| write_failure(to, &error))?;
        // What it came from says nothing any more; where it cannot go, it does no harm.
        drop(fs::remove_file(&self.origin_path));
        Ok(())
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
    fn deliver(check: &Check, meddle: impl Fn(&Path)) -> (Result<Vec<u8>, String>, Option<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = (folder.path().join("file"), folder.path().join("out"));
        let mut partial =
            Partial::open(path.clone(), folder.path().join("origin.json"), check.clone()).unwrap();
        partial.add(b"right").unwrap();
        assert!(partial.is_whole());
        meddle(&path);
        let result = partial.deliver(&to).map_err(|failure| failure.message);
        assert_eq!(to.exists(), result.is_ok());
        (result.map(|()| fs::read(&to).unwrap()), fs::read(&path).ok())
    }

    /// `b3sum`, `sha256sum` and `git hash-object` of `right`.
    fn checks() -> [Check; 3] {
        let sha256 = sha2::Sha256::digest(b"right").iter().map(|byte| format!("{byte:02x}")).collect();
        [
            Check::Blake3(Digest::of(b"right").hex()),
            Check::Sha256(sha256),
            Check::Git("19981f7e045c3a2c35d15e977b6f56f1923bb400".to_owned(), 5),
        ]
    }

    #[test]
    fn what_is_delivered_is_what_the_disk_has() {
        for check in checks() {
            assert_eq!(deliver(&check, |_| ()), (Ok(b"right".to_vec()), None));
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
                let (result, left) = deliver(&check, meddle);
                assert!(result.unwrap_err().ends_with("file does not hold what arrived and was right"));
                assert_eq!(left.as_deref(), Some(&b""[..]), "the next attempt begins anew");
            }
        }
    }

    #[test]
    fn a_file_that_lies_there_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for check in checks().into_iter().chain([Check::Length(5)]) {
            for (bytes, sound) in [("right", true), ("wron", false), ("right\n", false)] {
                fs::write(&path, bytes).unwrap();
                assert_eq!(is_sound(&path, &check).unwrap(), sound, "{check:?}, {bytes}");
            }
        }
    }
}
