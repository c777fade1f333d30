//! `command`: runs a program of the user's in a fresh folder where only its declared inputs are, and keeps what it was
//! to make.
//!
//! The folder keeps honest programs honest: what is not declared is not there. It is no sandbox: an absolute path
//! leads out of it, and the network is there.

mod folder;
mod processes;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, set_parent_process_death_signal};
use signal_hook::consts::{SIGKILL, SIGTERM};
use signal_hook::low_level::signal_name;
use tartan::action::{self, PARAMS, roles};
use tartan::diag::Code;
use tartan::event::{Failure, Level, some_of};

use super::{Io, model, write_failure};
use folder::Left;
pub use processes::end_descendants;

/// The longest wait between two looks at the program.
const LONGEST_TICK: Duration = Duration::from_millis(50);
/// Variables of this process that a program sees too: how many threads to take.
const THREADS: [&str; 4] =
    ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "TOKENIZERS_PARALLELISM"];
const GPUS: &str = "CUDA_VISIBLE_DEVICES";
/// The mode of every input, whatever the user's file has: the key does not hold it.
const INPUT_MODE: u32 = 0o555;

/// The folders of one attempt.
struct Place {
    /// Where the program runs.
    work: PathBuf,
    /// Its `HOME`.
    home: PathBuf,
    /// Its `TMPDIR`.
    tmp: PathBuf,
}

/// Runs the program and moves its outputs to where the store takes them from.
pub fn run(action: &action::Command, io: &Io) -> Result<(), Failure> {
    let place = prepare(io)?;
    let inputs = lay_out(action, io, &place.work)?;
    let program = program(action, io)?;
    let mut command = Command::new(&program);
    command
        .args(action.run.iter().skip(1))
        .current_dir(&place.work)
        .env_clear()
        .envs(environment(io, &place))
        .envs(&action.env)
        .stdin(Stdio::null())
        // Its output is this process's log; this process's own output is for messages.
        .stdout(log()?);
    let status = wait(command, &action.run[0], io)?;
    if !status.success() {
        // `shell: LINE` came as this.
        let field = if action.run.get(1).is_some_and(|flag| flag == "-ec") { "shell" } else { "run" };
        return Err(ended_badly(&action.run[0], status, &inputs).at(field));
    }
    let Left { undeclared } = folder::keep(&place.work, &io.request.out, &action.outputs, &inputs)?;
    if !undeclared.is_empty() {
        let text = format!("left in its folder, and not kept: {}", some_of(&undeclared));
        io.note(Level::Info, text);
    }
    for (name, why) in folder::json_faults(&io.request.out, &action.outputs) {
        let text = format!(
            "`{name}` is no JSON: {why}; NaN and Infinity are none: write null, or leave the name out \
             (a table has such a number as missing)"
        );
        io.note(Level::Warning, text);
    }
    Ok(())
}

/// Makes the folders, beside the one for outputs: the file system of the store, so that files move.
fn prepare(io: &Io) -> Result<Place, Failure> {
    let beside = |name: &str| {
        let path = std::path::absolute(io.request.out.with_file_name(name))
            .map_err(|error| Failure::new(Code::System, error))?;
        fs::create_dir(&path).map_err(|error| write_failure(&path, &error))?;
        Ok(path)
    };
    Ok(Place { work: beside("work")?, home: beside("home")?, tmp: beside("tmp")? })
}

/// Puts the inputs into the program's folder, and returns their names.
fn lay_out(action: &action::Command, io: &Io, work: &Path) -> Result<Vec<String>, Failure> {
    let mut names = vec![];
    for role in io.request.inputs.keys() {
        let Some(name) = role.strip_prefix(roles::INPUTS) else {
            io.verify(role)?;
            continue;
        };
        let to = work.join(name);
        make_folder_of(&to)?;
        io.copy(role, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(INPUT_MODE))
            .map_err(|error| write_failure(&to, &error))?;
        names.push(name.to_owned());
    }
    if !action.params.is_empty() {
        let path = work.join(PARAMS);
        fs::write(&path, model::pretty_json(&action.params)?)
            .map_err(|error| write_failure(&path, &error))?;
        names.push(PARAMS.to_owned());
    }
    // The folders that its outputs go to are there; one that is an output itself is the program's to make.
    for output in &action.outputs {
        make_folder_of(&work.join(output.trim_end_matches('/')))?;
    }
    Ok(names)
}

fn make_folder_of(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).map_err(|error| write_failure(folder, &error))
}

/// The program's path: the user's own, so that a virtual environment knows itself.
fn program(action: &action::Command, io: &Io) -> Result<PathBuf, Failure> {
    let name = action.run.first().map_or("", String::as_str);
    let Some(file) = io.request.inputs.get(&roles::program(name)) else {
        return Err(Failure::defect(format!("the request has no program `{name}`")));
    };
    std::path::absolute(&file.path).map_err(|error| Failure::new(Code::System, error))
}

fn log() -> Result<Stdio, Failure> {
    let log = std::io::stderr().as_fd().try_clone_to_owned();
    log.map(Stdio::from).map_err(|error| Failure::new(Code::System, format!("cannot write the log: {error}")))
}

/// What the program sees of the environment but for its own `env`.
fn environment(io: &Io, place: &Place) -> Vec<(String, OsString)> {
    let mut all: Vec<(&str, OsString)> = vec![
        ("HOME", place.home.clone().into()),
        ("TMPDIR", place.tmp.clone().into()),
        ("LANG", "C.UTF-8".into()),
        // Python's sets come in the same order each time, its log at once, and its folder stays as it is.
        ("PYTHONHASHSEED", "0".into()),
        ("PYTHONUNBUFFERED", "1".into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
        (GPUS, gpu(&io.request.device, env::var_os(GPUS))),
    ];
    let seen =
        ["PATH"].into_iter().chain(THREADS).chain(io.request.means.pass_env.iter().map(String::as_str));
    all.extend(seen.filter_map(|name| Some((name, env::var_os(name)?))));
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The GPU of a device as CUDA counts them: one of those that this process may see. None on the CPU.
fn gpu(device: &str, visible: Option<OsString>) -> OsString {
    let Some(index) = device.strip_prefix("cuda:") else { return OsString::new() };
    let visible = visible.map(|list| list.to_string_lossy().into_owned()).unwrap_or_default();
    let of_list = index.parse().ok().and_then(|at: usize| visible.split(',').nth(at)).map(str::trim);
    of_list.filter(|name| !name.is_empty()).unwrap_or(index).into()
}

/// Starts the program and waits for its end; what it leaves running is ended too.
#[expect(unsafe_code, reason = "asking the system for a signal between fork and exec is one plain call")]
fn wait(mut command: Command, name: &str, io: &Io) -> Result<ExitStatus, Failure> {
    let asked_to_end = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&asked_to_end))
        .map_err(|error| Failure::new(Code::System, error))?;
    processes::adopt_orphans()?;
    // SAFETY: the closure allocates nothing and takes no lock: it is one system call.
    unsafe {
        // Should this process be killed, the program is killed as well.
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into));
    }
    let started = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| Failure::new(Code::NoProgram, format!("cannot start `{name}`: {error}")))?;
    let mut tick = Duration::from_millis(1);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) => {}
            Err(error) => {
                break Err(Failure::new(Code::System, format!("cannot wait for `{name}`: {error}")));
            }
        }
        if asked_to_end.load(Ordering::Relaxed) {
            break Err(Failure::new(Code::WorkerEnded, "it was asked to end"));
        }
        if let Some(limit) = io.request.means.timeout.filter(|limit| started.elapsed() >= *limit) {
            let limit = humantime::format_duration(limit);
            break Err(Failure::new(
                Code::CommandFailed,
                format!("`{name}` took longer than its `timeout` of {limit}, and was killed"),
            )
            .at("timeout")
            .help("give it more time, or leave `timeout` out"));
        }
        thread::sleep(tick);
        tick = (tick * 2).min(LONGEST_TICK);
    };
    // One that has exited is gone already, and its exit has been seen.
    drop(child.kill());
    end_descendants();
    ended
}

fn ended_badly(name: &str, status: ExitStatus, inputs: &[String]) -> Failure {
    let message = match (status.code(), status.signal()) {
        (Some(code), _) => format!("`{name}` exited with status {code}"),
        (None, Some(signal)) => {
            let signal = signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
            format!("`{name}` was killed by {signal}")
        }
        (None, None) => format!("`{name}` ended ({status})"),
    };
    let help = if status.signal() == Some(SIGKILL) {
        "often out of memory: `dmesg` says whether the system killed it".to_owned()
    } else {
        let seen = if inputs.is_empty() { "nothing".to_owned() } else { some_of(inputs) };
        format!(
            "it found {seen} in its folder, and a clean environment; what else it needs is declared by `inputs`, \
             `env` or `pass_env`"
        )
    };
    Failure::new(Code::CommandFailed, message).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_one_of_those_that_this_process_may_see() {
        for (device, visible, seen) in [
            ("cpu", Some("0,1"), ""),
            ("cuda:1", None, "1"),
            ("cuda:1", Some("2, 5"), "5"),
            ("cuda:0", Some("GPU-8932f937"), "GPU-8932f937"),
            ("cuda:3", Some("2"), "3"),
        ] {
            assert_eq!(gpu(device, visible.map(Into::into)), seen, "{device}, {visible:?}");
        }
    }
}
