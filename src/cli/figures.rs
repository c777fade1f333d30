//! The figures of a pipeline's reports, in the files that it names: of its whole sweep, or left as they are.
//!
//! What a command narrows is its own affair: a figure of one seed must not take the place of one of ten.

use std::collections::{BTreeMap, BTreeSet};

use super::out;
use super::pipeline::Loaded;
use crate::diag::list;
use crate::plan::{self, NodeId};
use crate::report::table::Table;
use crate::report::{Records, ReportError, draw};
use crate::spec::Report;

/// What becomes of a figure when results are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// It is drawn of what is there: the run went as far as it can.
    Draw,
    /// It stays as it is.
    Leave,
}

/// Draws the figures that the reports ask for. Returns what to say of them, a line each.
pub(super) fn draw(
    reports: &[Report],
    tables: &[Table],
    loaded: &Loaded,
    records: &Records,
    if_missing: IfMissing,
) -> Result<Vec<String>, ReportError> {
    let (mut whole, mut parts) = (vec![], vec![]);
    let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (report, table) in reports.iter().zip(tables) {
        let Some(file) = &report.figure else { continue };
        let Some(figure) = draw::figure(file, table, &loaded.plan, records, &loaded.store)? else { continue };
        let all: BTreeSet<NodeId> = table.scores.seen.iter().map(|seen| seen.node).collect();
        let there = all.len() - table.missing();
        let why = if let Some(why) = narrowed(report, loaded) {
            Some(why)
        } else if there < all.len() && if_missing == IfMissing::Leave {
            Some(format!("{there} of {} are there", out::count(all.len(), "result")))
        } else {
            None
        };
        if let Some(why) = why {
            left.entry(why).or_default().push(file.file.path.display().to_string());
            continue;
        }
        let files = draw::write(&figure, &file.file.path)?.map(|file| file.display().to_string());
        if there == all.len() {
            whole.extend(files);
        } else {
            let drawn = format!("figure drawn of {there} of {}", out::count(all.len(), "result"));
            parts.push(format!("{drawn}: {}", files.join(", ")));
        }
    }
    let whole = (!whole.is_empty()).then(|| format!("figures: {}", whole.join(", ")));
    let left = left.into_iter().map(|(why, files)| format!("figure not drawn: {why}: {}", files.join(", ")));
    Ok(whole.into_iter().chain(parts).chain(left).collect())
}

/// How the command leaves out some of the pipeline's sweep, if it does.
fn narrowed(report: &Report, loaded: &Loaded) -> Option<String> {
    let Loaded { spec, plan, targets, .. } = loaded;
    if !spec.fixed.is_empty() {
        return Some(format!("`--set` gives {} in place of the sweep", spec.fixed.join(" and ")));
    }
    if targets.is_empty() {
        return None;
    }
    // Faults would have come up when the pipeline was loaded.
    let all = plan::outline(spec, &[], &mut vec![]);
    let shown = report.shows.stages();
    let leaves_out = plan.points.iter().enumerate().any(|(point, nodes)| {
        shown.iter().any(|of| all.needs(point, &of.stage) && !nodes.contains_key(&of.stage))
    });
    leaves_out.then(|| format!("the targets {} are a part of the sweep", list(targets)))
}
