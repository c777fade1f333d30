//! The table as pages of the manual, in Markdown: one for each block that has an example of its own, the
//! blocks inside it as sections.

use super::{Absent, Block, Field, PIPELINE, Rule, Type};

const MARK: &str =
    "<!-- Written from the table in src/spec/reference; `TARTAN_BLESS=1` with its tests writes it anew. -->";

/// Every page: its file's name, and its text.
pub fn pages() -> Vec<(String, String)> {
    let mut open = vec![&PIPELINE];
    let mut pages: Vec<(String, String)> = vec![];
    while let Some(block) = open.pop() {
        let name = file(block);
        if pages.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let (text, others) = page(block);
        pages.push((name, text));
        open.extend(others.into_iter().rev());
    }
    pages
}

fn file(block: &Block) -> String {
    format!("{}.md", block.name)
}

/// A page, and the blocks that it links to.
fn page(block: &'static Block) -> (String, Vec<&'static Block>) {
    let mut text = format!("{MARK}\n\n# `{}`\n\n{}\n", block.name, block.doc);
    if !block.example.is_empty() {
        let kind = if block.name == "report" { "part" } else { "stages" };
        text.push_str(&format!("\n```yaml,{kind}\n{}```\n", block.example));
    }
    let mut others = vec![];
    let mut sections = vec![block];
    let mut at = 0;
    while let Some(section) = sections.get(at).copied() {
        if at > 0 {
            text.push_str(&format!("\n## `{}`\n\n{}\n", section.name, section.doc));
        }
        text.push_str(&table(section));
        for inner in section.inner() {
            let seen = if inner.example.is_empty() { &mut sections } else { &mut others };
            if !seen.iter().any(|known| std::ptr::eq(*known, inner)) {
                seen.push(inner);
            }
        }
        at += 1;
    }
    (text, others)
}

fn table(block: &Block) -> String {
    let mut text = "\n| field | what | default | |\n|---|---|---|---|\n".to_owned();
    for field in block.fields() {
        let default = match field.absent {
            Absent::Fault => "*required*".to_owned(),
            Absent::Default(default) => format!("`{default}`"),
            Absent::Otherwise(what) => what.to_owned(),
        };
        text.push_str(&format!("| `{}` | {} | {default} | {} |\n", field.name, what(field), meaning(field)));
    }
    if let Some((name, of)) = &block.open {
        text.push_str(&format!("| *{name}* | {} | | Any name of yours. |\n", type_in_words(of)));
    }
    for rule in block.rules {
        text.push_str(&format!("\n{}\n", in_words(rule)));
    }
    text
}

/// A field's type and unit.
fn what(field: &Field) -> String {
    let of = type_in_words(&field.of);
    if field.unit.is_empty() { of } else { format!("{of} ({})", field.unit) }
}

/// A field's doc, and what its words mean.
fn meaning(field: &Field) -> String {
    let mut text = field.doc.to_owned();
    let told: Vec<String> = words(&field.of)
        .into_iter()
        .filter(|(_, meaning)| !meaning.is_empty())
        .map(|(word, meaning)| format!("`{word}`: {meaning}"))
        .collect();
    if !told.is_empty() {
        text.push_str(&format!(" {}.", told.join("; ")));
    }
    text.replace('|', "\\|")
}

fn words(of: &Type) -> Vec<(&'static str, &'static str)> {
    match of {
        Type::Word(words) => words.to_vec(),
        Type::Several(of) | Type::List(of) | Type::NotEmpty(of) => words(of),
        Type::Any(types) => types.iter().flat_map(words).collect(),
        _ => vec![],
    }
}

fn type_in_words(of: &Type) -> String {
    match of {
        Type::Text => "text".to_owned(),
        Type::Form(_, form) => (*form).to_owned(),
        Type::Path => "path".to_owned(),
        Type::Truth => "`true` or `false`".to_owned(),
        Type::No => "`false`".to_owned(),
        Type::Exactly(number) => format!("`{number}`"),
        Type::Count(0) => "whole number".to_owned(),
        Type::Count(least) => format!("whole number of at least {least}"),
        Type::Number(range) => format!("number {}", range.text()),
        Type::Numbers(count, super::Range::Any) => format!("list of {count} numbers"),
        Type::Numbers(count, range) => format!("list of {count} numbers {}", range.text()),
        Type::Word(words) => or(&words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>()),
        Type::Stage([]) => "stage".to_owned(),
        Type::Stage(kinds) => {
            format!("stage: {}", or(&kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>()))
        }
        Type::Variable => "variable".to_owned(),
        Type::Scalar => "text, number or truth value".to_owned(),
        Type::Anything => "anything".to_owned(),
        Type::List(of) => format!("list of: {}", type_in_words(of)),
        Type::Several(of) => format!("{}; or a list of such", type_in_words(of)),
        Type::NotEmpty(of) => type_in_words(of),
        Type::Block(block) if block.example.is_empty() => {
            format!("[block](#{})", block.name.replace(' ', "-"))
        }
        Type::Block(block) => format!("[block]({})", file(block)),
        Type::Each(key, of) => format!("block: each {key} over {}", type_in_words(of)),
        Type::Any(types) => or(&types.iter().map(type_in_words).collect::<Vec<_>>()),
    }
}

fn in_words(rule: &Rule) -> String {
    let list = |fields: &[&str], last: &str| {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        joined(&fields, last)
    };
    match rule {
        Rule::One(fields) => format!("Exactly one of {} is there.", list(fields, "and")),
        Rule::AtMostOne(fields) => format!("At most one of {} is there.", list(fields, "and")),
        Rule::Some(fields) => format!("At least one of {} is there.", list(fields, "and")),
    }
}

fn or(items: &[String]) -> String {
    joined(items, "or")
}

fn joined(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}
