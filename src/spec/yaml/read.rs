//! From the parser to nodes, within bounds.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{At, Node};

/// The most values of a pipeline: far more than anyone writes, few enough to hold.
const MOST_NODES: usize = 1_000_000;

/// The most blocks and lists in each other. The parser has a limit of its own, a little above.
const DEEPEST: usize = 100;

// What the reader refuses. The parser adds the place.
pub(super) const TOO_LARGE: &str = "a whole number beyond 64 bits";
pub(super) const TOO_DEEP: &str = "blocks and lists stand in each other more than 100 levels deep";
pub(super) const TOO_MANY: &str = "the aliases of this file expand to more than a million values";
pub(super) const TAG: &str = "a tag (`!name`) has no meaning in a pipeline";

/// What was seen on the way.
#[derive(Default)]
pub(super) struct Seen {
    nodes: usize,
    /// Keys that stand twice in a block, and how many of their name stand before.
    pub(super) duplicates: Vec<(At, usize)>,
    /// Keys that would merge another block into theirs.
    pub(super) merges: Vec<At>,
}

/// Reads a node.
pub(super) struct Reader<'a> {
    pub(super) at: At,
    pub(super) seen: &'a mut Seen,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.seen.nodes += 1;
        if self.seen.nodes > MOST_NODES {
            return Err(de::Error::custom(TOO_MANY));
        }
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
        Err(de::Error::custom(TAG))
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
        if self.at.steps.len() >= DEEPEST {
            return Err(de::Error::custom(TOO_DEEP));
        }
        let mut list = vec![];
        loop {
            let at = self.at.index(list.len());
            match items.next_element_seed(Reader { at, seen: self.seen })? {
                Some(item) => list.push(item),
                None => return Ok(Node::List(list)),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        if self.at.steps.len() >= DEEPEST {
            return Err(de::Error::custom(TOO_DEEP));
        }
        let mut map = vec![];
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let at = self.at.key(&key);
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            if *count > 1 {
                self.seen.duplicates.push((at, *count - 1));
                entries.next_value::<IgnoredAny>()?;
            } else if key == "<<" {
                self.seen.merges.push(at);
                entries.next_value::<IgnoredAny>()?;
            } else {
                let value = entries.next_value_seed(Reader { at, seen: self.seen })?;
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
pub(in crate::spec) fn parse_value(text: &str) -> Option<Node> {
    let mut seen = Seen::default();
    let reader = Reader { at: At::top(), seen: &mut seen };
    let node = reader.deserialize(serde_yaml::Deserializer::from_str(text)).ok()?;
    (seen.duplicates.is_empty() && seen.merges.is_empty()).then_some(node)
}
