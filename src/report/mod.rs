//! What a run looks like to people: progress, tables, graphs, and what changed.
//!
//! Reads events, plans and the store; runs nothing.

pub mod changes;
mod event_log;
pub mod graph;
mod progress;
pub mod table;

pub use event_log::EventLog;
pub use progress::Progress;
