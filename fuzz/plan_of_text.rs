//! From a text to a plan and all diagnostics, without files: what is fuzzed, and what `tests/mutations.rs` does with seeded
//! mutations.

use std::collections::BTreeMap;
use std::path::Path;

use tartan::diag::{self, Diagnostic};
use tartan::digest::Digest;
use tartan::plan;
use tartan::spec::Spec;

/// Plans a text as far as it goes. Whatever files it names have the digest of their path.
pub(crate) fn plan_of_text(text: &str) -> Vec<Diagnostic> {
    let (spec, mut diagnostics) = Spec::from_text(Path::new("/nowhere/fuzz/p.yaml"), text, &[]);
    let outline = plan::outline(&spec, &[], &mut diagnostics);
    let digest = |path: &Path| Digest::of(path.as_os_str().as_encoded_bytes());
    let files = outline.files().into_keys();
    let digests: BTreeMap<_, _> = files.map(|path| (path.clone(), digest(&path))).collect();
    plan::build(&outline, &digests, &mut diagnostics);
    diag::sort(&mut diagnostics);
    for diagnostic in &diagnostics {
        // What is printed, and what editors get: both must hold for any text.
        std::hint::black_box(diagnostic.to_string());
    }
    std::hint::black_box(diag::json(&diagnostics).to_string());
    diagnostics
}
