//! `objective`: a loss, bound to the data that it is computed on.

use tartan::action::{Objective, roles};
use tartan::data::objective;
use tartan::event::Failure;

use super::Io;
use super::tokenize::write_json;

/// Runs the stage.
pub fn run(params: &Objective, io: &Io) -> Result<(), Failure> {
    let sizes = io.json(&format!("data/{}", roles::SIZES))?;
    let labels = io.json(&format!("data/{}", roles::LABELS))?;
    let vocabulary = io.json(&format!("data/{}", roles::VOCABULARY))?;
    let file = objective::bind(params, &sizes, labels, vocabulary)
        .map_err(|error| Failure::new(error.code(), &error).help(error.help()))?;
    write_json(io, roles::OBJECTIVE, &file)
}
