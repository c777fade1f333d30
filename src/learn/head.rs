//! The classification head: first token of the last layer → dropout → linear H→H, tanh, dropout →
//! linear H→C. Both families of `transformers` compute the same with their pooler or their head.

use tch::Tensor;

use super::config::Spec;
use super::dropout::Dropout;
use super::linear::Linear;
use super::weights::Tensors;

/// Standard deviation of a fresh head's weights.
pub const INITIALIZER_RANGE: f64 = 0.02;

/// A head over the encoder's hidden states.
#[derive(Debug)]
pub struct Head {
    dense: Linear,
    out_proj: Linear,
    dropout: f64,
}

/// The parameters of a head for `classes` labels, under `prefix`.
pub fn params(prefix: &str, hidden: i64, classes: i64) -> Vec<Spec> {
    let mut specs = Vec::from(Spec::linear(&format!("{prefix}dense"), hidden, hidden));
    specs.extend(Spec::linear(&format!("{prefix}out_proj"), hidden, classes));
    specs
}

impl Head {
    /// The head over `tensors`, which hold its parameters under `prefix`.
    pub fn new(tensors: &Tensors, prefix: &str, dropout: f64) -> Self {
        Self {
            dense: Linear::new(tensors, &format!("{prefix}dense")),
            out_proj: Linear::new(tensors, &format!("{prefix}out_proj")),
            dropout,
        }
    }

    /// Logits `B×C` from the first tokens' hidden states `B×H`; they are in the head's own precision. With
    /// `dropout`, the head's dropout applies.
    pub fn forward(&self, features_bh: &Tensor, mut dropout: Option<&mut Dropout>) -> Tensor {
        let mut drop = |x: &Tensor| match &mut dropout {
            Some(dropout) => dropout.apply(x, self.dropout),
            None => x.shallow_clone(),
        };
        let first_bh = drop(&features_bh.to_kind(self.dense.kind()));
        let pooled_bh = drop(&self.dense.forward(&first_bh).tanh());
        self.out_proj.forward(&pooled_bh)
    }
}
