//! Changing one RTMP destination of a configuration, without naming the others.

use super::parse::read_destination;
use super::{ChannelConfig, MAX_DESTINATIONS, Policy, merge_patch};
use crate::ids::DestinationId;
use crate::violation::{Fields, Violations};
use serde_json::Value;

/// One change of a channel's destinations.
#[derive(Debug, Clone, PartialEq)]
pub enum DestinationEdit {
    /// Adds one behind the others.
    Add(Value),
    /// Changes one by JSON merge patch (RFC 7396); without a key in it, the key stays.
    Change(DestinationId, Value),
    /// Removes one.
    Remove(DestinationId),
}

impl ChannelConfig {
    /// This configuration with one destination added, changed or removed; nothing when it names a
    /// destination that is not there.
    ///
    /// # Errors
    /// Every violation, each with its pointer into the destination.
    pub fn edited(
        &self,
        edit: &DestinationEdit,
        policy: &Policy,
    ) -> Result<Option<Self>, Violations> {
        let mut config = self.clone();
        let destinations = &mut config.rtmp_destinations;
        let place = |id: &DestinationId| {
            let mut known = self.rtmp_destinations.iter();
            known.position(|destination| destination.id == Some(*id))
        };
        match edit {
            DestinationEdit::Add(_) if destinations.len() >= MAX_DESTINATIONS => {
                let message = format!(
                    "the channel has {MAX_DESTINATIONS} destinations, and no more are possible"
                );
                return Err(Violations::one("", message));
            }
            DestinationEdit::Add(value) => destinations.push(self.read_one(value, policy)?),
            DestinationEdit::Change(id, patch) => {
                let Some(at) = place(id) else { return Ok(None) };
                let merged = merge_patch(&destinations[at].to_json_public(), patch);
                let mut changed = self.read_one(&merged, policy)?;
                if changed.id != Some(*id) {
                    let message = format!("the destination's id is {id}, and stays so");
                    return Err(Violations::one("/id", message));
                }
                std::mem::swap(&mut destinations[at], &mut changed);
            }
            DestinationEdit::Remove(id) => {
                let Some(at) = place(id) else { return Ok(None) };
                destinations.remove(at);
            }
        }
        Ok(Some(config))
    }

    fn read_one(
        &self,
        value: &Value,
        policy: &Policy,
    ) -> Result<crate::destination::DestinationConfig, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let destination = read_destination(&mut fields, policy, &self.rtmp_destinations);
        fields.finish();
        match destination {
            Some(destination) => violations.or(destination),
            None => Err(violations),
        }
    }
}
