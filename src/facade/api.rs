//! `/api/v1`: which paths there are, which methods each takes, and who handles them.
//!
//! The order of refusal is fixed: unknown path 404, wrong method 405, no valid token 401, then
//! whatever the handler finds.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use playout_actors::App;
use playout_domain::lifecycle::Operation;
use playout_domain::prepare::{JobId, JobOrder};
use playout_domain::{
    AlertId, AlertRouteId, ArrivalId, ChannelId, DeliveryId, DestinationId, MediaId, SlotId,
    WatchedFolderId,
};
use playout_store::{Principal, Server, StoreError};
use serde_json::Value;
use tracing::Instrument;
use warp::http::{Method, header};
use warp::reply::Response;

use super::guide::{self, Format};
use super::problem::{Problem, allow_header};
use super::request::Request;
use super::schedule::{self, Part};
use super::{
    Facade, alert_routes, alerts, answer, as_run, channels, destinations, events, logo, media,
    overlay, queue, readiness, subtitles, tokens, uploads, watched,
};

/// A path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Channels,
    Channel(ChannelId),
    Operation(ChannelId, Operation),
    Status(ChannelId),
    Health(ChannelId),
    Processes(ChannelId),
    Outputs(ChannelId),
    OutputMetrics(ChannelId),
    Destinations(ChannelId),
    Destination(ChannelId, DestinationId),
    Validate(ChannelId, DestinationId),
    Schedule(ChannelId, Part),
    Slot(ChannelId, SlotId),
    Play(ChannelId),
    Plan(ChannelId),
    Logo(ChannelId),
    Overlay(ChannelId),
    Guide(Option<ChannelId>, Format),
    Stations,
    AsRun(ChannelId),
    History(ChannelId),
    Alerts,
    Alert(AlertId),
    Acknowledge(AlertId),
    AlertRoutes,
    AlertRoute(AlertRouteId),
    AlertRouteTest(AlertRouteId),
    AlertDeliveries,
    RetryDelivery(DeliveryId),
    MediaLibrary,
    Media(MediaId),
    Thumbnail(MediaId),
    Subtitles(MediaId),
    /// In a language, as it is written in the path.
    Subtitle(MediaId, String),
    Uploads,
    Upload(ArrivalId),
    Imports,
    Import(ArrivalId),
    WatchedFolders,
    WatchedFolder(WatchedFolderId),
    Storage,
    Queue,
    PauseQueue(bool),
    Jobs,
    Job(JobId),
    OrderJob(JobId, JobOrder),
    Tokens,
    Platforms,
    Events,
}

impl Resource {
    /// The resource at `path`, the segments after `/api/v1`.
    ///
    /// # Errors
    /// 404: no such route, or an id that is none.
    pub fn at(path: &[&str]) -> Result<Self, Problem> {
        Ok(match path {
            ["channels"] => Self::Channels,
            ["channels", id] => Self::Channel(self::id(id, "channel")?),
            ["channels", id, rest @ ..] => {
                let id = self::id(id, "channel")?;
                match rest {
                    ["start"] => Self::Operation(id, Operation::Start),
                    ["stop"] => Self::Operation(id, Operation::Stop),
                    ["restart"] => Self::Operation(id, Operation::Restart),
                    ["skip"] => Self::Operation(id, Operation::Skip),
                    ["status"] => Self::Status(id),
                    ["health"] => Self::Health(id),
                    ["processes"] => Self::Processes(id),
                    ["outputs"] => Self::Outputs(id),
                    ["outputs", "metrics"] => Self::OutputMetrics(id),
                    ["destinations"] => Self::Destinations(id),
                    ["destinations", destination] => {
                        Self::Destination(id, self::id(destination, "destination")?)
                    }
                    ["destinations", destination, "validate"] => {
                        Self::Validate(id, self::id(destination, "destination")?)
                    }
                    ["rotation"] => Self::Schedule(id, Part::Rotation),
                    ["blocks"] => Self::Schedule(id, Part::Blocks),
                    ["templates"] => Self::Schedule(id, Part::Templates),
                    ["slots"] => Self::Schedule(id, Part::Slots),
                    ["slots", slot] => Self::Slot(id, self::id(slot, "slot")?),
                    ["play"] => Self::Play(id),
                    ["plan"] => Self::Plan(id),
                    ["logo"] => Self::Logo(id),
                    ["overlay"] => Self::Overlay(id),
                    ["epg.json"] => Self::Guide(Some(id), Format::Json),
                    ["epg.xml"] => Self::Guide(Some(id), Format::Xmltv),
                    ["as-run"] => Self::AsRun(id),
                    ["history"] => Self::History(id),
                    _ => return Err(Problem::not_found("route")),
                }
            }
            ["epg.json"] => Self::Guide(None, Format::Json),
            ["epg.xml"] => Self::Guide(None, Format::Xmltv),
            ["channels.m3u"] => Self::Stations,
            ["alerts"] => Self::Alerts,
            ["alerts", id] => Self::Alert(self::id(id, "alert")?),
            ["alerts", id, "acknowledge"] => Self::Acknowledge(self::id(id, "alert")?),
            ["alert-routes"] => Self::AlertRoutes,
            ["alert-routes", id] => Self::AlertRoute(self::id(id, "alert route")?),
            ["alert-routes", id, "test"] => Self::AlertRouteTest(self::id(id, "alert route")?),
            ["alert-deliveries"] => Self::AlertDeliveries,
            ["alert-deliveries", id, "retry"] => {
                Self::RetryDelivery(self::id(id, "alert delivery")?)
            }
            ["media"] => Self::MediaLibrary,
            ["media", "uploads"] => Self::Uploads,
            ["media", "uploads", id] => Self::Upload(self::id(id, "upload")?),
            ["media", "imports"] => Self::Imports,
            ["media", "imports", id] => Self::Import(self::id(id, "import")?),
            ["media", "watched"] => Self::WatchedFolders,
            ["media", "watched", id] => Self::WatchedFolder(self::id(id, "watched folder")?),
            ["media", "storage"] => Self::Storage,
            ["media", "queue"] => Self::Queue,
            ["media", "queue", "pause"] => Self::PauseQueue(true),
            ["media", "queue", "resume"] => Self::PauseQueue(false),
            ["media", "queue", "jobs"] => Self::Jobs,
            ["media", id, "renditions", profile] => {
                Self::Job(JobId::new(self::id(id, "media item")?, *profile))
            }
            ["media", id, "renditions", profile, order] => {
                let order = JobOrder::named(order).ok_or_else(|| Problem::not_found("route"))?;
                let media = self::id(id, "media item")?;
                Self::OrderJob(JobId::new(media, *profile), order)
            }
            ["media", id] => Self::Media(self::id(id, "media item")?),
            ["media", id, "subtitles"] => Self::Subtitles(self::id(id, "media item")?),
            ["media", id, "subtitles", language] => {
                Self::Subtitle(self::id(id, "media item")?, (*language).to_owned())
            }
            ["media", id, "thumbnail"] => Self::Thumbnail(self::id(id, "media item")?),
            ["tokens"] => Self::Tokens,
            ["platforms"] => Self::Platforms,
            ["events"] => Self::Events,
            _ => return Err(Problem::not_found("route")),
        })
    }

    /// The methods it takes, besides `HEAD` and `OPTIONS`.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Self::Channels
            | Self::MediaLibrary
            | Self::WatchedFolders
            | Self::Destinations(_)
            | Self::AlertRoutes => &[Method::GET, Method::POST],
            Self::Channel(_)
            | Self::Destination(..)
            | Self::AlertRoute(_)
            | Self::Media(_)
            | Self::Upload(_) => &[Method::GET, Method::PATCH, Method::DELETE],
            Self::Operation(..)
            | Self::Validate(..)
            | Self::Uploads
            | Self::Tokens
            | Self::Acknowledge(_)
            | Self::AlertRouteTest(_)
            | Self::PauseQueue(_)
            | Self::OrderJob(..)
            | Self::RetryDelivery(_) => &[Method::POST],
            Self::Schedule(_, Part::Slots) => {
                &[Method::GET, Method::PUT, Method::POST, Method::DELETE]
            }
            Self::Schedule(..) => &[Method::GET, Method::PUT],
            Self::Subtitle(..) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Slot(..) => &[Method::GET, Method::PATCH, Method::DELETE],
            Self::Play(_) => &[Method::POST],
            Self::Logo(_) | Self::Overlay(_) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Import(_) | Self::WatchedFolder(_) => &[Method::GET, Method::DELETE],
            Self::Status(_)
            | Self::Health(_)
            | Self::Processes(_)
            | Self::Outputs(_)
            | Self::OutputMetrics(_)
            | Self::Plan(_)
            | Self::Guide(..)
            | Self::Stations
            | Self::AsRun(_)
            | Self::History(_)
            | Self::Alerts
            | Self::Alert(_)
            | Self::AlertDeliveries
            | Self::Thumbnail(_)
            | Self::Subtitles(_)
            | Self::Storage
            | Self::Queue
            | Self::Jobs
            | Self::Job(_)
            | Self::Imports
            | Self::Platforms
            | Self::Events => &[Method::GET],
        }
    }
}

impl Resource {
    /// Whether it speaks the protocol of uploads.
    fn is_upload(&self) -> bool {
        matches!(self, Self::Uploads | Self::Upload(_))
    }

    /// Whether `method` changes something that has to be in the database at once. To start, stop and
    /// restart a channel is recorded elsewhere while it is away; to test a destination changes nothing.
    fn is_change(&self, method: &Method) -> bool {
        let journaled = matches!(
            self,
            Self::Operation(_, Operation::Start | Operation::Stop | Operation::Restart)
        );
        method != Method::GET && !journaled && !matches!(self, Self::Validate(..))
    }
}

/// The id in a path: a UUID in its usual form, so that one thing has one URL.
///
/// # Errors
/// 404: nothing has such an id.
pub(super) fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    let usual = text.len() == 36;
    text.parse()
        .ok()
        .filter(|_| usual)
        .ok_or_else(|| Problem::not_found(what))
}

/// The method, with `HEAD` seen as the `GET` it stands for; an answer to `OPTIONS` at once.
///
/// # Errors
/// 405 with what is allowed.
pub(super) fn method(request: &Request, allowed: &[Method]) -> Result<Asked, Problem> {
    let method = match &request.method {
        &Method::HEAD => Method::GET,
        other => other.clone(),
    };
    if allowed.contains(&method) {
        return Ok(Asked::For(method));
    }
    if method == Method::OPTIONS {
        return Ok(Asked::Options(options(allowed)));
    }
    Err(Problem::method_not_allowed(&request.method, allowed))
}

/// What a request's method comes to.
pub(super) enum Asked {
    /// One of the allowed methods.
    For(Method),
    /// `OPTIONS`, already answered.
    Options(Response),
}

fn options(allowed: &[Method]) -> Response {
    let mut response = answer::nothing();
    answer::set(&mut response, header::ALLOW, &allow_header(allowed));
    response
}

/// One request that was let in.
pub(super) struct Call {
    pub(super) facade: Arc<Facade>,
    pub(super) app: App,
    /// Who asks.
    pub(super) who: Principal,
    pub(super) request: Request,
}

impl Call {
    /// The body as JSON, of one of the `accepted` media types.
    ///
    /// # Errors
    /// As [`Request::json`].
    pub(super) async fn json(&mut self, accepted: &[&str]) -> Result<Value, Problem> {
        self.request.json(accepted, self.facade.settings.body).await
    }

    /// The body of the request, as it is.
    ///
    /// # Errors
    /// As [`Request::whole`].
    pub(super) async fn bytes(&mut self, accepted: &[&str]) -> Result<Bytes, Problem> {
        self.request
            .whole(accepted, self.facade.settings.body)
            .await
    }

    /// Where others reach the daemon, without a slash at the end.
    pub(super) fn public_url(&self) -> &str {
        self.facade.public_url()
    }
}

/// Answers a request below `/api/v1`.
pub(super) async fn answer(facade: Arc<Facade>, request: Request) -> Result<Response, Problem> {
    let resource = Resource::at(request.segments().get(2..).unwrap_or_default())?;
    if !resource.is_upload() {
        return answer_for(resource, facade, request).await;
    }
    let answered = match uploads::as_meant(request) {
        Ok(request) => answer_for(resource, facade, request).await,
        Err(problem) => Err(problem),
    };
    Ok(uploads::spoken(
        answered.unwrap_or_else(Problem::into_response),
    ))
}

async fn answer_for(
    resource: Resource,
    facade: Arc<Facade>,
    request: Request,
) -> Result<Response, Problem> {
    let method = match method(&request, resource.methods())? {
        Asked::For(method) => method,
        Asked::Options(response) if resource.is_upload() => {
            return Ok(uploads::options(&facade, response));
        }
        Asked::Options(response) => return Ok(response),
    };
    let app = facade.app()?.clone();
    task(async move {
        let who = authenticate(&app, &request).await?;
        if resource.is_change(&method) {
            app.store
                .writable()
                .map_err(|error| read_only(&app, error))?;
        }
        handle(
            resource,
            &method,
            Call {
                facade,
                app,
                who,
                request,
            },
        )
        .await
    })
    .await
}

/// 503 at once: nobody waits for a database that is known to be away.
fn read_only(app: &App, error: StoreError) -> Problem {
    let postgres = app.store.condition(Server::Postgres).borrow().clone();
    match error {
        StoreError::Unavailable(away) => {
            Problem::unavailable(readiness::read_only(&postgres), away.retry_after())
        }
        error => Problem::of_store(error),
    }
}

/// Does `work` to its end, also when the client leaves.
///
/// # Errors
/// As `work`; 500 when it panics.
pub(super) async fn task<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::spawn(work.in_current_span()).await;
    done.unwrap_or_else(|error| {
        tracing::error!(%error, "a handler failed");
        Err(Problem::internal())
    })
}

/// Who asks, by the bearer token (RFC 6750 §2.1).
async fn authenticate(app: &App, request: &Request) -> Result<Principal, Problem> {
    let given = request.header(header::AUTHORIZATION).ok_or_else(|| {
        Problem::unauthenticated("Send a token, as in `Authorization: Bearer …`.")
    })?;
    let secret = bearer(given).ok_or_else(|| {
        Problem::unauthenticated("`Authorization` has to be `Bearer` and a token.")
    })?;
    let known = app.store.principal(secret).await.map_err(|error| match error {
        StoreError::Unavailable(away) => Problem::unavailable(
            "PostgreSQL does not answer, and the token was not used within a day: it cannot be checked now.",
            away.retry_after(),
        ),
        error => Problem::of_store(error),
    })?;
    known.ok_or_else(|| Problem::unauthenticated("The token is not known."))
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

async fn handle(resource: Resource, method: &Method, call: Call) -> Result<Response, Problem> {
    let reads = method == Method::GET;
    match resource {
        Resource::Channels if reads => channels::list(call).await,
        Resource::Channels => channels::create(call).await,
        Resource::Channel(id) if reads => channels::get(call, id).await,
        Resource::Channel(id) if method == Method::PATCH => channels::update(call, id).await,
        Resource::Channel(id) => channels::delete(call, id).await,
        Resource::Operation(id, operation) => channels::operate(call, id, operation).await,
        Resource::Status(id) => channels::status(call, id).await,
        Resource::Health(id) => channels::health(call, id).await,
        Resource::Processes(id) => channels::processes(call, id).await,
        Resource::Logo(id) if reads => logo::get(call, id).await,
        Resource::Logo(id) if method == Method::PUT => logo::put(call, id).await,
        Resource::Logo(id) => logo::delete(call, id).await,
        Resource::Overlay(id) if reads => overlay::get(call, id).await,
        Resource::Overlay(id) if method == Method::PUT => overlay::put(call, id).await,
        Resource::Overlay(id) => overlay::delete(call, id).await,
        Resource::Outputs(id) => channels::outputs(call, id).await,
        Resource::OutputMetrics(id) => channels::output_metrics(call, id).await,
        Resource::Destinations(id) if reads => destinations::list(call, id).await,
        Resource::Destinations(id) => destinations::add(call, id).await,
        Resource::Destination(id, destination) if reads => {
            destinations::get(call, id, destination).await
        }
        Resource::Destination(id, destination) if method == Method::PATCH => {
            destinations::change(call, id, destination).await
        }
        Resource::Destination(id, destination) => destinations::remove(call, id, destination).await,
        Resource::Validate(id, destination) => destinations::validate(call, id, destination).await,
        Resource::Schedule(id, part) if reads => schedule::get(call, id, part).await,
        Resource::Schedule(id, _) if method == Method::POST => schedule::add_slots(call, id).await,
        Resource::Schedule(id, _) if method == Method::DELETE => {
            schedule::clear_slots(call, id).await
        }
        Resource::Schedule(id, part) => schedule::replace(call, id, part).await,
        Resource::Slot(id, slot) if reads => schedule::slot(call, id, slot).await,
        Resource::Slot(id, slot) if method == Method::PATCH => {
            schedule::change_slot(call, id, slot).await
        }
        Resource::Slot(id, slot) => schedule::remove_slot(call, id, slot).await,
        Resource::Play(id) => schedule::play(call, id).await,
        Resource::Plan(id) => channels::plan(call, id).await,
        Resource::Guide(id, format) => guide::epg(call, id, format).await,
        Resource::Stations => guide::stations(call).await,
        Resource::AsRun(id) => as_run::as_run(call, id).await,
        Resource::History(id) => alerts::history(call, id).await,
        Resource::Alerts => alerts::list(call).await,
        Resource::Alert(id) => alerts::get(call, id).await,
        Resource::Acknowledge(id) => alerts::acknowledge(call, id).await,
        Resource::AlertRoutes if reads => alert_routes::list(call).await,
        Resource::AlertRoutes => alert_routes::create(call).await,
        Resource::AlertRoute(id) if reads => alert_routes::get(call, id).await,
        Resource::AlertRoute(id) if method == Method::PATCH => alert_routes::update(call, id).await,
        Resource::AlertRoute(id) => alert_routes::delete(call, id).await,
        Resource::AlertRouteTest(id) => alert_routes::test(call, id).await,
        Resource::AlertDeliveries => alerts::deliveries(call).await,
        Resource::RetryDelivery(id) => alerts::retry(call, id).await,
        Resource::MediaLibrary if reads => media::list(call).await,
        Resource::MediaLibrary => media::import(call).await,
        Resource::Media(id) if reads => media::get(call, id).await,
        Resource::Media(id) if method == Method::PATCH => media::update(call, id).await,
        Resource::Media(id) => media::delete(call, id).await,
        Resource::Thumbnail(id) => media::thumbnail(call, id).await,
        Resource::Subtitles(id) => subtitles::list(&call, id),
        Resource::Subtitle(id, language) if reads => subtitles::get(call, id, &language).await,
        Resource::Subtitle(id, language) if method == Method::PUT => {
            subtitles::attach(call, id, &language).await
        }
        Resource::Subtitle(id, language) => subtitles::remove(call, id, &language).await,
        Resource::Uploads => uploads::create(call).await,
        Resource::Upload(id) if reads => uploads::look(call, id).await,
        Resource::Upload(id) if method == Method::PATCH => uploads::write(call, id).await,
        Resource::Upload(id) => uploads::end(call, id).await,
        Resource::Imports => media::imports(call).await,
        Resource::Import(id) if reads => media::an_import(call, id).await,
        Resource::Import(id) => media::end_import(call, id).await,
        Resource::WatchedFolders if reads => watched::list(&call),
        Resource::WatchedFolders => watched::add(call).await,
        Resource::WatchedFolder(id) if reads => watched::get(&call, id),
        Resource::WatchedFolder(id) => watched::remove(call, id).await,
        Resource::Storage => media::storage(call).await,
        Resource::Queue => queue::totals(&call),
        Resource::PauseQueue(paused) => queue::pause(call, paused).await,
        Resource::Jobs => queue::jobs(&call),
        Resource::Job(job) => queue::job(&call, &job),
        Resource::OrderJob(job, order) => queue::order(call, &job, order).await,
        Resource::Tokens => tokens::create(call).await,
        Resource::Platforms => destinations::platforms(&call),
        Resource::Events => events::subscribe(call).await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";

    #[test]
    fn paths_lead_to_resources_and_nothing_else_does() {
        let id: ChannelId = ID.parse().unwrap();
        assert_eq!(
            Resource::at(&["channels", ID]).unwrap(),
            Resource::Channel(id)
        );
        let skip = Resource::at(&["channels", ID, "skip"]).unwrap();
        assert_eq!(skip, Resource::Operation(id, Operation::Skip));
        let simple = ID.replace('-', "");
        for path in [
            &[][..],
            &[""],
            &["channels", ""],
            &["channels", "7"],
            &["channels", &simple],
            &["channels", ID, ""],
            &["channels", ID, "explode"],
            &["channels", ID, "outputs", "metrics", "x"],
            &["media", ID, "thumbnail", "x"],
            &["Channels"],
        ] {
            assert!(Resource::at(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_bearer_token_is_read_as_rfc_6750_writes_it() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
