//! The worker: runs one stage in a process of its own.
//!
//! `learn` and `stage` are modules of this program, not of the library: that is how `tartan` is kept
//! free of libtorch.

#[path = "../learn/mod.rs"]
mod learn;
#[path = "../stage/mod.rs"]
mod stage;

fn main() {}
