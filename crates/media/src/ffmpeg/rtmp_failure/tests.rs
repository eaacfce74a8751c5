//! What FFmpeg really said, and what had happened. `tests/rtmp_failure.rs` makes it say it again.

use super::*;
use playout_domain::output::FailureKind::{
    Dns, Network, Refused, Rejected, RemoteClosed, Stalled, Tls,
};

/// What FFmpeg 5.1.9 with GnuTLS 3.7.9 said, at `-loglevel error`, and what had happened.
const RECORDED: &[(&str, Option<FailureKind>, &str)] = &[
    (
        "a closed port",
        Some(Refused),
        "[tcp @ 0x5634f29aea00] Connection to tcp://127.0.0.1:19999?tcp_nodelay=0 failed: Connection refused
[rtmp @ 0x5634f29fa940] Cannot open connection tcp://127.0.0.1:19999?tcp_nodelay=0
rtmp://127.0.0.1:19999/live: Connection refused",
    ),
    (
        "a closed port, rtmps",
        Some(Refused),
        "[tcp @ 0x5595f9ee6f80] Connection to tcp://127.0.0.1:19999 failed: Connection refused
[rtmps @ 0x5595f9f8c300] Cannot open connection tls://127.0.0.1:19999
rtmps://127.0.0.1:19999/live: Connection refused",
    ),
    (
        "accepted, closed at once",
        Some(RemoteClosed),
        "[rtmp @ 0x55829b425940] Cannot read RTMP handshake response
rtmp://127.0.0.1:19360/live: Connection reset by peer",
    ),
    (
        "accepted, closed after the handshake's first half",
        Some(RemoteClosed),
        "[rtmp @ 0x55726740a940] Cannot read RTMP handshake response
rtmp://127.0.0.1:19362/live: End of file",
    ),
    (
        "accepted, closed at once, rtmps",
        Some(RemoteClosed),
        "[tls @ 0x5595f9f31240] Error in the pull function.
[tls @ 0x5595f9f31240] IO error: End of file
[rtmps @ 0x5595f9f8c300] Cannot open connection tls://127.0.0.1:19360
rtmps://127.0.0.1:19360/live: End of file",
    ),
    (
        "accepted, silent, -rw_timeout",
        Some(Network),
        "[rtmp @ 0x56335b02e300] Cannot read RTMP handshake response
rtmp://127.0.0.1:19361/live: Connection timed out",
    ),
    (
        "accepted, silent, -rw_timeout, rtmps",
        Some(Network),
        "[tls @ 0x556349bb2240] Error in the pull function.
[tls @ 0x556349bb2240] IO error: Connection timed out
[rtmps @ 0x556349b0d440] Cannot open connection tls://127.0.0.1:19361
rtmps://127.0.0.1:19361/live: Connection timed out",
    ),
    (
        "packets vanish",
        Some(Network),
        "[tcp @ 0x5589ded2bc40] Connection to tcp://127.0.0.1:19390?tcp_nodelay=0 failed: Connection timed out
[rtmp @ 0x5589ded20300] Cannot open connection tcp://127.0.0.1:19390?tcp_nodelay=0
rtmp://127.0.0.1:19390/live: Connection timed out",
    ),
    (
        "no route",
        Some(Network),
        "[tcp @ 0x55d9bff67c40] Connection to tcp://[2001:db8::1]:1935?tcp_nodelay=0 failed: No route to host
[rtmp @ 0x55d9bff5c300] Cannot open connection tcp://[2001:db8::1]:1935?tcp_nodelay=0
rtmp://[2001:db8::1]/live: No route to host",
    ),
    (
        "no such host",
        Some(Dns),
        "[tcp @ 0x560a48dc1a00] Failed to resolve hostname no.such.host.invalid: Name or service not known
[rtmp @ 0x560a48e0d940] Cannot open connection tcp://no.such.host.invalid:1935?tcp_nodelay=0
rtmp://no.such.host.invalid/live: Input/output error",
    ),
    (
        "nginx: no such app; also on_connect and on_publish answered 403",
        Some(Rejected),
        "rtmp://127.0.0.1:19350/nosuch: Input/output error",
    ),
    (
        "nginx: the key is in use",
        Some(Rejected),
        "[rtmps @ 0x560e4c959440] Server error: Already publishing
rtmps://live.test:444/live: Operation not permitted",
    ),
    (
        "connect answered with _error",
        Some(Rejected),
        "[rtmp @ 0x55a014389300] Unknown connect error (unsupported authentication method?)
[rtmp @ 0x55a014389300] Server error: [ Server.Reject ] : (_defaultRoot_, ) : Invalid application name(/nosuch).
rtmp://127.0.0.1:19370/live: Unknown error occurred",
    ),
    (
        "publish answered with an error",
        Some(Rejected),
        "[rtmp @ 0x563b7045d300] Server error: key not known
rtmp://127.0.0.1:19373/live: Operation not permitted",
    ),
    (
        "on air, an error of the server",
        Some(Rejected),
        "[rtmp @ 0x564fd5c30300] Server error: kicked
av_interleaved_write_frame(): Operation not permitted
Error writing trailer of rtmp://127.0.0.1:19378/live: Operation not permitted
Error closing file rtmp://127.0.0.1:19378/live: Operation not permitted",
    ),
    (
        "on air, nginx: /control/drop/publisher; also nginx killed",
        Some(RemoteClosed),
        "av_interleaved_write_frame(): Broken pipe
Error writing trailer of rtmp://127.0.0.1:19350/live: Broken pipe
Error closing file rtmp://127.0.0.1:19350/live: Broken pipe",
    ),
    (
        "on air, reset",
        Some(RemoteClosed),
        "av_interleaved_write_frame(): Connection reset by peer
Error writing trailer of rtmp://127.0.0.1:19379/live: Connection reset by peer
Error closing file rtmp://127.0.0.1:19379/live: Broken pipe",
    ),
    (
        "on air, rtmps, nginx: /control/drop/publisher",
        Some(RemoteClosed),
        "[tls @ 0x56278b397e00] Error in the pull function.
[tls @ 0x56278b397e00] IO error: End of file
av_interleaved_write_frame(): End of file
Error writing trailer of rtmps://127.0.0.1:19353/live: End of file
[tls @ 0x56278b397e00] The specified session has been invalidated for some reason.
    Last message repeated 1 times
Error closing file rtmps://127.0.0.1:19353/live: Input/output error",
    ),
    (
        "on air, rtmps, the server killed",
        Some(RemoteClosed),
        "[tls @ 0x555add0a6e00] Error in the push function.
[tls @ 0x555add0a6e00] IO error: Broken pipe
av_interleaved_write_frame(): Broken pipe
Error writing trailer of rtmps://127.0.0.1:19353/live: Broken pipe
[tls @ 0x555add0a6e00] The specified session has been invalidated for some reason.
    Last message repeated 1 times
Error closing file rtmps://127.0.0.1:19353/live: Input/output error",
    ),
    (
        "on air, the server stopped reading, -rw_timeout",
        Some(Stalled),
        "av_interleaved_write_frame(): Connection timed out
Error writing trailer of rtmp://127.0.0.1:19350/live: Connection timed out
Error closing file rtmp://127.0.0.1:19350/live: Connection timed out",
    ),
    (
        "a certificate that is not trusted, or has expired",
        Some(Tls),
        "[tls @ 0x55ae7aa0f240] Peer certificate failed verification
[rtmps @ 0x55ae7aa6a300] Cannot open connection tls://127.0.0.1:19353
rtmps://127.0.0.1:19353/live: Input/output error",
    ),
    (
        "a certificate for another host",
        Some(Tls),
        "[tls @ 0x562f558d5240] The certificate's owner does not match hostname 127.0.0.1
[rtmps @ 0x562f55830440] Cannot open connection tls://127.0.0.1:19353
rtmps://127.0.0.1:19353/live: Input/output error",
    ),
    (
        "rtmps to a server without TLS",
        Some(Tls),
        "[tls @ 0x55bc7574ea40] An unexpected TLS packet was received.
[rtmps @ 0x55bc7579a980] Cannot open connection tls://127.0.0.1:19351
rtmps://127.0.0.1:19351/live: Input/output error",
    ),
    (
        "TLS refused after its handshake, by a server that wants a certificate",
        Some(Tls),
        "[tls @ 0x55d986532e00] A TLS fatal alert has been received.
[rtmps @ 0x55d986509e00] Cannot read RTMP handshake response
rtmps://127.0.0.1:19393/live: Input/output error",
    ),
    (
        "told to end while it waited",
        None,
        "[rtmp @ 0x5599bfa14480] Cannot read RTMP handshake response
rtmp://127.0.0.1:19361/live: Immediate exit requested",
    ),
    (
        "its own address was taken: -timeout makes it listen",
        None,
        "[rtmp @ 0x5622a3490300] Cannot open connection tcp://127.0.0.1:19350?listen&listen_timeout=5000&tcp_nodelay=0
rtmp://127.0.0.1:19350/live: Address already in use",
    ),
    ("nothing", None, ""),
    (
        "the input ended badly",
        None,
        "pipe:0: Invalid data found when processing input",
    ),
];

#[test]
fn what_ffmpeg_said_is_understood() {
    for (what, failure, said) in RECORDED {
        assert_eq!(rtmp_failure(said), *failure, "{what}");
    }
}

#[test]
fn lines_before_the_failure_change_nothing() {
    for (what, failure, said) in RECORDED {
        let tail = format!("[mpegts @ 0x1] Packet corrupt (stream = 0, dts = 9)\n{said}");
        assert_eq!(rtmp_failure(&tail), *failure, "{what}");
    }
}
