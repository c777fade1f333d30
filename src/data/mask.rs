//! Masking for masked language modelling (Devlin et al. 2019, section 3.1).

use rand::Rng;

use super::batch::Batch;
use crate::action::Vocabulary;

/// A batch with some tokens chosen: what the model reads, and what it should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked {
    /// Token ids as the model reads them, as many as the batch has.
    pub ids: Vec<i64>,
    /// Where the chosen tokens are in `ids`, rising.
    pub chosen: Vec<i64>,
    /// What each chosen token was.
    pub targets: Vec<i64>,
}

/// Chooses each token of `batch` with chance `rate`, special tokens and pads never. Of the chosen, 80%
/// become `mask_token`, 10% a random token of the vocabulary, and 10% stay.
pub fn mask(
    batch: &Batch,
    vocabulary: &Vocabulary,
    mask_token: u32,
    rate: f64,
    rng: &mut impl Rng,
) -> Masked {
    let mut masked = Masked { ids: batch.ids.clone(), chosen: vec![], targets: vec![] };
    for (at, &id) in batch.ids.iter().enumerate() {
        let special = u32::try_from(id).is_ok_and(|id| vocabulary.special.binary_search(&id).is_ok());
        if special || rng.random::<f64>() >= rate {
            continue;
        }
        masked.chosen.push(i64::try_from(at).unwrap_or(i64::MAX));
        masked.targets.push(id);
        let kind: f64 = rng.random();
        if kind < 0.8 {
            masked.ids[at] = i64::from(mask_token);
        } else if kind < 0.9 {
            masked.ids[at] = i64::from(rng.random_range(0..vocabulary.size));
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rng;

    #[test]
    fn chooses_at_its_rate_and_never_specials_or_pads() {
        let vocabulary = Vocabulary {
            size: 1000,
            pad: 0,
            mask: Some(4),
            special: vec![0, 1, 2, 3, 4],
            max_positions: 512,
        };
        let length = 2000;
        let mut ids: Vec<i64> = (0..length).map(|i| if i % 10 == 0 { 2 } else { 500 }).collect();
        ids.extend((0..length).map(|i| if i < 1000 { 500 } else { 0 }));
        let batch = Batch { ids, lengths: vec![2000, 2000], labels: vec![] };
        let masked = mask(&batch, &vocabulary, 4, 0.15, &mut rng::stream(0, "mask", 0));

        assert!(masked.chosen.is_sorted());
        for (&at, &target) in masked.chosen.iter().zip(&masked.targets) {
            assert_eq!(target, 500, "a special or pad token was chosen at {at}");
        }
        let candidates = 1800.0 + 1000.0;
        let chosen = masked.chosen.len() as f64;
        assert!((chosen / candidates - 0.15).abs() < 0.03, "{chosen} of {candidates}");
        let at = |at: &i64| masked.ids[usize::try_from(*at).expect("index")];
        let to_mask = masked.chosen.iter().filter(|i| at(i) == 4).count() as f64 / chosen;
        let stays = masked.chosen.iter().filter(|i| at(i) == 500).count() as f64 / chosen;
        assert!((to_mask - 0.8).abs() < 0.08, "{to_mask}");
        assert!((stays - 0.1).abs() < 0.06, "{stays}");
        for (at, (new, old)) in masked.ids.iter().zip(&batch.ids).enumerate() {
            let chosen = masked.chosen.contains(&i64::try_from(at).expect("index"));
            assert!(chosen || new == old, "a token that was not chosen changed at {at}");
        }
    }
}
