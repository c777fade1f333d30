//! `tartan schema`: what editors complete and check a pipeline from.

use super::{Exit, out};
use crate::spec::reference;

pub(super) fn run() -> Exit {
    // With the alternate flag a JSON value prints on lines, indented.
    out::line(format_args!("{:#}", reference::schema()));
    Exit::Done
}
