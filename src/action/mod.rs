//! What a stage does, fully resolved: its kind, its parameters, and the inputs it reads.
//!
//! An [`Action`] is what a pipeline's stage comes to once names, paths and variables are gone. With the
//! digests of its inputs it is a [`Manifest`], whose digest is the stage's key. A [`Request`] is an
//! action with the files to read and the folder to write, as a worker gets it.
//!
//! A parameter at its default is left out of the manifest by its value, so that a kind may gain one
//! without changing anyone's keys; no parameter is ever left out by its name. What cannot change a
//! result (device, threads, names, paths, URLs) is in the request, never in the action. Each file that a
//! stage reads or writes has a fixed name, its *role*; [`roles`] lists them.

mod command;
mod tokenize;
mod training;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use command::{Command, Means, PARAMS};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use tokenize::{Deduplicate, Format, Part, Sample, Tokenize};
pub use training::{
    AdamW, Checkpoint, DevHead, DevHeadFit, GradientAt, Learned, Length, Meta, MetaOptimizer, Precision,
    Schedule, Similarity, Train, Weights,
};

use crate::digest::{Digest, Encoding};

/// The format of keys. Raised when the encoding itself changes.
pub const KEY_FORMAT: &str = "tartan-key-1";

/// A stage's kind and resolved parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Brings a file from a URL into the store. No pipeline writes it: the plan has one for each remote
    /// file that a stage reads.
    Fetch(Fetch),
    /// Brings an encoder into the store, or makes one.
    Encoder(Encoder),
    /// Turns texts into tokens.
    Tokenize(Tokenize),
    /// Binds a loss to its data and checks that they fit.
    Objective(Objective),
    /// Trains an encoder on one or more objectives.
    Train(Train),
    /// The same, and learns how much each objective should weigh: its weights are [`Weights::Meta`].
    LearnWeights(Train),
    /// Scores a model on a split.
    Evaluate(Evaluate),
    /// Writes a model directory that `transformers` loads.
    Export(Export),
    /// Runs a program of the user's own.
    Command(Command),
}

impl Action {
    /// The kind's name, as a pipeline writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "fetch",
            Self::Encoder(_) => "encoder",
            Self::Tokenize(_) => "tokenize",
            Self::Objective(_) => "objective",
            Self::Train(_) => "train",
            Self::LearnWeights(_) => "learn-weights",
            Self::Evaluate(_) => "evaluate",
            Self::Export(_) => "export",
            Self::Command(_) => "command",
        }
    }

    /// The kind's revision: raised when the same action on the same inputs makes other bytes than
    /// before. A test holds each kind's output and says when this was forgotten.
    pub fn revision(&self) -> u32 {
        match self {
            Self::Fetch(_) | Self::Encoder(_) | Self::Objective(_) | Self::Export(_) | Self::Command(_) => 1,
            // 2: texts that splits share, and labels that train lacks, are counted in `stats.json`.
            Self::Tokenize(_) => 2,
            // 2: no pads, dropout from streams of its own. 3: the last layer for the tokens that are read.
            Self::Train(_) | Self::LearnWeights(_) | Self::Evaluate(_) => 3,
        }
    }

    /// Whether it computes with tensors for long enough to want a GPU where there is one.
    pub fn wants_gpu(&self) -> bool {
        matches!(self, Self::Train(_) | Self::LearnWeights(_) | Self::Evaluate(_))
    }

    /// What it computes in, where it computes with tensors.
    pub fn precision(&self) -> Option<Precision> {
        match self {
            Self::Train(train) | Self::LearnWeights(train) => Some(train.precision),
            Self::Evaluate(evaluate) => Some(evaluate.precision),
            _ => None,
        }
    }

    /// The parameters alone, without the kind; those at their default are absent.
    pub fn parameters(&self) -> Value {
        match serde_json::to_value(self) {
            Ok(Value::Object(mut map)) => map.remove(self.kind()).unwrap_or(Value::Null),
            _ => Value::Null,
        }
    }
}

/// Everything a stage's result depends on. Printed by `tartan why`, kept in the stage's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The stage's kind.
    pub kind: String,
    /// The kind's revision.
    pub revision: u32,
    /// Its parameters; those at their default are absent.
    pub parameters: Value,
    /// The digest of each input's content, by role.
    pub inputs: BTreeMap<String, Digest>,
}

impl Manifest {
    /// The manifest of an action over inputs.
    pub fn new(action: &Action, inputs: BTreeMap<String, Digest>) -> Self {
        Self {
            kind: action.kind().to_owned(),
            revision: action.revision(),
            parameters: action.parameters(),
            inputs,
        }
    }

    /// The stage's key.
    pub fn key(&self) -> Digest {
        let inputs = self.inputs.iter().map(|(role, digest)| (role.as_str(), *digest));
        Head::of(&self.kind, self.revision, &self.parameters).key(inputs)
    }
}

/// All of a manifest but its inputs, encoded: the part of a key that stages of the same action share.
#[derive(Clone, Debug)]
pub struct Head {
    kind: String,
    revision: u32,
    parameters: Encoding,
}

impl Head {
    /// The head of an action's manifest.
    pub fn new(action: &Action) -> Self {
        Self::of(action.kind(), action.revision(), &action.parameters())
    }

    fn of(kind: &str, revision: u32, parameters: &Value) -> Self {
        let mut encoded = Encoding::default();
        encoded.value(parameters);
        Self { kind: kind.to_owned(), revision, parameters: encoded }
    }

    /// The key of a stage with these inputs, by role in the order of roles: that of its [`Manifest`].
    pub fn key<'a>(&self, inputs: impl ExactSizeIterator<Item = (&'a str, Digest)>) -> Digest {
        let mut encoding = Encoding::tagged(KEY_FORMAT);
        encoding.object(4);
        encoding.field("inputs");
        encoding.object(inputs.len());
        for (role, digest) in inputs {
            encoding.field(role);
            digest.with_hex(|hex| encoding.text(hex));
        }
        encoding.field("kind");
        encoding.text(&self.kind);
        encoding.field("parameters");
        encoding.append(&self.parameters);
        encoding.field("revision");
        encoding.number(self.revision.into());
        encoding.digest()
    }

    /// A digest that tells it from every other head.
    pub fn digest(&self) -> Digest {
        self.key([].into_iter())
    }
}

/// A file for a worker to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFile {
    /// Where its bytes are: an object of the store, or the user's own file.
    pub path: PathBuf,
    /// What they must hash to. A worker hashes what it has read and fails when it differs.
    pub digest: Digest,
    /// What to call it in messages: the user's path, or `stage/file`.
    pub name: String,
    /// Whether it is an object of the store (else it is the user's own file).
    pub stored: bool,
}

/// What a worker is asked to do. It reads the inputs, writes every output into `out`, and says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The stage's display name.
    pub stage: String,
    /// What to do.
    pub action: Action,
    /// What to read, by role.
    pub inputs: BTreeMap<String, InputFile>,
    /// An empty folder for the outputs, each a file whose name is its role. The folder around it is this
    /// attempt's own, and goes with it.
    pub out: PathBuf,
    /// A folder of the stage's key that outlives attempts: what this one leaves there, the next one at the
    /// same key finds, whatever ended this one. It goes once the outputs are in the store. Nobody verifies
    /// what is in it, and a kill may leave a file half-written: check before taking up from it. The worker
    /// holds `lock` in it.
    pub resume: PathBuf,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads to compute with, at least 1.
    pub threads: usize,
    /// How often to leave a checkpoint; absent: never.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// What to call each objective in messages: the end-task's stage first, where there is one, then
    /// the auxiliary ones in their order. Empty for other kinds.
    pub objective_names: Vec<String>,
    /// Where a `fetch` finds its file, in the order to try. Empty for other kinds.
    pub urls: Vec<String>,
    /// By what means a `command` runs.
    #[serde(default)]
    pub means: Means,
}

/// `fetch`. Reads nothing. Writes [`roles::FETCHED`]; of a commit, each file under its name without its folders.
/// Where a file comes from is no part of the key: a mirror gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// What the file must hash to.
    pub pin: Pin,
}

/// The digest that remote files are pinned to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// As `b3sum` prints it.
    Blake3(Digest),
    /// As `sha256sum` prints it: 64 hexadecimal digits in lower case.
    Sha256(String),
    /// A commit of a repository of the hub, which names all its files by their content.
    Commit(HubFiles),
}

/// Files of one commit of a repository of the hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HubFiles {
    /// `org/name`; of a data set `datasets/org/name`.
    pub repo: String,
    /// Its hash: 40 hexadecimal digits in lower case.
    pub commit: String,
    /// Their paths in the repository; no two have the same name without its folders.
    pub files: Vec<String>,
}

impl HubFiles {
    /// The role of one of the files: its name without its folders.
    pub fn role(file: &str) -> &str {
        file.rsplit('/').next().unwrap_or(file)
    }
}

impl Pin {
    /// The hash function's name, as a pipeline writes it.
    pub fn function(&self) -> &'static str {
        match self {
            Self::Blake3(_) => "blake3",
            Self::Sha256(_) => "sha256",
            Self::Commit(_) => "commit",
        }
    }

    /// The digest in hexadecimal digits: 64, of a commit 40.
    pub fn hex(&self) -> String {
        match self {
            Self::Blake3(digest) => digest.hex(),
            Self::Sha256(hex) => hex.clone(),
            Self::Commit(HubFiles { commit, .. }) => commit.clone(),
        }
    }
}

/// `encoder`. Reads `config.json`, `tokenizer.json` and, of a checkpoint, `model.safetensors`.
/// Writes [`roles::MODEL`], `tokenizer.json`, `vocabulary.json` and `encoder.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// Draw every weight at random instead of reading a checkpoint.
    #[serde(default, skip_serializing_if = "is_default")]
    pub random: bool,
    /// Seeds the weights that are made: all of them, or an LM head that the checkpoint lacks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seed: u64,
}

/// `objective`. Reads `data/sizes.json`, `data/labels.json` and `data/vocabulary.json`. Writes
/// `objective.json`, an [`ObjectiveFile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Mean cross-entropy of a text's label: first token of the last layer, dropout, linear H→H, tanh,
    /// dropout, linear H→classes.
    Classify {
        /// Dropout of the head.
        #[serde(default = "default_dropout", skip_serializing_if = "is_default_dropout")]
        dropout: f64,
    },
    /// Masked language modelling: mean cross-entropy of the chosen tokens, of which 80% become the
    /// mask token, 10% a random token, and 10% stay; drawn anew each time a text is seen.
    Mlm {
        /// The chance of a token to be chosen. Special and pad tokens never are.
        #[serde(default = "default_mask", skip_serializing_if = "is_default_mask")]
        mask: f64,
    },
}

fn default_dropout() -> f64 {
    0.1
}

fn default_mask() -> f64 {
    0.15
}

/// What an `objective` stage writes: all that training must know of it but the tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveFile {
    /// The loss.
    pub objective: Objective,
    /// The labels of a `classify` objective: those of the train split.
    pub labels: Option<Labels>,
    /// The vocabulary of the tokens.
    pub vocabulary: Vocabulary,
}

/// The labels of a data set. An index into `names` is a label's id in a `SPLIT.safetensors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The labels of the train split in byte order, then those that only dev has, then only test.
    pub names: Vec<String>,
    /// How many of them the train split has: the number of classes a model tells apart.
    pub classes: usize,
}

/// What the tokens of a tokenizer mean. Ids are those of `tokenizer.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// Number of ids, as the encoder's embedding has them.
    pub size: u32,
    /// The pad token.
    pub pad: u32,
    /// The mask token, where there is one.
    pub mask: Option<u32>,
    /// Every special token in rising order: never chosen by `mlm`.
    pub special: Vec<u32>,
    /// The most positions the encoder can embed, special tokens included.
    pub max_positions: u32,
}

/// What a split is scored by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Right predictions over all.
    Accuracy,
    /// The mean of the train labels' F1 scores.
    MacroF1,
    /// F1 over all decisions together; of one label a text it equals accuracy.
    MicroF1,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 3] = [Self::Accuracy, Self::MacroF1, Self::MicroF1];

    /// Its name in pipelines and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro_f1",
            Self::MicroF1 => "micro_f1",
        }
    }
}

/// `evaluate`. Reads [`roles::MODEL`] and `head.safetensors` under `model/`, `data/SPLIT.safetensors`,
/// `data/labels.json` and `data/vocabulary.json`. Writes `metrics.json` and `predictions.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluate {
    /// The split to score.
    pub split: String,
    /// What to put into `metrics.json`.
    pub metrics: Vec<Metric>,
    /// Texts a batch.
    pub batch: u64,
    /// Let tokens attend to pads (see [`Train::attend_pads`]).
    #[serde(default, skip_serializing_if = "is_default")]
    pub attend_pads: bool,
    /// What the encoder computes in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
}

/// `export`. Reads [`roles::MODEL`] and `head.safetensors` under `model/`, `tokenizer.json` and
/// `vocabulary.json`. Writes `config.json`, `model.safetensors`, `tokenizer.json`,
/// `tokenizer_config.json` and `special_tokens_map.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Export {}

/// The names of files that stages read and write.
pub mod roles {
    /// What a `fetch` brought.
    pub const FETCHED: &str = "file";
    /// A model: its configuration and its weights under the names `transformers` gives a masked
    /// language model of the family (`bert.…`, `cls.…` or `roberta.…`, `lm_head.…`).
    pub const MODEL: [&str; 2] = [CONFIG, WEIGHTS];
    /// The model's configuration, as `transformers` writes it.
    pub const CONFIG: &str = "config.json";
    /// The model's weights.
    pub const WEIGHTS: &str = "model.safetensors";
    /// The end-task's head: `dense.{weight,bias}`, `out_proj.{weight,bias}`; its labels as JSON under
    /// `labels` in the metadata. Without tensors where there is no end-task.
    pub const HEAD: &str = "head.safetensors";
    /// The tokenizer.
    pub const TOKENIZER: &str = "tokenizer.json";
    /// What `transformers` needs to know of the tokenizer.
    pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
    /// Its special tokens, for `transformers`.
    pub const SPECIAL_TOKENS: &str = "special_tokens_map.json";
    /// A [`Vocabulary`](super::Vocabulary).
    pub const VOCABULARY: &str = "vocabulary.json";
    /// [`Labels`](super::Labels).
    pub const LABELS: &str = "labels.json";
    /// Texts in each split: a JSON object of numbers.
    pub const SIZES: &str = "sizes.json";
    /// What tokenising saw: lengths, truncations, labels. For people; no stage reads it.
    pub const STATS: &str = "stats.json";
    /// An [`ObjectiveFile`](super::ObjectiveFile).
    pub const OBJECTIVE: &str = "objective.json";
    /// An evaluate stage's scores.
    pub const METRICS: &str = "metrics.json";
    /// A JSON object a text: its row, gold label, predicted label, probabilities.
    pub const PREDICTIONS: &str = "predictions.jsonl";
    /// A JSON object an evaluation or logged step.
    pub const HISTORY: &str = "history.jsonl";
    /// The weights at each step and what they come from: a JSON object a line, the first for the start.
    pub const WEIGHTS_LOG: &str = "weights.jsonl";
    /// How training went: steps, best step and score, why it stopped.
    pub const TRAIN: &str = "train.json";
    /// What an encoder is: family, sizes, which weights were made.
    pub const ENCODER: &str = "encoder.json";

    /// A program that a command runs.
    pub fn program(name: &str) -> String {
        format!("program/{name}")
    }

    /// What runs a program that is a script.
    pub fn interpreter(name: &str) -> String {
        format!("{INTERPRETERS}{name}")
    }

    /// What the roles of such begin with.
    pub const INTERPRETERS: &str = "interpreter/";

    /// A file, or a folder of files, that a command finds in its folder.
    pub fn input(name: &str) -> String {
        format!("{INPUTS}{name}")
    }

    /// What the roles of a command's files begin with.
    pub const INPUTS: &str = "inputs/";

    /// A file of a split: the only one, or one of several, at its place among them.
    pub fn source(split: &str, file: Option<usize>) -> String {
        match file {
            None => format!("source/{split}"),
            Some(place) => format!("source/{split}.{place:05}"),
        }
    }

    /// The tokens of a split.
    pub fn split(name: &str) -> String {
        format!("{name}.safetensors")
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde passes a reference; exactly the default"
)]
fn is_default_dropout(value: &f64) -> bool {
    *value == default_dropout()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde passes a reference; exactly the default"
)]
fn is_default_mask(value: &f64) -> bool {
    *value == default_mask()
}
