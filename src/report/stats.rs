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
/// The fewest pairs that an interval is given for. Of three it would hold the truth in 8 of 10 cases.
pub const FEWEST_FOR_INTERVAL: usize = 5;

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
    /// A 95% interval of the mean difference; none for fewer than [`FEWEST_FOR_INTERVAL`] pairs, or where so
    /// many differences are the same that resamples say nothing of their spread.
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
            interval: interval(differences, RESAMPLES),
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

/// A bootstrap-t interval of the mean: how far the means of resamples with replacement are from the mean, each
/// in its own standard errors, at the 2.5th and 97.5th percentiles (Efron and Tibshirani, *An Introduction to
/// the Bootstrap*, 1993, section 12.5). Percentiles of the means themselves take no account of how little a
/// few scores tell of their spread: of 5 normal pairs they hold the true mean in 83 of 100 cases, these in 94 or 95.
fn interval(differences: &[f64], resamples: usize) -> Option<(f64, f64)> {
    let n = differences.len();
    if n < FEWEST_FOR_INTERVAL {
        return None;
    }
    let (mean, error) = mean_and_error(differences)?;
    let size = differences.iter().map(|difference| difference.abs()).fold(0.0, f64::max);
    let mut chance = stream("bootstrap");
    let mut drawn = vec![0.0; n];
    let mut distances = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        drawn.fill_with(|| differences[chance.random_range(0..n)]);
        let (drawn_mean, drawn_error) = mean_and_error(&drawn)?;
        let distance = drawn_mean - mean;
        // A resample of one difference alone is infinitely far away in its own standard errors.
        distances.push(if drawn_error > 1e-12 * size {
            distance / drawn_error
        } else {
            f64::INFINITY.copysign(distance)
        });
    }
    distances.sort_by(f64::total_cmp);
    let (low, high) =
        (mean - percentile(&distances, 0.975) * error, mean - percentile(&distances, 0.025) * error);
    (low.is_finite() && high.is_finite()).then_some((low, high))
}

/// The mean and its standard error.
fn mean_and_error(scores: &[f64]) -> Option<(f64, f64)> {
    Some((mean(scores)?, deviation(scores)? / (scores.len() as f64).sqrt()))
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
        interval: Option<(f64, f64)>,
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
            assert_eq!(ours.interval.is_some(), case.interval.is_some(), "an interval of {n} pairs");
            if let (Some(ours), Some(theirs)) = (ours.interval, case.interval) {
                // The bounds of 10,000 resamples against those of 400,000.
                let within = (theirs.1 - theirs.0) / 20.0;
                close(ours.0, theirs.0, within, "lower bound");
                close(ours.1, theirs.1, within, "upper bound");
            }
        }
    }

    /// How many of 1000 intervals hold the mean of what the differences are drawn from.
    fn coverage(n: usize, draw: impl Fn(&mut ChaCha8Rng) -> f64, truth: f64) -> usize {
        let mut chance = stream("coverage");
        let holds = |_: &usize| {
            let differences: Vec<f64> = (0..n).map(|_| draw(&mut chance)).collect();
            interval(&differences, 1000).is_some_and(|(low, high)| low <= truth && truth <= high)
        };
        (0..1000).filter(holds).count()
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let even = |chance: &mut ChaCha8Rng| 1.0 - chance.random::<f64>();
        let normal = |chance: &mut ChaCha8Rng| {
            (-2.0 * even(chance).ln()).sqrt() * (std::f64::consts::TAU * even(chance)).cos()
        };
        let exponential = |chance: &mut ChaCha8Rng| -even(chance).ln();
        for n in [5, 10] {
            // Of 1000 at 95%: three deviations are 21.
            let of_normal = coverage(n, normal, 0.0);
            assert!((929..=971).contains(&of_normal), "{of_normal} of 1000 with {n} pairs, normal");
            // What is skewed is harder.
            let skewed = coverage(n, exponential, 1.0);
            assert!((909..=971).contains(&skewed), "{skewed} of 1000 with {n} pairs, exponential");
        }
    }

    #[test]
    fn few_pairs_say_what_they_can() {
        assert_eq!(Comparison::of(&[]), None);
        let one = Comparison::of(&[0.1]).expect("a pair");
        assert_eq!((one.pairs, one.p, one.interval), (1, None, None));
        let two = Comparison::of(&[0.1, 0.2]).expect("pairs");
        assert_eq!((two.p, two.interval), (Some(0.5), None));
        let four = Comparison::of(&[0.1, 0.2, 0.3, 0.4]).expect("pairs");
        assert_eq!(four.interval, None);
        // Differences that are all the same, or nearly all, tell nothing of their spread.
        assert_eq!(Comparison::of(&[0.1; 8]).expect("pairs").interval, None);
        assert_eq!(Comparison::of(&[0.1, 0.1, 0.1, 0.1, 0.2]).expect("pairs").interval, None);
        assert!(Comparison::of(&[0.1, 0.2, 0.3, 0.4, 0.5]).expect("pairs").interval.is_some());
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
