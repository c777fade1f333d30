//! One request, with its redirects, and what its trouble means.
//!
//! Knows neither files nor digests. Proxies come from the environment, by the scheme of what is asked for;
//! certificates from the system, or from where `SSL_CERT_FILE` says. A URL's query may hold a token, and that of
//! a redirect often does: messages show neither.

use std::env;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tartan::diag::{Code, without_query};
use tartan::event::Failure;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Proxy};

const REDIRECTS: usize = 10;
/// Seconds without a byte after which a server counts as gone, unless [`TIMEOUT_VARIABLE`] says otherwise.
const TIMEOUT: u64 = 60;
/// The longest that finding and reaching a server may take.
const CONNECTING: Duration = Duration::from_secs(20);
const TIMEOUT_VARIABLE: &str = "TARTAN_HTTP_TIMEOUT";

/// A server's answer, its body not read yet.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    /// The place in the file of the body's first byte: what was asked for, or 0.
    pub(super) from: u64,
    /// Bytes of the whole file, where the server says.
    pub(super) total: Option<u64>,
    /// Whether a cut of the body can be told from its end: it has a length, or comes in chunks.
    pub(super) measured: bool,
    /// The server's name for this state of the file.
    pub(super) validator: Option<String>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(in crate::stage) enum Trouble {
    /// It may be over in a while.
    Passing {
        message: String,
        help: String,
        /// How long the server wants to be left alone.
        wait: Option<Duration>,
    },
    /// Trying again would not help.
    Lasting(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Lasting(failure)
    }
}

/// A token, and the only server that is told it. It is shown nowhere.
pub(in crate::stage) struct Login {
    /// `https://host`, with a port where it is said.
    pub(in crate::stage) origin: String,
    pub(in crate::stage) token: String,
}

/// Asks for the file behind `url` from the byte `from` on; with a validator only if it is still in that state,
/// else for all of it. None if the server cannot give the file from there on.
pub(super) fn get(
    url: &str,
    from: u64,
    validator: Option<&str>,
    login: Option<&Login>,
) -> Result<Option<Answer>, Trouble> {
    let mut headers = vec![];
    if from > 0 {
        headers.push(("range", format!("bytes={from}-")));
        headers.extend(validator.map(|validator| ("if-range", validator.to_owned())));
    }
    let response = send("GET", url, &headers, login, |_, _| true)?;
    match response.status().as_u16() {
        200 => {
            let total = header(&response, "content-length").and_then(|length| length.parse().ok());
            Answer::of(url, response, 0, total).map(Some)
        }
        206 if from > 0 => {
            let range = header(&response, "content-range").and_then(content_range);
            match range.filter(|(first, _)| *first == from) {
                Some((_, total)) => Answer::of(url, response, from, total).map(Some),
                None => Ok(None),
            }
        }
        416 if from > 0 => Ok(None),
        _ => Err(refusal(url, &response)),
    }
}

/// Sends a request, and sends it again where it is told to, if `follow` wants that: it is given the answer, and
/// where it leads. What comes back has any status.
pub(in crate::stage) fn send(
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    login: Option<&Login>,
    mut follow: impl FnMut(&Response<Body>, &str) -> bool,
) -> Result<Response<Body>, Trouble> {
    let mut at = url.to_owned();
    for _ in 0..=REDIRECTS {
        let mut request = Request::builder().method(method).uri(&at);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(login) = login.filter(|login| origin(&at) == Some(login.origin.as_str())) {
            request = request.header("authorization", format!("Bearer {}", login.token));
        }
        // The header's value is not in the error's text.
        let request = request
            .body(())
            .map_err(|error| Failure::new(Code::BadUrl, format!("{}: {error}", without_query(&at))))?;
        let response = agent(&at)?.run(request).map_err(|error| trouble(&at, &error))?;
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let to = header(&response, "location").and_then(|to| resolve(&at, to));
        let to = to.ok_or_else(|| unfetched(format!("{} redirects to nowhere", without_query(&at))))?;
        if !follow(&response, &to) {
            return Ok(response);
        }
        if url.starts_with("https://") && !to.starts_with("https://") {
            let (url, to) = (without_query(url), without_query(&to));
            let help = "write the `http://` URL into the pipeline if that is meant; the pinned digest holds either way";
            return Err(unfetched(format!("{url} redirects to {to}, which is not encrypted"))
                .help(help)
                .into());
        }
        at = to;
    }
    Err(Trouble::Lasting(unfetched(format!("{} redirects more than {REDIRECTS} times", without_query(url)))))
}

/// The server of a URL: all that stands before its path.
pub(in crate::stage) fn origin(url: &str) -> Option<&str> {
    let host = url.find("://")? + 3;
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    Some(&url[..end])
}

impl Answer {
    /// An answer whose bytes are those of the file.
    fn of(url: &str, response: Response<Body>, from: u64, total: Option<u64>) -> Result<Self, Trouble> {
        let encoding =
            header(&response, "content-encoding").filter(|name| !name.eq_ignore_ascii_case("identity"));
        if let Some(encoding) = encoding {
            return Err(Trouble::Lasting(
                unfetched(format!(
                    "{} comes as `{encoding}`, though the plain file was asked for",
                    without_query(url)
                ))
                .help("use a mirror, or download the file and name it by its path"),
            ));
        }
        let chunked = header(&response, "transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        let measured = chunked || header(&response, "content-length").is_some();
        // A weak ETag may stay the same while bytes change.
        let strong = header(&response, "etag").filter(|tag| tag.starts_with('"'));
        let validator = strong.or_else(|| header(&response, "last-modified")).map(str::to_owned);
        Ok(Self { response, from, total, measured, validator })
    }
}

/// The first byte and the whole length in `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

pub(in crate::stage) fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Where `to`, said by what is at `base`, leads (RFC 3986, 5.2).
fn resolve(base: &str, to: &str) -> Option<String> {
    if to.starts_with("http://") || to.starts_with("https://") {
        return Some(to.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    if let Some(host) = to.strip_prefix("//") {
        return Some(format!("{scheme}://{host}"));
    }
    let rest = rest.split(['?', '#']).next()?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (to, query) = to.split_at(to.find(['?', '#']).unwrap_or(to.len()));
    let path = match to {
        "" => path.to_owned(),
        _ if to.starts_with('/') => to.to_owned(),
        _ => format!("{}/{to}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    let mut parts: Vec<&str> = vec![];
    for part in path.trim_start_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("{scheme}://{host}/{}{query}", parts.join("/")))
}

/// A status that is no file.
pub(in crate::stage) fn refusal(url: &str, response: &Response<Body>) -> Trouble {
    let (url, status) = (without_query(url), response.status());
    let message = format!(
        "{url}: {}",
        format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("")).trim()
    );
    // A date there counts as no hint.
    let wait = header(response, "retry-after").and_then(|seconds| seconds.trim().parse().ok());
    match status.as_u16() {
        408 | 425 | 429 | 500.. => Trouble::Passing {
            message,
            help: "the server is busy or broken; run again later, or use a mirror".to_owned(),
            wait: wait.map(Duration::from_secs),
        },
        401 | 403 => Trouble::Lasting(
            unfetched(message)
                .help("the server does not give it to everyone: download the file, and name it by its path"),
        ),
        404 | 410 => Trouble::Lasting(unfetched(message).help("check the URL; the file may have been moved")),
        _ => Trouble::Lasting(unfetched(message)),
    }
}

fn unfetched(message: impl Display) -> Failure {
    Failure::new(Code::Unfetched, message)
}

/// A body that ended too early.
pub(super) fn cut(url: &str, len: u64, total: u64) -> Trouble {
    let url = without_query(url);
    Trouble::Passing {
        message: format!("{url}: the connection was cut after {len} of {total} bytes"),
        help: KEPT.to_owned(),
        wait: None,
    }
}

const KEPT: &str = "what has arrived is kept: run again, and it goes on from there";

/// What an error on the way means.
pub(in crate::stage) fn trouble(url: &str, error: &ureq::Error) -> Trouble {
    let url = without_query(url);
    let passing = |what: String, help: &str| Trouble::Passing {
        message: format!("{url}: {what}"),
        help: help.to_owned(),
        wait: None,
    };
    let lasting = |what: String, help: &str| Trouble::Lasting(unfetched(format!("{url}: {what}")).help(help));
    let of_tls = |error: &rustls::Error| lasting(format!("no safe connection: {error}"), CERTIFICATES);
    let unknown_host = || {
        passing(
            "its host is not found".to_owned(),
            "check the URL and the network; behind a proxy, set HTTPS_PROXY",
        )
    };
    match error {
        ureq::Error::HostNotFound => unknown_host(),
        // The system's own lookup has no kind of its own.
        ureq::Error::Io(io) if io.to_string().starts_with("failed to lookup address") => unknown_host(),
        ureq::Error::Timeout(_) => passing(
            "the server does not answer".to_owned(),
            "what has arrived is kept: run again, and it goes on from there; TARTAN_HTTP_TIMEOUT=SECONDS waits longer",
        ),
        ureq::Error::Rustls(tls) => of_tls(tls),
        ureq::Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => of_tls(tls),
            None if io.kind() == std::io::ErrorKind::ConnectionRefused => passing(
                "the connection is refused".to_owned(),
                "check the URL and the network; behind a proxy, set HTTPS_PROXY",
            ),
            None => passing(format!("the connection broke: {io}"), KEPT),
        },
        ureq::Error::Protocol(_) | ureq::Error::BodyStalled => {
            passing(format!("the answer broke off: {error}"), KEPT)
        }
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::ConnectionFailed => {
            lasting(error.to_string(), "check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY")
        }
        // It says the URL again.
        ureq::Error::BadUri(_) => {
            Trouble::Lasting(Failure::new(Code::BadUrl, format!("{url} is no URL to fetch from")))
        }
        _ => Trouble::Lasting(unfetched(format!("{url}: {error}"))),
    }
}

const CERTIFICATES: &str = "if a proxy of yours signs connections, name the file with its certificate and the usual \
                            ones: SSL_CERT_FILE=FILE";

/// Who asks: through the proxy of this scheme, and without following redirects.
fn agent(url: &str) -> Result<Agent, Trouble> {
    let uri: Uri = url
        .parse()
        .map_err(|error| Failure::new(Code::BadUrl, format!("{} is no URL: {error}", without_query(url))))?;
    let seconds = match env::var(TIMEOUT_VARIABLE) {
        Ok(text) => text.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
            Failure::new(
                Code::BadSetting,
                format!("{TIMEOUT_VARIABLE} is a whole number of seconds, at least 1, not `{text}`"),
            )
        })?,
        Err(_) => TIMEOUT,
    };
    let timeout = Some(Duration::from_secs(seconds));
    let connecting = timeout.min(Some(CONNECTING));
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .accept_encoding("identity")
        .user_agent(concat!("tartan/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(connecting)
        .timeout_connect(connecting)
        .timeout_send_request(timeout)
        .timeout_recv_response(timeout)
        .timeout_per_read(timeout)
        .proxy(proxy(&uri)?);
    if uri.scheme_str() == Some("https") {
        config = config.tls_config(tls()?);
    }
    Ok(config.build().new_agent())
}

/// The proxy that the environment has for a URL.
fn proxy(uri: &Uri) -> Result<Option<Proxy>, Failure> {
    let host = uri.host().unwrap_or_default();
    if variable(&["NO_PROXY", "no_proxy"]).is_some_and(|(_, list)| is_exempt(host, &list)) {
        return Ok(None);
    }
    let names = if uri.scheme_str() == Some("https") {
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    };
    let Some((name, value)) = variable(&names) else { return Ok(None) };
    match Proxy::new(&value) {
        Ok(proxy) => Ok(Some(proxy)),
        // It may hold a password.
        Err(_) => Err(Failure::new(Code::BadSetting, format!("{name} is not a proxy's URL"))
            .help("such as `http://proxy.example:3128`")),
    }
}

/// The first of these variables that is set, and not to nothing.
fn variable<'a>(names: &[&'a str]) -> Option<(&'a str, String)> {
    names.iter().find_map(|name| Some((*name, env::var(name).ok().filter(|value| !value.is_empty())?)))
}

/// Whether a host is in the list of `NO_PROXY`: by its name, or the end of it.
fn is_exempt(host: &str, list: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let end = entry.trim_start_matches('*').trim_start_matches('.');
        entry == "*" || (!end.is_empty() && (host == end || host.ends_with(&format!(".{end}"))))
    })
}

/// Trusts whom the system trusts, or whom `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
fn tls() -> Result<TlsConfig, Failure> {
    if let Some(path) = env::var_os("SSL_CERT_FILE")
        && let Err(error) = std::fs::File::open(&path)
    {
        let path = path.display();
        return Err(Failure::new(
            Code::BadSetting,
            format!("SSL_CERT_FILE names {path}, which cannot be read: {error}"),
        ));
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
        return Err(Failure::new(
            Code::BadSetting,
            format!("this machine has no certificates to trust{why}"),
        )
        .help(
            "install the system's package of them (`ca-certificates`), or name a file: SSL_CERT_FILE=FILE",
        ));
    }
    let certificates: Vec<Certificate<'static>> =
        found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(certificates)))
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_it_says() {
        let base = "https://a.example/x/y?q=1";
        for (to, whole) in [
            ("http://b.example/z", "http://b.example/z"),
            ("//b.example/z", "https://b.example/z"),
            ("/z?w=2", "https://a.example/z?w=2"),
            ("z", "https://a.example/x/z"),
            ("../z/./w", "https://a.example/z/w"),
            ("../../../z/", "https://a.example/z/"),
            ("?w=2", "https://a.example/x/y?w=2"),
        ] {
            assert_eq!(resolve(base, to).as_deref(), Some(whole), "{to}");
        }
        assert_eq!(resolve("http://a.example", "z").as_deref(), Some("http://a.example/z"));
    }

    #[test]
    fn a_server_is_what_stands_before_the_path() {
        for (url, server) in [
            ("https://a.example/x", Some("https://a.example")),
            ("http://a.example:81?x=/", Some("http://a.example:81")),
            ("https://a.example", Some("https://a.example")),
            // Not `a.example`, whatever it begins with.
            ("https://a.example@b.example/x", Some("https://a.example@b.example")),
            ("a.example/x", None),
        ] {
            assert_eq!(origin(url), server);
        }
    }

    #[test]
    fn ranges_are_read_and_nonsense_is_not() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for nonsense in ["", "bytes", "bytes */10", "5-9/10", "bytes -9/10"] {
            assert_eq!(content_range(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn hosts_are_exempt_from_the_proxy_by_the_end_of_their_name() {
        for (host, list, exempt) in [
            ("a.example", "b.example, a.example", true),
            ("x.a.example", ".a.example", true),
            ("x.A.example", "*.a.example", true),
            ("x.a.example", "a.example", true),
            ("xa.example", "a.example", false),
            ("a.example", "", false),
            ("a.example", "*", true),
            ("[::1]", "::1", true),
            ("127.0.0.1", "localhost,127.0.0.1", true),
        ] {
            assert_eq!(is_exempt(host, list), exempt, "{host} in {list}");
        }
    }
}
