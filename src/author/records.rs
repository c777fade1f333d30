//! Files of records: the head of a file, field by field.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// How much of a file is looked at, in bytes. What is learned of a larger one is an estimate.
pub(super) const HEAD: u64 = 32 << 20;

/// A field's value, as far as it matters for what it could be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Absent, null, or an empty cell.
    Nothing,
    Text(String),
    /// A whole number or a truth value: a label, written as this.
    Name(String),
    /// A number that is not whole.
    Number,
    /// A list or an object.
    Nested,
}

/// A record: its fields in the file's order.
pub(super) type Record = Vec<(String, Value)>;

/// What the head of a file holds.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) records: Vec<Record>,
    /// Bytes of the whole file.
    pub(super) size: u64,
    /// Bytes that were looked at.
    pub(super) looked_at: u64,
}

/// Why a file cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The system refused.
    #[error("failed to read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is of no format that is read.
    #[error("`{}` is {what}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
        /// The way out.
        help: String,
    },
    /// A record is broken.
    #[error("`{}` has a broken record in line {line}: {what}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// There is no record.
    #[error("`{}` has no record", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl RecordsError {
    /// The way out.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Format { help, .. } => Some(help.clone()),
            Self::Broken { .. } => Some("mend the line, or leave it out".to_owned()),
            Self::Empty { .. } => {
                Some("name a file with a record a line, such as `{\"text\": …, \"label\": …}`".to_owned())
            }
        }
    }
}

/// The records at the head of a file, whose name says how it is written.
pub(super) fn read(path: &Path) -> Result<Head, RecordsError> {
    let io = |source| RecordsError::Io { path: path.to_owned(), source };
    let format = |what: &str, help: &str| RecordsError::Format {
        path: path.to_owned(),
        what: what.to_owned(),
        help: help.to_owned(),
    };
    let mut file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    if meta.is_dir() {
        return Err(format("a folder", "name the file in it: `--data FILE`"));
    }
    let mut bytes = vec![];
    file.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(io)?;
    let whole = bytes.len() as u64 == meta.len();
    if let Some(what) = foreign(&bytes) {
        return Err(format(what, "save it as CSV (UTF-8), or as a JSON object a line"));
    }
    if !whole {
        // The last line may be cut.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).matches('\n').count() + 1;
        format(
            &format!("not UTF-8 text: there is a stray byte in line {line}"),
            "save it as UTF-8: `iconv -f LATIN1 -t UTF-8 FILE > NEW` does it for a file of the West",
        )
    })?;
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let records = match extension.as_deref() {
        Some("csv") => table(path, text, b',')?,
        Some("tsv" | "tab") => table(path, text, b'\t')?,
        Some("jsonl" | "ndjson") => lines(path, text)?,
        Some("json") if text.trim_start().starts_with('[') => {
            return Err(format(
                "one JSON list",
                "write a record a line: `jq -c '.[]' FILE.json > FILE.jsonl`",
            ));
        }
        Some("json") => {
            return Err(format("named `.json`", "if it has a JSON object a line, name it `.jsonl`"));
        }
        Some("txt") => {
            return Err(format(
                "plain text, without labels",
                "name it with `--corpus`; labelled data is CSV, TSV or JSONL",
            ));
        }
        _ => return Err(format("of no known format", "name it `.jsonl`, `.csv` or `.tsv`, whichever it is")),
    };
    if records.is_empty() {
        return Err(RecordsError::Empty { path: path.to_owned() });
    }
    Ok(Head { records, size: meta.len(), looked_at: bytes.len() as u64 })
}

/// What a file is that is no text at all.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    if begins(b"PAR1") {
        Some("a Parquet file")
    } else if begins(b"\x1f\x8b") || begins(b"\x28\xb5\x2f\xfd") {
        Some("compressed")
    } else if begins(b"PK\x03\x04") {
        Some("a zip archive, or a spreadsheet")
    } else if begins(b"\xff\xfe") || begins(b"\xfe\xff") {
        Some("UTF-16 text")
    } else if bytes[..bytes.len().min(8192)].contains(&0) {
        Some("binary")
    } else {
        None
    }
}

fn table(path: &Path, text: &str, delimiter: u8) -> Result<Vec<Record>, RecordsError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let broken = |error: &csv::Error| RecordsError::Broken {
        path: path.to_owned(),
        line: error.position().map_or(1, csv::Position::line),
        what: match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("it has {len} fields, and those above have {expected_len}")
            }
            _ => error.to_string(),
        },
    };
    let header = reader.headers().map_err(|error| broken(&error))?.clone();
    let mut records = vec![];
    for record in reader.records() {
        let record = record.map_err(|error| broken(&error))?;
        let fields = header.iter().zip(&record).map(|(name, cell)| (name.to_owned(), of_cell(cell)));
        records.push(fields.collect());
    }
    Ok(records)
}

fn of_cell(cell: &str) -> Value {
    if cell.is_empty() {
        Value::Nothing
    } else if cell.parse::<i64>().is_ok() || matches!(cell, "true" | "false" | "True" | "False") {
        Value::Name(cell.to_owned())
    } else if cell.parse::<f64>().is_ok() {
        Value::Number
    } else {
        Value::Text(cell.to_owned())
    }
}

fn lines(path: &Path, text: &str) -> Result<Vec<Record>, RecordsError> {
    let mut records = vec![];
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let broken =
            |what: String| RecordsError::Broken { path: path.to_owned(), line: index as u64 + 1, what };
        let Json::Object(fields) = serde_json::from_str(line).map_err(|error| broken(error.to_string()))?
        else {
            return Err(broken("it is no JSON object".to_owned()));
        };
        records.push(fields.into_iter().map(|(name, value)| (name, of_json(value))).collect());
    }
    Ok(records)
}

fn of_json(value: Json) -> Value {
    match value {
        Json::Null => Value::Nothing,
        Json::String(text) => Value::Text(text),
        Json::Bool(truth) => Value::Name(truth.to_string()),
        Json::Number(number) if number.is_f64() => Value::Number,
        Json::Number(number) => Value::Name(number.to_string()),
        Json::Array(_) | Json::Object(_) => Value::Nested,
    }
}
