//! The command line: one file a command.
//!
//! Results go to standard output, everything else to standard error. Exit codes are in [`Exit`], the one
//! place that says what they mean.

mod cache;
mod check;
mod compare;
mod completions;
mod doctor;
mod encoders;
mod failures;
mod figures;
mod fmt;
mod graph;
mod help;
mod logs;
mod man;
mod new;
mod out;
mod pipeline;
mod plan;
mod results;
mod revisions;
mod run;
mod schema;
mod show;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::diag::{Code, Diagnostic};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: a stage failed, or the store is damaged.
    Failed,
    /// 2: the pipeline or the command is wrong; nothing was run.
    Wrong,
    /// 3: `tartan plan --check`, `tartan fmt --check`: there is work to do.
    Work,
    /// 130: a signal stopped it; what was finished is kept.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Wrong => 2,
            Self::Work => 3,
            Self::Interrupted => 130,
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a stage failed, or the store is damaged
  2    the pipeline or the command is wrong; nothing was run
  3    `plan --check`, `fmt --check`: there is work to do
  130  a signal stopped it; what was finished is kept";

/// Runs pipelines of end-task-aware training: only what changed, every artifact kept.
#[derive(Debug, Parser)]
#[command(name = "tartan", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run what the targets need and the store lacks; end with the tables
    Run(run::Args),
    /// Show what would run, why, and what waits on what
    Plan(plan::Args),
    /// Show why a stage would run, or what its cached result came from
    Why(why::Args),
    /// Draw the stages and what they need
    Graph(graph::Args),
    /// Look for faults without running anything
    Check(check::Args),
    /// Table the results of a sweep: mean ± sd, best in bold, tests against a baseline
    Results(results::Args),
    /// Show two results side by side: metrics, and what differs in how they were made
    Compare(compare::Args),
    /// Show a stage's artifacts, parameters and provenance
    Show(show::Args),
    /// Print what a stage's worker logged
    Logs(logs::Args),
    /// Look after the store
    Cache(cache::Args),
    /// Explain a fault by its code, or show how a command is used
    Help(help::Args),
    /// Make a first pipeline from your own labelled data
    New(new::Args),
    /// Make pipelines tidy; comments stay, and so does every key
    Fmt(fmt::Args),
    /// Print a JSON Schema of pipelines, for editors
    Schema,
    /// Print a script by which a shell completes the command line
    Completions(completions::Args),
    /// Write manual pages
    Man(man::Args),
    /// Look whether what a run needs is there: worker, devices, cache, hub
    Doctor(doctor::Args),
}

/// The command line, for what is made from it.
fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line `args` (the program's name first) and returns the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no faults: clap knows which stream and code they want.
            let code = if error.use_stderr() { Exit::Wrong } else { Exit::Done };
            return match error.print() {
                Ok(()) => ExitCode::from(code.code()),
                Err(_) => ExitCode::from(Exit::Failed.code()),
            };
        }
    };
    let result = match cli.command {
        Command::Run(args_of) => run::run(&args_of, &args),
        Command::Plan(args) => plan::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Results(args) => results::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Help(args) => help::run(&args),
        Command::New(args) => new::run(&args),
        Command::Fmt(args) => fmt::run(&args),
        Command::Schema => Ok(schema::run()),
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Man(args) => man::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    let exit = result.unwrap_or_else(|fault| {
        out::fault(&fault);
        fault.exit
    });
    ExitCode::from(exit.code())
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Fault {
    exit: Exit,
    diagnostics: Vec<Diagnostic>,
}

impl Fault {
    /// The user's mistake: exit code 2.
    fn wrong(diagnostics: Vec<Diagnostic>) -> Self {
        Self { exit: Exit::Wrong, diagnostics }
    }

    /// The machine's, the store's or a stage's: exit code 1.
    fn failed(code: Code, message: impl Into<String>, help: Option<String>) -> Self {
        let mut diagnostic = Diagnostic::error(code, message);
        diagnostic.help = help;
        Self { exit: Exit::Failed, diagnostics: vec![diagnostic] }
    }
}

impl From<crate::store::StoreError> for Fault {
    fn from(error: crate::store::StoreError) -> Self {
        let help = error.help();
        Self::failed(error.code(), error.to_string(), help)
    }
}

impl From<crate::report::ReportError> for Fault {
    fn from(error: crate::report::ReportError) -> Self {
        match error {
            crate::report::ReportError::Store(error) => error.into(),
            other => Self::failed(Code::System, other.to_string(), None),
        }
    }
}

impl From<crate::exec::ExecError> for Fault {
    fn from(error: crate::exec::ExecError) -> Self {
        match error {
            crate::exec::ExecError::Store(error) => error.into(),
            other => {
                let help = other.help();
                Self::failed(Code::NoWorker, other.to_string(), help)
            }
        }
    }
}
