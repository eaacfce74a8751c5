//! What the daemon decides by itself about a client's channel, in the audit of that client.

use playout_domain::{ChannelId, ClientId};
use serde_json::Value;

use super::{Change, record};
use crate::Store;
use crate::error::StoreError;
use crate::limits::LockedClient;
use crate::principal::Principal;

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeDecision {
    /// Whose channel.
    pub client: ClientId,
    /// About which channel.
    pub channel: ChannelId,
    /// What was decided, such as `admission.wait`.
    pub operation: &'static str,
    /// What follows from it.
    pub detail: Value,
}

impl Store {
    /// Writes a decision of the daemon to the audit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when that cannot be done now; [`StoreError::NotFound`]: the client is gone.
    pub async fn audit_decision(&self, decision: &NodeDecision) -> Result<(), StoreError> {
        let decision = decision.clone();
        self.database()
            .transact(move |tx| {
                Box::pin(async move {
                    LockedClient::lock(tx, decision.client).await?;
                    let subject = decision.channel.uuid();
                    let after = Some(decision.detail);
                    let change =
                        Change::between(decision.operation, "channel", subject, None, after);
                    record(tx, decision.client, &Principal::daemon(), change).await
                })
            })
            .await
    }
}
