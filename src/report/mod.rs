//! What a run looks like to people: progress, tables, graphs, and what changed.
//!
//! Reads events, plans and the store; runs nothing.

pub mod changes;
pub mod graph;
pub mod progress;
pub mod table;
