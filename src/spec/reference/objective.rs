//! `objective`

use super::{Block, Field, Range, Rule, Type};

pub(super) static OBJECTIVE: Block = Block {
    name: "objective",
    doc: "Something to learn from tokenised texts: a loss, and the data it is taken on.",
    fields: &[&[
        Field::optional(
            "classify",
            Type::Block(&CLASSIFY),
            "Tell a text's label: the end-task, or another labelled task.",
        ),
        Field::optional(
            "mlm",
            Type::Block(&MLM),
            "Masked language modelling: tell the tokens that were hidden.",
        ),
    ]],
    open: None,
    rules: &[Rule::One(&["classify", "mlm"])],
    example: "\
end-task: {objective: {classify: {data: task, dropout: 0.1}}}
tapt: {objective: {mlm: {data: task-text, mask: 0.15}}}
",
};

static CLASSIFY: Block = Block {
    name: "classify",
    doc: "Mean cross-entropy of a text's label, through a head of its own on the first token of the last layer.",
    fields: &[&[
        Field::required("data", Type::Stage(&["tokenize"]), "The texts and their labels."),
        Field::optional("dropout", Type::Number(Range::BelowOne), "Dropout of the head.").or("0.1"),
    ]],
    open: None,
    rules: &[],
    example: "",
};

static MLM: Block = Block {
    name: "mlm",
    doc: "Mean cross-entropy of the chosen tokens, of which 80% become the mask token, 10% a random token, and 10% stay; \
          drawn anew each time a text is seen.",
    fields: &[&[
        Field::required("data", Type::Stage(&["tokenize"]), "The texts."),
        Field::optional(
            "mask",
            Type::Number(Range::UpToOne),
            "The chance of a token to be chosen. Special tokens never are.",
        )
        .or("0.15"),
    ]],
    open: None,
    rules: &[],
    example: "",
};
