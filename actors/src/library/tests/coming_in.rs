//! What files are called and say, what is the same in two places, and what moves.

use super::*;
use playout_domain::Details;
use playout_store::MediaQuery;
use serde_json::{Value, json};

#[tokio::test]
async fn one_content_in_two_places_is_one_item_and_a_file_that_moved_stays_its_item() {
    let house = House::new().await;
    let (first, second) = (house.input().join("a.mp4"), house.input().join("b.mp4"));
    clip(&first, 30);
    std::fs::copy(&first, &second).unwrap();
    let items = house.import(&house.input()).await.accepted;
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].id, items[1].id, "one item, found twice");
    let id = items[0].id;
    let item = house.library.get(&house.who, id).await.unwrap().item;
    assert!(item.sha256.is_some());
    // The item's own file goes: the other is its file from now on.
    std::fs::remove_file(&item.path).unwrap();
    let other = if item.path == first { &second } else { &first };
    let again = house.import_one(other).await;
    assert_eq!((again.id, &again.path), (id, other));
    // And is no other file the next time.
    let once_more = house.import_one(other).await;
    assert_eq!((once_more.id, once_more.version), (id, again.version));
    // A file of the same size with other content is another item.
    let third = house.input().join("c.mp4");
    let mut bytes = std::fs::read(other).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&third, bytes).unwrap();
    assert_ne!(house.import_one(&third).await.id, id);
    // Of a moved file whose digest nobody has taken, its inode tells.
    let fourth = house.input().join("d.mp4");
    clip(&fourth, 60);
    let lone = house.import_one(&fourth).await;
    assert_eq!(lone.sha256, None);
    let fifth = house.input().join("e.mp4");
    std::fs::rename(&fourth, &fifth).unwrap();
    let moved = house.import_one(&fifth).await;
    assert_eq!((moved.id, moved.path), (lone.id, fifth));
}

#[tokio::test]
async fn a_sidecar_goes_before_the_files_tags_and_an_edit_before_both() {
    let house = House::new().await;
    let file = house.input().join("film.mp4");
    clip(&file, 30);
    let nfo = "<movie><title>From the nfo</title><genre>Drama</genre><showtitle>Films</showtitle></movie>";
    std::fs::write(house.input().join("film.nfo"), nfo).unwrap();
    let report = house.import(&house.input()).await;
    assert!(
        report.refused.is_empty(),
        "a sidecar is no item: {report:?}"
    );
    let item = &report.accepted[0];
    assert_eq!((item.title.as_str(), item.version), ("From the nfo", 1));
    assert_eq!(item.details.series.as_deref(), Some("Films"));
    let edit = |patch, version| house.library.edit(&house.who, item.id, patch, version);
    let patch = json!({ "title": "Edited", "genre": null, "tags": ["Night"] });
    let edited = edit(&patch, Some(1)).await.unwrap().item;
    assert_eq!((edited.title.as_str(), edited.version), ("Edited", 2));
    let late = edit(&json!({ "title": "Late" }), Some(1)).await;
    assert!(matches!(late, Err(OpError::VersionMismatch { current: 2 })));
    // Another film under the same name: what was edited stays.
    clip(&file, 60);
    let json = r#"{ "title": "From the json", "genre": "Comedy", "rating": "PG" }"#;
    std::fs::write(house.input().join("film.json"), json).unwrap();
    let again = house.import_one(&file).await;
    assert_eq!(again.id, item.id);
    let expected = Details {
        title: Some("Edited".into()),
        rating: Some("PG".into()),
        tags: vec!["night".into()],
        ..Details::default()
    };
    assert_eq!(
        (again.title.as_str(), &again.details),
        ("Edited", &expected)
    );
    let query = MediaQuery {
        words: vec!["edit".into()],
        limit: 10,
        ..MediaQuery::default()
    };
    let found = house.library.search(&house.who, query).await.unwrap();
    assert_eq!(found.len(), 1);
    // A sidecar that leads elsewhere says nothing.
    let outside = house.dir.path().join("secret.json");
    std::fs::write(&outside, r#"{ "title": "Secret" }"#).unwrap();
    std::os::unix::fs::symlink(&outside, house.input().join("other.json")).unwrap();
    let other = house.input().join("other.mp4");
    clip(&other, 90);
    assert_eq!(house.import_one(&other).await.title, "other");
}

#[tokio::test]
async fn what_is_said_with_a_file_that_is_there_already_fills_what_nobody_has_said() {
    let house = House::new().await;
    let film = house.input().join("film.mp4");
    clip(&film, 30);
    let bytes = std::fs::read(&film).unwrap();
    let item = house.import_one(&film).await;
    for patch in [
        json!({ "rating": "PG", "genre": "Drama" }),
        json!({ "genre": null }),
    ] {
        let edited = house.library.edit(&house.who, item.id, &patch, None).await;
        edited.unwrap();
    }
    let send = |said: Value| {
        let (library, who, bytes) = (&house.library, &house.who, &bytes);
        async move {
            let (said, length) = (Details::parse(&said).unwrap(), bytes.len() as u64);
            let upload = library.create_upload(who, "again.mp4", said, "", length);
            let id = upload.await.unwrap().arrival.id;
            let mut writer = library.write_upload(who, id, 0, None).await.unwrap();
            writer.write(&bytes.clone().into()).await.unwrap();
            let (_, media) = writer.finish(true).await.unwrap();
            assert_eq!(media, Some(item.id));
            library.get(who, item.id).await.unwrap().item
        }
    };
    let said = json!({ "title": "Night", "tags": ["city"], "rating": "R", "genre": "Horror" });
    let told = send(said).await;
    let expected = Details {
        title: Some("Night".into()),
        tags: vec!["city".into()],
        rating: Some("PG".into()),
        ..Details::default()
    };
    assert_eq!((told.title.as_str(), &told.details), ("Night", &expected));
    let stored = house.store.media(item.id).await.unwrap().unwrap();
    assert_eq!((&stored.details, stored.version), (&expected, told.version));
    // What was said once is not said again otherwise, nor by a file that says nothing.
    let again = send(json!({ "title": "Day", "tags": ["country"] })).await;
    assert_eq!((again.version, &again.details), (told.version, &expected));
    assert_eq!(send(json!({})).await.version, told.version);
    assert_eq!(again.path, film);
}

#[tokio::test]
async fn a_file_that_was_changed_since_its_digest_was_taken_is_nobodys_twin() {
    let house = House::new().await;
    let (first, second) = (house.input().join("a.mp4"), house.input().join("b.mp4"));
    clip(&first, 30);
    std::fs::copy(&first, &second).unwrap();
    let items = house.import(&house.input()).await.accepted;
    let item = &items[0];
    assert_eq!(items[1].id, item.id);
    assert!(item.sha256.is_some() || house.view(item.id).await.item.sha256.is_some());
    // Another content of the same size in the item's own place; the other place has the good copy still.
    let good = if item.path == first { &second } else { &first };
    let mut bytes = std::fs::read(&item.path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&item.path).unwrap();
    std::fs::write(&item.path, bytes).unwrap();
    let kept = house.import_one(good).await;
    assert_ne!(kept.id, item.id);
    assert_eq!(&kept.path, good);
}
