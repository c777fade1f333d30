//! What several stages read: a model, its head, splits that fit it; and how they write JSON.

use std::fmt::Display;

use serde::Serialize;
use tartan::action::Vocabulary;
use tartan::data::split::Split;
use tartan::diag::Code;
use tartan::event::Failure;

use super::Io;
use crate::learn::config::Config;
use crate::learn::weights::{self, Tensors, WeightsError};
use crate::learn::{head, libtorch};

/// The entry of a head's metadata that holds its labels.
pub const HEAD_LABELS: &str = "labels";

/// The device that the request names.
pub fn device(io: &Io<'_>) -> Result<libtorch::Device, Failure> {
    libtorch::device(&io.request.device).map_err(|error| {
        Failure::new(Code::NoDevice, error)
            .help("run on `cpu`, or see `tartan-worker devices` for what is there")
    })
}

/// An encoder's configuration.
pub fn config(bytes: &[u8], name: &str) -> Result<Config, Failure> {
    Config::from_json(bytes)
        .map_err(|error| Failure::new(Code::UnsupportedEncoder, format!("{name}: {error}")))
}

/// The encoder and the LM head of a model that this program wrote.
pub fn read_weights(io: &Io<'_>, role: &str, config: &Config) -> Result<Tensors, Failure> {
    let specs: Vec<_> = config.encoder_params().into_iter().chain(config.lm_head_params()).collect();
    weights::read(&specs, &io.input(role)?).map_err(|error| about(io, role, &error))
}

/// What is wrong with weights of this role.
pub fn about(io: &Io<'_>, role: &str, error: &WeightsError) -> Failure {
    Failure::new(error.code(), format!("{}: {error}", io.name(role)))
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
    let wrong = |error: &dyn Display| Failure::defect(format!("{}: {error}", io.name(role)));
    let bytes = io.input(role)?;
    let (names, labels) =
        weights::read_names(&bytes, HEAD_LABELS).map_err(|error| about(io, role, &error))?;
    if names.is_empty() {
        return Ok(None);
    }
    let labels = labels.ok_or_else(|| wrong(&"the head's labels are missing"))?;
    let labels: Vec<String> = serde_json::from_str(&labels).map_err(|error| wrong(&error))?;
    let classes = i64::try_from(labels.len()).unwrap_or(i64::MAX);
    let specs = head::params("", config.hidden, classes);
    let tensors = weights::read(&specs, &bytes).map_err(|error| about(io, role, &error))?;
    Ok(Some(TrainedHead { tensors, labels }))
}

/// A tokenised split.
pub fn split(io: &Io<'_>, role: &str) -> Result<Split, Failure> {
    Split::from_bytes(&io.input(role)?)
        .map_err(|error| Failure::defect(format!("{}: {error}", io.name(role))))
}

/// Whether an encoder can read every text of a split; `what` names it.
pub fn check_split(
    split: &Split,
    config: &Config,
    vocabulary: &Vocabulary,
    what: &str,
) -> Result<(), Failure> {
    if i64::from(vocabulary.size) != config.vocab {
        let message = format!(
            "{what} was tokenised for a vocabulary of {} ids, but the encoder has {}",
            vocabulary.size, config.vocab
        );
        let help = "tokenise it with this encoder's tokenizer";
        return Err(Failure::new(Code::OtherTokenizer, message).help(help));
    }
    let known = |id: &i32| (0..config.vocab).contains(&i64::from(*id));
    if let Some(id) = split.ids.iter().find(|id| !known(id)) {
        let message = format!("{what} has the token {id}, which the encoder's vocabulary has not");
        return Err(Failure::new(Code::OtherTokenizer, message));
    }
    let first_position = config.first_position(i64::from(vocabulary.pad));
    let positions = usize::try_from(config.positions - first_position).unwrap_or(0);
    let lengths = (0..split.len()).map(|text| split.text(text).len());
    match (lengths.clone().min(), lengths.max()) {
        (Some(0), _) => Err(Failure::defect(format!("{what} has a text without tokens"))),
        (_, Some(longest)) if longest > positions => {
            let message =
                format!("{what} has a text of {longest} tokens, but the encoder has {positions} positions");
            let help = format!("set `max_length: {positions}` in its tokenize stage");
            Err(Failure::new(Code::TooManyPositions, message).help(help))
        }
        _ => Ok(()),
    }
}

/// A JSON file, for people too.
pub fn pretty_json(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(Failure::defect)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A JSONL file.
pub fn json_lines<T: Serialize>(values: &[T]) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![];
    for value in values {
        serde_json::to_writer(&mut bytes, value).map_err(Failure::defect)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
