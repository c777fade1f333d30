//! `fetch` of a commit's files from the hub, through the hub's cache on disk: what `transformers` has there is taken
//! from there, and what is fetched lies there for it.
//!
//! A file is fetched as the hub's Python client does: a request for its head says how long it is and what it must
//! hash to (SHA-256, or git's hash of a small file); what has arrived lies under `ETAG.incomplete`, locked, until it
//! is whole and right; then it is a blob, and the commit's folder links to it. What the cache has already is hashed
//! again before it is used. Where a mirror's `ETag` is no digest, another file may have the same one: the blob has a
//! name of its own then, with its length in it, and that is what is checked.
//!
//! Of the hub's crate, `hf-hub`, only the cache is used (`tartan::hub`). Its client is not: that of 0.5 asks the
//! host which it is redirected to with the user's token, hashes nothing, knows neither `HF_TOKEN` nor
//! `HF_HUB_OFFLINE`, and trusts certificates of its own instead of the system's; that of 1.0 sits on tokio, reqwest
//! and a second library for TLS. So requests go the way of all that is fetched here: `fetch::http`, with its
//! proxies, timeouts, resumes and retries.

mod api;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use tartan::action::{HubFiles, roles};
use tartan::diag::Code;
use tartan::event::{Failure, Level};
use tartan::hub::{Answer, Ask, Repo};

use super::fetch::partial::{Check, Partial, is_sound};
use super::fetch::{self, Source};
use super::{Io, read_failure, write_failure};
use api::{Head, Hub, Info};

/// Writes each file of a commit under its name without its folders.
pub fn run(files: &HubFiles, io: &Io) -> Result<(), Failure> {
    let (hub, repo) = (Hub::of_user()?, Repo::of(&files.repo));
    let snapshot = Snapshot { hub: &hub, repo: &repo, commit: &files.commit, io };
    for file in &files.files {
        let role = HubFiles::role(file);
        let out = io.request.out.join(role);
        match snapshot.have(file)? {
            Some(path) => copy(&path, &out)?,
            None if role == roles::WEIGHTS => snapshot.join_shards(file, &out)?,
            None => return Err(snapshot.lacks(file)),
        }
    }
    Ok(())
}

/// Whether the hub answers, and knows the user's token if there is one.
pub fn reach() -> Result<(), Failure> {
    Hub::of_user()?.reach()
}

/// Asks the hub which commits revisions are at, and whether those have the files that are wanted; the hub's cache
/// remembers it. `note` is told of what takes longer.
pub fn resolve(asks: &[Ask], note: &dyn Fn(String)) -> Vec<Answer> {
    let mut seen: BTreeMap<(&str, &str), Result<Info, Failure>> = BTreeMap::new();
    let hub = Hub::of_user();
    asks.iter()
        .map(|ask| {
            let answer = hub.as_ref().map_err(Clone::clone).and_then(|hub| {
                let repo = Repo::of(&ask.repo);
                let info = seen
                    .entry((ask.repo.as_str(), ask.revision.as_str()))
                    .or_insert_with(|| hub.info(&repo, &ask.revision, note));
                let info = info.as_ref().map_err(Clone::clone)?;
                for file in &ask.files {
                    // Of a large repository the list may not have all.
                    if !info.has(file) && hub.head(&repo, &info.commit, file, note)?.is_none() {
                        return Err(hub.lacks(&repo, &ask.revision, file, &info.files));
                    }
                }
                if let Err(error) = hub.cache.remember(&repo, &ask.revision, &info.commit) {
                    let root = hub.cache.root().display();
                    note(format!("cannot remember in {root} where `{}` is: {error}", ask.revision));
                }
                Ok(info.commit.clone())
            });
            match answer {
                Ok(commit) => Answer::Commit(commit),
                Err(failure) => Answer::Failed(failure),
            }
        })
        .collect()
}

/// A commit that files are taken of.
struct Snapshot<'a> {
    hub: &'a Hub,
    repo: &'a Repo,
    commit: &'a str,
    io: &'a Io<'a>,
}

impl Snapshot<'_> {
    /// A file's place in the hub's cache, where it is fetched to if need be. None if the commit has no such file;
    /// of an offline run, if the cache has none.
    fn have(&self, file: &str) -> Result<Option<PathBuf>, Failure> {
        let path = self.hub.cache.file(self.repo, self.commit, file);
        if self.is_there(&path, file)? {
            return Ok(Some(path));
        }
        if self.hub.is_offline {
            return Ok(None);
        }
        let note = |text| self.io.note(Level::Info, text);
        let Some(head) = self.hub.head(self.repo, self.commit, file, &note)? else { return Ok(None) };
        let blob = self.hub.cache.blob(self.repo, &head.name);
        self.download(file, &head, &blob)?;
        link(&head.name, file, &path)?;
        Ok(Some(path))
    }

    /// Whether the hub's cache has a file whole. A link names its blob by what that must come to.
    fn is_there(&self, path: &Path, file: &str) -> Result<bool, Failure> {
        let cannot = |error: &io::Error| read_failure(path, error);
        let blob = match fs::canonicalize(path) {
            Ok(blob) => blob,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(cannot(&error)),
        };
        let length = blob.metadata().map_err(|error| cannot(&error))?.len();
        let name = blob.file_name().unwrap_or_default().to_string_lossy();
        // Where there are no links, the file itself lies there, and nothing tells what it must come to. A blob that
        // is linked and called by no digest may be another file's.
        let Some(check) = Check::of_blob(&name, length) else { return Ok(!path.is_symlink()) };
        if is_sound(&blob, &check).map_err(|error| cannot(&error))? {
            return Ok(true);
        }
        let text = format!("`{file}` of `{}` is damaged in the hub's cache: {}", self.repo, blob.display());
        if self.hub.is_offline {
            return Err(Failure::new(Code::HubOffline, text).help("unset HF_HUB_OFFLINE to fetch it again"));
        }
        self.io.note(Level::Warning, format!("{text}; fetching it again"));
        Ok(false)
    }

    /// Has a file's blob, whole and right.
    fn download(&self, file: &str, head: &Head, blob: &Path) -> Result<(), Failure> {
        let folder = blob.parent().unwrap_or(blob);
        fs::create_dir_all(folder).map_err(|error| self.not_writable(folder, &error))?;
        let _lock = self.lock(&head.name)?;
        if is_sound(blob, &head.check).is_ok_and(|sound| sound) {
            return Ok(());
        }
        let mut unfinished = blob.as_os_str().to_owned();
        unfinished.push(".incomplete");
        let origin = self.io.request.resume.join(format!("origin-{}.json", head.name));
        let mut partial = Partial::open(unfinished.into(), origin, head.check.clone())?;
        if partial.len == 0 || !partial.is_whole() {
            let url = self.hub.url(self.repo, self.commit, file);
            let from = Source { url: &url, login: self.hub.login.as_ref(), is_pinned: false };
            fetch::fetch(&from, &mut partial, self.io)?;
        }
        partial.deliver(blob)
    }

    /// The lock under which the hub's clients fetch a blob.
    fn lock(&self, name: &str) -> Result<File, Failure> {
        let path = self.hub.cache.lock(self.repo, name);
        let open = || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            File::options().read(true).write(true).create(true).truncate(false).open(&path)
        };
        let file = open().map_err(|error| self.not_writable(&path, &error))?;
        if matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
            self.io.note(Level::Info, format!("another program fetches it; waiting for {}", path.display()));
        }
        // Where a file system has no locks, the digest still tells whether what came is right.
        drop(file.lock());
        Ok(file)
    }

    /// Weights in several files become one: the index says which tensor is in which.
    fn join_shards(&self, file: &str, out: &Path) -> Result<(), Failure> {
        let Some(index) = self.have(&api::index_of(file))? else { return Err(self.lacks(file)) };
        let wrong = |why: String| {
            Failure::new(Code::Misfit, format!("`{}` of `{}`: {why}", api::index_of(file), self.repo))
        };
        let index: Index = File::open(&index)
            .map_err(|error| wrong(error.to_string()))
            .and_then(|file| serde_json::from_reader(file).map_err(|error| wrong(error.to_string())))?;
        let shards: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
        let folder = file.strip_suffix(HubFiles::role(file)).unwrap_or_default();
        let mut bytes = vec![];
        for shard in shards {
            if shard.contains(['/', '\\']) || shard.starts_with('.') {
                return Err(wrong(format!("`{shard}` is no file beside it")));
            }
            let shard = format!("{folder}{shard}");
            let path = self.have(&shard)?.ok_or_else(|| self.lacks(&shard))?;
            bytes.push(fs::read(&path).map_err(|error| read_failure(&path, &error))?);
        }
        let mut tensors = BTreeMap::new();
        for bytes in &bytes {
            let shard = SafeTensors::deserialize(bytes).map_err(|error| wrong(error.to_string()))?;
            tensors.extend(shard.tensors());
        }
        if let Some(name) = index.weight_map.keys().find(|name| !tensors.contains_key(*name)) {
            return Err(wrong(format!("no file has the tensor `{name}`")));
        }
        safetensors::serialize_to_file(tensors, None, out)
            .map_err(|error| Failure::new(Code::System, format!("cannot write {}: {error}", out.display())))
    }

    /// That a file is not to be had.
    fn lacks(&self, file: &str) -> Failure {
        if self.hub.is_offline {
            return Failure::new(
                Code::HubOffline,
                format!(
                    "`{file}` of `{}` at {} is not in the hub's cache ({}), and HF_HUB_OFFLINE is set",
                    self.repo,
                    self.commit,
                    self.hub.cache.root().display()
                ),
            )
            .help("run once without HF_HUB_OFFLINE, or name a folder that has the files");
        }
        // What else there is makes the answer better; without it there is still an answer.
        let info = self.hub.info(self.repo, self.commit, &|_| ());
        self.hub.lacks(self.repo, self.commit, file, &info.map(|info| info.files).unwrap_or_default())
    }

    fn not_writable(&self, path: &Path, error: &io::Error) -> Failure {
        let root = self.hub.cache.root().display();
        match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Failure::new(
                Code::System,
                format!("cannot write to the hub's cache: {}: {error}", path.display()),
            )
            .help(format!("the cache is {root}; HF_HUB_CACHE=DIR names another")),
            _ => write_failure(path, error),
        }
    }
}

/// What of a `model.safetensors.index.json` is read.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Makes `path`, of a commit's `file`, a link to its blob.
fn link(blob: &str, file: &str, path: &Path) -> Result<(), Failure> {
    // Out of the commit's folder, and of as many as the file is in.
    let up = "../".repeat(2 + file.matches('/').count());
    let target = format!("{up}blobs/{blob}");
    let place = || {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder)?;
        let draft = tempfile::Builder::new()
            .prefix(".tartan-")
            .make_in(folder, |draft| std::os::unix::fs::symlink(&target, draft))?;
        draft.persist(path).map_err(io::Error::from)
    };
    place().map_err(|error| write_failure(path, &error))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut file = File::open(from).map_err(|error| read_failure(from, &error))?;
    let copied = File::create_new(to).and_then(|mut out| io::copy(&mut file, &mut out));
    copied.map(drop).map_err(|error| write_failure(to, &error))
}
