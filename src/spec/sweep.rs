//! Sweeps: the variables that vary, and every combination of their values.

use super::fields::{Faults, Fields, list, number};
use super::vars::Vars;
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic};

/// A variable and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) values: Vec<Node>,
}

/// The most points of a sweep: more than anyone waits for, few enough to plan in seconds.
const MOST_POINTS: usize = 10_000;

/// Reads `sweep: {seed: {range: [0, 10]}, task: [a, b]}`.
pub(super) fn dimensions(
    node: &Node,
    at: &At,
    vars: &[(String, Node)],
    faults: &mut Faults,
) -> Vec<Dimension> {
    let block = match node {
        Node::Map(block) => block,
        Node::Null => return vec![],
        other => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`sweep` is a block of variables, not {}", other.what()),
            )
            .help("write `sweep: {seed: [0, 1, 2]}`");
            faults.push((at.clone(), fault));
            return vec![];
        }
    };
    let mut dims = vec![];
    for (name, node) in block {
        let at = at.key(name);
        let known: Vec<&str> = vars.iter().map(|(name, _)| name.as_str()).collect();
        if !known.contains(&name.as_str()) {
            let all = || format!("a sweep varies the pipeline's `vars`, which are {}", list(&known));
            let fault = Diagnostic::error(Code::UnknownVariable, format!("unknown variable `{name}`")).meant(
                name,
                known.iter().copied(),
                all,
            );
            faults.push((at.on_key(), fault));
            continue;
        }
        let values = match node {
            Node::List(items) => items.clone(),
            Node::Map(_) => range(node, &at, faults),
            other => {
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("the values of `{name}` are a list or a range, not {}", other.what()),
                )
                .help(format!("write `{name}: [{}]`, or `{name}: {{range: [0, 10]}}`", other.brief()));
                faults.push((at, fault));
                continue;
            }
        };
        if values.is_empty() {
            // A faulty range has been reported already.
            if matches!(node, Node::List(_)) {
                faults.push((
                    at,
                    Diagnostic::error(Code::NoValues, format!("`{name}` has no values to sweep over")),
                ));
            }
            continue;
        }
        if let Some(twice) = values.iter().enumerate().find(|(i, value)| values[..*i].contains(value)) {
            let fault = Diagnostic::error(
                Code::RepeatedValue,
                format!("`{}` stands twice among the values of `{name}`", twice.1.brief()),
            );
            faults.push((at.index(twice.0), fault));
        }
        dims.push(Dimension { name: name.clone(), values });
    }
    let count = dims.iter().try_fold(1_usize, |n, dim| n.checked_mul(dim.values.len()));
    if count.is_none_or(|count| count > MOST_POINTS) {
        let fault =
            Diagnostic::error(Code::TooManyPoints, format!("the sweep has more than {MOST_POINTS} points"))
                .help("sweep over fewer variables or values at a time");
        faults.push((at.on_key(), fault));
        return vec![];
    }
    dims
}

/// Reads `{range: [start, end]}` or `{range: [start, end, step]}`; the end is not part of it.
fn range(node: &Node, at: &At, faults: &mut Faults) -> Vec<Node> {
    let nothing = Vars::new();
    let Some(mut fields) = Fields::of(node, "a range", at.clone(), &nothing, faults) else { return vec![] };
    let taken = fields.take("range");
    fields.finish("a range");
    let Some((node, at)) = taken else {
        faults.push((
            at.clone(),
            Diagnostic::error(Code::BadRange, "a range is missing").help("write `{range: [0, 10]}`"),
        ));
        return vec![];
    };
    let numbers: Option<Vec<f64>> = match &node {
        Node::List(items) => items.iter().map(number).collect(),
        _ => None,
    };
    let (start, end, step) = match numbers.as_deref() {
        Some([start, end]) => (*start, *end, 1.0),
        Some([start, end, step]) => (*start, *end, *step),
        _ => {
            let fault = Diagnostic::error(
                Code::BadRange,
                format!("a range is `[start, end]` or `[start, end, step]`, not {}", node.what()),
            );
            faults.push((at, fault));
            return vec![];
        }
    };
    let count = ((end - start) / step).ceil();
    if count.is_finite() && count > MOST_POINTS as f64 {
        let fault = Diagnostic::error(
            Code::TooManyPoints,
            format!("the range `{}` has more than {MOST_POINTS} values", node.brief()),
        )
        .help("sweep over fewer at a time");
        faults.push((at, fault));
        return vec![];
    }
    if !(count >= 1.0 && count.is_finite()) {
        let fault = Diagnostic::error(
            Code::BadRange,
            format!("the range `{}` is empty or without end", node.brief()),
        )
        .help("the end is not part of a range: `[0, 3]` is 0, 1, 2");
        faults.push((at, fault));
        return vec![];
    }
    let all_whole =
        matches!(&node, Node::List(items) if items.iter().all(|item| matches!(item, Node::Int(_))));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range above"
    )]
    (0..count as usize)
        .map(|i| {
            let value = start + step * i as f64;
            if all_whole { Node::Int(value as i64) } else { Node::Float(value) }
        })
        .collect()
}

/// Every combination of the dimensions' values; the last dimension varies fastest.
pub(super) fn points(dims: &[Dimension]) -> Vec<Vec<Node>> {
    dims.iter().fold(vec![vec![]], |points, dim| {
        points
            .iter()
            .flat_map(|point| {
                dim.values
                    .iter()
                    .map(move |value| point.iter().chain(std::iter::once(value)).cloned().collect())
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse_value;
    use super::*;

    fn read(sweep: &str) -> (Vec<Dimension>, Vec<String>) {
        let vars = [("seed".to_owned(), Node::Int(0)), ("lr".to_owned(), Node::Float(0.1))];
        let mut faults = vec![];
        let dims =
            dimensions(&parse_value(sweep).expect("yaml"), &At::top().key("sweep"), &vars, &mut faults);
        (dims, faults.into_iter().map(|(_, fault)| fault.message).collect())
    }

    #[test]
    fn every_combination_the_last_varies_fastest() {
        let (dims, faults) = read("{lr: [0.1, 0.2], seed: {range: [3, 7, 2]}}");
        assert_eq!(faults, Vec::<String>::new());
        let all: Vec<String> =
            points(&dims).iter().map(|p| p.iter().map(Node::brief).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(all, ["0.1 3", "0.1 5", "0.2 3", "0.2 5"]);
        assert_eq!(points(&[]), [Vec::<Node>::new()]);
    }

    #[test]
    fn what_makes_no_sweep_is_said() {
        for (sweep, part) in [
            ("{sed: [1]}", "unknown variable `sed`"),
            ("{seed: 3}", "a list or a range"),
            ("{seed: []}", "no values"),
            ("{seed: [1, 1]}", "twice"),
            ("{seed: {range: [3, 3]}}", "empty"),
            ("{seed: {range: [0, 3, 0]}}", "empty or without end"),
            ("{seed: {range: [0, 1e9]}}", "more than 10000 values"),
            ("{seed: {rnge: [0, 3]}}", "unknown field `rnge`"),
            ("{seed: {range: [0, 1000]}, lr: {range: [0, 1000]}}", "more than 10000 points"),
            ("3", "a block of variables"),
        ] {
            let (_, faults) = read(sweep);
            assert!(faults.iter().any(|fault| fault.contains(part)), "{sweep}: {faults:?}");
        }
    }
}
