//! P8 (6.1): every change is one transaction that also holds its audit entry. Whatever is changed in whatever order:
//! what was done has exactly one entry, which says what the rows say; what was refused, failed at any of its
//! statements or at its commit, or lost its connection has left no row and no entry; where the answer was lost or
//! nobody waited for it there are both or neither.
//!
//! Real PostgreSQL, and all its rows read past the store. The failures come from triggers in it and from a proxy
//! before it; what is allowed is decided by a model, which knows rows alone.

mod steps;
mod told;

use std::collections::BTreeSet;

use playout_domain::lifecycle::Operation;
use playout_domain::limits::PlanLimits;
use playout_domain::{ChannelId, DestinationConfig, MediaId};
use playout_store::testing::{self, Manner, Proxies, TestStore, until};
use playout_store::{
    ExportedHeads, Inserted, NewToken, Order, Principal, Scopes, Store, StoreError,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::Value;
use uuid::Uuid;

use steps::{Fault, MAX_CHANNELS, MAX_DESTINATIONS, Step, TABLES, What, step, triggers};
use told::agree;

use super::stored::{
    airtime, channel, destination, in_four_worlds, moved, of, order, rows, runtime, text,
};

/// What was asked for, and what came of it.
struct Asked {
    operation: &'static str,
    /// Whose rows change; nobody knows that of a token before.
    subject: Option<Uuid>,
    /// Whether the model allows it.
    allowed: bool,
    /// Whether something changed; nothing: nobody waited for the answer.
    answer: Option<Result<bool, StoreError>>,
}

struct World {
    test: TestStore,
    proxies: Proxies,
    /// With one connection: what was begun has ended before the next begins.
    store: Store,
    session: tokio_postgres::Client,
    owner: Principal,
    stranger: Principal,
}

impl World {
    async fn new() -> Self {
        let (test, proxies) = testing::behind_proxies().await;
        let mut config = test.config().clone();
        config.pool_size = 1;
        let limits = PlanLimits {
            max_channels: Some(MAX_CHANNELS as u64),
            max_destinations: Some(MAX_DESTINATIONS as u64),
            max_live: Some(1),
            ..PlanLimits::UNLIMITED
        };
        let (owner, stranger) = (
            test.client("owner", &limits).await,
            test.client("stranger", &limits).await,
        );
        let session = test.session().await;
        session.batch_execute(&triggers()).await.unwrap();
        Self {
            store: Store::connect(&config).await.unwrap(),
            test,
            proxies,
            session,
            owner,
            stranger,
        }
    }

    async fn rows(&self) -> Value {
        let tables: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
        rows(&self.session, &tables).await
    }

    async fn strike(&self, fault: Fault) {
        let (kind, at) = match fault {
            Fault::Refused(at) => ("refuse", at),
            Fault::Cut(at) => ("cut", at),
            Fault::AtCommit => ("commit", 0),
            _ => ("none", 0),
        };
        let sql = format!(
            "DELETE FROM fault; INSERT INTO fault VALUES ('{kind}', {at}); ALTER SEQUENCE counted RESTART"
        );
        self.session.batch_execute(&sql).await.unwrap();
        if fault == Fault::Unheard {
            self.proxies
                .postgres
                .set(Manner::LoseCommits("START TRANSACTION"));
        }
    }

    /// Waits until everything that was begun has ended, and the store is as before. As a daemon does now and then,
    /// it claims what it made without hearing of it.
    async fn calm(&self) {
        self.proxies.postgres.set(Manner::Pass);
        self.strike(Fault::None).await;
        let client = self.owner.client;
        until("the store answers", async || {
            self.store.audit(client, 0, 1).await.is_ok()
                && self.store.claim_channels().await.is_ok()
        })
        .await;
    }

    async fn waited_for<T>(
        &self,
        fault: Fault,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<Result<T, StoreError>> {
        self.strike(fault).await;
        let gone = async {
            let Fault::Left(after) = fault else {
                return std::future::pending().await;
            };
            for _ in 0..after {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            done = change => Some(done),
            () = gone => None,
        }
    }

    async fn ask(&self, step: &Step, before: &Value, last: &mut Option<Order>) -> Asked {
        let who = match step.by_stranger {
            true => &self.stranger,
            false => &self.owner,
        };
        let (store, client, fault) = (&self.store, self.owner.client, step.fault);
        let known = |id: Uuid| {
            of(before, "channels")
                .iter()
                .find(|row| text(&row["id"]) == id.to_string())
        };
        let (operation, subject, allowed, answer) = match &step.what {
            What::Create(destinations, taken, gone) => {
                let mut made = channel(client, "One");
                made.config.rtmp_destinations = given(*destinations);
                let taken = taken.then(|| of(before, "channels").first()).flatten();
                if let Some(row) = taken {
                    made.id = ChannelId::from(id(row));
                }
                let item = of(before, "media").first().filter(|_| !gone);
                let fallback = item.map_or_else(Uuid::now_v7, id);
                if *gone || item.is_some() {
                    made.config.fallback_video = Some(MediaId::from(fallback));
                }
                let room = of(before, "channels").len() < MAX_CHANNELS
                    && *destinations <= MAX_DESTINATIONS;
                let airs = airtime(MediaId::from(Uuid::now_v7()));
                let done = self
                    .waited_for(fault, store.insert_channel(who, &made, &airs))
                    .await;
                let allowed = room && taken.is_none() && !gone;
                ("channel.create", made.id.uuid(), allowed, changed(done))
            }
            What::Update(at, destinations, stale, unknown) => {
                let id = chosen(before, "channels", at);
                let stored = store.channel(ChannelId::from(id)).await.unwrap();
                let mut config = stored.map_or_else(
                    || channel(client, "Two").config,
                    |stored| stored.channel.config,
                );
                config.name = format!("{} again", config.name.chars().take(40).collect::<String>());
                config.rtmp_destinations.truncate(*destinations);
                let more = *destinations - config.rtmp_destinations.len();
                config.rtmp_destinations.extend(given(more));
                if let (true, Some(one)) = (*unknown, config.rtmp_destinations.first_mut()) {
                    one.id = Some(Uuid::now_v7().into());
                }
                let wrong = *unknown && *destinations > 0;
                let version = known(id).map_or(1, |row| row["version"].as_u64().unwrap());
                let expected = version - u64::from(*stale);
                let change =
                    store.update_channel(who, ChannelId::from(id), expected, &config, None);
                let done = self.waited_for(fault, change).await;
                let allowed =
                    known(id).is_some() && !stale && !wrong && *destinations <= MAX_DESTINATIONS;
                ("channel.update", id, allowed, changed(done))
            }
            What::Order(at, operation, again) => {
                let id = chosen(before, "channels", at);
                let again = last.clone().filter(|_| *again);
                let stored = store.channel(ChannelId::from(id)).await.unwrap();
                let life = stored.map(|stored| stored.channel.life).unwrap_or_default();
                let order = again
                    .unwrap_or_else(|| order(who, client, ChannelId::from(id), &life, *operation));
                *last = Some(order.clone());
                let (id, row) = (order.channel.uuid(), known(order.channel.uuid()));
                let had = of(before, "orders")
                    .iter()
                    .any(|row| text(&row["id"]) == order.id.to_string());
                let live = of(before, "channels")
                    .iter()
                    .filter(|row| row["desired"] == "LIVE");
                let starts = order.operation != Operation::Stop
                    && row.is_some_and(|row| row["desired"] != "LIVE");
                let ours = order.who == self.owner;
                let allowed = had || ours && row.is_some() && !(starts && live.count() > 0);
                let done = self.waited_for(fault, store.order(&order)).await;
                let name = match order.operation {
                    Operation::Start => "channel.start",
                    Operation::Stop => "channel.stop",
                    _ => "channel.restart",
                };
                let done = done.map(|done| done.map(|()| !had));
                return Asked {
                    operation: name,
                    subject: Some(id),
                    allowed,
                    answer: done,
                };
            }
            What::Airtime(at, item) => {
                let id = chosen(before, "channels", at);
                let item = item
                    .map(|item| chosen(before, "media", &item))
                    .unwrap_or_else(Uuid::now_v7);
                let there = of(before, "media")
                    .iter()
                    .any(|row| text(&row["id"]) == item.to_string());
                let airs = airtime(MediaId::from(item));
                let change = store.save_airtime(Some(who), ChannelId::from(id), &airs);
                let done = self.waited_for(fault, change).await;
                (
                    "channel.airtime",
                    id,
                    known(id).is_some() && there,
                    changed(done),
                )
            }
            What::Delete(at, stale) => {
                let id = chosen(before, "channels", at);
                let version = known(id).map_or(1, |row| row["version"].as_u64().unwrap());
                let expected = Some(version - u64::from(*stale));
                let change = store.delete_channel(who, ChannelId::from(id), expected);
                let done = self.waited_for(fault, change).await;
                (
                    "channel.delete",
                    id,
                    known(id).is_some() && !stale,
                    changed(done),
                )
            }
            What::Import(file) => {
                let item = testing::media(client, format!("/films/{file}.mov"));
                let done = self.waited_for(fault, store.insert_media(who, &item)).await;
                let done = done.map(|done| done.map(|inserted| inserted == Inserted::New));
                ("media.import", item.id.uuid(), true, done)
            }
            What::Unimport(at) => {
                let id = chosen(before, "media", at);
                let there = of(before, "media")
                    .iter()
                    .any(|row| text(&row["id"]) == id.to_string());
                let named = format!("{} {}", before["channels"], before["airtime"])
                    .contains(&id.to_string());
                let done = self
                    .waited_for(fault, store.delete_media(who, MediaId::from(id), None))
                    .await;
                ("media.delete", id, there && !named, changed(done))
            }
            What::Token => {
                let new = NewToken {
                    client,
                    scopes: Scopes::CLIENT,
                    name: "script".to_owned(),
                    expires_at: None,
                };
                let done = self.waited_for(fault, store.create_token(who, new)).await;
                let (operation, allowed, answer) =
                    ("token.create", !step.by_stranger, changed(done));
                return Asked {
                    operation,
                    subject: None,
                    allowed,
                    answer,
                };
            }
        };
        Asked {
            operation,
            subject: Some(subject),
            allowed: allowed && !step.by_stranger,
            answer,
        }
    }

    async fn case(&self, steps: &[Step]) -> Result<(), TestCaseError> {
        let mut last = None;
        let mut before = self.rows().await;
        for step in steps {
            let asked = self.ask(step, &before, &mut last).await;
            self.calm().await;
            let after = self.rows().await;
            let loses = matches!(step.fault, Fault::Unheard);
            let unchanged = before == after;
            match &asked.answer {
                Some(Ok(false)) => prop_assert!(unchanged, "{step:?}"),
                Some(Ok(true)) => self.is_told(&asked, step, &before, &after)?,
                Some(Err(_)) if !loses => {
                    prop_assert!(unchanged, "{step:?} was refused: {before} {after}")
                }
                Some(Err(_)) | None if unchanged => {}
                Some(Err(_)) | None => self.is_told(&asked, step, &before, &after)?,
            }
            if let (Fault::None, Some(answer)) = (step.fault, &asked.answer) {
                prop_assert_eq!(answer.is_ok(), asked.allowed, "{:?}: {:?}", step, answer);
            }
            agree(&after)?;
            before = after;
        }
        let whole = self.test.verify_audit(&ExportedHeads::default()).await;
        prop_assert_eq!(whole.unwrap().faults, Vec::new());
        Ok(())
    }

    /// One entry more, at the end of its chain, and rows changed that are its subject's.
    fn is_told(
        &self,
        asked: &Asked,
        step: &Step,
        before: &Value,
        after: &Value,
    ) -> Result<(), TestCaseError> {
        prop_assert!(asked.allowed, "{step:?} was not to be done");
        let (was, is) = (of(before, "audit"), of(after, "audit"));
        prop_assert!(
            was.iter().all(|entry| is.contains(entry)),
            "{step:?} has changed an entry"
        );
        let new: Vec<&Value> = is.iter().filter(|entry| !was.contains(entry)).collect();
        prop_assert_eq!(new.len(), 1, "{:?}: {:?}", step, new);
        let entry = new[0];
        let subject = asked
            .subject
            .map_or_else(|| text(&entry["subject_id"]), |id| id.to_string());
        prop_assert_eq!(text(&entry["operation"]), asked.operation);
        prop_assert_eq!(text(&entry["subject_id"]), &subject[..]);
        prop_assert_eq!(text(&entry["client_id"]), self.owner.client.to_string());
        prop_assert_eq!(text(&entry["actor"]), "owner");
        prop_assert_eq!(entry["seq"].as_u64(), Some(was.len() as u64 + 1));
        let rows = TABLES
            .iter()
            .filter(|(table, _)| !["orders", "audit", "audit_heads"].contains(table));
        let moved: BTreeSet<String> = rows
            .flat_map(|(table, column)| moved(before, after, table, column))
            .collect();
        prop_assert_eq!(moved, BTreeSet::from([subject]), "{:?}", step);
        Ok(())
    }

    async fn clear(&self) {
        self.calm().await;
        let clear: String = TABLES
            .iter()
            .map(|(table, _)| format!("DELETE FROM {table};"))
            .collect();
        self.session.batch_execute(&clear).await.unwrap();
    }
}

fn changed<T>(answer: Option<Result<T, StoreError>>) -> Option<Result<bool, StoreError>> {
    answer.map(|answer| answer.map(|_| true))
}

fn given(n: usize) -> Vec<DestinationConfig> {
    vec![destination("a", Some("live_sesame")); n]
}

fn id(row: &Value) -> Uuid {
    text(&row["id"]).parse().unwrap()
}

/// The id of a row, or, where there is none, of nothing.
fn chosen(rows: &Value, table: &str, at: &Index) -> Uuid {
    let rows = of(rows, table);
    if rows.is_empty() {
        return Uuid::now_v7();
    }
    id(&rows[at.index(rows.len())])
}

#[test]
fn p8_every_change_is_there_with_its_audit_entry_or_neither_is() {
    in_four_worlds(128, |config| {
        let runtime = runtime();
        let world = runtime.block_on(World::new());
        let held = TestRunner::new(config).run(&prop::collection::vec(step(), 1..16), |steps| {
            runtime.block_on(async {
                let held = world.case(&steps).await;
                world.clear().await;
                held
            })
        });
        held.unwrap();
    });
}
