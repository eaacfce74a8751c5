//! Secrets at rest outside the database: random digits, and files that only their owner may read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chacha20poly1305::aead::Generate;
use zeroize::Zeroizing;

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

/// The bytes that hexadecimal digits stand for; nothing where they are none.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

/// Writes `text` to a new file that only its owner may read; the file is whole or not there, and one
/// that is there is never written over.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = Path::new(&part);
    // Of a process of this number that was killed while it wrote.
    let _ = std::fs::remove_file(part);
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

/// Puts `text` in the place of a private file: the one or the other is there at any moment, whole, of mode
/// 0600 and its owner's, and the new one stays there when this returns.
pub(crate) fn replace_private(path: &Path, text: &str) -> io::Result<()> {
    // What a link leads to, not the link.
    let path = std::fs::canonicalize(path)?;
    let before = std::fs::metadata(&path)?;
    let mut part = path.clone().into_os_string();
    part.push(".part");
    let part = Path::new(&part);
    // Of one that was killed while it wrote. Who writes holds a lock, so nobody else is at it.
    if let Err(error) = std::fs::remove_file(part)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)?;
    let mine = file.metadata()?;
    if (mine.uid(), mine.gid()) != (before.uid(), before.gid()) {
        // Root writes for the user that the daemon runs as.
        std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(part, &path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_there_is_not_written_over_and_what_a_killed_process_left_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let left = folder
            .path()
            .join(format!("secret.{}.part", std::process::id()));
        std::fs::write(left, "half").unwrap();
        write_private(&path, "one").unwrap();
        let refused = write_private(&path, "two").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "something was left beside it"
        );
    }

    #[test]
    fn a_file_is_replaced_through_its_link_and_over_what_a_killed_process_left() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("secret"), folder.path().join("link"));
        write_private(&path, "one").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        std::fs::write(folder.path().join("secret.part"), "half").unwrap();
        replace_private(&link, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let none = replace_private(&folder.path().join("none"), "two");
        assert!(none.is_err(), "it replaces, it does not make");
    }

    #[test]
    fn digits_are_two_a_byte_and_random() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa5]), "000fa5");
        assert_eq!(unhex("000fa5"), Some(vec![0x00, 0x0f, 0xa5]));
        assert_eq!((unhex("0"), unhex("0g")), (None, None));
        let (one, two) = (random_hex::<32>().unwrap(), random_hex::<32>().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
    }
}
