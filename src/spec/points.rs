//! The points of a sweep, and the stages' blocks at each.
//!
//! A block is read once for each set of values of the variables that it mentions, directly or through other
//! variables; points where those are the same share it. So a sweep of ten thousand points over the seed of
//! one stage reads that stage ten thousand times, and each other stage once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;
use std::sync::Arc;

use super::Block;
use super::fields::Faults;
use super::loops::Draft;
use super::vars::{self, Vars};
use super::yaml::{At, Node};
use crate::diag::{Code, Diagnostic};

/// One point of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// The swept variables' values as text, in the order of [`Spec::swept`](super::Spec::swept).
    pub values: Vec<String>,
    /// The stages.
    pub stages: Stages,
}

/// The stages of a point by name, in the order of their names. Points share names and blocks that are the same.
#[derive(Clone, Debug)]
pub struct Stages {
    /// In rising order.
    names: Arc<[String]>,
    blocks: Vec<Arc<Block>>,
}

impl Stages {
    /// How many.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The place of a stage among the others.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    /// The name and block of the stage at a place.
    pub fn at(&self, position: usize) -> (&str, &Arc<Block>) {
        (&self.names[position], &self.blocks[position])
    }

    /// A stage's block.
    pub fn get(&self, name: &str) -> Option<&Block> {
        self.position(name).map(|position| &*self.blocks[position])
    }

    /// A stage's block, with its name as it lives here.
    pub fn get_key_value(&self, name: &str) -> Option<(&String, &Block)> {
        self.position(name).map(|position| (&self.names[position], &*self.blocks[position]))
    }

    /// The names.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    /// The blocks.
    pub fn values(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().map(|block| &**block)
    }

    /// The names with their blocks.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Block)> {
        self.names.iter().zip(self.values())
    }
}

impl Default for Stages {
    fn default() -> Self {
        Self { names: Arc::new([]), blocks: vec![] }
    }
}

/// The names of the stages of all points.
pub(super) fn names(points: &[Point]) -> BTreeSet<&str> {
    let mut last: Option<&Arc<[String]>> = None;
    // Points share them.
    let new = points.iter().map(|point| &point.stages.names).filter(|names| {
        let is_new = last.is_none_or(|last| !Arc::ptr_eq(last, names));
        last = Some(names);
        is_new
    });
    new.flat_map(|names| names.iter().map(String::as_str)).collect()
}

impl<Q: AsRef<str> + ?Sized> Index<&Q> for Stages {
    type Output = Block;

    /// The block of a stage that is known to be there.
    fn index(&self, name: &Q) -> &Block {
        let position = self.position(name.as_ref());
        &self.blocks[position.unwrap_or_else(|| panic!("no stage `{}`", name.as_ref()))]
    }
}

/// What the points are made of.
pub(super) struct Sweep<'a> {
    /// Every variable as it stands; of a swept one, the value that the sweep replaces.
    pub(super) vars: &'a [(String, Node)],
    /// The swept variables.
    pub(super) swept: &'a [String],
    /// At each point, the values of the swept variables in their order.
    pub(super) points: &'a [Vec<Node>],
    /// Every stage as it stands.
    pub(super) stages: &'a [Draft],
}

/// Reads every stage at every point; what tells the points apart is for the caller to say. `read` reads one block; `at_point` is called with the variables of each
/// point, in order. The same fault at several points is reported once.
pub(super) fn read(
    sweep: &Sweep,
    faults: &mut Faults,
    mut read: impl FnMut(&Node, &At, &Vars, &mut Faults) -> Option<Block>,
    mut at_point: impl FnMut(&Vars, &mut Faults),
) -> Vec<Point> {
    let ids = value_ids(sweep);
    let mentions = Mentions::of(sweep, &ids);
    let mut values = Values::of(sweep, &mentions);
    let (names, positions) = in_order(sweep.stages);
    let depends: Vec<Vec<usize>> = sweep.stages.iter().map(|stage| mentions.swept(&stage.node)).collect();

    let broken = Arc::new(Block::Broken(None));
    let mut known: Vec<BTreeMap<Vec<usize>, Arc<Block>>> = vec![BTreeMap::new(); sweep.stages.len()];
    let mut points = vec![];
    let mut told = Told::default();
    told.keep_new(faults, 0);
    for (point, ids) in sweep.points.iter().zip(&ids) {
        let before = faults.len();
        values.move_to(sweep, point, faults);
        told.keep_new(faults, before);
        let mut blocks = vec![broken.clone(); sweep.stages.len()];
        for (index, Draft { node, at, .. }) in sweep.stages.iter().enumerate() {
            let key: Vec<usize> = depends[index].iter().map(|var| ids[*var]).collect();
            let block = known[index].entry(key).or_insert_with(|| {
                let before = faults.len();
                let block = read(node, at, &values.vars, faults);
                let is_sound = faults.len() == before;
                told.keep_new(faults, before);
                Arc::new(match block {
                    Some(block) if is_sound => block,
                    block => Block::Broken(block.map(Box::new)),
                })
            });
            blocks[positions[index]] = block.clone();
        }
        let before = faults.len();
        at_point(&values.vars, faults);
        told.keep_new(faults, before);
        if told.has_burst {
            break;
        }
        let stages = Stages { names: names.clone(), blocks };
        points.push(Point { values: vec![], stages });
    }
    points
}

/// The stages' names in rising order, and the place of each stage among them.
fn in_order(stages: &[Draft]) -> (Arc<[String]>, Vec<usize>) {
    let mut order: Vec<usize> = (0..stages.len()).collect();
    order.sort_by(|a, b| stages[*a].name.cmp(&stages[*b].name));
    let mut positions = vec![0; stages.len()];
    for (position, &index) in order.iter().enumerate() {
        positions[index] = position;
    }
    (order.iter().map(|index| stages[*index].name.clone()).collect(), positions)
}

/// For each point and swept variable a number: points have the same one where they have the same value.
fn value_ids(sweep: &Sweep) -> Vec<Vec<usize>> {
    let mut seen: Vec<BTreeMap<String, usize>> = vec![BTreeMap::new(); sweep.swept.len()];
    let id = |seen: &mut BTreeMap<String, usize>, value: &Node| {
        let next = seen.len();
        // Unlike its text, it tells `1` from `"1"`.
        *seen.entry(format!("{value:?}")).or_insert(next)
    };
    let of_point =
        |point: &Vec<Node>| seen.iter_mut().zip(point).map(|(seen, value)| id(seen, value)).collect();
    sweep.points.iter().map(of_point).collect()
}

/// The values of all variables at a point.
struct Values<'a> {
    vars: Vars,
    /// Those that differ between points, as they stand; of a swept one nothing.
    moving: Vec<(&'a str, Option<&'a Node>)>,
    /// Those that are the same at every point, as far as they cannot be and that is not told yet.
    failing: Vec<(&'a str, &'a Node)>,
}

impl<'a> Values<'a> {
    fn of(sweep: &Sweep<'a>, mentions: &Mentions) -> Self {
        let is_swept = |name: &str| sweep.swept.iter().any(|swept| swept == name);
        let own = sweep.vars.iter().filter(|(name, _)| !is_swept(name));
        let (fixed, others): (Vec<_>, Vec<_>) = own
            .map(|(name, node)| (name.as_str(), node))
            .partition(|(_, node)| mentions.swept(node).is_empty());
        let mut vars = Vars::new();
        // What is wrong is told at the first point, where all names are known that may have been meant.
        vars::extend(&mut vars, &fixed, &mut vec![]);
        let failing = fixed.into_iter().filter(|(name, _)| !vars.contains_key(*name)).collect();
        let swept = sweep.swept.iter().map(|name| (name.as_str(), None));
        let moving = others.into_iter().map(|(name, node)| (name, Some(node))).chain(swept).collect();
        Self { vars, moving, failing }
    }

    fn move_to(&mut self, sweep: &Sweep, point: &[Node], faults: &mut Faults) {
        for (name, _) in &self.moving {
            self.vars.remove(*name);
        }
        let first_swept = self.moving.len() - sweep.swept.len();
        let moving = self.moving.iter().enumerate().filter_map(|(index, (name, node))| {
            Some((*name, node.or_else(|| point.get(index - first_swept))?))
        });
        let raw: Vec<(&str, &Node)> = moving.chain(std::mem::take(&mut self.failing)).collect();
        let mut own_faults = vec![];
        vars::extend(&mut self.vars, &raw, &mut own_faults);
        report(own_faults, faults);
    }
}

/// Reports what is wrong with variables, each under its name.
fn report(found: Vec<(String, Diagnostic)>, faults: &mut Faults) {
    let vars = At::top().key("vars");
    faults.extend(found.into_iter().map(|(name, fault)| (vars.key(&name), fault)));
}

/// What each variable's value mentions.
struct Mentions<'a> {
    swept: &'a [String],
    /// By name; nothing where it may be any variable.
    of: BTreeMap<&'a str, Option<BTreeSet<String>>>,
}

impl<'a> Mentions<'a> {
    fn of(sweep: &Sweep<'a>, ids: &[Vec<usize>]) -> Self {
        let mut of: BTreeMap<&str, Option<BTreeSet<String>>> = BTreeMap::new();
        let mut add = |name: &'a str, node: &Node| {
            let known = of.entry(name).or_insert_with(|| Some(BTreeSet::new()));
            match (known.as_mut(), mentioned(node)) {
                (Some(known), Some(names)) => known.extend(names),
                _ => *known = None,
            }
        };
        for (name, node) in sweep.vars.iter().filter(|(name, _)| !sweep.swept.contains(name)) {
            add(name, node);
        }
        let mut seen = BTreeSet::new();
        for (point, ids) in sweep.points.iter().zip(ids) {
            for (var, node) in point.iter().enumerate().filter(|(var, _)| seen.insert((*var, ids[*var]))) {
                add(&sweep.swept[var], node);
            }
        }
        Self { swept: sweep.swept, of }
    }

    /// The swept variables that a node's value may depend on: their places in the sweep.
    fn swept(&self, node: &Node) -> Vec<usize> {
        let all = || (0..self.swept.len()).collect();
        let Some(names) = mentioned(node) else { return all() };
        let mut open: Vec<String> = names.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            match self.of.get(name.as_str()) {
                Some(None) => return all(),
                Some(Some(names)) => open.extend(names.iter().filter(|name| !seen.contains(*name)).cloned()),
                None => {}
            }
            seen.insert(name);
        }
        (0..self.swept.len()).filter(|var| seen.contains(&self.swept[*var])).collect()
    }
}

/// The variables in a node; nothing where it may be any.
fn mentioned(node: &Node) -> Option<BTreeSet<String>> {
    (!vars::may_mention_any(node)).then(|| vars::mentions(node).into_iter().collect())
}

/// The faults so far: the same one shows at every point, and there may be ten thousand.
#[derive(Default)]
struct Told {
    alike: BTreeMap<(At, String), Vec<Diagnostic>>,
    /// Whether variables have expanded to too much.
    has_burst: bool,
}

impl Told {
    /// Of the faults from a place on, leaves those that are not told yet.
    fn keep_new(&mut self, faults: &mut Faults, from: usize) {
        for (at, fault) in faults.split_off(from) {
            self.has_burst |= fault.code == Code::TooManyNodes;
            let alike = self.alike.entry((at.clone(), fault.message.clone())).or_default();
            if !alike.contains(&fault) {
                alike.push(fault.clone());
                faults.push((at, fault));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse_value;
    use super::*;

    fn map(text: &str) -> Vec<(String, Node)> {
        match parse_value(text) {
            Some(Node::Map(fields)) => fields,
            other => panic!("not a block: {other:?}"),
        }
    }

    /// The stages that are read, each with the text of its block, in order; and the points.
    fn reads(vars: &str, stages: &str, swept: &[&str], points: &[&[&str]]) -> (Vec<String>, Vec<Point>) {
        let vars = map(vars);
        let at = |name: &str| At::top().key("stages").key(name);
        let stages = map(stages).into_iter().map(|(name, node)| Draft { at: at(&name), name, node });
        let stages: Vec<Draft> = stages.collect();
        let swept: Vec<String> = swept.iter().map(|name| (*name).to_owned()).collect();
        let value = |text: &&str| parse_value(text).expect("a value");
        let points: Vec<Vec<Node>> = points.iter().map(|point| point.iter().map(value).collect()).collect();
        let sweep = Sweep { vars: &vars, swept: &swept, points: &points, stages: &stages };
        let mut read_blocks = vec![];
        let mut faults = vec![];
        let points = read(
            &sweep,
            &mut faults,
            |node, at, vars, _| {
                let text = vars::substitute(node, vars).expect("sound").brief();
                read_blocks.push(format!("{}={text}", at.last_key()));
                None
            },
            |_, _| {},
        );
        assert!(faults.is_empty(), "{faults:?}");
        (read_blocks, points)
    }

    #[test]
    fn a_block_is_read_only_where_what_it_mentions_differs() {
        let seeds: Vec<String> = (0..100).map(|seed| seed.to_string()).collect();
        let points: Vec<[&str; 1]> = seeds.iter().map(|seed| [seed.as_str()]).collect();
        let points: Vec<&[&str]> = points.iter().map(|point| &point[..]).collect();
        let stages: Vec<String> = (0..99).map(|stage| format!("s{stage}: 'x${{name}}'")).collect();
        let stages = format!("{{first: '${{seed}}', {}}}", stages.join(", "));
        let (read_blocks, points) = reads("{seed: 0, name: n}", &stages, &["seed"], &points);
        assert_eq!(read_blocks.len(), 100 + 99);
        assert_eq!(points.len(), 100);
        assert_eq!(points[0].stages.len(), 100);
    }

    #[test]
    fn what_a_block_mentions_through_others_counts() {
        let vars = "{a: 0, b: 0, through: 'v${a}', m: {'1': x, '2': y}, one: a, tricky: '$${b}'}";
        for (block, count) in [
            ("plain", 1),
            ("${a}", 2),
            ("${b}", 2),
            ("${through}", 2),
            ("${a}${b}", 4),
            ("${m.${a}}", 2),
            ("${m.1}", 1),
            // The name is known only when it is built; and what is not a variable yet may be read as one later.
            ("${${one}}", 4),
            ("$${a}", 4),
            ("${tricky}", 4),
        ] {
            let points: [&[&str]; 5] = [&["1", "1"], &["1", "2"], &["2", "1"], &["2", "2"], &["1", "1"]];
            let (read_blocks, _) = reads(vars, &format!("{{s: '{block}'}}"), &["a", "b"], &points);
            assert_eq!(read_blocks.len(), count, "{block}: {read_blocks:?}");
        }
        let (read_blocks, _) =
            reads("{a: 0, b: 0}", "{s: '${a}'}", &["a", "b"], &[&["'${b}'", "1"], &["x", "2"]]);
        assert_eq!(read_blocks, ["s=1", "s=x"], "a value of the sweep may mention a variable");
        let (read_blocks, _) = reads("{a: 0}", "{s: '${a}'}", &["a"], &[&["1"], &["'1'"]]);
        assert_eq!(read_blocks.len(), 2, "a number is not its text");
    }

    #[test]
    fn points_share_what_is_the_same() {
        let (_, points) = reads("{a: 0}", "{z: '${a}', b: x}", &["a"], &[&["1"], &["2"]]);
        let names: Vec<&String> = points[1].stages.keys().collect();
        assert_eq!(names, ["b", "z"]);
        let block = |point: usize, name: &str| {
            let stages = &points[point].stages;
            Arc::as_ptr(stages.at(stages.position(name).expect("a stage")).1)
        };
        assert_eq!(block(0, "b"), block(1, "b"));
        assert!(points[0].stages.get("c").is_none());
    }
}
