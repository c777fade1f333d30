//! `tartan man`: manual pages, made from what `--help` is made of.

use std::path::PathBuf;

use super::{Exit, Fault, command, out};
use crate::diag::Code;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to write a page of each command to [default: print tartan(1)]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let Some(dir) = &args.dir else {
        let mut page = vec![];
        clap_mangen::Man::new(command()).render(&mut page).map_err(|error| {
            Fault::failed(Code::System, format!("failed to make the page: {error}"), None)
        })?;
        out::bytes(&page);
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command(), dir)).map_err(
        |error| {
            Fault::failed(
                Code::System,
                format!("failed to write pages to `{}`: {error}", dir.display()),
                None,
            )
        },
    )?;
    out::note(format_args!(
        "wrote tartan.1 and a page of each command; `man -l {}/tartan.1` shows it",
        dir.display()
    ));
    Ok(Exit::Done)
}
