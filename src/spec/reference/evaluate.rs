//! `evaluate` and `export`: what becomes of a model. And what scoring shares with training.

use super::{Block, Field, Type};

pub(super) static EVALUATE: Block = Block {
    name: "evaluate",
    doc: "Scores a model on a split: metrics, per class, confusion matrix, and every prediction with its probabilities.",
    fields: &[&[
        Field::required(
            "model",
            Type::Stage(&["train", "learn-weights"]),
            "The stage that trained the model.",
        ),
        Field::required("data", Type::Stage(&["tokenize"]), "The texts and labels to score it on."),
        Field::required(
            "split",
            Type::Word(&[("train", ""), ("dev", ""), ("test", "")]),
            "The split to score. Nothing else reads `test`.",
        ),
        Field::optional(
            "metrics",
            Type::Several(&Type::Word(METRICS)),
            "What to measure. Their order says nothing.",
        )
        .or("[accuracy, macro_f1, micro_f1]"),
        Field::optional("batch", Type::Count(1), "Texts scored at once.").or("64").in_unit("texts"),
        ATTEND_PADS,
        PRECISION,
    ]],
    open: None,
    rules: &[],
    example: "test: {evaluate: {model: model, data: task, split: test, metrics: [macro_f1, accuracy]}}\n",
};

pub(super) static EXPORT: Block = Block {
    name: "export",
    doc: "Makes a model directory that `transformers` loads.",
    fields: &[&[
        Field::required(
            "model",
            Type::Stage(&["encoder", "train", "learn-weights"]),
            "The stage that made the model.",
        ),
        Field::optional("to", Type::Path, "A folder to copy it to at the end of a run.")
            .or_else("it stays in the cache"),
    ]],
    open: None,
    rules: &[],
    example: "out: {export: {model: model, to: models/mine}}\n",
};

/// What a split is scored by.
pub(super) const METRICS: &[(&str, &str)] = &[
    ("accuracy", "right predictions over all"),
    ("macro_f1", "the mean of the train labels' F1 scores"),
    ("micro_f1", "F1 over all decisions together; of one label a text it equals accuracy"),
];

pub(super) const ATTEND_PADS: Field = Field::optional(
    "attend_pads",
    Type::Truth,
    "Let tokens attend to pads, as the paper's code does. A text's result then depends on the others of its batch.",
)
.or("false");

pub(super) const PRECISION: Field = Field::optional(
    "precision",
    Type::Word(&[
        ("float32", ""),
        ("tf32", "float32, whose matrix products an NVIDIA GPU rounds to ten bits on the way"),
        ("bf16", "bfloat16: faster where the processor knows it"),
    ]),
    "What the encoder computes in. Parameters, optimiser and losses are float32 all the same.",
)
.or("float32");
