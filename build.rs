//! Tells `tartan-worker` where libtorch lies at run time.
//!
//! torch-sys links against `.libtorch/link`; the libraries themselves lie in the user's cache folder,
//! which outlives the checkout, so that is the path an installed worker is given.

use std::path::PathBuf;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return Ok(());
    }
    let checkout =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not say where this is")?);
    // The set-up touches this file when it links another libtorch: a link's own time is not looked at.
    println!("cargo::rerun-if-changed=.libtorch/link/stamp");
    let libraries = checkout.join(".libtorch/torch/lib");
    let libraries = libraries.canonicalize().map_err(|error| {
        format!("{}: {error}: libtorch is not linked here; `cargo xtask setup` gets it", libraries.display())
    })?;
    println!("cargo::rustc-link-arg-bin=tartan-worker=-Wl,-rpath,{}", libraries.display());
    println!("cargo::rustc-link-arg-benches=-Wl,-rpath,{}", libraries.display());
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The old kind of rpath comes before LD_LIBRARY_PATH, where another project's libtorch may be.
        println!("cargo::rustc-link-arg-bin=tartan-worker=-Wl,--disable-new-dtags");
    }
    Ok(())
}
