//! What a run looks like to people: progress, tables, graphs, and what changed.
//!
//! Reads events, plans and the store; knows nothing of what runs the stages.

pub mod changes;
mod event_log;
pub mod figure;
pub mod graph;
mod progress;
pub mod table;
mod words;

pub use event_log::EventLog;
pub use progress::Progress;
pub use words::size;
