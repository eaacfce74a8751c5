//! The master key: a file of 64 hexadecimal digits that only its owner may read, made once and never
//! written over.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::private_file::{random_hex, write_private};

/// Why there is no master key to work with: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MasterKeyError {
    #[error(
        "the master key {path} may be read by others (mode {mode:04o}): make it private with chmod 600 {path}"
    )]
    OpenToOthers { path: String, mode: u32 },
    #[error("the master key {path} does not hold 64 hexadecimal digits: restore it from a backup")]
    NotAKey { path: String },
    #[error("cannot {doing} the master key {path}: {source}")]
    Io {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
}

/// The key at `path`, which is made when there is none.
pub(crate) fn read_or_make(path: &Path) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
    match read(path) {
        Err(MasterKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(path)?;
            read(path)
        }
        other => other,
    }
}

fn make(path: &Path) -> Result<(), MasterKeyError> {
    let made = random_hex::<32>().and_then(|key| write_private(path, &format!("{}\n", *key)));
    match made {
        // Another daemon was faster: its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| MasterKeyError::Io {
            doing: "make",
            path: path.display().to_string(),
            source,
        }),
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
    let shown = || path.display().to_string();
    let io = |source| MasterKeyError::Io {
        doing: "read",
        path: shown(),
        source,
    };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::OpenToOthers {
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
        return Err(MasterKeyError::NotAKey { path: shown() });
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err(MasterKeyError::NotAKey { path: shown() }),
        };
    }
    Ok(key)
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
        let key = read_or_make(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read_or_make(&path).unwrap(), key);
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
        read_or_make(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refusal = read_or_make(&path).unwrap_err().to_string();
        assert!(
            refusal.contains("mode 0640") && refusal.contains("chmod 600"),
            "{refusal}"
        );
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            std::fs::write(&path, wrong).unwrap();
            let refusal = read_or_make(&path).unwrap_err().to_string();
            assert!(
                refusal.contains("64 hexadecimal digits"),
                "{wrong:?}: {refusal}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
