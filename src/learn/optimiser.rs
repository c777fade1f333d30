//! `AdamW` over flat parameters, clipping, and the learning rate's schedule, each as in `PyTorch` and
//! `transformers`.

use tartan::action::{AdamW, Schedule};
use tch::{Kind, Tensor, no_grad};

use super::params::Params;

/// `AdamW` (Loshchilov and Hutter 2019): decoupled weight decay, then Adam with bias correction, eps added
/// to the root of the corrected second moment.
#[derive(Debug)]
pub struct Optimiser {
    settings: AdamW,
    first_moment: Tensor,
    /// The second moment over `1 - beta2`: so no pass over it is needed to scale the gradient's square.
    second_moment: Tensor,
    steps: i32,
}

impl Optimiser {
    /// A fresh optimiser of `params`.
    pub fn new(settings: AdamW, params: &Params) -> Self {
        let zeros = || params.grad().zeros_like();
        Self { settings, first_moment: zeros(), second_moment: zeros(), steps: 0 }
    }

    /// The moments, and how many steps were made: all that changes.
    pub fn state(&self) -> (&Tensor, &Tensor, i32) {
        (&self.first_moment, &self.second_moment, self.steps)
    }

    /// Takes back what [`state`](Self::state) gave.
    pub fn set_state(&mut self, first_moment: &Tensor, second_moment: &Tensor, steps: i32) {
        no_grad(|| {
            self.first_moment.copy_(first_moment);
            self.second_moment.copy_(second_moment);
        });
        self.steps = steps;
    }

    /// Updates every parameter from its gradient at `lr_factor` of the peak learning rate. Leaves anything in the
    /// gradients.
    pub fn step(&mut self, params: &Params, lr_factor: f64) {
        let AdamW { lr, weight_decay, betas: (beta1, beta2), eps } = self.settings;
        let lr = lr * lr_factor;
        self.steps += 1;
        let correction = 1.0 - beta1.powi(self.steps);
        // The corrected second moment's root is this times that of the buffer.
        let root = ((1.0 - beta2) / (1.0 - beta2.powi(self.steps))).sqrt();
        no_grad(|| {
            let grad = params.grad();
            let (mut decaying, mut all) = params.decaying_and_all();
            let _ = decaying.g_mul_scalar_(1.0 - lr * weight_decay);
            let _ = self.first_moment.lerp_(grad, 1.0 - beta1);
            let _ = self.second_moment.g_mul_scalar_(beta2).addcmul_(grad, grad);
            // The gradient has been taken up; its room is reused.
            let mut scale = self.second_moment.sqrt_out(grad);
            let _ = scale.g_add_scalar_(eps / root).reciprocal_().g_mul_scalar_(-lr / (correction * root));
            let _ = all.addcmul_(&self.first_moment, &scale);
        });
    }
}

/// Scales the gradient so that its L2 norm is at most `clip`, unless `clip` is 0. Returns the norm
/// before, as a tensor: nothing is read back here.
pub fn clip_grad_norm(params: &Params, clip: f64) -> Tensor {
    no_grad(|| {
        let mut grad = params.grad().shallow_clone();
        let norm = grad.norm();
        if clip > 0.0 {
            let factor = ((&norm + 1e-6).reciprocal() * clip).clamp_max(1.0);
            let _ = grad.g_mul_(&factor);
        }
        norm.to_kind(Kind::Double)
    })
}

/// The steps of the warm-up among `steps`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count of steps")]
pub fn warmup_steps(warmup: f64, steps: u64) -> u64 {
    // A hair less, so that 7% of 100 is 7 and not 8.
    (warmup * steps as f64 - 1e-9).ceil() as u64
}

/// The part of the peak learning rate at the step after `done` of `steps`.
pub fn lr_factor(schedule: Schedule, done: u64, warmup_steps: u64, steps: u64) -> f64 {
    if done < warmup_steps {
        return done as f64 / warmup_steps as f64;
    }
    match schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => {
            steps.saturating_sub(done) as f64 / steps.saturating_sub(warmup_steps).max(1) as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let factors = |schedule| (0..=10).map(|done| lr_factor(schedule, done, 2, 10)).collect::<Vec<_>>();
        let rise_and_fall = [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0];
        assert_eq!(factors(Schedule::Linear), rise_and_fall);
        assert_eq!(factors(Schedule::Constant)[..3], [0.0, 0.5, 1.0]);
        assert_eq!(factors(Schedule::Constant)[3..], [1.0; 8]);
    }

    #[test]
    fn a_part_of_a_step_of_warm_up_is_a_step() {
        assert_eq!(warmup_steps(0.06, 10), 1);
        assert_eq!(warmup_steps(0.07, 100), 7);
        assert_eq!(warmup_steps(0.0, 100), 0);
        assert_eq!(warmup_steps(1.0, 3), 3);
    }
}
