//! The pipelines that ship with the program: each is sound, and each recipe and study runs to its table and
//! its figure, on the toy world at a budget of moments.

use std::path::{Path, PathBuf};

use crate::world::World;

const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");

/// The toy world under the names of the paper's data, and an encoder's folder.
fn world() -> World {
    let world = World::new();
    world.change("p.yaml", "report:", "  out: {export: {model: encoder, to: exported}}\nreport:");
    world.run(&["out"]).code(0);
    for task in ["citation_intent", "sciie", "chemprot"] {
        for (from, to) in [
            ("train.jsonl", "train.jsonl"),
            ("dev.jsonl", "dev.jsonl"),
            ("test.jsonl", "test.jsonl"),
            ("text.txt", "train.txt"),
            ("text.txt", "domain.1xTAPT.txt"),
        ] {
            world.write(&format!("data/{task}/{to}"), &world.read(from));
        }
    }
    world
}

/// A copy of a shipped pipeline in the world's folder, so that its figures go there.
fn copy(world: &World, name: &str) -> String {
    let text = std::fs::read_to_string(Path::new(PIPELINES).join(name)).expect(name);
    world.write(name, &text);
    let pins = std::fs::read_to_string(Path::new(PIPELINES).join("datasets.b3")).expect("digests");
    world.write("datasets.b3", &pins);
    world.path(name).to_string_lossy().into_owned()
}

#[test]
fn shipped_pipelines_are_sound() {
    let world = world();
    let shipped: Vec<PathBuf> = crate::world::files(Path::new(PIPELINES))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    assert!(shipped.len() >= 14, "{shipped:?}");
    let (encoder, text) = (world.path("exported"), world.path("text.txt"));
    for path in shipped {
        let text_of = std::fs::read_to_string(&path).expect("a pipeline");
        let mut args = vec!["check".to_owned(), path.to_string_lossy().into_owned()];
        for (var, value) in [
            ("\n  encoder:", format!("encoder={}", encoder.display())),
            ("\n  domain: ../", format!("domain={}", text.display())),
            // The toy encoder has 64 positions.
            ("\n  max_length:", "max_length=64".to_owned()),
        ] {
            if text_of.split("stages:").next().is_some_and(|vars| vars.contains(var)) {
                args.extend(["--set".to_owned(), value]);
            }
        }
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        world.tartan(&args).code(0);
        args.extend(["--profile", "smoke"]);
        world.tartan(&args).code(0);
    }
}

/// Runs a shipped pipeline under its `smoke` profile; gives what it printed.
fn run(world: &World, name: &str) -> String {
    let file = copy(world, name);
    let text = world.read(name);
    let encoder = format!("encoder={}", world.path("exported").display());
    let data = format!("data={}", world.path("data").display());
    let domain = format!("domain={}", world.path("text.txt").display());
    let mut args = vec![
        "run",
        &file,
        "--jobs",
        "2",
        "--threads",
        "1",
        "--profile",
        "smoke",
        "--set",
        &encoder,
        "--set",
        &data,
    ];
    if text.contains("\n  domain: ") {
        args.extend(["--set", &domain]);
    }
    let ended = world.tartan(&args).code(0);
    for figure in text.lines().filter_map(|line| line.split_once("figures/")) {
        let figure = figure.1.split(['}', ',']).next().expect("a name");
        for extension in ["svg", "png"] {
            let path = Path::new(name)
                .parent()
                .expect("a folder")
                .join(format!("figures/{figure}-smoke.{extension}"));
            let path = world.path(path.to_str().expect("text"));
            assert!(path.metadata().is_ok_and(|file| file.len() > 500), "{}", path.display());
        }
    }
    ended.stdout
}

#[test]
fn every_recipe_runs_to_its_table() {
    let world = world();
    for recipe in ["fine-tune", "tapt", "dapt", "dapt-tapt", "mt-tartan", "meta-tartan"] {
        let stdout = run(&world, &format!("recipes/{recipe}.yaml"));
        assert!(stdout.contains("macro_f1 on test"), "{recipe}: {stdout}");
    }
}

#[test]
fn every_study_runs_to_its_table_and_its_figure() {
    let world = world();
    let stdout = run(&world, "studies/main-comparison.yaml");
    for recipe in ["fine-tune", "tapt", "dapt", "dapt-tapt", "mt-tartan", "meta-tartan"] {
        assert!(stdout.contains(recipe), "{recipe}: {stdout}");
    }
    assert!(stdout.contains("dapt-mlm"), "the learned weights: {stdout}");
    run(&world, "studies/data-efficiency.yaml");
    run(&world, "studies/out-of-domain.yaml");
    run(&world, "studies/dev-head.yaml");
    run(&world, "studies/weight-trajectories.yaml");
}
