//! What the parser says of a text that is not YAML, in words that help.

use super::read::{TAG, TOO_DEEP, TOO_LARGE, TOO_MANY};
use super::{Text, lines};
use crate::diag::{Code, Diagnostic, Place};

/// The fault that stopped the parser.
pub(super) fn fault(text: &Text, error: &serde_yaml::Error) -> Diagnostic {
    let words = error.to_string();
    // The parser says `PROBLEM at line L column C, while parsing THING at line L column C`; places are shown apart.
    let problem = words.split(" at line ").next().unwrap_or(&words);
    let place = error.location().map(|at| text.place_at(at.line(), at.column(), false));
    // What the reader refuses comes with the path to it.
    if let Some(ours) = [TAG, TOO_LARGE, TOO_DEEP, TOO_MANY].into_iter().find(|ours| problem.ends_with(ours))
    {
        return refused(text, ours, place);
    }
    match problem {
        "recursion limit exceeded" => return refused(text, TOO_DEEP, place),
        "repetition limit exceeded" => return refused(text, TOO_MANY, place),
        _ => {}
    }
    if problem.contains("more than one document") {
        let message = "a second document begins, and a file holds one pipeline";
        let fault =
            Diagnostic::error(Code::SeveralDocuments, message).help("give each pipeline a file of its own");
        return placed(text, fault, second_document(text));
    }
    if let Some(found) = problem.strip_suffix(", expected a text as a key") {
        let found = found.rsplit("invalid type: ").next().unwrap_or(found);
        let found =
            found.replace("unit value", "nothing").replace("map", "a block").replace("sequence", "a list");
        let message = format!("a key is a text, not {}", found.trim_start_matches("floating point "));
        let fault = Diagnostic::error(Code::WrongType, message).help("put it into quotes");
        return placed(text, fault, place);
    }
    if let Some(place) = place.as_ref().and_then(tab_in_indentation) {
        let message = "a tab where YAML wants spaces";
        return Diagnostic::error(Code::Tab, message).help("indent with spaces").at(place);
    }
    let context = words.split(", while ").nth(1).and_then(|context| {
        let (what, at) = context.split_once(" at line ")?;
        let (line, column) = at.split_once(" column ")?;
        Some((what, line.parse().ok()?, column.parse().ok()?))
    });
    if let Some(fault) = place.as_ref().and_then(|place| likely(text, problem, place)) {
        return fault;
    }
    let (message, help, begins) = explained(problem, context.map(|(what, ..)| what));
    // Where the bracket that is not closed is in the same line, something is missing between its fields.
    let same_line =
        context.is_some_and(|(_, line, _)| place.as_ref().is_some_and(|place| place.line == line));
    if begins && same_line && problem.starts_with("did not find expected ','") {
        let close = if problem.contains('}') { '}' } else { ']' };
        let fault = Diagnostic::error(Code::Syntax, format!("a `,` or `{close}` is missing before this"));
        let fault = fault.help("put a comma between two fields, and a text that holds `: ` into quotes");
        return placed(text, fault, place.map(|place| Place { width: 1, ..place }));
    }
    let fault = Diagnostic::error(Code::Syntax, message);
    let fault = match help {
        Some(help) => fault.help(help),
        None => fault,
    };
    let place = match (begins, context) {
        (true, Some((_, line, column))) => Some(text.place_at(line, column, false)),
        _ => place,
    };
    placed(text, fault, place.map(|place| Place { width: 1, ..place }))
}

/// What is likely meant where the parser stopped for a reason that would mislead.
fn likely(text: &Text, problem: &str, place: &Place) -> Option<Diagnostic> {
    if problem.starts_with("did not find expected ','") {
        let column = bare_variable(&place.source)?;
        let here = text.place_at(place.line, column, false);
        let name: String =
            here.source.chars().skip(column - 1).take_while(|c| *c != '}').chain(['}']).collect();
        let fault = Diagnostic::error(Code::Syntax, "a `${…}` among `{` and `[` wants quotes");
        let width = name.chars().count();
        return Some(fault.at(Place { width, ..here }).help(format!("write `\"{name}\"`")));
    }
    if problem == "mapping values are not allowed in this context" {
        let before = lines(&text.source).take(place.line.saturating_sub(1)).collect::<Vec<_>>();
        let (line, source) = before.iter().enumerate().rev().find(|(_, line)| !line.trim().is_empty())?;
        let said = source.trim();
        let (key, value) = said.split_once(':')?;
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        if is_key && !value.is_empty() && !value.starts_with([' ', '/']) && !said.contains(": ") {
            let column = source.chars().take_while(|c| c.is_whitespace()).count() + 1;
            let here = Place { width: said.chars().count(), ..text.place_at(line + 1, column, false) };
            let fault = Diagnostic::error(Code::Syntax, "a `:` without a blank after it makes no field");
            return Some(fault.at(here).help(format!("write `{key}: {value}`")));
        }
    }
    None
}

/// The column of a `${` that stands in a line without quotes.
fn bare_variable(line: &str) -> Option<usize> {
    let chars: Vec<char> = line.chars().collect();
    let mut quote = None;
    for (at, c) in chars.iter().enumerate() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(*c),
            (Some(open), c) if open == *c => quote = None,
            (None, '$') if chars.get(at + 1) == Some(&'{') => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A problem in plain words, the way out, and whether it is where the context begins rather than where the parser gave
/// up.
fn explained(problem: &str, context: Option<&str>) -> (String, Option<&'static str>, bool) {
    let plain = |message: &str, help: &'static str, begins: bool| (message.to_owned(), Some(help), begins);
    match (problem, context) {
        (
            "found unexpected end of stream" | "found unexpected document indicator",
            Some("scanning a quoted scalar"),
        ) => plain("a text in quotes begins here and does not end", "close the quotes", true),
        ("did not find expected ',' or '}'", _) => {
            plain("this `{` is not closed", "close it with `}`, and put a comma between its fields", true)
        }
        ("did not find expected ',' or ']'", _) => {
            plain("this `[` is not closed", "close it with `]`, and put a comma between its items", true)
        }
        ("did not find expected key" | "did not find expected '-' indicator", Some(_)) => plain(
            "this line does not fit those before it",
            "give the lines of a block the same indentation, and close what is open before them",
            false,
        ),
        ("mapping values are not allowed in this context", _) => plain(
            "a `:` has no place here",
            "put a text that holds `: ` into quotes, and begin a field on a line of its own",
            false,
        ),
        ("could not find expected ':'", _) => {
            plain("a key without its `:`", "write `key: value`; the `:` and a blank come after the key", true)
        }
        ("unknown anchor", _) => {
            plain("an alias (`*name`) of nothing", "say what it stands for, or use `vars` and `${…}`", false)
        }
        ("found character that cannot start any token", _) => {
            plain("no value begins with this character", "put the text into quotes", false)
        }
        (problem, Some(context)) => (format!("not valid YAML: {problem}, while {context}"), None, false),
        (problem, None) => (format!("not valid YAML: {problem}"), None, false),
    }
}

fn refused(text: &Text, ours: &str, place: Option<Place>) -> Diagnostic {
    let (code, help) = match ours {
        TAG => (Code::Tag, "leave the tag out, or put the text into quotes"),
        TOO_LARGE => (Code::NumberTooLarge, "put it into quotes if it is a name"),
        TOO_DEEP => (Code::TooDeep, "close what is open; nothing in a pipeline is nested as deep"),
        _ => (Code::TooManyNodes, "use `vars` and `${…}` in place of aliases"),
    };
    let place = place.map(|place| if code == Code::TooDeep { Place { width: 1, ..place } } else { place });
    placed(text, Diagnostic::error(code, ours).help(help), place)
}

/// A fault at its place, or else at the beginning of the file.
fn placed(text: &Text, fault: Diagnostic, place: Option<Place>) -> Diagnostic {
    fault.at(place.unwrap_or_else(|| text.place_at(1, 1, false)))
}

/// Where a second document begins.
fn second_document(text: &Text) -> Option<Place> {
    let begins = |line: &str| line == "---" || line.starts_with("--- ");
    let says = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let first = lines(&text.source).position(says)?;
    let line = lines(&text.source).skip(first + 1).position(begins)? + first + 1;
    Some(Place { width: 3, ..text.place_at(line + 1, 1, false) })
}

/// The tab that indents the line of a place, or stands at it.
fn tab_in_indentation(place: &Place) -> Option<Place> {
    let indents = |c: &char| c.is_whitespace() || *c == '-';
    let tab = place.source.chars().take_while(indents).position(|c| c == '\t').map(|at| at + 1);
    let is_tab = place.source.chars().nth(place.column.saturating_sub(1)) == Some('\t');
    let column = tab.or(is_tab.then_some(place.column))?;
    Some(Place { column, width: 1, ..place.clone() })
}
