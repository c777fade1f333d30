//! The real programs, driven as a user would, in temporary folders.
//!
//! One binary for all of it: whatever links or starts libtorch costs minutes on two cores.

mod cache;
mod command;
mod commands;
mod elf;
mod faults;
mod golden;
mod http;
mod hub;
mod kill;
mod learning;
mod results;
mod server;
mod shipped;
mod sources;
mod weights;
mod world;
