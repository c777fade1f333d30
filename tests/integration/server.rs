//! An HTTP server for tests: it says to each request what the test wants said.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server says to one request for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The file, or the range of it that was asked for.
    Serve,
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// In chunks, without a length.
    Chunked,
    /// So many bytes of the body, then the connection ends.
    Cut(usize),
    /// So many bytes of the body at most, without a length, whatever range was asked for; then the connection
    /// ends.
    Unmeasured(usize),
    /// The body over and over, without a length, until the client is gone.
    Endless,
    /// So many bytes of the body, then nothing more, until the client is gone.
    Stall(usize),
    /// The body in small pieces, with pauses.
    Drip,
    /// Other bytes of the same length, and another `ETag`.
    Other,
    /// So many of the other bytes.
    OtherCut(usize),
    /// So many of the other bytes, without an `ETag`.
    UntaggedOtherCut(usize),
    /// A web page.
    Page,
    /// The body, called compressed.
    Gzip,
    /// A redirect to another path of the server, relative.
    To(&'static str),
    /// This status, and `Retry-After: 0`.
    Status(u16),
    /// This status, and what went wrong in the hub's words.
    Refuse(u16, &'static str),
}

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET`, `HEAD`, or `CONNECT`.
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// Bytes of bodies that were sent in answer.
    pub(crate) sent: usize,
}

/// What a server does with a path: the file there, its acts, and headers of its own, in place of others.
pub(crate) struct Plan {
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) acts: Vec<Act>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A server on a port of its own. For each path a list of acts; the last one is for all later requests. Requests
/// for the head alone go through the list for themselves.
pub(crate) struct Server {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn new(files: &[(&'static str, Vec<u8>, &[Act])]) -> Self {
        let plan = |(path, body, acts): &(&'static str, Vec<u8>, &[Act])| Plan {
            path: (*path).to_owned(),
            body: body.clone(),
            acts: acts.to_vec(),
            headers: vec![],
        };
        Self::with(files.iter().map(plan).collect())
    }

    pub(crate) fn with(plans: Vec<Plan>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(vec![]));
        let plans: BTreeMap<String, Plan> = plans.into_iter().map(|plan| (plan.path.clone(), plan)).collect();
        let (plans, log) = (Arc::new(plans), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (plans, log) = (Arc::clone(&plans), Arc::clone(&log));
                // A client that goes in the middle is part of the tests.
                std::thread::spawn(move || drop(serve(&stream.expect("a stream"), &plans, &log)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("the log").clone()
    }

    /// The requests for a path, as `RANGE → bytes sent`.
    pub(crate) fn ranges(&self, path: &str) -> Vec<String> {
        let seen = self.seen().into_iter().filter(|request| request.path == path && request.method == "GET");
        seen.map(|request| {
            let range = request.headers.get("range").map_or("all", String::as_str);
            format!("{range} → {}", request.sent)
        })
        .collect()
    }
}

fn serve(
    stream: &TcpStream,
    plans: &BTreeMap<String, Plan>,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let request = read_request(stream, log)?;
    let Request { method, path, headers, .. } = request.clone();
    let (number, turn) = {
        let mut log = log.lock().expect("the log");
        let turn = log.iter().filter(|seen| seen.path == path && seen.method == method).count();
        log.push(request);
        (log.len() - 1, turn)
    };
    let mut out = stream;
    let Some(Plan { body, acts, headers: more, .. }) = plans.get(&path) else {
        return write!(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone");
    };
    let has = |name: &str| more.iter().any(|(more, _)| more.eq_ignore_ascii_case(name));
    let more_lines: String = more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let act = acts[turn.min(acts.len() - 1)];
    let other: Vec<u8> = body.iter().map(|byte| byte ^ 1).collect();
    let body = match act {
        Act::Other | Act::OtherCut(_) | Act::UntaggedOtherCut(_) => other.as_slice(),
        Act::Page => b"<!DOCTYPE html><title>sign in first</title>",
        _ => body,
    };
    let tag = format!("\"{}\"", blake3::hash(body).to_hex());
    let untagged = matches!(act, Act::UntaggedOtherCut(_)) || has("etag");
    let tag_line = if untagged { more_lines.clone() } else { format!("ETag: {tag}\r\n{more_lines}") };
    let mut send = |bytes: &[u8]| {
        out.write_all(bytes)?;
        log.lock().expect("the log")[number].sent += bytes.len();
        Ok::<_, std::io::Error>(())
    };
    let mut head = stream;
    if let Some(answer) = without_body(act, &more_lines) {
        return write!(head, "HTTP/1.1 {answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
    }
    match act {
        _ if method == "HEAD" => {
            let length = body.len();
            return write!(
                head,
                "HTTP/1.1 200 OK\r\n{tag_line}Content-Length: {length}\r\nConnection: close\r\n\r\n"
            );
        }
        Act::Chunked => {
            write!(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
            for chunk in body.chunks(1000) {
                write!(head, "{:x}\r\n", chunk.len())?;
                send(chunk)?;
                write!(head, "\r\n")?;
            }
            return write!(head, "0\r\n\r\n");
        }
        Act::Unmeasured(_) | Act::Endless => {
            write!(head, "HTTP/1.1 200 OK\r\n{tag_line}Connection: close\r\n\r\n")?;
            let Act::Unmeasured(bytes) = act else {
                loop {
                    send(body)?;
                }
            };
            return send(&body[..bytes.min(body.len())]);
        }
        _ => {}
    }
    let range = headers.get("range").filter(|_| act != Act::IgnoreRange);
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from =
        from.filter(|_| headers.get("if-range").is_none_or(|validator| *validator == tag)).unwrap_or(0);
    if from > body.len() {
        return write!(
            head,
            "HTTP/1.1 416 No\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            body.len()
        );
    }
    let encoding = if act == Act::Gzip { "Content-Encoding: gzip\r\n" } else { "" };
    let status = if from > 0 {
        format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{}", body.len() - 1, body.len())
    } else {
        "200 OK".to_owned()
    };
    let rest = &body[from..];
    write!(
        head,
        "HTTP/1.1 {status}\r\n{tag_line}{encoding}Content-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    match act {
        Act::Cut(bytes) | Act::OtherCut(bytes) | Act::UntaggedOtherCut(bytes) => {
            send(&rest[..bytes.min(rest.len())])
        }
        Act::Stall(bytes) => {
            send(&rest[..bytes.min(rest.len())])?;
            // Ends when the client closes.
            let mut nothing = [0];
            head.read(&mut nothing).map(|_| ())
        }
        Act::Drip => rest.chunks(rest.len().div_ceil(8)).try_for_each(|chunk| {
            std::thread::sleep(Duration::from_millis(500));
            send(chunk)
        }),
        _ => send(rest),
    }
}

/// The status and headers of an answer that has no body, whatever is asked.
fn without_body(act: Act, more_lines: &str) -> Option<String> {
    match act {
        Act::Status(status) => Some(format!("{status} No\r\nRetry-After: 0\r\n")),
        Act::Refuse(status, code) => Some(format!("{status} No\r\nX-Error-Code: {code}\r\n")),
        Act::To(path) => Some(format!("302 Found\r\nLocation: {path}\r\n{more_lines}")),
        _ => None,
    }
}

/// A request; those to a proxy are answered and noted on the way.
fn read_request(stream: &TcpStream, log: &Mutex<Vec<Request>>) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = BTreeMap::new();
        for line in lines.by_ref() {
            let line = line?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let request = Request { method, path, headers, sent: 0 };
        if request.method != "CONNECT" {
            return Ok(request);
        }
        // As a proxy, it is at the other end itself.
        log.lock().expect("the log").push(request);
        write!(&mut &*stream, "HTTP/1.1 200 Connected\r\n\r\n")?;
    }
}
