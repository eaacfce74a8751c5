use std::collections::BTreeMap;

use playout_domain::ids::{ChannelId, MediaId};
use playout_domain::units::Frame;
use playout_domain::{Details, Origin, Plan, PlanEntry, PlannedItem};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;

const TRICKY: &str = "\"Tom\" & 'Jerry', <live>\n\u{1F3AC} ]]> \u{0} \u{7}\u{FFFE}end";
/// The same without what XML has no place for.
const TOLD: &str = "\"Tom\" & 'Jerry', <live>\n\u{1F3AC} ]]>  end";

fn id(n: u128) -> String {
    format!("0195d1a4-7c1e-7a52-b6a4-{n:012x}")
}

fn media(n: u128) -> MediaId {
    id(n).parse().unwrap()
}

fn channel(n: u128) -> ChannelId {
    id(n).parse().unwrap()
}

fn entry(n: u128, frames: std::ops::Range<u64>, in_frame: u64) -> PlanEntry {
    PlanEntry {
        start: Frame::new(frames.start),
        end: Frame::new(frames.end),
        media_id: media(n),
        in_frame,
        origin: Origin::Template,
        cut: 0,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + second).unwrap()
}

fn shown(n: u128, seconds: std::ops::Range<i64>) -> Programme {
    Programme {
        start: at(seconds.start),
        end: at(seconds.end),
        media_id: media(n),
    }
}

fn guide(name: &str, programmes: Vec<Programme>, about: Details) -> Guide {
    let id = channel(1);
    let listing = Listing {
        id,
        name: name.to_owned(),
        programmes,
    };
    Guide {
        channels: vec![listing],
        about: BTreeMap::from([(media(1), about)]),
    }
}

/// The elements within programmes and channels, with their texts.
fn elements(xml: &str) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(xml);
    let (mut all, mut said) = (Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(_) => said.clear(),
            Event::Text(text) => said += &text,
            Event::GeneralRef(entity) => {
                said += quick_xml::escape::resolve_predefined_entity(&entity).unwrap();
            }
            Event::End(element) => {
                let name = element.name().as_ref().to_owned();
                if !["channel", "programme", "tv"].contains(&name.as_str()) {
                    all.push((name, std::mem::take(&mut said)));
                }
            }
            Event::Eof => return all,
            _ => {}
        }
    }
}

fn told(all: &[(String, String)]) -> Vec<(&str, &str)> {
    all.iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect()
}

#[test]
fn what_goes_on_is_one_programme_and_what_begins_again_is_another() {
    let entries = [
        entry(1, 0..100, 0),
        // Goes on, twice.
        entry(1, 100..150, 100),
        entry(1, 150..200, 150),
        // From its beginning again.
        entry(1, 200..300, 0),
        entry(2, 300..400, 100),
        // Went on, after another.
        entry(1, 400..500, 100),
        // Goes on, but not at once.
        entry(1, 600..700, 200),
    ];
    let whole: Vec<_> = programmes(entries.into_iter()).collect();
    let expected = [
        entry(1, 0..200, 0),
        entry(1, 200..300, 0),
        entry(2, 300..400, 100),
        entry(1, 400..500, 100),
        entry(1, 600..700, 200),
    ];
    assert_eq!(whole, expected);
}

#[test]
fn everything_that_is_said_is_in_the_order_of_the_dtd() {
    let about = Details {
        title: Some(TRICKY.into()),
        description: Some("About\nit".into()),
        tags: vec!["night".into(), "day".into()],
        genre: Some("Drama & more".into()),
        language: Some("pt-BR".into()),
        rating: Some("TV-PG".into()),
        series: Some("Nights".into()),
        season: Some(1),
        episode: Some(4),
    };
    let xml = xmltv(&guide("A \u{1}& B", vec![shown(1, 0..90)], about), 10_000).unwrap();
    assert_eq!(
        told(&elements(&xml)),
        [
            ("display-name", "A & B"),
            ("title", "Nights"),
            ("sub-title", TOLD),
            ("desc", "About\nit"),
            ("category", "Drama & more"),
            ("keyword", "night"),
            ("keyword", "day"),
            ("language", "pt-BR"),
            ("episode-num", "0.3."),
            ("episode-num", "S01E04"),
            ("value", "TV-PG"),
            ("rating", ""),
        ]
        .map(|(name, text)| match name {
            // The line end between its element and the next.
            "rating" => (name, "\n    "),
            _ => (name, text),
        })
    );
    let head =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE tv SYSTEM \"xmltv.dtd\">\n<tv ";
    assert!(xml.starts_with(head), "{xml}");
    let id = channel(1);
    let begins = format!(
        "<programme start=\"20300317174640 +0000\" stop=\"20300317174810 +0000\" channel=\"{id}\">"
    );
    assert!(xml.contains(&begins), "{xml}");
    assert!(xml.contains(&format!("<channel id=\"{id}\">")), "{xml}");
}

#[test]
fn a_programme_always_has_a_title() {
    for (about, title) in [
        (None, "One"),
        (Some("\u{1}"), "One"),
        (Some("Film"), "Film"),
    ] {
        let about = Details {
            title: about.map(str::to_owned),
            ..Details::default()
        };
        let xml = xmltv(&guide("One", vec![shown(1, 0..90)], about), 10_000).unwrap();
        assert_eq!(
            told(&elements(&xml)),
            [("display-name", "One"), ("title", title)]
        );
    }
    // Nothing is known of the second; what has the series' name is no episode.
    let about = Details {
        title: Some("Film".into()),
        series: Some("Film".into()),
        ..Details::default()
    };
    let xml = xmltv(
        &guide("One", vec![shown(1, 0..90), shown(2, 90..99)], about),
        10_000,
    );
    assert_eq!(
        told(&elements(&xml.unwrap()))[1..],
        [("title", "Film"), ("title", "One")]
    );
}

#[test]
fn what_is_shorter_than_the_format_can_say_is_left_out() {
    let mut short = shown(1, 5..5);
    short.end += jiff::SignedDuration::from_millis(960);
    let xml = xmltv(&guide("One", vec![short], Details::default()), 10_000).unwrap();
    assert!(!xml.contains("<programme"), "{xml}");
}

#[test]
fn episodes_are_numbered_from_zero_and_as_people_write_them() {
    for (season, episode, numbered, on_screen) in [
        (Some(1), Some(1), Some("0.0."), Some("S01E01")),
        (Some(12), Some(130), Some("11.129."), Some("S12E130")),
        (Some(2), None, Some("1.."), Some("S02")),
        (None, Some(7), Some(".6."), Some("E07")),
        (Some(0), Some(3), Some(".2."), Some("S00E03")),
        (Some(0), None, None, Some("S00")),
        (None, None, None, None),
    ] {
        let about = Details {
            title: Some("Film".into()),
            season,
            episode,
            ..Details::default()
        };
        let xml = xmltv(&guide("One", vec![shown(1, 0..90)], about), 10_000).unwrap();
        let all = elements(&xml);
        let numbers: Vec<_> = told(&all)[2..].iter().map(|(_, text)| *text).collect();
        let expected: Vec<_> = numbered.into_iter().chain(on_screen).collect();
        assert_eq!(numbers, expected, "{season:?} {episode:?}");
    }
}

#[test]
fn json_says_what_is_known_and_null_for_the_rest() {
    let about = Details {
        title: Some(TRICKY.into()),
        season: Some(1),
        ..Details::default()
    };
    let guide = guide("One", vec![shown(1, 0..90), shown(2, 90..99)], about);
    let told: serde_json::Value =
        serde_json::from_str(&json(&guide.view(), 10_000).unwrap()).unwrap();
    let [first, second] = [0, 1].map(|n| &told[0]["items"][n]);
    assert_eq!(told[0]["name"], "One");
    assert_eq!(told[0]["channelId"], channel(1).to_string());
    assert_eq!(first["title"], TRICKY);
    assert_eq!(first["season"], 1);
    assert_eq!(first["mediaId"], media(1).to_string());
    assert_eq!(first["start"], "2030-03-17T17:46:40Z");
    assert_eq!(second["end"], "2030-03-17T17:48:19Z");
    assert!(second["title"].is_null() && first["rating"].is_null());
}

#[test]
fn what_is_too_long_is_given_up() {
    let guide = guide("One", vec![shown(1, 0..90)], Details::default());
    let whole = xmltv(&guide, 10_000).unwrap().len();
    assert!(xmltv(&guide, whole).is_ok());
    assert_eq!(xmltv(&guide, whole - 1), Err(TooLong { most: whole - 1 }));
    let whole = json(&guide.view(), 10_000).unwrap().len();
    assert!(json(&guide.view(), whole).is_ok());
    assert!(json(&guide.view(), whole - 1).is_err());
}

#[test]
fn a_playlist_keeps_each_name_in_its_quotes_and_on_its_line() {
    let station = |n, name: &str| Station {
        id: channel(n),
        name: name.to_owned(),
        address: format!("http://tv.example/hls/{n}/index.m3u8"),
    };
    let stations = [
        station(1, "The \"Best\", & more \u{1F3AC}"),
        station(2, "Two\r\n#EXTINF:-1,Three\u{2028}"),
    ];
    let playlist = m3u("http://tv.example/epg.xml", "TV", &stations);
    let (one, two) = (channel(1), channel(2));
    let expected = [
        "#EXTM3U url-tvg=\"http://tv.example/epg.xml\"".to_owned(),
        format!(
            "#EXTINF:-1 tvg-id=\"{one}\" tvg-name=\"The 'Best', & more \u{1F3AC}\" group-title=\"TV\",The 'Best', & more \u{1F3AC}"
        ),
        "http://tv.example/hls/1/index.m3u8".to_owned(),
        format!(
            "#EXTINF:-1 tvg-id=\"{two}\" tvg-name=\"Two  #EXTINF:-1,Three\" group-title=\"TV\",Two  #EXTINF:-1,Three"
        ),
        "http://tv.example/hls/2/index.m3u8".to_owned(),
    ];
    assert_eq!(playlist.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn now_is_what_is_planned_and_next_is_what_follows_it() {
    let items = vec![
        PlannedItem::whole(media(1), 100),
        PlannedItem::whole(media(2), 50),
    ];
    let mut plan = Plan::looping(Frame::new(1_000), items);
    let seen = |plan: &Plan, at: u64| {
        let found = now_and_next(plan, Frame::new(at));
        found.map(|entry| entry.map(|e| (e.media_id, e.start.get(), e.end.get())))
    };
    let (one, two) = (media(1), media(2));
    assert_eq!(seen(&plan, 0), [None, Some((one, 1_000, 1_100))]);
    let first = [Some((one, 1_000, 1_100)), Some((two, 1_100, 1_150))];
    assert_eq!(seen(&plan, 1_000), first);
    assert_eq!(seen(&plan, 1_099), first);
    let second = [Some((two, 1_100, 1_150)), Some((one, 1_150, 1_250))];
    assert_eq!(seen(&plan, 1_100), second);
    // What interrupts is a programme of its own; what it cut goes on after it, as another.
    plan.play_now(Frame::new(1_160), PlannedItem::whole(media(3), 10));
    let [now, next] = seen(&plan, 1_165);
    assert_eq!(now, Some((media(3), 1_160, 1_170)));
    assert_eq!(
        next.map(|(media, start, _)| (media, start)),
        Some((one, 1_170))
    );
    assert_eq!(seen(&Plan::default(), 7), [None, None]);
}
