//! How a channel's FFmpeg processes are watched and started again.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::backoff::{self, Budget, Chance};
use crate::violation::{Fields, describe};

/// Failures that may be allowed in five minutes.
pub const MAX_RESTARTS: std::ops::RangeInclusive<u64> = 1..=100;
/// The first delay that can be asked for, in seconds.
pub const RESTART_DELAY: std::ops::RangeInclusive<f64> = 0.1..=30.0;
/// The interval that can be asked for, in seconds.
pub const HEALTH_CHECK_INTERVAL: std::ops::RangeInclusive<f64> = 1.0..=60.0;

/// How a channel's processes are kept running (the seed's StreamProcess).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoverySettings {
    /// So many failures in five minutes, and the channel is in ERROR and tries only once a minute.
    pub max_restarts: u32,
    /// The delay before the second restart in a row; it doubles with each one more.
    #[serde(serialize_with = "seconds")]
    pub restart_delay: Duration,
    /// How often a live channel says how it does, and how long a source may deliver nothing while
    /// media is wanted before it counts as hung.
    #[serde(serialize_with = "seconds")]
    pub health_check_interval: Duration,
}

impl Default for RecoverySettings {
    fn default() -> Self {
        Self {
            max_restarts: backoff::BUDGET_FAILURES as u32,
            restart_delay: backoff::FIRST_DELAY,
            health_check_interval: Duration::from_secs(5),
        }
    }
}

impl RecoverySettings {
    /// A budget of failures, none spent.
    pub fn budget(&self) -> Budget {
        Budget::of(self.max_restarts as usize)
    }

    /// The delay before the attempt that follows the `failures`-th failure in a row.
    pub fn delay(&self, failures: u32, chance: Chance) -> Duration {
        backoff::delay_from(self.restart_delay, failures, chance)
    }

    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        let Some(value) = fields.value("recoverySettings") else {
            return default;
        };
        let pointer = fields.pointer_to("recoverySettings");
        let mut settings = Fields::open(value, pointer, fields.violations());
        let max_restarts = settings.whole_number("maxRestarts");
        if let Some(other) = max_restarts.filter(|n| !MAX_RESTARTS.contains(n)) {
            let (least, most) = MAX_RESTARTS.into_inner();
            let message = format!("maxRestarts is {other}; {least} to {most} are allowed");
            settings.refuse("maxRestarts", message);
        }
        let read = Self {
            max_restarts: max_restarts
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.max_restarts),
            restart_delay: read_seconds(&mut settings, "restartDelay", RESTART_DELAY)
                .unwrap_or(default.restart_delay),
            health_check_interval: read_seconds(
                &mut settings,
                "healthCheckInterval",
                HEALTH_CHECK_INTERVAL,
            )
            .unwrap_or(default.health_check_interval),
        };
        settings.finish();
        read
    }
}

/// A number of seconds within bounds, to the millisecond.
fn read_seconds(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    allowed: std::ops::RangeInclusive<f64>,
) -> Option<Duration> {
    let value = fields.value(name)?;
    let (least, most) = (*allowed.start(), *allowed.end());
    match value.as_f64().filter(|given| allowed.contains(given)) {
        Some(given) => Some(Duration::from_millis((given * 1000.0).round() as u64)),
        None => {
            let given = describe(value);
            let message = format!("{name} is {given}; {least} to {most} seconds are allowed");
            fields.refuse(name, message);
            None
        }
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
