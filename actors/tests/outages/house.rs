//! A daemon's living tier on stores that come and go.

use std::path::PathBuf;
use std::time::Duration;

use playout_actors::process::Tools;
use playout_actors::rtmp::{Reach, RtmpSettings, SessionLimits, TrustRoots};
use playout_actors::{AlertsConfig, App, AppConfig, PlayoutSettings, SourceKind};
use playout_domain::admission::Cost;
use playout_domain::{ChannelId, ChannelStatus, Policy};
use playout_store::testing::{self, Manner, Proxies, TestStore, known};
use playout_store::{Principal, Server, Store, StoreConfig};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A daemon's living tier behind proxies, with a copy on disk.
pub(crate) struct House {
    pub(crate) store: TestStore,
    /// What is in the stores, read beside the proxies.
    pub(crate) truth: Store,
    pub(crate) proxies: Proxies,
    pub(crate) config: StoreConfig,
}

impl House {
    pub(crate) async fn new() -> Self {
        let (store, proxies) = testing::behind_proxies().await;
        let truth = Store::connect(store.direct()).await.unwrap();
        let mut config = store.config().clone();
        config.standby = Some(store.folder().join("standby"));
        Self {
            store,
            truth,
            proxies,
            config,
        }
    }

    pub(crate) async fn app(&self) -> App {
        let store = Store::connect(&self.config).await.unwrap();
        let config = AppConfig {
            data_dir: self.store.folder().to_owned(),
            tools: Tools::default(),
            playout: PlayoutSettings {
                source: SourceKind::Ffmpeg,
                buffer: 8,
                clock_origin: 10,
                target_duration: 4,
                window: 10,
                font: PathBuf::new(),
            },
            policy: Policy::PUBLIC,
            webhooks: Default::default(),
            as_run_kept: Duration::from_secs(86_400),
            grace: Duration::ZERO,
            capacity: Cost {
                cpu: 100_000,
                memory: 1 << 40,
            },
            alerts: AlertsConfig::default(),
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
            default_profile: None,
            collect_after: Duration::from_secs(600),
            allowances: Default::default(),
            cgroups: None,
            disk: playout_domain::disk::Thresholds {
                spool: 0,
                prepare: 0,
                alert: 0,
            },
        };
        App::start(config, store).await.unwrap()
    }

    /// PostgreSQL behaves so, and that is known.
    pub(crate) async fn postgres(&self, app: &App, manner: Manner) {
        self.proxies.postgres.set(manner);
        known(&app.store, Server::Postgres, manner == Manner::Pass).await;
    }

    pub(crate) async fn audited(&self, who: &Principal, id: ChannelId) -> Vec<String> {
        let entries = self.truth.audit(who.client, 0, 100).await.unwrap();
        let of_it = entries.iter().filter(|entry| entry.subject == id.uuid());
        of_it.map(|entry| entry.operation.clone()).collect()
    }
}

pub(crate) async fn channel(app: &App, who: &Principal, name: &str) -> ChannelId {
    let config = json!({ "name": name, "resolution": "240p" });
    app.channels.create(who, &config).await.unwrap().id
}

pub(crate) async fn status(app: &App, id: ChannelId) -> ChannelStatus {
    let status = app.channels.status(&Principal::daemon(), id).await;
    status.unwrap().status
}
