//! Subtitle files: what is read of them, what is refused and where, and that what is written is read as it was.

use playout_media::subtitle::{Cue, Format, MOST_CUES, Refusal, Track, clock};
use proptest::prelude::*;

fn cue(start: u64, end: u64, text: &str) -> Cue {
    Cue {
        start,
        end,
        settings: String::new(),
        text: text.to_owned(),
    }
}

fn srt(bytes: impl AsRef<[u8]>) -> Result<Vec<Cue>, Refusal> {
    Track::parse(bytes.as_ref(), Format::Srt).map(|track| track.cues)
}

fn vtt(bytes: impl AsRef<[u8]>) -> Result<Vec<Cue>, Refusal> {
    Track::parse(bytes.as_ref(), Format::WebVtt).map(|track| track.cues)
}

const TWO: &str =
    "1\n00:00:01,000 --> 00:00:02,500\nHello\nthere\n\n2\n01:00:03,004 --> 01:00:04,000\nBye\n";

fn two() -> Vec<Cue> {
    vec![
        cue(1_000, 2_500, "Hello\nthere"),
        cue(3_603_004, 3_604_000, "Bye"),
    ]
}

#[test]
fn what_every_player_puts_up_with_is_put_up_with() {
    let utf16 = |bytes: fn(u16) -> [u8; 2]| {
        let units = format!("\u{feff}{TWO}");
        units.encode_utf16().flat_map(bytes).collect::<Vec<u8>>()
    };
    for (what, file) in [
        ("as it should be", TWO.as_bytes().to_vec()),
        ("a byte order mark", format!("\u{feff}{TWO}").into_bytes()),
        (
            "the ends of lines of Windows",
            TWO.replace('\n', "\r\n").into_bytes(),
        ),
        ("and of old Macs", TWO.replace('\n', "\r").into_bytes()),
        (
            "no end of the last line",
            TWO.trim_end().as_bytes().to_vec(),
        ),
        ("dots", TWO.replace(',', ".").into_bytes()),
        (
            "spaces",
            TWO.replace("--> ", "-->   ")
                .replace("\n\n", " \n \n\n\n")
                .into_bytes(),
        ),
        (
            "no numbers",
            TWO.replace("1\n00", "00")
                .replace("2\n01", "01")
                .into_bytes(),
        ),
        ("other numbers", TWO.replace("1\n00", "7\n00").into_bytes()),
        ("no empty line", TWO.replace("\n\n", "\n").into_bytes()),
        ("a cut off end", format!("{TWO}\n3\n").into_bytes()),
        (
            "places of a picture",
            TWO.replace("02,500", "02,500 X1:1 X2:2 Y1:3 Y2:4")
                .into_bytes(),
        ),
        ("UTF-16, little end first", utf16(u16::to_le_bytes)),
        ("UTF-16, big end first", utf16(u16::to_be_bytes)),
        ("the last first", {
            let (first, last) = TWO.split_once("\n\n").unwrap();
            format!("{last}\n{first}\n").into_bytes()
        }),
    ] {
        assert_eq!(srt(file), Ok(two()), "{what}");
    }
    // What is no UTF-8 is Windows-1252.
    let windows = srt(b"1\n00:00:01,000 --> 00:00:02,000\n\x93Caf\xe9\x94 \x80 5\n");
    assert_eq!(windows, Ok(vec![cue(1_000, 2_000, "“Café” € 5")]));
}

#[test]
fn what_is_broken_is_refused_with_its_line() {
    let first = "1\n00:00:01,000 --> 00:00:02,000\nA\n\n";
    for (file, line, reason) in [
        ("", None, "no cues"),
        ("\n\n", None, "no cues"),
        ("Hello", Some(1), "begins with its number"),
        ("1\nHello", Some(2), "a time such as"),
        (&format!("{first}2\nHello"), Some(6), "a time such as"),
        (
            &format!("{first}2\n00:00:0x,000 --> 00:00:02,000\nB"),
            Some(6),
            "\"00:00:0x,000\" is no time",
        ),
        (
            &format!("{first}2\n00:00:61,000 --> 00:01:02,000\nB"),
            Some(6),
            "no time",
        ),
        (
            &format!("{first}2\n00:00:01 --> 00:01:02,000\nB"),
            Some(6),
            "no time",
        ),
        (
            &format!("{first}2\n00:00:05,000 --> 00:00:04,000\nB"),
            Some(6),
            "ends (00:00:04.000) before it begins",
        ),
        (
            &format!("{first}2\n00:00:05,000 -->\nB"),
            Some(6),
            "\"\" is no time",
        ),
        (
            &format!(
                "{first}2\n00:00:05,000 --> 00:00:06,000\n{}",
                "x".repeat(4_001)
            ),
            Some(6),
            "4000 bytes",
        ),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nA\u{0}B",
            Some(3),
            "no text",
        ),
    ] {
        let refusal = srt(file).expect_err(file);
        assert_eq!(refusal.line, line, "{refusal}");
        assert!(refusal.reason.contains(reason), "{refusal}");
    }
    for (file, line, reason) in [
        ("", 1, "WEBVTT"),
        ("WEBVTTX\n\n00:01.000 --> 00:02.000\nA", 1, "WEBVTT"),
        (TWO, 1, "WEBVTT"),
        ("WEBVTT\n\nHello\n", 4, "a time such as"),
        ("WEBVTT\n\nname\nHello\n", 4, "a time such as"),
        (
            "WEBVTT\n\n00:01.000 --> nowhere\nA",
            3,
            "\"nowhere\" is no time",
        ),
        (
            "WEBVTT - a title\nkind: captions\n\nNOTE\nx\n\nname\n00:02.000 --> 00:01.000\nA",
            8,
            "before it begins",
        ),
    ] {
        let refusal = vtt(file).expect_err(file);
        assert_eq!(refusal.line, Some(line), "{refusal}");
        assert!(refusal.reason.contains(reason), "{refusal}");
    }
    assert!(srt(b"\xff\xfe1\0\n").unwrap_err().reason.contains("UTF-16"));
    assert!(
        srt([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2])
            .unwrap_err()
            .reason
            .contains("no text")
    );
    assert!(
        srt(vec![b'\n'; (2 << 20) + 1])
            .unwrap_err()
            .reason
            .contains("2097152")
    );
    let many = |n: usize| {
        let cues =
            (0..n).map(|n| format!("{} --> {}\nx\n\n", clock(n as u64), clock(n as u64 + 1)));
        cues.collect::<String>()
    };
    assert_eq!(srt(many(MOST_CUES)).unwrap().len(), MOST_CUES);
    let refusal = srt(many(MOST_CUES + 1)).unwrap_err();
    assert_eq!(refusal.line, Some(3 * MOST_CUES + 1));
}

#[test]
fn webvtt_is_read_with_its_settings_and_without_what_is_no_cue() {
    let file = "WEBVTT Some title\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:a\n\n\
        NOTE not shown\n-- at all\n\nname\n00:01.000 --> 00:02.500 position:10%,line-left align:middle line:-1 size:120% region:a x align:left\nOne\n\
        00:03.000 --> 00:04.000 vertical:rl line:50%,end\nTwo\n";
    let read = vtt(file).unwrap();
    let settings: Vec<&str> = read.iter().map(|cue| cue.settings.as_str()).collect();
    assert_eq!(
        settings,
        [
            "position:10%,line-left align:center line:-1",
            "vertical:rl line:50%,end"
        ]
    );
    let said: Vec<_> = read
        .iter()
        .map(|cue| (cue.start, cue.end, cue.text.as_str()))
        .collect();
    assert_eq!(said, [(1_000, 2_500, "One"), (3_000, 4_000, "Two")]);
}

#[test]
fn of_markup_little_stays_and_the_rest_is_shown_as_it_is() {
    for (given, kept) in [
        ("<i>a</i> <b>b</b> <u>c</u>", "<i>a</i> <b>b</b> <u>c</u>"),
        ("<I>a</I>", "<i>a</i>"),
        ("<c.yellow.bg_blue>a</c>", "<c.yellow.bg_blue>a</c>"),
        ("<c.x.\"y\">a</c>", "<c.x>a</c>"),
        ("<v  Mary  & Bob>Hi", "<v Mary &amp; Bob>Hi</v>"),
        ("<v>Hi</v>", "Hi"),
        ("<font color=\"#ff0000\">red</font>", "red"),
        ("<lang en>a</lang> <ruby>b<rt>c</rt></ruby>", "a bc"),
        ("a <00:00:01.000>b", "a b"),
        ("a<br>b<BR />c", "a\nb\nc"),
        ("<b>a <i>b", "<b>a <i>b</i></b>"),
        ("<b>a <i>b</b> c</i>", "<b>a <i>b</i></b> c"),
        ("a</i>", "a"),
        (
            "<script>alert(1)</script>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
        ),
        ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
        ("1 < 2 & 3 > 2", "1 &lt; 2 &amp; 3 &gt; 2"),
        (
            "R&amp;B &lt;3 &copy; &#65;",
            "R&amp;B &lt;3 &amp;copy; &amp;#65;",
        ),
        ("I <3 <i>you</i>", "I &lt;3 <i>you</i>"),
        ("{\\an8}up {not} {\\", "up {not} {\\"),
        ("a\n<font>\nb", "a\nb"),
    ] {
        let file = format!("1\n00:00:01,000 --> 00:00:02,000\n{given}\n");
        let read = srt(&file).unwrap();
        assert_eq!(read[0].text, kept, "{given}");
    }
    // Nothing is seen of these.
    let file = "1\n00:00:01,000 --> 00:00:02,000\n<i> </i>\n\n2\n00:00:01,000 --> 00:00:01,000\nx\n\n3\n00:00:03,000 --> 00:00:04,000\ny\n";
    assert_eq!(srt(file), Ok(vec![cue(3_000, 4_000, "y")]));
}

/// Text that comes near to what files hold.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z é€]{0,8}",
        2 => prop::sample::select(vec![
            "<i>", "</i>", "<b>", "</b>", "<c.a>", "</c>", "<v A & B>", "</v>", "<font x>", "<", ">", "&", "&amp;", "-->",
            "\n", "\r\n", "\n\n", "<br>", "{\\an8}", "\u{a0}", "&nbsp;", "1", "NOTE", "STYLE", "WEBVTT", "\u{2028}", "\u{feff}",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn files() -> impl Strategy<Value = String> {
    let block = (
        0..100_000_u64,
        0..5_000_u64,
        text(),
        prop::sample::select(vec![
            "",
            " align:start",
            " position:5% x:y",
            " line:-2 size:50%",
        ]),
    )
        .prop_map(|(start, length, text, settings)| {
            format!(
                "{} --> {}{settings}\n{text}\n\n",
                clock(start),
                clock(start + length)
            )
        });
    let other = text().prop_map(|text| format!("{text}\n\n"));
    let blocks = prop::collection::vec(prop_oneof![6 => block, 1 => other], 0..8);
    (any::<bool>(), blocks).prop_map(|(head, blocks)| {
        let head = if head { "WEBVTT\n\n" } else { "" };
        head.to_owned() + &blocks.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for format in [Format::Srt, Format::WebVtt] {
            let _ = Track::parse(&bytes, format);
            let headed = [b"WEBVTT\n\n00:01.000 --> 00:02.000 ", &bytes[..]].concat();
            let _ = Track::parse(&headed, format);
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was(file in files()) {
        for format in [Format::Srt, Format::WebVtt] {
            let Ok(track) = Track::parse(file.as_bytes(), format) else { continue };
            let written = track.to_webvtt();
            prop_assert_eq!(Track::from_webvtt(&written), Ok(track.clone()), "{}", written);
            for cue in &track.cues {
                prop_assert!(cue.start < cue.end && !cue.text.trim().is_empty());
                prop_assert!(!cue.text.contains("-->") && cue.text.lines().all(|line| !line.trim().is_empty()));
                let marked = cue.text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
                    .replace("&nbsp;", "").replace("&lrm;", "").replace("&rlm;", "");
                prop_assert!(!marked.contains('&'), "{}", cue.text);
            }
        }
    }
}
