//! The handle's half that keeps routes: each change is committed with its audit entry, then takes effect.

use std::sync::{PoisonError, RwLockReadGuard};

use playout_domain::AlertRouteId;
use playout_domain::alert::route::{AlertRoute, RouteConfig, Target};
use playout_partners::webhook::WebhookSecret;
use playout_store::{Principal, StoreError, StoredRoute};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{ErrorHandler, Inner};
use crate::error::OpError;

pub(super) const NO_MAIL: &str =
    "the daemon has no mail server; the operator sets one as alerts.smtp";

/// A route that was just made.
#[derive(Debug, Clone)]
pub struct NewRoute {
    /// The route.
    pub route: AlertRoute,
    /// What its webhooks are signed with: shown this once.
    pub secret: Option<Zeroizing<String>>,
}

impl ErrorHandler {
    /// Makes a route for the client of `who`.
    ///
    /// # Errors
    /// Every violation; there are too many, or mail without a mail server.
    pub async fn create_route(&self, who: &Principal, value: &Value) -> Result<NewRoute, OpError> {
        let inner = &self.inner;
        let config = RouteConfig::parse(value, inner.config.policy)?;
        inner.check_mail(&config)?;
        let secret = match config.target {
            Target::Webhook(_) => {
                let made = WebhookSecret::generate().map_err(OpError::internal)?;
                Some(made.reveal())
            }
            Target::Email(_) => None,
        };
        let _changing = inner.changing.lock().await;
        let text = secret.as_ref().map(|secret| secret.as_str());
        let route = inner.store.create_alert_route(who, &config, text).await?;
        let stored = StoredRoute {
            route: route.clone(),
            secret: secret.clone(),
        };
        inner.routes_mut(|routes| routes.push(stored));
        Ok(NewRoute { route, secret })
    }

    /// The routes that `who` may see, in the order of their ids: those after `after`, `limit` at most.
    pub fn routes(
        &self,
        who: &Principal,
        after: Option<AlertRouteId>,
        limit: usize,
    ) -> Vec<AlertRoute> {
        let routes = self.inner.routes();
        let seen = routes
            .iter()
            .map(|stored| &stored.route)
            .filter(|route| who.sees(route.client) && Some(route.id) > after);
        seen.take(limit).cloned().collect()
    }

    /// A route.
    ///
    /// # Errors
    /// There is none that `who` may see.
    pub fn route(&self, who: &Principal, id: AlertRouteId) -> Result<AlertRoute, OpError> {
        Ok(self.inner.seen(who, id)?.route)
    }

    /// Changes a route by merge patch. Switched on, it forgets why it was off; switched off, what waits for
    /// it is dead.
    ///
    /// # Errors
    /// There is none that `who` may see, or it is of another version; every violation.
    pub async fn update_route(
        &self,
        who: &Principal,
        id: AlertRouteId,
        patch: &Value,
        version: Option<u64>,
    ) -> Result<AlertRoute, OpError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        let before = inner.seen(who, id)?.route;
        let config = before.config.patched(patch, inner.config.policy)?;
        inner.check_mail(&config)?;
        if config == before.config {
            OpError::unless_of_version(version, before.version())?;
            return Ok(before);
        }
        let reason = before.disabled_reason.filter(|_| !config.enabled);
        let saved = inner
            .store
            .update_alert_route(who, id, &config, reason.as_deref(), version)
            .await;
        let after = saved.map_err(no_route)?;
        inner.change_route(id, |route| *route = after.clone());
        match after.config.enabled {
            true => inner.trust(id),
            false => inner.give_up(id, "the route was switched off"),
        }
        Ok(after)
    }

    /// Deletes a route with its deliveries.
    ///
    /// # Errors
    /// There is none that `who` may see, or it is of another version.
    pub async fn delete_route(
        &self,
        who: &Principal,
        id: AlertRouteId,
        version: Option<u64>,
    ) -> Result<(), OpError> {
        let inner = &self.inner;
        let _changing = inner.changing.lock().await;
        inner.seen(who, id)?;
        let deleted = inner.store.delete_alert_route(who, id, version).await;
        deleted.map_err(no_route)?;
        inner.routes_mut(|routes| routes.retain(|stored| stored.route.id != id));
        inner.give_up(id, "the route was deleted");
        Ok(())
    }
}

impl Inner {
    pub(super) fn routes(&self) -> RwLockReadGuard<'_, Vec<StoredRoute>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller holds `changing`.
    pub(super) fn set_routes(&self, all: Vec<StoredRoute>) {
        self.routes_mut(|routes| *routes = all);
    }

    fn routes_mut(&self, change: impl FnOnce(&mut Vec<StoredRoute>)) {
        change(&mut self.routes.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes a route in memory, if it is there. The caller holds `changing`.
    pub(super) fn change_route<T>(
        &self,
        id: AlertRouteId,
        change: impl FnOnce(&mut AlertRoute) -> T,
    ) -> Option<T> {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let stored = routes.iter_mut().find(|stored| stored.route.id == id)?;
        Some(change(&mut stored.route))
    }

    /// A route that `who` may see; any other is not there.
    pub(super) fn seen(&self, who: &Principal, id: AlertRouteId) -> Result<StoredRoute, OpError> {
        let routes = self.routes();
        let mut seen = routes.iter().filter(|stored| who.sees(stored.route.client));
        let found = seen.find(|stored| stored.route.id == id).cloned();
        found.ok_or(OpError::NotFound("alert route"))
    }

    fn check_mail(&self, config: &RouteConfig) -> Result<(), OpError> {
        match config.target {
            Target::Email(_) if self.config.mailer.is_none() => Err(OpError::Conflict {
                state: "no mail server".into(),
                message: NO_MAIL.into(),
            }),
            _ => Ok(()),
        }
    }
}

/// What the store does not find is a route.
fn no_route(error: StoreError) -> OpError {
    match error {
        StoreError::NotFound => OpError::NotFound("alert route"),
        other => other.into(),
    }
}
