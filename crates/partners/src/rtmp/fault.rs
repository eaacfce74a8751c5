//! Why a dialogue fails. Of a server's texts only status codes that are known get out.

use super::amf0::Amf0Error;
use super::chunk::ChunkError;

/// Messages of the server at most; a usual dialogue has about ten.
pub(super) const MAX_MESSAGES: usize = 500;
/// Bytes of the server at most.
pub(super) const MAX_BYTES: usize = 1024 * 1024;

/// The same for one whose stream is played: what it has kept of it, at once, and a few seconds more.
pub(super) const MAX_MEDIA_MESSAGES: usize = 50_000;
/// Bytes, as well.
pub(super) const MAX_MEDIA_BYTES: usize = 16 * 1024 * 1024;

/// Why the dialogue ends before its aim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The app does not take us.
    #[error("the app was refused ({})", or_none(.0))]
    App(Option<&'static str>),
    /// The app takes only who has a user name and a password.
    #[error("the app wants a user name and a password")]
    Login,
    /// The stream is not taken under this key.
    #[error("the stream was refused ({})", or_none(.0))]
    Stream(Option<&'static str>),
    /// The server said `close`.
    #[error("the server closed the connection")]
    Closed,
    /// Not RTMP's chunks.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Not AMF0.
    #[error(transparent)]
    Amf0(#[from] Amf0Error),
    /// A command without a name.
    #[error("a command without a name")]
    NoCommand,
    /// It talks without end.
    #[error("the server sent more than is read of it")]
    TooMuch,
}

fn or_none(code: &Option<&'static str>) -> &'static str {
    code.unwrap_or("no code")
}

/// Status codes that are passed on; any other text of a server is not.
const KNOWN_CODES: [&str; 20] = [
    "NetConnection.Call.BadVersion",
    "NetConnection.Call.Failed",
    "NetConnection.Call.Prohibited",
    "NetConnection.Connect.AppShutdown",
    "NetConnection.Connect.Closed",
    "NetConnection.Connect.Failed",
    "NetConnection.Connect.InvalidApp",
    "NetConnection.Connect.Rejected",
    "NetStream.Authenticate.Failed",
    "NetStream.Connect.Failed",
    "NetStream.Connect.Rejected",
    "NetStream.Failed",
    "NetStream.Play.Failed",
    "NetStream.Play.StreamNotFound",
    "NetStream.Play.UnpublishNotify",
    "NetStream.Publish.BadName",
    "NetStream.Publish.Denied",
    "NetStream.Publish.Failed",
    "NetStream.Publish.Rejected",
    "NetStream.Publish.Unauthorized",
];

/// The status code that `code` is, when it is a known one.
pub(super) fn known(code: Option<&str>) -> Option<&'static str> {
    KNOWN_CODES.into_iter().find(|known| Some(*known) == code)
}
