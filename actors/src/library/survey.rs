//! Where a file is damaged: decoded once more, by itself, when preparing it gave reason to.

use playout_domain::damage::Damage;
use playout_domain::resources::Allowance;
use playout_media::ffmpeg;
use playout_media::survey::Survey;

use super::Inner;
use super::known::Findings;
use super::orders::Order;

impl Inner {
    /// Where the file of an order is damaged, as far as that can be found out.
    pub(super) async fn survey(
        &self,
        order: &Order,
        input: &std::path::Path,
        findings: &Findings,
    ) -> Vec<Damage> {
        let mut survey = Survey::new(&findings.probed);
        let invocation = ffmpeg::survey(input, &findings.probed);
        let label = format!("survey of {}", order.media);
        // However it ended: what it has said counts.
        let listened = self.listen(invocation, label, Allowance::default(), |line| {
            survey.line(line);
        });
        if let Err(error) = listened.await {
            tracing::warn!(media = %order.media, %error, "where it is damaged was not found out to the end");
        }
        survey.finish()
    }
}
