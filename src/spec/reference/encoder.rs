//! `encoder`

use super::tokenize::MADE;
use super::{Block, Field, Rule, Type};

pub(super) static ENCODER: Block = Block {
    name: "encoder",
    doc: "Brings in a BERT or RoBERTa encoder with its tokenizer, or draws one at random.",
    fields: &[&[
        Field::optional(
            "from",
            MODEL,
            "A model's folder, as `transformers` saves it (config.json, model.safetensors, tokenizer.json), a model of the \
             hub: `hf://ORG/NAME[@REVISION][/FOLDER]`, or a folder that another stage makes.",
        ),
        Field::optional(
            "random",
            MODEL,
            "A folder, or a model of the hub, with config.json and tokenizer.json: every weight is drawn anew from the seed, with the standard \
             deviation that the configuration says.",
        ),
        Field::optional(
            "seed",
            Type::Count(0),
            "Seeds the weights that are made: all of them, or an LM head that the checkpoint lacks.",
        )
        .or("0"),
    ]],
    open: None,
    rules: &[Rule::One(&["from", "random"])],
    example: "encoder: {encoder: {from: models/roberta-base}}\n",
};

const MODEL: Type = Type::Any(&[Type::Path, Type::Block(&MADE)]);
