//! `export`: a directory that `transformers` loads, a classifier where the model has a head, a masked
//! language model where it has none.

use serde_json::{Map, Value, json};
use tartan::action::{Vocabulary, roles};
use tartan::diag::Code;
use tartan::event::Failure;
use tokenizers::{ModelWrapper, Tokenizer};

use super::{Io, model};
use crate::learn::config::{Config, Family};
use crate::learn::weights::{self, Tensors};

/// Writes the directory's files.
pub fn run(io: &Io<'_>) -> Result<(), Failure> {
    let config_json = io.input("model/config.json")?;
    let config = model::config(&config_json, &io.name("model/config.json"))?;
    let mut tensors = model::read_weights(io, "model/model.safetensors", &config)?;
    // An encoder stage has none.
    let head = if io.has("model/head.safetensors") {
        model::read_head(io, "model/head.safetensors", &config)?
    } else {
        None
    };
    let tokenizer_json = io.input(roles::TOKENIZER)?;
    let vocabulary: Vocabulary = io.json(roles::VOCABULARY)?;
    let special = special_tokens(&tokenizer_json, &vocabulary, config.family)
        .map_err(|why| Failure::new(Code::BadTokenizer, format!("{}: {why}", io.name(roles::TOKENIZER))))?;

    let mut labels = None;
    if let Some(head) = head {
        for spec in config.lm_head_params() {
            tensors.remove(&spec.name);
        }
        tensors.extend(classifier(config.family, head.tensors));
        labels = Some(head.labels);
    }
    let config_json = exported_config(&config_json, &config, labels.as_deref(), vocabulary.pad)?;
    let mut tokenizer_config = special.clone();
    tokenizer_config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
    tokenizer_config.insert("model_max_length".to_owned(), vocabulary.max_positions.into());
    tokenizer_config.insert("model_input_names".to_owned(), json!(["input_ids", "attention_mask"]));

    // `transformers` wants to know that the file was written for PyTorch.
    let bytes = weights::write(&tensors, Some(("format", "pt".to_owned()))).map_err(Failure::defect)?;
    io.output(roles::CONFIG, &model::pretty_json(&config_json)?)?;
    io.output(roles::WEIGHTS, &bytes)?;
    io.output(roles::TOKENIZER, &tokenizer_json)?;
    io.output(roles::TOKENIZER_CONFIG, &model::pretty_json(&tokenizer_config)?)?;
    io.output(roles::SPECIAL_TOKENS, &model::pretty_json(&special)?)
}

/// The head's tensors under the names of the family's `…ForSequenceClassification`, which computes the same.
fn classifier(family: Family, head: Tensors) -> Tensors {
    let (dense, out_proj) = match family {
        Family::Bert => ("bert.pooler.dense", "classifier"),
        Family::Roberta => ("classifier.dense", "classifier.out_proj"),
    };
    head.into_iter()
        .map(|(name, tensor)| (name.replacen("dense", dense, 1).replacen("out_proj", out_proj, 1), tensor))
        .collect()
}

/// The configuration, with what tells `transformers` which class to load.
fn exported_config(
    bytes: &[u8],
    config: &Config,
    labels: Option<&[String]>,
    pad: u32,
) -> Result<Map<String, Value>, Failure> {
    let mut fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(Failure::defect)?;
    let base = match config.model_type.as_str() {
        "camembert" => "Camembert",
        "xlm-roberta" => "XLMRoberta",
        "roberta" => "Roberta",
        _ => "Bert",
    };
    let task = if labels.is_some() { "SequenceClassification" } else { "MaskedLM" };
    fields.insert("architectures".to_owned(), json!([format!("{base}For{task}")]));
    fields.insert("pad_token_id".to_owned(), pad.into());
    fields.insert("tie_word_embeddings".to_owned(), true.into());
    fields.insert("dtype".to_owned(), "float32".into());
    fields.remove("torch_dtype");
    if let Some(labels) = labels {
        let id2label: Map<String, Value> =
            labels.iter().enumerate().map(|(id, label)| (id.to_string(), label.as_str().into())).collect();
        let label2id: Map<String, Value> =
            labels.iter().enumerate().map(|(id, label)| (label.clone(), id.into())).collect();
        fields.insert("id2label".to_owned(), id2label.into());
        fields.insert("label2id".to_owned(), label2id.into());
        fields.insert("problem_type".to_owned(), "single_label_classification".into());
        // Newer versions derive it from `id2label`; older ones read it.
        fields.insert("num_labels".to_owned(), labels.len().into());
    }
    Ok(fields)
}

/// The tokens with a part to play, as `transformers` names the parts.
fn special_tokens(
    bytes: &[u8],
    vocabulary: &Vocabulary,
    family: Family,
) -> Result<Map<String, Value>, String> {
    let tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| format!("not a tokenizer: {error}"))?;
    let mut parts = Map::new();
    let mut put = |part: &str, token: Option<String>| {
        if let Some(token) = token {
            parts.insert(part.to_owned(), token.into());
        }
    };
    put("pad_token", tokenizer.id_to_token(vocabulary.pad));
    put("mask_token", vocabulary.mask.and_then(|mask| tokenizer.id_to_token(mask)));
    put("unk_token", unknown_token(&tokenizer));
    // The first and the last token around a text, whatever their names are.
    let around = tokenizer.encode("", true).map_err(|error| format!("cannot tokenise: {error}"))?;
    let around: Vec<&String> = around
        .get_tokens()
        .iter()
        .zip(around.get_attention_mask())
        .filter(|(_, seen)| **seen == 1)
        .map(|(token, _)| token)
        .collect();
    if let [first, .., last] = around.as_slice() {
        put("cls_token", Some((*first).clone()));
        put("sep_token", Some((*last).clone()));
        if family == Family::Roberta {
            put("bos_token", Some((*first).clone()));
            put("eos_token", Some((*last).clone()));
        }
    }
    Ok(parts)
}

fn unknown_token(tokenizer: &Tokenizer) -> Option<String> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
        ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
        ModelWrapper::BPE(model) => model.unk_token.clone().or_else(|| {
            let name = "<unk>";
            tokenizer.token_to_id(name).map(|_| name.to_owned())
        }),
        ModelWrapper::Unigram(_) => {
            let name = "<unk>";
            tokenizer.token_to_id(name).map(|_| name.to_owned())
        }
    }
}
