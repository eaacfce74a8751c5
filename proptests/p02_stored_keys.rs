//! P2, its store half (8.2, 8.5, and 1.4): whatever destinations a channel gets and whatever their keys are, no row
//! of any table, nothing in Redis, no file of the copy on disk and no error has a key in clear; each opens in its own
//! row alone, and as it was given. The plan's limit on them: `p02_destination_limit.rs`.
//!
//! Real PostgreSQL and Redis, read past the store. A key is looked for as it is, in hexadecimal, in base64 at each of
//! the three places it may begin at, and as JSON writes it.

use std::path::Path;
use std::time::Duration;

use playout_domain::destination::{StreamKey, StreamKeySetting};
use playout_domain::lifecycle::Operation;
use playout_domain::limits::PlanLimits;
use playout_domain::{ChannelId, DestinationConfig, DestinationId};
use playout_store::testing::{self, TestStore, until};
use playout_store::{Principal, Store};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use uuid::Uuid;

use super::stored::{airtime, channel, destination, in_four_worlds, order, rows, runtime};

/// How long it is waited for the copy on disk.
const COPIES: Duration = Duration::from_secs(30);

/// One destination: whether it has a key when it is made, and what becomes of it then.
#[derive(Debug, Clone)]
struct Kept {
    key: Option<String>,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Stays,
    Rekeyed(String),
    Goes,
}

#[derive(Debug, Clone)]
struct Case {
    destinations: Vec<Kept>,
    /// Added afterwards, and again to a channel that is not there.
    late: String,
    /// Whose sealed key is put into whose row.
    moved: (Index, Index),
    /// Which bit of a sealed key is turned.
    bit: Index,
}

/// So long that it is nowhere by chance.
fn key() -> impl Strategy<Value = String> {
    "[!-~]{10,60}"
}

fn case() -> impl Strategy<Value = Case> {
    let then = prop_oneof![
        2 => Just(Then::Stays),
        2 => key().prop_map(Then::Rekeyed),
        1 => Just(Then::Goes),
    ];
    let kept =
        (prop::option::weighted(0.8, key()), then).prop_map(|(key, then)| Kept { key, then });
    (
        prop::collection::vec(kept, 1..5),
        key(),
        (any::<Index>(), any::<Index>()),
        any::<Index>(),
    )
        .prop_map(|(destinations, late, moved, bit)| Case {
            destinations,
            late,
            moved,
            bit,
        })
}

/// How a key might be told.
fn forms(key: &str) -> Vec<String> {
    let once = serde_json::to_string(key).unwrap();
    let once = &once[1..once.len() - 1];
    let twice = serde_json::to_string(once).unwrap();
    let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        key.to_owned(),
        once.to_owned(),
        twice[1..twice.len() - 1].to_owned(),
        hex.to_uppercase(),
        hex,
        key.bytes()
            .map(|byte| byte.to_string())
            .collect::<Vec<_>>()
            .join(","),
    ];
    for begins in 0..3 {
        // Without the digits that what stands beside it has a part in.
        let bytes: Vec<u8> = std::iter::repeat_n(0, begins).chain(key.bytes()).collect();
        let digits = base64(&bytes[..bytes.len() / 3 * 3]);
        let digits = &digits[if begins == 0 { 0 } else { 4 }..];
        forms.push(digits.to_owned());
        forms.push(digits.replace('+', "-").replace('/', "_"));
    }
    forms
}

/// RFC 4648 §4, of whole groups.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let bits = bytes
            .iter()
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|at| char::from(DIGITS[bits >> at & 63]))
    };
    bytes.chunks(3).flat_map(group).collect()
}

struct World {
    test: TestStore,
    store: Store,
    session: tokio_postgres::Client,
    who: Principal,
    tables: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let test = testing::fresh().await;
        let who = test.client("owner", &PlanLimits::UNLIMITED).await;
        let session = test.session().await;
        let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
        let tables = session.query(sql, &[]).await.unwrap();
        let mut config = test.config().clone();
        config.standby = Some(test.folder().join("standby"));
        let store = Store::connect(&config).await.unwrap();
        store.all_media().await.unwrap();
        store.all_renditions().await.unwrap();
        store.channels_to_air().await.unwrap();
        Self {
            who,
            session,
            tables: tables.iter().map(|row| row.get(0)).collect(),
            store,
            test,
        }
    }

    async fn database(&self) -> String {
        let tables: Vec<&str> = self.tables.iter().map(String::as_str).collect();
        rows(&self.session, &tables).await.to_string()
    }

    async fn redis(&self) -> String {
        let prefix = &self.test.config().key_prefix;
        let mut all = String::new();
        for key in self.test.redis_keys().await {
            let value = self
                .test
                .redis_value(key.strip_prefix(prefix).unwrap())
                .await;
            all += &format!("{key} {}\n", value.unwrap_or_default());
        }
        all
    }

    async fn case(&self, case: &Case) -> Result<(), TestCaseError> {
        let (store, who) = (&self.store, &self.who);
        let mut made = channel(who.client, "One");
        let given = case.destinations.iter();
        made.config.rtmp_destinations = given
            .map(|kept| destination("a", kept.key.as_deref()))
            .collect();
        let airs = airtime(Uuid::now_v7().into());
        let made = store.insert_channel(who, &made, &airs).await.unwrap();
        let mut keys: Vec<&String> = case
            .destinations
            .iter()
            .filter_map(|kept| kept.key.as_ref())
            .collect();
        keys.push(&case.late);

        // What the model has afterwards: ids are known by now.
        let mut known: Vec<(DestinationConfig, Option<String>)> = Vec::new();
        for (one, kept) in made.config.rtmp_destinations.iter().zip(&case.destinations) {
            let mut one = one.clone();
            match &kept.then {
                Then::Stays => known.push((one, kept.key.clone())),
                Then::Rekeyed(key) => {
                    one.stream_key = StreamKeySetting::Given(StreamKey::new(key).unwrap());
                    keys.push(key);
                    known.push((one, Some(key.clone())));
                }
                Then::Goes => {}
            }
        }
        known.push((
            destination("late", Some(&case.late)),
            Some(case.late.clone()),
        ));
        let mut config = made.config.clone();
        config.rtmp_destinations = known.iter().map(|(one, _)| one.clone()).collect();
        let mut errors = String::new();
        let nobody = ChannelId::from(Uuid::now_v7());
        for (id, version) in [(nobody, 1), (made.id, 7)] {
            let refused = store.update_channel(who, id, version, &config, None).await;
            errors += &format!("{refused:?} {}", refused.as_ref().unwrap_err());
        }
        let changed = store
            .update_channel(who, made.id, 1, &config, None)
            .await
            .unwrap();
        store.keep_channel(&changed, &airs, true);
        let start = order(who, who.client, made.id, &changed.life, Operation::Start);
        store.journal(&start).await.unwrap();
        let ids: Vec<DestinationId> = changed
            .config
            .rtmp_destinations
            .iter()
            .map(|one| one.id.unwrap())
            .collect();

        // Everywhere, once it is everywhere.
        let newest = ids.last().unwrap().to_string();
        prop_assert!(store.copies_written(COPIES).await);
        until("Redis has it", async || {
            self.redis().await.contains(&newest)
        })
        .await;
        let disk = files(&self.test.folder().join("standby"));
        let database = self.database().await;
        prop_assert!(disk.contains(&newest) && database.contains(&newest));
        for (place, text) in [
            ("PostgreSQL", &database),
            ("Redis", &self.redis().await),
            ("the disk", &disk),
            ("errors", &errors),
            ("answers", &format!("{made:?} {changed:?} {start:?}")),
        ] {
            for key in &keys {
                let shown = forms(key).into_iter().find(|form| text.contains(form));
                prop_assert_eq!(shown, None, "{} is in {}", key, place);
            }
        }
        for (id, (_, key)) in ids.iter().zip(&known) {
            let opened = store.stream_key(*id).await.unwrap();
            prop_assert_eq!(opened.as_ref().map(StreamKey::reveal), key.as_deref());
        }
        self.are_bound(case, &ids, &known).await?;
        store.delete_channel(who, made.id, None).await.unwrap();
        Ok(())
    }

    /// A sealed key that is moved to another row, or changed, opens no more.
    async fn are_bound(
        &self,
        case: &Case,
        ids: &[DestinationId],
        known: &[(DestinationConfig, Option<String>)],
    ) -> Result<(), TestCaseError> {
        let with_key: Vec<DestinationId> = ids
            .iter()
            .zip(known)
            .filter_map(|(id, (_, key))| key.as_ref().map(|_| *id))
            .collect();
        let from = with_key[case.moved.0.index(with_key.len())];
        let to = ids[case.moved.1.index(ids.len())];
        let kept = "SELECT stream_key FROM rtmp_destinations WHERE id = $1";
        let kept: Option<Vec<u8>> = self
            .session
            .query_one(kept, &[&to.uuid()])
            .await
            .unwrap()
            .get(0);
        let put = "UPDATE rtmp_destinations SET stream_key = (SELECT stream_key FROM rtmp_destinations WHERE id = $1)
                   WHERE id = $2";
        self.session
            .execute(put, &[&from.uuid(), &to.uuid()])
            .await
            .unwrap();
        let opened = self.store.stream_key(to).await;
        prop_assert_eq!(opened.is_ok(), from == to, "{:?}", opened);
        let put = "UPDATE rtmp_destinations SET stream_key = $1 WHERE id = $2";
        self.session
            .execute(put, &[&kept, &to.uuid()])
            .await
            .unwrap();

        let turn = "UPDATE rtmp_destinations SET stream_key = set_bit(stream_key, b, 1 - get_bit(stream_key, b))
                    FROM (SELECT $1::bigint % (8 * octet_length(stream_key)) AS b FROM rtmp_destinations WHERE id = $2) bits
                    WHERE id = $2";
        let bit = i64::try_from(case.bit.index(1 << 20)).unwrap();
        self.session
            .execute(turn, &[&bit, &from.uuid()])
            .await
            .unwrap();
        let opened = self.store.stream_key(from).await;
        prop_assert!(opened.is_err(), "{opened:?}");
        self.session
            .execute(turn, &[&bit, &from.uuid()])
            .await
            .unwrap();
        Ok(())
    }
}

/// All files below a folder, with their names.
fn files(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |path: &Path| match path.is_dir() {
        true => files(path),
        // One that is replaced at this moment is read by its other name.
        false => String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned(),
    };
    entries
        .map(|entry| format!("{} {}\n", entry.path().display(), file(&entry.path())))
        .collect()
}

#[test]
fn p2_no_store_has_a_key_in_clear_and_each_opens_in_its_own_row_alone() {
    in_four_worlds(100, |config| {
        let runtime = runtime();
        let world = runtime.block_on(World::new());
        let held = TestRunner::new(config).run(&case(), |case| runtime.block_on(world.case(&case)));
        held.unwrap();
    });
}
