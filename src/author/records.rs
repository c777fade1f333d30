//! Files of records: the head of a file, field by field.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::action::Format;

/// How much of a file is looked at, in bytes. What is learned of a larger one is an estimate.
pub(super) const HEAD: u64 = 32 << 20;

/// A field's value, as far as it matters for what it could be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Absent, null, or an empty cell.
    Nothing,
    Text(String),
    /// A cell of a table that looks like a number or a truth value, but is a text as all cells are.
    Cell(String),
    /// JSON's whole number or truth value: a label, written as this.
    Name(String),
    /// JSON's number that is not whole.
    Number,
    /// A list or an object.
    Nested,
}

/// A record's fields: a table's in its order, those of a JSON object by name.
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
    /// Two columns of a table have one name.
    #[error("`{}` has more than one column `{column}`", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
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
            Self::Columns { .. } => Some("give each column a name of its own".to_owned()),
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
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let records = match Format::of_name(&path.to_string_lossy()) {
        Some(Format::Csv) => table(path, text, b',', whole)?,
        Some(Format::Tsv) => table(path, text, b'\t', whole)?,
        Some(Format::Jsonl) => lines(path, text)?,
        Some(Format::Lines) => {
            return Err(format(
                "plain text, without labels",
                "name it with `--corpus`; labelled data is CSV, TSV or JSONL",
            ));
        }
        None if is_json && text.trim_start().starts_with('[') => {
            return Err(format(
                "one JSON list",
                "write a record a line: `jq -c '.[]' FILE.json > FILE.jsonl`",
            ));
        }
        None if is_json => {
            return Err(format("named `.json`", "if it has a JSON object a line, name it `.jsonl`"));
        }
        Some(Format::Parquet) | None => {
            return Err(format("of no known format", "name it `.jsonl`, `.csv` or `.tsv`, whichever it is"));
        }
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

/// The records of a table, or of the head of one that is not `whole`.
fn table(path: &Path, text: &str, delimiter: u8, whole: bool) -> Result<Vec<Record>, RecordsError> {
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
    check_header(path, &header)?;
    let mut rows: Vec<Result<csv::StringRecord, csv::Error>> = reader.records().collect();
    if !whole {
        // The last line may end within a quoted value.
        rows.pop();
    }
    let mut records = vec![];
    for row in rows {
        let record = row.map_err(|error| broken(&error))?;
        let named = header.iter().zip(&record).filter(|(name, _)| !name.is_empty());
        records.push(named.map(|(name, cell)| (name.to_owned(), of_cell(cell))).collect());
    }
    Ok(records)
}

/// Refuses names of columns that come twice, or that are one since another character separates them. Columns
/// without a name are passed over.
fn check_header(path: &Path, header: &csv::StringRecord) -> Result<(), RecordsError> {
    if header.len() == 1 && header.iter().any(|name| name.contains(';')) {
        return Err(RecordsError::Format {
            path: path.to_owned(),
            what: "separated by semicolons, as it seems: its first row names one column".to_owned(),
            help: "`tokenize` reads commas (`.csv`) or tabs (`.tsv`): save it with one of these".to_owned(),
        });
    }
    let mut names = BTreeSet::new();
    match header.iter().find(|name| !name.is_empty() && !names.insert(*name)) {
        Some(name) => Err(RecordsError::Columns { path: path.to_owned(), column: name.to_owned() }),
        None => Ok(()),
    }
}

fn of_cell(cell: &str) -> Value {
    if cell.is_empty() {
        Value::Nothing
    } else if cell.parse::<f64>().is_ok() || matches!(cell, "true" | "false" | "True" | "False") {
        Value::Cell(cell.to_owned())
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
        let mut record = vec![];
        fields.into_iter().for_each(|(name, value)| spread(name, value, &mut record));
        records.push(record);
    }
    Ok(records)
}

/// Adds a field, or of an object its fields, as `tokenize` names them: `meta.body`.
fn spread(name: String, value: Json, record: &mut Record) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            for (inner, value) in fields {
                spread(format!("{name}.{inner}"), value, record);
            }
        }
        value => record.push((name, of_json(value))),
    }
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
