//! A dialogue against a server that is a script: what is asked, what is answered, and what never gets out.

use super::*;
use crate::rtmp::explain::{Server, Trouble};
use crate::rtmp::refusal::{Reason, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

const KEY: &str = "live_sesame";

/// The server's end of a connection.
#[derive(Default)]
struct Script {
    reader: ChunkReader,
    writer: ChunkWriter,
}

impl Script {
    /// The commands that the dialogue has sent: name, number, and the rest.
    fn hears(&mut self, dialogue: &mut Dialogue) -> Vec<(String, Vec<Value>)> {
        self.reader.push(&dialogue.outgoing());
        let mut commands = Vec::new();
        while let Some(message) = self.reader.next().unwrap() {
            if message.kind == kind::COMMAND {
                let mut values = Reader::new(&message.payload);
                let name = values.next().unwrap().unwrap();
                let mut rest = Vec::new();
                while let Some(value) = values.next().unwrap() {
                    rest.push(value);
                }
                commands.push((name.as_text().unwrap().to_owned(), rest));
            }
        }
        commands
    }

    fn message(&mut self, kind: u8, stream: u32, payload: Vec<u8>) -> Vec<u8> {
        let mut out = Vec::new();
        let message = Message {
            chunk_stream: 3,
            kind,
            timestamp: 0,
            stream,
            payload,
        };
        self.writer.write(&mut out, &message);
        out
    }

    /// A command: name, number, values.
    fn says(&mut self, name: &str, number: f64, values: &[Value]) -> Vec<u8> {
        let mut payload = Vec::new();
        write(&mut payload, &text(name));
        write(&mut payload, &Value::Number(number));
        values.iter().for_each(|value| write(&mut payload, value));
        self.message(kind::COMMAND, 0, payload)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn status(level: &str, code: &str, description: &str) -> Value {
    let members = [
        ("level", level),
        ("code", code),
        ("description", description),
    ];
    Value::Object(
        members
            .map(|(name, value)| (name.to_owned(), text(value)))
            .into(),
    )
}

/// A dialogue and its server, connected.
fn connected() -> (Dialogue, Script) {
    let (mut dialogue, mut server) = (
        Dialogue::connect("live", "rtmp://a.example/live"),
        Script::default(),
    );
    server.hears(&mut dialogue);
    let success = status("status", "NetConnection.Connect.Success", "");
    let answer = server.says("_result", 1.0, &[Value::Null, success]);
    dialogue.received(&answer).unwrap();
    assert_eq!(dialogue.progress(), Progress::Connected);
    (dialogue, server)
}

/// The same, asked to publish, a stream made.
fn publishing() -> (Dialogue, Script) {
    let (mut dialogue, mut server) = connected();
    dialogue.publish(KEY);
    server.hears(&mut dialogue);
    let answer = server.says("_result", 4.0, &[Value::Null, Value::Number(7.0)]);
    dialogue.received(&answer).unwrap();
    (dialogue, server)
}

#[test]
fn it_asks_for_the_app_as_an_encoder_does() {
    let mut dialogue = Dialogue::connect("live/inst", "rtmp://a.example/live/inst");
    let commands = Script::default().hears(&mut dialogue);
    let [(name, values)] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    assert_eq!(
        (name.as_str(), values[0].as_number()),
        ("connect", Some(1.0))
    );
    assert_eq!(values[1].text("app"), Some("live/inst"));
    assert_eq!(values[1].text("tcUrl"), Some("rtmp://a.example/live/inst"));
    assert_eq!(values[1].text("type"), Some("nonprivate"));
    assert!(dialogue.outgoing().is_empty());
}

#[test]
fn a_stream_is_made_published_and_deleted() {
    let (mut dialogue, mut server) = connected();
    dialogue.publish(KEY);
    let names = |commands: Vec<(String, Vec<Value>)>| {
        commands
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(server.hears(&mut dialogue)),
        ["releaseStream", "FCPublish", "createStream"]
    );
    // Both are refused as a rule, and it means nothing.
    let mut answer = server.says(
        "_error",
        2.0,
        &[
            Value::Null,
            status("error", "NetConnection.Call.Failed", ""),
        ],
    );
    answer.extend(server.says("_result", 4.0, &[Value::Null, Value::Number(7.0)]));
    dialogue.received(&answer).unwrap();
    let commands = server.hears(&mut dialogue);
    assert_eq!(commands[0].0, "publish");
    assert_eq!(commands[0].1[2..], [text(KEY), text("live")]);
    let answer = server.says(
        "onStatus",
        0.0,
        &[Value::Null, status("status", "NetStream.Publish.Start", "")],
    );
    dialogue.received(&answer).unwrap();
    assert_eq!(dialogue.progress(), Progress::Published);
    dialogue.farewell();
    let commands = server.hears(&mut dialogue);
    assert_eq!(commands.last().unwrap().1.last(), Some(&Value::Number(7.0)));
    assert_eq!(names(commands), ["FCUnpublish", "deleteStream"]);
}

#[test]
fn refusals_are_told_apart() {
    let rejected = status("error", "NetConnection.Connect.Rejected", "no");
    let login = status(
        "error",
        "NetConnection.Connect.Rejected",
        "[ code=403 need auth; authmod=adobe ]",
    );
    let unknown = status("error", "Own.Code", "no");
    for (values, fault) in [
        (
            vec![Value::Null, rejected.clone()],
            Fault::App(Some("NetConnection.Connect.Rejected")),
        ),
        (vec![Value::Null, login], Fault::Login),
        (vec![Value::Null, unknown], Fault::App(None)),
        (vec![], Fault::App(None)),
    ] {
        let mut dialogue = Dialogue::connect("live", "rtmp://a.example/live");
        let answer = Script::default().says("_error", 1.0, &values);
        assert_eq!(dialogue.received(&answer), Err(fault));
    }
    for (level, code, fault) in [
        (
            "error",
            "NetStream.Publish.BadName",
            Some("NetStream.Publish.BadName"),
        ),
        (
            "status",
            "NetStream.Publish.Denied",
            Some("NetStream.Publish.Denied"),
        ),
        ("error", KEY, None),
    ] {
        let (mut dialogue, mut server) = publishing();
        let answer = server.says("onStatus", 0.0, &[Value::Null, status(level, code, KEY)]);
        assert_eq!(dialogue.received(&answer), Err(Fault::Stream(fault)));
    }
    let (mut dialogue, mut server) = publishing();
    assert_eq!(
        dialogue.received(&server.says("close", 0.0, &[])),
        Err(Fault::Closed)
    );
    let mut dialogue = Dialogue::connect("live", "rtmp://a.example/live");
    let answer = Script::default().says("_result", 1.0, &[Value::Null, rejected]);
    assert_eq!(
        dialogue.received(&answer),
        Err(Fault::App(Some("NetConnection.Connect.Rejected")))
    );
}

#[test]
fn pings_bandwidth_and_windows_are_answered() {
    let (mut dialogue, mut server) = connected();
    let window = server.message(kind::WINDOW, 0, 100_u32.to_be_bytes().into());
    let bandwidth = server.message(kind::PEER_BANDWIDTH, 0, vec![0, 0, 9, 9, 2]);
    let ping = server.message(kind::USER_CONTROL, 0, vec![0, 6, 1, 2, 3, 4]);
    dialogue
        .received(&[window, bandwidth, ping].concat())
        .unwrap();
    let mut reader = ChunkReader::default();
    reader.push(&dialogue.outgoing());
    let mut answers = Vec::new();
    while let Some(message) = reader.next().unwrap() {
        answers.push((message.kind, message.payload));
    }
    assert_eq!(answers[0], (kind::WINDOW, vec![0, 0, 9, 9]));
    assert_eq!(answers[1], (kind::USER_CONTROL, vec![0, 7, 1, 2, 3, 4]));
    assert_eq!(answers[2].0, kind::ACKNOWLEDGEMENT);
}

#[test]
fn commands_in_amf3_are_read() {
    let (mut dialogue, mut server) = publishing();
    let mut payload = vec![0];
    write(&mut payload, &text("onStatus"));
    write(&mut payload, &Value::Number(0.0));
    write(&mut payload, &Value::Null);
    write(
        &mut payload,
        &status("status", "NetStream.Publish.Start", ""),
    );
    let answer = server.message(kind::COMMAND_AMF3, 1, payload);
    dialogue.received(&answer).unwrap();
    assert_eq!(dialogue.progress(), Progress::Published);
}

#[test]
fn a_server_that_talks_without_end_is_left() {
    let mut server = Script::default();
    let mut dialogue = Dialogue::connect("live", "rtmp://a.example/live");
    let flood: Vec<u8> = (0..501)
        .flat_map(|_| server.says("onBWDone", 0.0, &[]))
        .collect();
    assert_eq!(dialogue.received(&flood), Err(Fault::TooMuch));
    let mut dialogue = Dialogue::connect("live", "rtmp://a.example/live");
    let bulk = Script::default().message(9, 0, vec![0; 60_000]);
    let fault = (0..20).find_map(|_| dialogue.received(&bulk).err());
    assert_eq!(fault, Some(Fault::TooMuch));
}

#[test]
fn what_does_not_answer_us_changes_nothing() {
    let mut server = Script::default();
    let mut dialogue = Dialogue::connect("live", "rtmp://a.example/live");
    server.hears(&mut dialogue);
    let early = [
        server.says("_result", 4.0, &[Value::Null, Value::Number(1.0)]),
        server.says("_result", 9.0, &[]),
        server.says(
            "onStatus",
            0.0,
            &[Value::Null, status("status", "NetStream.Publish.Start", "")],
        ),
    ];
    dialogue.received(&early.concat()).unwrap();
    assert_eq!(dialogue.progress(), Progress::Waiting);
    assert!(server.hears(&mut dialogue).is_empty());
    dialogue.farewell();
    assert!(dialogue.outgoing().is_empty());
}

#[test]
fn r3_the_key_is_in_no_sentence_even_when_the_server_repeats_it() {
    let server = Server {
        host: "a.example",
        port: 1935,
    };
    let told = [
        (
            "onStatus",
            0.0,
            status("error", &format!("NetStream.Publish.{KEY}"), KEY),
        ),
        ("_error", 4.0, status(KEY, KEY, KEY)),
        ("_error", 5.0, text(KEY)),
        (KEY, 5.0, status(KEY, KEY, KEY)),
        ("close", 5.0, text(KEY)),
    ];
    for (name, number, info) in told {
        let (mut dialogue, mut script) = publishing();
        let answer = script.says(name, number, &[Value::Null, info]);
        let fault = dialogue.received(&answer).err();
        assert!(!format!("{dialogue:?} {fault:?}").contains(KEY));
        if let Some(fault) = fault {
            assert!(!fault.to_string().contains(KEY));
            let refusal = server.refusal(Step::Publish, &Trouble::Fault(fault), Duration::ZERO);
            assert!(
                !format!("{refusal:?} {refusal}").contains(KEY),
                "{refusal:?}"
            );
            assert_eq!(refusal.reason, Reason::KeyRejected);
        }
    }
}

/// What a friendly server says, whole.
fn friendly() -> Vec<u8> {
    let mut server = Script::default();
    let mut bytes = server.message(kind::WINDOW, 0, 250_u32.to_be_bytes().into());
    bytes.extend(server.message(kind::PEER_BANDWIDTH, 0, vec![0, 0, 9, 9, 2]));
    server.writer.set_chunk_size(&mut bytes, 60);
    bytes.extend(server.says(
        "_result",
        1.0,
        &[
            Value::Null,
            status("status", "NetConnection.Connect.Success", "welcome"),
        ],
    ));
    bytes.extend(server.says("_result", 4.0, &[Value::Null, Value::Number(1.0)]));
    bytes.extend(server.says(
        "onStatus",
        0.0,
        &[
            Value::Null,
            status("status", "NetStream.Publish.Start", "go"),
        ],
    ));
    bytes
}

fn fed(bytes: &[u8], sizes: &[usize]) -> (Result<(), Fault>, Progress) {
    let mut dialogue = Dialogue::connect("live", "rtmp://a.example/live");
    dialogue.publish(KEY);
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    let mut result = Ok(());
    while !rest.is_empty() && result.is_ok() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| (*size).min(rest.len()));
        result = dialogue.received(&rest[..size]);
        rest = &rest[size..];
    }
    (result, dialogue.progress())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn r2_the_pieces_do_not_matter(sizes in vec(prop_oneof![1..40_usize, 1..600_usize], 1..8)) {
        prop_assert_eq!(fed(&friendly(), &sizes), (Ok(()), Progress::Published));
    }

    #[test]
    fn r2_no_damage_makes_it_panic(
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        tail in vec(any::<u8>(), 0..100),
        sizes in vec(1..40_usize, 1..8),
    ) {
        let mut bytes = friendly();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.extend(tail);
        prop_assert_eq!(fed(&bytes, &sizes), fed(&bytes, &[]));
    }
}

/// A dialogue that has asked to play a stream.
fn playing() -> (Dialogue, Script) {
    let (mut dialogue, mut server) = connected();
    dialogue.expect_media();
    dialogue.play("tv");
    server.hears(&mut dialogue);
    let answer = server.says("_result", 4.0, &[Value::Null, Value::Number(7.0)]);
    dialogue.received(&answer).unwrap();
    (dialogue, server)
}

#[test]
fn a_stream_is_asked_for_and_its_media_has_a_time() {
    let (mut dialogue, mut server) = playing();
    let commands = server.hears(&mut dialogue);
    let [(name, values)] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    assert_eq!(name, "play");
    assert_eq!(values[2].as_text(), Some("tv"));
    assert_eq!(dialogue.newest_media(), None);
    let start = status("status", "NetStream.Play.Start", "tv");
    dialogue
        .received(&server.says("onStatus", 0.0, &[Value::Null, start]))
        .unwrap();
    assert_eq!(dialogue.newest_media(), None, "a word is no media");
    for (kind, timestamp, payload) in [
        (9, 40, vec![7; 200_000]),
        (8, 63, vec![7]),
        (9, 80, Vec::new()),
    ] {
        let mut bytes = Vec::new();
        let message = Message {
            chunk_stream: 6,
            kind,
            timestamp,
            stream: 7,
            payload,
        };
        server.writer.write(&mut bytes, &message);
        dialogue.received(&bytes).unwrap();
    }
    assert_eq!(
        dialogue.newest_media(),
        Some(63),
        "an empty message is no media"
    );
}

#[test]
fn a_stream_that_is_not_there_is_refused_and_a_flood_is_bounded() {
    for code in [
        "NetStream.Play.StreamNotFound",
        "NetStream.Play.UnpublishNotify",
    ] {
        let (mut dialogue, mut server) = playing();
        let answer = server.says(
            "onStatus",
            0.0,
            &[Value::Null, status("status", code, "tv")],
        );
        assert_eq!(dialogue.received(&answer), Err(Fault::Stream(Some(code))));
    }
    let (mut dialogue, _) = playing();
    let refused = (0..5000).find_map(|_| dialogue.received(&[0xff; 4096]).err());
    assert!(refused.is_some());
    let (mut dialogue, mut server) = playing();
    let mut bytes = Vec::new();
    let message = Message {
        chunk_stream: 6,
        kind: 9,
        timestamp: 5,
        stream: 7,
        payload: vec![0; 1 << 20],
    };
    server.writer.write(&mut bytes, &message);
    let flooded = (0..40).find_map(|_| dialogue.received(&bytes).err());
    assert_eq!(flooded, Some(Fault::TooMuch));
}
