//! Digest files: what remote files must hash to, as `b3sum` and `sha256sum` print it.
//!
//! A line is a digest, blanks, and a URL; empty lines and lines that begin with `#` say nothing. Which hash
//! function it is, the file's name says: `.b3` or `.sha256`. One file serves many pipelines, and what
//! checks files against such lists reads it too.

use std::collections::BTreeMap;
use std::path::Path;

use super::fields::Faults;
use super::origin::Origins;
use super::yaml::At;
use crate::action::Pin;
use crate::diag::{Code, Diagnostic, Place, nearest, without_query};

/// The digests of remote files by URL.
#[derive(Debug, Default)]
pub(super) struct Pins {
    by_url: BTreeMap<String, Pin>,
}

impl Pins {
    /// Reads the digest files that a pipeline names.
    pub(super) fn read(files: &[(String, At)], origins: &Origins, faults: &mut Faults) -> Self {
        let mut pins = Self::default();
        for (name, at) in files {
            let Some(function) = function_of(name) else {
                let fault = Diagnostic::error(
                    Code::DigestFile,
                    format!("`{name}` does not say which digests it holds"),
                )
                .help("name it `.b3` if `b3sum` wrote it, `.sha256` if `sha256sum` did");
                faults.push((at.clone(), fault));
                continue;
            };
            let path = origins.folder(at).join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => pins.take(&text, function, &path, at, faults),
                Err(error) => {
                    let fault = Diagnostic::error(
                        Code::DigestFile,
                        format!("cannot read `{}`: {error}", path.display()),
                    )
                    .help("a digest file's path is relative to the file that says it");
                    faults.push((at.clone(), fault));
                }
            }
        }
        pins
    }

    /// What the file behind `url` must hash to.
    pub(super) fn get(&self, url: &str) -> Option<&Pin> {
        self.by_url.get(url)
    }

    /// The pinned URL that `url` may be a slip of.
    pub(super) fn nearest(&self, url: &str) -> Option<&str> {
        nearest(url, self.by_url.keys().map(String::as_str))
    }

    fn take(&mut self, text: &str, function: Function, path: &Path, at: &At, faults: &mut Faults) {
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |message: String, help: &str| {
                let width = line.chars().count();
                let place = Place {
                    file: path.to_owned(),
                    line: number + 1,
                    column: 1,
                    width,
                    source: line.to_owned(),
                };
                (at.clone(), Diagnostic::error(Code::DigestFile, message).at(place).help(help))
            };
            let Some((digest, url)) = line.split_once(char::is_whitespace) else {
                faults.push(fault("a line is a digest and a URL".to_owned(), "write `DIGEST  URL`"));
                continue;
            };
            let Some(pin) = pin(function, digest) else {
                let digest = without_query(digest);
                let message = format!("`{digest}` is no digest: it has 64 hexadecimal digits");
                faults.push(fault(message, "`b3sum FILE` or `sha256sum FILE` prints it"));
                continue;
            };
            // `sha256sum` marks a file that it read as binary.
            let url = url.trim().trim_start_matches('*');
            let first = self.by_url.entry(url.to_owned()).or_insert_with(|| pin.clone());
            if first.function() == pin.function() && *first != pin {
                let url = without_query(url);
                let message = format!("`{url}` has two digests, and the other is {}", first.hex());
                faults.push(fault(message, "keep the one of the file that you mean"));
            }
        }
    }
}

/// A hash function that digests may be of.
#[derive(Clone, Copy)]
pub(super) enum Function {
    Blake3,
    Sha256,
}

/// A digest in hexadecimal digits.
pub(super) fn pin(function: Function, hex: &str) -> Option<Pin> {
    // Both functions make 32 bytes.
    let digest = hex.parse::<crate::digest::Digest>().ok()?;
    Some(match function {
        Function::Blake3 => Pin::Blake3(digest),
        Function::Sha256 => Pin::Sha256(digest.hex()),
    })
}

fn function_of(name: &str) -> Option<Function> {
    match Path::new(name).extension()?.to_str()? {
        "b3" | "blake3" | "b3sum" => Some(Function::Blake3),
        "sha256" | "sha256sum" => Some(Function::Sha256),
        _ => None,
    }
}
