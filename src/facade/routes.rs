//! THE table of the API: every path below `/api/v1`, what may be done there, which scope that needs, and who does it.
//! Requests are led by it, and the OpenAPI document is written from it.

use std::str::FromStr;

use futures_util::future::BoxFuture;
use playout_domain::lifecycle::Operation as Order;
use playout_domain::limits::Limit;
use playout_domain::plans::PlanName;
use playout_domain::prepare::{JobId, JobOrder};
use playout_domain::{
    AlertId, AlertRouteId, ArrivalId, ChannelId, ClientId, DeliveryId, DestinationId, MediaId,
    SlotId, TokenId, WatchedFolderId, WebhookDeliveryId, WebhookId,
};
use playout_store::Scope;
use warp::http::Method;
use warp::reply::Response;

use super::api::{self, Call};
use super::guide::{self, Format};
use super::problem::Problem;
use super::schedule::{self, Part};
use super::{
    alert_routes, alerts, as_run, audit, bulk, channel_list, channels, clients, destinations,
    events, logo, media, node, overlay, plans, queue, sessions, subtitles, tokens, uploads,
    watched, webhooks,
};

/// A path of the API.
pub(super) struct Route {
    /// As OpenAPI writes it, below `/api/v1`: `/channels/{channelId}`.
    pub(super) template: &'static str,
    /// What is spoken there.
    pub(super) protocol: Protocol,
    /// What may be done there, at least one thing.
    pub(super) operations: &'static [Operation],
}

/// What is spoken at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// JSON over HTTP.
    Http,
    /// Resumable uploads (tus 1.0).
    Tus,
}

/// What a method does at a path.
pub(super) struct Operation {
    /// The method.
    pub(super) method: Method,
    /// Its name in the OpenAPI document.
    pub(super) id: &'static str,
    /// What it does: one sentence.
    pub(super) summary: &'static str,
    /// What a token has to have for it.
    pub(super) scope: Scope,
    /// What has to work for it.
    pub(super) needs: Needs,
    /// Reads the values in the path, and answers what does the work.
    pub(super) bind: fn(&[String]) -> Result<Work, Problem>,
}

/// What has to work for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it reads, or is recorded elsewhere while the database is away, or changes nothing.
    Nothing,
    /// It changes something that has to be in the database at once.
    Database,
}

/// What does the work.
pub(super) type Work =
    Box<dyn FnOnce(Call) -> BoxFuture<'static, Result<Response, Problem>> + Send>;

impl Route {
    /// The methods it takes, besides `HEAD` and `OPTIONS`.
    pub(super) fn methods(&self) -> Vec<Method> {
        let methods = self.operations.iter().map(|operation| &operation.method);
        methods.cloned().collect()
    }

    /// What `method` does.
    pub(super) fn operation(&self, method: &Method) -> Option<&Operation> {
        let mut operations = self.operations.iter();
        operations.find(|operation| operation.method == *method)
    }

    /// The values in a path that is this one.
    fn values(&self, path: &[&str]) -> Option<Vec<String>> {
        let mut values = Vec::new();
        let mut path = path.iter();
        for wanted in self.template.split('/').skip(1) {
            match path.next()? {
                value if wanted.starts_with('{') => values.push((*value).to_owned()),
                segment if *segment == wanted => {}
                _ => return None,
            }
        }
        path.next().is_none().then_some(values)
    }
}

/// The route of `path`, the segments after `/api/v1`, and the values in it.
///
/// # Errors
/// 404: no such route, or an id that is none.
pub(super) fn at(path: &[&str]) -> Result<(&'static Route, Vec<String>), Problem> {
    let found = ROUTES
        .iter()
        .find_map(|route| Some((route, route.values(path)?)));
    let (route, values) = found.ok_or_else(|| Problem::not_found("route"))?;
    if let Some(first) = route.operations.first() {
        drop((first.bind)(&values)?);
    }
    Ok((route, values))
}

/// A value in a path.
trait PathValue: Sized {
    /// # Errors
    /// 404: nothing has such a name.
    fn read(text: &str) -> Result<Self, Problem>;
}

macro_rules! ids {
    ($($id:ty: $what:literal),* $(,)?) => {$(
        impl PathValue for $id {
            fn read(text: &str) -> Result<Self, Problem> {
                api::id(text, $what)
            }
        }
    )*};
}

ids! {
    AlertId: "alert",
    AlertRouteId: "alert route",
    ArrivalId: "upload or import",
    ChannelId: "channel",
    ClientId: "client",
    DeliveryId: "alert delivery",
    DestinationId: "destination",
    MediaId: "media item",
    SlotId: "slot",
    TokenId: "token",
    WatchedFolderId: "watched folder",
    WebhookDeliveryId: "webhook delivery",
    WebhookId: "webhook",
}

impl PathValue for JobOrder {
    fn read(text: &str) -> Result<Self, Problem> {
        Self::named(text).ok_or_else(|| Problem::not_found("route"))
    }
}

impl PathValue for Limit {
    fn read(text: &str) -> Result<Self, Problem> {
        text.parse().map_err(|_| Problem::not_found("limit"))
    }
}

impl PathValue for PlanName {
    fn read(text: &str) -> Result<Self, Problem> {
        text.parse().map_err(|_| Problem::not_found("plan"))
    }
}

impl PathValue for String {
    fn read(text: &str) -> Result<Self, Problem> {
        String::from_str(text).map_err(|never| match never {})
    }
}

/// Writes the table: of each path its operations, of each the method, the scope it needs (`anytime`: whether or not the
/// database works), its name, a sentence, and the work, which takes the call and the values in the path.
macro_rules! routes {
    ($($template:literal $(($protocol:ident))? {
        $($method:ident $scope:ident $(($anytime:ident))? $id:ident $summary:literal
            |$call:ident $(, $value:ident: $type:ty)*| $work:expr;)*
    })*) => {
        /// Every path. The first that fits is taken, so words come before values.
        pub(super) static ROUTES: &[Route] = &[$(
            Route {
                template: $template,
                protocol: routes!(@protocol $($protocol)?),
                operations: &[$(
                    Operation {
                        method: Method::$method,
                        id: stringify!($id),
                        summary: $summary,
                        scope: Scope::$scope,
                        needs: routes!(@needs $method $($anytime)?),
                        bind: |values| {
                            let [$($value),*] = values else {
                                return Err(Problem::not_found("route"));
                            };
                            $(let $value: $type = PathValue::read($value)?;)*
                            Ok(Box::new(move |$call: Call| Box::pin(async move { $work })))
                        },
                    },
                )*],
            },
        )*];
    };
    (@protocol) => { Protocol::Http };
    (@protocol tus) => { Protocol::Tus };
    (@needs GET) => { Needs::Nothing };
    (@needs $method:ident) => { Needs::Database };
    (@needs $method:ident anytime) => { Needs::Nothing };
}

routes! {
    "/channels" {
        GET Read listChannels "The channels, or those that a selector means or that have a status." |call| channel_list::list(call).await;
        POST Configure createChannel "Creates a channel, STOPPED." |call| channels::create(call).await;
    }
    "/channels/bulk" {
        POST Read (anytime) bulkChannels "Does one thing to many channels, each by itself, with a result for each." |call| bulk::bulk(call).await;
    }
    "/channels/{channelId}" {
        GET Read getChannel "A channel with its configuration." |call, id: ChannelId| channels::get(call, id).await;
        PATCH Configure updateChannel "Changes a channel by JSON merge patch." |call, id: ChannelId| channels::update(call, id).await;
        DELETE Configure deleteChannel "Deletes a channel that is off air." |call, id: ChannelId| channels::delete(call, id).await;
    }
    "/channels/{channelId}/start" {
        POST Operate (anytime) startChannel "Puts a channel on air." |call, id: ChannelId| channels::operate(call, id, Order::Start).await;
    }
    "/channels/{channelId}/stop" {
        POST Operate (anytime) stopChannel "Takes a channel off air." |call, id: ChannelId| channels::operate(call, id, Order::Stop).await;
    }
    "/channels/{channelId}/restart" {
        POST Operate (anytime) restartChannel "Begins a channel anew; viewers keep their playlist." |call, id: ChannelId| channels::operate(call, id, Order::Restart).await;
    }
    "/channels/{channelId}/skip" {
        POST Operate skipItem "Ends the item that is on air." |call, id: ChannelId| channels::operate(call, id, Order::Skip).await;
    }
    "/channels/{channelId}/status" {
        GET Read getChannelStatus "How a channel does." |call, id: ChannelId| channels::status(call, id).await;
    }
    "/channels/{channelId}/health" {
        GET Read getChannelHealth "Whether a channel is well, check by check." |call, id: ChannelId| channels::health(call, id).await;
    }
    "/channels/{channelId}/processes" {
        GET Read getChannelProcesses "The processes of a channel and what they use." |call, id: ChannelId| channels::processes(call, id).await;
    }
    "/channels/{channelId}/outputs" {
        GET Read getOutputs "Where a channel goes." |call, id: ChannelId| channels::outputs(call, id).await;
    }
    "/channels/{channelId}/outputs/metrics" {
        GET Read getOutputMetrics "What its outputs have sent." |call, id: ChannelId| channels::output_metrics(call, id).await;
    }
    "/channels/{channelId}/destinations" {
        GET Read listDestinations "Where a channel is pushed to by RTMP." |call, id: ChannelId| destinations::list(call, id).await;
        POST Configure addDestination "Adds a destination." |call, id: ChannelId| destinations::add(call, id).await;
    }
    "/channels/{channelId}/destinations/{destinationId}" {
        GET Read getDestination "One destination." |call, id: ChannelId, destination: DestinationId| destinations::get(call, id, destination).await;
        PATCH Configure updateDestination "Changes a destination by JSON merge patch." |call, id: ChannelId, destination: DestinationId| destinations::change(call, id, destination).await;
        DELETE Configure removeDestination "Removes a destination." |call, id: ChannelId, destination: DestinationId| destinations::remove(call, id, destination).await;
    }
    "/channels/{channelId}/destinations/{destinationId}/validate" {
        POST Operate (anytime) validateDestination "Asks the far end whether it would take the stream." |call, id: ChannelId, destination: DestinationId| destinations::validate(call, id, destination).await;
    }
    "/channels/{channelId}/rotation" {
        GET Read getRotation "What plays where no slot is." |call, id: ChannelId| schedule::get(call, id, Part::Rotation).await;
        PUT Configure replaceRotation "Puts another rotation in its place." |call, id: ChannelId| schedule::replace(call, id, Part::Rotation).await;
    }
    "/channels/{channelId}/blocks" {
        GET Read getBlocks "The blocks: sequences that are played as one." |call, id: ChannelId| schedule::get(call, id, Part::Blocks).await;
        PUT Configure replaceBlocks "Puts other blocks in their place." |call, id: ChannelId| schedule::replace(call, id, Part::Blocks).await;
    }
    "/channels/{channelId}/templates" {
        GET Read getTemplates "The templates of days." |call, id: ChannelId| schedule::get(call, id, Part::Templates).await;
        PUT Configure replaceTemplates "Puts other templates in their place." |call, id: ChannelId| schedule::replace(call, id, Part::Templates).await;
    }
    "/channels/{channelId}/slots" {
        GET Read getSlots "What begins by the clock." |call, id: ChannelId| schedule::get(call, id, Part::Slots).await;
        PUT Configure replaceSlots "Puts other slots in their place." |call, id: ChannelId| schedule::replace(call, id, Part::Slots).await;
        POST Configure addSlots "Adds one or more slots." |call, id: ChannelId| schedule::add_slots(call, id).await;
        DELETE Configure clearSlots "Removes every slot." |call, id: ChannelId| schedule::clear_slots(call, id).await;
    }
    "/channels/{channelId}/slots/{slotId}" {
        GET Read getSlot "One slot." |call, id: ChannelId, slot: SlotId| schedule::slot(call, id, slot).await;
        PATCH Configure updateSlot "Changes or moves a slot." |call, id: ChannelId, slot: SlotId| schedule::change_slot(call, id, slot).await;
        DELETE Configure removeSlot "Removes a slot." |call, id: ChannelId, slot: SlotId| schedule::remove_slot(call, id, slot).await;
    }
    "/channels/{channelId}/play" {
        POST Operate playItem "Plays an item at once, or next." |call, id: ChannelId| schedule::play(call, id).await;
    }
    "/channels/{channelId}/plan" {
        GET Read getChannelPlan "What is on air when." |call, id: ChannelId| channels::plan(call, id).await;
    }
    "/channels/{channelId}/logo" {
        GET Read getLogo "The logo." |call, id: ChannelId| logo::get(call, id).await;
        PUT Configure putLogo "Draws a PNG over all that is played." |call, id: ChannelId| logo::put(call, id).await;
        DELETE Configure deleteLogo "Takes the logo away." |call, id: ChannelId| logo::delete(call, id).await;
    }
    "/channels/{channelId}/overlay" {
        GET Read getOverlay "What is drawn for a while." |call, id: ChannelId| overlay::get(call, id).await;
        PUT Configure putOverlay "Draws a lower third or a clock." |call, id: ChannelId| overlay::put(call, id).await;
        DELETE Configure deleteOverlay "Takes the overlay away." |call, id: ChannelId| overlay::delete(call, id).await;
    }
    "/channels/{channelId}/epg.json" {
        GET Read getChannelGuide "What a channel shows when, for viewers, as JSON." |call, id: ChannelId| guide::epg(call, Some(id), Format::Json).await;
    }
    "/channels/{channelId}/epg.xml" {
        GET Read getChannelXmltv "The same as XMLTV." |call, id: ChannelId| guide::epg(call, Some(id), Format::Xmltv).await;
    }
    "/channels/{channelId}/as-run" {
        GET Read getAsRun "What really went out, as JSON or CSV." |call, id: ChannelId| as_run::as_run(call, id).await;
    }
    "/channels/{channelId}/history" {
        GET Read getChannelHistory "What failed on a channel, and what was done about it." |call, id: ChannelId| alerts::history(call, id).await;
    }
    "/epg.json" {
        GET Read getGuide "What all channels show when, as JSON." |call| guide::epg(call, None, Format::Json).await;
    }
    "/epg.xml" {
        GET Read getXmltv "The same as XMLTV." |call| guide::epg(call, None, Format::Xmltv).await;
    }
    "/channels.m3u" {
        GET Read getStations "The channels as an M3U playlist." |call| guide::stations(call).await;
    }
    "/alerts" {
        GET Read listAlerts "What is wrong, newest first." |call| alerts::list(call).await;
    }
    "/alerts/{alertId}" {
        GET Read getAlert "One alert." |call, id: AlertId| alerts::get(call, id).await;
    }
    "/alerts/{alertId}/acknowledge" {
        POST Operate acknowledgeAlert "Says that somebody is at it." |call, id: AlertId| alerts::acknowledge(call, id).await;
    }
    "/alert-routes" {
        GET Read listAlertRoutes "Who is told of alerts." |call| alert_routes::list(call).await;
        POST Configure createAlertRoute "Tells somebody more." |call| alert_routes::create(call).await;
    }
    "/alert-routes/{alertRouteId}" {
        GET Read getAlertRoute "One route." |call, id: AlertRouteId| alert_routes::get(call, id).await;
        PATCH Configure updateAlertRoute "Changes a route by JSON merge patch." |call, id: AlertRouteId| alert_routes::update(call, id).await;
        DELETE Configure deleteAlertRoute "Tells nobody by it any more." |call, id: AlertRouteId| alert_routes::delete(call, id).await;
    }
    "/alert-routes/{alertRouteId}/test" {
        POST Operate testAlertRoute "Sends a test by a route." |call, id: AlertRouteId| alert_routes::test(call, id).await;
    }
    "/alert-deliveries" {
        GET Read listAlertDeliveries "What was told, and what could not be." |call| alerts::deliveries(call).await;
    }
    "/alert-deliveries/{deliveryId}/retry" {
        POST Operate retryAlertDelivery "Tells it again." |call, id: DeliveryId| alerts::retry(call, id).await;
    }
    "/webhooks" {
        GET Read listWebhooks "Who is told of events." |call| webhooks::list(call).await;
        POST Configure createWebhook "Tells somebody what happens; its secret is in this answer alone." |call| webhooks::create(call).await;
    }
    "/webhooks/{webhookId}" {
        GET Read getWebhook "One webhook." |call, id: WebhookId| webhooks::get(call, id).await;
        PATCH Configure updateWebhook "Changes a webhook by JSON merge patch." |call, id: WebhookId| webhooks::update(call, id).await;
        DELETE Configure deleteWebhook "Tells nobody by it any more." |call, id: WebhookId| webhooks::delete(call, id).await;
    }
    "/webhooks/{webhookId}/rotate" {
        POST Configure rotateWebhook "Gives a webhook another secret; both sign for a day." |call, id: WebhookId| webhooks::rotate(call, id).await;
    }
    "/webhooks/{webhookId}/test" {
        POST Operate testWebhook "Sends a webhook a test." |call, id: WebhookId| webhooks::test(call, id).await;
    }
    "/webhooks/{webhookId}/replay" {
        POST Operate replayWebhook "Sends what happened in a span of time again." |call, id: WebhookId| webhooks::replay_span(call, id).await;
    }
    "/webhooks/{webhookId}/deliveries" {
        GET Read listWebhookDeliveries "What a webhook was told, and what it was not, newest first." |call, id: WebhookId| webhooks::deliveries(call, id).await;
    }
    "/webhooks/{webhookId}/deliveries/{webhookDeliveryId}" {
        GET Read getWebhookDelivery "One delivery, with what was sent and how it was answered." |call, id: WebhookId, of: WebhookDeliveryId| webhooks::delivery(call, id, of).await;
    }
    "/webhooks/{webhookId}/deliveries/{webhookDeliveryId}/replay" {
        POST Operate replayWebhookDelivery "Sends a delivery again." |call, id: WebhookId, of: WebhookDeliveryId| webhooks::replay(call, id, of).await;
    }
    "/media" {
        GET Read listMedia "Lists, filters and searches the library." |call| media::list(call).await;
        POST Configure importMedia "Imports a path or a URL." |call| media::import(call).await;
    }
    "/media/uploads" (tus) {
        POST Configure createUpload "Begins a resumable upload (tus 1.0)." |call| uploads::create(call).await;
    }
    "/media/uploads/{uploadId}" (tus) {
        GET Read getUpload "How far an upload is." |call, id: ArrivalId| uploads::look(call, id).await;
        PATCH Configure writeUpload "Sends a piece of an upload." |call, id: ArrivalId| uploads::write(call, id).await;
        DELETE Configure endUpload "Ends an upload." |call, id: ArrivalId| uploads::end(call, id).await;
    }
    "/media/imports" {
        GET Read listImports "Imports by URL." |call| media::imports(call).await;
    }
    "/media/imports/{importId}" {
        GET Read getImport "One import." |call, id: ArrivalId| media::an_import(call, id).await;
        DELETE Configure endImport "Ends an import." |call, id: ArrivalId| media::end_import(call, id).await;
    }
    "/media/watched" {
        GET Read listWatchedFolders "Folders whose files are imported as they come." |call| watched::list(&call);
        POST Configure addWatchedFolder "Watches a folder." |call| watched::add(call).await;
    }
    "/media/watched/{watchedFolderId}" {
        GET Read getWatchedFolder "One watched folder." |call, id: WatchedFolderId| watched::get(&call, id);
        DELETE Configure removeWatchedFolder "Watches a folder no more." |call, id: WatchedFolderId| watched::remove(call, id).await;
    }
    "/media/storage" {
        GET Read getStorage "What is used of the plan." |call| media::storage(call).await;
    }
    "/media/queue" {
        GET Read getPrepareQueue "The prepare queue as a whole." |call| queue::totals(&call);
    }
    "/media/queue/pause" {
        POST Admin pausePrepareQueue "Begins no more jobs." |call| queue::pause(call, true).await;
    }
    "/media/queue/resume" {
        POST Admin resumePrepareQueue "Begins jobs again." |call| queue::pause(call, false).await;
    }
    "/media/queue/jobs" {
        GET Read listPrepareJobs "Its jobs, in the order of their turns." |call| queue::jobs(&call);
    }
    "/media/{mediaId}" {
        GET Read getMedia "One item." |call, id: MediaId| media::get(call, id).await;
        PATCH Configure updateMedia "Changes what is said about an item." |call, id: MediaId| media::update(call, id).await;
        DELETE Configure deleteMedia "Removes an item from the library; its file stays." |call, id: MediaId| media::delete(call, id).await;
    }
    "/media/{mediaId}/thumbnail" {
        GET Read getThumbnail "A picture of an item." |call, id: MediaId| media::thumbnail(call, id).await;
    }
    "/media/{mediaId}/subtitles" {
        GET Read listSubtitles "The languages in which an item can be read along." |call, id: MediaId| subtitles::list(&call, id);
    }
    "/media/{mediaId}/subtitles/{language}" {
        GET Read getSubtitles "One of them, as WebVTT." |call, id: MediaId, language: String| subtitles::get(call, id, &language).await;
        PUT Configure putSubtitles "Attaches SRT or WebVTT." |call, id: MediaId, language: String| subtitles::attach(call, id, &language).await;
        DELETE Configure deleteSubtitles "Takes one away." |call, id: MediaId, language: String| subtitles::remove(call, id, &language).await;
    }
    "/media/{mediaId}/renditions/{profileKey}" {
        GET Read getPrepareJob "One job of the queue." |call, id: MediaId, profile: String| queue::job(&call, &JobId::new(id, profile));
    }
    "/media/{mediaId}/renditions/{profileKey}/{order}" {
        POST Operate orderPrepareJob "Orders a job: pause, resume, cancel, retry, next." |call, id: MediaId, profile: String, order: JobOrder| queue::order(call, &JobId::new(id, profile), order).await;
    }
    "/tokens" {
        GET Configure listTokens "Access tokens, without their secrets." |call| tokens::list(call).await;
        POST Configure createToken "Makes a token; its secret is in this answer alone." |call| tokens::create(call).await;
    }
    "/tokens/{tokenId}" {
        GET Configure getToken "One token." |call, id: TokenId| tokens::get(call, id).await;
        DELETE Configure revokeToken "Ends a token at once." |call, id: TokenId| tokens::revoke(call, id).await;
    }
    "/tokens/{tokenId}/rotate" {
        POST Configure rotateToken "Gives a token another secret." |call, id: TokenId| tokens::rotate(call, id).await;
    }
    "/audit" {
        GET Read searchAudit "Who changed what, as JSON, CSV or JSON lines." |call| audit::list(call).await;
    }
    "/node" {
        GET Admin getNode "What this node has for channels, and who waits for a place." |call| node::get(&call);
    }
    "/session" {
        GET Read getSession "Who one is." |call| sessions::get(&call);
        POST Read beginSession "Exchanges a token for the session of a browser." |call| sessions::begin(call).await;
        DELETE Read endSession "Ends the session." |call| sessions::end(call).await;
    }
    "/clients" {
        GET Read listClients "The owners of channels and media." |call| clients::list(call).await;
        POST Admin createClient "Makes a client." |call| clients::create(call).await;
    }
    "/clients/{clientId}" {
        GET Read getClient "One client." |call, id: ClientId| clients::get(call, id).await;
        PATCH Admin updateClient "Changes the name or the plan of a client." |call, id: ClientId| clients::update(call, id).await;
        DELETE Admin deleteClient "Deletes a client that has nothing." |call, id: ClientId| clients::delete(call, id).await;
    }
    "/clients/{clientId}/limits" {
        GET Read getClientLimits "What a client is allowed, and what it uses of it." |call, id: ClientId| clients::limits(call, id).await;
    }
    "/clients/{clientId}/limits/check" {
        POST Read (anytime) checkClientLimits "Whether an operation would be allowed now." |call, id: ClientId| clients::check(call, id).await;
    }
    "/clients/{clientId}/overrides/{limit}" {
        GET Read getOverride "What is overridden of a limit of a client." |call, id: ClientId, limit: Limit| clients::limit_override(call, id, limit).await;
        PUT Admin putOverride "Overrides a limit of a client." |call, id: ClientId, limit: Limit| clients::put_override(call, id, limit).await;
        DELETE Admin deleteOverride "Lets the plan count again." |call, id: ClientId, limit: Limit| clients::delete_override(call, id, limit).await;
    }
    "/plans" {
        GET Read listPlans "The plans, lowest tier first." |call| plans::list(call).await;
    }
    "/plans/{plan}" {
        GET Read getPlan "One plan." |call, name: PlanName| plans::get(call, name).await;
        PUT Admin putPlan "Makes or replaces a plan." |call, name: PlanName| plans::put(call, name).await;
        DELETE Admin deletePlan "Deletes a plan that no client is on." |call, name: PlanName| plans::delete(call, name).await;
    }
    "/platforms" {
        GET Read listPlatforms "Where platforms take streams, and what they ask of them." |call| destinations::platforms(&call);
    }
    "/events" {
        GET Read followEvents "What happens, as it happens (server-sent events)." |call| events::subscribe(call).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;

    const ID: &str = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";

    #[test]
    fn paths_lead_to_routes_and_nothing_else_does() {
        let template = |path: &[&str]| at(path).map(|(route, _)| route.template);
        assert_eq!(
            template(&["channels", ID]).unwrap(),
            "/channels/{channelId}"
        );
        let skip = template(&["channels", ID, "skip"]).unwrap();
        assert_eq!(skip, "/channels/{channelId}/skip");
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
            &["media", ID, "renditions", "p", "explode"],
            &["Channels"],
        ] {
            assert!(at(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn every_route_is_reached_and_every_operation_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for route in ROUTES {
            let path = route.template.replace("{order}", "pause");
            let path = path.replace("{limit}", "maxLive");
            let path: Vec<&str> = path
                .split('/')
                .skip(1)
                .map(|segment| {
                    if segment.starts_with('{') {
                        ID
                    } else {
                        segment
                    }
                })
                .collect();
            let (found, values) = at(&path).unwrap_or_else(|_| panic!("{}", route.template));
            assert_eq!(found.template, route.template, "another is before it");
            for operation in route.operations {
                assert!((operation.bind)(&values).is_ok(), "{}", operation.id);
                assert!(names.insert(operation.id), "{} twice", operation.id);
                let reads = operation.method == Method::GET;
                assert!(!reads || operation.needs == Needs::Nothing);
            }
            let methods: HashSet<_> = route.methods().into_iter().collect();
            assert_eq!(methods.len(), route.operations.len(), "{}", route.template);
        }
    }
}
