//! The keys of one reading of the key file, and what they seal.
//!
//! A sealed secret is bound to its table, column and row and to the key (the associated data), so it
//! can neither be read elsewhere nor moved. Layout: version 1 · key id (8) · nonce (24) · ciphertext
//! and tag.

use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key as CipherKey, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::master_key::Key;
use crate::private_file::hex;

const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// Tells master keys apart without telling anything of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; KEY_ID]);

impl KeyId {
    pub(crate) fn of(key: &Key) -> Self {
        let digest = Sha256::new()
            .chain_update(b"playoutd master key id\0")
            .chain_update(key.as_slice())
            .finalize();
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&digest[..KEY_ID]);
        Self(id)
    }

    /// The id that a sealed secret names; none where it is no sealed secret.
    pub(crate) fn of_sealed(sealed: &[u8]) -> Option<Self> {
        let (header, _) = sealed.split_at_checked(HEADER)?;
        let id = header[1..=KEY_ID].try_into().ok()?;
        (header[0] == VERSION).then_some(Self(id))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the row of a table.
    pub(crate) fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(u64::from_be_bytes(self.0), 0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("sealing is done under another master key ({0}) than those at hand")]
    OtherKey(KeyId),
    /// Or no sealed secret at all.
    #[error("a sealed secret was changed, or belongs to another place")]
    Forged,
}

/// Where a secret is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) row: Uuid,
}

/// The keys of one reading of the key file; one at least.
pub(crate) struct Keyring(Vec<(KeyId, XChaCha20Poly1305)>);

impl Keyring {
    pub(crate) fn new(keys: &[Key]) -> Self {
        let cipher = |key: &Key| XChaCha20Poly1305::new(&CipherKey::from(**key));
        Self(
            keys.iter()
                .map(|key| (KeyId::of(key), cipher(key)))
                .collect(),
        )
    }

    /// Their ids, in the order of the file.
    pub(crate) fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|(id, _)| *id)
    }

    pub(crate) fn holds(&self, id: KeyId) -> bool {
        self.ids().any(|held| held == id)
    }

    /// These, and those of `more` that are not among them.
    pub(super) fn with(&self, more: Self) -> Self {
        let new = more.0.into_iter().filter(|(id, _)| !self.holds(*id));
        Self(self.0.iter().cloned().chain(new).collect())
    }

    /// These but for `gone`.
    pub(super) fn without(&self, gone: &[KeyId]) -> Self {
        let kept = self.0.iter().filter(|(id, _)| !gone.contains(id));
        Self(kept.cloned().collect())
    }

    fn cipher(&self, id: KeyId) -> Result<&XChaCha20Poly1305, VaultError> {
        let found = self.0.iter().find(|(held, _)| *held == id);
        found
            .map(|(_, cipher)| cipher)
            .ok_or(VaultError::OtherKey(id))
    }

    /// `secret`, sealed with key `id`, to be read at `place` alone.
    pub(crate) fn seal(
        &self,
        id: KeyId,
        place: Place,
        secret: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let cipher = self.cipher(id)?;
        let nonce = XNonce::generate();
        let aad = associated_data(id, place);
        let payload = Payload {
            msg: secret,
            aad: &aad,
        };
        // It fails for secrets of more than 256 GiB only; an empty ciphertext never opens.
        let sealed = cipher.encrypt(&nonce, payload).unwrap_or_default();
        Ok([&[VERSION], &id.0[..], &nonce[..], &sealed[..]].concat())
    }

    /// The secret that was sealed for `place`.
    pub(crate) fn open_sealed(
        &self,
        place: Place,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let id = KeyId::of_sealed(sealed).ok_or(VaultError::Forged)?;
        let (header, ciphertext) = sealed.split_at_checked(HEADER).ok_or(VaultError::Forged)?;
        let nonce = XNonce::try_from(&header[1 + KEY_ID..]).map_err(|_| VaultError::Forged)?;
        let aad = associated_data(id, place);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let secret = self.cipher(id)?.decrypt(&nonce, payload);
        secret.map(Zeroizing::new).map_err(|_| VaultError::Forged)
    }
}

/// Each part with its length before it, so that no two places give the same bytes.
fn associated_data(id: KeyId, place: Place) -> Vec<u8> {
    let parts = [
        place.table.as_bytes(),
        place.column.as_bytes(),
        place.row.as_bytes(),
        &id.0,
    ];
    parts
        .iter()
        .flat_map(|part| {
            (part.len() as u64)
                .to_be_bytes()
                .into_iter()
                .chain(part.iter().copied())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place(table: &'static str, column: &'static str, row: u128) -> Place {
        Place {
            table,
            column,
            row: Uuid::from_u128(row),
        }
    }

    fn ring(keys: &[u8]) -> Keyring {
        let keys: Vec<Key> = keys.iter().map(|byte| Key::new([*byte; 32])).collect();
        Keyring::new(&keys)
    }

    fn sealed(ring: &Keyring, place: Place, secret: &[u8]) -> Vec<u8> {
        ring.seal(ring.ids().next().unwrap(), place, secret)
            .unwrap()
    }

    #[test]
    fn a_secret_opens_in_its_place_only() {
        let vault = ring(&[7]);
        let here = place("rtmp_destinations", "stream_key", 1);
        let sealed = sealed(&vault, here, b"live_sesame");
        assert_eq!(
            vault.open_sealed(here, &sealed).unwrap().as_slice(),
            b"live_sesame"
        );
        let elsewhere = [
            place("rtmp_destinations", "stream_key", 2),
            place("rtmp_destinations", "other", 1),
            place("other", "stream_key", 1),
            place("rtmp_destinationss", "tream_key", 1),
        ];
        for other in elsewhere {
            assert!(
                matches!(vault.open_sealed(other, &sealed), Err(VaultError::Forged)),
                "{other:?}"
            );
        }
    }

    #[test]
    fn no_bit_can_be_changed_and_no_end_be_cut() {
        let vault = ring(&[7]);
        let here = place("t", "c", 1);
        let sealed = sealed(&vault, here, b"secret");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(vault.open_sealed(here, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                vault.open_sealed(here, &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike_and_another_key_is_told_apart() {
        let (vault, other) = (ring(&[7]), ring(&[8]));
        let here = place("t", "c", 1);
        let one = sealed(&vault, here, b"secret");
        assert_ne!(one, sealed(&vault, here, b"secret"));
        let id = vault.ids().next().unwrap();
        assert_eq!(KeyId::of_sealed(&one), Some(id));
        assert_eq!(
            other.open_sealed(here, &one).unwrap_err(),
            VaultError::OtherKey(id)
        );
        // Nor can a secret be passed off as another key's.
        let both = ring(&[8, 7]);
        assert!(both.open_sealed(here, &one).is_ok());
        let mut forged = one;
        forged[1..=KEY_ID].copy_from_slice(both.ids().next().unwrap().bytes());
        assert_eq!(
            both.open_sealed(here, &forged).unwrap_err(),
            VaultError::Forged
        );
    }
}
