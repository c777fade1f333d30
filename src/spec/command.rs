//! `command`: a program of the user's own, what it is given and what it makes.
//!
//! Looks at the disk, as few blocks do: a program is found on the PATH, and a folder among the inputs is listed,
//! so that whoever comes after sees nothing but files with a content.

mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::fields::Fields;
use super::kinds::Context;
use super::yaml::{At, Node};
use super::{Block, CommandBlock, Source, SplitFile, splits};
use crate::action::{self, Means, PARAMS};
use crate::diag::{Code, Diagnostic};

pub(super) use programs::OnPath;

/// Files of a folder that are not given to a command: what Python leaves there changes by itself.
const LEFT_OUT: &str = "__pycache__";
/// More files than anyone lists as an input on purpose.
const MOST_FILES: usize = 10_000;

/// Reads a `command` block.
pub(super) fn command(mut fields: Fields, context: &Context) -> Block {
    let inputs = inputs(&mut fields, context);
    let (outputs, metrics) = outputs(&mut fields, &inputs);
    let (run, programs) = run(&mut fields, context, &inputs, &outputs);
    let env = env(&mut fields);
    let params = params(&mut fields);
    let means = Means {
        gpu: fields.truth("gpu").unwrap_or(false),
        timeout: timeout(&mut fields),
        pass_env: pass_env(&mut fields, &env),
    };
    fields.finish("a `command` block");
    let action = action::Command { run, outputs, env, params };
    let block = CommandBlock { programs, inputs, metrics, means, action };
    Block::Command(Box::new(block))
}

/// The command line, and the programs whose content counts, by role.
fn run(
    fields: &mut Fields,
    context: &Context,
    inputs: &BTreeMap<String, SplitFile>,
    outputs: &BTreeSet<String>,
) -> (Vec<String>, BTreeMap<String, Source>) {
    let before = fields.faults.len();
    let words = words(fields);
    let line = fields.text("shell");
    let mut found = programs::Programs::new(context, inputs);
    let run = match (words, line) {
        (Some(_), Some((_, at))) => {
            let fault = Diagnostic::error(Code::Exclusive, "`run` and `shell` exclude each other")
                .help("`run` is a program and its words; `shell` is a line that `sh` reads");
            fields.fault(at.on_key(), fault);
            vec![]
        }
        (None, Some((line, at))) => {
            found.add("sh", &at, fields);
            vec!["sh".to_owned(), "-ec".to_owned(), line]
        }
        (Some(words), None) => {
            let mut run = vec![];
            for (i, (word, at)) in words.into_iter().enumerate() {
                if i == 0 {
                    run.extend(found.add(&word, &at, fields));
                    continue;
                }
                if let Some(fault) = undeclared(&word, context.origins.folder(&at), inputs, outputs) {
                    fields.fault(at, fault);
                }
                run.push(word);
            }
            run
        }
        (None, None) => {
            if fields.faults.len() == before {
                fields.missing_one(
                    &["run", "shell"],
                    "the program and its words, such as `[python3, clean.py]`",
                );
            }
            vec![]
        }
    };
    for (word, at) in fields.texts("programs").unwrap_or_default() {
        found.add(&word, &at, fields);
    }
    (run, found.into_sources())
}

/// `run`: a list of words, numbers among them.
fn words(fields: &mut Fields) -> Option<Vec<(String, At)>> {
    let (node, at) = fields.take("run")?;
    let Node::List(items) = &node else {
        let fault =
            Diagnostic::error(Code::WrongType, format!("`run` is a list of words, not {}", node.what()))
                .help("write `run: [python3, clean.py]`; a line for `sh` is `shell: …`");
        fields.fault(at, fault);
        return None;
    };
    if items.is_empty() {
        fields.fault(
            at,
            Diagnostic::error(Code::EmptyList, "`run` is empty").help("its first word is the program"),
        );
        return None;
    }
    let mut words = vec![];
    for (i, item) in items.iter().enumerate() {
        words.extend(scalar(fields, "run", "a list of words", item, &at.index(i)));
    }
    Some(words)
}

/// A text, or a number or truth value as the text it is written as; without NUL, which no program can be given.
fn scalar(fields: &mut Fields, name: &str, wanted: &str, node: &Node, at: &At) -> Option<(String, At)> {
    let text = match node {
        Node::Text(text) => text.clone(),
        Node::Int(_) | Node::Float(_) | Node::Bool(_) => node.brief(),
        other => {
            let fault =
                Diagnostic::error(Code::WrongType, format!("`{name}` is {wanted}, not {}", other.what()));
            fields.fault(at.clone(), fault.help("write one value: a text, a number, `true` or `false`"));
            return None;
        }
    };
    if text.contains('\0') {
        fields.fault(
            at.clone(),
            Diagnostic::error(Code::OutOfRange, "a NUL character is nothing a program can be given")
                .help("leave it out"),
        );
        return None;
    }
    Some((text, at.clone()))
}

/// What is wrong with a word that means a file which the command will not find.
fn undeclared(
    word: &str,
    folder: &Path,
    inputs: &BTreeMap<String, SplitFile>,
    outputs: &BTreeSet<String>,
) -> Option<Diagnostic> {
    // `--data=train.jsonl` names a file too.
    let path = match word.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => value,
        _ => word,
    };
    let is_there = |name: &String| name == path || name.trim_end_matches('/') == path;
    if path.is_empty() || path == PARAMS || inputs.keys().chain(outputs).any(is_there) {
        return None;
    }
    let full = folder.join(path);
    if !full.is_file() {
        return None;
    }
    let own = |file: &SplitFile| matches!(file, SplitFile::Local(source) if source.path == full);
    let fault = Diagnostic::error(
        Code::UndeclaredFile,
        format!("`{path}` is a file of yours, and the command runs in a folder where only its inputs are"),
    )
    .about(path);
    if let Some((name, _)) = inputs.iter().find(|(_, file)| own(file)) {
        return Some(fault.help(format!("it is there as `{name}`: write that")));
    }
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(fault.help(format!("declare it: `inputs: {{{name}: {path}}}`, and write `{name}` here")))
}

/// The files that the command finds in its folder, by their names there.
fn inputs(fields: &mut Fields, context: &Context) -> BTreeMap<String, SplitFile> {
    let mut found = BTreeMap::new();
    let Some((node, at)) = fields.take("inputs") else { return found };
    let Node::Map(block) = node else {
        let fault = Diagnostic::error(
            Code::WrongType,
            format!("`inputs` is a block of files, not {}", node.what()),
        )
        .help(
            "write `inputs: {NAME: PATH}`: the name is the file's in the command's folder, the path is yours",
        );
        fields.fault(at, fault);
        return found;
    };
    for (name, node) in block {
        let at = at.key(&name);
        let name = name.trim_end_matches('/').to_owned();
        if let Some(fault) = unfit_name(&name) {
            fields.fault(at.on_key(), fault);
            continue;
        }
        if is_pattern(&node, &at, context) {
            matching(fields, &name, &node, &at, context, &mut found);
            continue;
        }
        match splits::read(&name, &node, &at, context, fields.faults) {
            Some(SplitFile::Local(source)) if source.path.is_dir() => match files_in(&source) {
                Ok(files) => {
                    let named = |(file, source)| (format!("{name}/{file}"), SplitFile::Local(source));
                    found.extend(files.into_iter().map(named));
                }
                Err(fault) => fields.fault(at, *fault),
            },
            Some(file) => {
                found.insert(name, file);
            }
            None => {}
        }
    }
    if let Some((file, inside)) = overlap(found.keys()) {
        let fault =
            Diagnostic::error(Code::FolderName, format!("`{file}` cannot be a file and hold `{inside}`"))
                .help("give one of them another name");
        fields.fault(at.key(file), fault);
    }
    found
}

/// Whether a path is a pattern, and no file.
fn is_pattern(node: &Node, at: &At, context: &Context) -> bool {
    let Node::Text(text) = node else { return false };
    !text.contains("://") && context.globs.expand(context.origins.folder(at), text).is_some()
}

/// Every file that a pattern matches, as a folder: each under its own name.
fn matching(
    fields: &mut Fields,
    name: &str,
    node: &Node,
    at: &At,
    context: &Context,
    found: &mut BTreeMap<String, SplitFile>,
) {
    for file in splits::files(name, node, at, context, fields.faults) {
        let own =
            Path::new(splits::name(&file)).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = splits::name(&file).to_owned();
        if let Some(other) = found.insert(format!("{name}/{own}"), file) {
            let other = splits::name(&other);
            let fault =
                Diagnostic::error(Code::FolderName, format!("`{other}` and `{path}` have the same name"))
                    .help("give each folder an input of its own");
            fields.fault(at.clone(), fault);
            return;
        }
    }
}

/// Every file under a folder of the user's, by its name in there.
fn files_in(folder: &Source) -> Result<BTreeMap<String, Source>, Box<Diagnostic>> {
    let mut files = BTreeMap::new();
    let mut open = vec![(folder.path.clone(), String::new())];
    while let Some((path, prefix)) = open.pop() {
        let unreadable = |error| {
            Diagnostic::error(
                Code::UnreadableFile,
                format!("failed to list the folder `{}`: {error}", path.display()),
            )
            .help("check that you may read it")
        };
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else {
                let fault = Diagnostic::error(
                    Code::UnreadableFile,
                    format!("a name in `{}` is not UTF-8", path.display()),
                )
                .help("rename that file, or name the files that the command reads");
                return Err(Box::new(fault));
            };
            if name.starts_with('.') || name == LEFT_OUT {
                continue;
            }
            let (path, said) = (entry.path(), format!("{prefix}{name}"));
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                open.push((path, format!("{said}/")));
            } else if path.is_dir() {
                // It may lead round in a circle.
                let fault =
                    Diagnostic::error(Code::NotAFile, format!("`{}` is a link to a folder", path.display()))
                        .help("name the folder that it leads to as an input of its own");
                return Err(Box::new(fault));
            } else {
                let name = format!("{}/{said}", folder.name.trim_end_matches('/'));
                files.insert(said, Source { path, name, at: folder.at.clone() });
            }
        }
        if files.len() > MOST_FILES {
            let fault = Diagnostic::error(
                Code::UnreadableFile,
                format!("`{}` has more than {MOST_FILES} files", folder.name),
            )
            .help("name the files or the folder in it that the command reads");
            return Err(Box::new(fault));
        }
    }
    if files.is_empty() {
        let fault = Diagnostic::error(Code::MissingFile, format!("there is no file in `{}`", folder.name));
        return Err(Box::new(fault.help("name a folder with files, or leave the input out")));
    }
    Ok(files)
}

/// The names of what is kept, and which of them holds the numbers for tables.
fn outputs(fields: &mut Fields, inputs: &BTreeMap<String, SplitFile>) -> (BTreeSet<String>, Option<String>) {
    let before = fields.faults.len();
    let mut found = BTreeSet::new();
    let said = fields.texts("outputs").unwrap_or_default();
    let metrics = fields.text("metrics");
    for (name, at) in said.into_iter().chain(metrics.clone()) {
        let bare = name.trim_end_matches('/');
        let fault = unfit_name(bare).or_else(|| {
            let same = |input: &&String| {
                let within = |inner: &str, outer: &str| {
                    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                within(input, bare) || within(bare, input)
            };
            inputs.keys().find(same).map(|input| {
                Diagnostic::error(
                    Code::FolderName,
                    format!("the output `{name}` is where the input `{input}` is"),
                )
                .help("give the output another name: an input is read-only")
            })
        });
        match fault {
            Some(fault) => fields.fault(at, fault),
            None => {
                found.insert(name);
            }
        }
    }
    if let Some((name, at)) = metrics.as_ref().filter(|(name, _)| name.ends_with('/')) {
        let fault = Diagnostic::error(
            Code::FolderName,
            format!("`metrics` is a file with numbers, and `{name}` is a folder"),
        );
        fields.fault(at.clone(), fault);
    }
    if let Some((outer, inner)) = overlap(found.iter()) {
        let fault =
            Diagnostic::error(Code::FolderName, format!("`{inner}` is part of `{outer}`, another output"))
                .help(format!("leave it out: `{outer}` is kept whole"));
        fields.fault(fields.at.key("outputs"), fault);
    }
    if found.is_empty() && fields.faults.len() == before {
        fields.missing("outputs", "the files that the command makes, such as `[out.jsonl]`");
    }
    (found, metrics.map(|(name, _)| name))
}

/// Why a name is none inside the command's folder.
fn unfit_name(name: &str) -> Option<Diagnostic> {
    // A folder's name ends with a `/`.
    let mut parts = name.strip_suffix('/').unwrap_or(name).split('/');
    let plain = parts.all(|part| !matches!(part, "" | "." | "..")) && !name.contains(['\0', '\n']);
    if name == PARAMS {
        let fault = Diagnostic::error(
            Code::FolderName,
            format!("`{PARAMS}` is where the command finds its `params`"),
        );
        return Some(fault.help("give the file another name"));
    }
    (!plain).then(|| {
        Diagnostic::error(Code::FolderName, format!("`{name}` is no name inside the command's folder"))
            .help("write a path that stays in there, such as `data/train.jsonl`")
    })
}

/// A name that is also the folder of another one.
fn overlap<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Option<(&'a str, &'a str)> {
    let bare: BTreeSet<&str> = names.clone().map(|name| name.trim_end_matches('/')).collect();
    names.into_iter().find_map(|name| {
        let parents = name.trim_end_matches('/').match_indices('/').map(|(at, _)| &name[..at]);
        parents.into_iter().find_map(|parent| bare.get(parent)).map(|outer| (*outer, name.as_str()))
    })
}

/// `env`: variables that are set.
fn env(fields: &mut Fields) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some((node, at)) = fields.take("env") else { return found };
    let Node::Map(block) = node else {
        let fault =
            Diagnostic::error(Code::WrongType, format!("`env` is a block of variables, not {}", node.what()))
                .help("write `env: {NAME: VALUE}`");
        fields.fault(at, fault);
        return found;
    };
    for (name, value) in &block {
        let at = at.key(name);
        if let Some(fault) = unfit_variable(name) {
            fields.fault(at.on_key(), fault);
        } else if let Some((value, _)) = scalar(fields, name, "a text", value, &at) {
            found.insert(name.clone(), value);
        }
    }
    found
}

/// `pass_env`: variables that are seen as the user has them.
fn pass_env(fields: &mut Fields, env: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = vec![];
    for (name, at) in fields.texts("pass_env").unwrap_or_default() {
        let set = || {
            Diagnostic::error(
                Code::Environment,
                format!("`env` sets `{name}`, so it cannot be passed through too"),
            )
            .help("keep one of them")
        };
        match unfit_variable(&name).or_else(|| env.contains_key(&name).then(set)) {
            Some(fault) => fields.fault(at, fault),
            None => found.push(name),
        }
    }
    found
}

fn unfit_variable(name: &str) -> Option<Diagnostic> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = name.chars().all(plain) && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    (!fits).then(|| {
        Diagnostic::error(Code::Environment, format!("`{name}` is no name for a variable of the environment"))
            .help("such a name is made of letters, digits and `_`")
    })
}

/// `params`: any block, written to `params.json`.
fn params(fields: &mut Fields) -> Map<String, Value> {
    let Some((node, at)) = fields.take("params") else { return Map::new() };
    let Node::Map(block) = &node else {
        let fault =
            Diagnostic::error(Code::WrongType, format!("`params` is a block of values, not {}", node.what()))
                .help(format!("write `params: {{threshold: 0.5}}`; the command finds it in `{PARAMS}`"));
        fields.fault(at, fault);
        return Map::new();
    };
    let mut found = Map::new();
    for (name, value) in block {
        match json(value) {
            Some(value) => {
                found.insert(name.clone(), value);
            }
            None => {
                fields.fault(
                    at.key(name),
                    Diagnostic::error(Code::OutOfRange, "JSON has no number that is not finite")
                        .help("write it as a text, `\"inf\"`, for the program to read"),
                );
            }
        }
    }
    found
}

/// A value as JSON; none where a number in it is not finite.
fn json(node: &Node) -> Option<Value> {
    Some(match node {
        Node::Null => Value::Null,
        Node::Bool(truth) => Value::Bool(*truth),
        Node::Int(int) => Value::from(*int),
        Node::Float(float) => Value::Number(serde_json::Number::from_f64(*float)?),
        Node::Text(text) => Value::String(text.clone()),
        Node::List(items) => Value::Array(items.iter().map(json).collect::<Option<_>>()?),
        Node::Map(fields) => {
            let pairs = fields.iter().map(|(name, value)| Some((name.clone(), json(value)?)));
            Value::Object(pairs.collect::<Option<_>>()?)
        }
    })
}

/// `timeout: 90s`, `2h 30m`.
fn timeout(fields: &mut Fields) -> Option<Duration> {
    let (text, at) = fields.text("timeout")?;
    match humantime::parse_duration(&text) {
        Ok(time) if !time.is_zero() => Some(time),
        _ => {
            let fault =
                Diagnostic::error(Code::WrongType, format!("`timeout` is a length of time, not `{text}`"))
                    .help("write it with its unit: `90s`, `20m`, `2h 30m`");
            fields.fault(at, fault);
            None
        }
    }
}
