//! A split's files: paths, patterns of paths, files of the hub's, URLs whose digest a digest file pins, URLs with
//! their digest beside them.

use super::digests::{Function, Pins, pin};
use super::fields::{Faults, Fields};
use super::kinds::Context;
use super::vars::Vars;
use super::yaml::{At, Node};
use super::{HubSource, Made, Ref, Remote, SplitFile};
use crate::action::Pin;
use crate::diag::{Code, Diagnostic, nearest, without_query};
use crate::hub;

/// Reads what stands as the files of `split`; its variables are replaced already. Those that could be read, and at least
/// one where nothing is wrong.
pub(super) fn files(
    split: &str,
    node: &Node,
    at: &At,
    context: &Context,
    faults: &mut Faults,
) -> Vec<SplitFile> {
    match node {
        Node::List(items) if !items.is_empty() => {
            let of_item = |(place, item): (usize, &Node)| match item {
                Node::List(_) => {
                    let fault = "a list of files holds files, not lists of them";
                    faults.push((at.index(place), Diagnostic::error(Code::WrongType, fault)));
                    vec![]
                }
                item => files(split, item, &at.index(place), context, faults),
            };
            items.iter().enumerate().flat_map(of_item).collect()
        }
        Node::List(_) => {
            let fault = format!("the list of the files of `{split}` is empty");
            let fault = Diagnostic::error(Code::EmptyList, fault).help("name a file, or leave the split out");
            faults.push((at.clone(), fault));
            vec![]
        }
        Node::Text(name) if !name.contains("://") => {
            let local = |name: String| SplitFile::Local(context.source(name, at.clone()));
            match context.globs.expand(context.origins.folder(at), name) {
                None => vec![local(name.clone())],
                Some(Ok(found)) => found.iter().map(|path| local(path.display().to_string())).collect(),
                Some(Err(fault)) => {
                    faults.push((at.clone(), *fault));
                    vec![]
                }
            }
        }
        node => read(split, node, at, context, faults).into_iter().collect(),
    }
}

/// Reads what stands as the file of `split`; its variables are replaced already.
pub(super) fn read(
    split: &str,
    node: &Node,
    at: &At,
    context: &Context,
    faults: &mut Faults,
) -> Option<SplitFile> {
    match node {
        Node::Text(name) if !name.contains("://") => {
            Some(SplitFile::Local(context.source(name.clone(), at.clone())))
        }
        Node::Text(name) if name.starts_with(hub::SCHEME) => {
            let source = on_hub(name, at, faults)?;
            if source.name.path.is_empty() {
                let fault = Diagnostic::error(Code::BadHubName, format!("`{name}` names no file"))
                    .help(format!("name one in it, such as `{name}/train.jsonl`"));
                faults.push((at.clone(), fault));
                return None;
            }
            Some(SplitFile::Hub(source))
        }
        Node::Text(url) => {
            let url = checked(url, at, faults)?;
            remote(url, None, at, context.pins, faults)
        }
        Node::Map(fields) if is_made(fields) => made(node, at, faults).map(SplitFile::Made),
        Node::Map(_) => {
            let nothing = Vars::new();
            let before = faults.len();
            let mut fields =
                Fields::of(node, &format!("the file of `{split}`"), at.clone(), &nothing, faults)?;
            let url = fields.text("url");
            if url.is_none() {
                fields.missing("url", "where the file is");
            }
            let blake3 = digest(&mut fields, "blake3", Function::Blake3);
            let sha256 = digest(&mut fields, "sha256", Function::Sha256);
            if blake3.is_some() && sha256.is_some() {
                let fault = Diagnostic::error(Code::Exclusive, "one digest is enough: `blake3` or `sha256`");
                fields.fault(at.key("sha256").on_key(), fault.help("keep one of them"));
            }
            fields.finish("a remote file");
            let (url, url_at) = url?;
            let url = checked(&url, &url_at, faults)?;
            if faults.len() > before {
                return None;
            }
            remote(url, blake3.or(sha256), at, context.pins, faults)
        }
        other => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("the file of `{split}` is a path or a URL, or a list of them, not {}", other.what()),
            )
            .help(format!("such as `{split}: data/{split}.jsonl`"));
            faults.push((at.clone(), fault));
            None
        }
    }
}

/// Whether a block is rather what a stage makes than a remote file, going by its fields.
pub(super) fn is_made(fields: &[(String, Node)]) -> bool {
    let has = |names: [&str; 2]| fields.iter().any(|(key, _)| nearest(key, names).is_some());
    has(["stage", "file"]) && !has(["url", "blake3"])
}

/// Reads `{stage: clean, file: out/clean.jsonl}`; its variables are replaced already.
pub(super) fn made(node: &Node, at: &At, faults: &mut Faults) -> Option<Made> {
    let nothing = Vars::new();
    let mut fields = Fields::of(node, "what a stage makes", at.clone(), &nothing, faults)?;
    let stage = fields.text("stage").map(|(stage, at)| Ref { stage, at });
    if stage.is_none() {
        fields.missing("stage", "the stage that makes it");
    }
    let file = fields.text("file");
    fields.finish("what a stage makes");
    let stage = stage?;
    let (file, at) = file.unwrap_or_else(|| (String::new(), stage.at.clone()));
    Some(Made { stage, file, at })
}

/// A file's name as far as it says how the file is written: a path, or a URL without what follows its path.
pub(super) fn name(file: &SplitFile) -> &str {
    match file {
        SplitFile::Local(source) => &source.name,
        SplitFile::Remote(remote) => remote.url.split(['?', '#']).next().unwrap_or_default(),
        SplitFile::Made(made) => &made.file,
        SplitFile::Hub(source) => &source.name.path,
    }
}

/// What `hf://…` names.
pub(super) fn on_hub(text: &str, at: &At, faults: &mut Faults) -> Option<HubSource> {
    match hub::parse(text) {
        Ok(name) => Some(HubSource { name, at: at.clone() }),
        Err(bad) => {
            faults.push((at.clone(), Diagnostic::error(Code::BadHubName, bad.message).help(bad.help)));
            None
        }
    }
}

fn digest(fields: &mut Fields, name: &'static str, function: Function) -> Option<Pin> {
    let (hex, at) = fields.text(name)?;
    let pin = pin(function, &hex);
    if pin.is_none() {
        let fault =
            Diagnostic::error(Code::BadDigest, format!("`{name}` is 64 hexadecimal digits, not `{hex}`"))
                .help(format!("`{}` prints it", command(function)));
        fields.fault(at, fault);
    }
    pin
}

fn command(function: Function) -> &'static str {
    match function {
        Function::Blake3 => "b3sum FILE",
        Function::Sha256 => "sha256sum FILE",
    }
}

/// A URL that can be fetched.
fn checked(url: &str, at: &At, faults: &mut Faults) -> Option<String> {
    let fault = match url.split_once("://") {
        Some(("http" | "https", rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if host.is_empty() {
                Diagnostic::error(Code::BadUrl, format!("`{}` names no host", without_query(url)))
            } else if host.contains('@') {
                Diagnostic::error(Code::BadUrl, "a password in a URL would end up in logs and records")
                    .help("download the file, and name it here by its path")
            } else if let Some(odd) =
                url.chars().find(|c| !c.is_ascii_graphic() || "\"\\<>^`{|}".contains(*c))
            {
                Diagnostic::error(Code::BadUrl, format!("a URL has no {odd:?} in it"))
                    .help("write it percent-encoded, such as `%20` for a blank")
            } else {
                return Some(url.to_owned());
            }
        }
        Some(("hf", _)) => Diagnostic::error(Code::BadUrl, "a file of the hub stands without `url`")
            .help(format!("write `{url}` alone: its commit pins it")),
        Some((scheme, _)) => {
            Diagnostic::error(Code::BadUrl, format!("`{scheme}://` is nothing that files are fetched from"))
                .help("name a file by its path, by a URL that begins with `https://` or `http://`, or on the hub by `hf://`")
        }
        None => Diagnostic::error(Code::BadUrl, format!("`{}` is no URL", without_query(url)))
            .help("a URL begins with `https://` or `http://`; a file of your own stands without `url`"),
    };
    faults.push((at.clone(), fault));
    None
}

fn remote(url: String, pin: Option<Pin>, at: &At, pins: &Pins, faults: &mut Faults) -> Option<SplitFile> {
    if let Some(pin) = pin.or_else(|| pins.get(&url).cloned()) {
        return Some(SplitFile::Remote(Remote { url, pin, at: at.clone() }));
    }
    let shown = without_query(&url);
    let fault = Diagnostic::error(Code::UnpinnedUrl, format!("`{shown}` has no pinned digest"));
    let fault = match pins.nearest(&url).map(without_query) {
        Some(near) if near == shown => fault.help("a digest file has it with another query"),
        Some(near) => fault.help(format!("a digest file has `{near}`; did you mean that?")),
        None => fault
            .note("without one, nobody could tell when the file behind the URL changes")
            .help(
                "`curl -L URL | sha256sum` prints it; write `{url: URL, sha256: HEX}` here, or the line `HEX  URL` \
                 into a file `NAME.sha256`, named once at the top: `digests: NAME.sha256`",
            ),
    };
    faults.push((at.clone(), fault));
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::action::Pin;
    use crate::digest::Digest;
    use crate::spec::{Block, Spec, SplitFile};

    /// A pipeline with one file, among digest files.
    fn read(file: &str, digests: &[(&str, &str)], more: &str) -> (Vec<SplitFile>, Vec<String>) {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in digests {
            std::fs::write(folder.path().join(name), text).expect("write");
        }
        let text = format!(
            "tartan: 1\n{more}\nvars: {{data: https://a.example/d}}\nstages:\n  t: {{tokenize: {{tokenizer: e, splits: {{train: {file}}}}}}}\n"
        );
        let (spec, diagnostics) = Spec::from_text(&folder.path().join("p.yaml"), &text, &[]);
        let files = spec.points.iter().flat_map(|point| match &point.stages["t"] {
            Block::Tokenize { splits, .. } => {
                splits.values().flat_map(|split| split.files().to_vec()).collect()
            }
            _ => vec![],
        });
        let here = folder.path().display().to_string();
        // Not every file is said with it.
        let diagnostics = diagnostics.iter().filter(|d| d.message != "variable `data` is never used");
        (files.collect(), diagnostics.map(|d| d.to_string().replace(&here, "")).collect())
    }

    fn remote(file: &str, digests: &[(&str, &str)], more: &str) -> (String, Pin) {
        let (files, diagnostics) = read(file, digests, more);
        assert_eq!(diagnostics, [""; 0]);
        match files.as_slice() {
            [SplitFile::Remote(remote)] => (remote.url.clone(), remote.pin.clone()),
            other => panic!("{other:?}"),
        }
    }

    const URL: &str = "https://a.example/d/x.txt";

    #[test]
    fn a_remote_file_has_its_digest_beside_it_or_in_a_digest_file() {
        let hex = Digest::of(b"x").hex();
        let blake3 = Pin::Blake3(Digest::of(b"x"));
        let sha256 = Pin::Sha256(hex.clone());
        let beside = |field: &str, hex: &str| format!("{{url: \"${{data}}/x.txt\", {field}: {hex}}}");
        assert_eq!(remote(&beside("blake3", &hex), &[], ""), (URL.to_owned(), blake3.clone()));
        assert_eq!(remote(&beside("sha256", &hex.to_uppercase()), &[], "").1, sha256);

        let list = format!("# comment\n\n{}  {URL}?v=1\n{hex}  {URL}\n", "0".repeat(64));
        let named = |name: &str| format!("digests: {name}");
        assert_eq!(remote("\"${data}/x.txt\"", &[("l.b3", &list)], &named("l.b3")).1, blake3);
        assert_eq!(remote("\"${data}/x.txt\"", &[("l.sha256", &list)], &named("[l.sha256]")).1, sha256);
        let both = [("l.b3", list.as_str()), ("l.sha256", list.as_str())];
        assert_eq!(remote(URL, &both, &named("[l.sha256, l.b3]")).1, sha256, "the first counts");
        let other = Digest::of(b"y").hex();
        assert_eq!(remote(&beside("blake3", &other), &both, &named("l.b3")).1, Pin::Blake3(Digest::of(b"y")));
        // What follows the path says nothing of the format.
        assert_eq!(remote(&format!("{URL}?v=1"), &both, &named("l.b3")).1.hex(), "0".repeat(64));
        let (files, _) = read("d/x.txt", &both, &named("l.b3"));
        assert!(
            matches!(&files[..], [SplitFile::Local(local)] if local.path.ends_with(Path::new("d/x.txt")))
        );
    }

    #[test]
    fn a_file_of_the_hub_needs_no_digest() {
        let (files, diagnostics) = read("hf://datasets/org/name@v1/d/x.jsonl", &[], "");
        assert_eq!(diagnostics, [""; 0]);
        assert!(
            matches!(&files[..], [SplitFile::Hub(hub)] if hub.name.revision == "v1" && hub.name.path == "d/x.jsonl")
        );
    }

    #[test]
    fn what_cannot_be_fetched_or_trusted_is_told_where_it_stands() {
        let hex = Digest::of(b"x").hex();
        let list = format!("{hex}  {URL}\n");
        for (file, digests, place, part) in [
            (URL, "", "p.yaml:5", "HEX  URL"),
            ("https://a.example/d/y.txt", "digests: l.b3", "p.yaml:5", "did you mean that?"),
            ("s3://a/x.txt", "", "p.yaml:5", "`s3://` is nothing that files are fetched from"),
            ("https:///x.txt", "", "p.yaml:5", "names no host"),
            ("https://me:secret@a.example/x.txt", "", "p.yaml:5", "would end up in logs"),
            ("\"https://a.example/x y.txt\"", "", "p.yaml:5", "`%20` for a blank"),
            ("hf://datasets/org/name", "", "p.yaml:5", "such as `hf://datasets/org/name/train.jsonl`"),
            ("hf://datasets/org/na me/x.txt", "", "p.yaml:5", "`na me` is no part"),
            ("{url: hf://datasets/org/name/x.txt}", "", "p.yaml:5", "alone: its commit pins it"),
            ("{url: d/x.txt}", "", "p.yaml:5", "`d/x.txt` is no URL"),
            ("{blake3: 12}", "", "p.yaml:5", "`url` is missing"),
            ("{url: https://a.example/x.txt, blake3: 12}", "", "p.yaml:5", "64 hexadecimal digits, not `12`"),
            ("{url: https://a.example/x.txt, md5: 12}", "", "p.yaml:5", "unknown field `md5`"),
            ("[x.txt, [y.txt]]", "", "p.yaml:5", "not lists of them"),
            ("[]", "", "p.yaml:5", "the list of the files of `train` is empty"),
            ("true", "", "p.yaml:5", "is a path or a URL"),
            ("\"d/*.txt\"", "", "p.yaml:5", "no file matches `d/*.txt`"),
            ("[x.txt, y.csv]", "", "p.yaml:5", "are `lines` and `csv`"),
            ("0.5", "", "p.yaml:5", "`train` has files of its own"),
            ("x.txt", "digests: l.md5", "p.yaml:2", "name it `.b3`"),
            ("x.txt", "digests: none.b3", "p.yaml:2", "relative to the file that says it"),
            ("x.txt", "digests: bad.b3", "bad.b3:2:1", "`0123` is no digest"),
            ("x.txt", "digests: bad.b3", "bad.b3:3:1", "a line is a digest and a URL"),
            ("x.txt", "digests: two.b3", "two.b3:2:1", "has two digests"),
        ] {
            let bad = format!("{hex}  u\n0123  v\n{hex}\n");
            let two = format!("{hex}  u\n{}  u\n", "0".repeat(64));
            let (_, diagnostics) =
                read(file, &[("l.b3", &list), ("bad.b3", &bad), ("two.b3", &two)], digests);
            let hit = diagnostics.iter().any(|text| text.contains(place) && text.contains(part));
            assert!(hit, "{file}, {digests}: {diagnostics:#?}");
        }
        let one = format!("{{url: {URL}, blake3: {hex}, sha256: {hex}}}");
        assert!(read(&one, &[], "").1[0].contains("one digest is enough"));
        for (file, digests) in [
            (format!("{URL}?t=s3cret"), ""),
            (format!("{URL}?t=s3crets"), "digests: s.b3"),
            ("https://?t=s3cret".to_owned(), ""),
            ("{url: x?t=s3cret}".to_owned(), ""),
            ("\"${data}/x^?t=s3cret\"".to_owned(), ""),
            ("https://me:s3cret@a.example/x.txt".to_owned(), ""),
            ("x.txt".to_owned(), "digests: twice.b3"),
            ("x.txt".to_owned(), "digests: turned.b3"),
        ] {
            let list = format!("{hex}  {URL}?t=s3cret\n");
            let twice = format!("{list}{}  {URL}?t=s3cret\n", "0".repeat(64));
            let turned = format!("{URL}?t=s3cret {hex}\n");
            let lists = [("s.b3", list.as_str()), ("twice.b3", &twice), ("turned.b3", &turned)];
            let (_, diagnostics) = read(&file, &lists, digests);
            assert_eq!(diagnostics.len(), 1, "{file}: {diagnostics:#?}");
            assert!(!diagnostics[0].contains("s3cret"), "{}", diagnostics[0]);
        }
        assert!(
            !read("https://me:secret@a.example/x.txt", &[], "").1[0].starts_with("error[T0505]: `https://me")
        );
    }
}
