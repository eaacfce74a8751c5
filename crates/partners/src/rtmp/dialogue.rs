//! What is said after the handshake: `connect` (RTMP 1.0 §7.2.1.1) and, when asked, a stream is created
//! and published (§7.2.1.3, §7.2.2.6) or played (§7.2.2.1), in the words that FFmpeg uses.
//!
//! Pure: bytes from the server in, bytes for it and progress out. Bounded in messages and bytes. Texts of
//! the server are compared with what is known and never passed on: one could repeat the stream key.

#[cfg(test)]
mod tests;

use std::fmt;

use super::amf0::{Reader, Value, write, write_text};
use super::chunk::{ChunkReader, ChunkWriter, Message, kind};
use super::fault::{Fault, MAX_BYTES, MAX_MEDIA_BYTES, MAX_MEDIA_MESSAGES, MAX_MESSAGES, known};

/// The size of our chunks once connected: what encoders use.
const CHUNK_SIZE: u32 = 4096;
/// What encoders call themselves; some servers ask for it.
const FLASH_VERSION: &str = "FMLE/3.0 (compatible; FMSc/1.0)";

/// The chunk stream of commands to the connection, and of those to a stream.
const COMMANDS: u32 = 3;
const STREAM_COMMANDS: u32 = 8;

/// Numbers of our commands, by which answers name them.
const CONNECT: f64 = 1.0;
const RELEASE_STREAM: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE_STREAM: f64 = 4.0;
const PUBLISH: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE_STREAM: f64 = 7.0;
const PLAY: f64 = 8.0;

/// Where playing begins: a live stream, and no recording of that name (§7.2.2.1; in thousandths, as FFmpeg sends it).
const LIVE: f64 = -1000.0;
/// How much media is kept here, in milliseconds.
const BUFFER: u32 = 1000;

/// User control events (§7.1.7).
const PING_REQUEST: [u8; 2] = 6_u16.to_be_bytes();
const PING_RESPONSE: [u8; 2] = 7_u16.to_be_bytes();
const BUFFER_LENGTH: [u8; 2] = 3_u16.to_be_bytes();

/// How far the dialogue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// The server has not answered yet.
    #[default]
    Waiting,
    /// The app takes us.
    Connected,
    /// The stream may be sent.
    Published,
}

/// The message stream to publish on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stream {
    #[default]
    NotAsked,
    Asked,
    /// The server has made it and numbered it.
    Made(u32),
}

/// What is done with the message stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Purpose {
    #[default]
    Publish,
    Play,
}

/// One dialogue, from our side.
#[derive(Default)]
pub(super) struct Dialogue {
    reader: ChunkReader,
    writer: ChunkWriter,
    /// What is to be sent.
    out: Vec<u8>,
    progress: Progress,
    /// The name under which a stream is to be published or played, once that was asked for.
    name: String,
    purpose: Purpose,
    /// Whether much more is read, because media comes.
    media_expected: bool,
    /// The time of the newest media, in milliseconds, wrapping.
    newest_media: Option<u32>,
    /// What it is published on.
    stream: Stream,
    /// Messages read.
    messages: usize,
    /// Bytes read, and how many of them were acknowledged (§5.4.3).
    bytes: usize,
    acknowledged: usize,
    /// After how many bytes the server wants an acknowledgement; 0: none.
    window: usize,
}

impl fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialogue({:?})", self.progress)
    }
}

impl Dialogue {
    /// Begins: asks for `app` at `tc_url`, the whole URL without a key.
    pub(super) fn connect(app: &str, tc_url: &str) -> Self {
        let mut dialogue = Self::default();
        let text = |text: &str| Value::Text(text.to_owned());
        let mut command = command("connect", CONNECT);
        write(
            &mut command,
            &Value::Object(vec![
                ("app".to_owned(), text(app)),
                ("type".to_owned(), text("nonprivate")),
                ("flashVer".to_owned(), text(FLASH_VERSION)),
                ("tcUrl".to_owned(), text(tc_url)),
            ]),
        );
        dialogue.send(COMMANDS, 0, command);
        dialogue
    }

    /// Goes on, once connected: asks to publish a stream under `name`, which is empty where there is none.
    pub(super) fn publish(&mut self, name: &str) {
        self.name = name.to_owned();
        self.stream = Stream::Asked;
        self.writer.set_chunk_size(&mut self.out, CHUNK_SIZE);
        for (command, number) in [("releaseStream", RELEASE_STREAM), ("FCPublish", FC_PUBLISH)] {
            self.send_named(COMMANDS, 0, command, number);
        }
        let mut create = command("createStream", CREATE_STREAM);
        write(&mut create, &Value::Null);
        self.send(COMMANDS, 0, create);
    }

    /// Much more may come from now on.
    pub(super) fn expect_media(&mut self) {
        self.media_expected = true;
        self.reader.expect_media();
    }

    /// Goes on, once connected: asks to play the stream `name`.
    pub(super) fn play(&mut self, name: &str) {
        self.name = name.to_owned();
        self.purpose = Purpose::Play;
        self.stream = Stream::Asked;
        let mut create = command("createStream", CREATE_STREAM);
        write(&mut create, &Value::Null);
        self.send(COMMANDS, 0, create);
    }

    /// The time of the newest media that came, in milliseconds, wrapping.
    pub(super) const fn newest_media(&self) -> Option<u32> {
        self.newest_media
    }

    /// Ends what [`Self::publish`] began (§7.2.2.3).
    pub(super) fn farewell(&mut self) {
        let Stream::Made(stream) = self.stream else {
            return;
        };
        self.send_named(COMMANDS, 0, "FCUnpublish", FC_UNPUBLISH);
        let mut delete = command("deleteStream", DELETE_STREAM);
        write(&mut delete, &Value::Null);
        write(&mut delete, &Value::Number(stream.into()));
        self.send(COMMANDS, 0, delete);
    }

    /// What is to be sent to the server now.
    pub(super) fn outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Takes bytes of the server.
    ///
    /// # Errors
    /// [`Fault`]: the server refuses, or does not speak RTMP; the dialogue has ended.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let (most_messages, most_bytes) = match self.media_expected {
            true => (MAX_MEDIA_MESSAGES, MAX_MEDIA_BYTES),
            false => (MAX_MESSAGES, MAX_BYTES),
        };
        self.bytes += bytes.len();
        if self.bytes > most_bytes {
            return Err(Fault::TooMuch);
        }
        self.reader.push(bytes);
        while let Some(message) = self.reader.next()? {
            self.messages += 1;
            if self.messages > most_messages {
                return Err(Fault::TooMuch);
            }
            self.take(&message)?;
        }
        if self.window > 0 && self.bytes - self.acknowledged >= self.window {
            self.acknowledged = self.bytes;
            let sequence = self.bytes as u32;
            self.control(kind::ACKNOWLEDGEMENT, sequence.to_be_bytes());
        }
        Ok(())
    }

    fn take(&mut self, message: &Message) -> Result<(), Fault> {
        let number = message
            .payload
            .first_chunk()
            .map(|n| u32::from_be_bytes(*n));
        match (message.kind, number) {
            (kind::WINDOW, Some(size)) => self.window = size as usize,
            // §5.4.5: answered with a window of the same size.
            (kind::PEER_BANDWIDTH, Some(size)) => self.control(kind::WINDOW, size.to_be_bytes()),
            (kind::USER_CONTROL, _) => {
                if let Some(stamp) = message.payload.strip_prefix(&PING_REQUEST) {
                    let answer = [&PING_RESPONSE, stamp].concat();
                    self.control(kind::USER_CONTROL, answer);
                }
            }
            // An empty one says that there is no sound or no picture.
            (kind::AUDIO | kind::VIDEO | kind::AGGREGATE, _) if !message.payload.is_empty() => {
                self.newest_media = Some(message.timestamp);
            }
            (kind::COMMAND, _) => self.command(&message.payload)?,
            (kind::COMMAND_AMF3, _) => {
                self.command(message.payload.get(1..).unwrap_or_default())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A command of the server: its name, the number of ours that it answers, and values (§7.2).
    fn command(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut values = Reader::new(payload);
        let name = values.next()?.ok_or(Fault::NoCommand)?;
        let name = name.as_text().ok_or(Fault::NoCommand)?;
        let answers = values.next()?.and_then(|value| value.as_number());
        let mut rest = Vec::new();
        while let Some(value) = values.next()? {
            rest.push(value);
        }
        match name {
            "_result" if answers == Some(CONNECT) => self.connected(&rest),
            "_error" if answers == Some(CONNECT) => Err(refused_app(&rest)),
            "_result" if answers == Some(CREATE_STREAM) => self.created(&rest),
            "_error" if [CREATE_STREAM, PUBLISH, PLAY].map(Some).contains(&answers) => {
                Err(Fault::Stream(known(member(&rest, "code"))))
            }
            "onStatus" => self.status(&rest),
            "close" => Err(Fault::Closed),
            // Refusals of releaseStream and FCPublish are usual and mean nothing.
            _ => Ok(()),
        }
    }

    fn connected(&mut self, values: &[Value]) -> Result<(), Fault> {
        if member(values, "level") == Some("error") {
            return Err(refused_app(values));
        }
        if self.progress == Progress::Waiting {
            self.progress = Progress::Connected;
        }
        Ok(())
    }

    /// §7.2.1.3: a null and the number of the stream, with which `publish` is asked for.
    fn created(&mut self, values: &[Value]) -> Result<(), Fault> {
        if self.stream != Stream::Asked {
            return Ok(());
        }
        let number = values.iter().find_map(Value::as_number);
        let stream = number
            .filter(|number| (0.0..=f64::from(u32::MAX)).contains(number))
            .map(|number| number as u32)
            .ok_or(Fault::Stream(None))?;
        self.stream = Stream::Made(stream);
        if self.purpose == Purpose::Play {
            let mut play = self.named("play", PLAY);
            write(&mut play, &Value::Number(LIVE));
            self.send(STREAM_COMMANDS, stream, play);
            let parts = [
                &BUFFER_LENGTH[..],
                &stream.to_be_bytes(),
                &BUFFER.to_be_bytes(),
            ];
            self.control(kind::USER_CONTROL, parts.concat());
            return Ok(());
        }
        let mut publish = self.named("publish", PUBLISH);
        write_text(&mut publish, "live");
        self.send(STREAM_COMMANDS, stream, publish);
        Ok(())
    }

    /// §7.2.2: how the stream fares. `NetStream.Publish.Start` is what was waited for.
    fn status(&mut self, values: &[Value]) -> Result<(), Fault> {
        let said = member(values, "code");
        let refuses = member(values, "level") == Some("error") || known(said).is_some();
        match self.progress {
            Progress::Waiting if refuses => Err(refused_app(values)),
            Progress::Connected if refuses => Err(Fault::Stream(known(said))),
            Progress::Connected if said == Some("NetStream.Publish.Start") => {
                self.progress = Progress::Published;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn control(&mut self, kind: u8, payload: impl Into<Vec<u8>>) {
        self.writer
            .write(&mut self.out, &Message::control(kind, payload));
    }

    /// A command with null for an object and the stream's name.
    fn named(&self, name: &str, number: f64) -> Vec<u8> {
        let mut payload = command(name, number);
        write(&mut payload, &Value::Null);
        write_text(&mut payload, &self.name);
        payload
    }

    fn send_named(&mut self, chunk_stream: u32, stream: u32, name: &str, number: f64) {
        let payload = self.named(name, number);
        self.send(chunk_stream, stream, payload);
    }

    fn send(&mut self, chunk_stream: u32, stream: u32, payload: Vec<u8>) {
        let message = Message {
            chunk_stream,
            kind: kind::COMMAND,
            timestamp: 0,
            stream,
            payload,
        };
        self.writer.write(&mut self.out, &message);
    }
}

fn command(name: &str, number: f64) -> Vec<u8> {
    let mut payload = Vec::new();
    write_text(&mut payload, name);
    write(&mut payload, &Value::Number(number));
    payload
}

/// The first text that one of `values` has under `name`.
fn member<'a>(values: &'a [Value], name: &str) -> Option<&'a str> {
    values.iter().find_map(|value| value.text(name))
}

/// Adobe's and Limelight's servers ask for a login in the description.
fn refused_app(values: &[Value]) -> Fault {
    let description = member(values, "description").unwrap_or_default();
    if description.contains("authmod=") || description.contains("need auth") {
        return Fault::Login;
    }
    Fault::App(known(member(values, "code")))
}
