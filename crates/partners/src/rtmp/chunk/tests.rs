//! R1: what is written is read back, however it is mixed and however it comes.
//! R2: no bytes make the reader panic or hold more than has come in.

use super::reader::{MAX_MESSAGE, MAX_STREAMS};
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A message on one of a few chunk streams, so that headers are shortened; timestamps around the
/// extended one and the wrap.
fn message() -> impl Strategy<Value = Message> {
    let chunk_stream = prop_oneof![
        Just(3),
        Just(4),
        Just(63),
        Just(64),
        Just(319),
        Just(320),
        Just(65_599),
        3..65_600_u32
    ];
    let timestamp = prop_oneof![
        Just(0),
        0..100_u32,
        0xff_fff0..0x100_0010_u32,
        0xffff_fff0..=u32::MAX,
        any::<u32>()
    ];
    // No kind that acts on the chunk stream itself.
    (
        chunk_stream,
        3..8_u8,
        timestamp,
        0..2_u32,
        prop_oneof![vec(any::<u8>(), 0..4), vec(any::<u8>(), 0..700)],
    )
        .prop_map(|(chunk_stream, kind, timestamp, stream, payload)| Message {
            chunk_stream,
            kind,
            timestamp,
            stream,
            payload,
        })
}

/// Bytes as headers have them: mostly small numbers.
fn small() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 0..4_u8, 1 => 0xc0..0xc4_u8, 1 => any::<u8>()]
}

/// Reads `bytes` in pieces of `sizes`, over and over.
fn read(bytes: &[u8], sizes: &[usize]) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::default();
    let (mut messages, mut rest) = (Vec::new(), bytes);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| (*size).min(rest.len()));
        let (piece, after) = rest.split_at(size);
        reader.push(piece);
        while let Some(message) = reader.next()? {
            messages.push(message);
        }
        rest = after;
    }
    Ok(messages)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn r1_what_is_written_is_read_back(
        messages in vec(message(), 1..12),
        chunk_sizes in vec(prop_oneof![Just(1_u32), 1..300_u32, Just(70_000_u32)], 12),
        sizes in vec(1..300_usize, 1..6),
    ) {
        let (mut out, mut writer, mut expected) = (Vec::new(), ChunkWriter::default(), Vec::new());
        for (message, size) in messages.iter().zip(&chunk_sizes) {
            if size % 3 == 0 {
                writer.set_chunk_size(&mut out, *size);
                expected.push(Message::control(kind::CHUNK_SIZE, size.to_be_bytes()));
            }
            writer.write(&mut out, message);
            expected.push(message.clone());
        }
        let read = read(&out, &sizes);
        prop_assert_eq!(read.as_deref(), Ok(expected.as_slice()));
    }

    #[test]
    fn r2_any_bytes_in_any_pieces_are_read_alike(bytes in vec(small(), 0..600), sizes in vec(1..50_usize, 1..6)) {
        prop_assert_eq!(read(&bytes, &sizes), read(&bytes, &[bytes.len().max(1)]));
    }

    #[test]
    fn r2_damage_anywhere_makes_nothing_panic(
        messages in vec(message(), 1..6),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut out, mut writer) = (Vec::new(), ChunkWriter::default());
        for message in &messages {
            writer.write(&mut out, message);
        }
        for (at, value) in flips {
            let at = at.index(out.len());
            out[at] = value;
        }
        out.truncate(cut.index(out.len()) + 1);
        let held: usize = read(&out, &[64]).into_iter().flatten().map(|message| message.payload.len()).sum();
        prop_assert!(held <= out.len());
    }
}

/// A chunk with a whole header, of a message of `length` bytes.
fn whole(id: u8, kind: u8, length: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = length.to_be_bytes();
    [&[id, 0, 0, 0, a, b, c, kind, 0, 0, 0, 0], payload].concat()
}

#[test]
fn the_examples_of_the_standard_are_read_and_written() {
    // §5.3.2.1: three more messages of 32 bytes, 20 ms apart, take headers of formats 2, 3 and 3.
    let mut writer = ChunkWriter::default();
    let (mut out, mut lengths, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for timestamp in [1000, 1020, 1040, 1060] {
        let message = Message {
            chunk_stream: 3,
            kind: 8,
            timestamp,
            stream: 12345,
            payload: vec![1; 32],
        };
        let before = out.len();
        writer.write(&mut out, &message);
        lengths.push(out.len() - before);
        expected.push(message);
    }
    assert_eq!(lengths, [44, 36, 33, 33]);
    assert_eq!(read(&out, &[]).unwrap(), expected);
    // §5.3.2.2: 307 bytes are three chunks of 140, 129 and 52 bytes.
    let mut out = Vec::new();
    let video = Message {
        chunk_stream: 4,
        kind: 9,
        timestamp: 1000,
        stream: 12346,
        payload: vec![2; 307],
    };
    ChunkWriter::default().write(&mut out, &video);
    assert_eq!(out.len(), 140 + 129 + 52);
    assert_eq!(out[..12], [4, 0, 3, 232, 0, 1, 51, 9, 0x3a, 0x30, 0, 0]);
    assert_eq!((out[140], out[269]), (0xc4, 0xc4));
}

#[test]
fn chunks_of_two_chunk_streams_may_alternate() {
    let mut bytes = whole(4, 9, 130, &[1; 128]);
    bytes.extend(whole(5, 8, 2, &[7; 2]));
    bytes.extend([0xc4, 1, 1]);
    let kinds: Vec<_> = read(&bytes, &[])
        .unwrap()
        .iter()
        .map(|m| (m.kind, m.payload.len()))
        .collect();
    assert_eq!(kinds, [(8, 2), (9, 130)]);
}

#[test]
fn an_extended_timestamp_is_in_every_chunk_of_its_message() {
    let message = Message {
        chunk_stream: 4,
        kind: 9,
        timestamp: 0x0200_0000,
        stream: 1,
        payload: vec![3; 200],
    };
    let mut out = Vec::new();
    ChunkWriter::default().write(&mut out, &message);
    assert_eq!(out.len(), 12 + 4 + 128 + 1 + 4 + 72);
    assert_eq!(out[144..149], [0xc4, 2, 0, 0, 0]);
    assert_eq!(read(&out, &[]).unwrap(), [message]);
}

#[test]
fn an_abort_drops_what_has_come_of_a_message() {
    let mut bytes = whole(4, 9, 130, &[1; 128]);
    bytes.extend(whole(2, kind::ABORT, 4, &[0, 0, 0, 4]));
    bytes.extend(whole(4, 8, 1, &[9]));
    let kinds: Vec<_> = read(&bytes, &[]).unwrap().iter().map(|m| m.kind).collect();
    assert_eq!(kinds, [kind::ABORT, 8]);
}

#[test]
fn what_the_standard_does_not_allow_is_refused() {
    let too_long = MAX_MESSAGE as u32 + 1;
    let streams = (3..)
        .take(MAX_STREAMS + 1)
        .flat_map(|id| whole(id, 20, 0, &[]));
    let cases: [(Vec<u8>, ChunkError); 7] = [
        (vec![0x43, 0, 0, 0, 0, 0, 0, 20], ChunkError::Unstarted),
        (vec![0xc3], ChunkError::Unstarted),
        (
            [whole(3, 20, 130, &[0; 128]), whole(3, 20, 1, &[0])].concat(),
            ChunkError::Interrupted,
        ),
        (
            whole(3, 20, too_long, &[]),
            ChunkError::TooLong(MAX_MESSAGE + 1),
        ),
        (streams.collect(), ChunkError::TooManyStreams),
        (
            whole(2, kind::CHUNK_SIZE, 4, &[0; 4]),
            ChunkError::Control(kind::CHUNK_SIZE),
        ),
        (
            whole(2, kind::ABORT, 1, &[0]),
            ChunkError::Control(kind::ABORT),
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(read(&bytes, &[]), Err(error));
    }
}

#[test]
fn no_payload_is_printed() {
    let message = Message::control(20, *b"live_sesame");
    assert_eq!(
        format!("{message:?}"),
        "Message(kind 20, chunk stream 2, stream 0, at 0, 11 bytes)"
    );
}
