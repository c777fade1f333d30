//! The table as a JSON Schema that editors complete and check from.
//!
//! Draft 7, the newest that the YAML language server knows whole. A block is an object that knows its
//! fields; `${…}` may stand for any value but those that say what variables and stages there are.

use serde_json::{Map, Value, json};

use super::super::yaml::{Node, parse_value};
use super::{Absent, Block, Field, PIPELINE, Range, Rule, Type, blocks, kinds};

/// A JSON Schema of a pipeline file.
pub fn schema() -> Value {
    let mut schema = of_block(&PIPELINE);
    let inner = blocks().into_iter().skip(1);
    let definitions: Map<String, Value> =
        inner.map(|block| (definition(block), Value::Object(of_block(block)))).collect();
    schema.insert("definitions".into(), definitions.into());
    schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("title".into(), "tartan pipeline".into());
    Value::Object(schema)
}

/// What a block is called among the definitions.
fn definition(block: &Block) -> String {
    block.name.replace(' ', "-")
}

fn reference(block: &Block) -> Value {
    json!({"$ref": format!("#/definitions/{}", definition(block))})
}

fn of_block(block: &Block) -> Map<String, Value> {
    let properties: Map<String, Value> =
        block.fields().map(|field| (field.name.to_owned(), of_field(field))).collect();
    let required: Vec<&str> =
        block.fields().filter(|field| field.absent == Absent::Fault).map(|field| field.name).collect();
    let mut schema = object(json!({
        "type": "object",
        "description": block.doc,
        "properties": properties,
        "additionalProperties": block.open.map_or(json!(false), |(_, of)| item(&of)),
    }));
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    let rules: Vec<Value> = block.rules.iter().map(of_rule).collect();
    if !rules.is_empty() {
        schema.insert("allOf".into(), rules.into());
    }
    schema
}

fn of_rule(rule: &Rule) -> Value {
    let each = |fields: &[&str]| fields.iter().map(|field| json!({"required": [field]})).collect::<Vec<_>>();
    match rule {
        Rule::One(fields) => json!({"oneOf": each(fields)}),
        Rule::Some(fields) => json!({"anyOf": each(fields)}),
        Rule::AtMostOne(fields) => {
            let two = fields.iter().enumerate().flat_map(|(i, a)| fields[..i].iter().map(move |b| (a, b)));
            let two: Vec<Value> = two.map(|(a, b)| json!({"required": [a, b]})).collect();
            json!({"not": {"anyOf": two}})
        }
    }
}

fn of_field(field: &Field) -> Value {
    let mut schema = match field.of {
        Type::Block(block) if kinds().any(|kind| std::ptr::eq(kind, block)) => {
            // Beside a reference nothing counts, so that it stands apart from the description.
            object(json!({"anyOf": [reference(block), variable()]}))
        }
        of => {
            let mut any = alternatives(&of);
            if !any.contains(&anything()) {
                if !matches!(of, Type::Exactly(_)) && !is_laid(field) {
                    any.push(variable());
                }
                // Nothing stands for a field that is absent.
                if field.absent != Absent::Fault {
                    any.push(json!({"type": "null"}));
                }
            }
            either(any)
        }
    };
    schema.insert("description".into(), description(field).into());
    if let Absent::Default(default) = field.absent
        && let Some(default) = parse_value(default)
    {
        schema.insert("default".into(), json_of(&default));
    }
    Value::Object(schema)
}

/// Whether a field of the pipeline is laid over others before any variable has a value.
fn is_laid(field: &Field) -> bool {
    let laid = ["include", "vars", "stages", "profiles"];
    laid.contains(&field.name) && PIPELINE.fields().any(|of| std::ptr::eq(of, field))
}

/// What is said of a field where the cursor is on it.
fn description(field: &Field) -> String {
    let mut text = field.doc.to_owned();
    match field.absent {
        Absent::Fault | Absent::Otherwise("") => {}
        Absent::Default(default) => text.push_str(&format!("\n\nDefault: `{default}`.")),
        Absent::Otherwise(what) => text.push_str(&format!("\n\nDefault: {what}.")),
    }
    if !field.unit.is_empty() {
        text.push_str(&format!("\n\nUnit: {}.", field.unit));
    }
    if let Type::Stage(kinds) | Type::Several(&Type::Stage(kinds)) = field.of
        && !kinds.is_empty()
    {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        text.push_str(&format!("\n\nNames a stage of kind {}.", kinds.join(" or ")));
    }
    text
}

/// The schemas of which a value must fit one.
fn alternatives(of: &Type) -> Vec<Value> {
    match of {
        // What is written as a number or truth value counts as its text.
        Type::Text => vec![json!({"type": ["string", "integer", "boolean"]})],
        Type::Path | Type::Variable | Type::Stage(_) => vec![json!({"type": "string"})],
        Type::Form(form, _) => vec![json!({"type": "string", "pattern": form})],
        Type::Truth => vec![json!({"type": "boolean"})],
        Type::No => vec![json!({"const": false})],
        Type::Exactly(number) => vec![json!({"const": number})],
        Type::Count(least) => vec![json!({"type": "integer", "minimum": least, "maximum": i64::MAX})],
        Type::Number(range) => vec![number(*range)],
        Type::Numbers(count, range) => {
            let items = either(vec![number(*range), variable()]);
            vec![json!({"type": "array", "items": items, "minItems": count, "maxItems": count})]
        }
        Type::Word(words) => words.iter().map(word).collect(),
        Type::Scalar => vec![json!({"type": ["string", "number", "boolean"]})],
        Type::Anything => vec![anything()],
        Type::List(of) => vec![json!({"type": "array", "items": item(of)})],
        Type::Several(of) => {
            let list = json!({"type": "array", "items": item(of)});
            alternatives(of).into_iter().chain([list]).collect()
        }
        Type::NotEmpty(of) => {
            let mut any = alternatives(of);
            for schema in any.iter_mut().filter_map(Value::as_object_mut) {
                schema.insert("minItems".into(), 1.into());
                schema.insert("minProperties".into(), 1.into());
            }
            any
        }
        Type::Block(block) => vec![reference(block)],
        Type::Each(_, of) => vec![json!({"type": "object", "additionalProperties": item(of)})],
        Type::Any(types) => types.iter().flat_map(alternatives).collect(),
    }
}

/// What stands in a list, or under a name of the user's.
fn item(of: &Type) -> Value {
    let mut any = alternatives(of);
    if !any.contains(&anything()) {
        any.push(variable());
    }
    Value::Object(either(any))
}

/// A text with a variable in it.
fn variable() -> Value {
    json!({"type": "string", "pattern": r"\$\{"})
}

fn anything() -> Value {
    json!({})
}

fn either(mut any: Vec<Value>) -> Map<String, Value> {
    match any.len() {
        1 => object(any.remove(0)),
        _ => object(json!({"anyOf": any})),
    }
}

fn word((word, meaning): &(&str, &str)) -> Value {
    match *meaning {
        "" => json!({"const": word}),
        meaning => json!({"const": word, "description": meaning}),
    }
}

fn number(range: Range) -> Value {
    match range {
        Range::Any => json!({"type": "number"}),
        Range::NotNegative => json!({"type": "number", "minimum": 0}),
        Range::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
        Range::BelowOne => json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
        Range::Part => json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
        Range::UpToOne => json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
    }
}

/// A node as JSON.
pub(in crate::spec) fn json_of(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(truth) => (*truth).into(),
        Node::Int(int) => (*int).into(),
        Node::Float(float) => (*float).into(),
        Node::Text(text) => text.as_str().into(),
        Node::List(items) => items.iter().map(json_of).collect(),
        Node::Map(fields) => {
            Value::Object(fields.iter().map(|(name, node)| (name.clone(), json_of(node))).collect())
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
