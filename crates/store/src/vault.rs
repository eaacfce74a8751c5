//! Seals secrets for their place in the database: XChaCha20-Poly1305 under the master key.
//!
//! A sealed secret is bound to its table, column and row and to the key (the associated data), so it
//! can neither be read elsewhere nor moved. Layout: version 1 · key id (8) · nonce (24) · ciphertext
//! and tag.

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// Why a sealed secret cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("a secret was sealed under another master key than the present one")]
    OtherKey,
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

/// Seals and opens secrets.
pub(crate) struct Vault {
    cipher: XChaCha20Poly1305,
    /// Tells keys apart without telling anything of them.
    key_id: [u8; KEY_ID],
}

impl Vault {
    /// The vault of this master key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"playoutd master key id\0")
            .chain_update(key)
            .finalize();
        let mut key_id = [0; KEY_ID];
        key_id.copy_from_slice(&digest[..KEY_ID]);
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(*key)),
            key_id,
        }
    }

    /// `secret`, to be read at `place` alone.
    pub(crate) fn seal(&self, place: Place, secret: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let aad = self.associated_data(place);
        // It fails for secrets of more than 256 GiB only; an empty ciphertext never opens.
        let sealed = self
            .cipher
            .encrypt(
                &nonce,
                Payload {
                    msg: secret,
                    aad: &aad,
                },
            )
            .unwrap_or_default();
        [&[VERSION], &self.key_id[..], &nonce[..], &sealed[..]].concat()
    }

    /// The secret that was sealed for `place`.
    pub(crate) fn open_sealed(
        &self,
        place: Place,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER).ok_or(VaultError::Forged)?;
        if header[0] != VERSION {
            return Err(VaultError::Forged);
        }
        if header[1..=KEY_ID] != self.key_id {
            return Err(VaultError::OtherKey);
        }
        let nonce = XNonce::try_from(&header[1 + KEY_ID..]).map_err(|_| VaultError::Forged)?;
        let aad = self.associated_data(place);
        let secret = self.cipher.decrypt(
            &nonce,
            Payload {
                msg: ciphertext,
                aad: &aad,
            },
        );
        secret.map(Zeroizing::new).map_err(|_| VaultError::Forged)
    }

    /// Each part with its length before it, so that no two places give the same bytes.
    fn associated_data(&self, place: Place) -> Vec<u8> {
        let parts = [
            place.table.as_bytes(),
            place.column.as_bytes(),
            place.row.as_bytes(),
            &self.key_id,
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
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
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

    #[test]
    fn a_secret_opens_in_its_place_only() {
        let vault = Vault::new(&[7; 32]);
        let here = place("rtmp_destinations", "stream_key", 1);
        let sealed = vault.seal(here, b"live_sesame");
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
        let vault = Vault::new(&[7; 32]);
        let here = place("t", "c", 1);
        let sealed = vault.seal(here, b"secret");
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
        let (vault, other) = (Vault::new(&[7; 32]), Vault::new(&[8; 32]));
        let here = place("t", "c", 1);
        let sealed = vault.seal(here, b"secret");
        assert_ne!(sealed, vault.seal(here, b"secret"));
        assert!(matches!(
            other.open_sealed(here, &sealed),
            Err(VaultError::OtherKey)
        ));
    }
}
