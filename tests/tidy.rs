//! The house's layout, held by its `use` lines: who may know whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each room of `src/` and the rooms it may name. Arrows run one way; what is not here is not allowed.
const ROOMS: [(&str, &[&str]); 16] = [
    ("digest", &[]),
    ("diag", &[]),
    ("event", &["diag", "digest"]),
    ("action", &["digest"]),
    ("hub", &["event"]),
    ("data", &["action", "digest", "diag", "event"]),
    ("store", &["action", "digest", "diag", "event"]),
    ("spec", &["action", "diag", "digest", "hub"]),
    ("author", &["action", "diag", "digest"]),
    ("plan", &["action", "diag", "digest", "hub", "spec"]),
    ("exec", &["action", "diag", "digest", "event", "hub", "plan", "store"]),
    ("report", &["action", "digest", "event", "plan", "spec", "store"]),
    (
        "cli",
        &["action", "author", "diag", "digest", "event", "exec", "hub", "plan", "report", "spec", "store"],
    ),
    ("learn", &["action", "diag", "digest", "event", "data", "store"]),
    ("stage", &["action", "diag", "digest", "event", "hub", "data", "store", "learn"]),
    ("bin", &["action", "diag", "event", "hub", "store", "stage", "learn"]),
];

/// Libraries that only one room may know.
const OWNERS: [(&str, &[&str]); 14] = [
    ("tch", &["learn"]),
    ("hf_hub", &["hub"]),
    ("ureq", &["stage"]),
    ("rustls", &["stage"]),
    ("serde_yaml", &["spec"]),
    ("petgraph", &["plan"]),
    ("indicatif", &["report"]),
    ("tiny_skia", &["report"]),
    ("png", &["report"]),
    ("csv_core", &["data"]),
    ("flate2", &["data"]),
    ("glob", &["spec", "plan"]),
    ("parquet", &["data"]),
    ("zstd", &["data"]),
];

fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![];
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("inside");
                let first = inside.iter().next().expect("a name").to_string_lossy();
                found.push((first.trim_end_matches(".rs").to_owned(), path));
            }
        }
    }
    found
}

/// A file's code without comments and without its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests") || path.iter().any(|part| part == "tests")
}

/// Every `crate::x` or `tartan::x` in the code.
fn rooms_named(code: &str) -> Vec<String> {
    let mut named = vec![];
    for prefix in ["crate::", "tartan::"] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + prefix.len()..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(group) = rest.strip_prefix('{') {
                let inside = group.split('}').next().unwrap_or_default();
                named.extend(
                    inside.split(',').map(|part| part.trim().split("::").next().unwrap_or("").to_owned()),
                );
            } else {
                named.push(name);
            }
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

#[test]
fn rooms_know_only_what_they_may() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.into();
    let mut faults = vec![];
    for (room, path) in sources() {
        if ["lib", "main"].contains(&room.as_str()) || is_test(&path) {
            continue;
        }
        let Some(may) = rooms.get(room.as_str()) else {
            faults.push(format!("{}: room `{room}` is not in the table", path.display()));
            continue;
        };
        for named in rooms_named(&code(&path)) {
            let known = rooms.contains_key(named.as_str());
            if known && named != room && !may.contains(&named.as_str()) {
                faults.push(format!("{}: `{room}` may not know `{named}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut faults = vec![];
    for (room, path) in sources() {
        let code = code(&path);
        for (library, owners) in OWNERS {
            let named = code.match_indices(&format!("{library}::")).any(|(at, _)| {
                !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if named && !owners.contains(&room.as_str()) {
                faults.push(format!("{}: `{library}` belongs to {}", path.display(), owners.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_library_never_names_the_workers_rooms() {
    for (room, path) in sources() {
        if ["learn", "stage", "bin"].contains(&room.as_str()) {
            continue;
        }
        let code = code(&path);
        for hidden in ["learn::", "stage::"] {
            let named = code.match_indices(&format!("crate::{hidden}")).count();
            assert_eq!(named, 0, "{} names crate::{hidden}", path.display());
        }
    }
}

#[test]
fn no_file_has_grown_a_second_thing() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("xtask/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let lines = std::fs::read_to_string(&path).map_or(0, |text| text.lines().count());
            let is_code = path.extension().is_some_and(|extension| extension == "rs");
            assert!(
                !is_code || lines <= 600,
                "{} has {lines} lines: what second thing has moved in?",
                path.display()
            );
        }
    }
}
