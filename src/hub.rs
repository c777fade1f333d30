//! The Hugging Face hub as it is named and kept: what `hf://` says, which commit a revision was last seen at, and
//! where a commit's files lie in the hub's cache on disk.
//!
//! Knows no network: the command line reads here, and a worker alone asks the hub. Names of folders and
//! the cache's layout are those of the hub's own client, the crate `hf-hub`, so that `transformers` finds what was
//! fetched here, and what it fetched is found here. What the crate's cache lacks stands here: environment variables but
//! `HF_HOME`, a home folder that may be missing, a file by its commit, and a ref that changes in one step.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::Failure;

mod name;

pub use name::{BadName, Name, parse};

/// What a name of the hub begins with.
pub const SCHEME: &str = "hf://";
/// The revision where none is said.
pub const MAIN: &str = "main";
const ENDPOINT: &str = "https://huggingface.co";

/// Which commit a revision is at, as the command line asks a worker: on its standard input, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ask {
    /// `org/name`; of a data set `datasets/org/name`.
    pub repo: String,
    /// A branch, a tag, or a pull request.
    pub revision: String,
    /// The files that the commit must have.
    pub files: Vec<String>,
}

/// What a worker answers to an [`Ask`]: a line of JSON, in the order of the asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The commit's hash.
    Commit(String),
    /// Why there is none, or why it does not do.
    Failed(Failure),
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repo {
    /// Whether it is a data set; else a model.
    pub is_data: bool,
    /// `org/name`, or a name alone, as the oldest models have it.
    pub id: String,
}

impl Repo {
    /// The repository of `org/name` or `datasets/org/name`.
    pub fn of(name: &str) -> Self {
        match name.strip_prefix("datasets/") {
            Some(id) => Self { is_data: true, id: id.to_owned() },
            None => Self { is_data: false, id: name.to_owned() },
        }
    }

    /// As the hub's crate has it.
    fn on_disk(&self) -> hf_hub::Repo {
        let kind = if self.is_data { hf_hub::RepoType::Dataset } else { hf_hub::RepoType::Model };
        hf_hub::Repo::new(self.id.clone(), kind)
    }
}

/// As a pipeline and the hub's pages write it: `org/name`, `datasets/org/name`.
impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_data { "datasets/" } else { "" }, self.id)
    }
}

/// Whether a revision is a commit's whole hash, and so never moves.
pub fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The hub as an environment has it.
pub struct Settings {
    /// Where it answers: `HF_ENDPOINT`, without a slash at its end.
    pub endpoint: String,
    /// Its cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, which is `huggingface` in the user's cache folder. None
    /// where there is no home folder.
    pub cache: Option<Cache>,
    /// Whether it is not to be asked: `HF_HUB_OFFLINE`, or `TRANSFORMERS_OFFLINE`.
    pub is_offline: bool,
    /// The user's token: `HF_TOKEN`, else what `hf auth login` left in `HF_HOME` or under `HF_TOKEN_PATH`.
    pub token: Option<String>,
}

impl Settings {
    /// Those of this process.
    pub fn of_user() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    /// Those that variables say; one that is set to nothing counts as not set.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let path = |name: &str| set(name).map(PathBuf::from);
        let caches = || path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
        let home = path("HF_HOME").or_else(|| Some(caches()?.join("huggingface")));
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(home.as_ref()?.join("hub")));
        let is_true = |name: &str| {
            set(name).is_some_and(|value| {
                ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
            })
        };
        let token = || {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")))?;
            fs::read_to_string(file)
                .ok()
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty())
        };
        Self {
            endpoint: set("HF_ENDPOINT")
                .map_or(ENDPOINT.to_owned(), |said| said.trim_end_matches('/').to_owned()),
            cache: cache.map(Cache::new),
            is_offline: is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
            token: set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(token),
        }
    }

    /// Why the endpoint cannot be asked, or would show a password, and the way out.
    pub fn endpoint_fault(&self) -> Option<(String, &'static str)> {
        let endpoint = &self.endpoint;
        let rest = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
        if rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@')) {
            let fault =
                "a user's name or password in HF_ENDPOINT would end up in logs and messages".to_owned();
            return Some((
                fault,
                "leave out what stands before the `@`; HF_TOKEN is what the hub knows a user by",
            ));
        }
        let is_url = endpoint.starts_with("https://") || endpoint.starts_with("http://");
        let fault = || format!("HF_ENDPOINT is a URL, not `{endpoint}`");
        (!is_url).then(|| (fault(), "such as `https://huggingface.co`, where it is not set"))
    }
}

/// The hub's cache on disk.
///
/// ```text
/// models--org--name/refs/REVISION            the commit that the revision was last seen at
/// models--org--name/snapshots/COMMIT/FILE    a link to the blob
/// models--org--name/blobs/ETAG               the bytes; under another name where the `ETag` is no digest
/// .locks/models--org--name/ETAG.lock         held by whoever fetches the blob
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    cache: hf_hub::Cache,
}

impl Cache {
    /// The cache in a folder.
    pub fn new(root: PathBuf) -> Self {
        Self { cache: hf_hub::Cache::new(root) }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.cache.path()
    }

    /// The commit that a revision was last seen at; of a commit's hash itself.
    pub fn commit(&self, repo: &Repo, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_ascii_lowercase());
        }
        let text = fs::read_to_string(self.of(repo).join("refs").join(revision)).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_ascii_lowercase())
    }

    /// Keeps the commit that a revision was seen at.
    pub fn remember(&self, repo: &Repo, revision: &str, commit: &str) -> io::Result<()> {
        let path = self.of(repo).join("refs").join(revision);
        if is_commit(revision) || fs::read_to_string(&path).is_ok_and(|known| known == commit) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(self.root());
        fs::create_dir_all(folder)?;
        // Others who share the cache read it too.
        let mut file =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)?;
        file.write_all(commit.as_bytes())?;
        file.persist(&path)?;
        Ok(())
    }

    /// Where a commit's file lies, whether it is there or not: a link to its blob.
    pub fn file(&self, repo: &Repo, commit: &str, file: &str) -> PathBuf {
        self.cache.repo(repo.on_disk()).pointer_path(commit).join(file)
    }

    /// Where the blob of an `ETag` lies, whether it is there or not.
    pub fn blob(&self, repo: &Repo, etag: &str) -> PathBuf {
        self.of(repo).join("blobs").join(etag)
    }

    /// The lock of a blob that is fetched, as the hub's Python client takes it.
    pub fn lock(&self, repo: &Repo, etag: &str) -> PathBuf {
        self.root().join(".locks").join(repo.on_disk().folder_name()).join(format!("{etag}.lock"))
    }

    fn of(&self, repo: &Repo) -> PathBuf {
        self.root().join(repo.on_disk().folder_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "e2da8e2f811d1448a5b465c236feacd80ffbac7b";

    #[test]
    fn the_layout_is_that_of_the_hubs_clients() {
        let cache = Cache::new("/hub".into());
        let model = Repo::of("FacebookAI/roberta-base");
        let data = Repo::of("datasets/org/name");
        assert_eq!(
            (model.to_string(), data.to_string()),
            ("FacebookAI/roberta-base".into(), "datasets/org/name".into())
        );
        let file = cache.file(&model, COMMIT, "a/b.json");
        assert_eq!(
            file,
            Path::new(&format!("/hub/models--FacebookAI--roberta-base/snapshots/{COMMIT}/a/b.json"))
        );
        assert_eq!(cache.blob(&data, "abc"), Path::new("/hub/datasets--org--name/blobs/abc"));
        assert_eq!(cache.lock(&data, "abc"), Path::new("/hub/.locks/datasets--org--name/abc.lock"));
    }

    #[test]
    fn an_environment_says_where_the_hub_is_and_where_its_files_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().to_str().expect("text").to_owned();
        fs::write(folder.path().join("token"), "hf_file\n").expect("written");
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Settings::of(move |name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
        };
        let cache = |set: &[(&str, &str)]| of(set).cache.map(|cache| cache.root().to_owned());
        assert_eq!(cache(&[]), None);
        for (set, root) in [
            (&[("HOME", "/me")][..], "/me/.cache/huggingface/hub"),
            (&[("HOME", "/me"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/me"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HOME", "/me"), ("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HOME", "/me"), ("HF_HUB_CACHE", "")], "/me/.cache/huggingface/hub"),
        ] {
            assert_eq!(cache(set), Some(root.into()), "{set:?}");
        }
        assert_eq!(of(&[]).endpoint, "https://huggingface.co");
        assert_eq!(of(&[("HF_ENDPOINT", "http://a.example/")]).endpoint, "http://a.example");
        let token = |set: &[(&str, &str)]| of(set).token;
        assert_eq!(token(&[("HF_HOME", &home), ("HF_TOKEN", "hf_said")]).as_deref(), Some("hf_said"));
        assert_eq!(token(&[("HF_HOME", &home), ("HF_HUB_CACHE", "/c")]).as_deref(), Some("hf_file"));
        assert_eq!(token(&[("HF_HOME", "/none")]), None);
        for (value, offline) in
            [("1", true), ("True", true), ("on", true), ("0", false), ("", false), ("no", false)]
        {
            assert_eq!(of(&[("HF_HUB_OFFLINE", value)]).is_offline, offline, "{value}");
        }
    }

    #[test]
    fn a_revision_is_where_it_was_last_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path().join("hub"));
        let repo = Repo::of("org/name");
        assert_eq!(cache.commit(&repo, MAIN), None);
        assert_eq!(cache.commit(&repo, &COMMIT.to_uppercase()).as_deref(), Some(COMMIT), "it is one itself");
        for (revision, commit) in [(MAIN, COMMIT), ("refs/pr/3", COMMIT), (MAIN, &COMMIT.replace('e', "0"))] {
            cache.remember(&repo, revision, commit).expect("written");
            assert_eq!(cache.commit(&repo, revision).as_deref(), Some(commit));
        }
        cache.remember(&repo, COMMIT, COMMIT).expect("nothing to write");
        let refs: Vec<_> =
            fs::read_dir(folder.path().join("hub/models--org--name/refs")).expect("refs").collect();
        assert_eq!(refs.len(), 2, "{refs:?}");
        fs::write(folder.path().join("hub/models--org--name/refs/main"), "half").expect("written");
        assert_eq!(cache.commit(&repo, MAIN), None, "no commit");
    }

    #[test]
    fn an_endpoint_is_a_url_and_shows_no_password() {
        let fault = |endpoint: &str| {
            let settings = Settings::of(|name| (name == "HF_ENDPOINT").then(|| endpoint.to_owned()));
            settings.endpoint_fault().map(|(fault, _)| fault)
        };
        for endpoint in ["", "https://huggingface.co", "http://127.0.0.1:8000/hub/@me"] {
            assert_eq!(fault(endpoint), None);
        }
        for endpoint in ["https://me:secret@mirror", "me:secret@mirror/hub", "ftp://me:secret@mirror"] {
            let fault = fault(endpoint).expect(endpoint);
            assert!(fault.contains("password") && !fault.contains("secret"), "{fault}");
        }
        assert!(fault("mirror").expect("no URL").contains("`mirror`"));
    }
}
