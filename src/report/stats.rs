//! The statistics of a table: means, deviations, and paired comparisons.
//!
//! Plain numbers in and out; knows nothing of stages or stores. What is random draws from streams of its
//! own with fixed seeds, so that the same scores give the same numbers wherever they stand.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::digest::Digest;

/// The most pairs whose every change of signs is tried: 2^16 sums take a millisecond.
const MOST_EXACT: usize = 16;
/// Changes of signs that are drawn where there are more pairs.
const DRAWS: u32 = 100_000;
/// Resamples of a bootstrap.
pub const RESAMPLES: usize = 10_000;
/// The fewest pairs that an interval is given for: the resamples of two say nothing.
const FEWEST_FOR_INTERVAL: usize = 3;

/// The mean; none of nothing.
pub fn mean(scores: &[f64]) -> Option<f64> {
    let n = scores.len();
    (n > 0).then(|| scores.iter().sum::<f64>() / n as f64)
}

/// The sample standard deviation (n − 1); none for fewer than two scores.
pub fn deviation(scores: &[f64]) -> Option<f64> {
    let mean = mean(scores)?;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    (scores.len() > 1).then(|| (squares / (scores.len() - 1) as f64).sqrt())
}

/// How paired scores differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The number of pairs, at least 1.
    pub pairs: usize,
    /// The mean difference.
    pub difference: f64,
    /// A 95% interval of the mean difference; none for fewer than three pairs.
    pub interval: Option<(f64, f64)>,
    /// The two-sided p of a paired permutation test; none for a single pair.
    pub p: Option<f64>,
    /// Whether every permutation was tried.
    pub exact: bool,
}

impl Comparison {
    /// Compares by the differences of pairs; none without a pair.
    pub fn of(differences: &[f64]) -> Option<Self> {
        Some(Self {
            pairs: differences.len(),
            difference: mean(differences)?,
            interval: interval(differences),
            p: (differences.len() > 1).then(|| permutation_p(differences)),
            exact: differences.len() <= MOST_EXACT,
        })
    }

    /// The smallest p that so many pairs can give: all differences of one sign.
    pub fn least_p(pairs: usize) -> f64 {
        0.5_f64
            .powi(i32::try_from(pairs).unwrap_or(i32::MAX).saturating_sub(1))
            .max(1.0 / f64::from(DRAWS + 1))
    }
}

/// The two-sided p of a paired permutation test of the mean: the part of all changes of signs whose sum is
/// as far from 0 as the one seen, the one seen among them (Fisher, *The Design of Experiments*, 1935,
/// section 21). Of more than 16 pairs, 100,000 changes of signs are drawn, and the one seen counts with them
/// (Phipson and Smyth 2010, *Permutation p-values should never be zero*).
fn permutation_p(differences: &[f64]) -> f64 {
    let sum: f64 = differences.iter().sum();
    // Sums that are equal on paper may differ in their last bits.
    let slack = 1e-9 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let as_far = |other: f64| other.abs() >= sum.abs() - slack;
    if differences.len() <= MOST_EXACT {
        let all = 1_u32 << differences.len();
        let flipped = |signs: u32| -> f64 {
            differences
                .iter()
                .enumerate()
                .map(|(i, difference)| if signs >> i & 1 == 1 { -difference } else { *difference })
                .sum()
        };
        let count = (0..all).filter(|signs| as_far(flipped(*signs))).count();
        return count as f64 / f64::from(all);
    }
    let mut chance = stream("permutation");
    let mut draw = || -> f64 {
        differences
            .iter()
            .map(|difference| if chance.random::<bool>() { -difference } else { *difference })
            .sum()
    };
    let count = (0..DRAWS).filter(|_| as_far(draw())).count();
    (count + 1) as f64 / f64::from(DRAWS + 1)
}

/// A bootstrap interval of the mean: the 2.5th and 97.5th percentiles of the means of resamples with
/// replacement (Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993, section 13.3).
fn interval(differences: &[f64]) -> Option<(f64, f64)> {
    let n = differences.len();
    if n < FEWEST_FOR_INTERVAL {
        return None;
    }
    let mut chance = stream("bootstrap");
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..n).map(|_| differences[chance.random_range(0..n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    Some((percentile(&means, 0.025), percentile(&means, 0.975)))
}

/// A percentile of sorted numbers, straight lines between neighbours.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let below = at as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

/// A stream of random numbers for one purpose.
fn stream(purpose: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*Digest::of(format!("tartan results {purpose}").as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `tests/fixtures/make_statistics.py`: scipy's and numpy's numbers.
    #[derive(serde::Deserialize)]
    struct Case {
        a: Vec<f64>,
        b: Vec<f64>,
        mean: f64,
        sd: f64,
        difference: f64,
        exact: bool,
        p: f64,
        interval: (f64, f64),
    }

    #[test]
    fn agrees_with_scipy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/statistics.json");
        let text = std::fs::read_to_string(path).expect("the fixture");
        let cases: Vec<Case> = serde_json::from_str(&text).expect("json");
        assert_eq!(cases.len(), 8);
        for case in cases {
            let n = case.a.len();
            let close = |ours: f64, theirs: f64, within: f64, what: &str| {
                assert!((ours - theirs).abs() <= within, "{what} of {n} pairs: {ours}, scipy {theirs}");
            };
            close(mean(&case.a).expect("mean"), case.mean, 1e-12, "mean");
            close(deviation(&case.a).expect("sd"), case.sd, 1e-12, "sd");
            let differences: Vec<f64> = case.a.iter().zip(&case.b).map(|(a, b)| a - b).collect();
            let ours = Comparison::of(&differences).expect("pairs");
            assert_eq!((ours.pairs, ours.exact), (n, case.exact));
            close(ours.difference, case.difference, 1e-12, "difference");
            // Both draw where there are too many changes of signs: three deviations of the coarser one.
            close(ours.p.expect("p"), case.p, if case.exact { 1e-12 } else { 8e-4 }, "p");
            // The bounds of 10,000 resamples against those of 400,000: a twentieth of the interval's width.
            let (low, high) = ours.interval.expect("an interval");
            let within = (case.interval.1 - case.interval.0) / 20.0 + 1e-12;
            close(low, case.interval.0, within, "lower bound");
            close(high, case.interval.1, within, "upper bound");
        }
    }

    #[test]
    fn few_pairs_say_what_they_can() {
        assert_eq!(Comparison::of(&[]), None);
        let one = Comparison::of(&[0.1]).expect("a pair");
        assert_eq!((one.pairs, one.p, one.interval), (1, None, None));
        let two = Comparison::of(&[0.1, 0.2]).expect("pairs");
        assert_eq!((two.p, two.interval), (Some(0.5), None));
        for pairs in 2..=MOST_EXACT {
            let same_sign: Vec<f64> = (1..=pairs).map(|i| i as f64).collect();
            let least = Comparison::least_p(pairs);
            let p = permutation_p(&same_sign);
            assert!((p - least).abs() < 1e-15, "{pairs} pairs: {p}, least {least}");
        }
    }

    #[test]
    fn the_same_scores_give_the_same_numbers() {
        let differences: Vec<f64> = (0..20).map(|i| f64::from(i % 7) - 2.0).collect();
        assert_eq!(Comparison::of(&differences), Comparison::of(&differences));
        let p = Comparison::of(&differences).and_then(|found| found.p).expect("p");
        assert!(p > 0.0 && p < 0.1, "{p}");
    }
}
