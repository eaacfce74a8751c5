//! P2 (8.6, and the concurrency of 5): no number of parallel changes passes the plan's limit on destinations, and
//! nobody is refused for whom there is room.
//!
//! Real PostgreSQL; what there is afterwards is counted past the store.

use playout_domain::limits::{Limit, PlanLimits};
use playout_domain::{Channel, ChannelId};
use playout_store::testing::{self, TestStore};
use playout_store::{Principal, Store, StoreError};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::stored::{airtime, channel, destination, of, rows, text};

/// Some channels, the plan's limit, and who adds how many at once to which.
#[derive(Debug, Clone)]
struct Race {
    limit: u64,
    /// Destinations that each channel has before.
    before: Vec<usize>,
    adds: Vec<(Index, usize)>,
}

fn race() -> impl Strategy<Value = Race> {
    (
        1..5_u64,
        prop::collection::vec(0..4_usize, 1..3),
        prop::collection::vec((any::<Index>(), 1..3_usize), 2..9),
    )
        .prop_map(|(limit, before, adds)| Race {
            limit,
            before,
            adds,
        })
}

/// Adds `n` destinations as a client does that reads, adds, and begins anew when somebody else was faster. Answers
/// whether the plan allowed it.
async fn add(store: Store, who: Principal, id: ChannelId, n: usize) -> bool {
    loop {
        let read: Channel = store.channel(id).await.unwrap().unwrap().channel;
        let mut config = read.config;
        for _ in 0..n {
            config.rtmp_destinations.push(destination("a", None));
        }
        match store
            .update_channel(&who, id, read.version, &config, None)
            .await
        {
            Ok(_) => return true,
            Err(StoreError::VersionMismatch { .. }) => {}
            Err(StoreError::Limit(exceeded))
                if exceeded.exceeded.limit == Limit::MaxDestinations =>
            {
                return false;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn is_held(
    test: &TestStore,
    session: &tokio_postgres::Client,
    race: &Race,
) -> Result<(), TestCaseError> {
    let limits = PlanLimits {
        max_destinations: Some(race.limit),
        ..PlanLimits::UNLIMITED
    };
    let who = test.client(&Uuid::now_v7().to_string(), &limits).await;
    let airs = airtime(Uuid::now_v7().into());
    let mut channels = Vec::new();
    for before in &race.before {
        let mut made = channel(who.client, "One");
        made.config.rtmp_destinations = vec![destination("a", None); *before];
        let done = test.insert_channel(&who, &made, &airs).await;
        prop_assert_eq!(done.is_ok(), *before as u64 <= race.limit, "{:?}", done);
        if done.is_ok() {
            channels.push((made.id, *before, Vec::new()));
        }
    }
    if channels.is_empty() {
        return Ok(());
    }
    let mut adding = JoinSet::new();
    for (at, n) in &race.adds {
        let (at, n) = (at.index(channels.len()), *n);
        let adds = add(Store::clone(test), who.clone(), channels[at].0, n);
        adding.spawn(async move { (at, n, adds.await) });
    }
    for (at, n, allowed) in adding.join_all().await {
        channels[at].2.push((n, allowed));
    }
    let rows = rows(session, &["rtmp_destinations"]).await;
    for (id, before, adds) in channels {
        let there = of(&rows, "rtmp_destinations").iter();
        let there = there
            .filter(|row| text(&row["channel_id"]) == id.to_string())
            .count();
        let added: usize = adds
            .iter()
            .filter(|(_, allowed)| *allowed)
            .map(|(n, _)| n)
            .sum();
        prop_assert_eq!(there, before + added);
        prop_assert!(there as u64 <= race.limit, "{there} of {race:?}");
        // Nobody was refused for whom there was room.
        for (n, _) in adds.iter().filter(|(_, allowed)| !allowed) {
            prop_assert!(
                (there + n) as u64 > race.limit,
                "{there} and {n} of {race:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn p2_the_limit_on_destinations_holds_however_many_add_at_once() {
    let runtime = super::stored::racing();
    let (test, session) = runtime.block_on(async {
        let test = testing::fresh().await;
        let session = test.session().await;
        (test, session)
    });
    let mut runner = TestRunner::new(super::cases(100));
    let held = runner.run(&race(), |race| {
        runtime.block_on(is_held(&test, &session, &race))
    });
    held.unwrap();
}
