//! Why a push over RTMP ended, read off what FFmpeg 5.1 said last on standard error.
//!
//! FFmpeg says little: a server that closes the connection over a wrong app or key, as nginx and many
//! platforms do, is a bare "Input/output error"; so is one that falls silent after the handshake. And what
//! it says may hold what the server said ("Server error: …"), which may be the stream key: show
//! the kind's sentence to people, not the text.

use playout_domain::output::FailureKind;

/// What the last lines of a pushing FFmpeg say about its end; `None` where they say nothing about the
/// connection: it was told to end, or something else went wrong.
pub fn rtmp_failure(tail: &str) -> Option<FailureKind> {
    let said = |text: &str| tail.lines().any(|line| line.contains(text));
    if said("Immediate exit requested") {
        return None;
    }
    if said("] Server error: ") {
        return Some(FailureKind::Rejected);
    }
    // On air: what writing ended with. In the lines after it FFmpeg only fails to say goodbye.
    if let Some(error) = after(tail, "av_interleaved_write_frame(): ") {
        return match error {
            // The pipe is full: nothing was taken for as long as FFmpeg waits.
            "Connection timed out" => Some(FailureKind::Stalled),
            "No route to host" | "Network is unreachable" => Some(FailureKind::Network),
            "Broken pipe" | "Connection reset by peer" | "End of file" | "Input/output error" => {
                Some(FailureKind::RemoteClosed)
            }
            _ => None,
        };
    }
    if said("] Failed to resolve hostname ") {
        return Some(FailureKind::Dns);
    }
    if tail.lines().any(is_tls) {
        return Some(FailureKind::Tls);
    }
    // What opening `rtmp://host/app` ended with.
    let opening = tail
        .lines()
        .rev()
        .find(|line| line.starts_with("rtmp://") || line.starts_with("rtmps://"))?;
    match opening.rsplit_once(": ")?.1 {
        "Connection refused" => Some(FailureKind::Refused),
        "Connection timed out" | "No route to host" | "Network is unreachable" => {
            Some(FailureKind::Network)
        }
        "Connection reset by peer" | "Broken pipe" | "End of file" => {
            Some(FailureKind::RemoteClosed)
        }
        "Input/output error" if said("] Cannot open connection ") => Some(FailureKind::Network),
        "Input/output error" if said("] Cannot read RTMP handshake ") => {
            Some(FailureKind::RemoteClosed)
        }
        "Input/output error" => Some(FailureKind::Rejected),
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
