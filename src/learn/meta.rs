//! How each objective's gradient compares with that of the end-task's dev loss (META-TARTAN; Dery et al.
//! 2022), in a stream: no objective's gradient is kept.
//!
//! The dev gradient needs the parameters at the step's start alone, so it comes first. Then each
//! backward pass leaves one objective's gradient in the body's buffer, where it is compared, added to
//! the step's sum under its weight, and forgotten. That takes two buffers of the body's size beside the
//! gradient, however many objectives there are. Only a dev gradient *after* the step
//! ([`GradientAt::Next`]) needs one more for each objective.
//!
//! Compared are the encoder's gradients. What only one objective has, an LM head or a classification
//! head, could agree with nothing.

use tartan::action::{DevHead, DevHeadFit, GradientAt, Meta, Similarity};
use tch::{Kind, Tensor, no_grad};

use super::config::Spec;
use super::head::Head;
use super::optimiser::Optimiser;
use super::params::Params;
use super::step::{Examples, NotFinite, Trainer, cross_entropy, read};
use super::weights::Tensors;

/// What dev texts are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevUse {
    /// Fitting the dev head.
    Fit,
    /// The dev gradient.
    Gradient,
}

/// What the gradients of one step are compared with.
pub struct Probe<'a> {
    /// How.
    pub settings: Meta,
    /// The parameters of a fresh dev head, without a prefix.
    pub head_specs: Vec<Spec>,
    /// Their values.
    pub fresh_head: Tensors,
    /// The dev head's dropout.
    pub head_dropout: f64,
    /// Labelled texts, asked for once for each use.
    pub examples: &'a mut dyn FnMut(DevUse) -> Examples,
}

/// How the gradients of a step compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Each objective's similarity with the dev gradient, averaged over the micro-steps.
    pub similarities: Vec<f64>,
    /// The L2 norm of each objective's gradient of the encoder, averaged over the micro-steps.
    pub norms: Vec<f64>,
    /// The L2 norm of the dev gradient.
    pub dev_norm: f64,
    /// The end-task's loss on the dev gradient's batch.
    pub dev_loss: f64,
    /// The dev head's loss before each step of its fitting.
    pub dev_head_losses: Vec<f64>,
}

/// Buffers of the body's size, kept from step to step.
#[derive(Debug)]
pub struct Buffers {
    /// The step's gradient so far.
    sum: Tensor,
    /// The dev gradient; 0 outside the encoder.
    dev: Tensor,
    /// For a dev gradient after the step: each objective's gradient, or the sum of its directions.
    kept: Vec<Tensor>,
}

/// A comparison under way.
pub struct Comparing<'p, 'a> {
    probe: &'p mut Probe<'a>,
    buffers: Buffers,
    /// For each objective, over its micro-steps: the similarities, and the norms. Scalars of float64.
    similarities: Vec<Tensor>,
    norms: Vec<Tensor>,
    dev: Option<Dev>,
}

/// Figures of the dev gradient. Scalars of float64.
struct Dev {
    norm: Tensor,
    loss: Tensor,
    head_losses: Vec<f64>,
}

impl<'p, 'a> Comparing<'p, 'a> {
    /// Takes the dev gradient, unless it comes after the step. Leaves every gradient at 0.
    pub fn start(probe: &'p mut Probe<'a>, trainer: &mut Trainer, objectives: usize) -> Self {
        let zeros = || trainer.body.params.grad().zeros_like();
        let mut buffers =
            trainer.buffers.take().unwrap_or_else(|| Buffers { sum: zeros(), dev: zeros(), kept: vec![] });
        let next = probe.settings.gradient_at == GradientAt::Next;
        if next && buffers.kept.is_empty() {
            buffers.kept = (0..objectives).map(|_| zeros()).collect();
        }
        for buffer in buffers.kept.iter_mut().chain([&mut buffers.sum]) {
            let _ = buffer.zero_();
        }
        let double = (Kind::Double, buffers.sum.device());
        let scalars = || (0..objectives).map(|_| Tensor::zeros([], double)).collect();
        let mut comparing = Self { probe, buffers, similarities: scalars(), norms: scalars(), dev: None };
        if !next {
            comparing.dev = Some(comparing.dev_gradient(trainer));
        }
        comparing
    }

    /// Takes up the gradient that `objective` left in the body's buffer, at `coefficient` of the step's sum,
    /// and sets it to 0.
    pub fn take(&mut self, trainer: &mut Trainer, objective: usize, coefficient: f64, micro_steps: f64) {
        no_grad(|| {
            let grad = trainer.body.params.grad();
            let norm = norm_over(grad, &trainer.encoder_ranges);
            self.norms[objective] += &norm / micro_steps;
            let cosine = self.probe.settings.similarity == Similarity::Cosine;
            if let Some(dev) = &self.dev {
                let mut similarity = grad.dot(&self.buffers.dev).to_kind(Kind::Double);
                if cosine {
                    similarity /= not_zero(&(&norm * &dev.norm));
                }
                self.similarities[objective] += similarity / micro_steps;
            } else {
                let scale = if cosine { not_zero(&norm) * micro_steps } else { norm.full_like(micro_steps) };
                let scale = scale.reciprocal().to_kind(grad.kind());
                let _ = self.buffers.kept[objective].addcmul_(grad, &scale);
            }
            let coefficient = Tensor::full([], coefficient, (grad.kind(), grad.device()));
            let _ = self.buffers.sum.addcmul_(grad, &coefficient);
        });
        trainer.body.params.zero_grad();
    }

    /// Puts the step's gradient where the optimisers look for it: the body's sum, and each head's own under
    /// its weight.
    pub fn finish_gradient(&self, trainer: &mut Trainer, weights: &[f64], micro_steps: f64) {
        no_grad(|| {
            trainer.body.params.grad().shallow_clone().copy_(&self.buffers.sum);
            let Some(heads) = &trainer.heads else { return };
            for (ranges, weight) in trainer.head_ranges.iter().zip(weights) {
                for (start, length) in ranges {
                    let _ =
                        heads.params.grad().narrow(0, *start, *length).g_mul_scalar_(weight / micro_steps);
                }
            }
        });
    }

    /// Scalars to be read together with the step's own, each objective's norm first;
    /// [`finish`](Self::finish) wants their values.
    pub fn figures(&self) -> Vec<Tensor> {
        let dev = self.dev.iter().flat_map(|dev| [&dev.norm, &dev.loss]);
        self.norms.iter().chain(&self.similarities).chain(dev).map(Tensor::shallow_clone).collect()
    }

    /// What was found. A dev gradient after the step is taken now.
    pub fn finish(mut self, trainer: &mut Trainer, figures: &[f64]) -> Result<Comparison, NotFinite> {
        let objectives = self.norms.len();
        let (norms, rest) = figures.split_at(objectives);
        let comparison = if let Some(Dev { head_losses, .. }) = self.dev.take() {
            let (similarities, dev) = rest.split_at(objectives);
            Comparison {
                similarities: similarities.to_vec(),
                norms: norms.to_vec(),
                dev_norm: dev[0],
                dev_loss: dev[1],
                dev_head_losses: head_losses,
            }
        } else {
            trainer.zero_grad();
            let dev = self.dev_gradient(trainer);
            let similarity = |kept: &Tensor| {
                let similarity = kept.dot(&self.buffers.dev).to_kind(Kind::Double);
                match self.probe.settings.similarity {
                    Similarity::Cosine => similarity / not_zero(&dev.norm),
                    Similarity::Dot => similarity,
                }
            };
            let similarities: Vec<Tensor> = no_grad(|| self.buffers.kept.iter().map(similarity).collect());
            let mut similarities = read(similarities.iter().chain([&dev.norm, &dev.loss]));
            let dev_figures = similarities.split_off(objectives);
            Comparison {
                similarities,
                norms: norms.to_vec(),
                dev_norm: dev_figures[0],
                dev_loss: dev_figures[1],
                dev_head_losses: dev.head_losses,
            }
        };
        trainer.buffers = Some(self.buffers);
        let dev = [comparison.dev_norm, comparison.dev_loss];
        if comparison
            .similarities
            .iter()
            .chain(&dev)
            .chain(&comparison.dev_head_losses)
            .all(|x| x.is_finite())
        {
            Ok(comparison)
        } else {
            Err(NotFinite::Dev)
        }
    }

    /// Fits the dev head and leaves the gradient of the dev loss in its buffer; sets every other to 0.
    fn dev_gradient(&mut self, trainer: &mut Trainer) -> Dev {
        let fitted = match &self.probe.settings.dev_head {
            DevHead::Own(fit) => {
                let texts = (self.probe.examples)(DevUse::Fit);
                Some(self.fit(fit, trainer, &texts))
            }
            DevHead::Training => None,
        };
        let own = fitted.as_ref().map(|(params, _)| self.head(params));
        let examples = (self.probe.examples)(DevUse::Gradient);
        let Some(loss) = trainer.backward_through(own.as_ref(), &examples) else {
            unreachable!("weights are learned for an end-task, on a dev batch of at least one text")
        };
        no_grad(|| self.buffers.dev.copy_(trainer.body.params.grad()));
        trainer.zero_grad();
        Dev {
            norm: no_grad(|| norm_over(&self.buffers.dev, &trainer.encoder_ranges)),
            loss,
            head_losses: fitted.map(|(_, losses)| losses).unwrap_or_default(),
        }
    }

    /// Fits a fresh head on the texts' features, which are computed once since the encoder is fixed. Returns
    /// its parameters, and its loss before each step.
    fn fit(&self, fit: &DevHeadFit, trainer: &Trainer, texts: &Examples) -> (Params, Vec<f64>) {
        let Some(mut chance) = texts.dropout() else {
            unreachable!("the dev head is fitted on at least one text")
        };
        let (mut features, mut labels) = (vec![], vec![]);
        for part in &texts.parts {
            let features_bh = no_grad(|| {
                let dropout = trainer.dropout.then_some(&mut chance);
                trainer.model.encoder.forward(&part.tokens, &part.tokens.first, dropout).hidden
            });
            features.push(features_bh);
            labels.extend(part.targets.labels());
        }
        let (features_bh, labels) = (Tensor::cat(&features, 0), Tensor::cat(&labels, 0));
        let grad = trainer.body.params.grad();
        let mut params =
            Params::new(&self.probe.head_specs, &self.probe.fresh_head, grad.kind(), grad.device());
        let mut optimiser = Optimiser::new(fit.optimizer, &params);
        let head = self.head(&params);
        let mut losses: Vec<f64> = vec![];
        for _ in 0..fit.steps {
            params.zero_grad();
            let loss = cross_entropy(&head.forward(&features_bh, Some(&mut chance)), &labels);
            loss.backward();
            optimiser.step(&params, 1.0);
            let loss = loss.double_value(&[]);
            let settled = losses.last().is_some_and(|last| (loss - last).abs() < fit.tolerance);
            losses.push(loss);
            if settled {
                break;
            }
        }
        (params, losses)
    }

    fn head(&self, params: &Params) -> Head {
        Head::new(params.leaves(), "", self.probe.head_dropout)
    }
}

/// The L2 norm over some ranges, in float64.
fn norm_over(flat: &Tensor, ranges: &[(i64, i64)]) -> Tensor {
    let norms: Vec<Tensor> = ranges
        .iter()
        .map(|(start, length)| flat.narrow(0, *start, *length).norm().to_kind(Kind::Double))
        .collect();
    Tensor::stack(&norms, 0).norm()
}

/// A divisor that may be 0 where what it divides is.
fn not_zero(divisor: &Tensor) -> Tensor {
    divisor.clamp_min(1e-30)
}
