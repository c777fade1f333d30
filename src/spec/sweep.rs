//! Sweeps: the variables that vary, and the points that they make.
//!
//! A sweep is a product of axes, in the order of the file; the last varies fastest. An axis is a variable with
//! its values, several variables that move together (`zip`), or named settings of several (`points`). What
//! `exclude` matches is left out.

mod read;

use std::collections::BTreeSet;

use super::fields::{Faults, number};
use super::values::{Constants, MOST, Seen};
use super::vars;
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic, Severity, list};

pub(super) use read::{assigned, is_points, names};

/// What a sweep comes to.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    /// The names that tell points apart in tables, each with its values in order.
    pub(super) columns: Vec<Dimension>,
    /// Every variable that a point sets.
    pub(super) varied: Vec<String>,
    /// The points in order: one without a sweep.
    pub(super) points: Vec<Setting>,
}

impl Sweep {
    /// That of a pipeline which sweeps over nothing.
    pub(super) fn none() -> Self {
        Self { columns: vec![], varied: vec![], points: vec![Setting::default()] }
    }

    /// At each point the value of each varied variable; what a point does not set stays as it stands.
    pub(super) fn assignments(&self, vars: &[(String, Node)]) -> Vec<Vec<Node>> {
        let value = |point: &Setting, name: &String| {
            let found = point.vars.iter().chain(vars).find(|(var, _)| var == name);
            found.map_or(Node::Null, |(_, value)| value.clone())
        };
        let point = |point| self.varied.iter().map(|name| value(point, name)).collect();
        self.points.iter().map(point).collect()
    }
}

/// A variable and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) values: Vec<Node>,
}

/// One point.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Setting {
    /// The columns' values.
    pub(super) values: Vec<Node>,
    /// The variables that it sets, with their values.
    pub(super) vars: Vec<(String, Node)>,
}

/// What the axes make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The points of the pipeline's sweep.
    Points,
    /// The stages of a loop.
    Stages,
}

impl Over {
    fn whole(self) -> &'static str {
        match self {
            Self::Points => "sweep",
            Self::Stages => "loop",
        }
    }

    fn one(self) -> &'static str {
        match self {
            Self::Points => "point",
            Self::Stages => "stage",
        }
    }
}

/// What a sweep is read against.
pub(super) struct Given<'a> {
    /// Every variable as it stands.
    pub(super) vars: &'a [(String, Node)],
    /// The variables that have been given a value in place of those swept over.
    pub(super) held: &'a [String],
    /// Whether only a part of what the file sweeps over is asked for, so that an exclusion may match nothing.
    pub(super) narrowed: bool,
}

/// An axis: in each of its rows it sets the same or other variables; its columns are set in all.
#[derive(Clone, Debug)]
struct Axis {
    columns: Vec<String>,
    rows: Vec<Vec<(String, Node)>>,
}

/// A combination that is left out, and where it is said.
struct Exclusion {
    fields: Vec<(String, Node)>,
    at: At,
}

/// Reads a `sweep` block. Without one, or with one that has faults, there is one point.
pub(super) fn read(node: &Node, at: &At, given: &Given, faults: &mut Faults) -> Sweep {
    let before = faults.len();
    let varied = read::names(node);
    let constants = Constants::new(given.vars, &varied);
    let (mut axes, exclusions) = read::axes(node, at, given.vars, &constants, Over::Points, faults);
    for name in given.held {
        hold(&mut axes, name, given.vars, faults);
    }
    // What is missing for another fault is not missed by an exclusion.
    let narrowed = given.narrowed || faults.len() > before;
    let given = Given { narrowed, ..*given };
    let kept = combine(&mut axes, &exclusions, at, &given, Over::Points, faults);
    let columns: Vec<String> = axes.iter().flat_map(|axis| axis.columns.clone()).collect();
    let points = settings(&columns, kept);
    let columns = columns.into_iter().enumerate().map(|(i, name)| {
        let mut seen = Seen::default();
        let values = points.iter().map(|point| &point.values[i]).filter(|value| seen.is_new(value));
        Dimension { name, values: values.cloned().collect() }
    });
    let columns = columns.collect();
    let varied = axes.iter().flat_map(|axis| axis.rows.iter().flatten()).map(|(name, _)| name.clone());
    let varied: BTreeSet<String> = varied.collect();
    Sweep { columns, varied: varied.into_iter().collect(), points }
}

/// Reads the `for` of a stage, which `vars` are not to have: the rounds of the loop, and the columns that tell them
/// apart. None if it has faults.
pub(super) fn rounds(
    node: &Node,
    at: &At,
    vars: &[(String, Node)],
    constants: &Constants,
    faults: &mut Faults,
) -> Option<(Vec<String>, Vec<Setting>)> {
    let before = faults.len();
    let (mut axes, exclusions) = read::axes(node, at, vars, constants, Over::Stages, faults);
    if faults.len() > before {
        return None;
    }
    let given = Given { vars: &[], held: &[], narrowed: false };
    let kept = combine(&mut axes, &exclusions, at, &given, Over::Stages, faults);
    let columns: Vec<String> = axes.iter().flat_map(|axis| axis.columns.clone()).collect();
    let is_error = |(_, fault): &(At, Diagnostic)| fault.severity == Severity::Error;
    (!faults[before..].iter().any(is_error)).then(|| (columns.clone(), settings(&columns, kept)))
}

/// What each point sets, and the values of its columns.
fn settings(columns: &[String], points: Vec<Vec<(String, Node)>>) -> Vec<Setting> {
    let value = |point: &[(String, Node)], name: &str| {
        point.iter().find(|(var, _)| var == name).map_or(Node::Null, |(_, value)| value.clone())
    };
    let setting = |vars: Vec<(String, Node)>| Setting {
        values: columns.iter().map(|name| value(&vars, name)).collect(),
        vars,
    };
    points.into_iter().map(setting).collect()
}

/// Every combination of the axes' rows that is not left out. Where they would be too many, the axes are dropped.
fn combine(
    axes: &mut Vec<Axis>,
    exclusions: &[Exclusion],
    at: &At,
    given: &Given,
    over: Over,
    faults: &mut Faults,
) -> Vec<Vec<(String, Node)>> {
    let (whole, one) = (over.whole(), over.one());
    let count = axes.iter().try_fold(1_usize, |n, axis| n.checked_mul(axis.rows.len()));
    let largest = |axis: &Axis| {
        let size =
            |row: &Vec<(String, Node)>| row.iter().map(|(_, value)| vars::size(value, vars::MOST)).sum();
        axis.rows.iter().map(size).max().unwrap_or(0)
    };
    let bytes = axes.iter().map(largest).fold(0, usize::saturating_add).saturating_mul(count.unwrap_or(1));
    if bytes > vars::MOST && count.is_some_and(|count| count <= MOST) {
        let fault = format!("the {one}s of the {whole} come to more than {} MiB", vars::MOST >> 20);
        let fault = Diagnostic::error(Code::TooManyNodes, fault)
            .help("go over names, and look up what is large by them: `${sizes.${size}}`");
        faults.push((at.on_key(), fault));
        axes.clear();
    }
    if count.is_none_or(|count| count > MOST) {
        let fault = format!("the {whole} has more than {MOST} {one}s");
        let fault = Diagnostic::error(Code::TooManyPoints, fault)
            .help(format!("{whole} over fewer variables or values at a time"));
        faults.push((at.on_key(), fault));
        axes.clear();
    }
    let kept = exclude(product(axes), exclusions, given, over, faults);
    if kept.is_empty() {
        let fault = format!("the exclusions leave no {one} of the {whole}");
        let fault = Diagnostic::error(Code::NoPointsLeft, fault).help("exclude less");
        faults.push((at.key("exclude").on_key(), fault));
    }
    kept
}

/// Gives a variable of the sweep one value. Where that is one of its values in a zip, or a point's name, what
/// moves together with it stays with it.
fn hold(axes: &mut [Axis], name: &String, vars: &[(String, Node)], faults: &mut Faults) {
    let Some((_, value)) = vars.iter().find(|(var, _)| var == name) else { return };
    for axis in axes.iter_mut() {
        let says = |row: &Vec<(String, Node)>| row.iter().any(|(var, is)| var == name && same(value, is));
        let is_column = axis.columns.contains(name);
        let moves_others = axis.rows.iter().flatten().any(|(var, _)| var != name);
        if is_column && moves_others && axis.rows.iter().any(says) {
            axis.rows.retain(says);
        } else if is_column && axis.columns.len() == 1 && moves_others {
            let of_axis = axis.rows.iter().flatten().filter(|(var, _)| var == name);
            let names: Vec<String> = of_axis.map(|(_, point)| point.brief()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let fault = Diagnostic::error(
                Code::UnknownWord,
                format!("the sweep has no point `{}` of `{name}`", value.brief()),
            );
            let all = || format!("its points are {}", list(&names));
            let fault = fault.meant(&value.brief(), names.iter().copied(), all);
            faults.push((At::top().key("vars").key(name), fault));
        }
        axis.columns.retain(|column| column != name);
        for row in &mut axis.rows {
            row.retain(|(var, _)| var != name);
        }
        let mut seen = Seen::default();
        axis.rows.retain(|row| seen.is_new(row));
    }
}

/// Every combination of the axes' rows; the last axis varies fastest.
fn product(axes: &[Axis]) -> Vec<Vec<(String, Node)>> {
    axes.iter().fold(vec![vec![]], |points, axis| {
        points
            .iter()
            .flat_map(|point| axis.rows.iter().map(move |row| point.iter().chain(row).cloned().collect()))
            .collect()
    })
}

/// Leaves out what an exclusion matches in all its fields; one that matches nothing is worth a warning.
fn exclude(
    points: Vec<Vec<(String, Node)>>,
    exclusions: &[Exclusion],
    given: &Given,
    over: Over,
    faults: &mut Faults,
) -> Vec<Vec<(String, Node)>> {
    let (whole, one) = (over.whole(), over.one());
    let value = |point: &[(String, Node)], name: &str| {
        let found = point.iter().chain(given.vars).find(|(var, _)| var == name);
        found.map(|(_, value)| value.clone())
    };
    let hits = |exclusion: &Exclusion, point: &[(String, Node)]| {
        exclusion
            .fields
            .iter()
            .all(|(name, wanted)| value(point, name).is_some_and(|value| is_among(wanted, &value)))
    };
    for exclusion in exclusions.iter().filter(|_| !given.narrowed) {
        if points.iter().any(|point| hits(exclusion, point)) {
            continue;
        }
        let never = exclusion.fields.iter().find(|(name, wanted)| {
            !points.iter().any(|point| value(point, name).is_some_and(|value| is_among(wanted, &value)))
        });
        let fault = format!("this excludes no {one} of the {whole}");
        let fault = Diagnostic::warning(Code::NothingExcluded, fault);
        let Some((name, wanted)) = never else {
            let help = format!(
                "an exclusion matches by all of its fields at once; no {one} has all of these values"
            );
            faults.push((exclusion.at.clone(), fault.help(help)));
            continue;
        };
        let mut values: Vec<String> = points.iter().filter_map(|p| Some(value(p, name)?.brief())).collect();
        values.dedup();
        let all = || "an exclusion matches by all of its fields: delete it, or correct its values".to_owned();
        let fault = fault.note(format!("`{name}` never is `{}`", wanted.brief()));
        let fault = fault.meant(&wanted.brief(), values.iter().map(String::as_str), all);
        faults.push((exclusion.at.key(name), fault));
    }
    points.into_iter().filter(|point| !exclusions.iter().any(|exclusion| hits(exclusion, point))).collect()
}

/// Whether a value is the wanted one, or one of a list of wanted ones.
fn is_among(wanted: &Node, value: &Node) -> bool {
    same(wanted, value) || matches!(wanted, Node::List(items) if items.iter().any(|item| same(item, value)))
}

/// Whether two values mean the same: a number is one number, `1` or `1.0`.
fn same(a: &Node, b: &Node) -> bool {
    let bits = |node: &Node| number(node).map(f64::to_bits);
    a == b || (bits(a).is_some() && bits(a) == bits(b))
}

#[cfg(test)]
mod tests;
