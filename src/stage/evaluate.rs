//! `evaluate`: a model's scores and predictions on a split.

use std::collections::BTreeMap;

use serde::Serialize;
use tartan::action::{self, Labels, Vocabulary, roles};
use tartan::diag::Code;
use tartan::event::{Failure, Progress};

use super::{Io, model};
use crate::learn::encoder::Encoder;
use crate::learn::head::Head;
use crate::learn::metrics::{Confusion, LabelScore};
use crate::learn::predict::{most_probable, predict};
use crate::learn::tokens::Layout;
use crate::learn::weights;

/// What `metrics.json` holds.
#[derive(Serialize)]
struct Scores<'a> {
    split: &'a str,
    texts: usize,
    metrics: BTreeMap<&'static str, f64>,
    per_class: Vec<LabelScore>,
    /// `confusion[gold][predicted]`: a row for each of `labels`, a column for each that the model knows.
    confusion: &'a [Vec<usize>],
    labels: &'a [String],
}

/// A line of `predictions.jsonl`.
#[derive(Serialize)]
struct Prediction<'a> {
    row: i64,
    gold: &'a str,
    predicted: &'a str,
    probabilities: BTreeMap<&'a str, f64>,
}

/// Scores the model on the split and writes the scores and each text's prediction.
pub fn run(action: &action::Evaluate, io: &Io<'_>) -> Result<(), Failure> {
    let device = model::device(io)?;
    let config = model::config(&io.input("model/config.json")?, &io.name("model/config.json"))?;
    let Some(trained) = model::read_head(io, "model/head.safetensors", &config)? else {
        let model = io.name("model/config.json");
        let message = format!("the model ({model}) was trained without an end-task: it has no head");
        let help = "evaluate a train stage that has an `end_task`";
        return Err(Failure::new(Code::WrongStageKind, message).at("model").help(help));
    };
    let labels: Labels = io.json("data/labels.json")?;
    let vocabulary: Vocabulary = io.json("data/vocabulary.json")?;
    check_labels(&trained.labels, &labels)?;
    let split = model::split(io, &format!("data/{}", roles::split(&action.split)))?;
    let what = format!("the {} split", action.split);
    if split.is_empty() {
        return Err(Failure::new(Code::EmptySplit, format!("{what} has no text")).at("split"));
    }
    let known = |label: &i32| usize::try_from(*label).is_ok_and(|label| label < labels.names.len());
    if split.labels.is_empty() || !split.labels.iter().all(known) {
        let help = "scores need labels: give its records them, under the field that `label` of the tokenize stage names";
        return Err(Failure::new(Code::NoLabels, format!("{what} has no labels")).at("split").help(help));
    }
    model::check_split(&split, &config, &vocabulary, &what)?;

    let tensors = weights::on_device(&model::read_weights(io, "model/model.safetensors", &config)?, device);
    let layers = weights::in_precision(&tensors, action.precision);
    let encoder = Encoder::new(&config, &tensors, &layers);
    let head = Head::new(&weights::on_device(&trained.tensors, device), "", 0.0);
    let batch = usize::try_from(action.batch).unwrap_or(usize::MAX);
    let total = split.len();
    let layout = Layout::new(&config, &vocabulary, device, action.precision, action.attend_pads);
    let probabilities = predict(&encoder, &head, &split, batch, layout, &|done| {
        io.progress(Progress {
            phase: "evaluate".to_owned(),
            done: done as u64,
            total: Some(total as u64),
            unit: "texts".to_owned(),
            figures: vec![],
        });
    });
    if probabilities.iter().flatten().any(|probability| !probability.is_finite()) {
        return Err(Failure::new(Code::NotFinite, "the model's logits are not finite").at("model"));
    }

    let predicted: Vec<usize> = probabilities.iter().map(|row| most_probable(row)).collect();
    let gold: Vec<usize> = split.labels.iter().map(|&label| usize::try_from(label).unwrap_or(0)).collect();
    let pairs = gold.iter().copied().zip(predicted.iter().copied());
    let confusion = Confusion::new(pairs, labels.names.len(), labels.classes);
    let scores = Scores {
        split: &action.split,
        texts: total,
        metrics: action.metrics.iter().map(|metric| (metric.name(), confusion.score(*metric))).collect(),
        per_class: confusion.per_label(&labels.names),
        confusion: confusion.counts(),
        labels: &labels.names,
    };
    let predictions: Vec<Prediction<'_>> = (0..total)
        .map(|text| Prediction {
            row: split.rows[text],
            gold: &labels.names[gold[text]],
            predicted: &labels.names[predicted[text]],
            probabilities: trained
                .labels
                .iter()
                .map(String::as_str)
                .zip(probabilities[text].iter().copied())
                .collect(),
        })
        .collect();
    io.output(roles::METRICS, &model::pretty_json(&scores)?)?;
    io.output(roles::PREDICTIONS, &model::json_lines(&predictions)?)
}

fn check_labels(of_model: &[String], of_data: &Labels) -> Result<(), Failure> {
    let known = &of_data.names[..of_data.classes.min(of_data.names.len())];
    if of_model == known {
        return Ok(());
    }
    Err(Failure::new(Code::Misfit, "the labels of the model and of the data differ")
        .at("data")
        .note(format!("the model's are {}", of_model.join(", ")))
        .note(format!("the data's are {}", known.join(", ")))
        .help("evaluate on the data that the model's end-task was trained on"))
}
