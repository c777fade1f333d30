//! The set-up program against a `python3` that fails, or brings small wheels, as each test wants.
//!
//! Nothing is downloaded. Unpacking is the real thing, so a real python3 is needed, as by the set-up itself.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails by panicking, as the test does")]

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use tempfile::TempDir;

/// What an honest machine answers to `probe`.
const PROBE: &str = "echo pip=23.2; echo libc='glibc 2.36'; echo free=9000000000";
/// pip, when all is well: the wheels prepared in `$wheels` arrive.
const PIP: &str = r#"cp "$wheels"/*.whl "$dest""#;

static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
});

/// A folder with two checkouts, a cache, wheels, and a PATH that holds a C++ compiler and a `python3`.
struct Trial {
    folder: TempDir,
}

impl Trial {
    fn new() -> Self {
        let trial = Self { folder: TempDir::new().unwrap() };
        for name in ["bin", "wheels", "one/xtask", "two/xtask"] {
            fs::create_dir_all(trial.path(name)).unwrap();
        }
        trial.script("c++", "exit 0");
        let library = |stem: &str| format!("torch/lib/{stem}{}", env::consts::DLL_SUFFIX);
        trial.wheel(
            "torch-2.11.0",
            &[
                "torch/include/torch/csrc/api/include/torch/torch.h",
                &library("libtorch"),
                &library("libtorch_cpu"),
                &library("libc10"),
                &library("libtorch_python"),
                "torch/lib/libtorch_cuda.so",
                "torch/lib/libgomp.so.1",
                "torch/nn/functional.py",
            ],
        );
        trial.wheel("nvidia", &["nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libnvperf_host.so"]);
        trial.python("", PROBE, PIP, "exit 0");
        trial
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A zip of files that hold their own names.
    fn wheel(&self, name: &str, members: &[&str]) {
        let code = "import sys, zipfile\n\
                    with zipfile.ZipFile(sys.argv[1], 'w') as wheel:\n    \
                    for name in sys.argv[2:]: wheel.writestr(name, name)";
        let path = self.path("wheels").join(format!("{name}.whl"));
        let status = Command::new(&*PYTHON).args(["-c", code]).arg(path).args(members).status().unwrap();
        assert!(status.success());
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A `python3` that answers as told, and leaves the rest (unpacking) to the real one.
    fn python(&self, installed: &str, probe: &str, pip: &str, load: &str) {
        let body = format!(
            r#"PATH=/usr/bin:/bin
wheels='{}'
case "$1:$3" in
-c:installed) {installed}
  ;;
-c:probe) {probe}
  ;;
-c:load) {load}
  ;;
-m:download)
  while [ "$1" != --dest ]; do shift; done
  dest=$2
  {pip}
  ;;
*) exec '{}' "$@" ;;
esac"#,
            self.path("wheels").display(),
            *PYTHON
        );
        self.script("python3", &body);
    }

    fn command(&self, checkout: &str, choice: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .arg("setup")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("CARGO_MANIFEST_DIR", self.path(checkout).join("xtask"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TARTAN_LIBTORCH", choice);
        command
    }

    fn setup(&self, checkout: &str, choice: &str) -> Output {
        self.command(checkout, choice).output().unwrap()
    }

    fn succeeds(&self, checkout: &str, choice: &str) -> String {
        let output = self.setup(checkout, choice);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Exit code 1, with every one of `phrases`, and nothing that could be taken for a libtorch.
    fn fails(&self, phrases: &[&str]) {
        let output = self.setup("one", "cpu");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for phrase in phrases {
            assert!(said.contains(phrase), "no `{phrase}` in:\n{said}");
        }
        assert!(fs::symlink_metadata(self.path("one/.libtorch")).is_err());
        assert_eq!(self.kept(), Vec::<String>::new());
    }

    /// The whole libtorchs in the cache.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("cache/tartan")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("libtorch-") && !name.contains(".part")).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn holds(link: &Path, name: &str) -> bool {
    link.join(name).is_file()
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().unwrap() == other.canonicalize().unwrap()
}

#[test]
fn wheels_become_a_linked_libtorch() {
    let trial = Trial::new();
    let said = trial.succeeds("one", "cpu");
    assert!(said.contains("MB to download"), "{said}");

    let link = trial.path("one/.libtorch");
    assert!(link.is_symlink());
    let cpu = format!("libtorch_cpu{}", env::consts::DLL_SUFFIX);
    assert_eq!(fs::read_to_string(link.join("link/lib").join(&cpu)).unwrap(), format!("torch/lib/{cpu}"));
    assert!(holds(&link, "torch/lib/libgomp.so.1"));
    assert!(holds(&link, "nvidia/cu13/lib/libcudart.so.13"));
    for left_out in
        ["torch/lib/libtorch_cuda.so", "nvidia/cu13/lib/libnvperf_host.so", "torch/nn/functional.py"]
    {
        assert!(!holds(&link, left_out), "{left_out}");
    }
    if cfg!(target_os = "linux") {
        let script = fs::read_to_string(link.join("link/lib/libtorch.so")).unwrap();
        assert_eq!(script, "INPUT ( -ltorch_cpu )\n");
        assert!(!holds(&link, "torch/lib/libtorch.so"));
    }
    let left: Vec<_> =
        fs::read_dir(trial.path("cache/tartan")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("wheels")), "{left:?}");

    // From here on nothing is fetched or asked, in this checkout or another.
    fs::remove_file(trial.path("bin/python3")).unwrap();
    assert_eq!(trial.succeeds("one", "cpu"), "");
    trial.succeeds("two", "cpu");
    assert!(is_same(&trial.path("two/.libtorch"), &link));
}

#[test]
fn cuda_brings_the_rest() {
    let trial = Trial::new();
    trial.succeeds("one", "cpu");
    if cfg!(target_os = "linux") {
        trial.succeeds("one", "cuda");
        let link = trial.path("one/.libtorch");
        assert!(holds(&link, "torch/lib/libtorch_cuda.so"));
        assert!(holds(&link, "nvidia/cu13/lib/libnvperf_host.so"));
        assert!(!holds(&link, "link/lib/libtorch_cuda.so"), "the linker must not see CUDA");
        assert_eq!(trial.kept().len(), 2);
    }
}

#[test]
fn what_breaks_is_made_again() {
    let trial = Trial::new();
    trial.succeeds("one", "cpu");
    let cpu = format!("torch/lib/libtorch_cpu{}", env::consts::DLL_SUFFIX);
    fs::remove_file(trial.path("one/.libtorch").join(&cpu)).unwrap();
    trial.succeeds("one", "cpu");
    assert!(holds(&trial.path("one/.libtorch"), &cpu));

    fs::remove_dir_all(trial.path("cache")).unwrap();
    trial.succeeds("one", "cpu");
    assert!(holds(&trial.path("one/.libtorch"), &cpu));
}

#[test]
fn an_interrupted_download_goes_on() {
    let trial = Trial::new();
    let cut = r#"cp "$wheels/nvidia.whl" "$dest"; echo "ReadTimeout: the index is gone" >&2; exit 1"#;
    trial.python("", PROBE, cut, "exit 0");
    trial.fails(&["the package index could not be reached", "the index is gone", "run this again"]);

    let rest = r#"[ -f "$dest/nvidia.whl" ] || exit 9; cp "$wheels"/torch*.whl "$dest""#;
    trial.python("", PROBE, rest, "exit 0");
    trial.succeeds("one", "cpu");
}

#[test]
fn unpacking_starts_anew_after_a_kill() {
    let trial = Trial::new();
    let kill = r#"kill -9 "$PPID""#;
    trial.python("", PROBE, PIP, kill);
    assert_eq!(trial.setup("one", "cpu").status.code(), None);
    assert_eq!(trial.kept(), Vec::<String>::new());
    assert!(fs::symlink_metadata(trial.path("one/.libtorch")).is_err());

    trial.python("", PROBE, PIP, "exit 0");
    trial.succeeds("one", "cpu");
}

#[test]
fn every_failure_has_its_cause_and_way_out() {
    let trial = Trial::new();
    trial.python("", "echo pip=; echo libc=; echo free=1", PIP, "exit 0");
    trial.fails(&["python3 has no pip", "python3-pip", "TARTAN_LIBTORCH=/"]);
    trial.python("", "echo pip=20.3.4; echo libc=; echo free=1", PIP, "exit 0");
    trial.fails(&["pip 20.3.4 is too old", "--upgrade pip"]);
    trial.python("", "echo pip=23.2; echo libc=; echo free=1000000", PIP, "exit 0");
    trial.fails(&["has 1 MB free, and libtorch needs", "XDG_CACHE_HOME="]);
    if cfg!(target_os = "linux") {
        trial.python("", "echo pip=23.2; echo libc='glibc 2.17'; echo free=9000000000", PIP, "exit 0");
        trial.fails(&["there is no libtorch 2.11.0 to download for", "glibc 2.17"]);
    }
    trial.python("", PROBE, "echo 'THESE PACKAGES DO NOT MATCH THE HASHES' >&2; exit 1", "exit 0");
    trial.fails(&["a wheel is not the one that was pinned"]);
    trial.python("", PROBE, "echo 'No space left on device' >&2; exit 1", "exit 0");
    trial.fails(&["could not write to", "free some space"]);
    trial.python("", PROBE, "echo 'something new' >&2; exit 1", "exit 0");
    trial.fails(&["something new", "pip failed"]);
    trial.python("", PROBE, r#"echo cut > "$dest/torch.whl""#, "exit 0");
    trial.fails(&["python3 failed: BadZipFile"]);
    fs::remove_dir_all(trial.path("cache")).unwrap();
    trial.python("", PROBE, PIP, "echo 'OSError: libcupti.so.13: not found' >&2; exit 1");
    trial.fails(&["does not load here: OSError: libcupti.so.13", "TARTAN_LIBTORCH=/"]);
    fs::remove_file(trial.path("bin/python3")).unwrap();
    trial.fails(&["there is no `python3` on the PATH", "TARTAN_LIBTORCH=/"]);
    fs::remove_file(trial.path("bin/c++")).unwrap();
    trial.fails(&["there is no C++ compiler", "apt-get install g++"]);
}

#[test]
fn a_cache_folder_that_cannot_be_written_is_named() {
    let trial = Trial::new();
    fs::write(trial.path("cache"), "a file").unwrap();
    trial.fails(&["could not write", "put the cache elsewhere: XDG_CACHE_HOME="]);
    let output = trial.command("one", "cpu").env_remove("XDG_CACHE_HOME").output().unwrap();
    assert!(said(&output).contains("set HOME"), "{}", said(&output));
}

#[test]
fn a_matching_torch_in_python_serves() {
    let trial = Trial::new();
    let packages = trial.path("site packages");
    let unzip = ["-m", "zipfile", "-e"];
    let wheel = trial.path("wheels/torch-2.11.0.whl");
    assert!(Command::new(&*PYTHON).args(unzip).arg(&wheel).arg(&packages).status().unwrap().success());
    let installed = format!("echo version=2.11.0; echo folder='{}/torch'", packages.display());
    trial.python(&installed, PROBE, "exit 9", "exit 0");
    let said = trial.succeeds("one", "");
    assert!(said.contains("taken from python3"), "{said}");
    assert!(is_same(&trial.path("one/.libtorch/torch"), &packages.join("torch")));
    assert!(holds(&trial.path("one/.libtorch"), "link/lib/libtorch_cpu.so") || cfg!(target_os = "macos"));

    // It goes away, another version comes: the download steps in.
    fs::remove_dir_all(&packages).unwrap();
    trial.python("echo version=2.9.1; echo unfit='it is not 2.11.0'", PROBE, PIP, "exit 0");
    let said = trial.succeeds("one", "");
    assert!(said.contains("torch 2.9.1 of python3 is not used: it is not 2.11.0"), "{said}");
    assert!(holds(&trial.path("one/.libtorch"), "torch/lib/libgomp.so.1"));
}

#[test]
fn a_folder_can_be_named() {
    let trial = Trial::new();
    trial.succeeds("one", "cpu");
    let own = trial.path("one/.libtorch").canonicalize().unwrap().join("torch");
    trial.succeeds("two", own.to_str().unwrap());
    assert!(is_same(&trial.path("two/.libtorch/torch"), &own));

    fs::write(own.join("build-version"), "2.10.0+cpu\n").unwrap();
    fs::remove_file(trial.path("two/.libtorch")).unwrap();
    let output = trial.setup("two", own.to_str().unwrap());
    assert!(said(&output).contains("it is version 2.10.0+cpu"), "{}", said(&output));
    let output = trial.setup("two", "./nowhere");
    assert!(said(&output).contains("./nowhere is no libtorch 2.11.0"), "{}", said(&output));
    let output = trial.setup("two", "gpu");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("TARTAN_LIBTORCH is `gpu`"), "{}", said(&output));
}

#[test]
fn what_the_user_put_there_is_left_alone() {
    let trial = Trial::new();
    fs::create_dir(trial.path("one/.libtorch")).unwrap();
    fs::write(trial.path("one/.libtorch/mine"), "").unwrap();
    let output = trial.setup("one", "cpu");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("move it away"), "{}", said(&output));
    assert!(trial.path("one/.libtorch/mine").is_file());

    // A link to nowhere is no loss.
    symlink(trial.path("gone"), trial.path("two/.libtorch")).unwrap();
    trial.succeeds("two", "cpu");
}
