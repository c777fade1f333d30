//! A first pipeline from a user's own data: what is in the files, what the machine has, and a text that says
//! both beside each number that was chosen for it.
//!
//! Knows files of records and the pipeline language as text. Whether the text is sound is for whoever
//! writes it out to check; nothing here reads a pipeline.

mod choose;
mod draft;
mod look;
mod machine;
mod records;
mod splits;

pub use choose::{Choice, ChooseError, Roles, choose};
pub use draft::{Draft, Encoder, Inputs, Split, draft};
pub use look::{Column, Seen, look};
pub use machine::Machine;
pub use records::RecordsError;
pub use splits::{SplitsError, name_splits};

#[cfg(test)]
mod tests;
