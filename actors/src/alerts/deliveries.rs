//! The handle's half that shows deliveries, tries dead ones again, and tests routes.

use playout_domain::alert::delivery::{Delivery, Outcome};
use playout_domain::{AlertRouteId, DeliveryId};
use playout_store::{DeliveryFilter, Principal};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{ErrorHandler, desk};
use crate::error::OpError;

/// What came of a test of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Whether the receiver has taken it.
    pub delivered: bool,
    /// Why not.
    pub error: Option<String>,
}

impl ErrorHandler {
    /// The deliveries that `who` may see, newest first: those made before `before`, `limit` at most.
    ///
    /// # Errors
    /// The store fails.
    pub async fn deliveries(
        &self,
        who: &Principal,
        filter: DeliveryFilter,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>, OpError> {
        let stored = self
            .inner
            .store
            .alert_deliveries(who, filter, before, limit);
        self.inner.after_writing(stored).await
    }

    /// Has a dead delivery tried again, at once.
    ///
    /// # Errors
    /// There is none that `who` may see; it is not dead.
    pub async fn retry_delivery(
        &self,
        who: &Principal,
        id: DeliveryId,
    ) -> Result<Delivery, OpError> {
        let putting_back = self.inner.store.put_back_delivery(who, id);
        let delivery = match self.inner.after_writing(putting_back).await {
            Err(OpError::NotFound(_)) => return Err(OpError::NotFound("alert delivery")),
            other => other?,
        };
        let mut desk = self.inner.desk();
        desk.outbox.trust(delivery.route);
        desk.deliver(delivery.clone(), desk::now());
        drop(desk);
        self.inner.to_deliver.notify_one();
        Ok(delivery)
    }

    /// Tells a route of nothing, once, and waits for what comes of it; also where it is switched off.
    ///
    /// # Errors
    /// There is no such route that `who` may see.
    pub async fn test_route(
        &self,
        who: &Principal,
        id: AlertRouteId,
    ) -> Result<TestResult, OpError> {
        let stored = self.inner.seen(who, id)?;
        let payload = json!({
            "type": "alert.test",
            "timestamp": desk::now(),
            "data": {
                "title": "A test of this alert route",
                "detail": "Somebody asked the daemon to send this. Nothing is wrong.",
                "routeId": id,
            },
        });
        let message = Uuid::now_v7().to_string();
        let outcome = self.inner.send(&stored, &message, &payload).await;
        let error = match outcome {
            Outcome::Delivered => None,
            Outcome::Failed(why) | Outcome::Refused(why) | Outcome::Unwanted(why) => Some(why),
        };
        Ok(TestResult {
            delivered: error.is_none(),
            error,
        })
    }
}
