//! `tartan check`

use std::path::PathBuf;

use super::pipeline::{self, Choice, Hub, Loaded};
use super::{Exit, Fault, out};
use crate::diag::{self, Diagnostic};
use crate::plan;
use crate::spec::Spec;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline's file
    pipeline: PathBuf,
    #[command(flatten)]
    choice: Choice,
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
    let (mut loaded, mut diagnostics) =
        diagnose(Spec::load(&args.pipeline, &args.choice.overrides()), &args.choice)?;
    if args.choice.profiles.is_empty() {
        let profiles = match &loaded {
            Some(loaded) => loaded.spec.profiles.clone(),
            None => Spec::load(&args.pipeline, &args.choice.overrides()).0.profiles,
        };
        for profile in profiles {
            if !is_sound_with(&profile, args, &mut diagnostics)? {
                loaded = None;
            }
        }
    }
    if args.format == Format::Json {
        diag::sort(&mut diagnostics);
        out::line(diag::json(&diagnostics));
        return Ok(if loaded.is_some() { Exit::Done } else { Exit::Wrong });
    }
    let Some(loaded) = loaded else { return Err(Fault::wrong(diagnostics)) };
    out::diagnostics(diagnostics);
    out::line(format_args!(
        "{}: sound; {} at {}",
        args.pipeline.display(),
        out::count(loaded.plan.len(), "stage"),
        out::count(loaded.spec.points.len(), "sweep point")
    ));
    Ok(Exit::Done)
}

/// Whether the pipeline is sound under one of its profiles. What is wrong with it only there joins the diagnostics.
fn is_sound_with(profile: &str, args: &Args, diagnostics: &mut Vec<Diagnostic>) -> Result<bool, Fault> {
    let choice = Choice { profiles: vec![profile.to_owned()], ..args.choice.clone() };
    let (loaded, found) = diagnose(Spec::load(&args.pipeline, &choice.overrides()), &choice)?;
    for fault in found {
        let is_same = |known: &Diagnostic| {
            (known.code, &known.place, &known.message) == (fault.code, &fault.place, &fault.message)
        };
        if !diagnostics.iter().any(is_same) {
            diagnostics.push(fault.note(format!("with `--profile {profile}`")));
        }
    }
    Ok(loaded.is_some())
}

/// All that is wrong with a pipeline, and what is only odd.
pub(super) fn diagnose(
    spec: (Spec, Vec<Diagnostic>),
    choice: &Choice,
) -> Result<(Option<Loaded>, Vec<Diagnostic>), Fault> {
    let (loaded, mut diagnostics) = pipeline::inspect(spec, &[], choice, Hub::Tell)?;
    diagnostics.extend(loaded.iter().flat_map(|loaded| plan::unneeded(&loaded.spec)));
    Ok((loaded, diagnostics))
}
