//! Goes on with what was open when the last daemon ended: at once, or, for a daemon that started without
//! PostgreSQL, when that is back.

use std::sync::atomic::Ordering;

use playout_domain::ChannelId;
use playout_domain::alert::Notice;
use playout_store::StoreError;

use super::{ErrorHandler, Inner, desk};

impl ErrorHandler {
    /// Goes on with what was open when the last daemon ended, if that is not known yet.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn take_up(&self) -> Result<(), StoreError> {
        let _writing = self.inner.writing.lock().await;
        self.inner.load().await
    }
}

impl ErrorHandler {
    /// Goes on with what is open on a channel that has become this daemon's.
    ///
    /// # Errors
    /// The store does not answer.
    pub(crate) async fn adopt(&self, channel: ChannelId) -> Result<(), StoreError> {
        let inner = &self.inner;
        let _writing = inner.writing.lock().await;
        let (open, pending) = tokio::try_join!(
            inner.store.open_alerts(Some(channel)),
            inner.store.pending_deliveries(Some(channel))
        )?;
        inner.desk().adopt(open, pending, desk::now());
        inner.to_deliver.notify_one();
        inner.to_wait.notify_one();
        Ok(())
    }

    /// What is open on a channel is another daemon's from now on.
    pub(crate) fn let_go(&self, channel: ChannelId) {
        self.inner.desk().let_go(channel);
    }
}

impl Inner {
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Reads alerts, deliveries and routes, once. The caller is alone at it: it starts the handler, or holds
    /// `writing`.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        if self.is_loaded() {
            return Ok(());
        }
        // A route that is made meanwhile is in what is read, or comes after it.
        let _changing = self.changing.lock().await;
        let (open, pending, routes) = tokio::try_join!(
            self.store.open_alerts(None),
            self.store.pending_deliveries(None),
            self.store.all_alert_routes()
        )?;
        self.set_routes(routes);
        let now = desk::now();
        let mut desk = self.desk();
        let anew = desk.resume(open, pending, now);
        // Until now nobody knew by which routes.
        for alert in anew.iter().filter(|alert| alert.told) {
            self.notify(&mut desk, alert, Notice::Opened, now);
        }
        drop(desk);
        self.loaded.store(true, Ordering::Release);
        self.to_deliver.notify_one();
        self.to_wait.notify_one();
        Ok(())
    }
}
