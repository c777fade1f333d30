//! `tartan` runs experiment pipelines for end-task-aware training.
//!
//! The library holds everything but the training itself: a pipeline's text becomes a [`spec`], the
//! spec a [`plan`], which [`exec`] runs through worker processes over a [`store`]. What computes with
//! tensors (`learn`, `stage`) belongs to the program `tartan-worker`, so that nothing here can link
//! libtorch. ARCHITECTURE.md has the map.

pub mod action;
pub mod author;
pub mod cli;
pub mod data;
pub mod diag;
pub mod digest;
pub mod event;
pub mod exec;
pub mod hub;
pub mod plan;
pub mod report;
pub mod spec;
pub mod store;
