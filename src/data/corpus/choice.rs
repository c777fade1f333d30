//! Between the two readings: which texts are taken, for which split, and what each label's id is.

use std::collections::BTreeMap;

use super::parts::assign;
use super::survey::{OUT, OWN, Survey};
use super::{CorpusError, Inputs, TRAIN};
use crate::action::{Labels, Part, Sample, Tokenize};
use crate::data::sample;

/// What is taken.
#[derive(Debug)]
pub(super) struct Choice {
    /// For each source, the splits that are made of it; the first is the one whose files it has.
    pub(super) targets: Vec<Vec<String>>,
    /// For each source, for each of its texts, 0 if it is left out, else 1 + the place of its split.
    pub(super) fates: Vec<Vec<u8>>,
    /// For each split, how many of its texts have each label, by the survey's numbers, before it is sampled.
    /// Empty where there are no labels.
    pub(super) label_counts: BTreeMap<String, Vec<u64>>,
    /// The labels.
    pub(super) labels: Labels,
    /// Each label's id, by the survey's numbers.
    pub(super) ids: Vec<i32>,
    /// How many texts the sample asks for, and of how many.
    pub(super) sampled: Option<(u64, u64)>,
}

impl Choice {
    /// How many texts are taken.
    pub(super) fn texts(&self) -> u64 {
        self.fates.iter().flatten().filter(|fate| **fate != OUT).count() as u64
    }
}

/// Chooses from what the survey saw.
pub(super) fn choose(params: &Tokenize, inputs: &Inputs, survey: &mut Survey) -> Result<Choice, CorpusError> {
    // Test first: what it gets does not depend on whether there is a dev.
    let parts: Vec<(&str, Part)> =
        params.parts.iter().rev().map(|(split, part)| (split.as_str(), *part)).collect();
    let (mut targets, mut fates) = (vec![], vec![]);
    let mut label_counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (source, seen) in inputs.sources.iter().zip(&mut survey.seen) {
        let mut splits = vec![source.split.to_owned()];
        if source.split == TRAIN && !parts.is_empty() {
            splits.extend(parts.iter().map(|(split, _)| (*split).to_owned()));
            fates.push(assign(params, &parts, seen, &survey.names)?);
            seen.hashes = vec![];
        } else {
            fates.push(std::mem::take(&mut seen.fates));
        }
        let fates = fates.last().map(Vec::as_slice).unwrap_or_default();
        for (place, split) in splits.iter().enumerate() {
            let mut counts = vec![0; survey.names.len()];
            for (label, _) in
                seen.labels.iter().zip(fates).filter(|(_, fate)| usize::from(**fate) == 1 + place)
            {
                counts[*label as usize] += 1;
            }
            label_counts.insert(split.clone(), if seen.labels.is_empty() { vec![] } else { counts });
        }
        targets.push(splits);
    }
    let (labels, ids) = number(&survey.names, &label_counts);
    let mut choice = Choice { targets, fates, label_counts, labels, ids, sampled: None };
    if let (Some(sample), Some(train)) =
        (params.sample, inputs.sources.iter().position(|source| source.split == TRAIN))
    {
        choice.sampled = Some(draw(sample, params.seed, inputs, &mut choice.fates[train])?);
    }
    Ok(choice)
}

/// Takes a sample of a source's own texts, and leaves out the others. Gives back how many were asked for, and
/// of how many.
fn draw(sample: Sample, seed: u64, inputs: &Inputs, fates: &mut [u8]) -> Result<(u64, u64), CorpusError> {
    let base = match sample {
        Sample::Count(_) | Sample::Fraction(_) => 0,
        Sample::Times(_) => {
            inputs.base_sizes.and_then(|sizes| sizes.get(TRAIN)).copied().ok_or(CorpusError::NoBase)?
        }
    };
    let all: usize = fates.iter().map(|fate| usize::from(*fate == OWN)).sum();
    let wanted = sample::wanted(sample, all, base);
    let mut drawn = sample::draw(all, wanted, seed).into_iter().peekable();
    for (place, fate) in fates.iter_mut().filter(|fate| **fate == OWN).enumerate() {
        if drawn.next_if_eq(&place).is_none() {
            *fate = OUT;
        }
    }
    Ok((wanted, all as u64))
}

/// The labels of train in byte order, then those that only dev has, then those that only test has: what a
/// label's id is depends on no split that comes later. And each label's id by its number in `names`.
fn number(names: &[String], counts: &BTreeMap<String, Vec<u64>>) -> (Labels, Vec<i32>) {
    let mut splits: Vec<&String> = counts.keys().collect();
    splits.sort_by_key(|split| [TRAIN, "dev"].iter().position(|first| first == split).unwrap_or(2));
    let mut by_name: Vec<usize> = (0..names.len()).collect();
    by_name.sort_by_key(|&number| &names[number]);
    let mut labels = Labels::default();
    let mut ids = vec![-1; names.len()];
    for split in splits {
        for &number in &by_name {
            if ids[number] < 0 && counts[split].get(number).is_some_and(|count| *count > 0) {
                ids[number] = i32::try_from(labels.names.len()).unwrap_or(i32::MAX);
                labels.names.push(names[number].clone());
            }
        }
        if split == TRAIN {
            labels.classes = labels.names.len();
        }
    }
    if !counts.contains_key(TRAIN) {
        labels.classes = labels.names.len();
    }
    (labels, ids)
}
