//! What a command has left in its folder: its outputs, and what nobody asked for.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use tartan::diag::Code;
use tartan::event::{Failure, some_of};

use super::write_failure;

/// More bytes than a file of numbers for tables has.
const MOST_BYTES: u64 = 1 << 20;

/// What was in the folder but outputs and inputs.
pub(super) struct Left {
    pub(super) undeclared: Vec<String>,
}

/// Moves every output from `work` to `out`. All that is wrong with them is told at once.
pub(super) fn keep(
    work: &Path,
    out: &Path,
    outputs: &BTreeSet<String>,
    inputs: &[String],
) -> Result<Left, Failure> {
    let there = list(work)
        .map_err(|error| Failure::new(Code::System, format!("cannot list the command's folder: {error}")))?;
    let (mut found, mut faults) = (BTreeSet::new(), vec![]);
    for output in outputs {
        match look(work, output, &there) {
            Ok(files) => found.extend(files),
            Err(fault) => faults.push(fault),
        }
    }
    let undeclared: Vec<String> = there
        .iter()
        .map(|entry| &entry.name)
        .filter(|name| !found.contains(*name) && !inputs.contains(name))
        .cloned()
        .collect();
    if !faults.is_empty() {
        let help = match undeclared.as_slice() {
            [] => "an output is a file that the command writes, relative to the folder it runs in".to_owned(),
            others => format!("what it made and did not declare: {}", some_of(others)),
        };
        let failure = Failure::new(Code::NotMade, faults.remove(0)).at("outputs").help(help);
        return Err(faults.into_iter().fold(failure, Failure::note));
    }
    for name in &found {
        let (from, to) = (work.join(name), out.join(name));
        let moved = || -> io::Result<()> {
            fs::create_dir_all(to.parent().unwrap_or(out))?;
            fs::rename(&from, &to)
        };
        moved().map_err(|error| write_failure(&to, &error))?;
    }
    Ok(Left { undeclared })
}

/// The kept files that are called JSON and are none, with the first fault of each. Which of them tables read is not
/// known here, and other programs may well read such a file.
pub(super) fn json_faults(out: &Path, outputs: &BTreeSet<String>) -> Vec<(String, String)> {
    outputs.iter().filter_map(|name| Some((name.clone(), json_fault(&out.join(name))?))).collect()
}

fn json_fault(file: &Path) -> Option<String> {
    if file.extension()? != "json" || fs::metadata(file).ok()?.len() > MOST_BYTES {
        return None;
    }
    let bytes = fs::read(file).ok()?;
    // JSON Lines go by this name too.
    let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<IgnoredAny>();
    values.find_map(Result::err).map(|why| why.to_string())
}

/// The files of an output, or why it cannot be kept.
fn look(work: &Path, output: &str, there: &[Entry]) -> Result<Vec<String>, String> {
    let name = output.trim_end_matches('/');
    // A link on the way would bring in what lies elsewhere, which nobody has seen.
    let on_the_way = name.match_indices('/').map(|(at, _)| &name[..at]).chain([name]);
    for part in on_the_way {
        match fs::symlink_metadata(work.join(part)) {
            Ok(found) if found.is_symlink() => {
                return Err(format!("`{part}` is a symbolic link: an output is a file of its own"));
            }
            // What is not there is found out below.
            Ok(_) | Err(_) => {}
        }
    }
    if output.ends_with('/') {
        let inside: Vec<&Entry> = there.iter().filter(|entry| entry.name.starts_with(output)).collect();
        if let Some(odd) = inside.iter().find(|entry| !entry.is_file) {
            return Err(format!("`{}` is no plain file with a name in UTF-8", odd.name));
        }
        return match inside.as_slice() {
            [] => Err(format!("it made nothing in `{output}`, one of its outputs")),
            files => Ok(files.iter().map(|entry| entry.name.clone()).collect()),
        };
    }
    match there.iter().find(|entry| entry.name == name) {
        Some(entry) if entry.is_file => Ok(vec![name.to_owned()]),
        Some(_) => Err(format!("`{name}` is no file")),
        None if work.join(name).is_dir() => {
            Err(format!("`{name}` is a folder: with a `/` at its end it is kept whole, `{name}/`"))
        }
        None => Err(format!("it did not make `{name}`, one of its outputs")),
    }
}

/// Something in the folder that is no folder.
struct Entry {
    name: String,
    /// A plain file, with a name in UTF-8.
    is_file: bool,
}

fn list(work: &Path) -> io::Result<Vec<Entry>> {
    let mut found = vec![];
    let mut open: Vec<(PathBuf, String)> = vec![(work.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (name, is_utf8) = match entry.file_name().into_string() {
                Ok(name) => (name, true),
                Err(name) => (name.to_string_lossy().into_owned(), false),
            };
            let name = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push((entry.path(), format!("{name}/")));
            } else {
                found.push(Entry { name, is_file: kind.is_file() && is_utf8 });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_adds_to_json_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("m.json");
        for (text, fault) in [
            ("{\"a\": 1}\n", None),
            ("{\"a\": 1}\n{\"a\": null}\n", None),
            ("{\"a\":\n NaN}", Some("line 2")),
            ("{\"a\": -Infinity}", Some("line 1")),
            ("\u{feff}{}", Some("line 1")),
            ("{\"a\": ", Some("line 1")),
        ] {
            fs::write(&file, text).expect("written");
            let found = json_fault(&file);
            assert_eq!(found.is_some(), fault.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{text}");
        }
    }
}
