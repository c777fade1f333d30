//! From the `sweep` block to its axes and exclusions, each fault at its place.

use super::super::fields::Faults;
use super::super::values::{self, Constants, Seen};
use super::super::yaml::{At, Node, items};
use super::{Axis, Exclusion, Over};
use crate::diag::{Code, Diagnostic, list};

/// What the names of a sweep's points are called where only `points` is said.
const POINT: &str = "point";

/// One field of a `sweep` block.
enum Field<'a> {
    /// A variable and its values.
    Values(&'a str, &'a Node, At),
    /// Variables that move together.
    Zip(&'a Node, At),
    /// Named settings, and what the names are called.
    Points(&'a str, &'a Node, At),
    /// What to leave out.
    Exclude(&'a Node, At),
}

/// The fields of a `sweep` block in order; a zip is as many as it has blocks.
fn fields<'a>(block: &'a [(String, Node)], at: &At) -> Vec<Field<'a>> {
    let mut found = vec![];
    for (name, node) in block {
        let at = at.key(name);
        match (name.as_str(), node) {
            // A profile says so that a variable is not swept over.
            (_, Node::Null) => {}
            ("exclude", _) => found.extend(items(node, &at).map(|(node, at)| Field::Exclude(node, at))),
            ("zip", _) => found.extend(items(node, &at).map(|(node, at)| Field::Zip(node, at))),
            ("points", _) => found.push(Field::Points(POINT, node, at)),
            (name, node) => match node.get("points") {
                Some(points) => found.push(Field::Points(name, points, at.key("points"))),
                None => found.push(Field::Values(name, node, at)),
            },
        }
    }
    found
}

/// The variables that a `sweep` block sets, and where each is named.
pub(in super::super) fn assigned(block: &[(String, Node)], at: &At) -> Vec<(String, At)> {
    let keys = |node: &Node, at: &At| match node {
        Node::Map(fields) => fields.iter().map(|(name, _)| (name.clone(), at.key(name))).collect(),
        _ => vec![],
    };
    let mut found = vec![];
    for field in fields(block, at) {
        match field {
            Field::Values(name, _, at) => found.push((name.to_owned(), at)),
            Field::Zip(node, at) => found.extend(keys(node, &at)),
            Field::Points(_, Node::Map(points), at) => {
                found.extend(points.iter().flat_map(|(point, node)| keys(node, &at.key(point))));
            }
            Field::Points(..) | Field::Exclude(..) => {}
        }
    }
    found
}

/// Every name that varies over a `sweep`: the variables that it sets, and what its points are called.
pub(in super::super) fn names(node: &Node) -> Vec<String> {
    let Node::Map(block) = node else { return vec![] };
    let at = At::top();
    let axes = fields(block, &at).into_iter().filter_map(|field| match field {
        Field::Points(name, ..) => Some(name.to_owned()),
        _ => None,
    });
    axes.chain(assigned(block, &at).into_iter().map(|(name, _)| name)).collect()
}

/// Whether points of a `sweep` are called so, and no variable that it sets.
pub(in super::super) fn is_points(node: &Node, name: &str) -> bool {
    let Node::Map(block) = node else { return false };
    let is_assigned = assigned(block, &At::top()).iter().any(|(assigned, _)| assigned == name);
    !is_assigned && names(node).iter().any(|varied| varied == name)
}

/// Reads the block.
pub(super) fn axes(
    node: &Node,
    at: &At,
    vars: &[(String, Node)],
    constants: &Constants,
    over: Over,
    faults: &mut Faults,
) -> (Vec<Axis>, Vec<Exclusion>) {
    let block = match node {
        Node::Map(block) => block,
        Node::Null => return (vec![], vec![]),
        other => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`sweep` is a block of variables, not {}", other.what()),
            )
            .help("write `sweep: {seed: [0, 1, 2]}`");
            faults.push((at.clone(), fault));
            return (vec![], vec![]);
        }
    };
    for (name, node) in block {
        let Node::Map(inner) = node else { continue };
        let beside = inner.iter().filter(|(key, _)| key != "points" && node.get("points").is_some());
        for (key, _) in beside {
            let fault =
                Diagnostic::error(Code::UnknownField, format!("unknown field `{key}` beside `points`"))
                    .meant(key, ["points"], || "its fields are `points`".to_owned());
            faults.push((at.key(name).key(key).on_key(), fault));
        }
    }
    let mut reader = Reader { vars, constants, over, taken: vec![], faults };
    let (mut axes, mut exclusions) = (vec![], vec![]);
    let all = names(node);
    for field in fields(block, at) {
        match field {
            Field::Values(name, node, at) => axes.extend(reader.values(name, node, &at)),
            Field::Zip(node, at) => axes.extend(reader.zip(node, &at)),
            Field::Points(name, node, at) => axes.extend(reader.points(name, node, &at)),
            Field::Exclude(node, at) => exclusions.extend(reader.exclusion(node, &at, &all)),
        }
    }
    (axes, exclusions)
}

struct Reader<'a> {
    vars: &'a [(String, Node)],
    constants: &'a Constants,
    over: Over,
    /// The names that an axis has taken.
    taken: Vec<String>,
    faults: &'a mut Faults,
}

impl Reader<'_> {
    fn fault(&mut self, at: At, fault: Diagnostic) {
        self.faults.push((at, fault));
    }

    /// Whether a variable is there to be swept over, or may be one of a loop; `at` is its value's.
    fn is_known(&mut self, name: &str, at: &At) -> bool {
        let known: Vec<&str> = self.vars.iter().map(|(name, _)| name.as_str()).collect();
        if self.over == Over::Stages {
            if !known.contains(&name) {
                return true;
            }
            let fault =
                Diagnostic::error(Code::LoopVariable, format!("`{name}` is a variable of the pipeline too"))
                    .note("inside the stage, `${…}` could mean either")
                    .help("give the loop's variable a name of its own");
            self.fault(at.on_key(), fault);
            return false;
        }
        if known.contains(&name) {
            return true;
        }
        let fault = Diagnostic::error(Code::UnknownVariable, format!("unknown variable `{name}`"));
        let all = || format!("a sweep varies the pipeline's `vars`, which are {}", list(&known));
        self.fault(at.on_key(), fault.meant(name, known.iter().copied(), all));
        false
    }

    /// Whether a name is free for an axis of its own.
    fn takes(&mut self, name: &str, at: &At) -> bool {
        if self.taken.iter().any(|taken| taken == name) {
            let fault = format!("two parts of the {} set `{name}`", self.over.whole());
            let fault = Diagnostic::error(Code::SweptTwice, fault)
                .help("let one axis set it: its values, a `zip`, or the `points`");
            self.fault(at.on_key(), fault);
            return false;
        }
        self.taken.push(name.to_owned());
        true
    }

    fn values(&mut self, name: &str, node: &Node, at: &At) -> Option<Axis> {
        if !self.is_known(name, at) || !self.takes(name, at) {
            return None;
        }
        let whose = format!("`{name}`");
        let is_loop = self.over == Over::Stages;
        let values = values::read(&whose, node, at, self.constants, is_loop, self.faults)?;
        if is_loop {
            // By what they are called: `1` and `"1"` make one name.
            let names: Vec<Node> = values.iter().map(|value| Node::Text(value.brief())).collect();
            values::each_once(&whose, &names, at, self.faults);
        } else {
            values::each_once(&whose, &values, at, self.faults);
        }
        let rows = values.into_iter().map(|value| vec![(name.to_owned(), value)]).collect();
        Some(Axis { columns: vec![name.to_owned()], rows })
    }

    fn zip(&mut self, node: &Node, at: &At) -> Option<Axis> {
        let Node::Map(block) = node else {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("a `zip` is a block of variables, not {}", node.what()),
            )
            .help("write `zip: {encoder: [a, b], lr: [1e-4, 2e-4]}`, or a list of such blocks");
            self.fault(at.clone(), fault);
            return None;
        };
        let mut columns: Vec<(String, Vec<Node>)> = vec![];
        let mut sound = true;
        for (name, node) in block {
            let at = at.key(name);
            if !self.is_known(name, &at) || !self.takes(name, &at) {
                sound = false;
                continue;
            }
            // A value may stand twice: what differs is what moves with it.
            let values = values::read(&format!("`{name}`"), node, &at, self.constants, false, self.faults);
            let Some(values) = values else {
                sound = false;
                continue;
            };
            if let Some((first, others)) = columns.first()
                && others.len() != values.len()
            {
                let fault = Diagnostic::error(
                    Code::UnevenZip,
                    format!(
                        "`{name}` has {} values and `{first}` has {}, and they move together",
                        values.len(),
                        others.len()
                    ),
                )
                .help("give each variable of a `zip` as many values");
                self.fault(at, fault);
                sound = false;
                continue;
            }
            columns.push((name.clone(), values));
        }
        let (_, first) = columns.first().filter(|_| sound)?;
        let row = |i: usize| columns.iter().map(|(name, values)| (name.clone(), values[i].clone())).collect();
        let rows: Vec<Vec<(String, Node)>> = (0..first.len()).map(row).collect();
        let mut seen = Seen::default();
        if let Some(i) = rows.iter().position(|row| !seen.is_new(row)) {
            let values: Vec<String> =
                rows[i].iter().map(|(name, value)| format!("{name}={}", value.brief())).collect();
            let fault = Diagnostic::error(
                Code::RepeatedValue,
                format!("`{}` stands twice in the `zip`", values.join(", ")),
            );
            self.fault(at.key(&rows[i][0].0).index(i), fault);
        }
        Some(Axis { columns: columns.into_iter().map(|(name, _)| name).collect(), rows })
    }

    fn points(&mut self, axis: &str, node: &Node, at: &At) -> Option<Axis> {
        let help = "write `points: {small: {lr: 1e-4, batch: 8}, large: {lr: 5e-5, batch: 64}}`";
        let points = match node {
            Node::Map(points) if !points.is_empty() => points,
            other => {
                let what = if matches!(other, Node::Map(_)) { "nothing".to_owned() } else { other.what() };
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("`points` are names, each over a block of variables, not {what}"),
                );
                self.fault(at.clone(), fault.help(help));
                return None;
            }
        };
        let mut sound = self.takes(axis, at);
        let mut rows = vec![];
        let mut set: Vec<String> = vec![];
        for (point, node) in points {
            let at = at.key(point);
            let settings = match node {
                Node::Map(settings) => settings.as_slice(),
                Node::Null => &[],
                other => {
                    let fault = Diagnostic::error(
                        Code::WrongType,
                        format!("a point is a block of variables, not {}", other.what()),
                    );
                    self.fault(at, fault.help(help));
                    sound = false;
                    continue;
                }
            };
            for (name, _) in settings {
                let at = at.key(name);
                sound &= self.is_known(name, &at);
                // Each point sets it anew; another axis may not.
                if !set.contains(name) {
                    sound &= self.takes(name, &at);
                    set.push(name.clone());
                }
            }
            let name = (axis.to_owned(), Node::Text(point.clone()));
            rows.push(std::iter::once(name).chain(settings.iter().cloned()).collect());
        }
        sound.then(|| Axis { columns: vec![axis.to_owned()], rows })
    }

    fn exclusion(&mut self, node: &Node, at: &At, all: &[String]) -> Option<Exclusion> {
        let block = match node {
            Node::Map(block) if !block.is_empty() => block,
            other => {
                let what =
                    if matches!(other, Node::Map(_)) { "an empty one".to_owned() } else { other.what() };
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("an exclusion is a block of variables, not {what}"),
                )
                .help("write `exclude: [{task: a, encoder: b}]`");
                self.fault(at.clone(), fault);
                return None;
            }
        };
        let mut found = vec![];
        for (name, wanted) in block {
            let at = at.key(name);
            if !all.contains(name) {
                let known: Vec<&str> = all.iter().map(String::as_str).collect();
                let fault = Diagnostic::error(
                    Code::NotSwept,
                    format!("the {} has no variable `{name}`", self.over.whole()),
                );
                let all = || format!("it goes over {}", list(&known));
                self.fault(at.on_key(), fault.meant(name, known.iter().copied(), all));
                continue;
            }
            let wanted = self.constants.replace(wanted, "an exclusion", &at, self.faults)?;
            found.push((name.clone(), wanted));
        }
        (found.len() == block.len()).then(|| Exclusion { fields: found, at: at.clone() })
    }
}
