//! `fetch`: a file from a URL, taken up where an earlier attempt was cut, and kept only if its digest is the
//! pinned one.
//!
//! Knows when to try again and what is on the disk; what is said over HTTP is `http`'s matter. Because the
//! digest is pinned, bytes of several answers, even of several mirrors, may be put together: a file that
//! does not come out right is fetched once more from its start, and then refused.

pub(super) mod http;
pub(super) mod partial;

use std::env;
use std::io::{ErrorKind, Read as _};
use std::thread;
use std::time::Duration;

use tartan::action::{Fetch, Pin, roles};
use tartan::diag::{Code, without_query};
use tartan::event::{Failure, Level, Progress};

use super::Io;
use http::{Answer, Login, Trouble};
use partial::{Check, Partial};

/// How often a server is asked without much coming of it. The waits between double from a second.
const TRIES: u32 = 4;
/// Bytes that count as much: with so many more, a new count of tries begins.
const MUCH: u64 = 1 << 20;
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_mins(2);
const CHUNK: usize = 1 << 16;
/// The largest file that is fetched, in megabytes, unless [`LIMIT_VARIABLE`] says otherwise: a server gone wrong
/// may send without end.
const LIMIT: u64 = 64_000;
const LIMIT_VARIABLE: &str = "TARTAN_HTTP_LIMIT";
const MEGABYTE: u64 = 1_000_000;

/// Runs the stage.
pub fn run(action: &Fetch, io: &Io) -> Result<(), Failure> {
    let check = match &action.pin {
        Pin::Blake3(digest) => Check::Blake3(digest.hex()),
        Pin::Sha256(hex) => Check::Sha256(hex.clone()),
        Pin::Commit(files) => return super::hub::run(files, io),
    };
    let folder = &io.request.resume;
    let mut partial = Partial::open(folder.join("file"), folder.join("origin.json"), check)?;
    // An earlier attempt may have had all of it, and been killed then.
    if partial.len > 0 && partial.is_whole() {
        return partial.deliver(&io.request.out.join(roles::FETCHED));
    }
    let mut failures: Vec<Failure> = vec![];
    for url in &io.request.urls {
        match fetch(&Source { url, login: None, is_pinned: true }, &mut partial, io) {
            Ok(()) => return partial.deliver(&io.request.out.join(roles::FETCHED)),
            Err(failure) => failures.push(failure),
        }
    }
    Err(of_all(failures))
}

/// Why none of a file's URLs gave it: what is wrong with the last one, and what was with those before it.
fn of_all(mut failures: Vec<Failure>) -> Failure {
    // That another file came says more than that none did.
    failures.sort_by_key(|failure| failure.code == Code::OtherFile);
    let Some(mut last) = failures.pop() else { return Failure::defect("there is no URL to fetch from") };
    for failure in failures {
        last.notes.push(failure.message);
        last.notes.extend(failure.notes);
        last.help = last.help.or(failure.help);
    }
    last
}

/// Whom a file is fetched from.
pub(super) struct Source<'a> {
    pub(super) url: &'a str,
    pub(super) login: Option<&'a Login>,
    /// Whether what it must come to was said by the pipeline; else by the server itself.
    pub(super) is_pinned: bool,
}

/// Has the whole file, and the right one, in `partial`.
pub(super) fn fetch(from: &Source, partial: &mut Partial, io: &Io) -> Result<(), Failure> {
    let limit = limit()?;
    let url = without_query(from.url);
    let (mut patience, mut doubted, mut began_anew) = (Patience::default(), false, false);
    loop {
        let before = partial.len;
        match ask(from, limit, partial, io) {
            Ok(_) if partial.is_whole() => return Ok(()),
            // What has come stays: a server that can go on in the middle will, and then say how long it is.
            Ok(Ended::Perhaps) if !doubted && !partial.looks_like_a_page() => {
                doubted = true;
                io.note(Level::Info, format!("{url} is not the pinned file{UNMEASURED}; asking again"));
            }
            Ok(_) if partial.pieced && !began_anew => {
                began_anew = true;
                let text = format!("{url}: its parts do not make the pinned file; fetching it anew");
                io.note(Level::Info, text);
                partial.clear()?;
            }
            Ok(ended) => {
                let failure = differs(from, ended, partial);
                partial.clear()?;
                return Err(failure);
            }
            Err(trouble) => {
                if partial.len >= before + MUCH {
                    patience = Patience::default();
                }
                patience.bear(trouble, |text| io.note(Level::Info, text))?;
            }
        }
    }
}

/// How often a server has been asked in vain.
#[derive(Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    /// Waits until it is time to ask again, having said so; fails if that would not help, or was enough.
    pub(super) fn bear(&mut self, trouble: Trouble, note: impl FnOnce(String)) -> Result<(), Failure> {
        let (message, help, wait) = match trouble {
            Trouble::Lasting(failure) => return Err(failure),
            Trouble::Passing { message, help, wait } => (message, help, wait),
        };
        self.tries += 1;
        let wait = wait.unwrap_or(Duration::from_secs(1 << self.tries.min(TRIES)) / 2);
        if self.tries >= TRIES || wait > LONGEST_WAIT {
            let asked = if wait > LONGEST_WAIT {
                format!("; the server wants to be asked again in {} s", wait.as_secs())
            } else {
                String::new()
            };
            return Err(Failure::new(Code::Unfetched, format!("{message}{asked}")).help(help));
        }
        note(format!("{message}; trying again in {} s", wait.as_secs()));
        thread::sleep(wait);
        Ok(())
    }
}

/// Whether a body that came to an end is whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Surely,
    /// The connection was closed, and no length had been given.
    Perhaps,
}

const UNMEASURED: &str = ", or the connection was cut; the server gave no length";

/// One answer of the server: adds what it brings to `partial`, which never has more than `limit` bytes.
fn ask(from: &Source, limit: u64, partial: &mut Partial, io: &Io) -> Result<Ended, Trouble> {
    let url = from.url;
    let answer = http::get(url, partial.len, partial.validator(url), from.login)?;
    let Some(Answer { response, from: first, total, measured, validator }) = answer else {
        // It has fewer bytes than are here already, or gives others than it was asked for.
        partial.clear()?;
        return ask(from, limit, partial, io);
    };
    if total.is_some_and(|total| total > limit) {
        return Err(too_large(url, limit).into());
    }
    if first == 0 {
        partial.clear()?;
    } else {
        partial.pieced = true;
    }
    partial.note_origin(url, validator)?;
    let progress = |done| {
        let unit = "bytes".to_owned();
        io.progress(Progress { phase: "fetch".to_owned(), done, total, unit, figures: vec![] });
    };
    let mut body = response.into_body().into_reader();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = match (body.read(&mut chunk), total) {
            (Ok(0), _) => break,
            (Ok(count), _) => count,
            (Err(error), Some(total)) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(http::cut(url, partial.len, total));
            }
            (Err(error), _) => return Err(http::trouble(url, &error.into())),
        };
        if partial.len + count as u64 > limit {
            partial.clear()?;
            return Err(too_large(url, limit).into());
        }
        partial.add(&chunk[..count])?;
        progress(partial.len);
    }
    match total {
        Some(total) if partial.len != total => Err(http::cut(url, partial.len, total)),
        None if !measured => Ok(Ended::Perhaps),
        _ => Ok(Ended::Surely),
    }
}

/// The largest file that is fetched, in bytes.
fn limit() -> Result<u64, Failure> {
    let Ok(text) = env::var(LIMIT_VARIABLE) else { return Ok(LIMIT * MEGABYTE) };
    let megabytes = text.parse::<u64>().ok().filter(|megabytes| *megabytes > 0);
    let fault = || {
        Failure::new(
            Code::BadSetting,
            format!("{LIMIT_VARIABLE} is a whole number of megabytes, at least 1, not `{text}`"),
        )
    };
    Ok(megabytes.ok_or_else(fault)?.saturating_mul(MEGABYTE))
}

fn too_large(url: &str, limit: u64) -> Failure {
    Failure::new(
        Code::Unfetched,
        format!("{} has more than {} MB, and is not fetched", without_query(url), limit / MEGABYTE),
    )
    .help(format!("check the URL; {LIMIT_VARIABLE}=MEGABYTES sets another limit"))
}

fn differs(from: &Source, ended: Ended, partial: &Partial) -> Failure {
    let page = if partial.looks_like_a_page() { "; it looks like a web page" } else { "" };
    let url = without_query(from.url);
    let or = if ended == Ended::Perhaps && page.is_empty() { UNMEASURED } else { "" };
    let (length, check) = (partial.len, partial.check());
    let (function, found, wanted) = (check.function(), partial.found(), check.wanted());
    if from.is_pinned {
        let message = format!("{url} is not the file that is pinned{or}: it has {length} bytes{page}");
        return Failure::new(Code::OtherFile, message)
            .note(format!("its {function} is     {found}\nthe pinned {function} is {wanted}"))
            .help("if the file was changed on purpose, pin its new digest; else use a mirror, or a copy of your own by its path");
    }
    let message = format!("{url} is not the file that the hub says it is{or}: it has {length} bytes{page}");
    Failure::new(Code::OtherFile, message)
        .note(format!("its {function} is        {found}\nthe hub says its {function} is {wanted}"))
        .help("run again; if it stays so, a proxy or a mirror on the way (HF_ENDPOINT) gives other bytes")
}
