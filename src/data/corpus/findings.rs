//! What a user should know of their texts before they train on them.

use std::collections::BTreeMap;

use super::choice::Choice;
use super::survey::{OWN, Shared, Survey};
use super::{CorpusError, Inputs, Stats, TRAIN};
use crate::action::{Part, Tokenize};
use crate::data::source::SourceError;
use crate::diag::Code;
use crate::event::Finding;

/// The part of a split's texts that may be cut without a word.
const CUT_UNSAID: f64 = 0.01;
/// How many labels a note names.
const NAMED: usize = 10;

/// What a strict stage fails for.
pub(super) fn is_strict(finding: &Finding) -> bool {
    matches!(finding.code, Code::UnknownLabels | Code::SharedTexts)
}

fn of_split(code: Code, split: &str, message: String) -> Finding {
    let field = vec!["splits".to_owned(), split.to_owned()];
    Finding { code, is_error: false, field, message, help: None }
}

fn of_field(code: Code, field: &str, message: String) -> Finding {
    Finding { code, is_error: false, field: vec![field.to_owned()], message, help: None }
}

/// An error, each fault at the field that it is about.
pub(super) fn of_error(error: &CorpusError) -> Vec<Finding> {
    let of_source = |split: &str, error: &SourceError| {
        let message = match error.to_string() {
            lines if lines.contains('\n') => {
                let lines = lines.replace('\n', "\n  ");
                format!("the files of split `{split}` are not what this stage reads:\n  {lines}")
            }
            line => line,
        };
        let found = match error.field() {
            Some(field) => of_field(error.code(), field, message),
            None => of_split(error.code(), split, message),
        };
        Finding { help: error.help(), ..found }
    };
    let whole =
        |code, field| vec![Finding { help: error.help(), ..of_field(code, field, error.to_string()) }];
    let findings = match error {
        CorpusError::Sources(errors) => errors.iter().map(|(split, error)| of_source(split, error)).collect(),
        CorpusError::NothingLeft { part, .. } => {
            vec![Finding { help: error.help(), ..of_split(Code::BadParts, part, error.to_string()) }]
        }
        CorpusError::NoBase => whole(Code::MissingSplit, "sample"),
        CorpusError::Tokenize(error) => whole(error.code(), error.field()),
        CorpusError::Strict(findings) => findings.iter().cloned().map(of_strict).collect(),
    };
    findings.into_iter().map(|finding| Finding { is_error: true, ..finding }).collect()
}

/// What would be a warning if the stage were not strict.
fn of_strict(finding: Finding) -> Finding {
    let ways_out = [finding.help, Some("without `strict: true` this is a warning".to_owned())];
    Finding { help: Some(ways_out.into_iter().flatten().collect::<Vec<_>>().join("; ")), ..finding }
}

/// What is known once it is chosen which texts are taken.
pub(super) fn of_texts(params: &Tokenize, inputs: &Inputs, survey: &Survey, choice: &Choice) -> Vec<Finding> {
    let mut findings = vec![];
    let has_train = choice.label_counts.contains_key(TRAIN);
    if has_train && choice.labels.classes > 0 {
        // A model could be trained for hours before someone asks for the score that this split cannot give.
        for split in choice.targets.iter().flatten().filter(|split| choice.label_counts[*split].is_empty()) {
            let message =
                format!("split `{split}` has no labels, and train has: no model can be scored on it");
            findings.push(of_split(Code::NoLabels, split, message));
        }
        for split in choice.targets.iter().flatten() {
            findings.extend(lacking(choice, split));
        }
    }
    for (source, seen) in inputs.sources.iter().zip(&survey.seen) {
        for Shared { split, count, of, example: (there, here) } in &seen.shared {
            let message = format!(
                "{count} of the {of} texts of split `{split}` {} also in `{}`, such as that of {there}, which is that \
                 of {here}",
                if *count == 1 { "is" } else { "are" },
                source.split,
            );
            let help =
                format!("`deduplicate: across` leaves out of `{}` what is in `{split}` too", source.split);
            findings.push(Finding { help: Some(help), ..of_split(Code::SharedTexts, split, message) });
        }
    }
    findings.extend(of_parts(params, choice));
    match choice.sampled {
        Some((wanted, all)) if wanted > all => {
            let train = inputs.sources.iter().find(|source| source.split == TRAIN);
            let file = train.map(super::Source::names).unwrap_or_default();
            let message = format!("the sample asks for {wanted} texts, and {file} has {all}: all are taken");
            findings.push(of_field(Code::SampleTooLarge, "sample", message));
        }
        None if params.sample.is_some() => {
            let message = "there is no train split to sample".to_owned();
            findings.push(of_field(Code::SampleTooLarge, "sample", message));
        }
        _ => {}
    }
    findings
}

/// Parts that are asked for by their count and get less.
fn of_parts(params: &Tokenize, choice: &Choice) -> Vec<Finding> {
    let mut findings = vec![];
    for (splits, fates) in choice.targets.iter().zip(&choice.fates) {
        for (place, split) in splits.iter().enumerate() {
            let Some(Part::Count(wanted)) = params.parts.get(split) else { continue };
            let got =
                fates.iter().filter(|fate| usize::from(**fate) == usize::from(OWN) + place).count() as u64;
            if got >= *wanted {
                continue;
            }
            let message = format!(
                "split `{split}` gets {got} of the {wanted} texts that are asked for: train keeps a text of each label, \
                 and equal texts stay together"
            );
            let help = "ask for fewer, or let labels fall as they may: `stratify: false`".to_owned();
            findings.push(Finding { help: Some(help), ..of_split(Code::BadParts, split, message) });
        }
    }
    findings
}

/// How many texts of a split have each of the labels that train lacks.
pub(super) fn unknown_labels<'c>(choice: &'c Choice, split: &str) -> BTreeMap<&'c str, u64> {
    // Of a train split without labels there is nothing to learn, and nothing to miss.
    if choice.labels.classes == 0 {
        return BTreeMap::new();
    }
    let Some(counts) = choice.label_counts.get(split) else { return BTreeMap::new() };
    let found = counts.iter().zip(&choice.ids).filter_map(|(&count, &id)| {
        let id = usize::try_from(id).ok().filter(|id| *id >= choice.labels.classes && count > 0)?;
        Some((choice.labels.names[id].as_str(), count))
    });
    found.collect()
}

fn lacking(choice: &Choice, split: &str) -> Option<Finding> {
    let unknown = unknown_labels(choice, split);
    if unknown.is_empty() {
        return None;
    }
    let mut named: Vec<String> =
        unknown.iter().take(NAMED).map(|(label, count)| format!("`{label}` ({count})")).collect();
    if unknown.len() > NAMED {
        named.push(format!("and {} more", unknown.len() - NAMED));
    }
    let message = format!(
        "{} of the {} texts of split `{split}` have labels that train lacks: {}",
        unknown.values().sum::<u64>(),
        choice.label_counts[split].iter().sum::<u64>(),
        named.join(", "),
    );
    let help = "a model cannot predict them; correct the labels, or let `label_map` rename or leave them out";
    Some(Finding { help: Some(help.to_owned()), ..of_split(Code::UnknownLabels, split, message) })
}

/// What is known once a split is tokenised.
pub(super) fn of_lengths(params: &Tokenize, split: &str, stats: &Stats) -> Option<Finding> {
    if stats.truncated as f64 <= stats.texts as f64 * CUT_UNSAID {
        return None;
    }
    let message = format!(
        "{} of the {} texts of split `{split}` ({:.1}%) are cut at {} tokens",
        stats.truncated,
        stats.texts,
        100.0 * stats.truncated as f64 / stats.texts as f64,
        params.max_length,
    );
    Some(of_field(Code::CutTexts, "max_length", message))
}

/// Puts down in each split's statistics how many of its texts are also in another's files.
pub(super) fn count_shared(stats: &mut BTreeMap<String, Stats>, inputs: &Inputs, survey: &Survey) {
    for (source, seen) in inputs.sources.iter().zip(&survey.seen) {
        for shared in &seen.shared {
            if let Some(stats) = stats.get_mut(&shared.split) {
                stats.shared.insert(source.split.to_owned(), shared.count);
            }
        }
    }
}
