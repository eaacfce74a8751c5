//! What a crash leaves behind, and what the next start makes of it.

use std::fs;
use std::os::unix::fs::symlink;

use playout_media::ffmpeg::{self, Means};

use super::*;
use crate::process::SpawnError;

#[tokio::test]
async fn what_is_whole_is_kept_what_is_not_is_made_anew_and_strays_go() {
    let mut house = House::new().await;
    for name in ["cut.mp4", "kept.mp4", "unread.mp4"] {
        clip(&house.input().join(name), 30);
    }
    let items = house.import(&house.input()).await.accepted;
    house.ready(&items).await;
    let [cut, kept, unread] = [0, 1, 2].map(|n| items[n].id);
    // What is prepared is in the store at the latest when the queue has ended.
    house.queue.stop().await;
    let before = house.store.all_renditions().await.unwrap();
    let stray = MediaId::from(uuid::Uuid::now_v7());
    let mut house = house
        .restarted(|media| {
            let prepared = media.join("prepared").join(PROFILE.key());
            let file = fs::OpenOptions::new()
                .write(true)
                .open(prepared.join(format!("{cut}.ts")))
                .unwrap();
            file.set_len(188 * 10).unwrap();
            fs::write(prepared.join(format!("{unread}.idx")), "{").unwrap();
            fs::write(prepared.join(format!("{kept}.ts.7.part")), "half").unwrap();
            fs::write(prepared.join(format!("{stray}.ts")), "of nothing").unwrap();
            fs::write(media.join(format!("thumbnails/{stray}.jpg")), "of nothing").unwrap();
            fs::write(media.join("README"), "not ours").unwrap();
        })
        .await;
    assert!(house.library.prepared(kept, &PROFILE).is_some(), "at once");
    house.ready(&items).await;
    let expected: std::collections::BTreeSet<String> = items
        .iter()
        .flat_map(|item| ["idx", "ts"].map(|e| format!("{}.{e}", item.id)))
        .collect();
    assert_eq!(
        house.prepared_files(),
        expected.into_iter().collect::<Vec<_>>()
    );
    assert_eq!(names(&house.dir.path().join("media/thumbnails")).len(), 3);
    assert!(house.dir.path().join("media/README").exists());
    house.queue.stop().await;
    let after = house.store.all_renditions().await.unwrap();
    let of = |renditions: &[playout_store::Rendition], media| {
        renditions
            .iter()
            .find(|rendition| rendition.media_id == media)
            .map(|rendition| rendition.id)
    };
    assert_eq!(of(&after, kept), of(&before, kept));
    assert_ne!(of(&after, cut), of(&before, cut));
    assert_ne!(of(&after, unread), of(&before, unread));
}

#[tokio::test]
async fn what_was_being_prepared_is_begun_anew() {
    let tools = tempfile::tempdir().unwrap();
    let at = tools.path().display();
    let slow = stand_in(tools.path(), &format!("mkdir {at}/running; sleep 1000"));
    let house = House::with(slow, 1).await;
    clip(&house.input().join("clip.mp4"), 30);
    let items = house.import(&house.input()).await.accepted;
    until("it runs", || tools.path().join("running").exists()).await;
    let mut house = House {
        tools: Tools::default(),
        ..house
    }
    .restarted(|_| {})
    .await;
    house.ready(&items).await;
    assert_eq!(
        house.library.original(items[0].id).unwrap().path,
        items[0].path,
        "without another import"
    );
    house.queue.stop().await;
}

#[tokio::test]
async fn lost_findings_are_found_again() {
    let mut house = House::new().await;
    clip(&house.input().join("clip.mp4"), 30);
    let items = house.import(&house.input()).await.accepted;
    house.ready(&items).await;
    let mut house = house
        .restarted(|media| fs::remove_dir_all(media).unwrap())
        .await;
    assert_eq!(
        house.library.frames(items[0].id, &PROFILE),
        Some(30),
        "from what the store knows"
    );
    house.ready(&items).await;
    assert!(house.library.original(items[0].id).is_some());
    house.queue.stop().await;
}

#[tokio::test]
async fn an_original_that_is_gone_takes_nothing_with_it() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 30);
    let item = house.import_one(&path).await;
    house.ready(std::slice::from_ref(&item)).await;
    fs::remove_file(&path).unwrap();
    let house = house.restarted(|_| {}).await;
    assert_eq!(house.view(item.id).await.item.status, MediaStatus::Ready);
    assert!(house.library.prepared(item.id, &PROFILE).is_some());
    house.queue.stop().await;
}

#[tokio::test]
async fn a_file_that_became_another_is_prepared_as_it_is_now() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 10);
    let item = house.import_one(&path).await;
    house.ready(std::slice::from_ref(&item)).await;
    let mut house = house
        .restarted(|media| {
            fs::remove_dir_all(media.join("prepared")).unwrap();
            clip(&path, 40);
        })
        .await;
    house.ready(std::slice::from_ref(&item)).await;
    assert_eq!(house.library.frames(item.id, &PROFILE), Some(40));
    let known = house.library.original(item.id).unwrap().probed;
    assert_eq!(known.frames(PROFILE.frame_rate), Some(40));
    house.queue.stop().await;
}

/// The file itself, moved outside, and another one: both are exchanged for links.
#[tokio::test]
async fn a_file_exchanged_for_a_link_to_one_outside_is_not_read_any_more() {
    let mut house = House::new().await;
    let (input, outside) = (house.input(), house.dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    let names = ["moved.mp4", "other.mp4"];
    for name in names {
        clip(&input.join(name), 30);
    }
    let items = house.import(&input).await.accepted;
    house.ready(&items).await;
    let mut house = house
        .restarted(|media| {
            fs::remove_dir_all(media.join("prepared")).unwrap();
            fs::remove_dir_all(media.join("thumbnails")).unwrap();
            fs::rename(input.join("moved.mp4"), outside.join("moved.mp4")).unwrap();
            clip(&outside.join("other.mp4"), 40);
            fs::remove_file(input.join("other.mp4")).unwrap();
            for name in names {
                symlink(outside.join(name), input.join(name)).unwrap();
            }
        })
        .await;
    for _ in &items {
        let event = house.event(kind::MEDIA_FAILED).await;
        let reason = event.data["reason"].as_str().unwrap();
        assert!(reason.contains("link to a place"), "{reason}");
    }
    assert_eq!(house.prepared_files(), [""; 0]);
    let launcher = &house.library.inner.launcher;
    for item in &items {
        assert_eq!(house.view(item.id).await.item.status, MediaStatus::Failed);
        assert_eq!(
            house.library.thumbnail(&house.who, item.id).await,
            Err(OpError::NotFound("thumbnail"))
        );
        let original = house.library.original(item.id).unwrap();
        let live = ffmpeg::live(
            &original.path,
            &original.probed,
            &PROFILE,
            Means::NONE,
            0..10,
        );
        let started = launcher.spawn(launcher.spec(live, "live source")).await;
        assert!(
            matches!(started, Err(SpawnError::Outside { .. })),
            "{started:?}"
        );
    }
    house.queue.stop().await;
}

#[tokio::test]
async fn a_file_exchanged_before_its_turn_is_another_item_by_then() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 100);
    let long = house.import_one(&path).await;
    house.ready(std::slice::from_ref(&long)).await;
    let picture = house.library.thumbnail(&house.who, long.id).await.unwrap();
    // One profile is prepared, the other will be when the daemon runs again.
    let other = Profile {
        video_bitrate: BitsPerSecond(200_000),
        ..PROFILE
    };
    let mut house = house
        .restarted(|_| {
            let source = "mandelbrot=s=160x120:r=25";
            run_ffmpeg(&path, &["-f", "lavfi", "-i", source], 10);
        })
        .await;
    house.library.want(long.id, &other);
    until("both are prepared of what it is now", || {
        let frames = |profile| {
            house
                .library
                .prepared(long.id, profile)
                .map(|p| p.index.frames)
        };
        [&PROFILE, &other].map(frames) == [Some(10); 2]
    })
    .await;
    assert!(
        house.facts.recv().await == Some(LibraryFact::Changed { media: long.id }),
        "channels are told"
    );
    let size = fs::metadata(&path).unwrap().len();
    let imported = house.event(kind::MEDIA_IMPORTED).await;
    assert_eq!(
        (&imported.data["duration"], &imported.data["size"]),
        (&0.4.into(), &size.into())
    );
    let again = house.import_one(&path).await;
    let view = house.view(long.id).await.item;
    for item in [&again, &view] {
        assert_eq!((item.id, item.size), (long.id, size));
        assert_eq!(item.duration, Duration::from_millis(400));
        assert_eq!(item.probe.as_ref().unwrap().audio_codec, None);
    }
    let now = house.library.thumbnail(&house.who, long.id).await.unwrap();
    assert_ne!(now, picture, "of the file that is there");
    house.queue.stop().await;
    let stored = house.store.media(long.id).await.unwrap().unwrap();
    assert_eq!((stored.duration, stored.size), (view.duration, size));
    let house = house.restarted(|_| {}).await;
    let known = house.library.original(long.id).unwrap().probed;
    assert_eq!(known.frames(PROFILE.frame_rate), Some(10), "also on disk");
    house.queue.stop().await;
}
