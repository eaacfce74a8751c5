//! Uploads by hand: what a full disk, the sweep and a failed import leave of them.

use super::*;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use playout_domain::Details;
use playout_domain::limits::PlanLimits;
use playout_store::ArrivalState;

use super::arrivals::Look;

/// Begins an upload of `length` bytes.
async fn begin(house: &House, length: u64) -> UploadView {
    let (library, details) = (&house.library, Details::default());
    let begun = library.create_upload(&house.who, "a.mp4", details, "", length);
    begun.await.unwrap()
}

/// Writes at `offset`, and waits until the bytes are in the file.
async fn write(house: &House, upload: &UploadView, offset: u64, bytes: &[u8]) -> UploadWriter {
    let id = upload.arrival.id;
    let writer = house.library.write_upload(&house.who, id, offset, None);
    let mut writer = writer.await.unwrap();
    writer.write(&Bytes::copy_from_slice(bytes)).await.unwrap();
    let file = house.library.inner.files.upload(id);
    let end = offset + bytes.len() as u64;
    let there = || std::fs::metadata(&file).is_ok_and(|file| file.len() == end);
    until("its bytes are in the file", there).await;
    writer
}

#[tokio::test]
async fn what_a_full_disk_did_not_take_does_not_count_and_leaves_no_zeros() {
    let house = House::new().await;
    let upload = begin(&house, 100_000).await;
    let writer = write(&house, &upload, 0, &[7; 10_000]).await;
    // They were taken for written, and are not there.
    let path = house.library.inner.files.upload(upload.arrival.id);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(4_000).unwrap();
    writer.abandon(&UploadError::NoRoom).await;
    let now = house.library.upload(&house.who, upload.arrival.id);
    assert_eq!(now.await.unwrap().offset, 4_000);
    assert_eq!(std::fs::read(&path).unwrap(), [7; 4_000]);
    // An end that is no piece's end answers what is there, too.
    let writer = write(&house, &upload, 4_000, &[7; 1_000]).await;
    file.set_len(4_500).unwrap();
    let (view, media) = writer.finish(true).await.unwrap();
    assert_eq!((view.offset, media), (4_500, None));
}

#[tokio::test]
async fn an_import_that_is_ended_while_it_becomes_an_item_leaves_no_half_of_one() {
    let house = House::new().await;
    let inner = Arc::clone(&house.library.inner);
    let url = Some("http://example.com/a.mp4".to_owned());
    let arrival = inner.new_arrival(&house.who, url, "a.mp4", Details::default(), None);
    let id = arrival.id;
    house
        .store
        .insert_arrival(&house.who, &arrival)
        .await
        .unwrap();
    let file = inner.files.upload(id);
    clip(&file.with_extension("mp4"), 30);
    std::fs::rename(file.with_extension("mp4"), &file).unwrap();
    let size = std::fs::metadata(&file).unwrap().len();
    // It comes as far as the comparison with what there is, and waits.
    let turn = inner.sizes.turn(house.who.client, size).await;
    let (own, importing) = (inner.files.own(&arrival), Arc::clone(&inner));
    let job = tokio::spawn(async move { importing.imported(arrival).await.is_ok() });
    inner.fetches.note(id, job.abort_handle());
    until("it is the library's own file", || own.exists()).await;
    let (library, who) = (house.library.clone(), house.who.clone());
    let ending = tokio::spawn(async move { library.end_fetch(&who, id).await });
    assert!(job.await.unwrap_err().is_cancelled());
    drop(turn);
    ending.await.unwrap().unwrap();
    // It was too late: it is an item, here and in the store.
    let item = inner.read(|catalogue| catalogue.by_path(house.who.client, &own).is_some());
    let stored = house.store.media_of_size(house.who.client, size).await;
    assert_eq!((item, stored.unwrap().len(), own.exists()), (true, 1, true));
    let gone = house.store.arrival(&house.who, id).await;
    assert_eq!(gone, Err(playout_store::StoreError::NotFound));
}

#[tokio::test]
async fn what_one_client_has_sent_is_not_imported_by_another_and_goes_with_its_own_item_alone() {
    let house = House::new().await;
    let film = house.input().join("film.mp4");
    clip(&film, 30);
    let bytes = std::fs::read(&film).unwrap();
    let upload = begin(&house, bytes.len() as u64).await;
    let writer = write(&house, &upload, 0, &bytes).await;
    let (_, media) = writer.finish(true).await.unwrap();
    let sent = house.view(media.unwrap()).await.item.path;
    // Its folder, the file itself, and a link to it in a folder that may be imported from.
    let link = house.input().join("link.mp4");
    std::os::unix::fs::symlink(&sent, &link).unwrap();
    let media = house.dir.path().join("media");
    let everywhere = Roots::default();
    for path in [&media, &media.join(OWN_FILES), &sent, &link] {
        let refused = walk::find(path, &everywhere, &media).unwrap_err();
        assert!(refused.contains("the daemon's own folder"), "{refused}");
    }
    let found = walk::find(house.dir.path(), &everywhere, &media).unwrap();
    assert_eq!(found.files, [film]);
    let refused: Vec<_> = found.refused.into_iter().map(|file| file.path).collect();
    assert_eq!(refused, [link, media]);
    // An item of another client that has the file from before deletes nothing.
    let other = house.store.client("other", &PlanLimits::UNLIMITED).await;
    let files = &house.library.inner.files;
    files.remove_own(other.client, &sent);
    assert!(sent.exists());
    files.remove_own(house.who.client, &sent);
    assert!(!sent.exists());
}

#[tokio::test]
async fn the_sweep_leaves_an_upload_alone_that_somebody_writes_to() {
    let house = House::new().await;
    let (library, inner) = (&house.library, &house.library.inner);
    let film = house.input().join("film.mp4");
    clip(&film, 30);
    let bytes = std::fs::read(&film).unwrap();
    let upload = begin(&house, bytes.len() as u64).await;
    let mut expired = upload.arrival.clone();
    expired.expires_at = Timestamp::UNIX_EPOCH;
    // All of it is there, but the writer is not at its end.
    let writer = write(&house, &upload, 0, &bytes).await;
    inner.sweep(Look::First).await.unwrap();
    inner.store.update_arrival(&expired).await.unwrap();
    inner.sweep(Look::Later).await.unwrap();
    let (view, media) = writer.finish(true).await.unwrap();
    assert_eq!(
        (view.arrival.state, media.is_some()),
        (ArrivalState::Done, true)
    );
    // Nobody is at one that has expired.
    let left = begin(&house, 1_000).await;
    drop(write(&house, &left, 0, &[7; 10]).await);
    expired.id = left.arrival.id;
    inner.store.update_arrival(&expired).await.unwrap();
    inner.sweep(Look::Later).await.unwrap();
    let gone = library.upload(&house.who, left.arrival.id).await;
    assert_eq!(gone, Err(OpError::NotFound("upload")));
    assert!(!inner.files.upload(left.arrival.id).exists());
}

#[tokio::test]
async fn a_stray_goes_at_the_first_look_and_what_has_begun_stays() {
    let house = House::new().await;
    let inner = &house.library.inner;
    let upload = begin(&house, 1_000).await;
    let stray = inner.files.upload(uuid::Uuid::now_v7().into());
    std::fs::write(&stray, "left by a crash").unwrap();
    inner.sweep(Look::Later).await.unwrap();
    assert!(stray.exists());
    inner.sweep(Look::First).await.unwrap();
    assert!(!stray.exists() && inner.files.upload(upload.arrival.id).exists());
}

#[tokio::test]
async fn what_could_not_be_imported_is_tried_again_by_the_sweep() {
    let programs = tempfile::tempdir().unwrap();
    let ffprobe = programs.path().join("ffprobe");
    let tools = Tools {
        ffprobe: ffprobe.clone(),
        ..Tools::default()
    };
    let house = House::with(tools, 1).await;
    let (library, inner) = (&house.library, &house.library.inner);
    let film = house.dir.path().join("film.mp4");
    clip(&film, 30);
    let bytes = std::fs::read(&film).unwrap();
    let upload = begin(&house, bytes.len() as u64).await;
    let writer = write(&house, &upload, 0, &bytes).await;
    let failed = writer.finish(true).await.unwrap_err();
    let is_away = matches!(failed, UploadError::Op(OpError::Unavailable { .. }));
    assert!(is_away, "{failed:?}");
    let server = Server::start(bytes.clone());
    let url = format!("http://{}/other.mp4", server.address);
    let fetch = library.fetch(&house.who, &url, Details::default()).await;
    let fetch = fetch.unwrap().arrival.id;
    let runs = || inner.fetches.runs(fetch);
    until("the job has ended", || !runs()).await;
    let fetched = library.fetched(&house.who, fetch).await.unwrap();
    assert_eq!(fetched.arrival.state, ArrivalState::Arriving);
    assert_eq!(fetched.offset, bytes.len() as u64);
    // Also past its time: it has waited for us.
    let mut expired = upload.arrival.clone();
    expired.expires_at = Timestamp::UNIX_EPOCH;
    inner.store.update_arrival(&expired).await.unwrap();
    inner.sweep(Look::Later).await.unwrap();
    assert!(inner.files.upload(expired.id).exists());
    std::os::unix::fs::symlink(which("ffprobe"), &ffprobe).unwrap();
    inner.sweep(Look::Later).await.unwrap();
    let uploaded = library
        .upload(&house.who, expired.id)
        .await
        .unwrap()
        .arrival;
    let fetched = library.fetched(&house.who, fetch).await.unwrap().arrival;
    for arrival in [&uploaded, &fetched] {
        assert_eq!(arrival.state, ArrivalState::Done, "{arrival:?}");
    }
    assert_eq!(uploaded.media_id, fetched.media_id);
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
}

/// Where a program is.
fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.exists()).unwrap()
}

/// A server of one file.
struct Server {
    address: std::net::SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(body: Vec<u8>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&body);
            }
        });
        Self { address, asked }
    }
}
