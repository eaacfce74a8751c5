//! Subtitles: one text an item and language, counted against the plan, another client's unknown, gone with the item.

use playout_domain::limits::PlanLimits;
use playout_domain::{Language, MediaId};
use playout_store::{
    Inserted, MOST_SUBTITLES, Principal, StoreError, Subtitle, SubtitleOrigin, testing,
};

use crate::given::media;

fn language(tag: &str) -> Language {
    tag.parse().unwrap()
}

fn subtitle(id: MediaId, tag: &str, text: &str) -> Subtitle {
    Subtitle::new(id, language(tag), SubtitleOrigin::Api, text, 1)
}

#[tokio::test]
async fn a_text_is_kept_as_it_is_and_takes_the_place_of_the_one_before() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let item = media(who.client, "/media/a.mp4");
    assert_eq!(store.insert_media(&who, &item).await, Ok(Inserted::New));
    let empty = store.subtitles_mark().await.unwrap();
    let first = subtitle(item.id, "en", "WEBVTT é");
    store
        .save_subtitle(&who, &first, "WEBVTT é", None)
        .await
        .unwrap();
    assert_eq!(store.all_subtitles().await.unwrap().first(), Some(&first));
    assert!(first.is_of("WEBVTT é") && !first.is_of("WEBVTT e"));
    let mark = store.subtitles_mark().await.unwrap();
    assert_ne!(mark, empty);
    let second = Subtitle {
        origin: SubtitleOrigin::Sidecar,
        ..subtitle(item.id, "en", "WEBVTT 2")
    };
    store
        .save_subtitle(&who, &second, "WEBVTT 2", None)
        .await
        .unwrap();
    assert_eq!(store.all_subtitles().await.unwrap(), [second]);
    assert_ne!(store.subtitles_mark().await.unwrap(), mark);
    let content = store.subtitle_content(item.id, &language("en")).await;
    assert_eq!(content.unwrap().as_deref(), Some("WEBVTT 2"));
    assert_eq!(
        store.subtitle_content(item.id, &language("de")).await,
        Ok(None)
    );
    let gone = store
        .delete_subtitle(&who, item.id, &language("de"), None)
        .await;
    assert_eq!(gone, Err(StoreError::NotFound));
    store
        .delete_subtitle(&who, item.id, &language("en"), None)
        .await
        .unwrap();
    assert_eq!(store.subtitles_mark().await.unwrap(), empty);
    let told = store.audit(who.client, 0, 10).await.unwrap();
    let told: Vec<_> = told.iter().map(|entry| entry.operation.as_str()).collect();
    let expected = [
        "media.import",
        "media.subtitle",
        "media.subtitle",
        "media.subtitle.delete",
    ];
    assert_eq!(told, expected);
    // They go with their item.
    let text = subtitle(item.id, "fr", "x");
    store.save_subtitle(&who, &text, "x", None).await.unwrap();
    store.delete_media(&who, item.id, None).await.unwrap();
    assert_eq!(store.all_subtitles().await, Ok(Vec::new()));
}

#[tokio::test]
async fn texts_count_against_the_plan_and_anothers_are_unknown() {
    let store = testing::fresh().await;
    let limits = PlanLimits {
        storage_bytes: Some(media(Principal::daemon().client, "/media/a.mp4").size + 10),
        ..PlanLimits::UNLIMITED
    };
    let who = store.client("small", &limits).await;
    let item = media(who.client, "/media/a.mp4");
    assert_eq!(store.insert_media(&who, &item).await, Ok(Inserted::New));
    let save = |tag: &'static str, text: &'static str| {
        let (store, who, subtitle) = (&store, &who, subtitle(item.id, tag, text));
        async move { store.save_subtitle(who, &subtitle, text, None).await }
    };
    assert_eq!(save("en", "12345678").await, Ok(()));
    assert!(matches!(save("de", "123").await, Err(StoreError::Limit(_))));
    // In the place of another only what is more counts.
    assert_eq!(save("en", "1234567890").await, Ok(()));
    assert_eq!(
        store.storage(who.client).await.unwrap().used,
        item.size + 10
    );
    let other = store.client("other", &PlanLimits::UNLIMITED).await;
    let text = subtitle(item.id, "en", "1");
    let unknown = Err(StoreError::NotFound);
    assert_eq!(store.save_subtitle(&other, &text, "1", None).await, unknown);
    assert_eq!(
        store
            .delete_subtitle(&other, item.id, &language("en"), None)
            .await,
        unknown
    );
}

#[tokio::test]
async fn an_item_has_so_many_languages_at_most() {
    let store = testing::fresh().await;
    let who = Principal::daemon();
    let item = media(who.client, "/media/a.mp4");
    assert_eq!(store.insert_media(&who, &item).await, Ok(Inserted::New));
    let save = |n: u64| {
        let (store, who, subtitle) = (&store, &who, subtitle(item.id, &format!("en-x-{n}"), "x"));
        async move { store.save_subtitle(who, &subtitle, "x", None).await }
    };
    for n in 0..MOST_SUBTITLES {
        assert_eq!(save(n).await, Ok(()));
    }
    assert!(matches!(
        save(MOST_SUBTITLES).await,
        Err(StoreError::Conflict(_))
    ));
    assert_eq!(
        save(0).await,
        Ok(()),
        "one in the place of another is no more"
    );
}
