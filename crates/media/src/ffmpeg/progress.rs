//! Reads what `-progress` writes: `key=value` lines, a block of them at a time, each block closed by
//! `progress=continue` or `progress=end`.

use std::time::Duration;

/// How far an encoder has come, as of one block.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Report {
    /// Frames encoded, or copied.
    pub frame: u64,
    /// How much of the media it has come through; nothing when not known yet.
    pub time: Option<Duration>,
    /// Bytes written to the output.
    pub size: u64,
    /// Media encoded per time taken; nothing when not known yet.
    pub speed: Option<f64>,
    /// Whether this is the last block: the encoder ends.
    pub ended: bool,
}

/// Gathers lines into reports.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    block: Report,
}

impl Progress {
    /// Takes one line; answers the report that it completes. Lines of other kinds change nothing.
    pub fn line(&mut self, line: &str) -> Option<Report> {
        let (key, value) = line.trim().split_once('=')?;
        let value = value.trim();
        match key {
            "frame" => self.block.frame = value.parse().unwrap_or(self.block.frame),
            "out_time_us" => {
                self.block.time = value.parse().ok().map(Duration::from_micros);
            }
            "total_size" => self.block.size = value.parse().unwrap_or(self.block.size),
            "speed" => {
                self.block.speed = value.strip_suffix('x').and_then(|x| x.trim().parse().ok())
            }
            "progress" => {
                self.block.ended = value == "end";
                return Some(self.block);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_report_and_noise_is_none() {
        let mut progress = Progress::default();
        let said = "frame=75\nfps=0.00\nbitrate=N/A\nout_time_us=N/A\ntotal_size=4096\n[mpegts @ 0x1] frame=9x\nspeed=N/A\nprogress=continue";
        let reports: Vec<_> = said
            .lines()
            .filter_map(|line| progress.line(line))
            .collect();
        assert_eq!(
            reports,
            [Report {
                frame: 75,
                time: None,
                size: 4096,
                speed: None,
                ended: false
            }]
        );
        let reports: Vec<_> = [
            "frame=150",
            "out_time_us=6000000",
            "speed=5.01x",
            "progress=end",
        ]
        .iter()
        .filter_map(|l| progress.line(l))
        .collect();
        assert_eq!(
            reports,
            [Report {
                frame: 150,
                time: Some(Duration::from_secs(6)),
                size: 4096,
                speed: Some(5.01),
                ended: true
            }]
        );
    }
}
