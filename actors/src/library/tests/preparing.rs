//! The queue: what it makes, how much at once, and what becomes of it when it fails.

use std::fs;
use std::io;

use playout_media::demux::Demuxer;
use playout_media::index::ITEM_START;

use super::super::job::Failure;
use super::*;

#[tokio::test]
async fn a_prepared_item_is_complete_exact_and_announced() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 60);
    let item = house.import_one(&path).await;
    assert!(house.library.is_playable(item.id));
    assert_eq!(
        house.library.frames(item.id, &PROFILE),
        Some(60),
        "estimated from the probe"
    );
    assert_eq!(house.library.original(item.id).unwrap().path, path);

    assert_eq!(
        house.event(kind::MEDIA_IMPORTED).await.data["id"],
        item.id.to_string()
    );
    let progress = house.event(kind::MEDIA_PROGRESS).await;
    assert!(progress.data["measuredPercent"].is_null());
    assert!(
        progress.data["percent"].as_f64().unwrap() > 0.0,
        "{progress:?}"
    );
    assert!(progress.data["etaSeconds"].is_u64());
    assert_eq!(
        house.event(kind::MEDIA_READY).await.data["profile"],
        PROFILE.key()
    );
    let fact = house.facts.recv().await.unwrap();
    assert_eq!(
        fact,
        LibraryFact::Prepared {
            media: item.id,
            profile: Box::new(PROFILE)
        }
    );

    let Prepared {
        path: prepared,
        index,
        ..
    } = house.library.prepared(item.id, &PROFILE).unwrap();
    let bytes = fs::read(&prepared).unwrap();
    assert_eq!((index.frames, index.bytes), (60, bytes.len() as u64));
    let mut demuxer = Demuxer::starting_at(ITEM_START);
    demuxer.push(&bytes).unwrap();
    demuxer.finish(true).unwrap();
    let frames: u32 = std::iter::from_fn(|| demuxer.next_gop())
        .map(|gop| gop.frames)
        .sum();
    assert_eq!(frames, 60);
    assert_eq!(
        house.prepared_files(),
        [format!("{}.idx", item.id), format!("{}.ts", item.id)]
    );

    until("the store knows", || {
        house.library.inner.write(Catalogue::take_unsaved).is_none()
    })
    .await;
    house.queue.stop().await;
    let renditions = house.store.all_renditions().await.unwrap();
    assert_eq!((renditions.len(), renditions[0].frames), (1, 60));
    assert_eq!(
        house.store.media(item.id).await.unwrap().unwrap().status,
        MediaStatus::Ready
    );
}

/// A transport stream whose clock jumps by hours in the middle is not as long as that.
#[tokio::test]
async fn what_is_prepared_is_as_long_as_it_is_and_not_as_its_file_says() {
    let mut house = House::new().await;
    let path = house.input().join("jump.ts");
    let source = ["-f", "lavfi", "-i", "testsrc=s=160x120:r=25"];
    let mut joined = Vec::new();
    for (name, offset) in [("a", "0"), ("b", "75000")] {
        let part = house.dir.path().join(name);
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-loglevel", "error"])
            .args(source)
            .args([
                "-frames:v",
                "125",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
            ])
            .args(["-output_ts_offset", offset, "-f", "mpegts"])
            .arg(&part);
        assert!(command.status().unwrap().success());
        joined.extend(fs::read(part).unwrap());
    }
    fs::write(&path, joined).unwrap();
    let item = house.import_one(&path).await;
    assert!(item.duration > Duration::from_secs(75_000), "{item:?}");
    let ready = house.event(kind::MEDIA_READY).await;
    let frames = house
        .library
        .prepared(item.id, &PROFILE)
        .unwrap()
        .index
        .frames;
    assert!(frames < 1_000, "{frames}");
    let length = PROFILE.frame_rate.duration(frames);
    assert_eq!(house.view(item.id).await.item.duration, length);
    let other = Profile {
        frame_rate: FrameRate::F50,
        ..PROFILE
    };
    assert_eq!(house.library.frames(item.id, &other), Some(frames * 2));
    assert_eq!(ready.data["duration"], length.as_secs_f64());
    house.queue.stop().await;
    let stored = house.store.media(item.id).await.unwrap().unwrap();
    assert_eq!(stored.duration, length);
    // What an earlier daemon has written is put right.
    house.store.update_media(&item).await.unwrap();
    let house = house.restarted(|_| {}).await;
    assert_eq!(house.view(item.id).await.item.duration, length);
    house.queue.stop().await;
}

#[tokio::test]
async fn an_item_has_a_picture() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 20);
    let item = house.import_one(&path).await;
    let jpeg = house.library.thumbnail(&house.who, item.id).await.unwrap();
    assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]));
    house.ready(std::slice::from_ref(&item)).await;
    fs::remove_file(&path).unwrap();
    assert_eq!(
        house.library.thumbnail(&house.who, item.id).await,
        Ok(jpeg),
        "kept"
    );
    house.queue.stop().await;
}

/// A stand-in that says that it has begun by a folder with its pid, and goes on when told, one by one or all: it
/// may not write files.
pub(super) fn obedient(folder: &Path) -> Tools {
    let at = folder.display();
    stand_in(
        folder,
        &format!(
            "mkdir {at}/running.$$; while [ ! -e {at}/go ] && ! rmdir {at}/one 2>/dev/null; do sleep 0.02; done; rmdir {at}/running.$$; exit 1"
        ),
    )
}

pub(super) fn running(folder: &Path) -> Vec<String> {
    names(folder)
        .iter()
        .filter_map(|name| Some(name.strip_prefix("running.")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn so_many_are_prepared_at_once_and_what_a_channel_wants_comes_first() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(obedient(tools.path()), 2).await;
    for n in 0..5 {
        clip(&house.input().join(format!("{n}.mp4")), 5);
    }
    let items = house.import(&house.input()).await.accepted;
    until("two run", || running(tools.path()).len() == 2).await;
    let wanted = Profile {
        video_bitrate: BitsPerSecond(200_000),
        ..PROFILE
    };
    let needs = queueing::needs(&[(&items[4], 60)]);
    for _ in 0..2 {
        house
            .library
            .need(uuid::Uuid::now_v7().into(), &wanted, &needs);
    }
    let status =
        |view: &MediaView| -> Vec<JobState> { view.renditions.iter().map(|r| r.status).collect() };
    assert_eq!(
        status(&house.view(items[4].id).await),
        [JobState::Waiting; 2]
    );
    let preparing = |house: &House| {
        let views = house
            .library
            .inner
            .read(|catalogue| catalogue.list(None, 10, Room::UNLIMITED, |_| true));
        let all = views.iter().flat_map(|view| &view.renditions);
        all.filter(|rendition| rendition.status == JobState::Preparing)
            .count()
    };
    assert_eq!(preparing(&house), 2);
    // The first turn that is free.
    fs::create_dir(tools.path().join("one")).unwrap();
    house.event(kind::MEDIA_FAILED).await;
    until("two run again", || preparing(&house) == 2).await;
    let view = house.view(items[4].id).await;
    let asked = view.renditions.iter().find(|r| r.profile == wanted.key());
    assert_eq!(
        asked.map(|r| r.status),
        Some(JobState::Preparing),
        "before what nobody asked for: {view:?}"
    );
    fs::create_dir(tools.path().join("go")).unwrap();
    for _ in 0..5 {
        house.event(kind::MEDIA_FAILED).await;
        assert!(preparing(&house) <= 2);
    }
    house.queue.stop().await;
}

#[tokio::test]
async fn what_cannot_be_prepared_has_a_reason_leaves_nothing_and_plays_live() {
    let noise = "head -c 3000 /dev/zero; exit 0";
    let broken = "echo '[h264 @ 0x1] out of paper' >&2; exit 3";
    let silent = "exit 4";
    let killed = "kill -9 $$";
    let nothing = "exit 0";
    for (script, words) in [
        (noise, "not a transport stream"),
        (broken, "FFmpeg could not prepare it: out of paper."),
        (silent, "FFmpeg exited with code 4"),
        (killed, "SIGKILL"),
        (nothing, "No picture"),
    ] {
        let tools = tempfile::tempdir().unwrap();
        let mut house = House::with(stand_in(tools.path(), script), 1).await;
        let path = house.input().join("clip.mp4");
        clip(&path, 5);
        let item = house.import_one(&path).await;
        let event = house.event(kind::MEDIA_FAILED).await;
        let reason = event.data["reason"].as_str().unwrap().to_owned();
        assert!(
            reason.contains(words) && reason.ends_with('.'),
            "{script}: {reason}"
        );
        let view = house.view(item.id).await;
        assert_eq!(
            (view.item.status, view.item.reason),
            (MediaStatus::Failed, Some(reason))
        );
        assert!(house.library.original(item.id).is_some());
        assert!(
            !house
                .library
                .inner
                .write(|catalogue| catalogue.want(item.id, &PROFILE)),
            "not at once again"
        );
        until("nothing is left", || house.prepared_files().is_empty()).await;
        house.queue.stop().await;
    }
}

#[tokio::test]
async fn an_ffmpeg_that_hangs_is_killed() {
    let tools = tempfile::tempdir().unwrap();
    let house = House::with(obedient(tools.path()), 1).await;
    let mut house = House {
        hung: Duration::from_millis(500),
        ..house
    }
    .restarted(|_| {})
    .await;
    let path = house.input().join("clip.mp4");
    clip(&path, 5);
    house.import_one(&path).await;
    until("it runs", || !running(tools.path()).is_empty()).await;
    let pid = running(tools.path()).remove(0);
    let event = house.event(kind::MEDIA_FAILED).await;
    assert!(
        event.data["reason"]
            .as_str()
            .unwrap()
            .contains("no progress"),
        "{event:?}"
    );
    until("it is dead", || !lives(&pid)).await;
    house.queue.stop().await;
}

#[tokio::test]
async fn no_ffmpeg_outlives_the_queue() {
    let tools = tempfile::tempdir().unwrap();
    let house = House::with(obedient(tools.path()), 1).await;
    let path = house.input().join("clip.mp4");
    clip(&path, 5);
    house.import_one(&path).await;
    until("it runs", || !running(tools.path()).is_empty()).await;
    let pid = running(tools.path()).remove(0);
    house.queue.stop().await;
    until("it is dead", || !lives(&pid)).await;
    until("nothing is left", || house.prepared_files().is_empty()).await;
    let import = house.library.import(&house.who, &house.input()).await;
    assert!(
        matches!(import, Err(OpError::Unavailable { .. })),
        "{import:?}"
    );
}

#[tokio::test]
async fn what_is_in_use_stays_and_what_is_deleted_is_gone_with_all_that_was_made_of_it() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 5);
    let item = house.import_one(&path).await;
    house.ready(std::slice::from_ref(&item)).await;
    house.library.set_in_use(|_| Some("Cartoons".to_owned()));
    let error = house
        .library
        .delete(&house.who, item.id, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, OpError::Conflict { .. }) && error.to_string().contains("Cartoons"),
        "{error}"
    );
    house.library.set_in_use(|_| None);
    house
        .library
        .delete(&house.who, item.id, None)
        .await
        .unwrap();
    assert_eq!(
        house.library.get(&house.who, item.id).await,
        Err(OpError::NotFound("media"))
    );
    let facts = [
        LibraryFact::Prepared {
            media: item.id,
            profile: Box::new(PROFILE),
        },
        LibraryFact::Removed { media: item.id },
    ];
    for fact in facts {
        assert_eq!(house.facts.recv().await, Some(fact));
    }
    let media = house.dir.path().join("media");
    for folder in ["thumbnails", "findings"] {
        assert_eq!(names(&media.join(folder)), [""; 0], "{folder}");
    }
    assert_eq!(house.prepared_files(), [""; 0]);
    assert!(path.exists());
    assert_eq!(house.store.all_media().await.unwrap(), []);
    house.queue.stop().await;
}

#[tokio::test]
async fn deleting_an_item_ends_the_job_that_works_on_it() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(obedient(tools.path()), 1).await;
    let [one, two] = ["one.mp4", "two.mp4"].map(|name| house.input().join(name));
    clip(&one, 5);
    clip(&two, 5);
    let first = house.import_one(&one).await;
    until("the first runs", || !running(tools.path()).is_empty()).await;
    let second = house.import_one(&two).await;
    let pid = running(tools.path()).remove(0);
    house
        .library
        .delete(&house.who, first.id, None)
        .await
        .unwrap();
    until("it is dead", || !lives(&pid)).await;
    fs::create_dir(tools.path().join("go")).unwrap();
    let next = house.event(kind::MEDIA_FAILED).await;
    assert_eq!(
        next.data["id"],
        second.id.to_string(),
        "the place is given to the next"
    );
    house.queue.stop().await;
}

#[test]
fn a_full_disk_is_named() {
    let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!(
        full.0,
        "There is no room left on the disk for the prepared file."
    );
}
