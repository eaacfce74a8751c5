//! `[disk]`: what is done when the disk of the data folder fills up.

use playout_domain::disk::Thresholds;
use serde::{Deserialize, Serialize};

use super::bounded::Count;

/// `[disk]`, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskSettings {
    pub trim_spool_below: Count<0, 1_000_000_000_000_000>,
    pub pause_prepare_below: Count<0, 1_000_000_000_000_000>,
    pub alert_below: Count<0, 1_000_000_000_000_000>,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self {
            trim_spool_below: Count::of(1 << 30),
            pause_prepare_below: Count::of(768 << 20),
            alert_below: Count::of(512 << 20),
        }
    }
}

impl DiskSettings {
    /// As the living tier wants to know it.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            spool: self.trim_spool_below.get() as u64,
            prepare: self.pause_prepare_below.get() as u64,
            alert: self.alert_below.get() as u64,
        }
    }

    /// What a type cannot say.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let Thresholds {
            spool,
            prepare,
            alert,
        } = self.thresholds();
        if prepare > spool {
            let message = "is more than disk.trim_spool_below: spool goes first";
            return Err(("disk.pause_prepare_below", message.into()));
        }
        if alert > prepare {
            let message = "is more than disk.pause_prepare_below: an alert comes last";
            return Err(("disk.alert_below", message.into()));
        }
        Ok(())
    }
}
