//! Corpora: reading texts, tokenising, sampling, masking, batching. Plain numbers, no tensors.
//!
//! Knows the files that stages exchange, but neither the store they lie in nor who asked.

pub mod batch;
#[cfg(feature = "sources")]
pub mod corpus;
pub mod mask;
pub mod objective;
pub mod rng;
pub mod sample;
#[cfg(feature = "sources")]
pub mod source;
pub mod split;
pub mod tokenize;
mod words;
