//! `tokenize`: texts become tokens.

use super::{Block, Field, Range, Rule, Type};

pub(super) static TOKENIZE: Block = Block {
    name: "tokenize",
    doc: "Reads texts, and labels where there are some, and makes tokens of them with an encoder's tokenizer.",
    fields: &[&[
        Field::required("tokenizer", Type::Stage(&["encoder"]), "The stage whose tokenizer is used."),
        Field::required("splits", Type::Block(&SPLITS), "The file of each split."),
        Field::optional(
            "format",
            Type::Word(&[
                ("jsonl", "a JSON object a line"),
                ("csv", "a table with a header"),
                ("tsv", "the same, with tabs"),
                ("parquet", ""),
                ("lines", "a text a line, without labels"),
            ]),
            "How the files hold their texts. `.gz` and `.zst` are unpacked.",
        )
        .or_else("each file's name says it"),
        Field::optional(
            "text",
            Type::Several(&Type::Path),
            "The field or column that holds the text, or several, joined; `a.b` is field `b` of the object in field `a`.",
        )
        .or("text"),
        Field::optional("join", Type::Text, "What stands between the texts of several fields.").or("\" \""),
        Field::optional("label", Type::Text, "The field that holds the label; every record must have it.")
            .or_else("`label`, where the records have it"),
        Field::optional(
            "label_map",
            Type::NotEmpty(&Type::Each("LABEL", &Type::Anything)),
            "What each label of the files becomes; a text whose label becomes `null` is left out. `*` stands for every label \
             that is not named.",
        )
        .or_else("labels stay as they are"),
        Field::optional("quotes", Type::Truth, "Of CSV and TSV: whether a `\"` at the start of a value quotes it.").or("true"),
        Field::optional(
            "max_length",
            Type::Count(3),
            "The most tokens of a text, special tokens included; what is longer is cut at its end.",
        )
        .or("512")
        .in_unit("tokens"),
        Field::optional(
            "sample",
            Type::Any(&[
                Type::Count(1),
                Type::Number(Range::UpToOne),
                Type::Form(r"^ *[0-9.]+([eE][-+]?[0-9]+)? *x +\S", "`10x STAGE`"),
            ]),
            "How much of the train split to take, drawn from the seed: so many texts (`500`), a part of them (`0.1`), or \
             a multiple of the number of texts in another stage's train split (`10x task`). A smaller sample of the same \
             seed is part of a larger one.",
        )
        .or_else("all of it"),
        Field::optional("seed", Type::Count(0), "Seeds the sample.").or("0"),
        Field::optional("split_seed", Type::Count(0), "Seeds which texts become part of which split.").or("0"),
        Field::optional("stratify", Type::Truth, "Give each part of the train split its share of every label.").or("true"),
        Field::optional(
            "deduplicate",
            Type::Any(&[
                Type::Truth,
                Type::Word(&[("across", "also takes from train what is in dev or test, and from dev what is in test")]),
            ]),
            "Take a text that comes more than once only once.",
        )
        .or("false"),
        Field::optional(
            "strict",
            Type::Truth,
            "Make errors of what is else a warning: labels that train lacks, texts that two splits share.",
        )
        .or("false"),
    ]],
    open: None,
    rules: &[],
    example: "\
task:
  tokenize:
    tokenizer: encoder
    splits: {train: data/train.jsonl, dev: data/dev.jsonl, test: data/test.jsonl}
    max_length: 128
domain: {tokenize: {tokenizer: encoder, splits: {train: data/domain.txt}, sample: 10x task}}
",
};

static SPLITS: Block = Block {
    name: "splits",
    doc: "The files of each split: a path, a pattern of paths (`data/*.jsonl`), a file of the hub (`hf://datasets/ORG/NAME/FILE`), a URL, what a stage makes, or a list of such. \
          A URL's digest is pinned, beside it or in a file of `digests`. `dev` and `test` may be so many texts of the train \
          split's files (`500`), or a part of them (`0.1`): they are then not in train.",
    fields: &[&[
        Field::optional("train", Type::Any(FILES_OF), "What is learned from."),
        Field::optional("dev", Type::Any(PART_OF), "What checkpoints are chosen by, and weights learned by."),
        Field::optional("test", Type::Any(PART_OF), "What `evaluate` scores, and nothing else learns from."),
    ]],
    open: None,
    rules: &[Rule::Some(&["train", "dev", "test"])],
    example: "",
};

const FILE_OF: &[Type] = &[Type::Path, Type::Block(&REMOTE), Type::Block(&MADE)];
const FILES_OF: &[Type] = &[Type::Several(&Type::Any(FILE_OF))];
const PART_OF: &[Type] = &[Type::Several(&Type::Any(FILE_OF)), Type::Count(1), Type::Number(Range::Part)];

pub(super) static REMOTE: Block = Block {
    name: "remote file",
    doc: "A file behind a URL, and what it must hash to.",
    fields: &[&[
        Field::required(
            "url",
            Type::Form("^https?://", "`https://…`"),
            "Where the file is. It is fetched once, into the cache.",
        ),
        Field::optional("blake3", HEX, "Its digest as `b3sum FILE` prints it."),
        Field::optional("sha256", HEX, "Its digest as `sha256sum FILE` prints it."),
    ]],
    open: None,
    rules: &[Rule::AtMostOne(&["blake3", "sha256"])],
    example: "",
};

pub(super) static MADE: Block = Block {
    name: "made file",
    doc: "What another stage makes.",
    fields: &[&[
        Field::required("stage", Type::Stage(&[]), "The stage."),
        Field::optional(
            "file",
            Type::Path,
            "The file that it makes; a `/` at the end means a folder. A split is one file, so it must say which.",
        )
        .or_else("all that it makes, as a folder"),
    ]],
    open: None,
    rules: &[],
    example: "",
};

const HEX: Type = Type::Form("^[0-9a-fA-F]{64}$", "64 hexadecimal digits");
