//! CSV and TSV as RFC 4180 has them: the first row names the columns, a quoted value may hold anything,
//! empty lines are skipped. Rows are read one by one, since only who has read all before knows what is quoted.

use std::borrow::Cow;
use std::io::{BufRead, ErrorKind};
use std::sync::mpsc::SyncSender;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::broken::{excerpt, not_utf8};
use super::bytes::Stop;
use super::{BLOCK, Block, Fault, Fields, LONGEST, Row};

/// Sends a table's rows in blocks.
pub(super) fn read(
    input: &mut dyn BufRead,
    delimiter: u8,
    fields: Fields,
    blocks: &SyncSender<Block>,
) -> Result<(), Stop> {
    let mut table = Table::new(input, delimiter, fields.quotes);
    if !table.advance()? {
        return Ok(());
    }
    let names = table.names()?;
    let columns = Columns::find(&names, fields)?;
    let mut rows = vec![];
    let mut size = 0;
    while table.advance()? {
        let content = columns.row(&table, fields);
        size += content.as_ref().map_or(64, |(text, _)| text.len() + 64);
        rows.push(Row { number: table.number, content });
        if size >= BLOCK {
            blocks.send(Block::Rows(std::mem::take(&mut rows))).map_err(|_| Stop::Unheard)?;
            size = 0;
        }
    }
    if rows.is_empty() { Ok(()) } else { blocks.send(Block::Rows(rows)).map_err(|_| Stop::Unheard) }
}

/// A table at one of its rows.
struct Table<'i> {
    input: &'i mut dyn BufRead,
    core: Reader,
    /// The row's values, one after the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    /// The line that the row begins on.
    number: u64,
    /// Whether the end that the last row may lack was given to the reader.
    ended: bool,
}

impl<'i> Table<'i> {
    fn new(input: &'i mut dyn BufRead, delimiter: u8, quotes: bool) -> Self {
        let core = ReaderBuilder::new().delimiter(delimiter).quoting(quotes).build();
        Self { input, core, bytes: vec![0; 4096], ends: vec![0; 64], count: 0, number: 1, ended: false }
    }

    /// Goes to the next row; gives back whether there is one.
    fn advance(&mut self) -> Result<bool, Stop> {
        let (mut length, mut last) = (0, 0);
        self.count = 0;
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                available => available?,
            };
            // A row that the file's end cuts is ended as any other, so that what is open after it is a quote.
            let closing = available.is_empty() && !self.ended;
            let given = if closing { &b"\n"[..] } else { available };
            let is_over = given.is_empty();
            let (result, read, written, ends) =
                self.core.read_record(given, &mut self.bytes[length..], &mut self.ends[self.count..]);
            last = given[..read].last().copied().unwrap_or(last);
            self.ended |= closing;
            if !closing {
                self.input.consume(read);
            }
            length += written;
            self.count += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if length > LONGEST => {
                    return Err(Stop::Fault(Fault::Long { line: self.core.line() }));
                }
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::Record => {
                    // The reader counts line feeds: the one that ended the row, unless that is still to be
                    // read, and those inside its values.
                    let inside = self.bytes[..length].split(|&byte| byte == b'\n').count() as u64 - 1;
                    let at_end = u64::from(last == b'\n' && !is_over);
                    self.number = self.core.line().saturating_sub(at_end + inside).max(1);
                    if is_over {
                        // It was ended before, and went on inside a quote.
                        return Err(Stop::Fault(Fault::Unclosed { line: self.number }));
                    }
                    return Ok(true);
                }
            }
        }
    }

    fn value(&self, column: usize) -> &[u8] {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.bytes[start..self.ends[column]]
    }

    /// The row as names of columns.
    fn names(&self) -> Result<Vec<String>, Stop> {
        (0..self.count)
            .map(|column| {
                let name = self.value(column);
                std::str::from_utf8(name)
                    .map(str::to_owned)
                    .map_err(|error| Stop::Fault(Fault::Header(not_utf8(name, error.valid_up_to()))))
            })
            .collect()
    }
}

/// Where the fields are.
struct Columns {
    texts: Vec<usize>,
    label: Option<usize>,
    all: usize,
}

impl Columns {
    fn find(names: &[String], fields: Fields) -> Result<Self, Stop> {
        let find = |wanted: &str| {
            let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(at, _)| at);
            let found = places.next();
            match places.next() {
                Some(_) => Err(Stop::Fault(Fault::Columns { column: wanted.to_owned() })),
                None => Ok(found),
            }
        };
        let missing = |column: &str, said| {
            Stop::Fault(Fault::NoColumn { column: column.to_owned(), columns: names.to_vec(), said })
        };
        let mut texts = vec![];
        for wanted in fields.texts() {
            texts.push(find(wanted)?.ok_or_else(|| missing(wanted, fields.text_said()))?);
        }
        let label = find(fields.label)?;
        // A blank beside its name would leave every text without a label, and nobody told.
        let is_like = |name: &String| name.trim() == fields.label;
        if label.is_none() && (fields.label_is_named || names.iter().any(is_like)) {
            return Err(missing(fields.label, fields.label_said()));
        }
        Ok(Self { texts, label, all: names.len() })
    }

    /// The text and label of a table's row. An empty label is none.
    fn row(&self, table: &Table, fields: Fields) -> Result<(String, Option<String>), String> {
        if table.count != self.all {
            let values = (0..table.count).map(|column| String::from_utf8_lossy(table.value(column)));
            let shown = values.collect::<Vec<_>>().join(", ");
            return Err(format!(
                "expected {} values, as the first row has, found {}: {}",
                self.all,
                table.count,
                excerpt(&shown)
            ));
        }
        let value = |column: usize| {
            let value = table.value(column);
            std::str::from_utf8(value).map_err(|error| not_utf8(value, error.valid_up_to()))
        };
        let mut parts = vec![];
        for &column in &self.texts {
            parts.push(Some(Cow::Borrowed(value(column)?)));
        }
        let text = fields.join(parts.into_iter()).unwrap_or_default().into_owned();
        let label = match self.label {
            Some(column) => Some(value(column)?).filter(|label| !label.is_empty()).map(str::to_owned),
            None => None,
        };
        Ok((text, label))
    }
}
