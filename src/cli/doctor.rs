//! `tartan doctor`: is what a run needs there? A line each, with a way out.
//!
//! Of the network it asks the hub alone, by a worker. It leaves nothing behind: where there is no cache yet, the folder
//! that it would be made in is tried.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pipeline::{Choice, store_root};
use super::{Exit, Fault, out, run};
use crate::diag::Code;
use crate::event::Failure;
use crate::hub::Settings;
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store's folder [default: `cache` in the nearest folder upwards that has one or is a git root]
    #[arg(long, value_name = "DIR", env = "TARTAN_CACHE")]
    cache: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line each
    Text,
    /// A list of objects with `what`, `verdict`, `found` and `help`
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// What was found of one thing.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    help: Option<String>,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, found: found.into(), help: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Warn, found: found.into(), help: Some(help.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(what, found, help) }
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let program = run::worker();
    let mut checks = worker(&program);
    let choice = Choice { cache: args.cache.clone(), ..Choice::default() };
    checks.extend(cache(&store_root(Path::new("."), &choice)));
    checks.extend(hub(|name| std::env::var(name).ok(), || reach(&program)));
    checks.push(terminal());
    match args.format {
        Format::Text => checks.iter().for_each(print),
        Format::Json => {
            let text = serde_json::to_string_pretty(&checks);
            out::line(
                text.map_err(|error| Fault::failed(Code::System, format!("failed to print: {error}"), None))?,
            );
        }
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn print(check: &Check) {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    out::line(format_args!("{verdict:4}  {:9}  {}", check.what, check.found));
    if let Some(help) = &check.help {
        out::line(format_args!("      {:9}  → {help}", ""));
    }
}

/// How long a worker may take to say its name: it loads libtorch first, which on a network disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The worker, whether it starts, and what it computes on.
fn worker(program: &Path) -> Vec<Check> {
    let install = "`cargo xtask install` builds both programs and puts them side by side; TARTAN_WORKER names another one";
    let start = |argument: &str| {
        Command::new(program)
            .arg(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    // Both at once: each takes as long as libtorch takes to load.
    let (version, devices) = match (start("--version"), start("devices")) {
        (Ok(version), Ok(devices)) => (answer(version), answer(devices)),
        (Err(error), _) | (_, Err(error)) => {
            let found = format!("`{}` cannot be started: {error}", program.display());
            return vec![Check::fail("worker", found, install)];
        }
    };
    let version = match version {
        Ok(version) => version,
        Err(why) => {
            let found = format!("`{}` does not run: {why}", program.display());
            return vec![Check::fail(
                "worker",
                found,
                "`cargo xtask setup` gets libtorch; then build it again",
            )];
        }
    };
    let own = env!("CARGO_PKG_VERSION");
    let matches = version.split_whitespace().nth(1) == Some(own);
    let found = format!("{version}, {}", program.display());
    let worker = if matches {
        Check::ok("worker", found)
    } else {
        Check::fail("worker", format!("{found}: this is tartan {own}"), install)
    };
    vec![worker, device(devices, has_nvidia())]
}

/// What a started program says on its standard output, or why it says nothing.
fn answer(mut child: Child) -> Result<String, String> {
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                // It is given up on; whether it can be killed changes nothing.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer within {} s", PATIENCE.as_secs()));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let read = |stream: Option<&mut dyn std::io::Read>| {
        let mut bytes = vec![];
        // What cannot be read is as good as unsaid.
        let _ = stream.map(|stream| stream.take(1 << 16).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    let said = read(child.stdout.as_mut().map(|stream| stream as _));
    if status.success() {
        return Ok(said);
    }
    let complaint = read(child.stderr.as_mut().map(|stream| stream as _));
    Err(complaint.lines().next().map_or_else(|| status.to_string(), str::to_owned))
}

/// Whether the machine has an NVIDIA driver.
fn has_nvidia() -> bool {
    Path::new("/proc/driver/nvidia/version").exists()
}

fn device(answer: Result<String, String>, driver: bool) -> Check {
    #[derive(serde::Deserialize)]
    struct Devices {
        cuda: usize,
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = format!("{} of the CPU", out::count(cores, "thread"));
    match answer.and_then(|text| serde_json::from_str::<Devices>(&text).map_err(|error| error.to_string())) {
        Ok(Devices { cuda: 0 }) if driver => Check::warn(
            "devices",
            format!("{cpu}; there is an NVIDIA driver, but libtorch sees no GPU"),
            "if libtorch was set up before the driver, remove `.libtorch` and run `cargo xtask setup` again: it then gets the CUDA build",
        ),
        Ok(Devices { cuda: 0 }) => Check::ok("devices", format!("{cpu}; no GPU")),
        Ok(Devices { cuda }) => Check::ok("devices", format!("{}; {cpu}", out::count(cuda, "GPU"))),
        Err(why) => Check::fail(
            "devices",
            format!("the worker cannot tell: {why}"),
            "`tartan-worker devices` says more",
        ),
    }
}

/// Free space below which a run of a real encoder is likely to fill the disk, in bytes.
const LITTLE_SPACE: u64 = 10 << 30;

/// The store's folder: writable, with space, on a file system whose locks exclude.
fn cache(root: &Path) -> Vec<Check> {
    let shown = root.display();
    let elsewhere = "`--cache DIR` or TARTAN_CACHE names another folder";
    let is_store = root.join("format").exists();
    if is_store && let Err(error) = Store::open(root) {
        return vec![Check::fail(
            "cache",
            error.to_string(),
            error.help().unwrap_or_else(|| elsewhere.to_owned()),
        )];
    }
    let Some(folder) = root.ancestors().find(|folder| folder.is_dir()) else {
        return vec![Check::fail("cache", format!("no folder on the way to {shown}"), elsewhere)];
    };
    let trial = match Trial::new(folder) {
        Ok(trial) => trial,
        Err(error) => {
            return vec![Check::fail(
                "cache",
                format!("cannot write to {}: {error}", folder.display()),
                elsewhere,
            )];
        }
    };
    let found = if is_store { format!("{shown}") } else { format!("{shown}, made by the first run") };
    let mut checks = vec![match file_system(folder) {
        Some("tmpfs") => {
            Check::warn("cache", format!("{found}, in memory: gone with the next start"), elsewhere)
        }
        Some(name) => Check::ok("cache", format!("{found}, on {name}")),
        None => Check::ok("cache", found),
    }];
    checks.push(match rustix::fs::statvfs(folder) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{} free", out::size(free));
            if free < LITTLE_SPACE {
                let help = "a trained model of a base encoder takes half a gigabyte; `tartan cache gc PIPELINE…` makes room";
                Check::warn("space", found, help)
            } else {
                Check::ok("space", found)
            }
        }
        Err(error) => Check::warn("space", format!("cannot tell: {error}"), "`df` may"),
    });
    checks.push(match trial.locks() {
        Ok(true) => Check::ok("locks", "one run keeps the other out"),
        Ok(false) => Check::fail(
            "locks",
            "two processes got the same lock",
            "put the cache on another file system: two runs would write over each other",
        ),
        Err(error) => Check::fail("locks", format!("the file system has none: {error}"), elsewhere),
    });
    let copies = if trial.reflinks() { "share their blocks (reflinks)" } else { "take space of their own" };
    checks.push(Check::ok("copies", format!("of results {copies}")));
    checks
}

/// A file to try things on; gone when dropped.
struct Trial {
    file: tempfile::NamedTempFile,
}

impl Trial {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let mut file = tempfile::Builder::new().prefix(".tartan-doctor-").tempfile_in(folder)?;
        std::io::Write::write_all(&mut file, &[1; 4096])?;
        Ok(Self { file })
    }

    /// Whether a lock keeps a second opener of the file out.
    fn locks(&self) -> std::io::Result<bool> {
        let first = File::options().read(true).write(true).open(self.file.path())?;
        first.lock()?;
        let second = File::options().read(true).write(true).open(self.file.path())?;
        match second.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(false),
        }
    }

    /// Whether a copy can share the file's blocks.
    #[cfg(target_os = "linux")]
    fn reflinks(&self) -> bool {
        let folder = self.file.path().parent().unwrap_or(Path::new("."));
        tempfile::tempfile_in(folder)
            .is_ok_and(|copy| rustix::fs::ioctl_ficlone(&copy, self.file.as_file()).is_ok())
    }

    #[cfg(not(target_os = "linux"))]
    fn reflinks(&self) -> bool {
        false
    }
}

/// The file system's name, where it is one that matters.
#[cfg(target_os = "linux")]
fn file_system(folder: &Path) -> Option<&'static str> {
    // Of linux/magic.h.
    let names = [
        (0x6969, "NFS"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlayfs"),
        (0xEF53, "ext4"),
        (0x5846_5342, "XFS"),
        (0x9123_683E, "Btrfs"),
        (0x2FC1_2FC1, "ZFS"),
        (0x0BD0_0BD0, "Lustre"),
        (0x00C3_6400, "Ceph"),
        (0x6573_5546, "FUSE"),
    ];
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    names.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<&'static str> {
    None
}

/// Has a worker ask whether the hub answers; why not, if it tells.
fn reach(program: &Path) -> Result<Option<Failure>, String> {
    let child = Command::new(program)
        .arg("hub")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let said = answer(child.map_err(|error| error.to_string())?)?;
    serde_json::from_str(&said).map_err(|error| error.to_string())
}

/// The hub's settings, and where it is to be asked, whether it answers.
fn hub(
    env: impl Fn(&str) -> Option<String>,
    reach: impl FnOnce() -> Result<Option<Failure>, String>,
) -> Vec<Check> {
    let settings = Settings::of(env);
    if let Some((fault, help)) = settings.endpoint_fault() {
        return vec![Check::fail("hub", fault, help)];
    }
    let Settings { endpoint, cache, is_offline, token } = settings;
    let Some(cache) = cache else {
        return vec![Check::warn(
            "hub",
            "neither HF_HOME nor HOME is set",
            "set HF_HOME to a folder for what the hub gives",
        )];
    };
    let found = format!(
        "{endpoint}; cache {}; {}{}",
        cache.root().display(),
        if token.is_some() { "a token" } else { "no token: public models only" },
        if is_offline { "; offline: only what is in its cache" } else { "" },
    );
    let nearest = cache.root().ancestors().find(|folder| folder.is_dir());
    let writable = nearest.is_some_and(|folder| tempfile::tempfile_in(folder).is_ok());
    let mut checks = vec![if writable {
        Check::ok("hub", found)
    } else {
        Check::warn(
            "hub",
            format!("{found}; the cache cannot be written to"),
            "set HF_HOME to a folder of yours",
        )
    }];
    if !is_offline {
        let only_names =
            "it matters only to pipelines with `hf://`; HF_HUB_OFFLINE=1 says that it is not to be asked";
        match reach() {
            Ok(None) => checks.push(Check::ok("hub", "it answers")),
            Ok(Some(failure)) => {
                let help = failure.help.map_or(String::new(), |help| format!("{help}; "));
                checks.push(Check::warn("hub", failure.message, format!("{help}{only_names}")));
            }
            Err(why) => checks.push(Check::warn("hub", format!("the worker cannot tell: {why}"), only_names)),
        }
    }
    checks
}

fn terminal() -> Check {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let utf8 = locale.as_ref().is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    if !std::io::stderr().is_terminal() {
        return Check::ok("terminal", "none: progress is printed as lines");
    }
    if utf8 {
        return Check::ok("terminal", "UTF-8");
    }
    let found = format!("the locale is `{}`", locale.as_deref().unwrap_or("C"));
    Check::warn("terminal", found, "tables and bars are UTF-8; if they come out garbled, set LANG=C.UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(checks: &[Check], what: &str) -> Verdict {
        checks.iter().find(|check| check.what == what).map(|check| check.verdict).expect(what)
    }

    #[test]
    fn a_worker_that_does_not_start_run_or_match_fails() {
        assert_eq!(verdict(&worker(Path::new("/nowhere/tartan-worker")), "worker"), Verdict::Fail);
        // Starts, but says nothing of use; exits with an error.
        let checks = worker(Path::new("/bin/false"));
        assert!(checks[0].found.contains("does not run"), "{checks:?}");
        let checks = worker(Path::new("/bin/echo"));
        assert!(checks[0].found.contains("this is tartan"), "{checks:?}");
        assert_eq!(verdict(&checks, "devices"), Verdict::Fail);
        assert_eq!(device(Ok("{\"cuda\": 0}".to_owned()), true).verdict, Verdict::Warn);
        assert_eq!(device(Ok("{\"cuda\": 2}".to_owned()), true).verdict, Verdict::Ok);
    }

    #[test]
    fn a_cache_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().expect("folder");
        let checks = cache(&folder.path().join("deep/cache"));
        assert_eq!(verdict(&checks, "locks"), Verdict::Ok);
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0);
        std::fs::write(folder.path().join("format"), "tartan-store 999\n").expect("write");
        assert_eq!(verdict(&cache(folder.path()), "cache"), Verdict::Fail);
    }

    #[test]
    fn the_hubs_settings_are_told_and_the_token_is_not() {
        let of = |pairs: &'static [(&str, &str)]| {
            let env = move |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            hub(env, || Ok(Some(Failure::new(Code::Unfetched, "no connection").help("check the network"))))
        };
        assert_eq!(of(&[("HF_ENDPOINT", "hub.example"), ("HOME", "/tmp")])[0].verdict, Verdict::Fail);
        assert_eq!(of(&[])[0].verdict, Verdict::Warn);
        let all = of(&[("HF_TOKEN", "secret"), ("HF_HOME", "/tmp/hub"), ("HF_HUB_OFFLINE", "1")]);
        assert!(all[0].found.contains("a token") && all[0].found.contains("offline"), "{all:?}");
        assert!(!all[0].found.contains("secret"), "{all:?}");
        assert_eq!(all.len(), 1, "it is not asked: {all:?}");
        let online = of(&[("HF_HOME", "/tmp/hub"), ("HF_HUB_OFFLINE", "0")]);
        assert!(online[0].found.contains("no token"));
        assert_eq!((online[1].verdict, online[1].found.as_str()), (Verdict::Warn, "no connection"));
    }
}
