//! What the targets of a command or a pipeline mean: a stage, all stages of a loop, or all that a pattern fits.

use std::collections::BTreeSet;

use glob::Pattern;

use crate::diag::{Code, Diagnostic};
use crate::spec::{Loops, Spec, is_pattern};

/// The stages that `targets` name, each once; where there are none, those of the pipeline's own `targets`.
/// What names no stage is a fault.
pub(super) fn stages(
    spec: &Spec,
    targets: &[String],
    known: &BTreeSet<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    for (target, at) in &spec.targets {
        let named = named(target, &spec.loops, known.iter().copied());
        if named.is_empty() {
            diagnostics.extend(unknown(spec, target, known).map(|fault| spec.diagnose(at, fault)));
        }
        if targets.is_empty() {
            found.extend(named);
        }
    }
    for target in targets {
        let named = named(target, &spec.loops, known.iter().copied());
        if named.is_empty() {
            diagnostics.extend(unknown(spec, target, known));
        }
        found.extend(named);
    }
    let mut seen = BTreeSet::new();
    found.retain(|stage| seen.insert(stage.clone()));
    found
}

/// The stages among `known` that a word names.
fn named<'a>(word: &str, loops: &Loops, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let pattern = is_pattern(word).then(|| Pattern::new(word).ok()).flatten();
    let in_loop: Option<BTreeSet<&str>> =
        loops.get(word).map(|stages| stages.iter().map(String::as_str).collect());
    let means = |stage: &str| {
        stage == word
            || in_loop.as_ref().is_some_and(|stages| stages.contains(stage))
            || pattern.as_ref().is_some_and(|pattern| pattern.matches(stage))
    };
    known.filter(|stage| means(stage)).map(str::to_owned).collect()
}

fn unknown(spec: &Spec, target: &str, known: &BTreeSet<&str>) -> Option<Diagnostic> {
    if is_pattern(target) && !spec.may_have(target) {
        let fault = Diagnostic::error(Code::UnknownStage, format!("no stage fits `{target}`"));
        let help = "`*` stands for any letters and `?` for one; `tartan graph` shows the stages";
        return Some(fault.help(help));
    }
    super::outline::unknown(spec, target, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_a_stage_a_loop_or_what_a_pattern_fits() {
        let stages = ["dapt", "tapt@a", "tapt@b", "test"];
        let loops = Loops::from([("tapt".to_owned(), vec!["tapt@a".to_owned(), "tapt@b".to_owned()])]);
        for (word, expected) in [
            ("dapt", &["dapt"][..]),
            ("tapt", &["tapt@a", "tapt@b"]),
            ("tapt@b", &["tapt@b"]),
            ("*apt*", &["dapt", "tapt@a", "tapt@b"]),
            ("t*t", &["test"]),
            ("????", &["dapt", "test"]),
            ("*", &stages),
            ("tapt@[b-z]", &["tapt@b"]),
            ("d*a", &[]),
            ("[", &[]),
            ("tap", &[]),
        ] {
            assert_eq!(named(word, &loops, stages.into_iter()), expected, "{word}");
        }
    }
}
