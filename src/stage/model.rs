//! What several stages read: a model, its head, splits that fit it; and how they write JSON.

use serde::Serialize;
use tartan::action::Vocabulary;
use tartan::data::split::Split;
use tartan::event::Failure;

use super::{Io, failure, failure_with_help};
use crate::learn::config::Config;
use crate::learn::weights::{self, Tensors};
use crate::learn::{head, libtorch};

/// The entry of a head's metadata that holds its labels.
pub const HEAD_LABELS: &str = "labels";

/// The device that the request names.
pub fn device(io: &Io<'_>) -> Result<libtorch::Device, Failure> {
    libtorch::device(&io.request.device).map_err(|error| {
        failure_with_help(error, "run on `cpu`, or see `tartan-worker devices` for what is there")
    })
}

/// An encoder's configuration.
pub fn config(bytes: &[u8], name: &str) -> Result<Config, Failure> {
    Config::from_json(bytes).map_err(|error| failure(format!("{name}: {error}")))
}

/// The encoder and the LM head of a model that this program wrote.
pub fn read_weights(io: &Io<'_>, role: &str, config: &Config) -> Result<Tensors, Failure> {
    let specs: Vec<_> = config.encoder_params().into_iter().chain(config.lm_head_params()).collect();
    weights::read(&specs, &io.input(role)?).map_err(|error| failure(format!("{}: {error}", io.name(role))))
}

/// A trained head.
pub struct TrainedHead {
    /// Its parameters, under `dense` and `out_proj`.
    pub tensors: Tensors,
    /// The labels it tells apart, in the order of its classes.
    pub labels: Vec<String>,
}

/// The head in a `head.safetensors`; none where the model was trained without an end-task.
pub fn read_head(io: &Io<'_>, role: &str, config: &Config) -> Result<Option<TrainedHead>, Failure> {
    let wrong = |error: String| failure(format!("{}: {error}", io.name(role)));
    let bytes = io.input(role)?;
    let (names, labels) =
        weights::read_names(&bytes, HEAD_LABELS).map_err(|error| wrong(error.to_string()))?;
    if names.is_empty() {
        return Ok(None);
    }
    let labels = labels.ok_or_else(|| wrong("the head's labels are missing".to_owned()))?;
    let labels: Vec<String> = serde_json::from_str(&labels).map_err(|error| wrong(error.to_string()))?;
    let classes = i64::try_from(labels.len()).unwrap_or(i64::MAX);
    let specs = head::params("", config.hidden, classes);
    let tensors = weights::read(&specs, &bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(TrainedHead { tensors, labels }))
}

/// A tokenised split.
pub fn split(io: &Io<'_>, role: &str) -> Result<Split, Failure> {
    Split::from_bytes(&io.input(role)?).map_err(|error| failure(format!("{}: {error}", io.name(role))))
}

/// Whether an encoder can read every text of a split; `what` names it.
pub fn check_split(
    split: &Split,
    config: &Config,
    vocabulary: &Vocabulary,
    what: &str,
) -> Result<(), Failure> {
    if i64::from(vocabulary.size) != config.vocab {
        return Err(failure_with_help(
            format!(
                "{what} was tokenised for a vocabulary of {} ids, but the encoder has {}",
                vocabulary.size, config.vocab
            ),
            "tokenise it with this encoder's tokenizer",
        ));
    }
    let known = |id: &i32| (0..config.vocab).contains(&i64::from(*id));
    if let Some(id) = split.ids.iter().find(|id| !known(id)) {
        return Err(failure(format!("{what} has the token {id}, which the encoder's vocabulary has not")));
    }
    let first_position = config.first_position(i64::from(vocabulary.pad));
    let positions = usize::try_from(config.positions - first_position).unwrap_or(0);
    let lengths = (0..split.len()).map(|text| split.text(text).len());
    match (lengths.clone().min(), lengths.max()) {
        (Some(0), _) => Err(failure(format!("{what} has a text without tokens"))),
        (_, Some(longest)) if longest > positions => Err(failure_with_help(
            format!("{what} has a text of {longest} tokens, but the encoder has {positions} positions"),
            format!("set `max_length: {positions}` in its tokenize stage"),
        )),
        _ => Ok(()),
    }
}

/// A JSON file, for people too.
pub fn pretty_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(failure)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A JSONL file.
pub fn json_lines<T: Serialize>(values: &[T]) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    for value in values {
        serde_json::to_writer(&mut bytes, value).map_err(failure)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
