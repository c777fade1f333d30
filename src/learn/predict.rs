//! A trained model's predictions on a split.

use tartan::data::split::Split;
use tch::{Device, Kind, Tensor, no_grad};

use super::encoder::Encoder;
use super::head::Head;
use super::tokens::{Layout, Tokens};

/// Each text's probabilities of the classes, in the split's order. `watch` hears how many texts are done.
///
/// Texts go through the model `batch` at a time, sorted by length, so that few pads are computed where any are.
pub fn predict(
    encoder: &Encoder,
    head: &Head,
    split: &Split,
    batch: usize,
    layout: Layout,
    watch: &dyn Fn(usize),
) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..split.len()).collect();
    order.sort_by_key(|&text| (split.text(text).len(), text));
    let mut probabilities = vec![vec![]; split.len()];
    let mut done = 0;
    for texts in order.chunks(batch.max(1)) {
        let parts = layout.parts(&layout.collate(split, texts));
        let found = parts.iter().flat_map(|part| {
            let probs_bc = no_grad(|| {
                let tokens = Tokens::new(part, &part.ids, layout);
                let features_bh = encoder.forward(&tokens, &tokens.first, None).hidden;
                head.forward(&features_bh, None).to_kind(Kind::Double).softmax(-1, Kind::Double)
            });
            rows(&probs_bc)
        });
        for (&text, row) in texts.iter().zip(found) {
            probabilities[text] = row;
        }
        done += texts.len();
        watch(done);
    }
    probabilities
}

/// The most probable class; the first of equals.
pub fn most_probable(probabilities: &[f64]) -> usize {
    let mut best = 0;
    for (class, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = class;
        }
    }
    best
}

fn rows(matrix: &Tensor) -> Vec<Vec<f64>> {
    let columns = usize::try_from(matrix.size()[1]).unwrap_or(0).max(1);
    let mut values = vec![0.0; matrix.numel()];
    matrix.to_device(Device::Cpu).contiguous().copy_data(&mut values, matrix.numel());
    values.chunks(columns).map(<[f64]>::to_vec).collect()
}
