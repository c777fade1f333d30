//! The encoder and its LM head (Devlin et al. 2019; Liu et al. 2019), as functions of named tensors.

use tartan::data::batch::Batch;
use tch::{Device, Kind, Tensor};

use super::config::{Activation, Config, Family};
use super::weights::Tensors;

/// How texts become an encoder's tokens.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The pad token.
    pub pad: u32,
    /// Whether pads are attended to like any token.
    pub attend_pads: bool,
    /// Where the tokens go.
    pub device: Device,
}

/// Texts side by side, as the encoder reads them.
#[derive(Debug)]
pub struct Tokens {
    /// Token ids, `B×L`.
    ids: Tensor,
    /// Which tokens are attended to, `B×1×1×L`; absent where no text is padded.
    attended: Option<Tensor>,
}

impl Tokens {
    /// The batch's tokens, with `ids` in place of its own (they may be masked).
    pub fn new(batch: &Batch, ids: &[i64], layout: Layout) -> Self {
        let Layout { attend_pads, device, .. } = layout;
        let (rows, width) = (batch.len(), batch.width);
        let (b, l) = (as_i64(rows), as_i64(width));
        let padded = !attend_pads && batch.lengths.iter().any(|&length| length < width);
        let attended = padded.then(|| {
            let lengths: Vec<i64> = batch.lengths.iter().map(|&length| as_i64(length)).collect();
            let positions = Tensor::arange(l, (Kind::Int64, Device::Cpu));
            let mask = positions.unsqueeze(0).less_tensor(&Tensor::from_slice(&lengths).unsqueeze(1));
            mask.view([b, 1, 1, l]).to_device(device)
        });
        Self { ids: Tensor::from_slice(ids).view([b, l]).to_device(device), attended }
    }
}

fn as_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A linear layer: `x Wᵀ + b`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// The layer whose tensors are `name.weight` and `name.bias`.
    pub fn new(tensors: &Tensors, name: &str) -> Self {
        Self {
            weight: tensors[&format!("{name}.weight")].shallow_clone(),
            bias: tensors[&format!("{name}.bias")].shallow_clone(),
        }
    }

    /// Applies it to the last dimension.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

#[derive(Debug)]
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    fn new(tensors: &Tensors, name: &str, eps: f64) -> Self {
        let Linear { weight, bias } = Linear::new(tensors, name);
        Self { weight, bias, eps }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Gelu => x.gelu("none"),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Relu => x.relu(),
    }
}

/// The encoder: tokens to hidden states. Shares its tensors with whoever holds their names.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    pad: i64,
    word_embeddings: Tensor,
    position_embeddings: Tensor,
    token_type_embeddings: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Encoder {
    /// The encoder over `tensors`, which hold every parameter of [`Config::encoder_params`].
    pub fn new(config: &Config, pad: i64, tensors: &Tensors) -> Self {
        let prefix = config.family.name();
        let eps = config.layer_norm_eps;
        let embeddings = |name: &str| tensors[&format!("{prefix}.embeddings.{name}.weight")].shallow_clone();
        let layer = |index: i64| {
            let at = format!("{prefix}.encoder.layer.{index}");
            let linear = |name: &str| Linear::new(tensors, &format!("{at}.{name}"));
            let norm = |name: &str| LayerNorm::new(tensors, &format!("{at}.{name}"), eps);
            Layer {
                query: linear("attention.self.query"),
                key: linear("attention.self.key"),
                value: linear("attention.self.value"),
                attention_output: linear("attention.output.dense"),
                attention_norm: norm("attention.output.LayerNorm"),
                intermediate: linear("intermediate.dense"),
                output: linear("output.dense"),
                output_norm: norm("output.LayerNorm"),
            }
        };
        Self {
            config: config.clone(),
            pad,
            word_embeddings: embeddings("word_embeddings"),
            position_embeddings: embeddings("position_embeddings"),
            token_type_embeddings: embeddings("token_type_embeddings"),
            norm: LayerNorm::new(tensors, &format!("{prefix}.embeddings.LayerNorm"), eps),
            layers: (0..config.layers).map(layer).collect(),
        }
    }

    /// The last layer's hidden states, `B×L×H`. With `dropout`, the configuration's dropout applies.
    pub fn forward(&self, tokens: &Tokens, dropout: bool) -> Tensor {
        let hidden_dropout = |x: &Tensor| x.dropout(self.config.hidden_dropout, dropout);
        let mut x_blh = hidden_dropout(&self.norm.forward(&self.embed(&tokens.ids)));
        for layer in &self.layers {
            let attention = hidden_dropout(&self.attend(layer, &x_blh, tokens.attended.as_ref(), dropout));
            x_blh = layer.attention_norm.forward(&(attention + x_blh));
            let wide = activate(self.config.activation, &layer.intermediate.forward(&x_blh));
            let narrow = hidden_dropout(&layer.output.forward(&wide));
            x_blh = layer.output_norm.forward(&(narrow + x_blh));
        }
        x_blh
    }

    fn embed(&self, ids_bl: &Tensor) -> Tensor {
        let width = ids_bl.size()[1];
        let words = Tensor::embedding(&self.word_embeddings, ids_bl, self.pad, false, false);
        let positions = match self.config.family {
            Family::Bert => self.position_embeddings.narrow(0, 0, width).unsqueeze(0),
            Family::Roberta => {
                // Counted over tokens that are no pads, from the row after the pad's.
                let counted = ids_bl.not_equal(self.pad).to_kind(Kind::Int64);
                let positions = counted.cumsum(1, Kind::Int64) * counted + self.pad;
                Tensor::embedding(&self.position_embeddings, &positions, self.pad, false, false)
            }
        };
        // One text a row: every token is of the first type.
        words + self.token_type_embeddings.get(0) + positions
    }

    fn attend(&self, layer: &Layer, x_blh: &Tensor, attended: Option<&Tensor>, dropout: bool) -> Tensor {
        let (b, l, h) = x_blh.size3().unwrap_or_default();
        let heads = self.config.heads;
        let split = |linear: &Linear| linear.forward(x_blh).view([b, l, heads, h / heads]).transpose(1, 2);
        let dropout_p = if dropout { self.config.attention_dropout } else { 0.0 };
        let context = Tensor::scaled_dot_product_attention(
            &split(&layer.query),
            &split(&layer.key),
            &split(&layer.value),
            attended,
            dropout_p,
            false,
            None,
            false,
        );
        layer.attention_output.forward(&context.transpose(1, 2).reshape([b, l, h]))
    }
}

/// The LM head: hidden states to logits over the vocabulary. Its decoder is the word embeddings.
#[derive(Debug)]
pub struct LmHead {
    activation: Activation,
    dense: Linear,
    norm: LayerNorm,
    decoder: Tensor,
    bias: Tensor,
}

impl LmHead {
    /// The LM head over `tensors`, which also hold every parameter of [`Config::lm_head_params`].
    pub fn new(config: &Config, tensors: &Tensors) -> Self {
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
            dense: Linear::new(tensors, dense),
            norm: LayerNorm::new(tensors, norm, config.layer_norm_eps),
            decoder: tensors[&word_embeddings].shallow_clone(),
            bias: tensors[bias].shallow_clone(),
        }
    }

    /// Logits `N×V` of the tokens at `chosen` (indices into `B·L`) alone: the rest have no loss.
    pub fn forward(&self, hidden_blh: &Tensor, chosen: &Tensor) -> Tensor {
        let h = hidden_blh.size()[2];
        let chosen_nh = hidden_blh.view([-1, h]).index_select(0, chosen);
        let x_nh = self.norm.forward(&activate(self.activation, &self.dense.forward(&chosen_nh)));
        x_nh.linear(&self.decoder, Some(&self.bias))
    }
}
