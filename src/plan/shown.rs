//! Whether the stages that a table shows are there, and hold what it shows.

use std::collections::BTreeSet;

use super::outline::{Wanted, a_stage, unknown};
use crate::action::Metric;
use crate::diag::{Code, Diagnostic, either};
use crate::spec::{Block, Report, Score, Shows, Spec};

/// Checks that the stages a report names are there at every sweep point, and hold what it shows.
pub(super) fn check_report(
    spec: &Spec,
    report: &Report,
    known: &BTreeSet<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let unknown = |name: &str| unknown(spec, name, known);
    let found = match &report.shows {
        Shows::Weights(stage) => {
            let block = spec.points.first().and_then(|point| point.stages.get(&stage.stage));
            let fault = match block {
                None => unknown(&stage.stage),
                Some(block) if Wanted::LearnWeights.fits(block) => None,
                Some(other) => {
                    let learns = Wanted::LearnWeights.text();
                    let fault = format!(
                        "this table shows the weights that {learns} learns, and `{}` is {}",
                        stage.stage,
                        a_stage(other)
                    );
                    let fault = Diagnostic::error(Code::WrongStageKind, fault);
                    Some(fault.help(format!("name {learns}, or show a metric: `metric: STAGE.METRIC`")))
                }
            };
            fault.map(|fault| (stage, fault))
        }
        Shows::Scores(scores) => {
            spec.points.iter().zip(scores).find_map(|(point, Score { stage, metric })| {
                let fault = match point.stages.get(&stage.stage) {
                    None => unknown(&stage.stage)?,
                    Some(Block::Evaluate { action, .. }) => {
                        let names = Metric::ALL.map(Metric::name);
                        match Metric::ALL.into_iter().find(|known| known.name() == metric) {
                            None => {
                                Diagnostic::error(Code::UnknownMetric, format!("unknown metric `{metric}`"))
                                    .meant(metric, names, || format!("it is one of {}", either(&names)))
                            }
                            Some(known) if !action.metrics.contains(&known) => Diagnostic::error(
                                Code::NotMeasured,
                                format!("`{}` does not measure `{metric}`", stage.stage),
                            )
                            .help("add it to the stage's `metrics`, or leave `metrics` out to have them all"),
                            Some(_) => return None,
                        }
                    }
                    Some(Block::Command(command)) if command.metrics.is_none() => Diagnostic::error(
                        Code::NotMeasured,
                        format!("`{}` does not say where its numbers are", stage.stage),
                    )
                    .help("name the JSON file that it writes them to: `metrics: metrics.json`"),
                    Some(Block::Command(_) | Block::Broken(_)) => return None,
                    Some(other) => {
                        let fault = format!(
                            "a table shows an `evaluate` or `command` stage, and `{}` is {}",
                            stage.stage,
                            a_stage(other)
                        );
                        let evaluates = point.stages.iter().filter(|(_, block)| block.kind() == "evaluate");
                        let names: Vec<String> =
                            evaluates.map(|(name, _)| format!("`{name}.{metric}`")).collect();
                        Diagnostic::error(Code::WrongStageKind, fault).about(&stage.stage).help(
                            if names.is_empty() {
                                format!("add an `evaluate` stage that scores `{}`", stage.stage)
                            } else {
                                format!("write {}", names.join(" or "))
                            },
                        )
                    }
                };
                Some((stage, fault))
            })
        }
    };
    diagnostics.extend(found.map(|(stage, fault)| spec.diagnose(&stage.at, fault)));
}
