//! Which field is the text and which the label, and why.

use std::fmt::Write as _;

use super::look::{Column, Seen};

/// Names that fields of texts go by, the likeliest first.
const TEXTS: [&str; 18] = [
    "text",
    "sentence",
    "document",
    "content",
    "body",
    "review",
    "abstract",
    "tweet",
    "comment",
    "message",
    "post",
    "utterance",
    "question",
    "query",
    "passage",
    "description",
    "title",
    "input",
];

/// Names that labels go by, the likeliest first.
const LABELS: [&str; 16] = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "gold",
    "gold_label",
    "intent",
    "sentiment",
    "topic",
    "stance",
    "type",
    "tag",
    "rating",
    "y",
    "output",
];

/// A field, and why it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The field.
    pub field: String,
    /// The reason, to follow a colon.
    pub reason: String,
}

/// The fields that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Holds the text.
    pub text: Choice,
    /// Holds the label.
    pub label: Choice,
}

/// Why no field can be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// The field that was named is not there.
    #[error("no record has a field `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        fields: Vec<String>,
    },
    /// The field that was named for the text holds something else.
    #[error("the field `{name}` holds no texts")]
    NoTexts {
        /// The name.
        name: String,
    },
    /// The field that was named for the label cannot be one.
    #[error("the field `{name}` is no label: {why}")]
    NoLabels {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
    /// Nothing looks like a text.
    #[error("no field looks like a text")]
    NoText {
        /// What there is.
        fields: String,
    },
    /// Nothing looks like a label.
    #[error("no field looks like a label")]
    NoLabel {
        /// What there is.
        fields: String,
    },
    /// Several fields look like labels.
    #[error("which field is the label? {candidates}")]
    WhichLabel {
        /// The fields that could be.
        candidates: String,
    },
}

impl ChooseError {
    /// The way out.
    pub fn help(&self) -> String {
        match self {
            Self::Unknown { name, fields } => {
                let near = crate::diag::nearest(name, fields.iter().map(String::as_str));
                near.map_or_else(
                    || format!("the fields are {}", fields.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                )
            }
            Self::NoTexts { .. } => "name a field of texts: `--text FIELD`".to_owned(),
            Self::NoLabels { .. } => {
                "name a field of few different texts or whole numbers: `--label FIELD`".to_owned()
            }
            Self::NoText { fields } => format!("name it: `--text FIELD`; the fields are {fields}"),
            Self::NoLabel { fields } => format!("name it: `--label FIELD`; the fields are {fields}"),
            Self::WhichLabel { .. } => "name it: `--label FIELD`".to_owned(),
        }
    }
}

/// Chooses by what was asked for, else by the fields' names, else by what they hold.
pub fn choose(seen: &Seen, text: Option<&str>, label: Option<&str>) -> Result<Roles, ChooseError> {
    let text = match text {
        Some(name) => {
            let column = known(seen, name)?;
            if column.words.is_empty() {
                return Err(ChooseError::NoTexts { name: name.to_owned() });
            }
            Choice { field: name.to_owned(), reason: "as you said".to_owned() }
        }
        None => guess_text(seen, label)?,
    };
    let label = match label {
        Some(name) => {
            let column = known(seen, name)?;
            why_no_label(column, seen)
                .map_or(Ok(()), |why| Err(ChooseError::NoLabels { name: name.to_owned(), why }))?;
            Choice { field: name.to_owned(), reason: "as you said".to_owned() }
        }
        None => guess_label(seen, &text.field)?,
    };
    Ok(Roles { text, label })
}

fn known<'a>(seen: &'a Seen, name: &str) -> Result<&'a Column, ChooseError> {
    seen.column(name).ok_or_else(|| ChooseError::Unknown {
        name: name.to_owned(),
        fields: seen.columns.iter().map(|column| column.name.clone()).collect(),
    })
}

fn guess_text(seen: &Seen, label: Option<&str>) -> Result<Choice, ChooseError> {
    let texts = || {
        seen.columns.iter().filter(|column| {
            !column.words.is_empty() && !column.is_numeric() && Some(column.name.as_str()) != label
        })
    };
    let named = |is_long: bool| {
        TEXTS.iter().find_map(|name| {
            texts()
                .find(|column| column.name.eq_ignore_ascii_case(name) && (!is_long || has_long_texts(column)))
        })
    };
    let longest = texts()
        .filter(|column| has_long_texts(column))
        .max_by(|a, b| mean_length(a).total_cmp(&mean_length(b)));
    let words = |column: &Column| format!("{} on average", length(column));
    // A name is enough, but of two names the one with the longer texts is it.
    let named = named(true).or_else(|| named(false));
    match (named, longest) {
        (Some(column), _) => {
            Ok(Choice { field: column.name.clone(), reason: format!("by its name; {}", words(column)) })
        }
        (None, Some(column)) => {
            Ok(Choice { field: column.name.clone(), reason: format!("the longest texts, {}", words(column)) })
        }
        (None, None) => Err(ChooseError::NoText { fields: told(&seen.columns) }),
    }
}

/// Whether texts are longer than a word or a name.
fn has_long_texts(column: &Column) -> bool {
    column.mean_words() >= 2.0 || column.is_unspaced()
}

/// The mean length in words, or in tokens where words cannot be counted.
fn mean_length(column: &Column) -> f64 {
    if column.is_unspaced() { column.mean_tokens() } else { column.mean_words() }
}

fn length(column: &Column) -> String {
    let what = if column.is_unspaced() { "tokens" } else { "words" };
    format!("{:.0} {what}", mean_length(column))
}

fn guess_label(seen: &Seen, text: &str) -> Result<Choice, ChooseError> {
    let fit = |column: &&Column| column.name != text && why_no_label(column, seen).is_none();
    let candidates: Vec<&Column> = seen.columns.iter().filter(fit).collect();
    let named = LABELS
        .iter()
        .find_map(|name| candidates.iter().find(|column| column.name.eq_ignore_ascii_case(name)));
    if let Some(column) = named {
        let reason = format!("by its name; {} different values", column.labels.len());
        return Ok(Choice { field: column.name.clone(), reason });
    }
    match candidates.as_slice() {
        [] => Err(ChooseError::NoLabel { fields: told(&seen.columns) }),
        [column] => {
            let reason = format!("the only field of few different values: {}", column.labels.len());
            Ok(Choice { field: column.name.clone(), reason })
        }
        several => {
            let each = several
                .iter()
                .map(|column| format!("`{}` has {} different values", column.name, column.labels.len()));
            Err(ChooseError::WhichLabel { candidates: each.collect::<Vec<_>>().join(", ") })
        }
    }
}

/// Why a field cannot be the label, if it cannot.
fn why_no_label(column: &Column, seen: &Seen) -> Option<String> {
    if column.is_other {
        return Some("it holds numbers with fractions, lists or objects".to_owned());
    }
    match column.labels.len() {
        0 => Some("it has too many different values".to_owned()),
        1 => Some("it has one value only".to_owned()),
        n if n as u64 * 2 > column.present && column.present > 10 => Some(format!(
            "it has {n} different values in {} records",
            if seen.estimated { column.present } else { seen.records }
        )),
        _ => None,
    }
}

/// The fields and what they hold, for a message.
fn told(columns: &[Column]) -> String {
    let mut text = String::new();
    for column in columns.iter().take(20) {
        let what = if column.is_other {
            "numbers, lists or objects".to_owned()
        } else if column.is_numeric() {
            "numbers".to_owned()
        } else if column.words.is_empty() {
            "whole numbers".to_owned()
        } else {
            length(column)
        };
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}`{}` ({what})", column.name);
    }
    text
}
