//! `command`: a program of the user's own.

use super::tokenize::{MADE, REMOTE};
use super::{Block, Field, Rule, Type};

pub(super) static COMMAND: Block = Block {
    name: "command",
    doc: "Runs any program in an empty folder in which its declared inputs are, and nothing else. The content of the program, \
          its words, its inputs, `env` and `params` are in the key.",
    fields: &[&[
        Field::optional(
            "run",
            Type::NotEmpty(&Type::List(&Type::Scalar)),
            "The program and its words. Nothing is expanded in them.",
        ),
        Field::optional("shell", Type::Text, "A line for `sh -e`, in place of `run`."),
        Field::optional(
            "inputs",
            Type::Each("NAME", &Type::Any(&[Type::Path, Type::Block(&REMOTE), Type::Block(&MADE)])),
            "The files that the program finds in its folder, by their names there: a file of yours, a file behind a URL, or what \
             another stage makes; a folder of yours or a pattern (`src/*.py`) is a folder there.",
        ),
        Field::optional(
            "outputs",
            Type::Several(&Type::Path),
            "The files that it makes and that are kept; a folder, with a `/` at its end, whole.",
        ),
        Field::optional(
            "params",
            Type::Each("NAME", &Type::Anything),
            "Values that the program finds in `params.json`.",
        ),
        Field::optional(
            "env",
            Type::Each("NAME", &Type::Scalar),
            "Variables of the environment that are set.",
        ),
        Field::optional(
            "pass_env",
            Type::Several(&VARIABLE),
            "Variables of the environment that it sees as you have them; no part of the key.",
        ),
        Field::optional(
            "metrics",
            Type::Path,
            "An output that holds a JSON object of numbers, for tables: `report: {metric: STAGE.NAME}`.",
        ),
        Field::optional(
            "programs",
            Type::Several(&Type::Path),
            "Programs that it calls, whose content counts too.",
        ),
        Field::optional("gpu", Type::Truth, "Takes a GPU, and sees it; without this it sees none.")
            .or("false"),
        Field::optional(
            "timeout",
            Type::Form("^ *[0-9]+ *[a-zA-Z]+", "a time such as `90s`, `20m` or `2h 30m`"),
            "How long it may take. Then it is ended, and the stage has failed.",
        )
        .or_else("as long as it likes"),
    ]],
    open: None,
    rules: &[Rule::One(&["run", "shell"]), Rule::Some(&["outputs", "metrics"])],
    example: "\
clean:
  command:
    run: [python3, clean.py, raw.jsonl, out.jsonl]
    inputs: {clean.py: scripts/clean.py, raw.jsonl: data/raw.jsonl}
    outputs: [out.jsonl]
    params: {threshold: 0.5}
task: {tokenize: {tokenizer: encoder, splits: {train: {stage: clean, file: out.jsonl}}}}
",
};

const VARIABLE: Type = Type::Form("^[A-Za-z_][A-Za-z0-9_]*$", "name of a variable of the environment");
