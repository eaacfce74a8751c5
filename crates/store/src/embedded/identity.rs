//! Which user a server runs as. PostgreSQL refuses uid 0, and neither server needs it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, User};

use super::error::EmbeddedError;

/// A user that a server becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
}

/// The user for the server whose data lie in `folder`; `None` when we stay who we are.
///
/// As root: the owner of existing data, so that a folder once made by an ordinary user keeps its
/// owner; else the first of `candidates` that exists. As anybody else: ourselves, if the data are ours.
pub(super) fn for_data_in(
    folder: &Path,
    candidates: &[&str],
) -> Result<Option<Identity>, EmbeddedError> {
    let owner = std::fs::metadata(folder)
        .ok()
        .map(|found| (Uid::from_raw(found.uid()), Gid::from_raw(found.gid())));
    let me = Uid::effective();
    if !me.is_root() {
        return match owner {
            Some((owner, _)) if owner != me => Err(EmbeddedError::WrongOwner {
                path: folder.to_owned(),
                owner: name_of(owner),
                me: name_of(me),
            }),
            _ => Ok(None),
        };
    }
    if let Some((uid, gid)) = owner.filter(|(uid, _)| !uid.is_root()) {
        return Ok(Some(Identity {
            name: name_of(uid),
            uid,
            gid,
        }));
    }
    candidates
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| {
            Some(Identity {
                name: user.name,
                uid: user.uid,
                gid: user.gid,
            })
        })
        .ok_or(EmbeddedError::NoUnprivilegedUser)
}

fn name_of(uid: Uid) -> String {
    User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}
