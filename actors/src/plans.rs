//! Keeps clients within their plans: notes who has come above a limit, tells of each channel that is on air beyond it, and takes
//! it off air when the grace is over.
//!
//! Invariant: nothing goes off air before its client was told for as long as the grace lasts.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use playout_domain::AlertKind;
use playout_domain::alert::{Key, Report, Subject};
use playout_domain::lifecycle::Operation;
use playout_store::{Beyond, Principal, Store};
use tokio::time::{MissedTickBehavior, interval};

use crate::alerts::ErrorHandler;
use crate::stores::Takers;
use crate::supervise::{ChildSpec, Stopping};
use crate::tree;

/// How often it is looked; more often where the grace is short.
const EVERY: Duration = Duration::from_secs(30);
const LEAST: Duration = Duration::from_secs(1);

/// What has to run; `grace` of nothing: nothing goes off air.
pub(crate) fn child(
    store: &Store,
    alerts: &ErrorHandler,
    takers: &Takers,
    grace: Duration,
) -> ChildSpec {
    let (store, alerts, takers) = (store.clone(), alerts.clone(), takers.clone());
    tree::PLANS.task(move |stopping| {
        keep(
            store.clone(),
            alerts.clone(),
            takers.clone(),
            grace,
            stopping,
        )
    })
}

async fn keep(
    store: Store,
    alerts: ErrorHandler,
    takers: Takers,
    grace: Duration,
    mut stopping: Stopping,
) -> Result<(), String> {
    let every = match grace.is_zero() {
        true => EVERY,
        false => (grace / 4).clamp(LEAST, EVERY),
    };
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.asked() => return Ok(()),
            _ = tick.tick() => {}
        }
        let turn = async {
            match store.note_over_limits().await {
                Ok(beyond) => {
                    // Each daemon its own.
                    let ours = |beyond: &Beyond| store.lease(beyond.channel).is_some();
                    let beyond: Vec<_> = beyond.into_iter().filter(ours).collect();
                    tell(&alerts, &beyond, grace);
                    take_off(&takers, &beyond, grace).await;
                }
                Err(error) => tracing::debug!(%error, "who is above a limit is seen later"),
            }
        };
        tokio::select! {
            () = stopping.asked() => return Ok(()),
            () = turn => {}
        }
    }
}

/// When a channel goes off air; nothing: never.
fn ends(beyond: &Beyond, grace: Duration) -> Option<Timestamp> {
    let grace = SignedDuration::try_from(grace)
        .ok()
        .filter(|grace| !grace.is_zero())?;
    beyond.since.checked_add(grace).ok()
}

fn tell(alerts: &ErrorHandler, beyond: &[Beyond], grace: Duration) {
    let key = |channel| Key::new(AlertKind::ChannelOverLimit, Subject::Channel(channel));
    let told = alerts.open_of(AlertKind::ChannelOverLimit);
    let now: BTreeSet<Key> = beyond.iter().map(|beyond| key(beyond.channel)).collect();
    for over in told.iter().filter(|told| !now.contains(told)) {
        alerts.recovered(*over);
    }
    for beyond in beyond
        .iter()
        .filter(|beyond| !told.contains(&key(beyond.channel)))
    {
        let then = match ends(beyond, grace) {
            Some(at) => format!("it goes off air at {at:.0}"),
            None => "it stays on air, and does not start again".to_owned(),
        };
        alerts.raise(Report {
            key: key(beyond.channel),
            client: beyond.client,
            name: Some(beyond.name.clone()),
            error: format!(
                "{} is {}, and the plan allows {}: {then}",
                beyond.exceeded.limit.name(),
                beyond.exceeded.current,
                beyond.exceeded.allowed
            ),
        });
    }
}

/// Takes off air what was told of for long enough.
async fn take_off(takers: &Takers, beyond: &[Beyond], grace: Duration) {
    let channels = takers
        .borrow()
        .as_ref()
        .map(|(channels, ..)| channels.clone());
    let Some(channels) = channels else { return };
    let daemon = Principal::daemon();
    let over = |beyond: &&Beyond| ends(beyond, grace).is_some_and(|at| at <= Timestamp::now());
    for beyond in beyond.iter().filter(over) {
        let stopped = channels.operate(&daemon, beyond.channel, Operation::Stop);
        match stopped.await {
            Ok(_) => {
                tracing::warn!(channel = %beyond.channel, client = %beyond.client, exceeded = %beyond.exceeded, "off air: the grace is over")
            }
            Err(error) => {
                tracing::debug!(channel = %beyond.channel, %error, "it goes off air later")
            }
        }
    }
}
