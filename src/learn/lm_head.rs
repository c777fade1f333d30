//! The LM head: hidden states to logits over the vocabulary, for the chosen tokens alone. Its decoder is the
//! word embeddings.
//!
//! The gradient of its loss is written out: the logits live for a moment, some tokens at a time, and the
//! decoder's gradient, as large as the vocabulary, is added where it belongs instead of made and then added
//! (in bfloat16 it is made, to be added in float32).

use tch::{Kind, Tensor, no_grad};

use super::config::{Activation, Config, Family};
use super::encoder::{LayerNorm, activate};
use super::linear::Linear;
use super::weights::Tensors;

/// Tokens whose logits are in memory at once.
const TOKENS_AT_ONCE: i64 = 1024;

/// The LM head.
#[derive(Debug)]
pub struct LmHead {
    activation: Activation,
    dense: Linear,
    norm: LayerNorm,
    /// The decoder and its bias, which hold the gradients.
    decoder: Tensor,
    bias: Tensor,
    /// The decoder in the precision that is computed in.
    decoder_as_computed: Tensor,
}

impl LmHead {
    /// The LM head over `tensors`, which also hold every parameter of [`Config::lm_head_params`]; it computes
    /// in the precision of `layers`, which hold the same.
    pub fn new(config: &Config, tensors: &Tensors, layers: &Tensors) -> Self {
        let (dense, norm, bias, activation) = match config.family {
            Family::Bert => (
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.bias",
                config.activation,
            ),
            // RoBERTa's LM head has the exact GELU whatever the encoder has.
            Family::Roberta => ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", Activation::Gelu),
        };
        let word_embeddings = format!("{}.embeddings.word_embeddings.weight", config.family.name());
        Self {
            activation,
            dense: Linear::new(layers, dense),
            norm: LayerNorm::new(layers, norm, config.layer_norm_eps),
            decoder: tensors[&word_embeddings].shallow_clone(),
            bias: tensors[bias].shallow_clone(),
            decoder_as_computed: layers[&word_embeddings].shallow_clone(),
        }
    }

    /// The summed cross-entropy of `targets`, `N`, at the hidden states `N×H` of their tokens: a scalar
    /// without a graph. Adds the gradient of `scale` times it to every parameter that the hidden states come
    /// from, and to the LM head's own.
    pub fn backward(&self, hidden_nh: &Tensor, targets_n: &Tensor, scale: f64) -> Tensor {
        let x_nh = self.norm.forward(&activate(self.activation, &self.dense.forward(hidden_nh)));
        let mut loss = Tensor::zeros([], (Kind::Double, x_nh.device()));
        let gradients: Vec<Tensor> = no_grad(|| {
            let x_nh = x_nh.detach().split(TOKENS_AT_ONCE, 0);
            let parts = x_nh.iter().zip(targets_n.split(TOKENS_AT_ONCE, 0));
            parts
                .map(|(x_nh, targets_n)| {
                    let (sum, gradient_nh) = self.decode_backward(x_nh, &targets_n, scale);
                    loss += sum;
                    gradient_nh
                })
                .collect()
        });
        // The gradient of this sum with respect to x is what was found.
        (&x_nh * Tensor::cat(&gradients, 0)).sum(None::<Kind>).backward();
        loss
    }

    /// The sum of the tokens' losses, and the gradient of `scale` times it with respect to `x`, `N×H`; adds
    /// the decoder's and the bias's own.
    fn decode_backward(&self, x_nh: &Tensor, targets_n: &Tensor, scale: f64) -> (Tensor, Tensor) {
        let kind = self.bias.kind();
        let mut logits_nv = x_nh.matmul(&self.decoder_as_computed.transpose(0, 1)).to_kind(kind);
        let _ = logits_nv.g_add_(&self.bias);
        let normaliser_n1 = logits_nv.logsumexp(1, true);
        let targets_n1 = targets_n.unsqueeze(1);
        let loss = (&normaliser_n1 - logits_nv.gather(1, &targets_n1, false)).sum(Kind::Double);
        // softmax - one-hot
        let mut gradient_nv = logits_nv.g_sub_(&normaliser_n1).exp_();
        let _ = gradient_nv.scatter_add_(1, &targets_n1, &normaliser_n1.full_like(-1.0));
        let _ = gradient_nv.g_mul_scalar_(scale);
        let _ = self.bias.grad().g_add_(&gradient_nv.sum_dim_intlist(0, false, None::<Kind>));
        let gradient_nv = gradient_nv.to_kind(x_nh.kind());
        let mut decoder_gradient = self.decoder.grad();
        if x_nh.kind() == kind {
            let _ = decoder_gradient.addmm_(&gradient_nv.transpose(0, 1), x_nh);
        } else {
            let _ = decoder_gradient.g_add_(&gradient_nv.transpose(0, 1).mm(x_nh));
        }
        (loss, gradient_nv.mm(&self.decoder_as_computed))
    }
}
