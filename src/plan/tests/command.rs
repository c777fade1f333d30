//! Commands: what their keys depend on, the names of what stages make, and the test split.

use super::*;

const CLEAN: &str = "tartan: 1
stages:
  clean:
    command:
      run: [sh, clean.sh, --out, out/a.jsonl]
      inputs: {clean.sh: s/clean.sh, raw.jsonl: raw.jsonl}
      outputs: [out/a.jsonl]
      env: {LC_ALL: C}
      params: {threshold: 0.5, words: [a, b]}
";

/// The plan of a text whose files have the contents that `content` says of their paths.
fn plan_with(file: &Path, text: &str, content: &dyn Fn(&Path) -> String) -> Plan {
    let (spec, mut diagnostics) = Spec::from_text(file, text, &[]);
    let outline = outline(&spec, &[], &mut diagnostics);
    let digests = outline.files().into_keys().map(|path| {
        let digest = Digest::of(content(&path).as_bytes());
        (path, digest)
    });
    let plan = build(&outline, &digests.collect(), &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    plan
}

/// The key of the first stage: every file's content is its name, but for one that has changed.
fn key(text: &str, changed: &str) -> Digest {
    let content = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name == changed { "changed".to_owned() } else { name }
    };
    let plan = plan_with(Path::new("p.yaml"), text, &content);
    plan.key(NodeId(0), |_| None::<&BTreeMap<String, Digest>>).expect("known inputs")
}

fn changed(from: &str, to: &str) -> String {
    let text = CLEAN.replacen(from, to, 1);
    assert_ne!(text, CLEAN, "{from}");
    text
}

#[test]
fn all_that_a_command_runs_with_is_in_its_key() {
    let before = key(CLEAN, "");
    for (from, to) in [
        ("--out", "--to"),
        ("run: [sh, clean.sh, --out, out/a.jsonl]", "shell: sh clean.sh --out out/a.jsonl"),
        ("[out/a.jsonl]\n", "[out/a.jsonl, b.txt]\n"),
        ("raw.jsonl: raw.jsonl", "new.jsonl: raw.jsonl"),
        ("LC_ALL: C", "LC_ALL: C.UTF-8"),
        ("LC_ALL: C", "LANG: C"),
        ("threshold: 0.5", "threshold: 0.6"),
        ("[a, b]", "[b, a]"),
        ("      env: {LC_ALL: C}\n", ""),
        ("      outputs", "      programs: [ls]\n      outputs"),
    ] {
        assert_ne!(key(&changed(from, to), ""), before, "{from} → {to}");
    }
    for file in ["clean.sh", "raw.jsonl", "sh"] {
        assert_ne!(key(CLEAN, file), before, "the content of {file}");
    }
}

#[test]
fn means_names_and_paths_are_not_in_a_commands_key() {
    let before = key(CLEAN, "");
    for (from, to) in [
        ("      env", "      timeout: 2h 30m\n      gpu: true\n      pass_env: [HF_HOME]\n      env"),
        ("s/clean.sh", "t/clean.sh"),
        ("  clean:\n", "  wash:\n"),
        ("[out/a.jsonl]\n", "[out/a.jsonl]\n      metrics: out/a.jsonl\n"),
    ] {
        assert_eq!(key(&changed(from, to), ""), before, "{from} → {to}");
    }
    let folder = tempfile::tempdir().expect("folder");
    let keys: Vec<Digest> = ["a/tool", "b/tool", "c/other"]
        .iter()
        .map(|tool| {
            let path = folder.path().join(tool);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
            std::fs::copy("/bin/sh", &path).expect("a program");
            let text = format!("tartan: 1\nstages: {{t: {{command: {{run: [{tool}], outputs: [x]}}}}}}\n");
            let plan = plan_with(&folder.path().join("p.yaml"), &text, &|_| "the same".to_owned());
            plan.key(NodeId(0), |_| None::<&BTreeMap<String, Digest>>).expect("known")
        })
        .collect();
    assert_eq!(keys[0], keys[1], "a program elsewhere");
    assert_ne!(keys[0], keys[2], "another name may do another thing");
}

#[test]
fn a_script_on_the_path_counts_with_what_runs_it_and_a_folder_with_its_files() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
        std::fs::write(path, text).expect(name);
    };
    for file in ["src/a.py", "src/in/b.py", "src/.hidden", "src/__pycache__/a.pyc"] {
        write(file, "");
    }
    let text = "tartan: 1\nstages: {t: {command: {shell: 'true', inputs: {code/: src}, outputs: [x]}}}\n";
    let plan = plan_with(&folder.path().join("p.yaml"), text, &|_| String::new());
    let roles: Vec<&String> = plan.node(NodeId(0)).inputs.keys().collect();
    assert_eq!(roles, ["inputs/code/a.py", "inputs/code/in/b.py", "program/sh"]);

    let text =
        "tartan: 1\nstages: {t: {command: {shell: 'true', inputs: {code: 'src/*.py'}, outputs: [x]}}}\n";
    let plan = plan_with(&folder.path().join("p.yaml"), text, &|_| String::new());
    let roles: Vec<&String> = plan.node(NodeId(0)).inputs.keys().collect();
    assert_eq!(roles, ["inputs/code/a.py", "program/sh"]);

    // `ldd` is a shell script wherever there is a libc.
    let text = "tartan: 1\nstages: {t: {command: {run: [ldd, --version], outputs: [x]}}}\n";
    let (plan, diagnostics) = plan_of(text);
    let roles: Vec<&String> = plan.node(NodeId(0)).inputs.keys().collect();
    assert_eq!(roles, ["interpreter/ldd", "program/ldd"]);
    assert!(diagnostics[0].message.contains("what it calls is not in the key"), "{diagnostics:?}");
}

#[test]
fn what_a_stage_makes_is_read_file_by_file() {
    let text = with(
        "  c: {command: {shell: 'true', inputs: {m: {stage: m}, d: {stage: p, file: d/}, x: {stage: p, file: d/x}}, outputs: [o]}}
  p: {command: {shell: 'true', outputs: [d/]}}
",
    );
    let plan = sound(&text);
    let id = plan.points[0]["c"];
    let digest = |file: &str| (file.to_owned(), Digest::of(file.as_bytes()));
    let mut outputs = Made::from([
        (plan.points[0]["m"], [digest("config.json"), digest("head.safetensors")].into()),
        (plan.points[0]["p"], [digest("e"), digest("d/x"), digest("d/in/y")].into()),
    ]);
    let inputs = plan.manifest(id, |node| outputs.get(&node)).expect("known");
    assert_eq!(plan.key(id, |node| outputs.get(&node)), Some(inputs.key()), "the shorter way to it");
    let inputs = inputs.inputs;
    let roles: Vec<&str> = inputs.keys().map(String::as_str).collect();
    assert_eq!(
        roles,
        [
            "inputs/d/in/y",
            "inputs/d/x",
            "inputs/m/config.json",
            "inputs/m/head.safetensors",
            "inputs/x",
            "program/sh"
        ]
    );
    for (role, digest) in inputs.iter().filter(|(role, _)| *role != "program/sh") {
        let Some(Input::Output { node, file }) = plan.node(id).source(role) else { panic!("{role}") };
        assert_eq!(outputs[&node][&file], *digest, "{role}");
    }
    outputs.insert(plan.points[0]["p"], [digest("e"), digest("d/")].into());
    assert!(plan.manifest(id, |node| outputs.get(&node)).is_none(), "nothing in the folder");
}

#[test]
fn a_command_may_make_what_is_tokenized() {
    let text = with(
        "  p: {command: {shell: 'true', outputs: [d/train.jsonl]}}
  u: {tokenize: {tokenizer: e, splits: {train: {stage: p, file: d/train.jsonl}}}}
  v: {objective: {mlm: {data: u}}}
  w: {train: {init: m, auxiliary: [v], steps: 1}}
",
    );
    let (spec, mut diagnostics) = Spec::from_text(Path::new("p.yaml"), &text, &[]);
    let outline = outline(&spec, &["w".to_owned()], &mut diagnostics);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert!(outline.needs(0, "p"));
    // So may a model.
    let model = with(
        "  p: {command: {shell: 'true', outputs: [m/]}}
  e2: {encoder: {from: {stage: p, file: m}}}
  x: {export: {model: e2}}
",
    );
    let plan = sound(&model);
    let Some(Input::Output { node, file }) = plan.node(plan.points[0]["e2"]).source("config.json") else {
        panic!("a file of the command")
    };
    assert_eq!((node, file.as_str()), (plan.points[0]["p"], "m/config.json"));
    let (_, diagnostics) = plan_of(&model.replace("file: m", "file: n"));
    assert!(
        diagnostics.iter().any(|d| d.message.contains("`p` makes no `n/config.json`")),
        "{diagnostics:?}"
    );
    // Without targets: what is scored or exported, and the commands that nothing else needs.
    let leaf = with(
        "  p: {command: {shell: 'true', outputs: [x]}}\n  s: {evaluate: {model: m, data: t, split: train}}\n  q: {command: {shell: 'true', inputs: {m: {stage: s}}, outputs: [x]}}\n",
    );
    let plan = sound(&leaf);
    assert!(plan.points[0].contains_key("q") && plan.points[0].contains_key("p"));
}

#[test]
fn faults_of_commands_are_placed() {
    let command = |fields: &str| with(&format!("  c: {{command: {{{fields}}}}}\n"));
    for (fields, part) in [
        ("outputs: [x]", "`run` is missing"),
        ("run: python3 a.py, outputs: [x]", "`run` is a list of words"),
        ("run: [], outputs: [x]", "`run` is empty"),
        ("run: [sh], shell: 'true', outputs: [x]", "exclude each other"),
        ("run: [shh-no-such-program], outputs: [x]", "no program `shh-no-such-program` on the PATH"),
        ("run: [./none], outputs: [x]", "there is no program `./none`"),
        ("run: [./README.md], outputs: [x]", "is not executable"),
        ("run: [src/exec/tests/fake-worker.sh], outputs: [x]", "`run: [sh, fake-worker.sh]`"),
        ("run: [sh, README.md], outputs: [x]", "declare it: `inputs: {README.md: README.md}`"),
        ("run: [sh, --in=README.md], outputs: [x]", "declare it"),
        ("run: [sh, README.md], inputs: {r: README.md}, outputs: [x]", "it is there as `r`"),
        ("run: [sh]", "`outputs` is missing"),
        ("run: [sh], outputs: [../x]", "no name inside"),
        ("run: [sh], outputs: [/x]", "no name inside"),
        ("run: [sh], outputs: [params.json]", "finds its `params`"),
        ("run: [sh], outputs: [d/, d/x]", "`d/x` is part of `d`"),
        ("run: [sh], inputs: {x: README.md}, outputs: [x]", "where the input `x` is"),
        ("run: [sh], inputs: {x: README.md, x/y: README.md}, outputs: [z]", "cannot be a file and hold"),
        ("run: [sh], inputs: [README.md], outputs: [x]", "`inputs` is a block"),
        ("run: [sh], inputs: {x: {stage: m, fill: y}}, outputs: [z]", "did you mean `file`?"),
        ("run: [sh], inputs: {x: {stage: n}}, outputs: [z]", "unknown stage `n`"),
        ("run: [sh], inputs: {x: {stage: m, file: confg.json}}, outputs: [z]", "did you mean `config.json`?"),
        ("run: [sh], inputs: {x: {stage: c}}, outputs: [z]", "need each other: c → c"),
        ("run: [sh], env: {1A: x}, outputs: [x]", "no name for a variable"),
        ("run: [sh], env: {A: x}, pass_env: [A], outputs: [x]", "`env` sets `A`"),
        ("run: [sh], params: {x: .nan}, outputs: [x]", "not finite"),
        ("run: [sh], timeout: 90, outputs: [x]", "with its unit"),
        ("run: [sh], output: [x]", "did you mean `outputs`?"),
        ("run: [sh], metrics: m/", "is a folder"),
    ] {
        let (_, diagnostics) = plan_of(&command(fields));
        let hit = diagnostics.iter().any(|d| d.place.is_some() && d.to_string().contains(part));
        assert!(hit, "{fields}: {part}\n{diagnostics:#?}");
    }
}

#[test]
fn a_split_is_one_file_of_a_stage() {
    let tokens = |file: &str| {
        let text = with(&format!(
            "  p: {{command: {{run: [sh], outputs: [a.jsonl, d/]}}}}\n  u: {{tokenize: {{tokenizer: e, splits: {{train: {file}}}}}}}\n"
        ));
        plan_of(&text).1.iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(tokens("{stage: p, file: a.jsonl}"), "");
    assert_eq!(tokens("{stage: p, file: d/b.txt}"), "");
    assert!(tokens("{stage: p}").contains("`file` is missing"));
    assert!(tokens("{stage: p, file: d/}").contains("a split is one file"));
    assert!(tokens("{stage: p, file: b.jsonl}").contains("did you mean `a.jsonl`?"));
}

#[test]
fn nothing_is_trained_on_what_has_seen_the_test_split() {
    let faults = |commands: &str| {
        let text = format!(
            "tartan: 1
stages:
  e: {{encoder: {{from: e}}}}
  t: {{tokenize: {{tokenizer: e, splits: {{train: a.jsonl, dev: b.jsonl, test: c.jsonl}}}}}}
  o: {{objective: {{classify: {{data: t}}}}}}
  m: {{train: {{init: e, end_task: o, steps: 1}}}}
  s: {{evaluate: {{model: m, data: t, split: test}}}}
  d: {{evaluate: {{model: m, data: t, split: dev}}}}
{commands}
  u: {{tokenize: {{tokenizer: e, splits: {{train: {{stage: c, file: x.txt}}}}}}}}
  v: {{objective: {{mlm: {{data: u}}}}}}
  w: {{train: {{init: e, auxiliary: [v], steps: 1}}}}
  x: {{export: {{model: w}}}}
"
        );
        let (_, diagnostics) = plan_of(&text);
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let command = |name: &str, input: &str| {
        format!("  {name}: {{command: {{shell: 'true', inputs: {{i: {input}}}, outputs: [x.txt]}}}}\n")
    };
    for sound in [
        "a.jsonl",
        "{stage: d}",
        "{stage: m}",
        "{stage: t, file: train.safetensors}",
        "{stage: t, file: stats.json}",
    ] {
        assert_eq!(faults(&command("c", sound)), "", "{sound}");
    }
    for (input, how) in [
        ("c.jsonl", "`c` reads the test split of `t`"),
        ("{stage: s}", "`s` scores the test split"),
        ("{stage: s, file: predictions.jsonl}", "`c` reads what `s` makes"),
        ("{stage: t}", "the tokens of the test split of `t`"),
        ("{stage: t, file: test.safetensors}", "the tokens of the test split of `t`"),
    ] {
        let fault = faults(&command("c", input));
        assert!(
            fault.contains("`w` would learn from what `c` makes") && fault.contains(how),
            "{input}: {fault}"
        );
    }
    let model = command("d2", "{stage: s}").replace("[x.txt]", "[m/]")
        + "  e2: {encoder: {from: {stage: d2, file: m}}}\n  y: {export: {model: e2}}\n"
        + &command("c", "a.jsonl");
    assert!(faults(&model).contains("`e2` would learn from what `d2` makes"), "{}", faults(&model));
    let through = command("b", "c.jsonl") + &command("c", "{stage: b}");
    assert!(faults(&through).contains("`c` reads what `b` makes"), "through another command");
    // Making the test split itself is no reading of it.
    let made = command("c", "a.jsonl").replace("x.txt", "x.txt, test.jsonl")
        + "  z: {tokenize: {tokenizer: e, splits: {train: a.jsonl, test: {stage: c, file: test.jsonl}}}}\n";
    assert_eq!(faults(&made), "");
    let again = made + "  y: {evaluate: {model: m, data: z, split: test}}\n" + &command("b", "{stage: c}");
    assert_eq!(faults(&again), "", "what reads the folder of the test split comes after what makes it");
    let on_it = again.replace("stage: c, file: test.jsonl}}}}\n", "stage: c, file: x.txt}}}}\n");
    assert!(faults(&on_it).contains("would train on the test split of `z`"), "{}", faults(&on_it));
}

#[test]
fn a_table_shows_the_numbers_of_a_command() {
    let table = |fields: &str, metric: &str| {
        let text = with(&format!("  c: {{command: {{run: [sh], {fields}}}}}\n"))
            + "report: {metric: "
            + metric
            + "}\n";
        plan_of(&text).1.iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(table("metrics: m.json", "c.ece"), "");
    assert!(table("outputs: [m.json]", "c.ece").contains("`metrics: metrics.json`"));
    let evaluate = with("  s: {evaluate: {model: m, data: t, split: train}}\nreport: {metric: s.acuracy}\n");
    assert!(plan_of(&evaluate).1[0].to_string().contains("did you mean `accuracy`?"));
}
