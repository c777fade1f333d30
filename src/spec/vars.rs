//! Variables: `${name}` in any value, replaced by what the name stands for.
//!
//! A value that is nothing but `${name}` becomes the variable's own value, whatever its type; inside a
//! longer text the variable must be a scalar. A name may be built from variables: `${metrics.${task}}`.
//! `$${` stands for a plain `${`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Deref, DerefMut};

use super::yaml::{Node, shortened};
use crate::diag::{Code, Diagnostic, list};

/// The most that variables, or the points of a sweep, may make of a pipeline, in bytes as [`size`] counts them: a short text can double itself
/// with each variable that names another twice.
pub(super) const MOST: usize = 64 << 20;
/// What a replacement may come to without being counted.
const SMALL: usize = 256;

/// Names and their values, every `${…}` in them replaced already.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars {
    values: BTreeMap<String, Node>,
    /// How much has been made of them.
    made: Cell<usize>,
}

impl Vars {
    /// None.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Counts a replacement of so many bytes; fails where it would be too much.
    fn make(&self, bytes: usize, text: &str) -> Result<(), Box<Diagnostic>> {
        self.made.set(self.made.get().saturating_add(bytes.saturating_sub(SMALL)));
        if self.made.get() <= MOST {
            return Ok(());
        }
        let fault = Diagnostic::error(
            Code::TooManyNodes,
            format!("`{}` expands to too much: variables have made {} MiB", shortened(text), MOST >> 20),
        );
        Err(Box::new(fault.help("name fewer large values, and those less often")))
    }
}

impl Deref for Vars {
    type Target = BTreeMap<String, Node>;

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

impl DerefMut for Vars {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.values
    }
}

/// About how much memory a value takes, in bytes; counted no further than `most`.
pub(super) fn size(node: &Node, most: usize) -> usize {
    let mut sum = 64;
    match node {
        Node::Text(text) => sum += text.len(),
        Node::List(items) => {
            for item in items {
                if sum > most {
                    break;
                }
                sum += size(item, most - sum);
            }
        }
        Node::Map(fields) => {
            for (name, value) in fields {
                if sum > most {
                    break;
                }
                sum += name.len() + size(value, most - sum);
            }
        }
        Node::Null | Node::Bool(_) | Node::Int(_) | Node::Float(_) => {}
    }
    sum
}

/// Replaces the variables in each other's values. A variable that cannot be is left out and reported
/// under its name.
pub(super) fn resolve(raw: &[(String, Node)], faults: &mut Vec<(String, Diagnostic)>) -> Vars {
    let mut vars = Vars::new();
    let raw: Vec<(&str, &Node)> = raw.iter().map(|(name, node)| (name.as_str(), node)).collect();
    extend(&mut vars, &raw, faults);
    vars
}

/// [`resolve`] of more variables, which may use those that are there.
pub(super) fn extend(vars: &mut Vars, raw: &[(&str, &Node)], faults: &mut Vec<(String, Diagnostic)>) {
    let places: BTreeMap<&str, usize> =
        raw.iter().enumerate().map(|(place, (name, _))| (*name, place)).collect();
    let needs = |(_, node): &(&str, &Node)| {
        mentions(node).iter().filter_map(|name| places.get(name.as_str()).copied()).collect()
    };
    let needs: Vec<Vec<usize>> = raw.iter().map(needs).collect();
    let mut users = vec![vec![]; raw.len()];
    for (user, needs) in needs.iter().enumerate() {
        for need in needs {
            users[*need].push(user);
        }
    }
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut ready: VecDeque<usize> = (0..raw.len()).filter(|var| missing[*var] == 0).collect();
    while let Some(var) = ready.pop_front() {
        let (name, node) = raw[var];
        match substitute(node, vars) {
            Ok(value) => {
                vars.insert(name.to_owned(), value);
            }
            Err(fault) => faults.push((name.to_owned(), *fault)),
        }
        for &user in &users[var] {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push_back(user);
            }
        }
    }
    // A waiting variable has one to wait for.
    let next = |var: usize| needs[var].iter().copied().find(|need| missing[*need] > 0).unwrap_or(var);
    let waiting: Vec<usize> = (0..raw.len()).filter(|var| missing[*var] > 0).collect();
    for circle in circles(&waiting, next) {
        let names: Vec<&str> = circle.iter().map(|var| raw[*var].0).collect();
        let fault = format!("these variables need each other: {}", names.join(" → "));
        let fault = Diagnostic::error(Code::CircularVariables, fault)
            .about(names[1])
            .help("give one of them a value of its own");
        faults.push((names[0].to_owned(), fault));
    }
}

/// The circles among variables that each wait for the `next`, each once, from its first variable to that again. One that
/// only leads into a circle is sound once that is broken up.
fn circles(waiting: &[usize], next: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut found = vec![];
    let mut seen = BTreeSet::new();
    for &start in waiting {
        let mut path = vec![];
        let mut var = start;
        while seen.insert(var) {
            path.push(var);
            var = next(var);
        }
        if let Some(first) = path.iter().position(|known| *known == var) {
            found.push([&path[first..], &[var]].concat());
        }
    }
    found
}

/// A scalar's text with its variables replaced; other nodes are returned as they are. Blocks and lists
/// are walked by whoever reads them, so that a fault has a place of its own.
pub(super) fn scalar(text: &str, vars: &Vars) -> Result<Node, Box<Diagnostic>> {
    let parts = split(text)?;
    if let [Part::Var(name)] = parts.as_slice() {
        let value = lookup(name, vars)?;
        vars.make(size(value, MOST), text)?;
        return Ok(value.clone());
    }
    let mut whole = String::new();
    for part in parts {
        match part {
            Part::Text(text) => whole.push_str(&text),
            Part::Var(name) => match lookup(&name, vars)? {
                node @ (Node::List(_) | Node::Map(_) | Node::Null) => {
                    let fault =
                        format!("variable `{name}` is {}, which has no place inside a text", node.what());
                    let help = format!("write `${{{name}}}` alone, or choose a text or number for `{name}`");
                    return Err(Box::new(
                        Diagnostic::error(Code::BlockInText, fault).about(&name).help(help),
                    ));
                }
                node => {
                    let value = node.brief();
                    vars.make(value.len(), text)?;
                    whole.push_str(&value);
                }
            },
        }
    }
    Ok(Node::Text(whole))
}

/// A node with every variable in it replaced.
pub(super) fn substitute(node: &Node, vars: &Vars) -> Result<Node, Box<Diagnostic>> {
    match node {
        Node::Text(text) if text.contains('$') => scalar(text, vars),
        Node::List(items) => {
            Ok(Node::List(items.iter().map(|item| substitute(item, vars)).collect::<Result<_, _>>()?))
        }
        Node::Map(fields) => Ok(Node::Map(
            fields
                .iter()
                .map(|(k, v)| substitute(v, vars).map(|v| (k.clone(), v)))
                .collect::<Result<_, _>>()?,
        )),
        other => Ok(other.clone()),
    }
}

/// A node with some variables replaced by scalars, also where a name is built from them; what else is there
/// stays as it stands.
pub(super) fn bind(node: &Node, values: &[(String, Node)]) -> Node {
    match node {
        Node::Text(text) if text.contains('$') => {
            // What cannot be split is told where the text is read.
            let Ok(parts) = split(text) else { return node.clone() };
            let value = |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            if let [Part::Var(name)] = parts.as_slice()
                && let Some(value) = value(name)
            {
                return value.clone();
            }
            let bound = parts.into_iter().map(|part| match part {
                Part::Text(text) => text.replace("${", "$${"),
                Part::Var(name) => match value(&name) {
                    Some(value) => value.brief(),
                    None if name.contains("${") => {
                        format!("${{{}}}", bind(&Node::Text(name), values).brief())
                    }
                    None => format!("${{{name}}}"),
                },
            });
            Node::Text(bound.collect())
        }
        Node::List(items) => Node::List(items.iter().map(|item| bind(item, values)).collect()),
        Node::Map(fields) => {
            Node::Map(fields.iter().map(|(name, value)| (name.clone(), bind(value, values))).collect())
        }
        other => other.clone(),
    }
}

/// The names of the variables in a node. One that begins with another variable is not known here.
pub(super) fn mentions(node: &Node) -> Vec<String> {
    let firsts = written(node).into_iter().map(|name| name.split('.').next().unwrap_or_default().to_owned());
    firsts.filter(|first| !first.contains('$')).collect()
}

/// The variable that is a text's first folder, or all of it.
pub(super) fn leading(text: &str) -> Option<String> {
    let parts = split(text).ok()?;
    let name = match parts.as_slice() {
        [Part::Var(name)] => name,
        [Part::Var(name), Part::Text(rest), ..] if rest.starts_with('/') => name,
        _ => return None,
    };
    name.split('.').next().filter(|first| !first.contains('$')).map(str::to_owned)
}

/// A field of a variable that a node names: `x` where it has `${name.x}`.
pub(super) fn field_of(node: &Node, name: &str) -> Option<String> {
    let field = |written: String| written.strip_prefix(name)?.strip_prefix('.').map(str::to_owned);
    written(node).into_iter().find_map(field)
}

/// What variables' names begin and end with, where they are built from other variables: `${${method}_lr}`.
pub(super) fn built(node: &Node) -> Vec<(String, String)> {
    let ends = |name: String| {
        let (before, _) = name.split_once("${")?;
        let (_, after) = name.rsplit_once('}')?;
        let is_first = !before.contains('.');
        is_first.then(|| (before.to_owned(), after.split('.').next().unwrap_or_default().to_owned()))
    };
    written(node).into_iter().filter_map(ends).collect()
}

/// What stands between `${` and `}` in a node, also inside such names themselves.
fn written(node: &Node) -> Vec<String> {
    match node {
        Node::Text(text) if text.contains('$') => split(text)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|part| match part {
                Part::Var(name) => Some(name),
                Part::Text(_) => None,
            })
            .flat_map(|name| written(&Node::Text(name.clone())).into_iter().chain([name]))
            .collect(),
        Node::List(items) => items.iter().flat_map(written).collect(),
        Node::Map(fields) => fields.iter().flat_map(|(_, value)| written(value)).collect(),
        _ => vec![],
    }
}

/// Whether a node's value may depend on variables that [`mentions`] does not tell: through a name that begins
/// with a variable, or through a `$${`, since what is replaced once may be read again.
pub(super) fn may_mention_any(node: &Node) -> bool {
    match node {
        Node::Text(text) => {
            text.contains("$${")
                || split(text).unwrap_or_default().iter().any(|part| match part {
                    Part::Var(name) if name.contains('$') => {
                        name.split('.').next().is_some_and(|first| first.contains('$'))
                            || may_mention_any(&Node::Text(name.clone()))
                    }
                    _ => false,
                })
        }
        Node::List(items) => items.iter().any(may_mention_any),
        Node::Map(fields) => fields.iter().any(|(_, value)| may_mention_any(value)),
        _ => false,
    }
}

enum Part {
    Text(String),
    Var(String),
}

fn split(text: &str) -> Result<Vec<Part>, Box<Diagnostic>> {
    let mut parts = vec![];
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            plain.push_str(&rest[..at - 1]);
            plain.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        let Some(end) = close(&rest[at..]) else {
            let fault = format!("`${{` without its `}}` in `{}`", shortened(text));
            let fault = Diagnostic::error(Code::MalformedVariable, fault).about(&rest[at..]);
            return Err(Box::new(fault.help("close it, or write `$${` for a plain `${`")));
        };
        let name = rest[at + 2..at + end].trim();
        if name.is_empty() {
            let fault = format!("`${{}}` names no variable in `{}`", shortened(text));
            let fault = Diagnostic::error(Code::MalformedVariable, fault);
            return Err(Box::new(fault.help("name one, or write `$${` for a plain `${`")));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Var(name.to_owned()));
        rest = &rest[at + end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// Where the `}` of the `${` at the start of a text is.
fn close(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// `name`, or `name.field` of a variable that is a block; each may be built from variables.
fn lookup<'a>(name: &str, vars: &'a Vars) -> Result<&'a Node, Box<Diagnostic>> {
    if name.contains("${") {
        let built = scalar(name, vars)?.brief();
        // A value may not bring variables of its own: it could name itself for ever.
        if !built.contains("${") {
            return lookup(&built, vars);
        }
    }
    let mut steps = name.split('.');
    let first = steps.next().unwrap_or_default();
    let Some(mut node) = vars.get(first) else {
        let fault = Diagnostic::error(Code::UnknownVariable, format!("unknown variable `{first}`"));
        let add = || format!("add `{first}` under `vars`");
        return Err(Box::new(fault.meant(first, vars.keys().map(String::as_str), add)));
    };
    let mut path = first.to_owned();
    for step in steps {
        let item = match node {
            Node::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            other => other.get(step),
        };
        node = item.ok_or_else(|| {
            let fault = format!("variable `{path}` has no field `{step}`");
            let fault = Diagnostic::error(Code::UnknownVariableField, fault);
            Box::new(match node {
                Node::Map(fields) => {
                    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                    fault.meant(step, names.iter().copied(), || format!("its fields are {}", list(&names)))
                }
                Node::List(items) => fault.note(format!("it is a list of {}, counted from 0", items.len())),
                other => fault.note(format!("it is {}", other.what())),
            })
        })?;
        path = format!("{path}.{step}");
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse_value;
    use super::*;

    fn vars(text: &str) -> (Vars, Vec<String>) {
        let Some(Node::Map(fields)) = parse_value(text) else { panic!("not a block: {text}") };
        let mut faults = vec![];
        let vars = resolve(&fields, &mut faults);
        (vars, faults.into_iter().map(|(_, fault)| fault.message).collect())
    }

    #[test]
    fn a_whole_value_keeps_its_type_and_a_part_becomes_text() {
        let (vars, faults) = vars("{n: 3, l: [1, a], t: x, k: k, m: {k: 0.5}}");
        assert_eq!(faults, Vec::<String>::new());
        let cases = [
            ("${n}", Node::Int(3)),
            ("${ l }", Node::List(vec![Node::Int(1), Node::Text("a".into())])),
            ("${m.k}", Node::Float(0.5)),
            ("a/${t}-${n}.b", Node::Text("a/x-3.b".into())),
            ("$${n}", Node::Text("${n}".into())),
            ("costs $5", Node::Text("costs $5".into())),
            ("${m.${k}}", Node::Float(0.5)),
            ("at ${m.${k}}%", Node::Text("at 0.5%".into())),
        ];
        for (text, node) in cases {
            assert_eq!(scalar(text, &vars).expect(text), node, "{text}");
        }
    }

    #[test]
    fn faults_say_the_way_out() {
        let (vars, _) = vars("{task: 3, l: [1]}");
        let fault = |text: &str| scalar(text, &vars).expect_err(text);
        assert_eq!(fault("${tsk}").help.as_deref(), Some("did you mean `task`?"));
        assert!(fault("${zebra}").help.expect("help").contains("add `zebra`"));
        assert!(fault("x${l}").message.contains("a list"));
        assert!(fault("${task").message.contains("without its"));
        assert!(fault("${task${x}").message.contains("without its"));
        assert_eq!(fault("${tsk.${task}}").help.as_deref(), Some("did you mean `task`?"));
        assert!(fault("${}").message.contains("names no variable"));
    }

    #[test]
    fn variables_may_use_each_other_but_not_themselves() {
        let (vars, faults) = vars(
            "{a: '${b}/x', b: '${c}', c: 1, d: '${e}', e: '${d}', f: '${f}',
              g: '${h.${i}}', h: {'1': '${c}'}, i: '${c}', j: '${h.${j}}'}",
        );
        assert_eq!(vars["a"], Node::Text("1/x".into()));
        assert_eq!(vars["g"], Node::Int(1));
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert_eq!(faults[0], "these variables need each other: d → e → d");
    }
}
