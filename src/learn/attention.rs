//! Attention within each text (Vaswani et al. 2017), over tokens that lie one after the other.
//!
//! Shapes: T tokens, A attention heads, D features of a head; in a run, N texts of L tokens.

use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use super::dispatcher::flash_attention;
use super::dropout::Dropout;
use super::libtorch;
use super::tokens::{Attention, Padding, Texts};

/// Each token's context, `T×(A·D)`, from queries, keys and values, `T×A×D` each. With `dropout`, each
/// attention is dropped by its chance.
pub fn attention(qkv_tad: &[Tensor; 3], among: &Attention, dropout: Option<(&mut Dropout, f64)>) -> Tensor {
    let dropout = dropout.filter(|(_, p)| *p > 0.0);
    match among {
        Attention::Runs(runs) => in_runs(qkv_tad, runs, dropout),
        Attention::Padded(padding) => side_by_side(qkv_tad, padding, dropout),
        Attention::Flash(texts) => {
            let p = dropout.map_or(0.0, |(_, p)| p);
            let Some(context_tad) = flash_attention(qkv_tad, &texts.starts, texts.longest, p) else {
                panic!("flash attention failed on a device where it was seen to work")
            };
            context_tad.flatten(1, 2)
        }
    }
}

fn in_runs(qkv_tad: &[Tensor; 3], runs: &[(i64, i64)], mut dropout: Option<(&mut Dropout, f64)>) -> Tensor {
    let tokens: Vec<i64> = runs.iter().map(|(texts, length)| texts * length).collect();
    let [queries, keys, values] = qkv_tad.each_ref().map(|x| x.split_with_sizes(tokens.as_slice(), 0));
    let mut contexts = Vec::with_capacity(runs.len());
    for (at, &(texts, length)) in runs.iter().enumerate() {
        let qkv_nald = [&queries[at], &keys[at], &values[at]].map(|x_tad| {
            let size = x_tad.size();
            x_tad.view([texts, length, size[1], size[2]]).transpose(1, 2)
        });
        let context_nald = match &mut dropout {
            Some((dropout, p)) if queries[at].device() == Device::Cpu => plain(&qkv_nald, dropout, *p),
            dropout => fused(&qkv_nald, None, dropout.as_ref().map_or(0.0, |(_, p)| *p)),
        };
        contexts.push(context_nald.transpose(1, 2).flatten(0, 1).flatten(1, 2));
    }
    if contexts.len() == 1 { contexts.remove(0) } else { Tensor::cat(&contexts, 0) }
}

/// Attention written out: libtorch's fused kernel for the CPU knows no dropout.
fn plain([query, key, value]: &[Tensor; 3], dropout: &mut Dropout, p: f64) -> Tensor {
    let size = query.size();
    let flat = |x: &Tensor| x.reshape([size[0] * size[1], size[2], size[3]]);
    let query = flat(query) * (size[3] as f64).sqrt().recip();
    let attention = query.bmm(&flat(key).transpose(1, 2)).softmax(-1, query.kind());
    dropout.apply(&attention, p).bmm(&flat(value)).view(size.as_slice())
}

fn fused([query, key, value]: &[Tensor; 3], attended: Option<&Tensor>, p: f64) -> Tensor {
    Tensor::scaled_dot_product_attention(query, key, value, attended, p, false, None, false)
}

/// Whether [`Attention::Flash`] can be used on a device for heads of so many features in bfloat16. It is tried once,
/// for context and gradients, against texts that are padded and masked: it is called by its name, and a libtorch
/// where it means something else must not train anyone's model.
pub fn has_flash(device: Device, features: i64) -> bool {
    static SEEN: OnceLock<bool> = OnceLock::new();
    let fits = device != Device::Cpu && features % 8 == 0 && features <= 256;
    fits && *SEEN.get_or_init(|| {
        let tried = panic::catch_unwind(AssertUnwindSafe(|| flash_agrees(device, features)));
        tried.unwrap_or_else(|_| {
            libtorch::take_panic();
            false
        })
    })
}

fn flash_agrees(device: Device, features: i64) -> bool {
    let lengths = [3, 7, 7, 60];
    let values = || {
        let x = Tensor::randn([77, 2, features], (Kind::Float, device)).to_kind(Kind::BFloat16);
        x.set_requires_grad(true)
    };
    let qkv_tad = [values(), values(), values()];
    let Attention::Padded(padding) = Attention::padded(&lengths, device) else { return false };
    let Texts { starts, longest } = Texts::new(&lengths, device);
    let Some(found) = flash_attention(&qkv_tad, &starts, longest, 0.0) else { return false };
    let expected = side_by_side(&qkv_tad, &padding, None);
    let with_gradients = |context: Tensor| {
        let loss = context.to_kind(Kind::Float).square().sum(Kind::Float);
        let gradients = Tensor::run_backward(&[loss], &qkv_tad, false, false);
        std::iter::once(context).chain(gradients).collect::<Vec<_>>()
    };
    let far = |(a, b): (&Tensor, &Tensor)| {
        let [a, b] = [a, b].map(|x| x.to_kind(Kind::Float).flatten(0, -1));
        ((a - &b).norm() / b.norm()).double_value(&[])
    };
    let (found, expected) = (with_gradients(found), with_gradients(expected));
    // Both round to eight bits on the way.
    found.iter().zip(&expected).map(far).all(|far| far < 0.03)
}

fn side_by_side(
    qkv_tad: &[Tensor; 3],
    padding: &Padding,
    mut dropout: Option<(&mut Dropout, f64)>,
) -> Tensor {
    let (texts, length) = padding.shape;
    let qkv_nald = qkv_tad.each_ref().map(|x_tad| {
        let size = x_tad.size();
        x_tad.index_select(0, &padding.token_at).view([texts, length, size[1], size[2]]).transpose(1, 2)
    });
    let p = dropout.as_mut().map_or(0.0, |(_, p)| *p);
    let context_nald = fused(&qkv_nald, Some(&padding.attended), p);
    context_nald.transpose(1, 2).flatten(0, 1).flatten(1, 2).index_select(0, &padding.place_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_attention_is_for_gpus() {
        assert!(!has_flash(Device::Cpu, 64));
        if libtorch::cuda_devices() > 0 {
            let name = "cuda:0";
            assert!(has_flash(libtorch::device(name).unwrap(), 64), "{name} has no flash attention");
        }
    }
}
