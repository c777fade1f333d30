//! Texts from files of other kinds, and what is said of the data.

use serde_json::Value;

use crate::world::World;

const PIPELINE: &str = r#"tartan: 1
name: sources
stages:
  encoder: {encoder: {random: encoder}}
  task:
    tokenize:
      tokenizer: encoder
      splits:
        train: ["part-*.csv"]
        dev: 0.25
        test: test.jsonl
      label_map: {"0": no, "1": yes, "2": null, "*": other}
      max_length: 32
"#;

fn world() -> World {
    let world = World::new();
    let rows = |from: usize, to: usize| -> String {
        (from..to).map(|i| format!("{},\"creature, {i}\"\n", i % 3)).collect()
    };
    world.write("part-1.csv", &format!("label,text\n{}", rows(0, 30)));
    world.write("part-2.csv", &format!("label,text\n{}", rows(30, 60)));
    world.write(
        "test.jsonl",
        "{\"text\": \"creature, 4\", \"label\": 1}\n{\"text\": \"other\", \"label\": 7}\n",
    );
    world.write("p.yaml", PIPELINE);
    world
}

#[test]
fn what_is_wrong_with_the_data_is_told_where_the_pipeline_says_it() {
    let world = world();
    let ran = world.run(&["task"]).code(0);
    for part in [
        "warning[T0612]: 1 of the 2 texts of split `test` have labels that train lacks: `other` (1)",
        "p.yaml:11:15",
        "warning[T0613]: 1 of the 2 texts of split `test` is also in `train`, such as that of test.jsonl:1, which is that of part-1.csv:6",
        "`deduplicate: across` leaves out",
    ] {
        assert!(ran.stderr.contains(part), "`{part}` is not in:\n{}", ran.stderr);
    }
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(world.object("task", name)).expect("an object")).expect("json")
    };
    assert_eq!(read("sizes.json"), serde_json::json!({"dev": 10, "test": 2, "train": 30}));
    assert_eq!(read("labels.json")["names"], serde_json::json!(["no", "yes", "other"]));
    assert_eq!(read("stats.json")["train"]["left_out"]["by_label"], 20);
    world.tartan(&["show", "task", "-p", "p.yaml"]).code(0);

    // Another name, another packing of the same bytes, is another file only by its content.
    std::fs::rename(world.path("part-2.csv"), world.path("part-9.csv")).expect("rename");
    assert_eq!(world.run(&["task"]).code(0).ran(), [""; 0]);

    world.change("p.yaml", "max_length", "strict: true\n      max_length");
    let failed = world.run(&["task"]).code(1);
    failed.says("error[T0612]: 1 of the 2 texts").says("p.yaml:11:15");
    world.change("p.yaml", "strict: true", "strict: true\n      deduplicate: across");
    world.change("test.jsonl", "7", "0");
    world.run(&["task"]).code(0);
}

#[test]
fn a_split_that_turns_out_empty_is_an_error_at_its_place() {
    let world = world();
    world.write("test.jsonl", "\n  \n");
    let failed = world.run(&["task"]).code(1);
    failed
        .says("error[T0611]: split `test` has no text: `test.jsonl` has only blank lines")
        .says("p.yaml:11:15");
    world.write("test.jsonl", "");
    let failed = world.run(&["task"]).code(2);
    failed.says("error[T0611]: split `test` has no text: `test.jsonl` is empty").says("p.yaml:11:15");
}
