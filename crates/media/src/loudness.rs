//! Reads what FFmpeg's `ebur128` tells at the end of a run.

use playout_domain::loudness::Heard;

/// What the meter tells of what is quieter than it hears at all, in LUFS.
const NOTHING: f64 = -70.0;

/// Gathers what the meter tells.
///
/// A sound that changes its form on the way is metered piece by piece; then the loudest counts.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    told: Option<Heard>,
    /// The piece that is being told of.
    piece: Option<Heard>,
}

impl Meter {
    /// Takes one line of FFmpeg's messages; most are about something else.
    pub fn line(&mut self, line: &str) {
        if line.contains("Parsed_ebur128_") && line.trim_end().ends_with("Summary:") {
            self.end();
            self.piece = Some(Heard {
                integrated: None,
                range: 0.0,
                true_peak: None,
            });
            return;
        }
        let Some(piece) = &mut self.piece else {
            return;
        };
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let number = value.split_whitespace().next();
        let number = number.and_then(|text| text.parse().ok());
        let number = number.filter(|number: &f64| number.is_finite());
        match name.trim() {
            "I" => piece.integrated = number.filter(|loudness| *loudness > NOTHING),
            "LRA" => piece.range = number.unwrap_or(0.0),
            "Peak" => {
                piece.true_peak = number;
                self.end();
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        let Some(piece) = self.piece.take() else {
            return;
        };
        let Some(told) = &mut self.told else {
            self.told = Some(piece);
            return;
        };
        let peak = |one: &Heard| one.true_peak.unwrap_or(f64::NEG_INFINITY);
        let highest = if peak(&piece) > peak(told) {
            piece.true_peak
        } else {
            told.true_peak
        };
        if piece.integrated > told.integrated {
            *told = piece;
        }
        told.true_peak = highest;
    }

    /// What was heard; nothing where the meter has not come to its end.
    pub fn heard(self) -> Option<Heard> {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(said: &str) -> Option<Heard> {
        let mut meter = Meter::default();
        said.lines().for_each(|line| meter.line(line));
        meter.heard()
    }

    fn summary(integrated: &str, range: &str, peak: &str) -> String {
        format!(
            "[Parsed_ebur128_11 @ 0x55bd] [info] Summary:\n\n  Integrated loudness:\n    I:         {integrated} LUFS\n    \
             Threshold: -31.4 LUFS\n\n  Loudness range:\n    LRA:        {range} LU\n    Threshold: -41.4 LUFS\n    \
             LRA low:   -41.4 LUFS\n    LRA high:  -21.4 LUFS\n\n  True peak:\n    Peak:      {peak} dBFS\n"
        )
    }

    #[test]
    fn a_summary_is_read_and_nothing_else() {
        let said = format!(
            "[info]     title           : I: -1.0 LUFS\n{}[aac @ 0x5] [info] Qavg: 202.8\nI: -3.0",
            summary("-21.4", "20.1", "-18.1")
        );
        let wanted = Heard {
            integrated: Some(-21.4),
            range: 20.1,
            true_peak: Some(-18.1),
        };
        assert_eq!(heard(&said), Some(wanted));
        assert_eq!(heard("[error] No such file or directory"), None);
        let cut_short: String = summary("-21.4", "20.1", "-18.1").lines().take(5).collect();
        assert_eq!(heard(&cut_short), None);
    }

    #[test]
    fn silence_has_no_loudness() {
        let silence = heard(&summary("-70.0", "0.0", "-inf"));
        let wanted = Heard {
            integrated: None,
            range: 0.0,
            true_peak: None,
        };
        assert_eq!(silence, Some(wanted));
    }

    #[test]
    fn of_several_pieces_the_loudest_counts() {
        let pieces = [("-20.0", "-9.0"), ("-15.0", "-12.0"), ("-70.0", "-inf")];
        let said: String = pieces.map(|(i, peak)| summary(i, "3.0", peak)).concat();
        let all = heard(&said);
        assert_eq!(
            all.map(|all| (all.integrated, all.true_peak)),
            Some((Some(-15.0), Some(-9.0)))
        );
    }
}
