//! `tartan logs`

use super::pipeline::StageChoice;
use super::{Exit, Fault, out};
use crate::diag::Code;
use crate::exec::NodeStatus;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageChoice,
    /// Print only where the log is
    #[arg(long)]
    path: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let (loaded, ids, status) = args.stage.look_up()?;
    let several = ids.len() > 1;
    let mut printed = false;
    for id in ids {
        let node = loaded.plan.node(id);
        let key = match status.node(id) {
            NodeStatus::Cached(record) => Some(record.key),
            NodeStatus::Run(manifest) => Some(manifest.key()),
            NodeStatus::Waits(_) => {
                loaded.store.latest(&node.name, &loaded.plan.pipeline)?.map(|record| record.key)
            }
        };
        let path = key.map(|key| loaded.store.log_path(&key)).filter(|path| path.exists());
        let Some(path) = path else {
            out::note(format_args!("{}: no log; it has not run yet", node.name));
            continue;
        };
        printed = true;
        if args.path {
            out::line(path.display());
            continue;
        }
        if several {
            out::line(format_args!("== {} ({})", node.name, path.display()));
        }
        let bytes = std::fs::read(&path).map_err(|error| {
            Fault::failed(Code::System, format!("failed to read {}: {error}", path.display()), None)
        })?;
        out::bytes(&bytes);
    }
    Ok(if printed { Exit::Done } else { Exit::Failed })
}
