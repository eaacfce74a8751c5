//! Where viewers see what a destination shows: an HLS manifest, or an RTMP stream to play.

use super::http_url::{HttpUrl, InvalidHttpUrl};
use super::server_url::{InvalidServerUrl, ServerUrl};

/// A public playback URL of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PlaybackUrl {
    /// An HLS playlist, master or media: `http://` or `https://`.
    Hls(HttpUrl),
    /// A stream to play: `rtmp://` or `rtmps://`, app and name in its path.
    Rtmp(ServerUrl),
}

/// A text that is no playback URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaybackUrl {
    /// It is no URL that can be read.
    #[error(
        "playbackUrl has to begin with http:// or https:// (an HLS manifest), rtmp:// or rtmps://"
    )]
    Scheme,
    /// Something else is wrong with it.
    #[error("playbackUrl {0}")]
    Url(InvalidHttpUrl),
    /// It names no stream.
    #[error("playbackUrl names no stream; it has to end like rtmp://host/app/stream")]
    Stream,
}

impl PlaybackUrl {
    /// Reads `text`; addresses that are not public only when `allow_private`.
    ///
    /// # Errors
    /// [`InvalidPlaybackUrl`], the first thing wrong with it.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, InvalidPlaybackUrl> {
        let scheme = text.split("://").next().unwrap_or_default();
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => HttpUrl::parse(text, allow_private)
                .map(Self::Hls)
                .map_err(InvalidPlaybackUrl::Url),
            "rtmp" | "rtmps" => {
                let server = ServerUrl::parse(text, allow_private).map_err(of_server)?;
                let mut parts = server
                    .app()
                    .split('?')
                    .next()
                    .unwrap_or_default()
                    .split('/');
                match parts.next().zip(parts.next()) {
                    Some((_, name)) if !name.is_empty() => Ok(Self::Rtmp(server)),
                    _ => Err(InvalidPlaybackUrl::Stream),
                }
            }
            _ => Err(InvalidPlaybackUrl::Scheme),
        }
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Hls(url) => url.as_str(),
            Self::Rtmp(url) => url.as_str(),
        }
    }
}

/// The same trouble, told of the other field.
fn of_server(wrong: InvalidServerUrl) -> InvalidPlaybackUrl {
    InvalidPlaybackUrl::Url(match wrong {
        InvalidServerUrl::TooLong(length) => InvalidHttpUrl::TooLong(length),
        InvalidServerUrl::Character => InvalidHttpUrl::Character,
        InvalidServerUrl::Credentials => InvalidHttpUrl::Credentials,
        InvalidServerUrl::Host => InvalidHttpUrl::Host,
        InvalidServerUrl::Port => InvalidHttpUrl::Port,
        InvalidServerUrl::Fragment => InvalidHttpUrl::Fragment,
        InvalidServerUrl::NotPublic(host) => InvalidHttpUrl::NotPublic(host),
        InvalidServerUrl::App => return InvalidPlaybackUrl::Stream,
        InvalidServerUrl::Scheme => return InvalidPlaybackUrl::Scheme,
    })
}
