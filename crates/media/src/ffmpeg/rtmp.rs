//! Pushes the channel's transport stream, read from standard input, to an RTMP server.
//!
//! Invariant F4: the stream key is in no argument and in no message: FFmpeg reads it from descriptor 3
//! as a preset (`-fpre`), and says nothing below `warning`.

use std::net::SocketAddr;
use std::path::Path;

use playout_domain::StreamKey;
use playout_domain::destination::ServerUrl;
use playout_domain::media::Profile;

use super::encode::Effort;
use super::{Invocation, Secret};

/// Bytes and microseconds of the stream that are looked at before the connection is opened: the output
/// is open after a second. (`nobuffer` would lose what was looked at.)
const PROBE_BYTES: &str = "1000000";
const PROBE_TIME: &str = "500000";
/// How long FFmpeg waits for the network, in microseconds, before it gives up by itself.
const NETWORK_TIMEOUT: &str = "10000000";
/// Bytes that the kernel keeps for the server in every other attempt; else as many as it likes.
const SEND_BUFFER: &str = "262144";

/// Where to push, and how.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// The server and its application.
    pub url: &'a ServerUrl,
    /// The address that was checked and is connected to, so that no second look-up finds another. An
    /// `rtmps` server is connected to by name all the same: FFmpeg sends the name only of what it connects to,
    /// and many servers choose their certificate by it. Whoever has no certificate for the name is left at once.
    pub address: SocketAddr,
    /// The key that names the stream there.
    pub key: Option<&'a StreamKey>,
    /// Certificates of authorities that are trusted, for `rtmps`.
    pub authorities: &'a Path,
    /// Which of the alternating parameters to use, counted from 0.
    pub variant: u32,
    /// What the stream is encoded to; nothing: it is copied.
    pub encode: Option<&'a Profile>,
}

/// Copies or encodes standard input to `publish`, with `-progress` lines among the messages on standard error.
pub fn publish(publish: &Publish<'_>) -> Invocation {
    let Publish { url, address, .. } = publish;
    let (scheme, host) = (if url.is_tls() { "rtmps" } else { "rtmp" }, url.host());
    // Where there is no key, the last part of the path names the stream, and FFmpeg knows which that is.
    let split = publish.key.is_some();
    let app = url.app();
    let mut line = Invocation::ffmpeg()
        .with(["-loglevel", "warning"])
        .with(["-progress", "pipe:2", "-stats_period", "1"])
        .with(["-probesize", PROBE_BYTES, "-analyzeduration", PROBE_TIME])
        .with(["-f", "mpegts", "-i", "pipe:0"])
        // What else travels in the stream, FLV cannot hold.
        .with(["-map", "0:v:0", "-map", "0:a:0"]);
    line = match publish.encode {
        None => line.with(["-c", "copy"]),
        Some(profile) => line
            .set("-vf", pictures(profile))
            .compress(profile, Effort::Push),
    };
    line = line
        .with(["-f", "flv", "-flvflags", "no_duration_filesize"])
        .with(["-rw_timeout", NETWORK_TIMEOUT]);
    if publish.variant % 2 == 1 {
        line = line.with(["-send_buffer_size", SEND_BUFFER]);
    }
    let tc_url = format!("{scheme}://{}{}", bracketed(host), port(url));
    if split {
        line = line
            .set("-rtmp_app", app)
            .set("-rtmp_tcurl", format_args!("{tc_url}/{app}"));
    }
    if url.is_tls() {
        line = line
            .with(["-tls_verify", "1"])
            .with(["-ca_file".as_ref(), publish.authorities.as_os_str()]);
    }
    if let Some(key) = publish.key {
        line = line.with(["-fpre", "/dev/fd/3"]);
        line.secret = Some(Secret(format!("rtmp_playpath={}\n", key.reveal())));
    }
    let server = if url.is_tls() {
        format!("{}:{}", bracketed(host), url.port())
    } else {
        address.to_string()
    };
    line.with([format!("{scheme}://{server}/{app}")])
}

/// The channel's pictures, which have its shape, in the size and at the rate of `profile`.
fn pictures(profile: &Profile) -> String {
    let (width, height) = (profile.resolution.width(), profile.resolution.height());
    let (num, den) = (profile.frame_rate.num(), profile.frame_rate.den());
    format!("fps={num}/{den},scale={width}:{height},setsar=1,format=yuv420p")
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// The port as servers expect it: none where it is the usual one.
fn port(url: &ServerUrl) -> String {
    let usual = if url.is_tls() { 443 } else { 1935 };
    match url.port() {
        port if port == usual => String::new(),
        port => format!(":{port}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use playout_domain::{BitsPerSecond, FrameRate, LowerRungs, Resolution};

    fn line(url: &str, key: Option<&str>) -> (Invocation, String) {
        encoded(url, key, None)
    }

    fn encoded(url: &str, key: Option<&str>, encode: Option<&Profile>) -> (Invocation, String) {
        let url = ServerUrl::parse(url, true).unwrap();
        let key = key.map(|key| StreamKey::new(key).unwrap());
        let line = publish(&Publish {
            url: &url,
            address: "192.0.2.7:1935".parse().unwrap(),
            key: key.as_ref(),
            authorities: Path::new("/etc/ca.pem"),
            variant: 0,
            encode,
        });
        let args = line.args.iter().map(|arg| arg.to_string_lossy());
        let text = args.collect::<Vec<_>>().join(" ");
        (line, text)
    }

    #[test]
    fn the_key_is_in_no_argument_and_is_never_printed() {
        let (line, text) = line("rtmp://live.example.com/app", Some("live_sesame"));
        assert!(!text.contains("sesame"), "{text}");
        assert!(!format!("{line:?}").contains("sesame"));
        assert_eq!(line.secret.unwrap().reveal(), "rtmp_playpath=live_sesame\n");
    }

    #[test]
    fn the_checked_address_is_connected_to_and_the_name_is_what_the_server_sees() {
        let (_, text) = line("rtmp://live.example.com/app/x?y=z", Some("k"));
        assert!(text.contains("-rtmp_app app/x?y=z -rtmp_tcurl rtmp://live.example.com/app/x?y=z"));
        assert!(text.ends_with("rtmp://192.0.2.7:1935/app/x?y=z"), "{text}");
    }

    #[test]
    fn every_other_attempt_has_a_send_buffer_of_its_own() {
        let url = ServerUrl::parse("rtmp://live.example.com/app", true).unwrap();
        let buffered = |variant| {
            let line = publish(&Publish {
                url: &url,
                address: "192.0.2.7:1935".parse().unwrap(),
                key: None,
                authorities: Path::new("/etc/ca.pem"),
                variant,
                encode: None,
            });
            line.args.iter().any(|arg| arg == "-send_buffer_size")
        };
        assert_eq!([0, 1, 2, 3].map(buffered), [false, true, false, true]);
    }

    #[test]
    fn an_encrypted_connection_is_verified_against_the_name() {
        let (_, text) = line("rtmps://live.example.com:8443/app", Some("k"));
        assert!(text.contains("-tls_verify 1 -ca_file /etc/ca.pem"));
        assert!(
            text.contains("-rtmp_tcurl rtmps://live.example.com:8443/app"),
            "{text}"
        );
        assert!(
            text.ends_with("rtmps://live.example.com:8443/app"),
            "{text}"
        );
    }

    #[test]
    fn without_a_key_the_path_names_the_stream() {
        let (line, text) = line("rtmp://live.example.com/app/stream", None);
        assert_eq!(line.secret, None);
        assert!(!text.contains("-rtmp_app"), "{text}");
        assert!(text.ends_with("/app/stream"), "{text}");
    }

    #[test]
    fn a_stream_is_copied_unless_something_else_is_asked_for() {
        let (_, text) = line("rtmp://live.example.com/app", Some("k"));
        assert!(text.contains("-c copy") && !text.contains("-vf"), "{text}");
        let profile = Profile {
            resolution: Resolution::P480,
            frame_rate: FrameRate::F29_97,
            video_bitrate: BitsPerSecond(900_000),
            audio_bitrate: BitsPerSecond(96_000),
            lower: LowerRungs::NONE,
            treatment: playout_domain::Treatment::PLAIN,
        };
        let (_, text) = encoded("rtmp://live.example.com/app", Some("k"), Some(&profile));
        for part in [
            "-vf fps=30000/1001,scale=854:480,setsar=1,format=yuv420p",
            "-preset veryfast -forced-idr 1 -b:v:0 900000 -maxrate:v:0 900000 -bufsize:v:0 1800000",
            ":open-gop=0:",
            ":keyint=60:min-keyint=60:",
            "-c:a aac -ar 48000 -ac 2 -b:a 96000 -f flv",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("-c copy"), "{text}");
    }
}
