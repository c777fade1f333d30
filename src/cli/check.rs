//! `tartan check`

use std::path::PathBuf;

use super::{Exit, Fault, out, pipeline};
use crate::diag;
use crate::spec::Spec;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline's file
    pipeline: PathBuf,
    #[command(flatten)]
    choice: pipeline::Choice,
    /// How to print what is wrong
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For the terminal
    Text,
    /// For editors and scripts: one document on standard output, sound or not. Lines and columns count from 1
    Json,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    if args.format == Format::Json {
        return as_json(args);
    }
    let loaded = pipeline::load(&args.pipeline, &[], &args.choice)?;
    out::line(format_args!(
        "{}: sound; {} at {}",
        args.pipeline.display(),
        out::count(loaded.plan.len(), "stage"),
        out::count(loaded.spec.points.len(), "sweep point")
    ));
    Ok(Exit::Done)
}

fn as_json(args: &Args) -> Result<Exit, Fault> {
    let spec = Spec::load(&args.pipeline, &args.choice.sets);
    let (loaded, mut diagnostics) = pipeline::inspect(spec, &[], &args.choice)?;
    diag::sort(&mut diagnostics);
    out::line(diag::json(&diagnostics));
    Ok(if loaded.is_some() { Exit::Done } else { Exit::Wrong })
}
