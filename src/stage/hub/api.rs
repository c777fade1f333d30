//! What the hub is asked, and what its refusals mean.

use std::collections::BTreeSet;

use serde::Deserialize;
use tartan::action::{HubFiles, roles};
use tartan::diag::{Code, list, nearest};
use tartan::digest::Digest;
use tartan::event::Failure;
use tartan::hub::{self, Cache, Repo, SCHEME, Settings};
use ureq::Body;
use ureq::http::Response;

use crate::stage::fetch::Patience;
use crate::stage::fetch::http::{self, Login, Trouble, header, origin};
use crate::stage::fetch::partial::Check;

/// The most that is read of an answer, in bytes.
const LONGEST_ANSWER: u64 = 256 << 20;

/// The most names that are shown in place of one that is not there.
const SHOWN: usize = 10;

/// The hub, as the user's environment has it.
pub(super) struct Hub {
    pub(super) cache: Cache,
    pub(super) is_offline: bool,
    /// The user's token, for the hub alone.
    pub(super) login: Option<Login>,
    endpoint: String,
}

/// What the hub says of a file before it is fetched.
pub(super) struct Head {
    /// What the blob is called: its `ETag`, if that is a digest.
    pub(super) name: String,
    pub(super) check: Check,
}

/// What the hub says of a revision.
pub(super) struct Info {
    pub(super) commit: String,
    /// The paths of its files.
    pub(super) files: BTreeSet<String>,
}

impl Info {
    /// Whether there is a file, or what stands in its place.
    pub(super) fn has(&self, file: &str) -> bool {
        self.files.contains(file)
            || (HubFiles::role(file) == roles::WEIGHTS && self.files.contains(&index_of(file)))
    }
}

/// The index of weights that are in several files.
pub(super) fn index_of(weights: &str) -> String {
    format!("{weights}.index.json")
}

impl Check {
    /// What the `ETag` of a file of so many bytes says it must come to, if it is a digest.
    fn of_etag(etag: &str, length: u64) -> Option<Self> {
        match etag.len() {
            64 if is_hex(etag) => Some(Self::Sha256(etag.to_owned())),
            40 if is_hex(etag) => Some(Self::Git(etag.to_owned(), length)),
            _ => None,
        }
    }

    /// What the name of a blob of so many bytes says it must come to, if it says.
    pub(super) fn of_blob(name: &str, length: u64) -> Option<Self> {
        Self::of_etag(name, length).or_else(|| {
            let (length, digest) = name.split_once('-')?;
            let length = length.parse().ok()?;
            (digest.len() == 64 && is_hex(digest)).then_some(Self::Length(length))
        })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What the blob of a URL's file is called where its `ETag` is no digest, which other files may have too.
fn own_name(url: &str, etag: &str, length: u64) -> String {
    format!("{length}-{}", Digest::of(format!("{url}\n{etag}").as_bytes()).hex())
}

type Note<'a> = &'a dyn Fn(String);

impl Hub {
    pub(super) fn of_user() -> Result<Self, Failure> {
        let settings = Settings::of_user();
        if let Some((fault, help)) = settings.endpoint_fault() {
            return Err(Failure::new(Code::BadSetting, fault).help(help));
        }
        let Settings { endpoint, cache, is_offline, token } = settings;
        let cache = cache.ok_or_else(|| {
            Failure::new(Code::BadSetting, "there is no home folder to keep the hub's files in")
                .help("HF_HOME=DIR says where they are kept")
        })?;
        let login = token.zip(origin(&endpoint));
        let login = login.map(|(token, origin)| Login { origin: origin.to_owned(), token });
        Ok(Self { cache, is_offline, login, endpoint })
    }

    /// Whether it answers, and knows the user's token if there is one. Asks once.
    pub(super) fn reach(&self) -> Result<(), Failure> {
        let (method, path) = if self.login.is_some() { ("GET", "/api/whoami-v2") } else { ("HEAD", "/") };
        let url = format!("{}{path}", self.endpoint);
        match http::send(method, &url, &[], self.login.as_ref(), |_, _| true) {
            Ok(response) if self.login.is_some() && response.status().as_u16() == 401 => {
                let known = Failure::new(Code::HubRefused, "the hub does not know the token");
                Err(known.help(format!("make a new one: {}/settings/tokens", self.endpoint)))
            }
            Ok(_) => Ok(()),
            Err(Trouble::Lasting(failure)) => Err(failure),
            Err(Trouble::Passing { message, help, .. }) => {
                Err(Failure::new(Code::Unfetched, message).help(help))
            }
        }
    }

    /// Where a commit's file is fetched from.
    pub(super) fn url(&self, repo: &Repo, commit: &str, file: &str) -> String {
        format!("{}/{repo}/resolve/{commit}/{}", self.endpoint, encoded(file, "/"))
    }

    /// What the hub says of a commit's file. None if there is no such file.
    pub(super) fn head(
        &self,
        repo: &Repo,
        commit: &str,
        file: &str,
        note: Note,
    ) -> Result<Option<Head>, Failure> {
        let url = self.url(repo, commit, file);
        patiently(note, || {
            // On its own server the hub says more with each redirect; where the bytes are is none of its own.
            let mut said = Said::default();
            let response = http::send("HEAD", &url, &[], self.login.as_ref(), |response, to| {
                said.take(response);
                origin(to) == origin(&url)
            })?;
            said.take(&response);
            match response.status().as_u16() {
                200 | 301 | 302 | 303 | 307 | 308 => {
                    said.head(&url, commit).map(Some).map_err(Trouble::Lasting)
                }
                404 if !matches!(
                    error_code(&response),
                    "RepoNotFound" | "RevisionNotFound" | "GatedRepo"
                ) =>
                {
                    Ok(None)
                }
                _ => Err(self.refusal(&url, repo, commit, &response)),
            }
        })
    }

    /// The commit of a revision, and its files.
    pub(super) fn info(&self, repo: &Repo, revision: &str, note: Note) -> Result<Info, Failure> {
        #[derive(Deserialize)]
        struct Raw {
            sha: String,
            #[serde(default)]
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let url = self.api(repo, &format!("revision/{}", encoded(revision, "")));
        let text = patiently(note, || {
            let response = http::send("GET", &url, &[], self.login.as_ref(), |_, _| true)?;
            if response.status().as_u16() != 200 {
                return Err(self.refusal(&url, repo, revision, &response));
            }
            read(&url, response)
        })?;
        let raw: Raw = serde_json::from_str(&text).map_err(|error| not_a_hub(&url, &error))?;
        if !hub::is_commit(&raw.sha) {
            return Err(not_a_hub(&url, &format!("`{}` is no commit", raw.sha)));
        }
        let files = raw.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        Ok(Info { commit: raw.sha.to_ascii_lowercase(), files })
    }

    /// That a revision lacks a file, where it has `files`.
    pub(super) fn lacks(&self, repo: &Repo, revision: &str, file: &str, files: &BTreeSet<String>) -> Failure {
        let name = HubFiles::role(file);
        let beside = |name: &str| {
            files.contains(&format!("{}{name}", file.strip_suffix(HubFiles::role(file)).unwrap_or_default()))
        };
        let at = if revision == hub::MAIN { String::new() } else { format!(" at `{revision}`") };
        let pickled =
            ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"];
        match name {
            roles::WEIGHTS if let Some(other) = pickled.iter().find(|other| beside(other)) => {
                let message =
                    format!("`{repo}`{at} has its weights in `{other}`, which is not read, and no `{file}`");
                refused(message).help(format!(
                    "`AutoModelForMaskedLM.from_pretrained(\"{repo}\").save_pretrained(DIR)` and `AutoTokenizer` \
                     alike, of transformers, write what is read: then name DIR. Or name a revision that has the \
                     file, if {}/discussions has one: `{SCHEME}{repo}@refs/pr/N`",
                    self.page(repo)
                ))
            }
            roles::TOKENIZER if beside(roles::CONFIG) => {
                refused(format!("`{repo}`{at} has no fast tokenizer: `{file}` is missing")).help(format!(
                    "`AutoTokenizer.from_pretrained(\"{repo}\").save_pretrained(DIR)` of transformers writes it; put \
                     config.json and model.safetensors beside it, and name DIR"
                ))
            }
            _ => {
                let same_name = files.iter().find(|other| HubFiles::role(other) == name);
                let near =
                    same_name.map(String::as_str).or_else(|| nearest(file, files.iter().map(String::as_str)));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        format!("its files are listed at {}/tree/{}", self.page(repo), encoded(revision, "/"))
                    }
                };
                refused(format!("`{repo}`{at} has no file `{file}`")).help(help)
            }
        }
    }

    /// What a status means that is no answer.
    fn refusal(&self, url: &str, repo: &Repo, revision: &str, response: &Response<Body>) -> Trouble {
        let page = self.page(repo);
        let (status, code) = (response.status().as_u16(), error_code(response));
        let lasting = |message: String, help: String| Trouble::Lasting(refused(message).help(help));
        match (status, self.login.is_some()) {
            (401 | 403 | 404, false) if code == "GatedRepo" => lasting(
                format!("`{repo}` is open only to those who have accepted its terms"),
                format!(
                    "accept them at {page}, then set HF_TOKEN to a token of yours ({}/settings/tokens)",
                    self.endpoint
                ),
            ),
            (401 | 403 | 404, true) if code == "GatedRepo" => lasting(
                format!(
                    "`{repo}` is open only to those who have accepted its terms, and the owner of the token has not"
                ),
                format!("ask for access at {page}"),
            ),
            (401, false) => lasting(
                format!("the hub has no public `{repo}`"),
                format!(
                    "check the name at {page}; one that is private wants HF_TOKEN, a token that may read it \
                     ({}/settings/tokens)",
                    self.endpoint
                ),
            ),
            (401, true) => lasting(
                format!("the hub does not know the token that it was asked for `{repo}` with"),
                format!(
                    "set HF_TOKEN to one that holds ({}/settings/tokens), or remove it: HF_TOKEN, or what `hf auth login` left in HF_HOME",
                    self.endpoint
                ),
            ),
            (403, _) => lasting(
                format!("the hub refuses to give `{repo}`"),
                format!(
                    "see {page}; the token in HF_TOKEN must be one that may read it ({}/settings/tokens)",
                    self.endpoint
                ),
            ),
            (404, _) if code == "RevisionNotFound" => {
                let refs = self.refs(repo);
                let near = nearest(revision, refs.iter().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if (1..=SHOWN).contains(&refs.len()) => {
                        format!("its branches and tags are {}", list(&refs))
                    }
                    None => format!("its branches and tags are listed at {page}/tree/main"),
                };
                lasting(format!("`{repo}` has no revision `{revision}`"), help)
            }
            (404, _) => lasting(
                format!("the hub has no `{repo}`"),
                format!(
                    "check the name at {page}; a model is `{SCHEME}org/name`, a data set's file `{SCHEME}datasets/org/name/FILE`"
                ),
            ),
            _ => http::refusal(url, response),
        }
    }

    /// The branches and tags of a repository, as far as the hub tells.
    fn refs(&self, repo: &Repo) -> Vec<String> {
        #[derive(Default, Deserialize)]
        struct Refs {
            #[serde(default)]
            branches: Vec<Ref>,
            #[serde(default)]
            tags: Vec<Ref>,
        }
        #[derive(Deserialize)]
        struct Ref {
            name: String,
        }
        let url = self.api(repo, "refs");
        let asked = http::send("GET", &url, &[], self.login.as_ref(), |_, _| true);
        let text = asked.and_then(|response| read(&url, response)).unwrap_or_default();
        let refs: Refs = serde_json::from_str(&text).unwrap_or_default();
        refs.branches.into_iter().chain(refs.tags).map(|found| found.name).collect()
    }

    fn api(&self, repo: &Repo, what: &str) -> String {
        let kind = if repo.is_data { "datasets" } else { "models" };
        format!("{}/api/{kind}/{}/{what}", self.endpoint, repo.id)
    }

    fn page(&self, repo: &Repo) -> String {
        format!("{}/{repo}", self.endpoint)
    }
}

/// What the answers to a request for a file's head have said so far; what comes first holds.
#[derive(Default)]
struct Said {
    linked_etag: Option<String>,
    etag: Option<String>,
    length: Option<u64>,
    commit: Option<String>,
}

impl Said {
    fn take(&mut self, response: &Response<Body>) {
        let text = |name: &str| header(response, name).map(str::to_owned);
        let number = |name: &str| header(response, name).and_then(|length| length.trim().parse().ok());
        self.linked_etag = self.linked_etag.take().or_else(|| text("x-linked-etag"));
        self.commit = self.commit.take().or_else(|| text("x-repo-commit"));
        self.length = self.length.or_else(|| number("x-linked-size"));
        // The length of a redirect is that of its own text.
        if response.status().is_success() {
            self.etag = self.etag.take().or_else(|| text("etag"));
            self.length = self.length.or_else(|| number("content-length"));
        }
    }

    fn head(self, url: &str, commit: &str) -> Result<Head, Failure> {
        if let Some(other) = self.commit.filter(|other| other != commit) {
            return Err(not_a_hub(url, &format!("it is of the commit {other}")));
        }
        let etag = self.linked_etag.or(self.etag).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if etag.is_empty() || etag.starts_with('.') || !etag.chars().all(is_plain) {
            return Err(not_a_hub(url, &"it has no `ETag` to go by"));
        }
        let length = self.length.ok_or_else(|| not_a_hub(url, &"it has no length"))?;
        Ok(match Check::of_etag(&etag, length) {
            Some(check) => Head { name: etag, check },
            None => Head { name: own_name(url, &etag, length), check: Check::Length(length) },
        })
    }
}

/// Asks until there is an answer, or asking again would not help.
fn patiently<T>(note: Note, mut ask: impl FnMut() -> Result<T, Trouble>) -> Result<T, Failure> {
    let mut patience = Patience::default();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(trouble) => patience.bear(trouble, note)?,
        }
    }
}

fn read(url: &str, response: Response<Body>) -> Result<String, Trouble> {
    let mut body = response.into_body();
    body.with_config().limit(LONGEST_ANSWER).read_to_string().map_err(|error| http::trouble(url, &error))
}

fn error_code(response: &Response<Body>) -> &str {
    header(response, "x-error-code").unwrap_or_default()
}

fn refused(message: String) -> Failure {
    Failure::new(Code::HubRefused, message)
}

fn not_a_hub(url: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Unfetched, format!("{url}: this is not what the hub answers: {why}"))
        .help("check HF_ENDPOINT, and whether a proxy on the way answers in the hub's place")
}

/// A text as a part of a URL's path; what is in `kept` stands for itself too.
fn encoded(text: &str, kept: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.as_bytes().contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_called_by_its_digest_or_has_a_name_of_its_own() {
        let head = |etag: &str, linked: Option<&str>| {
            let said = Said {
                etag: Some(etag.to_owned()),
                linked_etag: linked.map(str::to_owned),
                length: Some(9),
                commit: None,
            };
            said.head("u", "c").map(|head| (head.name, head.check)).map_err(|failure| failure.message)
        };
        let (sha256, git) = ("a1".repeat(32), "b2".repeat(20));
        assert_eq!(
            head("\"x\"", Some(&format!("\"{sha256}\""))),
            Ok((sha256.clone(), Check::Sha256(sha256)))
        );
        assert_eq!(head(&format!("W/\"{git}\""), None), Ok((git.clone(), Check::Git(git, 9))));
        let own = own_name("u", "0-9", 9);
        assert_eq!(Check::of_blob(&own, 8), Some(Check::Length(9)), "its own length, not the one found");
        assert_eq!(head("\"0-9\"", None), Ok((own.clone(), Check::Length(9))));
        assert_ne!(own, own_name("v", "0-9", 9), "another file of the same `ETag`");
        assert_eq!(Check::of_blob("0-9", 9), None);
        for odd in ["", "\"\"", "\"../x\"", "\"..\""] {
            assert!(head(odd, None).unwrap_err().contains("no `ETag`"), "{odd}");
        }
    }

    #[test]
    fn a_part_of_a_url_is_encoded() {
        assert_eq!(encoded("a b/ü?.txt", "/"), "a%20b/%C3%BC%3F.txt");
        assert_eq!(encoded("refs/pr/3", ""), "refs%2Fpr%2F3");
    }
}
