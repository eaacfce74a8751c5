//! The queue on a disk without room.

use super::*;

/// An FFmpeg that waits for a word before it prepares.
pub(super) fn waiting(folder: &Path) -> Tools {
    let at = folder.display();
    let script = format!(
        "mkdir {at}/begun.$$; while [ ! -e {at}/go ]; do sleep 0.02; done; exec ffmpeg \"$@\""
    );
    stand_in(folder, &script)
}

/// The processes that have begun.
pub(super) fn begun(folder: &Path) -> Vec<String> {
    let names = names(folder).into_iter();
    names
        .filter_map(|name| Some(name.strip_prefix("begun.")?.to_owned()))
        .collect()
}

/// What the view says of an item's only rendition.
async fn rendition(house: &House, item: &MediaItem) -> RenditionView {
    house.view(item.id).await.renditions.remove(0)
}

#[tokio::test]
async fn a_paused_queue_stops_what_runs_leaves_nothing_and_goes_on() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(waiting(tools.path()), 2).await;
    let path = house.input().join("clip.mp4");
    clip(&path, 5);
    let item = house.import_one(&path).await;
    until("it runs", || begun(tools.path()).len() == 1).await;
    house.library.set_room(Room {
        paused: true,
        spare: 0,
    });
    until("its process is gone", || {
        begun(tools.path()).iter().all(|pid| !lives(pid))
    })
    .await;
    let prepared = house.dir.path().join("media/prepared");
    let left = || {
        let folders = names(&prepared);
        let files = folders
            .iter()
            .flat_map(|folder| names(&prepared.join(folder)));
        files.count()
    };
    until("nothing is left of it", || left() == 0).await;
    let reason = || {
        let room = *house.library.inner.room.borrow();
        let view = house.library.inner.read(|all| all.view(item.id, room));
        let rendition = view.unwrap().renditions.remove(0);
        let waits = rendition.status == JobState::Waiting;
        rendition.reason.filter(|_| waits)
    };
    until("it says what it waits for", || {
        reason().as_deref() == Some("It waits for room on the daemon's disk.")
    })
    .await;
    std::fs::write(tools.path().join("go"), "").unwrap();
    assert_eq!(begun(tools.path()).len(), 1, "nothing begins meanwhile");
    house.library.set_room(Room::UNLIMITED);
    house.ready(std::slice::from_ref(&item)).await;
    assert_eq!(begun(tools.path()).len(), 2, "it began anew");
    house.queue.stop().await;
}

#[tokio::test]
async fn what_would_not_fit_waits_and_lets_others_go_first() {
    let mut house = House::new().await;
    let spare = |spare| Room {
        paused: false,
        spare,
    };
    // A second takes some 55 kB in this profile.
    house.library.set_room(spare(60_000));
    let at = |name: &str| house.input().join(name);
    let (long, short) = (at("long.mp4"), at("short.mp4"));
    clip(&long, 75);
    clip(&short, 10);
    let long = house.import_one(&long).await;
    let short = house.import_one(&short).await;
    house.ready(std::slice::from_ref(&short)).await;
    let view = rendition(&house, &long).await;
    assert_eq!(view.status, JobState::Waiting);
    assert!(view.reason.is_some());
    house.library.set_room(spare(600_000));
    house.ready(&[long]).await;
    house.queue.stop().await;
}
