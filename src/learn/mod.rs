//! Models, objectives, heads, the optimiser, weighting, the training loop and metrics.
//!
//! The only room that knows tensors (`tch`). It reads and writes bytes that `stage` hands it; it knows
//! neither the store nor the pipeline.
//!
//! Shapes in names: B texts, T tokens of all of them, H hidden size, V vocabulary, C classes, N chosen
//! tokens. Tensor operations are called in their panicking form: on checked input they fail only
//! when memory runs out, and `tartan-worker` turns that panic into a failure in one place.

pub mod attention;
pub mod checkpoint;
pub mod config;
pub mod dev;
pub mod dispatcher;
pub mod dropout;
pub mod encoder;
pub mod head;
pub mod job;
pub mod libtorch;
pub mod linear;
pub mod lm_head;
pub mod meta;
pub mod metrics;
pub mod optimiser;
pub mod params;
pub mod predict;
pub mod step;
pub mod tokens;
pub mod train;
pub mod weighting;
pub mod weights;

#[cfg(test)]
mod numerics;
