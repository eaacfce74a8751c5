//! Random faults, each the same for the same seed; what does not end by itself is mended a little later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::daemon::{signal_process, until};
use crate::numbers::Numbers;
use crate::proxy::Manner;
use crate::servers::Server;
use crate::stage::{CHANNELS, Stage};

/// What is done; kinds that stand more than once come more often.
const KINDS: [Kind; 24] = [
    Kind::KillSource,
    Kind::KillSource,
    Kind::HangSource,
    Kind::KillPush,
    Kind::KillPush,
    Kind::HangPush,
    Kind::Network,
    Kind::Network,
    Kind::Network,
    Kind::Network,
    Kind::Network,
    Kind::PlatformKilled,
    Kind::PlatformFrozen,
    Kind::PublisherDropped,
    Kind::Store(Server::Postgres, "KILL"),
    Kind::Store(Server::Postgres, "STOP"),
    Kind::Store(Server::Postgres, "INT"),
    Kind::Store(Server::Redis, "KILL"),
    Kind::Store(Server::Redis, "STOP"),
    Kind::Store(Server::Redis, "TERM"),
    Kind::Skip,
    Kind::Restart,
    Kind::Stop,
    Kind::OutputOff,
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    KillSource,
    HangSource,
    KillPush,
    HangPush,
    Network,
    PlatformKilled,
    PlatformFrozen,
    PublisherDropped,
    Store(Server, &'static str),
    Skip,
    Restart,
    Stop,
    OutputOff,
}

/// What ends a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    Network(usize),
    PlatformRuns(usize),
    PlatformThaws(usize),
    Start(usize),
    OutputOn(usize, usize),
}

/// See the module's head.
pub struct Faults {
    numbers: Numbers,
    due: Vec<(Instant, Mend)>,
    counted: BTreeMap<String, u32>,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self {
            numbers: Numbers::seeded(seed),
            due: Vec::new(),
            counted: BTreeMap::new(),
        }
    }

    /// How often each was done.
    pub fn counted(&self) -> BTreeMap<String, u32> {
        self.counted.clone()
    }

    /// Does one thing, and mends for a few seconds what is due.
    pub fn inject(&mut self, stage: &mut Stage) {
        let kind = KINDS[self.numbers.below(KINDS.len())];
        if let Some(done) = self.perform(kind, stage) {
            eprintln!("soak: {} {done}", jiff::Timestamp::now());
            let kind = done.split(" of ").next().unwrap_or(&done).to_owned();
            *self.counted.entry(kind).or_default() += 1;
        }
        let wait = Duration::from_millis(300 + self.numbers.below(2_700) as u64);
        let begun = Instant::now();
        while begun.elapsed() < wait {
            self.mend(stage, Instant::now());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Mends everything now.
    pub fn mend_all(&mut self, stage: &mut Stage) {
        let soon = Instant::now() + Duration::from_secs(3600);
        until("everything is mended", Duration::from_secs(120), || {
            self.mend(stage, soon);
            self.due.is_empty()
        });
    }

    /// `kill -9` of the daemon; another begins within a few seconds.
    pub fn kill_daemon(&mut self, stage: &mut Stage) {
        let after = Duration::from_millis(self.numbers.below(5_000) as u64);
        eprintln!("soak: {} daemon KILL for {after:?}", jiff::Timestamp::now());
        *self.counted.entry("daemon KILL".to_owned()).or_default() += 1;
        stage.kill_daemon(after);
    }

    fn mend(&mut self, stage: &mut Stage, now: Instant) {
        for (at, mend) in std::mem::take(&mut self.due) {
            let done = at <= now
                && match mend {
                    Mend::Network(n) => {
                        stage.platforms[n].proxy.set(Manner::Pass);
                        true
                    }
                    Mend::PlatformRuns(n) => {
                        stage.platforms[n].receiver.start_again();
                        true
                    }
                    Mend::PlatformThaws(n) => {
                        stage.platforms[n].receiver.thaw();
                        true
                    }
                    Mend::Start(n) => stage.order(n, "start"),
                    Mend::OutputOn(n, m) => stage.switch(n, m, true),
                };
            if !done {
                self.due.push((at, mend));
            }
        }
    }

    fn is_due(&self, wanted: impl Fn(&Mend) -> bool) -> bool {
        self.due.iter().any(|(_, mend)| wanted(mend))
    }

    fn after(&mut self, most: u64, mend: Mend) {
        let time = Duration::from_millis(500 + self.numbers.below(most as usize * 1_000) as u64);
        self.due.push((Instant::now() + time, mend));
    }

    fn one_of(&mut self, pids: &[u32]) -> Option<u32> {
        (!pids.is_empty()).then(|| pids[self.numbers.below(pids.len())])
    }

    /// Answers what was done: "kind of thing"; nothing where there was nothing to do it to.
    fn perform(&mut self, kind: Kind, stage: &mut Stage) -> Option<String> {
        let n = self.numbers.below(CHANNELS);
        let m = self.numbers.below(stage.platforms.len());
        let nginx = |mend: &Mend| *mend == Mend::PlatformRuns(m) || *mend == Mend::PlatformThaws(m);
        match kind {
            Kind::KillSource | Kind::HangSource | Kind::KillPush | Kind::HangPush => {
                let [sources, pushes] = stage.processes(n);
                let (what, pids) = match kind {
                    Kind::KillSource | Kind::HangSource => ("source", sources),
                    _ => ("push", pushes),
                };
                let signal = match kind {
                    Kind::KillSource | Kind::KillPush => "KILL",
                    _ => "STOP",
                };
                signal_process(self.one_of(&pids)?, signal);
                Some(format!("{what} {signal} of channel {n}"))
            }
            Kind::Network => {
                if self.is_due(|mend| *mend == Mend::Network(m)) {
                    return None;
                }
                let (name, manner) = match self.numbers.below(5) {
                    0 => ("refuse", Manner::Refuse),
                    1 => ("reset", Manner::Reset),
                    2 => ("stall", Manner::Stall),
                    3 => ("throttle", Manner::Throttle(10_000)),
                    _ => ("delay", Manner::Delay(Duration::from_millis(800))),
                };
                stage.platforms[m].proxy.set(manner);
                self.after(12, Mend::Network(m));
                Some(format!("network {name} of platform {m}"))
            }
            Kind::PlatformKilled | Kind::PlatformFrozen | Kind::PublisherDropped
                if self.is_due(nginx) =>
            {
                None
            }
            Kind::PlatformKilled => {
                stage.platforms[m].receiver.kill();
                self.after(8, Mend::PlatformRuns(m));
                Some(format!("nginx KILL of platform {m}"))
            }
            Kind::PlatformFrozen => {
                stage.platforms[m].receiver.freeze();
                self.after(12, Mend::PlatformThaws(m));
                Some(format!("nginx STOP of platform {m}"))
            }
            Kind::PublisherDropped => {
                let dropped = stage.platforms[m]
                    .receiver
                    .drop_publisher(&format!("key{n}"));
                dropped.then(|| format!("nginx drops publisher of channel {n}"))
            }
            Kind::Store(server, signal) => {
                server.signal(&stage.daemon, signal);
                Some(format!("{server:?} {signal}"))
            }
            Kind::Skip | Kind::Restart => {
                let operation = if matches!(kind, Kind::Skip) {
                    "skip"
                } else {
                    "restart"
                };
                let taken = stage.order(n, operation);
                taken.then(|| format!("order {operation} of channel {n}"))
            }
            Kind::Stop => {
                if self.is_due(|mend| *mend == Mend::Start(n)) || !stage.order(n, "stop") {
                    return None;
                }
                self.after(15, Mend::Start(n));
                Some(format!("order stop, start of channel {n}"))
            }
            Kind::OutputOff => {
                if self.is_due(|mend| *mend == Mend::OutputOn(n, m)) || !stage.switch(n, m, false) {
                    return None;
                }
                self.after(10, Mend::OutputOn(n, m));
                Some(format!("output off, on of channel {n}"))
            }
        }
    }
}
