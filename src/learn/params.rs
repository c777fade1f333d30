//! Parameters in one flat buffer, and their gradients in another: one operation on a buffer updates,
//! clips, copies or restores them all.

use tch::{Device, Kind, Tensor, no_grad};

use super::config::Spec;
use super::weights::Tensors;

/// Trainable parameters. Those that decay come first in the buffers.
#[derive(Debug)]
pub struct Params {
    /// Every value, one after the other.
    flat: Tensor,
    /// Every gradient, in the same order.
    grad: Tensor,
    /// How many of the values decay.
    decayed: i64,
    /// Where each parameter is in the buffers, in their order: its name, its start, its length.
    places: Vec<(String, i64, i64)>,
    /// Each parameter by its name: a leaf whose data is a view of `flat` and whose gradient is one of `grad`.
    leaves: Tensors,
}

impl Params {
    /// The parameters of `specs` with the values of `tensors`, which hold every one of them.
    pub fn new(specs: &[Spec], tensors: &Tensors, kind: Kind, device: Device) -> Self {
        let (decaying, steady): (Vec<&Spec>, Vec<&Spec>) = specs.iter().partition(|spec| spec.decays());
        let decayed = decaying.iter().map(|spec| spec.numel()).sum();
        let ordered: Vec<&Spec> = decaying.into_iter().chain(steady).collect();
        let values: Vec<Tensor> = ordered
            .iter()
            .map(|spec| tensors[&spec.name].reshape([-1]).to_kind(kind).to_device(device))
            .collect();
        let flat = Tensor::cat(&values, 0);
        let grad = flat.zeros_like();

        let mut leaves = Tensors::new();
        let mut places = vec![];
        let mut at = 0;
        for spec in &ordered {
            places.push((spec.name.clone(), at, spec.numel()));
            let mut leaf = Tensor::zeros([0], (kind, device)).set_requires_grad(true);
            leaf.set_data(&flat.narrow(0, at, spec.numel()).view(spec.shape.as_slice()));
            at += spec.numel();
            leaves.insert(spec.name.clone(), leaf);
        }
        // A gradient exists only once something was backpropagated into it; from then on autograd adds
        // to it in place, so that its data can be a view.
        let sums: Vec<Tensor> = leaves.values().map(|leaf| leaf.sum(kind)).collect();
        Tensor::stack(&sums, 0).sum(kind).backward();
        at = 0;
        for spec in &ordered {
            leaves[&spec.name].grad().set_data(&grad.narrow(0, at, spec.numel()).view(spec.shape.as_slice()));
            at += spec.numel();
        }
        Self { flat, grad, decayed, places, leaves }
    }

    /// Each parameter by its name.
    pub fn leaves(&self) -> &Tensors {
        &self.leaves
    }

    /// All gradients, flat.
    pub fn grad(&self) -> &Tensor {
        &self.grad
    }

    /// The ranges of the buffers, start and length, that hold the parameters whose name `belongs`.
    pub fn ranges(&self, belongs: impl Fn(&str) -> bool) -> Vec<(i64, i64)> {
        let mut ranges: Vec<(i64, i64)> = vec![];
        for (_, start, length) in self.places.iter().filter(|(name, ..)| belongs(name)) {
            match ranges.last_mut() {
                Some((from, len)) if *from + *len == *start => *len += length,
                _ => ranges.push((*start, *length)),
            }
        }
        ranges
    }

    /// All values that decay, and all values.
    pub fn decaying_and_all(&self) -> (Tensor, Tensor) {
        (self.flat.narrow(0, 0, self.decayed), self.flat.shallow_clone())
    }

    /// Every value, flat: shares its memory.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// Sets every gradient to 0.
    pub fn zero_grad(&mut self) {
        let _ = self.grad.zero_();
    }

    /// A copy of every value, to [`restore`](Self::restore) later.
    pub fn snapshot(&self) -> Tensor {
        self.flat.copy()
    }

    /// Takes back the values of a snapshot.
    pub fn restore(&mut self, snapshot: &Tensor) {
        no_grad(|| self.flat.copy_(snapshot));
    }

    /// Whether every value is finite.
    pub fn all_finite(&self) -> bool {
        self.flat.isfinite().all().int64_value(&[]) != 0
    }
}
