//! Patterns of file names: which files they match now.
//!
//! `*`, `?` and `[…]` stand for parts of a name, `**` for any folders. What begins with a dot is matched by
//! what begins with a dot, and `**` follows no link. How much is looked at is bounded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::diag::{Code, Diagnostic, list};

/// The most files that a pattern may match.
const MOST: usize = 10_000;
/// The most names that are looked at for one.
const LOOKED_AT: usize = 200_000;
/// How many names of a folder are shown where none matches.
const SHOWN: usize = 5;
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files, relative to the folder and in the order of their paths; or why there are none.
type Matches = Result<Vec<PathBuf>, Box<Diagnostic>>;

/// What patterns were found to match: at each point of a sweep the same.
#[derive(Debug, Default)]
pub(super) struct Globs {
    known: RefCell<BTreeMap<(PathBuf, String), Matches>>,
}

impl Globs {
    /// The files that a name in `folder` matches, where it is a pattern and no file is called so.
    pub(super) fn expand(&self, folder: &Path, name: &str) -> Option<Matches> {
        if !is_pattern(name) || folder.join(name).is_file() {
            return None;
        }
        let key = (folder.to_owned(), name.to_owned());
        let mut known = self.known.borrow_mut();
        Some(known.entry(key).or_insert_with(|| Search::of(folder, name).run()).clone())
    }
}

/// Whether a name stands for all that fit it.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

struct Search<'s> {
    folder: &'s Path,
    name: &'s str,
    looked_at: usize,
}

impl<'s> Search<'s> {
    fn of(folder: &'s Path, name: &'s str) -> Self {
        Self { folder, name, looked_at: 0 }
    }

    fn run(mut self) -> Matches {
        let parts: Vec<&str> = self.name.split('/').filter(|part| !part.is_empty()).collect();
        let mut found = vec![PathBuf::from(if self.name.starts_with('/') { "/" } else { "" })];
        for (place, part) in parts.iter().enumerate() {
            let is_last = place + 1 == parts.len();
            let mut next = vec![];
            for base in found {
                self.step(&base, part, is_last, &mut next)?;
                if next.len() > MOST {
                    let fault = Diagnostic::error(
                        Code::BadPattern,
                        format!("`{}` matches more than {MOST} files", self.name),
                    );
                    return Err(Box::new(fault.help("name fewer, or put several files into one")));
                }
            }
            found = next;
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() { Err(Box::new(self.nothing(&parts))) } else { Ok(found) }
    }

    /// What `part` of the name matches in the folder `base`: files if it is the last part, else folders.
    fn step(
        &mut self,
        base: &Path,
        part: &str,
        is_last: bool,
        next: &mut Vec<PathBuf>,
    ) -> Result<(), Box<Diagnostic>> {
        if part == "**" {
            let mut open = vec![base.to_owned()];
            while let Some(folder) = open.pop() {
                for (name, is_folder) in self.names(&folder)? {
                    if is_folder && !name.to_string_lossy().starts_with('.') {
                        open.push(folder.join(name));
                    } else if is_last {
                        next.push(folder.join(name));
                    }
                }
                if !is_last {
                    next.push(folder);
                }
            }
            return Ok(());
        }
        let folder = self.folder;
        let fits = |path: &PathBuf| {
            let path = folder.join(path);
            // A link that leads nowhere is a file that is missing, not one that is not meant.
            let is_broken = || path.is_symlink() && !path.exists();
            if is_last { path.is_file() || is_broken() } else { path.is_dir() }
        };
        if !is_pattern(part) {
            next.extend(Some(base.join(part)).filter(fits));
            return Ok(());
        }
        let pattern = Pattern::new(part).map_err(|error| {
            let fault =
                Diagnostic::error(Code::BadPattern, format!("`{}` is no pattern: {}", self.name, error.msg));
            Box::new(fault.help("`[[]` stands for a `[`"))
        })?;
        let names = self.names(base)?.into_iter().map(|(name, _)| name);
        let matching = names.filter(|name| pattern.matches_with(&name.to_string_lossy(), OPTIONS));
        next.extend(matching.map(|name| base.join(name)).filter(fits));
        Ok(())
    }

    /// The names in a folder, and whether each is that of a folder, not of a link to one.
    fn names(&mut self, folder: &Path) -> Result<Vec<(PathBuf, bool)>, Box<Diagnostic>> {
        let path = self.folder.join(folder);
        // `read_dir` wants a name even for the folder that the program runs in.
        let path = if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path };
        let unreadable = |error: std::io::Error| {
            let fault = format!("cannot look into `{}`: {error}", path.display());
            Box::new(
                Diagnostic::error(Code::UnreadableFile, fault).help("check that you may read the folder"),
            )
        };
        let mut names = vec![];
        for entry in std::fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.looked_at += 1;
            if self.looked_at > LOOKED_AT {
                let fault = Diagnostic::error(
                    Code::BadPattern,
                    format!(
                        "more than {LOOKED_AT} names would have to be looked at to find what `{}` matches",
                        self.name
                    ),
                );
                return Err(Box::new(fault.help("begin the pattern with the folder that the files are in")));
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            names.push((entry.file_name().into(), is_folder));
        }
        Ok(names)
    }

    /// That nothing matches, with what there is where the pattern begins.
    fn nothing(&mut self, parts: &[&str]) -> Diagnostic {
        let fault = Diagnostic::error(Code::NoMatch, format!("no file matches `{}`", self.name));
        let plain = parts.iter().take_while(|part| !is_pattern(part));
        let start = PathBuf::from(if self.name.starts_with('/') { "/" } else { "" });
        let folder = plain.fold(start, |folder, part| folder.join(part));
        let shown = self.folder.join(&folder);
        let shown = if shown.as_os_str().is_empty() { Path::new(".").to_owned() } else { shown };
        if !shown.is_dir() {
            return fault.help(format!(
                "there is no folder `{}`; paths are relative to the pipeline's file",
                shown.display()
            ));
        }
        let mut names: Vec<String> = match self.names(&folder) {
            Ok(names) => names.iter().map(|(name, _)| name.display().to_string()).collect(),
            Err(fault) => return *fault,
        };
        names.sort_unstable();
        names.truncate(SHOWN);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fault.help(format!("in `{}` there is {}", shown.display(), list(&names)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in ["d/b.jsonl", "d/a.jsonl", "d/.c.jsonl", "d/e/a.jsonl", "d/x.txt", "d/[1].txt"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, file).expect("a file");
        }
        std::os::unix::fs::symlink(folder.path().join("d"), folder.path().join("d/loop")).expect("a link");
        folder
    }

    #[test]
    fn matches_are_sorted_and_nothing_else() {
        let folder = folder();
        let expand = |name: &str| {
            let found = Globs::default().expand(folder.path(), name)?.expect("matches");
            Some(found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>())
        };
        for (pattern, files) in [
            ("d/*.jsonl", &["d/a.jsonl", "d/b.jsonl"][..]),
            ("d/[!a].jsonl", &["d/b.jsonl"]),
            ("*/?.txt", &["d/x.txt"]),
            ("**/a.jsonl", &["d/a.jsonl", "d/e/a.jsonl"]),
            ("d/**/*.jsonl", &["d/a.jsonl", "d/b.jsonl", "d/e/a.jsonl"]),
            ("d/.*.jsonl", &["d/.c.jsonl"]),
        ] {
            assert_eq!(
                expand(pattern).as_deref(),
                Some(&files.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{pattern}"
            );
        }
        let whole = folder.path().join("d/*.txt").display().to_string();
        assert_eq!(expand(&whole).map(|found| found.len()), Some(2));
        assert_eq!(expand("d/x.txt"), None);
        assert_eq!(expand("d/[1].txt"), None, "there is a file of that very name");
    }

    #[test]
    fn what_matches_nothing_says_what_there_is() {
        let folder = folder();
        let fault = |name: &str| {
            let fault =
                Globs::default().expand(folder.path(), name).expect("a pattern").expect_err("a fault");
            fault.to_string().replace(&folder.path().display().to_string(), "")
        };
        assert_eq!(
            fault("d/e/*.json"),
            "error[T0511]: no file matches `d/e/*.json`\n  = help: in `/d/e` there is `a.jsonl`"
        );
        assert!(fault("f/*.json").contains("there is no folder `/f`"));
        assert!(fault("d/[.json").contains("is no pattern"), "{}", fault("d/[.json"));
    }
}
