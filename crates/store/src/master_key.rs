//! The master keys on disk: one line of 64 hexadecimal digits for each, in a file that only its owner may
//! read, or in a systemd credential. There is one, and two while secrets are sealed anew.
//!
//! Which of them seals is said by the database (`master_keys`), never by the order of the lines.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::private_file::{hex, random_hex, replace_private, write_private};

/// Lines that a key file may have.
const MOST_KEYS: usize = 8;

/// One master key.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Where the master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600: made at the first start, written by `rotate-key`.
    File(PathBuf),
    /// A systemd credential: given to the service, and never written.
    Credential(PathBuf),
}

impl KeySource {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }

    /// What nobody else may do with it: systemd itself keeps others out of the folder of credentials, and
    /// lets the service in by an access list, which shows in the bits of the group.
    const fn forbidden(&self) -> u32 {
        match self {
            Self::File(_) => 0o077,
            Self::Credential(_) => 0o007,
        }
    }
}

/// Why there is no master key to work with: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MasterKeyError {
    #[error(
        "the master key {path} may be read by others (mode {mode:04o}): make it private with chmod 600 {path}"
    )]
    OpenToOthers { path: String, mode: u32 },
    #[error("the master key {path} does not hold 64 hexadecimal digits: restore it from a backup")]
    NotAKey { path: String },
    #[error("the master key {path} is not there")]
    Missing { path: String },
    #[error("cannot {doing} the master key {path}: {source}")]
    Io {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
}

/// The keys at `source`.
pub(crate) fn read(source: &KeySource) -> Result<Vec<Key>, MasterKeyError> {
    let path = source.path().display().to_string();
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => MasterKeyError::Missing { path: path.clone() },
        _ => MasterKeyError::Io {
            doing: "read",
            path: path.clone(),
            source,
        },
    };
    let mut file = File::open(source.path()).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & source.forbidden() != 0 {
        return Err(MasterKeyError::OpenToOthers { path, mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(1024));
    io::Read::by_ref(&mut file)
        .take(1024)
        .read_to_end(&mut text)
        .map_err(io)?;
    parse(&text).ok_or(MasterKeyError::NotAKey { path })
}

/// Makes a key at `path`, unless there is one.
pub(crate) fn make(path: &Path) -> Result<(), MasterKeyError> {
    let made = random_hex::<32>().and_then(|key| write_private(path, &format!("{}\n", *key)));
    match made {
        // Another daemon was faster: its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| writing(path, source)),
    }
}

/// A key of chance.
pub(crate) fn random() -> Result<Key, io::Error> {
    let digits = random_hex::<32>()?;
    key(digits.as_bytes()).ok_or_else(|| io::Error::other("no random digits"))
}

/// Puts these keys in the place of those at `path`: all at once, and lasting when it returns.
pub(crate) fn replace(path: &Path, keys: &[Key]) -> Result<(), MasterKeyError> {
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 65));
    for key in keys {
        text.push_str(&Zeroizing::new(hex(&key[..])));
        text.push('\n');
    }
    replace_private(path, &text).map_err(|source| writing(path, source))
}

fn writing(path: &Path, source: io::Error) -> MasterKeyError {
    MasterKeyError::Io {
        doing: "write",
        path: path.display().to_string(),
        source,
    }
}

fn parse(text: &[u8]) -> Option<Vec<Key>> {
    let lines = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| !line.is_empty());
    let mut keys = Vec::new();
    for line in lines {
        let key = key(line)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    (1..=MOST_KEYS).contains(&keys.len()).then_some(keys)
}

fn key(digits: &[u8]) -> Option<Key> {
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|nibble| u8::try_from(nibble).ok())
    };
    if digits.len() != 64 {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_private_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let source = KeySource::File(path.clone());
        assert!(matches!(read(&source), Err(MasterKeyError::Missing { .. })));
        make(&path).unwrap();
        let keys = read(&source).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        make(&path).unwrap();
        assert_eq!(read(&source).unwrap(), keys);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "something was left beside it"
        );
    }

    #[test]
    fn keys_are_replaced_at_once_and_read_in_any_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let source = KeySource::File(path.clone());
        make(&path).unwrap();
        let mut keys = read(&source).unwrap();
        keys.push(random().unwrap());
        replace(&path, &keys).unwrap();
        assert_eq!(read(&source).unwrap(), keys);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        replace(&path, &keys[1..]).unwrap();
        assert_eq!(read(&source).unwrap(), keys[1..]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let source = KeySource::File(path.clone());
        make(&path).unwrap();
        for mode in [0o640, 0o604, 0o610] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refusal = read(&source).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("mode {mode:04o}")) && refusal.contains("chmod 600"),
                "{refusal}"
            );
        }
        // As systemd passes one on to a service that is not root's.
        let credential = KeySource::Credential(path.clone());
        std::fs::set_permissions(&path, Permissions::from_mode(0o440)).unwrap();
        assert!(read(&credential).is_ok());
        std::fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        assert!(read(&credential).is_err());
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let good = "0".repeat(64);
        for wrong in [
            "",
            "\n\n",
            "00",
            &"g".repeat(64),
            &"0".repeat(65),
            &format!("{good}\n00"),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let refusal = read(&source).unwrap_err().to_string();
            assert!(
                refusal.contains("64 hexadecimal digits"),
                "{wrong:?}: {refusal}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
