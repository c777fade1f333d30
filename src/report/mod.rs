//! What a run looks like to people: progress, tables, graphs, and what changed.
//!
//! Reads events, plans and the store; knows nothing of what runs the stages.

pub mod axes;
pub mod changes;
pub mod compare;
pub mod draw;
mod event_log;
pub mod figure;
pub mod graph;
pub mod print;
mod progress;
pub mod raw;
pub mod scores;
pub mod stats;
pub mod table;
pub mod weights;
mod words;

pub use event_log::EventLog;
pub use progress::Progress;
pub use scores::{Records, ReportError};
pub use words::{shell_word, size};
