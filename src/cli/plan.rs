//! `tartan plan`: what would run, why, and what waits on what.

use std::collections::BTreeSet;
use std::mem::ManuallyDrop;

use super::pipeline::{Loaded, TargetChoice};
use super::{Exit, Fault, out, why};
use crate::exec::{NodeStatus, Status, known};
use crate::plan::NodeId;
use crate::report::changes::Earlier;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetChoice,
    /// Exit with 3 when there is work to do
    #[arg(long)]
    check: bool,
    /// Show up-to-date stages too
    #[arg(short, long)]
    all: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let loaded = args.target.load()?;
    // Left to the system, as `loaded` is.
    let status = ManuallyDrop::new(known(&loaded.plan, &loaded.store, &BTreeSet::new())?);
    print(&loaded, &status, args.all)?;
    let work = status.cached() < loaded.plan.len();
    Ok(if args.check && work { Exit::Work } else { Exit::Done })
}

/// Prints a line a stage, and a sum.
pub(super) fn print(loaded: &Loaded, status: &Status, all: bool) -> Result<(), Fault> {
    let plan = &loaded.plan;
    let work = status.cached() < plan.len();
    let records = if work { loaded.store.all_records()? } else { vec![] };
    let earlier = Earlier::of(&records);
    let width = plan.ids().map(|id| plan.node(id).name.chars().count()).max().unwrap_or(0).min(48);
    let (mut runs, mut waits) = (0, 0);
    for (id, node_status) in status.iter() {
        let node = plan.node(id);
        let kind = node.action.kind();
        match node_status {
            NodeStatus::Cached(record) => {
                if all || !work {
                    out::line(format_args!(
                        "  cached  {:width$}  {kind:9}  {}",
                        node.name,
                        record.key.short()
                    ));
                }
            }
            NodeStatus::Run(manifest) => {
                runs += 1;
                let mut reasons = why::reasons(loaded, id, manifest, &earlier);
                if reasons.len() > 3 {
                    let more = reasons.len() - 2;
                    reasons.truncate(2);
                    reasons.push(format!("and {more} more changes"));
                }
                out::line(format_args!("  run     {:width$}  {kind:9}  {}", node.name, reasons.join("; ")));
            }
            NodeStatus::Waits(on) => {
                waits += 1;
                let on = waits_on(loaded, id, on);
                out::line(format_args!("  waits   {:width$}  {kind:9}  on {on}", node.name));
            }
        }
    }
    let mut sum = format!("{}: {} up to date", out::count(plan.len(), "stage"), status.cached());
    if work {
        sum = format!("{sum}, {runs} to run, {waits} waiting on what those make");
    }
    out::line(sum);
    Ok(())
}

/// What a node waits on, in words.
pub(super) fn waits_on(loaded: &Loaded, id: NodeId, on: &[NodeId]) -> String {
    if let Some(revision) = &loaded.plan.node(id).unresolved {
        return format!("the hub: `tartan run` asks which commit `{revision}` is");
    }
    let names: Vec<&str> = on.iter().map(|id| loaded.plan.node(*id).name.as_str()).collect();
    names.join(", ")
}
