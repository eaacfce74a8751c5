//! The order of the queue, what people say about it, and what becomes of what nobody needs.

use std::collections::BTreeMap;
use std::fs;

use playout_domain::channel::Channel;
use playout_domain::config::ChannelConfig;
use playout_domain::ids::ChannelId;
use playout_domain::limits::PlanLimits;
use playout_domain::plan::Plan;
use playout_domain::prepare::{JobId, JobOrder};
use playout_domain::schedule::Schedule;
use playout_domain::units::{Ticks90k, Timeline};
use playout_store::Airtime;

use super::pausing::{begun, waiting};
use super::preparing::{obedient, running};
use super::*;

fn channel() -> ChannelId {
    uuid::Uuid::now_v7().into()
}

/// What a channel needs: each item with how many seconds from now it is due.
pub(super) fn needs(items: &[(&MediaItem, i64)]) -> BTreeMap<MediaId, Need> {
    let now = jiff::Timestamp::now();
    let each = items.iter().zip(0..).map(|((item, second), place)| {
        let due = Some(now + jiff::SignedDuration::from_secs(*second));
        (item.id, Need { due, place })
    });
    each.collect()
}

fn job(item: &MediaItem) -> JobId {
    JobId::new(item.id, PROFILE.key())
}

impl House {
    fn job(&self, item: &MediaItem) -> JobView {
        self.library.job(&self.who, &job(item)).unwrap()
    }

    async fn order(&self, item: &MediaItem, order: JobOrder) -> JobView {
        let done = self.library.order_job(&self.who, &job(item), order).await;
        done.unwrap()
    }

    /// Why an order is refused.
    async fn refused(&self, item: &MediaItem, order: JobOrder) -> String {
        match self.library.order_job(&self.who, &job(item), order).await {
            Err(OpError::Conflict { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    /// What waits, in order.
    fn queued(&self) -> Vec<MediaId> {
        let jobs = self
            .library
            .jobs(&self.who, Some(JobState::Waiting), None, 100);
        let places: Vec<_> = jobs.iter().map(|(view, _)| view.place).collect();
        assert_eq!(places, (1..=jobs.len()).map(Some).collect::<Vec<_>>());
        jobs.iter().map(|(view, _)| view.media_id).collect()
    }

    /// Small clips that are items, the oldest first.
    async fn clips(&self, count: usize) -> Vec<MediaItem> {
        let mut items = Vec::new();
        for n in 0..count {
            let path = self.input().join(format!("{n}.mp4"));
            clip(&path, 5);
            items.push(self.import_one(&path).await);
        }
        items
    }
}

#[tokio::test]
async fn what_is_on_air_soonest_comes_first_then_what_is_asked_for_then_the_oldest() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(obedient(tools.path()), 1).await;
    let items = house.clips(5).await;
    until("the first runs", || {
        house.job(&items[0]).status == JobState::Preparing
    })
    .await;
    let [a, b, c, d] = [1, 2, 3, 4].map(|n| &items[n]);
    let ids = |items: &[&MediaItem]| -> Vec<MediaId> { items.iter().map(|item| item.id).collect() };
    assert_eq!(house.queued(), ids(&[a, b, c, d]));
    let (one, other) = (channel(), channel());
    house
        .library
        .need(one, &PROFILE, &needs(&[(c, 100), (d, 50)]));
    house.library.need(other, &PROFILE, &needs(&[(c, 20)]));
    assert_eq!(house.queued(), ids(&[c, d, a, b]));
    let view = house.job(c);
    assert_eq!(
        (view.channel_id, view.place, view.by_hand),
        (Some(other), Some(1), false)
    );
    assert!(view.due.is_some());
    let moved = house.order(b, JobOrder::Next).await;
    assert_eq!((moved.place, moved.by_hand), (Some(1), true));
    // What nobody shows any more sinks.
    house.library.need(other, &PROFILE, &BTreeMap::new());
    assert_eq!(house.queued(), ids(&[b, d, c, a]));
    house.library.need(other, &PROFILE, &needs(&[(a, 5)]));
    assert_eq!(house.queued(), ids(&[a, b, d, c]));
    // A page begins behind a place.
    let jobs = |after: Option<&JobCursor>| house.library.jobs(&house.who, None, after, 2);
    let first = jobs(None);
    let second = jobs(Some(&first[1].1));
    let listed: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|(view, _)| view.media_id)
        .collect();
    assert_eq!(listed, ids(&[&items[0], a, b, d]));
    assert_eq!(second[0].0.place, Some(2));

    let mut began: Vec<MediaId> = Vec::new();
    for _ in 0..5 {
        until("one runs", || running(tools.path()).len() == 1).await;
        fs::create_dir(tools.path().join("one")).unwrap();
        let failed = house.event(kind::MEDIA_FAILED).await;
        began.push(failed.data["id"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(began, ids(&[&items[0], a, b, d, c]));
    let view = house.job(c);
    assert_eq!((view.status, view.attempts), (JobState::Failed, 1));
    assert!(view.reason.is_some());
    assert_eq!(house.library.queue(&house.who).counts["failed"], 5);
    let again = house.order(d, JobOrder::Retry).await;
    assert!(
        matches!(again.status, JobState::Waiting | JobState::Preparing),
        "{again:?}"
    );
    house.queue.stop().await;
}

#[tokio::test]
async fn what_is_paused_or_cancelled_ends_leaves_nothing_and_stays_so_until_somebody_says() {
    let tools = tempfile::tempdir().unwrap();
    let mut house = House::with(waiting(tools.path()), 2).await;
    let items = house.clips(4).await;
    let [paused, cancelled, third, fourth] = [0, 1, 2, 3].map(|n| &items[n]);
    until("two run", || begun(tools.path()).len() == 2).await;
    let pids = begun(tools.path());
    assert_eq!(
        house.order(paused, JobOrder::Pause).await.status,
        JobState::Paused
    );
    assert_eq!(
        house.order(paused, JobOrder::Pause).await.status,
        JobState::Paused,
        "it is"
    );
    assert_eq!(
        house.order(cancelled, JobOrder::Cancel).await.status,
        JobState::Cancelled
    );
    until("both have ended", || pids.iter().all(|pid| !lives(pid))).await;
    until("the others have their turn", || {
        begun(tools.path()).len() == 4
    })
    .await;
    house.order(fourth, JobOrder::Pause).await;
    assert!(
        house
            .refused(cancelled, JobOrder::Next)
            .await
            .contains("retry it first")
    );
    assert!(
        house
            .refused(paused, JobOrder::Next)
            .await
            .contains("resume it first")
    );
    // Neither a channel nor another import begins them.
    let shown = needs(&[(paused, 5), (cancelled, 5)]);
    let one = channel();
    house.library.need(one, &PROFILE, &shown);
    house.library.want(cancelled.id, &PROFILE);
    assert_eq!(house.queued(), []);
    assert!(
        house.library.original(cancelled.id).is_some(),
        "it plays live"
    );
    house.library.need(one, &PROFILE, &BTreeMap::new());

    fs::write(tools.path().join("go"), "").unwrap();
    house.ready(std::slice::from_ref(third)).await;
    let left = || {
        house
            .prepared_files()
            .iter()
            .all(|file| file.contains(&third.id.to_string()))
    };
    until("nothing else is left", left).await;
    assert!(
        house
            .refused(third, JobOrder::Pause)
            .await
            .contains("what is ready cannot be paused")
    );
    let operations = house.store.audit(house.who.client, 0, 100).await.unwrap();
    let operations: Vec<_> = operations
        .iter()
        .map(|entry| entry.operation.as_str())
        .collect();
    let expected = ["prepare.pause", "prepare.cancel", "prepare.pause"];
    let said: Vec<_> = operations
        .into_iter()
        .filter(|told| told.starts_with("prepare."))
        .collect();
    assert_eq!(said, expected);

    // Also after a crash, and for another file in the same place.
    let mut house = house.restarted(|_| {}).await;
    assert_eq!(house.job(paused).status, JobState::Paused);
    assert_eq!(house.job(cancelled).status, JobState::Cancelled);
    clip(&cancelled.path, 9);
    house.import_one(&cancelled.path).await;
    assert_eq!(house.job(cancelled).status, JobState::Cancelled);
    assert_eq!(house.queued(), []);
    house.order(paused, JobOrder::Resume).await;
    house.order(cancelled, JobOrder::Retry).await;
    house.ready(&[paused.clone(), cancelled.clone()]).await;
    house.order(fourth, JobOrder::Cancel).await;
    testing::until("what was said is done with", async || {
        house.store.prepare_marks().await.unwrap().len() == 1
    })
    .await;
    let totals = house.library.queue(&house.who);
    assert_eq!((totals.counts["ready"], totals.counts["cancelled"]), (3, 1));
    assert_eq!(totals.percent, 100.0, "{totals:?}");
    house.queue.stop().await;
}

#[tokio::test]
async fn the_whole_queue_waits_over_a_restart_and_each_client_knows_its_own() {
    let house = House::new().await;
    house.library.pause_queue(&house.who, true).await.unwrap();
    let items = house.clips(2).await;
    let house = house.restarted(|_| {}).await;
    let totals = house.library.queue(&house.who);
    assert!(totals.paused && totals.eta_seconds.is_none());
    assert_eq!((totals.counts["waiting"], totals.percent), (2, 0.0));
    let other = house.store.client("other", &PlanLimits::UNLIMITED).await;
    assert_eq!(house.library.queue(&other).counts["waiting"], 0);
    assert_eq!(house.library.jobs(&other, None, None, 10), []);
    let theirs = house
        .library
        .order_job(&other, &job(&items[0]), JobOrder::Cancel)
        .await;
    assert_eq!(theirs, Err(OpError::NotFound("media")));
    let unknown = JobId::new(items[0].id, "720p25-1k-v1");
    let unknown = house
        .library
        .order_job(&house.who, &unknown, JobOrder::Retry)
        .await;
    assert_eq!(unknown, Err(OpError::NotFound("rendition")));
    let mut house = house;
    house.library.pause_queue(&house.who, false).await.unwrap();
    house.ready(&items).await;
    house.queue.stop().await;
}

#[tokio::test]
async fn another_profile_prepares_what_is_missing_in_it_and_ends_what_nobody_needs() {
    let tools = tempfile::tempdir().unwrap();
    let house = House::with(obedient(tools.path()), 1).await;
    house.library.pause_queue(&house.who, true).await.unwrap();
    let items = house.clips(2).await;
    let wide = |rate| Profile {
        video_bitrate: BitsPerSecond(rate),
        ..PROFILE
    };
    let (old, new, one) = (wide(200_000), wide(400_000), channel());
    house
        .library
        .need(one, &old, &needs(&[(&items[0], 5), (&items[1], 9)]));
    house.library.pause_queue(&house.who, false).await.unwrap();
    until("it runs", || !running(tools.path()).is_empty()).await;
    let pid = running(tools.path()).remove(0);
    let profiles = |item: &MediaItem| -> Vec<String> {
        let view = house
            .library
            .inner
            .read(|all| all.view(item.id, Room::UNLIMITED));
        view.unwrap()
            .renditions
            .into_iter()
            .map(|r| r.profile)
            .collect()
    };
    assert_eq!(profiles(&items[0]), [old.key(), PROFILE.key()]);
    house
        .library
        .need(one, &new, &needs(&[(&items[1], 5), (&items[0], 9)]));
    until("what nobody needs has ended", || !lives(&pid)).await;
    for item in &items {
        assert_eq!(profiles(item), [PROFILE.key(), new.key()]);
    }
    let runs = || {
        house
            .library
            .jobs(&house.who, Some(JobState::Preparing), None, 9)
    };
    until("the other runs", || !runs().is_empty()).await;
    let (view, _) = runs().remove(0);
    assert_eq!((view.media_id, view.profile), (items[1].id, new.key()));
    house.queue.stop().await;
}

#[tokio::test]
async fn what_nobody_needs_is_removed_after_its_grace_or_for_room_and_never_what_a_channel_names() {
    let mut house = House::new().await;
    let item = house.clips(1).await.remove(0);
    let config = ChannelConfig::named("Films");
    let (profile, one) = (Profile::of(&config, Default::default()), channel());
    let library = house.library.clone();
    let is_there = || library.prepared(item.id, &profile).is_some();
    library.need(one, &profile, &needs(&[(&item, 5)]));
    house.ready(std::slice::from_ref(&item)).await;
    until("it is prepared for the channel", is_there).await;
    let file = library.prepared(item.id, &profile).unwrap().path;
    let store = (*house.store).clone();
    let rows = async || store.all_renditions().await.unwrap();
    testing::until("the store knows", async || rows().await.len() == 2).await;
    let began = jiff::Timestamp::now();
    let collect = async |minutes: i64| {
        let now = began + jiff::SignedDuration::from_mins(minutes);
        library.inner.collect(now).await;
    };
    collect(0).await;
    collect(600).await;
    assert!(is_there(), "a channel needs it");

    // Nobody here; but a channel that is not here.
    library.need(one, &profile, &BTreeMap::new());
    let airtime = Airtime {
        timeline: Timeline {
            epoch: began,
            frame_rate: config.frame_rate,
            clock_origin: Ticks90k::new(0),
        },
        plan: Plan::default(),
        schedule: Schedule::looping([item.id]),
    };
    let elsewhere = Channel {
        id: channel(),
        client_id: house.who.client,
        config,
        life: Default::default(),
        version: 1,
        created_at: began,
        updated_at: began,
    };
    store
        .insert_channel(&house.who, &elsewhere, &airtime)
        .await
        .unwrap();
    for minutes in [700, 800] {
        collect(minutes).await;
    }
    assert_eq!(library.make_room(1).await, 0);
    assert!(is_there());
    store
        .delete_channel(&house.who, elsewhere.id, None)
        .await
        .unwrap();
    collect(900).await;
    collect(930).await;
    assert!(is_there(), "within its grace");
    testing::until("since when is written", async || {
        rows().await.iter().any(|row| row.unneeded_since.is_some())
    })
    .await;
    collect(961).await;
    assert!(!is_there() && !file.exists() && !file.with_extension("idx").exists());
    assert_eq!(
        rows().await.len(),
        1,
        "what is prepared for everybody stays"
    );
    let event = house.event(kind::MEDIA_COLLECTED).await;
    assert_eq!(event.data["profile"], profile.key());

    // Once more, for want of room.
    library.need(one, &profile, &needs(&[(&item, 5)]));
    until("it is prepared again", is_there).await;
    assert_eq!(library.make_room(1).await, 0);
    library.need(one, &profile, &BTreeMap::new());
    assert!(library.make_room(1).await > 1);
    assert!(!is_there() && !file.exists());
    assert!(library.prepared(item.id, &PROFILE).is_some());
    house.queue.stop().await;
}
