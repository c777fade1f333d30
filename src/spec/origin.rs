//! Where the parts of a pipeline are said.
//!
//! A pipeline is one tree of nodes, whatever was laid over it: what it includes, its profiles, the command
//! line. A path in that tree leads back from here to the text that says it, and to that text's folder.

use std::collections::BTreeMap;
use std::path::Path;

use super::vars;
use super::yaml::{At, Node, Text};
use crate::diag::{Code, Diagnostic, Place};

/// Faults of variables themselves.
const OF_VARIABLES: [Code; 7] = [
    Code::UnknownVariable,
    Code::MalformedVariable,
    Code::CircularVariables,
    Code::UnknownVariableField,
    Code::VariesOverSweep,
    Code::TooManyNodes,
    Code::UnusedVariable,
];

/// Which of a pipeline's texts: 0 is the pipeline's own.
pub(super) type FileId = usize;

/// The texts of a pipeline, and which of them says what.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    texts: Vec<Text>,
    /// By path in the tree; what has no entry is said by the pipeline's own text, under that very path.
    said: BTreeMap<At, Origin>,
}

/// Who says a part of the tree.
#[derive(Clone, Debug)]
enum Origin {
    /// A text, at a path of its own.
    Text(FileId, At),
    /// The command line: `--set` and these words.
    CommandLine(String),
}

impl Origins {
    /// Those of a pipeline that is one text.
    pub(super) fn new(text: Text) -> Self {
        Self { texts: vec![text], said: BTreeMap::new() }
    }

    /// Adds a text.
    pub(super) fn add(&mut self, text: Text) -> FileId {
        self.texts.push(text);
        self.texts.len() - 1
    }

    /// A text.
    pub(super) fn text(&self, file: FileId) -> &Text {
        &self.texts[file]
    }

    /// How many texts.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// What stands at `at` in the tree is said by a text, at `there`.
    pub(super) fn say(&mut self, at: &At, file: FileId, there: At) {
        self.forget_within(at);
        self.said.insert(at.clone(), Origin::Text(file, there));
    }

    /// What stands at `at` in the tree is said by the command line, as `--set` and `words`.
    pub(super) fn command(&mut self, at: &At, words: &str) {
        self.forget_within(at);
        self.said.insert(at.clone(), Origin::CommandLine(words.to_owned()));
    }

    /// The place of what stands at `at`, or of the nearest around it that a text has, at last of its beginning; none
    /// if it came from the command line.
    pub(super) fn place(&self, at: &At) -> Option<Place> {
        let mut at = at.clone();
        loop {
            if self.words(&at).is_some() {
                return None;
            }
            if let Some(place) = self.exact(&at) {
                return Some(place);
            }
            match at.around() {
                Some(around) => at = around,
                None => return self.texts.first()?.top(),
            }
        }
    }

    /// The place of what stands at `at`, if a text has just that.
    pub(super) fn exact(&self, at: &At) -> Option<Place> {
        match self.origin(at) {
            None => self.texts.first()?.exact(at),
            Some((from, Origin::Text(file, there))) => self.texts.get(*file)?.exact(&at.moved(from, there)),
            Some((_, Origin::CommandLine(_))) => None,
        }
    }

    /// A diagnostic about what stands at `at`. One that has a place, such as that of a fault in a file that
    /// the pipeline names, keeps it.
    pub(super) fn diagnose(&self, at: &At, mut diagnostic: Diagnostic) -> Diagnostic {
        if let (None, Some(place)) = (&diagnostic.place, self.place(at)) {
            diagnostic = diagnostic.at(place);
        }
        match self.words(at) {
            Some(words) => diagnostic.note(given(words)),
            None => self.with_variables(diagnostic),
        }
    }

    /// A diagnostic about a value that variables have made, with where these have their values from.
    fn with_variables(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        if OF_VARIABLES.contains(&diagnostic.code) {
            return diagnostic;
        }
        let marked = diagnostic.place.as_ref().map(Place::marked).filter(|marked| marked.contains("${"));
        let names = marked.map(|marked| vars::mentions(&Node::Text(marked))).unwrap_or_default();
        for name in names {
            let (at, swept) = (At::top().key("vars").key(&name), At::top().key("sweep").key(&name));
            let of = |place: Place| format!("{}:{}:{}", place.file.display(), place.line, place.column);
            if let Some(words) = self.words(&at) {
                diagnostic = diagnostic.note(given(words));
            } else if let Some(place) = self.exact(&swept) {
                diagnostic = diagnostic.note(format!("`{name}` is swept over at {}", of(place)));
            } else if let Some(place) = self.exact(&at) {
                diagnostic = diagnostic.note(format!("`{name}` has its value at {}", of(place)));
            }
        }
        diagnostic
    }

    /// A diagnostic about what stands at `there` in a text.
    pub(super) fn diagnose_in(&self, file: FileId, there: &At, diagnostic: Diagnostic) -> Diagnostic {
        let place = || self.texts.get(file)?.place(there);
        match (&diagnostic.place, place()) {
            (Some(_), _) => diagnostic,
            (None, Some(place)) => diagnostic.at(place),
            (None, None) => diagnostic.note(format!("in {}", self.texts[file].file().display())),
        }
    }

    /// The folder that a path which stands at `at` is relative to: that of the file which says it; of one that begins
    /// with a variable, that of the file which says the variable. The command line speaks for the pipeline's own file.
    pub(super) fn folder(&self, at: &At) -> &Path {
        let var = self.first_variable(at).map(|var| At::top().key("vars").key(&var));
        let file = match self.origin(var.as_ref().unwrap_or(at)) {
            Some((_, Origin::Text(file, _))) => *file,
            _ => 0,
        };
        self.texts.get(file).map_or(Path::new(""), Text::folder)
    }

    /// The variable that the text at `at` begins with, where it matters which of several files says it.
    fn first_variable(&self, at: &At) -> Option<String> {
        let place = if self.texts.len() > 1 { self.exact(at) } else { None };
        let marked = place?.marked();
        let name = vars::leading(marked.trim_matches(['"', '\'']))?;
        let at = At::top().key("vars").key(&name);
        // The variable of a loop stands in the stage itself.
        (self.origin(&at).is_some() || self.exact(&at).is_some()).then_some(name)
    }

    /// The text that says what stands at `at`; none if the command line does.
    pub(super) fn file(&self, at: &At) -> Option<FileId> {
        match self.origin(at) {
            None => Some(0),
            Some((_, Origin::Text(file, _))) => Some(*file),
            Some((_, Origin::CommandLine(_))) => None,
        }
    }

    /// What followed `--set`, where the command line says what stands at `at`.
    fn words(&self, at: &At) -> Option<&str> {
        match self.origin(at)? {
            (_, Origin::CommandLine(words)) => Some(words),
            (_, Origin::Text(..)) => None,
        }
    }

    /// The entry that `at` is within: what was said last of it, since saying a block forgets what was said
    /// inside it.
    fn origin(&self, at: &At) -> Option<(&At, &Origin)> {
        if self.said.is_empty() {
            return None;
        }
        let mut at = Some(at.value());
        while let Some(here) = at {
            if let Some(found) = self.said.get_key_value(&here) {
                return Some(found);
            }
            at = here.around().map(|around| around.value());
        }
        None
    }

    fn forget_within(&mut self, at: &At) {
        let inside: Vec<At> = self
            .said
            .range(at.clone()..)
            .map(|(at, _)| at.clone())
            .take_while(|inner| inner.within(at))
            .collect();
        for inner in inside {
            self.said.remove(&inner);
        }
    }
}

/// A note that the command line says something: `--set` and these words.
pub(super) fn given(words: &str) -> String {
    format!("given on the command line: `--set {words}`")
}
