//! The set-up commands.
fn main() {}
