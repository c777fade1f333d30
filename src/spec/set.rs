//! `--set NAME=VALUE`: what a command lays over a pipeline.

use super::origin::{Origins, given};
use super::profile::excluded_by;
use super::sweep;
use super::yaml::{At, Node, parse_value, slot};
use crate::diag::{Code, Diagnostic};

/// One `--set`, taken apart.
pub(super) struct Setting<'a> {
    words: &'a str,
    path: Vec<&'a str>,
    pub(super) value: Node,
}

/// Takes `NAME=VALUE` apart.
pub(super) fn parse(words: &str) -> Result<Setting<'_>, Box<Diagnostic>> {
    let Some((name, value)) = words.split_once('=') else {
        let fault = said(Code::BadSet, words, "`--set` wants NAME=VALUE".to_owned());
        return Err(Box::new(fault.help("such as `--set seed=3`")));
    };
    if value.trim().is_empty() {
        let fault = said(Code::BadSet, words, format!("`--set {name}=` gives no value"));
        let help = format!("write `--set {name}=null` for nothing, `--set '{name}=\"\"'` for an empty text");
        return Err(Box::new(fault.help(help)));
    }
    let value = match parse_value(value) {
        Some(value) => value,
        None if value.trim_start().starts_with(['[', '{', '"', '\'']) => {
            let fault = said(Code::BadSet, words, format!("`{value}` is no YAML"));
            let help = format!(
                "close its brackets and quotes; the shell takes away quotes of its own: `--set '{name}=[a, \"b c\"]'`"
            );
            return Err(Box::new(fault.help(help)));
        }
        None => Node::Text(value.to_owned()),
    };
    Ok(Setting { words, path: name.split('.').collect(), value })
}

/// Applies it to the tree and returns what it set. NAME is a path of the pipeline, such as
/// `stages.model.train.epochs`, or one within its `vars`, or what the points of its sweep are called.
pub(super) fn apply(top: &mut Node, setting: Setting, origins: &mut Origins) -> Result<At, Box<Diagnostic>> {
    let Setting { words, path, value } = setting;
    let is_top = top.get(path[0]).is_some() && path.len() > 1;
    let is_axis =
        !is_top && path.len() == 1 && top.get("sweep").is_some_and(|swept| sweep::is_points(swept, path[0]));
    // A list for a variable that is swept over is what to sweep over, unless each of its values is a list.
    let is_swept = !is_top
        && path.len() == 1
        && matches!(value, Node::List(_))
        && top.get("sweep").and_then(|swept| swept.get(path[0])).is_some_and(sweeps_no_lists);
    let block = if is_swept { "sweep" } else { "vars" };
    let steps: Vec<&str> = if is_top { path } else { std::iter::once(block).chain(path).collect() };
    let (mut node, mut at) = (top, At::top());
    for (depth, step) in steps.iter().enumerate() {
        let last = depth + 1 == steps.len();
        match node {
            Node::Map(fields) => {
                let is_there = fields.iter().any(|(key, _)| key == step);
                // A parameter at its default need not stand in the file to be set; a variable must.
                if !is_there && !(last && (is_top || is_axis)) {
                    return Err(Box::new(unknown(words, &at, step, fields, depth == 1 && !is_top)));
                }
                if let Some(other) = excluded_by(step).filter(|_| last && steps[0] == "stages") {
                    fields.retain(|(key, _)| key != other);
                }
                at = at.key(step);
                node = slot(fields, step);
            }
            Node::List(items) => {
                let count = items.len();
                let index = step.parse().ok().filter(|index| *index < count);
                let Some((index, item)) = index.and_then(|index| Some((index, items.get_mut(index)?))) else {
                    let fault = said(Code::BadSet, words, format!("`{at}` has no item `{step}`"));
                    return Err(Box::new(fault.help(format!("it is a list of {count}, counted from 0"))));
                };
                at = at.index(index);
                node = item;
            }
            _ => {
                let fault = format!("`{at}` has no fields, so `{}` cannot be set", at.key(step));
                let help = format!("set `{at}` itself");
                return Err(Box::new(said(Code::BadSet, words, fault).help(help)));
            }
        }
    }
    *node = value;
    origins.command(&at, words);
    Ok(at)
}

/// Whether these are the values of one variable, and none of them a list.
fn sweeps_no_lists(values: &Node) -> bool {
    match values {
        Node::List(items) => !items.iter().any(|item| matches!(item, Node::List(_))),
        other => other.get("range").is_some() || other.get("log_range").is_some(),
    }
}

/// `around` has no `step`.
fn unknown(words: &str, around: &At, step: &str, fields: &[(String, Node)], is_var: bool) -> Diagnostic {
    // The stages of a loop have one block.
    if let Some((name, _)) = step.split_once('@')
        && fields.iter().any(|(key, _)| key == name)
    {
        let fault = said(Code::BadSet, words, format!("`{step}` has no block of its own"));
        return fault.help(format!("`{around}.{name}` sets a field of all its stages"));
    }
    let fault = if is_var {
        said(Code::UnknownVariable, words, format!("unknown variable `{step}`"))
    } else {
        said(Code::BadSet, words, format!("`{around}` has no `{step}`"))
    };
    let all = || "name a variable of the pipeline, or a path such as `stages.model.train.epochs`".to_owned();
    fault.meant(step, fields.iter().map(|(key, _)| key.as_str()), all)
}

fn said(code: Code, words: &str, message: String) -> Diagnostic {
    Diagnostic::error(code, message).note(given(words))
}
