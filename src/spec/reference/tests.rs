//! The table held against the reader: what it says of a field is what happens when one writes it.
//!
//! Each block has a place in a small pipeline; there one field at a time is written, left out, or given a
//! value at the edge of its type. The schema must accept and refuse the same.

mod fits;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::yaml::{Node, parse_value};
use super::super::{Spec, reference};
use super::schema::json_of;
use super::{Absent, Block, Field, Range, Rule, Type, blocks};
use crate::diag::Severity;

/// A name that is near no other.
const BOGUS: &str = "qqqqqqqq";

const HEX: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A sound pipeline with a block in it: the text around the block's fields, and the fields.
struct Context {
    block: &'static str,
    around: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const fn within(
    block: &'static str,
    around: &'static str,
    fields: &'static [(&'static str, &'static str)],
) -> Context {
    Context { block, around, fields }
}

const CONTEXTS: &[Context] = &[
    within("pipeline", "{HERE}", &[("tartan", "1"), ("stages", "{s: {export: {model: m}}}")]),
    within("stage", "{tartan: 1, stages: {s: {HERE}}}", &[("export", "{model: m}")]),
    within(
        "sweep",
        "{tartan: 1, vars: {v: 0, w: 0}, stages: {s: {export: {model: m}}}, sweep: {HERE}}",
        &[("v", "[1, 2]")],
    ),
    within(
        "named points",
        "{tartan: 1, vars: {v: 0}, stages: {s: {export: {model: m}}}, sweep: {size: {HERE}}}",
        &[("points", "{a: {v: 1}, b: {v: 2}}")],
    ),
    within(
        "range",
        "{tartan: 1, vars: {v: 0}, stages: {s: {export: {model: m}}}, sweep: {v: {HERE}}}",
        &[("range", "[0, 2]")],
    ),
    within(
        "profile",
        "{tartan: 1, vars: {v: 0}, stages: {s: {export: {model: m}}}, profiles: {p: {HERE}}}",
        &[("vars", "{v: 1}")],
    ),
    within("encoder", "{tartan: 1, stages: {s: {encoder: {HERE}}}}", &[("from", "x")]),
    within(
        "tokenize",
        "{tartan: 1, stages: {s: {tokenize: {HERE}}}}",
        &[("tokenizer", "e"), ("splits", "{train: x.jsonl}")],
    ),
    within(
        "splits",
        "{tartan: 1, stages: {s: {tokenize: {tokenizer: e, splits: {HERE}}}}}",
        &[("train", "x.jsonl")],
    ),
    within(
        "remote file",
        "{tartan: 1, stages: {s: {tokenize: {tokenizer: e, splits: {train: {HERE}}}}}}",
        &[("url", "\"https://a.example/x.txt\""), ("blake3", HEX)],
    ),
    within("objective", "{tartan: 1, stages: {s: {objective: {HERE}}}}", &[("classify", "{data: d}")]),
    within("classify", "{tartan: 1, stages: {s: {objective: {classify: {HERE}}}}}", &[("data", "d")]),
    within("mlm", "{tartan: 1, stages: {s: {objective: {mlm: {HERE}}}}}", &[("data", "d")]),
    within("train", "{tartan: 1, stages: {s: {train: {HERE}}}}", TRAIN),
    within("learn-weights", "{tartan: 1, stages: {s: {learn-weights: {HERE}}}}", TRAIN),
    within(
        "weights",
        "{tartan: 1, stages: {s: {train: {init: e, end_task: t, steps: 1, weights: {HERE}}}}}",
        &[("from", "w")],
    ),
    within("head", "{tartan: 1, stages: {s: {train: {init: e, end_task: t, steps: 1, head: {HERE}}}}}", &[]),
    within(
        "checkpoint",
        "{tartan: 1, stages: {s: {train: {init: e, end_task: t, steps: 1, checkpoint: {HERE}}}}}",
        &[("steps", "1")],
    ),
    within(
        "meta",
        "{tartan: 1, stages: {s: {learn-weights: {init: e, end_task: t, steps: 1, meta: {HERE}}}}}",
        &[],
    ),
    within(
        "dev_head",
        "{tartan: 1, stages: {s: {learn-weights: {init: e, end_task: t, steps: 1, meta: {dev_head: {HERE}}}}}}",
        &[],
    ),
    within(
        "evaluate",
        "{tartan: 1, stages: {s: {evaluate: {HERE}}}}",
        &[("model", "m"), ("data", "d"), ("split", "test")],
    ),
    within("export", "{tartan: 1, stages: {s: {export: {HERE}}}}", &[("model", "m")]),
    within(
        "command",
        "{tartan: 1, stages: {s: {command: {HERE}}}}",
        &[("run", "[sh]"), ("outputs", "[o.txt]")],
    ),
    within(
        "made file",
        "{tartan: 1, stages: {s: {command: {run: [sh], outputs: [o.txt], inputs: {f: {HERE}}}}}}",
        &[("stage", "m")],
    ),
    within(
        "report",
        "{tartan: 1, vars: {v: 1}, stages: {s: {export: {model: m}}}, sweep: {v: [1, 2]}, report: {HERE}}",
        &[("metric", "s.accuracy")],
    ),
    within(
        "figure",
        "{tartan: 1, vars: {v: 1}, stages: {s: {export: {model: m}}}, sweep: {v: [1, 2]}, \
         report: {metric: s.accuracy, figure: {HERE}}}",
        &[("bars", "f")],
    ),
];

const TRAIN: &[(&str, &str)] = &[("init", "e"), ("end_task", "t"), ("steps", "1")];

/// Fields whose soundness hangs on more than their own value; the reader's own tests have them.
const ENTANGLED: &[(&str, &str)] = &[
    // Files that must be there.
    ("pipeline", "digests"),
    ("pipeline", "include"),
    // Programs that must be there.
    ("command", "programs"),
    // Variables of the sweep.
    ("sweep", "exclude"),
    // What is said of several fields, or of parts of a split, where there are none.
    ("tokenize", "join"),
    ("tokenize", "split_seed"),
    ("tokenize", "stratify"),
    // Two ends and a count.
    ("range", "log_range"),
    // A value of the sweep.
    ("report", "baseline"),
    // Weights in place of a metric, or numbers along the columns.
    ("figure", "lines"),
    ("figure", "steps"),
    ("figure", "log"),
];

fn context(block: &Block) -> &'static Context {
    CONTEXTS
        .iter()
        .find(|context| context.block == block.name)
        .unwrap_or_else(|| panic!("CONTEXTS has no place for a `{}` block", block.name))
}

/// The pipeline with these fields in the block.
fn pipeline(context: &Context, fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    context.around.replace("HERE", &fields.join(", "))
}

/// The context's fields with one more, without those that exclude it.
fn fields_with<'a>(block: &Block, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let rivals: Vec<&str> = block
        .rules
        .iter()
        .filter_map(|rule| match rule {
            Rule::One(fields) | Rule::AtMostOne(fields) if fields.contains(&name) => {
                Some(fields.iter().copied())
            }
            _ => None,
        })
        .flatten()
        .collect();
    let others = context(block).fields.iter().copied();
    others.filter(|(other, _)| *other != name && !rivals.contains(other)).chain([(name, value)]).collect()
}

/// What a pipeline comes to, or its errors, each with its way out.
fn read(text: &str) -> Result<String, Vec<String>> {
    let (spec, diagnostics) = Spec::from_text(Path::new("p.yaml"), text, &[]);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let errors: Vec<String> = errors
        .map(|error| format!("{}: {}", error.message, error.help.as_deref().unwrap_or_default()))
        .collect();
    if errors.is_empty() {
        Ok(format!("{:?} {:?} {:?}", spec.points, spec.reports, spec.targets))
    } else {
        Err(errors)
    }
}

/// The names in backticks of the way out of the error about [`BOGUS`].
fn named(errors: &[String]) -> BTreeSet<String> {
    let error = errors.iter().find(|error| error.contains(BOGUS)).unwrap_or_else(|| panic!("{errors:?}"));
    let help = error.rsplit(": ").next().unwrap_or_default();
    help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn fields() -> Vec<(&'static Block, &'static Field)> {
    let all = blocks().into_iter().flat_map(|block| block.fields().map(move |field| (block, field)));
    all.filter(|(block, field)| !ENTANGLED.contains(&(block.name, field.name))).collect()
}

/// Values that a type has, at its edges.
fn good(of: &Type) -> Vec<String> {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match of {
        Type::Text => texts(&["abc"]),
        Type::Path => texts(&["y.jsonl"]),
        Type::Truth => texts(&["true", "false"]),
        Type::No => texts(&["false"]),
        Type::Exactly(number) => vec![number.to_string()],
        Type::Count(least) => vec![least.to_string(), (least + 1).to_string()],
        Type::Number(range) | Type::Numbers(1, range) => texts(match range {
            Range::Any => &["-1e9", "1e9"],
            Range::NotNegative => &["0", "1e9"],
            Range::Positive => &["1e-9", "1e9"],
            Range::BelowOne => &["0", "0.999"],
            Range::UpToOne => &["1e-9", "1.0"],
            Range::Part => &["1e-9", "0.999"],
        }),
        Type::Numbers(count, range) => {
            let rising: Vec<String> = match range {
                Range::Any => (1..=*count).map(|n| n.to_string()).collect(),
                _ => vec![good(&Type::Number(*range))[0].clone(); *count],
            };
            vec![format!("[{}]", rising.join(", "))]
        }
        Type::Word(words) => words.iter().map(|(word, _)| (*word).to_owned()).collect(),
        Type::Stage(_) => texts(&["other"]),
        Type::Variable => texts(&["v"]),
        Type::List(of) => good(of).iter().map(|value| format!("[{value}]")).collect(),
        Type::Several(of) => {
            good(of).iter().flat_map(|value| [value.clone(), format!("[{value}]")]).collect()
        }
        Type::NotEmpty(of) => good(of),
        Type::Any(types) => types.iter().flat_map(good).collect(),
        Type::Each("OBJECTIVE", _) => texts(&["{t: 1}"]),
        Type::Form(..) | Type::Scalar | Type::Anything | Type::Block(_) | Type::Each(..) => vec![],
    }
}

/// Values that a type has not, just beyond its edges.
fn bad(of: &Type) -> Vec<String> {
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match of {
        Type::Scalar | Type::Anything | Type::Variable => vec![],
        Type::Truth | Type::No | Type::Block(_) | Type::Each(..) => texts(&["3"]),
        Type::Exactly(number) => vec![(number + 1).to_string()],
        Type::Count(0) => texts(&["-1", "0.5", "[]"]),
        Type::Count(least) => vec![(least - 1).to_string(), format!("{least}.5"), "[]".to_owned()],
        Type::Number(range) => texts(match range {
            Range::Any => &["[]"],
            Range::NotNegative => &["-1e-9", "[]"],
            Range::Positive => &["0", "-1", "[]"],
            Range::BelowOne => &["1", "-1e-9", "[]"],
            Range::UpToOne => &["0", "1.001", "[]"],
            Range::Part => &["0", "1.0", "[]"],
        }),
        Type::Numbers(count, range) => {
            let list = |value: &str, count: usize| format!("[{}]", vec![value; count].join(", "));
            let edges = bad(&Type::Number(*range)).into_iter().map(|value| list(&value, *count));
            edges.chain([list("0.5", count + 2)]).collect()
        }
        Type::Word(_) | Type::Form(..) => texts(&[BOGUS]),
        Type::Text | Type::Path | Type::Stage(_) => texts(&["[a]", "{a: b}"]),
        Type::List(_) | Type::Several(_) => texts(&["[[]]", "{a: b}"]),
        Type::NotEmpty(of) => bad(of).into_iter().chain(texts(&["[]", "{}"])).collect(),
        Type::Any(_) => texts(&["[[]]"]),
    }
}

#[test]
fn each_block_has_the_fields_that_the_reader_asks_for() {
    for block in blocks().into_iter().filter(|block| block.open.is_none()) {
        let context = context(block);
        let bogus = match block.name {
            // A stage has one key.
            "stage" => vec![(BOGUS, "{}")],
            _ => context.fields.iter().copied().chain([(BOGUS, "x.jsonl")]).collect(),
        };
        let errors = read(&pipeline(context, &bogus)).expect_err(block.name);
        // A stage is told its kinds; `for` stands beside one.
        let fields = block.fields().filter(|field| block.name != "stage" || field.name != "for");
        let known: BTreeSet<String> = fields.map(|field| field.name.to_owned()).collect();
        assert_eq!(known, named(&errors), "the table (left) and the reader of a `{}` block", block.name);
        read(&pipeline(context, context.fields)).expect(block.name);
    }
}

#[test]
fn what_is_required_is_missed() {
    for (block, field) in fields() {
        let context = context(block);
        let rest: Vec<(&str, &str)> =
            context.fields.iter().copied().filter(|(name, _)| *name != field.name).collect();
        let in_rule = block.rules.iter().any(|rule| match rule {
            Rule::One(fields) | Rule::Some(fields) => fields.contains(&field.name),
            Rule::AtMostOne(_) => false,
        });
        let is_missed = read(&pipeline(context, &rest)).is_err();
        let only = rest.len() < context.fields.len() && in_rule;
        // A remote file wants a digest, beside it or in a file of `digests`.
        let elsewhere = block.name == "remote file" && field.name == "blake3";
        assert_eq!(
            is_missed,
            field.absent == Absent::Fault || only || elsewhere,
            "`{}` of a `{}` block",
            field.name,
            block.name
        );
    }
}

#[test]
fn an_absent_field_is_its_default() {
    for (block, field) in fields() {
        let Absent::Default(default) = field.absent else { continue };
        let what = format!("`{}: {default}` of a `{}` block", field.name, block.name);
        let with = |value: &str| read(&pipeline(context(block), &fields_with(block, field.name, value)));
        let without = read(&pipeline(context(block), context(block).fields)).expect(&what);
        assert_eq!(with(default).expect(&what), without, "{what}");
        let differs = good(&field.of).iter().any(|value| with(value).is_ok_and(|read| read != without));
        assert!(differs, "{what}: no other value changes anything");
    }
}

#[test]
fn nothing_stands_for_a_field_that_is_absent() {
    let schema = reference::schema();
    for (block, field) in fields().into_iter().filter(|(_, field)| field.absent != Absent::Fault) {
        let in_rule = block.rules.iter().any(|rule| {
            let (Rule::One(fields) | Rule::AtMostOne(fields) | Rule::Some(fields)) = rule;
            fields.contains(&field.name)
        });
        if in_rule || context(block).fields.iter().any(|(name, _)| *name == field.name) {
            continue;
        }
        let text = pipeline(context(block), &fields_with(block, field.name, "null"));
        assert_eq!(read(&text), read(&pipeline(context(block), context(block).fields)), "{text}");
        assert_eq!(fits::misfits(&schema, &json_of(&node(&text))), [""; 0], "{text}");
    }
}

#[test]
fn types_end_where_the_reader_has_them_end() {
    let schema = reference::schema();
    let is_valid = |text: &str| fits::misfits(&schema, &json_of(&node(text))).is_empty();
    for (block, field) in fields() {
        for value in good(&field.of) {
            let text = pipeline(context(block), &fields_with(block, field.name, &value));
            assert_eq!(read(&text).err(), None, "{text}");
            assert!(is_valid(&text), "the schema refuses {text}");
        }
        for value in bad(&field.of) {
            let text = pipeline(context(block), &fields_with(block, field.name, &value));
            assert!(read(&text).is_err(), "the reader takes {text}");
            assert!(!is_valid(&text), "the schema takes {text}");
        }
        if let Type::Word(words) | Type::Several(&Type::Word(words)) = field.of {
            let text = pipeline(context(block), &fields_with(block, field.name, BOGUS));
            let words: BTreeSet<String> = words.iter().map(|(word, _)| (*word).to_owned()).collect();
            assert_eq!(words, named(&read(&text).expect_err(&text)), "{text}");
        }
    }
}

#[test]
fn fields_go_together_as_the_rules_say() {
    let schema = reference::schema();
    let is_valid = |text: &str| fits::misfits(&schema, &json_of(&node(text))).is_empty();
    for block in blocks().into_iter().filter(|block| block.name != "stage") {
        let context = context(block);
        let value = |name: &str| {
            let field = block.fields().find(|field| field.name == name).expect(name);
            let inner = field.of.blocks().first().map(|inner| {
                let fields =
                    self::context(inner).fields.iter().map(|(name, value)| format!("{name}: {value}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            });
            let own =
                context.fields.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
            own.or(inner).or_else(|| good(&field.of).first().cloned()).unwrap_or_else(|| HEX.to_owned())
        };
        for rule in block.rules {
            let (Rule::One(group) | Rule::AtMostOne(group) | Rule::Some(group)) = rule;
            let rest: Vec<(&str, &str)> =
                context.fields.iter().copied().filter(|(name, _)| !group.contains(name)).collect();
            let values: Vec<(&str, String)> = group.iter().map(|name| (*name, value(name))).collect();
            let two = values.iter().take(2).map(|(name, value)| (*name, value.as_str()));
            let none = pipeline(context, &rest);
            let two = pipeline(context, &rest.iter().copied().chain(two).collect::<Vec<_>>());
            if !matches!(rule, Rule::AtMostOne(_)) {
                assert!(read(&none).is_err() && !is_valid(&none), "{none}");
            }
            let excluded = !matches!(rule, Rule::Some(_));
            assert_eq!((read(&two).is_err(), is_valid(&two)), (excluded, !excluded), "{two}");
        }
    }
}

/// Every file under a folder of the repository with this extension.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = vec![];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn node(text: &str) -> Node {
    parse_value(text).unwrap_or_else(|| panic!("not YAML:\n{text}"))
}

#[test]
fn shipped_pipelines_fit_the_schema() {
    let schema = reference::schema();
    let pipelines = files("pipelines", "yaml");
    assert!(pipelines.len() > 10, "{pipelines:?}");
    for path in pipelines {
        let value = json_of(&node(&std::fs::read_to_string(&path).expect("a file")));
        assert_eq!(fits::misfits(&schema, &value), [""; 0], "{}", path.display());
    }
}

/// The page of the codes of diagnostics.
fn codes() -> (String, String) {
    let mut text =
        "# Codes\n\n`tartan help CODE` explains each at length.\n\n| code | |\n|---|---|\n".to_owned();
    for code in crate::diag::Code::ALL {
        text.push_str(&format!("| {code} | {} |\n", code.title()));
    }
    ("codes.md".to_owned(), text)
}

#[test]
fn the_manuals_pages_are_those_of_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference");
    let pages: BTreeMap<PathBuf, String> = reference::pages()
        .into_iter()
        .chain([codes()])
        .map(|(name, text)| (folder.join(name), text))
        .collect();
    let summary = folder.with_file_name("SUMMARY.md");
    let summary = std::fs::read_to_string(summary).expect("the table of contents");
    for (path, text) in &pages {
        if std::env::var_os("TARTAN_BLESS").is_some() {
            std::fs::write(path, text).expect("a page");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == *text, "{}: `TARTAN_BLESS=1` writes it anew", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(summary.contains(&format!("(reference/{name})")), "docs/src/SUMMARY.md lacks {name}");
    }
    let committed: BTreeSet<PathBuf> = files("docs/src/reference", "md").into_iter().collect();
    assert_eq!(committed, pages.into_keys().collect(), "a page of no block");
}

/// The YAML blocks of a Markdown text: the line of each, its fence's words, and its text.
fn yaml_blocks(markdown: &str) -> Vec<(usize, String, String)> {
    let mut blocks: Vec<(usize, String, String)> = vec![];
    let mut inside = false;
    for (i, line) in markdown.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(words) if words.starts_with("yaml") => {
                inside = true;
                blocks.push((i + 1, words.to_owned(), String::new()));
            }
            None if inside => {
                let (_, _, text) = blocks.last_mut().expect("a block");
                text.push_str(&format!("{line}\n"));
            }
            _ => {}
        }
    }
    blocks
}

/// Every YAML block of README and manual is a whole pipeline that is read and planned without a fault, or a part
/// of one, marked by its fence, that fits the schema: `stages` by name (`yaml,stages`), fields of the file
/// (`yaml,part`).
#[test]
fn examples_of_the_manual_are_true() {
    let schema = reference::schema();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = files("docs/src", "md").into_iter().chain([root.join("README.md")]);
    let mut whole = 0;
    for path in pages {
        let markdown = std::fs::read_to_string(&path).expect("a page");
        for (line, fence, text) in yaml_blocks(&markdown) {
            let place = format!("{}:{line}", path.display());
            let fields = match node(&text) {
                Node::Map(fields) => fields,
                other => panic!("{place}: {}", other.what()),
            };
            let map = match fence.as_str() {
                "yaml" => {
                    let (spec, mut diagnostics) =
                        Spec::from_text(&root.join("pipelines/example.yaml"), &text, &[]);
                    crate::plan::outline(&spec, &[], &mut diagnostics);
                    let told: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                    assert_eq!(told, [""; 0], "{place}");
                    whole += 1;
                    fields
                }
                "yaml,part" => fields,
                "yaml,stages" => vec![("stages".to_owned(), Node::Map(fields))],
                other => panic!("{place}: what is `{other}`?"),
            };
            let mut value = json_of(&Node::Map(map));
            if fence != "yaml" {
                value["tartan"] = 1.into();
                if value.get("stages").is_none() {
                    value["stages"] = serde_json::json!({"s": {"export": {"model": "m"}}});
                }
            }
            assert_eq!(fits::misfits(&schema, &value), [""; 0], "{place}");
        }
    }
    assert!(whole >= 2, "{whole} whole pipelines");
}

/// A pipeline with a fault of its shape is told so by an editor too.
#[test]
fn wrong_pipelines_do_not_fit_the_schema() {
    use crate::diag::Code;
    let schema = reference::schema();
    let shape = [
        Code::UnknownField,
        Code::MissingField,
        Code::WrongType,
        Code::OutOfRange,
        Code::UnknownWord,
        Code::Exclusive,
        Code::UnknownKind,
        Code::NotOneKind,
    ];
    let mut refused = 0;
    for path in files("tests/wrong", "yaml") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let (_, diagnostics) = Spec::from_text(&path, &text, &[]);
        let Some(value) = parse_value(&text).map(|node| json_of(&node)) else { continue };
        let fits = fits::misfits(&schema, &value).is_empty();
        let faults: Vec<&crate::diag::Diagnostic> =
            diagnostics.iter().filter(|fault| shape.contains(&fault.code)).collect();
        // What a variable brings has no shape yet.
        let of_text = faults.iter().any(|fault| {
            // A file that is included is another text.
            fault.place.as_ref().is_some_and(|place| place.file == path && !place.source.contains("${"))
        });
        if of_text {
            refused += 1;
            assert!(!fits, "the schema takes {}: {}", path.display(), faults[0]);
        }
    }
    assert!(refused >= 10, "{refused} of shape");
}
