//! P8 (6.2, 6.4): whatever is changed in the bytes of a stored channel or of the audit is seen and named,
//! and it concerns nothing else: every other channel is loaded as it was, every other chain is whole. Of the rest of
//! P8, 6.1 is `p08_transactions.rs`, 6.5 `p08_pool.rs`.
//!
//! Real PostgreSQL. Each case changes one value of one row behind the daemon's back, in a database whose
//! constraints are gone, as a broken disk has none.

use playout_domain::destination::{
    Encode, EncodeSettings, PlaybackUrl, ServerUrl, StreamKeySetting,
};
use playout_domain::lifecycle::LifeState;
use playout_domain::limits::PlanLimits;
use playout_domain::plan::PlannedItem;
use playout_domain::{
    BitsPerSecond, Channel, ChannelConfig, ChannelId, DestinationConfig, Frame, FrameRate, MediaId,
    Plan, Platform, Resolution, Schedule, StreamKey, Ticks90k, Timeline,
};
use playout_store::testing::{self, TestStore};
use playout_store::{Airtime, ExportedHeads, Loaded, Principal};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

/// The tables that are changed, and what their rows belong to.
const CHANNELS: &[(&str, &str, &[&str])] = &[
    (
        "channels",
        "id",
        &[
            "id",
            "client_id",
            "config",
            "version",
            "desired",
            "status",
            "generation",
            "uptime_us",
            "live_since",
            "restart_count",
            "restarts_since_start",
            "last_start_time",
            "last_stop_time",
            "created_at",
            "updated_at",
            "digest",
            "life_digest",
        ],
    ),
    (
        "rtmp_destinations",
        "channel_id",
        &[
            "id",
            "channel_id",
            "position",
            "server_url",
            "platform",
            "enabled",
            "stream_key",
            "playback_url",
            "encode",
            "allow_lower_quality",
        ],
    ),
    (
        "airtime",
        "channel_id",
        &[
            "channel_id",
            "timeline",
            "plan",
            "schedule",
            "updated_at",
            "digest",
        ],
    ),
];
const AUDIT: &[&str] = &[
    "client_id",
    "seq",
    "at",
    "actor",
    "token_id",
    "operation",
    "subject_kind",
    "subject_id",
    "detail",
    "hash",
];
const HEADS: &[&str] = &["client_id", "seq", "hash"];
const TABLES: &[&str] = &[
    "channels",
    "rtmp_destinations",
    "airtime",
    "audit",
    "audit_heads",
];

/// What is changed: a value, or a whole row.
#[derive(Debug, Clone)]
enum Edit {
    /// In a row of a channel: table, column.
    Channel(usize, Index),
    /// In an entry of the audit: which, column.
    Audit(Index, &'static str),
    /// In a head.
    Head(&'static str),
    /// An entry is taken out.
    Remove(Index),
    /// An entry is put in, as a copy of another one, so far behind the last.
    Insert(Index, u8),
}

#[derive(Debug, Clone)]
struct Case {
    edit: Edit,
    /// Of which channel or whose audit.
    of: Index,
    /// Which bit, character or member.
    place: Index,
}

fn cases_of(edit: impl Strategy<Value = Edit>) -> impl Strategy<Value = Case> {
    (edit, any::<Index>(), any::<Index>()).prop_map(|(edit, of, place)| Case { edit, of, place })
}

/// A store of three clients' channels, two each, and everything in it as it was.
struct Whole {
    store: TestStore,
    session: tokio_postgres::Client,
    who: Vec<Principal>,
    loaded: Loaded,
    /// Entries of each client's audit.
    entries: i64,
}

fn channel(who: &Principal, n: u64) -> (Channel, Airtime) {
    let mut config = ChannelConfig::named(format!("Channel {n}"));
    config.rtmp_destinations = vec![DestinationConfig {
        id: None,
        server_url: ServerUrl::parse("rtmp://a.example.com/live", false).unwrap(),
        stream_key: StreamKeySetting::Given(StreamKey::new("live_sesame").unwrap()),
        platform: Platform::Twitch,
        enabled: true,
        playback_url: Some(PlaybackUrl::parse("https://a.example.com/live.m3u8", false).unwrap()),
        encode: Encode::Transcode(EncodeSettings {
            video_bitrate: BitsPerSecond(1_000_000),
            resolution: Some(Resolution::P480),
            frame_rate: None,
            audio_bitrate: None,
        }),
        allow_lower_quality: false,
    }];
    let media_id = MediaId::from(Uuid::now_v7());
    let airtime = Airtime {
        timeline: Timeline {
            epoch: "2026-11-24T08:00:00.123456789Z".parse().unwrap(),
            frame_rate: FrameRate::F29_97,
            clock_origin: Ticks90k(900_000 + n),
        },
        schedule: Schedule::looping([media_id]),
        plan: Plan::looping(Frame(n), vec![PlannedItem::whole(media_id, 250)]),
    };
    let at = "2026-11-24T08:00:00Z".parse().unwrap();
    let channel = Channel {
        id: ChannelId::from(Uuid::now_v7()),
        client_id: who.client,
        config,
        life: LifeState {
            live_since: Some(at),
            ..LifeState::default()
        },
        version: 1,
        created_at: at,
        updated_at: at,
    };
    (channel, airtime)
}

async fn whole() -> Whole {
    let store = testing::fresh().await;
    let mut who = Vec::new();
    for name in ["one", "two", "three"] {
        let client = store.client(name, &PlanLimits::UNLIMITED).await;
        for n in 0..2 {
            let (channel, airtime) = channel(&client, n);
            store
                .insert_channel(&client, &channel, &airtime)
                .await
                .unwrap();
            store.put_in_library(&airtime).await;
            store
                .save_airtime(Some(&client), channel.id, &airtime)
                .await
                .unwrap();
        }
        who.push(client);
    }
    let session = store.session().await;
    let drop_constraints = "
        DO $$ DECLARE c record; BEGIN
            FOR c IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
                     WHERE connamespace = 'public'::regnamespace ORDER BY contype = 'f' DESC
            LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname); END LOOP;
        END $$";
    session.batch_execute(drop_constraints).await.unwrap();
    for table in TABLES {
        let keep = format!("CREATE TABLE kept_{table} AS TABLE {table}");
        session.batch_execute(&keep).await.unwrap();
    }
    let loaded = store.all_channels().await.unwrap();
    assert_eq!((loaded.channels.len(), loaded.quarantined.len()), (6, 0));
    Whole {
        store,
        session,
        who,
        loaded,
        entries: 4,
    }
}

/// JSON with one thing changed: a value, a name, or what there is.
fn edited(value: &Value, place: &Index) -> Value {
    fn places(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(places).sum(),
            Value::Object(members) => members.values().map(places).sum(),
            _ => 0,
        }
    }
    fn edit(value: &mut Value, left: &mut usize) -> bool {
        if *left == 0 {
            *value = match value.take() {
                Value::Null => json!(0),
                Value::Bool(flag) => json!(!flag),
                Value::Number(number) => match number.as_u64() {
                    Some(number) => json!(number ^ 1),
                    None => json!(0),
                },
                Value::String(text) => json!(format!("{text}\u{1F4FA}")),
                Value::Array(mut items) => match items.pop() {
                    Some(_) => Value::Array(items),
                    None => json!([null]),
                },
                Value::Object(mut members) => match members.keys().next().cloned() {
                    Some(name) => {
                        let value = members.remove(&name).unwrap();
                        members.insert(format!("{name} "), value);
                        Value::Object(members)
                    }
                    None => json!({ "": null }),
                },
            };
            return true;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter_mut().any(|item| edit(item, left)),
            Value::Object(members) => members.values_mut().any(|member| edit(member, left)),
            _ => false,
        }
    }
    let mut edited = value.clone();
    let mut left = place.index(places(value));
    assert!(edit(&mut edited, &mut left));
    edited
}

impl Whole {
    /// Changes `column` of the row of `table` that `row` names.
    async fn change(&self, table: &str, column: &str, row: &str, place: &Index) {
        let of = "SELECT data_type::text FROM information_schema.columns
                  WHERE table_schema = 'public' AND table_name = $1 AND column_name = $2";
        let kind: String = self
            .session
            .query_one(of, &[&table, &column])
            .await
            .unwrap()
            .get(0);
        let value = format!("SELECT {column} FROM {table} WHERE {row}");
        let bit = |bits: usize| place.index(bits);
        let expression = match kind.as_str() {
            "uuid" => {
                let id: Option<Uuid> = self.session.query_one(&value, &[]).await.unwrap().get(0);
                let id = id.unwrap_or_default().as_u128() ^ (1 << bit(128));
                format!("'{}'", Uuid::from_u128(id))
            }
            "bytea" => format!(
                "set_bit({column}, b, 1 - get_bit({column}, b)) FROM (SELECT {}::bigint % (8 * octet_length({column})) AS b
                 FROM {table} WHERE {row}) bits",
                bit(1 << 20)
            ),
            "bigint" => format!("{column} # (1::bigint << {})", bit(64)),
            "integer" => format!("{column} # (1 << {})", bit(32)),
            "boolean" => format!("NOT {column}"),
            "text" => format!("overlay({column} PLACING '\u{1F4FA}' FROM {})", 1 + bit(8)),
            "timestamp with time zone" => format!(
                "coalesce({column} + {} * interval '1 microsecond', now())",
                1_u64 << bit(50)
            ),
            "jsonb" | "json" => {
                let json: Value = self.session.query_one(&value, &[]).await.unwrap().get(0);
                let text = edited(&json, place).to_string().replace('\'', "''");
                format!("'{text}'")
            }
            other => panic!("{table}.{column} is {other}"),
        };
        let sql = format!("UPDATE {table} SET {column} = {expression} WHERE {row}");
        let changed = self.session.execute(&sql, &[]).await;
        assert_eq!(
            changed.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
            1,
            "{sql}"
        );
    }

    async fn restore(&self) {
        let restore: String = TABLES
            .iter()
            .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} TABLE kept_{table};"))
            .collect();
        self.session.batch_execute(&restore).await.unwrap();
    }

    async fn is_seen(&self, case: &Case) -> Result<(), TestCaseError> {
        let who = &self.who[case.of.index(self.who.len())];
        let (client, entry) = (who.client, |index: &Index| {
            1 + index.index(self.entries as usize)
        });
        let its = format!("client_id = '{client}'");
        // The entry that has to be named; none where a channel is changed.
        let named = match &case.edit {
            Edit::Channel(table, column) => {
                return self.is_quarantined(case, *table, column).await;
            }
            Edit::Audit(index, column) => {
                let seq = entry(index);
                self.change(
                    "audit",
                    column,
                    &format!("{its} AND seq = {seq}"),
                    &case.place,
                )
                .await;
                Some(seq as i64)
            }
            Edit::Head(column) => {
                self.change("audit_heads", column, &its, &case.place).await;
                None
            }
            Edit::Remove(index) => {
                let seq = entry(index);
                let sql = format!("DELETE FROM audit WHERE {its} AND seq = {seq}");
                self.session.batch_execute(&sql).await.unwrap();
                Some(seq as i64)
            }
            Edit::Insert(index, behind) => {
                let (of, seq) = (entry(index), self.entries + i64::from(*behind));
                let sql = format!(
                    "INSERT INTO audit SELECT client_id, {seq}, at, actor, token_id, operation, subject_kind, subject_id,
                     detail, hash FROM audit WHERE {its} AND seq = {of}"
                );
                self.session.batch_execute(&sql).await.unwrap();
                Some(seq)
            }
        };
        let report = self
            .store
            .verify_audit(&ExportedHeads::default())
            .await
            .unwrap();
        let of_it = report.faults.iter().filter(|fault| fault.client == client);
        let seqs: Vec<i64> = of_it
            .filter_map(|fault| fault.what)
            .map(|what| what.seq())
            .collect();
        prop_assert!(!seqs.is_empty(), "not seen: {:?}", report.faults);
        prop_assert!(
            named.is_none_or(|named| seqs.contains(&named)),
            "{named:?} is not named: {:?}",
            report.faults
        );
        for other in self.who.iter().filter(|other| other.client != client) {
            prop_assert!(
                report
                    .faults
                    .iter()
                    .all(|fault| fault.client != other.client)
            );
        }
        prop_assert_eq!(&self.store.all_channels().await.unwrap(), &self.loaded);
        Ok(())
    }

    async fn is_quarantined(
        &self,
        case: &Case,
        table: usize,
        column: &Index,
    ) -> Result<(), TestCaseError> {
        let (table, key, columns) = CHANNELS[table];
        let column = columns[column.index(columns.len())];
        let n = case.of.index(self.loaded.channels.len());
        let id = self.loaded.channels[n].channel.id;
        self.change(table, column, &format!("{key} = '{id}'"), &case.place)
            .await;
        let mut others = self.loaded.channels.clone();
        others.remove(n);
        let found = self.store.all_channels().await.unwrap();
        prop_assert_eq!(&found.channels, &others, "{}.{}", table, column);
        prop_assert_eq!(found.quarantined.len(), 1, "{}.{}", table, column);
        // A row that has lost its own id can be named only by what it says now.
        if (table, column) != ("channels", "id") {
            prop_assert_eq!(found.quarantined[0].id, id);
        }
        let report = self
            .store
            .verify_audit(&ExportedHeads::default())
            .await
            .unwrap();
        prop_assert_eq!(report.faults, Vec::new());
        Ok(())
    }
}

fn every_one_is_seen(edit: impl Strategy<Value = Edit>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let whole = runtime.block_on(whole());
    let mut runner = TestRunner::new(super::cases(128));
    let seen = runner.run(&cases_of(edit), |case| {
        runtime.block_on(async {
            let seen = whole.is_seen(&case).await;
            whole.restore().await;
            seen
        })
    });
    seen.unwrap();
}

#[test]
fn p8_every_edit_of_a_stored_channel_quarantines_that_channel_alone() {
    let column = (0..CHANNELS.len(), any::<Index>());
    every_one_is_seen(column.prop_map(|(table, column)| Edit::Channel(table, column)));
}

#[test]
fn p8_every_edit_of_the_audit_is_named_in_that_chain_alone() {
    every_one_is_seen(prop_oneof![
        4 => (any::<Index>(), select(AUDIT)).prop_map(|(entry, column)| Edit::Audit(entry, column)),
        1 => select(HEADS).prop_map(Edit::Head),
        1 => any::<Index>().prop_map(Edit::Remove),
        1 => (any::<Index>(), 1..10_u8).prop_map(|(entry, behind)| Edit::Insert(entry, behind)),
    ]);
}
