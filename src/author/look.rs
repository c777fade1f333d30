//! What a file of records holds: its fields, how long their texts are, which values come how often.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::records::{self, Record, RecordsError, Value};
use crate::digest::Digest;

/// Above so many different values a field is no label.
const MOST_LABELS: usize = 200;

/// What was seen of a file.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The file.
    pub path: PathBuf,
    /// Records in it: all of them, or an estimate from the head of a large file.
    pub records: u64,
    /// Whether `records` and all counts are estimates from the file's head.
    pub estimated: bool,
    /// The fields as they come up: a table's in its order, those of a JSON object by name.
    pub columns: Vec<Column>,
}

/// What was seen of a field.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Records that have it.
    pub present: u64,
    /// Records that lack it, or whose value is null or empty.
    pub missing: u64,
    /// How often each value comes, of what could be a label; empty where there are too many.
    pub labels: BTreeMap<String, u64>,
    /// The length of each text in words, rising; empty where it holds other things too.
    pub words: Vec<u32>,
    /// The length of each text in quarters of a token, rising: a character is one, and four where its script
    /// writes without blanks.
    pub quarters: Vec<u32>,
    /// Characters of Chinese, Japanese and Korean in all its texts.
    pub wide: u64,
    /// Cells of a table that look like numbers or truth values. They are texts all the same.
    pub numbers: u64,
    /// Digests of its texts. A text that comes twice is there once.
    pub texts: BTreeSet<Digest>,
    /// Whether it holds numbers that are not whole, lists or objects. A table's column never does.
    pub is_other: bool,
}

impl Column {
    /// The length in `lengths` below which so large a part of the texts is.
    pub fn quantile(lengths: &[u32], part: f64) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of the list")]
        let at = (part * lengths.len() as f64).ceil() as usize;
        lengths.get(at.saturating_sub(1).min(lengths.len().saturating_sub(1))).copied().unwrap_or(0)
    }

    /// Words of a text on average.
    pub fn mean_words(&self) -> f64 {
        self.words.iter().map(|words| f64::from(*words)).sum::<f64>() / (self.words.len().max(1) as f64)
    }

    /// Tokens of a text on average, by its characters.
    pub fn mean_tokens(&self) -> f64 {
        let quarters = self.quarters.iter().map(|quarters| f64::from(*quarters)).sum::<f64>();
        quarters / 4.0 / (self.quarters.len().max(1) as f64)
    }

    /// Whether its texts are written without blanks, so that their words cannot be counted.
    pub fn is_unspaced(&self) -> bool {
        self.wide > 4 * self.words.iter().map(|words| u64::from(*words)).sum::<u64>()
    }

    /// Whether most of its values look like numbers or truth values.
    pub fn is_numeric(&self) -> bool {
        self.numbers * 2 > self.present
    }

    fn add_text(&mut self, text: &str) {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let wide = text.chars().filter(|c| is_wide(*c)).count();
        self.words.push(count(text.split_whitespace().count()));
        self.quarters.push(count(text.chars().count() + 3 * wide));
        self.wide += wide as u64;
        self.texts.insert(Digest::of(text.as_bytes()));
    }

    /// Texts that another record of the file has too.
    pub fn repeats(&self) -> u64 {
        self.words.len() as u64 - self.texts.len() as u64
    }
}

impl Seen {
    /// What was seen of a field.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Whether a character is of Chinese, Japanese or Korean, and so a token of its own.
fn is_wide(c: char) -> bool {
    matches!(
        c,
        '\u{1100}'..='\u{11ff}'
            | '\u{3041}'..='\u{318f}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7af}'
            | '\u{f900}'..='\u{faff}'
            | '\u{ff66}'..='\u{ff9f}'
            | '\u{20000}'..='\u{323af}'
    )
}

/// Looks at the head of a file.
pub fn look(path: &Path) -> Result<Seen, RecordsError> {
    let head = records::read(path)?;
    let whole = head.looked_at >= head.size.saturating_sub(3);
    let count = head.records.len() as u64;
    let records = if whole {
        count
    } else {
        u64::try_from(u128::from(count) * u128::from(head.size) / u128::from(head.looked_at.max(1)))
            .unwrap_or(count)
    };
    Ok(Seen { path: path.to_owned(), records, estimated: !whole, columns: columns(&head.records) })
}

fn columns(records: &[Record]) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![];
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    let mut too_many: BTreeSet<usize> = BTreeSet::new();
    for (name, value) in records.iter().flatten() {
        let at = *by_name.entry(name).or_insert_with(|| {
            columns.push(Column { name: name.clone(), ..Column::default() });
            columns.len() - 1
        });
        let column = &mut columns[at];
        let text = match value {
            Value::Nothing => continue,
            Value::Text(text) | Value::Name(text) | Value::Cell(text) => text,
            Value::Number | Value::Nested => {
                column.is_other = true;
                column.present += 1;
                continue;
            }
        };
        column.present += 1;
        column.numbers += u64::from(matches!(value, Value::Cell(_)));
        if matches!(value, Value::Text(_) | Value::Cell(_)) {
            column.add_text(text);
        }
        if !too_many.contains(&at) {
            *column.labels.entry(text.clone()).or_default() += 1;
            if column.labels.len() > MOST_LABELS {
                column.labels.clear();
                too_many.insert(at);
            }
        }
    }
    for column in &mut columns {
        column.missing = (records.len() as u64).saturating_sub(column.present);
        column.words.sort_unstable();
        column.quarters.sort_unstable();
        if column.is_other {
            column.labels.clear();
        }
        if (column.words.len() as u64) < column.present {
            // Here and there a number: no field of texts.
            column.words.clear();
            column.quarters.clear();
            column.wide = 0;
            column.texts.clear();
        }
    }
    columns
}
