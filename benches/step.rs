//! Times one optimiser step, evaluation or tokenising on real work, and prints a line of JSON. `run.sh`
//! runs it in turn with what others do of the same work.
//!
//! ```text
//! cargo bench --bench step -- --model DIR --data DIR --method mt --batch 16 --dev-batch 8 --accum 2
//! ```

#![expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement uses a part of `learn`, prints, and stops at the first fault"
)]

#[path = "../src/learn/mod.rs"]
mod learn;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tartan::action::{Precision, Train, Vocabulary};
use tartan::data::split::Split;
use tartan::data::tokenize::TextEncoder;

use learn::config::Config;
use learn::encoder::Encoder;
use learn::head::{self, Head};
use learn::job::{Job, Loss, Task};
use learn::predict::predict;
use learn::tokens::Layout;
use learn::train::{Listener, train};
use learn::weighting::Weighting;
use learn::{libtorch, weights};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Steps of MT-TARTAN: the end-task and one `mlm` objective, weighed alike.
    Mt,
    /// Steps of META-TARTAN.
    Meta,
    /// Predictions on the labelled train split.
    Evaluate,
    /// Texts to tokens.
    Tokenize,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// A folder with config.json, model.safetensors and tokenizer.json.
    #[arg(long)]
    model: PathBuf,
    /// A folder with train.jsonl, dev.jsonl and train.txt.
    #[arg(long)]
    data: PathBuf,
    #[arg(long, value_enum)]
    method: What,
    /// Texts of each objective a micro-step.
    #[arg(long, default_value_t = 16)]
    batch: u64,
    /// Texts that the dev head is fitted on.
    #[arg(long, default_value_t = 32)]
    dev_batch: u64,
    /// Micro-steps.
    #[arg(long, default_value_t = 1)]
    accum: u64,
    /// Steps that are timed, after two that are not.
    #[arg(long, default_value_t = 6)]
    steps: usize,
    #[arg(long, default_value_t = 512)]
    max_len: u32,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value = "cpu")]
    device: String,
    /// A fresh encoder in place of the folder's weights.
    #[arg(long)]
    random_init: bool,
    /// Compute in bfloat16.
    #[arg(long)]
    bf16: bool,
    /// How often the texts are tokenised or predicted.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What cargo passes to a benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    libtorch::set_threads(arguments.threads);
    let found = match arguments.method {
        What::Mt | What::Meta => steps(&arguments),
        What::Evaluate => evaluate(&arguments),
        What::Tokenize => tokenize(&arguments),
    };
    println!("{found}");
}

/// An encoder and the end-task's texts.
struct World {
    config: Config,
    vocabulary: Vocabulary,
    weights: weights::Tensors,
    encoder: TextEncoder,
    labels: Vec<String>,
}

impl World {
    fn read(arguments: &Arguments) -> Self {
        let read = |name: &str| fs::read(arguments.model.join(name)).unwrap();
        let config = Config::from_json(&read("config.json")).unwrap();
        let weights = if arguments.random_init {
            let specs: Vec<_> = config.encoder_params().into_iter().chain(config.lm_head_params()).collect();
            weights::make(&specs, 0.02, 0, "")
        } else {
            weights::read_checkpoint(&config, &read("model.safetensors"), 0).unwrap().tensors
        };
        let tokenizer_json = read("tokenizer.json");
        let tokenizer = tokenizers::Tokenizer::from_bytes(&tokenizer_json).unwrap();
        let ids = |names: &[&str]| names.iter().filter_map(|name| tokenizer.token_to_id(name)).collect();
        let mut special: Vec<u32> =
            ids(&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "<pad>", "</s>", "<unk>", "<mask>"]);
        special.sort_unstable();
        let vocabulary = Vocabulary {
            size: u32::try_from(config.vocab).unwrap(),
            pad: ids(&["[PAD]", "<pad>"])[0],
            mask: ids(&["[MASK]", "<mask>"]).first().copied(),
            special,
            max_positions: arguments.max_len,
        };
        let encoder = TextEncoder::new(&tokenizer_json, &vocabulary, arguments.max_len).unwrap();
        let mut labels: Vec<String> =
            records(&arguments.data.join("train.jsonl")).into_iter().map(|(_, label)| label).collect();
        labels.sort();
        labels.dedup();
        Self { config, vocabulary, weights, encoder, labels }
    }

    fn split(&self, texts: &[(String, String)]) -> Split {
        let plain: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
        let tokens = self.encoder.encode(&plain).unwrap();
        let mut offsets = vec![0];
        for length in tokens.lengths {
            offsets.push(offsets.last().unwrap() + i64::try_from(length).unwrap());
        }
        let label = |label: &String| self.labels.iter().position(|known| known == label);
        let labels = texts.iter().filter_map(|(_, of)| label(of)).map(|at| i32::try_from(at).unwrap());
        Split { ids: tokens.ids, offsets, labels: labels.collect(), rows: (0..).take(texts.len()).collect() }
    }
}

/// Texts and labels of a JSONL file, or texts of a plain one.
fn records(path: &Path) -> Vec<(String, String)> {
    let lines = fs::read_to_string(path).unwrap();
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    if path.extension().is_some_and(|extension| extension == "txt") {
        return lines.map(|line| (line.to_owned(), String::new())).collect();
    }
    lines
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| record[name].as_str().unwrap().to_owned();
            (field("text"), field("label"))
        })
        .collect()
}

fn steps(arguments: &Arguments) -> Value {
    let world = World::read(arguments);
    let split = |name: &str| world.split(&records(&arguments.data.join(name)));
    let (train_split, dev, lines) = (split("train.jsonl"), split("dev.jsonl"), split("train.txt"));
    let meta = arguments.method == What::Meta;
    let adamw =
        |lr: f64, decay: f64| json!({"lr": lr, "weight_decay": decay, "betas": [0.9, 0.98], "eps": 1e-6});
    let fit =
        json!({"steps": 10, "batch": arguments.dev_batch, "optimizer": adamw(1e-3, 0.1), "tolerance": 1e-3});
    let mut settings = json!({
        "length": {"steps": arguments.steps + 3}, "batch": arguments.batch, "auxiliary_batch": arguments.batch,
        "micro_steps": arguments.accum, "body": adamw(1e-4, 0.01), "head": adamw(1e-3, 0.1), "warmup": 0.06,
        "clip": 1.0, "evaluate_every": 1_000_000, "patience": 0, "metric": "macro_f1", "seed": 0,
    });
    if arguments.bf16 {
        settings["precision"] = json!("bf16");
    }
    if meta {
        settings["weights"] =
            json!({"meta": {"lr": 1e-2, "dev_head": {"own": fit}, "dev_batch": arguments.batch}});
    }
    let settings: Train = serde_json::from_value(settings).unwrap();
    let task = |name: &str, loss, train: Split| {
        let batch = usize::try_from(arguments.batch).unwrap();
        Task { name: name.to_owned(), loss, train, batch }
    };
    let texts = train_split.len();
    let tokens = (train_split.ids.len() + lines.ids.len()) as f64 / texts as f64;
    let job = Job {
        weighting: Weighting::new(&settings.weights, 2, &[]).unwrap(),
        settings,
        tasks: vec![
            task("end-task", Loss::Classify { classes: world.labels.len(), dropout: 0.1 }, train_split),
            task("mlm", Loss::Mlm { rate: 0.15, mask: world.vocabulary.mask.unwrap() }, lines),
        ],
        config: world.config,
        vocabulary: world.vocabulary,
        weights: world.weights,
        head: None,
        end_task: true,
        dev: meta.then_some(dev),
        device: libtorch::device(&arguments.device).unwrap(),
    };
    let times = RefCell::new(vec![]);
    let listener =
        Listener { watch: &|_| times.borrow_mut().push(Instant::now()), note: &|_| (), stop: &|| false };
    train(&job, None, &listener).unwrap();
    let times = times.into_inner();
    // The first two steps warm up; the last is followed by an evaluation.
    let seconds = times[2..].windows(2).take(arguments.steps).map(|pair| (pair[1] - pair[0]).as_secs_f64());
    let seconds = median(seconds.collect());
    let texts_per_step = 2.0 * (arguments.batch * arguments.accum) as f64;
    json!({
        "mode": "tartan", "method": if meta { "meta" } else { "mt" }, "batch": arguments.batch,
        "accum": arguments.accum, "step_s": round(seconds),
        "tokens_per_step": (texts_per_step * tokens / 2.0).round(), "rss_mb": peak_mb(),
        "examples_per_s": round(texts_per_step / seconds), "flash": job.layout().flash,
    })
}

fn evaluate(arguments: &Arguments) -> Value {
    let world = World::read(arguments);
    let split = world.split(&records(&arguments.data.join("train.jsonl")));
    let device = libtorch::device(&arguments.device).unwrap();
    let specs = head::params("", world.config.hidden, i64::try_from(world.labels.len()).unwrap());
    let tensors = weights::on_device(&world.weights, device);
    let precision = if arguments.bf16 { Precision::Bf16 } else { Precision::Float32 };
    let encoder = Encoder::new(&world.config, &tensors, &weights::in_precision(&tensors, precision));
    let head = Head::new(&weights::on_device(&weights::make(&specs, 0.02, 0, ""), device), "", 0.0);
    let layout = Layout::new(&world.config, &world.vocabulary, device, precision, false);
    let batch = usize::try_from(arguments.batch).unwrap();
    let seconds = (0..arguments.rounds).map(|_| {
        let start = Instant::now();
        let found = predict(&encoder, &head, &split, batch, layout, &|_| ());
        assert_eq!(found.len(), split.len());
        start.elapsed().as_secs_f64()
    });
    let seconds = median(seconds.collect());
    json!({
        "mode": "tartan", "method": "evaluate", "batch": batch, "seconds": round(seconds),
        "texts_per_s": round(split.len() as f64 / seconds), "rss_mb": peak_mb(), "precision": precision,
    })
}

fn tokenize(arguments: &Arguments) -> Value {
    let texts = as_many_as_a_corpus(&records(&arguments.data.join("train.jsonl")));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build().unwrap();
    let seconds = (0..arguments.rounds).map(|_| {
        // Anew each time: a used one remembers words.
        let encoder = World::read(arguments).encoder;
        let start = Instant::now();
        assert_eq!(pool.install(|| encoder.encode(&texts)).unwrap().lengths.len(), texts.len());
        start.elapsed().as_secs_f64()
    });
    let seconds = median(seconds.collect());
    json!({
        "mode": "tartan", "method": "tokenize", "seconds": round(seconds),
        "texts_per_s": round(texts.len() as f64 / seconds), "rss_mb": peak_mb(),
    })
}

/// 20,000 texts, no two alike: each of `texts` with its words moved on by one more at every repetition. `peer.py`
/// makes the same.
fn as_many_as_a_corpus(texts: &[(String, String)]) -> Vec<String> {
    let moved = |index: usize| {
        let mut words: Vec<&str> = texts[index % texts.len()].0.split(' ').collect();
        let by = index / texts.len() % words.len();
        words.rotate_left(by);
        words.join(" ")
    };
    (0..20_000).map(moved).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
}
