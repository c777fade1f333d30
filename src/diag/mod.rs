//! Diagnostics: what is wrong, where, why, and the way out.
//!
//! Plain data and its printed form. Knows nothing of pipelines; whoever finds a fault says where it is.

mod code;
mod json;
mod nearest;

use std::fmt;
use std::path::PathBuf;

use unicode_width::UnicodeWidthChar as _;

pub use code::{Code, Example, Page};
pub use json::json;
pub use nearest::{MEANT, nearest};

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters the caret underlines, at least 1.
    pub width: usize,
    /// The whole source line.
    pub source: String,
}

impl Place {
    /// What the caret stands under.
    pub fn marked(&self) -> String {
        self.source.chars().skip(self.column.saturating_sub(1)).take(self.width).collect()
    }

    /// The place of a word in what is marked; the same place where it does not stand there by itself.
    fn at_word(self, word: &str) -> Self {
        let source: Vec<char> = self.source.chars().collect();
        let word: Vec<char> = word.chars().collect();
        let in_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        // Whether a word goes on where it should begin or end.
        let is_part = |edge: Option<&char>, at: Option<usize>| {
            in_word(edge) && in_word(at.and_then(|at| source.get(at)))
        };
        let start = self.column.saturating_sub(1).min(source.len());
        let end = (start + self.width).min(source.len());
        let found = source[start..end].windows(word.len().max(1)).position(|window| window == word);
        match found.map(|at| start + at) {
            Some(at)
                if !is_part(word.first(), at.checked_sub(1))
                    && !is_part(word.last(), Some(at + word.len())) =>
            {
                Self { column: at + 1, width: word.len(), ..self }
            }
            _ => self,
        }
    }
}

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// Worth knowing; the run goes on.
    Warning,
}

/// One fault: what, where, why and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it weighs.
    pub severity: Severity,
    /// Which kind of fault it is.
    pub code: Code,
    /// What is wrong: a lower-case fragment without a full stop; what follows its first line is a list.
    pub message: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// Why; each may hold several lines.
    pub notes: Vec<String>,
    /// The way out.
    pub help: Option<String>,
    /// The word that is wrong, where it may be a part of what stands at the place.
    pub word: Option<String>,
    /// What may be meant in place of that word.
    pub near: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            place: None,
            notes: vec![],
            help: None,
            word: None,
            near: None,
        }
    }

    /// A warning without a place yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same, at a place: at the word that is wrong, where that is a part of what stands there.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(match &self.word {
            Some(word) => place.at_word(word),
            None => place,
        });
        self
    }

    /// The same about a word. Said before the place is.
    #[must_use]
    pub fn about(mut self, word: &str) -> Self {
        self.word = Some(word.to_owned());
        self
    }

    /// The same about a word for which another of `known` may be meant; where none is near, `otherwise` says
    /// the way out. Said before the place is.
    #[must_use]
    pub fn meant<'a>(
        self,
        word: &str,
        known: impl IntoIterator<Item = &'a str>,
        otherwise: impl FnOnce() -> String,
    ) -> Self {
        let near = nearest(word, known);
        let help = near.map_or_else(otherwise, |near| format!("did you mean `{near}`?"));
        Self { near: near.map(str::to_owned), ..self.about(word).help(help) }
    }

    /// What may be meant in place of the marked characters, where they are the word that is wrong.
    pub fn replacement(&self) -> Option<&str> {
        (self.place.as_ref()?.marked() == *self.word.as_ref()?).then_some(self.near.as_deref()?)
    }

    /// The same, with one more reason.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same, with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, printable(&self.message))?;
        let mut indent = 1;
        if let Some(place) = &self.place {
            let line = place.line.to_string();
            indent = line.len();
            let gutter = " ".repeat(indent);
            write!(
                f,
                "\n{gutter}--> {}:{}:{}",
                printable(&place.file.to_string_lossy()),
                place.line,
                place.column
            )?;
            let (source, caret) = excerpt(place);
            write!(f, "\n{gutter} |\n{line} | {source}\n{gutter} | {caret}")?;
        }
        let gutter = " ".repeat(indent);
        // Further lines begin where the first does.
        let aligned = |text: &str| printable(text).replace('\n', &format!("\n{gutter}         "));
        for note in &self.notes {
            write!(f, "\n{gutter} = note: {}", aligned(note))?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} = help: {}", aligned(help))?;
        }
        Ok(())
    }
}

/// A text without what would move the cursor, or change the terminal's colours; lines and tabs stay.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{FFFD}' } else { c }).collect()
}

/// The most of a line that is shown, in characters, and how much of that stands before the caret.
const WIDEST: usize = 200;
const BEFORE: usize = 80;

/// The source line, or of a long one what is around the place, and under it the caret.
fn excerpt(place: &Place) -> (String, String) {
    let mut source: Vec<char> = printable(&place.source).chars().collect();
    hide_secrets(&mut source);
    let column = place.column.saturating_sub(1).min(source.len());
    let from = if source.len() <= WIDEST { 0 } else { column.saturating_sub(BEFORE) };
    let to = source.len().min(from + WIDEST);
    let mut text: String = source[from..to].iter().collect();
    // A tab before the caret is repeated, for it is as wide there.
    let lead = source[from..column].iter();
    let mut caret: String =
        lead.map(|c| if *c == '\t' { "\t".to_owned() } else { " ".repeat(cells(*c)) }).collect();
    if from > 0 {
        text.insert(0, '…');
        caret.insert(0, ' ');
    }
    if to < source.len() {
        text.push('…');
    }
    let end = to.min(column.saturating_add(place.width)).max(column);
    let marked: usize = source[column..end].iter().map(|c| cells(*c)).sum();
    caret.push_str(&"^".repeat(marked.max(1)));
    (text, caret)
}

/// The columns that a character takes in a terminal.
fn cells(c: char) -> usize {
    c.width().unwrap_or(1)
}

/// A URL as messages show it: without its query, which may hold a token.
pub fn without_query(url: &str) -> String {
    url.split_once('?').map_or_else(|| url.to_owned(), |(url, _)| format!("{url}?…"))
}

/// Hides passwords and queries of URLs in a line; with a mark for each character, so that columns stay.
fn hide_secrets(line: &mut [char]) {
    for word in line.split_mut(|c| c.is_whitespace() || "\"'`".contains(*c)) {
        let host = word.windows(3).position(|c| c == [':', '/', '/']).map(|at| at + 3);
        if let Some(host) = host {
            let end = word[host..].iter().position(|c| "/?#".contains(*c)).map_or(word.len(), |at| host + at);
            if let Some(user) = word[host..end].iter().rposition(|c| *c == '@') {
                word[host..host + user].fill('*');
            }
        }
        // What comes before it may be a variable.
        if let Some(query) = word.iter().position(|c| *c == '?')
            && (host.is_some() || word[query..].contains(&'='))
        {
            word[query + 1..].fill('*');
        }
    }
}

/// How many names a message lists.
const LISTED: usize = 40;

/// Names as a message lists them: `` `a`, `b` and `c` ``; of many the first, with how many more there are.
pub fn list(names: &[impl AsRef<str>]) -> String {
    joined(names, "and")
}

/// The same of names of which one is meant: `` `a`, `b` or `c` ``.
pub fn either(names: &[impl AsRef<str>]) -> String {
    joined(names, "or")
}

fn joined(names: &[impl AsRef<str>], word: &str) -> String {
    let all: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{}`", name.as_ref())).collect();
    match all.as_slice() {
        [] => "none".to_owned(),
        _ if names.len() > LISTED => format!("{} {word} {} more", all.join(", "), names.len() - LISTED),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// Sorts diagnostics by file and place, those without a place last, and drops repeats. Of those at one place, `x2` comes
/// before `x10`.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| {
        let place = |d: &Diagnostic| (d.place.is_none(), d.place.clone(), d.severity, d.code);
        let by_message = || (a.message.len(), &a.message).cmp(&(b.message.len(), &b.message));
        place(a).cmp(&place(b)).then_with(by_message)
    });
    diagnostics.dedup();
    tell_points_once(diagnostics);
    tell_some(diagnostics);
}

/// How many faults of one kind are told at one place: a sweep may make thousands, each with a name of its own.
const ALIKE: usize = 5;

/// Of the faults of one kind at one place tells the first, and counts the others.
fn tell_some(sorted: &mut Vec<Diagnostic>) {
    let mut told: Vec<Diagnostic> = vec![];
    let mut alike = 0;
    let count = |last: Option<&mut Diagnostic>, alike: usize| {
        if let Some(last) = last.filter(|_| alike > ALIKE) {
            last.notes.push(format!("and {} more like it here", alike - ALIKE));
        }
    };
    for diagnostic in sorted.drain(..) {
        let same = told.last().is_some_and(|last| {
            last.place.is_some() && last.place == diagnostic.place && last.code == diagnostic.code
        });
        if !same {
            count(told.last_mut(), alike);
            alike = 0;
        }
        alike += 1;
        if alike <= ALIKE {
            told.push(diagnostic);
        }
    }
    count(told.last_mut(), alike);
    *sorted = told;
}

/// How a note begins that says at which point of a sweep a fault is.
pub const AT_POINT: &str = "at the sweep point ";

/// What goes wrong in the same way at many points is told at the first, with how many more there are.
fn tell_points_once(sorted: &mut Vec<Diagnostic>) {
    let point = |of: &Diagnostic| of.notes.iter().position(|note| note.starts_with(AT_POINT));
    let mut more: Vec<usize> = vec![];
    let mut told: Vec<Diagnostic> = vec![];
    for diagnostic in sorted.drain(..) {
        let same = told.last().is_some_and(|last| {
            point(last).is_some()
                && point(&diagnostic).is_some()
                && last.place == diagnostic.place
                && (last.code, &last.message, &last.help)
                    == (diagnostic.code, &diagnostic.message, &diagnostic.help)
        });
        if let Some(more) = more.last_mut().filter(|_| same) {
            *more += 1;
        } else {
            told.push(diagnostic);
            more.push(0);
        }
    }
    for (diagnostic, more) in told.iter_mut().zip(more).filter(|(_, more)| *more > 0) {
        if let Some(at) = point(diagnostic) {
            diagnostic.notes[at].push_str(&format!(", and at {more} more"));
        }
    }
    *sorted = told;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_place_line_caret_and_way_out() {
        let diagnostic = Diagnostic::error(Code::UnknownStage, "unknown stage `task-txt`")
            .at(Place {
                file: "p.yaml".into(),
                line: 12,
                column: 9,
                width: 8,
                source: "  data: task-txt".into(),
            })
            .note("a stage names another by its key under `stages`")
            .help("did you mean `task-text`?");
        let expected = "\
error[T0304]: unknown stage `task-txt`
  --> p.yaml:12:9
   |
12 |   data: task-txt
   |         ^^^^^^^^
   = note: a stage names another by its key under `stages`
   = help: did you mean `task-text`?";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let source = format!("{}here{}\u{1b}[31m", "x".repeat(1000), "y".repeat(1000));
        let place =
            |column, width| Place { file: "p".into(), line: 1, column, width, source: source.clone() };
        let (text, caret) = excerpt(&place(1001, 4));
        assert_eq!(text.chars().count(), WIDEST + 2);
        let marked: String =
            text.chars().zip(caret.chars()).filter(|(_, c)| *c == '^').map(|(t, _)| t).collect();
        assert_eq!(marked, "here");
        let (text, caret) = excerpt(&place(1, 5000));
        assert_eq!((text.chars().count(), caret.chars().count()), (WIDEST + 1, WIDEST));
        let (text, caret) = excerpt(&place(source.chars().count() + 1, 1));
        assert!(text.starts_with('…') && text.ends_with("y\u{FFFD}[31m") && caret.ends_with(" ^"), "{text}");
        // Past the end, as a parser may say it of a cut file.
        assert!(excerpt(&place(9999, 3)).1.ends_with('^'));
    }

    #[test]
    fn of_many_names_the_first_are_listed() {
        let names: Vec<String> = (0..LISTED + 7).map(|name| format!("n{name}")).collect();
        assert_eq!(list(&names[..0]), "none");
        assert_eq!(list(&names[..1]), "`n0`");
        assert_eq!(
            (list(&names[..3]), either(&names[..3])),
            ("`n0`, `n1` and `n2`".into(), "`n0`, `n1` or `n2`".into())
        );
        assert!(list(&names[..LISTED]).ends_with(", `n38` and `n39`"));
        assert!(list(&names).ends_with(", `n39` and 7 more"));
    }

    #[test]
    fn of_many_faults_alike_at_one_place_the_first_are_told() {
        let place =
            |line: usize| Place { file: "p.yaml".into(), line, column: 1, width: 1, source: "x".into() };
        let fault = |line: usize, name: usize| {
            Diagnostic::error(Code::UnknownStage, format!("unknown stage `x{name}`")).at(place(line))
        };
        let mut diagnostics: Vec<Diagnostic> = (0..1234).map(|name| fault(3, name)).collect();
        diagnostics.extend((0..5).map(|name| fault(4, name)));
        diagnostics.push(Diagnostic::error(Code::UnknownField, "unknown field `x`").at(place(3)));
        sort(&mut diagnostics);
        let lines: Vec<usize> =
            diagnostics.iter().map(|fault| fault.place.as_ref().expect("a place").line).collect();
        assert_eq!(lines, [[3; 6].as_slice(), &[4; 5]].concat());
        let notes: Vec<&String> = diagnostics.iter().flat_map(|fault| &fault.notes).collect();
        assert_eq!(notes, ["and 1229 more like it here"]);
    }

    #[test]
    fn passwords_and_queries_of_urls_are_not_shown() {
        for (line, shown) in [
            (
                "a: {url: 'https://a.example/x?t=1&u=2', b: c}",
                "a: {url: 'https://a.example/x?*******', b: c}",
            ),
            ("a: https://me:word@a.example/x@y", "a: https://*******@a.example/x@y"),
            ("a: ${data}/x?t=${token}&u=1", "a: ${data}/x?**************"),
            ("12  https://a.example?t # why?", "12  https://a.example?* # why?"),
            ("what? a = b", "what? a = b"),
        ] {
            let mut chars: Vec<char> = line.chars().collect();
            hide_secrets(&mut chars);
            assert_eq!(chars.into_iter().collect::<String>(), shown);
        }
        assert_eq!(without_query("https://a.example/x?t=1"), "https://a.example/x?…");
        assert_eq!(without_query("https://a.example/x"), "https://a.example/x");
    }
}
