//! Wrong pipelines and all that `tartan check` says of them: `wrong/NAME.yaml` beside `wrong/NAME.stderr`.
//!
//! `TARTAN_BLESS=1 cargo test --no-default-features --test wrong` writes what is said now; read the difference before it is
//! committed. A first line `# args: …` adds arguments to the command.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong")
}

/// What `tartan check` says, in the folder of the wrong pipelines.
fn check(args: &[&str]) -> Output {
    let cache = tempfile::tempdir().expect("folder");
    Command::new(env!("CARGO_BIN_EXE_tartan"))
        .arg("check")
        .args(args)
        .current_dir(folder())
        .env("TARTAN_CACHE", cache.path())
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("tartan runs")
}

/// The lines that differ, with the line before them.
fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    if let Some(before) = same.checked_sub(1) {
        writeln!(text, "  {}", old[before]).expect("a string");
    }
    for line in &old[same..old.len() - tail] {
        writeln!(text, "- {line}").expect("a string");
    }
    for line in &new[same..new.len() - tail] {
        writeln!(text, "+ {line}").expect("a string");
    }
    text
}

#[test]
fn every_wrong_pipeline_is_told_so_as_expected() {
    let bless = std::env::var_os("TARTAN_BLESS").is_some();
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("folder")
        .filter_map(|entry| entry.expect("entry").file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() >= 60, "only {} wrong pipelines", names.len());
    let mut faults = String::new();
    for name in &names {
        let file = format!("{name}.yaml");
        let bytes = fs::read(folder().join(&file)).expect("a pipeline");
        let first = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
        let mut args = vec![file.as_str()];
        args.extend(first.strip_prefix("# args: ").unwrap_or_default().split_whitespace());
        let output = check(&args);
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let snapshot = folder().join(format!("{name}.stderr"));
        if bless {
            fs::write(&snapshot, &said).expect("a snapshot");
        }
        let expected = fs::read_to_string(&snapshot).unwrap_or_default();
        if said != expected {
            write!(faults, "{name}:\n{}\n", difference(&expected, &said)).expect("a string");
        }
        let without = said.split("\n\n").find(|fault| fault.contains("[T") && !fault.contains(" = help: "));
        if let Some(fault) = without {
            writeln!(faults, "{name}: this names no way out:\n{fault}\n").expect("a string");
        }
        // A warning alone keeps nobody from running.
        let wanted = if said.contains("error[") { 2 } else { 0 };
        if output.status.code() != Some(wanted) || said.is_empty() {
            writeln!(faults, "{name}: exit code {:?}, and it says: {said}", output.status.code())
                .expect("a string");
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_file_of_100_mb_is_refused_without_being_read() {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("file");
    file.as_file().set_len(100 << 20).expect("a sparse file");
    let output = check(&[&file.path().display().to_string()]);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.code() == Some(2) && said.starts_with("error[T0002]"), "{said}");
}
