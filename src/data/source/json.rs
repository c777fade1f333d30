//! A line of JSON as a record. Of a field that comes twice the last counts, as JSON readers have it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::broken::excerpt;
use super::{Fields, Record, Wrong, bit};

/// The record of a line, or what is wrong with it.
pub(super) fn record<'b>(line: &'b str, fields: Fields) -> Result<Record<'b>, Wrong<'b>> {
    let expected = || match fields.texts().nth(1) {
        None => format!("expected a JSON object with a string {}", fields.named()),
        Some(_) => format!("expected a JSON object with a string in {}", fields.named()),
    };
    let names: Vec<&str> = fields.texts().chain([fields.label]).collect();
    let mut found: Vec<Option<Value>> = names.iter().map(|_| None).collect();
    let mut json = serde_json::Deserializer::from_str(line);
    let object = Object { names: &names, found: &mut found };
    object
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| format!("{}, found: {}{}", expected(), excerpt(line), fault(&error)))?;
    let label = found.pop().flatten();

    let mut parts = vec![];
    let several = found.len() > 1;
    let has = found
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_some())
        .map(|(place, _)| bit(place))
        .fold(0, |has, bit| has | bit);
    for value in found {
        parts.push(match value {
            Some(Value::String(text)) => Some(text),
            // Of several fields a record need not have every one.
            Some(Value::Null) if several => None,
            None => None,
            Some(other) => {
                let wrong = format!("{}, found {} there: {}", expected(), other.kind(), excerpt(line));
                return Err(wrong.into());
            }
        });
    }
    let Some(text) = fields.join(parts.into_iter()) else {
        return Err(Wrong::from(format!("{}, found: {}", expected(), excerpt(line))).lacking(line));
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
            )
            .into());
        }
    };
    Ok(Record { text, label, shown: line, has })
}

/// The names of a record's fields, with those of objects in it as `a.b`.
pub(in crate::data) fn keys(line: &str) -> Vec<String> {
    fn add(object: &serde_json::Map<String, serde_json::Value>, before: &str, names: &mut Vec<String>) {
        for (name, value) in object {
            let name = format!("{before}{name}");
            match value.as_object() {
                Some(inner) if !inner.is_empty() => add(inner, &format!("{name}."), names),
                _ => names.push(name),
            }
        }
    }
    let mut names = vec![];
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_str(line) {
        add(&object, "", &mut names);
    }
    names
}

/// What a field holds, as far as it matters here.
#[derive(Clone)]
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

/// Reads the fields of an object that are wanted, and passes over the rest.
struct Object<'w, 'de> {
    names: &'w [&'w str],
    found: &'w mut Vec<Option<Value<'de>>>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Any)? {
            let Value::String(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.names.contains(&&*name) {
                let value = map.next_value_seed(Any)?;
                for (_, found) in
                    self.names.iter().zip(&mut *self.found).filter(|(wanted, _)| **wanted == name)
                {
                    *found = Some(value.clone());
                }
            } else if self.names.iter().any(|wanted| below(wanted, &name).is_some()) {
                let value: serde_json::Value = map.next_value()?;
                for (place, wanted) in self.names.iter().enumerate() {
                    if let Some(found) = below(wanted, &name).and_then(|rest| inside(&value, rest)) {
                        self.found[place] = Some(found);
                    }
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The rest of a wanted name below a field: `b.c` of `a.b.c` below `a`.
fn below<'w>(wanted: &'w str, field: &str) -> Option<&'w str> {
    wanted.strip_prefix(field)?.strip_prefix('.')
}

/// The value of a field of an object, or of an object in it.
fn inside<'de>(object: &serde_json::Value, wanted: &str) -> Option<Value<'de>> {
    let object = object.as_object()?;
    if let Some(value) = object.get(wanted) {
        return Some(match value {
            serde_json::Value::String(text) => Value::String(Cow::Owned(text.clone())),
            serde_json::Value::Number(number) if number.is_f64() => Value::Float,
            serde_json::Value::Number(number) => Value::Integer(number.to_string()),
            serde_json::Value::Bool(truth) => Value::Bool(*truth),
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Array(_) => Value::Array,
            serde_json::Value::Object(_) => Value::Object,
        });
    }
    object.iter().find_map(|(name, value)| inside(value, below(wanted, name)?))
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
