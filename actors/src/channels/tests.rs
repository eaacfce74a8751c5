//! A channel's actor on a real store, with nothing to play but the slate.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use playout_domain::admission::Cost;
use playout_domain::ids::MediaId;
use playout_domain::lifecycle::Generation;
use playout_domain::schedule::Edit;
use playout_store::testing::{self, TestStore, until};
use serde_json::json;
use tempfile::TempDir;

use super::actor::Msg;
use super::*;
use crate::app::{App, AppConfig};
use crate::hub::{Filter, kind};
use crate::playout::{Fact, PlayoutSettings, SourceKind};
use crate::process::Tools;
use crate::rtmp::{Reach, RtmpSettings, SessionLimits, TrustRoots};

const DAY: Duration = Duration::from_secs(86_400);

/// The living tier in a folder of its own.
struct House {
    app: App,
    store: TestStore,
    _dir: TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = testing::fresh().await;
        let config = AppConfig {
            data_dir: dir.path().to_owned(),
            tools: Tools::default(),
            playout: PlayoutSettings {
                source: SourceKind::Ffmpeg,
                buffer: 8,
                clock_origin: 0,
                target_duration: 4,
                window: 10,
                font: PathBuf::new(),
            },
            policy: Default::default(),
            webhooks: Default::default(),
            as_run_kept: Duration::from_secs(86_400),
            grace: Duration::ZERO,
            capacity: Cost {
                cpu: 100_000,
                memory: 1 << 40,
            },
            alerts: Default::default(),
            rtmp: RtmpSettings {
                reach: Reach::Anywhere,
                authorities: "/etc/ssl/certs/ca-certificates.crt".into(),
                roots: TrustRoots::nobody(),
                stalled_after: Duration::from_secs(10),
                suspended_retry: Duration::from_secs(300),
                sessions: SessionLimits {
                    youtube: DAY,
                    facebook: DAY,
                    twitch: DAY,
                    custom: DAY,
                },
                far_end: Default::default(),
            },
            media_roots: Default::default(),
            intake: Default::default(),
            prepare_jobs: 1,
            collect_after: Duration::from_secs(600),
            default_profile: None,
            allowances: Default::default(),
            cgroups: None,
            disk: playout_domain::disk::Thresholds {
                spool: 0,
                prepare: 0,
                alert: 0,
            },
        };
        let app = App::start(config, (*store).clone()).await.unwrap();
        Self {
            app,
            store,
            _dir: dir,
        }
    }

    async fn end(self) {
        self.app.shutdown().await;
        drop(self.store);
    }
}

#[tokio::test]
async fn what_an_earlier_playout_says_changes_nothing() {
    let house = House::new().await;
    let (channels, who) = (&house.app.channels, Principal::daemon());
    let config = json!({ "name": "Slate", "resolution": "240p" });
    let id = channels.create(&who, &config).await.unwrap().id;
    channels.operate(&who, id, Operation::Start).await.unwrap();
    let live = async || {
        let status = channels.status(&who, id).await.unwrap();
        status.status == playout_domain::ChannelStatus::Live
    };
    until("it is LIVE", live).await;
    channels
        .operate(&who, id, Operation::Restart)
        .await
        .unwrap();
    until("it is LIVE again", live).await;
    let life = channels.get(&who, id).await.unwrap().life;
    let earlier = Generation(life.generation.0 - 1);
    let mut events = house.app.hub.subscribe(Filter::default(), None);
    let actor = channels.actor(id).unwrap();
    let stale = [
        Fact::Ended {
            reason: "it was killed".into(),
        },
        Fact::OnAirChanged(OnAir {
            kind: OnAirKind::Fallback,
            media_id: None,
            since: Timestamp::now(),
            until: None,
        }),
        Fact::SourceFailed {
            media: MediaId::from(uuid::Uuid::now_v7()),
            error: "it was killed".into(),
            attempt: 9,
            delay: Duration::ZERO,
        },
        Fact::Healthy,
        Fact::FirstOut,
    ];
    for fact in stale {
        actor.cast(Msg::Told(earlier, fact)).unwrap();
    }
    // Orders and facts are taken one at a time: when this is answered, those were.
    channels.operate(&who, id, Operation::Start).await.unwrap();
    assert_eq!(channels.get(&who, id).await.unwrap().life, life);
    house.app.hub.publish(HubEvent {
        kind: kind::RESET,
        client: None,
        channel: None,
        data: json!({}),
    });
    loop {
        let event = events.next().await.unwrap();
        let of_a_playout = [
            kind::CHANNEL_ONAIR,
            kind::CHANNEL_RECOVERY,
            kind::CHANNEL_STATUS,
        ];
        assert!(!of_a_playout.contains(&event.kind), "{event:?}");
        if event.kind == kind::RESET {
            break;
        }
    }
    house.end().await;
}

#[tokio::test]
async fn a_channel_without_an_actor_keeps_no_other_from_what_the_database_has() {
    let house = House::new().await;
    let (channels, who) = (&house.app.channels, Principal::daemon());
    let mut ids = Vec::new();
    for name in ["One", "Two"] {
        let config = json!({ "name": name, "resolution": "240p" });
        let made = channels.create(&who, &config).await.unwrap();
        let mut config = made.config;
        config.name = format!("{name}, renamed");
        // Memory does not hear of it.
        let renamed = house.store.update_channel(&who, made.id, 1, &config, None);
        renamed.await.unwrap();
        ids.push(made.id);
    }
    let down = ids[0].to_string();
    channels
        .inner
        .supervisor
        .terminate_child(&down)
        .await
        .unwrap();
    let loaded = house.store.held_channels().await.unwrap();
    let known = loaded.ids().collect();
    channels.take_up(loaded, &known).await;
    for (id, name) in ids.into_iter().zip(["One, renamed", "Two, renamed"]) {
        assert_eq!(channels.get(&who, id).await.unwrap().config.name, name);
    }
    house.end().await;
}

/// How long it has been LIVE since it last went live, not all in all.
#[tokio::test]
async fn a_heartbeat_says_what_health_says() {
    let house = House::new().await;
    let (channels, who) = (&house.app.channels, Principal::daemon());
    let often = json!({ "healthCheckInterval": 1 });
    let config = json!({ "name": "Slate", "resolution": "240p", "recoverySettings": often });
    let id = channels.create(&who, &config).await.unwrap().id;
    let mut events = house.app.hub.subscribe(Filter::default(), None);
    for _ in 0..2 {
        channels.operate(&who, id, Operation::Start).await.unwrap();
        until("it is LIVE", async || {
            let status = channels.status(&who, id).await.unwrap();
            status.status == playout_domain::ChannelStatus::Live
        })
        .await;
        let since = channels.get(&who, id).await.unwrap().life.live_since;
        let beat = loop {
            let event = events.next().await.unwrap();
            let at = event.data["at"].as_str().map(|at| at.parse::<Timestamp>());
            if event.kind == kind::CHANNEL_HEARTBEAT && at.unwrap().unwrap() > since.unwrap() {
                break event;
            }
        };
        let health = channels.health(&who, id).await.unwrap();
        let uptime = beat.data["uptime"].as_f64().unwrap();
        assert!(uptime <= health.uptime, "{uptime} and {}", health.uptime);
        channels.operate(&who, id, Operation::Stop).await.unwrap();
    }
    house.end().await;
}

/// What failed twice is passed over for a while; that while ends with the actor, and so does the passing over.
#[tokio::test]
async fn an_actor_that_begins_anew_gives_every_item_another_chance() {
    let house = House::new().await;
    let (channels, who) = (&house.app.channels, Principal::daemon());
    let clip = house._dir.path().join("clip.mp4");
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .args([
            "testsrc2=size=64x36:rate=25",
            "-t",
            "2",
            "-pix_fmt",
            "yuv420p",
        ])
        .arg(&clip)
        .status();
    assert!(made.unwrap().success());
    let imported = house.app.library.import(&who, &clip).await.unwrap();
    let media = imported.accepted[0].id;
    let config = json!({ "name": "One", "resolution": "240p" });
    let id = channels.create(&who, &config).await.unwrap().id;
    let rotation = json!({ "items": [{ "mediaId": media }] });
    let edit = Edit::Rotation(rotation);
    channels.edit_schedule(&who, id, edit, None).await.unwrap();
    channels.operate(&who, id, Operation::Start).await.unwrap();
    let planned = async || {
        let now = Timestamp::now();
        let soon = now + jiff::SignedDuration::from_hours(1);
        let plan = channels.plan(&who, id, now, soon).await.unwrap();
        plan.view
            .iter()
            .rev()
            .take(2)
            .any(|entry| entry.media_id == Some(media))
    };
    until("it is planned", &planned).await;
    let life = channels.get(&who, id).await.unwrap().life;
    let due = channels.handles().get(&id).unwrap().due(Timestamp::now());
    let broken = Fact::ItemBroken { media, at: due };
    channels
        .actor(id)
        .unwrap()
        .cast(Msg::Told(life.generation, broken))
        .unwrap();
    until("it is passed over", async || !planned().await).await;
    channels.actor(id).unwrap().kill();
    until("it is planned again", planned).await;
    house.end().await;
}
