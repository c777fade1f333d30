//! `fetch`: a file from a URL, taken up where an earlier attempt was cut, and kept only if its digest is the
//! pinned one.
//!
//! Knows when to try again and what is on the disk; what is said over HTTP is `http`'s matter. Because the
//! digest is pinned, bytes of several answers, even of several mirrors, may be put together: a file that
//! does not come out right is fetched once more from its start, and then refused.

mod http;
mod partial;

use std::env;
use std::io::{ErrorKind, Read as _};
use std::thread;
use std::time::Duration;

use tartan::action::{Fetch, Pin, roles};
use tartan::diag::without_query;
use tartan::event::{Failure, Level, Progress};

use super::{Io, failure, failure_with_help};
use http::{Answer, Trouble};
use partial::Partial;

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
    let mut partial = Partial::open(&io.request.resume, &action.pin)?;
    // An earlier attempt may have had all of it, and been killed then.
    if partial.len > 0 && partial.hex() == action.pin.hex() {
        return partial.deliver(&io.request.out.join(roles::FETCHED));
    }
    let limit = limit()?;
    let mut failures = vec![];
    for url in &io.request.urls {
        match fetch(url, &action.pin, limit, &mut partial, io) {
            Ok(()) => return partial.deliver(&io.request.out.join(roles::FETCHED)),
            Err(failure) => failures.push(failure),
        }
    }
    let message: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
    let message =
        if message.is_empty() { "there is no URL to fetch from".to_owned() } else { message.join("\n") };
    Err(Failure {
        message,
        help: failures.into_iter().rev().find_map(|failure| failure.help),
        corrupt: vec![],
    })
}

/// Has the whole file, with the right digest, in `partial`.
fn fetch(url: &str, pin: &Pin, limit: u64, partial: &mut Partial, io: &Io) -> Result<(), Failure> {
    let (mut tries, mut doubted, mut began_anew) = (0, false, false);
    loop {
        let before = partial.len;
        match ask(url, limit, partial, io) {
            Ok(_) if partial.hex() == pin.hex() => return Ok(()),
            // What has come stays: a server that can go on in the middle will, and then say how long it is.
            Ok(Ended::Perhaps) if !doubted && !partial.looks_like_a_page() => {
                doubted = true;
                let url = without_query(url);
                io.note(Level::Info, format!("{url} is not the pinned file{UNMEASURED}; asking again"));
            }
            Ok(_) if partial.pieced && !began_anew => {
                began_anew = true;
                io.note(
                    Level::Info,
                    format!(
                        "{}: its parts do not make the pinned file; fetching it anew",
                        without_query(url)
                    ),
                );
                partial.clear()?;
            }
            Ok(ended) => {
                let failure = differs(url, pin, ended, partial);
                partial.clear()?;
                return Err(failure);
            }
            Err(Trouble::Lasting(failure)) => return Err(failure),
            Err(Trouble::Passing { message, help, wait }) => {
                tries = if partial.len >= before + MUCH { 1 } else { tries + 1 };
                let wait = wait.unwrap_or(Duration::from_secs(1 << tries.min(TRIES)) / 2);
                if tries >= TRIES || wait > LONGEST_WAIT {
                    let asked = if wait > LONGEST_WAIT {
                        format!("; the server wants to be asked again in {} s", wait.as_secs())
                    } else {
                        String::new()
                    };
                    return Err(Failure { help: Some(help), ..failure(format!("{message}{asked}")) });
                }
                io.note(Level::Info, format!("{message}; trying again in {} s", wait.as_secs()));
                thread::sleep(wait);
            }
        }
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
fn ask(url: &str, limit: u64, partial: &mut Partial, io: &Io) -> Result<Ended, Trouble> {
    let answer = http::get(url, partial.len, partial.validator(url))?;
    let Some(Answer { response, from, total, measured, validator }) = answer else {
        // It has fewer bytes than are here already, or gives others than it was asked for.
        partial.clear()?;
        return ask(url, limit, partial, io);
    };
    if total.is_some_and(|total| total > limit) {
        return Err(too_large(url, limit).into());
    }
    if from == 0 {
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
    let fault =
        || failure(format!("{LIMIT_VARIABLE} is a whole number of megabytes, at least 1, not `{text}`"));
    Ok(megabytes.ok_or_else(fault)?.saturating_mul(MEGABYTE))
}

fn too_large(url: &str, limit: u64) -> Failure {
    failure_with_help(
        format!("{} has more than {} MB, and is not fetched", without_query(url), limit / MEGABYTE),
        format!("check the URL; {LIMIT_VARIABLE}=MEGABYTES sets another limit"),
    )
}

fn differs(url: &str, pin: &Pin, ended: Ended, partial: &Partial) -> Failure {
    let page = if partial.looks_like_a_page() { "; it looks like a web page" } else { "" };
    let url = without_query(url);
    let or = if ended == Ended::Perhaps && page.is_empty() { UNMEASURED } else { "" };
    failure_with_help(
        format!(
            "{url} is not the file that is pinned{or}: it has {} bytes{page}\n  its {function} is     {}\n  the pinned {function} is {}",
            partial.len,
            partial.hex(),
            pin.hex(),
            function = pin.function(),
        ),
        "if the file was changed on purpose, pin its new digest; else use a mirror, or a copy of your own by its path",
    )
}
