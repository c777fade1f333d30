//! Tables of a sweep, from what is in the store; two results side by side.

use serde_json::Value;

use crate::world::World;

/// Two learning rates by two seeds, with a baseline and a figure.
fn sweep() -> World {
    let world = World::new();
    world.change("p.yaml", "epochs: 1}", "epochs: 1, rate: 1e-3}");
    world.change("p.yaml", "lr: 1e-3", "lr: \"${rate}\"");
    world.change(
        "p.yaml",
        "report: {metric: test.macro_f1, over: seed}",
        "sweep: {rate: [0.001, 0.01], seed: [0, 1]}\n\
         report: {metric: test.macro_f1, rows: rate, over: seed, baseline: 0.001, figure: {bars: pics/f1}}",
    );
    world
}

#[test]
fn tables_are_made_of_what_is_in_the_store() {
    let world = sweep();
    let none = world.tartan(&["results", "p.yaml"]).code(0);
    assert_eq!(none.stdout, "");
    let none = none.says("no result is there yet: `tartan run p.yaml` makes them");
    assert!(!none.stderr.contains("figures"), "{}", none.stderr);

    let ran = world.run(&[]).code(0).says("pics/f1.svg");
    let shown = world.tartan(&["results", "p.yaml"]).code(0);
    assert_eq!(shown.stdout, ran.stdout.trim_start_matches('\n'));
    assert!(shown.stdout.contains("2 pairs cannot give a p below 0.50"), "{}", shown.stdout);
    assert_eq!(shown.stdout.matches("(n=2)").count(), 2, "{}", shown.stdout);

    // What is not run yet is told of, and the rest is shown.
    world.change("p.yaml", "[0.001, 0.01]", "[0.001, 0.01, 0.1]");
    let part = world.tartan(&["results", "p.yaml"]).code(0).says("2 of 6 results are not there yet");
    assert!(part.stdout.contains("\n0.1     missing"), "{}", part.stdout);
}

#[test]
fn every_format_tells_the_same_scores() {
    let world = sweep();
    world.run(&[]).code(0);
    let print = |format: &str| world.tartan(&["results", "p.yaml", "--format", format]).code(0).stdout;

    let page: Value = serde_json::from_str(&print("json")).expect("json");
    let table = &page["tables"][0];
    let cell = &table["cells"][1];
    assert_eq!((&cell["n"], &cell["comparison"]["pairs"]), (&2.into(), &2.into()));
    let p = cell["comparison"]["p"].as_f64().expect("p");
    assert!(p >= 0.5, "{p}");

    let csv = print("csv");
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["rate", "seed", "stage", "split", "metric", "score", "key"]);
    let scores: Vec<f64> = lines[1..].iter().map(|line| line[5].parse().expect("a score")).collect();
    assert_eq!(scores.len(), 4);
    for (line, score) in lines[1..].iter().zip(table["scores"].as_array().expect("scores")) {
        assert_eq!((score["score"].as_f64(), score["key"].as_str()), (line[5].parse().ok(), Some(line[6])));
        assert!(world.path(&format!("cache/records/{}/{}.json", &line[6][..2], line[6])).is_file());
    }
    let mean = cell["mean"].as_f64().expect("a mean");
    assert!((mean - f64::midpoint(scores[2], scores[3])).abs() < 1e-12);
    let shown = format!("{:.2}", 100.0 * mean);
    for format in ["text", "markdown", "latex"] {
        let page = print(format);
        assert!(page.contains(&shown), "{shown} is not in:\n{page}");
    }
}

#[test]
fn without_a_report_seeds_are_averaged_over() {
    let world = sweep();
    let text = world.read("p.yaml");
    let (before, _) = text.split_once("report:").expect("a report");
    world.write("p.yaml", before);
    assert_eq!(world.run(&[]).code(0).stdout, "");
    let all = world.tartan(&["results", "p.yaml"]).code(0).stdout;
    assert_eq!(all.matches("mean ± sd over seed").count(), 3, "{all}");
    let one =
        world.tartan(&["results", "p.yaml", "test", "--metric", "accuracy", "--columns", "rate"]).code(0);
    assert!(one.stdout.contains("0.001") && one.stdout.lines().count() == 4, "{}", one.stdout);
}

#[test]
fn a_figure_comes_back() {
    let world = sweep();
    world.run(&[]).code(0);
    let (svg, png) = (world.path("pics/f1.svg"), world.path("pics/f1.png"));
    let first = std::fs::read(&svg).expect("svg");
    assert!(std::fs::read(&png).expect("png").starts_with(b"\x89PNG"));
    std::fs::remove_file(&svg).expect("removed");
    world.tartan(&["results", "p.yaml"]).code(0).says("figures: ");
    assert_eq!(std::fs::read(&svg).expect("svg"), first);
    // What is of a part of the sweep, or of other axes, or for another program, is not the pipeline's figure.
    std::fs::remove_file(&svg).expect("removed");
    let not_drawn = |args: &[&str], why: &str| {
        world.tartan(args).code(0).says(why);
        assert!(!svg.exists(), "{args:?}");
    };
    not_drawn(&["results", "p.yaml", "--rows", "seed", "--over", "rate"], "");
    not_drawn(&["results", "p.yaml", "--format", "csv"], "");
    not_drawn(&["results", "p.yaml", "--format", "json"], "");
    let set = "figure not drawn: `--set` gives seed in place of the sweep: ";
    not_drawn(&["results", "p.yaml", "--set", "seed=0"], set);
    not_drawn(&["run", "p.yaml", "--set", "seed=0"], set);
    not_drawn(&["run", "p.yaml", "--set", "sweep.seed=[0]"], set);
    // Targets that leave nothing out are no matter.
    world.run(&["test"]).code(0).says("figures: ");
    std::fs::remove_file(&svg).expect("removed");
    world.change("p.yaml", "[0.001, 0.01]", "[0.001, 0.01, 0.1]");
    not_drawn(&["results", "p.yaml"], "figure not drawn: 4 of 6 results are there: ");
    world.change("p.yaml", "[0.001, 0.01, 0.1]", "[0.001, 0.01]");
    // What cannot be written is told, after the table.
    world.write("pics-are-here", "");
    world.change("p.yaml", "pics/f1", "pics-are-here/f1");
    let failed = world.run(&[]).code(1).says("failed to write the figure");
    assert!(failed.stdout.contains("(n=2)"), "{}", failed.stdout);
}

#[test]
fn a_run_that_goes_on_after_a_failure_draws_what_is_there() {
    let world = sweep();
    // A learning rate at which the loss is no number any more.
    world.change("p.yaml", "[0.001, 0.01]", "[0.001, 1e30]");
    let svg = world.path("pics/f1.svg");
    world.run(&["--keep-going"]).code(1).says("figure drawn of 2 of 4 results: ");
    assert!(svg.exists());
    std::fs::remove_file(&svg).expect("removed");
    world.run(&[]).code(1).says("figure not drawn: 2 of 4 results are there: ");
    assert!(!svg.exists());
}

#[test]
fn the_same_file_compares_however_it_is_tokenised() {
    let world = sweep();
    world.change("p.yaml", "max_length: 32\n", "max_length: \"${length}\"\n");
    world.change("p.yaml", "vars: {", "vars: {length: 32, test: test.jsonl, ");
    world.change("p.yaml", "test: test.jsonl}\n", "test: \"${test}\"}\n");
    world.change("p.yaml", "{rate: [0.001, 0.01],", "{length: [8, 32], test: [test.jsonl, other.jsonl],");
    world.change("p.yaml", "rows: rate", "rows: length, columns: test");
    world.change("p.yaml", "baseline: 0.001, figure: {bars: pics/f1}", "baseline: 8");
    let test = world.read("test.jsonl");
    let (_, other) = test.split_once('\n').expect("several texts");
    world.write("other.jsonl", other);
    world.run(&[]).code(0);
    let compared = |more: &[&str]| {
        let args = [&["results", "p.yaml", "--format", "json"], more].concat();
        let page: Value = serde_json::from_str(&world.tartan(&args).code(0).stdout).expect("json");
        let cells = page["tables"][0]["cells"].as_array().expect("cells").clone();
        cells.iter().filter(|cell| cell["comparison"]["pairs"] == 2).count()
    };
    assert_eq!(compared(&[]), 2);
    // Another file is not the same texts.
    assert_eq!(compared(&["--baseline", "test.jsonl"]), 0);
    let page = world.tartan(&["results", "p.yaml", "--baseline", "test.jsonl"]).code(0).stdout;
    assert!(page.contains("not compared: other texts"), "{page}");
}

#[test]
fn what_cannot_be_shown_is_said() {
    let world = sweep();
    for (args, part) in [
        (&["testt"][..], "did you mean `test`?"),
        (&["model"], "`model` is `train`"),
        (&["--rows", "sed"], "did you mean `seed`?"),
        (&["--rows", "seed", "--over", "seed"], "both `rows` and `over`"),
        (&["--baseline", "0.02"], "did you mean `0.01`?"),
        (&["--metric", "f1"], "accuracy, macro_f1, micro_f1"),
    ] {
        world.tartan(&[&["results", "p.yaml"], args].concat()).code(2).says(part);
    }
    world.change("p.yaml", "split: test}", "split: test, metrics: [macro_f1]}");
    world.tartan(&["results", "p.yaml", "test", "--metric", "accuracy"]).code(2).says("does not measure");
    world
        .tartan(&["results", "p.yaml", "--metric", "micro_f1"])
        .code(2)
        .says("no `evaluate` stage measures `micro_f1`")
        .says("`test` measures macro_f1");
    world.change("p.yaml", "metric: test.macro_f1", "weights: model");
    world.change("p.yaml", ", baseline: 0.001, figure: {bars: pics/f1}", "");
    world
        .tartan(&["check", "p.yaml"])
        .code(2)
        .says("`learn-weights` stage learns, and `model` is a `train` stage");
}

#[test]
fn two_results_are_compared() {
    let world = sweep();
    world.tartan(&["compare", "p.yaml", "rate=0.001,seed=0", "rate=0.01,seed=0"]).code(2).says("no result");
    world.run(&[]).code(0);
    let text = world.tartan(&["compare", "rate=0.001,seed=0", "test:rate=0.01,seed=0"]).code(0).stdout;
    let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start));
    assert!(line("body.lr").is_some_and(|line| line.contains("0.001") && line.contains("0.01")), "{text}");
    assert!(line("model (train)").is_some_and(|line| line.contains("model (rate=0.01, seed=0)")), "{text}");
    assert!(line("seed").is_none() && line("encoder").is_none(), "{text}");

    let json =
        world.tartan(&["compare", "model:rate=0.01,seed=0", "model:rate=0.01,seed=1", "--format", "json"]);
    let page: Value = serde_json::from_str(&json.code(0).stdout).expect("json");
    assert_eq!(page["sections"][0]["parameters"][0]["name"], "seed");

    // By key, from a folder without a pipeline.
    let (a, b) = (page["a"].as_str().expect("a key"), page["b"].as_str().expect("a key"));
    let same = world.tartan(&["compare", &a[..10], &b[..10], "--format", "json"]).code(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&same).expect("json")["a"], page["a"]);
    world
        .tartan(&["compare", "rate=0.01", "seed=0"])
        .code(2)
        .says("may be any of 2 results")
        .says("test (rate=0.01, seed=1)");
    world.tartan(&["compare", "testt:seed=0", "seed=0"]).code(2).says("did you mean `test`?");
}
