//! From a word to the program's file: where the user's PATH has it, or where a path says it is.
//!
//! A program's content is part of the key, and its path is not. A program that is itself a script (`#!…`) is run by
//! another, whose content counts as well.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{At, Code, Context, Diagnostic, Fields, Source, SplitFile};
use crate::action::roles;

/// The longest first line of a script that is read, in bytes: as Linux has it.
const LONGEST_SHEBANG: u64 = 256;

/// The programs of a command, by role.
pub(super) struct Programs<'a> {
    context: &'a Context<'a>,
    /// What the command finds in its folder, by its name there.
    inputs: &'a BTreeMap<String, SplitFile>,
    found: BTreeMap<String, Source>,
}

impl<'a> Programs<'a> {
    /// None yet.
    pub(super) fn new(context: &'a Context<'a>, inputs: &'a BTreeMap<String, SplitFile>) -> Self {
        Self { context, inputs, found: BTreeMap::new() }
    }

    /// Adds the program that `word` names, and returns its name without its folder; or reports why it cannot.
    pub(super) fn add(&mut self, word: &str, at: &At, fields: &mut Fields) -> Option<String> {
        match self.find(word, at) {
            Ok(name) => Some(name),
            Err(fault) => {
                fields.fault(at.clone(), *fault);
                None
            }
        }
    }

    pub(super) fn into_sources(self) -> BTreeMap<String, Source> {
        self.found
    }

    fn find(&mut self, word: &str, at: &At) -> Result<String, Box<Diagnostic>> {
        let path = if word.contains('/') { self.own(word, at) } else { self.context.on_path.find(word) };
        let path = path.map_err(|fault| self.of_input(word).map_or(fault, Box::new))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(shebang) = shebang(&path) {
            if word.contains('/') {
                let fault = Diagnostic::error(
                    Code::NoProgram,
                    format!("`{word}` is a script, and runs by another program"),
                )
                .help(format!(
                    "name that program first, and declare the script: `run: [{}, {name}]`, \
                         `inputs: {{{name}: {word}}}`",
                    shebang.rsplit('/').next().unwrap_or_default(),
                ));
                return Err(Box::new(fault));
            }
            let interpreter = if shebang.contains('/') {
                PathBuf::from(&shebang)
            } else {
                self.context.on_path.find(&shebang)?
            };
            self.put(roles::interpreter(&name), interpreter, at)?;
        }
        self.put(roles::program(&name), path, at)?;
        Ok(name)
    }

    fn put(&mut self, role: String, path: PathBuf, at: &At) -> Result<(), Box<Diagnostic>> {
        let name = path.display().to_string();
        if let Some(other) = self.found.get(&role).filter(|other| other.path != path) {
            let fault = Diagnostic::error(
                Code::NoProgram,
                format!("`{}` and `{name}` have the same name", other.name),
            );
            return Err(Box::new(fault.help("keep one of them: a program is known by its name")));
        }
        self.found.insert(role, Source { path, name, at: at.clone() });
        Ok(())
    }

    /// What is wrong where what is no program is an input.
    fn of_input(&self, word: &str) -> Option<Diagnostic> {
        let name = word.strip_prefix("./").unwrap_or(word);
        let runner = match self.inputs.get(name)? {
            _ if Path::new(name).extension().is_some_and(|ending| ending == "py") => {
                Some("python3".to_owned())
            }
            SplitFile::Local(source) => shebang(&source.path),
            _ => None,
        };
        let runner = runner.as_deref().and_then(|runner| runner.rsplit('/').next()).unwrap_or("PROGRAM");
        let fault = format!("`{word}` is an input, and inputs are not executable in the command's folder");
        let help = format!("name the program that runs it first: `run: [{runner}, {name}]`");
        Some(Diagnostic::error(Code::NoProgram, fault).help(help))
    }

    /// A program by its path.
    fn own(&self, word: &str, at: &At) -> Result<PathBuf, Box<Diagnostic>> {
        let path = self.context.origins.folder(at).join(word);
        if is_program(&path) {
            return Ok(path);
        }
        let fault = if path.is_file() {
            Diagnostic::error(Code::NoProgram, format!("`{word}` is no program: it is not executable"))
                .help("a script follows the program that runs it: `run: [python3, clean.py]`")
        } else {
            Diagnostic::error(Code::NoProgram, format!("there is no program `{word}`"))
                .help("its path is relative to the pipeline's file; a bare name is looked up on the PATH")
        };
        Err(Box::new(fault))
    }
}

/// The programs that the PATH has, each looked up once: at each point of a sweep they are the same.
#[derive(Debug, Default)]
pub(in crate::spec) struct OnPath {
    known: RefCell<BTreeMap<String, Result<PathBuf, Box<Diagnostic>>>>,
    names: OnceCell<Vec<String>>,
}

impl OnPath {
    fn find(&self, word: &str) -> Result<PathBuf, Box<Diagnostic>> {
        if let Some(known) = self.known.borrow().get(word) {
            return known.clone();
        }
        let found = folders().map(|folder| folder.join(word)).find(|path| is_program(path));
        let found = found.ok_or_else(|| self.absent(word));
        self.known.borrow_mut().insert(word.to_owned(), found.clone());
        found
    }

    fn absent(&self, word: &str) -> Box<Diagnostic> {
        let fault = Diagnostic::error(Code::NoProgram, format!("there is no program `{word}` on the PATH"));
        let names = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        };
        let there = self.names.get_or_init(|| folders().flat_map(names).collect());
        let otherwise = || "install it, or name it by its path, such as `.venv/bin/python3`".to_owned();
        Box::new(fault.meant(word, there.iter().map(String::as_str), otherwise))
    }
}

/// The folders of the PATH, in its order.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.into_iter()
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What runs a script: the path that its first line names, or the name that `env` is to look up; a text that names none
/// is run by `sh`.
fn shebang(path: &Path) -> Option<String> {
    let mut head = vec![];
    // One that cannot be read cannot be hashed either, which is said there.
    File::open(path).and_then(|file| file.take(LONGEST_SHEBANG).read_to_end(&mut head)).ok()?;
    if !head.starts_with(b"#!") && !head.contains(&0) {
        return Some("sh".to_owned());
    }
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if first.rsplit('/').next() != Some("env") {
        return Some(first.to_owned());
    }
    words.find(|word| !word.starts_with('-') && !word.contains('=')).map(str::to_owned)
}
