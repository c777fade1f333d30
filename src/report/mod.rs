//! Showing what happens and what came out. Knows events and the store; not what runs the stages.

mod event_log;
mod progress;
mod words;

pub use event_log::EventLog;
pub use progress::Progress;
