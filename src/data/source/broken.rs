//! What is wrong with sources, in the words the user sees.

use std::collections::BTreeSet;
use std::fmt;

use crate::diag::{Code, nearest};

/// How many labels that `label_map` lacks are kept: a column of free text has one for each record.
const COUNTED: usize = 1000;
/// How many broken lines are shown.
const SHOWN: usize = 10;
/// How much of a broken line is shown, in characters.
const EXCERPT: usize = 80;
/// How many columns are named.
const COLUMNS: usize = 20;

/// Why files give no texts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Lines that are not what the format says; a line each.
    #[error("{0}")]
    Broken(Broken),
    /// A file of which no line can be read.
    #[error("`{file}` {fault}")]
    Fault {
        /// The file.
        file: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// There is no text.
    #[error("split `{split}` has no text: {why}")]
    Empty {
        /// The split.
        split: String,
        /// Its files, and what became of what is in them.
        why: String,
    },
    /// A field of several that are joined, which is nowhere.
    #[error("no record of {files} has a field `{field}`; the first has {}", named(.keys))]
    NoField {
        /// The files, as a message has them.
        files: String,
        /// The field.
        field: String,
        /// The fields of the first record.
        keys: Vec<String>,
    },
    /// A file that cannot be read.
    #[error("cannot read {file}: {why}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        why: String,
    },
    /// A packed file that is cut or damaged.
    #[error("cannot unpack {file}, which is cut or no good {packing}: {why}")]
    Unpack {
        /// The file.
        file: String,
        /// `gzip` or `zstd`.
        packing: &'static str,
        /// What the unpacker says.
        why: String,
    },
    /// The user's file is not the one that the plan was made with.
    #[error("{file} changed while the pipeline was running")]
    Changed {
        /// The file.
        file: String,
    },
    /// An object of the store that is not what its name says.
    #[error("{file} is damaged in the store: {how}")]
    Damaged {
        /// The input's role.
        role: String,
        /// What to call it.
        file: String,
        /// What became of it.
        how: &'static str,
    },
}

/// Why no line of a file can be read. Fits after the file's name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that goes on and on.
    #[error("has a line of more than 256 MiB, line {line}: that is no line of text")]
    Long {
        /// Its number.
        line: u64,
    },
    /// A column that is not there.
    #[error("has no column `{column}`; its columns are {}", named(.columns))]
    NoColumn {
        /// The column.
        column: String,
        /// Those that are there.
        columns: Vec<String>,
        /// The field of the pipeline that names the column, if one does.
        said: Option<&'static str>,
    },
    /// A column that is there twice.
    #[error("has more than one column `{column}`")]
    Columns {
        /// The column.
        column: String,
    },
    /// A quote that nothing closes.
    #[error("has a quote that opens in the row of line {line} and is never closed")]
    Unclosed {
        /// The line that the row begins on.
        line: u64,
    },
    /// Names of columns that are no text.
    #[error("does not begin with a row of column names: {0}")]
    Header(String),
    /// Not Parquet, or Parquet that cannot be read.
    #[error("cannot be read as Parquet: {0}")]
    Parquet(String),
}

impl SourceError {
    /// What kind of fault it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Broken(_) | Self::Fault { .. } | Self::NoField { .. } | Self::Unpack { .. } => {
                Code::BrokenTexts
            }
            Self::Empty { .. } => Code::EmptySplit,
            Self::Read { .. } => Code::UnreadableFile,
            Self::Changed { .. } => Code::ChangedFile,
            Self::Damaged { .. } => Code::Damaged,
        }
    }

    /// The field of the pipeline that it is about, where it is one that the pipeline says.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Broken(broken) => broken.field(),
            Self::Fault { fault: Fault::NoColumn { said, .. }, .. } => *said,
            Self::NoField { .. } => Some("text"),
            _ => None,
        }
    }

    /// The way out, where one is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Broken(broken) => Some(broken.help()),
            Self::NoField { field, keys, .. } => Some(match near(field, keys) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`text` names the fields; one that some records lack is left out there".to_owned(),
            }),
            Self::Fault { file, fault: Fault::Parquet(_) } if is_packed(file) => {
                Some("unpack it: Parquet packs its columns itself".to_owned())
            }
            Self::Fault { fault, .. } => fault.help(),
            Self::Unpack { .. } => Some("bring the file here anew".to_owned()),
            Self::Changed { .. } => Some("run the pipeline again".to_owned()),
            Self::Empty { .. } | Self::Read { .. } | Self::Damaged { .. } => None,
        }
    }
}

/// Whether a file's name says that it is packed.
fn is_packed(name: &str) -> bool {
    matches!(name.rsplit_once('.'), Some((_, "gz" | "zst")))
}

impl Fault {
    fn help(&self) -> Option<String> {
        match self {
            Self::NoColumn { column, columns, .. } => Some(match near(column, columns) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`text` and `label` name the columns; the first row of a table holds their names"
                    .to_owned(),
            }),
            Self::Columns { .. } => Some("give each column a name of its own".to_owned()),
            Self::Unclosed { .. } => {
                Some("if a quote means nothing in this file, say `quotes: false`".to_owned())
            }
            Self::Header(_) => Some("write the names of the columns into the first row".to_owned()),
            Self::Parquet(why) if why.contains("feature") => {
                Some("write it with another compression, such as zstd".to_owned())
            }
            Self::Long { .. } | Self::Parquet(_) => None,
        }
    }
}

/// The name that is likely meant by another.
fn near<'n>(wanted: &str, names: &'n [String]) -> Option<&'n str> {
    let names = || names.iter().map(String::as_str).filter(|name| *name != wanted);
    let loose = |name: &str| name.trim().to_lowercase() == wanted.trim().to_lowercase();
    names().find(|name| loose(name)).or_else(|| nearest(wanted, names()))
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong<'b> {
    what: String,
    /// The line, if it is a record that lacks the text's field.
    pub lacking: Option<&'b str>,
}

impl<'b> Wrong<'b> {
    /// The same of a record that lacks the text's field.
    #[must_use]
    pub(super) fn lacking(self, line: &'b str) -> Self {
        Self { lacking: Some(line), ..self }
    }
}

impl From<String> for Wrong<'_> {
    fn from(what: String) -> Self {
        Self { what, lacking: None }
    }
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Lines that are broken: the first of them, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Broken {
    lines: Vec<((usize, u64), String, String)>,
    count: u64,
    /// The fields of the pipeline that they are about; none of a line that is wrong whatever the pipeline says.
    fields: BTreeSet<Option<&'static str>>,
    /// The labels that `label_map` lacks.
    unmapped: BTreeSet<String>,
    /// A field that no record has, and those that the first has.
    lacks: Option<(String, Vec<String>)>,
}

impl Broken {
    /// Adds a line: its file's place among the source's and its number, what to call it, what is wrong with it, and
    /// the field of the pipeline that it is about. What to call it and what is wrong are asked for only where they
    /// will be shown.
    pub fn add(
        &mut self,
        spot: (usize, u64),
        called: impl FnOnce() -> String,
        what: impl FnOnce() -> String,
        field: Option<&'static str>,
    ) {
        self.count += 1;
        self.fields.insert(field);
        if self.lines.len() < SHOWN {
            self.lines.push((spot, called(), what()));
        }
    }

    /// Adds a line whose label `label_map` lacks.
    pub fn add_unmapped(&mut self, spot: (usize, u64), called: impl FnOnce() -> String, label: &str) {
        let label = excerpt(label);
        self.add(spot, called, || format!("the label `{label}` is not in `label_map`"), Some("label_map"));
        if self.unmapped.len() < COUNTED {
            self.unmapped.insert(label);
        }
    }

    /// That no record has `field`; the first has `keys`.
    pub fn lacks(&mut self, field: &str, keys: Vec<String>) {
        self.lacks.get_or_insert((field.to_owned(), keys));
    }

    /// The same lines with what is wrong with them in other words.
    #[must_use]
    pub fn explain(mut self, words: impl Fn(&str) -> String) -> Self {
        for (_, _, what) in &mut self.lines {
            *what = words(what);
        }
        self
    }

    /// Adds the lines of `more`.
    pub fn merge(&mut self, more: Self) {
        self.lines.extend(more.lines);
        self.lines.sort_by_key(|(place, ..)| *place);
        self.lines.truncate(SHOWN);
        self.count += more.count;
        self.fields.extend(more.fields);
        self.unmapped.extend(more.unmapped);
        self.lacks = self.lacks.take().or(more.lacks);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The field of the pipeline that all of them are about.
    fn field(&self) -> Option<&'static str> {
        self.fields.first().copied().flatten().filter(|_| self.fields.len() == 1)
    }

    fn help(&self) -> String {
        if self.field() == Some("label_map") {
            let unmapped: Vec<String> = self.unmapped.iter().cloned().collect();
            return format!(
                "give {} a line of `label_map`; `'*'` stands for every label that is not named",
                named(&unmapped)
            );
        }
        match self.lacks.as_ref().filter(|(field, keys)| self.fields.len() == 1 && !keys.contains(field)) {
            Some((field, keys)) => match near(field, keys) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("`text` and `label` name the fields; the first record has {}", named(keys)),
            },
            None => "`text` and `label` name the fields; a file of plain lines ends in `.txt`".to_owned(),
        }
    }

    fn text(&self) -> String {
        let mut shown: Vec<String> =
            self.lines.iter().map(|(_, called, what)| format!("{called}: {what}")).collect();
        let more = self.count - self.lines.len() as u64;
        if more > 0 {
            shown.push(format!("and {more} more lines like these"));
        }
        shown.join("\n")
    }
}

fn named(names: &[String]) -> String {
    let mut shown: Vec<String> =
        names.iter().take(COLUMNS).map(|name| format!("`{}`", excerpt(name))).collect();
    if names.len() > COLUMNS {
        shown.push(format!("and {} more", names.len() - COLUMNS));
    }
    shown.join(", ")
}

/// What is wrong with bytes of which the first `valid` are UTF-8.
pub(super) fn not_utf8(bytes: &[u8], valid: usize) -> String {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let column = before.chars().count();
    let context = before.chars().skip(column.saturating_sub(EXCERPT / 2)).collect::<String>()
        + &String::from_utf8_lossy(&bytes[valid..bytes.len().min(valid + EXCERPT)]);
    let byte = bytes.get(valid).copied().unwrap_or_default();
    format!("expected UTF-8, found the byte 0x{byte:02x} at column {}: {}", column + 1, excerpt(&context))
}

/// The start of a line, fit to be printed.
pub(in crate::data) fn excerpt(line: &str) -> String {
    let printable = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let mut cut: String = line.chars().take(EXCERPT).map(printable).collect();
    if line.chars().nth(EXCERPT).is_some() {
        cut.push('…');
    }
    cut
}
