//! The file itself: its own fields, and what a stage and a sweep look like.

use super::{Block, Field, Rule, Type, command, encoder, evaluate, objective, report, tokenize, training};

/// A pipeline file.
pub static PIPELINE: Block = Block {
    name: "pipeline",
    doc: "A pipeline is a YAML file. It names stages, each of which does one thing; a stage names another where it \
          needs one. `${NAME}` stands for a variable, in any value. Paths are relative to the file.",
    fields: &[&[
        Field::required("tartan", Type::Exactly(1), "The version of the pipeline format."),
        Field::optional(
            "include",
            Type::Several(&Type::Path),
            "Other files, whose `vars`, `stages`, `digests` and `profiles` lie beneath this file's own: what is said here wins.",
        ),
        Field::optional("name", Type::Text, "What to call the pipeline in messages, records and tables.")
            .or_else("the file's name without its extension"),
        Field::optional(
            "vars",
            Type::Each("NAME", &Type::Anything),
            "Variables. `${NAME}` in any value takes a variable's value, whatever its type; `${NAME.FIELD}` a field of \
             one that is a block. `--set NAME=VALUE` and `sweep` replace them.",
        ),
        Field::required(
            "stages",
            Type::Each("STAGE", &Type::Block(&STAGE)),
            "The stages, each by a name of yours.",
        ),
        Field::optional(
            "targets",
            Type::Several(&Type::Stage(&[])),
            "The stages to have when the command line names none. Only what they need is planned.",
        )
        .or_else("every `evaluate` and `export` stage"),
        Field::optional(
            "digests",
            Type::Several(&Type::Path),
            "Files that say what remote files hash to, a line `HEX  URL` each: `NAME.b3` as `b3sum` prints it, \
             `NAME.sha256` as `sha256sum` does.",
        ),
        Field::optional(
            "sweep",
            Type::Block(&SWEEP),
            "What varies: all stages are planned at each point of it.",
        ),
        Field::optional(
            "report",
            Type::Any(&[Type::Block(&report::REPORT), Type::List(&Type::Block(&report::REPORT))]),
            "A table over the sweep, or a list of them, printed at the end of a run.",
        )
        .or_else("`tartan results` makes a table of each metric"),
        Field::optional(
            "profiles",
            Type::Each("NAME", &Type::Block(&PROFILE)),
            "Named changes of the pipeline, such as the same graph at a tiny budget: `--profile NAME` lays one over it. A \
             profile changes what is there and adds nothing.",
        ),
    ]],
    open: None,
    rules: &[],
    example: "",
};

/// A stage: its kind over a block.
pub(super) static STAGE: Block = Block {
    name: "stage",
    doc: "One key, the stage's kind, over a block of that kind's fields.",
    fields: &[&[
        Field::optional(
            "for",
            Type::NotEmpty(&Type::Each("VAR", &Type::Any(ROUNDS))),
            "Makes a stage for each value, `NAME@VALUE`; the bare name means all of them in a list. `${VAR}` is the value \
             inside the stage. `zip`, `points` and `exclude` are those of a sweep.",
        ),
        kind("encoder", &encoder::ENCODER),
        kind("tokenize", &tokenize::TOKENIZE),
        kind("objective", &objective::OBJECTIVE),
        kind("train", &training::TRAIN),
        kind("learn-weights", &training::LEARN_WEIGHTS),
        kind("evaluate", &evaluate::EVALUATE),
        kind("export", &evaluate::EXPORT),
        kind("command", &command::COMMAND),
    ]],
    open: None,
    rules: &[Rule::One(&[
        "encoder",
        "tokenize",
        "objective",
        "train",
        "learn-weights",
        "evaluate",
        "export",
        "command",
    ])],
    example: "",
};

const fn kind(name: &'static str, block: &'static Block) -> Field {
    Field::optional(name, Type::Block(block), block.doc)
}

/// The values that a variable goes through.
const VALUES: &[Type] = &[LISTED, Type::Block(&RANGE)];
const LISTED: Type = Type::NotEmpty(&Type::List(&Type::Anything));
/// The same of a loop, which may also go through the names of a block.
const ROUNDS: &[Type] = &[LISTED, Type::Block(&RANGE), Type::NotEmpty(&Type::Each("NAME", &Type::Anything))];
const AXIS: &[Type] = &[LISTED, Type::Block(&RANGE), Type::Block(&NAMED)];
const SETTINGS: Type = Type::Each("POINT", &Type::Each("VAR", &Type::Anything));

static SWEEP: Block = Block {
    name: "sweep",
    doc: "A product of axes, in the order of the file; the last varies fastest. An axis is a variable with its values, or \
          several that move together.",
    fields: &[&[
        Field::optional(
            "zip",
            Type::Several(&Type::Each("VAR", &Type::Any(VALUES))),
            "Variables that move together, each with as many values; a list of such blocks makes several axes.",
        ),
        Field::optional(
            "points",
            SETTINGS,
            "Named settings of several variables. A table calls this axis `point`; `AXIS: {points: …}` gives it a name.",
        ),
        Field::optional(
            "exclude",
            Type::Several(&Type::Each("VAR", &Type::Anything)),
            "Combinations that are left out.",
        ),
    ]],
    open: Some(("VAR", Type::Any(AXIS))),
    rules: &[],
    example: "",
};

static NAMED: Block = Block {
    name: "named points",
    doc: "Named settings of several variables, as an axis with a name.",
    fields: &[&[Field::required("points", SETTINGS, "Each name over the variables that it sets.")]],
    open: None,
    rules: &[],
    example: "",
};

static RANGE: Block = Block {
    name: "range",
    doc: "Numbers from a start to an end.",
    fields: &[&[
        Field::optional(
            "range",
            Type::Any(&[Type::Numbers(2, super::Range::Any), Type::Numbers(3, super::Range::Any)]),
            "`[start, end]`, or `[start, end, step]`. The end is no part of it: `[0, 3]` is 0, 1, 2.",
        ),
        Field::optional(
            "log_range",
            Type::Numbers(3, super::Range::Positive),
            "`[start, end, count]`: so many numbers, each as many times the one before, the end among them: \
             `[1e-5, 1e-2, 4]` is 1e-5, 1e-4, 1e-3, 1e-2.",
        ),
    ]],
    open: None,
    rules: &[Rule::One(&["range", "log_range"])],
    example: "",
};

static PROFILE: Block = Block {
    name: "profile",
    doc: "What a profile changes. It names nothing that the pipeline does not have.",
    fields: &[&[
        Field::optional(
            "vars",
            Type::Each("VAR", &Type::Anything),
            "Other values of variables; one that is swept over no longer is.",
        ),
        Field::optional(
            "stages",
            Type::Each("STAGE", &Type::Each("KIND", &Type::Each("FIELD", &Type::Anything))),
            "Other values of stages' fields. `steps` takes the place of `epochs`, and the other way round.",
        ),
        Field::optional(
            "sweep",
            Type::Each("VAR", &Type::Anything),
            "Other values to sweep over; null for none.",
        ),
    ]],
    open: None,
    rules: &[],
    example: "",
};
