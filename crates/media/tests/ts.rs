//! Time stamps and packets: what is patched in place is moved by just so much, across the wrap, and
//! nothing else is touched.

mod support;

use bytes::Bytes;
use playout_domain::units::{Pts33, Ticks90k};
use playout_media::audio::{AdtsError, silent_unit, split_adts};
use playout_media::gop::parameter_sets;
use playout_media::ts::{
    PACKET, PacketView, PesHeader, patch_continuity, patch_pcr, patch_pes_times, patch_pid,
    write_pes_header,
};
use proptest::prelude::*;
use support::{Clip, PARAMETER_SETS, WRAP, cases};

/// A PES header as the standard draws it (§2.4.3.7), written bit by bit.
fn header(pts: u64, dts: Option<u64>) -> Vec<u8> {
    let stamp = |prefix: u64, t: u64| {
        let bits = prefix << 36
            | (t >> 30 & 7) << 33
            | 1 << 32
            | (t >> 15 & 0x7fff) << 17
            | 1 << 16
            | (t & 0x7fff) << 1
            | 1;
        bits.to_be_bytes()[3..].to_vec()
    };
    let mut bytes = vec![
        0,
        0,
        1,
        0xe0,
        0,
        0,
        0x80,
        if dts.is_some() { 0xc0 } else { 0x80 },
        if dts.is_some() { 10 } else { 5 },
    ];
    bytes.extend(stamp(if dts.is_some() { 3 } else { 2 }, pts));
    bytes.extend(dts.iter().flat_map(|dts| stamp(1, *dts)));
    bytes
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn time_stamps_move_by_the_offset(pts in 0..WRAP, dts in prop::option::of(0..WRAP), offset in -20_000_000_000..20_000_000_000_i64, tail in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut bytes = [header(pts, dts), tail.clone()].concat();
        let read = PesHeader::parse(&bytes).expect("a header");
        prop_assert_eq!((read.pts.get(), read.dts.get()), (pts, dts.unwrap_or(pts)));
        patch_pes_times(&mut bytes, offset);
        let moved = |t: u64| (t as i128 + i128::from(offset)).rem_euclid(i128::from(WRAP)) as u64;
        prop_assert_eq!(bytes, [header(moved(pts), dts.map(moved)), tail].concat());
    }

    #[test]
    fn a_pcr_moves_by_the_offset_and_keeps_its_extension(base in 0..WRAP, extension in 0..300_u64, offset in -20_000_000_000..20_000_000_000_i64) {
        let packet = |base: u64| {
            let mut packet = vec![0xff; PACKET];
            packet[..6].copy_from_slice(&[0x47, 0x41, 0, 0x30, 7, 0x10]);
            packet[6..12].copy_from_slice(&(base << 15 | 0x3f << 9 | extension).to_be_bytes()[2..]);
            packet
        };
        let mut bytes = packet(base);
        prop_assert!(PacketView::new(&bytes).expect("a packet").has_pcr());
        patch_pcr(&mut bytes, offset);
        let moved = (base as i128 + i128::from(offset)).rem_euclid(i128::from(WRAP)) as u64;
        prop_assert_eq!(bytes, packet(moved));
    }

    #[test]
    fn pid_and_counter_are_patched_alone(mut bytes in prop::collection::vec(any::<u8>(), PACKET), pid in 0..0x2000_u16, counter in 0..16_u8) {
        bytes[0] = 0x47;
        let before = bytes.clone();
        patch_pid(&mut bytes, pid);
        patch_continuity(&mut bytes, counter);
        let view = PacketView::new(&bytes).expect("a packet");
        prop_assert_eq!((view.pid(), view.continuity()), (pid, counter));
        prop_assert_eq!((bytes[1] & 0xe0, bytes[3] & 0xf0), (before[1] & 0xe0, before[3] & 0xf0));
        prop_assert_eq!(&bytes[4..], &before[4..]);
    }

    #[test]
    fn a_header_we_write_reads_back(pts in 0..WRAP, length in 0..70_000_usize) {
        let mut bytes = Vec::new();
        write_pes_header(&mut bytes, Pts33::new(pts), length);
        let read = PesHeader::parse(&bytes).expect("a header");
        prop_assert_eq!((read.pts.get(), read.header_len), (pts, bytes.len()));
        // A length beyond 16 bits is left open.
        prop_assert_eq!(read.payload_len, if length + 8 <= 0xffff { Some(length) } else { None });
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = PesHeader::parse(&bytes);
        drop(parameter_sets(&bytes));
        drop(split_adts(&Bytes::from(bytes.clone()), Ticks90k::new(0)));
        let mut packet = bytes;
        packet.resize(PACKET, 0x47);
        packet[0] = 0x47;
        let view = PacketView::new(&packet).expect("a packet");
        prop_assert_eq!(view.payload().len(), PACKET - view.payload_offset());
        let _ = (view.has_pcr(), view.is_random_access(), view.is_damaged(), view.starts_unit());
    }

    #[test]
    fn units_are_cut_where_they_end(units in 0..20_u64, pts in 0..WRAP, cut in any::<prop::sample::Index>()) {
        let clip = Clip::plain(7, playout_domain::units::FrameRate::F25, &[1]);
        let data: Vec<u8> = (0..units).flat_map(|unit| clip.unit(unit)).collect();
        let read = split_adts(&Bytes::from(data.clone()), Ticks90k::new(pts)).expect("whole units");
        prop_assert_eq!(read.len() as u64, units);
        for (n, unit) in (0..).zip(&read) {
            prop_assert_eq!((unit.pts.get(), unit.data.to_vec()), (pts + n * 1_920, clip.unit(n)));
        }
        let cut = cut.index(data.len() + 1);
        let whole = (0..=units).scan(0, |at, n| { let here = *at; *at += clip.unit(n).len(); Some(here) }).any(|end| end == cut);
        let part = split_adts(&Bytes::copy_from_slice(&data[..cut]), Ticks90k::new(pts));
        prop_assert_eq!(part.is_ok(), whole, "{:?}", part.err());
    }
}

#[test]
fn a_header_without_time_or_with_a_broken_one_is_none() {
    let good = header(5, Some(3));
    assert!(PesHeader::parse(&good).is_some());
    for (at, value) in [
        (2, 0),
        (7, 0x00),
        (7, 0x40),
        (9, 0x30),
        (11, 0),
        (13, 0),
        (16, 0),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(PesHeader::parse(&bad), None, "byte {at} is {value}");
    }
    for cut in 0..good.len() {
        assert_eq!(PesHeader::parse(&good[..cut]), None, "{cut} bytes");
    }
}

#[test]
fn parameter_sets_are_found_before_the_first_slice_alone() {
    let unit = Clip::plain(0, playout_domain::units::FrameRate::F25, &[1]).picture(0, 0, true);
    assert_eq!(&parameter_sets(&unit)[..], PARAMETER_SETS);
    // Three-byte start codes are made four-byte ones, and what follows a slice is not looked at.
    let short = [
        &[0, 0, 1, 0x67, 1, 2][..],
        &[0, 0, 1, 0x68, 3],
        &[0, 0, 1, 0x65, 9],
        &[0, 0, 1, 0x67, 4],
    ]
    .concat();
    assert_eq!(
        &parameter_sets(&short)[..],
        [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3]
    );
    assert!(parameter_sets(b"no start code").is_empty());
}

#[test]
fn another_sample_rate_is_refused() {
    let mut unit = silent_unit().to_vec();
    unit[2] = unit[2] & !0x3c | 4 << 2;
    assert_eq!(
        split_adts(&Bytes::from(unit), Ticks90k::new(0)),
        Err(AdtsError::NotProfile)
    );
}
