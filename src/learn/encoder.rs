//! The encoder (Devlin et al. 2019; Liu et al. 2019), as a function of named tensors.
//!
//! It reads all texts of a batch as one row of tokens, without pads (only attention on a GPU lays some in
//! between). What it computes is in each token what padded and masked texts give.

use tch::{Kind, Tensor, no_grad};

use super::attention::attention;
use super::config::{Activation, Config, Family};
use super::dropout::Dropout;
use super::linear::{Linear, side_by_side};
use super::tokens::Tokens;
use super::weights::Tensors;

/// A layer norm over the last dimension.
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// The layer norm whose tensors are `name.weight` and `name.bias`.
    pub fn new(tensors: &Tensors, name: &str, eps: f64) -> Self {
        let of = |part: &str| tensors[&format!("{name}.{part}")].shallow_clone();
        Self { weight: of("weight"), bias: of("bias"), eps }
    }

    /// Applies it to the last dimension.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// The activation of each element.
pub fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Gelu => x.gelu("none"),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Relu => x.relu(),
    }
}

/// A matrix of which a pass reads a few rows. Their gradients are added by hand: autograd would make a
/// gradient of the whole matrix for each pass.
#[derive(Debug)]
struct Embedding(Tensor);

impl Embedding {
    fn rows(&self, at: &Tensor) -> Tensor {
        self.0.index_select(0, at)
    }

    fn add_gradient(&self, at: &Tensor, rows: &Tensor) {
        let _ = self.0.grad().index_add_(0, at, rows);
    }
}

/// The encoder: tokens to hidden states. Shares its tensors with whoever holds their names.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    word_embeddings: Embedding,
    position_embeddings: Embedding,
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

/// What the encoder made of some tokens.
#[derive(Debug)]
pub struct Encoded {
    /// The sum of the embeddings, `T×H`: where the gradient comes out that goes to them.
    embedded: Tensor,
    /// The last layer's hidden states of the tokens that were wanted, `N×H`.
    pub hidden: Tensor,
}

impl Encoder {
    /// The encoder over `tensors`, which hold every parameter of [`Config::encoder_params`]. All but the
    /// embeddings it takes from `layers`, where they may be in a lower precision, which it then computes in.
    pub fn new(config: &Config, tensors: &Tensors, layers: &Tensors) -> Self {
        let prefix = config.family.name();
        let eps = config.layer_norm_eps;
        let embeddings = |name: &str| tensors[&format!("{prefix}.embeddings.{name}.weight")].shallow_clone();
        let layer = |index: i64| {
            let at = format!("{prefix}.encoder.layer.{index}");
            let linear = |name: &str| Linear::new(layers, &format!("{at}.{name}"));
            let norm = |name: &str| LayerNorm::new(layers, &format!("{at}.{name}"), eps);
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
            word_embeddings: Embedding(embeddings("word_embeddings")),
            position_embeddings: Embedding(embeddings("position_embeddings")),
            token_type_embeddings: embeddings("token_type_embeddings"),
            norm: LayerNorm::new(layers, &format!("{prefix}.embeddings.LayerNorm"), eps),
            layers: (0..config.layers).map(layer).collect(),
        }
    }

    /// Reads tokens, for the hidden states of those at `wanted`, `N`. The last layer computes the others as far
    /// as these attend to them. With `dropout`, the configuration's dropout applies. For a gradient, the last
    /// word is [`finish_backward`](Self::finish_backward)'s.
    pub fn forward(&self, tokens: &Tokens, wanted: &Tensor, mut dropout: Option<&mut Dropout>) -> Encoded {
        let p = self.config.hidden_dropout;
        let embedded = no_grad(|| self.embed(tokens)).set_requires_grad(true);
        let mut x_th = apply(dropout.as_deref_mut(), &self.norm.forward(&embedded), p);
        for (index, layer) in self.layers.iter().enumerate() {
            let mut context_th = self.attend(layer, &x_th, tokens, dropout.as_deref_mut());
            if index + 1 == self.layers.len() {
                context_th = context_th.index_select(0, wanted);
                x_th = x_th.index_select(0, wanted);
            }
            let attended = apply(dropout.as_deref_mut(), &layer.attention_output.forward(&context_th), p);
            x_th = layer.attention_norm.forward(&(attended + x_th));
            let wide = activate(self.config.activation, &layer.intermediate.forward(&x_th));
            let narrow = apply(dropout.as_deref_mut(), &layer.output.forward(&wide), p);
            x_th = layer.output_norm.forward(&(narrow + x_th));
        }
        Encoded { embedded, hidden: x_th }
    }

    /// Adds the embeddings' gradients to theirs, after a backward pass from the hidden states.
    pub fn finish_backward(&self, tokens: &Tokens, encoded: &Encoded) {
        no_grad(|| {
            let rows = encoded.embedded.grad().to_kind(self.token_type_embeddings.kind());
            let _ = self.token_type_embeddings.grad().get(0).g_add_(&rows.sum_dim_intlist(
                0,
                false,
                None::<Kind>,
            ));
            // As in `transformers`, the pad's embedding has no gradient, nor has RoBERTa's position of a pad.
            let words = tokens.not_pad.as_ref().map(|not_pad| &rows * not_pad);
            let words = words.as_ref().unwrap_or(&rows);
            self.word_embeddings.add_gradient(&tokens.ids, words);
            let positions = if self.config.family == Family::Roberta { words } else { &rows };
            self.position_embeddings.add_gradient(&tokens.positions, positions);
        });
    }

    fn embed(&self, tokens: &Tokens) -> Tensor {
        // One text a row: every token is of the first type.
        let sum = self.word_embeddings.rows(&tokens.ids)
            + self.token_type_embeddings.get(0)
            + self.position_embeddings.rows(&tokens.positions);
        sum.to_kind(self.norm.weight.kind())
    }

    fn attend(&self, layer: &Layer, x_th: &Tensor, tokens: &Tokens, dropout: Option<&mut Dropout>) -> Tensor {
        let Config { heads, hidden, .. } = self.config;
        let qkv = side_by_side([&layer.query, &layer.key, &layer.value], x_th);
        let qkv = qkv.view([-1, 3, heads, hidden / heads]);
        let qkv_tad = [0, 1, 2].map(|which| qkv.select(1, which));
        let dropout = dropout.map(|dropout| (dropout, self.config.attention_dropout));
        attention(&qkv_tad, &tokens.attention, dropout)
    }
}

fn apply(dropout: Option<&mut Dropout>, x: &Tensor, p: f64) -> Tensor {
    dropout.map_or_else(|| x.shallow_clone(), |dropout| dropout.apply(x, p))
}
