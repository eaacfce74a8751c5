//! A look at what viewers are shown: the playlist of an HLS stream, or an RTMP stream that is played for a few
//! seconds.
//!
//! Bounded in time, bytes, redirects and messages. Every host, that of a redirect and that of a variant too, is
//! looked up and checked before it is connected to. Sentences name neither paths nor what a server said.

mod fetch;
mod hls;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use playout_domain::destination::{HttpUrl, PlaybackUrl, ServerUrl};
use playout_domain::far_end::Look;
use tokio::time::timeout;

use crate::address::Reach;
use crate::rtmp::{Play, Playing, play};
use crate::tls::TrustRoots;
use fetch::{FetchError, Fetcher, join};
use hls::Manifest;

/// How long a look may take in all.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Looks at playback URLs; clones share everything.
#[derive(Clone)]
pub struct Looker {
    fetcher: Fetcher,
    roots: TrustRoots,
    reach: Reach,
    limit: Duration,
}

impl Looker {
    /// Trusts these authorities, reaches so far, and takes [`TIME_LIMIT`] at most.
    pub fn new(roots: &TrustRoots, reach: Reach) -> Self {
        Self {
            fetcher: Fetcher::new(roots, reach),
            roots: roots.clone(),
            reach,
            limit: TIME_LIMIT,
        }
    }

    /// The same with another limit.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Looks once.
    pub async fn look(&self, url: &PlaybackUrl) -> Look {
        match url {
            PlaybackUrl::Hls(url) => match timeout(self.limit, self.playlist(url)).await {
                Ok(look) => look,
                Err(_) => {
                    let seconds = self.limit.as_secs_f64();
                    Look::Unknown(format!("the playlist did not come within {seconds} s"))
                }
            },
            PlaybackUrl::Rtmp(server) => self.stream(server).await,
        }
    }

    async fn playlist(&self, url: &HttpUrl) -> Look {
        match self.media_playlist(url).await {
            Ok(look) => look,
            Err(error) if error.is_gone() => Look::Still(error.to_string()),
            Err(error) => Look::Unknown(error.to_string()),
        }
    }

    async fn media_playlist(&self, url: &HttpUrl) -> Result<Look, FetchError> {
        let master = self.fetcher.fetch(url).await?;
        let variant = match hls::read(&master.body) {
            Manifest::Media(look) => return Ok(look),
            Manifest::Master(variant) => variant,
        };
        let variant = join(&master.url, &variant, self.reach)?;
        let media = self.fetcher.fetch(&variant).await?;
        Ok(match hls::read(&media.body) {
            Manifest::Media(look) => look,
            Manifest::Master(_) => {
                Look::Unknown("the master playlist leads to another master playlist".to_owned())
            }
        })
    }

    async fn stream(&self, server: &ServerUrl) -> Look {
        let asked = Play {
            server,
            reach: self.reach,
            roots: &self.roots,
            limit: self.limit,
        };
        match play(&asked).await {
            Ok(Playing::Moving) => Look::Moving,
            Ok(Playing::Still(why)) => Look::Still(why.to_owned()),
            Err(refusal) => Look::Unknown(refusal.detail),
        }
    }
}

impl fmt::Debug for Looker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looker")
            .field("reach", &self.reach)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
