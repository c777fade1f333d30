//! `tokenize`: which files hold the texts, and what is taken of them.

use std::collections::BTreeMap;
use std::fs;

use super::{Context, SPLITS, required_ref};
use crate::action::{Deduplicate, Format, Part, Sample, Tokenize};
use crate::diag::{Code, Diagnostic, list};
use crate::spec::fields::{Faults, Fields, not_in_range, whole};
use crate::spec::yaml::{At, Node};
use crate::spec::{Block, Ref, SplitFile, SplitSource, splits};

const TRAIN: &str = "train";
const ACROSS: &str = "`across` also takes from train what is in dev or test, and from dev what is in test";

/// Reads a `tokenize` block.
pub(super) fn read(mut fields: Fields, context: &Context) -> Block {
    let tokenizer = required_ref(&mut fields, "tokenizer", "the encoder stage whose tokenizer is used");
    let format = fields.word("format", &Format::ALL);
    let mut action = Tokenize::default();
    text(&mut fields, &mut action);
    action.label = fields.text("label").map(|(label, _)| label);
    action.label_map = label_map(&mut fields);
    action.quotes = fields.truth("quotes").unwrap_or(true);
    if let Some(length) = fields.count("max_length", 3) {
        action.max_length = u32::try_from(length).unwrap_or(u32::MAX);
    }
    action.seed = fields.count("seed", 0).unwrap_or(0);
    let sample_of;
    (action.sample, sample_of) = sample(&mut fields);
    action.split_seed = fields.count("split_seed", 0).unwrap_or(0);
    action.stratify = fields.truth("stratify").unwrap_or(true);
    action.deduplicate = deduplicate(&mut fields);
    action.strict = fields.truth("strict").unwrap_or(false);
    let mut sources = BTreeMap::new();
    match fields.take("splits") {
        Some((Node::Map(splits), at)) if !splits.is_empty() => {
            let has_train = splits.iter().any(|(split, _)| split == TRAIN);
            for (split, node) in splits {
                let at = at.key(&split);
                if fields.one_of(&split, "split", &SPLITS, at.on_key()).is_none() {
                    continue;
                }
                if let Node::Int(_) | Node::Float(_) = node {
                    if let Some(part) = part(&mut fields, &split, &node, &at, has_train) {
                        action.parts.insert(split.clone(), part);
                        sources.insert(split, SplitSource::Part);
                    }
                    continue;
                }
                let mut files = splits::files(&split, &node, &at, context, fields.faults);
                files.retain(|file| !is_folder(file, fields.faults));
                if files.is_empty() {
                    continue;
                }
                if files.iter().all(|file| is_file(file, fields.faults))
                    && let Some(format) = format.or_else(|| format_of(&files, &at, &mut fields))
                {
                    action.splits.insert(split.clone(), format);
                }
                sources.insert(split, SplitSource::Files(files));
            }
            check_parts(&mut fields, &action, &at);
        }
        Some((other, at)) => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`splits` is a block of files, not {}", other.what()),
            )
            .help("write `splits: {train: data/train.jsonl, dev: data/dev.jsonl}`");
            fields.fault(at, fault);
        }
        None => fields.missing("splits", "the files of `train`, `dev` and `test`"),
    }
    fields.finish("a `tokenize` block");
    Block::Tokenize { tokenizer, splits: sources, sample_of, action }
}

/// Whether what stands for a file is one, and no folder that a stage makes.
fn is_file(file: &SplitFile, faults: &mut Faults) -> bool {
    let SplitFile::Made(made) = file else { return true };
    if !made.is_folder() {
        return true;
    }
    let what = "a split is one file of those that the stage makes";
    let fault = if made.file.is_empty() {
        Diagnostic::error(Code::MissingField, format!("`file` is missing: {what}"))
    } else {
        Diagnostic::error(Code::NotMade, format!("`{}` is a folder, and {what}", made.file))
    };
    let stage = &made.stage.stage;
    faults.push((made.at.clone(), fault.help(format!("write `{{stage: {stage}, file: …}}`"))));
    false
}

/// Whether what stands for a file is a folder of the user's. A name that says its format is taken at its word.
fn is_folder(file: &SplitFile, faults: &mut Faults) -> bool {
    let SplitFile::Local(source) = file else { return false };
    if Format::of_name(&source.name).is_some() || !source.path.is_dir() {
        return false;
    }
    let endings = fs::read_dir(&source.path).into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let (_, ending) = name.split_once('.')?;
        Format::of_name(&name).map(|_| ending.to_owned())
    });
    let ending = endings.min().unwrap_or_else(|| Format::Jsonl.name().to_owned());
    let folder = source.name.trim_end_matches('/');
    let fault = format!("`{}` is a folder, and a split is files", source.name);
    let fault = Diagnostic::error(Code::NotAFile, fault)
        .help(format!("name the files in it, such as `{folder}/*.{ending}`"));
    faults.push((source.at.clone(), fault));
    true
}

/// `text: sentence`, `text: [title, abstract]`, with `join`.
fn text(fields: &mut Fields, action: &mut Tokenize) {
    let mut names = fields.texts("text").unwrap_or_default().into_iter().map(|(name, _)| name);
    if let Some(first) = names.next() {
        action.text = first;
    }
    action.more_text = names.collect();
    let Some((join, at)) = fields.text("join") else { return };
    if action.more_text.is_empty() {
        let fault =
            Diagnostic::error(Code::Exclusive, "there is nothing to `join`: the text is in one field")
                .help("name several: `text: [title, abstract]`");
        fields.fault(at, fault);
    }
    action.join = join;
}

/// `label_map: {Background: bg, Other: null, "*": rest}`
fn label_map(fields: &mut Fields) -> BTreeMap<String, Option<String>> {
    let mut map = BTreeMap::new();
    match fields.take("label_map") {
        None => {}
        Some((Node::Map(entries), at)) if entries.is_empty() => {
            let fault = Diagnostic::error(Code::EmptyList, "`label_map` names no label");
            fields.fault(at, fault.help("leave it out to have the labels as they are"));
        }
        Some((Node::Map(entries), at)) => {
            for (from, to) in entries {
                let to = match to {
                    Node::Null => None,
                    Node::Text(_) | Node::Int(_) | Node::Bool(_) => Some(to.brief()),
                    other => {
                        let fault = Diagnostic::error(
                            Code::WrongType,
                            format!("a label becomes another label, or `null`, not {}", other.what()),
                        );
                        let help = format!("write `{from}: NAME`, or `{from}: null` to leave its texts out");
                        fields.fault(at.key(&from), fault.help(help));
                        continue;
                    }
                };
                map.insert(from, to);
            }
            if map.values().all(Option::is_none) && !fields.faults.iter().any(|(fault, _)| fault.within(&at))
            {
                let fault = Diagnostic::error(
                    Code::EmptySplit,
                    "`label_map` leaves out every label, so that no text is left",
                )
                .help("name those that stay too: `{Background: Background, Other: null}`");
                fields.fault(at, fault);
            }
        }
        Some((other, at)) => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`label_map` is a block of labels, not {}", other.what()),
            )
            .help("write what each label of the files becomes: `label_map: {Background: bg, Other: null}`");
            fields.fault(at, fault);
        }
    }
    map
}

/// `deduplicate: true`, or `across`.
fn deduplicate(fields: &mut Fields) -> Deduplicate {
    let Some((node, at)) = fields.take("deduplicate") else { return Deduplicate::No };
    match node {
        Node::Bool(false) => Deduplicate::No,
        Node::Bool(true) => Deduplicate::Within,
        Node::Text(word) if word == "across" => Deduplicate::Across,
        other => {
            let fault = Diagnostic::error(
                Code::UnknownWord,
                format!("`deduplicate` is `true`, `false` or `across`, not {}", other.what()),
            );
            let fault = match &other {
                Node::Text(word) => fault.meant(word, ["across"], || ACROSS.to_owned()),
                _ => fault.help(ACROSS),
            };
            fields.fault(at, fault);
            Deduplicate::No
        }
    }
}

/// `dev: 0.1`, `dev: 500`: of the texts of the train split's files.
fn part(fields: &mut Fields, split: &str, node: &Node, at: &At, has_train: bool) -> Option<Part> {
    let fault = match (node, whole(node)) {
        _ if split == TRAIN => Diagnostic::error(
            Code::WrongType,
            format!("`{TRAIN}` has files of its own, not {}", node.what()),
        )
        .help(
            "name its files, and give `dev` and `test` their part: `{train: all.csv, dev: 0.1, test: 0.1}`",
        ),
        _ if !has_train => Diagnostic::error(
            Code::MissingSplit,
            format!("there are no files of `{TRAIN}` to take `{split}` from"),
        )
        .help("name them: `{train: all.csv, dev: 0.1}`"),
        (Node::Float(part), _) if *part > 0.0 && *part < 1.0 => return Some(Part::Fraction(*part)),
        (Node::Int(_), Some(count)) if count > 0 => return Some(Part::Count(count)),
        _ => {
            Diagnostic::error(Code::OutOfRange, format!("`{split}` is no part of `{TRAIN}`: {}", node.what()))
                .help("write a number of texts (`500`) or a part of them (`0.1`)")
        }
    };
    fields.fault(at.clone(), fault);
    None
}

/// Whether parts leave something for train, and whether what is said of them has any.
fn check_parts(fields: &mut Fields, action: &Tokenize, at: &At) {
    let fractions = action.parts.values().filter_map(|part| match part {
        Part::Fraction(part) => Some(*part),
        Part::Count(_) => None,
    });
    if fractions.sum::<f64>() >= 1.0 {
        let fault =
            Diagnostic::error(Code::BadParts, "the parts are the whole, which leaves nothing for `train`")
                .help("let their sum be below 1");
        fields.fault(at.clone(), fault);
    }
    for (name, is_said) in [("split_seed", action.split_seed != 0), ("stratify", !action.stratify)] {
        if is_said && action.parts.is_empty() {
            let fault = Diagnostic::error(
                Code::Exclusive,
                format!("`{name}` is about parts of `train`, and there are none"),
            )
            .help("give a split its part: `{train: all.csv, dev: 0.1}`");
            fields.fault(fields.at.key(name).on_key(), fault);
        }
    }
}

/// The format of a split's files as their names say it; the same for all.
fn format_of(files: &[SplitFile], at: &At, fields: &mut Fields) -> Option<Format> {
    let mut found: Vec<(Format, &str)> = vec![];
    for file in files {
        let name = splits::name(file);
        let Some(format) = Format::of_name(name) else {
            let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
            let fault = Diagnostic::error(
                Code::UnknownFormat,
                format!("the format of `{name}` is not known from its name"),
            )
            .help(format!(
                "say `format:` and one of {}, or name the file `.jsonl`, `.txt`, `.csv`, …",
                list(&names)
            ));
            fields.fault(at.clone(), fault);
            return None;
        };
        if !found.iter().any(|(known, _)| *known == format) {
            found.push((format, name));
        }
    }
    if let [(one, first), (other, second), ..] = found.as_slice() {
        let fault = Diagnostic::error(
            Code::MixedFormats,
            format!(
                "`{first}` and `{second}` are {} and {}, and the files of a split have one format",
                list(&[one.name()]),
                list(&[other.name()]),
            ),
        )
        .help("name files of one format, or say `format:`");
        fields.fault(at.clone(), fault);
        return None;
    }
    found.first().map(|(format, _)| *format)
}

/// `sample: 500`, `sample: 0.1`, `sample: 10x task`.
fn sample(fields: &mut Fields) -> (Option<Sample>, Option<Ref>) {
    let Some((node, at)) = fields.take("sample") else { return (None, None) };
    if let Node::Int(_) = node
        && let Some(count) = whole(&node).filter(|count| *count > 0)
    {
        return (Some(Sample::Count(count)), None);
    }
    if let Node::Float(part) = node
        && part > 0.0
        && part <= 1.0
    {
        return (Some(Sample::Fraction(part)), None);
    }
    if let Node::Text(text) = &node
        && let Some((times, stage)) = text.split_once('x')
        && let Ok(times) = times.trim().parse::<f64>()
        && times > 0.0
        && times.is_finite()
        && stage.starts_with(' ')
        && !stage.trim().is_empty()
    {
        let of = Ref { stage: stage.trim().to_owned(), at };
        return (Some(Sample::Times(times)), Some(of));
    }
    let fault = Diagnostic::error(not_in_range(&node), format!("`sample` is not {}", node.what())).help(
        "write a number of texts (`500`), a part of them (`0.1`), or a multiple of a stage's train split (`10x task`)",
    );
    fields.fault(at, fault);
    (None, None)
}
