//! Where a file is damaged: decoded once more, by itself, when preparing it gave reason to.

use playout_domain::damage::Damage;
use playout_media::ffmpeg;
use playout_media::survey::Survey;
use tokio::time::timeout;

use super::Inner;
use super::known::Findings;
use super::orders::Order;
use crate::process::{Limits, Priority, SpawnError, Stderr};

impl Inner {
    /// Where the file of an order is damaged, as far as that can be found out.
    pub(super) async fn survey(
        &self,
        order: &Order,
        input: &std::path::Path,
        findings: &Findings,
    ) -> Vec<Damage> {
        let mut survey = Survey::new(&findings.probed);
        match self.read_survey(order, input, findings, &mut survey).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(media = %order.media, %error, "where it is damaged was not found out to the end");
            }
        }
        survey.finish()
    }

    async fn read_survey(
        &self,
        order: &Order,
        input: &std::path::Path,
        findings: &Findings,
        survey: &mut Survey,
    ) -> Result<(), Unfinished> {
        let invocation = ffmpeg::survey(input, &findings.probed);
        // It writes nothing at all.
        let limits = Limits {
            file_size: Some(0),
            ..Limits::default()
        };
        let spec = self
            .launcher
            .spec(invocation, format!("survey of {}", order.media))
            .stderr(Stderr::Lines)
            .priority(Priority::Background)
            .limits(limits);
        let mut process = self.launcher.spawn(spec).await?;
        let Some(mut lines) = process.take_lines() else {
            return Err(Unfinished::Silent);
        };
        while let Some(line) = timeout(self.hung, lines.recv())
            .await
            .map_err(|_| Unfinished::Hung)?
        {
            survey.line(&line);
        }
        // However it ended: what it has said counts.
        process.wait().await;
        Ok(())
    }
}

/// Why a survey did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Unfinished {
    #[error(transparent)]
    NotStarted(#[from] SpawnError),
    #[error("FFmpeg was started without its messages")]
    Silent,
    #[error("FFmpeg makes no progress")]
    Hung,
}
