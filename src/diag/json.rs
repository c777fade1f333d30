//! Diagnostics as JSON, for editors and scripts.

use serde_json::{Value, json};

use super::{Diagnostic, Severity};

/// One document with all diagnostics, in the order given: `{"version": 1, "diagnostics": [{…}, …]}`.
///
/// Lines and columns count from 1, columns in characters; `end_column` is that behind the last character. A
/// diagnostic without a place has null for `file`, `line`, `column` and `end_column`. `replacement` is what may be
/// meant in place of the marked characters, or null.
pub fn json(diagnostics: &[Diagnostic]) -> Value {
    json!({"version": 1, "diagnostics": diagnostics.iter().map(of).collect::<Vec<_>>()})
}

fn of(diagnostic: &Diagnostic) -> Value {
    let place = diagnostic.place.as_ref();
    json!({
        "code": diagnostic.code.name(),
        "severity": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "title": diagnostic.code.title(),
        "message": diagnostic.message,
        "file": place.map(|place| place.file.display().to_string()),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "end_column": place.map(|place| place.column + place.width),
        "notes": diagnostic.notes,
        "help": diagnostic.help,
        "replacement": diagnostic.replacement(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Place};
    use super::*;

    #[test]
    fn a_replacement_is_for_the_marked_characters_alone() {
        let place = |source: &str, column, width| Place {
            file: "p.yaml".into(),
            line: 3,
            column,
            width,
            source: source.into(),
        };
        let fault = || {
            let fault = Diagnostic::error(Code::UnknownStage, "unknown stage `tsk`");
            fault.meant("tsk", ["task"], String::new)
        };
        let found =
            json(&[fault().at(place("a: \"10x tsk\"", 4, 9)), fault().at(place("a: ${b}", 4, 4)), fault()]);
        let all = &found["diagnostics"];
        assert_eq!((&all[0]["column"], &all[0]["end_column"]), (&9.into(), &12.into()));
        assert_eq!((&all[0]["replacement"], &all[0]["code"]), (&"task".into(), &"T0304".into()));
        // What stands there is no `tsk`: a variable made it.
        assert_eq!((&all[1]["column"], &all[1]["replacement"]), (&4.into(), &Value::Null));
        assert_eq!((&all[2]["line"], &all[2]["help"]), (&Value::Null, &"did you mean `task`?".into()));
    }
}
