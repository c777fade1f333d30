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
    /// Where each parameter is in the buffers, in their order.
    places: Vec<Place>,
    /// Each parameter by its name: a leaf whose data is a view of `flat` and whose gradient is one of `grad`.
    leaves: Tensors,
    /// The same in a lower precision, to compute with.
    shadow: Option<Shadow>,
}

#[derive(Debug)]
struct Place {
    name: String,
    shape: Vec<i64>,
    start: i64,
}

impl Place {
    fn length(&self) -> i64 {
        self.shape.iter().product()
    }

    fn of(&self, flat: &Tensor) -> Tensor {
        flat.narrow(0, self.start, self.length()).view(self.shape.as_slice())
    }
}

#[derive(Debug)]
struct Shadow {
    flat: Tensor,
    grad: Tensor,
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

        let mut places = vec![];
        let mut at = 0;
        for spec in &ordered {
            places.push(Place { name: spec.name.clone(), shape: spec.shape.clone(), start: at });
            at += spec.numel();
        }
        let leaves = leaves_over(&flat, &grad, &places);
        Self { flat, grad, decayed, places, leaves, shadow: None }
    }

    /// Computes with a copy of the values in a lower precision.
    #[must_use]
    pub fn computing_in(mut self, kind: Kind) -> Self {
        let flat = self.flat.to_kind(kind);
        let grad = flat.zeros_like();
        let leaves = leaves_over(&flat, &grad, &self.places);
        self.shadow = Some(Shadow { flat, grad, leaves });
        self
    }

    /// Each parameter by its name, in the precision that is computed in.
    pub fn computed(&self) -> &Tensors {
        self.shadow.as_ref().map_or(&self.leaves, |shadow| &shadow.leaves)
    }

    /// Takes up what a backward pass left in the lower precision, where there is one. To be called after
    /// each: a sum over passes would lose what the precision cannot hold.
    pub fn collect_grad(&mut self) {
        let Some(shadow) = &mut self.shadow else { return };
        let values = self.grad.size1().unwrap_or(0);
        // On a CPU a sum over two kinds first makes a copy in one of them. In pieces it stays in the cache.
        let piece = if self.grad.device() == Device::Cpu { 1 << 18 } else { values.max(1) };
        let mut start = 0;
        while start < values {
            let part = |flat: &Tensor| flat.narrow(0, start, piece.min(values - start));
            let mut passed = part(&shadow.grad);
            let _ = part(&self.grad).g_add_(&passed);
            let _ = passed.zero_();
            start += piece;
        }
    }

    /// Brings the copy in the lower precision, where there is one, to the values.
    pub fn refresh(&mut self) {
        if let Some(shadow) = &mut self.shadow {
            no_grad(|| shadow.flat.copy_(&self.flat));
        }
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
        for place in self.places.iter().filter(|place| belongs(&place.name)) {
            match ranges.last_mut() {
                Some((from, length)) if *from + *length == place.start => *length += place.length(),
                _ => ranges.push((place.start, place.length())),
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
        if let Some(shadow) = &mut self.shadow {
            let _ = shadow.grad.zero_();
        }
    }

    /// A copy of every value, to [`restore`](Self::restore) later.
    pub fn snapshot(&self) -> Tensor {
        self.flat.copy()
    }

    /// Takes back the values of a snapshot.
    pub fn restore(&mut self, snapshot: &Tensor) {
        no_grad(|| self.flat.copy_(snapshot));
        self.refresh();
    }

    /// Whether every value is finite.
    pub fn all_finite(&self) -> bool {
        self.flat.isfinite().all().int64_value(&[]) != 0
    }
}

/// Leaves whose data are views of `flat` and whose gradients are views of `grad`.
fn leaves_over(flat: &Tensor, grad: &Tensor, places: &[Place]) -> Tensors {
    let mut leaves = Tensors::new();
    for place in places {
        let mut leaf = Tensor::zeros([0], (flat.kind(), flat.device())).set_requires_grad(true);
        leaf.set_data(&place.of(flat));
        leaves.insert(place.name.clone(), leaf);
    }
    // A gradient exists only once something was backpropagated into it; from then on autograd adds
    // to it in place, so that its data can be a view.
    let sums: Vec<Tensor> = leaves.values().map(|leaf| leaf.sum(flat.kind())).collect();
    Tensor::stack(&sums, 0).sum(flat.kind()).backward();
    for place in places {
        leaves[&place.name].grad().set_data(&place.of(grad));
    }
    leaves
}
