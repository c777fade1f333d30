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
        let mut encoding = Encoding::tagged(tag);
        encoding.value(value);
        encoding.digest()
    }

    /// The digest as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.with_hex(str::to_owned)
    }

    /// What `f` makes of all 64 hexadecimal digits, without a text of their own.
    pub fn with_hex<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        f(&blake3::Hash::from_bytes(self.0).to_hex())
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

impl AsRef<Self> for Digest {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|hex| f.write_str(hex))
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
        match sixty_four_digits(text.as_bytes()) {
            Some(bytes) => Ok(Self(bytes)),
            None => blake3::Hash::from_hex(text).map(Self::from),
        }
    }
}

/// The bytes that a text of 64 hexadecimal digits stands for. A run with nothing to do reads ten thousands of them.
fn sixty_four_digits(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => c - b'0',
        b'a'..=b'f' => c - b'a' + 10,
        _ => 0xff,
    };
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut bytes = [0; 32];
    let mut wrong = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (digit(pair[0]), digit(pair[1]));
        wrong |= (high | low) & 0xf0;
        *byte = high << 4 | (low & 0x0f);
    }
    (wrong == 0).then_some(bytes)
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hex(|hex| serializer.serialize_str(hex))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Hex)
    }
}

struct Hex;

impl serde::de::Visitor<'_> for Hex {
    type Value = Digest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 hexadecimal digits")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
        text.parse().map_err(E::custom)
    }
}

/// A value's canonical encoding, written part by part.
///
/// Every value is a one-byte type, a length, and that many bytes or members. Objects are in the order
/// of their keys. A number's kind is part of it: 1 is not 1.0.
#[derive(Clone, Debug, Default)]
pub struct Encoding(Vec<u8>);

impl Encoding {
    /// An encoding under a tag (see [`Digest::of_value`]).
    pub fn tagged(tag: &str) -> Self {
        let mut encoding = Self(Vec::with_capacity(2048));
        encoding.put(b't', tag.as_bytes());
        encoding
    }

    /// Begins an object; so many fields follow, in the order of their names.
    pub fn object(&mut self, fields: usize) {
        self.put(b'o', &(fields as u64).to_le_bytes());
    }

    /// Begins an object's field; its value follows.
    pub fn field(&mut self, name: &str) {
        self.put(b'k', name.as_bytes());
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.put(b's', text.as_bytes());
    }

    /// A whole number.
    pub fn number(&mut self, number: u64) {
        self.put(b'u', &number.to_le_bytes());
    }

    /// A digest, as its bytes.
    pub fn bytes_of(&mut self, digest: &Digest) {
        self.put(b'd', &digest.0);
    }

    /// What was encoded apart.
    pub fn append(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Any value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.put(b'n', &[]),
            Value::Bool(b) => self.put(b'b', &[u8::from(*b)]),
            Value::Number(n) => {
                if let Some(u) = n.as_u64() {
                    self.number(u);
                } else if let Some(i) = n.as_i64() {
                    self.put(b'i', &i.to_le_bytes());
                } else {
                    let float = n.as_f64().unwrap_or(f64::NAN);
                    self.put(b'f', &float.to_bits().to_le_bytes());
                }
            }
            Value::String(s) => self.text(s),
            Value::Array(items) => {
                self.put(b'a', &(items.len() as u64).to_le_bytes());
                for item in items {
                    self.value(item);
                }
            }
            // `serde_json`'s map is a B-tree.
            Value::Object(fields) => {
                self.object(fields.len());
                for (name, field) in fields {
                    self.field(name);
                    self.value(field);
                }
            }
        }
    }

    /// The digest of all that was written.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    fn put(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
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
        assert_eq!(digest.hex().to_uppercase().parse::<Digest>().expect("hex"), digest);
        assert!("not hex".parse::<Digest>().is_err());
        for wrong in ['g', '/', ':', '`', 'G', '@'] {
            assert!(format!("{}{wrong}", &digest.hex()[..63]).parse::<Digest>().is_err(), "{wrong}");
            assert!(format!("{wrong}{}", &digest.hex()[..63]).parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
