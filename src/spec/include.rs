//! `include`: other files whose variables, stages, digests and profiles lie beneath a pipeline's own.
//!
//! What the includer says wins: its variables, and its stages, which replace an included one whole. Of two
//! included files that say the same thing neither wins, so that is a fault unless the includer says it too.
//! Each file is read once, however many include it, and its faults and paths stay its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::origin::{FileId, Origins};
use super::profile::Layer;
use super::read::{FORMAT, wrong_format};
use super::yaml::{At, Node, Text, items, slot};
use crate::diag::{Code, Diagnostic, list, nearest};

/// The most files that a pipeline is made of, and how deep they may include each other: more than anyone
/// can follow.
const MOST_FILES: usize = 100;
const DEEPEST: usize = 16;

/// What a file that is included may say.
const PARTS: [&str; 6] = ["tartan", "include", "vars", "stages", "digests", "profiles"];

/// What came of a pipeline's includes.
pub(super) struct Included {
    /// The layers of the profiles: those of included files first, the pipeline's own last.
    pub(super) profiles: Vec<Layer>,
    /// Whether a file could not be read, so that what it says is missing.
    pub(super) lacks_parts: bool,
}

/// Lays what `top` includes beneath it.
pub(super) fn lay_beneath(top: &mut Node, origins: &mut Origins, faults: &mut Vec<Diagnostic>) -> Included {
    let own = top.get("profiles").map(|node| layers(node, 0)).unwrap_or_default();
    let include = top.get("include").cloned();
    let (Some(include), Node::Map(fields)) = (include, top) else {
        return Included { profiles: own, lacks_parts: false };
    };
    let main = origins.text(0).file().to_owned();
    let path = vec![(same(&main), main)];
    let mut reader = Reader { origins, faults, known: BTreeMap::new(), path, lacks_parts: false };
    let beneath = reader.included(&include, 0);
    let lacks_parts = reader.lacks_parts;
    for (block, parts) in [("vars", &beneath.vars), ("stages", &beneath.stages)] {
        reader.lay(block, parts, fields);
    }
    lay_digests(&beneath.digests, fields, origins);
    Included { profiles: beneath.profiles.into_iter().chain(own).collect(), lacks_parts }
}

/// A part of a file: where it stands, and what it is.
#[derive(Clone)]
struct Part {
    file: FileId,
    at: At,
    node: Node,
}

/// Named parts. A name has several where files that do not include each other say it.
type Named = BTreeMap<String, Vec<Part>>;

/// What a file says, with all that it includes.
#[derive(Clone, Default)]
struct Parts {
    vars: Named,
    stages: Named,
    digests: Vec<Part>,
    profiles: Vec<Layer>,
}

impl Parts {
    /// Puts what another file says beside it.
    fn join(&mut self, other: &Self) {
        for (into, from) in [(&mut self.vars, &other.vars), (&mut self.stages, &other.stages)] {
            for (name, parts) in from {
                let known = into.entry(name.clone()).or_default();
                for part in parts {
                    // Two files may both include a third.
                    if !known.iter().any(|other| other.file == part.file) {
                        known.push(part.clone());
                    }
                }
            }
        }
        for part in &other.digests {
            if !self.digests.iter().any(|known| known.file == part.file && known.at == part.at) {
                self.digests.push(part.clone());
            }
        }
        for layer in &other.profiles {
            if !self.profiles.iter().any(|known| known.file == layer.file && known.name == layer.name) {
                self.profiles.push(layer.clone());
            }
        }
    }
}

struct Reader<'a> {
    origins: &'a mut Origins,
    faults: &'a mut Vec<Diagnostic>,
    /// What was read already, by what a file really is.
    known: BTreeMap<PathBuf, Rc<Parts>>,
    /// The files on the way to this one: what each really is, and what it is called.
    path: Vec<(PathBuf, PathBuf)>,
    lacks_parts: bool,
}

impl Reader<'_> {
    /// A fault for which a file, or what it says, is left out.
    fn left_out(&mut self, file: FileId, at: &At, fault: Diagnostic) {
        self.lacks_parts = true;
        self.fault(file, at, fault);
    }

    fn fault(&mut self, file: FileId, at: &At, fault: Diagnostic) {
        let fault = self.origins.diagnose_in(file, at, fault);
        self.faults.push(fault);
    }

    /// What the files that `include` of `file` names say.
    fn included(&mut self, include: &Node, file: FileId) -> Parts {
        let at = At::top().key("include");
        let items: Vec<(&Node, At)> = match include {
            Node::Null => vec![],
            Node::List(items) => items.iter().enumerate().map(|(i, item)| (item, at.index(i))).collect(),
            other => vec![(other, at)],
        };
        let mut parts = Parts::default();
        for (item, at) in items {
            let Node::Text(name) = item else {
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("`include` is a path or a list of paths, not {}", item.what()),
                );
                self.left_out(file, &at, fault);
                continue;
            };
            if name.contains("${") {
                let fault = Diagnostic::error(Code::VariesOverSweep, "`include` takes no variables")
                    .note("what is included may say what the variables are")
                    .help("write the path itself");
                self.left_out(file, &at, fault);
                continue;
            }
            if let Some(other) = self.file(name, file, &at) {
                parts.join(&other);
            }
        }
        parts
    }

    /// What the file `name` says, which `from` includes at `at`.
    fn file(&mut self, name: &str, from: FileId, at: &At) -> Option<Rc<Parts>> {
        let path = self.origins.text(from).folder().join(name);
        let is = same(&path);
        if let Some(start) = self.path.iter().position(|(on_path, _)| *on_path == is) {
            let called = self.path[start..].iter().map(|(_, called)| called.display().to_string());
            let circle: Vec<String> = called.chain([path.display().to_string()]).collect();
            let fault = Diagnostic::error(
                Code::CircularInclude,
                format!("these files include each other: {}", circle.join(" → ")),
            )
            .help("put what both need into a third file");
            self.left_out(from, at, fault);
            return None;
        }
        if let Some(known) = self.known.get(&is) {
            return Some(Rc::clone(known));
        }
        let too_much = if self.path.len() > DEEPEST {
            Some(format!("files include each other more than {DEEPEST} deep"))
        } else if self.origins.len() >= MOST_FILES {
            Some(format!("a pipeline is made of more than {MOST_FILES} files"))
        } else {
            None
        };
        if let Some(message) = too_much {
            self.left_out(
                from,
                at,
                Diagnostic::error(Code::TooManyIncludes, message)
                    .help("include fewer files, and those directly"),
            );
            return None;
        }
        // What is no file, such as a pipe, may never end or never begin.
        if !path.is_file() {
            let fault = if path.is_dir() {
                let fault = format!("`{}` is a folder, and files are included", path.display());
                Diagnostic::error(Code::NotAFile, fault)
                    .help("name the files in it that are meant, one by one")
            } else {
                absent(&path, self.origins.text(from).file())
            };
            self.left_out(from, at, fault);
            return None;
        }
        let text = match Text::read(&path) {
            Ok(text) => text,
            Err(fault) => {
                self.left_out(from, at, *fault);
                return None;
            }
        };
        let node = text.parse(self.faults);
        let file = self.origins.add(text);
        self.lacks_parts |= node.is_none();
        let node = node?;
        self.path.push((is.clone(), path));
        let parts = Rc::new(self.parts(&node, file));
        self.path.pop();
        self.known.insert(is, Rc::clone(&parts));
        Some(parts)
    }

    /// What a file says, over what it includes.
    fn parts(&mut self, node: &Node, file: FileId) -> Parts {
        let fields = match node {
            Node::Map(fields) => fields.as_slice(),
            Node::Null => &[],
            other => {
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("a file to include is a block of fields, not {}", other.what()),
                )
                .help("it holds `vars`, `stages`, `digests` and `profiles`, as a pipeline does");
                self.left_out(file, &At::top(), fault);
                &[]
            }
        };
        let mut parts = node.get("include").map(|include| self.included(include, file)).unwrap_or_default();
        for (key, node) in fields {
            let at = At::top().key(key);
            match key.as_str() {
                "tartan" if *node != Node::Int(FORMAT) => self.fault(file, &at, wrong_format(node)),
                "tartan" | "include" => {}
                "vars" => self.replace(&mut parts.vars, node, file, &at),
                "stages" => self.replace(&mut parts.stages, node, file, &at),
                "digests" => {
                    let own = items(node, &at).map(|(node, at)| Part { file, at, node: node.clone() });
                    parts.digests = own.chain(parts.digests).collect();
                }
                "profiles" => {
                    parts.profiles.extend(layers(node, file));
                }
                "name" | "targets" | "sweep" | "report" => {
                    let fault =
                        Diagnostic::error(Code::NotToInclude, format!("a file to include has no `{key}`"))
                            .note("one pipeline may include several files, and a run has one of it")
                            .help(format!("say `{key}` in the pipeline that is run"));
                    self.fault(file, &at.on_key(), fault);
                }
                other => {
                    let fault = Diagnostic::error(
                        Code::UnknownField,
                        format!("unknown field `{other}` in a file to include"),
                    );
                    let fault = fault.meant(other, PARTS, || format!("its fields are {}", list(&PARTS)));
                    self.fault(file, &at.on_key(), fault);
                }
            }
        }
        parts
    }

    /// Puts a file's own block over what it includes.
    fn replace(&mut self, parts: &mut Named, node: &Node, file: FileId, at: &At) {
        match node {
            Node::Map(fields) => {
                for (name, node) in fields {
                    parts.insert(name.clone(), vec![Part { file, at: at.key(name), node: node.clone() }]);
                }
            }
            Node::Null => {}
            other => {
                let name = at.last_key();
                let fault = Diagnostic::error(
                    Code::WrongType,
                    format!("`{name}` is a block of fields, not {}", other.what()),
                )
                .help(format!("write `{name}: {{NAME: …}}`"));
                self.fault(file, at, fault);
            }
        }
    }

    /// Lays named parts beneath the pipeline's own block of that name.
    fn lay(&mut self, block: &'static str, parts: &Named, fields: &mut Vec<(String, Node)>) {
        if parts.is_empty() {
            return;
        }
        let own = slot(fields, block);
        if *own == Node::Null {
            *own = Node::Map(vec![]);
        }
        // What is no block is a fault that is told where blocks are read.
        let Node::Map(own) = own else { return };
        let taken: BTreeSet<String> = own.iter().map(|(name, _)| name.clone()).collect();
        for (name, parts) in parts.iter().filter(|(name, _)| !taken.contains(*name)) {
            let Some(part) = parts.first() else { continue };
            let at = At::top().key(block).key(name);
            self.origins.say(&at, part.file, part.at.clone());
            own.push((name.clone(), part.node.clone()));
            for other in &parts[1..] {
                let what = if block == "vars" { "variable" } else { "stage" };
                let first = self.origins.text(part.file).place(&part.at.on_key());
                let first = first
                    .map_or_else(String::new, |place| format!(" {}:{}", place.file.display(), place.line));
                let fault =
                    Diagnostic::error(Code::SaidTwice, format!("two included files have a {what} `{name}`"))
                        .note(format!("the other is at{first}"))
                        .help(format!(
                            "rename one of them, or say `{name}` in the pipeline itself, which wins"
                        ));
                self.fault(other.file, &other.at.on_key(), fault);
            }
        }
    }
}

/// Lists the digest files of included files after the pipeline's own: the first to pin a URL counts.
fn lay_digests(parts: &[Part], fields: &mut Vec<(String, Node)>, origins: &mut Origins) {
    if parts.is_empty() {
        return;
    }
    let at = At::top().key("digests");
    let mut all = vec![];
    if let Some(own) = fields.iter().position(|(key, _)| key == "digests") {
        let (_, own) = fields.swap_remove(own);
        for (i, (node, there)) in items(&own, &at).enumerate() {
            origins.say(&at.index(i), 0, there);
            all.push(node.clone());
        }
    }
    for part in parts {
        origins.say(&at.index(all.len()), part.file, part.at.clone());
        all.push(part.node.clone());
    }
    fields.push(("digests".to_owned(), Node::List(all)));
}

/// The profiles of a file.
fn layers(node: &Node, file: FileId) -> Vec<Layer> {
    let at = At::top().key("profiles");
    match node {
        Node::Map(profiles) => profiles
            .iter()
            .map(|(name, node)| Layer { name: name.clone(), node: node.clone(), file, at: at.key(name) })
            .collect(),
        Node::Null => vec![],
        // Told where it is looked at.
        other => vec![Layer { name: String::new(), node: other.clone(), file, at }],
    }
}

/// What a file really is, however it is called.
fn same(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// There is no such file for `includer` to include.
fn absent(path: &Path, includer: &Path) -> Diagnostic {
    let fault =
        Diagnostic::error(Code::MissingFile, format!("there is no file `{}` to include", path.display()));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<String> = names.filter(|name| includer.file_name() != Some(name.as_ref())).collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    match nearest(&wanted, names.iter().map(String::as_str)) {
        Some(_) => fault.meant(&wanted, names.iter().map(String::as_str), String::new),
        None => fault.help("a path is relative to the file that says it"),
    }
}
