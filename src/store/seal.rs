//! Sealed JSON: a JSON file that carries the digest of its own content, so that a torn or damaged one
//! is known as such. Knows nothing of what it holds.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;

const HEAD: &[u8] = b"{\"blake3\":\"";
const MIDDLE: &[u8] = b"\",\"content\":";
const TAIL: &[u8] = b"}\n";
const HEX: usize = 64;

/// `{"blake3": digest of the content as written here, "content": …}`.
pub(super) fn seal(content: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let content = serde_json::to_vec(content)?;
    let digest = Digest::of(&content).hex();
    Ok([HEAD, digest.as_bytes(), MIDDLE, &content, TAIL].concat())
}

/// The content, if every byte is as it was sealed.
pub(super) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (digest, rest) = bytes.strip_prefix(HEAD)?.split_at_checked(HEX)?;
    let content = rest.strip_prefix(MIDDLE)?.strip_suffix(TAIL)?;
    let digest: Digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    if Digest::of(content) != digest {
        return None;
    }
    serde_json::from_slice(content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_byte_is_seen() {
        let sealed = seal(&vec!["a", "b"]).expect("seals");
        assert_eq!(unseal::<Vec<String>>(&sealed).expect("unseals"), ["a", "b"]);
        assert!(serde_json::from_slice::<serde_json::Value>(&sealed).is_ok(), "it is plain JSON");
        for at in 0..sealed.len() {
            assert!(unseal::<Vec<String>>(&sealed[..at]).is_none(), "cut at {at}");
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(unseal::<Vec<String>>(&damaged).is_none(), "flipped at {at}");
        }
    }
}
