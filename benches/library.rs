//! How fast a library of 100 000 items is listed, filtered and searched, in PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a measure that cannot go on has failed")]

use std::time::{Duration, Instant};

use playout_domain::limits::PlanLimits;
use playout_domain::media::MediaStatus;
use playout_store::{MediaCursor, MediaQuery, MediaSort, Principal, Store, testing};

const ITEMS: i32 = 100_000;
/// Queries of a kind.
const TIMES: usize = 100;
const PAGE: u32 = 51;

/// Words as frequent as in titles: few are in many, many in few.
const FILL: &str = "INSERT INTO media (id, client_id, path, title, duration_us, size, status, created_at, updated_at, damage,
        loudness, tags, edited, version, words)
    SELECT gen_random_uuid(), $1, convert_to('/media/' || n, 'UTF8'), title, (n % 7200) * 1000000::bigint, 1000 + n, 'ready',
           now(), now(), '[]', '[]', jsonb_build_array('tag' || n % 500, 'all'), '{}', 1, lower(title || ' tag' || n % 500 || ' all')
    FROM (SELECT n, 'The word' || n % 3000 || ' of night' || n % 97 || ' part ' || n AS title
          FROM generate_series(1, $2::int) n) given";

#[tokio::main]
async fn main() {
    let store = testing::fresh().await;
    let who = store.client("bench", &PlanLimits::UNLIMITED).await;
    let session = store.session().await;
    session
        .execute(FILL, &[&who.client.uuid(), &ITEMS])
        .await
        .unwrap();
    session.batch_execute("VACUUM ANALYZE media").await.unwrap();
    println!(
        "| library of {ITEMS} items, a page of 50, {TIMES} queries | target | measured |\n|---|---|---|"
    );
    let operator = Principal::daemon();
    for who in [&who, &operator] {
        let asks = if who == &operator {
            "the operator"
        } else {
            "a client"
        };
        for (what, query) in kinds() {
            let mut times = Vec::new();
            for n in 0..TIMES {
                times.push(timed(&store, who, query(n)).await);
            }
            times.sort();
            let (median, late) = (times[TIMES / 2], times[TIMES * 95 / 100]);
            println!(
                "| {what}, by {asks} | ≤ 50 ms at p95 | median {}, p95 {} |",
                ms(median),
                ms(late)
            );
        }
    }
}

type Kind = (&'static str, Box<dyn Fn(usize) -> MediaQuery>);

fn kinds() -> Vec<Kind> {
    let words = |text: String| MediaQuery {
        words: MediaQuery::words_of(&text),
        ..MediaQuery::default()
    };
    vec![
        (
            "list by title, any page",
            Box::new(|n| MediaQuery {
                sort: MediaSort::Title,
                after: (n > 0).then(|| cursor(&format!("the word{} of", n * 29))),
                ..MediaQuery::default()
            }),
        ),
        (
            "list by length, longest first",
            Box::new(|_| MediaQuery {
                sort: MediaSort::DurationDescending,
                ..MediaQuery::default()
            }),
        ),
        (
            "filter by tag",
            Box::new(|n| MediaQuery {
                tag: Some(format!("tag{}", n * 5)),
                ..MediaQuery::default()
            }),
        ),
        (
            "filter by a status that none has",
            Box::new(|_| MediaQuery {
                status: Some(MediaStatus::Failed),
                ..MediaQuery::default()
            }),
        ),
        (
            "search for a rare word",
            Box::new(move |n| words(format!("word{}", n * 29))),
        ),
        (
            "search for two words, by title",
            Box::new(move |n| MediaQuery {
                sort: MediaSort::Title,
                ..words(format!("night{} part", n % 97))
            }),
        ),
        (
            "search for what begins every title, newest first",
            Box::new(move |_| MediaQuery {
                sort: MediaSort::CreatedDescending,
                ..words("wor".to_owned())
            }),
        ),
    ]
}

fn cursor(title: &str) -> MediaCursor {
    let hex: String = title.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11.t{hex}")
        .parse()
        .unwrap()
}

async fn timed(store: &Store, who: &Principal, query: MediaQuery) -> Duration {
    let query = MediaQuery {
        limit: PAGE,
        ..query
    };
    let begun = Instant::now();
    store.search_media(who, query).await.unwrap();
    begun.elapsed()
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
