//! A library that was loaded without the database, and what that has meanwhile.

use super::*;

#[tokio::test]
async fn what_only_the_database_knows_is_new_and_what_it_does_not_know_is_gone() {
    let mut house = House::new().await;
    for name in ["gone.mp4", "stays.mp4"] {
        clip(&house.input().join(name), 30);
    }
    let items = house.import(&house.input()).await.accepted;
    house.ready(&items).await;
    house.queue.stop().await;
    while house.facts.try_recv().is_ok() {}
    // Behind its back, as another daemon would.
    let (gone, stays) = (&items[0], &items[1]);
    house
        .store
        .delete_media(&house.who, gone.id, None)
        .await
        .unwrap();
    let new = MediaItem {
        id: MediaId::from(uuid::Uuid::now_v7()),
        path: house.input().join("new.mp4"),
        ..stays.clone()
    };
    house.store.insert_media(&house.who, &new).await.unwrap();
    house.library.take_up().await.unwrap();
    let listed = house.library.list(&house.who, None, 10).await.unwrap();
    let listed: Vec<MediaId> = listed.iter().map(|view| view.item.id).collect();
    assert_eq!(listed, [stays.id, new.id]);
    let kept = house.library.prepared(stays.id, &PROFILE);
    assert!(kept.is_some(), "what it knows, it knows on");
    let facts = [house.facts.recv().await, house.facts.recv().await];
    let expected = [
        LibraryFact::Removed { media: gone.id },
        LibraryFact::Changed { media: new.id },
    ];
    assert_eq!(facts.map(Option::unwrap), expected);
    // Imported again it is the same item, wherever it came from.
    let known = house.library.inner.read(|catalogue| {
        let known = catalogue.by_path(house.who.client, &new.path);
        known.map(|known| known.item.id)
    });
    assert_eq!(known, Some(new.id));
}
