//! Media and renditions: any file name, one item a file, pages in order.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use jiff::Timestamp;
use playout_domain::limits::PlanLimits;
use playout_domain::loudness::{Found, Heard, Measured, Target};
use playout_domain::media::MediaStatus;
use playout_domain::{
    BitsPerSecond, Damage, Damaged, FrameRate, LowerRungs, MediaId, MediaItem, Profile,
    RenditionId, Resolution, Rung, Schedule, Ticks90k,
};
use playout_store::{Inserted, Principal, Rendition, StoreError, testing};
use uuid::Uuid;

use crate::given::media;

const HEARD: Heard = Heard {
    integrated: Some(-23.1),
    range: 6.0,
    true_peak: None,
};

#[tokio::test]
async fn names_of_any_bytes_are_kept_and_a_file_is_one_item_of_its_client() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let odd = OsString::from_vec(b"/media/-a 'b' \"c\"\n\xff\xfe.mp4".to_vec());
    let mut long = OsString::from("/media/");
    long.push("x/".repeat(2_000));
    for path in [odd, long, "/media/plain.mp4".into()] {
        let item = media(who.client, &path);
        assert_eq!(store.insert_media(&who, &item).await, Ok(Inserted::New));
        let read = store.media(item.id).await.unwrap().unwrap();
        assert_eq!(read.path, item.path);
        let rounded = MediaItem {
            created_at: read.created_at,
            updated_at: read.updated_at,
            ..item.clone()
        };
        assert_eq!(read, rounded);
        assert_eq!(
            store.insert_media(&who, &media(who.client, &path)).await,
            Ok(Inserted::Existing(read))
        );
    }
    assert_eq!(store.all_media().await.unwrap().len(), 3);
    assert_eq!(
        store.audit(who.client, 0, 10).await.unwrap().len(),
        3,
        "an item that was there was audited"
    );
    let other = store.client("other", &PlanLimits::UNLIMITED).await;
    let same_file = media(other.client, "/media/plain.mp4");
    assert_eq!(
        store.insert_media(&other, &same_file).await,
        Ok(Inserted::New)
    );
}

#[tokio::test]
async fn of_imports_of_one_file_at_once_one_is_new_and_the_rest_find_it() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, who) = ((*store).clone(), who.clone());
        tasks.spawn(async move {
            store
                .insert_media(&who, &media(who.client, "/media/one.mp4"))
                .await
                .unwrap()
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(
        results
            .iter()
            .filter(|inserted| **inserted == Inserted::New)
            .count(),
        1
    );
    assert_eq!(store.all_media().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_update_is_kept_and_nul_in_what_strangers_wrote_is_no_obstacle() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let mut item = media(who.client, "/media/one.mp4");
    store.insert_media(&who, &item).await.unwrap();
    item.title = "A\0B".to_owned();
    item.version += 1;
    item.status = MediaStatus::Failed;
    item.reason = Some("invalid data \0 at 7".to_owned());
    item.duration = Duration::from_secs(7);
    item.damage = vec![Damage {
        from: Ticks90k::new(90_001),
        to: Ticks90k::new(1 << 40),
        what: Damaged::Sound,
    }];
    item.loudness = vec![Measured {
        streams: vec![1, 2],
        heard: HEARD,
        found: vec![Found {
            target: Target::EBU,
            gain: 3.25,
        }],
    }];
    item.probe.as_mut().unwrap().format = "mov\0".to_owned();
    store.update_media(&item).await.unwrap();
    let read = store.media(item.id).await.unwrap().unwrap();
    assert_eq!(
        (read.title.as_str(), read.status, read.duration),
        ("A\u{fffd}B", item.status, item.duration)
    );
    assert_eq!(read.reason.as_deref(), Some("invalid data \u{fffd} at 7"));
    assert_eq!(read.damage, item.damage);
    assert_eq!(read.loudness, item.loudness);
    item.id = MediaId::from(Uuid::now_v7());
    assert_eq!(store.update_media(&item).await, Err(StoreError::NotFound));
}

#[tokio::test]
async fn pages_are_in_order_and_of_ones_own() {
    let store = testing::fresh().await;
    let (one, two) = (
        store.client("one", &PlanLimits::UNLIMITED).await,
        store.client("two", &PlanLimits::UNLIMITED).await,
    );
    for n in 0..5 {
        store
            .insert_media(&one, &media(one.client, format!("/one/{n}")))
            .await
            .unwrap();
        store
            .insert_media(&two, &media(two.client, format!("/two/{n}")))
            .await
            .unwrap();
    }
    let first = store.list_media(&one, None, 3).await.unwrap();
    let rest = store
        .list_media(&one, first.last().map(|item| item.id), 3)
        .await
        .unwrap();
    let paths: Vec<_> = first
        .iter()
        .chain(&rest)
        .map(|item| item.path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["/one/0", "/one/1", "/one/2", "/one/3", "/one/4"]);
    assert_eq!(
        store
            .list_media(&Principal::daemon(), None, 100)
            .await
            .unwrap()
            .len(),
        10
    );
}

#[tokio::test]
async fn renditions_are_one_for_each_profile_and_go_with_their_item() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let item = media(who.client, "/media/one.mp4");
    store.insert_media(&who, &item).await.unwrap();
    let profile = Profile {
        resolution: Resolution::P720,
        frame_rate: FrameRate::F23_976,
        video_bitrate: BitsPerSecond(2_500_000),
        audio_bitrate: BitsPerSecond(128_000),
        lower: LowerRungs::new(&[Rung {
            resolution: Resolution::P240,
            bitrate: BitsPerSecond(400_000),
        }])
        .unwrap(),
        treatment: playout_domain::Treatment {
            loudness: playout_domain::Loudness::default(),
            ..playout_domain::Treatment::PLAIN
        },
    };
    let mut rendition = Rendition {
        id: RenditionId::from(Uuid::now_v7()),
        media_id: item.id,
        profile,
        frames: 100,
        bytes: 5,
        created_at: Timestamp::from_second(1_795_500_000).unwrap(),
        heard: Some(HEARD),
        unneeded_since: None,
    };
    store.save_rendition(&rendition).await.unwrap();
    rendition.id = RenditionId::from(Uuid::now_v7());
    rendition.frames = 101;
    store.save_rendition(&rendition).await.unwrap();
    assert_eq!(store.all_renditions().await.unwrap(), [rendition.clone()]);
    let stranger = store.client("stranger", &PlanLimits::UNLIMITED).await;
    assert_eq!(
        store.delete_media(&stranger, item.id, None).await,
        Err(StoreError::NotFound)
    );
    store.delete_media(&who, item.id, None).await.unwrap();
    assert_eq!(
        store.delete_media(&who, item.id, None).await,
        Err(StoreError::NotFound)
    );
    assert_eq!(store.all_renditions().await.unwrap(), []);
    assert_eq!(
        store.save_rendition(&rendition).await,
        Err(StoreError::NotFound)
    );
}

/// A rotation that names an item and the item's deletion, at the same time: one of both is refused.
#[tokio::test]
async fn what_a_rotation_names_is_not_deleted_under_it() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let channel = crate::given::channel(who.client, "Races");
    let mut airtime = crate::given::airtime();
    let id = channel.id;
    airtime.schedule = Schedule::default();
    store
        .insert_channel(&who, &channel, &airtime)
        .await
        .unwrap();
    for n in 0..20 {
        let item = media(who.client, format!("/media/{n}.mp4"));
        store.insert_media(&who, &item).await.unwrap();
        airtime.schedule = Schedule::looping([item.id]);
        let (named, deleted) = tokio::join!(
            store.save_airtime(Some(&who), id, &airtime),
            store.delete_media(&who, item.id, None)
        );
        assert!(
            named.is_ok() != deleted.is_ok(),
            "one of both: {named:?} {deleted:?}"
        );
        let refused = named.err().or(deleted.err());
        assert!(
            matches!(refused, Some(StoreError::Conflict(_))),
            "{refused:?}"
        );
    }
}
