//! `tartan show`: a stage's artifacts, parameters and provenance.

use super::pipeline::{Loaded, StageChoice};
use super::{Exit, Fault, out};
use crate::action::roles;
use crate::diag::Code;
use crate::diag::without_query;
use crate::exec::NodeStatus;
use crate::plan::Input;
use crate::report::changes::flatten;
use crate::store::Record;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageChoice,
    /// Print the record as JSON, a line a stage
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let (loaded, ids, status) = args.stage.look_up()?;
    for (i, id) in ids.into_iter().enumerate() {
        let node = loaded.plan.node(id);
        let NodeStatus::Cached(artifacts) = status.node(id) else {
            out::note(format_args!(
                "{}: no result yet; `tartan why {}` says what it waits for",
                node.name, node.stage
            ));
            continue;
        };
        let record = loaded.record(&artifacts.key)?;
        if args.json {
            let text = serde_json::to_string(&record).map_err(|error| {
                Fault::failed(Code::System, format!("failed to write the record as JSON: {error}"), None)
            })?;
            out::line(text);
            continue;
        }
        if i > 0 {
            out::line("");
        }
        let kind = node.action.kind();
        out::line(format_args!("{}  ({kind})  {}", node.name, record.key));
        out::line("  artifacts");
        for (name, output) in &record.outputs {
            let path = loaded.store.object(&output.digest);
            out::line(format_args!("    {name:24} {:>9}  {}", out::size(output.size), path.display()));
        }
        out::line("  parameters (the rest are at their defaults)");
        for (path, value) in flatten(&record.manifest.parameters) {
            out::line(format_args!("    {:24} {value}", path.join(".")));
        }
        if !node.urls.is_empty() {
            let urls: Vec<String> = node.urls.iter().map(|url| without_query(url)).collect();
            out::line(format_args!("  from {}", urls.join(", ")));
        }
        out::line("  inputs");
        for (role, digest) in &record.manifest.inputs {
            let from = match node.source(role) {
                Some(Input::File { name, .. }) => name,
                Some(Input::Output { node, .. }) => loaded.plan.node(node).name.clone(),
                Some(Input::Folder { .. }) | None => String::new(),
            };
            out::line(format_args!("    {role:32} {}  {from}", digest.short()));
        }
        provenance(&record);
        summary(&loaded, &record)?;
    }
    Ok(Exit::Done)
}

fn provenance(record: &Record) {
    let made = &record.provenance;
    out::line("  provenance");
    out::line(format_args!("    {:24} {}", "command", made.command.join(" ")));
    if let Some(commit) = &made.git_commit {
        out::line(format_args!("    {:24} {commit}", "git commit"));
    }
    for (what, version) in &made.versions {
        out::line(format_args!("    {:24} {version}", format!("{what} version")));
    }
    out::line(format_args!(
        "    {:24} {}, {}, {}",
        "where",
        made.host,
        made.device,
        out::count(made.threads, "thread")
    ));
    let started = std::time::UNIX_EPOCH + std::time::Duration::from_secs(made.started);
    let started = humantime::format_rfc3339_seconds(started);
    out::line(format_args!("    {:24} {started}, took {:.1} s", "when", made.seconds));
    if let Some(peak) = made.peak_memory {
        out::line(format_args!("    {:24} {}", "peak memory", out::size(peak)));
    }
}

/// What the small JSON artifacts of a stage say.
fn summary(loaded: &Loaded, record: &Record) -> Result<(), Fault> {
    for file in [roles::METRICS, roles::TRAIN, roles::ENCODER, roles::STATS] {
        let Some(output) = record.outputs.get(file) else { continue };
        let bytes = loaded.store.read(&output.digest)?;
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&bytes) else { continue };
        out::line(format_args!("  {file}"));
        for (path, value) in flatten(&value).into_iter().take(40) {
            out::line(format_args!("    {:24} {value}", path.join(".")));
        }
    }
    Ok(())
}
