//! The user's `python3`: it knows the way through the user's proxies and mirrors (pip), and how to
//! unpack a wheel. Nothing here knows where libtorch is kept.

use crate::error::{Error, file};
use crate::tell::{bytes, clock, say};
use crate::wheels::{self, Wheel};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const TASKS: &str = include_str!("setup.py");

/// How many of pip's last lines are kept to explain a failure.
const LINES_KEPT: usize = 12;

/// What a download needs to know beforehand.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) libc: String,
    pub(crate) free_bytes: u64,
}

/// Look at pip, the C library, and the space in `folder`.
pub(crate) fn probe(folder: &Path) -> Result<Probe, Error> {
    let answer = task("probe", &[folder.as_os_str()])?;
    match field(&answer, "pip") {
        None | Some("") => return Err(Error::NoPip),
        Some(version) if !pip_serves(version) => return Err(Error::OldPip(version.to_owned())),
        Some(_) => {}
    }
    let free = field(&answer, "free").and_then(|free| free.parse().ok());
    let free_bytes = free.ok_or_else(|| Error::Python(format!("no free space in its answer: {answer}")))?;
    Ok(Probe { libc: field(&answer, "libc").unwrap_or_default().to_owned(), free_bytes })
}

/// pip 21.0 is the first that takes several `--platform` options.
fn pip_serves(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 21)
}

/// A torch among the user's Python packages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Installed {
    None,
    Unfit { version: String, why: String },
    Fit(PathBuf),
}

/// Look for an installed torch of this version whose libtorch loads.
pub(crate) fn installed(version: &str, library: &str) -> Result<Installed, Error> {
    let answer = task("installed", &[version.as_ref(), library.as_ref()])?;
    Ok(match (field(&answer, "folder"), field(&answer, "version")) {
        (Some(folder), _) => Installed::Fit(folder.into()),
        (None, None) => Installed::None,
        (None, Some(version)) => {
            let why = field(&answer, "unfit").unwrap_or_default().to_owned();
            Installed::Unfit { version: version.to_owned(), why }
        }
    })
}

/// Unpack into `target` what `wheels` hold for the flavour named `needs`.
pub(crate) fn unpack(target: &Path, needs: &str, wheels: &[PathBuf]) -> Result<(), Error> {
    let mut arguments = vec![target.as_os_str(), needs.as_ref()];
    arguments.extend(wheels.iter().map(|wheel| wheel.as_os_str()));
    task("unpack", &arguments).map(drop).map_err(|error| match error {
        Error::Python(why) if FULL.iter().any(|mark| why.contains(mark)) => full(target),
        other => other,
    })
}

/// How Python and pip say that the disk is full.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

fn full(folder: &Path) -> Error {
    file("write to", folder)(io::ErrorKind::StorageFull.into())
}

/// Load shared libraries, one after the other, in a process of their own.
pub(crate) fn load(libraries: &[PathBuf]) -> Result<(), Error> {
    let arguments: Vec<_> = libraries.iter().map(|library| library.as_os_str()).collect();
    task("load", &arguments).map(drop).map_err(|error| match error {
        Error::Python(why) => Error::Load(why),
        other => other,
    })
}

/// Have pip bring `wheels` into `folder`, verified. What is there already and matches stays.
pub(crate) fn download(folder: &Path, platform: &str, wheels: &[Wheel]) -> Result<(), Error> {
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, wheels::requirements(wheels)).map_err(file("write", &requirements))?;
    // pip collects a wheel in its temporary folder first, which by default may be a small one in memory.
    let partial = folder.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(file("remove", &partial))?;
    }
    fs::create_dir(&partial).map_err(file("create", &partial))?;

    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"])
        // Its own cache would keep every wheel a second time.
        .args(["--no-cache-dir", "--disable-pip-version-check"])
        .args(["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"])
        .args(wheels::tags(platform).iter().flat_map(|tag| ["--platform", tag]))
        .arg("--dest")
        .arg(folder)
        .arg("--requirement")
        .arg(&requirements)
        .env("TMPDIR", &partial)
        .env("PIP_REQUIRE_VIRTUALENV", "false")
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .stderr(Stdio::piped());
    let mut pip = pip.spawn().map_err(not_started)?;
    // stderr is passed on as it comes, and its end kept.
    let stderr = pip.stderr.take();
    let listener = thread::spawn(move || stderr.map(pass_on).unwrap_or_default());
    let total = wheels.iter().map(|wheel| wheel.bytes).sum();
    let status = if io::stderr().is_terminal() { pip.wait() } else { watch(&mut pip, folder, total) };
    let status = status.map_err(|source| Error::Start { program: "pip".to_owned(), source })?;
    let said = listener.join().unwrap_or_default();
    if !status.success() {
        return Err(explain(&said, folder));
    }
    fs::remove_dir_all(&partial).map_err(file("remove", &partial))
}

/// Where pip can draw no bar of its own: a line every ten seconds until it ends.
fn watch(pip: &mut Child, folder: &Path, total: u64) -> io::Result<std::process::ExitStatus> {
    let start = Instant::now();
    let at_start = bytes_in(folder);
    let mut told = 0;
    loop {
        if let Some(status) = pip.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(100));
        let elapsed = start.elapsed();
        if elapsed.as_secs() / 10 > told {
            told = elapsed.as_secs() / 10;
            say(progress(bytes_in(folder), at_start, total, elapsed));
        }
    }
}

/// `  120 MB of 543 MB, 12 MB a second, 0:36 left`
fn progress(now: u64, at_start: u64, total: u64, elapsed: Duration) -> String {
    let now = now.min(total);
    let per_second = now.saturating_sub(at_start) / elapsed.as_secs().max(1);
    let left = match (total - now).checked_div(per_second) {
        Some(seconds) => format!("{} left", clock(seconds)),
        None => "waiting".to_owned(),
    };
    format!("  {} of {}, {} a second, {left}", bytes(now), bytes(total), bytes(per_second))
}

/// The size of everything below a folder; what vanishes meanwhile counts as nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

/// Repeat a stream on stderr, and give back its last lines.
fn pass_on(stream: impl io::Read) -> String {
    let mut kept = VecDeque::new();
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        say(&line);
        kept.push_back(line);
        if kept.len() > LINES_KEPT {
            kept.pop_front();
        }
    }
    Vec::from(kept).join("\n")
}

/// The cause of pip's failure, by what it said last.
fn explain(said: &str, folder: &Path) -> Error {
    const NETWORK: [&str; 9] = [
        "NewConnectionError",
        "Connection broken",
        "connection broken",
        "ConnectionError",
        "ConnectTimeout",
        "ReadTimeout",
        "Max retries exceeded",
        "ProxyError",
        "SSLError",
    ];
    let any = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    if any(&["DO NOT MATCH THE HASHES"]) {
        Error::Hash
    } else if any(&FULL) {
        full(folder)
    } else if any(&NETWORK) {
        Error::Network
    } else if any(&["No matching distribution found"]) {
        Error::NotThere
    } else if any(&["No module named pip"]) {
        Error::NoPip
    } else {
        Error::Pip
    }
}

/// Run one task of `setup.py` and give back what it printed.
fn task(name: &str, arguments: &[&OsStr]) -> Result<String, Error> {
    let output = Command::new("python3")
        .args(["-c", TASKS, name])
        .args(arguments)
        // Our libraries must be found without it: the worker's rpath comes first.
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()
        .map_err(not_started)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(Error::Python(last.map_or_else(|| format!("{name}: {}", output.status), str::to_owned)))
}

fn not_started(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::NoPython,
        _ => Error::Start { program: "python3".to_owned(), source },
    }
}

/// The value of `name=value` in an answer.
fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_name() {
        let answer = "pip=23.2\nlibc=\nfree=12=3\n";
        assert_eq!(field(answer, "pip"), Some("23.2"));
        assert_eq!(field(answer, "libc"), Some(""));
        assert_eq!(field(answer, "free"), Some("12=3"));
        assert_eq!(field(answer, "fre"), None);
    }

    #[test]
    fn pip_must_take_several_platforms() {
        assert!(pip_serves("21.0"));
        assert!(pip_serves("26.1.dev0"));
        assert!(!pip_serves("20.3.4"));
        assert!(!pip_serves("?"));
    }

    #[test]
    fn progress_tells_the_time_left() {
        let at = |now, start| progress(now, start, 500_000_000, Duration::from_secs(10));
        assert_eq!(at(100_000_000, 0), "  100 MB of 500 MB, 10 MB a second, 0:40 left");
        assert_eq!(at(100_000_000, 100_000_000), "  100 MB of 500 MB, 0 MB a second, waiting");
        assert_eq!(at(600_000_000, 0), "  500 MB of 500 MB, 50 MB a second, 0:00 left");
    }

    #[test]
    fn pips_last_words_name_the_cause() {
        let of = |said: &str| explain(said, Path::new("/d"));
        let retry = "WARNING: Retrying after connection broken by 'NewConnectionError'\n\
                     ERROR: No matching distribution found for torch==2.11.0";
        assert!(matches!(of(retry), Error::Network));
        assert!(matches!(of("ERROR: No matching distribution found for torch"), Error::NotThere));
        assert!(matches!(of("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM"), Error::Hash));
        assert!(matches!(of("OSError: [Errno 28] No space left on device"), Error::File { .. }));
        assert!(matches!(of("python3: No module named pip"), Error::NoPip));
        assert!(matches!(of("ERROR: something else"), Error::Pip));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let said = (0..100).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(pass_on(said.as_bytes()).lines().count(), LINES_KEPT);
        assert!(pass_on(said.as_bytes()).ends_with("99"));
    }
}
