//! Which stages the targets need at each sweep point, and whether what they name makes sense.
//!
//! No file is looked at yet: an outline says which ones to hash before the plan can be built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::shown::check_report;
use super::{made, targets};
use crate::action;
use crate::diag::{AT_POINT, Code, Diagnostic, MEANT, either, list};
use crate::hub::Ask;
use crate::spec::{
    At, Block, HubSource, ModelSource, Point, Ref, Source, Spec, SplitFile, SplitSource, names_many,
};

/// The stages to have, point by point.
pub struct Outline<'a> {
    pub(super) spec: &'a Spec,
    /// The stages to have, where the command line or the pipeline names some.
    pub targets: Vec<String>,
    /// For each point, the places of the needed stages, each after those it names.
    pub(super) needed: Vec<Vec<usize>>,
    /// The commits of the hub's revisions, as far as they are known, by repository and revision.
    pub(super) commits: BTreeMap<(String, String), String>,
}

/// Programs that run scripts which call other programs.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ksh", "zsh"];

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
    Maker,
}

impl Wanted {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Encoder => "an `encoder` stage",
            Self::Tokenize => "a `tokenize` stage",
            Self::Objective => "an `objective` stage",
            Self::EndTask => "an `objective` stage that classifies",
            Self::Init | Self::Model => "an `encoder`, `train` or `learn-weights` stage",
            Self::Classifier => "a `train` or `learn-weights` stage with an end-task",
            Self::LearnWeights => "a `learn-weights` stage",
            Self::Maker => "a stage",
        }
    }

    pub(super) fn fits(self, block: &Block) -> bool {
        if let (Self::LearnWeights, Block::Train { action, .. }) = (self, block) {
            return action.learns_weights();
        }
        matches!(
            (self, block),
            (_, Block::Broken(_))
                | (Self::Maker, _)
                | (Self::Encoder, Block::Encoder { .. })
                | (Self::Tokenize, Block::Tokenize { .. })
                | (Self::Objective, Block::Objective { .. })
                | (Self::EndTask, Block::Objective { action: action::Objective::Classify { .. }, .. })
                | (Self::Init | Self::Model, Block::Encoder { .. } | Block::Train { .. })
                | (Self::Classifier, Block::Train { end_task: Some(_), .. })
        )
    }
}

/// Stages that a block names and that are still to be visited.
type Named<'a> = std::vec::IntoIter<(&'a Ref, Wanted)>;

/// Every stage a block names, and what it must be.
pub(super) fn names(block: &Block) -> Vec<(&Ref, Wanted)> {
    match block {
        Block::Broken(None) => vec![],
        Block::Broken(Some(read)) => names(read).into_iter().filter(|(of, _)| !of.stage.is_empty()).collect(),
        Block::Tokenize { tokenizer, sample_of, .. } => {
            let mut names = vec![(tokenizer, Wanted::Encoder)];
            names.extend(sample_of.iter().map(|of| (of, Wanted::Tokenize)));
            names.extend(made::named(block).into_iter().map(|made| (&made.stage, Wanted::Maker)));
            names
        }
        Block::Encoder { .. } | Block::Command(_) => {
            made::named(block).into_iter().map(|made| (&made.stage, Wanted::Maker)).collect()
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
/// and `export` stage and every command that no other stage names, or else every stage that no other names.
/// Faults go to `diagnostics`.
pub fn outline<'a>(spec: &'a Spec, targets: &[String], diagnostics: &mut Vec<Diagnostic>) -> Outline<'a> {
    let known = spec.stage_names();
    let is_chosen = !targets.is_empty() || !spec.targets.is_empty();
    let targets = targets::stages(spec, targets, &known, diagnostics);
    for report in &spec.reports {
        check_report(spec, report, &known, diagnostics);
    }

    let mut needed = vec![];
    // A stage that no target needs may name a stage that is not there (its name is built from variables
    // of other points); only one that never can is a fault.
    let mut unneeded: BTreeMap<String, (usize, Diagnostic)> = BTreeMap::new();
    let mut unknown = Unknown { spec, stages: &known, known: BTreeMap::new() };
    for (index, point) in spec.points.iter().enumerate() {
        let mut walk = Walk::new(&mut unknown, index, point);
        for root in roots(point, is_chosen.then_some(&targets)) {
            walk.visit(root);
        }
        let order = std::mem::take(&mut walk.order);
        diagnostics.append(&mut walk.faults);
        for position in 0..point.stages.len() {
            walk.visit(position);
        }
        // Stages of one loop have the same faults.
        let faults: BTreeMap<String, Diagnostic> =
            walk.faults.into_iter().map(|fault| (fault.to_string(), fault)).collect();
        for (text, fault) in faults {
            let slot = unneeded.entry(text).or_insert((0, fault));
            slot.0 += 1;
        }
        needed.push(order);
    }
    diagnostics.extend(
        unneeded.into_values().filter(|(count, _)| *count == spec.points.len()).map(|(_, fault)| fault),
    );
    Outline { spec, targets, needed, commits: BTreeMap::new() }
}

impl<'a> Outline<'a> {
    /// Each point with its needed stages, each after those it names; of one with faults, what could be read.
    pub(super) fn points(&self) -> impl Iterator<Item = (&'a Point, Vec<(&'a str, &'a Block)>)> {
        self.spec.points.iter().zip(&self.needed).map(|(point, needed)| {
            let stage = |position: &usize| {
                let (name, block) = point.stages.at(*position);
                (name, block.as_read())
            };
            (point, needed.iter().map(stage).collect())
        })
    }

    /// Whether a stage is needed at a sweep point.
    pub fn needs(&self, point: usize, stage: &str) -> bool {
        let position = self.spec.points.get(point).and_then(|point| point.stages.position(stage));
        position.is_some_and(|position| self.needed[point].contains(&position))
    }

    /// The files that the needed stages read, each once, with where the pipeline names it.
    pub fn files(&self) -> BTreeMap<PathBuf, Source> {
        let needed = self.spec.points.iter().zip(&self.needed);
        collect(needed.flat_map(|(point, needed)| needed.iter().map(|position| point.stages.at(*position).1)))
    }

    /// What the needed stages read of the hub, each once, with where the pipeline names it.
    pub fn asks(&self) -> BTreeMap<Ask, At> {
        let needed = self.spec.points.iter().zip(&self.needed);
        let blocks =
            needed.flat_map(|(point, needed)| needed.iter().map(|position| point.stages.at(*position).1));
        let mut asks = BTreeMap::new();
        for (source, files) in blocks.flat_map(|block| block_hub(block)) {
            let name = &source.name;
            let ask = Ask { repo: name.repo.to_string(), revision: name.revision.clone(), files };
            asks.entry(ask).or_insert_with(|| source.at.clone());
        }
        asks
    }

    /// Takes in which commit a revision of a repository of the hub is at.
    pub fn resolve(&mut self, ask: &Ask, commit: String) {
        self.commits.insert((ask.repo.clone(), ask.revision.clone()), commit);
    }

    /// The files that any stage reads. Where some blocks have faults, what is needed is not known, and their
    /// faults should not hide those of files.
    pub fn all_files(&self) -> BTreeMap<PathBuf, Source> {
        let stages = |point: &'a Point| (0..point.stages.len()).map(|position| point.stages.at(position).1);
        collect(self.spec.points.iter().flat_map(stages))
    }
}

fn collect<'a>(blocks: impl Iterator<Item = &'a Arc<Block>>) -> BTreeMap<PathBuf, Source> {
    let mut files = BTreeMap::new();
    // Points share blocks.
    let mut seen = BTreeSet::new();
    for (path, source) in blocks.filter(|block| seen.insert(Arc::as_ptr(block))).flat_map(|b| block_files(b))
    {
        files.entry(path).or_insert(source);
    }
    files
}

/// The files a block reads.
fn block_files(block: &Block) -> Vec<(PathBuf, Source)> {
    match block {
        Block::Encoder { from: ModelSource::Folder(folder), action } => encoder_files(action)
            .iter()
            .map(|file| {
                let name = format!("{}/{file}", folder.name.trim_end_matches('/'));
                (folder.path.join(file), Source { path: folder.path.join(file), name, at: folder.at.clone() })
            })
            .collect(),
        Block::Tokenize { splits, .. } => splits
            .values()
            .flat_map(SplitSource::files)
            .filter_map(|file| match file {
                SplitFile::Local(source) => Some((source.path.clone(), source.clone())),
                // Its digest is pinned, and its bytes are for whoever reads them.
                SplitFile::Remote(_) | SplitFile::Hub(_) | SplitFile::Made(_) => None,
            })
            .collect(),
        Block::Command(command) => {
            let inputs = command.inputs.values().filter_map(|file| match file {
                SplitFile::Local(source) => Some(source),
                SplitFile::Remote(_) | SplitFile::Hub(_) | SplitFile::Made(_) => None,
            });
            command.programs.values().chain(inputs).map(|s| (s.path.clone(), s.clone())).collect()
        }
        Block::Broken(Some(read)) => block_files(read),
        _ => vec![],
    }
}

/// What a block reads of the hub: the paths of files of a repository.
fn block_hub(block: &Block) -> Vec<(&HubSource, Vec<String>)> {
    match block {
        Block::Encoder { from: ModelSource::Hub(source), action } => {
            vec![(source, hub_files(source, encoder_files(action)))]
        }
        Block::Tokenize { splits, .. } => {
            splits.values().flat_map(SplitSource::files).filter_map(hub_file).collect()
        }
        Block::Command(command) => command.inputs.values().filter_map(hub_file).collect(),
        _ => vec![],
    }
}

fn hub_file(file: &SplitFile) -> Option<(&HubSource, Vec<String>)> {
    match file {
        SplitFile::Hub(source) => Some((source, vec![source.name.path.clone()])),
        SplitFile::Local(_) | SplitFile::Remote(_) | SplitFile::Made(_) => None,
    }
}

/// The paths of a model's files in a repository of the hub.
pub(super) fn hub_files(source: &HubSource, files: &[&str]) -> Vec<String> {
    let folder = if source.name.path.is_empty() { String::new() } else { format!("{}/", source.name.path) };
    files.iter().map(|file| format!("{folder}{file}")).collect()
}

/// The files of a model's folder that an encoder stage reads.
pub(super) fn encoder_files(action: &action::Encoder) -> &'static [&'static str] {
    use action::roles::{CONFIG, TOKENIZER, WEIGHTS};
    if action.random { &[CONFIG, TOKENIZER] } else { &[CONFIG, TOKENIZER, WEIGHTS] }
}

/// One stage is wanted, and `name` is none. Nothing where it may be one that could not be read, unless it is much like
/// one that is there.
pub(super) fn unknown(spec: &Spec, name: &str, known: &BTreeSet<&str>) -> Option<Diagnostic> {
    unknown_among(spec, name, known, MEANT)
}

/// The same, where the stage that is meant is looked for among the first so many.
fn unknown_among(spec: &Spec, name: &str, known: &BTreeSet<&str>, first: usize) -> Option<Diagnostic> {
    if let Some(stages) = spec.loops.get(name).filter(|stages| !stages.is_empty()) {
        return Some(names_many(name, stages));
    }
    let fault = Diagnostic::error(Code::UnknownStage, format!("unknown stage `{name}`"));
    let all = || format!("the stages are {}", list(&known.iter().collect::<Vec<_>>()));
    let fault = fault.meant(name, known.iter().take(first).copied(), all);
    (fault.near.is_some() || !spec.may_have(name)).then_some(fault)
}

/// `an `encoder` stage`
pub(super) fn a_stage(block: &Block) -> String {
    let kind = block.kind();
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} `{kind}` stage")
}

/// The places of the stages to begin with.
fn roots(point: &Point, targets: Option<&Vec<String>>) -> Vec<usize> {
    let stages = &point.stages;
    if let Some(targets) = targets {
        return targets.iter().filter_map(|target| stages.position(target)).collect();
    }
    let named: BTreeSet<usize> =
        stages.values().flat_map(names).filter_map(|(named, _)| stages.position(&named.stage)).collect();
    let all = || 0..stages.len();
    let is_result = |position: &usize| match **stages.at(*position).1 {
        Block::Evaluate { .. } | Block::Export { .. } => true,
        Block::Command(_) => !named.contains(position),
        _ => false,
    };
    let results: Vec<usize> = all().filter(is_result).collect();
    if !results.is_empty() {
        return results;
    }
    let free: Vec<usize> = all().filter(|position| !named.contains(position)).collect();
    // All in a circle: walk from anywhere, to say so.
    if free.is_empty() { all().collect() } else { free }
}

/// How many wrong names are taken for slips: a loop or a sweep that builds wrong names builds thousands.
const SLIPS: usize = 200;

/// What is wrong with names of stages that are not there; at every point the same.
struct Unknown<'a, 'k> {
    spec: &'a Spec,
    /// The names that are there.
    stages: &'k BTreeSet<&'a str>,
    known: BTreeMap<&'a str, Option<Diagnostic>>,
}

impl<'a> Unknown<'a, '_> {
    fn fault(&mut self, name: &'a str) -> Option<Diagnostic> {
        let Self { spec, stages, known } = self;
        let first = if known.len() < SLIPS { MEANT } else { 0 };
        known.entry(name).or_insert_with(|| unknown_among(spec, name, stages, first)).clone()
    }
}

/// Walks a point's stages, each after those it names. Stages go by their places.
struct Walk<'a, 'k, 'u> {
    spec: &'a Spec,
    unknown: &'u mut Unknown<'a, 'k>,
    index: usize,
    point: &'a Point,
    state: Vec<Visit>,
    path: Vec<usize>,
    order: Vec<usize>,
    faults: Vec<Diagnostic>,
}

/// How far the walk has come with a stage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    OnPath,
    Done,
}

impl<'a, 'k, 'u> Walk<'a, 'k, 'u> {
    fn new(unknown: &'u mut Unknown<'a, 'k>, index: usize, point: &'a Point) -> Self {
        let state = vec![Visit::New; point.stages.len()];
        let spec = unknown.spec;
        Self { spec, unknown, index, point, state, path: vec![], order: vec![], faults: vec![] }
    }

    /// Depth first, with a stack of its own: a chain of stages may be as long as the file.
    fn visit(&mut self, root: usize) {
        let mut stack = vec![];
        self.enter(root, &mut stack);
        while let Some((position, mut named)) = stack.pop() {
            let Some((reference, wanted)) = named.next() else {
                self.path.pop();
                self.state[position] = Visit::Done;
                self.order.push(position);
                let block = self.point.stages.at(position).1;
                self.check_splits(block);
                self.check_weights(block);
                self.check_pads(block);
                self.check_made(block);
                self.check_programs(block);
                continue;
            };
            stack.push((position, named));
            if let Some(found) = self.look_up(position, reference, wanted) {
                self.enter(found, &mut stack);
            }
        }
    }

    /// Begins with a stage, unless that was done.
    fn enter(&mut self, position: usize, stack: &mut Vec<(usize, Named<'a>)>) {
        if self.state[position] == Visit::New {
            self.state[position] = Visit::OnPath;
            self.path.push(position);
            stack.push((position, names(self.point.stages.at(position).1).into_iter()));
        }
    }

    /// The stage that `from` names, if it is there, of the right kind, and no circle.
    fn look_up(&mut self, from: usize, reference: &'a Ref, wanted: Wanted) -> Option<usize> {
        let stages = &self.point.stages;
        let Some(position) = stages.position(&reference.stage) else {
            if let Some(fault) = self.unknown.fault(&reference.stage) {
                self.fault(reference, fault);
            }
            return None;
        };
        let ((from, _), (name, block)) = (stages.at(from), stages.at(position));
        if !wanted.fits(block) {
            let what = match &**block {
                Block::Train { .. } if wanted == Wanted::Classifier => "has no `end_task`".to_owned(),
                Block::Objective { .. } if wanted == Wanted::EndTask => "is an `mlm` objective".to_owned(),
                other => format!("is {}", a_stage(other)),
            };
            let fault = Diagnostic::error(
                Code::WrongStageKind,
                format!("{} is wanted here, and `{name}` {what}", wanted.text()),
            );
            let fits =
                self.point.stages.iter().filter(|(_, block)| wanted.fits(block)).map(|(n, _)| n.as_str());
            let fits: Vec<&str> = fits.filter(|name| *name != from).collect();
            let fault = fault.help(match (fits.as_slice(), &**block) {
                ([], Block::Train { .. }) if wanted == Wanted::Classifier => {
                    format!("give `{name}` an `end_task`, which makes it a classifier")
                }
                ([], _) => format!("add {} and name it here", wanted.text()),
                ([one], _) => format!("did you mean `{one}`?"),
                (several, _) => format!("it may be {}", either(several)),
            });
            self.fault(reference, fault);
            return None;
        }
        if self.state[position] == Visit::OnPath {
            let start = self.path.iter().position(|on_path| *on_path == position).unwrap_or_default();
            let mut circle: Vec<&str> = self.path[start..].iter().map(|at| stages.at(*at).0).collect();
            circle.push(name);
            let fault = Diagnostic::error(
                Code::Cycle,
                format!("these stages need each other: {}", circle.join(" → ")),
            )
            .help("let one of them start from a stage outside the circle");
            self.fault(reference, fault);
            return None;
        }
        Some(position)
    }

    /// Whether the splits that a block reads are there.
    fn check_splits(&mut self, block: &'a Block) {
        let (data, at, wanted, why) = match block {
            Block::Objective { data, .. } => (data, &data.at, "train", "an objective is trained on it"),
            Block::Tokenize { sample_of: Some(of), .. } => {
                (of, &of.at, "train", "a sample is a multiple of its size")
            }
            Block::Evaluate { data, split_at, action, .. } => {
                (data, split_at, action.split.as_str(), "it is what would be scored")
            }
            Block::Train { end_task: Some(end_task), action, .. } if action.learns_weights() => {
                match self.point.stages.get(&end_task.stage) {
                    Some(Block::Objective { data, .. }) => {
                        (data, &end_task.at, "dev", "weights are learned from the end-task's dev split")
                    }
                    _ => return,
                }
            }
            _ => return,
        };
        let Some(Block::Tokenize { splits, .. }) = self.point.stages.get(&data.stage) else { return };
        if !splits.contains_key(wanted) {
            let found: Vec<&str> = splits.keys().map(String::as_str).collect();
            let fault =
                Diagnostic::error(Code::MissingSplit, format!("`{}` has no split `{wanted}`", data.stage))
                    .note(why)
                    .help(match found.as_slice() {
                        [one] => format!("its one split is `{one}`"),
                        several => format!("its splits are {}", list(several)),
                    });
            let reference = Ref { stage: data.stage.clone(), at: at.clone() };
            self.fault(&reference, fault);
        }
    }

    /// Whether the files that a block names by their stage are made.
    fn check_made(&mut self, block: &'a Block) {
        for made in made::files(block) {
            let maker = self.point.stages.get(&made.stage.stage);
            if let Some(fault) = maker.and_then(|maker| made::fault(&made, maker)) {
                self.fault(&Ref { stage: made.stage.stage.clone(), at: made.at.clone() }, fault);
            }
        }
    }

    /// Whether a program is what runs, or a script that calls it: a shim of pyenv has the same content whatever
    /// Python it leads to.
    fn check_programs(&mut self, block: &'a Block) {
        let Block::Command(command) = block else { return };
        for (role, program) in &command.programs {
            let Some(name) = role.strip_prefix(action::roles::INTERPRETERS) else { continue };
            let runner = program.path.file_name().unwrap_or_default().to_string_lossy();
            if !SHELLS.contains(&runner.as_ref()) {
                continue;
            }
            let script = command.programs.get(&action::roles::program(name)).map_or(name, |of| &of.name);
            let fault = Diagnostic::warning(
                Code::ShellScript,
                format!("`{script}` is a script for `{runner}`, and what it calls is not in the key"),
            )
            .help(format!(
                "name the program itself by its path, if there is one (of a shim of pyenv, `pyenv which {name}` prints it)"
            ));
            self.fault(&Ref { stage: name.to_owned(), at: program.at.clone() }, fault);
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
        let here: Vec<&str> = end_task.iter().chain(auxiliary).map(|of| of.stage.as_str()).collect();
        let there: Vec<&str> = learned_end_task.iter().chain(learned).map(|of| of.stage.as_str()).collect();
        if here == there {
            return;
        }
        let fault = Diagnostic::error(
            Code::OtherObjectives,
            format!(
                "`{}` learned the weights of {}, and this stage trains on {}",
                from.stage,
                list(&there),
                list(&here)
            ),
        )
        .help("name the same `end_task` and the same `auxiliary` objectives in the same order");
        self.fault(from, fault);
    }

    fn fault(&mut self, reference: &Ref, fault: Diagnostic) {
        let mut fault = self.spec.diagnose(&reference.at, fault);
        // Where the name is built from variables, say which point it went wrong at.
        let is_built = fault.place.as_ref().is_some_and(|place| place.marked().contains("${"));
        if self.spec.points.len() > 1 && is_built {
            fault = fault.note(format!("{AT_POINT}{}", self.spec.point_name(self.index)));
        }
        self.faults.push(fault);
    }
}
