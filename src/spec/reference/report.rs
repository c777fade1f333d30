//! `report`: tables and figures.

use super::{Block, Field, Rule, Type};

pub(super) static REPORT: Block = Block {
    name: "report",
    doc: "A table over the sweep. A variable that is swept and not named makes rows.",
    fields: &[&[
        Field::optional(
            "metric",
            Type::Form(r"\$\{|.\..", "`STAGE.METRIC`"),
            "What the cells show: a metric of an `evaluate` stage, such as `test.macro_f1`, or a number of a `command` stage.",
        ),
        Field::optional(
            "weights",
            Type::Stage(&["learn-weights"]),
            "A stage whose learned weights the cells show, an objective a column.",
        ),
        Field::optional("title", Type::Text, "What to call the table.").or_else("made from what it shows"),
        Field::optional("rows", Type::Several(&Type::Variable), "The variables whose values are rows."),
        Field::optional("columns", Type::Several(&Type::Variable), "The variables whose values are columns."),
        Field::optional(
            "over",
            Type::Several(&Type::Variable),
            "The one variable to average over: mean ± standard deviation.",
        ),
        Field::optional(
            "baseline",
            Type::Scalar,
            "A value of a variable of the table that the others are compared with: differences, permutation tests, \
             intervals.",
        ),
        Field::optional("figure", Type::Block(&FIGURE), "A figure of the table, as SVG and PNG."),
    ]],
    open: None,
    rules: &[Rule::One(&["metric", "weights"])],
    example: "\
report:
  - {metric: test.macro_f1, rows: method, columns: task, over: seed, figure: {bars: figures/main}}
  - {weights: meta, rows: task, over: seed, figure: {steps: figures/weights}}
",
};

static FIGURE: Block = Block {
    name: "figure",
    doc: "A figure of the table. `PATH.svg` and `PATH.png` are written.",
    fields: &[&[
        Field::optional("bars", Type::Path, "Bars with error bars: a group a column, a bar a row."),
        Field::optional(
            "lines",
            Type::Path,
            "Scores against the numbers of one variable of `columns`, a line a row.",
        ),
        Field::optional("steps", Type::Path, "Of `weights`: each objective's weight against the steps."),
        Field::optional("log", Type::Truth, "Of `lines`: make the x axis logarithmic.").or("false"),
    ]],
    open: None,
    rules: &[Rule::One(&["bars", "lines", "steps"])],
    example: "",
};
