//! From the words of a command to a plan over a store: what every command on a pipeline begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Fault, encoders, out, revisions};
use crate::diag::{Code, Diagnostic, Severity, nearest};
use crate::digest::Digest;
use crate::exec::{Status, known};
use crate::plan::{self, NodeId, Plan};
use crate::spec::{Overrides, Source, Spec};
use crate::store::{Record, Store};

/// Which pipeline, and how.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Choice {
    /// Set a variable, or a field by its path (stages.model.train.epochs=3); may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", global = false)]
    pub(super) sets: Vec<String>,
    /// Lay a profile of the pipeline over it, such as `smoke`; several are laid over each other in order
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    pub(super) profiles: Vec<String>,
    /// The store's folder [default: `cache` in the nearest folder upwards that has one or is a git root]
    #[arg(long, value_name = "DIR", env = "TARTAN_CACHE")]
    pub(super) cache: Option<PathBuf>,
}

impl Choice {
    /// What is laid over the pipeline.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides { profiles: self.profiles.clone(), sets: self.sets.clone() }
    }
}

/// A pipeline that is sound, its plan, and the store. What there may be ten thousand parts of is left to the
/// system when the process ends: taking it apart would be a fifth of a run that has nothing to do.
pub(super) struct Loaded {
    pub(super) spec: ManuallyDrop<Spec>,
    pub(super) plan: ManuallyDrop<Plan>,
    pub(super) store: Store,
    /// The stages that it is planned for, where some were named.
    pub(super) targets: Vec<String>,
}

/// How it is found out which commits the hub's revisions are at.
#[derive(Clone, Copy)]
pub(super) enum Hub<'a> {
    /// From the hub's cache on disk; what that does not tell stays open, and the stages that need it have no key.
    Cache,
    /// The same, and what stays open is told.
    Tell,
    /// What the cache does not tell, this worker asks the hub; with `refresh`, all that may have moved.
    Ask { worker: &'a Path, refresh: bool },
}

/// Reads the pipeline, checks it, hashes its files and builds its plan. Warnings are printed; errors all
/// come back at once.
pub(super) fn load(file: &Path, targets: &[String], choice: &Choice) -> Result<Loaded, Fault> {
    load_with(file, targets, choice, Hub::Cache)
}

/// [`load`], with the hub asked if need be.
fn load_with(file: &Path, targets: &[String], choice: &Choice, hub: Hub) -> Result<Loaded, Fault> {
    let (loaded, diagnostics) = inspect(Spec::load(file, &choice.overrides()), targets, choice, hub)?;
    let Some(loaded) = loaded else { return Err(Fault::wrong(diagnostics)) };
    out::diagnostics(diagnostics);
    Ok(loaded)
}

/// Checks what was read of a pipeline, hashes its files and builds its plan. All that is wrong comes back, and
/// the pipeline where there are no errors.
pub(super) fn inspect(
    (spec, mut diagnostics): (Spec, Vec<Diagnostic>),
    targets: &[String],
    choice: &Choice,
    hub: Hub,
) -> Result<(Option<Loaded>, Vec<Diagnostic>), Fault> {
    let mut outline = plan::outline(&spec, targets, &mut diagnostics);
    let files = if has_errors(&diagnostics) { outline.all_files() } else { outline.files() };
    // An encoder's folder that is not there is told of once, not for each of its files.
    let mut lost: BTreeSet<&Path> = BTreeSet::new();
    for source in files.values() {
        if let Some(fault) = unreadable(source, &mut lost) {
            diagnostics.push(spec.diagnose(&source.at, fault));
        }
    }
    if !has_errors(&diagnostics) {
        revisions::resolve(&spec, &mut outline, hub, &mut diagnostics)?;
    }
    let is_broken = has_errors(&diagnostics);
    plan::check_encoders(&outline, &encoders::facts(&outline), &mut diagnostics);
    if is_broken {
        // For what a plan would be refused for; files go by their paths, since some are not there.
        let digest = |path: &PathBuf| Digest::of(path.as_os_str().as_encoded_bytes());
        let digests = files.keys().map(|path| (path.clone(), digest(path))).collect();
        plan::build(&outline, &digests, &mut diagnostics);
        return Ok((None, diagnostics));
    }

    let store = Store::open(&store_root(&spec.file, choice))?;
    let paths: Vec<PathBuf> = files.keys().cloned().collect();
    let mut digests = BTreeMap::new();
    for ((path, source), digest) in files.iter().zip(store.digest_files(&paths)) {
        match digest {
            Ok(digest) => {
                digests.insert(path.clone(), digest);
            }
            Err(error) => {
                let fault = Diagnostic::error(error.code(), error.to_string());
                diagnostics.push(spec.diagnose(&source.at, fault));
            }
        }
    }
    store.save_memo()?;
    let plan = plan::build(&outline, &digests, &mut diagnostics);
    if has_errors(&diagnostics) {
        return Ok((None, diagnostics));
    }
    let targets = if targets.is_empty() { vec![] } else { outline.targets };
    let (spec, plan) = (ManuallyDrop::new(spec), ManuallyDrop::new(plan));
    Ok((Some(Loaded { spec, plan, store, targets }), diagnostics))
}

fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// Why a source cannot be read, if it cannot and that has not been said of its folder, which is in `lost` then.
fn unreadable<'a>(source: &'a Source, lost: &mut BTreeSet<&'a Path>) -> Option<Diagnostic> {
    let path = plainly(&source.path);
    let shown = path.display();
    match std::fs::metadata(&source.path) {
        Ok(meta) if meta.is_file() => None,
        Ok(meta) if meta.is_dir() => {
            let fault =
                Diagnostic::error(Code::NotAFile, format!("`{shown}` is a folder, and a file is wanted"));
            let mut names = names_in(&source.path).unwrap_or_default();
            names.sort();
            Some(match names.first() {
                Some(first) => {
                    fault.help(format!("name a file in it, such as `{}`", source.path.join(first).display()))
                }
                None => fault.help("name a file; the folder is empty"),
            })
        }
        Ok(_) => Some(
            Diagnostic::error(Code::NotAFile, format!("`{shown}` is not a regular file"))
                .help("write what it gives to a file first, and name that"),
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let fault = Diagnostic::error(Code::MissingFile, format!("there is no file `{shown}`"));
            // A path given by `--set` is meant from where the user stands as often as not.
            if source.path != Path::new(&source.name)
                && let Ok(here) = std::path::absolute(&source.name)
                && here.is_file()
            {
                return Some(fault.help(format!(
                    "paths are relative to the file that says them; there is `{}`, which wants its whole path",
                    here.display()
                )));
            }
            let folder = source.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            let Some(names) = names_in(folder) else { return no_folder(folder, lost) };
            let wanted = source.path.file_name()?.to_string_lossy().into_owned();
            let has = |name: &str| names.iter().any(|found| found == name);
            Some(match nearest(&wanted, names.iter().map(String::as_str)) {
                _ if wanted == "model.safetensors" && has("model.safetensors.index.json") => fault.help(
                    "the folder's weights are in several files, and one is read; \
                     `model.save_pretrained(DIR, max_shard_size=\"100GB\")` of transformers writes one",
                ),
                _ if wanted == "tokenizer.json" && has("config.json") => fault.help(
                    "the folder has no fast tokenizer; \
                     `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)` of transformers writes it",
                ),
                Some(near) => {
                    let near =
                        source.name.strip_suffix(wanted.as_str()).map(|folder| format!("{folder}{near}"));
                    fault.help(format!("did you mean `{}`?", near.unwrap_or_default()))
                }
                None if wanted == "model.safetensors" => fault.help(
                    "the folder has no weights in safetensors; `model.save_pretrained(DIR)` of transformers \
                     writes them, and `random: DIR` draws them anew",
                ),
                None => fault.help("paths are relative to the file that says them"),
            })
        }
        Err(error) => Some(
            Diagnostic::error(Code::UnreadableFile, format!("failed to read `{shown}`: {error}"))
                .help("check that you may read it, and the folders that it is in"),
        ),
    }
}

/// A folder that is not there, once.
fn no_folder<'a>(folder: &'a Path, lost: &mut BTreeSet<&'a Path>) -> Option<Diagnostic> {
    if !lost.insert(folder) {
        return None;
    }
    let fault =
        Diagnostic::error(Code::MissingFile, format!("there is no folder `{}`", plainly(folder).display()));
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder
        .parent()
        .map_or(Path::new("."), |around| if around.as_os_str().is_empty() { Path::new(".") } else { around });
    let names = names_in(beside).unwrap_or_default();
    Some(match nearest(&name, names.iter().map(String::as_str)) {
        Some(near) => {
            fault.help(format!("did you mean `{}`?", plainly(&folder.with_file_name(near)).display()))
        }
        None => fault.help("paths are relative to the file that says them"),
    })
}

/// A path as it is shown: without a folder and the `..` that leads out of it again.
fn plainly(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match (part, plain.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                plain.pop();
            }
            (part, _) => plain.push(part),
        }
    }
    plain
}

/// The names in a folder, if it can be read.
fn names_in(folder: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(folder).ok()?;
    Some(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// The store's folder: as chosen, else `cache` in the nearest folder upwards from the pipeline that has
/// one or is a git root, else beside the pipeline.
pub(super) fn store_root(from: &Path, choice: &Choice) -> PathBuf {
    if let Some(cache) = &choice.cache {
        return cache.clone();
    }
    let absolute = std::path::absolute(from).unwrap_or_else(|_| from.to_owned());
    let start =
        if absolute.is_dir() { absolute.as_path() } else { absolute.parent().unwrap_or(Path::new("/")) };
    start
        .ancestors()
        .find(|folder| folder.join("cache").is_dir() || folder.join(".git").exists())
        .unwrap_or(start)
        .join("cache")
}

/// The pipeline of a command that may leave it out: the given one, else that of the last run.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Which {
    /// The pipeline's file [default: that of the last run on this store]
    #[arg(short, long, value_name = "FILE")]
    pub(super) pipeline: Option<PathBuf>,
    #[command(flatten)]
    pub(super) choice: Choice,
}

/// A pipeline, and what of it to have.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TargetChoice {
    /// The pipeline's file
    pub(super) pipeline: PathBuf,
    /// Stages to have, with what they need [default: every `evaluate` and `export` stage]
    targets: Vec<String>,
    #[command(flatten)]
    pub(super) choice: Choice,
}

impl TargetChoice {
    /// The pipeline, planned for its targets.
    pub(super) fn load(&self) -> Result<Loaded, Fault> {
        load(&self.pipeline, &self.targets, &self.choice)
    }

    /// The same, with the hub asked if need be.
    pub(super) fn load_with(&self, hub: Hub) -> Result<Loaded, Fault> {
        load_with(&self.pipeline, &self.targets, &self.choice, hub)
    }
}

/// A stage of a pipeline that may be left out.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StageChoice {
    /// The stage
    stage: String,
    #[command(flatten)]
    which: Which,
}

impl StageChoice {
    /// The pipeline, the stage's nodes, and how every node stands.
    pub(super) fn look_up(&self) -> Result<(Loaded, Vec<NodeId>, Status), Fault> {
        let loaded = self.which.load()?;
        let ids = loaded.nodes(&self.stage)?;
        let status = known(&loaded.plan, &loaded.store, &BTreeSet::new())?;
        Ok((loaded, ids, status))
    }
}

/// What `run` leaves behind for the commands that come after it.
#[derive(Debug, Serialize, Deserialize)]
struct LastRun {
    pipeline: PathBuf,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    profiles: Vec<String>,
    sets: Vec<String>,
}

const LAST_RUN: &str = "last-run.json";

/// Remembers a run for the commands that name no pipeline.
pub(super) fn remember(store: &Store, file: &Path, choice: &Choice) -> std::io::Result<()> {
    let pipeline = std::path::absolute(file)?;
    let Choice { profiles, sets, .. } = choice.clone();
    let text = serde_json::to_string_pretty(&LastRun { pipeline, profiles, sets })?;
    let path = store.root().join(LAST_RUN);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(store.root())?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(&path)?;
    Ok(())
}

impl Which {
    /// Loads the pipeline with everything in it, whatever the targets are.
    pub(super) fn load(&self) -> Result<Loaded, Fault> {
        if let Some(file) = &self.pipeline {
            return load(file, &[], &self.choice);
        }
        let root = store_root(Path::new("."), &self.choice);
        let last = std::fs::read_to_string(root.join(LAST_RUN))
            .ok()
            .and_then(|text| serde_json::from_str::<LastRun>(&text).ok());
        let Some(last) = last else {
            let fault = Diagnostic::error(Code::NoPipeline, "which pipeline? none was run on this store yet")
                .note(format!("the store is {}", root.display()))
                .help("name it: `--pipeline FILE`");
            return Err(Fault::wrong(vec![fault]));
        };
        if !last.pipeline.exists() {
            let fault = Diagnostic::error(
                Code::NoPipeline,
                format!("the pipeline of the last run, `{}`, is not there any more", last.pipeline.display()),
            )
            .help("name the pipeline: `--pipeline FILE`");
            return Err(Fault::wrong(vec![fault]));
        }
        let mut choice = Choice { cache: Some(root), ..self.choice.clone() };
        if choice.sets.is_empty() {
            choice.sets = last.sets;
        }
        if choice.profiles.is_empty() {
            choice.profiles = last.profiles;
        }
        load(&last.pipeline, &[], &choice)
    }
}

impl Loaded {
    /// The record of a result that was found in the store.
    pub(super) fn record(&self, key: &Digest) -> Result<Record, Fault> {
        let record = self.store.record(key)?;
        record.ok_or_else(|| {
            let message = format!("the result {} has just gone from the store", key.short());
            Fault::failed(Code::System, message, None)
        })
    }

    /// The nodes of a stage, or of all stages of a loop, by its name in the pipeline or a node's display name.
    pub(super) fn nodes(&self, stage: &str) -> Result<Vec<NodeId>, Fault> {
        let of_loop = self.spec.loops.get(stage);
        let in_loop = |stage: &String| of_loop.is_some_and(|stages| stages.contains(stage));
        let ids: Vec<NodeId> = self
            .plan
            .ids()
            .filter(|id| {
                let node = self.plan.node(*id);
                let aliased = || self.plan.points.iter().any(|point| point.get(stage) == Some(id));
                node.stage == stage || node.name == stage || in_loop(&node.stage) || aliased()
            })
            .collect();
        if !ids.is_empty() {
            return Ok(ids);
        }
        let fetched = self.plan.ids().map(|id| self.plan.node(id).stage.as_str());
        let known: Vec<&str> = self
            .spec
            .points
            .iter()
            .flat_map(|point| point.stages.keys().map(String::as_str))
            .chain(fetched)
            .collect();
        let fault = if known.contains(&stage) {
            Diagnostic::error(Code::NoSuchResult, format!("no result needs stage `{stage}`"))
                .help(format!("plan it by name: `tartan plan {} {stage}`", self.spec.file.display()))
        } else {
            let fault = Diagnostic::error(Code::UnknownStage, format!("unknown stage `{stage}`"));
            fault.meant(stage, known, || "`tartan graph` shows the stages".to_owned())
        };
        Err(Fault::wrong(vec![fault]))
    }
}
