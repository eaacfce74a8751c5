//! Where the media of each client may lie.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use playout_domain::ids::ClientId;
use playout_store::operator;

use crate::process::Roots;

/// The folders of each client: those that are named for it, and without any, none. Cheap to clone.
///
/// By default the operator's media may lie everywhere, and nobody else's anywhere.
#[derive(Debug, Clone, Default)]
pub struct ClientRoots {
    operators: Roots,
    named: Arc<HashMap<ClientId, Roots>>,
}

impl ClientRoots {
    /// The `operators` folders, and those that are `named` for single clients; the operator may be one of them.
    pub fn new(
        operators: Vec<PathBuf>,
        named: impl IntoIterator<Item = (ClientId, Vec<PathBuf>)>,
    ) -> Self {
        let named = named.into_iter();
        Self {
            operators: Roots::new(operators),
            named: Arc::new(
                named
                    .map(|(id, folders)| (id, Roots::new(folders)))
                    .collect(),
            ),
        }
    }

    /// The folders of a client.
    pub(super) fn of(&self, client: ClientId) -> Roots {
        match self.named.get(&client) {
            Some(named) => named.clone(),
            None if client == operator() => self.operators.clone(),
            None => Roots::new(Vec::new()),
        }
    }

    /// Every folder that anybody's media may lie in, with the library's own.
    pub(crate) fn all(&self, own: &Path) -> Roots {
        let mut folders = vec![own.to_owned()];
        for roots in [&self.operators].into_iter().chain(self.named.values()) {
            match roots.folders() {
                Some(more) => folders.extend_from_slice(more),
                None => return Roots::default(),
            }
        }
        Roots::new(folders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_client_has_the_folders_that_are_named_for_it_alone_and_the_operator_its_own() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let named = |client| [(client, vec!["/etc".into()])];
        let roots = ClientRoots::new(vec!["/usr".into()], named(ClientId::from(one)));
        let holds = |client: ClientId, path: &str| roots.of(client).hold(Path::new(path));
        assert!(holds(one.into(), "/etc/passwd") && !holds(one.into(), "/usr/bin"));
        assert!(holds(operator(), "/usr/bin") && !holds(operator(), "/etc/passwd"));
        assert!(!holds(two.into(), "/usr/bin") && !holds(two.into(), "/etc/passwd"));
        let roots_by_default = ClientRoots::default();
        assert!(roots_by_default.of(operator()).hold(Path::new("/usr")));
        assert!(!roots_by_default.of(one.into()).hold(Path::new("/usr")));
        assert!(
            roots_by_default
                .all(Path::new("/var"))
                .hold(Path::new("/usr"))
        );
        let narrowed = ClientRoots::new(vec!["/usr".into()], named(operator()));
        assert!(!narrowed.of(operator()).hold(Path::new("/usr/bin")));
        let all = roots.all(Path::new("/var"));
        assert!(
            ["/usr/bin", "/etc/passwd", "/var/x"]
                .iter()
                .all(|path| all.hold(Path::new(path)))
        );
        assert!(!all.hold(Path::new("/home")));
    }
}
