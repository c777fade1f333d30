//! Dropout (Srivastava et al. 2014), from a stream of its own for each pass.
//!
//! On the CPU the masks are drawn here: libtorch draws them one number after the other on one core, which
//! takes as long as a matrix product. What they are depends on the seed alone, not on threads.

use rand::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

/// The chance of one pass through a model.
#[derive(Debug)]
pub struct Dropout {
    /// Absent on a GPU, which draws by libtorch's generator.
    stream: Option<ChaCha8Rng>,
}

impl Dropout {
    /// The chance that belongs to `seed`. On a GPU it seeds libtorch's generator.
    pub fn new(seed: u64, device: Device) -> Self {
        if device == Device::Cpu {
            return Self { stream: Some(ChaCha8Rng::seed_from_u64(seed)) };
        }
        tch::manual_seed(seed.cast_signed());
        Self { stream: None }
    }

    /// `x` with each element at 0 by a chance of `p`, and the others scaled up to keep the mean.
    ///
    /// On a CPU a chance is one of 65,536: `p` is taken to the nearest, and what is kept is scaled by that.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of 65,536")]
    pub fn apply(&mut self, x: &Tensor, p: f64) -> Tensor {
        if p <= 0.0 {
            return x.shallow_clone();
        }
        let Some(stream) = &mut self.stream else { return x.dropout(p, true) };
        let dropped = (p * 65_536.0).round() as u32;
        let scale = 65_536.0 / f64::from(65_536 - dropped.min(65_535));
        if x.kind() == Kind::BFloat16 {
            // The scale is none of its numbers, and rounded it would move the mean.
            (x * mask(stream, &x.size(), dropped, 1.0).to_kind(x.kind())) * scale
        } else {
            x * mask(stream, &x.size(), dropped, scale as f32).to_kind(x.kind())
        }
    }
}

/// 0 by a chance of `dropped` in 65,536, else `kept`.
fn mask(stream: &mut ChaCha8Rng, size: &[i64], dropped: u32, kept: f32) -> Tensor {
    let elements = usize::try_from(size.iter().product::<i64>()).unwrap_or(0);
    let mut bytes = vec![0; 2 * elements];
    stream.fill_bytes(&mut bytes);
    let keep = |pair: &[u8; 2]| if u32::from(u16::from_le_bytes(*pair)) < dropped { 0.0 } else { kept };
    let mask: Vec<f32> = bytes.as_chunks().0.iter().map(keep).collect();
    Tensor::from_slice(&mask).view(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_mean_and_drops_at_its_rate() {
        let x = Tensor::ones([400, 1000], (Kind::Float, Device::Cpu));
        for p in [0.1, 0.5, 1e-3] {
            let dropped = Dropout::new(3, Device::Cpu).apply(&x, p);
            let rate = dropped.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
            let mean = dropped.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
            // Five standard deviations of 400,000 draws.
            let deviation = 5.0 * (p * (1.0 - p) / 4e5_f64).sqrt();
            assert!((rate - p).abs() < deviation + 1e-5, "{rate} of {p}");
            assert!((mean - 1.0).abs() < (deviation + 1e-5) / (1.0 - p), "{mean} at {p}");
            // A kept 1 becomes 1 / (1 - p), to the nearest number that bfloat16 has.
            let in_bf16 =
                Dropout::new(3, Device::Cpu).apply(&x.to_kind(Kind::BFloat16), p).max().double_value(&[]);
            assert!((in_bf16 * (1.0 - p) - 1.0).abs() < 4e-3, "{in_bf16} at {p}");
        }
    }

    #[test]
    fn follows_its_seed_and_goes_on() {
        let x = Tensor::ones([64, 64], (Kind::Double, Device::Cpu));
        let mut chance = Dropout::new(1, Device::Cpu);
        let (first, second) = (chance.apply(&x, 0.5), chance.apply(&x, 0.5));
        assert_ne!(first, second);
        assert_eq!(first, Dropout::new(1, Device::Cpu).apply(&x, 0.5));
        assert_ne!(first, Dropout::new(2, Device::Cpu).apply(&x, 0.5));
        assert_eq!(chance.apply(&x, 0.0), x);
    }
}
