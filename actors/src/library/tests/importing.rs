//! What is accepted, what is refused, and with which words.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, symlink};

use playout_domain::limits::PlanLimits;
use playout_domain::violation::Violations;

use super::*;

/// Content and time stamps: everything that an import must not touch.
fn fingerprint(path: &Path) -> (Vec<u8>, i64, i64) {
    let file = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), file.mtime(), file.mtime_nsec())
}

#[tokio::test]
async fn a_folder_is_imported_with_everything_in_it_and_prepared_and_left_as_it_was() {
    let mut house = House::new().await;
    let input = house.input();
    fs::create_dir_all(input.join("b/deep")).unwrap();
    fs::create_dir(input.join(".hidden")).unwrap();
    let odd = ["-f lavfi.mp4", "two\nlines.mp4", "\"quotes\" & spaces.mp4"].map(OsString::from);
    let not_utf8 = OsString::from_vec(b"b/\xff\xfe.mp4".to_vec());
    let names: Vec<OsString> = odd
        .into_iter()
        .chain([not_utf8, "b/deep/z.mp4".into()])
        .collect();
    for name in &names {
        clip(&input.join(name), 30);
    }
    clip(&input.join(".hidden/not-me.mp4"), 5);
    clip(&input.join(".not-me.mp4"), 5);
    nix::unistd::mkfifo(&input.join("pipe.mp4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before: Vec<_> = names
        .iter()
        .map(|name| fingerprint(&input.join(name)))
        .collect();

    let report = house.import(&input).await;
    let pipe = RefusedFile {
        path: input.join("pipe.mp4"),
        reason: "It is a pipe, not a file.".to_owned(),
    };
    assert_eq!(report.refused, [pipe]);
    let expected: std::collections::BTreeSet<PathBuf> =
        names.iter().map(|name| input.join(name)).collect();
    let accepted: Vec<&PathBuf> = report.accepted.iter().map(|item| &item.path).collect();
    assert_eq!(
        accepted,
        expected.iter().collect::<Vec<_>>(),
        "all of them, in order"
    );
    house.ready(&report.accepted).await;
    for item in &report.accepted {
        let view = house.view(item.id).await;
        assert_eq!(view.item.status, MediaStatus::Ready);
        let rendition = &view.renditions[0];
        assert_eq!(
            (rendition.percent, rendition.frames),
            (100.0, Some(30)),
            "{:?}",
            item.path
        );
        let stored = house.store.media(item.id).await.unwrap().unwrap();
        assert_eq!((&stored.path, &stored.title), (&item.path, &item.title));
    }
    assert_eq!(report.accepted[4].title, "two lines");
    let after: Vec<_> = names
        .iter()
        .map(|name| fingerprint(&input.join(name)))
        .collect();
    assert!(before == after, "an original was touched");
    house.queue.stop().await;
}

#[tokio::test]
async fn what_is_no_video_is_refused_with_a_sentence() {
    let mut house = House::new().await;
    let input = house.input();
    let ffmpeg = |name: &str, args: &[&str]| {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-loglevel", "error"])
            .args(args)
            .arg(input.join(name));
        assert!(command.status().unwrap().success());
    };
    fs::write(input.join("empty.mp4"), b"").unwrap();
    fs::write(input.join("text.mp4"), "This is not a video.\n".repeat(200)).unwrap();
    fs::write(
        input.join("playlist.mp4"),
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile:///etc/passwd\n",
    )
    .unwrap();
    ffmpeg("sound.m4a", &["-f", "lavfi", "-i", "sine", "-t", "1"]);
    ffmpeg(
        "still.png",
        &["-f", "lavfi", "-i", "testsrc", "-frames:v", "1"],
    );
    clip(&input.join("whole.mp4"), 50);
    let whole = fs::read(input.join("whole.mp4")).unwrap();
    fs::write(input.join("cut.mp4"), &whole[..whole.len() / 2]).unwrap();

    let report = house.import(&input).await;
    assert_eq!(report.accepted.len(), 1);
    let refused: Vec<(String, &str)> = report
        .refused
        .iter()
        .map(|file| {
            (
                file.path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
                file.reason.as_str(),
            )
        })
        .collect();
    let expected = [
        ("cut.mp4", "moov"),
        ("empty.mp4", "empty"),
        ("playlist.mp4", "playlist"),
        ("sound.m4a", "no video"),
        ("still.png", "still image"),
        ("text.mp4", "not a video"),
    ];
    assert_eq!(refused.len(), expected.len(), "{refused:?}");
    for ((name, reason), (expected, words)) in refused.iter().zip(expected) {
        assert_eq!(name, expected);
        assert!(
            reason.contains(words) && reason.ends_with('.'),
            "{name}: {reason}"
        );
    }
    for (name, _) in expected {
        let event = house.event(kind::MEDIA_REFUSED).await;
        assert!(event.data["path"].as_str().unwrap().ends_with(name));
    }
    assert_eq!(
        house.store.all_media().await.unwrap().len(),
        1,
        "what is refused is not stored"
    );
    house.queue.stop().await;
}

#[tokio::test]
async fn no_ffprobe_is_started_for_what_a_glance_can_tell() {
    let tools = tempfile::tempdir().unwrap();
    let at = tools.path().display();
    let ffprobe = stand_in(tools.path(), &format!("mkdir {at}/started.$$; exit 1")).ffmpeg;
    let house = House::with(
        Tools {
            ffprobe,
            ..Tools::default()
        },
        1,
    )
    .await;
    let input = house.input();
    for n in 0..300_u32 {
        let noise: Vec<u8> = (n..n + 300)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        fs::write(input.join(format!("{n}.mp4")), noise).unwrap();
    }
    fs::write(input.join("text.mp4"), "This is not a video.\n".repeat(200)).unwrap();
    let report = house.import(&input).await;
    assert_eq!(report.refused.len(), 301);
    let started = |folder: &Path| {
        let names = names(folder).into_iter();
        names.filter(|name| name.starts_with("started")).count()
    };
    assert_eq!(started(tools.path()), 0);
    // What may be media is looked into.
    fs::write(input.join("more.mp4"), [0; 600]).unwrap();
    house.import(&input.join("more.mp4")).await;
    assert_eq!(started(tools.path()), 1);
    house.queue.stop().await;
}

#[tokio::test]
async fn a_path_that_may_not_be_imported_is_refused_by_its_pointer() {
    let house = House::new().await;
    let (input, outside) = (house.input(), house.dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    clip(&outside.join("secret.mp4"), 5);
    symlink(&outside, input.join("way-out")).unwrap();
    symlink(outside.join("secret.mp4"), input.join("secret.mp4")).unwrap();
    let socket = input.join("socket");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    for (path, words) in [
        (PathBuf::from("clip.mp4"), "absolute"),
        (input.join("missing.mp4"), "no file or folder"),
        (outside.join("secret.mp4"), "not in a folder"),
        (input.join("../outside"), "not in a folder"),
        (input.join("way-out"), "not in a folder"),
        (input.join("secret.mp4"), "not in a folder"),
        (PathBuf::from("/dev/zero"), "not in a folder"),
        (socket, "neither a file nor a folder"),
        (
            PathBuf::from(OsString::from_vec(b"/in\0put".to_vec())),
            "NUL",
        ),
    ] {
        let error = house.library.import(&house.who, &path).await.unwrap_err();
        let OpError::Invalid(Violations { 0: violations, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!((violations.len(), &*violations[0].pointer), (1, "/path"));
        assert!(
            violations[0].message.contains(words),
            "{}",
            violations[0].message
        );
    }
    let report = house.import(&input).await;
    assert_eq!(report.accepted, []);
    let refused: Vec<_> = report
        .refused
        .iter()
        .map(|file| file.path.file_name().unwrap())
        .collect();
    assert_eq!(refused, ["secret.mp4", "socket", "way-out"]);
    for (file, words) in report
        .refused
        .iter()
        .zip(["symbolic link", "a socket", "symbolic link"])
    {
        assert!(file.reason.contains(words), "{file:?}");
    }
    house.queue.stop().await;
}

#[test]
fn what_is_no_file_is_refused_by_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let _bound = std::os::unix::net::UnixListener::bind(at("socket.mp4")).unwrap();
    nix::unistd::mkfifo(&at("pipe.mp4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", at("zero.mp4")).unwrap();
    symlink(at("pipe.mp4"), at("link.mp4")).unwrap();
    let found = walk::find(folder.path(), &Roots::default(), Path::new("/nowhere")).unwrap();
    assert_eq!(found.files, [""; 0].map(PathBuf::from));
    let refused: Vec<_> = found
        .refused
        .iter()
        .map(|file| {
            (
                file.path.file_name().unwrap().to_str(),
                file.reason.as_str(),
            )
        })
        .collect();
    let expected = [
        (Some("link.mp4"), "It is a pipe, not a file."),
        (Some("pipe.mp4"), "It is a pipe, not a file."),
        (Some("socket.mp4"), "It is a socket, not a file."),
        (Some("zero.mp4"), "It is a device, not a file."),
    ];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn links_within_the_roots_are_followed_and_nothing_is_taken_twice() {
    let house = House::new().await;
    let input = house.input();
    fs::create_dir(input.join("a")).unwrap();
    clip(&input.join("a/clip.mp4"), 5);
    symlink(input.join("a/clip.mp4"), input.join("again.mp4")).unwrap();
    symlink(&input, input.join("a/round")).unwrap();
    symlink("nowhere", input.join("broken")).unwrap();
    let report = house.import(&input).await;
    let accepted: Vec<_> = report
        .accepted
        .iter()
        .map(|item| item.path.clone())
        .collect();
    assert_eq!(accepted, [input.join("a/clip.mp4")]);
    assert_eq!(report.refused.len(), 1);
    assert!(report.refused[0].reason.contains("leads nowhere"));
    house.queue.stop().await;
}

#[tokio::test]
async fn a_file_is_one_item_however_often_it_is_imported() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 10);
    let (first, second) = tokio::join!(house.import_one(&path), house.import_one(&path));
    assert_eq!(first.id, second.id);
    house.ready(std::slice::from_ref(&first)).await;
    let third = house.import_one(&path).await;
    assert_eq!((third.id, third.status), (first.id, MediaStatus::Ready));
    assert_eq!(
        house
            .library
            .list(&house.who, None, 10)
            .await
            .unwrap()
            .len(),
        1
    );

    clip(&path, 40);
    let changed = house.import_one(&path).await;
    assert_eq!(
        (changed.id, changed.status),
        (first.id, MediaStatus::Preparing)
    );
    assert_eq!(house.library.frames(first.id, &PROFILE), Some(40));
    house.ready(&[changed]).await;
    assert_eq!(
        house
            .library
            .prepared(first.id, &PROFILE)
            .unwrap()
            .index
            .frames,
        40
    );
    house.queue.stop().await;
}

/// Puts a clip into a folder; answers how long it is.
fn one_clip(folder: &Path) -> u64 {
    let path = folder.join("clip.mp4");
    clip(&path, 5);
    fs::metadata(&path).unwrap().len()
}

#[tokio::test]
async fn a_client_without_a_folder_of_its_own_imports_and_watches_none() {
    let mut house = House::new().await;
    let size = one_clip(&house.input());
    let stranger = house.store.client("stranger", &PlanLimits::UNLIMITED).await;
    let by_path = house.library.import(&stranger, &house.input()).await;
    let watched = house.library.watch(&stranger, &house.input()).await;
    for refused in [by_path.map(drop), watched.map(drop)] {
        let Err(OpError::Invalid(violations)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(violations.0[0].pointer, "/path");
        let sentence = &violations.0[0].message;
        assert!(sentence.contains("media.client_roots"), "{sentence}");
    }
    // What it sends is its own, and is prepared.
    let (library, said) = (&house.library, Default::default());
    let upload = library.create_upload(&stranger, "film.mp4", said, "", size);
    let id = upload.await.unwrap().arrival.id;
    let writer = library.write_upload(&stranger, id, 0, None).await;
    let mut writer = writer.unwrap();
    let bytes = fs::read(house.input().join("clip.mp4")).unwrap();
    writer.write(&bytes.into()).await.unwrap();
    let (_, media) = writer.finish(true).await.unwrap();
    let item = library.get(&stranger, media.unwrap()).await.unwrap().item;
    house.ready(&[item]).await;
    house.queue.stop().await;
}

#[tokio::test]
async fn clients_see_their_own_and_keep_to_their_plan() {
    let of_one = |input: &Path| PlanLimits {
        storage_bytes: Some(one_clip(input) + 1),
        ..PlanLimits::UNLIMITED
    };
    let (house, clients) = House::of_clients(&["one", "other"], of_one).await;
    let [one, other] = [&clients[0], &clients[1]];
    let path = house.input().join("clip.mp4");
    let import = |who: &Principal, path: &Path| {
        let (library, who, path) = (house.library.clone(), who.clone(), path.to_owned());
        async move { library.import(&who, &path).await }
    };
    let mine = import(one, &path).await.unwrap().accepted.remove(0);
    let theirs = import(other, &path).await.unwrap().accepted.remove(0);
    assert_ne!(mine.id, theirs.id);
    assert!(house.library.get(one, mine.id).await.is_ok());
    assert_eq!(
        house.library.get(one, theirs.id).await,
        Err(OpError::NotFound("media"))
    );
    assert_eq!(
        house.library.delete(one, theirs.id, None).await,
        Err(OpError::NotFound("media"))
    );
    assert_eq!(
        house.library.thumbnail(one, theirs.id).await,
        Err(OpError::NotFound("media"))
    );
    let list = house.library.list(one, None, 10).await.unwrap();
    assert_eq!(
        list.iter().map(|view| view.item.id).collect::<Vec<_>>(),
        [mine.id]
    );

    let second = house.input().join("second.mp4");
    clip(&second, 5);
    assert!(matches!(import(one, &second).await, Err(OpError::Limit(_))));
    house.queue.stop().await;
}

#[tokio::test]
async fn a_file_that_has_grown_past_the_plan_is_not_taken_and_its_item_stays() {
    let of_little_more = |input: &Path| PlanLimits {
        storage_bytes: Some(one_clip(input) + 100),
        ..PlanLimits::UNLIMITED
    };
    let (house, clients) = House::of_clients(&["small"], of_little_more).await;
    let who = &clients[0];
    let path = house.input().join("clip.mp4");
    let size = fs::metadata(&path).unwrap().len();
    let import = || house.library.import(who, &path);
    let item = import().await.unwrap().accepted.remove(0);
    clip(&path, 80);
    assert!(fs::metadata(&path).unwrap().len() > size + 100);
    let refused = import().await;
    assert!(matches!(refused, Err(OpError::Limit(_))), "{refused:?}");
    let stored = house.store.media(item.id).await.unwrap().unwrap();
    assert_eq!((stored.size, stored.version), (size, 1));
    let used = house.library.storage(who).await.unwrap().used;
    assert_eq!(used, size);
    // The same size and smaller ones are.
    clip(&path, 4);
    assert_eq!(import().await.unwrap().accepted[0].id, item.id);
    let used = house.library.storage(who).await.unwrap().used;
    assert_eq!(used, fs::metadata(&path).unwrap().len());
    house.queue.stop().await;
}

/// The import stands at a table that somebody has locked, behind its look at the item; then the item is edited.
#[tokio::test]
async fn an_edit_during_another_import_is_kept() {
    let mut house = House::new().await;
    let path = house.input().join("clip.mp4");
    clip(&path, 5);
    let item = house.import_one(&path).await;
    house.ready(std::slice::from_ref(&item)).await;
    clip(&path, 10);
    let (mut session, watcher) = (house.store.session().await, house.store.session().await);
    let lock = session.transaction().await.unwrap();
    let sql = "LOCK TABLE renditions IN ACCESS EXCLUSIVE MODE";
    lock.batch_execute(sql).await.unwrap();
    let (library, who, file) = (house.library.clone(), house.who.clone(), path.clone());
    let import = tokio::spawn(async move { library.import(&who, &file).await });
    testing::until("the import waits for the table", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM renditions%'";
        watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    let turn = house.library.inner.editing.try_lock().is_err();
    assert!(
        turn,
        "no edit comes between its look at the item and the end"
    );
    let (library, who, id) = (house.library.clone(), house.who.clone(), item.id);
    let patch = serde_json::json!({ "title": "Edited" });
    let edit = tokio::spawn(async move { library.edit(&who, id, &patch, None).await });
    lock.commit().await.unwrap();
    import.await.unwrap().unwrap();
    let edited = edit.await.unwrap().unwrap().item;
    assert_eq!((edited.title.as_str(), edited.version), ("Edited", 3));
    house.queue.stop().await;
    let stored = house.store.media(id).await.unwrap().unwrap();
    assert_eq!((stored.title.as_str(), stored.version), ("Edited", 3));
}

#[tokio::test]
async fn an_items_file_that_leads_out_of_its_clients_own_roots_is_not_read() {
    let mut house = House::new().await;
    let elsewhere = house.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let (own, theirs) = (house.input().join("a.mp4"), elsewhere.join("b.mp4"));
    clip(&own, 30);
    clip(&theirs, 30);
    let item = house.import_one(&own).await;
    house.ready(std::slice::from_ref(&item)).await;
    let (inner, client) = (&house.library.inner, house.who.client);
    assert!(inner.examine(&own, client).await.is_ok());
    fs::remove_file(&own).unwrap();
    symlink(&theirs, &own).unwrap();
    // The launcher reads for everybody, and would.
    inner.launcher.may_read(&own).await.unwrap();
    let refused = inner.examine(&own, client).await;
    assert!(matches!(refused, Err(examine::NotAccepted::Refused(_))));
    let picture = format!("media/thumbnails/{}.jpg", item.id);
    fs::remove_file(house.dir.path().join(picture)).unwrap();
    assert!(house.library.thumbnail(&house.who, item.id).await.is_err());
    // What a client has sent itself it may name, what another has sent it may not.
    let sent = inner.files.own_of(client).join("1");
    let strangers = inner.files.own_of(uuid::Uuid::now_v7().into()).join("1");
    for (folder, may) in [(sent, true), (strangers, false)] {
        fs::create_dir_all(&folder).unwrap();
        fs::copy(&theirs, folder.join("c.mp4")).unwrap();
        let asked = inner.may_read(&folder.join("c.mp4"), client).await;
        assert_eq!(asked.is_ok(), may, "{}", folder.display());
    }
    house.queue.stop().await;
}
