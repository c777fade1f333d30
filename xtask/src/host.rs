//! This machine and this user: platform, GPU, compiler, cache folder.

use crate::error::Error;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// `linux-x86_64` and its like: the first column of the table of wheels.
pub(crate) fn platform() -> Result<String, Error> {
    if cfg!(target_env = "musl") {
        return Err(Error::Platform("Linux with musl".to_owned()));
    }
    Ok(format!("{}-{}", env::consts::OS, env::consts::ARCH))
}

/// Whether a version of the C library, as `confstr` gives it, is new enough for the wheels.
pub(crate) fn libc_serves(libc: &str) -> bool {
    let Some((major, minor)) = libc.strip_prefix("glibc ").and_then(|version| version.split_once('.')) else {
        // Not glibc, or Python cannot tell: loading the library will.
        return true;
    };
    let minor = minor.split('.').next().unwrap_or(minor);
    match (major.parse::<u32>(), minor.parse::<u32>()) {
        (Ok(major), Ok(minor)) => (major, minor) >= (2, 28),
        _ => true,
    }
}

/// Whether an NVIDIA GPU is here, by what its driver shows: asking `nvidia-smi` can take seconds.
pub(crate) fn has_gpu() -> bool {
    let listed = fs::read_dir("/proc/driver/nvidia/gpus").is_ok_and(|mut gpus| gpus.next().is_some());
    let wsl = Path::new("/usr/lib/wsl/lib/libcuda.so.1").exists() && Path::new("/dev/dxg").exists();
    listed || wsl || Path::new("/dev/nvidia0").exists()
}

/// torch-sys compiles C++; better to say so before half a gigabyte is fetched than after.
pub(crate) fn check_compiler() -> Result<(), Error> {
    let named = env::vars_os().any(|(name, value)| {
        let name = name.to_string_lossy();
        (name == "CXX" || name.starts_with("CXX_")) && !value.is_empty()
    });
    let found = || on_path("c++", env::var_os("PATH").as_deref());
    if named || found() { Ok(()) } else { Err(Error::NoCompiler) }
}

fn on_path(program: &str, path: Option<&OsStr>) -> bool {
    path.is_some_and(|path| env::split_paths(path).any(|folder| folder.join(program).is_file()))
}

/// The folder kept for this user: `$XDG_CACHE_HOME/tartan`, else the platform's own place for caches.
pub(crate) fn cache_folder() -> Result<PathBuf, Error> {
    cache_folder_of(env::var_os("XDG_CACHE_HOME").as_deref(), env::var_os("HOME").as_deref())
        .ok_or(Error::NoCacheFolder)
}

fn cache_folder_of(xdg: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    // A relative path means nothing here, says the XDG specification.
    let absolute = |path: &OsStr| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let caches = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let base = xdg.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(caches)))?;
    Some(base.join("tartan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_glibc_is_found_out() {
        assert!(libc_serves("glibc 2.36"));
        assert!(libc_serves("glibc 2.28"));
        assert!(libc_serves("glibc 3.0"));
        assert!(libc_serves("glibc 2.28.1"));
        assert!(!libc_serves("glibc 2.17"));
        assert!(!libc_serves("glibc 2.9"));
        assert!(libc_serves(""));
    }

    #[test]
    fn the_cache_folder_is_the_users() {
        let of = |xdg: &str, home: &str| cache_folder_of(Some(xdg.as_ref()), Some(home.as_ref()));
        assert_eq!(of("/c", "/h"), Some("/c/tartan".into()));
        let own = if cfg!(target_os = "macos") { "/h/Library/Caches/tartan" } else { "/h/.cache/tartan" };
        assert_eq!(of("", "/h"), Some(own.into()));
        assert_eq!(of("relative", "/h"), Some(own.into()));
        assert_eq!(of("", ""), None);
        assert_eq!(cache_folder_of(None, None), None);
    }

    #[test]
    fn a_program_is_looked_for_in_every_folder() {
        assert!(on_path("sh", Some("/nowhere:/bin".as_ref())));
        assert!(!on_path("no-such-program", Some("/nowhere:/bin".as_ref())));
        assert!(!on_path("sh", None));
    }
}
