//! The secrets of one channel, sealed anew with the key that seals now.

use playout_domain::ChannelId;
use serde_json::json;

use super::changes::{change, lock_owner};
use super::destinations::{self, place};
use super::{digests, rows};
use crate::audit::record;
use crate::error::StoreError;
use crate::keys;
use crate::principal::Principal;
use crate::rotate::{Anew, OldKey, anew};
use crate::session::Transaction;
use crate::vault::Keyring;

/// What became of a channel's secrets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reseal {
    /// None is left under an old key.
    Done {
        /// Sealed anew.
        secrets: u64,
        /// Given up, because their key is lost.
        given_up: u64,
    },
    /// Some are: one sentence why.
    Stuck(String),
}

/// Seals a channel's secrets anew. One that is damaged is left as it is: its digest is all that tells of
/// the damage.
pub(crate) async fn reseal(
    tx: &Transaction<'_>,
    id: ChannelId,
    ring: &Keyring,
    old: OldKey,
) -> Result<Reseal, StoreError> {
    let who = Principal::rotation();
    let (mut secrets, mut lost, mut stuck) = (0, Vec::new(), None);
    let channel = match lock_owner(tx, &who, id).await {
        // Deleted meanwhile, and its secrets with it.
        Err(StoreError::NotFound) => {
            return Ok(Reseal::Done {
                secrets,
                given_up: 0,
            });
        }
        locked => {
            locked?;
            rows::read_locked(tx, id).await
        }
    };
    let channel = match channel {
        Err(StoreError::Quarantined(why)) => {
            return Ok(Reseal::Stuck(format!("it is quarantined: {why}")));
        }
        channel => channel?.channel,
    };
    let sealing = keys::sealing(tx).await?;
    let rows = destinations::rows(tx, Some(id.uuid())).await?;
    for destination in rows.into_values().flatten() {
        let Some(sealed) = destination.stream_key else {
            continue;
        };
        let place = place(destination.id.into());
        let anew = match anew(ring, sealing, old, place, &sealed)? {
            Anew::Kept => continue,
            Anew::Sealed(anew) => {
                secrets += 1;
                Some(anew)
            }
            Anew::Lost => {
                lost.push(destination.id);
                None
            }
            Anew::Stuck(error) => {
                let why = format!("the stream key of destination {}: {error}", destination.id);
                stuck = Some(Reseal::Stuck(why));
                continue;
            }
        };
        let sql = "UPDATE rtmp_destinations SET stream_key = $2 WHERE id = $1";
        tx.execute(sql, &[&destination.id, &anew]).await?;
    }
    digests::stamp(tx, id.uuid()).await?;
    if !lost.is_empty() {
        let keys = |set: bool| json!({ "destinations": lost, "streamKeySet": set });
        let change = change("channel.keys-lost", id, Some(keys(true)), Some(keys(false)));
        record(tx, channel.client_id, &who, change).await?;
    }
    Ok(stuck.unwrap_or(Reseal::Done {
        secrets,
        given_up: lost.len() as u64,
    }))
}
