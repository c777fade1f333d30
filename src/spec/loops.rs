//! `for`: one block that stands for several stages.
//!
//! `tapt: {for: {corpus: [a, b]}, objective: {…}}` is the stages `tapt@a` and `tapt@b`. A loop is the same at
//! every sweep point, so it is unrolled before any point is read: what follows knows stages alone, and the
//! names that belong to one loop.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::fields::Faults;
use super::sweep::{self, Setting};
use super::values::Constants;
use super::vars;
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic, list};

/// A stage's text: its name, the block of its kind, and where that stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) node: Node,
    pub(super) at: At,
}

/// The stages of each loop, by the name that it has in the file.
pub type Loops = BTreeMap<String, Vec<String>>;

/// The stages of a `stages` block, its loops unrolled.
pub(super) fn unroll(
    stages: &[(String, Node)],
    all_vars: &[(String, Node)],
    constants: &Constants,
    faults: &mut Faults,
) -> (Vec<Draft>, Loops) {
    let mut drafts = vec![];
    let mut loops = Loops::new();
    for (name, node) in stages {
        let at = At::top().key("stages").key(name);
        let Node::Map(block) = node else {
            drafts.push(Draft { name: name.clone(), node: node.clone(), at });
            continue;
        };
        let body = Node::Map(block.iter().filter(|(key, _)| key != "for").cloned().collect());
        let given = block.iter().find(|(key, node)| key == "for" && *node != Node::Null);
        let Some((_, given)) = given else {
            drafts.push(Draft { name: name.clone(), node: body, at });
            continue;
        };
        let at_for = at.key("for");
        let given = match given {
            Node::Text(text) if text.contains("${") => {
                constants.replace(given, "what a loop goes through", &at_for, faults).map(Cow::Owned)
            }
            other => Some(Cow::Borrowed(other)),
        };
        let rounds = given.map(|given| rounds(&given, &body, &at_for, all_vars, constants, faults));
        let rounds = rounds.unwrap_or_default();
        let mut names = vec![];
        for round in rounds {
            let values: Vec<String> = round.values.iter().map(Node::brief).collect();
            let name = format!("{name}@{}", values.join(","));
            drafts.push(Draft { name: name.clone(), node: vars::bind(&body, &round.vars), at: at.clone() });
            names.push(name);
        }
        loops.insert(name.clone(), names);
    }
    (drafts, loops)
}

/// What each of a loop's rounds sets, and the values that name it; the last variable varies fastest.
fn rounds(
    node: &Node,
    body: &Node,
    at: &At,
    all_vars: &[(String, Node)],
    constants: &Constants,
    faults: &mut Faults,
) -> Vec<Setting> {
    let fields = match node {
        Node::Map(fields) if !fields.is_empty() => fields,
        other => {
            let what = if matches!(other, Node::Map(_)) { "nothing".to_owned() } else { other.what() };
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`for` is a block of variables and their values, not {what}"),
            )
            .help("write `for: {corpus: [a, b]}`");
            faults.push((at.clone(), fault));
            return vec![];
        }
    };
    let used = vars::mentions(body);
    let Some((columns, rounds)) = sweep::rounds(node, at, all_vars, constants, faults) else {
        return vec![];
    };
    for (i, name) in columns.iter().enumerate() {
        let values: Vec<&Node> = rounds.iter().map(|round| &round.values[i]).collect();
        // Of a name that stands in a `zip`, or for `points`, the `for` is the nearest that is known.
        let own = fields.iter().find(|(field, _)| field == name).map(|(_, node)| node);
        let at = if own.is_some() { at.key(name) } else { at.clone() };
        if let Some(value) = values.iter().find(|value| !is_name(value)) {
            let fault =
                format!("a loop's value is a part of stages' names, and `{}` cannot be one", value.brief());
            let fault = Diagnostic::error(Code::LoopValue, fault).help(format!(
                "loop over names of letters, digits, `-`, `_` and `.`, and look up what belongs to each in a block of \
                 `vars`: `${{files.${{{name}}}}}`"
            ));
            let place = match own {
                Some(Node::List(items)) => items.iter().position(|item| item == *value),
                _ => None,
            };
            faults.push((place.map_or_else(|| at.clone(), |place| at.index(place)), fault));
            return vec![];
        }
        if let Some(field) = vars::field_of(body, name) {
            let fault = format!(
                "`{name}` stands for a name of the loop, such as `{}`, and has no field `{field}`",
                values[0].brief()
            );
            let fault = Diagnostic::error(Code::UnknownVariableField, fault).help(format!(
                "name settings: `for: {{{name}: {{points: {{{}: {{{field}: …}}}}}}}}`, and write `${{{field}}}`",
                values[0].brief()
            ));
            faults.push((at.on_key(), fault));
            return vec![];
        }
        // What names points, or stands in a `zip`, may be there for the stages' names.
        let is_alone = own.is_some_and(|node| node.get("points").is_none());
        if is_alone && !used.contains(name) && values.iter().any(|value| *value != values[0]) {
            let fault = format!(
                "`{name}` is not used in this stage, so that stages which differ in it alone are the same"
            );
            let fault = Diagnostic::warning(Code::UnusedVariable, fault)
                .help(format!("write `${{{name}}}` where they should differ"));
            faults.push((at.on_key(), fault));
        }
    }
    rounds
}

/// Whether a value can be a part of a stage's name.
fn is_name(value: &Node) -> bool {
    let text = value.brief();
    matches!(value, Node::Text(_) | Node::Int(_) | Node::Float(_)) && is_plain(&text)
}

/// Whether a text is made of what names of stages are made of.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// What to say where one stage is wanted and a loop is named.
pub fn names_many(name: &str, stages: &[String]) -> Diagnostic {
    let named: Vec<&str> = stages.iter().map(String::as_str).collect();
    let fault =
        Diagnostic::error(Code::NamesLoop, format!("`{name}` is a loop, and one stage is named here"));
    fault.help(match named.as_slice() {
        [one] => format!("name its stage: `{one}`"),
        [first, _, _, _, ..] => format!("name one of its {} stages, such as `{first}`", named.len()),
        few => format!("name one of its stages, which are {}", list(few)),
    })
}
