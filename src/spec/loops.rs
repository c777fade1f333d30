//! `for`: one block that stands for several stages.
//!
//! `tapt: {for: {corpus: [a, b]}, objective: {…}}` is the stages `tapt@a` and `tapt@b`. A loop is the same at
//! every sweep point, so it is unrolled before any point is read: what follows knows stages alone, and the
//! names that belong to one loop.

use std::collections::BTreeMap;

use super::fields::{Faults, list};
use super::values::{self, Constants, MOST};
use super::vars;
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic};

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
                constants.replace(given, "what a loop goes through", &at_for, faults)
            }
            other => Some(other.clone()),
        };
        let rounds = given.map(|given| rounds(&given, &body, &at_for, all_vars, constants, faults));
        let rounds = rounds.unwrap_or_default();
        let mut names = vec![];
        for round in rounds {
            let values: Vec<String> = round.iter().map(|(_, value)| value.brief()).collect();
            let name = format!("{name}@{}", values.join(","));
            drafts.push(Draft { name: name.clone(), node: vars::bind(&body, &round), at: at.clone() });
            names.push(name);
        }
        loops.insert(name.clone(), names);
    }
    (drafts, loops)
}

/// The values of a loop's variables in each of its rounds; the last variable varies fastest.
fn rounds(
    node: &Node,
    body: &Node,
    at: &At,
    all_vars: &[(String, Node)],
    constants: &Constants,
    faults: &mut Faults,
) -> Vec<Vec<(String, Node)>> {
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
    let mut rounds: Vec<Vec<(String, Node)>> = vec![vec![]];
    for (name, node) in fields {
        let at = at.key(name);
        if all_vars.iter().any(|(known, _)| known == name) {
            let fault =
                Diagnostic::error(Code::LoopVariable, format!("`{name}` is a variable of the pipeline too"))
                    .note("inside the stage, `${…}` could mean either")
                    .help("give the loop's variable a name of its own");
            faults.push((at.on_key(), fault));
            return vec![];
        }
        let whose = format!("`{name}`");
        let Some(values) = values::read(&whose, node, &at, constants, true, faults) else { return vec![] };
        // By what they are called: `1` and `"1"` make one name.
        let names: Vec<Node> = values.iter().map(|value| Node::Text(value.brief())).collect();
        values::each_once(&whose, &names, &at, faults);
        if let Some(i) = values.iter().position(|value| !is_name(value)) {
            let fault = Diagnostic::error(Code::LoopValue, format!("a loop's value is a part of stages' names, and `{}` cannot be one", values[i].brief()))
                .help(format!(
                    "loop over names of letters, digits, `-`, `_` and `.`, and look up what belongs to each in a block of \
                     `vars`: `${{files.${{{name}}}}}`"
                ));
            faults.push((at.index(i), fault));
            return vec![];
        }
        if !used.contains(name) && values.len() > 1 {
            let fault = Diagnostic::warning(
                Code::UnusedVariable,
                format!("`{name}` is not used in this stage, so its {} stages are the same", values.len()),
            )
            .help(format!("write `${{{name}}}` where they should differ"));
            faults.push((at.on_key(), fault));
        }
        if rounds.len() * values.len() > MOST {
            faults.push((
                at.on_key(),
                Diagnostic::error(Code::TooManyPoints, format!("the loop makes more than {MOST} stages")),
            ));
            return vec![];
        }
        let with = |round: &Vec<(String, Node)>, value: &Node| {
            round.iter().cloned().chain([(name.clone(), value.clone())]).collect::<Vec<_>>()
        };
        rounds = rounds.iter().flat_map(|round| values.iter().map(move |value| with(round, value))).collect();
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
