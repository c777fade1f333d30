//! YAML to plain nodes, and from a node back to its place in the text.
//!
//! Nodes carry no places: a place is needed only for what is wrong, and is then found by walking the
//! text again along the node's path and failing there on purpose, since the parser says where it failed.

mod read;
mod syntax;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeSeed as _;

use crate::diag::{Code, Diagnostic, Place, nearest};
pub(super) use read::parse_value;
use read::{Reader, Seen};
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
            Self::Text(text) => format!("`{}`, a text", shortened(text)),
            Self::List(items) if items.is_empty() => "an empty list".to_owned(),
            Self::List(_) if self.brief().chars().count() <= 40 => format!("`{}`, a list", self.brief()),
            Self::Map(fields) if fields.is_empty() => "an empty block".to_owned(),
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

/// A text as messages show it: its first line, and of a long one the beginning.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && line.chars().count() <= SHOWN {
        return text.to_owned();
    }
    line.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// The value of a field; of one that is not there, nothing yet.
pub(super) fn slot<'a>(fields: &'a mut Vec<(String, Node)>, key: &str) -> &'a mut Node {
    let found = fields.iter().position(|(name, _)| name == key);
    let index = found.unwrap_or_else(|| {
        fields.push((key.to_owned(), Node::Null));
        fields.len() - 1
    });
    &mut fields[index].1
}

/// The items of a list, or the one thing that stands in its place, and where.
pub(super) fn items<'a>(node: &'a Node, at: &At) -> impl Iterator<Item = (&'a Node, At)> {
    let (items, one) = match node {
        Node::Null => (&[][..], None),
        Node::List(items) => (items.as_slice(), None),
        other => (&[][..], Some((other, at.clone()))),
    };
    let at = at.clone();
    items.iter().enumerate().map(move |(i, item)| (item, at.index(i))).chain(one)
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
    /// A stage's name.
    pub fn of_stage(stage: &str) -> Self {
        Self::top().key("stages").key(stage).on_key()
    }

    /// The value of a field of a stage of a kind.
    pub fn of_field(stage: &str, kind: &str, field: &str) -> Self {
        Self::top().key("stages").key(stage).key(kind).key(field)
    }

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

    /// This node itself, where this is the key that it is the value of.
    pub(super) fn value(&self) -> Self {
        Self { steps: self.steps.clone(), of_key: false }
    }

    /// The name of the field that this is the value of; empty for an item of a list.
    pub(super) fn last_key(&self) -> String {
        match self.steps.last() {
            Some(Step::Key(key)) => key.clone(),
            _ => String::new(),
        }
    }

    /// How many steps from the top.
    pub(super) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// Whether this is the top.
    pub(super) fn is_top(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether this is `other` or inside it.
    pub(super) fn within(&self, other: &Self) -> bool {
        self.steps.starts_with(&other.steps)
    }

    /// The key that what is around this node is the value of; nothing at the top.
    pub(super) fn around(&self) -> Option<Self> {
        let (_, around) = self.steps.split_last()?;
        Some(Self { steps: around.to_vec(), of_key: !around.is_empty() })
    }

    /// The same way on from `to` that this goes on from `from`, which it must be within.
    pub(super) fn moved(&self, from: &Self, to: &Self) -> Self {
        let mut steps = to.steps.clone();
        steps.extend_from_slice(self.steps.get(from.steps.len()..).unwrap_or_default());
        Self { steps, of_key: self.of_key }
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
    source: String,
    /// Places that were looked for. A fault may show at each of ten thousand sweep points.
    found: Arc<Mutex<Found>>,
}

/// The place of the node or key that is the `nth` of its path, where there is one.
type Found = BTreeMap<(At, usize), Option<Place>>;

impl Text {
    /// Reads a file as UTF-8; a byte order mark at its start is no part of it.
    pub(super) fn read(file: &Path) -> Result<Self, Box<Diagnostic>> {
        let shown_as = file.display();
        let mut bytes = vec![];
        let read = File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut bytes));
        read.map_err(|error| Box::new(unreadable(file, &error)))?;
        if bytes.len() as u64 > LONGEST {
            let fault = Diagnostic::error(
                Code::TooLarge,
                format!("`{shown_as}` is no pipeline: it has more than 16 MiB"),
            );
            return Err(Box::new(fault.help("name the YAML file, not the data")));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, text)),
            Err(error) => Err(Box::new(not_utf8(file, bytes, error.valid_up_to()))),
        }
    }

    /// A text that was read already.
    pub(super) fn new(file: &Path, text: &str) -> Self {
        Self { file: file.to_owned(), source: text.to_owned(), found: Arc::default() }
    }

    /// Parses the text. Duplicate keys are reported all at once; the first of each counts.
    pub(super) fn parse(&self, errors: &mut Vec<Diagnostic>) -> Option<Node> {
        if let Some(fault) = self.control_character() {
            errors.push(fault);
            return None;
        }
        let mut seen = Seen::default();
        let reader = Reader { at: At::top(), seen: &mut seen };
        let node = match reader.deserialize(serde_yaml::Deserializer::from_str(&self.source)) {
            Ok(Node::Null) => {
                let fault = Diagnostic::error(Code::EmptyFile, "the pipeline is empty");
                let fault = fault.at(self.place_at(1, 1, false));
                errors.push(fault.help("begin it with `tartan: 1`, and name its stages under `stages`"));
                None
            }
            Ok(node) => Some(node),
            Err(error) => {
                errors.push(syntax::fault(self, &error));
                None
            }
        };
        for (at, nth) in seen.duplicates {
            let mut fault =
                Diagnostic::error(Code::DuplicateKey, format!("duplicate key `{}`", at.last_key()));
            fault.place = self.find(&at.on_key(), nth);
            if let Some(first) = self.find(&at.on_key(), 0) {
                fault = fault.note(format!("it stands first in line {}", first.line));
            }
            errors.push(fault.help("keep one of them"));
        }
        for at in seen.merges {
            let mut fault =
                Diagnostic::error(Code::MergeKey, "a merge key (`<<`) has no meaning in a pipeline");
            fault.place = self.find(&at.on_key(), 0);
            errors.push(fault.help(
                "write the fields out, or make the block a variable and name its fields: `${block.field}`",
            ));
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
            at = at.around()?;
        }
    }

    /// The file, as the user named it.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The folder that the file's paths are relative to.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Where the text begins to say something.
    pub(super) fn top(&self) -> Option<Place> {
        let says = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%', '-']);
        let line = lines(&self.source).position(says)?;
        Some(self.place_at(line + 1, 1, true))
    }

    fn find(&self, at: &At, nth: usize) -> Option<Place> {
        if at.steps.is_empty() {
            return None;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.entry((at.clone(), nth)).or_insert_with(|| self.walk_to(at, nth)).clone()
    }

    fn walk_to(&self, at: &At, nth: usize) -> Option<Place> {
        let walk = Walk { steps: &at.steps, of_key: at.of_key, nth };
        let error = walk.deserialize(serde_yaml::Deserializer::from_str(&self.source)).err()?;
        if !error.to_string().contains(HERE) {
            return None;
        }
        let location = error.location()?;
        Some(self.place_at(location.line(), location.column(), at.of_key))
    }

    fn place_at(&self, line: usize, column: usize, of_key: bool) -> Place {
        let source = lines(&self.source).nth(line.saturating_sub(1)).unwrap_or("").to_owned();
        let chars: Vec<char> = source.chars().collect();
        let (before, rest) = chars.split_at(column.saturating_sub(1).min(chars.len()));
        let width = width(before, rest, of_key);
        Place { file: self.file.clone(), line, column, width, source }
    }

    /// The parser refuses control characters too, but says no place.
    fn control_character(&self) -> Option<Diagnostic> {
        let stray = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
        let (line, (column, c)) = lines(&self.source)
            .enumerate()
            .find_map(|(line, text)| Some((line, text.chars().enumerate().find(|(_, c)| stray(*c))?)))?;
        let place = Place { width: 1, ..self.place_at(line + 1, column + 1, false) };
        let fault = Diagnostic::error(
            Code::ControlCharacter,
            format!("a control character (U+{:04X}) in the text", u32::from(c)),
        );
        Some(fault.at(place).help("delete it, or save the file as UTF-8"))
    }
}

/// Why a pipeline's file cannot be read, and which file may be meant.
fn unreadable(file: &Path, error: &std::io::Error) -> Diagnostic {
    let shown_as = file.display();
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        names.sort();
        names
    };
    let usual = || "name a pipeline file, such as `tartan run pipelines/quickstart.yaml`".to_owned();
    if file.is_dir() {
        let fault = Diagnostic::error(Code::UnreadablePipeline, format!("`{shown_as}` is a folder"));
        return fault.help(match names(file).first() {
            Some(first) => format!("name a pipeline in it, such as `{}`", file.join(first).display()),
            None => usual(),
        });
    }
    if error.kind() == std::io::ErrorKind::NotFound {
        let fault = Diagnostic::error(Code::UnreadablePipeline, format!("there is no file `{shown_as}`"));
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let near =
            nearest(&name, names(folder).iter().map(String::as_str)).map(|near| file.with_file_name(near));
        return fault.help(near.map_or_else(usual, |near| format!("did you mean `{}`?", near.display())));
    }
    let fault = format!("failed to read the pipeline `{shown_as}`: {error}");
    Diagnostic::error(Code::UnreadablePipeline, fault).help(usual())
}

/// What is wrong with a file that is UTF-8 up to a byte.
fn not_utf8(file: &Path, bytes: &[u8], up_to: usize) -> Diagnostic {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes {
        let fault = format!("`{}` is UTF-16, and a pipeline is UTF-8", file.display());
        let place = Place { file: file.to_owned(), line: 1, column: 1, width: 1, source: String::new() };
        return Diagnostic::error(Code::NotUtf8, fault).at(place).help("save the file as UTF-8");
    }
    let start = bytes[..up_to].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let line = bytes[..up_to].split(|b| *b == b'\n').count();
    let column = String::from_utf8_lossy(&bytes[start..up_to]).chars().count() + 1;
    let source = bytes[start..].split(|b| *b == b'\n').next().unwrap_or_default();
    let source = String::from_utf8_lossy(source).trim_end_matches('\r').to_owned();
    let fault =
        Diagnostic::error(Code::NotUtf8, format!("a byte that is not UTF-8 (0x{:02X})", bytes[up_to]));
    fault.at(Place { file: file.to_owned(), line, column, width: 1, source }).help("save the file as UTF-8")
}

/// The lines of a text, broken where the parser breaks them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let (line, after) = here.find(breaks).map_or((here, None), |at| {
            let after = here[at..].strip_prefix("\r\n");
            let after = after.or_else(|| here[at..].strip_prefix(breaks));
            (&here[..at], after)
        });
        rest = after;
        Some(line)
    })
}

/// How many characters the scalar or key at the start of `rest` takes; `before` is what stands before it in
/// its line.
fn width(before: &[char], rest: &[char], of_key: bool) -> usize {
    if let Some(quote @ ('"' | '\'')) = rest.first() {
        return quoted_width(rest, *quote);
    }
    if matches!(rest, ['[' | '{' | '|' | '>', ..] | ['-', ' ', ..]) {
        return 1;
    }
    let count = |chars: &[char], set: &str| chars.iter().filter(|c| set.contains(**c)).count();
    // In brackets a comma ends a text; elsewhere it is a part of it.
    let in_brackets = count(before, "[{") > count(before, "]}") || count(rest, "]}") > count(rest, "[{");
    let mut end = 0;
    let mut depth = 0_usize;
    while end < rest.len() {
        match rest[end] {
            '{' | '[' => depth += 1,
            '}' | ']' | ',' if depth == 0 && in_brackets => break,
            '}' | ']' => depth = depth.saturating_sub(1),
            ':' if rest.get(end + 1).is_none_or(|c| c.is_whitespace()) => break,
            '#' if end > 0 && rest[end - 1].is_whitespace() && !of_key => break,
            _ => {}
        }
        end += 1;
    }
    while end > 1 && (rest[end - 1].is_whitespace() || (end == rest.len() && rest[end - 1] == ',')) {
        end -= 1;
    }
    end.max(1)
}

/// How many characters a text in quotes takes, as far as it stands in this line.
fn quoted_width(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' if quote == '"' => at += 1,
            c if c == quote && quote == '\'' && rest.get(at + 1) == Some(&quote) => at += 1,
            c if c == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    rest.len()
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
        let place = errors[0].place.as_ref().map(|place| (place.line, place.column));
        assert_eq!((errors[0].message.as_str(), place), ("this `[` is not closed", Some((1, 4))));
    }
}
