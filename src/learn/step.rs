//! One optimiser step of several objectives at once (MT-TARTAN; Dery et al. 2022).

use tartan::action;
use tartan::data::batch::Batch;
use tartan::data::mask::Masked;
use tch::{Device, Kind, Reduction, Tensor};

use super::dropout::Dropout;
use super::encoder::Encoder;
use super::head::Head;
use super::lm_head::LmHead;
use super::meta::{Buffers, Comparing, Comparison, Probe};
use super::optimiser::{Optimiser, clip_grad_norm};
use super::params::Params;
use super::tokens::{Layout, Tokens};

/// What an objective computes its loss on in one micro-step, in parts that are in memory one at a time.
#[derive(Debug)]
pub struct Examples {
    /// The parts. The loss is the mean over all of them.
    pub parts: Vec<Part>,
    /// The seed of the dropout.
    pub seed: u64,
}

/// Some of the texts.
#[derive(Debug)]
pub struct Part {
    /// The texts as the model reads them.
    pub tokens: Tokens,
    /// What it should say.
    pub targets: Targets,
}

/// What a model should say of some texts.
#[derive(Debug)]
pub enum Targets {
    /// Each text's label, `B`.
    Labels(Tensor),
    /// Some of their tokens.
    Chosen {
        /// Which of all tokens, `N`.
        at: Tensor,
        /// What they were, `N`.
        were: Tensor,
    },
}

impl Targets {
    /// The labels, where these are labels.
    pub fn labels(&self) -> Option<&Tensor> {
        match self {
            Self::Labels(labels) => Some(labels),
            Self::Chosen { .. } => None,
        }
    }

    /// What there is a loss of.
    fn all(&self) -> &Tensor {
        match self {
            Self::Labels(labels) => labels,
            Self::Chosen { were, .. } => were,
        }
    }
}

impl Part {
    /// Labelled texts.
    pub fn classify(batch: &Batch, layout: Layout) -> Self {
        let labels = Tensor::from_slice(&batch.labels).to_device(layout.device);
        Self { tokens: Tokens::new(batch, &batch.ids, layout), targets: Targets::Labels(labels) }
    }

    /// Masked texts.
    pub fn mlm(batch: &Batch, masked: &Masked, layout: Layout) -> Self {
        let targets = Targets::Chosen {
            at: Tensor::from_slice(&masked.chosen).to_device(layout.device),
            were: Tensor::from_slice(&masked.targets).to_device(layout.device),
        };
        Self { tokens: Tokens::new(batch, &masked.ids, layout), targets }
    }
}

impl Examples {
    /// Labelled texts.
    pub fn classify(batch: &Batch, layout: Layout, seed: u64) -> Self {
        let parts = layout.parts(batch);
        Self { parts: parts.iter().map(|part| Part::classify(part, layout)).collect(), seed }
    }

    /// The dropout of their pass.
    pub fn dropout(&self) -> Option<Dropout> {
        self.parts.first().map(|part| Dropout::new(self.seed, part.tokens.ids.device()))
    }
}

/// A model with what each objective adds to the encoder.
#[derive(Debug)]
pub struct Model {
    /// What all objectives share.
    pub encoder: Encoder,
    /// Present where an objective is `mlm`.
    pub lm_head: Option<LmHead>,
    /// Each objective's head, where it has one.
    pub heads: Vec<Option<Head>>,
}

impl Model {
    /// The sum of the losses of a part, through the `head` of what is labelled: a scalar of float64 without a
    /// graph. Adds the gradient of `scale` times it to every parameter's. `dropout` is the encoder's; heads
    /// always have theirs.
    fn backward(
        &self,
        head: Option<&Head>,
        part: &Part,
        chance: &mut Dropout,
        dropout: bool,
        scale: f64,
    ) -> Option<Tensor> {
        let wanted = match &part.targets {
            Targets::Labels(_) => &part.tokens.first,
            Targets::Chosen { at, .. } => at,
        };
        let encoded = self.encoder.forward(&part.tokens, wanted, dropout.then_some(&mut *chance));
        let loss = match &part.targets {
            Targets::Labels(labels) => {
                let logits_bc = head?.forward(&encoded.hidden, Some(chance));
                let loss = logits_bc.cross_entropy_loss::<Tensor>(labels, None, Reduction::Sum, -100, 0.0);
                (&loss * scale).backward();
                loss.detach().to_kind(Kind::Double)
            }
            Targets::Chosen { were, .. } => self.lm_head.as_ref()?.backward(&encoded.hidden, were, scale),
        };
        self.encoder.finish_backward(&part.tokens, &encoded);
        Some(loss)
    }
}

/// Mean cross-entropy of `targets`, `N`, under `logits`, `N×C`.
pub fn cross_entropy(logits_nc: &Tensor, targets_n: &Tensor) -> Tensor {
    logits_nc.cross_entropy_loss::<Tensor>(targets_n, None, Reduction::Mean, -100, 0.0)
}

/// Parameters that are clipped and updated together.
#[derive(Debug)]
pub struct Group {
    /// The parameters.
    pub params: Params,
    /// Their optimiser.
    pub optimiser: Optimiser,
}

impl Group {
    /// The group of `params` under a fresh optimiser.
    pub fn new(params: Params, settings: action::AdamW) -> Self {
        let optimiser = Optimiser::new(settings, &params);
        Self { params, optimiser }
    }
}

/// A model in training: its parameters are those of the groups.
#[derive(Debug)]
pub struct Trainer {
    /// The model.
    pub model: Model,
    /// The encoder's parameters, and the LM head's where it is trained.
    pub body: Group,
    /// The parameters of all heads, where there are heads.
    pub heads: Option<Group>,
    /// Where the encoder's parameters are in the body's buffers.
    pub encoder_ranges: Vec<(i64, i64)>,
    /// Where each objective's head is in the heads' buffers.
    pub head_ranges: Vec<Vec<(i64, i64)>>,
    /// Keep the encoder's dropout.
    pub dropout: bool,
    /// The largest norm of a group's gradient; 0 for no clipping.
    pub clip: f64,
    /// Buffers of the body's size, for steps that compare gradients.
    pub buffers: Option<Buffers>,
    /// Whether a step has begun to change parameters. Until then it can be made anew.
    pub updating: bool,
}

/// How large a step is and what it weighs.
#[derive(Clone, Copy, Debug)]
pub struct StepSize<'a> {
    /// Micro-steps; gradients are averaged over them.
    pub micro_steps: usize,
    /// One coefficient an objective.
    pub weights: &'a [f64],
    /// The part of the peak learning rate.
    pub lr_factor: f64,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepped {
    /// Each objective's loss, averaged over the micro-steps that had one; none where masking chose no token.
    pub losses: Vec<Option<f64>>,
    /// How the gradients compare, where that was asked for.
    pub comparison: Option<Comparison>,
}

/// What of a step is not finite. No parameter was changed, but for [`Self::Dev`] of a dev gradient that is
/// taken after the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFinite {
    /// The loss of the objective with this index.
    Loss(usize),
    /// The gradient of the objective with this index; told where gradients are compared.
    Gradient(usize),
    /// The gradient of encoder and LM head.
    BodyGradient,
    /// The gradient of the heads.
    HeadGradient,
    /// The end-task's loss on dev, or its gradient.
    Dev,
}

impl Trainer {
    /// One optimiser step. `examples` gives what objective `t` trains on in micro-step `m`, asked in order.
    /// With `probe`, each objective's gradient is compared with the dev gradient on the way.
    pub fn step(
        &mut self,
        size: StepSize<'_>,
        examples: &mut dyn FnMut(usize, usize) -> Examples,
        probe: Option<&mut Probe<'_>>,
    ) -> Result<Stepped, NotFinite> {
        self.updating = false;
        self.zero_grad();
        let mut comparing = probe.map(|probe| Comparing::start(probe, self, size.weights.len()));

        let micro_steps = size.micro_steps as f64;
        let double = (Kind::Double, self.body.params.grad().device());
        let mut losses: Vec<Tensor> = size.weights.iter().map(|_| Tensor::zeros([], double)).collect();
        let mut counts = vec![0_u32; size.weights.len()];
        for micro_step in 0..size.micro_steps {
            for (objective, weight) in size.weights.iter().enumerate() {
                let examples = examples(micro_step, objective);
                let share = weight / micro_steps;
                // What is compared is the objective's own gradient; it is weighed when it is taken up.
                let scale = if comparing.is_some() { 1.0 } else { share };
                let Some(loss) = self.backward(objective, &examples, scale) else { continue };
                losses[objective] += loss;
                counts[objective] += 1;
                if let Some(comparing) = &mut comparing {
                    comparing.take(self, objective, share, micro_steps);
                }
            }
        }
        if let Some(comparing) = &comparing {
            comparing.finish_gradient(self, size.weights, micro_steps);
        }

        let body_norm = clip_grad_norm(&self.body.params, self.clip);
        let head_norm = self.heads.as_ref().map(|heads| clip_grad_norm(&heads.params, self.clip));
        // One transfer from the device: the losses, the norms, and what was compared.
        let compared = comparing.as_ref().map(Comparing::figures).unwrap_or_default();
        let mut figures = read(losses.iter().chain([&body_norm]).chain(&head_norm).chain(&compared));
        let compared = figures.split_off(figures.len() - compared.len());
        let (losses, norms) = figures.split_at(losses.len());
        if let Some(objective) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(NotFinite::Loss(objective));
        }
        let of_objectives = compared.iter().take(losses.len());
        if let Some(objective) = of_objectives.map(|norm| norm.is_finite()).position(|finite| !finite) {
            return Err(NotFinite::Gradient(objective));
        }
        if let Some(group) = norms.iter().position(|norm| !norm.is_finite()) {
            return Err(if group == 0 { NotFinite::BodyGradient } else { NotFinite::HeadGradient });
        }
        if compared.iter().any(|figure| !figure.is_finite()) {
            return Err(NotFinite::Dev);
        }

        self.updating = true;
        for group in [Some(&mut self.body), self.heads.as_mut()].into_iter().flatten() {
            group.optimiser.step(&group.params, size.lr_factor);
            group.params.refresh();
        }
        let comparison = comparing.map(|comparing| comparing.finish(self, &compared)).transpose()?;
        let losses = losses
            .iter()
            .zip(counts)
            .map(|(sum, count)| (count > 0).then(|| sum / f64::from(count)))
            .collect();
        Ok(Stepped { losses, comparison })
    }

    /// The mean loss of objective `index` on its examples, a scalar of float64 without a graph; adds the
    /// gradient of `scale` times it to every parameter's. None where there is nothing to say, as when masking
    /// chose no token of a small batch.
    pub fn backward(&mut self, index: usize, examples: &Examples, scale: f64) -> Option<Tensor> {
        let Self { model, body, dropout, .. } = self;
        let head = model.heads.get(index).and_then(Option::as_ref);
        backward(model, body, head, examples, *dropout, scale)
    }

    /// [`backward`](Self::backward) for labelled texts through a head that may be none of the model's.
    pub fn backward_through(&mut self, head: Option<&Head>, examples: &Examples) -> Option<Tensor> {
        let Self { model, body, dropout, .. } = self;
        let head = head.or_else(|| model.heads.first().and_then(Option::as_ref));
        backward(model, body, head, examples, *dropout, 1.0)
    }

    /// Sets every gradient to 0.
    pub fn zero_grad(&mut self) {
        self.body.params.zero_grad();
        if let Some(heads) = &mut self.heads {
            heads.params.zero_grad();
        }
    }

    /// Whether every parameter is finite.
    pub fn all_finite(&self) -> bool {
        self.body.params.all_finite() && self.heads.as_ref().is_none_or(|heads| heads.params.all_finite())
    }

    /// A copy of every parameter, to [`restore`](Self::restore) later.
    pub fn snapshot(&self) -> (Tensor, Option<Tensor>) {
        (self.body.params.snapshot(), self.heads.as_ref().map(|heads| heads.params.snapshot()))
    }

    /// Takes back a snapshot.
    pub fn restore(&mut self, (body, heads): &(Tensor, Option<Tensor>)) {
        self.body.params.restore(body);
        if let (Some(group), Some(heads)) = (&mut self.heads, heads) {
            group.params.restore(heads);
        }
    }
}

/// [`Trainer::backward`], part by part.
fn backward(
    model: &Model,
    body: &mut Group,
    head: Option<&Head>,
    examples: &Examples,
    dropout: bool,
    scale: f64,
) -> Option<Tensor> {
    let mut chance = examples.dropout()?;
    let count: usize = examples.parts.iter().map(|part| part.targets.all().numel()).sum();
    let share = 1.0 / count as f64;
    let mut sum: Option<Tensor> = None;
    for part in examples.parts.iter().filter(|part| part.targets.all().numel() > 0) {
        let loss = model.backward(head, part, &mut chance, dropout, scale * share)?;
        body.params.collect_grad();
        sum = Some(sum.map_or_else(|| loss.shallow_clone(), |sum| sum + &loss));
    }
    sum.map(|sum| sum * share)
}

/// The values of scalars of float64, read in one go.
pub fn read<'a>(scalars: impl Iterator<Item = &'a Tensor>) -> Vec<f64> {
    let scalars: Vec<&Tensor> = scalars.collect();
    let mut values = vec![0.0; scalars.len()];
    Tensor::stack(&scalars, 0).to_device(Device::Cpu).copy_data(&mut values, scalars.len());
    values
}
