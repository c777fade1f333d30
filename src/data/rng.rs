//! Chance: one stream of random numbers for each seed, purpose and step.
//!
//! A stream depends on nothing but these three, so that adding a use of chance changes no other.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The stream of `purpose` at `step` under `seed`.
pub fn stream(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("tartan random stream 1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&step.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A seed for a generator that takes one number.
pub fn seed_of(seed: u64, purpose: &str, step: u64) -> u64 {
    use rand::Rng as _;
    stream(seed, purpose, step).random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_purpose_and_step() {
        let first = seed_of(1, "order", 2);
        assert_eq!(first, seed_of(1, "order", 2));
        for other in [seed_of(0, "order", 2), seed_of(1, "mask", 2), seed_of(1, "order", 3)] {
            assert_ne!(first, other);
        }
    }
}
