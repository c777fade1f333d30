//! The Hugging Face hub as it is named and kept: what `hf://` says, which commit a revision was last seen at, and
//! where a commit's files lie in the hub's cache on disk.
//!
//! Knows no network: the command line reads here, and a worker alone asks the hub. Names of folders, the token's
//! file and the cache's layout are those of the hub's own client, the crate `hf-hub`, so that `transformers` finds
//! what was fetched here, and what it fetched is found here. What the crate's cache lacks stands here:
//! `HF_HUB_CACHE`, `XDG_CACHE_HOME`, `HF_TOKEN` and `HF_HUB_OFFLINE`, a file by its commit, a ref that changes in one
//! step, and a home folder that may be missing.

use std::env;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
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

/// Where the hub answers: `HF_ENDPOINT`, without a slash at its end.
pub fn endpoint() -> String {
    let said = variable("HF_ENDPOINT").map(|said| said.trim_end_matches('/').to_owned());
    said.unwrap_or_else(|| ENDPOINT.to_owned())
}

/// Whether the hub is not to be asked: `HF_HUB_OFFLINE`, or `TRANSFORMERS_OFFLINE`.
pub fn is_offline() -> bool {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].iter().any(|name| {
        variable(name).is_some_and(|value| {
            ["1", "on", "yes", "true"].contains(&value.trim().to_ascii_lowercase().as_str())
        })
    })
}

/// The hub's cache on disk.
///
/// ```text
/// models--org--name/refs/REVISION            the commit that the revision was last seen at
/// models--org--name/snapshots/COMMIT/FILE    a link to the blob
/// models--org--name/blobs/ETAG               the bytes
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

    /// The user's: `HF_HUB_CACHE`, else `hub` in the hub's home. None where there is no home folder.
    pub fn of_user() -> Option<Self> {
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE"));
        let root = cache.map(PathBuf::from).or_else(|| Some(home()?.join("hub")))?;
        Some(Self::new(root))
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
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
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

    /// The user's token: `HF_TOKEN`, else what `hf auth login` left.
    pub fn token(&self) -> Option<String> {
        let said = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN"));
        let file = || {
            let path = match variable("HF_TOKEN_PATH") {
                Some(path) => PathBuf::from(path),
                // Beside the cache, unless that was put somewhere of its own.
                None if variable("HF_HUB_CACHE").is_none() => return self.cache.token(),
                None => home()?.join("token"),
            };
            fs::read_to_string(path).ok()
        };
        said.or_else(file).map(|token| token.trim().to_owned()).filter(|token| !token.is_empty())
    }

    fn of(&self, repo: &Repo) -> PathBuf {
        self.root().join(repo.on_disk().folder_name())
    }
}

/// The hub's home: `HF_HOME`, else `huggingface` in the user's cache folder.
fn home() -> Option<PathBuf> {
    if let Some(home) = variable("HF_HOME") {
        return Some(home.into());
    }
    let caches = match variable("XDG_CACHE_HOME") {
        Some(caches) => PathBuf::from(caches),
        None => env::home_dir()?.join(".cache"),
    };
    Some(caches.join("huggingface"))
}

/// A variable of the environment that is set, and not to nothing.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
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
}
