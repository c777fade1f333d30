//! What stages find and why they fail, told where the pipeline may be changed.

use std::collections::BTreeMap;

use crate::action::Action;
use crate::diag::{self, Diagnostic, Place};
use crate::event::{Event, Failure, Finding};
use crate::report::shell_word;

use super::pipeline::Loaded;

/// What the stages of a run found, and is not told yet.
#[derive(Default)]
pub(super) struct Findings {
    /// What no stage fails for.
    pub(super) warnings: Vec<Diagnostic>,
    /// What a stage will fail for, by its name.
    errors: BTreeMap<String, Vec<Diagnostic>>,
}

impl Findings {
    /// Takes in what happened. Of a stage that failed, returns all that there is to tell.
    pub(super) fn take(&mut self, loaded: &Loaded, event: &Event) -> Option<String> {
        match event {
            Event::StageFinding { stage, finding } if finding.is_error => {
                self.errors.entry(stage.clone()).or_default().push(found(loaded, stage, finding));
            }
            Event::StageFinding { stage, finding } => {
                self.warnings.push(found(loaded, stage, finding).note(format!("found by `{stage}`")));
            }
            Event::StageRetried { stage, .. } => drop(self.errors.remove(stage)),
            Event::StageFailed { stage, failure, log } => {
                let errors = self.errors.remove(stage).unwrap_or_default();
                return Some(failed(loaded, stage, errors, failure, log.as_deref()));
            }
            _ => {}
        }
        None
    }
}

/// Why something failed, without a place yet.
pub(super) fn diagnostic(failure: &Failure) -> Diagnostic {
    let told = Diagnostic::error(failure.code, &failure.message);
    Diagnostic { notes: failure.notes.clone(), help: failure.help.clone(), ..told }
}

fn found(loaded: &Loaded, stage: &str, finding: &Finding) -> Diagnostic {
    let told = if finding.is_error { Diagnostic::error } else { Diagnostic::warning };
    let place = place(loaded, stage, &finding.field);
    Diagnostic { place, help: finding.help.clone(), ..told(finding.code, &finding.message) }
}

/// Why a stage failed: the errors that it found, or else its failure.
fn failed(
    loaded: &Loaded,
    stage: &str,
    mut errors: Vec<Diagnostic>,
    failure: &Failure,
    log: Option<&str>,
) -> String {
    if errors.is_empty() {
        let place = place(loaded, stage, &failure.field);
        errors.push(Diagnostic { place, ..diagnostic(failure) });
    }
    diag::sort(&mut errors);
    if let Some(last) = errors.last_mut() {
        let log = log.map(|log| format!("; its log: {log} (`tartan logs {}`)", shell_word(stage)));
        last.notes.push(format!("stage `{stage}` failed{}", log.unwrap_or_default()));
    }
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// Where a stage's field stands, or else the stage.
fn place(loaded: &Loaded, stage: &str, field: &[String]) -> Option<Place> {
    let (plan, spec) = (&loaded.plan, &loaded.spec);
    let id = plan.ids().find(|id| plan.node(*id).name == stage)?;
    let node = plan.node(id);
    match &node.action {
        // No stage of the pipeline: it stands where the file is named, or what reads it.
        Action::Fetch(_) => spec.remote_place(&node.urls).or_else(|| {
            let reader = plan.dependents(id).into_iter().next()?;
            spec.field_place(&plan.node(reader).stage, &["from".to_owned()])
        }),
        _ => spec.field_place(&node.stage, field),
    }
}
