//! Changing one RTMP destination of a configuration, without naming the others.

use super::parse::{Context, read_destination};
use super::{ChannelConfig, MAX_DESTINATIONS, Policy, merge_patch};
use crate::destination::DestinationConfig;
use crate::ids::DestinationId;
use crate::overlay::Font;
use crate::profile::Profile;
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
                let merged = merge_patch(&base(&destinations[at], patch), patch);
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

    fn read_one(&self, value: &Value, policy: &Policy) -> Result<DestinationConfig, Violations> {
        let mut violations = Violations::default();
        let mut fields = Fields::open(value, "", &mut violations);
        let context = Context {
            policy,
            known: &self.rtmp_destinations,
            bounds: Some(Profile::of(self, Font::default())),
        };
        let destination = read_destination(&mut fields, &context);
        fields.finish();
        match destination {
            Some(destination) => violations.or(destination),
            None => Err(violations),
        }
    }
}

/// What `patch` is merged onto. Another platform has another server: one that the platform filled in goes with it. A
/// rung takes the place of what the stream is encoded to, and the other way round.
fn base(destination: &DestinationConfig, patch: &Value) -> Value {
    let mut base = destination.to_json_public();
    let filled_in = destination.platform.preset().server();
    let moves = patch
        .get("platform")
        .is_some_and(|to| *to != base["platform"]);
    if moves
        && filled_in.as_ref() == Some(&destination.server_url)
        && let Some(fields) = base.as_object_mut()
    {
        fields.remove("serverUrl");
    }
    let names_rung = |encode: &Value| encode.get("rung").is_some();
    if let Some(encode) = patch.get("encode").filter(|encode| encode.is_object())
        && names_rung(encode) != names_rung(&base["encode"])
    {
        base["encode"] = Value::Null;
    }
    base
}
