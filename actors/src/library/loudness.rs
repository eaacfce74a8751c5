//! How loud items are: measured once, before they are prepared, and what is done so that all come out alike.
//!
//! Measuring is an audio-only run of FFmpeg. Where the peaks of a sound have to be limited, further ones try how much
//! gain it takes. What was measured is kept with the item, until its file is another.

use std::path::Path;

use playout_domain::Treatment;
use playout_domain::loudness::{Found, Gain, Heard, Loudness, Measured};
use playout_media::ffmpeg::{self, Progress};

use super::known::{Findings, Pace};
use super::listening::{Listener, Unheard};
use super::meter::{Telling, percent};
use super::orders::Order;
use super::{Inner, Original};

impl Original {
    /// What is done to its sound for a channel that treats it as `wanted`; nothing as long as it was not measured.
    pub fn gain(&self, wanted: &Treatment) -> Gain {
        let streams = self.probed.sound_streams(&wanted.languages);
        let known = self.loudness.iter().find(|known| known.streams == streams);
        known.map_or(Gain::NONE, |known| known.gain(wanted.loudness))
    }
}

impl Inner {
    /// What is done to the sound of an order's item. It is measured where that was not done yet; where that fails, the
    /// sound stays as it is.
    pub(super) async fn gain(&self, order: &Order, input: &Path, findings: &Findings) -> Gain {
        let Treatment {
            loudness: wanted,
            languages,
            ..
        } = &order.profile.treatment;
        let (wanted, streams) = (*wanted, findings.probed.sound_streams(languages));
        if wanted == Loudness::AsItIs || streams.is_empty() {
            return Gain::NONE;
        }
        let known = self.read(|catalogue| {
            let item = catalogue.item(order.media)?;
            item.loudness
                .iter()
                .find(|known| known.streams == streams)
                .cloned()
        });
        let measured = match known {
            Some(known) => Ok(known),
            None => self.measured(order, input, findings, streams).await,
        };
        let gain = match measured {
            Ok(measured) => self.found(order, input, findings, measured, wanted).await,
            Err(error) => Err(error),
        };
        gain.unwrap_or_else(|error| {
            tracing::warn!(media = %order.media, %error, "how loud it is was not found out; its sound stays as it is");
            Gain::NONE
        })
    }

    async fn measured(
        &self,
        order: &Order,
        input: &Path,
        findings: &Findings,
        streams: Vec<u32>,
    ) -> Result<Measured, Unmeasured> {
        let heard = self.hear(order, input, findings, &Gain::NONE).await?;
        let measured = Measured {
            streams,
            heard,
            found: Vec::new(),
        };
        self.remember(order, |loudness| {
            loudness.retain(|known| known.streams != measured.streams);
            loudness.push(measured.clone());
        });
        Ok(measured)
    }

    /// The gain that brings a sound to what is wanted; where that has to be found by trying, it is.
    async fn found(
        &self,
        order: &Order,
        input: &Path,
        findings: &Findings,
        mut measured: Measured,
        wanted: Loudness,
    ) -> Result<Gain, Unmeasured> {
        if let Some(mut search) = measured.search(wanted) {
            let found: Found = loop {
                let heard = self.hear(order, input, findings, &search.next()).await?;
                if let Some(found) = search.heard(&heard) {
                    break found;
                }
            };
            measured.found.push(found);
            self.remember(order, |loudness| {
                let known = loudness
                    .iter_mut()
                    .find(|known| known.streams == measured.streams);
                if let Some(known) = known {
                    known.found.push(found);
                }
            });
        }
        Ok(measured.gain(wanted))
    }

    /// Keeps what was measured with the item of an order, unless that is another by now.
    fn remember(&self, order: &Order, note: impl FnOnce(&mut Vec<Measured>)) {
        self.write(|catalogue| {
            if catalogue.is_wanted(order) {
                catalogue.change(order.media, |item| note(&mut item.loudness));
            }
        });
        self.work.notify_one();
    }

    /// Listens to all of a file's sound after a gain.
    async fn hear(
        &self,
        order: &Order,
        input: &Path,
        findings: &Findings,
        gain: &Gain,
    ) -> Result<Heard, Unmeasured> {
        let languages = &order.profile.treatment.languages;
        let invocation = ffmpeg::measure(input, &findings.probed, languages, gain);
        let invocation = invocation.ok_or(Unmeasured::NoSound)?;
        let mut listener = Listener::default();
        let label = format!("measuring {}", order.media);
        let allowance = self.allowances.prepare;
        let length = findings.probed.length().map(|length| length.as_secs_f64());
        let (mut progress, mut telling) = (Progress::default(), Telling::default());
        let heard = |line: &str| {
            listener.line(line);
            let time = progress.line(line).and_then(|report| report.time);
            if let (Some(time), Some(length)) = (time, length.filter(|length| *length > 0.0)) {
                let pace = Pace {
                    measured: Some(percent(time.as_secs_f64() / length)),
                    ..Pace::default()
                };
                self.report(order, pace, &mut telling);
            }
        };
        let exit = self.listen(invocation, label, allowance, heard).await?;
        let reason = listener.reason().unwrap_or_default().to_owned();
        listener
            .heard()
            .filter(|_| exit.success())
            .ok_or_else(|| Unmeasured::Failed(format!("{exit}: {reason}")))
    }
}

/// Why a sound was not measured.
#[derive(Debug, thiserror::Error)]
enum Unmeasured {
    #[error(transparent)]
    Unheard(#[from] Unheard),
    #[error("it has no sound")]
    NoSound,
    #[error("FFmpeg {0}")]
    Failed(String),
}
