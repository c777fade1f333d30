//! The set-up commands: get libtorch, build, and run, test or install.
//!
//! This program depends on nothing but the standard library, so that it is built in a second. What a
//! pipeline is, it does not know.

mod error;
mod host;
mod libtorch;
mod python;
mod tell;
mod wheels;

use error::Error;
use libtorch::Choice;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const HELP: &str = "\
The set-up commands of tartan. Each first sees to it that libtorch is there.

  cargo xtask run PIPELINE …   build with optimisation, then `tartan run PIPELINE …`
  cargo xtask test …           `cargo test …` for everything
  cargo xtask install …        `cargo install …`: tartan and tartan-worker into cargo's bin folder
  cargo xtask setup            nothing more; afterwards plain `cargo build` and editors work
  cargo xtask help             this text

libtorch is kept in the user's cache folder (XDG_CACHE_HOME, or else ~/.cache/tartan, on macOS
~/Library/Caches/tartan) and linked from here as .libtorch. TARTAN_LIBTORCH chooses it:

  (unset)              a torch of the right version in python3; else a download that fits this machine
  download             the download, whatever python3 has
  cpu, cuda            the download without or with CUDA, whether or not a GPU is here
  /path/to/libtorch    a libtorch unpacked by hand";

fn main() -> ExitCode {
    match run(env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        // What failed has already said why.
        Err(error @ Error::Failed(_)) => ExitCode::from(error.code()),
        Err(error) => {
            tell::say(format_args!("error: {error}"));
            ExitCode::from(error.code())
        }
    }
}

fn run(mut arguments: Vec<OsString>) -> Result<(), Error> {
    let rest = if arguments.is_empty() { Vec::new() } else { arguments.split_off(1) };
    let command = arguments.first().map(|command| command.to_string_lossy().into_owned());
    match command.as_deref() {
        Some("run") => {
            setup()?;
            finish(cargo("build").args(["--release", "--bins"]))?;
            become_program(
                cargo("run").args(["--release", "--quiet", "--bin", "tartan", "--", "run"]).args(rest),
            )
        }
        Some("test") => {
            setup()?;
            become_program(cargo("test").arg("--workspace").args(rest))
        }
        Some("install") => {
            setup()?;
            // cargo takes the settings (`.cargo/config.toml`) from the folder it runs in.
            become_program(
                cargo("install").args(["--locked", "--path", "."]).args(rest).current_dir(checkout()),
            )
        }
        Some("setup") if rest.is_empty() => setup(),
        Some("setup") => Err(Error::Usage("`cargo xtask setup` takes no arguments".to_owned())),
        None | Some("help" | "--help" | "-h") => {
            tell::print(HELP);
            Ok(())
        }
        Some(other) => Err(Error::Usage(format!("`{other}` is not a command"))),
    }
}

fn setup() -> Result<(), Error> {
    libtorch::ensure(&checkout(), &Choice::parse(env::var_os("TARTAN_LIBTORCH"))?)
}

/// The root of the repository. cargo says where this program's sources are, also after they were moved.
fn checkout() -> PathBuf {
    let mut folder =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into()));
    folder.pop();
    folder
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    // This one, when set to anything, makes torch-sys ask python3 instead of `.libtorch`.
    cargo.arg(command).env_remove("LIBTORCH_USE_PYTORCH");
    cargo
}

fn finish(command: &mut Command) -> Result<(), Error> {
    let status = command.status().map_err(|source| not_started(command, source))?;
    if status.success() {
        return Ok(());
    }
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Err(Error::Failed(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Let the command take this process's place: signals and the exit code are then its own.
fn become_program(command: &mut Command) -> Result<(), Error> {
    let source = command.exec();
    Err(not_started(command, source))
}

fn not_started(command: &Command, source: std::io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}
