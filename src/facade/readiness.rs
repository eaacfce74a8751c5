//! `/healthz`: the process answers. `/readyz`: the daemon can do its work.
//!
//! Ready means that the channels are up, PostgreSQL answers, and there is room on the daemon's disk: without room
//! nothing can be prepared, spooled or recorded. Without Redis everything works, only slower, so its state is told
//! and decides nothing. Nor does a channel that is stored damaged: the others are on air.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use playout_actors::stores;
use playout_store::{Condition, Server};
use serde_json::json;
use warp::http::Method;
use warp::reply::Response;

use super::Facade;
use super::answer;
use super::api::{self, Asked};
use super::problem::Problem;
use super::request::Request;

/// With less free space than this there is none: PostgreSQL grows its log by as much at a time.
const LEAST_ROOM: u64 = 16 << 20;

pub(super) fn healthz(request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    answer::ok(&json!({ "status": "ok" }))
}

pub(super) async fn readyz(facade: &Facade, request: &Request) -> Result<Response, Problem> {
    if let Asked::Options(response) = api::method(request, &[Method::GET])? {
        return Ok(response);
    }
    let [] = request.query([])?;
    let app = facade.app()?;
    let data_dir = facade.settings.data_dir.clone();
    let room = tokio::task::spawn_blocking(move || has_room(&data_dir, LEAST_ROOM)).await;
    let room = room.unwrap_or(false);
    let store = &app.store;
    let condition = |server| store.condition(server).borrow().clone();
    let (postgres, redis) = (condition(Server::Postgres), condition(Server::Redis));
    let parts = json!({
        "postgres": postgres.works(),
        "redis": redis.works(),
        "conditions": { "postgres": stores::name(&postgres), "redis": stores::name(&redis) },
        "disk": room,
        "diskStage": app.disk.view().stage.name(),
        "quarantinedChannels": app.channels.quarantined(),
        "journaledOrders": store.journaled(),
        "node": { "id": store.node().id, "name": store.node().name, "alone": store.is_alone() },
        "telemetry": app.telemetry.view(),
    });
    if store.writable().is_err() {
        return Err(Problem::not_ready(read_only(&postgres), parts));
    }
    if !room {
        let detail = "There is no room left on the disk of the daemon's data.";
        return Err(Problem::not_ready(detail, parts));
    }
    answer::ok(&json!({ "status": "ready", "parts": parts }))
}

/// Why nothing can be changed, as everybody may know it.
pub(super) fn read_only(postgres: &Condition) -> &'static str {
    match postgres {
        Condition::Full(_) => {
            "PostgreSQL takes nothing new, so nothing can be changed until it does; channels on air go on."
        }
        Condition::Works => {
            "PostgreSQL is back, and nothing can be changed until what it has is taken up; channels on air go on."
        }
        Condition::Away(_) => {
            "PostgreSQL does not answer, so nothing can be changed until it does; channels on air go on."
        }
    }
}

/// Whether the disk of `folder` has `least` bytes free. One that does not tell is not to blame. Blocks.
fn has_room(folder: &Path, least: u64) -> bool {
    match statvfs(folder) {
        Ok(disk) if disk.blocks() > 0 => disk.blocks_available() * disk.fragment_size() >= least,
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the disk cannot be looked at");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_the_disk_has_free() {
        let folder = std::env::temp_dir();
        assert!(has_room(&folder, 1));
        assert!(!has_room(&folder, u64::MAX));
        assert!(has_room(Path::new("/proc"), 1), "it has no blocks at all");
        assert!(!has_room(Path::new("/nowhere"), 0));
    }
}
