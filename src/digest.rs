//! Digests: the blake3 hash of some bytes, and the canonical hash of a value.
//!
//! Knows nothing of what is hashed. A value's encoding is ordered and length-prefixed, so that two
//! values have one encoding only if they are equal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A blake3 hash, 32 bytes. Prints and parses as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of all that `reader` gives.
    pub fn of_reader(reader: impl std::io::Read) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(hasher.finalize().into())
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a JSON value's canonical encoding, under a tag that keeps encodings of
    /// different purposes or versions apart.
    pub fn of_value(tag: &str, value: &Value) -> Self {
        let mut hasher = blake3::Hasher::new();
        put(&mut hasher, b't', tag.as_bytes());
        encode(&mut hasher, value);
        Self(*hasher.finalize().as_bytes())
    }

    /// The digest as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The first ten hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.hex()[..10].to_owned()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(Self::from)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn put(hasher: &mut blake3::Hasher, tag: u8, bytes: &[u8]) {
    hasher.update(&[tag]);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// Every value is a one-byte type, a length, and that many bytes or members. Objects are in the order
/// of their keys (`serde_json`'s map is a B-tree). A number's kind is part of it: 1 is not 1.0.
fn encode(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null => put(hasher, b'n', &[]),
        Value::Bool(b) => put(hasher, b'b', &[u8::from(*b)]),
        Value::Number(n) => {
            if let Some(u) = n.as_u64() {
                put(hasher, b'u', &u.to_le_bytes());
            } else if let Some(i) = n.as_i64() {
                put(hasher, b'i', &i.to_le_bytes());
            } else {
                let float = n.as_f64().unwrap_or(f64::NAN);
                put(hasher, b'f', &float.to_bits().to_le_bytes());
            }
        }
        Value::String(s) => put(hasher, b's', s.as_bytes()),
        Value::Array(items) => {
            put(hasher, b'a', &(items.len() as u64).to_le_bytes());
            for item in items {
                encode(hasher, item);
            }
        }
        Value::Object(fields) => {
            put(hasher, b'o', &(fields.len() as u64).to_le_bytes());
            for (name, field) in fields {
                put(hasher, b'k', name.as_bytes());
                encode(hasher, field);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_that_differ_have_digests_that_differ() {
        let values = [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(-1),
            json!("0"),
            json!([]),
            json!({}),
            json!([[], []]),
            json!([[[]]]),
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!({"a": "b"}),
            json!({"b": "a"}),
            json!(["a", "b"]),
        ];
        let mut digests: Vec<_> = values.iter().map(|v| Digest::of_value("t", v)).collect();
        digests.push(Digest::of_value("other", &json!(null)));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), values.len() + 1);
    }

    #[test]
    fn prints_and_parses() {
        let digest = Digest::of(b"tartan");
        assert_eq!(digest.hex().parse::<Digest>().expect("hex"), digest);
        let json = serde_json::to_string(&digest).expect("json");
        assert_eq!(serde_json::from_str::<Digest>(&json).expect("digest"), digest);
        assert!("not hex".parse::<Digest>().is_err());
    }
}
