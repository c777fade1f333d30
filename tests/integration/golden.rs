//! What each kind makes, held against what it made when its revision was last raised.
//!
//! A kind whose output changes for the same action and inputs must have its revision raised, or caches go
//! on giving the old output for the new program. Floats are rounded, so that another machine's last bits
//! change nothing. After raising a revision: `TARTAN_BLESS=1 cargo test --test integration golden`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::world::World;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/golden.json");

#[test]
fn a_kind_that_makes_other_output_has_another_revision() {
    let world = World::new();
    world.change(
        "p.yaml",
        "report:",
        "  out: {export: {model: model}}
  meta:
    learn-weights:
      {init: encoder, end_task: end-task, auxiliary: [tapt], steps: 4, batch: 8, auxiliary_batch: 8, lr: 1e-3}
targets: [test, out, meta]
report:",
    );
    world.run(&[]).code(0);
    let mut made: BTreeMap<String, Value> = BTreeMap::new();
    for (stage, outputs) in world.made() {
        let record = world.tartan(&["show", &stage, "--json"]).code(0).stdout;
        let record: Value = serde_json::from_str(&record).expect("a record");
        let kind = record["manifest"]["kind"].as_str().expect("a kind").to_owned();
        let entry = made
            .entry(kind)
            .or_insert_with(|| json!({"revision": record["manifest"]["revision"], "outputs": {}}));
        for name in outputs.keys() {
            let bytes = std::fs::read(world.object(&stage, name)).expect("an object");
            entry["outputs"][format!("{stage}/{name}")] = summary(name, &bytes).into();
        }
    }
    let old: BTreeMap<String, Value> = match std::fs::read_to_string(FILE) {
        Ok(text) => serde_json::from_str(&text).expect("golden.json"),
        Err(_) => BTreeMap::new(),
    };
    for (kind, new) in &made {
        let Some(old) = old.get(kind) else { continue };
        let same_revision = old["revision"] == new["revision"];
        assert!(
            old["outputs"] == new["outputs"] || !same_revision,
            "`{kind}` makes other output than at revision {}: raise it in Action::revision.\nthen: {:#}\nnow: {:#}",
            old["revision"],
            old["outputs"],
            new["outputs"]
        );
    }
    if std::env::var_os("TARTAN_BLESS").is_some() {
        std::fs::write(FILE, serde_json::to_string_pretty(&made).expect("json") + "\n").expect("golden.json");
    } else {
        assert!(old == made, "a revision was raised, or a kind is new: bless it (see the top of this file)");
    }
}

/// A file in a line: exact where it holds no floats, rounded where it does.
fn summary(name: &str, bytes: &[u8]) -> String {
    if name.ends_with(".safetensors") {
        let file = safetensors::SafeTensors::deserialize(bytes).expect("safetensors");
        let mut text = String::new();
        let mut tensors = file.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut sum, mut count, mut ints) = (0.0, 0_u64, blake3::Hasher::new());
        for (name, tensor) in &tensors {
            if tensor.dtype() == safetensors::Dtype::F32 {
                for value in tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)) {
                    sum += f64::from(value.abs());
                    count += 1;
                }
            } else {
                ints.update(tensor.data());
            }
            ints.update(format!("{name} {:?}", tensor.shape()).as_bytes());
        }
        let mean = if count > 0 { sum / count as f64 } else { 0.0 };
        write!(text, "{} tensors, {}, mean |x| {mean:.4}", tensors.len(), &ints.finalize().to_hex()[..16])
            .expect("text");
        return text;
    }
    let text = std::str::from_utf8(bytes).expect("text");
    let rounded: Vec<String> = text
        .lines()
        .map(|line| match serde_json::from_str::<Value>(line) {
            Ok(value) => round(value).to_string(),
            Err(_) => line.to_owned(),
        })
        .collect();
    let whole = match serde_json::from_str::<Value>(text) {
        Ok(value) => round(value).to_string(),
        Err(_) => rounded.join("\n"),
    };
    format!("{} bytes of text, {}", whole.len(), &blake3::hash(whole.as_bytes()).to_hex()[..16])
}

fn round(value: Value) -> Value {
    match value {
        Value::Number(n) if n.is_f64() => format!("{:.2}", n.as_f64().unwrap_or(f64::NAN)).into(),
        Value::Array(items) => items.into_iter().map(round).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, round(field))).collect(),
        other => other,
    }
}
