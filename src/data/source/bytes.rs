//! A file's bytes: hashed as they are read, and unpacked where they are packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

use super::{Fault, SourceError};
use crate::action::InputFile;
use crate::digest::Digest;

/// Bytes that are read at once.
const AT_ONCE: usize = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why reading ended before the file did.
pub(super) enum Stop {
    /// Nobody takes blocks any more.
    Unheard,
    /// The file is not what its format says, so that no line of it can be read.
    Fault(Fault),
    /// The bytes could not be read, or not unpacked.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file, packed or not. Which it is, its first bytes say: no text begins with them.
pub(super) enum Packed {
    Plain(Box<BufReader<Hashing>>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<Hashing>>>>),
    Zstd(Box<BufReader<zstd::Decoder<'static, BufReader<Hashing>>>>),
}

/// A file that hashes what is read of it.
pub(super) struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl Packed {
    /// Opens a file at its start.
    pub(super) fn open(role: &str, file: &InputFile) -> Result<Self, SourceError> {
        let raw = Hashing { file: open(role, file)?, hasher: blake3::Hasher::new() };
        let mut raw = BufReader::with_capacity(AT_ONCE, raw);
        let unreadable =
            |error: io::Error| SourceError::Read { file: file.name.clone(), why: error.to_string() };
        let start = raw.fill_buf().map_err(unreadable)?;
        if start.starts_with(&GZIP) {
            Ok(Self::Gzip(Box::new(BufReader::with_capacity(AT_ONCE, MultiGzDecoder::new(raw)))))
        } else if start.starts_with(&ZSTD) {
            let decoder = zstd::Decoder::with_buffer(raw).map_err(unreadable)?;
            Ok(Self::Zstd(Box::new(BufReader::with_capacity(AT_ONCE, decoder))))
        } else {
            Ok(Self::Plain(Box::new(raw)))
        }
    }

    /// What packed it.
    pub(super) fn packing(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Gzip(_) => Some("gzip"),
            Self::Zstd(_) => Some("zstd"),
        }
    }

    /// Reads what is left of the file, and holds all of it against its digest.
    pub(super) fn verify(self, role: &str, file: &InputFile) -> Result<(), SourceError> {
        let mut raw = match self {
            Self::Plain(raw) => *raw,
            Self::Gzip(decoder) => decoder.into_inner().into_inner(),
            Self::Zstd(decoder) => decoder.into_inner().finish(),
        }
        .into_inner();
        let mut rest = vec![0; AT_ONCE];
        loop {
            match raw.read(&mut rest) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(SourceError::Read { file: file.name.clone(), why: error.to_string() });
                }
                Ok(_) | Err(_) => {}
            }
        }
        check(role, file, raw.hasher.finalize().into())
    }
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(buffer),
            Self::Gzip(input) => input.read(buffer),
            Self::Zstd(input) => input.read(buffer),
        }
    }
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(input) => input.fill_buf(),
            Self::Gzip(input) => input.fill_buf(),
            Self::Zstd(input) => input.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Plain(input) => input.consume(count),
            Self::Gzip(input) => input.consume(count),
            Self::Zstd(input) => input.consume(count),
        }
    }
}

/// Opens a file as it lies.
pub(super) fn open(role: &str, file: &InputFile) -> Result<File, SourceError> {
    File::open(&file.path).map_err(|error| {
        // Another stage may have found it bad, and had it set aside, since this one was started.
        if file.stored && error.kind() == ErrorKind::NotFound {
            SourceError::Damaged { role: role.to_owned(), file: file.name.clone(), how: "it is gone" }
        } else {
            SourceError::Read { file: file.name.clone(), why: error.to_string() }
        }
    })
}

/// Holds a file against its digest.
pub(super) fn verify(role: &str, file: &InputFile) -> Result<(), SourceError> {
    let digest = Digest::of_reader(open(role, file)?)
        .map_err(|error| SourceError::Read { file: file.name.clone(), why: error.to_string() })?;
    check(role, file, digest)
}

fn check(role: &str, file: &InputFile, digest: Digest) -> Result<(), SourceError> {
    if digest == file.digest {
        return Ok(());
    }
    let name = file.name.clone();
    Err(if file.stored {
        let how = "its bytes do not match its digest";
        SourceError::Damaged { role: role.to_owned(), file: name, how }
    } else {
        SourceError::Changed { file: name }
    })
}
