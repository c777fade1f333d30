//! Whether a value fits a JSON Schema, as far as ours goes: the keywords of draft 7 that it uses, and a panic
//! at any other. (A whole validator is twenty crates.)

use serde_json::Value;

/// Where and how a value does not fit; empty where it does.
pub(super) fn misfits(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = vec![];
    check(schema, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let fits = |schema: &Value| {
        let mut found = vec![];
        check(root, schema, value, at, &mut found);
        found.is_empty()
    };
    let number = |limit: &Value| limit.as_f64().expect("a number");
    let all = |schemas: &Value| schemas.as_array().expect("a list").clone();
    for (keyword, rule) in schema.as_object().expect("a schema") {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" => true,
            "$ref" => {
                let pointer = rule.as_str().and_then(|rule| rule.strip_prefix('#')).expect("a reference");
                check(root, root.pointer(pointer).expect("a definition"), value, at, found);
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|of| is(value, of)),
                of => is(value, of),
            },
            "const" => value == rule,
            "minimum" => value.as_f64().is_none_or(|value| value >= number(rule)),
            "maximum" => value.as_f64().is_none_or(|value| value <= number(rule)),
            "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > number(rule)),
            "exclusiveMaximum" => value.as_f64().is_none_or(|value| value < number(rule)),
            "pattern" => value.as_str().is_none_or(|text| {
                regex::Regex::new(rule.as_str().expect("a pattern")).expect("a pattern").is_match(text)
            }),
            "anyOf" => all(rule).iter().any(fits),
            "oneOf" => all(rule).iter().filter(|schema| fits(schema)).count() == 1,
            "allOf" => all(rule).iter().all(fits),
            "not" => !fits(rule),
            "required" => value.as_object().is_none_or(|fields| {
                all(rule).iter().all(|name| fields.contains_key(name.as_str().expect("a name")))
            }),
            "minItems" => value.as_array().is_none_or(|items| items.len() as f64 >= number(rule)),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as f64 <= number(rule)),
            "minProperties" => value.as_object().is_none_or(|fields| fields.len() as f64 >= number(rule)),
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}/{i}"), found);
                }
                true
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        check(root, rule, field, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let named =
                    |name: &String| schema.get("properties").is_some_and(|fields| fields.get(name).is_some());
                for (name, field) in value.as_object().into_iter().flatten().filter(|(name, _)| !named(name))
                {
                    match rule {
                        Value::Bool(false) => found.push(format!("{at}/{name}: no such field")),
                        rule => check(root, rule, field, &format!("{at}/{name}"), found),
                    }
                }
                true
            }
            other => panic!("a keyword that is not checked: {other}"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} of {value}"));
        }
    }
}

fn is(value: &Value, of: &Value) -> bool {
    match of.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("a type that is not checked: {other}"),
    }
}
