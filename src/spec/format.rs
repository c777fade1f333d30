//! A pipeline's text made tidy, line by line: indentation by twos, spaces within `{…}` and `[…]`, blank lines,
//! ends of lines. Comments, quotes, and values that stand below each other stay as they are.
//!
//! What is laid out is then read again, and must say the same as before: a rare way of writing YAML that the
//! walk over the lines misunderstands is refused, not damaged. (The formatter crates that there are move comments
//! out of their columns, and their parser fails on long lines.)

mod scan;

use std::path::Path;

use super::yaml::{Node, Text};
use crate::diag::{Code, Diagnostic};
use scan::{Line, Scanner};

/// Spaces of a level.
const INDENT: usize = 2;

/// The text, tidied. Fails where it is no YAML; never changes what it says.
pub fn format(file: &Path, text: &str) -> Result<String, Vec<Diagnostic>> {
    let before = read(file, text)?;
    // In a text over several lines it may count how many blank lines there are, and how long they are.
    for kept in [Blank::One, Blank::All] {
        let mut tidy = lay_out(text, kept);
        // What is tidy stays as it is; a text over lines that stand in no order takes a second time.
        for _ in 0..2 {
            let again = lay_out(&tidy, kept);
            if again == tidy && read(file, &tidy).is_ok_and(|after| after == before) {
                return Ok(tidy);
            }
            tidy = again;
        }
    }
    let fault = Diagnostic::error(
        Code::NotFormatted,
        format!("failed to format `{}`: it would no longer say the same", file.display()),
    )
    .note("the file is left as it is")
    .help("the formatter does not know some way of writing YAML in it; write that in a plainer one");
    Err(vec![fault])
}

fn read(file: &Path, text: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut errors = vec![];
    match Text::new(file, text).parse(&mut errors) {
        Some(node) if errors.is_empty() => Ok(node),
        _ => Err(errors),
    }
}

/// Which blank lines stay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blank {
    /// Of several one, and none of the spaces in it.
    One,
    /// All, and in texts their spaces.
    All,
}

/// A block that is open at a line.
#[derive(Clone, Copy)]
struct Level {
    /// Its column as written, and as it is to be.
    old: usize,
    new: usize,
    is_list: bool,
}

fn lay_out(text: &str, kept: Blank) -> String {
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let lines: Vec<&str> = text.lines().collect();
    let values: Vec<Option<(usize, usize)>> = lines.iter().map(|line| scan::value_column(line)).collect();
    let mut tidy = String::with_capacity(text.len());
    let mut levels: Vec<Level> = vec![];
    let mut scanner = Scanner::default();
    let mut blank = 0;
    for (at, line) in lines.iter().enumerate() {
        let mut out = String::new();
        match scanner.line(line) {
            Line::Verbatim => out.push_str(line),
            Line::Blank => {
                blank += 1;
                continue;
            }
            // Of a text over several lines, or of a list or block in brackets.
            Line::Inside => {
                let level = levels.last().copied().unwrap_or(Level { old: 0, new: 0, is_list: false });
                let (old, content) = split(line);
                out.push_str(&" ".repeat((old + level.new).saturating_sub(level.old)));
                scanner.content(content, false, &mut out);
            }
            Line::Comment => {
                // It is about what follows, if it stands as far in; else about the block that it stands in.
                let (old, content) = split(line);
                let next =
                    lines[at..].iter().find(|line| !matches!(split(line).1.chars().next(), None | Some('#')));
                let mut open = levels.clone();
                if let Some(next) = next {
                    let (column, content) = split(next);
                    enter(&mut open, column, content.starts_with("- ") || content == "-");
                }
                let level = open
                    .iter()
                    .chain(&levels)
                    .filter(|level| level.old <= old)
                    .max_by_key(|level| (level.old, level.new));
                out.push_str(&" ".repeat(level.map_or(0, |level| level.new)));
                out.push_str(content.trim_end());
            }
            Line::Block => {
                let (mut column, mut content) = split(line);
                let mut is_item = false;
                while let Some(rest) =
                    content.strip_prefix('-').filter(|rest| rest.is_empty() || rest.starts_with(' '))
                {
                    let new = enter(&mut levels, column, true);
                    if !is_item {
                        out.push_str(&" ".repeat(new));
                    }
                    out.push('-');
                    let item = rest.trim_start_matches(' ');
                    if !item.is_empty() {
                        out.push(' ');
                    }
                    column += content.len() - item.len();
                    content = item;
                    is_item = true;
                }
                let container = levels.last().copied();
                if !is_item || scan::is_field(content) {
                    let new = enter(&mut levels, column, false);
                    if !is_item {
                        out.push_str(&" ".repeat(new));
                    }
                }
                let parent =
                    if is_item && !scan::is_field(content) { container } else { levels.last().copied() };
                let beside = |other: Option<&Option<(usize, usize)>>| {
                    values[at].is_some() && other == Some(&values[at])
                };
                let is_aligned = beside(at.checked_sub(1).and_then(|above| values.get(above)))
                    || beside(values.get(at + 1));
                scanner.content(content, is_aligned, &mut out);
                if let Some(parent) = parent {
                    scanner.begin_text(parent.old);
                }
            }
            Line::Text { indent } => {
                let level = levels.iter().rev().find(|level| level.old == indent).copied();
                let (old, content) = split(line);
                let shift = level.map_or((0, 0), |level| (level.new, level.old));
                if !content.is_empty() || kept == Blank::All {
                    out.push_str(&" ".repeat((old + shift.0).saturating_sub(shift.1)));
                }
                out.push_str(content);
            }
        }
        if !tidy.is_empty() {
            let count = if kept == Blank::All { blank } else { blank.min(1) };
            tidy.push_str(&line_end.repeat(count));
        }
        blank = 0;
        tidy.push_str(&out);
        tidy.push_str(line_end);
    }
    tidy
}

/// Closes the blocks that a line at `column` ends, opens the one that it begins, and returns where that stands.
fn enter(levels: &mut Vec<Level>, column: usize, is_list: bool) -> usize {
    let ends = |levels: &[Level]| match levels {
        [.., outer, inner] if inner.old == column => inner.is_list && !is_list && outer.old == column,
        [.., inner] => inner.old > column,
        [] => false,
    };
    while ends(levels) {
        levels.pop();
    }
    match levels.last() {
        // A list may stand in the column of the field that it belongs to.
        Some(level) if level.old == column && (level.is_list || !is_list) => level.new,
        outer => {
            let new = outer.map_or(0, |outer| outer.new + INDENT);
            levels.push(Level { old: column, new, is_list });
            new
        }
    }
}

/// A line's indentation, in spaces, and the rest of it.
fn split(line: &str) -> (usize, &str) {
    let content = line.trim_start_matches(' ');
    (line.len() - content.len(), content)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn tidy(text: &str) -> String {
        format(Path::new("p.yaml"), text).unwrap_or_else(|errors| panic!("{}\n{text}", errors[0]))
    }

    #[test]
    fn layout_is_tidied_and_comments_stay() {
        let text = "# head\n\n\n\na:   {b: 1,c:  [1,2 ]}   # one\nlonger_name: x # two\n\nd:\n    - 1\n    -   e:  'f # no'\n        # inside\n        g: 2";
        let expected = "# head\n\na: {b: 1, c: [1, 2]}   # one\nlonger_name: x # two\n\nd:\n  - 1\n  - e: 'f # no'\n    # inside\n    g: 2\n";
        assert_eq!(tidy(text), expected);
        assert_eq!(tidy(expected), expected);
        assert_eq!(tidy("a:  1 # x\r\nb:   2\r\n"), "a: 1 # x\r\nb: 2\r\n");
    }

    #[test]
    fn blank_lines_stay_where_they_count() {
        assert_eq!(tidy("a:   one\n\n\n  two\n\n\nb: 1\n"), "a: one\n\n\n  two\n\n\nb: 1\n");
        assert_eq!(
            tidy("a: |\n    one\n      \n    two\nb:   1\n"),
            "a: |\n    one\n      \n    two\nb: 1\n"
        );
        let odd = tidy("-\n             y\n            - z\n");
        assert_eq!(tidy(&odd), odd);
        assert_eq!(tidy("a: |\n  one\n \n\n  two\n"), "a: |\n  one\n\n\n  two\n", "none of them counts");
    }

    #[test]
    fn what_is_no_pipeline_text_is_refused() {
        for text in ["a: [1, 2\n", "a: 1\na: 2\n", "a: \u{1}\n"] {
            assert!(format(Path::new("p.yaml"), text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn shipped_pipelines_are_tidy() {
        let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")];
        let mut files = 0;
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yaml") {
                    files += 1;
                    let text = std::fs::read_to_string(&path).expect("a file");
                    assert_eq!(text, tidy(&text), "`tartan fmt {}` tidies it", path.display());
                }
            }
        }
        assert!(files > 10);
    }

    /// A scalar as someone may write it.
    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z][a-z0-9_-]{0,8}",
            "-?[0-9]{1,4}",
            Just("1e-4".to_owned()),
            Just("true".to_owned()),
            Just("\"${a}\"".to_owned()),
            Just("'it''s # so'".to_owned()),
            Just("\"a \\\"b\\\" # c\"".to_owned()),
            Just("10x task".to_owned()),
            Just("https://a.example/x#y".to_owned()),
        ]
    }

    /// A value in flow style.
    fn flow() -> impl Strategy<Value = String> {
        scalar().prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                (prop::collection::vec(inner.clone(), 0..4), "[ ]{0,2}")
                    .prop_map(|(items, gap)| format!("[{gap}{}{gap}]", items.join(&format!(",{gap}")))),
                (prop::collection::vec(inner, 0..4), "[ ]{0,2}").prop_map(|(items, gap)| {
                    let fields: Vec<String> =
                        items.iter().enumerate().map(|(i, item)| format!("k{i}: {gap}{item}")).collect();
                    format!("{{{gap}{}{gap}}}", fields.join(&format!(", {gap}")))
                }),
            ]
        })
    }

    /// A tree in block style: what a key holds.
    #[derive(Clone, Debug)]
    enum Tree {
        Flow(String),
        Map(Vec<Entry>),
        List(Vec<Entry>),
    }

    #[derive(Clone, Debug)]
    struct Entry {
        blank: usize,
        comment: Option<String>,
        gap: usize,
        value: Tree,
        behind: Option<String>,
    }

    fn tree() -> impl Strategy<Value = Tree> {
        flow().prop_map(Tree::Flow).prop_recursive(3, 24, 4, |inner| {
            let comment = || prop::option::weighted(0.3, "[a-z :'#{}]{0,12}");
            let entry = (0..3_usize, comment(), 1..4_usize, inner, comment()).prop_map(
                |(blank, comment, gap, value, behind)| Entry { blank, comment, gap, value, behind },
            );
            prop_oneof![
                prop::collection::vec(entry.clone(), 1..4).prop_map(Tree::Map),
                prop::collection::vec(entry, 1..4).prop_map(Tree::List),
            ]
        })
    }

    fn write(tree: &Tree, indent: usize, step: usize, out: &mut String) {
        let (entries, is_list) = match tree {
            Tree::Flow(text) => return out.push_str(text),
            Tree::Map(entries) => (entries, false),
            Tree::List(entries) => (entries, true),
        };
        let pad = " ".repeat(indent);
        for (i, entry) in entries.iter().enumerate() {
            out.push_str(&"\n".repeat(entry.blank));
            if let Some(comment) = &entry.comment {
                let _ = writeln!(out, "{pad}# {comment}");
            }
            let key = if is_list { "-".to_owned() } else { format!("key{i}:") };
            let _ = write!(out, "{pad}{key}");
            match &entry.value {
                Tree::Flow(text) => {
                    let _ = write!(out, "{}{text}", " ".repeat(entry.gap));
                    if let Some(behind) = &entry.behind {
                        let _ = write!(out, "{}# {behind}", " ".repeat(entry.gap));
                    }
                    out.push('\n');
                }
                inner => {
                    out.push('\n');
                    write(inner, indent + step, step, out);
                }
            }
        }
    }

    /// Where the comment behind a line's value begins, in bytes.
    fn comment(line: &str) -> Option<usize> {
        let mut quote = None;
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            match (quote, c) {
                (None, '#') if before.is_whitespace() => return Some(at),
                (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
                (Some('"'), '"') if before == '\\' => {}
                (Some(open), c) if c == open => quote = None,
                _ => {}
            }
            before = c;
        }
        None
    }

    /// The comments of a text, in their order, as the test writes them.
    fn comments(text: &str) -> Vec<String> {
        text.lines()
            .filter_map(|line| {
                let line = line.trim();
                let at = if line.starts_with('#') { Some(0) } else { comment(line) };
                at.map(|at| line[at..].trim().to_owned())
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn random_trees_say_the_same_with_every_comment(root in prop::collection::vec(tree(), 1..4), step in 2..5_usize) {
            let entry = |value| Entry { blank: 0, comment: None, gap: 1, value, behind: None };
            let mut text = String::new();
            write(&Tree::Map(root.into_iter().map(entry).collect()), 0, step, &mut text);
            let once = tidy(&text);
            let node = |text: &str| read(Path::new("p.yaml"), text).expect("YAML");
            prop_assert_eq!(node(&text), node(&once));
            prop_assert_eq!(comments(&text), comments(&once), "{}\n---\n{}", text, once);
            prop_assert_eq!(tidy(&once), once);
        }
    }
}
