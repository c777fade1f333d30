//! How much each objective weighs at a step: one coefficient each, the end-task's first. Plain numbers;
//! what the learned ones follow is computed in `meta`.

use serde::{Deserialize, Serialize};
use tartan::action::{Learned, Meta, MetaOptimizer, Weights};

/// The rule by which the objectives are weighed.
#[derive(Clone, Debug)]
pub enum Weighting {
    /// The same at every step.
    Fixed(Vec<f64>),
    /// Those of another stage, a row a step; after their end the last row.
    Replayed(Vec<Vec<f64>>),
    /// Learned while training.
    Learned(MetaWeights),
}

impl Weighting {
    /// The rule of `weights` for `objectives` objectives. `log` is what `weights.jsonl` of another stage
    /// says, for weights that come from there: the weights after 0, 1, 2, … steps.
    pub fn new(weights: &Weights, objectives: usize, log: &[Vec<f64>]) -> Result<Self, String> {
        let fits = |given: &[f64]| {
            if given.len() == objectives {
                return Ok(());
            }
            Err(format!("{} weights are given for {objectives} objectives", given.len()))
        };
        log.iter().try_for_each(|row| fits(row))?;
        match weights {
            Weights::Uniform => Ok(Self::Fixed(vec![1.0 / objectives as f64; objectives])),
            Weights::Static(given) => fits(given).map(|()| Self::Fixed(given.clone())),
            Weights::Learned(which) => {
                let Some(last) = log.last() else { return Err("the log of weights is empty".to_owned()) };
                Ok(match which {
                    Learned::Final => Self::Fixed(last.clone()),
                    Learned::Mean => Self::Fixed(mean(&log[..(log.len() - 1).max(1)])),
                    Learned::Replay => Self::Replayed(log.to_vec()),
                })
            }
            // With nothing beside the end-task there is nothing to weigh: that is fine-tuning.
            Weights::Meta(_) if objectives == 1 => Ok(Self::Fixed(vec![1.0])),
            Weights::Meta(meta) => {
                meta.initial.as_deref().map_or(Ok(()), fits)?;
                Ok(Self::Learned(MetaWeights::new(meta, objectives)))
            }
        }
    }

    /// For how many steps there are weights to replay, where they are replayed.
    pub fn replayed_steps(&self) -> Option<u64> {
        match self {
            Self::Replayed(rows) => Some(rows.len() as u64 - 1),
            Self::Fixed(_) | Self::Learned(_) => None,
        }
    }

    /// The weights of the step after `done` steps.
    pub fn at(&self, done: u64) -> Vec<f64> {
        match self {
            Self::Fixed(weights) => weights.clone(),
            Self::Replayed(rows) => {
                let at = usize::try_from(done).unwrap_or(usize::MAX).min(rows.len() - 1);
                rows[at].clone()
            }
            Self::Learned(learned) => learned.weights(),
        }
    }
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let sum = |t: usize| rows.iter().map(|row| row[t]).sum::<f64>();
    (0..rows[0].len()).map(|t| sum(t) / rows.len() as f64).collect()
}

/// Weights that are learned: a softmax over logits that climb by what each objective's gradient has in
/// common with the dev gradient (Dery et al. 2022, section 3.2).
#[derive(Clone, Debug)]
pub struct MetaWeights {
    settings: Meta,
    state: MetaState,
}

/// What changes from update to update. Goes into checkpoints as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetaState {
    /// The logits, one an objective.
    pub logits: Vec<f64>,
    /// The running sum of momentum, or Adam's first moment.
    pub first_moment: Vec<f64>,
    /// Adam's second moment.
    pub second_moment: Vec<f64>,
    /// Updates made.
    pub updates: i32,
}

impl MetaWeights {
    /// Fresh weights of `objectives` objectives. Without initial weights every logit starts at
    /// 1 / `objectives`, as in the paper's code; only their differences matter.
    pub fn new(settings: &Meta, objectives: usize) -> Self {
        let (n, floor) = (objectives as f64, settings.floor);
        let logits = match &settings.initial {
            Some(initial) => {
                initial.iter().map(|weight| ((weight - floor) / (1.0 - n * floor)).ln()).collect()
            }
            None => vec![1.0 / n; objectives],
        };
        let zeros = || vec![0.0; objectives];
        let state = MetaState { logits, first_moment: zeros(), second_moment: zeros(), updates: 0 };
        Self { settings: settings.clone(), state }
    }

    /// What goes into a checkpoint.
    pub fn state(&self) -> &MetaState {
        &self.state
    }

    /// Takes back what a checkpoint holds.
    pub fn set_state(&mut self, state: MetaState) {
        self.state = state;
    }

    /// The weights: each above the floor, all summing to 1.
    pub fn weights(&self) -> Vec<f64> {
        let floor = self.settings.floor;
        let rest = 1.0 - floor * self.state.logits.len() as f64;
        self.probabilities().into_iter().map(|probability| floor + rest * probability).collect()
    }

    /// One step up along `similarities`: what each objective's gradient has in common with dev's.
    pub fn update(&mut self, similarities: &[f64]) {
        let ascent =
            if self.settings.jacobian { self.through_softmax(similarities) } else { similarities.to_vec() };
        let lr = self.settings.lr;
        let state = &mut self.state;
        state.updates += 1;
        let (beta1, beta2, eps) = (0.9_f64, 0.999_f64, 1e-8);
        let corrections = (1.0 - beta1.powi(state.updates), 1.0 - beta2.powi(state.updates));
        for (t, slope) in ascent.into_iter().enumerate() {
            let (first, second) = (&mut state.first_moment[t], &mut state.second_moment[t]);
            state.logits[t] += lr
                * match self.settings.optimizer {
                    MetaOptimizer::Sgd => slope,
                    MetaOptimizer::Momentum => {
                        *first = 0.9 * *first + slope;
                        *first
                    }
                    MetaOptimizer::Adam => {
                        *first = beta1 * *first + (1.0 - beta1) * slope;
                        *second = beta2 * *second + (1.0 - beta2) * slope * slope;
                        (*first / corrections.0) / ((*second / corrections.1).sqrt() + eps)
                    }
                };
        }
    }

    /// The softmax of the logits.
    fn probabilities(&self) -> Vec<f64> {
        let most = self.state.logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = self.state.logits.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// The derivative by the logits of Σ wᵢ·sᵢ: `(1 - n·floor)·pᵢ·(sᵢ - Σ pⱼ·sⱼ)`.
    fn through_softmax(&self, similarities: &[f64]) -> Vec<f64> {
        let probabilities = self.probabilities();
        let rest = 1.0 - self.settings.floor * probabilities.len() as f64;
        let mean: f64 = probabilities.iter().zip(similarities).map(|(p, s)| p * s).sum();
        probabilities.iter().zip(similarities).map(|(p, s)| rest * p * (s - mean)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(settings: &serde_json::Value) -> Meta {
        let adamw = serde_json::json!({"lr": 1e-3, "weight_decay": 0.1, "betas": [0.9, 0.98], "eps": 1e-6});
        let fit = serde_json::json!({"steps": 10, "batch": 32, "optimizer": adamw, "tolerance": 1e-3});
        let mut fields = serde_json::json!({"lr": 0.5, "dev_head": {"own": fit}, "dev_batch": 8});
        for (name, value) in settings.as_object().unwrap() {
            fields[name] = value.clone();
        }
        serde_json::from_value(fields).unwrap()
    }

    fn rule(weights: &Weights, objectives: usize, log: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let weighting = Weighting::new(weights, objectives, log).unwrap();
        (0..4).map(|done| weighting.at(done)).collect()
    }

    #[test]
    fn uniform_weights_sum_to_one_and_static_ones_are_taken_as_given() {
        assert_eq!(rule(&Weights::Uniform, 4, &[])[0], vec![0.25; 4]);
        assert_eq!(rule(&Weights::Static(vec![3.0, 0.5]), 2, &[])[3], [3.0, 0.5]);
        assert!(Weighting::new(&Weights::Static(vec![1.0]), 2, &[]).is_err());
    }

    #[test]
    fn learned_weights_come_from_the_log() {
        let log = [vec![0.5, 0.5], vec![0.6, 0.4], vec![0.75, 0.25]];
        assert_eq!(rule(&Weights::Learned(Learned::Final), 2, &log)[0], [0.75, 0.25]);
        let mean = rule(&Weights::Learned(Learned::Mean), 2, &log);
        assert!((mean[0][0] - 0.55).abs() < 1e-15, "the last row was used by no step: {mean:?}");
        let replayed = rule(&Weights::Learned(Learned::Replay), 2, &log);
        assert_eq!(replayed, [log[0].clone(), log[1].clone(), log[2].clone(), log[2].clone()]);
        let replaying = Weighting::new(&Weights::Learned(Learned::Replay), 2, &log).unwrap();
        assert_eq!(replaying.replayed_steps(), Some(2));
        assert_eq!(rule(&Weights::Learned(Learned::Mean), 2, &log[..1])[0], [0.5, 0.5]);
        assert!(Weighting::new(&Weights::Learned(Learned::Final), 2, &[]).is_err());
        assert!(Weighting::new(&Weights::Learned(Learned::Final), 3, &log).is_err());
    }

    #[test]
    fn with_the_end_task_alone_there_is_nothing_to_learn() {
        assert_eq!(rule(&Weights::Meta(Box::new(meta(&serde_json::json!({})))), 1, &[])[3], [1.0]);
    }

    #[test]
    fn what_agrees_with_dev_gains() {
        for optimizer in ["sgd", "momentum", "adam"] {
            for jacobian in [false, true] {
                let settings = serde_json::json!({"optimizer": optimizer, "jacobian": jacobian});
                let mut weights = MetaWeights::new(&meta(&settings), 3);
                assert_eq!(weights.weights(), vec![1.0 / 3.0; 3]);
                for _ in 0..5 {
                    weights.update(&[0.2, 0.9, -0.4]);
                }
                let found = weights.weights();
                assert!(found[1] > found[0] && found[0] > found[2], "{optimizer} {jacobian}: {found:?}");
                assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn initial_weights_and_the_floor_are_kept() {
        let settings = serde_json::json!({"initial": [0.6, 0.25, 0.15], "floor": 0.1, "lr": 1e3});
        let mut weights = MetaWeights::new(&meta(&settings), 3);
        for (found, wanted) in weights.weights().iter().zip([0.6, 0.25, 0.15]) {
            assert!((found - wanted).abs() < 1e-12);
        }
        weights.update(&[1.0, -1.0, -1.0]);
        for (found, wanted) in weights.weights().iter().zip([0.8, 0.1, 0.1]) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
    }

    #[test]
    fn the_jacobian_is_the_derivative_of_the_softmax() {
        let similarities = [0.3, -0.2, 0.8];
        for floor in [0.0, 0.2] {
            let settings = serde_json::json!({"initial": [0.5, 0.25, 0.25], "floor": floor});
            let weights = MetaWeights::new(&meta(&settings), 3);
            let gain = |weights: &MetaWeights| -> f64 {
                weights.weights().iter().zip(similarities).map(|(w, s)| w * s).sum()
            };
            for (t, found) in weights.through_softmax(&similarities).into_iter().enumerate() {
                let moved = |by: f64| {
                    let mut moved = weights.clone();
                    moved.state.logits[t] += by;
                    gain(&moved)
                };
                let wanted = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
            }
        }
    }
}
