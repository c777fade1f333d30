//! `tartan run`: from a pipeline to its tables.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use super::failures::Findings;
use super::figures::IfMissing;
use super::pipeline::{self, Hub, TargetChoice};
use super::{Exit, Fault, figures, out, plan, results};
use crate::diag::{Code, Diagnostic, without_query};
use crate::event::{Event, Level};
use crate::exec::{self, DeviceChoice, Options, Stop, known};
use crate::report::table::Table;
use crate::report::{EventLog, Progress, ReportError};
use crate::store::StoreError;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetChoice,
    /// Stages at a time [default: as many as can run side by side, at most one a core]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    jobs: Option<usize>,
    /// Threads of each stage [default: the cores, shared out over the jobs]
    #[arg(long, value_name = "N", value_parser = positive)]
    threads: Option<usize>,
    /// Where to train: auto, cpu, cuda, or one GPU as cuda:N
    #[arg(long, default_value = "auto", value_parser = device)]
    device: DeviceChoice,
    /// After a failure, go on with what does not depend on it
    #[arg(short, long)]
    keep_going: bool,
    /// Run this stage even if its result is there; may be repeated
    #[arg(long, value_name = "STAGE")]
    force: Vec<String>,
    /// Ask the hub where the revisions of `hf://` names (`main`, where none is said) are now
    #[arg(long)]
    refresh: bool,
    /// Show what would run, and run nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Show failures and tables only
    #[arg(short, long)]
    quiet: bool,
    /// Write what happens to a file, as JSON lines
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

pub(super) fn run(args: &Args, command: &[OsString]) -> Result<Exit, Fault> {
    let worker = worker();
    let loaded = if args.dry_run {
        args.target.load()?
    } else {
        args.target.load_with(Hub::Ask { worker: &worker, refresh: args.refresh })?
    };
    let mut force = BTreeSet::new();
    for stage in &args.force {
        loaded.nodes(stage)?;
        let of_loop = loaded.spec.loops.get(stage).cloned();
        force.extend(of_loop.unwrap_or_else(|| vec![stage.clone()]));
    }
    if args.dry_run {
        let status = known(&loaded.plan, &loaded.store, &force)?;
        plan::print(&loaded, &status, false)?;
        return Ok(Exit::Done);
    }
    if let Err(error) = pipeline::remember(&loaded.store, &args.target.pipeline, &args.target.choice) {
        let text = format!("`why`, `show` and `logs` will want `--pipeline`: {error}");
        let told = Diagnostic::warning(Code::System, text).help("check that you may write to the cache");
        out::diagnostics(vec![told]);
    }
    let options = Options {
        jobs: args.jobs,
        threads: args.threads,
        device: args.device,
        keep_going: args.keep_going,
        force,
        worker,
        command: command.iter().map(|word| recorded(&word.to_string_lossy())).collect(),
        git_commit: git_commit(&args.target.pipeline),
    };
    let stop = Stop::install().map_err(|error| {
        Fault::failed(Code::System, format!("failed to watch for signals: {error}"), None)
    })?;
    let mut progress = Progress::on_stderr(args.quiet);
    let mut log = args.events.as_deref().map(event_log).transpose()?;
    let mut lost_events = None;
    let mut findings = Findings::default();
    let mut on_event = |event: Event| {
        progress.show(&event);
        if let Some(told) = findings.take(&loaded, &event) {
            progress.block(&told);
        }
        if let Some(Err(error)) = log.as_mut().map(|log| log.write(&event)) {
            lost_events.get_or_insert(error);
        }
    };

    let run = |options: &Options, on_event: &mut dyn FnMut(Event)| {
        exec::run(&loaded.plan, &loaded.store, options, &stop, on_event).map(ManuallyDrop::new)
    };
    // Left to the system, as `loaded` is.
    let mut outcome = run(&options, &mut on_event)?;
    let reports = &loaded.spec.reports;
    let tables = match results::tables(reports, &loaded, &outcome.outputs) {
        // A damaged result is found when it is read: it was set aside, and is made again now.
        Err(ReportError::Store(StoreError::Corrupt { digest })) if !stop.asked() => {
            on_event(Event::RunNote {
                level: Level::Warning,
                text: format!("a result in the store was damaged ({}); making it again", digest.short()),
            });
            let options = Options { force: BTreeSet::new(), ..options };
            outcome = run(&options, &mut on_event)?;
            results::tables(reports, &loaded, &outcome.outputs)
        }
        other => other,
    };
    progress.clear();
    if let Some(error) = lost_events {
        let text = format!("some events were not written: {error}");
        let told = Diagnostic::warning(Code::System, text)
            .help("the run itself lacks nothing; `tartan logs` has what stages said");
        out::diagnostics(vec![told]);
    }
    // Warnings went by while other stages ran; here they stand where the pipeline may be changed.
    if !args.quiet {
        out::diagnostics(findings.warnings);
    }
    let (tables, not_given) = tables?;
    let if_missing = if args.keep_going && !outcome.interrupted { IfMissing::Draw } else { IfMissing::Leave };
    let drawn = figures::draw(reports, &tables, &loaded, &outcome.outputs, if_missing);
    print(&tables, args.quiet);
    let drawn = drawn?;
    if !args.quiet {
        drawn.iter().for_each(out::note);
    }
    let not_given = out::diagnostics(not_given);
    Ok(if outcome.interrupted {
        Exit::Interrupted
    } else if outcome.failed + not_given > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// Prints the tables, and says of which stages there is none.
fn print(tables: &[Table], quiet: bool) {
    for table in tables {
        if !table.is_empty() {
            out::line("");
            out::bytes(results::for_terminal(table).as_bytes());
        } else if !quiet {
            for stage in &table.stages {
                out::note(format_args!("no table of `{stage}`: it is not among the targets"));
            }
        }
    }
}

/// Opens the file that gets the events.
fn event_log(path: &Path) -> Result<EventLog, Fault> {
    EventLog::create(path).map_err(|error| {
        let fault = Diagnostic::error(
            Code::System,
            format!("failed to write events to `{}`: {error}", path.display()),
        )
        .help("name a file in a folder that is there and that you may write to");
        Fault::wrong(vec![fault])
    })
}

/// A word of the command as records keep it: a URL's query may hold a token.
fn recorded(word: &str) -> String {
    if word.contains("://") { without_query(word) } else { word.to_owned() }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a whole number of at least 1".to_owned()),
    }
}

fn device(text: &str) -> Result<DeviceChoice, String> {
    match text {
        "auto" => Ok(DeviceChoice::Auto),
        "cpu" => Ok(DeviceChoice::Cpu),
        "cuda" => Ok(DeviceChoice::Cuda(None)),
        other => match other.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
            Some(n) => Ok(DeviceChoice::Cuda(Some(n))),
            None => Err("one of auto, cpu, cuda, cuda:N".to_owned()),
        },
    }
}

/// The worker's program: `TARTAN_WORKER`, else the one beside this program, else one on the path.
pub(super) fn worker() -> PathBuf {
    const NAME: &str = "tartan-worker";
    if let Some(path) = std::env::var_os("TARTAN_WORKER") {
        return path.into();
    }
    let beside =
        std::env::current_exe().ok().and_then(|own| Some(own.canonicalize().ok()?.parent()?.join(NAME)));
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(NAME)).find(|file| file.is_file())
    };
    match beside {
        Some(path) if path.is_file() => path,
        Some(path) => on_path().unwrap_or(path),
        None => on_path().unwrap_or_else(|| NAME.into()),
    }
}

/// The commit that the pipeline's repository is at, read from its files: starting `git` would take longer
/// than all else of a run that has nothing to do.
fn git_commit(pipeline: &Path) -> Option<String> {
    let pipeline = std::path::absolute(pipeline).ok()?;
    let git = pipeline.ancestors().skip(1).map(|folder| folder.join(".git")).find(|git| git.exists())?;
    let read = |path: PathBuf| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
    // In a worktree, `.git` is a file that names the folder.
    let git = if git.is_file() {
        git.parent()?.join(read(git.clone())?.strip_prefix("gitdir:")?.trim())
    } else {
        git
    };
    let head = read(git.join("HEAD"))?;
    let Some(reference) = head.strip_prefix("ref:").map(str::trim) else { return Some(head) };
    let common = read(git.join("commondir")).map_or_else(|| git.clone(), |common| git.join(common));
    read(git.join(reference)).or_else(|| read(common.join(reference))).or_else(|| {
        let packed = read(common.join("packed-refs"))?;
        let line = packed.lines().find(|line| line.ends_with(reference))?;
        Some(line.split_whitespace().next()?.to_owned())
    })
}
