//! What a soak found, in Markdown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::follower::Followed;
use crate::gauges::Gauges;

/// See the module's head.
pub struct Report {
    pub seed: u64,
    pub took: Duration,
    /// How often each fault was injected.
    pub faults: BTreeMap<String, u32>,
    pub gauges: Gauges,
    pub channels: Vec<Followed>,
    /// Segments that came more than a second late, since the last start of the daemon.
    pub late: u64,
    /// What was there after the end.
    pub left: Vec<String>,
}

impl Report {
    /// Whether anything was wrong.
    pub fn failed(&self) -> bool {
        !self.wrong().is_empty()
    }

    fn wrong(&self) -> Vec<String> {
        let seen = self.channels.iter().enumerate().flat_map(|(n, channel)| {
            let of = move |fault: &String| format!("channel {n}: {fault}");
            channel.faults.iter().map(of)
        });
        let all = seen.chain(self.gauges.wrong());
        all.chain(self.left.iter().cloned()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.took.as_secs_f64() / 60.0;
        let injected: u32 = self.faults.values().sum();
        writeln!(
            f,
            "{minutes:.1} minutes, `SEED={}`, {injected} faults:\n",
            self.seed
        )?;
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(kind, n)| format!("{n} × {kind}"))
            .collect();
        writeln!(f, "{}.\n", faults.join(", "))?;
        writeln!(
            f,
            "| channel | segments | frames | off air, by order or kill | breaks after it | longest wait for a segment | pictures decoded | of fallback and slate | skips | cuts | faults |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        for (n, c) in self.channels.iter().enumerate() {
            let (p, wait) = (&c.pictures, c.longest_wait.as_secs_f64());
            writeln!(
                f,
                "| {n} | {} | {} | {} | {} | {wait:.1} s | {} | {} | {} | {} | {} |",
                c.segments,
                c.frames,
                c.times_off,
                c.breaks,
                p.seen,
                p.stand_in,
                c.skips,
                p.cuts,
                c.faults.len()
            )?;
        }
        writeln!(
            f,
            "\nSegments more than a second late in the last life of the daemon: {}.\n",
            self.late
        )?;
        writeln!(
            f,
            "| calm at | anonymous memory | resident | descriptors | threads | processes |\n|---|---|---|---|---|---|"
        )?;
        for calm in &self.gauges.calms {
            writeln!(
                f,
                "| {:.1} min{} | {} KiB | {} KiB | {} | {} | {} |",
                calm.at.as_secs_f64() / 60.0,
                if calm.warm { "" } else { " (warming up)" },
                calm.anonymous,
                calm.resident,
                calm.descriptors,
                calm.threads,
                calm.processes
            )?;
        }
        match self.gauges.growth() {
            Some(grown) => writeln!(f, "\nMemory grows by {grown:.0} KiB in 10 minutes.")?,
            None => writeln!(f, "\nToo short to judge memory.")?,
        }
        let wrong = self.wrong();
        writeln!(
            f,
            "\nWrong: {}.",
            if wrong.is_empty() {
                "nothing".to_owned()
            } else {
                wrong.len().to_string()
            }
        )?;
        wrong
            .iter()
            .take(100)
            .try_for_each(|fault| writeln!(f, "- {fault}"))
    }
}
