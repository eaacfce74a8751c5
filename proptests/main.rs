//! The correctness properties of the design, one file each, named by its number: they drive shipped code,
//! and their oracles share no code with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod p01_creation;
mod p02_destination_limit;
mod p02_destinations;
mod p02_stored_keys;
mod p03_lifecycle;
mod p04_automatic_recovery;
mod p05_health;
mod p06_outputs;
mod p06_timing;
mod p07_plans;
mod p08_integrity;
mod p08_pool;
mod p08_survival;
mod p08_transactions;
mod p15_many_channels;
mod p_as_run;
mod p_plan;
mod p_proxies;
mod stored;
#[path = "../crates/media/tests/support/mod.rs"]
mod support;

use proptest::prelude::*;

/// So many cases; a failure is told with its input and written nowhere.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
