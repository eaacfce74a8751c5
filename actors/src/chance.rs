//! Chance, which the pure tier takes as an argument.

use playout_domain::backoff::Chance;

/// A draw: the low bits of a fresh id are random.
pub(crate) fn draw() -> Chance {
    Chance::from_bits(uuid::Uuid::now_v7().as_u128() as u32)
}
