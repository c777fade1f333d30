//! `tartan compare`: two results side by side.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::pipeline::{Loaded, Which, store_root};
use super::{Exit, Fault, out};
use crate::action::Metric;
use crate::diag::{Code, Diagnostic, either, nearest};
use crate::exec::{NodeStatus, known};
use crate::plan::NodeId;
use crate::report::compare::{Library, Made, Pair, Section, compare};
use crate::report::print::points;
use crate::store::Store;

const EXAMPLES: &str = "\
A result is named by
  a stage            test            where the sweep makes one of it
  stage and point    test:seed=0     as many variables as it takes to tell it apart
  a sweep point      seed=0          its evaluate stage
  a whole name       'test (method=tapt, seed=0)'   as `run` and `plan` print it
  a key              7e02c710        its first digits, at least four; of any pipeline of this store

Examples:
  tartan compare main.yaml method=tapt,seed=0 method=mt-tartan,seed=0
  tartan compare tapt:seed=0 tapt:seed=1        of the pipeline that was run last
  tartan compare 7e02c710 a5c8e951 --all";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "tartan compare [OPTIONS] [PIPELINE] A B")]
pub(super) struct Args {
    /// Two results, after the pipeline's file if it is not that of the last run
    #[arg(value_name = "RESULT", num_args = 1.., required = true)]
    results: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// Show what is the same too
    #[arg(short, long)]
    all: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For the terminal
    Text,
    /// For notes and issues
    Markdown,
    /// For programs
    Json,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let (pipeline, a, b) = match args.results.as_slice() {
        [a, b] => (None, a, b),
        [pipeline, a, b] => (Some(PathBuf::from(pipeline)), a, b),
        several => {
            let named = out::count(several.len(), "name");
            return Err(wrong(
                Code::BadArguments,
                format!("two results are compared, and {named} given"),
                "`tartan compare A B`, or `tartan compare PIPELINE A B`",
            ));
        }
    };
    if pipeline.is_some() && args.which.pipeline.is_some() {
        return Err(wrong(Code::BadArguments, "the pipeline is named twice", "leave out `--pipeline`"));
    }
    let pipeline = pipeline.or(args.which.pipeline.clone());
    if let (None, Some(a), Some(b)) = (&pipeline, hex(a), hex(b)) {
        let store = Store::open(&store_root(Path::new("."), &args.which.choice))?;
        let library = Library::new(store.all_records()?);
        // A name that looks like a key is looked up in the pipeline of the last run when there is no such key.
        if let (Some(a), Some(b)) = (by_key(&library, a)?, by_key(&library, b)?) {
            return show(args, a, b, &library, &store);
        }
    }
    let loaded = Which { pipeline, ..args.which.clone() }.load()?;
    let status = known(&loaded.plan, &loaded.store, &BTreeSet::new())?;
    let keys = status.iter().filter_map(|(id, status)| match status {
        NodeStatus::Cached(record) => Some((id, record.key)),
        _ => None,
    });
    let library = Library::new(loaded.store.all_records()?).with_plan(&loaded.plan, keys.collect());
    show(args, named(&loaded, &library, a)?, named(&loaded, &library, b)?, &library, &loaded.store)
}

/// Prints the comparison.
fn show(args: &Args, a: Made, b: Made, library: &Library, store: &Store) -> Result<Exit, Fault> {
    let sections = compare(a, b, library, store, args.all)?;
    let (a, b) = (a.record.key, b.record.key);
    match args.format {
        Format::Json => {
            let page = serde_json::json!({"version": 1, "a": a, "b": b, "sections": sections});
            let text = serde_json::to_string_pretty(&page).map_err(|error| {
                Fault::failed(Code::System, format!("failed to write the comparison as JSON: {error}"), None)
            })?;
            out::line(text);
        }
        Format::Text => out::bytes(text(&sections).as_bytes()),
        Format::Markdown => out::bytes(markdown(&sections).as_bytes()),
    }
    if a == b {
        out::note("both are the same result");
    }
    Ok(Exit::Done)
}

fn wrong(code: Code, message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault::wrong(vec![Diagnostic::error(code, message).help(help)])
}

/// The first digits of a key, if it can be some.
fn hex(text: &str) -> Option<&str> {
    (text.len() >= 4 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))).then_some(text)
}

/// The result whose key begins so; none where none does.
fn by_key<'a>(library: &'a Library, prefix: &str) -> Result<Option<Made<'a>>, Fault> {
    match library.with_prefix(prefix).as_slice() {
        [] => Ok(None),
        [made] => Ok(Some(*made)),
        several => {
            let name = |made: &Made| format!("{} ({})", made.record.key.short(), library.name(*made));
            Err(ambiguous(prefix, several.iter().map(name).collect(), "give more digits"))
        }
    }
}

/// The result that is meant in a pipeline: by its key, or by its stage and point.
fn named<'a>(loaded: &Loaded, library: &'a Library, text: &str) -> Result<Made<'a>, Fault> {
    if let Some(prefix) = hex(text)
        && let Some(made) = by_key(library, prefix)?
    {
        return Ok(made);
    }
    let id = node(loaded, text)?;
    library.of_node(id).ok_or_else(|| {
        let node = loaded.plan.node(id);
        wrong(
            Code::NoSuchResult,
            format!("there is no result of `{}` yet", node.name),
            format!("`tartan run {} {}` makes it", loaded.spec.file.display(), node.stage),
        )
    })
}

/// The node that is meant by a stage, a stage and a point, a point, or a node's name.
fn node(loaded: &Loaded, text: &str) -> Result<NodeId, Fault> {
    let plan = &loaded.plan;
    if let Some(id) = plan.ids().find(|id| plan.node(*id).name == text) {
        return Ok(id);
    }
    let (stage, pairs) = parsed(text);
    let mut ids = match stage {
        Some(stage) => loaded.nodes(stage)?,
        None => plan.ids().filter(|id| plan.node(*id).action.kind() == "evaluate").collect(),
    };
    for (var, value) in &pairs {
        let at = variable(loaded, var, value)?;
        ids.retain(|id| {
            plan.node(*id).points.iter().any(|point| loaded.spec.points[*point].values[at] == *value)
        });
    }
    match ids.as_slice() {
        [id] => Ok(*id),
        [] => Err(wrong(
            Code::NoSuchResult,
            format!("no result is `{text}`"),
            "`tartan plan --all PIPELINE` lists the results",
        )),
        several => {
            let names = several.iter().map(|id| plan.node(*id).name.clone()).collect();
            let first = &plan.node(several[0]).name;
            let say = first.replacen(" (", ":", 1).replace(", ", ",");
            Err(ambiguous(text, names, &format!("say which, such as `{}`", say.trim_end_matches(')'))))
        }
    }
}

/// `test:method=tapt,seed=0` as a stage and the values of variables; either may be absent.
fn parsed(text: &str) -> (Option<&str>, Vec<(&str, &str)>) {
    let Some(equals) = text.find('=') else { return (Some(text), vec![]) };
    let start = text[..equals].rfind([':', ' ', '(', ',']).map_or(0, |at| at + 1);
    let stage = text[..start].trim_end_matches([':', ' ', '(', ',']);
    let pairs = text[start..].trim_end_matches(')').split(',');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    ((!stage.is_empty()).then_some(stage), pairs.map(|(var, value)| (var.trim(), value.trim())).collect())
}

/// The place of a swept variable that takes the value.
fn variable(loaded: &Loaded, var: &str, value: &str) -> Result<usize, Fault> {
    let spec = &loaded.spec;
    let help = |name: &str, known: &[String]| match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "nothing is swept over: name a stage".to_owned(),
        None => format!("it is one of {}", either(known)),
    };
    let Some(at) = spec.swept.iter().position(|swept| swept == var) else {
        return Err(wrong(
            Code::NotSwept,
            format!("the sweep has no variable `{var}`"),
            help(var, &spec.swept),
        ));
    };
    let values = spec.values(var);
    if !values.iter().any(|known| known == value) {
        return Err(wrong(
            Code::NoSuchResult,
            format!("`{var}` does not take the value `{value}`"),
            help(value, &values),
        ));
    }
    Ok(at)
}

fn ambiguous(text: &str, names: Vec<String>, help: &str) -> Fault {
    const SHOWN: usize = 12;
    let mut fault = Diagnostic::error(
        Code::AmbiguousResult,
        format!("`{text}` may be any of {}", out::count(names.len(), "result")),
    );
    let more = names.len().saturating_sub(SHOWN);
    for name in names.into_iter().take(SHOWN) {
        fault = fault.note(name);
    }
    if more > 0 {
        fault = fault.note(format!("and {more} more"));
    }
    Fault::wrong(vec![fault.help(help)])
}

/// A line of the page: what, left, right, difference; `title` for a section's first line.
struct Row {
    title: bool,
    cells: [String; 4],
}

fn rows(sections: &[Section]) -> Vec<Row> {
    let mut rows = vec![];
    for section in sections {
        let side = |name: &Option<String>| name.clone().unwrap_or_else(|| "–".to_owned());
        let what = if section.role.is_empty() {
            section.kind.clone()
        } else {
            format!("{} ({})", section.role, section.kind)
        };
        rows.push(Row { title: true, cells: [what, side(&section.a), side(&section.b), String::new()] });
        let mut plain = |pair: &Pair, absent: &str, difference: String| {
            let side = |of: &Option<String>, there: bool| match of {
                Some(value) => value.clone(),
                None if there => absent.to_owned(),
                None => String::new(),
            };
            let cells = [
                pair.name.clone(),
                side(&pair.a, section.a.is_some()),
                side(&pair.b, section.b.is_some()),
                difference,
            ];
            rows.push(Row { title: false, cells });
        };
        if let Some(pair) = &section.others {
            plain(pair, "", String::new());
        }
        for pair in &section.outcomes {
            let (pair, difference) = in_percent(pair);
            plain(&pair, "–", difference);
        }
        for pair in &section.parameters {
            // Weights that are learned and those that are not have no settings in common.
            let is_other = section.kind.contains('/') && pair.name.starts_with("weights.");
            let absent = if is_other { "–" } else { "default" };
            plain(pair, absent, String::new());
        }
        for pair in &section.files {
            plain(&Pair { name: format!("file {}", pair.name), ..pair.clone() }, "–", String::new());
        }
        if let Some(remark) = section.remark {
            let cells = [remark.to_owned(), String::new(), String::new(), String::new()];
            rows.push(Row { title: false, cells });
        }
    }
    rows
}

/// A metric in percent and its difference in points; other numbers as they are, with their difference.
fn in_percent(pair: &Pair) -> (Pair, String) {
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
    let name = pair.name.rsplit('.').next().unwrap_or_default();
    let is_metric = Metric::ALL.iter().any(|metric| metric.name() == name);
    let shown = |text: &Option<String>| match number(text) {
        Some(value) if is_metric => Some(format!("{:.2}", 100.0 * value)),
        Some(_) => text.as_deref().map(short),
        None => text.as_ref().map(|text| {
            let items = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let items = items.map(|items| items.split(',').map(short).collect::<Vec<_>>().join(", "));
            items.map_or_else(|| text.clone(), |items| format!("[{items}]"))
        }),
    };
    let difference = match (number(&pair.a), number(&pair.b)) {
        (Some(a), Some(b)) if is_metric => points(b - a),
        _ => String::new(),
    };
    (Pair { name: pair.name.clone(), a: shown(&pair.a), b: shown(&pair.b) }, difference)
}

/// A number in four decimals, if it has more.
fn short(text: &str) -> String {
    match (text.parse::<f64>(), text.split_once('.')) {
        (Ok(value), Some((_, decimals))) if decimals.len() > 4 && !text.contains('e') => {
            format!("{value:.4}")
        }
        _ => text.to_owned(),
    }
}

fn text(sections: &[Section]) -> String {
    let rows = rows(sections);
    let width = |column: usize| {
        let indent = |row: &Row| if column == 0 && !row.title { 2 } else { 0 };
        // A remark has the line to itself.
        let is_remark = |row: &&Row| row.cells[1..].iter().all(String::is_empty);
        rows.iter()
            .filter(|row| !is_remark(row))
            .map(|row| row.cells[column].chars().count() + indent(row))
            .max()
            .unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for (i, row) in rows.iter().enumerate() {
        let [what, a, b, difference] = &row.cells;
        let what = if row.title { what.clone() } else { format!("  {what}") };
        if row.title && i > 0 {
            text.push('\n');
        }
        let line = format!(
            "{what:w0$}   {a:w1$}   {b:w2$}   {difference}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2]
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn markdown(sections: &[Section]) -> String {
    let mut text = "|  | A | B | difference |\n| :--- | :--- | :--- | ---: |\n".to_owned();
    for row in rows(sections) {
        let cells = row.cells.map(|cell| {
            let cell = cell.replace('|', "\\|").replace('_', "\\_").replace('*', "\\*");
            if row.title && !cell.is_empty() { format!("**{cell}**") } else { cell }
        });
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_named_in_several_ways() {
        for (text, stage, pairs) in [
            ("test", Some("test"), vec![]),
            ("test:seed=0", Some("test"), vec![("seed", "0")]),
            ("seed=0", None, vec![("seed", "0")]),
            ("method=tapt, seed=1", None, vec![("method", "tapt"), ("seed", "1")]),
            ("test (method=tapt, seed=1)", Some("test"), vec![("method", "tapt"), ("seed", "1")]),
            ("a.b-c task=x:y,seed=1", Some("a.b-c"), vec![("task", "x:y"), ("seed", "1")]),
        ] {
            assert_eq!(parsed(text), (stage, pairs), "{text}");
        }
        assert_eq!((hex("7e02"), hex("7e0"), hex("seed")), (Some("7e02"), None, None));
    }

    #[test]
    fn options_may_stand_between_the_names() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        for line in
            ["p.yaml --all A B", "p.yaml A B --all", "--all p.yaml A B", "p.yaml A --format json -a B"]
        {
            let line = std::iter::once("compare").chain(line.split(' '));
            let args = <Line as clap::Parser>::try_parse_from(line.clone()).map(|line| line.args);
            let args = args.unwrap_or_else(|error| panic!("{line:?}: {error}"));
            assert_eq!((args.results.join(" ").as_str(), args.all), ("p.yaml A B", true));
        }
    }

    #[test]
    fn a_page_has_sections_side_by_side() {
        let pair = |name: &str, a: Option<&str>, b: Option<&str>| Pair {
            name: name.into(),
            a: a.map(str::to_owned),
            b: b.map(str::to_owned),
        };
        let section = |role: &str, kind: &str, b: Option<&str>| Section {
            role: role.into(),
            kind: kind.into(),
            a: Some("left".into()),
            b: b.map(str::to_owned),
            others: None,
            parameters: vec![],
            files: vec![],
            outcomes: vec![],
            remark: None,
        };
        let mut sections =
            vec![section("", "evaluate", Some("right")), section("model", "train", Some("other"))];
        sections[0].outcomes = vec![
            pair("macro_f1", Some("0.5"), Some("0.75")),
            pair("accuracy", Some("0.5"), Some("0.39")),
            pair("micro_f1", Some("0.5"), Some("0.499999")),
        ];
        sections[1].outcomes = vec![pair("weights", Some("[0.333333,0.5]"), Some("0.123456"))];
        sections[1].parameters = vec![pair("body.lr", None, Some("0.1"))];
        sections[1].files = vec![pair("source/train", Some("aa"), Some("bb"))];
        sections.push(Section {
            parameters: vec![pair("seed", Some("1"), None)],
            ..section("init", "train", None)
        });
        sections.push(Section {
            parameters: vec![pair("weights.meta.lr", Some("1"), None), pair("patience", None, Some("2"))],
            others: Some(pair("may also be", None, Some("body 12"))),
            ..section("x", "learn-weights / train", Some("body"))
        });
        let remark = Some("a line of its own, however long it is");
        sections.push(Section { remark, ..section("init", "encoder / train", Some("other")) });
        let expected = "\
evaluate                    left            right
  macro_f1                  50.00           75.00     +25.00
  accuracy                  50.00           39.00     −11.00
  micro_f1                  50.00           50.00     +0.00

model (train)               left            other
  weights                   [0.3333, 0.5]   0.1235
  body.lr                   default         0.1
  file source/train         aa              bb

init (train)                left            –
  seed                      1

x (learn-weights / train)   left            body
  may also be                               body 12
  weights.meta.lr           1               –
  patience                  default         2

init (encoder / train)      left            other
  a line of its own, however long it is
";
        assert_eq!(text(&sections), expected);
        assert!(
            markdown(&sections)
                .contains("| macro\\_f1 | 50.00 | 75.00 | +25.00 |\n| accuracy | 50.00 | 39.00 | −11.00 |")
        );
    }
}
