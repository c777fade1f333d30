//! `tartan new`: a first pipeline from one's own data.

use std::path::{Path, PathBuf};

use super::encoders::Config;
use super::{Exit, Fault, out};
use crate::author::{self, Encoder, Inputs, Machine, Roles, Split};
use crate::diag::{Code, Diagnostic};
use crate::report::shell_word;
use crate::spec::Spec;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to call the pipeline; NAME.yaml is written [default: what the data are called]
    name: Option<String>,
    /// Labelled data in JSONL, CSV or TSV: one file, or those of train, dev and test (by their names, or as dev=FILE)
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// The field that holds the text [default: told from the data]
    #[arg(long, value_name = "FIELD")]
    text: Option<String>,
    /// The field that holds the label [default: told from the data]
    #[arg(long, value_name = "FIELD")]
    label: Option<String>,
    /// The model to start from: a folder, `hf://ORG/NAME`, or `toy`: made on the spot, to see that all works [default: one of the hub]
    #[arg(long, value_name = "FOLDER")]
    encoder: Option<String>,
    /// Unlabelled texts of the task's domain, one a line: learned from beside the task
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let files = author::name_splits(&args.data)
        .map_err(|error| wrong(Code::WhichSplit, &error, Some(error.help().to_owned())))?;
    let mut splits = vec![];
    for (name, path) in files {
        let seen = author::look(&path).map_err(|error| wrong(Code::NoRecords, &error, error.help()))?;
        let texts = format!(
            "{}{} in {}",
            if seen.estimated { "about " } else { "" },
            out::count(usize::try_from(seen.records).unwrap_or(usize::MAX), "record"),
            path.display()
        );
        say(name, &texts);
        splits.push(Split { name, seen });
    }
    let roles: Roles = author::choose(&splits[0].seen, args.text.as_deref(), args.label.as_deref())
        .map_err(|error| wrong(Code::WhichField, &error, Some(error.help())))?;
    if let Some(corpus) = args.corpus.as_ref().filter(|corpus| !corpus.is_file()) {
        return Err(Fault::wrong(vec![Diagnostic::error(
            Code::MissingFile,
            format!("there is no file `{}`", corpus.display()),
        )]));
    }

    let name = args.name.clone().unwrap_or_else(|| name_of(&splits[0].seen.path));
    let file = PathBuf::from(format!("{}.yaml", name.strip_suffix(".yaml").unwrap_or(&name)));
    if file.exists() {
        let what = format!("`{}` is there already, and is left as it is", file.display());
        let fault =
            Diagnostic::error(Code::FileExists, what).help("give another name: `tartan new NAME --data …`");
        return Err(Fault::wrong(vec![fault]));
    }
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let machine = Machine::here();
    let encoder = encoder(args.encoder.as_deref(), &folder, machine)?;

    let draft = author::draft(&Inputs {
        name: &stem,
        folder: &folder,
        splits: &splits,
        roles: &roles,
        machine,
        encoder: &encoder,
        corpus: args.corpus.as_deref(),
    });
    draft.findings.iter().for_each(|(what, finding)| say(what, finding));
    draft.warnings.iter().for_each(|warning| out::note(format_args!("warning: {warning}")));

    let (_, diagnostics) = Spec::from_text(&file, &draft.text, &[]);
    if !diagnostics.is_empty() {
        out::note(&draft.text);
        return Err(Fault::wrong(diagnostics));
    }
    write(&file, draft.text.as_bytes())?;
    let word = shell_word(&file.display().to_string());
    let shown = file.display();
    out::line(format_args!("\nwrote {shown}; next: `tartan check {word}`, then `tartan run {word}`"));
    Ok(Exit::Done)
}

fn say(what: &str, finding: &str) {
    out::line(format_args!("{what:8} {finding}"));
}

fn wrong(code: Code, error: &dyn std::error::Error, help: Option<String>) -> Fault {
    let mut fault = Diagnostic::error(code, error.to_string());
    fault.help = help;
    Fault::wrong(vec![fault])
}

/// What data are called: by their file, or by its folder where the file is only called a split.
fn name_of(train: &Path) -> String {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let own = stem(train).unwrap_or_default();
    let plain = |name: &str| {
        let words = name.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        words
            .filter(|word| !matches!(word.to_lowercase().as_str(), "train" | "training" | "data"))
            .collect::<Vec<_>>()
            .join("-")
    };
    let folder = || Some(plain(&stem(std::path::absolute(train).ok()?.parent()?)?));
    let name = Some(plain(&own)).filter(|name| !name.is_empty()).or_else(folder);
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "first".to_owned())
}

fn encoder(said: Option<&str>, folder: &Path, machine: Machine) -> Result<Encoder, Fault> {
    match said {
        // The paper's encoder; for a CPU one of the family that is half as deep.
        None if machine.gpus > 0 => Ok(Encoder::Hub("hf://FacebookAI/roberta-base".to_owned())),
        None => Ok(Encoder::Hub("hf://distilbert/distilroberta-base".to_owned())),
        Some("toy") => toy(folder),
        Some(hub) if hub.starts_with("hf://") => Ok(Encoder::Hub(hub.to_owned())),
        Some(path) => {
            let path = Path::new(path);
            let config = path.join("config.json");
            let text = std::fs::read_to_string(&config).map_err(|error| {
                wrong_encoder(format!("`{}` is no encoder: {}: {error}", path.display(), config.display()))
            })?;
            Ok(Encoder::Folder(path.to_owned(), positions(&text)))
        }
    }
}

fn wrong_encoder(message: String) -> Fault {
    let fault = Diagnostic::error(Code::NoEncoder, message).help(
        "`--encoder FOLDER` takes a model as `transformers` saves it (config.json, model.safetensors, tokenizer.json); \
         `--encoder toy` makes a tiny one, to see that all works",
    );
    Fault::wrong(vec![fault])
}

/// The most tokens of a text that a model's configuration allows.
fn positions(config: &str) -> Option<u32> {
    serde_json::from_str::<Config>(config).ok()?.positions()
}

/// The toy world's encoder in a folder beside the pipeline. One that is there stays.
fn toy(folder: &Path) -> Result<Encoder, Fault> {
    let to = folder.join("toy-encoder");
    let files = [
        ("config.json", include_bytes!("../../examples/toy/encoder/config.json").as_slice()),
        ("tokenizer.json", include_bytes!("../../examples/toy/encoder/tokenizer.json").as_slice()),
    ];
    std::fs::create_dir_all(&to).map_err(|error| failed(&to, &error))?;
    for (name, bytes) in files {
        let path = to.join(name);
        if !path.exists() {
            write(&path, bytes)?;
        }
    }
    Ok(Encoder::Toy(to))
}

/// Writes a new file, and never over one that is there.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    std::fs::File::create_new(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, bytes))
        .map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Fault {
    Fault::failed(Code::System, format!("failed to write `{}`: {error}", path.display()), None)
}

#[cfg(test)]
mod tests {
    use super::super::check::diagnose;
    use super::super::pipeline::Choice;
    use super::*;

    #[test]
    fn a_table_becomes_a_pipeline_that_is_sound_and_tidy_and_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("reviews.csv");
        let rows = (0..60).map(|i| format!("text number {i} of many,{}\n", ["good", "bad", "good"][i % 3]));
        std::fs::write(&data, format!("review,stars\n{}", rows.collect::<String>())).expect("write");
        let args = Args {
            name: Some(folder.path().join("mine").display().to_string()),
            data: vec![data],
            text: None,
            label: None,
            encoder: Some("toy".to_owned()),
            corpus: None,
        };
        assert_eq!(run(&args).expect("a pipeline"), Exit::Done);
        let file = folder.path().join("mine.yaml");
        let text = std::fs::read_to_string(&file).expect("read");
        let choice = Choice { cache: Some(folder.path().join("cache")), ..Choice::default() };
        let (_, told) = diagnose(Spec::from_text(&file, &text, &[]), &choice).expect("a store");
        assert!(told.is_empty(), "{}\n{text}", told[0]);
        assert_eq!(crate::spec::format(&file, &text).expect("tidy"), text);
        assert_eq!(run(&args).expect_err("it is there").diagnostics[0].code, Code::FileExists);
        assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
    }

    #[test]
    fn data_are_called_by_what_tells_them_apart() {
        for (path, name) in [
            ("/x/reviews.csv", "reviews"),
            ("/x/chemprot/train.jsonl", "chemprot"),
            ("/x/reviews-train.tsv", "reviews"),
            ("/train.csv", "first"),
        ] {
            assert_eq!(name_of(Path::new(path)), name, "{path}");
        }
        assert_eq!(positions(r#"{"model_type": "roberta", "max_position_embeddings": 514}"#), Some(512));
        assert_eq!(positions(r#"{"model_type": "camembert", "max_position_embeddings": 514}"#), Some(512));
        assert_eq!(positions("{}"), None);
    }
}
