//! Subtitle files on their way to an item: by the API, and beside its film.

use serde_json::{Value, json};

use super::clips::numbered;
use super::daemon::{BOUND, Daemon, folder, until};
use super::subtitles::srt;

#[test]
fn files_are_attached_by_the_api_or_refused_with_their_line() {
    let data = folder();
    let daemon = Daemon::start(data.path(), "");
    let media = daemon.import(&numbered("subtitles", 1, 331));
    let other = daemon.import(&numbered("subtitles", 332, 127));
    let path = |media: &str, language: &str| format!("/media/{media}/subtitles/{language}");
    let put = |language: &str, kind: &str, file: &[u8]| {
        daemon.ask(
            "PUT",
            &path(&media, language),
            &[("Content-Type", kind)],
            file,
        )
    };
    let used = || daemon.get("/media/storage")["usedBytes"].as_u64().unwrap();
    let empty = used();
    let vtt = "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<i>Hi</i> <x>\n";
    let answer = put("ENG-us", "text/vtt; charset=utf-8", vtt.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    let (language, cues) = (
        answer.json()["language"].clone(),
        answer.json()["cues"].clone(),
    );
    assert_eq!((language, cues), (json!("en-US"), json!(1)));
    let location = answer.headers["location"].as_str();
    assert_eq!(location, format!("/api/v1{}", path(&media, "en-US")));
    let written = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000 align:start\n<i>Hi</i> &lt;x&gt;\n";
    let got = daemon.ask("GET", &path(&media, "en-us"), &[], b"");
    assert_eq!((got.status, got.text().as_str()), (200, written));
    assert_eq!(used() - empty, written.len() as u64, "it takes room");
    assert_eq!(
        put(
            "en-US",
            "application/x-subrip",
            srt(1, 331, 60, 7).as_bytes()
        )
        .status,
        200
    );
    assert_eq!(
        put("de", "application/x-subrip", srt(1, 331, 60, 7).as_bytes()).status,
        201
    );
    let listed = daemon.get(&format!("/media/{media}/subtitles"));
    let languages = |items: &Value| {
        let all = items.as_array().unwrap().iter();
        all.map(|one| one["language"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(languages(&listed["items"]), ["de", "en-US"]);
    assert_eq!(
        daemon.get(&format!("/media/{media}"))["subtitles"],
        listed["items"]
    );
    assert_eq!(
        daemon.get(&format!("/media/{other}/subtitles"))["items"],
        json!([])
    );
    // What is wrong is said, and where; what was there stays.
    let broken = put(
        "de",
        "application/x-subrip",
        b"1\n00:00:01,000 --> 00:00:02,000\nA\n\n2\nB\n",
    );
    assert_eq!(broken.status, 422);
    let said = broken.json()["violations"][0]["message"].clone();
    assert!(said.as_str().unwrap().starts_with("line 6: "), "{said}");
    for (language, kind, file, status) in [
        ("xx", "text/vtt", vtt, 400),
        ("english", "text/vtt", vtt, 400),
        ("fr", "text/plain", vtt, 415),
        ("fr", "text/vtt", "Hello", 422),
        ("fr", "text/vtt", "", 422),
    ] {
        assert_eq!(
            put(language, kind, file.as_bytes()).status,
            status,
            "{language} {kind}"
        );
    }
    assert_eq!(
        put("fr", "text/vtt", &vec![b'x'; (2 << 20) + 1]).status,
        413
    );
    let nobody = "0195d1a4-7c1e-7a52-b6a4-5f1f8e2f9c11";
    for (method, path) in [
        ("PUT", path(nobody, "en")),
        ("GET", path(nobody, "en")),
        ("GET", path(&media, "fr")),
        ("DELETE", path(&media, "fr")),
        ("GET", format!("/media/{nobody}/subtitles")),
    ] {
        let answer = daemon.ask(
            method,
            &path,
            &[("Content-Type", "text/vtt")],
            vtt.as_bytes(),
        );
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    daemon.api("DELETE", &path(&media, "de"), &Value::Null);
    assert_eq!(daemon.ask("GET", &path(&media, "de"), &[], b"").status, 404);
    let copies = || {
        std::fs::read_dir(data.path().join("media/subtitles"))
            .unwrap()
            .count()
    };
    assert_eq!(copies(), 1);
    // It goes with its item.
    daemon.api("DELETE", &format!("/media/{media}"), &Value::Null);
    assert_eq!(copies(), 0);
    let size = daemon.get(&format!("/media/{other}"))["size"]
        .as_u64()
        .unwrap();
    assert_eq!(used(), size);
}

#[test]
fn what_lies_beside_a_film_is_read_with_it_and_also_when_it_comes_later() {
    let data = folder();
    let place = folder();
    let at = |name: &str| place.path().join(name);
    let daemon = Daemon::start(
        data.path(),
        "[media]\nprepare_on_import = false\nwatch_settle = 1\n",
    );
    std::fs::copy(numbered("subtitles", 1, 331), at("film.mp4")).unwrap();
    std::fs::write(at("film.json"), "{\"language\": \"fr\"}").unwrap();
    std::fs::write(at("film.srt"), srt(1, 331, 60, 7)).unwrap();
    std::fs::write(at("film.eng.srt"), srt(1, 331, 50, 7)).unwrap();
    std::fs::write(at("film.de.vtt"), "WEBVTT\n\n00:01.000 --> nie\nNein\n").unwrap();
    std::fs::write(at("other.en.srt"), srt(1, 331, 60, 7)).unwrap();
    let report = daemon.post("/media", &json!({ "path": at("film.mp4") }));
    assert_eq!(
        report["refused"][0]["path"],
        json!(at("film.de.vtt")),
        "{report}"
    );
    let reason = report["refused"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("line 3"), "{reason}");
    assert_eq!(report["refused"].as_array().unwrap().len(), 1, "{report}");
    let media = report["accepted"][0]["id"].as_str().unwrap().to_owned();
    let languages = || {
        let listed = daemon.get(&format!("/media/{media}/subtitles"));
        let all = listed["items"].as_array().unwrap().clone().into_iter();
        let named = all.map(|one| {
            (
                one["language"].as_str().unwrap().to_owned(),
                one["cues"].as_u64().unwrap(),
            )
        });
        named.collect::<Vec<_>>()
    };
    let own = |language: &str, cues: u64| (language.to_owned(), cues);
    assert_eq!(
        languages(),
        [own("en", 7), own("fr", 6)],
        "a film speaks its own language"
    );
    // What was brought by hand stays, whatever lies beside the film; imported again, the rest is read again.
    let path = format!("/media/{media}/subtitles/fr");
    let kind = [("Content-Type", "application/x-subrip")];
    assert_eq!(
        daemon
            .ask("PUT", &path, &kind, srt(1, 331, 331, 0).as_bytes())
            .status,
        200
    );
    std::fs::write(at("film.de.vtt"), "WEBVTT\n\n00:01.000 --> 00:02.000\nJa\n").unwrap();
    daemon.post("/media", &json!({ "path": place.path() }));
    assert_eq!(languages(), [own("de", 1), own("en", 7), own("fr", 1)]);
    // A watched folder reads what comes after its film.
    let watched = daemon.post("/media/watched", &json!({ "path": place.path() }));
    let watched = format!("/media/watched/{}", watched["id"].as_str().unwrap());
    std::fs::write(at("film.it.srt"), srt(1, 331, 100, 0)).unwrap();
    std::fs::write(
        at("film.json"),
        "{\"language\": \"fr\", \"title\": \"Late\"}",
    )
    .unwrap();
    std::fs::write(at("film.es.srt"), "1\nnada\n").unwrap();
    until("the late ones are read", BOUND, || {
        languages().contains(&own("it", 4))
    });
    until("and what the film is", BOUND, || {
        daemon.get(&format!("/media/{media}"))["title"] == "Late"
    });
    until("the broken one is refused", BOUND, || {
        let refused = daemon.get(&watched)["refused"].to_string();
        refused.contains("film.es.srt") && refused.contains("line 2")
    });
    // Both in one language, the one who names it is right: nothing is read to and fro.
    std::fs::write(at("film.es.srt"), srt(1, 331, 331, 0)).unwrap();
    until("it is mended", BOUND, || {
        languages().contains(&own("es", 1))
    });
    until("and no more refused", BOUND, || {
        !daemon.get(&watched)["refused"]
            .to_string()
            .contains("film.es")
    });
}
