//! Follows the certificate of the listeners, and raises the alert on it.

use playout_actors::ErrorHandler;
use playout_domain::alert::{AlertKind, Key, Report, Subject};
use playout_store::operator;
use tokio::sync::watch;

use crate::facade::tls::Tls;

const CERTIFICATE: Key = Key::new(AlertKind::CertificateTrouble, Subject::Daemon);

/// From here on new files are taken, and what is wrong with them is an alert.
pub(super) fn follow(tls: Tls, alerts: ErrorHandler) {
    let (tell, mut trouble) = watch::channel(None);
    tokio::spawn(tls.follow(tell));
    tokio::spawn(async move {
        // The first look is always told: an earlier run may have left the alert open.
        while trouble.changed().await.is_ok() {
            let told = trouble.borrow_and_update().clone();
            match told {
                Some(error) => alerts.raise(Report {
                    key: CERTIFICATE,
                    client: operator(),
                    name: None,
                    error,
                }),
                None => alerts.recovered(CERTIFICATE),
            }
        }
    });
}

/// There is no certificate any more whose alert an earlier run may have left open.
pub(super) fn none(alerts: &ErrorHandler) {
    alerts.recovered(CERTIFICATE);
}
