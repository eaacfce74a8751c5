//! The daemon: command line, configuration, wiring and HTTP facade. No decisions.
//!
//! Everything that lives and dies is in `playout-actors`, everything that is decided in
//! `playout-domain`, everything that is kept in `playout-store`.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod facade;
pub mod telemetry;
