//! Finding items: words, tags, status, order, pages; and what is said about them.

use std::collections::BTreeSet;

use playout_domain::limits::PlanLimits;
use playout_domain::media::MediaStatus;
use playout_domain::{Details, MediaItem};
use playout_store::{MediaQuery, MediaSort, Principal, Store, StoreError, testing};
use std::time::Duration;

use crate::given::media;

async fn put(store: &Store, who: &Principal, n: u64, title: &str, tags: &[&str]) -> MediaItem {
    let details = Details {
        title: Some(title.to_owned()),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        series: None,
        ..Details::default()
    };
    let item = MediaItem {
        title: title.to_owned(),
        details,
        duration: Duration::from_secs(n % 3),
        ..media(who.client, format!("/media/{}/{n}.mp4", who.name))
    };
    store.insert_media(who, &item).await.unwrap();
    item
}

async fn titles(store: &Store, who: &Principal, query: MediaQuery) -> Vec<String> {
    let query = MediaQuery {
        limit: 100,
        ..query
    };
    let found = store.search_media(who, query).await.unwrap();
    found.into_iter().map(|(item, _)| item.title).collect()
}

fn words(text: &str) -> MediaQuery {
    MediaQuery {
        words: MediaQuery::words_of(text),
        ..MediaQuery::default()
    }
}

#[tokio::test]
async fn items_are_found_by_the_beginnings_of_words_in_title_series_and_tags() {
    let store = testing::fresh().await;
    let one = store.client("one", &PlanLimits::UNLIMITED).await;
    let two = store.client("two", &PlanLimits::UNLIMITED).await;
    put(
        &store,
        &one,
        1,
        "The.Great_Film-2020",
        &["night", "old town"],
    )
    .await;
    put(&store, &one, 2, "Über den Dächern", &[]).await;
    put(&store, &two, 3, "The great film of two", &[]).await;
    for (text, found) in [
        ("great", "The.Great_Film-2020"),
        ("FILM gre", "The.Great_Film-2020"),
        ("2020", "The.Great_Film-2020"),
        ("town", "The.Great_Film-2020"),
        ("über", "Über den Dächern"),
        ("DÄCH", "Über den Dächern"),
    ] {
        assert_eq!(titles(&store, &one, words(text)).await, [found], "{text}");
    }
    for text in ["reat", "great dächern", "two"] {
        assert!(titles(&store, &one, words(text)).await.is_empty(), "{text}");
    }
    assert_eq!(
        titles(&store, &Principal::daemon(), words("great"))
            .await
            .len(),
        2
    );
    let tagged = |tag: &str| MediaQuery {
        tag: Some(tag.to_owned()),
        ..MediaQuery::default()
    };
    assert_eq!(titles(&store, &one, tagged("old town")).await.len(), 1);
    assert!(titles(&store, &one, tagged("old")).await.is_empty());
    let ready = MediaQuery {
        status: Some(MediaStatus::Ready),
        ..MediaQuery::default()
    };
    assert!(titles(&store, &one, ready).await.is_empty());
}

#[tokio::test]
async fn pages_in_every_order_hold_each_item_once_also_where_keys_are_alike() {
    let store = testing::fresh().await;
    let who = store.client("one", &PlanLimits::UNLIMITED).await;
    for n in 0..11 {
        put(&store, &who, n, ["b", "A", "c"][n as usize % 3], &[]).await;
    }
    for sort in MediaSort::ALL {
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let query = MediaQuery {
                sort,
                after: after.clone(),
                limit: 2,
                ..MediaQuery::default()
            };
            let page = store.search_media(&who, query).await.unwrap();
            let Some((_, last)) = page.last() else { break };
            // As it travels to a client and back.
            after = Some(last.to_string().parse().unwrap());
            seen.extend(page.into_iter().map(|(item, _)| item));
        }
        assert_eq!(seen.len(), 11, "{sort:?}");
        let ids: BTreeSet<_> = seen.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), 11, "{sort:?}");
        let mut keys: Vec<_> = seen
            .iter()
            .map(|item| match sort {
                MediaSort::Created | MediaSort::CreatedDescending => item.id.to_string(),
                MediaSort::Title | MediaSort::TitleDescending => item.title.to_lowercase(),
                _ => item.duration.as_secs().to_string(),
            })
            .collect();
        if sort.name().starts_with('-') {
            keys.reverse();
        }
        assert!(keys.is_sorted(), "{sort:?}: {keys:?}");
    }
    let of_another_order = MediaQuery {
        sort: MediaSort::Duration,
        after: "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11.t41".parse().ok(),
        limit: 1,
        ..MediaQuery::default()
    };
    let refused = store.search_media(&who, of_another_order).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_said_is_written_over_an_earlier_version_alone_and_never_by_the_queue() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let before = put(&store, &who, 1, "Before", &[]).await;
    let edited = MediaItem {
        title: "After".to_owned(),
        details: Details {
            title: Some("After".to_owned()),
            series: Some("Films".to_owned()),
            ..before.details.clone()
        },
        version: before.version + 1,
        ..before.clone()
    };
    store.edit_media(&who, &edited).await.unwrap();
    let again = store.edit_media(&who, &edited).await;
    let current = edited.version;
    assert_eq!(again, Err(StoreError::VersionMismatch { current }));
    // The queue knows nothing of the edit yet.
    let done = MediaItem {
        status: MediaStatus::Ready,
        ..before
    };
    store.update_media(&done).await.unwrap();
    let read = store.media(edited.id).await.unwrap().unwrap();
    assert_eq!((read.title.as_str(), read.version), ("After", current));
    assert_eq!(read.details, edited.details);
    assert_eq!(read.status, MediaStatus::Ready);
    let audited = store.audit(who.client, 0, 10).await.unwrap();
    let operations: Vec<_> = audited.iter().map(|entry| &*entry.operation).collect();
    assert_eq!(operations, ["media.import", "media.edit"]);
}
