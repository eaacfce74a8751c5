//! A damaged file is prepared all the same, and its item says where it is damaged.

use std::fs;

use playout_domain::damage::{Damage, Damaged};

use super::*;

/// Eight seconds at a key frame a second, with pictures that have something to lose.
fn busy(path: &Path) -> Vec<u8> {
    let source = "testsrc2=s=160x120:r=25,noise=alls=20:allf=t";
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        source,
        "-f",
        "lavfi",
        "-i",
        "sine=r=48000",
        "-g",
        "25",
    ];
    run_ffmpeg(path, &inputs, 200);
    fs::read(path).unwrap()
}

fn pictures(item: &MediaItem) -> Vec<Damage> {
    let of = item.damage.iter();
    of.filter(|damage| damage.what == Damaged::Picture)
        .copied()
        .collect()
}

#[tokio::test]
async fn a_damaged_item_is_prepared_whole_and_marked_until_it_is_another_file() {
    let mut house = House::new().await;
    let path = house.input().join("torn.mp4");
    let whole = busy(&path);
    let mut torn = whole.clone();
    let (middle, length) = (torn.len() / 2, torn.len() / 20);
    torn[middle..middle + length].fill(0x55);
    fs::write(&path, &torn).unwrap();

    let item = house.import_one(&path).await;
    assert_eq!(item.damage, [], "nobody has looked yet");
    let ready = house.event(kind::MEDIA_READY).await;
    let index = house.library.prepared(item.id, &PROFILE).unwrap().index;
    assert_eq!(index.frames, 200);
    let marked = house.view(item.id).await.item;
    let [damage] = pictures(&marked)[..] else {
        panic!("one stretch: {:?}", marked.damage);
    };
    assert!((3.0..4.3).contains(&damage.from.seconds()), "{damage:?}");
    assert!((4.3..6.5).contains(&damage.to.seconds()), "{damage:?}");
    let told: Vec<_> = marked.damage.iter().map(Damage::to_json).collect();
    assert_eq!(ready.data["damage"], serde_json::Value::from(told));

    let other = Profile {
        video_bitrate: BitsPerSecond(200_000),
        ..PROFILE
    };
    house.library.want(item.id, &other);
    let again = house.event(kind::MEDIA_READY).await;
    assert_eq!(again.data["damage"], ready.data["damage"]);
    house.queue.stop().await;
    let stored = house.store.media(item.id).await.unwrap().unwrap();
    assert_eq!(stored.damage, marked.damage);
    let mut house = house.restarted(|_| {}).await;
    assert_eq!(house.view(item.id).await.item.damage, marked.damage);

    // Mended, it is another file.
    fs::write(&path, &whole).unwrap();
    let mended = house.import_one(&path).await;
    assert_eq!((mended.id, &mended.damage[..]), (item.id, &[][..]));
    let ready = house.event(kind::MEDIA_READY).await;
    assert_eq!(ready.data["damage"], json!([]));
    assert_eq!(house.view(item.id).await.item.damage, []);
    house.queue.stop().await;
    let stored = house.store.media(item.id).await.unwrap().unwrap();
    assert_eq!(stored.damage, []);
}
