//! Using the library: from a pipeline file to its plan, and what of it is in a store.
//!
//! `cargo run --no-default-features --example plan -- pipelines/quickstart.yaml cache`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tartan::exec::{NodeStatus, known};
use tartan::plan;
use tartan::spec::{Overrides, Spec};
use tartan::store::Store;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(pipeline), Some(cache)) = (args.next(), args.next()) else {
        return Err("usage: plan PIPELINE CACHE".into());
    };

    let (spec, mut diagnostics) = Spec::load(Path::new(&pipeline), &Overrides::default());
    let outline = plan::outline(&spec, &[], &mut diagnostics);
    let store = Store::open(Path::new(&cache))?;
    let paths: Vec<PathBuf> = outline.files().into_keys().collect();
    let digests: BTreeMap<_, _> = paths
        .iter()
        .zip(store.digest_files(&paths))
        .map(|(path, digest)| Ok((path.clone(), digest?)))
        .collect::<Result<_, tartan::store::StoreError>>()?;
    let plan = plan::build(&outline, &digests, &mut diagnostics);
    if let Some(first) = diagnostics.first() {
        return Err(first.to_string().into());
    }

    let status = known(&plan, &store, &BTreeSet::new())?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, node) in status.iter() {
        let what = match node {
            NodeStatus::Cached(_) => "up to date",
            NodeStatus::Run(_) => "to run",
            NodeStatus::Waits(_) => "waiting",
        };
        *counts.entry(what).or_default() += 1;
    }
    #[expect(clippy::print_stdout, reason = "this is its result")]
    {
        println!("{}: {} stages, {counts:?}", plan.pipeline, plan.len());
    }
    Ok(())
}
