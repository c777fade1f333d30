//! What can go wrong with the store, and the way out.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::diag::Code;
use crate::digest::Digest;

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An object is missing or was not what its name says; it is set aside by now.
    #[error("object {} is missing or damaged", digest.short())]
    Corrupt {
        /// The object.
        digest: Digest,
    },
    /// The store was made by a program of another format.
    #[error("the store {} has format {found}; this program knows format {known}", root.display())]
    OtherFormat {
        /// The store.
        root: PathBuf,
        /// Its format.
        found: u32,
        /// The one format that can be read.
        known: u32,
    },
    /// The folder holds a `format` file of something else.
    #[error("{} is not a store: its file `format` says something else", root.display())]
    NoStore {
        /// The folder.
        root: PathBuf,
    },
    /// Not a regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// A name that is not UTF-8 cannot be an output.
    #[error("the name of {} is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Somebody wrote to a file while it was read.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The lock held is not that of the manifest's key.
    #[error("the lock of {} does not allow a result of {}", held.short(), key.short())]
    WrongLock {
        /// The key whose lock is held.
        held: Digest,
        /// The manifest's key.
        key: Digest,
    },
    /// A record could not be put into words.
    #[error("cannot encode {}: {source}", path.display())]
    Encode {
        /// The file it was for.
        path: PathBuf,
        /// The encoder's reason.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// What kind of fault it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Corrupt { .. } => Code::Damaged,
            Self::OtherFormat { .. } | Self::NoStore { .. } => Code::OtherStore,
            Self::NotAFile { .. } => Code::NotAFile,
            Self::Changed { .. } => Code::ChangedFile,
            Self::Io { .. } | Self::Name { .. } | Self::WrongLock { .. } | Self::Encode { .. } => {
                Code::System
            }
        }
    }

    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::Io { path, source, .. } => return io_help(path, source),
            Self::Corrupt { .. } => "run again: what made it is run once more",
            Self::OtherFormat { found, known, .. } if found > known => {
                "use the newer program that made it, or another store with `--cache DIR`"
            }
            Self::OtherFormat { .. } => "choose another store with `--cache DIR`, or delete this one",
            Self::NoStore { .. } => "choose another folder with `--cache DIR`",
            Self::NotAFile { .. } => "only regular files can be read or kept",
            Self::Name { .. } => "rename the file",
            Self::Changed { .. } => "wait until whatever writes it is done, then run again",
            Self::WrongLock { .. } | Self::Encode { .. } => return None,
        };
        Some(help.to_owned())
    }
}

fn io_help(path: &Path, error: &io::Error) -> Option<String> {
    let help = match error.kind() {
        ErrorKind::StorageFull => {
            "free some space (`tartan cache gc` frees what no pipeline reaches), or use a store on another disk with `--cache DIR`"
        }
        ErrorKind::QuotaExceeded => {
            "your quota is used up: free some space, or use a store elsewhere with `--cache DIR`"
        }
        ErrorKind::PermissionDenied => {
            return Some(format!(
                "check who owns {} and its permissions, or use a store of your own with `--cache DIR`",
                path.display()
            ));
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the disk is mounted read-only: use a store elsewhere with `--cache DIR`"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file is in the way of a folder: remove it, or use another folder"
        }
        ErrorKind::IsADirectory => "a folder is in the way of a file: remove it, or use another folder",
        ErrorKind::CrossesDevices => {
            "all of a store must be on one file system: do not link its folders elsewhere"
        }
        ErrorKind::StaleNetworkFileHandle => "the file was replaced on the server meanwhile: run again",
        ErrorKind::Unsupported => {
            "the file system cannot do this (locks, perhaps): use a store on another disk with `--cache DIR`"
        }
        _ => match error.raw_os_error() {
            Some(ENOLCK) => {
                "the file system gives no locks: mount it with locks, or use a store on another disk with `--cache DIR`"
            }
            Some(EIO) => "the disk does not answer as it should: look at the system's log",
            Some(EMFILE | ENFILE) => "too many open files: raise the limit with `ulimit -n`",
            _ => return None,
        },
    };
    Some(help.to_owned())
}

// Errors that `ErrorKind` has no stable name for.
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
const ENOLCK: i32 = rustix::io::Errno::NOLCK.raw_os_error();
const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

/// Says what was tried on what, for `map_err`.
pub(super) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { doing, path, source }
}
