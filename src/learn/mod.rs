//! Models, objectives, heads, the optimiser, weighting, the training loop and metrics.
//!
//! The only room that knows tensors (`tch`). It reads and writes bytes that `stage` hands it; it knows
//! neither the store nor the pipeline.
