//! The version of what is told apart by when it was last written.

use jiff::Timestamp;

/// That time in microseconds, as exactly as the database keeps it.
pub fn written_at(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond()).unwrap_or(0)
}
