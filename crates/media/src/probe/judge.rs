//! Decides whether a probed file can be played.

use std::time::Duration;

use playout_domain::Details;
use playout_domain::media::ProbeSummary;

use super::{Probed, Refusal};

/// Nothing longer is played.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// No picture wider or higher is decoded.
const LARGEST: u32 = 8192;

/// What is known of a file that can be played.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What people want to know of it.
    pub summary: ProbeSummary,
    /// How long it is; zero when the file does not say.
    pub duration: Duration,
    /// What the file says about itself.
    pub details: Details,
}

/// Whether the file can be played.
///
/// # Errors
/// The reason why it cannot.
pub fn judge(probed: &Probed) -> Result<Judged, Refusal> {
    let Some(video) = &probed.video else {
        return Err(if probed.audio.is_some() {
            Refusal::NoVideo
        } else {
            Refusal::NoStreams
        });
    };
    if is_image(probed) {
        return Err(Refusal::Image);
    }
    if video.encrypted {
        return Err(Refusal::Encrypted);
    }
    if video.codec.is_empty() {
        return Err(Refusal::UnknownCodec);
    }
    if video.width == 0 || video.height == 0 {
        return Err(Refusal::NoPicture);
    }
    if video.width > LARGEST || video.height > LARGEST {
        return Err(Refusal::TooLarge(video.width, video.height));
    }
    let duration = probed.length().unwrap_or_default();
    if duration > LONGEST {
        return Err(Refusal::TooLong(duration.as_secs() / 3600));
    }
    Ok(Judged {
        summary: probed.summary(),
        duration,
        details: probed.details.clone(),
    })
}

/// Image demuxers are called `png_pipe` and the like; a GIF is an image unless it moves.
fn is_image(probed: &Probed) -> bool {
    const BLINK: Duration = Duration::from_millis(200);
    match probed.format.as_str() {
        "gif" => probed.length().is_none_or(|length| length <= BLINK),
        "yuv4mpegpipe" => false,
        format => format.ends_with("_pipe"),
    }
}
