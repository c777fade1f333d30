//! `tartan why`: what changed since the nearest earlier result.

use super::pipeline::{Loaded, StageChoice};
use super::{Exit, Fault, out, plan};
use crate::action::{Action, Manifest};
use crate::exec::NodeStatus;
use crate::plan::{Input, NodeId};
use crate::report::changes::{Change, Earlier, changes};
use crate::store::Record;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageChoice,
    /// Print the whole key: every parameter and the digest of every input
    #[arg(long)]
    key: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let (loaded, ids, status) = args.stage.look_up()?;
    let records = loaded.store.all_records()?;
    let earlier = Earlier::of(&records);
    for id in ids {
        let node = loaded.plan.node(id);
        match status.node(id) {
            NodeStatus::Cached(artifacts) => {
                let record = loaded.record(&artifacts.key)?;
                let made = &record.provenance;
                out::line(format_args!("{}: up to date", node.name));
                out::line(format_args!(
                    "  key {}, made by `{}` in {:.1} s",
                    record.key,
                    made.command.join(" "),
                    made.seconds
                ));
                if args.key {
                    print_key(&record.manifest);
                }
            }
            NodeStatus::Run(manifest) => {
                out::line(format_args!("{}: would run", node.name));
                for reason in reasons(&loaded, id, manifest, &earlier) {
                    out::line(format_args!("  {reason}"));
                }
                if args.key {
                    print_key(manifest);
                }
            }
            NodeStatus::Waits(on) => {
                out::line(format_args!("{}: waits on {}", node.name, plan::waits_on(&loaded, id, on)));
                out::line("  it runs if what they make differs from what it was made from");
            }
        }
    }
    Ok(Exit::Done)
}

/// Why a node would run, a line a reason.
pub(super) fn reasons(loaded: &Loaded, id: NodeId, manifest: &Manifest, earlier: &Earlier) -> Vec<String> {
    let node = loaded.plan.node(id);
    // Another file's digest explains nothing of a fetch.
    let says_something =
        |record: &&Record| !matches!(node.action, Action::Fetch(_)) || record.provenance.stage == node.name;
    let record = earlier.nearest(manifest, &node.name, &loaded.plan.pipeline).filter(says_something);
    let Some(record) = record else {
        return vec!["never run".to_owned()];
    };
    let found = changes(&record.manifest, manifest);
    if found.is_empty() {
        // A damaged record is found when the run reads it; here it is as good as gone.
        let is_there = loaded.store.record(&record.key).is_ok_and(|record| record.is_some());
        let why = if is_there { "forced" } else { "its result is gone from the store" };
        return vec![why.to_owned()];
    }
    found.into_iter().map(|change| explain(loaded, id, change)).collect()
}

fn explain(loaded: &Loaded, id: NodeId, change: Change) -> String {
    let node = loaded.plan.node(id);
    match change {
        Change::Revision { old, new } => {
            format!("this version of tartan makes `{}` anew (revision {old} → {new})", node.action.kind())
        }
        Change::Parameter { path, old, new } => {
            let place = loaded.spec.field_place(&node.stage, &path);
            let place = place
                .map(|p| format!("  ({}:{}:{})", p.file.display(), p.line, p.column))
                .unwrap_or_default();
            let side = |value: Option<String>| value.unwrap_or_else(|| "default".to_owned());
            format!("{}: {} → {}{place}", path.join("."), side(old), side(new))
        }
        Change::Input { role, old, new } => {
            let what = match node.source(&role) {
                Some(Input::File { name, .. }) if role.starts_with("program/") => format!("program {name}"),
                Some(Input::File { name, .. }) => format!("file {name}"),
                Some(Input::Output { node, file }) => format!("{file} of {}", loaded.plan.node(node).name),
                Some(Input::Folder { .. }) | None => role,
            };
            match (old, new) {
                (Some(old), Some(new)) => format!("{what} changed: {} → {}", old.short(), new.short()),
                (None, _) => format!("{what} is new"),
                (_, None) => format!("{what} is no longer read"),
            }
        }
    }
}

fn print_key(manifest: &Manifest) {
    match serde_json::to_string_pretty(manifest) {
        Ok(text) => out::line(text),
        Err(error) => out::note(format_args!("warning: the key cannot be printed: {error}")),
    }
}
