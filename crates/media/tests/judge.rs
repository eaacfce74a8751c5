//! The judge itself: a good stream passes, and every kind of fault is found.

mod support;
#[path = "../../../tests/judge/mod.rs"]
mod verdict;

use playout_domain::units::FrameRate;
use support::Clip;
use verdict::{Judge, PlaylistHistory};

const RATE: FrameRate = FrameRate::F25;

fn good() -> Vec<u8> {
    // 48 frames are 90 access units exactly, so sound and picture begin together at both key frames.
    let audio = Clip {
        audio_lead: 0,
        audio_tail: 0,
        units_per_pes: 1,
        audio_lag: 0,
        ..Clip::plain(1, RATE, &[48, 48])
    };
    Clip {
        b_frames: false,
        ..audio
    }
    .bytes()
}

fn faults(bytes: &[u8]) -> Vec<String> {
    let mut judge = Judge::new(RATE.num(), RATE.den());
    judge.segment("a.ts", bytes, false);
    judge.faults()
}

fn packets(bytes: &[u8], pid: u16) -> Vec<usize> {
    let of = |at: &usize| u16::from_be_bytes([bytes[*at + 1] & 0x1f, bytes[*at + 2]]) == pid;
    (0..bytes.len()).step_by(188).filter(of).collect()
}

#[test]
fn a_good_stream_has_no_fault() {
    let mut judge = Judge::new(RATE.num(), RATE.den());
    judge.segment("a.ts", &good(), false);
    assert_eq!(judge.faults(), Vec::<String>::new());
    assert_eq!(
        (judge.frames(), judge.first_pts(), judge.last_pts()),
        (96, Some(900_000), Some(900_000 + 95 * 3_600))
    );
    assert_eq!(judge.audio_units(), 180);
}

#[test]
fn every_kind_of_damage_is_found() {
    let find = |what: &str, wanted: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good();
        change(&mut bytes);
        let found = faults(&bytes);
        assert!(
            found.iter().any(|fault| fault.contains(wanted)),
            "{what}: {wanted:?} not in {found:#?}"
        );
    };
    find("a packet lost", "continuity counter", &|b| {
        let at = packets(b, 0x100)[7];
        b.drain(at..at + 188);
    });
    find("an audio packet twice", "continuity counter", &|b| {
        let at = packets(b, 0x110)[7];
        let again = b[at..at + 188].to_vec();
        b.splice(at..at, again);
    });
    find("no PAT", "does not begin with a PAT", &|b| {
        drop(b.drain(..188))
    });
    find("a PAT changed", "wrong checksum", &|b| b[12] ^= 1);
    find(
        "no PMT before a key frame",
        "no PAT and PMT before it",
        &|b| {
            let at = packets(b, 0x1000)[1];
            b.drain(at..at + 188);
        },
    );
    find(
        "other parameter sets",
        "parameter sets have changed",
        &|b| {
            let at = b
                .windows(4)
                .rposition(|w| w == [0x67, 0x64, 0x00, 0x1f])
                .expect("an SPS");
            b[at + 3] = 0x2a;
        },
    );
    find("a cut in the middle", "no whole packets", &|b| {
        b.truncate(10_000)
    });
    find("scrambled", "scrambled", &|b| b[188 * 5 + 3] |= 0x80);
    find("out of sync", "sync byte", &|b| b[188 * 3] = 0);
    find("a PTS moved", "after its place on the clock", &|b| {
        let at = packets(b, 0x100)
            .into_iter()
            .filter(|at| b[at + 1] & 0x40 != 0)
            .nth(5)
            .expect("a frame");
        let pes = (at..at + 188)
            .find(|i| b[*i..i + 4] == [0, 0, 1, 0xe0])
            .expect("its header");
        b[pes + 12] ^= 4;
    });
    find("a unit lost", "after where it is due", &|b| {
        let starts: Vec<usize> = packets(b, 0x110)
            .into_iter()
            .filter(|at| b[at + 1] & 0x40 != 0)
            .collect();
        let between: Vec<usize> = packets(b, 0x110)
            .into_iter()
            .filter(|at| (starts[8]..starts[9]).contains(at))
            .collect();
        for at in between.into_iter().rev() {
            b.drain(at..at + 188);
        }
    });
    find("no PCR", "no PCR for", &|b| {
        for at in packets(b, 0x100).into_iter().take(60) {
            if b[at + 3] & 0x20 != 0 && b[at + 4] > 0 {
                b[at + 5] &= !0x10;
            }
        }
        // The one before, so that there is an interval to speak of.
        let first = packets(b, 0x100)[0];
        b[first + 5] |= 0x10;
    });
    find("a PCR too late", "the PCR is past its DTS", &|b| {
        let at = packets(b, 0x100)[0];
        b[at + 9] = b[at + 9].wrapping_add(40);
    });
    find(
        "a key frame that is none",
        "random_access_indicator",
        &|b| {
            let at = packets(b, 0x100)[0];
            b[at + 5] &= !0x40;
        },
    );
    find("no delimiter", "delimiter", &|b| {
        let at = b
            .windows(6)
            .position(|w| w == [0, 0, 0, 1, 9, 0xf0])
            .expect("a delimiter");
        b[at + 4] = 12;
    });
    find(
        "an unknown stream",
        "belongs to no announced stream",
        &|b| {
            let at = packets(b, 0x110)[3];
            b[at + 2] = 0x77;
        },
    );
    find(
        "audio out of step with the picture",
        "from the key frame",
        &|b| {
            let clip = Clip {
                audio_lead: 1_400,
                audio_tail: 0,
                units_per_pes: 1,
                audio_lag: 0,
                ..Clip::plain(1, RATE, &[50])
            };
            *b = clip.bytes();
        },
    );
    find(
        "a segment without a key frame",
        "does not begin with a key frame",
        &|b| {
            let second = packets(b, 0x100)
                .into_iter()
                .filter(|at| b[at + 1] & 0x40 != 0)
                .nth(1)
                .expect("a frame");
            let tables = b[..2 * 188].to_vec();
            b.drain(..second);
            b.splice(..0, tables);
        },
    );
}

#[test]
fn across_segments_only_a_discontinuity_begins_anew() {
    let mut judge = Judge::new(RATE.num(), RATE.den());
    judge.segment("a.ts", &good(), false);
    judge.segment("b.ts", &good(), true);
    assert_eq!(judge.faults(), Vec::<String>::new());
    judge.segment("c.ts", &good(), false);
    assert!(
        judge
            .faults()
            .iter()
            .any(|fault| fault.starts_with("c.ts") && fault.contains("clock"))
    );
    assert_eq!(judge.frames(), 288);
}

fn text(media: u64, discontinuity: u64, segments: &[(u64, bool)]) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{media}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity}\n"
    );
    for (name, breaks) in segments {
        let tag = if *breaks {
            "#EXT-X-DISCONTINUITY\n"
        } else {
            ""
        };
        text += &format!("{tag}#EXTINF:4.000000,\n{name}.ts\n");
    }
    text
}

#[test]
fn playlists_that_go_back_are_found() {
    let good = [
        text(1, 0, &[(1, false), (2, true)]),
        text(2, 0, &[(2, true), (3, false)]),
        text(3, 1, &[(3, false)]),
    ];
    let mut history = PlaylistHistory::default();
    good.iter().for_each(|text| history.saw(text));
    assert_eq!(history.faults(), Vec::<String>::new());
    for (wrong, wanted) in [
        (
            text(2, 1, &[(2, false), (3, false)]),
            "media sequence went back",
        ),
        (
            text(3, 0, &[(3, false)]),
            "discontinuity sequence went back",
        ),
        (text(3, 1, &[(4, false)]), "number 3 was"),
        (
            text(4, 2, &[]).replace("4\n#EXT-X-MEDIA", "5\n#EXT-X-MEDIA"),
            "target duration changed",
        ),
        (
            text(3, 1, &[(3, false)]).replace("4.0", "4.6"),
            "longer than the target",
        ),
        (
            text(3, 1, &[(3, false)]).replace("#EXTINF:4.000000,\n", ""),
            "has no EXTINF",
        ),
        (text(3, 2, &[(3, false)]), "had discontinuity number"),
    ] {
        let mut history = PlaylistHistory::default();
        good.iter().for_each(|text| history.saw(text));
        history.saw(&wrong);
        let found = history.faults();
        assert!(
            found.iter().any(|fault| fault.contains(wanted)),
            "{wanted:?} not in {found:?}\n{wrong}"
        );
    }
}
