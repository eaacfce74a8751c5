//! Seals secrets for their place in the database: XChaCha20-Poly1305 under a master key.
//!
//! The vault opens what any of its keys has sealed. One that it does not know may be new: it reads the
//! key file again before it gives up, so a daemon learns of a new key when it first needs it.

mod keyring;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

pub use keyring::KeyId;
pub(crate) use keyring::{Keyring, Place, VaultError};

use crate::master_key::{self, KeySource, MasterKeyError};

/// Seals and opens secrets while keys come and go.
pub(crate) struct Vault {
    source: KeySource,
    /// As last read, and what is not retired of what was read before.
    ring: RwLock<Arc<Keyring>>,
}

impl Vault {
    pub(crate) fn new(source: KeySource, ring: Keyring) -> Self {
        Self {
            source,
            ring: RwLock::new(Arc::new(ring)),
        }
    }

    /// Reads the key file again and takes in what came. What is no longer there stays known: a file that
    /// somebody damages takes nothing from a daemon that runs.
    fn learn(&self) -> Result<(), MasterKeyError> {
        self.take_in(Keyring::new(&master_key::read(&self.source)?));
        Ok(())
    }

    /// Takes in keys that were read.
    pub(crate) fn take_in(&self, read: Keyring) {
        self.change(|known| known.with(read));
    }

    /// Whether one of these keys is known.
    pub(crate) fn has_any(&self, keys: &[KeyId]) -> bool {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().any(|key| ring.holds(*key))
    }

    /// Forgets keys that nothing is sealed with any more.
    pub(crate) fn forget(&self, retired: &[KeyId]) {
        self.change(|known| known.without(retired));
    }

    fn change(&self, change: impl FnOnce(&Keyring) -> Keyring) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Arc::new(change(&ring));
    }

    /// [`Keyring::seal`].
    pub(crate) fn seal(
        &self,
        id: KeyId,
        place: Place,
        secret: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        self.with_keys(|ring| ring.seal(id, place, secret))
    }

    /// [`Keyring::open_sealed`].
    pub(crate) fn open_sealed(
        &self,
        place: Place,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.with_keys(|ring| ring.open_sealed(place, sealed))
    }

    /// The same of text; why not, in a sentence.
    pub(crate) fn open_text(
        &self,
        place: Place,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, String> {
        let opened = self.open_sealed(place, sealed);
        let bytes = opened.map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn with_keys<T>(
        &self,
        work: impl Fn(&Keyring) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let present = || Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner));
        match work(&present()) {
            Err(VaultError::OtherKey(id)) => {
                if let Err(error) = self.learn() {
                    tracing::error!(%error, key = %id, "a master key is needed that is not at hand");
                }
                work(&present())
            }
            done => done,
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_vault_learns_of_a_key_when_it_needs_it_and_forgets_what_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let source = KeySource::File(path.clone());
        master_key::make(&path).unwrap();
        let old = master_key::read(&source).unwrap();
        let vault = Vault::new(source, Keyring::new(&old));
        let new = master_key::random().unwrap();
        let (old_id, new_id) = (KeyId::of(&old[0]), KeyId::of(&new));
        let here = Place {
            table: "t",
            column: "c",
            row: uuid::Uuid::nil(),
        };
        let by_old = vault.seal(old_id, here, b"secret").unwrap();
        assert_eq!(
            vault.seal(new_id, here, b"secret").unwrap_err(),
            VaultError::OtherKey(new_id)
        );
        let both = [old[0].clone(), new.clone()];
        master_key::replace(&path, &both).unwrap();
        let by_new = vault.seal(new_id, here, b"secret").unwrap();
        for sealed in [&by_old, &by_new] {
            assert_eq!(
                vault.open_sealed(here, sealed).unwrap().as_slice(),
                b"secret"
            );
        }
        master_key::replace(&path, &both[1..]).unwrap();
        assert!(vault.open_sealed(here, &by_old).is_ok());
        vault.forget(&[old_id]);
        assert!(vault.open_sealed(here, &by_new).is_ok());
        assert!(vault.open_sealed(here, &by_old).is_err());
    }
}
