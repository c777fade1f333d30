//! `tartan cache`: what the store holds, whether it is sound, and what may go.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::pipeline::{self, Choice};
use super::{Exit, Fault, out};
use crate::diag::{Code, Diagnostic};
use crate::exec::{NodeStatus, known};
use crate::store::{Record, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show how much space the store takes, by what made it
    Du(StoreArgs),
    /// Read every object and record again; bad ones are set aside, and made again when needed
    Verify(StoreArgs),
    /// Remove what the named pipelines do not reach; says first what that would free
    Gc(GcArgs),
}

#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// The store's folder [default: `cache` in the nearest folder upwards that has one or is a git root]
    #[arg(long, value_name = "DIR", env = "TARTAN_CACHE")]
    cache: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct GcArgs {
    /// The pipelines whose results stay
    #[arg(required = true)]
    pipelines: Vec<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// Say what would be freed, and free nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    match &args.command {
        Command::Du(args) => du(&open(args)?),
        Command::Verify(args) => verify(&open(args)?),
        Command::Gc(args) => gc(args),
    }
}

fn open(args: &StoreArgs) -> Result<Store, Fault> {
    let choice = Choice { cache: args.cache.clone(), ..Choice::default() };
    let root = pipeline::store_root(Path::new("."), &choice);
    if !root.is_dir() {
        let fault = Diagnostic::error(Code::NoStore, format!("there is no store at {}", root.display()))
            .help("name it with `--cache DIR`, or run this where the pipeline is");
        return Err(Fault::wrong(vec![fault]));
    }
    Ok(Store::open(&root)?)
}

fn du(store: &Store) -> Result<Exit, Fault> {
    let usage = store.usage()?;
    out::line(store.root().display());
    for (name, amount) in [
        ("objects", &usage.objects),
        ("records", &usage.records),
        ("logs", &usage.logs),
        ("partial", &usage.partial),
        ("quarantine", &usage.quarantine),
        ("scratch", &usage.scratch),
    ] {
        out::line(format_args!("  {name:12} {:>9}  {}", out::size(amount.bytes), amount.count));
    }
    if !usage.by_kind.is_empty() {
        out::line("objects by the kind of stage that made them (shared ones count for each)");
        for (kind, amount) in &usage.by_kind {
            out::line(format_args!("  {kind:12} {:>9}  {}", out::size(amount.bytes), amount.count));
        }
    }
    Ok(Exit::Done)
}

fn verify(store: &Store) -> Result<Exit, Fault> {
    let faults = store.verify(|_| {})?;
    for fault in &faults {
        out::line(fault);
    }
    if faults.is_empty() {
        let usage = store.usage()?;
        out::line(format_args!(
            "{} objects and {} records are sound",
            usage.objects.count, usage.records.count
        ));
        return Ok(Exit::Done);
    }
    out::line(format_args!(
        "{} set aside; the next run makes them again where they are needed",
        out::count(faults.len(), "fault")
    ));
    Ok(Exit::Failed)
}

fn gc(args: &GcArgs) -> Result<Exit, Fault> {
    let mut keep = BTreeSet::new();
    let mut stores: Vec<Store> = vec![];
    for file in &args.pipelines {
        let loaded = pipeline::load(file, &[], &args.choice)?;
        let status = known(&loaded.plan, &loaded.store, &BTreeSet::new())?;
        let records = loaded.store.all_records()?;
        for (id, status) in status.iter() {
            let node = loaded.plan.node(id);
            let is_latest = |record: &&Record| {
                let made = &record.provenance;
                made.stage == node.name && made.pipeline == loaded.plan.pipeline
            };
            let kept = match status {
                NodeStatus::Cached(record) => Some(record.key),
                // It may have a record whose objects are lost, and what an interrupted run of it left.
                NodeStatus::Run(manifest) => Some(manifest.key()),
                // Once what it waits for is made (again), its last result may well be the right one: a
                // damaged input must not cost the days of training that follow from it.
                NodeStatus::Waits(_) => {
                    let last = records.iter().filter(is_latest);
                    last.max_by_key(|record| record.provenance.started).map(|record| record.key)
                }
            };
            keep.extend(kept);
        }
        stores.push(loaded.store);
    }
    let store = &stores[0];
    if let Some(other) = stores.iter().find(|other| other.root() != store.root()) {
        let fault = Diagnostic::error(Code::DifferentStores, "these pipelines have different stores")
            .note(format!("{} and {}", store.root().display(), other.root().display()))
            .help("name one store with `--cache DIR`, or collect them apart");
        return Err(Fault::wrong(vec![fault]));
    }
    let would = store.gc(&keep, true)?;
    for record in &would.list {
        out::line(format_args!(
            "  {:>9}  {:9}  {} of {}",
            out::size(record.bytes),
            record.kind,
            record.stage,
            record.pipeline
        ));
    }
    if would.partial.count > 0 {
        let size = out::size(would.partial.bytes);
        out::line(format_args!(
            "  {size:>9}  of unfinished stages, which these pipelines would not go on with"
        ));
    }
    let kept = store.all_records()?.iter().filter(|record| keep.contains(&record.key)).count();
    let total = would.total();
    out::line(format_args!(
        "{} would be freed: {} of stages, {}; {} kept",
        out::size(total.bytes),
        out::count(usize::try_from(would.records.count).unwrap_or(usize::MAX), "result"),
        out::count(usize::try_from(would.objects.count).unwrap_or(usize::MAX), "object"),
        out::count(kept, "result"),
    ));
    if args.dry_run || total.count == 0 {
        return Ok(Exit::Done);
    }
    if !args.yes && !agreed()? {
        return Ok(Exit::Done);
    }
    let freed = store.gc(&keep, false)?;
    out::line(format_args!("freed {}", out::size(freed.total().bytes)));
    Ok(Exit::Done)
}

fn agreed() -> Result<bool, Fault> {
    if !std::io::stdin().is_terminal() {
        let fault = Diagnostic::error(Code::NobodyToAsk, "nobody is there to agree")
            .help("add `--yes` to free it, or `--dry-run` to only look");
        return Err(Fault::wrong(vec![fault]));
    }
    let failed = |error: std::io::Error| Fault::failed(Code::System, format!("failed to ask: {error}"), None);
    write!(std::io::stderr(), "free it? [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
