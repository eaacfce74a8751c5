//! Why a push over RTMP ended, read off what FFmpeg 5.1 said last on standard error.
//!
//! FFmpeg says little: a server that closes the connection over a wrong app or key, as nginx and many
//! platforms do, is a bare "Input/output error"; so is one that falls silent after the handshake. And what
//! it says may hold what the server said ("Server error: …"), which may be the stream key: show
//! [`RtmpFailure`]'s sentence to people, not the text.

use std::fmt;

/// What ended a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RtmpFailure {
    /// The host's name cannot be resolved.
    Dns,
    /// Nobody listens on the port.
    Refused,
    /// No way to the host, or no answer in time.
    Network,
    /// No encrypted connection, or not with the host that was asked for.
    Tls,
    /// The server does not take the app or the key: it said so, or closed the connection when asked.
    Rejected,
    /// The server cut the connection.
    RemoteClosed,
    /// On air, the server stopped reading.
    Stalled,
}

impl RtmpFailure {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Rejected => "rejected",
            Self::RemoteClosed => "remoteClosed",
            Self::Stalled => "stalled",
        }
    }
}

impl fmt::Display for RtmpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "the host cannot be found",
            Self::Refused => "nobody listens on the server's port",
            Self::Network => "the server does not answer",
            Self::Tls => "no trusted encrypted connection can be made",
            Self::Rejected => "the server does not take the app or the stream key",
            Self::RemoteClosed => "the server closed the connection",
            Self::Stalled => "the server stopped taking media",
        })
    }
}

/// What the last lines of a pushing FFmpeg say about its end; `None` where they say nothing about the
/// connection: it was told to end, or something else went wrong.
pub fn rtmp_failure(tail: &str) -> Option<RtmpFailure> {
    let said = |text: &str| tail.lines().any(|line| line.contains(text));
    if said("Immediate exit requested") {
        return None;
    }
    if said("] Server error: ") {
        return Some(RtmpFailure::Rejected);
    }
    // On air: what writing ended with. In the lines after it FFmpeg only fails to say goodbye.
    if let Some(error) = after(tail, "av_interleaved_write_frame(): ") {
        return match error {
            // The pipe is full: nothing was taken for as long as FFmpeg waits.
            "Connection timed out" => Some(RtmpFailure::Stalled),
            "No route to host" | "Network is unreachable" => Some(RtmpFailure::Network),
            "Broken pipe" | "Connection reset by peer" | "End of file" | "Input/output error" => {
                Some(RtmpFailure::RemoteClosed)
            }
            _ => None,
        };
    }
    if said("] Failed to resolve hostname ") {
        return Some(RtmpFailure::Dns);
    }
    if tail.lines().any(is_tls) {
        return Some(RtmpFailure::Tls);
    }
    // What opening `rtmp://host/app` ended with.
    let opening = tail
        .lines()
        .rev()
        .find(|line| line.starts_with("rtmp://") || line.starts_with("rtmps://"))?;
    match opening.rsplit_once(": ")?.1 {
        "Connection refused" => Some(RtmpFailure::Refused),
        "Connection timed out" | "No route to host" | "Network is unreachable" => {
            Some(RtmpFailure::Network)
        }
        "Connection reset by peer" | "Broken pipe" | "End of file" => {
            Some(RtmpFailure::RemoteClosed)
        }
        "Input/output error" if said("] Cannot open connection ") => Some(RtmpFailure::Network),
        "Input/output error" if said("] Cannot read RTMP handshake ") => {
            Some(RtmpFailure::RemoteClosed)
        }
        "Input/output error" => Some(RtmpFailure::Rejected),
        _ => None,
    }
}

/// What comes after `text` in the last line that begins with it.
fn after<'a>(tail: &'a str, text: &str) -> Option<&'a str> {
    tail.lines().rev().find_map(|line| line.strip_prefix(text))
}

/// Whether a line tells of TLS itself, and not of the connection below it.
fn is_tls(line: &str) -> bool {
    let message = line
        .strip_prefix("[tls @ ")
        .and_then(|line| line.split_once("] "));
    message.is_some_and(|(_, message)| {
        !message.starts_with("Error in the p") // "pull function", "push function"
            && !message.starts_with("IO error: ")
            && !message.starts_with("The specified session has been invalidated")
    })
}

#[cfg(test)]
mod tests;
