//! The parts of a training step, each on its own: `cargo bench --bench parts`.
//!
//! Sizes are those of a micro-step of 16 texts of ACL-ARC through `MiniLM`: 864 tokens, H 384, 12 heads.

#![expect(dead_code, unreachable_pub, unused_imports, reason = "a measurement uses a part of `learn`")]

#[path = "../src/learn/mod.rs"]
mod learn;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tartan::action::{AdamW, Vocabulary};
use tartan::data::batch::Batch;
use tartan::data::mask::mask;
use tartan::data::rng;
use tartan::data::split::Split;
use tch::{Device, Kind, Tensor, no_grad};

use learn::attention::attention;
use learn::config::Spec;
use learn::dropout::Dropout;
use learn::libtorch;
use learn::optimiser::{Optimiser, clip_grad_norm};
use learn::params::Params;
use learn::tokens::Attention;
use learn::weights;

/// Tokens of 16 texts.
const LENGTHS: [usize; 16] = [21, 28, 33, 33, 38, 41, 44, 47, 47, 52, 58, 63, 70, 81, 92, 116];

fn random(size: &[i64]) -> Tensor {
    Tensor::randn(size, (Kind::Float, Device::Cpu))
}

fn parts(criterion: &mut Criterion) {
    libtorch::set_threads(2);
    let tokens = i64::try_from(LENGTHS.iter().sum::<usize>()).unwrap_or(0);

    let x_th = random(&[tokens, 384]);
    let mut chance = Dropout::new(0, Device::Cpu);
    criterion.bench_function("dropout, 864x384", |bench| bench.iter(|| chance.apply(&x_th, 0.1)));
    criterion.bench_function("dropout by libtorch", |bench| bench.iter(|| x_th.dropout(0.1, true)));

    let lengths = LENGTHS.map(|length| (1, i64::try_from(length).unwrap_or(0)));
    let runs = Attention::Runs(lengths.to_vec());
    let padded = Attention::padded(&LENGTHS, Device::Cpu);
    let qkv = || [(); 3].map(|()| random(&[tokens, 12, 32]).set_requires_grad(true));
    for (name, among, p) in [
        ("attention, 16 texts, dropout", &runs, 0.1),
        ("attention, 16 texts", &runs, 0.0),
        ("attention, 16 texts, padded", &padded, 0.0),
        ("attention, 16 texts, padded, dropout by libtorch", &padded, 0.1),
    ] {
        let qkv = qkv();
        criterion.bench_function(name, |bench| {
            bench.iter(|| {
                let qkv = qkv.each_ref().map(Tensor::shallow_clone);
                attention(&qkv, among, Some((&mut chance, p))).sum(Kind::Float).backward();
            });
        });
    }

    let specs = [Spec::weight("w".to_owned(), vec![22_700, 1000])];
    let mut params = Params::new(&specs, &weights::make(&specs, 0.02, 0, ""), Kind::Float, Device::Cpu);
    let settings = AdamW { lr: 1e-4, weight_decay: 0.01, betas: (0.9, 0.98), eps: 1e-6 };
    let mut optimiser = Optimiser::new(settings, &params);
    criterion.bench_function("AdamW, 22.7 M", |bench| bench.iter(|| optimiser.step(&params, 1.0)));
    criterion.bench_function("clipping, 22.7 M", |bench| bench.iter(|| clip_grad_norm(&params, 1.0)));
    criterion.bench_function("gradients to 0, 22.7 M", |bench| bench.iter(|| params.zero_grad()));

    let embeddings = random(&[30_522, 384]);
    let (chosen_nh, gradient_nv) = (random(&[130, 384]), random(&[130, 30_522]));
    criterion.bench_function("logits of 130 tokens", |bench| {
        bench.iter(|| no_grad(|| chosen_nh.matmul(&embeddings.transpose(0, 1))));
    });
    let mut sum = embeddings.zeros_like();
    criterion.bench_function("decoder's gradient of 130 tokens, added", |bench| {
        bench.iter(|| no_grad(|| sum.addmm_(&gradient_nv.transpose(0, 1), &chosen_nh)));
    });

    let vocabulary = Vocabulary {
        size: 30_522,
        pad: 0,
        mask: Some(103),
        special: vec![0, 101, 102, 103],
        max_positions: 512,
    };
    let offsets = LENGTHS.iter().scan(0, |end, length| {
        *end += i64::try_from(*length).unwrap_or(0);
        Some(*end)
    });
    let split = Split {
        ids: (0..i32::try_from(tokens).unwrap_or(0)).map(|id| 1000 + id).collect(),
        offsets: std::iter::once(0).chain(offsets).collect(),
        labels: vec![],
        rows: (0..16).collect(),
    };
    let texts: Vec<usize> = (0..16).collect();
    let mut stream = rng::stream(0, "mask", 0);
    criterion.bench_function("collating and masking 16 texts", |bench| {
        bench.iter(|| {
            let batch = Batch::collate(&split, black_box(&texts));
            mask(&batch, &vocabulary, 103, 0.15, &mut stream)
        });
    });
}

criterion_group!(benches, parts);
criterion_main!(benches);
