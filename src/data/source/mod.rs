//! Sources: a split's files become texts and their labels, or every line that is broken.
//!
//! Files are read from start to end in blocks, so that memory does not grow with them: a thread reads,
//! hashes and unpacks ([`bytes`]) while the pool makes records of the block before. Each format has a
//! module: [`lines`] for plain lines and JSON objects ([`json`]), [`table`] for CSV and TSV, [`parquet`].
//! A text is copied only where its format's escapes force it. Knows nothing of tokens.

mod broken;
mod bytes;
mod json;
mod lines;
mod parquet;
mod table;
#[cfg(test)]
pub(super) mod tests;

use std::borrow::Cow;
use std::sync::mpsc::{SyncSender, sync_channel};

use rayon::ThreadPool;

pub(super) use broken::excerpt;
pub use broken::{Broken, Fault, SourceError, Wrong};
pub(super) use json::keys;

use crate::action::{Format, InputFile, Tokenize};
use bytes::Packed;

/// The text's field where none is named.
const TEXT: &str = "text";
/// The label's field where none is named.
const LABEL: &str = "label";
/// Bytes of a block: enough to keep a pool busy, little beside what tokenising needs.
const BLOCK: usize = 4 << 20;
/// The longest line or row, in bytes. What is longer is not what its format says.
const LONGEST: usize = 256 << 20;

/// The files of a split.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The split: `train`, `dev`, `test`.
    pub split: &'a str,
    /// How they hold their texts.
    pub format: Format,
    /// The files in their order, each with its role.
    pub files: Vec<(String, &'a InputFile)>,
}

/// Which fields of a record are read, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    text: &'a str,
    more_text: &'a [String],
    join: &'a str,
    label: &'a str,
    /// Whether the pipeline names the label's field: then every record has it.
    pub label_is_named: bool,
    quotes: bool,
}

impl<'a> Fields<'a> {
    /// Those that a `tokenize` stage reads.
    pub fn of(params: &'a Tokenize) -> Self {
        Self {
            text: &params.text,
            more_text: &params.more_text,
            join: &params.join,
            label: params.label.as_deref().unwrap_or(LABEL),
            label_is_named: params.label.is_some(),
            quotes: params.quotes,
        }
    }

    /// The label's field.
    pub fn label(&self) -> &'a str {
        self.label
    }

    /// The field of the pipeline that names the text's fields, if it does.
    pub fn text_said(&self) -> Option<&'static str> {
        (self.text != TEXT || !self.more_text.is_empty()).then_some("text")
    }

    /// The field of the pipeline that names the label's, if it does.
    pub fn label_said(&self) -> Option<&'static str> {
        self.label_is_named.then_some("label")
    }

    /// The first of the text's fields that none of the records has that have `has` together.
    pub fn lacking(&self, has: u64) -> Option<&'a str> {
        self.texts().enumerate().find(|(place, _)| has & bit(*place) == 0).map(|(_, name)| name)
    }

    /// The text's fields, in their order.
    fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::once(self.text).chain(self.more_text.iter().map(String::as_str))
    }

    /// `"title" and "abstract"`
    fn named(&self) -> String {
        self.texts().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ")
    }

    /// The text of a record from those of its fields; nothing where it has none of them.
    fn join<'t>(&self, parts: impl Iterator<Item = Option<Cow<'t, str>>>) -> Option<Cow<'t, str>> {
        let mut whole: Option<Cow<'t, str>> = None;
        for part in parts.flatten() {
            whole = Some(match whole {
                None => part,
                Some(whole) if part.is_empty() => whole,
                Some(whole) if whole.is_empty() => part,
                Some(whole) => Cow::Owned([&whole, self.join, &part].concat()),
            });
        }
        whole
    }
}

/// A field's bit in [`Record::has`].
fn bit(place: usize) -> u64 {
    1 << place.min(63)
}

/// Takes a block's lines, with the place of their file among the source's.
pub type Take<'t, E> = &'t mut dyn FnMut(usize, Vec<Line>) -> Result<(), E>;

/// A line of a file, a row of a table.
#[derive(Debug)]
pub struct Line<'b> {
    /// Its number, from 1: the line it begins on; in Parquet, the row.
    pub number: u64,
    /// What it holds.
    pub content: Content<'b>,
}

/// What a line holds.
#[derive(Debug)]
pub enum Content<'b> {
    /// Nothing but white space.
    Blank,
    /// A text.
    Record(Record<'b>),
    /// Something else than the format says: what is wrong with it.
    Broken(Wrong<'b>),
}

/// A text and its label.
#[derive(Debug)]
pub struct Record<'b> {
    /// The text.
    pub text: Cow<'b, str>,
    /// Its label, numbers and booleans as their JSON text.
    pub label: Option<Cow<'b, str>>,
    /// What to show of the record in messages.
    pub shown: &'b str,
    /// Which of the text's fields it has, a bit each; of many fields, the last bit is of all the rest.
    pub has: u64,
}

/// A piece of a file that can be made records of by itself.
enum Block {
    /// Whole lines.
    Lines {
        bytes: Vec<u8>,
        /// The number of the first.
        first: u64,
    },
    /// Rows that were read one by one.
    Rows(Vec<Row>),
}

/// A row of a table: its number, and its text and label or what is wrong with it.
struct Row {
    number: u64,
    content: Result<(String, Option<String>), String>,
}

impl Source<'_> {
    /// Reads all files and gives their lines to `take`, a block at a time and in order, with the place of
    /// their file among the source's. Records are made on `pool`; `take` is called on this thread. Every
    /// file's bytes have been held against its digest when this returns without an error.
    pub fn each<E: From<SourceError>>(
        &self,
        fields: Fields,
        pool: &ThreadPool,
        take: Take<E>,
    ) -> Result<(), E> {
        for (place, (role, file)) in self.files.iter().enumerate() {
            std::thread::scope(|scope| {
                let (sender, blocks) = sync_channel(1);
                let reader = scope.spawn(move || read(role, file, self.format, fields, &sender));
                let mut taken = Ok(());
                for block in blocks {
                    let lines = pool.install(|| block.lines(self.format, fields));
                    taken = take(place, lines);
                    if taken.is_err() {
                        break;
                    }
                }
                // Whoever is done with the blocks has let go of them, so that the reader ends too.
                let read = reader.join().unwrap_or_else(|_| {
                    Err(SourceError::Read { file: file.name.clone(), why: "its reader panicked".to_owned() })
                });
                // What is wrong with a file that is not the one that was asked for does not matter.
                read.map_err(E::from).and(taken)
            })?;
        }
        Ok(())
    }

    /// What to call a line of one of the files.
    pub fn line(&self, file: usize, number: u64) -> String {
        let name = self.files.get(file).map_or("", |(_, file)| file.name.as_str());
        match self.format {
            Format::Parquet => format!("{name}, row {number}"),
            _ => format!("{name}:{number}"),
        }
    }

    /// The files' names as a message has them.
    pub fn names(&self) -> String {
        match self.files.as_slice() {
            [] => String::new(),
            [(_, file)] => format!("`{}`", file.name),
            [(_, first), .., (_, last)] => {
                format!("the {} files `{}` to `{}`", self.files.len(), first.name, last.name)
            }
        }
    }
}

/// Reads a file to its end and sends its blocks; ends early when nobody takes them.
fn read(
    role: &str,
    file: &InputFile,
    format: Format,
    fields: Fields,
    blocks: &SyncSender<Block>,
) -> Result<(), SourceError> {
    if format == Format::Parquet {
        let rows = parquet::read(role, file, fields, blocks);
        return bytes::verify(role, file).and(rows);
    }
    let mut input = Packed::open(role, file)?;
    let result = match format {
        Format::Jsonl | Format::Lines => lines::read(&mut input, blocks),
        Format::Csv => table::read(&mut input, b',', fields, blocks),
        Format::Tsv => table::read(&mut input, b'\t', fields, blocks),
        Format::Parquet => Ok(()),
    };
    let early = matches!(result, Err(bytes::Stop::Unheard));
    let packing = input.packing();
    let whole = if early { Ok(()) } else { input.verify(role, file) };
    whole.and(match result {
        Ok(()) | Err(bytes::Stop::Unheard) => Ok(()),
        Err(bytes::Stop::Fault(fault)) => Err(SourceError::Fault { file: file.name.clone(), fault }),
        Err(bytes::Stop::Io(error)) => Err(match packing {
            Some(packing) => SourceError::Unpack { file: file.name.clone(), packing, why: error.to_string() },
            None => SourceError::Read { file: file.name.clone(), why: error.to_string() },
        }),
    })
}

impl Block {
    /// The block's lines, made on rayon's current pool.
    fn lines(&self, format: Format, fields: Fields) -> Vec<Line<'_>> {
        match self {
            Self::Lines { bytes, first } => lines::records(bytes, *first, format, fields),
            Self::Rows(rows) => rows
                .iter()
                .map(|row| {
                    let content = match &row.content {
                        Ok((text, label)) => Content::Record(Record {
                            text: Cow::Borrowed(text),
                            label: label.as_deref().map(Cow::Borrowed),
                            shown: text,
                            has: u64::MAX,
                        }),
                        Err(what) => Content::Broken(what.clone().into()),
                    };
                    Line { number: row.number, content }
                })
                .collect(),
        }
    }
}
