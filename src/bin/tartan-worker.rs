//! The worker: runs one stage in a process of its own.
//!
//! It reads one [`Request`] as a line of JSON from standard input, writes [`Message`]s as lines of JSON to
//! standard output, and exits with 0 when the last of them is `done`. It ends when its parent does: once
//! standard input is closed there is nobody to work for.
//!
//! `learn` and `stage` are modules of this program, not of the library: that is how `tartan` is kept
//! free of libtorch.

#![expect(
    unreachable_pub,
    reason = "a program exports nothing; here `pub` is what a room offers to the others"
)]

#[path = "../learn/mod.rs"]
mod learn;
#[path = "../stage/mod.rs"]
mod stage;

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::{env, fs, process, thread};

use tartan::action::{Action, Request};
use tartan::diag::Code;
use tartan::event::{Failure, Message};
use tartan::hub::Ask;
use tartan::store::own_partial;

use learn::libtorch;
use stage::end_descendants;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => match work() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                say(&Message::Failed(failure));
                ExitCode::FAILURE
            }
        },
        ["--version"] => {
            let version = env!("CARGO_PKG_VERSION");
            print(&format!("tartan-worker {version} (libtorch {})", libtorch::version()))
        }
        ["resolve"] => match resolve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        },
        ["hub"] => print(&serde_json::json!(stage::hub::reach().err()).to_string()),
        ["devices"] => print(&serde_json::json!({ "cuda": libtorch::cuda_devices() }).to_string()),
        _ => {
            let usage = "usage: tartan-worker [--version | devices | hub | resolve]; without arguments, a request on standard input";
            let _ = writeln!(io::stderr(), "{usage}");
            ExitCode::from(2)
        }
    }
}

/// Answers what the command line asks of the hub: a line of JSON in, a line for each answer out.
fn resolve() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let asks: Vec<Ask> = serde_json::from_str(&line)?;
    end_with_parent();
    let note = |text| drop(writeln!(io::stderr(), "{text}"));
    let mut out = io::stdout().lock();
    for answer in stage::hub::resolve(&asks, &note) {
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Reads the request, runs its stage, and says that it is done.
fn work() -> Result<(), Failure> {
    let request = read_request()?;
    end_with_parent();
    // The key's lock dies with `tartan`, and the worker of one that was killed may live on for a moment.
    let _resume = own_partial(&request.resume).map_err(|error| Failure::new(Code::System, error))?;
    libtorch::set_threads(request.threads);
    run(&request)?;
    // What a command held, and what computed in it, is not this process's to know.
    let is_own = !matches!(request.action, Action::Command(_));
    let torch = is_own.then(|| ("torch".to_owned(), libtorch::version()));
    let tartan = ("tartan".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    say(&Message::Done {
        peak_memory: peak_memory().filter(|_| is_own),
        versions: [tartan].into_iter().chain(torch).collect(),
    });
    Ok(())
}

fn read_request() -> Result<Request, Failure> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::defect(format!("cannot read the request: {error}")))?;
    serde_json::from_str(&line).map_err(|error| {
        Failure::new(Code::NoWorker, format!("not a request: {error}"))
            .help("`tartan run` starts workers, and both must be of one version: install them again")
    })
}

/// Ends the process when standard input is closed: the parent is gone. Whatever was written lies in a
/// scratch folder, so that nothing half-made is kept. What a command has started goes first.
fn end_with_parent() {
    thread::spawn(|| {
        let mut sink = [0; 64];
        loop {
            match io::stdin().lock().read(&mut sink) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
                Ok(_) | Err(_) => {}
            }
        }
        end_descendants();
        process::exit(1);
    });
}

/// Runs the stage; a panic on the way (libtorch's errors come as such) is a failure like any other.
fn run(request: &Request) -> Result<(), Failure> {
    panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("a panic without a message");
        let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        let text = format!("{text}{}", place.unwrap_or_default());
        let _ = writeln!(io::stderr(), "panic: {text}");
        libtorch::keep_panic(text);
    }));
    panic::catch_unwind(AssertUnwindSafe(|| stage::run(request, &|message| say(&message)))).unwrap_or_else(
        |_| {
            let text = libtorch::take_panic();
            Err(libtorch::explain_panic(&text.unwrap_or_else(|| "a panic without a message".to_owned())))
        },
    )
}

/// Writes a message as a line. Nobody to hear it means that the parent is gone, and with it the work.
fn say(message: &Message) {
    let write = || -> io::Result<()> {
        let mut line = serde_json::to_string(message)?;
        line.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()
    };
    if write().is_err() {
        process::exit(1);
    }
}

fn print(line: &str) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The most memory that this process held, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
