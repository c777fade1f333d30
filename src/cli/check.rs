//! `tartan check`

use std::path::PathBuf;

use super::{Exit, Fault, out, pipeline};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline's file
    pipeline: PathBuf,
    #[command(flatten)]
    choice: pipeline::Choice,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let loaded = pipeline::load(&args.pipeline, &[], &args.choice)?;
    out::line(format_args!(
        "{}: sound; {} at {}",
        args.pipeline.display(),
        out::count(loaded.plan.len(), "stage"),
        out::count(loaded.spec.points.len(), "sweep point")
    ));
    Ok(Exit::Done)
}
