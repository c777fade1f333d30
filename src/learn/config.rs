//! An encoder's configuration (`config.json`) and the parameters that it implies.

use serde::Deserialize;
use tartan::diag::nearest;

/// What can be wrong with a `config.json`.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, or a field that is missing or of the wrong type.
    #[error("not an encoder's configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// A model that is neither BERT nor `RoBERTa`.
    #[error("model_type `{0}` is not supported; supported are bert, roberta, camembert and xlm-roberta{1}")]
    Family(String, String),
    /// A value that this program cannot compute with.
    #[error("{0}")]
    Value(String),
}

/// The two families of encoders; they differ in positions, the LM head and the names of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Devlin et al. 2019.
    Bert,
    /// Liu et al. 2019, and its kin in other languages.
    Roberta,
}

impl Family {
    /// The prefix of the encoder's weights, and the family's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
        }
    }
}

/// The activation between two linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The exact GELU.
    Gelu,
    /// Its tanh approximation.
    GeluTanh,
    /// max(0, x).
    Relu,
}

/// An encoder's sizes and constants.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which family.
    pub family: Family,
    /// `model_type` as the file says it.
    pub model_type: String,
    /// H.
    pub hidden: i64,
    /// Transformer layers.
    pub layers: i64,
    /// Attention heads of a layer.
    pub heads: i64,
    /// Width of the feed-forward layers.
    pub intermediate: i64,
    /// V.
    pub vocab: i64,
    /// Rows of the position embeddings.
    pub positions: i64,
    /// Rows of the token-type embeddings.
    pub token_types: i64,
    /// Of the feed-forward layers and of BERT's LM head.
    pub activation: Activation,
    /// Added to the variance by layer norms.
    pub layer_norm_eps: f64,
    /// Dropout of embeddings and layer outputs.
    pub hidden_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The pad token's id, where the file says one.
    pub pad: Option<i64>,
}

/// The file, as written.
#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    hidden_size: i64,
    num_hidden_layers: i64,
    num_attention_heads: i64,
    intermediate_size: i64,
    hidden_act: Option<String>,
    vocab_size: i64,
    max_position_embeddings: i64,
    type_vocab_size: Option<i64>,
    layer_norm_eps: Option<f64>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    initializer_range: Option<f64>,
    pad_token_id: Option<i64>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
}

impl Config {
    /// Reads a `config.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: Option<String>,
        }
        // The model's type first: another kind of model lacks fields that a BERT has, and naming
        // those would mislead.
        let kind: Kind = serde_json::from_slice(bytes)?;
        let model_type = kind.model_type.unwrap_or_default();
        let family = match model_type.as_str() {
            "bert" => Family::Bert,
            "roberta" | "camembert" | "xlm-roberta" => Family::Roberta,
            "" => return Err(ConfigError::Value("model_type is missing: `bert` or `roberta`".to_owned())),
            other => {
                let near = nearest(other, ["bert", "roberta", "camembert", "xlm-roberta"]);
                let hint = near.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
                return Err(ConfigError::Family(model_type, hint));
            }
        };
        let file: File = serde_json::from_slice(bytes)?;
        Self::resolve(family, file)
    }

    fn resolve(family: Family, file: File) -> Result<Self, ConfigError> {
        let wrong = |text: String| Err(ConfigError::Value(text));
        let activation = match file.hidden_act.as_deref().unwrap_or("gelu") {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => {
                return wrong(format!("hidden_act `{other}` is not supported; gelu, gelu_new and relu are"));
            }
        };
        if let Some(kind) = file.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return wrong(format!("position_embedding_type `{kind}` is not supported; absolute is"));
        }
        if file.is_decoder == Some(true) {
            return wrong("is_decoder: a decoder is not an encoder".to_owned());
        }
        let config = Self {
            family,
            model_type: file.model_type.unwrap_or_default(),
            hidden: file.hidden_size,
            layers: file.num_hidden_layers,
            heads: file.num_attention_heads,
            intermediate: file.intermediate_size,
            vocab: file.vocab_size,
            positions: file.max_position_embeddings,
            token_types: file.type_vocab_size.unwrap_or(2),
            activation,
            layer_norm_eps: file.layer_norm_eps.unwrap_or(1e-12),
            hidden_dropout: file.hidden_dropout_prob.unwrap_or(0.1),
            attention_dropout: file.attention_probs_dropout_prob.unwrap_or(0.1),
            initializer_range: file.initializer_range.unwrap_or(0.02),
            pad: file.pad_token_id,
        };
        for (name, value) in [
            ("hidden_size", config.hidden),
            ("num_hidden_layers", config.layers),
            ("num_attention_heads", config.heads),
            ("intermediate_size", config.intermediate),
            ("vocab_size", config.vocab),
            ("max_position_embeddings", config.positions),
            ("type_vocab_size", config.token_types),
        ] {
            // The bound keeps a product of two sizes within 64 bits.
            if !(1..=1 << 30).contains(&value) {
                return wrong(format!("{name} is {value}; it must be a positive number of sensible size"));
            }
        }
        if config.hidden % config.heads != 0 {
            let (hidden, heads) = (config.hidden, config.heads);
            return wrong(format!("hidden_size {hidden} is not a multiple of num_attention_heads {heads}"));
        }
        for (name, value) in [
            ("hidden_dropout_prob", config.hidden_dropout),
            ("attention_probs_dropout_prob", config.attention_dropout),
        ] {
            if !(0.0..1.0).contains(&value) {
                return wrong(format!("{name} is {value}; it must be at least 0 and below 1"));
            }
        }
        if !(config.layer_norm_eps > 0.0 && config.initializer_range >= 0.0) {
            return wrong("layer_norm_eps must be above 0 and initializer_range at least 0".to_owned());
        }
        if let Some(pad) = config.pad.filter(|pad| !(0..config.vocab).contains(pad)) {
            return wrong(format!("pad_token_id {pad} is not an id of the vocabulary of {}", config.vocab));
        }
        Ok(config)
    }

    /// The first position of a text, as a row of the position embeddings.
    pub fn first_position(&self, pad: i64) -> i64 {
        match self.family {
            Family::Bert => 0,
            Family::Roberta => pad + 1,
        }
    }

    /// The encoder's parameters under their full names, in a fixed order.
    pub fn encoder_params(&self) -> Vec<Spec> {
        let (h, i) = (self.hidden, self.intermediate);
        let prefix = self.family.name();
        let mut specs = vec![];
        for (name, rows) in [
            ("word_embeddings", self.vocab),
            ("position_embeddings", self.positions),
            ("token_type_embeddings", self.token_types),
        ] {
            specs.push(Spec::weight(format!("{prefix}.embeddings.{name}.weight"), vec![rows, h]));
        }
        specs.extend(Spec::layer_norm(&format!("{prefix}.embeddings.LayerNorm"), h));
        for layer in 0..self.layers {
            let at = format!("{prefix}.encoder.layer.{layer}");
            for name in ["query", "key", "value"] {
                specs.extend(Spec::linear(&format!("{at}.attention.self.{name}"), h, h));
            }
            specs.extend(Spec::linear(&format!("{at}.attention.output.dense"), h, h));
            specs.extend(Spec::layer_norm(&format!("{at}.attention.output.LayerNorm"), h));
            specs.extend(Spec::linear(&format!("{at}.intermediate.dense"), h, i));
            specs.extend(Spec::linear(&format!("{at}.output.dense"), i, h));
            specs.extend(Spec::layer_norm(&format!("{at}.output.LayerNorm"), h));
        }
        specs
    }

    /// The LM head's parameters under their full names. Its decoder is the word embeddings.
    pub fn lm_head_params(&self) -> Vec<Spec> {
        let h = self.hidden;
        let (dense, norm, bias) = match self.family {
            Family::Bert => (
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.bias",
            ),
            Family::Roberta => ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
        };
        let mut specs = Vec::from(Spec::linear(dense, h, h));
        specs.extend(Spec::layer_norm(norm, h));
        specs.push(Spec { name: bias.to_owned(), shape: vec![self.vocab], init: Init::Zeros });
        specs
    }
}

/// How a fresh parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// From a normal distribution around 0.
    Normal,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

/// A parameter to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its full name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// How it starts when it is made. Only what starts at random decays: biases and layer norms do not.
    pub init: Init,
}

impl Spec {
    /// A matrix.
    pub fn weight(name: String, shape: Vec<i64>) -> Self {
        Self { name, shape, init: Init::Normal }
    }

    /// A linear layer from `from` to `to` features.
    pub fn linear(name: &str, from: i64, to: i64) -> [Self; 2] {
        [
            Self::weight(format!("{name}.weight"), vec![to, from]),
            Self { name: format!("{name}.bias"), shape: vec![to], init: Init::Zeros },
        ]
    }

    /// A layer norm over `size` features.
    pub fn layer_norm(name: &str, size: i64) -> [Self; 2] {
        [
            Self { name: format!("{name}.weight"), shape: vec![size], init: Init::Ones },
            Self { name: format!("{name}.bias"), shape: vec![size], init: Init::Zeros },
        ]
    }

    /// How many numbers.
    pub fn numel(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether weight decay applies.
    pub fn decays(&self) -> bool {
        self.init == Init::Normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of a sound configuration after a change.
    fn error(field: &str, value: serde_json::Value) -> String {
        let mut json = serde_json::json!({
            "model_type": "roberta", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 16, "vocab_size": 30, "max_position_embeddings": 12, "pad_token_id": 1,
        });
        assert!(Config::from_json(json.to_string().as_bytes()).is_ok());
        json[field] = value;
        Config::from_json(json.to_string().as_bytes()).expect_err(field).to_string()
    }

    #[test]
    fn what_is_not_supported_is_named_with_what_is() {
        for (field, value, expected) in [
            ("model_type", "distilbert", "supported are bert, roberta"),
            ("model_type", "robert", "did you mean `roberta`?"),
            ("hidden_act", "silu", "gelu, gelu_new and relu are"),
            ("position_embedding_type", "relative_key", "absolute is"),
        ] {
            let error = error(field, value.into());
            assert!(error.contains(value) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        for (field, value) in [
            ("hidden_size", serde_json::json!(9)),
            ("hidden_size", serde_json::json!(0)),
            ("vocab_size", serde_json::json!(-1)),
            ("num_hidden_layers", serde_json::json!(i64::MAX)),
            ("pad_token_id", serde_json::json!(30)),
            ("hidden_dropout_prob", serde_json::json!(1.0)),
            ("layer_norm_eps", serde_json::json!(0.0)),
        ] {
            let error = error(field, value);
            assert!(error.contains(field), "{error} does not name {field}");
        }
    }

    #[test]
    fn roberta_has_fewer_positions_than_rows() {
        let family = |model_type: &str| {
            let json = serde_json::json!({
                "model_type": model_type, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 16, "vocab_size": 30, "max_position_embeddings": 12,
            });
            Config::from_json(json.to_string().as_bytes()).expect("config")
        };
        assert_eq!(family("xlm-roberta").first_position(1), 2);
        assert_eq!(family("bert").first_position(1), 0);
    }
}
