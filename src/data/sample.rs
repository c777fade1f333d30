//! Sampling: which of a split's texts to take.
//!
//! A sample is the start of one seeded permutation of the texts, so that with the same seed a smaller
//! sample is part of a larger one. What is taken stays in the order of its source.

use rand::seq::SliceRandom as _;

use super::rng;
use crate::action::Sample;

/// How many texts `sample` asks for, of `available`; `base` is the number that a multiple multiplies.
/// At least 1; may be more than there are.
pub fn wanted(sample: Sample, available: usize, base: u64) -> u64 {
    match sample {
        Sample::Count(count) => count,
        Sample::Fraction(fraction) => rounded(available as f64 * fraction),
        Sample::Times(times) => rounded(base as f64 * times),
    }
    .max(1)
}

/// The places of `count` of `len` texts, in rising order; all of them where `count` is not below `len`.
pub fn draw(len: usize, count: u64, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..len).collect();
    let Some(count) = usize::try_from(count).ok().filter(|&count| count < len) else {
        return places;
    };
    places.shuffle(&mut rng::stream(seed, "sample", 0));
    places.truncate(count);
    places.sort_unstable();
    places
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and what is not a number becomes 0"
)]
fn rounded(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_fractions_and_multiples() {
        assert_eq!(wanted(Sample::Count(7), 100, 3), 7);
        assert_eq!(wanted(Sample::Fraction(0.125), 100, 3), 13);
        assert_eq!(wanted(Sample::Fraction(0.001), 100, 3), 1);
        assert_eq!(wanted(Sample::Fraction(1.0), 100, 3), 100);
        assert_eq!(wanted(Sample::Times(2.5), 100, 1688), 4220);
        for odd in [f64::NAN, -1.0, 0.0] {
            assert_eq!(wanted(Sample::Times(odd), 100, 1688), 1);
        }
        assert_eq!(wanted(Sample::Times(f64::INFINITY), 100, 1), u64::MAX);
    }

    /// A sample is part of a key's meaning: another generator, or another use of it, must be noticed.
    #[test]
    fn draws_what_it_always_drew() {
        assert_eq!(draw(20, 5, 0), [4, 5, 10, 13, 15]);
        assert_ne!(draw(20, 5, 0), draw(20, 5, 1));
    }

    proptest! {
        #[test]
        fn is_in_order_within_bounds_and_nested(
            len in 0_usize..300, a in 0_u64..400, b in 0_u64..400, seed: u64,
        ) {
            let (small, large) = (draw(len, a.min(b), seed), draw(len, a.max(b), seed));
            for (sample, count) in [(&small, a.min(b)), (&large, a.max(b))] {
                prop_assert_eq!(sample.len() as u64, count.min(len as u64));
                prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(sample.iter().all(|&place| place < len));
            }
            prop_assert!(small.iter().all(|place| large.binary_search(place).is_ok()));
        }
    }
}
