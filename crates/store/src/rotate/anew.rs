//! One secret under a new key: whether it is sealed anew, given up, or stuck.

use super::OldKey;
use crate::error::StoreError;
use crate::vault::{KeyId, Keyring, Place};

/// What becomes of a secret when the key that seals is another.
#[derive(Debug)]
pub(crate) enum Anew {
    /// Nothing: it is sealed with that.
    Kept,
    /// It is sealed with that now.
    Sealed(Vec<u8>),
    /// Its key is lost.
    Lost,
    /// It does not open: why.
    Stuck(String),
}

/// What became of many.
#[derive(Debug, Default)]
pub(crate) struct Resealed {
    pub(crate) secrets: u64,
    /// Secrets that were given up, because their key is lost, with what cannot do without.
    pub(crate) given_up: u64,
    /// Those that do not open: a sentence each.
    pub(crate) stuck: Vec<String>,
}

/// Seals a secret anew with the key `sealing`.
pub(crate) fn anew(
    ring: &Keyring,
    sealing: KeyId,
    old: OldKey,
    place: Place,
    sealed: &[u8],
) -> Result<Anew, StoreError> {
    let named = KeyId::of_sealed(sealed);
    if named == Some(sealing) {
        return Ok(Anew::Kept);
    }
    match ring.open_sealed(place, sealed) {
        Ok(secret) => {
            let sealed = ring.seal(sealing, place, &secret);
            sealed.map(Anew::Sealed).map_err(StoreError::internal)
        }
        Err(_) if old == OldKey::Lost && named.is_none_or(|named| !ring.holds(named)) => {
            Ok(Anew::Lost)
        }
        Err(error) => Ok(Anew::Stuck(error.to_string())),
    }
}
