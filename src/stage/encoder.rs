//! `encoder`: a checkpoint, or a fresh encoder, under the names that every other stage reads.

use serde::Serialize;
use tartan::action::{self, Vocabulary, roles};
use tartan::diag::Code;
use tartan::event::{Failure, Level};
use tokenizers::Tokenizer;

use super::{Io, model};
use crate::learn::config::{Config, Family};
use crate::learn::weights::{self, Checkpoint, Tensors};

/// What `encoder.json` holds.
#[derive(Serialize)]
struct Card<'a> {
    family: &'static str,
    model_type: &'a str,
    hidden_size: i64,
    layers: i64,
    attention_heads: i64,
    vocabulary: i64,
    /// Of encoder and LM head; the tied decoder counts once.
    parameters: i64,
    random: bool,
    /// What the checkpoint lacked.
    made: &'a [String],
}

/// Reads or makes the weights and writes the model, the tokenizer and what its tokens mean.
pub fn run(action: &action::Encoder, io: &Io<'_>) -> Result<(), Failure> {
    let config_json = io.input(roles::CONFIG)?;
    let config = model::config(&config_json, &io.name(roles::CONFIG))?;
    let tokenizer_json = io.input(roles::TOKENIZER)?;
    let vocabulary = vocabulary(&tokenizer_json, &config)
        .map_err(|why| Failure::new(Code::BadTokenizer, format!("{}: {why}", io.name(roles::TOKENIZER))))?;
    let (tensors, made) = if action.random {
        (random(&config, vocabulary.pad, action.seed), vec![])
    } else {
        checkpoint(action, &config, io)?
    };

    let specs = config.encoder_params().into_iter().chain(config.lm_head_params());
    let card = Card {
        family: config.family.name(),
        model_type: &config.model_type,
        hidden_size: config.hidden,
        layers: config.layers,
        attention_heads: config.heads,
        vocabulary: config.vocab,
        parameters: specs.map(|spec| spec.numel()).sum(),
        random: action.random,
        made: &made,
    };
    io.output(roles::CONFIG, &config_json)?;
    io.output(roles::WEIGHTS, &weights::write(&tensors, None).map_err(Failure::defect)?)?;
    io.output(roles::TOKENIZER, &tokenizer_json)?;
    io.output(roles::VOCABULARY, &model::pretty_json(&vocabulary)?)?;
    io.output(roles::ENCODER, &model::pretty_json(&card)?)
}

/// Every weight drawn at random, as `transformers` starts a model: the pad token's embedding is 0.
fn random(config: &Config, pad: u32, seed: u64) -> Tensors {
    let specs: Vec<_> = config.encoder_params().into_iter().chain(config.lm_head_params()).collect();
    let mut tensors = weights::make(&specs, config.initializer_range, seed, "encoder/");
    weights::zero_row(
        &mut tensors,
        &format!("{}.embeddings.word_embeddings.weight", config.family.name()),
        pad,
    );
    if config.family == Family::Roberta {
        let name = format!("{}.embeddings.position_embeddings.weight", config.family.name());
        weights::zero_row(&mut tensors, &name, pad);
    }
    tensors
}

/// The weights of a checkpoint, and the names of those that were made.
fn checkpoint(
    action: &action::Encoder,
    config: &Config,
    io: &Io<'_>,
) -> Result<(Tensors, Vec<String>), Failure> {
    let role = roles::WEIGHTS;
    let Checkpoint { tensors, made, ignored, untied } =
        weights::read_checkpoint(config, &io.input(role)?, action.seed)
            .map_err(|error| model::about(io, role, &error).help(error.help()))?;
    if !made.is_empty() {
        let text =
            format!("the checkpoint lacks an LM head; made from seed {}: {}", action.seed, made.join(", "));
        io.note(Level::Warning, text);
    }
    if untied {
        let text = "the checkpoint's LM decoder is not tied to its word embeddings; here it is".to_owned();
        io.note(Level::Warning, text);
    }
    if !ignored.is_empty() {
        io.note(Level::Info, format!("left out of the checkpoint: {}", ignored.join(", ")));
    }
    Ok((tensors, made))
}

/// What the tokenizer's ids mean to this encoder.
fn vocabulary(tokenizer_json: &[u8], config: &Config) -> Result<Vocabulary, String> {
    let tokenizer =
        Tokenizer::from_bytes(tokenizer_json).map_err(|error| format!("not a tokenizer: {error}"))?;
    let ids = tokenizer.get_vocab(true);
    if let Some((token, id)) =
        ids.iter().max_by_key(|(_, id)| **id).filter(|(_, id)| i64::from(**id) >= config.vocab)
    {
        return Err(format!(
            "the token `{token}` has id {id}, but config.json says vocab_size {}",
            config.vocab
        ));
    }
    let one_of = |names: [&str; 2]| names.into_iter().find_map(|name| tokenizer.token_to_id(name));
    let pad = match config.pad {
        Some(pad) => u32::try_from(pad).ok(),
        None => one_of(["[PAD]", "<pad>"]),
    };
    let Some(pad) = pad else {
        return Err(
            "it has no pad token: neither pad_token_id in config.json, nor [PAD], nor <pad>".to_owned()
        );
    };
    let mask = one_of(["[MASK]", "<mask>"]);

    let mut special: Vec<u32> = tokenizer
        .get_added_tokens_decoder()
        .into_iter()
        .filter(|(_, token)| token.special)
        .map(|(id, _)| id)
        .collect();
    // What the post-processor adds to a text is all that is left of an empty one.
    let around = tokenizer.encode("", true).map_err(|error| format!("cannot tokenise: {error}"))?;
    special.extend(around.get_ids());
    special.push(pad);
    special.extend(mask);
    special.sort_unstable();
    special.dedup();

    let size = u32::try_from(config.vocab).map_err(|error| error.to_string())?;
    let positions = config.positions - config.first_position(i64::from(pad));
    let max_positions = u32::try_from(positions)
        .ok()
        .filter(|positions| *positions > 0)
        .ok_or_else(|| format!("max_position_embeddings {} leaves no position", config.positions))?;
    Ok(Vocabulary { size, pad, mask, special, max_positions })
}
