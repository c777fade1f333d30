//! The values that a sweep or a loop goes through: a list, a range, a list that a variable holds, or the names
//! of a block that a variable holds.

use std::collections::BTreeSet;

use super::fields::{self, Faults, Fields, number};
use super::vars::{self, Vars};
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic};

/// The most values of a range, and points of a sweep: more than anyone waits for, few enough to plan in seconds.
pub(super) const MOST: usize = 10_000;

/// The variables that are the same at every sweep point, and the names of those that are not.
pub(super) struct Constants {
    pub(super) vars: Vars,
    varied: Vec<String>,
}

impl Constants {
    /// Those of `raw` variables that neither vary nor depend on one that does.
    pub(super) fn new(raw: &[(String, Node)], varied: &[String]) -> Self {
        let same: Vec<(String, Node)> =
            raw.iter().filter(|(name, _)| !varied.contains(name)).cloned().collect();
        // What cannot be resolved is left out here, and told where all variables are resolved.
        let vars = vars::resolve(&same, &mut vec![]);
        let depend = raw.iter().map(|(name, _)| name.clone()).filter(|name| !vars.contains_key(name));
        let varied = varied.iter().cloned().chain(depend).collect();
        Self { vars, varied }
    }

    /// Whether a variable is not the same at every sweep point.
    pub(super) fn varies(&self, var: &str) -> bool {
        self.varied.iter().any(|varied| varied == var)
    }

    /// A fault about a variable that is unknown only because it varies over the sweep, told as that.
    pub(super) fn tell_apart(&self, fault: &mut Diagnostic) {
        if fault.code != Code::UnknownVariable {
            return;
        }
        let Some(var) = fault.word.clone().filter(|word| self.varies(word)) else { return };
        *fault = varying(&var, "this").about(&var);
    }

    /// A node with its variables replaced. That one of them varies over the sweep is a fault; `what` says of what.
    pub(super) fn replace(&self, node: &Node, what: &str, at: &At, faults: &mut Faults) -> Option<Node> {
        if let Some(var) = vars::mentions(node).into_iter().find(|name| self.varies(name)) {
            faults.push((at.clone(), varying(&var, what)));
            return None;
        }
        fields::replace(node, &self.vars, at, faults)
    }
}

/// A variable varies where one thing is said; `what` says of what.
fn varying(var: &str, what: &str) -> Diagnostic {
    let fault = format!("`{var}` varies over the sweep, and {what} is the same at every point");
    Diagnostic::error(Code::VariesOverSweep, fault).help("use a variable that the sweep does not change")
}

/// The values that stand at `at`, at least one. `whose` says whose they are; `blocks` whether a block that
/// stands there means its names.
pub(super) fn read(
    whose: &str,
    node: &Node,
    at: &At,
    constants: &Constants,
    blocks: bool,
    faults: &mut Faults,
) -> Option<Vec<Node>> {
    let names = |fields: &[(String, Node)]| fields.iter().map(|(name, _)| Node::Text(name.clone())).collect();
    let values: Vec<Node> = match node {
        Node::Text(text) if text.contains("${") => {
            match constants.replace(node, &format!("what {whose} goes through"), at, faults)? {
                Node::List(items) => items,
                Node::Map(fields) => names(&fields),
                other => return wrong(whose, &other, at, faults),
            }
        }
        Node::List(items) => {
            // By what they stand for: two that are the same are one, whichever way they are written.
            let what = format!("what {whose} goes through");
            let stands_for = |(i, item)| constants.replace(item, &what, &at.index(i), faults);
            let values: Vec<Option<Node>> = items.iter().enumerate().map(stands_for).collect();
            values.into_iter().collect::<Option<_>>()?
        }
        Node::Map(fields)
            if blocks && !fields.iter().any(|(key, _)| key == "range" || key == "log_range") =>
        {
            names(fields)
        }
        Node::Map(_) => range(node, at, constants, faults)?,
        other => return wrong(whose, other, at, faults),
    };
    if values.is_empty() {
        faults.push((
            at.clone(),
            Diagnostic::error(Code::NoValues, format!("{whose} has no values"))
                .help("give it one, or leave it out"),
        ));
        return None;
    }
    Some(values)
}

/// What has been seen, by how it is spelled: a sweep may have ten thousand values to tell apart.
#[derive(Default)]
pub(super) struct Seen(BTreeSet<String>);

impl Seen {
    /// Whether a value stands for the first time.
    pub(super) fn is_new(&mut self, value: &impl std::fmt::Debug) -> bool {
        self.0.insert(format!("{value:?}"))
    }
}

/// Reports a value that stands twice.
pub(super) fn each_once(whose: &str, values: &[Node], at: &At, faults: &mut Faults) {
    let mut seen = Seen::default();
    if let Some(i) = values.iter().position(|value| !seen.is_new(value)) {
        let fault = Diagnostic::error(
            Code::RepeatedValue,
            format!("`{}` stands twice among the values of {whose}", values[i].brief()),
        );
        faults.push((at.index(i), fault.help("write it once")));
    }
}

fn wrong(whose: &str, node: &Node, at: &At, faults: &mut Faults) -> Option<Vec<Node>> {
    let fault = Diagnostic::error(
        Code::WrongType,
        format!("the values of {whose} are a list or a range, not {}", node.what()),
    )
    .help(format!("write `[{}]`, or `{{range: [0, 10]}}`", node.brief()));
    faults.push((at.clone(), fault));
    None
}

/// Reads `{range: [start, end]}` or `{range: [start, end, step]}`, whose end is no part of it, or
/// `{log_range: [start, end, count]}`, whose end is.
fn range(node: &Node, at: &At, constants: &Constants, faults: &mut Faults) -> Option<Vec<Node>> {
    let mut fields = Fields::of(node, "a range", at.clone(), &constants.vars, faults)?;
    let before = fields.faults.len();
    let (even, log) = (fields.take("range"), fields.take("log_range"));
    fields.finish("a range");
    match (even, log) {
        (Some((node, at)), None) => steps(&node, &at, faults),
        (None, Some((node, at))) => log_steps(&node, &at, faults),
        (Some(_), Some((_, at))) => {
            let fault = Diagnostic::error(Code::Exclusive, "`range` and `log_range` exclude each other")
                .help("keep one of them");
            faults.push((at.on_key(), fault));
            None
        }
        (None, None) => {
            if faults.len() == before {
                faults.push((
                    at.clone(),
                    Diagnostic::error(Code::BadRange, "a range is missing").help("write `{range: [0, 10]}`"),
                ));
            }
            None
        }
    }
}

fn numbers(node: &Node) -> Option<Vec<f64>> {
    match node {
        Node::List(items) => items.iter().map(number).collect(),
        _ => None,
    }
}

fn steps(node: &Node, at: &At, faults: &mut Faults) -> Option<Vec<Node>> {
    let mut wrong = |fault: Diagnostic| {
        let fault = if fault.help.is_none() { fault.help("`[0, 3]` is 0, 1, 2") } else { fault };
        faults.push((at.clone(), fault));
        None
    };
    let (start, end, step) = match numbers(node).as_deref() {
        Some([start, end]) => (*start, *end, 1.0),
        Some([start, end, step]) => (*start, *end, *step),
        _ => {
            let what = node.what();
            return wrong(Diagnostic::error(
                Code::BadRange,
                format!("a range is `[start, end]` or `[start, end, step]`, not {what}"),
            ));
        }
    };
    // A step such as 0.1 is not exact: what it would take one step too far by rounding alone is the end.
    let count = ((end - start) / step - 1e-9).ceil();
    if count.is_finite() && count > MOST as f64 {
        let fault = Diagnostic::error(
            Code::TooManyPoints,
            format!("the range `{}` has more than {MOST} values", node.brief()),
        );
        return wrong(fault.help("sweep over fewer at a time"));
    }
    if !(count >= 1.0 && count.is_finite()) {
        let fault = Diagnostic::error(
            Code::BadRange,
            format!("the range `{}` is empty or without end", node.brief()),
        );
        return wrong(fault.help("the end is not part of a range: `[0, 3]` is 0, 1, 2"));
    }
    let all_whole =
        matches!(node, Node::List(items) if items.iter().all(|item| matches!(item, Node::Int(_))));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range above"
    )]
    let values = (0..count as usize).map(|i| {
        let value = start + step * i as f64;
        if all_whole { Node::Int(value as i64) } else { Node::Float(rounded(value)) }
    });
    Some(values.collect())
}

fn log_steps(node: &Node, at: &At, faults: &mut Faults) -> Option<Vec<Node>> {
    let mut wrong = |fault: Diagnostic| {
        let help = "`[1e-5, 1e-2, 4]` is 1e-5, 1e-4, 1e-3, 1e-2";
        faults.push((at.clone(), fault.help(help)));
        None
    };
    let numbers = numbers(node);
    let Some([start, end, count]) = numbers.as_deref() else {
        return wrong(Diagnostic::error(
            Code::BadRange,
            format!("a `log_range` is `[start, end, count]`, not {}", node.what()),
        ));
    };
    let positive = |number: f64| number.is_finite() && number > 0.0;
    if !positive(*start) || !positive(*end) {
        return wrong(Diagnostic::error(
            Code::BadRange,
            format!("a `log_range` goes from and to numbers above 0, not `{}`", node.brief()),
        ));
    }
    if !(count.fract() == 0.0 && (2.0..=MOST as f64).contains(count)) {
        return wrong(Diagnostic::error(
            Code::BadRange,
            format!("a `log_range` has 2 to {MOST} values, not `{count}`"),
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range above"
    )]
    let (last, (from, to)) = (*count as usize - 1, (start.ln(), end.ln()));
    let between = |i: usize| rounded((from + (to - from) * i as f64 / last as f64).exp());
    let values = (0..=last).map(|i| match i {
        0 => *start,
        i if i == last => *end,
        i => between(i),
    });
    Some(values.map(Node::Float).collect())
}

/// A number to twelve digits: `0.3`, where adding 0.1 up gives 0.30000000000000004.
fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}
