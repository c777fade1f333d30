//! `tartan graph`

use super::pipeline::TargetChoice;
use super::{Exit, Fault, out};
use crate::report::graph::{Format, render};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    target: TargetChoice,
    /// How to draw
    #[arg(long, value_enum, default_value = "text")]
    format: FormatName,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    /// For the terminal
    Text,
    /// For Markdown
    Mermaid,
    /// For graphviz
    Dot,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let loaded = args.target.load()?;
    let format = match args.format {
        FormatName::Text => Format::Text,
        FormatName::Mermaid => Format::Mermaid,
        FormatName::Dot => Format::Dot,
    };
    out::bytes(render(&loaded.plan, format).as_bytes());
    Ok(Exit::Done)
}
