//! What is wrong with a pipeline as a whole, once its files are known: test texts that reach training, and encoders
//! that do not do what is asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::made;
use super::outline::{Outline, names, outline};
use crate::action::{Objective, Pin, Tokenize};
use crate::diag::{Code, Diagnostic, either, without_query};
use crate::digest::Digest;
use crate::hub;
use crate::spec::{At, Block, ModelSource, Point, Ref, Source, Spec, SplitFile, SplitSource};

/// What an encoder's files say of it. What they do not say is not checked before the worker reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncoderFacts {
    /// `model_type` of its configuration.
    pub model_type: Option<String>,
    /// The most tokens of a text.
    pub positions: Option<u32>,
    /// Whether its tokenizer can have a mask token. False only where there is none for sure.
    pub mask: bool,
}

/// The values of `model_type` that an encoder may have.
const MODEL_TYPES: [&str; 4] = ["bert", "roberta", "camembert", "xlm-roberta"];

/// Warns of stages that no result needs at any sweep point. None where targets are chosen or something is set, nor where
/// stages are named through variables: the file as it stands, or other values, may need them.
pub fn unneeded(spec: &Spec) -> Vec<Diagnostic> {
    let outline = outline(spec, &[], &mut vec![]);
    let needed = outline.points().flat_map(|(_, needed)| needed.into_iter().map(|(name, _)| name));
    let (needed, all): (BTreeSet<&str>, BTreeSet<&str>) = (needed.collect(), spec.stage_names());
    let built = |at: &At| spec.place(at).is_some_and(|place| place.marked().contains("${"));
    let mut named = spec.points.iter().take(1).flat_map(|point| point.stages.values()).flat_map(names);
    if needed.len() == all.len()
        || !spec.targets.is_empty()
        || spec.is_overridden()
        || named.any(|(reference, _)| built(&reference.at))
    {
        return vec![];
    }
    let warn = |stage: &&str| {
        let fault = Diagnostic::warning(Code::UnneededStage, format!("no result needs the stage `{stage}`"));
        let fault = fault.help("name it where it is meant to be used, or delete it");
        spec.diagnose(&spec.stage_at(stage), fault)
    };
    all.difference(&needed).map(warn).collect()
}

/// The folders of the needed encoders, and whether the tokenizer of each must have a mask token.
pub fn encoders<'a>(outline: &Outline<'a>) -> BTreeMap<&'a Path, bool> {
    let mut folders = BTreeMap::new();
    for (point, needed) in outline.points() {
        for (_, block) in needed {
            match block {
                Block::Encoder { from: ModelSource::Folder(folder), .. } => {
                    folders.entry(folder.path.as_path()).or_insert(false);
                }
                Block::Objective { data, action: Objective::Mlm { .. } } => {
                    let encoder = tokenizer_of(point, data).and_then(|of| point.stages.get(&of.stage));
                    if let Some(Block::Encoder { from: ModelSource::Folder(folder), .. }) = encoder {
                        folders.insert(folder.path.as_path(), true);
                    }
                }
                _ => {}
            }
        }
    }
    folders
}

/// Checks what the needed stages ask of encoders against what those are; by the encoder's folder.
pub fn check_encoders(
    outline: &Outline,
    facts: &BTreeMap<PathBuf, EncoderFacts>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let spec = outline.spec;
    // The same stage with the same encoder is told of once, however many sweep points have it.
    let mut told: BTreeSet<(&str, &Path)> = BTreeSet::new();
    for (point, needed) in outline.points() {
        let encoder = |of: &Ref| match point.stages.get(&of.stage) {
            Some(Block::Encoder { from: ModelSource::Folder(folder), .. }) => {
                Some((folder, facts.get(&folder.path)?))
            }
            _ => None,
        };
        for (name, block) in needed {
            let found = match block {
                Block::Encoder { from: ModelSource::Folder(folder), .. } => facts
                    .get(&folder.path)
                    .and_then(|facts| Some((folder, of_unknown_type(facts, folder)?, folder.at.clone()))),
                Block::Tokenize { tokenizer, action, .. } => {
                    encoder(tokenizer).and_then(|(folder, facts)| {
                        let positions = facts.positions.filter(|most| action.max_length > *most)?;
                        let at = At::of_field(name, "tokenize", "max_length");
                        Some((folder, too_long(action.max_length, positions, &tokenizer.stage), at))
                    })
                }
                Block::Objective { data, action: Objective::Mlm { .. } } => tokenizer_of(point, data)
                    .and_then(encoder)
                    .filter(|(_, facts)| !facts.mask)
                    .map(|(folder, _)| {
                        (folder, without_mask(data, tokenizer_of(point, data)), data.at.clone())
                    }),
                _ => None,
            };
            if let Some((folder, fault, at)) = found
                && told.insert((name, &folder.path))
            {
                diagnostics.push(spec.diagnose(&at, fault));
            }
        }
    }
}

fn of_unknown_type(facts: &EncoderFacts, folder: &Source) -> Option<Diagnostic> {
    let kind = facts.model_type.as_deref().filter(|kind| !MODEL_TYPES.contains(kind))?;
    let fault = format!("`{}` is a model of type `{kind}`, which is not supported", folder.name);
    let all = format!("supported are encoders of type {}", either(&MODEL_TYPES));
    Some(Diagnostic::error(Code::UnsupportedEncoder, fault).help(all))
}

fn too_long(max_length: u32, positions: u32, encoder: &str) -> Diagnostic {
    let fault = format!("`max_length` is {max_length}, and `{encoder}` has {positions} positions");
    Diagnostic::error(Code::TooManyPositions, fault)
        .note("a text takes a position for each of its tokens, special tokens included")
        .help(format!("write `max_length: {positions}` or less"))
}

fn without_mask(data: &Ref, encoder: Option<&Ref>) -> Diagnostic {
    let encoder = encoder.map_or("", |encoder| encoder.stage.as_str());
    let fault = format!(
        "`mlm` masks tokens, and the tokenizer of `{}`, that of `{encoder}`, has no mask token",
        data.stage
    );
    Diagnostic::error(Code::NoSpecialToken, fault)
        .help("tokenize with the tokenizer of a masked language model, which has `[MASK]` or `<mask>`")
}

/// The encoder whose tokenizer a tokenize stage uses.
fn tokenizer_of<'a>(point: &'a Point, data: &Ref) -> Option<&'a Ref> {
    match point.stages.get(&data.stage)? {
        Block::Tokenize { tokenizer, .. } => Some(tokenizer),
        _ => None,
    }
}

/// What tells a file's content from others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content<'a> {
    Blake3(Digest),
    Sha256(&'a str),
    /// Made by a stage: not known before it has run, but there is one of its name.
    Made(&'a str, &'a str),
    /// A file of the hub: its repository, its commit (or its revision, until that is known), its path.
    Hub(&'a hub::Repo, &'a str, &'a str),
}

impl<'a> Content<'a> {
    fn of(file: &'a SplitFile, outline: &'a Outline, digests: &BTreeMap<PathBuf, Digest>) -> Option<Self> {
        match file {
            SplitFile::Local(source) => digests.get(&source.path).copied().map(Self::Blake3),
            SplitFile::Remote(remote) => match &remote.pin {
                Pin::Blake3(digest) => Some(Self::Blake3(*digest)),
                Pin::Sha256(hex) => Some(Self::Sha256(hex)),
                // What a URL is pinned to is one file.
                Pin::Commit(_) => None,
            },
            SplitFile::Made(made) => Some(Self::Made(&made.stage.stage, &made.file)),
            SplitFile::Hub(source) => {
                let hub::Name { repo, revision, path } = &source.name;
                let commit = outline.commits.get(&(repo.to_string(), revision.clone()));
                Some(Self::Hub(repo, commit.unwrap_or(revision), path))
            }
        }
    }
}

impl Content<'_> {
    /// Whether it is what a test split is, or a folder that holds it.
    fn is_or_holds(&self, test: &Self) -> bool {
        match (self, test) {
            (Self::Made(maker, folder), Self::Made(of, file))
                if folder.is_empty() || folder.ends_with('/') =>
            {
                maker == of && file.starts_with(folder)
            }
            _ => self == test,
        }
    }
}

/// A split whose files are all empty is known before anything runs.
pub(super) fn check_empty_splits(
    outline: &Outline,
    digests: &BTreeMap<PathBuf, Digest>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let nothing = Digest::of(b"");
    if !digests.values().any(|digest| *digest == nothing) {
        return;
    }
    let empty = |file: &SplitFile| match file {
        SplitFile::Local(source) => digests.get(&source.path) == Some(&nothing),
        SplitFile::Remote(_) | SplitFile::Hub(_) | SplitFile::Made(_) => false,
    };
    for (_, needed) in outline.points() {
        for (_, block) in needed {
            let Block::Tokenize { splits, .. } = block else { continue };
            for (split, source) in splits {
                let Some(file) = source.files().first().filter(|_| source.files().iter().all(empty)) else {
                    continue;
                };
                let (at, name) = said(file);
                let message = format!("split `{split}` has no text: `{name}` is empty");
                let fault = Diagnostic::error(Code::EmptySplit, message)
                    .help("name a file with texts, or leave the split out");
                diagnostics.push(outline.spec.diagnose(at, fault));
            }
        }
    }
}

/// The test split is for `evaluate`, and for commands that nothing is trained on: no stage may train on a file, or be
/// chosen by one, that is the test split of another stage at the same sweep point, or that has it as a part; whatever
/// the file is called, for its content counts.
pub(super) fn check_test_splits(
    outline: &Outline,
    digests: &BTreeMap<PathBuf, Digest>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let spec = outline.spec;
    // Told of once for each use, however many stages train on it.
    let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (point, needed) in outline.points() {
        let mut tests: BTreeMap<Content, (&str, &SplitFile)> = BTreeMap::new();
        let mut with_tests: BTreeMap<Content, (&str, &Tokenize)> = BTreeMap::new();
        for &(name, block) in &needed {
            let Block::Tokenize { splits, action, .. } = block else { continue };
            if action.parts.contains_key("test") {
                let whole = splits.get("train").map(SplitSource::files).unwrap_or_default();
                for content in whole.iter().filter_map(|file| Content::of(file, outline, digests)) {
                    with_tests.entry(content).or_insert((name, action));
                }
            }
            for file in splits.get("test").map(SplitSource::files).unwrap_or_default() {
                if let Some(content) = Content::of(file, outline, digests) {
                    tests.entry(content).or_insert((name, file));
                }
            }
        }
        if tests.is_empty() && with_tests.is_empty() {
            continue;
        }
        let seen = made::Seen::of(point, &needed, |file| {
            let content = Content::of(file, outline, digests)?;
            let tested = tests.iter().map(|(test, (name, _))| (test, *name));
            let in_part = with_tests.iter().map(|(whole, (name, _))| (whole, *name));
            let found = tested.chain(in_part).find(|(test, _)| content.is_or_holds(test));
            found.map(|(_, name)| name)
        });
        let mut checked = BTreeSet::new();
        for &(name, block) in &needed {
            if let Block::Encoder { from: ModelSource::Made(made), .. } = block
                && let Some(fault) = seen.fault(name, made)
                && told.insert((name, "from"))
            {
                diagnostics.push(spec.diagnose(&made.at, fault));
            }
            let Block::Train { end_task, auxiliary, .. } = block else { continue };
            // An auxiliary objective's dev split is read by nobody.
            let read = end_task.iter().flat_map(|of| [(of, "train"), (of, "dev")]);
            for (objective, split) in read.chain(auxiliary.iter().map(|of| (of, "train"))) {
                let read = point.stages.get(&objective.stage).map(Block::as_read);
                let Some(Block::Objective { data, .. }) = read else {
                    continue;
                };
                // What is wrong with a split is so for every stage that trains on it.
                if !checked.insert((data.stage.as_str(), split)) {
                    continue;
                }
                let read = point.stages.get(&data.stage).map(Block::as_read);
                let Some(Block::Tokenize { splits, action, .. }) = read else {
                    continue;
                };
                let files = splits.get(split).map(SplitSource::files).unwrap_or_default();
                if let Some((made, fault)) = files.iter().find_map(|file| seen.fault_of(name, file)) {
                    if told.insert((&data.stage, split)) {
                        diagnostics.push(spec.diagnose(&made.at, fault));
                    }
                    continue;
                }
                let found = files.iter().find_map(|file| {
                    let test = tests.get(&Content::of(file, outline, digests)?)?;
                    Some((file, *test))
                });
                let of_part = files.iter().find_map(|file| {
                    let (tested, other) = with_tests.get(&Content::of(file, outline, digests)?)?;
                    (*tested != data.stage && !same_parts(action, other)).then_some((file, *tested))
                });
                if let (None, Some((file, tested))) = (found, of_part) {
                    if told.insert((&data.stage, split)) {
                        let fault = of_part_of_test(name, &objective.stage, &data.stage, split, tested);
                        diagnostics.push(spec.diagnose(said(file).0, fault));
                    }
                    continue;
                }
                let Some((file, (tested, test))) = found else { continue };
                if told.insert((&data.stage, split)) {
                    let fault = of_test_split(
                        spec,
                        name,
                        &objective.stage,
                        (&data.stage, split, file),
                        (tested, test),
                    );
                    diagnostics.push(fault);
                }
            }
        }
    }
}

fn of_test_split(
    spec: &Spec,
    trained: &str,
    objective: &str,
    (data, split, file): (&str, &str, &SplitFile),
    (tested, test): (&str, &SplitFile),
) -> Diagnostic {
    let what = if split == "dev" { "be chosen by" } else { "train on" };
    let fault = format!("`{trained}` would {what} the test split of `{tested}`");
    let ((at, name), (_, test)) = (said(file), said(test));
    let same = if name == test { String::new() } else { format!(", and has the content of `{test}`") };
    let fault = Diagnostic::error(Code::TestSplit, fault)
        .note(format!("it is the {split} split of `{data}`, which `{objective}` reads{same}"))
        .help("name other texts here: a score on texts that had a part in training says nothing");
    spec.diagnose(at, fault)
}

/// Whether two stages divide a file alike.
fn same_parts(a: &Tokenize, b: &Tokenize) -> bool {
    // What is taken of train afterwards, and how it is cut, divides nothing.
    let divides = |of: &Tokenize| {
        let Tokenize { max_length, sample, seed, strict, .. } = Tokenize::default();
        Tokenize { max_length, sample, seed, strict, ..of.clone() }
    };
    divides(a) == divides(b)
}

fn of_part_of_test(trained: &str, objective: &str, data: &str, split: &str, tested: &str) -> Diagnostic {
    let what = if split == "dev" { "be chosen by" } else { "train on" };
    let fault = format!("`{trained}` would {what} the test split of `{tested}`");
    Diagnostic::error(Code::TestSplit, fault)
        .note(format!(
            "it is the {split} split of `{data}`, which `{objective}` reads, and the test split of `{tested}` is a part of this file"
        ))
        .help(format!("read `data: {tested}`, whose train split is without those texts, or make the same parts here"))
}

/// Where a split's file is said, and how.
fn said(file: &SplitFile) -> (&At, String) {
    match file {
        SplitFile::Local(source) => (&source.at, source.name.clone()),
        SplitFile::Remote(remote) => (&remote.at, without_query(&remote.url)),
        SplitFile::Made(made) => (&made.at, format!("{}/{}", made.stage.stage, made.file)),
        SplitFile::Hub(source) => (&source.at, source.name.to_string()),
    }
}
