//! libtorch for this checkout: taken from where it is, or downloaded once for this user, and linked as
//! `.libtorch`.
//!
//! A folder of libtorch in the cache holds `torch/include`, `torch/lib`, `nvidia/…/lib`, and `link/lib`,
//! which is what the linker sees: no CUDA, so that one worker runs with and without it. A folder under
//! its final name is whole; it was renamed to it when it was complete.

use crate::error::{Error, file};
use crate::host;
use crate::python::{self, Installed};
use crate::tell::{bytes, say};
use crate::wheels::{self, Flavour};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The version that tch 0.24 binds to.
pub(crate) const VERSION: &str = "2.11.0";

/// Where the user wants libtorch from: the variable `TARTAN_LIBTORCH`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Whatever serves; a download if nothing does.
    Any,
    /// The pinned wheels, whatever the user's Python has: for this machine, or for a given kind of it.
    Download(Option<Flavour>),
    /// A libtorch unpacked by hand.
    Folder(PathBuf),
}

impl Choice {
    pub(crate) fn parse(value: Option<OsString>) -> Result<Self, Error> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(Self::Any) };
        match value.to_str() {
            Some("download") => Ok(Self::Download(None)),
            Some("cpu") => Ok(Self::Download(Some(Flavour::Cpu))),
            Some("cuda") => Ok(Self::Download(Some(Flavour::Cuda))),
            Some(text) if !text.contains('/') => Err(Error::Choice(text.to_owned())),
            _ => Ok(Self::Folder(value.into())),
        }
    }
}

/// Make `.libtorch` in `checkout` a whole libtorch of the chosen kind.
pub(crate) fn ensure(checkout: &Path, choice: &Choice) -> Result<(), Error> {
    host::check_compiler()?;
    let link = checkout.join(".libtorch");
    let gpu = host::has_gpu();
    if is_whole(&link) && serves(&link, choice, gpu) {
        return Ok(());
    }
    if fs::symlink_metadata(&link).is_ok_and(|metadata| !metadata.is_symlink()) {
        return Err(Error::NotALink(link));
    }
    let cache = host::cache_folder()?;
    fs::create_dir_all(&cache).map_err(|source| Error::Cache { path: cache.clone(), source })?;
    let _lock = lock(&cache)?;
    let folder = match choice {
        Choice::Folder(folder) => adopt(&cache, &checked(folder)?)?,
        Choice::Download(flavour) => downloaded(&cache, flavour.unwrap_or_else(|| for_machine(gpu)))?,
        Choice::Any => {
            let flavour = for_machine(gpu);
            let kept = kept_folder(&cache, &host::platform()?, flavour);
            match if is_whole(&kept) { None } else { from_python(flavour)? } {
                Some(torch) => adopt(&cache, &torch)?,
                None => downloaded(&cache, flavour)?,
            }
        }
    };
    relink(&link, &folder)?;
    say(format_args!("libtorch {VERSION}: .libtorch -> {}", folder.display()));
    Ok(())
}

fn for_machine(gpu: bool) -> Flavour {
    if gpu && cfg!(target_os = "linux") { Flavour::Cuda } else { Flavour::Cpu }
}

/// The name of a shared library here.
fn library(stem: &str) -> String {
    format!("{stem}{}", std::env::consts::DLL_SUFFIX)
}

/// What the linker must see, by file name.
fn linked() -> [String; 3] {
    [library("libtorch"), library("libtorch_cpu"), library("libc10")]
}

/// Whether a folder holds all that building and running needs.
fn is_whole(folder: &Path) -> bool {
    missing_from_torch(&folder.join("torch")).is_none()
        && folder.join("link/stamp").is_file()
        && linked().iter().all(|name| folder.join("link/lib").join(name).is_file())
}

/// The first file that a folder of torch (`include` and `lib`) lacks.
fn missing_from_torch(torch: &Path) -> Option<PathBuf> {
    let needed = [
        Path::new("include/torch/csrc/api/include/torch/torch.h").to_owned(),
        Path::new("lib").join(library("libtorch_cpu")),
        Path::new("lib").join(library("libc10")),
    ];
    needed.into_iter().find(|name| !torch.join(name).is_file())
}

fn has_cuda(folder: &Path) -> bool {
    folder.join("torch/lib/libtorch_cuda.so").is_file()
}

/// Whether the whole libtorch that is linked is also the one that is wanted.
fn serves(link: &Path, choice: &Choice, gpu: bool) -> bool {
    let own = |flavour: Flavour| {
        let name = link.canonicalize().ok().and_then(|target| target.file_name().map(OsString::from));
        name.is_some_and(|name| name.to_string_lossy().ends_with(&format!("-{}", flavour.name())))
    };
    match choice {
        Choice::Any => has_cuda(link) || for_machine(gpu) == Flavour::Cpu,
        Choice::Download(Some(flavour)) => own(*flavour),
        Choice::Download(None) => own(Flavour::Cuda) || for_machine(gpu) == Flavour::Cpu && own(Flavour::Cpu),
        Choice::Folder(folder) => match (folder.canonicalize(), link.join("torch").canonicalize()) {
            (Ok(wanted), Ok(linked)) => wanted == linked,
            _ => false,
        },
    }
}

/// Only one set-up works in the cache; the lock dies with its holder.
fn lock(cache: &Path) -> Result<File, Error> {
    let path = cache.join("lock");
    let lock = File::create(&path).map_err(|source| Error::Cache { path: path.clone(), source })?;
    match lock.try_lock() {
        Ok(()) => return Ok(lock),
        Err(TryLockError::WouldBlock) => say("waiting for another set-up to finish"),
        Err(TryLockError::Error(source)) => return Err(file("lock", &path)(source)),
    }
    lock.lock().map_err(file("lock", &path))?;
    Ok(lock)
}

/// The torch in the user's Python, where it can serve.
fn from_python(flavour: Flavour) -> Result<Option<PathBuf>, Error> {
    let unfit = |version: &str, why: &str| {
        say(format_args!("torch {version} of python3 is not used: {}", why.trim()));
        None
    };
    Ok(match python::installed(VERSION, &library("libtorch_cpu"))? {
        Installed::None => None,
        Installed::Unfit { version, why } => unfit(&version, &why),
        Installed::Fit(torch) => match missing_from_torch(&torch) {
            Some(missing) => unfit(VERSION, &format!("it has no {}", missing.display())),
            None if flavour == Flavour::Cuda && !torch.join("lib/libtorch_cuda.so").is_file() => {
                unfit(VERSION, "it has no CUDA, and a GPU is here")
            }
            None => {
                say(format_args!("libtorch {VERSION}: taken from python3, {}", torch.display()));
                Some(torch)
            }
        },
    })
}

/// A folder named by the user, as an absolute path, if it is the right libtorch.
fn checked(folder: &Path) -> Result<PathBuf, Error> {
    let wrong = |lacks: String| Error::NotLibtorch { folder: folder.to_owned(), lacks };
    if let Some(missing) = missing_from_torch(folder) {
        return Err(wrong(format!("it has no {}", missing.display())));
    }
    // What is unpacked from an archive of libtorch says its version here; a wheel's folder does not.
    if let Ok(version) = fs::read_to_string(folder.join("build-version"))
        && version.trim().split('+').next() != Some(VERSION)
    {
        return Err(wrong(format!("it is version {}", version.trim())));
    }
    folder.canonicalize().map_err(file("resolve", folder))
}

/// A folder of the cache that uses `torch`, an absolute path elsewhere.
fn adopt(cache: &Path, torch: &Path) -> Result<PathBuf, Error> {
    let folder =
        cache.join(format!("libtorch-{VERSION}-at-{:016x}", fnv1a(torch.as_os_str().as_encoded_bytes())));
    if !is_whole(&folder) {
        build(&folder, |part| {
            let name = part.join("torch");
            symlink(torch, &name).map_err(file("create", &name))
        })?;
    }
    Ok(folder)
}

/// FNV-1a: names a folder after a path, the same with every compiler.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn kept_folder(cache: &Path, platform: &str, flavour: Flavour) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}-{platform}-{}", flavour.name()))
}

/// The folder of the cache that holds the pinned wheels' libtorch, downloaded unless it is there.
fn downloaded(cache: &Path, flavour: Flavour) -> Result<PathBuf, Error> {
    let platform = host::platform()?;
    let folder = kept_folder(cache, &platform, flavour);
    if is_whole(&folder) {
        return Ok(folder);
    }
    let wheels = wheels::wheels(&platform, flavour);
    if wheels.is_empty() {
        return Err(Error::Platform(platform));
    }
    // What an interrupted set-up unpacked is of no use, but takes space.
    clear(&part_of(&folder))?;
    let probe = python::probe(cache)?;
    if !host::libc_serves(&probe.libc) {
        return Err(Error::Platform(format!("{platform} with {}", probe.libc)));
    }
    let downloads = cache.join(format!("wheels-{VERSION}-{platform}"));
    fs::create_dir_all(&downloads).map_err(file("create", &downloads))?;
    let here: u64 =
        wheel_files(&downloads)?.iter().filter_map(|wheel| wheel.metadata().ok()).map(|m| m.len()).sum();
    let total: u64 = wheels.iter().map(|wheel| wheel.bytes).sum();
    let fetch = total.saturating_sub(here);
    let needed = fetch + flavour.unpacked();
    say(format_args!(
        "libtorch {VERSION} ({platform}, {}): {} wheels, {} to download and {} unpacked, into {}",
        flavour.name(),
        wheels.len(),
        bytes(fetch),
        bytes(flavour.unpacked()),
        cache.display()
    ));
    if probe.free_bytes < needed {
        return Err(Error::DiskFull { folder: cache.to_owned(), needed, free: probe.free_bytes });
    }
    python::download(&downloads, &platform, &wheels)?;
    build(&folder, |part| {
        say("unpacking and checking");
        python::unpack(part, flavour.name(), &wheel_files(&downloads)?)?;
        let stems =
            if flavour == Flavour::Cuda { &["libtorch_cpu", "libtorch_cuda"][..] } else { &["libtorch_cpu"] };
        let libraries: Vec<_> = stems.iter().map(|stem| part.join("torch/lib").join(library(stem))).collect();
        python::load(&libraries)
    })?;
    fs::remove_dir_all(&downloads).map_err(file("remove", &downloads))?;
    Ok(folder)
}

/// The wheels in a folder, in order of name.
fn wheel_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut files: Vec<_> =
        entries.map_err(file("read", folder))?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "whl"));
    files.sort();
    Ok(files)
}

/// The name of a folder while it is made.
fn part_of(folder: &Path) -> PathBuf {
    folder.with_added_extension("part")
}

fn clear(folder: &Path) -> Result<(), Error> {
    if folder.exists() { fs::remove_dir_all(folder).map_err(file("remove", folder)) } else { Ok(()) }
}

/// Fill a folder of the cache under another name, add what the linker needs, and rename it when it is whole.
fn build(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let part = part_of(folder);
    clear(&part)?;
    clear(folder)?;
    fs::create_dir(&part).map_err(file("create", &part))?;
    fill(&part)?;
    link_folder(&part)?;
    if !is_whole(&part) {
        return Err(Error::NotLibtorch {
            folder: part,
            lacks: "the wheels held less than it needs".to_owned(),
        });
    }
    fs::rename(&part, folder).map_err(file("rename", &part))
}

/// `link/lib`: two libraries, and on Linux a `libtorch.so` that is a script of one line. The wheel's own
/// needs `libtorch_cuda.so`.
fn link_folder(folder: &Path) -> Result<(), Error> {
    let link = folder.join("link/lib");
    fs::create_dir_all(&link).map_err(file("create", &link))?;
    for name in linked() {
        let path = link.join(&name);
        if name == "libtorch.so" {
            fs::write(&path, "INPUT ( -ltorch_cpu )\n").map_err(file("write", &path))?;
        } else {
            symlink(Path::new("../../torch/lib").join(&name), &path).map_err(file("create", &path))?;
        }
    }
    let stamp = folder.join("link/stamp");
    fs::write(&stamp, "").map_err(file("write", &stamp))
}

/// Point `.libtorch` to `folder`, in one step, and let `build.rs` see that it moved.
fn relink(link: &Path, folder: &Path) -> Result<(), Error> {
    let stamp = folder.join("link/stamp");
    File::options()
        .write(true)
        .open(&stamp)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(file("touch", &stamp))?;
    let new = link.with_added_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file("remove", &new)(error)),
        _ => {}
    }
    symlink(folder, &new).map_err(file("create", &new))?;
    fs::rename(&new, link).map_err(file("rename", &new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read_from_the_environment() {
        let of = |value: &str| Choice::parse(Some(value.into()));
        assert_eq!(Choice::parse(None).ok(), Some(Choice::Any));
        assert_eq!(of("").ok(), Some(Choice::Any));
        assert_eq!(of("download").ok(), Some(Choice::Download(None)));
        assert_eq!(of("cuda").ok(), Some(Choice::Download(Some(Flavour::Cuda))));
        assert_eq!(of("./here").ok(), Some(Choice::Folder("./here".into())));
        assert!(matches!(of("gpu"), Err(Error::Choice(value)) if value == "gpu"));
    }

    #[test]
    fn folders_are_named_by_what_they_hold() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_ne!(fnv1a(b"/a/torch"), fnv1a(b"/b/torch"));
        let cuda = kept_folder(Path::new("/c"), "linux-x86_64", Flavour::Cuda);
        assert_eq!(cuda, Path::new("/c/libtorch-2.11.0-linux-x86_64-cuda"));
    }
}
