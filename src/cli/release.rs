//! `playoutd release`: the operator says that a daemon does not run.

use super::{Failure, say};
use crate::config::Config;
use crate::daemon::Reached;

/// Gives up the leases of a daemon.
pub(super) async fn run(config: &Config, node: &str) -> Result<(), Failure> {
    let reached = Reached::open(config).await.map_err(Failure::Failed)?;
    let released = playout_store::release(&reached.url, node).await;
    reached.close().await;
    let released = released.map_err(|error| Failure::Failed(error.to_string()))?;
    say(&format!(
        "Node {} ({}) is released: another daemon may take its {} channels now.",
        released.name, released.id, released.channels
    ));
    Ok(())
}
