//! Sources: a file's bytes become texts and their labels, or every line that is broken.
//!
//! Two formats: a text a line, and a JSON object a line. Lines that hold nothing but white space are
//! skipped. Works on the bytes where they lie; a text is copied only where JSON's escapes force it. Knows
//! nothing of tokens.

use std::borrow::Cow;
use std::fmt;

use rayon::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::action::Format;

/// How many broken lines of a file are shown.
const SHOWN: usize = 10;
/// How much of a broken line is shown, in characters.
const EXCERPT: usize = 80;
/// The label's field where none is named.
const LABEL: &str = "label";

/// A split's file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The split: `train`, `dev`, `test`.
    pub split: &'a str,
    /// What to call the file in messages.
    pub file: &'a str,
    /// How it holds its texts.
    pub format: Format,
    /// All of it.
    pub bytes: &'a [u8],
}

/// The texts of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// The texts; at least one.
    pub texts: Vec<Cow<'a, str>>,
    /// Each text's label, numbers and booleans as their JSON text; empty where the file has none.
    pub labels: Vec<Cow<'a, str>>,
    /// Lines that were skipped because they hold nothing but white space.
    pub blank_lines: u64,
}

/// Why a file gives no texts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Lines that are not what the format says; a line each.
    #[error("{}", show(.file, .lines))]
    Broken {
        /// The file.
        file: String,
        /// The lines' numbers, from 1, and what is wrong with each.
        lines: Vec<(usize, String)>,
    },
    /// There is no text.
    #[error("split `{split}` has no text: `{file}` {}", emptiness(*.blank_lines))]
    Empty {
        /// The split.
        split: String,
        /// Its file.
        file: String,
        /// The blank lines it has.
        blank_lines: u64,
    },
}

impl<'a> Source<'a> {
    /// Reads the texts, on rayon's current pool. Of JSON objects, `text` names the text's field and
    /// `label` the label's; without it `label` is read where the records have it. Either every record
    /// has a label or none. Of a field that comes twice the last counts, as JSON readers have it.
    pub fn read(&self, text: &str, label: Option<&str>) -> Result<Texts<'a>, SourceError> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.bytes);
        let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
        // What follows the last line's end is no line.
        if lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let fields = Fields { text, label: label.unwrap_or(LABEL) };
        let records: Vec<Line> = lines
            .into_par_iter()
            .map(|line| self.line(line.strip_suffix(b"\r").unwrap_or(line), fields))
            .collect();

        let example = records.iter().position(|line| matches!(line, Line::Record(r) if r.label.is_some()));
        let wants_labels = self.format == Format::Jsonl && (label.is_some() || example.is_some());
        let mut texts = Texts::default();
        let mut broken = vec![];
        for (index, line) in records.into_iter().enumerate() {
            match line {
                Line::Blank => texts.blank_lines += 1,
                Line::Broken(what) => broken.push((index + 1, what)),
                Line::Record(record) if wants_labels && record.label.is_none() => {
                    let why = match example {
                        Some(example) if label.is_none() => format!(", as line {} has one", example + 1),
                        _ => String::new(),
                    };
                    let found = excerpt(record.line);
                    broken.push((index + 1, format!("expected a \"{}\"{why}, found: {found}", fields.label)));
                }
                Line::Record(record) => {
                    texts.texts.push(record.text);
                    texts.labels.extend(record.label);
                }
            }
        }
        if !broken.is_empty() {
            Err(SourceError::Broken { file: self.file.to_owned(), lines: broken })
        } else if texts.texts.is_empty() {
            Err(SourceError::Empty {
                split: self.split.to_owned(),
                file: self.file.to_owned(),
                blank_lines: texts.blank_lines,
            })
        } else {
            Ok(texts)
        }
    }

    fn line(&self, line: &'a [u8], fields: Fields) -> Line<'a> {
        let line = match std::str::from_utf8(line) {
            Ok(line) => line,
            Err(error) => return Line::Broken(not_utf8(line, error.valid_up_to())),
        };
        if line.trim().is_empty() {
            return Line::Blank;
        }
        match self.format {
            Format::Lines => Line::Record(Record { text: Cow::Borrowed(line), label: None, line }),
            Format::Jsonl => match record(line, fields) {
                Ok(record) => Line::Record(record),
                Err(what) => Line::Broken(what),
            },
        }
    }
}

enum Line<'a> {
    Blank,
    Record(Record<'a>),
    Broken(String),
}

struct Record<'a> {
    text: Cow<'a, str>,
    label: Option<Cow<'a, str>>,
    line: &'a str,
}

#[derive(Clone, Copy)]
struct Fields<'f> {
    text: &'f str,
    label: &'f str,
}

/// A line of JSON as a record, or what is wrong with it.
fn record<'a>(line: &'a str, fields: Fields) -> Result<Record<'a>, String> {
    let expected = format_args!("expected a JSON object with a string \"{}\"", fields.text);
    let mut json = serde_json::Deserializer::from_str(line);
    let (text, label) = fields
        .deserialize(&mut json)
        .and_then(|found| json.end().map(|()| found))
        .map_err(|error| format!("{expected}, found: {}{}", excerpt(line), fault(&error)))?;
    let text = match text {
        Some(Value::String(text)) => text,
        Some(other) => return Err(format!("{expected}, found {} there: {}", other.kind(), excerpt(line))),
        None => return Err(format!("{expected}, found: {}", excerpt(line))),
    };
    let label = match label {
        Some(Value::String(label)) => Some(label),
        Some(Value::Integer(number)) => Some(Cow::Owned(number)),
        Some(Value::Bool(truth)) => Some(Cow::Borrowed(if truth { "true" } else { "false" })),
        // Files of several tools say so of a record without a label.
        Some(Value::Null) | None => None,
        Some(other) => {
            return Err(format!(
                "expected a string, integer or boolean \"{}\", found {}: {}",
                fields.label,
                other.kind(),
                excerpt(line)
            ));
        }
    };
    Ok(Record { text, label, line })
}

/// What a field holds, as far as it matters here.
enum Value<'a> {
    String(Cow<'a, str>),
    Integer(String),
    Bool(bool),
    Null,
    Float,
    Array,
    Object,
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) | Self::Float => "a number",
            Self::Bool(_) => "a boolean",
            Self::Null => "null",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

type Found<'de> = (Option<Value<'de>>, Option<Value<'de>>);

/// Reads an object's text and label and passes over the rest.
impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut text, mut label) = (None, None);
        while let Some(name) = map.next_key_seed(Any)? {
            match name {
                Value::String(name) if name == self.text => text = Some(map.next_value_seed(Any)?),
                Value::String(name) if name == self.label => label = Some(map.next_value_seed(Any)?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((text, label))
    }
}

/// Reads any value.
struct Any;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Integer(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(number.to_string()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Float)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}

/// What the JSON reader stumbled on, where the line is no JSON at all.
fn fault(error: &serde_json::Error) -> String {
    if error.is_data() {
        return String::new();
    }
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    format!(" ({what} at column {})", error.column())
}

fn not_utf8(line: &[u8], valid: usize) -> String {
    let before = String::from_utf8_lossy(&line[..valid]);
    let column = before.chars().count();
    let context = before.chars().skip(column.saturating_sub(EXCERPT / 2)).collect::<String>()
        + &String::from_utf8_lossy(&line[valid..line.len().min(valid + EXCERPT)]);
    format!(
        "expected UTF-8, found the byte 0x{:02x} at column {}: {}",
        line[valid],
        column + 1,
        excerpt(&context)
    )
}

/// The start of a line, fit to be printed.
fn excerpt(line: &str) -> String {
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

fn emptiness(blank_lines: u64) -> &'static str {
    if blank_lines == 0 { "is empty" } else { "has only blank lines" }
}

fn show(file: &str, lines: &[(usize, String)]) -> String {
    let mut shown: Vec<String> =
        lines.iter().take(SHOWN).map(|(number, what)| format!("{file}:{number}: {what}")).collect();
    if lines.len() > SHOWN {
        shown.push(format!("{file}: and {} more lines like these", lines.len() - SHOWN));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(format: Format, bytes: &[u8]) -> Source<'_> {
        let file = if format == Format::Jsonl { "data/train.jsonl" } else { "data/train.txt" };
        Source { split: "train", file, format, bytes }
    }

    fn read(format: Format, bytes: &[u8]) -> Result<Texts<'_>, SourceError> {
        source(format, bytes).read("text", None)
    }

    #[track_caller]
    fn fails(bytes: &[u8], label: Option<&str>, message: &str) {
        let error = source(Format::Jsonl, bytes).read("text", label).expect_err("a broken line");
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn lines_with_bom_crlf_blanks_and_no_last_newline() {
        let texts = read(Format::Lines, b"\xef\xbb\xbffirst\r\n\r\n  \t\n second \n\xe2\x80\x83\nlast")
            .expect("texts");
        assert_eq!(texts.texts, ["first", " second ", "last"]);
        assert_eq!((texts.labels.len(), texts.blank_lines), (0, 3));
    }

    #[test]
    fn a_last_newline_is_no_blank_line() {
        assert_eq!(read(Format::Lines, b"a\n").expect("texts").blank_lines, 0);
        assert_eq!(read(Format::Lines, b"a\n\n").expect("texts").blank_lines, 1);
    }

    #[test]
    fn objects_with_labels_of_each_type() {
        let bytes = br#"{"metadata": {"a": [1, {}]}, "text": "caf\u00e9 \"x\"", "label": "yes"}

            {"label": 3, "text": ""}
            {"text": "plain", "label": -7}
            {"text": "plain", "label": true}"#;
        let texts = read(Format::Jsonl, bytes).expect("texts");
        assert_eq!(texts.texts, ["café \"x\"", "", "plain", "plain"]);
        assert_eq!(texts.labels, ["yes", "3", "-7", "true"]);
        assert_eq!(texts.blank_lines, 1);
        assert!(matches!(texts.texts[2], Cow::Borrowed(_)), "a text without escapes is not copied");
    }

    #[test]
    fn named_fields_and_files_without_labels() {
        let bytes = br#"{"sentence": "a", "class": "x", "label": "y"}"#;
        let texts = source(Format::Jsonl, bytes).read("sentence", Some("class")).expect("texts");
        assert_eq!((texts.texts, texts.labels), (vec!["a".into()], vec!["x".into()]));
        let texts =
            read(Format::Jsonl, b"{\"text\": \"a\", \"label\": null}\n{\"text\": \"b\"}").expect("texts");
        assert_eq!((texts.texts.len(), texts.labels.len()), (2, 0));
        // A label's field means nothing in a file of plain lines.
        let texts = source(Format::Lines, b"a").read("text", Some("class")).expect("texts");
        assert_eq!(texts.labels.len(), 0);
    }

    #[test]
    fn of_a_field_that_comes_twice_the_last_counts() {
        let bytes = br#"{"text": "a", "label": 1, "text": "b", "label": 2}"#;
        let texts = read(Format::Jsonl, bytes).expect("texts");
        assert_eq!((texts.texts, texts.labels), (vec!["b".into()], vec!["2".into()]));
    }

    #[test]
    fn says_what_it_expected_and_what_it_found() {
        fails(
            b"{\"text\": \"a\"}\n\n{\"txt\": \"b\"}\n[1]\n{\"text\": 5}\n{\"text\": \"c\", \"label\": [0]}\n",
            None,
            "\
data/train.jsonl:3: expected a JSON object with a string \"text\", found: {\"txt\": \"b\"}
data/train.jsonl:4: expected a JSON object with a string \"text\", found: [1]
data/train.jsonl:5: expected a JSON object with a string \"text\", found a number there: {\"text\": 5}
data/train.jsonl:6: expected a string, integer or boolean \"label\", found an array: {\"text\": \"c\", \"label\": [0]}",
        );
        fails(
            b"{\"text\": \"a\n{\"text\": \"a\"} x\n",
            None,
            "\
data/train.jsonl:1: expected a JSON object with a string \"text\", found: {\"text\": \"a (EOF while parsing a string at column 11)
data/train.jsonl:2: expected a JSON object with a string \"text\", found: {\"text\": \"a\"} x (trailing characters at column 15)",
        );
        fails(
            b"{\"text\": \"caf\xe9\"}",
            None,
            "data/train.jsonl:1: expected UTF-8, found the byte 0xe9 at column 14: {\"text\": \"caf\u{fffd}\"}",
        );
    }

    #[test]
    fn every_record_has_a_label_or_none_has() {
        fails(
            b"{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\"}\n",
            None,
            "data/train.jsonl:2: expected a \"label\", as line 1 has one, found: {\"text\": \"b\"}",
        );
        fails(
            b"{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": 1}\n",
            None,
            "data/train.jsonl:1: expected a \"label\", as line 2 has one, found: {\"text\": \"a\"}",
        );
        fails(
            b"{\"text\": \"a\", \"label\": 1}\n",
            Some("class"),
            "data/train.jsonl:1: expected a \"class\", found: {\"text\": \"a\", \"label\": 1}",
        );
    }

    #[test]
    fn shows_ten_broken_lines_and_counts_the_rest() {
        let error = read(Format::Jsonl, "nonsense\n".repeat(1000).as_bytes()).expect_err("broken");
        let shown = error.to_string();
        assert_eq!(shown.lines().count(), 11);
        assert!(
            shown.lines().nth(9).is_some_and(|line| line.starts_with("data/train.jsonl:10: ")),
            "{shown}"
        );
        assert!(shown.ends_with("data/train.jsonl: and 990 more lines like these"), "{shown}");
    }

    #[test]
    fn cuts_what_it_shows_between_characters() {
        let error = read(Format::Jsonl, "é".repeat(500).as_bytes()).expect_err("broken").to_string();
        assert!(error.contains(&format!("found: {}… (", "é".repeat(80))), "{error}");
        assert_eq!(excerpt("a\u{1b}[31m\tb"), "a\u{fffd}[31m b");
    }

    #[test]
    fn a_file_without_texts_is_named() {
        for (bytes, what) in
            [(&b""[..], "is empty"), (b"\xef\xbb\xbf", "is empty"), (b" \n\r\n", "has only blank lines")]
        {
            let error = read(Format::Lines, bytes).expect_err("empty").to_string();
            assert_eq!(error, format!("split `train` has no text: `data/train.txt` {what}"));
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            for format in [Format::Lines, Format::Jsonl] {
                if let Err(error) = read(format, &bytes) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }

        #[test]
        fn never_panics_on_what_is_nearly_json(
            parts in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ":", ",", "\"", "\"text\"", "\"label\"", "\"a\"", "\\ud800", "1", "-0", "1e999",
                "true", "null", " ", "\n", "\r", "\u{feff}", "\u{2028}",
            ]), 0..40),
        ) {
            let line = parts.concat();
            if let Err(error) = read(Format::Jsonl, line.as_bytes()) {
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn gives_back_what_was_written(texts in prop::collection::vec(any::<String>(), 1..20)) {
            let file: String = texts
                .iter()
                .map(|text| serde_json::json!({"text": text, "label": text}).to_string() + "\r\n")
                .collect();
            let read = read(Format::Jsonl, file.as_bytes()).expect("texts");
            prop_assert_eq!(&read.texts, &texts);
            prop_assert_eq!(&read.labels, &texts);
        }
    }
}
