//! Parts: which texts of the train split's files become dev and test.
//!
//! It depends on what the texts say, the seed and, where parts are stratified, their labels; not on their
//! order. Texts are ranked by a seeded hash of their content; test takes the first of each label until it has its
//! share, then dev, and train keeps the rest. A text that comes more than once goes whole, so that no text is in
//! two splits, and with the first of its labels.

use super::CorpusError;
use super::survey::{Hash, OUT, OWN, Seen};
use crate::action::{Part, Tokenize};
use crate::data::source::SourceError;

/// Gives each text that train would take its split: [`OWN`] stays, and the part at place N of `names` is
/// `OWN + 1 + N`. `names` are the labels of the survey, by number.
pub(super) fn assign(
    params: &Tokenize,
    parts: &[(&str, Part)],
    seen: &Seen,
    labels: &[String],
) -> Result<Vec<u8>, CorpusError> {
    let mut fates = seen.fates.clone();
    let mut ranked: Vec<(Hash, usize)> = (0..fates.len())
        .filter(|&place| fates[place] != OUT)
        .map(|place| (rank(seen.hashes[place], params.split_seed), place))
        .collect();
    ranked.sort_unstable();
    let all = ranked.len() as u64;
    let wanted: Vec<u64> = parts.iter().map(|(_, part)| wanted(*part, all)).collect();
    let asked = wanted.iter().fold(0_u64, |sum, wanted| sum.saturating_add(*wanted));
    if asked >= all {
        let largest = parts.iter().zip(&wanted).max_by_key(|(_, wanted)| **wanted);
        let part = largest.map(|((split, _), _)| (*split).to_owned()).unwrap_or_default();
        return Err(CorpusError::NothingLeft { asked, texts: all, part });
    }

    // Texts that are equal stand side by side; the first label of theirs in byte order counts for all.
    let groups: Vec<&[(Hash, usize)]> = ranked.chunk_by(|a, b| a.0 == b.0).collect();
    let strata = if params.stratify && !seen.labels.is_empty() { labels.len() } else { 1 };
    let stratum = |group: &[(Hash, usize)]| {
        if strata == 1 {
            return 0;
        }
        let of = |place: usize| seen.labels[place] as usize;
        group.iter().map(|(_, place)| of(*place)).min_by_key(|label| &labels[*label]).unwrap_or(0)
    };
    let mut sizes = vec![0_u64; strata];
    let mut untaken = vec![0_u64; strata];
    for group in &groups {
        sizes[stratum(group)] += group.len() as u64;
        untaken[stratum(group)] += 1;
    }
    // Train keeps a text of every label.
    let mut room: Vec<u64> = sizes.iter().map(|size| size.saturating_sub(1)).collect();
    let mut left: Vec<Vec<Share>> = vec![];
    for wanted in wanted {
        let shares = shares(&sizes, &room, wanted, labels);
        room.iter_mut().zip(&shares).for_each(|(room, share)| *room -= share);
        left.push(shares.iter().zip(&room).map(|(share, room)| Share::new(*share, *room)).collect());
    }
    for group in groups {
        let stratum = stratum(group);
        let texts = group.len() as u64;
        let takes = |shares: &mut Vec<Share>| shares[stratum].takes(texts, untaken[stratum]);
        let Some(part) = left.iter_mut().position(takes) else { continue };
        left[part][stratum].take(texts);
        untaken[stratum] -= 1;
        for (_, place) in group {
            fates[*place] = OWN + 1 + u8::try_from(part).unwrap_or(0);
        }
    }
    match parts.iter().zip(&left).find(|(_, shares)| is_empty(shares)) {
        Some(((split, _), _)) => Err(too_alike(split)),
        None => Ok(fates),
    }
}

/// Whether a part has no text.
fn is_empty(shares: &[Share]) -> bool {
    !shares.iter().any(|share| share.has_some)
}

/// What a part takes of a stratum.
struct Share {
    /// Texts that it still takes.
    left: u64,
    /// Whether it has any.
    has_some: bool,
    /// Different texts that stay when it takes more than its first: one for train, and one for a part that may
    /// come after, where there is room for it.
    stay: u64,
}

impl Share {
    fn new(texts: u64, room: u64) -> Self {
        Self { left: texts, has_some: false, stay: 1 + room.min(1) }
    }

    /// Whether it takes a text that comes `texts` times, one of `untaken` different ones. Once it may take none,
    /// it has what it gets: what it would take later is for those after it.
    fn takes(&mut self, texts: u64, untaken: u64) -> bool {
        let stay = if self.has_some { self.stay } else { 1 };
        if untaken <= stay {
            self.left = 0;
        }
        texts <= self.left
    }

    fn take(&mut self, texts: u64) {
        self.left -= texts;
        self.has_some = true;
    }
}

fn too_alike(split: &str) -> CorpusError {
    let why = "train keeps a text of each label, and equal texts stay together".to_owned();
    CorpusError::Sources(vec![(split.to_owned(), SourceError::Empty { split: split.to_owned(), why })])
}

fn wanted(part: Part, all: u64) -> u64 {
    match part {
        Part::Count(count) => count,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
        Part::Fraction(fraction) => ((all as f64 * fraction).round() as u64).max(1),
    }
}

/// How many texts of each stratum make `wanted`: in proportion to their `sizes`, rounded so that the sum is
/// right, and none more than its `room`.
fn shares(sizes: &[u64], room: &[u64], wanted: u64, labels: &[String]) -> Vec<u64> {
    let all: u64 = sizes.iter().sum();
    let ideal = |stratum: usize| sizes[stratum] as f64 * wanted as f64 / all.max(1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
    let mut shares: Vec<u64> =
        (0..sizes.len()).map(|stratum| (ideal(stratum).floor() as u64).min(room[stratum])).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| {
        let rest = |stratum: usize| ideal(stratum).fract();
        rest(b).total_cmp(&rest(a)).then_with(|| labels.get(a).cmp(&labels.get(b)))
    });
    let mut missing = wanted.saturating_sub(shares.iter().sum());
    while missing > 0 {
        let before = missing;
        for &stratum in &order {
            if missing > 0 && shares[stratum] < room[stratum] {
                shares[stratum] += 1;
                missing -= 1;
            }
        }
        if missing == before {
            break;
        }
    }
    shares
}

fn rank(hash: Hash, seed: u64) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("tartan split 1");
    for number in [seed, hash[0], hash[1]] {
        hasher.update(&number.to_le_bytes());
    }
    let hash = hasher.finalize();
    let (halves, _) = hash.as_bytes().as_chunks::<8>();
    [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The splits of texts of one label, by what they say: 0 for train, then test, then dev.
    fn divided(texts: &[u64], test: u64, dev: u64) -> Result<Vec<u8>, CorpusError> {
        let seen = Seen {
            fates: vec![OWN; texts.len()],
            labels: vec![0; texts.len()],
            hashes: texts.iter().map(|text| [*text, 0]).collect(),
            ..Seen::default()
        };
        let params = Tokenize { stratify: true, ..Tokenize::default() };
        let parts = [("test", Part::Count(test)), ("dev", Part::Count(dev))];
        let fates = assign(&params, &parts, &seen, &["x".to_owned()])?;
        Ok(fates.into_iter().map(|fate| fate - OWN).collect())
    }

    #[test]
    fn train_keeps_a_text_however_many_are_equal() {
        for texts in [[1, 1, 1, 2, 3], [1, 1, 2, 2, 3], [1, 2, 2, 2, 3]] {
            let mut splits = divided(&texts, 2, 2).expect("enough");
            splits.sort_unstable();
            splits.dedup();
            assert_eq!(splits, [0, 1, 2], "{texts:?}");
        }
        for texts in [[1, 1, 1, 1, 1], [1, 1, 2, 2, 2]] {
            let error = divided(&texts, 1, 1).expect_err("too alike").to_string();
            assert!(error.contains("has no text: train keeps"), "{error}");
        }
    }

    #[test]
    fn different_texts_fill_every_share() {
        let splits = divided(&[1, 2, 3, 4, 5, 6], 3, 2).expect("enough");
        let mut sorted = splits;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 1, 1, 2, 2]);
    }
}
