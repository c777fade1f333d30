//! What is laid beneath and over a pipeline: included files, profiles, `--set`; loops; variables nobody uses.

use super::*;

/// A folder with a pipeline `p.yaml` and other files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("write");
        }
        Self(folder)
    }

    fn load(&self, profiles: &[&str], sets: &[&str]) -> (Spec, Vec<Diagnostic>) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Spec::load(&self.0.path().join("p.yaml"), &Overrides { profiles: owned(profiles), sets: owned(sets) })
    }

    /// The diagnostics as text, without the folder's name.
    fn says(&self, profiles: &[&str], sets: &[&str]) -> String {
        let here = format!("{}/", self.0.path().display());
        let real = format!("{}/", self.0.path().canonicalize().expect("a folder").display());
        print(&self.load(profiles, sets).1).replace(&here, "").replace(&real, "")
    }

    #[track_caller]
    fn sound(&self, profiles: &[&str], sets: &[&str]) -> Spec {
        let (spec, diagnostics) = self.load(profiles, sets);
        assert!(diagnostics.is_empty(), "{}", print(&diagnostics));
        spec
    }
}

/// A folder with one file.
fn one(text: &str) -> Folder {
    Folder::new(&[("p.yaml", text)])
}

fn folder_of(spec: &Spec, stage: &str) -> String {
    match &spec.points[0].stages[stage] {
        Block::Encoder { from: ModelSource::Folder(folder), .. } => {
            folder.path.to_string_lossy().into_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn trained<'a>(spec: &'a Spec, stage: &str) -> &'a action::Train {
    match &spec.points[0].stages[stage] {
        Block::Train { action, .. } => action,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_included_file_lies_beneath_and_keeps_its_folder() {
    let folder = Folder::new(&[
        (
            "p.yaml",
            "tartan: 1\ninclude: [parts/base.yaml]\nvars: {b: own}\n\
             stages:\n  two: {encoder: {from: own}}\n  three: {encoder: {from: \"${a}-${b}\"}}\n",
        ),
        (
            "parts/base.yaml",
            "include: deep/more.yaml\nvars: {a: A, b: B, spare: 1}\n\
             stages:\n  one: {encoder: {from: \"${b}\"}}\n  two: {encoder: {random: base}}\n",
        ),
        (
            "parts/deep/more.yaml",
            "vars: {a: more}\nstages:\n  four: {encoder: {from: x}}\n  one: {train: {}}\n",
        ),
    ]);
    let spec = folder.sound(&[], &[]);
    let here = folder.0.path();
    assert_eq!(folder_of(&spec, "one"), here.join("own").to_string_lossy(), "the includer's variable");
    assert_eq!(folder_of(&spec, "two"), here.join("own").to_string_lossy(), "the includer's stage");
    assert_eq!(folder_of(&spec, "three"), here.join("A-own").to_string_lossy());
    assert_eq!(folder_of(&spec, "four"), here.join("parts/deep/x").to_string_lossy());
    // The command line speaks for the pipeline's own file.
    let spec = folder.sound(&[], &["stages.one.encoder.from=set", "a=C"]);
    assert_eq!(folder_of(&spec, "one"), here.join("set").to_string_lossy());
    assert_eq!(folder_of(&spec, "three"), here.join("C-own").to_string_lossy());
    let spec = Folder::new(&[
        ("p.yaml", "tartan: 1\ninclude: q.yaml\n"),
        ("q.yaml", "stages: {e: {encoder: {from: x}}}"),
    ]);
    assert_eq!(spec.sound(&[], &[]).points[0].stages.len(), 1);
}

#[test]
fn faults_of_included_files_stand_there() {
    let stage = "stages: {e: {encoder: {from: x}}}\n";
    for (main, file, place, part) in [
        ("q.yaml", "stages:\n  e: {encoder: {form: x}}\n", "q.yaml:2:17", "did you mean `from`?"),
        (
            "q.yaml",
            "vars: {a: \"${b}\"}\nstages: {e: {encoder: {from: \"${a}\"}}}",
            "q.yaml:1:14",
            "unknown variable `b`",
        ),
        ("q.yaml", "vars: {a: 1, a: 2}", "q.yaml:1:14", "duplicate key `a`"),
        (
            "q.yaml",
            "stages: {e: {encoder: {from: x}}}\nsweep: {a: [1]}",
            "q.yaml:2:1",
            "a file to include has no `sweep`",
        ),
        ("q.yaml", "vras: {}", "q.yaml:1:1", "did you mean `vars`?"),
        ("q.yaml", "tartan: 2", "q.yaml:1:9", "reads format 1"),
        ("q.yaml", "vars: 3", "q.yaml:1:7", "`vars` is a block"),
        ("q.yaml", "[1, 2]", "in q.yaml", "a file to include is a block"),
        ("q.yaml", "include: p.yaml", "q.yaml:1:10", "include each other: p.yaml → q.yaml → p.yaml"),
        ("q.yaml", "include: q.yaml", "q.yaml:1:10", "include each other: q.yaml → q.yaml"),
        ("q.yaml", "digests: none.b3", "q.yaml:1:10", "none.b3"),
        ("r.yaml", stage, "p.yaml:2:10", "did you mean `q.yaml`?"),
        ("\"${x}.yaml\"", stage, "p.yaml:2:10", "takes no variables"),
        ("{a: b}", stage, "p.yaml:2:10", "a path or a list of paths"),
    ] {
        let main = format!("tartan: 1\ninclude: {main}\nstages: {{f: {{encoder: {{from: x}}}}}}\n");
        let said = Folder::new(&[("p.yaml", &main), ("q.yaml", file)]).says(&[], &[]);
        assert!(
            said.contains(place) && said.contains(part),
            "{main}{file} should say `{part}` at {place}:\n{said}"
        );
    }
}

#[test]
fn two_included_files_may_not_say_the_same_unless_the_pipeline_does() {
    let a = ("a.yaml", "include: c.yaml\nvars: {v: 1}\nstages: {e: {encoder: {from: \"${v}${w}\"}}}\n");
    let b = ("b.yaml", "include: c.yaml\nvars: {v: 2}\nstages:\n  e: {encoder: {from: b}}\n");
    // Both include it, which is no fault.
    let c = ("c.yaml", "vars: {w: 3}\nstages: {f: {encoder: {from: \"${w}\"}}}\n");
    let said = Folder::new(&[("p.yaml", "tartan: 1\ninclude: [a.yaml, b.yaml]\n"), a, b, c]).says(&[], &[]);
    assert!(said.contains("two included files have a stage `e`\n --> b.yaml:4:3"), "{said}");
    assert!(said.contains("two included files have a variable `v`\n --> b.yaml:2:8"), "{said}");
    assert!(said.contains("a.yaml:3") && said.matches("error").count() == 2, "{said}");
    let own =
        "tartan: 1\ninclude: [a.yaml, b.yaml]\nvars: {v: 0}\nstages: {e: {encoder: {from: \"${v}\"}}}\n";
    Folder::new(&[("p.yaml", own), a, b, c]).sound(&[], &[]);
}

#[test]
fn includes_have_an_end() {
    let mut files = vec![("p.yaml".to_owned(), "tartan: 1\ninclude: f1.yaml\n".to_owned())];
    files.extend((1..30).map(|i| (format!("f{i}.yaml"), format!("include: f{}.yaml", i + 1))));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let said = Folder::new(&files).says(&[], &[]);
    assert!(said.contains("more than 16 deep\n --> f16.yaml:1:10"), "{said}");
}

const PROFILES: &str = "\
tartan: 1
vars: {epochs: 10, steps: 7, sizes: {a: 10, b: 2}, seed: 0, task: x}
stages:
  e: {encoder: {from: \"${task}\"}}
  t: {tokenize: {tokenizer: e, splits: {train: a.jsonl}, max_length: \"${sizes.a}\", seed: \"${sizes.b}\"}}
  o: {objective: {classify: {data: t}}}
  model:
    train: {init: e, end_task: o, epochs: \"${epochs}\", lr: 1e-3, seed: \"${seed}\", checkpoint: {minutes: 3}}
sweep: {seed: {range: [0, 10]}, task: [x, y]}
profiles:
  smoke:
    vars: {epochs: 1, steps: 8, sizes: {a: 9}}
    stages: {model: {train: {lr: 1e-4, patience: 2, batch: \"${steps}\"}}}
    sweep: {seed: [5]}
  short: {stages: {model: {train: {steps: 3}}}, vars: {task: z}}
";

#[test]
fn a_profile_is_laid_over_the_pipeline() {
    let folder = one(PROFILES);
    let spec = folder.sound(&["smoke"], &[]);
    let action = trained(&spec, "model");
    assert_eq!(
        (action.length, action.body.lr, action.patience, action.seed),
        (Length::Epochs(1.0), 1e-4, 2, 5)
    );
    assert_eq!(spec.points.len(), 2);
    let Block::Tokenize { action, .. } = &spec.points[0].stages["t"] else { panic!("kind") };
    assert_eq!((action.max_length, action.seed), (9, 2), "blocks of variables are laid over field by field");
    assert!(spec.fixed.is_empty(), "a profile's sweep is its own");

    // One length gives way to the other; a variable with a value is swept over no more; later ones win.
    let spec = folder.sound(&["smoke", "short"], &["epochs=2"]);
    assert_eq!((trained(&spec, "model").length, spec.points.len()), (Length::Steps(3), 1));
    assert!(folder_of(&spec, "e").ends_with("/z"));
    let spec =
        folder.sound(&["short", "smoke"], &["stages.model.train.epochs=4", "stages.model.train.lr=0.5"]);
    assert_eq!((trained(&spec, "model").length, trained(&spec, "model").body.lr), (Length::Epochs(4.0), 0.5));
    assert_eq!(folder.sound(&[], &[]).points.len(), 20);
}

#[test]
fn faults_of_a_profile_stand_there_whether_it_is_asked_for_or_not() {
    for (profile, marked, part) in [
        ("{vars: {epoch: 1}}", "epoch", "did you mean `epochs`?"),
        ("{vars: {sizes: {c: 1}}}", "c", "unknown field `c`"),
        ("{stages: {modl: {train: {lr: 1}}}}", "modl", "did you mean `model`?"),
        ("{stages: {model: {evaluate: {lr: 1}}}}", "evaluate", "stage `model` is `train`"),
        ("{stages: {model: 3}}", "3", "a stage is its kind"),
        ("{sweep: {sed: [1]}}", "sed", "did you mean `seed`?"),
        ("{stage: {}}", "stage", "did you mean `stages`?"),
        ("3", "3", "a profile is a block"),
    ] {
        let text = PROFILES.replace("  smoke:\n", &format!("  other: {profile}\n  smoke:\n"));
        let (_, diagnostics) = one(&text).load(&[], &[]);
        let hit = |d: &Diagnostic| under_caret(d).as_deref() == Some(marked) && d.to_string().contains(part);
        assert!(diagnostics.len() == 1 && hit(&diagnostics[0]), "{profile}:\n{}", print(&diagnostics));
    }
    // What only the kind knows is told when it is laid over; the caret stands in the profile.
    for (from, to, marked, part) in [
        ("patience: 2", "patince: 2", "patince", "did you mean `patience`?"),
        ("lr: 1e-4", "lr: fast", "fast", "`lr` is a number"),
        ("seed: [5]", "seed: 5", "5", "a list or a range"),
        ("vars: {epochs: 1,", "vars: {epochs: -1,", "\"${epochs}\"", "a number above 0"),
    ] {
        let folder = one(&PROFILES.replace(from, to));
        let (_, diagnostics) = folder.load(&["smoke"], &[]);
        let hit = |d: &Diagnostic| under_caret(d).as_deref() == Some(marked) && d.to_string().contains(part);
        assert!(diagnostics.len() == 1 && hit(&diagnostics[0]), "{to}:\n{}", print(&diagnostics));
        folder.sound(&[], &[]);
    }
    assert!(
        one(PROFILES)
            .says(&["smok"], &[])
            .contains("unknown profile `smok`\n  = help: did you mean `smoke`?")
    );
    assert!(
        one("tartan: 1\nstages: {e: {encoder: {from: x}}}")
            .says(&["smok"], &[])
            .contains("the pipeline has none")
    );
    assert!(
        one("tartan: 1\nstages: {e: {encoder: {from: x}}}\nprofiles: 3")
            .says(&[], &[])
            .contains("`profiles` is a block")
    );
}

#[test]
fn profiles_of_included_files_are_laid_over_first() {
    let folder = Folder::new(&[
        (
            "p.yaml",
            "tartan: 1\ninclude: q.yaml\nprofiles: {smoke: {vars: {b: 2}, stages: {f: {encoder: {from: mine}}}}}\n",
        ),
        ("in/none.yaml", ""),
        (
            "q.yaml",
            "vars: {a: 0, b: 0}\nstages: {e: {encoder: {from: \"${a}${b}\"}}, f: {encoder: {from: f, seed: -1}}}\n\
             profiles: {smoke: {vars: {a: 1, b: 1}, stages: {f: {encoder: {seed: 1}}}}}\n",
        ),
    ]);
    let spec = folder.sound(&["smoke"], &[]);
    assert!(folder_of(&spec, "e").ends_with("/12") && folder_of(&spec, "f").ends_with("/mine"));
    assert!(folder.says(&[], &[]).contains("q.yaml:2"));
}

#[test]
fn the_command_line_sets_items_points_and_nested_variables() {
    let text = "\
tartan: 1
vars: {lr: 1, names: [a, b], deep: {x: {y: 1}}}
stages:
  e: {encoder: {from: \"${names.1}-${deep.x.y}-${size}-${lr}\"}}
sweep: {size: {points: {small: {lr: 2}, large: {lr: 3}}}}
";
    let folder = one(text);
    let said = |sets: &[&str]| {
        let spec = folder.sound(&[], sets);
        spec.points
            .iter()
            .map(|point| match &point.stages["e"] {
                Block::Encoder { from: ModelSource::Folder(folder), .. } => folder.name.clone(),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(said(&[]), ["b-1-small-2", "b-1-large-3"]);
    assert_eq!(said(&["names.1=c", "deep.x.y=5"]), ["c-5-small-2", "c-5-large-3"]);
    assert_eq!(said(&["size=large"]), ["b-1-large-3"]);
    assert_eq!(said(&["lr=7"]), ["b-1-small-7", "b-1-large-7"]);
    // Tables are laid out along what the points are called, not what they set.
    let (_, diagnostics) =
        one(&format!("{text}report: {{metric: e.macro_f1, rows: size, columns: lr}}")).load(&[], &[]);
    assert!(
        diagnostics.len() == 1 && under_caret(&diagnostics[0]).as_deref() == Some("lr"),
        "{}",
        print(&diagnostics)
    );
    assert_eq!(folder.sound(&[], &["size=small"]).fixed, ["size"]);
    // A profile chooses a point as `--set` does.
    let profiled = one(&format!("{text}profiles: {{tiny: {{vars: {{size: small}}}}}}\n"));
    let chosen = profiled.sound(&["tiny"], &[]);
    let names: Vec<String> = (0..chosen.points.len()).map(|point| chosen.point_name(point)).collect();
    assert_eq!(names, [""; 1], "{names:?}");
    assert_eq!(profiled.sound(&["tiny"], &["size=large"]).points.len(), 1, "the command line wins");
    let slip = one(&format!("{text}profiles: {{tiny: {{vars: {{size: smal}}}}}}\n")).says(&["tiny"], &[]);
    assert!(slip.contains("did you mean `small`?") && slip.contains("p.yaml:6:32"), "{slip}");
    for (set, part) in [
        ("names.2=c", "`vars.names` has no item `2`"),
        ("deep.z=1", "`vars.deep` has no `z`"),
        ("size=smal", "did you mean `small`?"),
        ("size=smal", "--set size=smal"),
    ] {
        assert!(folder.says(&[], &[set]).contains(part), "{set}: {}", folder.says(&[], &[set]));
    }
}

const LOOP: &str = "\
tartan: 1
vars: {files: {a: x.txt, b: y.txt}, rate: 0.1, which: b}
stages:
  e: {encoder: {from: x}}
  task: {tokenize: {tokenizer: e, splits: {train: t.jsonl, dev: d.jsonl}}}
  end-task: {objective: {classify: {data: task}}}
  text: {for: {corpus: \"${files}\"}, tokenize: {tokenizer: e, splits: {train: \"${files.${corpus}}\"}}}
  tapt: {for: {corpus: [a, b], mask: [1, 0.5]}, objective: {mlm: {data: \"text@${corpus}\", mask: \"${mask}\"}}}
  one: {objective: {mlm: {data: \"text@${which}\", mask: \"${rate}\"}}}
  model:
    train:
      init: e
      end_task: end-task
      auxiliary: [tapt, one]
      weights: {end-task: 0.5, tapt: 0.1, 'tapt@b,0.5': 0.3, one: 0}
      steps: 3
";

#[test]
fn a_loop_is_a_stage_for_each_of_its_values() {
    let spec = one(LOOP).sound(&[], &[]);
    let stages = &spec.points[0].stages;
    let names: Vec<&str> = stages.keys().map(String::as_str).filter(|name| name.contains('@')).collect();
    assert_eq!(names, ["tapt@a,0.5", "tapt@a,1", "tapt@b,0.5", "tapt@b,1", "text@a", "text@b"]);
    assert_eq!(spec.loops["tapt"], ["tapt@a,1", "tapt@a,0.5", "tapt@b,1", "tapt@b,0.5"]);
    let Block::Tokenize { splits, .. } = &stages["text@b"] else { panic!("kind") };
    assert!(matches!(splits["train"].files(), [SplitFile::Local(source)] if source.name == "y.txt"));
    let Block::Objective { data, action: action::Objective::Mlm { mask }, .. } = &stages["tapt@a,0.5"] else {
        panic!("kind")
    };
    assert_eq!((data.stage.as_str(), *mask), ("text@a", 0.5));
    let Block::Train { auxiliary, action, .. } = &stages["model"] else { panic!("kind") };
    let named: Vec<&str> = auxiliary.iter().map(|of| of.stage.as_str()).collect();
    assert_eq!(named, ["tapt@a,1", "tapt@a,0.5", "tapt@b,1", "tapt@b,0.5", "one"]);
    assert_eq!(action.weights, Weights::Static(vec![0.5, 0.1, 0.1, 0.1, 0.3, 0.0]));
    // A field of all its stages can be set, and is placed.
    let sets = [
        "stages.tapt.objective.mlm.mask=0.2",
        "stages.tapt.for={corpus: [b, c]}",
        "stages.model.train.weights=uniform",
    ];
    let spec = one(LOOP).sound(&[], &sets);
    assert_eq!(spec.loops["tapt"], ["tapt@b", "tapt@c"]);
    let place = spec.field_place("text@a", &["splits".to_owned()]).expect("a place");
    assert_eq!((place.line, place.column), (7, 70));
}

#[test]
fn faults_of_a_loop_are_placed_and_say_the_way_out() {
    for (from, to, marked, part) in [
        ("corpus: [a, b]", "corpus: [a, a]", "a", "stands twice"),
        ("corpus: [a, b]", "corpus: []", "[", "has no values"),
        ("corpus: [a, b]", "corpus: a", "a", "a list or a range"),
        ("corpus: [a, b]", "corpus: [a, b/c]", "b/c", "cannot be"),
        ("corpus: [a, b]", "rate: [a, b]", "rate", "is a variable of the pipeline too"),
        ("for: {corpus: [a, b], mask: [1, 0.5]}", "for: 3", "3", "`for` is a block of variables"),
        ("text@${corpus}", "text@${crpus}", "crpus", "unknown variable `crpus`"),
        ("{mlm: {data: \"text@${corpus}\"", "{mlm: {dta: \"text@${corpus}\"", "dta", "did you mean `data`?"),
        ("tapt: 0.1", "tapd: 0.1", "tapd", "is no objective of this stage"),
        ("mask: \"${mask}\"", "mask: 0.1", "mask", "`mask` is not used in this stage"),
    ] {
        let text = LOOP.replacen(from, to, 1);
        assert_ne!(text, LOOP, "{from}");
        let (_, diagnostics) = one(&text).load(&[], &[]);
        let hit = |d: &Diagnostic| under_caret(d).as_deref() == Some(marked) && d.to_string().contains(part);
        assert!(
            diagnostics.iter().any(hit),
            "{to} should say `{part}` under `{marked}`:\n{}",
            print(&diagnostics)
        );
    }
    assert!(
        one(LOOP)
            .says(&[], &["stages.tapt@a.objective.mlm.mask=1"])
            .contains("`stages.tapt` sets a field of all")
    );
    let swept = LOOP.replace("rate: 0.1", "rate: 0.1, some: [a]") + "sweep: {some: [[a], [b]]}\n";
    let said = one(&swept.replace("corpus: [a, b]", "corpus: \"${some}\"")).says(&[], &[]);
    assert!(said.contains("`some` varies over the sweep, and what `corpus` goes through"), "{said}");
}

#[test]
fn a_variable_that_nothing_uses_is_told_once() {
    let text = "\
tartan: 1
vars:
  used: x
  through: ${used}
  unused: ${only}
  only: 1
  ab_lr: 1
  cd_lr: 1
  ab_wd: 1
  kind: ab
  seed: 0
  task: a
  in_profile: 1
stages: {e: {encoder: {from: \"${through}-${${kind}_lr}\"}}}
sweep: {seed: [0, 1], task: [a, b]}
report: {metric: \"e.${task}\"}
profiles: {p: {stages: {e: {encoder: {seed: \"${in_profile}\"}}}}}
";
    let (_, diagnostics) = one(text).load(&[], &[]);
    let warnings = diagnostics.iter().filter(|d| d.severity == crate::diag::Severity::Warning);
    let found: Vec<(String, usize)> = warnings
        .map(|d| (under_caret(d).expect("a place"), d.place.as_ref().expect("a place").line))
        .collect();
    let expected = [("unused", 5), ("only", 6), ("ab_wd", 9), ("seed", 15)];
    assert_eq!(found, expected.map(|(name, line)| (name.to_owned(), line)), "{}", print(&diagnostics));
    // What the command line takes the place of is still used by the file; what it uses counts too.
    let said = one(text).says(&[], &["through=${ab_wd}"]);
    assert!(!said.contains("`used`") && !said.contains("`ab_wd`"), "{said}");
    // What an included file says may be for another pipeline.
    let folder = Folder::new(&[
        ("p.yaml", "tartan: 1\ninclude: q.yaml\n"),
        ("q.yaml", "vars: {a: 1}\nstages: {e: {encoder: {from: x}}}\n"),
    ]);
    folder.sound(&[], &[]);
}

#[test]
fn a_variable_may_stand_for_any_value() {
    let text = "\
tartan: 1
name: \"of-${t}\"
vars:
  t: x
  loop: {corpus: [a, b]}
  fit: {init: e, end_task: o, steps: 3}
  text: {data: task}
  over: {seed: [0, 1]}
  seed: 0
  table: [{metric: test.accuracy, over: seed, figure: \"${fig}\"}]
  fig: {bars: f}
stages:
  e: {encoder: {from: x}}
  task: {tokenize: {tokenizer: e, splits: {train: t.jsonl, dev: d.jsonl, test: s.jsonl}}}
  o: {objective: {classify: \"${text}\"}}
  m: {train: \"${fit}\"}
  d: {for: \"${loop}\", objective: {mlm: {data: task, mask: \"0.${seed}1\"}}}
  test: {evaluate: {model: m, data: task, split: test}}
targets: [\"${wanted}\"]
sweep: \"${over}\"
report: \"${table}\"
";
    let text = text.replace("  t: x\n", "  t: x\n  wanted: test\n");
    let spec = one(&text.replace("mask: \"0.${seed}1\"", "mask: 0.5")).load(&[], &[]);
    let (spec, told) = spec;
    let errors: Vec<String> =
        told.iter().map(ToString::to_string).filter(|d| d.starts_with("error")).collect();
    assert_eq!(errors, [""; 0]);
    assert_eq!((spec.name.as_str(), spec.points.len(), spec.reports.len()), ("of-x", 2, 1));
    assert_eq!(spec.loops["d"], ["d@a", "d@b"]);
    assert_eq!(spec.targets[0].0, "test");
    assert!(spec.reports[0].figure.is_some());

    let says = one(&text.replace("name: \"of-${t}\"", "name: \"of-${seed}\"")).says(&[], &[]);
    assert!(says.contains("error[T0709]: `seed` varies over the sweep"), "{says}");
    let says = one("tartan: 1\nvars: {s: {}}\nstages: \"${s}\"\n").says(&[], &[]);
    assert!(says.contains("write the block itself"), "{says}");
}

#[test]
fn a_loop_has_the_axes_of_a_sweep() {
    let text = "\
tartan: 1
stages:
  c:
    for: {zip: {name: [a, b], file: [x, y]}, mask: [1, 2], exclude: {name: a, mask: 2}}
    command: {shell: \"echo ${file} ${mask}\", outputs: [o]}
  d:
    for: {size: {points: {small: {lr: 1, l: [1, 2]}, large: {lr: 2, l: [3]}}}}
    command: {shell: \"echo ${lr}\", params: {a: \"${l}\"}, outputs: [o]}
";
    let spec = one(text).sound(&[], &[]);
    assert_eq!(spec.loops["c"], ["c@a,x,1", "c@b,y,1", "c@b,y,2"]);
    assert_eq!(spec.loops["d"], ["d@small", "d@large"]);
    let Block::Command(large) = &spec.points[0].stages["d@large"] else { panic!("kind") };
    assert_eq!((large.action.run.clone(), large.action.params.clone()), {
        let Block::Command(said) =
            &one("tartan: 1\nstages: {d: {command: {shell: echo 2, params: {a: [3]}, outputs: [o]}}}\n")
                .sound(&[], &[])
                .points[0]
                .stages["d"]
        else {
            panic!("kind")
        };
        (said.action.run.clone(), said.action.params.clone())
    });
    for (from, to, part) in [
        ("file: [x, y]", "file: [x]", "they move together"),
        ("exclude: {name: a, mask: 2}", "exclude: {nme: a}", "the loop has no variable `nme`"),
        ("exclude: {name: a, mask: 2}", "exclude: {name: a, mask: 3}", "this excludes no stage of the loop"),
        ("exclude: {name: a, mask: 2}", "file: [z]", "two parts of the loop set `file`"),
        ("${file} ${mask}", "${file.x} ${mask}", "has no field `x`"),
    ] {
        let says = one(&text.replace(from, to)).says(&[], &[]);
        assert!(says.contains(part), "{to}: {says}");
    }
}

#[test]
fn a_path_in_a_variable_is_relative_to_the_file_that_says_it() {
    let stage = "stages: {e: {encoder: {from: \"${f}\"}}, d: {encoder: {from: \"${g}/y\"}}}\n";
    let folder = Folder::new(&[
        ("p.yaml", "tartan: 1\ninclude: sub/q.yaml\nvars: {f: models/x}\n"),
        ("sub/q.yaml", &format!("vars: {{f: models/z, g: own}}\n{stage}")),
    ]);
    let path = |sets: &[&str], stage: &str| {
        let spec = folder.sound(&[], sets);
        let Block::Encoder { from: ModelSource::Folder(found), .. } = &spec.points[0].stages[stage] else {
            panic!("kind")
        };
        found.path.strip_prefix(folder.0.path()).expect("inside").to_owned()
    };
    assert_eq!(path(&[], "e"), Path::new("models/x"));
    assert_eq!(path(&[], "d"), Path::new("sub/own/y"));
    assert_eq!(path(&["f=models/w"], "e"), Path::new("models/w"));
}

#[test]
fn a_list_for_a_swept_variable_is_what_to_sweep_over() {
    let text = "\
tartan: 1
vars: {seed: 0, l: [0]}
stages: {e: {encoder: {from: \"x${seed}\"}}, c: {command: {shell: echo, params: {l: \"${l}\"}, outputs: [o]}}}
sweep: {seed: {range: [0, 9]}, l: [[1], [2, 3]]}
";
    let values = |sets: &[&str], var: &str| one(text).sound(&[], sets).values(var);
    assert_eq!(values(&["seed=[3, 5]"], "seed"), ["3", "5"]);
    assert_eq!(values(&["seed=3"], "seed"), [""; 0], "one value is no sweep");
    assert_eq!(values(&["l=[4]"], "l"), [""; 0], "it is one of its values, which are lists");
    assert!(one(text).says(&[], &["seed=[3, 3]"]).contains("`3` stands twice"));
}
