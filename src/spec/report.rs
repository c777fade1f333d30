//! The `report` block: tables over the sweep, and the figures drawn of them.
//!
//! What stands here is checked against the variables and the sweep; whether the stages it names are there
//! and measure what it shows is for the plan to say.

mod read;

pub(super) use read::{Context, drafts};

use super::{Ref, Source, Spec};
use crate::diag::{Code, Diagnostic, list};

/// A table over the sweep, and maybe a figure of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What to call it; made from what it shows where it is absent.
    pub title: Option<String>,
    /// What its cells hold.
    pub shows: Shows,
    /// The variables whose values are rows.
    pub rows: Vec<String>,
    /// The variables whose values are columns.
    pub columns: Vec<String>,
    /// The variable that is averaged over.
    pub over: Option<String>,
    /// What the rest is compared with.
    pub baseline: Option<Baseline>,
    /// The figure to draw.
    pub figure: Option<FigureFile>,
}

/// What a table's cells hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A metric of an `evaluate` or `command` stage: one for each of [`Spec::points`], in their order.
    Scores(Vec<Score>),
    /// The weights that a stage learned for its objectives.
    Weights(Ref),
}

/// A metric of an `evaluate` stage, or a number that a `command` stage gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The stage.
    pub stage: Ref,
    /// The metric's name.
    pub metric: String,
}

/// A value of a table's variable that its other values are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The variable.
    pub var: String,
    /// The value.
    pub value: String,
}

/// A figure to draw of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FigureFile {
    /// What it looks like.
    pub kind: FigureKind,
    /// The file, without an extension: `.svg` and `.png` are written.
    pub file: Source,
    /// Whether the x axis of `lines` is logarithmic.
    pub log: bool,
}

/// What a figure looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Bars with error bars: a group a column, a bar a row.
    Bars,
    /// Scores against the columns' numbers, a line a row.
    Lines,
    /// Weights against steps, a line an objective.
    Steps,
}

impl FigureKind {
    const ALL: [(&str, Self); 3] = [("bars", Self::Bars), ("lines", Self::Lines), ("steps", Self::Steps)];

    fn name(self) -> &'static str {
        match self {
            Self::Bars => "bars",
            Self::Lines => "lines",
            Self::Steps => "steps",
        }
    }
}

impl Shows {
    /// The stages it reads, each once, in order.
    pub fn stages(&self) -> Vec<&Ref> {
        match self {
            Self::Weights(stage) => vec![stage],
            Self::Scores(scores) => {
                let mut stages: Vec<&Ref> = vec![];
                for score in scores {
                    if !stages.iter().any(|known| known.stage == score.stage.stage) {
                        stages.push(&score.stage);
                    }
                }
                stages
            }
        }
    }
}

/// A table as a command line asks for it; what is absent is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axes {
    /// The variables whose values are rows.
    pub rows: Vec<String>,
    /// The variables whose values are columns.
    pub columns: Vec<String>,
    /// The variable that is averaged over.
    pub over: Option<String>,
    /// The value that the rest is compared with.
    pub baseline: Option<String>,
}

impl Report {
    /// A table of one metric of one stage. Nothing is averaged over but `axes.over`.
    pub fn of_metric(spec: &Spec, stage: &str, metric: &str) -> Self {
        let metric = metric.to_owned();
        let stage = Ref { stage: stage.to_owned(), at: spec.stage_at(stage) };
        Self {
            title: None,
            shows: Shows::Scores(vec![Score { stage, metric }; spec.points.len()]),
            rows: vec![],
            columns: vec![],
            over: None,
            baseline: None,
            figure: None,
        }
    }

    /// The same with other axes: those that `axes` names. A variable that is given another part loses the
    /// one it had.
    pub fn with_axes(mut self, spec: &Spec, axes: &Axes) -> Result<Self, Box<Diagnostic>> {
        for var in axes.rows.iter().chain(&axes.columns).chain(&axes.over) {
            if !spec.swept.contains(var) {
                let swept: Vec<&str> = spec.swept.iter().map(String::as_str).collect();
                let fault = Diagnostic::error(Code::NotSwept, format!("the sweep has no variable `{var}`"));
                let all = || match swept.as_slice() {
                    [] => "nothing is swept over; leave it out".to_owned(),
                    swept => format!("it sweeps over {}", list(swept)),
                };
                return Err(Box::new(fault.meant(var, swept.iter().copied(), all)));
            }
        }
        let given =
            [("rows", axes.rows.as_slice()), ("columns", &axes.columns), ("over", axes.over.as_slice())];
        if let Some((_, _, fault)) = twice(&given) {
            return Err(Box::new(fault));
        }
        // A figure is of the pipeline's own table.
        self.figure = self.figure.filter(|_| *axes == Axes::default());
        let taken = |var: &String| given.iter().any(|(_, vars)| vars.contains(var));
        self.rows.retain(|var| !taken(var));
        self.columns.retain(|var| !taken(var));
        self.over = self.over.filter(|var| !taken(var));
        if !axes.rows.is_empty() {
            self.rows.clone_from(&axes.rows);
        }
        if !axes.columns.is_empty() {
            self.columns.clone_from(&axes.columns);
        }
        self.over = axes.over.clone().or(self.over);
        if matches!(self.shows, Shows::Weights(_)) {
            // Weights are compared with each other, in a row.
            return Ok(self);
        }
        if let Some(value) = &axes.baseline {
            let values: Vec<(&str, Vec<String>)> =
                spec.swept.iter().map(|var| (var.as_str(), spec.values(var))).collect();
            self.baseline = Some(baseline(value, &self.compared(&spec.swept), &values)?);
        } else if self.baseline.as_ref().is_some_and(|baseline| self.over.as_ref() == Some(&baseline.var)) {
            self.baseline = None;
        }
        Ok(self)
    }

    /// The swept variables that tell cells apart: of the rows, of the columns, and those that the report
    /// does not name, which are rows too.
    fn compared<'a>(&'a self, swept: &'a [String]) -> Vec<&'a str> {
        let named = self.rows.iter().chain(&self.columns);
        let rest = swept.iter().filter(|var| {
            !self.rows.contains(var) && !self.columns.contains(var) && self.over.as_ref() != Some(var)
        });
        named.chain(rest).filter(|var| swept.contains(var)).map(String::as_str).collect()
    }
}

/// The variable that has `value` among its values.
fn baseline(
    value: &str,
    compared: &[&str],
    values: &[(&str, Vec<String>)],
) -> Result<Baseline, Box<Diagnostic>> {
    let of = |var: &str| values.iter().find(|(name, _)| *name == var).map_or(&[][..], |(_, values)| values);
    if let Some(var) = compared.iter().find(|var| of(var).iter().any(|known| known == value)) {
        return Ok(Baseline { var: (*var).to_owned(), value: value.to_owned() });
    }
    let fault =
        Diagnostic::error(Code::UnknownBaseline, format!("`{value}` is no value of what the table compares"));
    if let Some((var, _)) = values.iter().find(|(_, known)| known.iter().any(|known| known == value)) {
        let fault = fault.note(format!("it is a value of `{var}`, which the table averages over"));
        return Err(Box::new(
            fault.help(format!("make `{var}` rows or columns, and average over another variable")),
        ));
    }
    let known: Vec<&str> = compared.iter().flat_map(|var| of(var)).map(String::as_str).collect();
    let all = || match known.as_slice() {
        [] => "the table has one row and one column".to_owned(),
        known => format!("the values are {}", list(known)),
    };
    Err(Box::new(fault.meant(value, known.iter().copied(), all)))
}

/// The first variable that has two parts in a table: the field and index of its second one.
fn twice(axes: &[(&'static str, &[String])]) -> Option<(&'static str, usize, Diagnostic)> {
    let mut seen: Vec<(&str, &str)> = vec![];
    for (field, vars) in axes {
        for (i, var) in vars.iter().enumerate() {
            if let Some((_, first)) = seen.iter().find(|(known, _)| known == var) {
                let fault = if first == field {
                    Diagnostic::error(Code::RepeatedAxis, format!("`{var}` stands twice in `{field}`"))
                } else {
                    Diagnostic::error(
                        Code::RepeatedAxis,
                        format!("`{var}` is both `{first}` and `{field}` of the table"),
                    )
                };
                return Some((field, i, fault.help("a variable has one part in a table: keep one of them")));
            }
            seen.push((var, field));
        }
    }
    None
}

/// A number of an x axis: `10`, `0.5`, `10x`.
pub fn number(value: &str) -> Option<f64> {
    let number: f64 = value.strip_suffix('x').unwrap_or(value).parse().ok()?;
    number.is_finite().then_some(number)
}
