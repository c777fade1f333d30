//! Which stages the targets need at each sweep point, and whether what they name makes sense.
//!
//! No file is looked at yet: an outline says which ones to hash before the plan can be built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::action;
use crate::diag::{Code, Diagnostic};
use crate::spec::{Block, Point, Ref, Report, Score, Shows, Source, Spec, SplitFile};

/// The stages to have, point by point.
pub struct Outline<'a> {
    pub(super) spec: &'a Spec,
    /// For each point, the needed stages, each after those it names.
    pub(super) needed: Vec<Vec<&'a str>>,
}

/// What a stage's field wants to be named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Encoder,
    Tokenize,
    Objective,
    EndTask,
    Init,
    Model,
    Classifier,
    LearnWeights,
}

impl Wanted {
    fn text(self) -> &'static str {
        match self {
            Self::Encoder => "an `encoder` stage",
            Self::Tokenize => "a `tokenize` stage",
            Self::Objective => "an `objective` stage",
            Self::EndTask => "an `objective` stage that classifies",
            Self::Init | Self::Model => "an `encoder`, `train` or `learn-weights` stage",
            Self::Classifier => "a `train` or `learn-weights` stage with an end-task",
            Self::LearnWeights => "a `learn-weights` stage",
        }
    }

    fn fits(self, block: &Block) -> bool {
        if let (Self::LearnWeights, Block::Train { action, .. }) = (self, block) {
            return action.learns_weights();
        }
        matches!(
            (self, block),
            (_, Block::Broken)
                | (Self::Encoder, Block::Encoder { .. })
                | (Self::Tokenize, Block::Tokenize { .. })
                | (Self::Objective, Block::Objective { .. })
                | (Self::EndTask, Block::Objective { action: action::Objective::Classify { .. }, .. })
                | (Self::Init | Self::Model, Block::Encoder { .. } | Block::Train { .. })
                | (Self::Classifier, Block::Train { end_task: Some(_), .. })
        )
    }
}

/// Every stage a block names, and what it must be.
pub(super) fn names(block: &Block) -> Vec<(&Ref, Wanted)> {
    match block {
        Block::Encoder { .. } | Block::Broken => vec![],
        Block::Tokenize { tokenizer, sample_of, .. } => {
            let mut names = vec![(tokenizer, Wanted::Encoder)];
            names.extend(sample_of.iter().map(|of| (of, Wanted::Tokenize)));
            names
        }
        Block::Objective { data, .. } => vec![(data, Wanted::Tokenize)],
        Block::Train { init, end_task, auxiliary, weights_from, .. } => {
            let mut names = vec![(init, Wanted::Init)];
            names.extend(end_task.iter().map(|of| (of, Wanted::EndTask)));
            names.extend(auxiliary.iter().map(|of| (of, Wanted::Objective)));
            names.extend(weights_from.iter().map(|of| (of, Wanted::LearnWeights)));
            names
        }
        Block::Evaluate { model, data, .. } => vec![(model, Wanted::Classifier), (data, Wanted::Tokenize)],
        Block::Export { model, .. } => vec![(model, Wanted::Model)],
    }
}

/// Outlines what `targets` need; without targets, what the file's `targets` need, or every `evaluate`
/// and `export` stage, or else every stage that no other names. Faults go to `diagnostics`.
pub fn outline<'a>(spec: &'a Spec, targets: &[String], diagnostics: &mut Vec<Diagnostic>) -> Outline<'a> {
    let known: BTreeSet<&str> =
        spec.points.iter().flat_map(|point| point.stages.keys().map(String::as_str)).collect();
    for target in targets.iter().filter(|target| !known.contains(target.as_str())) {
        diagnostics.push(with_nearest(
            Diagnostic::error(Code::UnknownStage, format!("unknown stage `{target}`")),
            target,
            &known,
        ));
    }
    for (target, at) in spec.targets.iter().filter(|(target, _)| !known.contains(target.as_str())) {
        let fault = with_nearest(
            Diagnostic::error(Code::UnknownStage, format!("unknown stage `{target}`")),
            target,
            &known,
        );
        diagnostics.push(spec.diagnose(at, fault));
    }
    for report in &spec.reports {
        check_report(spec, report, &known, diagnostics);
    }

    let mut needed = vec![];
    // A stage that no target needs may name a stage that is not there (its name is built from variables
    // of other points); only one that never can is a fault.
    let mut unneeded: BTreeMap<String, (usize, Diagnostic)> = BTreeMap::new();
    for (index, point) in spec.points.iter().enumerate() {
        let roots = roots(spec, point, targets);
        let mut walk =
            Walk { spec, index, point, done: BTreeSet::new(), path: vec![], order: vec![], faults: vec![] };
        for root in roots {
            walk.visit(root);
        }
        let order = std::mem::take(&mut walk.order);
        diagnostics.append(&mut walk.faults);
        for name in point.stages.keys() {
            walk.visit(name);
        }
        for fault in walk.faults {
            let slot = unneeded.entry(fault.to_string()).or_insert((0, fault));
            slot.0 += 1;
        }
        needed.push(order);
    }
    diagnostics.extend(
        unneeded.into_values().filter(|(count, _)| *count == spec.points.len()).map(|(_, fault)| fault),
    );
    Outline { spec, needed }
}

impl Outline<'_> {
    /// Whether a stage is needed at a sweep point.
    pub fn needs(&self, point: usize, stage: &str) -> bool {
        self.needed.get(point).is_some_and(|stages| stages.contains(&stage))
    }

    /// The files that the needed stages read, each once, with where the pipeline names it.
    pub fn files(&self) -> BTreeMap<PathBuf, Source> {
        let needed = self.spec.points.iter().zip(&self.needed);
        collect(needed.flat_map(|(point, needed)| needed.iter().map(|name| &point.stages[*name])))
    }

    /// The files that any stage reads. Where some blocks have faults, what is needed is not known, and their
    /// faults should not hide those of files.
    pub fn all_files(&self) -> BTreeMap<PathBuf, Source> {
        collect(self.spec.points.iter().flat_map(|point| point.stages.values()))
    }
}

fn collect<'a>(blocks: impl Iterator<Item = &'a Block>) -> BTreeMap<PathBuf, Source> {
    let mut files = BTreeMap::new();
    for (path, source) in blocks.flat_map(block_files) {
        files.entry(path).or_insert(source);
    }
    files
}

/// The files a block reads.
fn block_files(block: &Block) -> Vec<(PathBuf, Source)> {
    match block {
        Block::Encoder { folder, action } => encoder_files(action)
            .iter()
            .map(|file| {
                let name = format!("{}/{file}", folder.name.trim_end_matches('/'));
                (folder.path.join(file), Source { path: folder.path.join(file), name, at: folder.at.clone() })
            })
            .collect(),
        Block::Tokenize { splits, .. } => splits
            .values()
            .filter_map(|file| match file {
                SplitFile::Local(source) => Some((source.path.clone(), source.clone())),
                // Its digest is pinned, and its bytes are for whoever reads them.
                SplitFile::Remote(_) => None,
            })
            .collect(),
        _ => vec![],
    }
}

/// The files of a model's folder that an encoder stage reads.
pub(super) fn encoder_files(action: &action::Encoder) -> &'static [&'static str] {
    use action::roles::{CONFIG, TOKENIZER, WEIGHTS};
    if action.random { &[CONFIG, TOKENIZER] } else { &[CONFIG, TOKENIZER, WEIGHTS] }
}

fn with_nearest(fault: Diagnostic, name: &str, known: &BTreeSet<&str>) -> Diagnostic {
    let all = || format!("the stages are `{}`", known.iter().copied().collect::<Vec<_>>().join("`, `"));
    fault.meant(name, known.iter().copied(), all)
}

/// Checks that the stages a report names are there at every sweep point, and hold what it shows.
fn check_report(spec: &Spec, report: &Report, known: &BTreeSet<&str>, diagnostics: &mut Vec<Diagnostic>) {
    let unknown = |name: &str| {
        with_nearest(Diagnostic::error(Code::UnknownStage, format!("unknown stage `{name}`")), name, known)
    };
    let found = match &report.shows {
        Shows::Weights(stage) => {
            let block = spec.points.first().and_then(|point| point.stages.get(&stage.stage));
            let fault = match block {
                None => Some(unknown(&stage.stage)),
                Some(block) if Wanted::LearnWeights.fits(block) => None,
                Some(other) => Some(Diagnostic::error(
                    Code::WrongStageKind,
                    format!(
                        "this table shows the weights that {} learns, and `{}` is `{}`",
                        Wanted::LearnWeights.text(),
                        stage.stage,
                        other.kind()
                    ),
                )),
            };
            fault.map(|fault| (stage, fault))
        }
        Shows::Scores(scores) => {
            spec.points.iter().zip(scores).find_map(|(point, Score { stage, metric })| {
                let fault = match point.stages.get(&stage.stage) {
                    None => unknown(&stage.stage),
                    Some(Block::Evaluate { action, .. }) if !action.metrics.contains(metric) => {
                        Diagnostic::error(
                            Code::NotMeasured,
                            format!("`{}` does not measure `{}`", stage.stage, metric.name()),
                        )
                        .help("add it to the stage's `metrics`, or leave `metrics` out to have them all")
                    }
                    Some(Block::Evaluate { .. } | Block::Broken) => return None,
                    Some(other) => Diagnostic::error(
                        Code::WrongStageKind,
                        format!(
                            "a table shows an `evaluate` stage, and `{}` is `{}`",
                            stage.stage,
                            other.kind()
                        ),
                    ),
                };
                Some((stage, fault))
            })
        }
    };
    diagnostics.extend(found.map(|(stage, fault)| spec.diagnose(&stage.at, fault)));
}

fn roots<'a>(spec: &'a Spec, point: &'a Point, targets: &[String]) -> Vec<&'a str> {
    let own = |name: &str| point.stages.get_key_value(name).map(|(name, _)| name.as_str());
    if !targets.is_empty() {
        return targets.iter().filter_map(|target| own(target)).collect();
    }
    if !spec.targets.is_empty() {
        return spec.targets.iter().filter_map(|(target, _)| own(target)).collect();
    }
    let results: Vec<&str> = point
        .stages
        .iter()
        .filter(|(_, block)| matches!(block, Block::Evaluate { .. } | Block::Export { .. }))
        .map(|(name, _)| name.as_str())
        .collect();
    if !results.is_empty() {
        return results;
    }
    let named: BTreeSet<&str> =
        point.stages.values().flat_map(names).map(|(named, _)| named.stage.as_str()).collect();
    let free: Vec<&str> =
        point.stages.keys().map(String::as_str).filter(|name| !named.contains(name)).collect();
    // All in a circle: walk from anywhere, to say so.
    if free.is_empty() { point.stages.keys().map(String::as_str).collect() } else { free }
}

/// Walks a point's stages, each after those it names.
struct Walk<'a> {
    spec: &'a Spec,
    index: usize,
    point: &'a Point,
    done: BTreeSet<&'a str>,
    path: Vec<&'a str>,
    order: Vec<&'a str>,
    faults: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    /// Depth first, with a stack of its own: a chain of stages may be as long as the file.
    fn visit(&mut self, root: &'a str) {
        let mut stack = vec![(root, 0_usize)];
        while let Some((name, next)) = stack.pop() {
            if next == 0 {
                if self.done.contains(name) {
                    continue;
                }
                self.path.push(name);
            }
            let block = &self.point.stages[name];
            let named = names(block);
            let Some((reference, wanted)) = named.get(next) else {
                self.path.pop();
                self.done.insert(name);
                self.order.push(name);
                self.check_splits(block);
                self.check_weights(block);
                self.check_pads(block);
                continue;
            };
            stack.push((name, next + 1));
            if let Some(found) = self.look_up(name, reference, *wanted) {
                stack.push((found, 0));
            }
        }
    }

    /// The stage that `from` names, if it is there, of the right kind, and no circle.
    fn look_up(&mut self, from: &str, reference: &'a Ref, wanted: Wanted) -> Option<&'a str> {
        let known = || self.point.stages.keys().map(String::as_str).collect::<BTreeSet<_>>();
        let Some((name, block)) = self.point.stages.get_key_value(reference.stage.as_str()) else {
            let fault = Diagnostic::error(Code::UnknownStage, format!("unknown stage `{}`", reference.stage));
            let fault = with_nearest(fault, &reference.stage, &known());
            self.fault(reference, fault);
            return None;
        };
        if !wanted.fits(block) {
            let what = match block {
                Block::Train { .. } if wanted == Wanted::Classifier => "has no `end_task`".to_owned(),
                Block::Objective { .. } if wanted == Wanted::EndTask => "is an `mlm` objective".to_owned(),
                other => format!("is `{}`", other.kind()),
            };
            let fault = Diagnostic::error(
                Code::WrongStageKind,
                format!("this names {}, and `{name}` {what}", wanted.text()),
            );
            let fits =
                self.point.stages.iter().filter(|(_, block)| wanted.fits(block)).map(|(n, _)| n.as_str());
            let fits: Vec<&str> = fits.filter(|name| *name != from).collect();
            let fault = if fits.is_empty() {
                fault.help(format!("add {} and name it here", wanted.text()))
            } else {
                fault.help(format!("it may be `{}`", fits.join("`, `")))
            };
            self.fault(reference, fault);
            return None;
        }
        if let Some(start) = self.path.iter().position(|on_path| on_path == name) {
            let mut circle: Vec<&str> = self.path[start..].to_vec();
            circle.push(name);
            let fault = Diagnostic::error(
                Code::Cycle,
                format!("these stages need each other: {}", circle.join(" → ")),
            )
            .help("let one of them start from a stage outside the circle");
            self.fault(reference, fault);
            return None;
        }
        Some(name)
    }

    /// Whether the splits that a block reads are there.
    fn check_splits(&mut self, block: &'a Block) {
        let splits = |data: &Ref| match self.point.stages.get(&data.stage) {
            Some(Block::Tokenize { splits, .. }) => {
                Some(splits.keys().map(String::as_str).collect::<Vec<_>>())
            }
            _ => None,
        };
        let (data, at, wanted) = match block {
            Block::Objective { data, .. } => (data, &data.at, "train"),
            Block::Tokenize { sample_of: Some(of), .. } => (of, &of.at, "train"),
            Block::Evaluate { data, split_at, action, .. } => (data, split_at, action.split.as_str()),
            Block::Train { end_task: Some(end_task), action, .. } if action.learns_weights() => {
                match self.point.stages.get(&end_task.stage) {
                    Some(Block::Objective { data, .. }) => (data, &end_task.at, "dev"),
                    _ => return,
                }
            }
            _ => return,
        };
        let Some(found) = splits(data) else { return };
        if !found.contains(&wanted) {
            let fault =
                Diagnostic::error(Code::MissingSplit, format!("`{}` has no split `{wanted}`", data.stage))
                    .help(format!("its splits are `{}`", found.join("`, `")));
            let reference = Ref { stage: data.stage.clone(), at: at.clone() };
            self.fault(&reference, fault);
        }
    }

    /// Whether a model is scored as it was trained.
    fn check_pads(&mut self, block: &'a Block) {
        let Block::Evaluate { model, action, .. } = block else { return };
        let Some(Block::Train { action: trained, .. }) = self.point.stages.get(&model.stage) else { return };
        if trained.attend_pads != action.attend_pads {
            let fault = Diagnostic::warning(
                Code::PadsDiffer,
                format!(
                    "`{}` is trained with `attend_pads: {}` and scored with `attend_pads: {}`",
                    model.stage, trained.attend_pads, action.attend_pads
                ),
            )
            .help("say the same in both, unless that is what you compare");
            self.fault(model, fault);
        }
    }

    /// Whether the weights that a block takes from another stage are those of its own objectives.
    fn check_weights(&mut self, block: &'a Block) {
        let Block::Train { end_task, auxiliary, weights_from: Some(from), .. } = block else { return };
        let Some(Block::Train { end_task: learned_end_task, auxiliary: learned, action, .. }) =
            self.point.stages.get(&from.stage)
        else {
            return;
        };
        // That it must be a stage that learns weights has been said.
        if !action.learns_weights() {
            return;
        }
        let names = |end_task: &Option<Ref>, auxiliary: &[Ref]| {
            end_task.iter().chain(auxiliary).map(|of| of.stage.clone()).collect::<Vec<_>>()
        };
        let (here, there) = (names(end_task, auxiliary), names(learned_end_task, learned));
        if here == there {
            return;
        }
        let fault = Diagnostic::error(
            Code::OtherObjectives,
            format!(
                "`{}` learned the weights of `{}`, and this stage trains on `{}`",
                from.stage,
                there.join("`, `"),
                here.join("`, `")
            ),
        )
        .help("name the same `end_task` and the same `auxiliary` objectives in the same order");
        self.fault(from, fault);
    }

    fn fault(&mut self, reference: &Ref, fault: Diagnostic) {
        let mut fault = self.spec.diagnose(&reference.at, fault);
        // Where the name is built from variables, say which point it went wrong at.
        if self.spec.points.len() > 1 && fault.place.as_ref().is_some_and(|place| place.source.contains("${"))
        {
            fault = fault.note(format!("at the sweep point {}", self.spec.point_name(self.index)));
        }
        self.faults.push(fault);
    }
}
