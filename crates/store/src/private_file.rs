//! Secrets at rest outside the database: random digits, and files that only their owner may read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
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
    fn digits_are_two_a_byte_and_random() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa5]), "000fa5");
        assert_eq!(unhex("000fa5"), Some(vec![0x00, 0x0f, 0xa5]));
        assert_eq!((unhex("0"), unhex("0g")), (None, None));
        let (one, two) = (random_hex::<32>().unwrap(), random_hex::<32>().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
    }
}
