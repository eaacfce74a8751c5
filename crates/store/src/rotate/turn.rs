//! What comes next in a rotation: a pure function of the database's keys and the key file's.

use crate::keys::KeyState;
use crate::vault::KeyId;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// A new key is added to the key file.
    Make,
    /// This key seals from now on.
    TakeOver(KeyId),
    /// What these keys have sealed is sealed anew.
    Reseal(Vec<KeyId>),
    /// These keys leave the key file.
    Remove(Vec<KeyId>),
    /// Nothing.
    Done,
}

/// What comes next, given the keys of the database, those of the key file, whether that can be written,
/// and whether this rotation has begun.
pub(super) fn turn(
    known: &[(KeyId, KeyState)],
    file: &[KeyId],
    writable: bool,
    begun: bool,
) -> Result<Turn, String> {
    let of = |state| known.iter().filter(move |(_, s)| *s == state);
    let retiring: Vec<KeyId> = of(KeyState::Retiring).map(|(id, _)| *id).collect();
    if !retiring.is_empty() {
        return Ok(Turn::Reseal(retiring));
    }
    let retired: Vec<KeyId> = of(KeyState::Retired)
        .map(|(id, _)| *id)
        .filter(|id| file.contains(id))
        .collect();
    if writable && !retired.is_empty() {
        return Ok(Turn::Remove(retired));
    }
    let mut new = file
        .iter()
        .filter(|id| !known.iter().any(|(known, _)| known == *id));
    match (new.next(), new.next()) {
        (Some(_), Some(_)) => Err("holds several keys that the database does not know; leave the one that is to seal".to_owned()),
        (Some(new), None) => Ok(Turn::TakeOver(*new)),
        (None, _) if begun => Ok(Turn::Done),
        (None, _) if writable => Ok(Turn::Make),
        (None, _) => Err(
            "is a systemd credential and cannot be written: add a line with a new key to what the credential is loaded \
             from (openssl rand -hex 32), restart the service, and run rotate-key again with the service's \
             CREDENTIALS_DIRECTORY"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::KeyState::{Retired, Retiring, Sealing};
    use super::*;

    fn key(n: u8) -> KeyId {
        KeyId::from_bytes(&[n; 8]).unwrap()
    }

    #[test]
    fn what_comes_next_follows_from_database_and_key_file() {
        let [a, b] = [key(1), key(2)];
        let cases = [
            // One rotation from its begin to its end.
            (vec![(a, Sealing)], vec![a], false, Turn::Make),
            (vec![(a, Sealing)], vec![a, b], false, Turn::TakeOver(b)),
            (
                vec![(a, Retiring), (b, Sealing)],
                vec![a, b],
                false,
                Turn::Reseal(vec![a]),
            ),
            (
                vec![(a, Retired), (b, Sealing)],
                vec![a, b],
                false,
                Turn::Remove(vec![a]),
            ),
            (vec![(a, Retired), (b, Sealing)], vec![b], true, Turn::Done),
            (vec![(a, Retired), (b, Sealing)], vec![b], false, Turn::Make),
            // A backup that brings an old key back is not taken for a new one.
            (
                vec![(a, Retired), (b, Sealing)],
                vec![b, a],
                true,
                Turn::Remove(vec![a]),
            ),
        ];
        for (known, file, begun, expected) in cases {
            assert_eq!(turn(&known, &file, true, begun).unwrap(), expected);
        }
    }

    #[test]
    fn a_credential_is_rotated_by_what_is_in_it() {
        let [a, b, c] = [key(1), key(2), key(3)];
        let refused = turn(&[(a, Sealing)], &[a], false, false).unwrap_err();
        assert!(refused.contains("openssl rand -hex 32"), "{refused}");
        let taken = turn(&[(a, Sealing)], &[b, a], false, false);
        assert_eq!(taken.unwrap(), Turn::TakeOver(b));
        let done = turn(&[(a, Retired), (b, Sealing)], &[b, a], false, true);
        assert_eq!(
            done.unwrap(),
            Turn::Done,
            "the operator removes the old line"
        );
        assert!(turn(&[(a, Sealing)], &[a, b, c], true, false).is_err());
    }
}
