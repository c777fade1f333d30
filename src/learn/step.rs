//! One optimiser step of several objectives at once (MT-TARTAN; Dery et al. 2022).

use tartan::action;
use tartan::data::batch::Batch;
use tartan::data::mask::Masked;
use tch::{Device, Kind, Reduction, Tensor};

use super::encoder::{Encoder, LmHead, Tokens};
use super::head::Head;
use super::optimiser::{Optimiser, clip_grad_norm};
use super::params::Params;

/// What an objective computes its loss on in one micro-step.
#[derive(Debug)]
pub enum Examples {
    /// Texts and their labels, `B`.
    Classify {
        /// The texts.
        tokens: Tokens,
        /// Their labels.
        labels: Tensor,
    },
    /// Texts with tokens masked.
    Mlm {
        /// The texts as the model reads them.
        tokens: Tokens,
        /// Where the chosen tokens are among `B·L`, `N`.
        chosen: Tensor,
        /// What they were, `N`.
        targets: Tensor,
    },
}

impl Examples {
    /// Labelled texts.
    pub fn classify(batch: &Batch, device: Device) -> Self {
        Self::Classify {
            tokens: Tokens::new(batch, &batch.ids, device),
            labels: Tensor::from_slice(&batch.labels).to_device(device),
        }
    }

    /// Masked texts.
    pub fn mlm(batch: &Batch, masked: &Masked, device: Device) -> Self {
        Self::Mlm {
            tokens: Tokens::new(batch, &masked.ids, device),
            chosen: Tensor::from_slice(&masked.chosen).to_device(device),
            targets: Tensor::from_slice(&masked.targets).to_device(device),
        }
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
    /// The mean loss of objective `index` on its examples; none where there is nothing to say, as when
    /// masking chose no token of a small batch. `dropout` is the encoder's; heads always have theirs.
    pub fn loss(&self, index: usize, examples: &Examples, dropout: bool) -> Option<Tensor> {
        let (logits, targets) = match examples {
            Examples::Classify { tokens, labels } => {
                let head = self.heads.get(index)?.as_ref()?;
                (head.forward(&self.encoder.forward(tokens, dropout), true), labels)
            }
            Examples::Mlm { targets, .. } if targets.numel() == 0 => return None,
            Examples::Mlm { tokens, chosen, targets } => {
                let lm_head = self.lm_head.as_ref()?;
                (lm_head.forward(&self.encoder.forward(tokens, dropout), chosen), targets)
            }
        };
        Some(logits.cross_entropy_loss::<Tensor>(targets, None, Reduction::Mean, -100, 0.0))
    }
}

/// Parameters that are clipped and updated together.
#[derive(Debug)]
pub struct Group {
    /// The parameters.
    pub params: Params,
    optimiser: Optimiser,
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
    /// Keep the encoder's dropout.
    pub dropout: bool,
    /// The largest norm of a group's gradient; 0 for no clipping.
    pub clip: f64,
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

/// What of a step is not finite. No parameter was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFinite {
    /// The loss of the objective with this index.
    Loss(usize),
    /// The gradient of encoder and LM head.
    BodyGradient,
    /// The gradient of the heads.
    HeadGradient,
}

impl Trainer {
    /// One optimiser step. `examples` gives what objective `t` trains on in micro-step `m`, asked in order.
    /// Returns each objective's loss, averaged over the micro-steps.
    pub fn step(
        &mut self,
        size: StepSize<'_>,
        examples: &mut dyn FnMut(usize, usize) -> Examples,
    ) -> Result<Vec<f64>, NotFinite> {
        self.body.params.zero_grad();
        if let Some(heads) = &mut self.heads {
            heads.params.zero_grad();
        }

        let micro_steps = size.micro_steps as f64;
        let double = (Kind::Double, self.body.params.grad().device());
        let mut losses: Vec<Tensor> = size.weights.iter().map(|_| Tensor::zeros([], double)).collect();
        for micro_step in 0..size.micro_steps {
            for (objective, weight) in size.weights.iter().enumerate() {
                let examples = examples(micro_step, objective);
                let Some(loss) = self.model.loss(objective, &examples, self.dropout) else { continue };
                (&loss * (weight / micro_steps)).backward();
                losses[objective] += loss.detach().to_kind(Kind::Double) / micro_steps;
            }
        }

        let body_norm = clip_grad_norm(&self.body.params, self.clip);
        let head_norm = self.heads.as_ref().map(|heads| clip_grad_norm(&heads.params, self.clip));
        // One transfer from the device: the losses, then the norms.
        let figures = read(losses.iter().chain([&body_norm]).chain(&head_norm));
        let (losses, norms) = figures.split_at(losses.len());
        if let Some(objective) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(NotFinite::Loss(objective));
        }
        if let Some(group) = norms.iter().position(|norm| !norm.is_finite()) {
            return Err(if group == 0 { NotFinite::BodyGradient } else { NotFinite::HeadGradient });
        }

        self.body.optimiser.step(&self.body.params, size.lr_factor);
        if let Some(heads) = &mut self.heads {
            heads.optimiser.step(&heads.params, size.lr_factor);
        }
        Ok(losses.to_vec())
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

/// The values of scalars of float64, read in one go.
fn read<'a>(scalars: impl Iterator<Item = &'a Tensor>) -> Vec<f64> {
    let scalars: Vec<&Tensor> = scalars.collect();
    let mut values = vec![0.0; scalars.len()];
    Tensor::stack(&scalars, 0).to_device(Device::Cpu).copy_data(&mut values, scalars.len());
    values
}
