#![allow(clippy::unwrap_used)]
use super::*;

#[test]
fn an_overlay_is_read_as_it_is_written() {
    let both = json!({
        "lowerThird": { "title": " 100 %: {it's} \\n ", "subtitle": "Ωmega, [αlpha]; 'x'" },
        "clock": { "timeZone": "Europe/Vienna", "position": "bottom-right", "seconds": false, "twelveHours": true },
        "from": "2030-01-31T20:15:00Z",
        "until": "2030-01-31T20:16:00.5+01:00",
    });
    assert!(
        Overlay::parse(&both).is_err(),
        "until is an hour before from"
    );
    let mut both = both;
    both["until"] = json!("2030-01-31T21:16:00.5+00:00");
    let overlay = Overlay::parse(&both).unwrap();
    assert_eq!(
        overlay.lower_third.as_ref().unwrap().title,
        "100 %: {it's} \\n"
    );
    let written = json!(overlay);
    assert_eq!(Overlay::parse(&written).unwrap(), overlay);
    assert_eq!(written["until"], "2030-01-31T21:16:00.5Z");

    let clock = Overlay::parse(&json!({ "clock": {}, "lowerThird": null, "from": null })).unwrap();
    assert_eq!(
        json!(clock),
        json!({
            "lowerThird": null,
            "clock": { "timeZone": "UTC", "position": "top-left", "seconds": true, "twelveHours": false },
            "from": null,
            "until": null,
        })
    );
    assert_eq!(Overlay::parse(&json!(clock)).unwrap(), clock);
}

#[test]
fn it_is_over_from_its_end_on() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let overlay = Overlay::parse(&json!({
        "clock": {}, "from": "2030-01-01T00:00:10Z", "until": "2030-01-01T00:00:20Z"
    }))
    .unwrap();
    assert!(!overlay.is_over(at("2030-01-01T00:00:19.999Z")));
    assert!(overlay.is_over(at("2030-01-01T00:00:20Z")));
    let always = Overlay::parse(&json!({ "clock": {} })).unwrap();
    assert!(!always.is_over(Timestamp::MAX));
}

#[test]
fn everything_wrong_with_it_is_said() {
    let wrong = json!({
        "lowerThird": { "title": "", "subtitle": "two\nlines", "colour": "red" },
        "clock": { "timeZone": "Mars/Olympus", "position": "middle", "seconds": 1 },
        "from": "tomorrow",
        "until": 7,
        "font": "x",
    });
    let violations = Overlay::parse(&wrong).unwrap_err();
    let at: Vec<_> = violations.0.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(
        at,
        [
            "/lowerThird/title",
            "/lowerThird/subtitle",
            "/lowerThird/colour",
            "/clock/timeZone",
            "/clock/position",
            "/clock/seconds",
            "/from",
            "/until",
            "/font"
        ]
    );
    for (wrong, pointer) in [
        (json!({}), "/lowerThird"),
        (json!({ "from": "2030-01-01T00:00:00Z" }), "/lowerThird"),
        (json!([]), ""),
        (json!({ "clock": true }), "/clock"),
        (
            json!({ "lowerThird": { "subtitle": "x" } }),
            "/lowerThird/title",
        ),
        (
            json!({ "lowerThird": { "title": "x".repeat(61) } }),
            "/lowerThird/title",
        ),
        (
            json!({ "lowerThird": { "title": "\u{200b} \u{feff}" } }),
            "/lowerThird/title",
        ),
        (
            json!({ "lowerThird": { "title": "two\u{2028}lines" } }),
            "/lowerThird/title",
        ),
        (
            json!({ "clock": {}, "from": "2030-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z" }),
            "/until",
        ),
    ] {
        let violations = Overlay::parse(&wrong).unwrap_err();
        assert_eq!(violations.0[0].pointer, pointer, "{wrong}");
    }
}
