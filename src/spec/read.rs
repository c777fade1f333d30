//! From a pipeline's text to its spec: what is laid over it, its sweep, its loops, its stages at each point.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use super::fields::{Faults, Fields, block};
use super::origin::Origins;
use super::sweep::{self, Sweep};
use super::values::Constants;
use super::yaml::{At, Node, Text};
use super::{
    Overrides, Spec, command, digests, globs, include, kinds, loops, points, profile, report, set, unused,
};
use crate::diag::{Code, Diagnostic, Severity};

/// The version of the pipeline language.
pub(super) const FORMAT: i64 = 1;
/// The most stages, counted at each point of the sweep: plans of so many take seconds and a gigabyte.
pub(super) const MOST_STAGES: usize = 200_000;

/// What the command line and the profiles changed.
struct Changed {
    /// What `--set` set.
    sets: Vec<At>,
    /// The variables that profiles give a value in place of those swept over.
    held: Vec<String>,
    /// The profiles.
    profiles: Vec<String>,
}

impl Changed {
    /// Whether a variable of the sweep has been given one value: `--set seed=3` chooses one point of a sweep
    /// over `seed`.
    fn holds(&self, var: &str) -> bool {
        self.sets.contains(&At::top().key("vars").key(var)) || self.held.iter().any(|held| held == var)
    }

    /// Whether the command line changes what is swept over a variable.
    fn fixes(&self, var: &str) -> bool {
        let sweep = At::top().key("sweep");
        let is_block =
            |at: &At| ["zip", "points", "exclude"].iter().any(|block| at.within(&sweep.key(block)));
        let changes =
            |at: &At| at.within(&sweep.key(var)) || is_block(at) || *at == At::top().key("vars").key(var);
        self.sets.iter().any(changes)
    }
}

/// Reads a pipeline.
pub(super) fn read(file: &Path, text: Text, overrides: &Overrides) -> (Spec, Vec<Diagnostic>) {
    let mut diagnostics = vec![];
    let parsed = text.parse(&mut diagnostics);
    let mut spec = Spec { file: file.to_owned(), origins: Origins::new(text), ..Spec::default() };
    let Some(mut top) = parsed else { return (spec, diagnostics) };

    let origins = &mut spec.origins;
    let include::Included { profiles: layers, lacks_parts } =
        include::lay_beneath(&mut top, origins, &mut diagnostics);
    spec.lacks_parts = lacks_parts;
    let named: BTreeSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    spec.profiles = named.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut settings = vec![];
    for words in &overrides.sets {
        match set::parse(words) {
            Ok(setting) => settings.push(setting),
            Err(fault) => diagnostics.push(*fault),
        }
    }
    let values: Vec<Node> = settings.iter().map(|setting| setting.value.clone()).collect();
    diagnostics.extend(unused::warnings(&top, &layers, &values, origins));
    let held = profile::apply(&mut top, &layers, &overrides.profiles, origins, &mut diagnostics);
    let mut sets = vec![];
    for setting in settings {
        match set::apply(&mut top, setting, origins) {
            Ok(at) => sets.push(at),
            Err(fault) => diagnostics.push(*fault),
        }
    }

    spec.is_overridden = !overrides.sets.is_empty() || !overrides.profiles.is_empty();
    let mut faults = Faults::new();
    spec.fill(&top, &Changed { sets, held, profiles: overrides.profiles.clone() }, &mut faults);
    faults.dedup();
    diagnostics.extend(faults.into_iter().map(|(at, fault)| {
        let mut diagnostic = spec.diagnose(&at, fault);
        if diagnostic.place.is_none() && at.is_top() {
            diagnostic = diagnostic.note(format!("in {}", file.display()));
        }
        diagnostic
    }));
    // Once it is too much, every variable after it is, or is unknown.
    if let Some(first) = diagnostics.iter().position(|fault| fault.code == Code::TooManyNodes) {
        let first = diagnostics[first].clone();
        diagnostics.retain(|fault| !matches!(fault.code, Code::TooManyNodes | Code::UnknownVariable));
        diagnostics.push(first);
    }
    // So is one that names a variable which is there and could not be resolved.
    let vars = top.get("vars");
    let is_there = |name: &str| vars.is_some_and(|vars| vars.get(name).is_some());
    let follows = |fault: &Diagnostic| {
        fault.code == Code::UnknownVariable && fault.word.as_deref().is_some_and(is_there)
    };
    if diagnostics.iter().any(|fault| fault.severity == Severity::Error && !follows(fault)) {
        diagnostics.retain(|fault| !follows(fault));
    }
    if spec.lacks_parts {
        // What names something that could not be read is no fault of its own.
        let absent = [Code::UnknownVariable, Code::UnknownVariableField, Code::UnknownStage];
        diagnostics.retain(|fault| !absent.contains(&fault.code) || fault.near.is_some());
    }
    // A slip in its one use leaves a variable without any, and is told of itself.
    let slips = [Code::UnknownVariable, Code::MalformedVariable, Code::CircularVariables];
    if spec.lacks_parts || diagnostics.iter().any(|fault| slips.contains(&fault.code)) {
        diagnostics.retain(|fault| fault.code != Code::UnusedVariable);
    }
    (spec, diagnostics)
}

/// `tartan` does not say a version that can be read.
pub(super) fn wrong_format(said: &Node) -> Diagnostic {
    if *said == Node::Text(FORMAT.to_string()) {
        let fault = format!("the format is the number {FORMAT}, not a text");
        return Diagnostic::error(Code::FormatVersion, fault).help("leave out the quotes");
    }
    Diagnostic::error(
        Code::FormatVersion,
        format!("this program reads format {FORMAT}, not `{}`", said.brief()),
    )
    .help(format!("write `tartan: {FORMAT}`, or use the program the file was written for"))
}

impl Spec {
    fn fill(&mut self, top: &Node, changed: &Changed, faults: &mut Faults) {
        let own_vars = match top.get("vars") {
            Some(Node::Map(vars)) => vars.as_slice(),
            _ => &[],
        };
        let at_sweep = At::top().key("sweep");
        let swept = match top.get("sweep") {
            // It may stand in a variable, which then is the same at every point.
            Some(node @ Node::Text(_)) => block(node, &Constants::new(own_vars, &[]).vars, &at_sweep, faults),
            other => other.map(Cow::Borrowed),
        };
        let names = swept.as_deref().map(sweep::names).unwrap_or_default();
        let (held, varied): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| changed.holds(name));
        let same = Constants::new(own_vars, &varied);
        let before = faults.len();
        let Some(mut fields) = Fields::of(top, "a pipeline", At::top(), &same.vars, faults) else { return };
        match fields.take("tartan") {
            Some((Node::Int(FORMAT), _)) => {}
            Some((other, at)) => fields.fault(at, wrong_format(&other)),
            None => {
                let fault = Diagnostic::error(
                    Code::FormatVersion,
                    "`tartan` is missing: the version of the pipeline format",
                )
                .help(format!("begin the file with `tartan: {FORMAT}`"));
                fields.fault(At::top(), fault);
            }
        }
        let stem = self.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.name = fields.text("name").map(|(name, _)| name).or(stem).unwrap_or_default();
        // The former two have been laid under and over the rest, and the sweep is read.
        for known in ["include", "profiles", "sweep"] {
            fields.raw(known);
        }
        // For its faults: what it holds is known.
        block_of(&mut fields, "vars");
        let narrowed = !held.is_empty() || !changed.profiles.is_empty();
        let mut sweep = match swept {
            Some(node) => {
                let given = sweep::Given { vars: own_vars, held: &held, narrowed };
                sweep::read(&node, &at_sweep, &given, fields.faults)
            }
            None => Sweep::none(),
        };
        self.swept = sweep.columns.iter().map(|dim| dim.name.clone()).collect();
        self.fixed = names.iter().filter(|name| changed.fixes(name)).cloned().collect();
        self.fixed.dedup();
        let constants = Constants::new(own_vars, &sweep.varied);

        let stages = block_of(&mut fields, "stages").unwrap_or_default();
        if stages.is_empty() && !self.lacks_parts {
            fields.missing("stages", "a pipeline has at least one stage");
        }
        check_names(&stages, fields.faults);
        let (mut drafts, loops) = loops::unroll(&stages, own_vars, &constants, fields.faults);
        self.loops = loops;
        if let Some((at, fault)) = too_many(drafts.len(), sweep.points.len()) {
            fields.fault(at, fault);
            sweep.points.truncate(1);
        }
        if drafts.len() > MOST_STAGES {
            drafts.clear();
            self.lacks_parts = true;
        }
        let digests = fields.texts("digests").unwrap_or_default();
        let pins = digests::Pins::read(&digests, &self.origins, fields.faults);
        if let Some(targets) = fields.texts("targets") {
            self.targets = targets;
        }
        let context = report::Context {
            dims: &sweep.columns,
            narrowed,
            vars: own_vars,
            constants: &constants,
            folder: self.file.parent().unwrap_or(Path::new("")),
            profiles: &changed.profiles,
        };
        let mut reports = report::drafts(&mut fields, &context);
        fields.finish("a pipeline");
        let is_own = |fault: &Diagnostic| own_vars.iter().any(|(name, _)| Some(name) == fault.word.as_ref());
        let of_own = faults[before..].iter_mut().filter(|(_, fault)| is_own(fault));
        of_own.for_each(|(_, fault)| same.tell_apart(fault));

        let values = sweep.assignments(own_vars);
        let of_points =
            points::Sweep { vars: own_vars, swept: &sweep.varied, points: &values, stages: &drafts };
        let context = kinds::Context {
            origins: &self.origins,
            pins: &pins,
            globs: &globs::Globs::default(),
            on_path: &command::OnPath::default(),
            loops: &self.loops,
            looped: Cell::new(0),
            stages: &drafts.iter().map(|draft| draft.name.as_str()).collect(),
        };
        self.points = points::read(
            &of_points,
            faults,
            |node, at, vars, faults| kinds::read(node, at, vars, &context, faults),
            |vars, faults| reports.iter_mut().for_each(|draft| draft.at_point(vars, faults)),
        );
        for (point, setting) in self.points.iter_mut().zip(&sweep.points) {
            point.values = setting.values.iter().map(Node::brief).collect();
        }
        self.reports = reports.into_iter().filter_map(|draft| draft.finish(self.points.len())).collect();
    }
}

/// Reports names that a stage cannot have.
fn check_names(stages: &[(String, Node)], faults: &mut Faults) {
    for (name, _) in stages.iter().filter(|(name, _)| !loops::is_plain(name)) {
        let fault = Diagnostic::error(Code::StageName, format!("`{name}` is no name for a stage"))
            .help("a stage's name is made of letters, digits, `-`, `_` and `.`");
        faults.push((At::top().key("stages").key(name).on_key(), fault));
    }
}

/// What is wrong where stages at so many points come to more than anyone waits for.
fn too_many(stages: usize, points: usize) -> Option<(At, Diagnostic)> {
    let all = stages.saturating_mul(points);
    if all <= MOST_STAGES {
        return None;
    }
    let (block, fault, help) = if points > 1 {
        let fault =
            format!("{stages} stages at {points} sweep points are {all} in all, more than {MOST_STAGES}");
        ("sweep", fault, "sweep over fewer variables or values at a time, or loop over fewer")
    } else {
        ("stages", format!("{stages} stages are more than {MOST_STAGES}"), "loop over fewer values")
    };
    let fault = Diagnostic::error(Code::TooManyPoints, fault).help(help);
    Some((At::top().key(block).on_key(), fault))
}

/// A field's own fields, as they stand.
fn block_of(fields: &mut Fields, name: &'static str) -> Option<Vec<(String, Node)>> {
    match fields.raw(name)? {
        (Node::Map(block), _) => Some(block.clone()),
        (other, at) => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`{name}` is a block of fields, not {}", other.what()),
            );
            fields.fault(
                at,
                fault.help(match other {
                    Node::Text(text) if text.contains("${") => {
                        "write the block itself: what variables there are depends on it".to_owned()
                    }
                    _ => format!("write `{name}: {{NAME: …}}`, or each name on a line of its own, indented"),
                }),
            );
            None
        }
    }
}
