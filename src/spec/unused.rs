//! Variables that nothing uses: what is set there changes nothing, which is seldom what was meant.

use std::collections::{BTreeMap, BTreeSet};

use super::origin::Origins;
use super::profile::Layer;
use super::sweep;
use super::vars;
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic};

/// A warning for each variable of the pipeline's own file that is never used, or only by such ones. What an
/// included file says may be for another pipeline. A use counts in every profile, and in what `sets` on the command line.
pub(super) fn warnings(top: &Node, layers: &[Layer], sets: &[Node], origins: &Origins) -> Vec<Diagnostic> {
    let Some(Node::Map(defined)) = top.get("vars") else { return vec![] };
    let layered = |block: &'static str| layers.iter().filter_map(move |layer| layer.node.get(block));
    let roots = ["stages", "sweep", "report", "targets"].into_iter().filter_map(|block| top.get(block));
    let roots = roots.chain(layered("stages")).chain(layered("sweep")).chain(sets);

    let names: Vec<&str> = defined.iter().map(|(name, _)| name.as_str()).collect();
    let mut uses: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let overlaid = layered("vars").filter_map(|vars| match vars {
        Node::Map(fields) => Some(fields),
        _ => None,
    });
    for (name, node) in defined.iter().chain(overlaid.flatten()) {
        uses.entry(name).or_default().extend(used(node, &names));
    }
    let mut open: Vec<String> = roots.flat_map(|node| used(node, &names)).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = open.pop() {
        if reached.insert(name.clone()) {
            open.extend(uses.get(name.as_str()).into_iter().flatten().cloned());
        }
    }

    let swept = match top.get("sweep") {
        Some(Node::Map(block)) => sweep::assigned(block, &At::top().key("sweep")),
        _ => vec![],
    };
    // What the points of a sweep are called needs no use: they set other variables.
    let named = top.get("sweep").map(sweep::names).unwrap_or_default();
    reached.extend(named.into_iter().filter(|name| !swept.iter().any(|(swept, _)| swept == name)));
    let mut warnings = vec![];
    for name in names.into_iter().filter(|name| !reached.contains(*name)) {
        let at = At::top().key("vars").key(name);
        if origins.file(&at) != Some(0) {
            continue;
        }
        let (at, warning) = match swept.iter().find(|(swept, _)| swept == name) {
            Some((_, at)) => {
                let warning = Diagnostic::warning(
                    Code::UnusedVariable,
                    format!("`{name}` is swept over and never used: it changes nothing"),
                );
                (at, warning.note("points that differ in it alone are the same"))
            }
            None => {
                (&at, Diagnostic::warning(Code::UnusedVariable, format!("variable `{name}` is never used")))
            }
        };
        let help = format!("write `${{{name}}}` where its value is meant, or delete it");
        warnings.push(origins.diagnose(&at.on_key(), warning.help(help)));
    }
    warnings
}

/// The variables that a node uses. Of a name that is built from others, every variable counts that it may be.
fn used(node: &Node, names: &[&str]) -> Vec<String> {
    let mut used = vars::mentions(node);
    for (start, end) in vars::built(node) {
        let may_be = |name: &&&str| {
            name.len() >= start.len() + end.len() && name.starts_with(&start) && name.ends_with(&end)
        };
        used.extend(names.iter().filter(may_be).map(|name| (*name).to_owned()));
    }
    used
}
