//! `tartan completions`: what a shell completes the command line from.

use super::{Exit, command, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args) -> Exit {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut command(), "tartan", &mut script);
    out::bytes(&script);
    Exit::Done
}
