//! A worker's process: starting it, hearing it, ending it, and finding words for how it ended.
//!
//! Knows the protocol ([`Request`] in, [`Message`]s out) and processes; nothing of plans, keys or the
//! store. Two threads serve each worker: one holds its standard input, which is its life line, and sees
//! it exit; the other reads what it says. Both report to the loop and end with the worker.
//!
//! Nothing here relies on a worker behaving: one that says garbage, goes silent, leaves children behind
//! or does not exit ends all the same.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGABRT, SIGBUS, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGSEGV, SIGTERM};
use signal_hook::low_level::signal_name;

use super::schedule::{News, Ticket};
use crate::action::{Action, Precision, Request};
use crate::diag::Code;
use crate::event::{Failure, Message};

/// How long a worker may live on after its last word, or after it closed its output.
const GRACE: Duration = if cfg!(test) { Duration::from_millis(400) } else { Duration::from_secs(10) };
/// The longest line that can be a message, in bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// How much of the log a failure repeats.
const TAIL_LINES: usize = 10;
const TAIL_BYTES: u64 = 16 << 10;

/// A worker that was started and is not reaped yet. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    group: Pid,
    log: PathBuf,
    /// Where this worker's part of the log starts.
    log_from: u64,
    /// Whether it runs a program of the user's, whose log says more than the worker can.
    is_command: bool,
    /// When it was started.
    pub(super) started: Instant,
    /// When it was started, in unix seconds.
    pub(super) started_unix: u64,
    last_word: Option<Message>,
    life: Life,
    silent: bool,
    overdue: bool,
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Exited,
    Reaped,
}

/// How a worker ended.
pub(super) enum Ending {
    /// It did what it was asked.
    Done { peak_memory: Option<u64>, versions: std::collections::BTreeMap<String, String> },
    /// It did not.
    Failed(Failure),
}

impl Process {
    /// Starts `program` on `request`; what it says comes as news under `ticket`. Its standard error is
    /// appended to `log`.
    pub(super) fn start(
        program: &Path,
        request: &Request,
        log: &Path,
        ticket: Ticket,
        news: &SyncSender<News>,
    ) -> io::Result<Self> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut file = File::options().create(true).append(true).open(log)?;
        writeln!(
            file,
            "== {}: {} on {}, {} threads, {}",
            request.stage,
            request.action.kind(),
            request.device,
            request.threads,
            utc(started_unix)
        )?;
        let log_from = file.metadata()?.len();

        let threads = request.threads.to_string();
        let tf32 = request.action.precision() == Some(Precision::Tf32);
        let mut child = Command::new(program)
            .envs(tuning().filter(|_| request.action.precision().is_some()))
            .env_remove("NVIDIA_TF32_OVERRIDE")
            // libtorch's switch. It is part of the key, so what the user's environment says of it does not count.
            .env("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", if tf32 { "1" } else { "0" })
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .env("RAYON_NUM_THREADS", &threads)
            .env("TOKENIZERS_PARALLELISM", if request.threads > 1 { "true" } else { "false" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file.try_clone()?)
            .process_group(0)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let group = Pid::from_child(&child);
        let process = Self {
            child,
            group,
            log: log.to_owned(),
            log_from,
            is_command: matches!(request.action, Action::Command(_)),
            started: Instant::now(),
            started_unix,
            last_word: None,
            life: Life::Running,
            silent: false,
            overdue: false,
            deadline: None,
        };
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(io::Error::other("the worker's standard streams are not there"));
        };
        let thread = |name: &str| std::thread::Builder::new().name(format!("{name} {}", request.stage));
        let to_loop = news.clone();
        thread("life line").spawn(move || hold_life_line(stdin, &line, group, ticket, &to_loop))?;
        let to_loop = news.clone();
        thread("ear").spawn(move || listen(stdout, file, ticket, &to_loop))?;
        Ok(process)
    }

    /// Takes in what it said. Gives back what is to be passed on; its last word is kept, and nothing
    /// after it counts.
    pub(super) fn said(&mut self, message: Message) -> Option<Message> {
        if self.last_word.is_some() {
            return None;
        }
        match message {
            Message::Done { .. } | Message::Failed(_) => {
                self.last_word = Some(message);
                self.deadline = Some(Instant::now() + GRACE);
                None
            }
            Message::Progress(_) | Message::Note { .. } | Message::Finding(_) => Some(message),
        }
    }

    /// Its output is closed.
    pub(super) fn fell_silent(&mut self) {
        self.silent = true;
        self.deadline.get_or_insert_with(|| Instant::now() + GRACE);
    }

    /// It exited. What it may have left behind is killed, so that its output closes.
    pub(super) fn exited(&mut self) {
        self.kill();
        self.life = Life::Exited;
        self.deadline = Some(Instant::now() + GRACE);
    }

    /// Whether it is gone and all it said was heard. One that lives on after its last word is killed.
    pub(super) fn is_over(&mut self) -> bool {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late && self.life == Life::Running {
            self.overdue = true;
            self.kill();
        }
        self.life != Life::Running && (self.silent || late)
    }

    /// Asks it and its children to end.
    pub(super) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it and its children.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Reaps it, once it [`is_over`](Self::is_over), and says how it ended.
    pub(super) fn reap(&mut self) -> Ending {
        let status = self.child.wait();
        self.life = Life::Reaped;
        match (self.last_word.take(), status) {
            (Some(Message::Failed(failure)), _) if self.is_command => Ending::Failed(self.with_tail(failure)),
            (Some(Message::Failed(failure)), _) => Ending::Failed(failure),
            (Some(Message::Done { peak_memory, versions }), Ok(status)) if status.success() => {
                Ending::Done { peak_memory, versions }
            }
            (word, Ok(status)) => Ending::Failed(self.obituary(word.is_some(), status)),
            (_, Err(error)) => {
                let message = format!("cannot tell how the worker ended: {error}");
                Ending::Failed(Failure::new(Code::WorkerEnded, message))
            }
        }
    }

    fn signal(&self, signal: Signal) {
        // Until it is reaped its process id, and so its group's, is not given to another. A group that
        // is gone already is as good as signalled.
        if self.life != Life::Reaped {
            let _ = kill_process_group(self.group, signal);
        }
    }

    fn obituary(&self, done: bool, status: ExitStatus) -> Failure {
        let (how, help) = describe(status);
        let message = match (self.overdue, done) {
            (true, true) => "the worker said that it was done, but did not exit, and was killed".to_owned(),
            (true, false) => "the worker closed its output without a last word, and was killed".to_owned(),
            (false, true) => format!("the worker said that it was done, but then {how}"),
            (false, false) => format!("the worker {how} without saying why"),
        };
        let help = help.filter(|_| !self.overdue);
        let tail = self.log_tail();
        let said = if tail.is_empty() { "its log is empty".to_owned() } else { quoted(&tail) };
        Failure { help, ..Failure::new(Code::WorkerEnded, message).note(said) }
    }

    /// The same failure, with what the program said last.
    fn with_tail(&self, failure: Failure) -> Failure {
        // The failure's own words are the last lines of the log.
        let own: Vec<&str> = failure.message.lines().collect();
        let mut tail = self.log_tail();
        tail.retain(|line| !own.contains(&line.as_str()));
        if tail.is_empty() { failure } else { failure.note(quoted(&tail)) }
    }

    /// The last lines of this worker's part of the log, without control characters. A log that cannot
    /// be read has none: the failure itself matters more.
    fn log_tail(&self) -> Vec<String> {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            let from = self.log_from.max(file.metadata()?.len().saturating_sub(TAIL_BYTES));
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = vec![];
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..]
            .iter()
            .map(|line| line.chars().filter(|c| !c.is_control()).take(300).collect())
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.life != Life::Reaped {
            self.kill();
            // After SIGKILL the wait is short, and there is nobody left to tell of its failure.
            drop(self.child.wait());
        }
    }
}

/// Writes the request and keeps the worker's standard input open as long as it lives: a worker exits
/// when it closes, as it does when this process dies in whatever way.
fn hold_life_line(mut stdin: ChildStdin, request: &[u8], pid: Pid, ticket: Ticket, news: &SyncSender<News>) {
    // A worker that is gone before it has read its request says more by its exit than the error here.
    drop(stdin.write_all(request).and_then(|()| stdin.flush()));
    // It is not reaped here: the loop does, when nobody will signal it any more.
    let exited = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while matches!(exited(), Err(rustix::io::Errno::INTR)) {}
    // If the loop is gone, nobody waits for this.
    drop(news.send(News::Exited(ticket)));
}

/// Passes on every message of a worker's output; what is no message goes into its log.
fn listen(stdout: impl Read, mut log: File, ticket: Ticket, news: &SyncSender<News>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = vec![];
    // A read that fails ends the output as its end does.
    while stdout.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        match serde_json::from_slice::<Message>(&line) {
            Ok(message) => {
                // What was said to the user is worth reading in the log too.
                if let Message::Note { text, .. } | Message::Failed(Failure { message: text, .. }) = &message
                {
                    drop(writeln!(log, "{text}"));
                }
                if news.send(News::Said(ticket, message)).is_err() {
                    return;
                }
            }
            // A log that cannot be written (a full disk) fails no stage.
            Err(_) => drop(log.write_all(&line)),
        }
        line.clear();
    }
    drop(news.send(News::Silent(ticket)));
}

/// The end of a log.
fn quoted(tail: &[String]) -> String {
    let lines: Vec<String> = tail.iter().map(|line| format!("\n  {line}")).collect();
    format!("its log ends:{}", lines.concat())
}

/// How a process ended, to follow "the worker", and the way out.
fn describe(status: ExitStatus) -> (String, Option<String>) {
    let name = |signal: i32| signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned);
    match (status.code(), status.signal()) {
        // A shell around the worker says so of its child.
        (Some(code), _) if code > 128 && signal_name(code - 128).is_some() => {
            (format!("exited with status {code} (as of {})", name(code - 128)), way_out(code - 128))
        }
        (Some(code), _) => (format!("exited with status {code}"), None),
        (None, Some(signal)) => (format!("was killed by {}", name(signal)), way_out(signal)),
        (None, None) => (format!("ended ({status})"), None),
    }
}

fn way_out(signal: i32) -> Option<String> {
    let text = match signal {
        SIGKILL => {
            "often out of memory: try a smaller `batch` or `auxiliary_batch`, or fewer `--jobs`; `dmesg` \
             says whether the system killed it"
        }
        SIGBUS => "often a full disk or /dev/shm, or a file that was cut while it was read",
        SIGILL => "the worker was built for another processor: build it on this machine",
        SIGSEGV | SIGABRT | SIGFPE => {
            "a crash in native code: if it comes again, `--device cpu` and `--threads 1` narrow it down"
        }
        SIGTERM | SIGINT | SIGHUP => "something outside this run asked it to end; run again to go on",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Unix seconds as a date and time.
fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years start in March, so that the leap day comes last (days_from_civil, inverted).
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Variables that make libtorch faster, where the user has not said otherwise.
fn tuning() -> impl Iterator<Item = (&'static str, &'static str)> {
    let said = |name: &str| std::env::var_os(name).is_some();
    let all = [
        // Threads that wait for each other spin for some microseconds, then sleep. On a machine that others
        // use too, one that spins on holds the core that the one it waits for needs (seen: 48 s instead of
        // 6.5 s); one that sleeps at once wakes late (a training step of 2.4 s takes 2.8 to 3.6 s).
        ("GOMP_SPINCOUNT", "10000"),
        // glibc gives large blocks back to the system and takes them anew, page by page, for every tensor;
        // here they are kept, in huge pages (the embedding's gradient: 2 ms instead of 80).
        (
            "GLIBC_TUNABLES",
            "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592",
        ),
    ];
    all.into_iter()
        .filter(move |(name, _)| !(said(name) || *name == "GOMP_SPINCOUNT" && said("OMP_WAIT_POLICY")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_827_696), "2000-02-29 12:34:56 UTC");
        assert_eq!(utc(1_798_761_599), "2026-12-31 23:59:59 UTC");
    }

    #[test]
    fn deaths_are_named() {
        let (how, help) = describe(ExitStatus::from_raw(SIGKILL));
        assert_eq!(how, "was killed by SIGKILL");
        assert!(help.is_some_and(|help| help.contains("auxiliary_batch")));
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), ("exited with status 3".to_owned(), None));
        let (how, help) = describe(ExitStatus::from_raw(137 << 8));
        assert_eq!(how, "exited with status 137 (as of SIGKILL)");
        assert!(help.is_some());
    }
}
