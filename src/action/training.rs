//! What `train` and `learn-weights` do: objectives' weights, optimisers, length.

use serde::{Deserialize, Serialize};

use super::{Metric, is_default};

/// `train` and `learn-weights`. Read the model of `init` (roles under `init/`: [`roles::MODEL`](super::roles::MODEL), and
/// `init/head.safetensors` where `init` was trained); for the end-task `end_task/objective.json`,
/// `end_task/train.safetensors` and, where the data has a dev split, `end_task/dev.safetensors`; for the
/// N-th auxiliary objective `auxiliary/N/objective.json` and `auxiliary/N/train.safetensors`; with
/// [`Weights::Learned`] `weights/weights.jsonl`. Write [`roles::MODEL`](super::roles::MODEL), `head.safetensors`,
/// `history.jsonl`, `train.json`, and `learn-weights` also `weights.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    /// How the objectives are weighed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub weights: Weights,
    /// How long.
    pub length: Length,
    /// Texts of the end-task a micro-step.
    pub batch: u64,
    /// Texts of each auxiliary objective a micro-step.
    pub auxiliary_batch: u64,
    /// Micro-steps an optimiser step: gradients are averaged over them.
    pub micro_steps: u64,
    /// The optimiser of the encoder and the LM head.
    pub body: AdamW,
    /// The optimiser of the classification heads.
    pub head: AdamW,
    /// The learning rate over the steps.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// Warm-up, as a part of all steps.
    pub warmup: f64,
    /// The largest L2 norm of the gradient, of body and heads apart; 0 for no clipping.
    pub clip: f64,
    /// Steps between two evaluations on dev; absent: once an epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub evaluate_every: Option<u64>,
    /// Evaluations without a better dev score before training stops; 0 for never.
    pub patience: u64,
    /// What dev is scored by, to choose the checkpoint that is kept.
    pub metric: Metric,
    /// Keep the encoder's own dropout while training (its configuration says how much).
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub dropout: bool,
    /// Let tokens attend to pads, as the paper's code does: a text's result then depends on the others of
    /// its batch. For comparing with it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attend_pads: bool,
    /// What the encoder computes in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// Seeds the heads, the order of the texts, masks and dropout, each a stream of its own.
    pub seed: u64,
}

/// What an encoder computes in. Parameters, the sums of their gradients and the optimiser are held in float32
/// all the same, and losses and classification heads are computed in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// float32.
    #[default]
    Float32,
    /// float32, whose matrix products an NVIDIA GPU rounds to ten bits on the way. A CPU does not.
    Tf32,
    /// bfloat16: as wide a range in half the bits, and faster where the processor knows it.
    Bf16,
}

impl Train {
    /// Whether it is what a `learn-weights` stage does.
    pub fn learns_weights(&self) -> bool {
        matches!(self.weights, Weights::Meta(_))
    }
}

/// How often a stage that trains saves what it can be taken up from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpoint {
    /// Every so many optimiser steps.
    Steps(u64),
    /// After the first step that ends so many minutes after the last one.
    Minutes(f64),
}

/// How the objectives are weighed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// Each the same; they sum to 1.
    #[default]
    Uniform,
    /// Given: the end-task's first, where there is one. Used as they are.
    Static(Vec<f64>),
    /// Those that a `learn-weights` stage with the same objectives came to.
    Learned(Learned),
    /// Learned while training, from the end-task's dev split.
    Meta(Box<Meta>),
}

/// Which of the weights that were learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Learned {
    /// Those after the last step.
    #[default]
    Final,
    /// The mean of those that the steps were made with.
    Mean,
    /// Step by step those that were used; after their end the last.
    Replay,
}

/// How META-TARTAN learns the weights (Dery et al. 2022): each objective's gradient of the encoder is
/// compared with that of the end-task's dev loss, and what agrees gains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// The learning rate of the logits, of which the weights are the softmax.
    pub lr: f64,
    /// How the logits follow.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optimizer: MetaOptimizer,
    /// How two gradients are compared.
    #[serde(default, skip_serializing_if = "is_default")]
    pub similarity: Similarity,
    /// Take the similarities through the Jacobian of the softmax, as the derivative of the dev loss by the
    /// logits would have it; else they are added to the logits as they are, as the paper's code does.
    #[serde(default, skip_serializing_if = "is_default")]
    pub jacobian: bool,
    /// The parameters that the dev gradient is taken at.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gradient_at: GradientAt,
    /// The end-task's head on dev.
    pub dev_head: DevHead,
    /// Texts of the dev gradient's batch, at most all.
    pub dev_batch: u64,
    /// Fit the dev head, take the dev gradient and choose the checkpoint on parts of dev of their own, drawn
    /// from the seed; else each uses the whole of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub disjoint_dev: bool,
    /// Optimiser steps from one update of the weights to the next.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub every: u64,
    /// The weights to start with, above 0, summing to 1: the end-task's first. Absent: each the same.
    #[serde(default, skip_serializing_if = "is_default")]
    pub initial: Option<Vec<f64>>,
    /// No weight falls below this: `floor + (1 - n·floor)·softmax(logits)` of n objectives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub floor: f64,
}

/// How the weights' logits follow the similarities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetaOptimizer {
    /// Plain gradient ascent.
    #[default]
    Sgd,
    /// Ascent along a sum that decays by 0.9 a step.
    Momentum,
    /// Adam (Kingma and Ba 2015) with betas (0.9, 0.999) and eps 1e-8.
    Adam,
}

/// How two gradients are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// By their cosine; 0 where one of them is 0.
    #[default]
    Cosine,
    /// By their inner product.
    Dot,
}

/// The parameters that the dev gradient is taken at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GradientAt {
    /// Those that the objectives' gradients are taken at, as in the paper's code.
    #[default]
    Current,
    /// Those after the step, as in the paper's formula. Keeps one gradient an objective in memory.
    Next,
}

/// The head that the end-task's loss on dev goes through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DevHead {
    /// A head of its own, fitted anew at each update with the encoder fixed.
    Own(DevHeadFit),
    /// The head that is being trained (the paper's ablation).
    Training,
}

/// How the dev head is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevHeadFit {
    /// The most optimiser steps.
    pub steps: u64,
    /// Texts to fit it on, at most all.
    pub batch: u64,
    /// Its optimiser.
    pub optimizer: AdamW,
    /// It is fitted when its loss changes by less than this from one step to the next.
    pub tolerance: f64,
    /// Fit it on the end-task's train split (as in AANG, Dery et al. 2022b) in place of dev.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_train: bool,
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// So many passes over the largest auxiliary corpus, or over the end-task where there is none.
    Epochs(f64),
    /// So many optimiser steps.
    Steps(u64),
}

/// `AdamW`'s parameters (decoupled weight decay; Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Peak learning rate.
    pub lr: f64,
    /// Weight decay; 0 for biases and layer norms whatever is said here.
    pub weight_decay: f64,
    /// Decay rates of the first and second moments.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// The learning rate over the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Rises from 0 over the warm-up, then falls to 0 at the last step.
    #[default]
    Linear,
    /// Rises from 0 over the warm-up, then stays.
    Constant,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &u64) -> bool {
    *value == 1
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}
