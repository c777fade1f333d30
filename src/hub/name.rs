//! What stands after `hf://`: a repository, perhaps a revision, perhaps a path in it.

use std::fmt;

use super::{MAIN, Repo, SCHEME};

/// What a name of the hub says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The repository.
    pub repo: Repo,
    /// A branch, a tag, a pull request, or a commit's hash; `main` where none is said.
    pub revision: String,
    /// The path of a file or folder in it; empty for the whole.
    pub path: String,
}

/// As a pipeline writes it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.repo)?;
        if self.revision != MAIN {
            let is_of_hub = ["refs/pr/", "refs/convert/"].iter().any(|refs| self.revision.starts_with(refs));
            let revision = if is_of_hub { self.revision.clone() } else { self.revision.replace('/', "%2F") };
            write!(f, "@{revision}")?;
        }
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

/// What is wrong with a name, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadName {
    /// What is wrong.
    pub message: String,
    /// The way out.
    pub help: String,
}

/// Reads `hf://[datasets/]org/name[@revision][/path]`. A `/` in a revision is written `%2F`, but for
/// `refs/pr/N` and `refs/convert/NAME`.
pub fn parse(text: &str) -> Result<Name, BadName> {
    let wrong = |message: String| BadName {
        message,
        help: format!(
            "write `{SCHEME}org/name`, or `{SCHEME}org/name@revision`; of a data set a file, \
                       `{SCHEME}datasets/org/name/path/train.jsonl`"
        ),
    };
    let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong(format!("`{text}` is no name of the hub")))?;
    let (kind, rest) = match rest.split_once('/') {
        Some((kind @ ("datasets" | "models"), rest)) => (kind, rest),
        Some(("spaces" | "buckets", _)) => {
            return Err(wrong(format!("`{text}` is neither a model nor a data set")));
        }
        _ => ("models", rest),
    };
    let parts: Vec<&str> = rest.split('/').collect();
    // A name alone is a repository too, unless its revision has the slash.
    let last = usize::from(parts.len() > 1 && !parts[0].contains('@'));
    let (name, revision) = match parts[last].split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (parts[last], None),
    };
    let id = if last == 1 { format!("{}/{name}", parts[0]) } else { name.to_owned() };
    let mut path = &parts[last + 1..];
    let revision = match revision {
        None => MAIN.to_owned(),
        Some("refs") if path.len() >= 2 && ["pr", "convert"].contains(&path[0]) => {
            let revision = format!("refs/{}/{}", path[0], path[1]);
            path = &path[2..];
            revision
        }
        Some(revision) => revision.replace("%2F", "/").replace("%2f", "/"),
    };
    if let Some(part) = id.split('/').find(|part| !is_plain(part)) {
        let part = if part.is_empty() {
            "a part of it is empty".to_owned()
        } else {
            format!("`{part}` is no part of one")
        };
        return Err(wrong(format!("`{text}` names no repository: {part}")));
    }
    if !is_revision(&revision) {
        return Err(wrong(format!("`{revision}` is no revision")));
    }
    if let Some(odd) = path.iter().find(|part| !is_file_name(part)) {
        return Err(wrong(format!("`{odd}` is no part of a path in `{text}`")));
    }
    if let Some(pattern) = path.iter().find(|part| part.contains(['*', '?'])) {
        let message = format!("`{pattern}` is a pattern, and files of the hub are named one by one");
        let help =
            format!("write a list of them; they are shown at the repository's page, under `tree/{revision}`");
        return Err(BadName { message, help });
    }
    Ok(Name { repo: Repo { is_data: kind == "datasets", id }, revision, path: path.join("/") })
}

/// Whether it may be an organisation's or a repository's name.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Whether git may call a branch or tag so, as far as it is also a path.
fn is_revision(revision: &str) -> bool {
    revision.split('/').all(is_file_name) && !revision.chars().any(|c| " ~^:?*[@".contains(c))
}

fn is_file_name(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.chars().any(|c| c.is_control() || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_repository_a_revision_and_a_path() {
        for (text, repo, revision, path) in [
            ("hf://FacebookAI/roberta-base", "FacebookAI/roberta-base", "main", ""),
            ("hf://models/FacebookAI/roberta-base", "FacebookAI/roberta-base", "main", ""),
            ("hf://roberta-base", "roberta-base", "main", ""),
            ("hf://roberta-base@v1", "roberta-base", "v1", ""),
            ("hf://org/name@v1.0/sub/folder", "org/name", "v1.0", "sub/folder"),
            ("hf://org/name@refs/pr/3", "org/name", "refs/pr/3", ""),
            ("hf://org/name@feature%2Fx", "org/name", "feature/x", ""),
            ("hf://datasets/org/name/data/a@b.jsonl", "datasets/org/name", "main", "data/a@b.jsonl"),
            (
                "hf://datasets/org/name@refs/convert/parquet/d/0.txt",
                "datasets/org/name",
                "refs/convert/parquet",
                "d/0.txt",
            ),
        ] {
            let name = parse(text).expect(text);
            assert_eq!(
                (name.repo.to_string().as_str(), name.revision.as_str(), name.path.as_str()),
                (repo, revision, path),
                "{text}"
            );
            // As it was written, but for what may be left out.
            let plain = text.replace("hf://models/", SCHEME);
            assert_eq!(name.to_string(), plain);
        }
    }

    #[test]
    fn a_pattern_is_no_file() {
        let bad = parse("hf://datasets/org/name/data/train-*.parquet").expect_err("a pattern");
        assert!(
            bad.message.contains("`train-*.parquet` is a pattern") && bad.help.contains("tree/main"),
            "{bad}"
        );
    }

    #[test]
    fn what_is_no_name_is_said() {
        for (text, part) in [
            ("hf://", "a part of it is empty"),
            ("hf:///name", "a part of it is empty"),
            ("hf://org/", "a part of it is empty"),
            ("hf://org/na me", "`na me` is no part"),
            ("hf://../name", "`..` is no part"),
            ("hf://org/name@", "`` is no revision"),
            ("hf://org/name@..", "`..` is no revision"),
            ("hf://org/name@a..%2F..%2Fb", "is no revision"),
            ("hf://org/name@a:b", "`a:b` is no revision"),
            ("hf://datasets/org/name/../x", "`..` is no part of a path"),
            ("hf://datasets/org/name//x", "`` is no part of a path"),
            ("hf://spaces/org/name", "neither a model nor a data set"),
            ("https://a.example", "is no name of the hub"),
        ] {
            let bad = parse(text).expect_err(text);
            assert!(bad.message.contains(part) && bad.help.contains("hf://org/name"), "{text}: {bad}");
        }
    }
}
