//! Who this daemon is: an id that is made at the first start and kept in `data_dir`, and a name for people.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use playout_domain::NodeId;
use playout_store::NodeConfig;
use uuid::Uuid;

use crate::config::Config;

/// The name of the file in `data_dir`.
const FILE: &str = "node.id";

/// The identity of the daemon on `data_dir`, whose lock the caller holds.
///
/// # Errors
/// One sentence: the file cannot be used.
pub(super) fn identity(config: &Config, data_dir: &Path) -> Result<NodeConfig, String> {
    let file = data_dir.join(FILE);
    let cannot = |error: &dyn std::fmt::Display| {
        format!(
            "the identity of this daemon, {}, cannot be used: {error}",
            file.display()
        )
    };
    let id = match fs::read_to_string(&file) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|error: playout_domain::ids::InvalidId| cannot(&error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = NodeId::from(Uuid::now_v7());
            write(&file, id).map_err(|error| cannot(&error))?;
            id
        }
        Err(error) => return Err(cannot(&error)),
    };
    let host = || {
        nix::sys::utsname::uname()
            .ok()?
            .nodename()
            .to_str()
            .map(str::to_owned)
    };
    let name = config.node.name.clone().or_else(host);
    Ok(NodeConfig {
        id,
        name: name.unwrap_or_else(|| "playoutd".to_owned()),
        url: config.http.public_url.clone(),
        lease: config.node.lease.duration(),
    })
}

/// Whole or not at all.
fn write(file: &Path, id: NodeId) -> io::Result<()> {
    let part = file.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut made = options.open(&part)?;
    writeln!(made, "{id}")?;
    made.sync_all()?;
    fs::rename(&part, file)?;
    file.parent()
        .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_is_the_same_at_every_start_and_another_on_another_folder() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = Config::default();
        let first = identity(&config, one.path()).unwrap();
        assert_eq!(identity(&config, one.path()).unwrap(), first);
        assert_ne!(identity(&config, other.path()).unwrap().id, first.id);
        let file = one.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(!first.name.is_empty());
        fs::write(&file, "nobody").unwrap();
        let refused = identity(&config, one.path()).unwrap_err();
        assert!(refused.contains("node.id"), "{refused}");
    }
}
