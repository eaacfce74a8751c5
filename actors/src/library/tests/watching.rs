//! Folders that are watched: what counts for gone, and what does not.

use super::*;

#[tokio::test]
async fn a_folder_that_nobody_has_looked_at_is_not_taken_for_another() {
    let house = House::new().await;
    let file = house.input().join("a.mp4");
    clip(&file, 30);
    let item = house.import_one(&file).await;
    std::fs::remove_file(&file).unwrap();
    let watched = house.library.watch(&house.who, &house.input()).await;
    let id = watched.unwrap().folder.id;
    let inner = &house.library.inner;
    let is_missed = || {
        inner
            .read(|catalogue| catalogue.item(item.id).cloned())
            .is_some_and(|item| item.missing_since.is_some())
    };
    until("the item is missed", is_missed).await;
    let view = house.library.watched(&house.who, id).unwrap().to_json();
    assert_eq!(view["state"], "watching");
    let stored = house.store.watched().await.unwrap();
    assert!(stored[0].identity.is_some(), "also of an empty folder");
    inner.watchers.stop();
}

#[tokio::test]
async fn where_a_copy_is_in_the_folder_it_takes_the_place_of_a_file_that_is_gone() {
    let mut house = House::new().await;
    let (first, copy) = (house.input().join("a.mp4"), house.input().join("b.mp4"));
    clip(&first, 30);
    let watched = house.library.watch(&house.who, &house.input()).await;
    let id = watched.unwrap().folder.id;
    let imported = house.event(kind::MEDIA_IMPORTED).await;
    std::fs::copy(&first, &copy).unwrap();
    // Another film of its size is none.
    let mut bytes = std::fs::read(&first).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(house.input().join("aa.mp4"), bytes).unwrap();
    let other = house.event(kind::MEDIA_IMPORTED).await;
    assert_ne!(other.data["id"], imported.data["id"]);
    let files = || house.library.watched(&house.who, id).unwrap().to_json()["files"].clone();
    until("all are taken", || files() == 3).await;
    let inner = Arc::clone(&house.library.inner);
    let item = || {
        inner.read(|catalogue| {
            let mut items = catalogue.items.values().map(|known| known.item.clone());
            items.find(|item| imported.data["id"] == json!(item.id))
        })
    };
    assert_eq!(item().unwrap().path, first);
    std::fs::remove_file(&first).unwrap();
    until("the copy is its file", || item().unwrap().path == copy).await;
    assert_eq!(item().unwrap().missing_since, None);
    // Without a copy it is missed, and nothing was before.
    std::fs::remove_file(&copy).unwrap();
    let missed = house.event(kind::MEDIA_MISSING).await;
    assert_eq!(missed.data["path"], json!(copy.to_string_lossy()));
    assert_eq!(missed.data["id"], imported.data["id"]);
    inner.watchers.stop();
    house.queue.stop().await;
}

#[test]
fn a_folder_that_cannot_be_read_to_its_end_is_told_from_one_that_can() {
    let folder = tempfile::tempdir().unwrap();
    let mut deep = folder.path().to_owned();
    std::fs::write(deep.join("a.mp4"), "film").unwrap();
    std::fs::write(deep.join("a.nfo"), "about it").unwrap();
    std::fs::write(deep.join("b.nfo"), "about nothing").unwrap();
    let find = || walk::find(folder.path(), &Roots::default(), Path::new("/nowhere")).unwrap();
    let found = find();
    assert_eq!(found.files.len(), 2, "a sidecar is no file of its own");
    assert_eq!(found.incomplete, None);
    for _ in 0..66 {
        deep.push("d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    let found = find();
    assert_eq!(found.files.len(), 2);
    assert!(found.incomplete.unwrap().contains("folders deep"));
}
