//! Where the media of each client may lie.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use playout_domain::ids::ClientId;

use crate::process::Roots;

/// The folders of each client: its own, where it is named; else those of everybody. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ClientRoots {
    everybody: Roots,
    named: Arc<HashMap<ClientId, Roots>>,
}

impl ClientRoots {
    /// `everybody` for those who are not `named`; none are all.
    pub fn new(
        everybody: Vec<PathBuf>,
        named: impl IntoIterator<Item = (ClientId, Vec<PathBuf>)>,
    ) -> Self {
        let named = named.into_iter();
        Self {
            everybody: Roots::new(everybody),
            named: Arc::new(
                named
                    .map(|(id, folders)| (id, Roots::new(folders)))
                    .collect(),
            ),
        }
    }

    /// The folders of a client.
    pub(super) fn of(&self, client: ClientId) -> Roots {
        self.named.get(&client).unwrap_or(&self.everybody).clone()
    }

    /// Every folder that anybody's media may lie in, with the library's own.
    pub(crate) fn all(&self, own: &Path) -> Roots {
        if self.everybody.folders().is_empty() {
            return Roots::default();
        }
        let named = self.named.values().flat_map(|roots| roots.folders());
        let folders = self.everybody.folders().iter().chain(named).cloned();
        Roots::new(folders.chain([own.to_owned()]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_client_that_is_named_has_its_own_folders_alone() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let roots = ClientRoots::new(
            vec!["/usr".into()],
            [(ClientId::from(one), vec!["/etc".into()])],
        );
        let holds = |client: Uuid, path: &str| roots.of(client.into()).hold(Path::new(path));
        assert!(holds(one, "/etc/passwd") && !holds(one, "/usr/bin"));
        assert!(holds(two, "/usr/bin") && !holds(two, "/etc/passwd"));
        let all = roots.all(Path::new("/var"));
        assert!(
            ["/usr/bin", "/etc/passwd", "/var/x"]
                .iter()
                .all(|path| all.hold(Path::new(path)))
        );
        assert!(!all.hold(Path::new("/home")));
    }
}
