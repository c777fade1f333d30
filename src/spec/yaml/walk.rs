//! From a path to its place: the text is parsed again along the path, failing on purpose at its end.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Step;

/// What the failure on purpose says.
pub(super) const HERE: &str = "tartan stops here";

/// Walks along a path and fails at its end, so that the parser tells the place.
pub(super) struct Walk<'a> {
    pub(super) steps: &'a [Step],
    pub(super) of_key: bool,
    /// Which of several equal keys the last step means.
    pub(super) nth: usize,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! stop_at_scalar {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: de::Error>(self, _: $type) -> Result<(), E> {
            if self.steps.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
        })*
    };
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    stop_at_scalar!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        if self.steps.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else { return Err(de::Error::custom(HERE)) };
        let mut index = 0;
        loop {
            let found = if *step == Step::Index(index) {
                items.next_element_seed(Walk { steps: rest, ..self })?.is_some()
            } else {
                items.next_element::<IgnoredAny>()?.is_some()
            };
            if !found {
                return Ok(());
            }
            index += 1;
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else { return Err(de::Error::custom(HERE)) };
        let Step::Key(wanted) = step else { return Ok(()) };
        let mut nth = if rest.is_empty() { self.nth } else { 0 };
        loop {
            let ends_here = rest.is_empty() && self.of_key && nth == 0;
            match entries.next_key_seed(WalkKey { wanted, ends_here })? {
                None => return Ok(()),
                Some(true) if nth == 0 => {
                    return entries.next_value_seed(Walk { steps: rest, ..self });
                }
                Some(hit) => {
                    nth -= usize::from(hit);
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

/// Whether a key is the wanted one; fails there if the walk ends at this key.
struct WalkKey<'a> {
    wanted: &'a str,
    ends_here: bool,
}

impl<'de> DeserializeSeed<'de> for WalkKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl WalkKey<'_> {
    fn check<E: de::Error>(&self, key: &str) -> Result<bool, E> {
        let hit = key == self.wanted;
        if hit && self.ends_here { Err(E::custom(HERE)) } else { Ok(hit) }
    }
}

impl Visitor<'_> for WalkKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<bool, E> {
        self.check(value)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
        self.check(&value.to_string())
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<bool, E> {
        self.check(&value.to_string())
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<bool, E> {
        self.check(&value.to_string())
    }
}
