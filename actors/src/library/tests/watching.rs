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
