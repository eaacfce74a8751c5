//! HTTP: what the daemon answers, and in which words it refuses.
//!
//! Three things make an endpoint: a path with its methods ([`routes`]), a plain async
//! function that does the work, and [`problem`], the one place that maps refusals to statuses.
//!
//! Invariant: no work on the database is done in a future that ends with its client: a handler that
//! waits for anything goes on in a task of its own, and a client that leaves only misses the answer.

pub mod accept;
pub mod access;
mod alert_routes;
mod alerts;
mod answer;
pub mod api;
mod as_run;
mod audit;
mod bulk;
mod caller;
mod channel_list;
mod channels;
mod clients;
mod compress;
mod connection;
pub mod cors;
mod csv;
mod destinations;
mod events;
mod first_bytes;
mod guide;
mod hls;
mod idempotency;
mod json;
pub mod listener;
mod logo;
mod media;
mod node;
mod openapi;
mod origin;
mod overlay;
mod page;
mod places;
mod plans;
pub mod problem;
pub mod proxies;
mod queue;
mod readiness;
mod reference;
pub mod representation;
pub mod request;
mod routes;
mod schedule;
mod secrets;
mod secure;
mod sessions;
pub mod shutdown;
mod stream;
mod subtitles;
#[cfg(test)]
mod tests;
pub mod tls;
mod tokens;
mod unsent;
mod uploads;
mod watch;
mod watched;
mod webhooks;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use playout_actors::App;
use playout_actors::turns::Turns;
use warp::Filter;
use warp::reply::Response;

use self::access::{Access, AccessPolicy};
use self::compress::LastingJson;
use self::cors::Origins;
use self::listener::Routes;
pub use self::openapi::document as openapi_document;
use self::problem::Problem;
use self::representation::Representation;
use self::request::{BodyLimits, Request, request};
use self::shutdown::ShuttingDown;
pub use self::stream::StreamLimits;
use self::stream::Streams;

/// Changes of one client at once: each holds a connection to the database, and waits with it for the client's row.
const CHANGES: usize = 4;

/// What the facade takes from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much of a body is read, and for how long it is waited for.
    pub body: BodyLimits,
    /// Where others reach the daemon, without a slash at the end.
    pub public_url: String,
    /// Where viewers reach it, without a slash at the end.
    pub viewer_url: String,
    /// Pages of other origins that may use the API.
    pub origins: Origins,
    /// How long the API is waited for.
    pub handler: Duration,
    /// The folder of everything the daemon owns; its disk needs room.
    pub data_dir: PathBuf,
    /// Bytes of an upload at most.
    pub max_file: u64,
    /// How long sessions last, and how fast requests are taken.
    pub access: AccessPolicy,
    /// How often an idle event stream sends a comment.
    pub heartbeat: Duration,
    /// Most event streams at once.
    pub streams: StreamLimits,
    /// How long a client of an event stream may take nothing before it is dropped.
    pub patience: Duration,
}

/// What is served on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// Everything.
    Everything,
    /// What viewers fetch, and nothing else: `/hls`, `/watch`, and `/healthz` for whatever stands before.
    Viewers,
}

/// Everything that answers.
pub struct Facade {
    /// The living tier; none while it is still starting.
    app: OnceLock<App>,
    settings: Settings,
    streams: Streams,
    access: Access,
    /// What the API is, written when it is asked for the first time; the page of it for people.
    document: OnceLock<LastingJson>,
    reference: OnceLock<Representation>,
    /// Each client's changes take turns before they take a connection to the database.
    changes: Turns,
}

impl Facade {
    /// A facade that answers `503` to all but `/healthz` until [`Facade::open`].
    pub fn new(settings: Settings, shutting_down: ShuttingDown) -> Arc<Self> {
        let streams = Streams::new(&settings, shutting_down);
        let access = Access::new(&settings.access);
        Arc::new(Self {
            app: OnceLock::new(),
            settings,
            streams,
            access,
            document: OnceLock::new(),
            reference: OnceLock::new(),
            changes: Turns::new(CHANGES),
        })
    }

    /// The living tier has started: from here on requests reach it.
    pub fn open(&self, app: App) {
        if self.app.set(app).is_err() {
            tracing::error!("the facade was opened twice");
        }
    }

    /// Where others reach the daemon, without a slash at the end.
    pub fn public_url(&self) -> &str {
        &self.settings.public_url
    }

    /// Where viewers reach the daemon, without a slash at the end.
    pub fn viewer_url(&self) -> &str {
        &self.settings.viewer_url
    }

    /// What a listener serves, for the accept loop.
    pub fn routes(self: Arc<Self>, serves: Serves) -> Routes {
        let viewers = Arc::clone(&self);
        let filter = request()
            .then(move |request| {
                let facade = Arc::clone(&self);
                async move { facade.answer(serves, request).await }
            })
            .boxed();
        Routes {
            viewers: Some(Arc::new(move |request| hls::answer(&viewers, &request))),
            filter,
        }
    }

    /// The living tier.
    ///
    /// # Errors
    /// 503 while it is starting.
    fn app(&self) -> Result<&App, Problem> {
        let starting = || Problem::unavailable("The daemon is starting.", Duration::from_secs(1));
        self.app.get().ok_or_else(starting)
    }

    async fn answer(self: Arc<Self>, serves: Serves, request: Request) -> Response {
        let segments = request.segments();
        let answered = match segments[..] {
            ["hls", ..] => return hls::answer(&self, &request),
            ["watch", ..] => watch::answer(&self, &request),
            ["healthz"] => readiness::healthz(&request),
            _ if serves == Serves::Viewers => Err(Problem::not_found("route")),
            // Boxed, because it is large and what is awaited is moved.
            ["api", "v1", ..] => return Box::pin(self.api(request)).await,
            ["docs"] => reference::answer(&self, &request),
            ["readyz"] => readiness::readyz(&self, &request).await,
            _ => Err(Problem::not_found("route")),
        };
        answered.unwrap_or_else(Problem::into_response)
    }

    /// What the API answers, in the form that the client takes.
    async fn api(self: Arc<Self>, request: Request) -> Response {
        let gzip = compress::wanted(&request.method, &request.headers);
        let page = self
            .settings
            .origins
            .asked(&request.method, &request.headers);
        let answered = match secrets::refuse_in_query(&request) {
            Err(problem) => Err(problem),
            Ok(()) if request.segments()[2..] == ["openapi.json"] => {
                openapi::answer(&self, &request)
            }
            Ok(()) => api::answer(self, request).await,
        };
        let mut response = answered.unwrap_or_else(Problem::into_response);
        if let Some(page) = page {
            page.say(&mut response);
        }
        compress::compressed(response, gzip).await
    }
}
