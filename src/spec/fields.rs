//! Reading a block of fields: types, ranges, what is missing, what is unknown, each fault at its place.

use std::borrow::Cow;

use super::vars::{self, Vars};
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic, either, list, nearest};

/// Faults found so far, each with the path to what it is about.
pub(super) type Faults = Vec<(At, Diagnostic)>;

/// A block of fields, read field by field. [`Fields::finish`] reports what nobody asked for.
pub(super) struct Fields<'a> {
    block: &'a [(String, Node)],
    pub(super) at: At,
    vars: &'a Vars,
    known: Vec<&'static str>,
    pub(super) faults: &'a mut Faults,
}

/// Where numbers may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Anywhere.
    Any,
    /// At least 0.
    NotNegative,
    /// Above 0.
    Positive,
    /// At least 0 and below 1.
    BelowOne,
    /// Above 0 and at most 1.
    UpToOne,
    /// Above 0 and below 1.
    Part,
}

impl Range {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::Any => true,
            Self::NotNegative => number >= 0.0,
            Self::Positive => number > 0.0,
            Self::BelowOne => (0.0..1.0).contains(&number),
            Self::UpToOne => number > 0.0 && number <= 1.0,
            Self::Part => number > 0.0 && number < 1.0,
        }
    }

    /// A number in it, to show.
    fn example(self) -> &'static str {
        match self {
            Self::Any | Self::NotNegative => "0",
            Self::Positive | Self::BelowOne | Self::UpToOne | Self::Part => "0.1",
        }
    }

    /// It in words, to follow "a number".
    pub fn text(self) -> &'static str {
        match self {
            Self::Any => "of any size",
            Self::NotNegative => "at least 0",
            Self::Positive => "above 0",
            Self::BelowOne => "at least 0 and below 1",
            Self::UpToOne => "above 0 and at most 1",
            Self::Part => "above 0 and below 1",
        }
    }
}

impl<'a> Fields<'a> {
    /// The fields of `node`, which is what `what` names. Reports a node that is no block.
    pub(super) fn of(
        node: &'a Node,
        what: &str,
        at: At,
        vars: &'a Vars,
        faults: &'a mut Faults,
    ) -> Option<Self> {
        match node {
            Node::Map(block) => Some(Self { block, at, vars, known: vec![], faults }),
            other => {
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("{what} is a block of fields, not {}", other.what()),
                )
                .help("write `{field: value, …}`, or the fields on lines of their own, indented");
                faults.push((at, fault));
                None
            }
        }
    }

    /// A field's value, its variables replaced, and its path. Nothing where it is absent or null.
    pub(super) fn take(&mut self, name: &'static str) -> Option<(Node, At)> {
        self.known.push(name);
        let (_, raw) = self.block.iter().find(|(key, _)| key == name)?;
        let at = self.at.key(name);
        let value = replace(raw, self.vars, &at, self.faults)?;
        (value != Node::Null).then_some((value, at))
    }

    /// A field as it stands, for blocks whose insides are read as fields again. Nothing where it is absent or null.
    pub(super) fn raw(&mut self, name: &'static str) -> Option<(&'a Node, At)> {
        self.known.push(name);
        let (_, raw) = self.block.iter().find(|(key, raw)| key == name && *raw != Node::Null)?;
        Some((raw, self.at.key(name)))
    }

    /// Reports `fault` about the node at `at`.
    pub(super) fn fault(&mut self, at: At, fault: Diagnostic) {
        self.faults.push((at, fault));
    }

    fn wrong(&mut self, at: At, name: &str, wanted: &str, found: &Node, example: &str) {
        let fault = format!("`{name}` is {wanted}, not {}", found.what());
        let fault = Diagnostic::error(Code::WrongType, fault).help(format!("such as `{name}: {example}`"));
        self.faults.push((at, fault));
    }

    /// A number that is none of those wanted; what is no number at all is of the wrong type.
    fn wrong_number(&mut self, at: At, name: &str, wanted: &str, found: &Node, example: &str) {
        let help = format!("such as `{name}: {example}`");
        let fault = if number(found).is_some() {
            let fault = format!("`{name}` is {wanted}, not `{}`", found.brief());
            Diagnostic::error(Code::OutOfRange, fault).help(help)
        } else {
            let fault = format!("`{name}` is {wanted}, not {}", found.what());
            let fault = Diagnostic::error(Code::WrongType, fault);
            match found {
                Node::Text(text) if text.parse::<f64>().is_ok() => fault.help("leave out the quotes"),
                _ => fault.help(help),
            }
        };
        self.faults.push((at, fault));
    }

    /// Reports that a field is missing, unless it is there and wrong, or there under a name like its own, which is
    /// reported as unknown.
    pub(super) fn missing(&mut self, name: &'static str, what: &str) {
        self.missing_one(&[name], what);
    }

    /// The same of fields of which one must be there, and the first is named.
    pub(super) fn missing_one(&mut self, names: &[&'static str], what: &str) {
        let is_wrong = names.iter().any(|name| {
            let here = self.at.key(name);
            self.faults.iter().any(|(at, _)| at.within(&here))
        });
        let mut keys = self.block.iter().map(|(key, _)| key.as_str());
        let is_near = |key: &str| nearest(key, names.iter().copied()).is_some();
        if let [name, ..] = names
            && !is_wrong
            && !keys.any(|key| !self.known.contains(&key) && is_near(key))
        {
            let fault = Diagnostic::error(Code::MissingField, format!("`{name}` is missing: {what}"));
            let fault = fault.help(format!("add `{name}: …`"));
            self.faults.push((self.at.on_key(), fault));
        }
    }

    /// A text. A number or truth value counts as the text it is written as.
    pub(super) fn text(&mut self, name: &'static str) -> Option<(String, At)> {
        let (node, at) = self.take(name)?;
        match node {
            Node::Text(text) => Some((text, at)),
            Node::Int(_) | Node::Bool(_) => Some((node.brief(), at)),
            other => {
                self.wrong(at, name, "a text", &other, "NAME");
                None
            }
        }
    }

    /// A number in a range.
    pub(super) fn number(&mut self, name: &'static str, range: Range) -> Option<f64> {
        let (node, at) = self.take(name)?;
        if let Some(number) = number(&node).filter(|number| number.is_finite() && range.holds(*number)) {
            return Some(number);
        }
        self.wrong_number(at, name, &format!("a number {}", range.text()), &node, range.example());
        None
    }

    /// A whole number of at least `least`.
    pub(super) fn count(&mut self, name: &'static str, least: u64) -> Option<u64> {
        let (node, at) = self.take(name)?;
        if let Some(count) = whole(&node).filter(|count| *count >= least) {
            return Some(count);
        }
        self.wrong_number(
            at,
            name,
            &format!("a whole number of at least {least}"),
            &node,
            &least.to_string(),
        );
        None
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, name: &'static str) -> Option<bool> {
        let (node, at) = self.take(name)?;
        match node {
            Node::Bool(truth) => Some(truth),
            other => {
                self.wrong(at, name, "`true` or `false`", &other, "true");
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let (text, at) = self.text(name)?;
        self.one_of(&text, name, words, at)
    }

    /// The meaning of `text` among some words.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        text: &str,
        name: &str,
        words: &[(&'static str, T)],
        at: At,
    ) -> Option<T> {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let code = if name == "metric" { Code::UnknownMetric } else { Code::UnknownWord };
        let fault = Diagnostic::error(code, format!("unknown {name} `{text}`"));
        let fault = fault.meant(text, all.iter().copied(), || format!("it is one of {}", either(&all)));
        self.faults.push((at, fault));
        None
    }

    /// A list of texts; a single text counts as a list of one.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<(String, At)>> {
        let (node, at) = self.take(name)?;
        let items = match node {
            Node::List(items) => items.into_iter().enumerate().map(|(i, item)| (item, at.index(i))).collect(),
            other => vec![(other, at)],
        };
        let mut texts = vec![];
        for (item, at) in items {
            match item {
                Node::Text(text) => texts.push((text, at)),
                other => self.wrong(at, name, "a list of names", &other, "[a, b]"),
            }
        }
        Some(texts)
    }

    /// Reports every field that nobody asked for. `what` names the block.
    pub(super) fn finish(self, what: &str) {
        for (key, _) in self.block {
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let fault = Diagnostic::error(Code::UnknownField, format!("unknown field `{key}` in {what}"))
                .meant(key, self.known.iter().copied(), || format!("its fields are {}", list(&self.known)));
            self.faults.push((self.at.key(key).on_key(), fault));
        }
    }
}

/// A node with its variables replaced; each fault is reported where it stands.
pub(super) fn replace(raw: &Node, vars: &Vars, at: &At, faults: &mut Faults) -> Option<Node> {
    match raw {
        Node::Text(text) if text.contains('$') => match vars::scalar(text, vars) {
            Ok(node) => Some(node),
            Err(fault) => {
                faults.push((at.clone(), *fault));
                None
            }
        },
        Node::List(items) => {
            let items: Vec<Option<Node>> =
                items.iter().enumerate().map(|(i, item)| replace(item, vars, &at.index(i), faults)).collect();
            items.into_iter().collect::<Option<_>>().map(Node::List)
        }
        Node::Map(fields) => {
            let fields: Vec<Option<(String, Node)>> = fields
                .iter()
                .map(|(k, v)| replace(v, vars, &at.key(k), faults).map(|v| (k.clone(), v)))
                .collect();
            fields.into_iter().collect::<Option<_>>().map(Node::Map)
        }
        other => Some(other.clone()),
    }
}

/// A block that may stand as a variable alone: what it stands for.
pub(super) fn block<'a>(raw: &'a Node, vars: &Vars, at: &At, faults: &mut Faults) -> Option<Cow<'a, Node>> {
    match raw {
        Node::Text(text) if text.contains("${") => replace(raw, vars, at, faults).map(Cow::Owned),
        other => Some(Cow::Borrowed(other)),
    }
}

/// What is wrong with a value that is not the wanted number: its range, or its type.
pub(super) fn not_in_range(node: &Node) -> Code {
    if number(node).is_some() { Code::OutOfRange } else { Code::WrongType }
}

/// A number's value.
pub(super) fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Int(int) => Some(*int as f64),
        Node::Float(float) => Some(*float),
        _ => None,
    }
}

/// A whole number's value, if it is not negative. A float that is whole counts: `1e3`.
pub(super) fn whole(node: &Node) -> Option<u64> {
    match node {
        Node::Int(int) => u64::try_from(*int).ok(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, in range")]
        Node::Float(float) if float.fract() == 0.0 && (0.0..9e15).contains(float) => Some(*float as u64),
        _ => None,
    }
}
