//! A folder with a small pipeline in it, and `tartan` to run there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The pipeline most tests run: every kind of stage, a few seconds in all.
pub(crate) const PIPELINE: &str = r#"tartan: 1
name: small
vars: {seed: 0, epochs: 1}
stages:
  encoder: {encoder: {random: encoder, seed: 3}}
  task:
    tokenize:
      tokenizer: encoder
      splits: {train: train.jsonl, dev: dev.jsonl, test: test.jsonl}
      max_length: 32
  text: {tokenize: {tokenizer: encoder, splits: {train: text.txt}, max_length: 32}}
  end-task: {objective: {classify: {data: task}}}
  tapt: {objective: {mlm: {data: text}}}
  model:
    train:
      init: encoder
      end_task: end-task
      auxiliary: [tapt]
      epochs: "${epochs}"
      batch: 8
      auxiliary_batch: 8
      micro_steps: 1
      lr: 1e-3
      evaluate_every: 2
      seed: "${seed}"
  test: {evaluate: {model: model, data: task, split: test}}
report: {metric: test.macro_f1, over: seed}
"#;

/// A folder of its own, with data, an encoder and a pipeline.
pub(crate) struct World {
    folder: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// What `--events` wrote, for runs.
    pub(crate) events: Vec<Value>,
}

impl Ended {
    /// The stages that events of this name are about, in order of their names.
    pub(crate) fn stages(&self, event: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.events.iter().filter(|e| e["event"] == event).filter_map(|e| e["stage"].as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The stages that ran to their end.
    pub(crate) fn ran(&self) -> Vec<&str> {
        self.stages("stage-finished")
    }

    /// Fails the test unless the code is `code`.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error has `part`.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        self
    }
}

impl World {
    /// A folder with [`PIPELINE`] as `p.yaml`, and what it reads.
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a folder") };
        let toy = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/toy");
        let head = |file: &str, lines: usize| -> String {
            let text = std::fs::read_to_string(toy.join(file)).expect("the toy world");
            text.lines().take(lines).map(|line| format!("{line}\n")).collect()
        };
        world.write("train.jsonl", &head("train.jsonl", 32));
        world.write("dev.jsonl", &head("dev.jsonl", 16));
        world.write("test.jsonl", &head("test.jsonl", 16));
        world.write("text.txt", &head("task.txt", 64));
        let config = std::fs::read_to_string(toy.join("encoder/config.json")).expect("the toy encoder");
        let mut config: Value = serde_json::from_str(&config).expect("json");
        for (key, value) in [
            ("hidden_size", 16),
            ("intermediate_size", 32),
            ("num_hidden_layers", 1),
            ("num_attention_heads", 2),
        ] {
            config[key] = value.into();
        }
        // Dropout, so that its streams of chance are part of what is tested.
        config["hidden_dropout_prob"] = 0.1.into();
        config["attention_probs_dropout_prob"] = 0.1.into();
        world.write("encoder/config.json", &config.to_string());
        std::fs::copy(toy.join("encoder/tokenizer.json"), world.path("encoder/tokenizer.json"))
            .expect("copy");
        world.write("p.yaml", PIPELINE);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect(name);
    }

    /// Writes a program.
    pub(crate) fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(name, text);
        let permissions = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.path(name), permissions).expect("permissions");
    }

    /// Replaces `from`, which must be there, in a file.
    #[track_caller]
    pub(crate) fn change(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "`{from}` is not in {name}");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// The command, not started: two jobs of one thread, so that results do not depend on the machine's
    /// cores.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tartan"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TARTAN_WORKER", env!("CARGO_BIN_EXE_tartan-worker"))
            .env("TARTAN_CACHE", self.path("cache"))
            .env("NO_COLOR", "1")
            // Servers of tests are near.
            .env("NO_PROXY", "*")
            .env("HF_HOME", self.path("hf"))
            .stdin(Stdio::null());
        for variable in ["HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
        {
            command.env_remove(variable);
        }
        command
    }

    pub(crate) fn tartan(&self, args: &[&str]) -> Ended {
        self.tartan_with(args, &[])
    }

    /// [`tartan`](Self::tartan) with more in its environment.
    pub(crate) fn tartan_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = self.command(args);
        let output = command.envs(variables.iter().copied()).output().expect("tartan starts");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            events: vec![],
        }
    }

    /// `tartan run p.yaml` with more arguments, and its events.
    pub(crate) fn run(&self, more: &[&str]) -> Ended {
        self.run_with(more, &[])
    }

    /// [`run`](Self::run) with more in its environment.
    pub(crate) fn run_with(&self, more: &[&str], variables: &[(&str, &str)]) -> Ended {
        let args =
            [&["run", "p.yaml", "--jobs", "2", "--threads", "1", "--events", "events.jsonl"], more].concat();
        let mut ended = self.tartan_with(&args, variables);
        let events = std::fs::read_to_string(self.path("events.jsonl")).unwrap_or_default();
        ended.events = events.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        ended
    }

    /// Starts a run and leaves it running.
    pub(crate) fn start(&self, events: &str) -> Child {
        self.start_with(events, &[])
    }

    /// [`start`](Self::start) with more arguments.
    pub(crate) fn start_with(&self, events: &str, more: &[&str]) -> Child {
        self.command(
            &[&["run", "p.yaml", "--jobs", "2", "--threads", "1", "--events", events], more].concat(),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tartan starts")
    }

    /// Every record: stage → output → digest.
    pub(crate) fn made(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut made = BTreeMap::new();
        for path in files(&self.path("cache/records")) {
            let text = std::fs::read_to_string(&path).expect("a record");
            let record: Value = serde_json::from_str(&text).expect("json");
            let record = &record["content"];
            let outputs = record["outputs"].as_object().expect("outputs");
            let digests = outputs
                .iter()
                .map(|(name, output)| (name.clone(), output["digest"].as_str().expect("digest").to_owned()))
                .collect();
            let stage = record["provenance"]["stage"].as_str().expect("stage").to_owned();
            made.insert(stage, digests);
        }
        made
    }

    /// The object of a stage's output.
    pub(crate) fn object(&self, stage: &str, output: &str) -> PathBuf {
        let digest = &self.made()[stage][output];
        self.path("cache/objects").join(&digest[..2]).join(digest)
    }
}

/// Every file under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Flips a bit in the middle of a file, whatever its permissions say.
pub(crate) fn flip_bit(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bytes = std::fs::read(path).expect("an object");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    std::fs::write(path, bytes).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).expect("permissions");
}
