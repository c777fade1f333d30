//! Single scores as data: CSV and JSON, a line or an object for each sweep point, so that anyone can redo the
//! statistics. Scores are between 0 and 1 here.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::scores::Seen;
use super::table::{Cell, Line, Table};

/// The version of the JSON: raised when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The scores of tables as CSV, under one header (RFC 4180). A number that several tables show stands once.
pub fn csv(tables: &[Table]) -> String {
    let mut vars: Vec<&str> = vec![];
    for var in tables.iter().flat_map(|table| &table.scores.vars) {
        if !vars.contains(&var.as_str()) {
            vars.push(var);
        }
    }
    let header = vars.iter().copied().chain(["stage", "split", "metric", "score", "key"]);
    let mut text = line(header.map(str::to_owned));
    let mut written = BTreeSet::new();
    for table in tables {
        for seen in &table.scores.seen {
            let value = |var: &&str| {
                let at = table.scores.vars.iter().position(|known| known == var);
                at.map_or_else(String::new, |at| seen.values[at].clone())
            };
            let fields = vars.iter().map(value).chain([
                seen.stage.clone(),
                seen.split.clone().unwrap_or_default(),
                seen.metric.clone(),
                seen.score.map_or_else(String::new, |score| score.to_string()),
                seen.key.map_or_else(String::new, |key| key.hex()),
            ]);
            let line = line(fields);
            if written.insert(line.clone()) {
                text += &line;
            }
        }
    }
    text
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let fields: Vec<String> = fields
        .map(|field| {
            if field.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field
            }
        })
        .collect();
    fields.join(",") + "\n"
}

#[derive(Serialize)]
struct Page<'a> {
    version: u32,
    pipeline: &'a str,
    tables: Vec<Value>,
}

/// Tables as JSON: their cells with all statistics, and the scores they are of.
pub fn json(pipeline: &str, tables: &[Table]) -> serde_json::Result<String> {
    let page = Page { version: VERSION, pipeline, tables: tables.iter().map(table).collect() };
    serde_json::to_string_pretty(&page).map(|text| text + "\n")
}

fn table(table: &Table) -> Value {
    let cells: Vec<Value> = table
        .rows
        .iter()
        .flat_map(|(row, cells)| {
            let columns = table.columns.iter().zip(cells);
            columns.map(|(column, of)| {
                cell(&named(&table.row_vars, row), &named(&table.column_vars, column), of)
            })
        })
        .collect();
    let scores: Vec<Value> = table.scores.seen.iter().map(|seen| score(&table.scores.vars, seen)).collect();
    json!({
        "title": table.title,
        "stages": table.stages,
        "split": table.split,
        "shows": if table.of_weights { "weights" } else { "scores" },
        "metrics": table.metrics,
        "rows": table.row_vars,
        "columns": table.column_vars,
        "over": table.over,
        "baseline": table.baseline.as_ref().map(|of| json!({"variable": of.var, "value": of.value})),
        "cells": cells,
        "scores": scores,
    })
}

fn named(vars: &[String], line: &Line) -> Value {
    let pairs = vars.iter().zip(&line.values).map(|(var, value)| (var.clone(), json!(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn cell(row: &Value, column: &Value, cell: &Cell) -> Value {
    let comparison = cell.comparison.as_ref().map(|found| {
        json!({
            "pairs": found.pairs,
            "difference": found.difference,
            "interval_95": found.interval.map(|(low, high)| [low, high]),
            "p": found.p,
            "exact": found.exact,
        })
    });
    json!({
        "row": row,
        "column": column,
        "metric": cell.metric,
        "n": cell.scores.len(),
        "missing": cell.missing,
        "mean": cell.mean(),
        "sd": cell.deviation(),
        "best": cell.best,
        "is_baseline": cell.is_baseline,
        "comparison": comparison,
    })
}

fn score(vars: &[String], seen: &Seen) -> Value {
    let values = vars.iter().zip(&seen.values).map(|(var, value)| (var.clone(), json!(value)));
    json!({
        "values": Value::Object(values.collect::<Map<_, _>>()),
        "stage": seen.stage,
        "split": seen.split,
        "metric": seen.metric,
        "score": seen.score,
        "key": seen.key.map(|key| key.hex()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::table::tests::made;

    #[test]
    fn csv_has_a_line_a_point_and_a_number_once() {
        let mut table = made("method", "task", "seed", "method=ft");
        table.scores.seen[0].values[0] = "a \"b\", c".into();
        let text = csv(&[table.clone(), table.clone()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 13);
        assert_eq!(lines[0], "method,task,seed,stage,split,metric,score,key");
        let key = table.scores.seen[0].key.expect("a key");
        assert_eq!(lines[1], format!("\"a \"\"b\"\", c\",task-a,0,test,test,macro_f1,0.6,{key}"));
        assert_eq!(lines[11], "mt,task-b,1,test,test,macro_f1,,");
    }

    #[test]
    fn json_has_the_statistics_and_what_they_are_of() {
        let table = made("method", "task", "seed", "method=ft");
        let text = json("demo", &[table]).expect("json");
        let page: Value = serde_json::from_str(&text).expect("json");
        assert_eq!((&page["version"], &page["pipeline"]), (&json!(1), &json!("demo")));
        let table = &page["tables"][0];
        assert_eq!(table["scores"].as_array().map(Vec::len), Some(12));
        assert_eq!(table["scores"][10]["score"], Value::Null);
        let cell = &table["cells"][2];
        assert_eq!((&cell["row"], &cell["column"]), (&json!({"method": "mt"}), &json!({"task": "task-a"})));
        assert_eq!(
            (&cell["n"], &cell["best"], &cell["comparison"]["p"]),
            (&json!(3), &json!(true), &json!(0.25))
        );
        assert_eq!(table["cells"][3]["comparison"]["interval_95"], Value::Null);
        assert_eq!(table["baseline"], json!({"variable": "method", "value": "ft"}));
    }
}
