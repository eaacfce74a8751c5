//! Seals secrets for their place in the database: XChaCha20-Poly1305 under the master key.
//!
//! A sealed secret is bound to its table, column and row and to the key (the associated data), so it
//! can neither be read elsewhere nor moved. Layout: version 1 · key id (8) · nonce (24) · ciphertext
//! and tag. The master key is a file of 64 hexadecimal digits that only its owner may read; it is made
//! once and never written over.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// Why the vault cannot be opened, or a secret not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// Others could have read the key.
    #[error(
        "the master key {path} may be read by others (mode {mode:04o}): make it private with chmod 600 {path}"
    )]
    OpenToOthers {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// It is not what this daemon writes.
    #[error("the master key {path} does not hold 64 hexadecimal digits: restore it from a backup")]
    NotAKey {
        /// The file.
        path: String,
    },
    /// The file cannot be read or made.
    #[error("cannot {doing} the master key {path}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// Sealed by another key.
    #[error("a secret was sealed under another master key than the present one")]
    OtherKey,
    /// Changed, moved to another place, or no sealed secret at all.
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
    /// The vault of the master key at `path`, which is made when there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        match read(path) {
            Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                make(path)?;
                read(path)
            }
            other => other,
        }
        .map(|key| Self::new(&key))
    }

    fn new(key: &[u8; 32]) -> Self {
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

/// `N` random bytes of the system, as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<Zeroizing<String>, io::Error> {
    let bytes = Zeroizing::new(<[u8; N]>::try_generate().map_err(io::Error::other)?);
    Ok(Zeroizing::new(hex(&bytes[..])))
}

/// `bytes` as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
        text
    })
}

/// Writes `text` to a new file that only its owner may read; the file is whole or not there, and one
/// that is there is never written over.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&part);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)?;
    let written = (|| {
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, not a rename: it fails where something is already.
        std::fs::hard_link(part, path)
    })();
    std::fs::remove_file(part)?;
    written?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn make(path: &Path) -> Result<(), VaultError> {
    let made = random_hex::<32>().and_then(|key| write_private(path, &format!("{}\n", *key)));
    match made {
        // Another daemon was faster: its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| VaultError::Io {
            doing: "make",
            path: path.display().to_string(),
            source,
        }),
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let shown = || path.display().to_string();
    let io = |source| VaultError::Io {
        doing: "read",
        path: shown(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(VaultError::OpenToOthers {
            path: shown(),
            mode,
        });
    }
    let mut text = Zeroizing::new(Vec::new());
    io::Read::by_ref(&mut file)
        .take(1024)
        .read_to_end(&mut text)
        .map_err(io)?;
    let digits = text.trim_ascii_end();
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|nibble| u8::try_from(nibble).ok())
    };
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return Err(VaultError::NotAKey { path: shown() });
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err(VaultError::NotAKey { path: shown() }),
        };
    }
    Ok(key)
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

    #[test]
    fn the_key_is_made_once_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let here = place("t", "c", 1);
        let sealed = Vault::open(&path).unwrap().seal(here, b"secret");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(
            Vault::open(&path)
                .unwrap()
                .open_sealed(here, &sealed)
                .unwrap()
                .as_slice(),
            b"secret"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "something was left beside it"
        );
        assert!(write_private(&path, "another").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        Vault::open(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refusal = Vault::open(&path).unwrap_err().to_string();
        assert!(
            refusal.contains("mode 0640") && refusal.contains("chmod 600"),
            "{refusal}"
        );
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            std::fs::write(&path, wrong).unwrap();
            let refusal = Vault::open(&path).unwrap_err().to_string();
            assert!(
                refusal.contains("64 hexadecimal digits"),
                "{wrong:?}: {refusal}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
