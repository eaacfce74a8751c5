//! The living tier as a whole: started in order, stopped in the opposite one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use playout_domain::admission::Cost;
use playout_domain::config::Policy;
use playout_domain::disk::Thresholds;
use playout_domain::media::Profile;
use playout_domain::resources::Allowances;
use playout_partners::download::Downloader;
use playout_store::Store;

use crate::admission::Admissions;
use crate::alerts::{AlertsConfig, ErrorHandler};
use crate::as_run::AsRun;
use crate::channels::{Channels, Environment, Live};
use crate::decisions::Decisions;
use crate::disk::{Disk, DiskConfig};
use crate::hub::Hub;
use crate::integrity::Integrity;
use crate::leases;
use crate::library::{ClientRoots, Intake, Library, LibraryConfig, OWN_FILES};
use crate::plans;
use crate::playout::{PlayoutSettings, Slates, StartGate, Studio};
use crate::process::{Cgroups, Launcher, Tools};
use crate::rtmp::RtmpSettings;
use crate::stores::{self, Takers};
use crate::telemetry::Telemetry;
use crate::tree::Tree;
use crate::webhooks::{Webhooks, WebhooksConfig};

/// The file in `data_dir` that the heads of the audit are exported to.
pub const AUDIT_HEADS: &str = "audit-heads.jsonl";

/// What the living tier needs to know.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The folder of everything the daemon owns.
    pub data_dir: PathBuf,
    /// The programs it runs.
    pub tools: Tools,
    /// How channels play out.
    pub playout: PlayoutSettings,
    /// What configurations may hold.
    pub policy: Policy,
    /// How channels are pushed to platforms.
    pub rtmp: RtmpSettings,
    /// Folders that media may be imported and read from: each client's.
    pub media_roots: ClientRoots,
    /// How files come in.
    pub intake: Intake,
    /// Items prepared at the same time; at least one.
    pub prepare_jobs: usize,
    /// What imported media are prepared into before any channel asks; nothing: they wait to be asked for.
    pub default_profile: Option<Profile>,
    /// Prepared media that no channel needs for so long are removed.
    pub collect_after: Duration,
    /// What FFmpeg processes may use.
    pub allowances: Allowances,
    /// The daemon's control group, where it is delegated: channels get groups of their own in it.
    pub cgroups: Option<Cgroups>,
    /// Where something is done about the room on the disk.
    pub disk: Thresholds,
    /// What alerts are raised by, and how they are told.
    pub alerts: AlertsConfig,
    /// How events are told by webhooks.
    pub webhooks: WebhooksConfig,
    /// How long it is kept what channels have aired.
    pub as_run_kept: Duration,
    /// What this node has for channels.
    pub capacity: Cost,
    /// How long a channel stays on air that is beyond its client's plan; nothing: for ever.
    pub grace: Duration,
}

/// Sources that may be starting at the same time for each core: one works while another waits for its file.
const STARTING_PER_CORE: usize = 2;

/// How long the end waits for the copy of what is needed to air.
const COPIES: std::time::Duration = std::time::Duration::from_secs(2);

/// Why the living tier did not start: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// The living tier.
#[derive(Clone)]
pub struct App {
    /// Events for whoever listens.
    pub hub: Arc<Hub>,
    /// The channels.
    pub channels: Channels,
    /// Failures, and the alerts they raise.
    pub alerts: ErrorHandler,
    /// Webhooks, and what they tell.
    pub webhooks: Webhooks,
    /// The room on the disk.
    pub disk: Disk,
    /// The media library.
    pub library: Library,
    /// The truth.
    pub store: Store,
    /// What channels report.
    pub telemetry: Telemetry,
    /// Who has a place on the node.
    pub admissions: Admissions,
    tree: Tree,
    /// Who takes up what the database has, and what other daemons leave.
    takers: Takers,
}

impl App {
    /// Starts everything, and puts the channels on air that should be.
    ///
    /// # Errors
    /// One sentence saying what is in the way.
    pub async fn start(config: AppConfig, store: Store) -> Result<Self, StartError> {
        let media = config.data_dir.join("media");
        let own = media.join(OWN_FILES);
        let launcher = Launcher::new(config.tools.clone())
            .map_err(|error| StartError(format!("no thread can be started: {error}")))?
            .reading_within(config.media_roots.all(&own));
        let hub = Arc::new(Hub::default());
        let telemetry = Telemetry::new(store.clone(), Arc::clone(&hub));
        // From here on, so that what happens at the start is told.
        let told_from = hub.last_id();
        let alerts = ErrorHandler::start(config.alerts, store.clone(), Arc::clone(&hub))
            .await
            .map_err(|error| StartError(format!("the alerts: {error}")))?;
        let webhooks = Webhooks::new(
            config.webhooks,
            store.clone(),
            (Arc::clone(&hub), told_from),
            alerts.clone(),
        );
        let library = LibraryConfig {
            dir: media,
            parallel_prepares: config.prepare_jobs.max(1),
            default_profile: config.default_profile,
            collect_after: config.collect_after,
            allowances: config.allowances,
            roots: config.media_roots,
            downloader: Downloader::new(&config.rtmp.roots, config.intake.reach()),
            intake: config.intake,
            font: config.playout.font.clone(),
        };
        let (library, facts) =
            Library::start(library, store.clone(), Arc::clone(&hub), launcher.clone())
                .await
                .map_err(|error| StartError(format!("the media library: {error}")))?;
        let takers = Takers::default();
        let stores = stores::child(&store, &hub, &takers);
        let leases = leases::child(&store, &hub, &takers);
        let heads = config.data_dir.join(AUDIT_HEADS);
        let integrity = Integrity::new(store.clone(), Arc::clone(&hub), heads);
        let spools = config.data_dir.join("channels");
        let playout = &config.playout;
        let disk = DiskConfig {
            data_dir: config.data_dir.clone(),
            channels: spools.clone(),
            window: playout.window,
            window_length: Duration::from_secs(u64::from(playout.target_duration))
                * u32::try_from(playout.window).unwrap_or(u32::MAX),
            thresholds: config.disk,
        };
        let disk = Disk::new(disk, Arc::clone(&hub), alerts.clone(), library.clone());
        let titles = library.clone();
        let titles = Arc::new(move |media| titles.title(media));
        let as_run = AsRun::new(store.clone(), spools.clone(), config.as_run_kept, titles);
        let plans = plans::child(&store, &alerts, &takers, config.grace);
        let decisions = Decisions::new(store.clone());
        let tree = Tree::grow(
            stores, leases, &integrity, &telemetry, &webhooks, &alerts, &decisions, &as_run, &disk,
            &library, plans,
        )
        .await
        .map_err(|error| StartError(error.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let studio = Studio {
            gate: StartGate::new(STARTING_PER_CORE * cores),
            library: library.clone(),
            slates: Slates::new(
                config.data_dir.join("slate"),
                launcher.clone(),
                config.allowances.prepare,
            ),
            launcher,
            settings: config.playout,
            allowances: config.allowances,
            cgroups: config.cgroups,
        };
        let admissions = Admissions::new(config.capacity, decisions.clone(), alerts.clone());
        let environment = Environment {
            store: store.clone(),
            hub: Arc::clone(&hub),
            telemetry: telemetry.clone(),
            alerts: alerts.clone(),
            as_run,
            studio: Arc::new(studio),
            policy: config.policy,
            live: Live::default(),
            rtmp: config.rtmp,
            admissions: admissions.clone(),
            decisions,
        };
        let channels = Channels::start(environment, tree.channels.clone(), spools, facts)
            .await
            .map_err(|error| StartError(format!("the channels: {error}")))?;
        takers.send_replace(Some((channels.clone(), library.clone(), alerts.clone())));
        Ok(Self {
            hub,
            alerts,
            webhooks,
            channels,
            disk,
            library,
            store,
            telemetry,
            admissions,
            tree,
            takers,
        })
    }

    /// Takes channels off air, ends every child process, and returns in bounded time.
    /// What should be live stays so: the next start puts it back on air.
    pub async fn shutdown(&self) {
        self.channels.drain().await;
        self.tree.stop().await;
        self.takers.send_replace(None);
        self.store.copies_written(COPIES).await;
    }

    /// Returns when supervision has given up: the daemon should end, and be started anew.
    pub async fn failed(&self) {
        self.tree.ended().await;
    }
}
