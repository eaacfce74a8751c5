//! What a channel's FFmpeg processes may use, where that is less than what the daemon allows anyhow.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::violation::{Fields, describe};

/// Bytes: less than 64 MiB no FFmpeg can work with.
pub const MEMORY: std::ops::RangeInclusive<u64> = 1 << 26..=1 << 40;
/// Cores.
pub const CPU: std::ops::RangeInclusive<f64> = 0.1..=1000.0;

/// What each FFmpeg of a channel may use, and all of them together; `None` is what the daemon allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSettings {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Processors in percent of one core; in JSON a fraction of one core.
    #[serde(serialize_with = "fraction")]
    pub cpu: Option<u32>,
}

impl ResourceSettings {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let Some(value) = fields.value("resourceSettings") else {
            return Self::default();
        };
        let pointer = fields.pointer_to("resourceSettings");
        let mut settings = Fields::open(value, pointer, fields.violations());
        let read = Self {
            memory: read_memory(&mut settings),
            cpu: read_cpu(&mut settings),
        };
        settings.finish();
        read
    }
}

fn read_memory(fields: &mut Fields<'_, '_>) -> Option<u64> {
    let value = fields.value("memory").filter(|value| !value.is_null())?;
    let memory = value.as_u64().filter(|given| MEMORY.contains(given));
    if memory.is_none() {
        refuse(
            fields,
            "memory",
            value,
            &format!("{} to {} bytes", MEMORY.start(), MEMORY.end()),
        );
    }
    memory
}

fn read_cpu(fields: &mut Fields<'_, '_>) -> Option<u32> {
    let value = fields.value("cpu").filter(|value| !value.is_null())?;
    let cpu = value.as_f64().filter(|given| CPU.contains(given));
    if cpu.is_none() {
        refuse(
            fields,
            "cpu",
            value,
            &format!("{} to {} cores", CPU.start(), CPU.end()),
        );
    }
    cpu.map(|cores| (cores * 100.0).round() as u32)
}

fn refuse(fields: &mut Fields<'_, '_>, name: &'static str, value: &Value, allowed: &str) {
    let given = describe(value);
    fields.refuse(
        name,
        format!("{name} is {given}; {allowed} are allowed, or null for what the daemon allows"),
    );
}

fn fraction<S: Serializer>(percent: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    percent
        .map(|percent| f64::from(percent) / 100.0)
        .serialize(serializer)
}
