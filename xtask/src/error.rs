//! What can go wrong in the set-up: the cause, and the way out.

use crate::libtorch::VERSION;
use crate::tell::bytes;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The way round anything that concerns the download.
const BY_HAND: &str = "or unpack a libtorch yourself and name its folder: TARTAN_LIBTORCH=/path/to/libtorch";

#[derive(Debug)]
pub(crate) enum Error {
    /// Not a command of this program.
    Usage(String),
    /// Not a value of `TARTAN_LIBTORCH`.
    Choice(String),
    /// No wheel of libtorch is known to run here.
    Platform(String),
    NoCompiler,
    NoPython,
    NoPip,
    OldPip(String),
    /// One of our Python tasks failed with this line.
    Python(String),
    /// pip could not reach the index. What it said has been passed on, here and below.
    Network,
    /// A wheel is not the one that was pinned.
    Hash,
    /// The index has no such wheel.
    NotThere,
    /// pip failed otherwise.
    Pip,
    DiskFull {
        folder: PathBuf,
        needed: u64,
        free: u64,
    },
    NoCacheFolder,
    /// The cache folder cannot be made or locked.
    Cache {
        path: PathBuf,
        source: io::Error,
    },
    /// `.libtorch` is something that the set-up did not make.
    NotALink(PathBuf),
    /// The folder that was named is no libtorch.
    NotLibtorch {
        folder: PathBuf,
        lacks: String,
    },
    /// What was unpacked does not load here.
    Load(String),
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    Start {
        program: String,
        source: io::Error,
    },
    /// A program that was started failed with this exit code; it has said why itself.
    Failed(u8),
}

/// Attach to an I/O error what was being done, and to which file.
pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}

impl Error {
    /// The exit code: 2 for a wrong command, as `tartan` has it, 1 for the rest.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Choice(_) => 2,
            Self::Failed(code) => *code,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}\n`cargo xtask help` lists the commands"),
            Self::Choice(value) => write!(
                f,
                "TARTAN_LIBTORCH is `{value}`\nit may be `cpu`, `cuda`, `download`, or the path of a libtorch {VERSION}"
            ),
            Self::Platform(what) => write!(
                f,
                "there is no libtorch {VERSION} to download for {what}\n\
                 it is known for Linux (glibc 2.28 or later) on x86_64 and aarch64, and macOS on arm64\n{BY_HAND}"
            ),
            Self::NoCompiler => write!(
                f,
                "there is no C++ compiler: neither CXX is set, nor is there a `c++` on the PATH\n\
                 install one: `apt-get install g++`, `dnf install gcc-c++`, or on macOS `xcode-select --install`"
            ),
            Self::NoPython => write!(
                f,
                "there is no `python3` on the PATH, which is what gets libtorch\n\
                 install Python 3.8 or later, with pip, {BY_HAND}"
            ),
            Self::NoPip => write!(
                f,
                "python3 has no pip, which is what gets libtorch\n\
                 install it: `apt-get install python3-pip`, or `python3 -m ensurepip --user`, {BY_HAND}"
            ),
            Self::OldPip(version) => write!(
                f,
                "pip {version} is too old to choose a wheel by platform (21.0 or later can)\n\
                 `python3 -m pip install --user --upgrade pip`, {BY_HAND}"
            ),
            Self::Python(why) => write!(f, "python3 failed: {why}"),
            Self::Network => write!(
                f,
                "the package index could not be reached; pip's words are above\n\
                 look at the network and at pip's settings (`python3 -m pip config list`, HTTPS_PROXY), then run \
                 this again: what has arrived whole is kept\n{BY_HAND}"
            ),
            Self::Hash => write!(
                f,
                "a wheel is not the one that was pinned; pip's words are above\n\
                 either it was changed on its way, or pip's settings name an index with another build of torch \
                 (`python3 -m pip config list`, PIP_INDEX_URL, PIP_FIND_LINKS)\n{BY_HAND}"
            ),
            Self::NotThere => write!(
                f,
                "pip finds no such wheel; its words are above\n\
                 its settings may name an index that lacks it (`python3 -m pip config list`)\n{BY_HAND}"
            ),
            Self::Pip => write!(f, "pip failed; its words are above\n{BY_HAND}"),
            Self::DiskFull { folder, needed, free } => write!(
                f,
                "{} has {} free, and libtorch needs {} while it is unpacked\n\
                 free some space, or put the cache elsewhere: XDG_CACHE_HOME=/path/with/space",
                folder.display(),
                bytes(*free),
                bytes(*needed)
            ),
            Self::NoCacheFolder => {
                write!(
                    f,
                    "there is no folder to keep libtorch in\nset HOME, or XDG_CACHE_HOME to an absolute path"
                )
            }
            Self::NotALink(path) => write!(
                f,
                "{} is not a link that the set-up made, and not a whole libtorch\nmove it away and run this again",
                path.display()
            ),
            Self::NotLibtorch { folder, lacks } => write!(
                f,
                "{} is no libtorch {VERSION}: {lacks}\n\
                 TARTAN_LIBTORCH names the folder that holds `include` and `lib`",
                folder.display()
            ),
            Self::Load(why) => write!(f, "libtorch was unpacked, but does not load here: {why}\n{BY_HAND}"),
            Self::Cache { path, source } => write!(
                f,
                "could not write {}: {source}\nput the cache elsewhere: XDG_CACHE_HOME=/path/you/can/write",
                path.display()
            ),
            Self::File { action, path, source } => {
                write!(f, "could not {action} {}: {source}", path.display())?;
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                    write!(
                        f,
                        "\nfree some space, or put the cache elsewhere: XDG_CACHE_HOME=/path/with/space"
                    )?;
                }
                Ok(())
            }
            Self::Start { program, source } => write!(f, "could not start {program}: {source}"),
            Self::Failed(code) => write!(f, "stopped with exit code {code}"),
        }
    }
}
