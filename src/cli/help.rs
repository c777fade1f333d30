//! `tartan help`: a code at length, or a command's usage.

use super::{Exit, Fault, out};
use crate::diag::{Code, Diagnostic, nearest};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Codes of errors and warnings (T0101), or a command
    #[arg(value_name = "CODE|COMMAND")]
    topic: Vec<String>,
    /// List all codes
    #[arg(long, conflicts_with = "topic")]
    list: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    if args.list {
        for code in Code::ALL {
            out::line(format_args!("{code}  {}", code.title()));
        }
        return Ok(Exit::Done);
    }
    let code = |topic: &String| Code::ALL.iter().find(|code| code.name().eq_ignore_ascii_case(topic));
    let codes: Option<Vec<&Code>> = args.topic.iter().map(code).collect();
    if let Some(codes) = codes.filter(|codes| !codes.is_empty()) {
        let pages = codes.iter().map(|code| format!("{code}: {}\n\n{}", code.title(), code.page()));
        out::bytes(pages.collect::<Vec<_>>().join("\n").as_bytes());
        return Ok(Exit::Done);
    }
    let mut command = super::command();
    command.build();
    for topic in &args.topic {
        let Some(inner) = command.find_subcommand(topic) else {
            // Of codes with a slip among them, the slip.
            let wrong = args.topic.iter().find(|topic| code(topic).is_none()).unwrap_or(topic);
            return Err(unknown(if code(topic).is_some() { wrong } else { topic }, &command));
        };
        command = inner.clone();
    }
    out::bytes(command.render_long_help().to_string().as_bytes());
    Ok(Exit::Done)
}

fn unknown(topic: &str, command: &clap::Command) -> Fault {
    let codes = Code::ALL.iter().map(|code| code.name());
    let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).chain(codes).collect();
    let upper = topic.to_uppercase();
    let fault = Diagnostic::error(Code::UnknownTopic, format!("no code and no command is called `{topic}`"));
    let word = if nearest(topic, known.iter().copied()).is_some() { topic } else { &upper };
    let all = || "`tartan help --list` shows the codes, `tartan help` the commands".to_owned();
    Fault::wrong(vec![fault.meant(word, known, all)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::check::diagnose;
    use super::super::pipeline::Choice;
    use super::*;
    use crate::spec::Spec;

    /// A sound pipeline; an example says what is otherwise.
    const BASE: &str = "\
tartan: 1
stages:
  encoder: {encoder: {from: models/tiny}}
  task:
    tokenize:
      tokenizer: encoder
      splits: {train: data/train.jsonl, dev: data/dev.jsonl, test: data/test.jsonl}
  domain: {tokenize: {tokenizer: encoder, splits: {train: data/domain.txt}}}
  end-task: {objective: {classify: {data: task}}}
  dapt: {objective: {mlm: {data: domain}}}
  model: {train: {init: encoder, end_task: end-task, auxiliary: [dapt], epochs: 2}}
  test: {evaluate: {model: model, data: task, split: test}}
";

    /// A text's fields with the lines of each, in order; of `stages`, each stage's lines by `  NAME`.
    fn parts(text: &str) -> Vec<(String, String)> {
        let mut parts: Vec<(String, String)> = vec![];
        let mut in_stages = false;
        for line in text.lines() {
            let at_top = !line.starts_with([' ', '\t']);
            let is_stage = in_stages && line.starts_with("  ") && !line.starts_with("   ");
            if at_top || is_stage {
                in_stages = if at_top { line == "stages:" } else { in_stages };
                let name = line.split(':').next().unwrap_or_default();
                parts.push((name.to_owned(), String::new()));
            }
            let part = &mut parts.last_mut().expect("a first line at the top").1;
            part.push_str(line);
            part.push('\n');
        }
        parts
    }

    /// An example as a whole pipeline. One that begins with `tartan:` or a comment is whole already.
    fn pipeline(example: &str) -> String {
        // What a page cannot hold is shown by a mark.
        let example = example.replace('␛', "\u{1b}").replace('→', "\t");
        if example.starts_with("tartan:") && example.lines().count() > 1 || example.starts_with('#') {
            return example;
        }
        let mut whole = parts(BASE);
        let mut before_stages = 1;
        for (name, text) in parts(&example) {
            match whole.iter_mut().find(|(known, _)| *known == name) {
                // What stands under it and is no stage, such as a line that a tab indents.
                _ if name == "stages" => {
                    whole.push((
                        String::new(),
                        text.lines().skip(1).map(|line| format!("{line}\n")).collect(),
                    ));
                }
                Some((_, old)) => *old = text,
                None if name.starts_with(' ') || name.starts_with('\t') => whole.push((name, text)),
                None => {
                    whole.insert(before_stages, (name, text));
                    before_stages += 1;
                }
            }
        }
        whole.into_iter().map(|(_, text)| text).collect()
    }

    /// Every diagnostic of a pipeline in the world of `tests/wrong`.
    fn codes(text: &str) -> (BTreeSet<Code>, String) {
        let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong");
        let cache = tempfile::tempdir().expect("folder");
        let choice = Choice { cache: Some(cache.path().to_owned()), ..Choice::default() };
        let spec = Spec::from_text(&world.join("example.yaml"), text, &[]);
        let (_, diagnostics) = diagnose(spec, &choice).expect("a store");
        let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        (diagnostics.iter().map(|diagnostic| diagnostic.code).collect(), texts.join("\n"))
    }

    #[test]
    fn the_base_of_the_examples_is_sound() {
        let (found, texts) = codes(&pipeline("tartan: 1\n"));
        assert!(found.is_empty(), "{texts}");
    }

    #[test]
    fn every_code_has_a_page_whose_examples_are_wrong_and_right() {
        let mut faults = vec![];
        for code in Code::ALL {
            let page = code.page();
            if page.explanation.len() < 80 || page.wrong.text.is_empty() || page.right.text.is_empty() {
                faults.push(format!("{code}: the page lacks an explanation or an example"));
            }
            for (example, is_wrong) in [(page.wrong, true), (page.right, false)] {
                if example.language != "yaml" {
                    continue;
                }
                let text = pipeline(example.text);
                let (found, texts) = codes(&text);
                if found.contains(code) != is_wrong {
                    let should = if is_wrong { "does not produce it" } else { "produces it" };
                    faults.push(format!("{code}: this {should}:\n{text}\n{texts}"));
                } else if !is_wrong && texts.contains("error[") {
                    faults.push(format!("{code}: the mended example is wrong otherwise:\n{text}\n{texts}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    }

    #[test]
    fn codes_are_distinct_and_in_order() {
        let names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
