//! The folders that results are exported to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{NodeId, Plan};
use crate::action::roles;
use crate::diag::{Code, Diagnostic};
use crate::digest::Digest;
use crate::spec::{Source, Spec};

/// A folder gets one result, and none that would overwrite what the pipeline reads.
pub(super) fn check_folders(
    folders: &BTreeMap<PathBuf, Vec<(NodeId, &Source)>>,
    plan: &Plan,
    spec: &Spec,
    read: &BTreeMap<PathBuf, Digest>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let read: Vec<PathBuf> = read.keys().filter_map(|path| std::path::absolute(path).ok()).collect();
    for (folder, writers) in folders {
        let Some((first, to)) = writers.first() else { continue };
        if let Some((second, to)) = writers.get(1) {
            let (first, second) = (plan.node(*first), plan.node(*second));
            let differs = |var: &usize| {
                let value = |points: &[usize]| points.first().map(|at| &spec.points[*at].values[*var]);
                value(&first.points) != value(&second.points)
            };
            let fault = Diagnostic::error(
                Code::ExportClash,
                format!("`{}` and `{}` would both be written to `{}`", first.name, second.name, to.name),
            );
            let fault = match (0..spec.swept.len()).find(differs) {
                Some(var) if first.stage == second.stage => {
                    let var = &spec.swept[var];
                    fault.help(format!("give each its own folder, such as `{}-${{{var}}}`", to.name))
                }
                _ => fault.help("give each its own folder"),
            };
            diagnostics.push(spec.diagnose(&to.at, fault));
        }
        let files = [roles::CONFIG, roles::WEIGHTS, roles::TOKENIZER];
        if let Some(file) = files.iter().find(|file| read.contains(&folder.join(file))) {
            let fault = Diagnostic::error(
                Code::ExportOverwrites,
                format!("this would overwrite `{file}` in `{}`, which the pipeline reads", to.name),
            )
            .help("export to a folder of its own");
            diagnostics.push(spec.diagnose(&to.at, fault));
        }
    }
}
