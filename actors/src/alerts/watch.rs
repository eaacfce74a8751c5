//! What nobody else would report: stores that do not work, reports that are lost, media that could not be prepared,
//! watched folders that cannot be seen, and that the daemon is over its last stop.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::PoisonError;
use std::time::Duration;

use playout_domain::alert::recovery::StreamFailure;
use playout_domain::alert::{Key, Report, Service, Subject};
use playout_domain::{AlertKind, MediaId};
use playout_store::Server;
use tokio::time::{MissedTickBehavior, interval};

use super::{ErrorContext, ErrorHandler};
use crate::hub::{Filter, Published, kind};

/// How often it is asked whether everything that should be live is.
const SETTLED: Duration = Duration::from_secs(1);

const FOLLOWED: &[&str] = &[
    kind::MEDIA_READY,
    kind::MEDIA_JOB,
    kind::MEDIA_FAILED,
    kind::MEDIA_DELETED,
    kind::FOLDER_MISSING,
    kind::FOLDER_FOUND,
    kind::FOLDER_REMOVED,
    kind::TELEMETRY_LOST,
    kind::TELEMETRY_RECOVERED,
];

/// Watches for ever.
pub(super) async fn run(handler: &ErrorHandler) -> Infallible {
    let (never, ..) = tokio::join!(stores(handler), events(handler), settled(handler));
    never
}

/// How the stores do is known by their breakers; here it is counted.
async fn stores(handler: &ErrorHandler) -> Infallible {
    let mut tick = every(handler.inner.config.stores_every);
    loop {
        tick.tick().await;
        for (service, server) in [
            (Service::Postgres, Server::Postgres),
            (Service::Redis, Server::Redis),
        ] {
            let condition = handler.inner.store.condition(server).borrow().clone();
            match condition.why() {
                None => handler.service_recovered(service),
                Some(why) => drop(handler.handle_service_failure(service, why)),
            }
        }
    }
}

/// Follows the events of the library and of telemetry: they need not know of alerts.
async fn events(handler: &ErrorHandler) -> Infallible {
    let filter = Filter {
        kinds: Some(FOLLOWED),
        ..Filter::default()
    };
    let mut seen: Option<String> = None;
    let mut failed = Unprepared::default();
    loop {
        let mut events = handler.inner.hub.subscribe(filter.clone(), seen.as_deref());
        while let Some(event) = events.next().await {
            seen = Some(event.id.to_string());
            match event.kind {
                kind::TELEMETRY_LOST => {
                    let error = format!(
                        "{} reports of channels are lost since the daemon began: no store took them",
                        event.data["lost"]
                    );
                    handler.handle_service_failure(Service::Telemetry, &error);
                }
                kind::TELEMETRY_RECOVERED => handler.service_recovered(Service::Telemetry),
                kind::FOLDER_MISSING | kind::FOLDER_FOUND | kind::FOLDER_REMOVED => {
                    note_folder(handler, &event);
                }
                _ => failed.note(handler, &event),
            }
        }
    }
}

fn note_folder(handler: &ErrorHandler, event: &Published) {
    let of = |name: &str| event.data[name].as_str();
    let (Some(client), Some(Ok(folder))) = (event.client, of("id").map(str::parse)) else {
        return;
    };
    let key = Key::new(AlertKind::FolderMissing, Subject::Folder(folder));
    if event.kind != kind::FOLDER_MISSING {
        return handler.recovered(key);
    }
    handler.raise(Report {
        key,
        client,
        name: of("path").map(str::to_owned),
        error: of("reason").unwrap_or("it cannot be seen").to_owned(),
    });
}

/// The profiles that an item could not be prepared into.
#[derive(Default)]
struct Unprepared(HashMap<MediaId, HashSet<String>>);

impl Unprepared {
    fn note(&mut self, handler: &ErrorHandler, event: &Published) {
        let of = |name: &str| event.data[name].as_str();
        let id = of("id").or_else(|| of("mediaId"));
        let (Some(client), Some(Ok(media))) = (event.client, id.map(str::parse::<MediaId>)) else {
            return;
        };
        let key = Key::new(AlertKind::MediaNotPrepared, Subject::Media(media));
        let profile = of("profile").unwrap_or_default().to_owned();
        match event.kind {
            kind::MEDIA_FAILED => {
                self.0.entry(media).or_default().insert(profile);
                let error = of("reason").unwrap_or("it could not be prepared");
                let failure = StreamFailure::Preparing;
                let context = ErrorContext {
                    client: Some(client),
                    media: Some(media),
                    failure: failure.name(),
                    action: Some(failure.action()),
                    ..ErrorContext::default()
                };
                handler.log_error(error, context);
                handler.raise(Report {
                    key,
                    client,
                    name: of("title").map(str::to_owned),
                    error: error.to_owned(),
                });
            }
            // What is cancelled is not to be prepared.
            kind::MEDIA_JOB if of("status") != Some("cancelled") => {}
            kind::MEDIA_READY | kind::MEDIA_JOB => {
                let profiles = self.0.entry(media).or_default();
                profiles.remove(&profile);
                if profiles.is_empty() {
                    self.0.remove(&media);
                    handler.recovered(key);
                }
            }
            _ => {
                self.0.remove(&media);
                handler.recovered(key);
            }
        }
    }
}

/// The last run's end is over when what should be live is live again.
async fn settled(handler: &ErrorHandler) -> Infallible {
    if handler.inner.config.unclean_stop.is_some() {
        let mut tick = every(SETTLED);
        loop {
            tick.tick().await;
            let settled = handler
                .inner
                .settled
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if settled() {
                break;
            }
        }
        handler.recovered(Key::new(AlertKind::UncleanStop, Subject::Daemon));
    }
    std::future::pending().await
}

fn every(time: Duration) -> tokio::time::Interval {
    let mut tick = interval(time);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
