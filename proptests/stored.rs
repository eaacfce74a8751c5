//! What the properties of the stores share: channels to be stored, changes to them, and everything that is stored,
//! read past the store.

use std::collections::BTreeSet;

use jiff::Timestamp;
use playout_domain::destination::{ServerUrl, StreamKeySetting};
use playout_domain::lifecycle::{LifeState, Operation};
use playout_domain::plan::PlannedItem;
use playout_domain::{
    Channel, ChannelConfig, ChannelId, ChannelStatus, ClientId, Desired, DestinationConfig, Frame,
    FrameRate, MediaId, Plan, Platform, Schedule, StreamKey, Ticks90k, Timeline,
};
use playout_store::{Airtime, Order, Principal};
use proptest::prelude::ProptestConfig;
use serde_json::Value;
use uuid::Uuid;

/// Drives everything of a test on its own thread: what was begun first is done first.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Drives a test on two threads: what is done at once races.
pub(crate) fn racing() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Runs so many cases in four databases at once: most of their time they wait for servers.
pub(crate) fn in_four_worlds(cases: u32, run: impl Fn(ProptestConfig) + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run(super::cases(cases.div_ceil(4))));
        }
    });
}

pub(crate) fn channel(client: ClientId, name: &str) -> Channel {
    let at = Timestamp::now();
    Channel {
        id: ChannelId::from(Uuid::now_v7()),
        client_id: client,
        config: ChannelConfig::named(name),
        life: LifeState::default(),
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub(crate) fn destination(host: &str, key: Option<&str>) -> DestinationConfig {
    DestinationConfig {
        id: None,
        server_url: ServerUrl::parse(&format!("rtmp://{host}.example.com/live"), false).unwrap(),
        stream_key: key.map_or(StreamKeySetting::Absent, |key| {
            StreamKeySetting::Given(StreamKey::new(key).unwrap())
        }),
        platform: Platform::Custom,
        enabled: true,
        playback_url: None,
        encode: Default::default(),
        allow_lower_quality: false,
    }
}

/// What a channel airs that loops one item.
pub(crate) fn airtime(media_id: MediaId) -> Airtime {
    Airtime {
        timeline: Timeline {
            epoch: "2026-11-24T08:00:00.123456789Z".parse().unwrap(),
            frame_rate: FrameRate::F25,
            clock_origin: Ticks90k(900_000),
        },
        schedule: Schedule::looping([media_id]),
        plan: Plan::looping(Frame(0), vec![PlannedItem::whole(media_id, 250)]),
    }
}

/// An order to a channel whose life is `life`.
pub(crate) fn order(
    who: &Principal,
    owner: ClientId,
    channel: ChannelId,
    life: &LifeState,
    operation: Operation,
) -> Order {
    let (at, mut life) = (Timestamp::now(), life.clone());
    match operation {
        Operation::Stop => {
            (life.desired, life.status) = (Desired::Stopped, ChannelStatus::Stopped);
            life.last_stop_time = Some(at);
        }
        _ => {
            (life.desired, life.status) = (Desired::Live, ChannelStatus::Starting);
            life.last_start_time = Some(at);
        }
    }
    Order {
        id: Uuid::now_v7(),
        at,
        channel,
        client: owner,
        who: who.clone(),
        operation,
        life,
    }
}

/// Every row of some tables at one moment: `{ table: [row, …] }`.
pub(crate) async fn rows(session: &tokio_postgres::Client, tables: &[&str]) -> Value {
    let parts: Vec<String> = tables
        .iter()
        .map(|table| {
            format!(
                "'{table}', (SELECT coalesce(json_agg(t ORDER BY t::text), '[]') FROM {table} t)"
            )
        })
        .collect();
    let sql = format!("SELECT json_build_object({})", parts.join(", "));
    session.query_one(&sql, &[]).await.unwrap().get(0)
}

/// The rows of one table.
pub(crate) fn of<'r>(rows: &'r Value, table: &str) -> &'r [Value] {
    rows[table].as_array().unwrap()
}

/// What `column` says in the rows of a table that came, went or changed.
pub(crate) fn moved(before: &Value, after: &Value, table: &str, column: &str) -> BTreeSet<String> {
    let (before, after) = (of(before, table), of(after, table));
    let gone = before.iter().filter(|row| !after.contains(row));
    let new = after.iter().filter(|row| !before.contains(row));
    gone.chain(new).map(|row| text(&row[column])).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
