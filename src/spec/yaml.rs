//! YAML to plain nodes, and from a node back to its place in the text.
//!
//! Nodes carry no places: a place is needed only for what is wrong, and is then found by walking the
//! text again along the node's path and failing there on purpose, since the parser says where it failed.

mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::diag::{Diagnostic, Place};
use walk::{HERE, Walk};

/// A value of a pipeline file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What it is, for messages: `a number`, `a list`, …
    pub(super) fn what(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(_) => format!("`{}`, a truth value", self.brief()),
            Self::Int(_) | Self::Float(_) => format!("`{}`, a number", self.brief()),
            Self::Text(_) => format!("`{}`, a text", self.brief()),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a block of fields".to_owned(),
        }
    }

    /// The value in a few characters, as it would stand in the file.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => format!("{f:?}"),
            Self::Text(s) => s.clone(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::brief).collect::<Vec<_>>().join(", "))
            }
            Self::Map(fields) => {
                let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}: {}", v.brief())).collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }

    /// The value of a field, if this is a block that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }
}

/// A step from a node to one inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// The way from the top of a pipeline file to one of its nodes: where a thing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    steps: Vec<Step>,
    of_key: bool,
}

impl At {
    /// The top.
    pub(super) fn top() -> Self {
        Self::default()
    }

    /// The value of field `key` of this node.
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// Item `index` of this node.
    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The key that this node is the value of, rather than the value.
    pub(super) fn on_key(&self) -> Self {
        Self { steps: self.steps.clone(), of_key: true }
    }

    /// The name of the field that this is the value of; empty for an item of a list.
    pub(super) fn last_key(&self) -> String {
        match self.steps.last() {
            Some(Step::Key(key)) => key.clone(),
            _ => String::new(),
        }
    }

    /// Whether this is the top.
    pub(super) fn is_top(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether this is `other` or inside it.
    pub(super) fn within(&self, other: &Self) -> bool {
        self.steps.starts_with(&other.steps)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { steps, of_key: false }
    }
}

impl fmt::Display for At {
    /// `stages.model.train.lr`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The longest pipeline file that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// A pipeline file's text: makes places of paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    file: PathBuf,
    text: String,
}

impl Text {
    /// Reads a file as UTF-8; a byte order mark at its start is no part of it.
    pub(super) fn read(file: &Path) -> Result<Self, Box<Diagnostic>> {
        let shown_as = file.display();
        let mut bytes = vec![];
        let read = File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut bytes));
        read.map_err(|error| {
            let fault = Diagnostic::error(format!("failed to read the pipeline `{shown_as}`: {error}"));
            Box::new(fault.help("name a pipeline file, such as `tartan run pipelines/quickstart.yaml`"))
        })?;
        if bytes.len() as u64 > LONGEST {
            let fault = Diagnostic::error(format!("`{shown_as}` is no pipeline: it has more than 16 MiB"));
            return Err(Box::new(fault.help("name the YAML file, not the data")));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, text)),
            Err(error) => {
                let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
                let line = good.lines().count().max(1);
                let fault =
                    Diagnostic::error(format!("`{shown_as}` is not UTF-8 text: a stray byte in line {line}"));
                Err(Box::new(fault.help("save the file as UTF-8")))
            }
        }
    }

    /// A text that was read already.
    pub(super) fn new(file: &Path, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    /// Parses the text. Duplicate keys are reported all at once; the first of each counts.
    pub(super) fn parse(&self, errors: &mut Vec<Diagnostic>) -> Option<Node> {
        if let Some(fault) = self.control_character() {
            errors.push(fault);
            return None;
        }
        let mut duplicates = vec![];
        let reader = Reader { at: At::top(), duplicates: &mut duplicates };
        let node = match reader.deserialize(serde_yaml::Deserializer::from_str(&self.text)) {
            Ok(node) => Some(node),
            Err(error) => {
                errors.push(self.syntax(&error));
                None
            }
        };
        for (at, nth) in duplicates {
            let mut diagnostic = Diagnostic::error(format!("duplicate key `{}`", at.last_key()));
            if let Some(place) = self.find(&at.on_key(), nth) {
                diagnostic = diagnostic.at(place);
            }
            if let Some(first) = self.find(&at.on_key(), 0) {
                diagnostic = diagnostic.note(format!("it stands first in line {}", first.line));
            }
            errors.push(diagnostic.help("keep one of them"));
        }
        node
    }

    /// The place of a node, if the text has it.
    pub(super) fn exact(&self, at: &At) -> Option<Place> {
        self.find(at, 0)
    }

    /// The place of a node, or of the nearest one around it that the text has.
    pub(super) fn place(&self, at: &At) -> Option<Place> {
        let mut at = at.clone();
        loop {
            if let Some(place) = self.find(&at, 0) {
                return Some(place);
            }
            at.steps.pop()?;
            at.of_key = !at.steps.is_empty();
        }
    }

    fn find(&self, at: &At, nth: usize) -> Option<Place> {
        if at.steps.is_empty() {
            return None;
        }
        let walk = Walk { steps: &at.steps, of_key: at.of_key, nth };
        let error = walk.deserialize(serde_yaml::Deserializer::from_str(&self.text)).err()?;
        if !error.to_string().contains(HERE) {
            return None;
        }
        let location = error.location()?;
        Some(self.place_at(location.line(), location.column(), at.of_key))
    }

    fn place_at(&self, line: usize, column: usize, of_key: bool) -> Place {
        let source = self.text.lines().nth(line.saturating_sub(1)).unwrap_or("").to_owned();
        let rest: Vec<char> = source.chars().skip(column.saturating_sub(1)).collect();
        Place { file: self.file.clone(), line, column, width: width(&rest, of_key), source }
    }

    /// The parser refuses control characters too, but says no place.
    fn control_character(&self) -> Option<Diagnostic> {
        let stray = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
        let (line, (column, c)) = self
            .text
            .lines()
            .enumerate()
            .find_map(|(line, text)| Some((line, text.chars().enumerate().find(|(_, c)| stray(*c))?)))?;
        let place = Place { width: 1, ..self.place_at(line + 1, column + 1, false) };
        let fault = Diagnostic::error(format!("a control character (U+{:04X}) in the text", u32::from(c)));
        Some(fault.at(place).help("delete it, or save the file as UTF-8"))
    }

    fn syntax(&self, error: &serde_yaml::Error) -> Diagnostic {
        let text = error.to_string();
        // The parser ends its text with the place; ours is said apart.
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        let mut diagnostic = Diagnostic::error(format!("not valid YAML: {message}"));
        if let Some(location) = error.location() {
            let place = self.place_at(location.line(), location.column(), false);
            if place.source.contains('\t') {
                diagnostic = diagnostic.help("YAML indents with spaces; there is a tab in this line");
            }
            diagnostic = diagnostic.at(Place { width: 1, ..place });
        } else {
            diagnostic = diagnostic.note(format!("in {}", self.file.display()));
        }
        diagnostic
    }
}

/// How many characters of `rest` the scalar or key at its start takes.
fn width(rest: &[char], of_key: bool) -> usize {
    let quoted = rest.first().is_some_and(|c| matches!(c, '"' | '\''));
    if quoted {
        let close = rest.iter().skip(1).position(|c| Some(c) == rest.first());
        return close.map_or(rest.len(), |at| at + 2);
    }
    if rest.first().is_some_and(|c| matches!(c, '[' | '{')) {
        return 1;
    }
    let mut end = 0;
    let mut depth = 0_usize;
    while end < rest.len() {
        match rest[end] {
            '{' | '[' => depth += 1,
            '}' | ']' | ',' if depth == 0 => break,
            '}' | ']' => depth -= 1,
            ':' if rest.get(end + 1).is_none_or(|c| c.is_whitespace()) => break,
            '#' if end > 0 && rest[end - 1].is_whitespace() && !of_key => break,
            _ => {}
        }
        end += 1;
    }
    while end > 1 && rest[end - 1].is_whitespace() {
        end -= 1;
    }
    end.max(1)
}

const TOO_LARGE: &str = "a whole number beyond 64 bits";

/// Reads a node, noting keys that stand twice in a block.
struct Reader<'a> {
    at: At,
    duplicates: &'a mut Vec<(At, usize)>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, number, list or block without a tag")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    // A text without a value: an empty file, or comments alone.
    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_enum<A: de::EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(de::Error::custom("a tag (`!name`) has no meaning in a pipeline"))
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        i64::try_from(value).map(Node::Int).map_err(|_| E::custom(TOO_LARGE))
    }
    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Node, E> {
        Err(E::custom(TOO_LARGE))
    }
    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Node, E> {
        Err(E::custom(TOO_LARGE))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = vec![];
        loop {
            let at = self.at.index(list.len());
            match items.next_element_seed(Reader { at, duplicates: self.duplicates })? {
                Some(item) => list.push(item),
                None => return Ok(Node::List(list)),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = vec![];
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let at = self.at.key(&key);
            let count = seen.entry(key.clone()).or_default();
            *count += 1;
            if *count > 1 {
                self.duplicates.push((at, *count - 1));
                entries.next_value::<IgnoredAny>()?;
            } else {
                let value = entries.next_value_seed(Reader { at, duplicates: self.duplicates })?;
                map.push((key, value));
            }
        }
        Ok(Node::Map(map))
    }
}

/// Reads a key: a text, or a scalar as it would print.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as a key")
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// Parses a value given on the command line: `3`, `[a, b]`, `text`.
pub(super) fn parse_value(text: &str) -> Option<Node> {
    let mut duplicates = vec![];
    let reader = Reader { at: At::top(), duplicates: &mut duplicates };
    let node = reader.deserialize(serde_yaml::Deserializer::from_str(text)).ok()?;
    duplicates.is_empty().then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
# a comment
name: first   # the name
stages:
  one: {train: {lr: 1e-4, of: [a, 'b c', \"d\"]}}
  two:
    train:
      lr: 2
";

    fn place(at: &At) -> (usize, usize, String) {
        let place = Text::new(Path::new("p.yaml"), SOURCE).place(at).expect("a place");
        let marked = place.source.chars().skip(place.column - 1).take(place.width).collect();
        (place.line, place.column, marked)
    }

    #[test]
    fn finds_the_place_of_values_and_keys() {
        let train = At::top().key("stages").key("one").key("train");
        assert_eq!(place(&At::top().key("name")), (2, 7, "first".to_owned()));
        assert_eq!(place(&train.key("lr")), (4, 21, "1e-4".to_owned()));
        assert_eq!(place(&train.key("lr").on_key()), (4, 17, "lr".to_owned()));
        assert_eq!(place(&train.key("of").index(1)), (4, 35, "'b c'".to_owned()));
        assert_eq!(
            place(&At::top().key("stages").key("two").key("train").key("lr")),
            (7, 11, "2".to_owned())
        );
        assert_eq!(place(&At::top().key("stages").key("two").on_key()), (5, 3, "two".to_owned()));
    }

    #[test]
    fn what_the_text_lacks_is_placed_at_what_is_around_it() {
        let missing = At::top().key("stages").key("two").key("train").key("epochs").key("x");
        assert_eq!(place(&missing), (6, 5, "train".to_owned()));
    }

    #[test]
    fn duplicate_keys_are_all_found() {
        let text = Text::new(Path::new("p.yaml"), "a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n");
        let mut errors = vec![];
        let node = text.parse(&mut errors).expect("a node");
        assert_eq!(node.get("a"), Some(&Node::Int(1)));
        let found: Vec<_> = errors
            .iter()
            .map(|e| (e.message.clone(), e.place.as_ref().map(|p| (p.line, p.column))))
            .collect();
        let dup = |key: &str, line, column| (format!("duplicate key `{key}`"), Some((line, column)));
        assert_eq!(found, [dup("c", 2, 11), dup("a", 3, 1), dup("a", 4, 1)]);
    }

    #[test]
    fn numbers_are_numbers() {
        for (text, node) in [
            ("1e-4", Node::Float(1e-4)),
            ("5E3", Node::Float(5e3)),
            ("0.1", Node::Float(0.1)),
            ("3", Node::Int(3)),
            ("'1e-4'", Node::Text("1e-4".to_owned())),
            ("10x task", Node::Text("10x task".to_owned())),
        ] {
            assert_eq!(parse_value(text), Some(node), "{text}");
        }
    }

    #[test]
    fn broken_text_is_placed() {
        let mut errors = vec![];
        assert!(Text::new(Path::new("p.yaml"), "a: [1, 2\nb: 3\n").parse(&mut errors).is_none());
        assert!(errors[0].message.starts_with("not valid YAML"), "{}", errors[0]);
        assert!(errors[0].place.is_some());
    }
}
