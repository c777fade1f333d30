//! The text of a first pipeline: every number with the reason for it.

use std::path::{Component, Path, PathBuf};

use super::choose::Roles;
use super::look::{Column, Seen};
use super::machine::Machine;

/// What a pipeline is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// What to call it.
    pub name: &'a str,
    /// The folder that it is to stand in.
    pub folder: &'a Path,
    /// The data, the train split first.
    pub splits: &'a [Split],
    /// Which fields matter.
    pub roles: &'a Roles,
    /// What there is to train on.
    pub machine: Machine,
    /// The model to start from.
    pub encoder: &'a Encoder,
    /// A file of plain texts of the task's domain.
    pub corpus: Option<&'a Path>,
}

/// A split and what its file holds.
#[derive(Debug)]
pub struct Split {
    /// `train`, `dev` or `test`.
    pub name: &'static str,
    /// What was seen of its file.
    pub seen: Seen,
}

/// The model to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// A model's folder, and the most tokens it can take where that is known.
    Folder(PathBuf, Option<u32>),
    /// A model of the hub.
    Hub(String),
    /// A folder with a configuration from which weights are drawn: only to see that all works.
    Toy(PathBuf),
}

/// A pipeline, and what was found on the way.
#[derive(Debug)]
pub struct Draft {
    /// The pipeline.
    pub text: String,
    /// What was found and chosen, a line each: a short name, and the finding.
    pub findings: Vec<(&'static str, String)>,
    /// What the user should know before running it.
    pub warnings: Vec<String>,
}

/// Lengths to choose from, in tokens.
const LENGTHS: [u32; 5] = [32, 64, 128, 256, 512];
/// Tokens of a word of English, more or less.
const TOKENS_A_WORD: f64 = 1.35;

/// A number or word that was chosen, and why.
struct Because<T>(T, String);

/// Writes the pipeline.
pub fn draft(inputs: &Inputs) -> Draft {
    let mut findings = vec![];
    let mut warnings = vec![];
    let train = &inputs.splits[0].seen;
    let text = train.column(&inputs.roles.text.field).cloned().unwrap_or_default();
    let label = train.column(&inputs.roles.label.field).cloned().unwrap_or_default();
    findings.push(("text", format!("`{}`: {}", inputs.roles.text.field, inputs.roles.text.reason)));
    findings.push(("label", format!("`{}`: {}", inputs.roles.label.field, inputs.roles.label.reason)));

    for (name, part) in parts(inputs) {
        findings.push((name, format!("a part of train, {part}: there is no file of it")));
    }
    let metric = metric(&label);
    let length = max_length(&text, inputs, &mut warnings);
    let taken: f64 = parts(inputs).iter().map(|(_, part)| part).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count")]
    let left = ((1.0 - taken) * train.records as f64) as u64;
    let budget = Budget::new(left, inputs);
    findings.push(("metric", format!("{}: {}", metric.0, metric.1)));
    findings.push(("length", format!("{} tokens: {}", length.0, length.1)));
    findings.push(("encoder", match inputs.encoder {
        Encoder::Folder(folder, _) => folder.display().to_string(),
        Encoder::Hub(name) => format!("{name}, fetched by the first run; `--encoder FOLDER` takes one of yours, `--encoder toy` tries all without"),
        Encoder::Toy(_) => "a toy, to see that all works; it learns next to nothing".to_owned(),
    }));
    findings.push(("machine", inputs.machine.text()));
    findings.push((
        "budget",
        format!("batches of {}, {} steps: {}", budget.batch, budget.steps.0, budget.steps.1),
    ));
    warn_of_data(inputs, &mut warnings);

    let mut page = Page::default();
    head(&mut page, inputs);
    vars(&mut page, inputs, &metric, &length, &budget);
    data(&mut page, inputs);
    training(&mut page, inputs);
    results(&mut page, &budget);
    Draft { text: page.text, findings, warnings }
}

/// The splits that have no file, and how large a part of train becomes them.
fn parts(inputs: &Inputs) -> Vec<(&'static str, f64)> {
    let missing = |name: &&str| !inputs.splits.iter().any(|split| split.name == *name);
    // Of few texts a tenth says little.
    let part = if inputs.splits[0].seen.records < 1000 { 0.2 } else { 0.1 };
    ["dev", "test"].into_iter().filter(missing).map(|name| (name, part)).collect()
}

/// What dev is scored by: where labels are uneven, what does not drown in the frequent ones.
fn metric(label: &Column) -> Because<&'static str> {
    let total: u64 = label.labels.values().sum();
    let classes = label.labels.len().max(1) as f64;
    let by_count = |a: &(&String, &u64), b: &(&String, &u64)| a.1.cmp(b.1);
    let (Some((most, high)), Some((least, low))) =
        (label.labels.iter().max_by(by_count), label.labels.iter().min_by(by_count))
    else {
        return Because("macro_f1", "the mean over the labels".to_owned());
    };
    let part = |count: u64| 100.0 * count as f64 / total.max(1) as f64;
    if part(*high) > 150.0 / classes {
        let why = format!(
            "labels are uneven (`{}` {:.0}%, `{}` {:.1}%), and each counts alike",
            short(most),
            part(*high),
            short(least),
            part(*low)
        );
        return Because("macro_f1", why);
    }
    Because("accuracy", format!("the {} labels are about as frequent as each other", label.labels.len()))
}

fn max_length(text: &Column, inputs: &Inputs, warnings: &mut Vec<String>) -> Because<u32> {
    // The toy knows few words, and spells the others.
    let characters = if matches!(inputs.encoder, Encoder::Toy(_)) { 1.0 } else { 4.0 };
    let tokens = |part: f64| {
        let words = f64::from(Column::quantile(&text.words, part)) * TOKENS_A_WORD;
        let by_characters = f64::from(Column::quantile(&text.quarters, part)) / characters;
        words.max(by_characters) + 2.0
    };
    let wanted = LENGTHS.into_iter().find(|length| f64::from(*length) >= tokens(0.99)).unwrap_or(512);
    // On a CPU time is dear, and it goes with the length.
    let (most, whose) = if inputs.machine.gpus == 0 { (128, "for a CPU's sake") } else { (512, "") };
    let (most, whose) = match inputs.encoder {
        Encoder::Toy(_) => (64, "the toy takes no more"),
        Encoder::Folder(_, Some(positions)) if *positions < most => (*positions, "the encoder takes no more"),
        _ => (most, whose),
    };
    let length = wanted.min(most);
    let words = Column::quantile(&text.words, 0.99);
    let words = if text.is_unspaced() { String::new() } else { format!("{words} words, ") };
    let mut why = format!("99 of 100 texts have at most {words}some {:.0} tokens", tokens(0.99));
    if wanted > length {
        let cut =
            (1..=100).rev().find(|part| tokens(f64::from(*part) / 100.0) <= f64::from(length)).unwrap_or(0);
        let comma = if whose.is_empty() { "" } else { ", " };
        why.push_str(&format!("; about {} of 100 are cut{comma}{whose}", 100 - cut));
        warnings.push(format!(
            "about {} of 100 texts are longer than `max_length: {length}` and will be cut at their end",
            100 - cut
        ));
    }
    Because(length, why)
}

/// How long to train.
struct Budget {
    batch: u64,
    steps: Because<u64>,
    evaluate_every: u64,
    precision: Because<&'static str>,
    seeds: Because<u64>,
}

impl Budget {
    fn new(texts: u64, inputs: &Inputs) -> Self {
        let has_gpu = inputs.machine.gpus > 0;
        let batch = if has_gpu && texts >= 2000 { 32 } else { 16 };
        let a_pass = texts.div_ceil(batch).max(1);
        // Ten passes, as is usual for fine-tuning, within what a machine does in an hour or so.
        let is_slow = !has_gpu && !matches!(inputs.encoder, Encoder::Toy(_));
        let most = if has_gpu { 3000 } else { 300 };
        let steps = (10 * a_pass).clamp(60, most);
        let passes = steps as f64 / a_pass as f64;
        let why = format!(
            "{} over {} texts{}",
            if passes < 1.0 { "less than a pass".to_owned() } else { format!("{passes:.1} passes") },
            grouped(texts),
            if is_slow && steps == most {
                ", as many as a CPU does in some hours with a base encoder"
            } else {
                ""
            }
        );
        let precision = match (has_gpu, inputs.machine.bf16, inputs.encoder) {
            (_, _, Encoder::Toy(_)) => Because("float32", "or bf16".to_owned()),
            (true, ..) => Because("bf16", "half the bits, and faster on this GPU; or float32".to_owned()),
            (false, true, _) => Because("bf16", "this CPU computes in it, faster than in float32".to_owned()),
            (false, false, _) => Because("float32", "or bf16, where the processor computes in it".to_owned()),
        };
        let seeds = if is_slow {
            Because(1, "one, for a CPU's sake; three or more tell chance from gain".to_owned())
        } else {
            Because(3, "more seeds tell chance from gain: from 5 on there are intervals".to_owned())
        };
        Self {
            batch,
            steps: Because(steps, why),
            evaluate_every: (steps / 15).clamp(5, 100),
            precision,
            seeds,
        }
    }
}

fn warn_of_data(inputs: &Inputs, warnings: &mut Vec<String>) {
    let (text, label) = (&inputs.roles.text.field, &inputs.roles.label.field);
    let train = &inputs.splits[0];
    for split in inputs.splits {
        let name = split.name;
        for field in [text, label] {
            match split.seen.column(field) {
                None => warnings
                    .push(format!("{name} has no field `{field}`: all splits must have the same fields")),
                Some(column) if column.missing > 0 => warnings.push(format!(
                    "{} of the {name} split lack `{field}`: take them out, or the run stops there",
                    records(column.missing)
                )),
                Some(_) => {}
            }
        }
        if let Some(column) = split.seen.column(text)
            && column.repeats() > 0
        {
            warnings.push(format!(
                "{} of the {name} split repeat the text of another",
                records(column.repeats())
            ));
        }
    }
    for other in &inputs.splits[1..] {
        let (Some(here), Some(there)) = (train.seen.column(text), other.seen.column(text)) else { continue };
        let shared = here.texts.intersection(&there.texts).count() as u64;
        if shared > 0 {
            warnings.push(format!(
                "{} of {} are in the train split too: scores on {} will flatter; `deduplicate: across` takes them out of train",
                grouped(shared) + if shared == 1 { " text" } else { " texts" },
                other.name,
                other.name
            ));
        }
        if let (Some(here), Some(there)) = (train.seen.column(label), other.seen.column(label)) {
            let unknown = there.labels.keys().filter(|name| !here.labels.contains_key(*name)).count();
            if unknown > 0 && !train.seen.estimated {
                warnings.push(format!(
                    "{} has {unknown} labels that train lacks: no model can tell them",
                    other.name
                ));
            }
        }
    }
    let rare = train
        .seen
        .column(label)
        .map_or(0, |column| column.labels.values().filter(|count| **count < 3).count());
    if rare > 0 && !train.seen.estimated {
        warnings.push(format!(
            "{rare} labels have fewer than 3 texts in train: hardly anything can be learned of them"
        ));
    }
}

/// The text as it grows.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        // A label or a file's name may hold anything.
        self.text.extend(line.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c }));
        self.text.push('\n');
    }

    /// A value with the reason for it, the reasons of a block below each other.
    fn because(&mut self, value: &str, why: &str) {
        self.line(format!("  {value:24} # {why}"));
    }
}

fn head(page: &mut Page, inputs: &Inputs) {
    let files: Vec<String> = inputs.splits.iter().map(|split| file_name(&split.seen.path)).collect();
    let texts = match inputs.corpus {
        Some(corpus) => format!("in the same texts and in {}", file_name(corpus)),
        None => "in the same texts".to_owned(),
    };
    page.line(format!("# Made by `tartan new` from {}.", files.join(", ")));
    page.line("#");
    page.line(
        "# Two ways to train on it: on the labels alone, or on them and on hidden words to fill in, at once,",
    );
    page.line(format!(
        "# {texts} (MT-TARTAN). Every number is yours to change; why it was chosen stands beside it."
    ));
    page.line("#");
    page.line(format!("#   tartan check {0}.yaml    is it sound?", inputs.name));
    page.line(format!("#   tartan run {0}.yaml      a table of scores ends the run", inputs.name));
    page.line("tartan: 1");
    page.line(format!("name: {}", scalar(inputs.name)));
    page.line("");
}

fn vars(page: &mut Page, inputs: &Inputs, metric: &Because<&str>, length: &Because<u32>, budget: &Budget) {
    let relative = |path: &Path| scalar(&relative(inputs.folder, path));
    page.line("vars:");
    let (encoder, why) = match inputs.encoder {
        Encoder::Folder(folder, _) => (relative(folder), "a model's folder"),
        Encoder::Hub(name) => {
            (scalar(name), "of the hub, fetched by the first run; offline, a model's folder")
        }
        Encoder::Toy(folder) => {
            (relative(folder), "a toy: it shows that all works, and learns next to nothing")
        }
    };
    page.because(&format!("encoder: {encoder}"), why);
    page.because("method: mt-tartan", "the sweep below replaces these two;");
    page.because("seed: 0", "`--set method=fine-tune` picks one by hand");
    page.line("");
    page.because(&format!("max_length: {}", length.0), &length.1);
    page.because(&format!("metric: {}", metric.0), &metric.1);
    page.because(&format!("precision: {}", budget.precision.0), &budget.precision.1);
    page.because(&format!("batch: {}", budget.batch), "texts a step, of each objective");
    page.because(&format!("steps: {}", budget.steps.0), &budget.steps.1);
    page.because(
        &format!("evaluate_every: {}", budget.evaluate_every),
        "steps; dev ends training where it gets no better",
    );
    page.line("");
}

fn data(page: &mut Page, inputs: &Inputs) {
    page.line("stages:");
    match inputs.encoder {
        Encoder::Toy(_) => {
            page.line("  # `random` draws the weights anew. With a real encoder: {from: \"${encoder}\"}, and a lower `lr` below.");
            page.line("  encoder: {encoder: {random: \"${encoder}\", seed: \"${seed}\"}}");
        }
        _ => page.line("  encoder: {encoder: {from: \"${encoder}\"}}"),
    }
    page.line("");
    page.line("  # Texts become tokens.");
    page.line("  task:");
    page.line("    tokenize:");
    page.line("      tokenizer: encoder");
    page.line("      splits:");
    for split in inputs.splits {
        page.line(format!("        {}: {}", split.name, scalar(&relative(inputs.folder, &split.seen.path))));
    }
    let parts = parts(inputs);
    for (name, part) in &parts {
        page.line(format!("        {name}: {part}"));
    }
    if !parts.is_empty() {
        page.line("      # A number is a part of train's file, drawn label by label. A file of its own can stand there instead.");
    }
    page.line(format!("      text: {}", scalar(&inputs.roles.text.field)));
    page.line(format!("      label: {}", scalar(&inputs.roles.label.field)));
    page.line("      max_length: \"${max_length}\"");
    if let Some(corpus) = inputs.corpus {
        page.line("  corpus:");
        page.line("    tokenize:");
        page.line("      tokenizer: encoder");
        page.line(format!("      splits: {{train: {}}}", scalar(&relative(inputs.folder, corpus))));
        page.line("      max_length: \"${max_length}\"");
    }
    page.line("");
    page.line("  # What can be learned from them: the labels, and hidden words.");
    page.line("  end-task: {objective: {classify: {data: task}}}");
    page.line("  tapt: {objective: {mlm: {data: task}}}");
    if inputs.corpus.is_some() {
        page.line("  dapt: {objective: {mlm: {data: corpus}}}");
    }
    page.line("");
}

fn training(page: &mut Page, inputs: &Inputs) {
    // Fresh weights of a small model want a higher learning rate than a checkpoint.
    let (lr, joint_lr) =
        if matches!(inputs.encoder, Encoder::Toy(_)) { ("1e-3", "2e-3") } else { ("2e-5", "5e-5") };
    let common = |page: &mut Page, lr: &str| {
        page.line("      steps: \"${steps}\"");
        page.line("      batch: \"${batch}\"");
        page.line("      micro_steps: 1");
        page.line(format!("      lr: {lr}"));
        page.line("      evaluate_every: \"${evaluate_every}\"");
        page.line("      patience: 5");
        page.line("      metric: \"${metric}\"");
        page.line("      precision: \"${precision}\"");
        page.line("      seed: \"${seed}\"");
    };
    page.line("  # On the labels alone.");
    page.line("  fine-tune:");
    page.line("    train:");
    page.line("      init: encoder");
    page.line("      end_task: end-task");
    common(page, lr);
    page.line("");
    page.line("  # On everything at once. `learn-weights:` in place of `train:` also learns on the way how much each");
    page.line("  # objective should weigh (META-TARTAN).");
    page.line("  mt-tartan:");
    page.line("    train:");
    page.line("      init: encoder");
    page.line("      end_task: end-task");
    page.line(format!("      auxiliary: [{}]", if inputs.corpus.is_some() { "tapt, dapt" } else { "tapt" }));
    page.line("      auxiliary_batch: \"${batch}\"");
    common(page, joint_lr);
    page.line("");
}

fn results(page: &mut Page, budget: &Budget) {
    page.line("  # The test split is read here and nowhere else.");
    page.line("  test: {evaluate: {model: \"${method}\", data: task, split: test}}");
    page.line("");
    page.line("sweep:");
    page.line("  method: [fine-tune, mt-tartan]");
    page.because(&format!("seed: {{range: [0, {}]}}", budget.seeds.0), &budget.seeds.1);
    page.line("");
    page.line("report: {metric: \"test.${metric}\", rows: method, over: seed, baseline: fine-tune}");
}

/// A text as a YAML scalar that reads back as it.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    let begins = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '.' | '/' | '_'));
    let word = matches!(
        text.to_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
    );
    let number = text.parse::<f64>().is_ok();
    if begins && !word && !number && text.chars().all(plain) && !text.contains(": ") && !text.ends_with(':') {
        return text.to_owned();
    }
    // JSON's strings are YAML's too.
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

/// The way from a folder to a file, upwards where need be.
fn relative(folder: &Path, file: &Path) -> String {
    let absolute = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
        parts.map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>()
    };
    let (from, to) = (absolute(folder), absolute(file));
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    // Only the root is shared: elsewhere on the machine.
    if shared <= 1 {
        return to.into_iter().collect::<PathBuf>().display().to_string();
    }
    let up = from.iter().skip(shared).map(|_| "..".into());
    let path: PathBuf = up.chain(to.into_iter().skip(shared)).collect();
    path.display().to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// A label as it fits into a line.
fn short(label: &str) -> String {
    if label.chars().count() <= 24 {
        label.to_owned()
    } else {
        label.chars().take(23).chain(['…']).collect()
    }
}

fn records(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "record" } else { "records" })
}

/// `12,345`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
