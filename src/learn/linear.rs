//! Linear layers: `x Wᵀ + b`.
//!
//! libtorch leaves products of float32 on a CPU to MKL, which keeps its AVX-512 kernels for Intel's
//! processors. On others oneDNN, the library behind libtorch's convolutions, is a tenth to a third faster at
//! the same sum (benches/LOG.md), and a linear layer is a convolution whose kernel is one pixel.

use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use super::weights::Tensors;

/// From so many rows on a convolution is worth its preparations.
const LEAST_ROWS: i64 = 256;

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// The layer whose tensors are `name.weight` and `name.bias`.
    pub fn new(tensors: &Tensors, name: &str) -> Self {
        Self {
            weight: tensors[&format!("{name}.weight")].shallow_clone(),
            bias: tensors[&format!("{name}.bias")].shallow_clone(),
        }
    }

    /// The precision of its weights.
    pub fn kind(&self) -> Kind {
        self.weight.kind()
    }

    /// Applies it to the rows of a matrix.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        apply(x, &self.weight, &self.bias)
    }
}

/// The results of layers of one size on the same rows, side by side: one product in place of several.
pub fn side_by_side<const N: usize>(layers: [&Linear; N], x: &Tensor) -> Tensor {
    let weight = Tensor::cat(&layers.map(|layer| &layer.weight), 0);
    let bias = Tensor::cat(&layers.map(|layer| &layer.bias), 0);
    apply(x, &weight, &bias)
}

fn apply(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let convolve = x.kind() == Kind::Float
        && x.device() == Device::Cpu
        && x.size()[0] >= LEAST_ROWS
        && *CONVOLUTION_IS_FASTER.get_or_init(convolution_is_faster);
    if convolve { as_convolution(x, weight, bias) } else { x.linear(weight, Some(bias)) }
}

static CONVOLUTION_IS_FASTER: OnceLock<bool> = OnceLock::new();

/// Whether this is a processor that MKL does not do its best on: one with AVX-512 that is not Intel's.
fn convolution_is_faster() -> bool {
    let Ok(processor) = std::fs::read_to_string("/proc/cpuinfo") else { return false };
    let of = |name: &str| {
        processor.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ")).map(|(_, value)| value)
    };
    let flags = of("flags").unwrap_or_default();
    of("vendor_id").is_some_and(|vendor| vendor != "GenuineIntel")
        && flags.split(' ').any(|flag| flag == "avx512f")
}

/// An image of one row whose pixels are the rows of `x`, and whose channels are its columns.
fn as_convolution(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let (rows, columns) = (x.size()[0], weight.size()[0]);
    let channels_last = |matrix: &Tensor, shape: [i64; 4]| matrix.reshape(shape).permute([0, 3, 1, 2]);
    let inner = x.size()[1];
    let image = channels_last(x, [1, 1, rows, inner]);
    let kernel = channels_last(weight, [columns, 1, 1, inner]);
    let found = image.mkldnn_convolution(&kernel, Some(bias), [0, 0], [1, 1], [1, 1], 1);
    found.permute([0, 2, 3, 1]).reshape([rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_of_one_pixel_is_a_linear_layer() {
        let of = |size: [i64; 2]| Tensor::randn(size, (Kind::Float, Device::Cpu));
        for (rows, inner, columns) in [(300, 24, 40), (257, 40, 24), (1, 8, 8)] {
            let (x, weight, ahead) = (of([rows, inner]), of([columns, inner]), of([rows, columns]));
            let bias = weight.select(1, 0).copy();
            let with_gradients = |by: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Tensor| {
                let leaves = [&x, &weight, &bias].map(|leaf| leaf.copy().set_requires_grad(true));
                let found = by(&leaves[0], &leaves[1], &leaves[2]);
                (&found * &ahead).sum(Kind::Float).backward();
                let [x, weight, bias] = leaves.map(|leaf| leaf.grad());
                [found, x, weight, bias]
            };
            let found = with_gradients(&as_convolution);
            let expected = with_gradients(&|x, weight, bias| x.linear(weight, Some(bias)));
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.size(), expected.size());
                let error = (found - expected).abs().max().double_value(&[]);
                assert!(error <= 1e-5 * expected.abs().max().double_value(&[]), "{error}");
            }
        }
    }

    #[test]
    fn layers_side_by_side_are_each_what_it_is_alone() {
        let tensors: Tensors = ["a.weight", "b.weight"]
            .map(|name| (name.to_owned(), Tensor::randn([4, 3], (Kind::Double, Device::Cpu))))
            .into_iter()
            .chain(
                ["a.bias", "b.bias"]
                    .map(|name| (name.to_owned(), Tensor::randn([4], (Kind::Double, Device::Cpu)))),
            )
            .collect();
        let (a, b) = (Linear::new(&tensors, "a"), Linear::new(&tensors, "b"));
        let x = Tensor::randn([5, 3], (Kind::Double, Device::Cpu));
        let both = Tensor::cat(&[a.forward(&x), b.forward(&x)], 1);
        assert!((side_by_side([&a, &b], &x) - both).abs().max().double_value(&[]) < 1e-12);
    }
}
