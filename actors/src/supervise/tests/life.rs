//! Real actors under a real supervisor, on a paused clock: that ractor's timers follow it is what
//! these tests stand on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::supervise::*;

const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order; can be waited for.
#[derive(Clone)]
struct Log(Arc<watch::Sender<Vec<String>>>);

impl Log {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    fn add(&self, what: impl Into<String>) {
        self.0.send_modify(|log| log.push(what.into()));
    }

    fn all(&self) -> String {
        self.0.borrow().join(" ")
    }

    /// Waits until the log is `expected`. The clock is paused, so the bound costs no time: it
    /// comes when nothing else is left to happen before it.
    async fn until(&self, expected: &str) {
        let mut log = self.0.subscribe();
        let found = log.wait_for(|log| log.join(" ") == expected);
        let found = tokio::time::timeout(Duration::from_secs(3600), found)
            .await
            .is_ok();
        assert!(found, "{:?} is not {expected:?}", self.all());
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Do {
    Panic,
    Fail,
    End,
    Hang,
}

/// Logs its life; does as it is told.
#[derive(Clone)]
struct Puppet {
    name: &'static str,
    log: Log,
    /// Starts fail while this is above zero; each takes one away.
    bad_starts: Arc<Mutex<u32>>,
}

impl Actor for Puppet {
    type Msg = Do;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Do>, (): ()) -> Result<(), ActorProcessingErr> {
        let mut bad = self.bad_starts.lock().unwrap();
        if *bad > 0 {
            *bad -= 1;
            self.log.add(format!("!{}", self.name));
            return Err("not today".into());
        }
        self.log.add(format!("+{}", self.name));
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<Do>,
        what: Do,
        _: &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match what {
            Do::Panic => panic!("told to"),
            Do::Fail => return Err("told to".into()),
            Do::End => me.stop(None),
            Do::Hang => std::future::pending().await,
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Do>, _: &mut ()) -> Result<(), ActorProcessingErr> {
        self.log.add(format!("-{}", self.name));
        Ok(())
    }
}

fn puppet(name: &'static str, log: &Log, bad_starts: u32) -> ChildSpec {
    let puppet = Puppet {
        name,
        log: log.clone(),
        bad_starts: Arc::new(Mutex::new(bad_starts)),
    };
    ChildSpec::actor(name, Restart::Permanent, SECOND, move || {
        (puppet.clone(), ())
    })
}

const PATIENT: Policy = Policy {
    strategy: Strategy::OneForOne,
    intensity: Intensity {
        restarts: 3,
        within: Duration::from_secs(60),
    },
    on_exhaustion: OnExhaustion::Park {
        retry: Duration::from_secs(60),
    },
    order: StopOrder::Reversed,
};
const STRICT: Policy = Policy {
    on_exhaustion: OnExhaustion::Escalate,
    ..PATIENT
};
const ORDERED: Policy = Policy {
    strategy: Strategy::RestForOne,
    ..STRICT
};

fn tell(supervisor: &Supervisor, name: &str, what: Do) {
    supervisor.child::<Do>(name).unwrap().cast(what).unwrap();
}

async fn state(supervisor: &Supervisor, name: &str) -> Option<ChildState> {
    let children = supervisor.observe().await.unwrap();
    children
        .into_iter()
        .find(|child| child.name == name)
        .map(|child| child.state)
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_fails_or_ends_is_restarted_and_its_sibling_is_left_alone() {
    let log = Log::new();
    let children = vec![puppet("a", &log, 0), puppet("b", &log, 0)];
    let supervisor = Supervisor::spawn("test", PATIENT, children).await.unwrap();
    let sibling = supervisor.child::<Do>("b").unwrap().get_id();
    tell(&supervisor, "a", Do::Panic);
    log.until("+a +b +a").await;
    tell(&supervisor, "a", Do::Fail);
    log.until("+a +b +a +a").await;
    tell(&supervisor, "a", Do::End);
    log.until("+a +b +a +a -a +a").await;
    assert_eq!(supervisor.child::<Do>("b").unwrap().get_id(), sibling);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_child_is_restarted() {
    let log = Log::new();
    let supervisor = Supervisor::spawn("test", PATIENT, vec![puppet("a", &log, 0)])
        .await
        .unwrap();
    tell(&supervisor, "a", Do::Hang);
    supervisor.child::<Do>("a").unwrap().kill();
    log.until("+a +a").await;
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_park_the_child_and_it_is_tried_again_later() {
    let log = Log::new();
    let children = vec![puppet("a", &log, 0), puppet("b", &log, 0)];
    let supervisor = Supervisor::spawn("test", PATIENT, children).await.unwrap();
    let start = tokio::time::Instant::now();
    for runs in 2..=4 {
        tell(&supervisor, "a", Do::Fail);
        log.until(&format!("+a +b{}", " +a".repeat(runs - 1))).await;
    }
    let before = start.elapsed();
    assert!(
        before < Duration::from_secs(3),
        "delays of 0, 0.5 and 1 s, not {before:?}"
    );
    tell(&supervisor, "a", Do::Fail);
    log.until("+a +b +a +a +a +a").await;
    assert!(start.elapsed() - before >= Duration::from_secs(60));
    assert_eq!(state(&supervisor, "b").await, Some(ChildState::Up));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_where_they_escalate_end_the_supervisor_and_its_children_in_order() {
    let log = Log::new();
    let children = vec![
        puppet("a", &log, 0),
        puppet("b", &log, 0),
        puppet("c", &log, 0),
    ];
    let supervisor = Supervisor::spawn("test", STRICT, children).await.unwrap();
    for runs in 2..=4 {
        tell(&supervisor, "b", Do::Panic);
        log.until(&format!("+a +b +c{}", " +b".repeat(runs - 1)))
            .await;
    }
    tell(&supervisor, "b", Do::Panic);
    supervisor.ended().await;
    assert_eq!(log.all(), "+a +b +c +b +b +b -c -a");
    assert_eq!(supervisor.observe().await, Err(ChildError::Down));
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_restarts_what_builds_on_the_failed_child() {
    let log = Log::new();
    let children = vec![
        puppet("a", &log, 0),
        puppet("b", &log, 0),
        puppet("c", &log, 0),
        puppet("d", &log, 0),
    ];
    let supervisor = Supervisor::spawn("test", ORDERED, children).await.unwrap();
    tell(&supervisor, "b", Do::Panic);
    log.until("+a +b +c +d -d -c +b +c +d").await;
    supervisor.stop().await;
    assert_eq!(log.all(), "+a +b +c +d -d -c +b +c +d -d -c -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_with_the_supervisor_ends_those_before_it() {
    let log = Log::new();
    let children = vec![
        puppet("a", &log, 0),
        puppet("b", &log, 1),
        puppet("c", &log, 0),
    ];
    let error = Supervisor::spawn("test", STRICT, children)
        .await
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "test did not start: b did not start: not today"
    );
    assert_eq!(log.all(), "+a !b -a");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_with_a_patient_supervisor_is_retried() {
    let log = Log::new();
    let children = vec![puppet("a", &log, 2), puppet("b", &log, 0)];
    let supervisor = Supervisor::spawn("test", PATIENT, children).await.unwrap();
    log.until("!a +b !a +a").await;
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_start_when_added_is_not_added() {
    let log = Log::new();
    let supervisor = Supervisor::spawn("test", PATIENT, vec![]).await.unwrap();
    let error = supervisor
        .add_child(puppet("a", &log, 1))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "a did not start: not today");
    assert_eq!(state(&supervisor, "a").await, None);
    supervisor.add_child(puppet("a", &log, 0)).await.unwrap();
    let twice = supervisor.add_child(puppet("a", &log, 0)).await;
    assert_eq!(twice, Err(ChildError::Duplicate("a".into())));
    assert_eq!(log.all(), "!a +a", "the one there is goes on");
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn s4_a_caller_that_goes_away_still_has_added_its_child() {
    let log = Log::new();
    let supervisor = Supervisor::spawn("test", PATIENT, vec![]).await.unwrap();
    {
        let adding = supervisor.add_child(puppet("a", &log, 0));
        tokio::pin!(adding);
        std::future::poll_fn(|cx| {
            let _pending = adding.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    log.until("+a").await;
    tell(&supervisor, "a", Do::Fail);
    log.until("+a +a").await;
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_removed_while_it_waits_for_its_restart_stays_away() {
    let log = Log::new();
    let supervisor = Supervisor::spawn("test", PATIENT, vec![puppet("a", &log, 0)])
        .await
        .unwrap();
    tell(&supervisor, "a", Do::Fail);
    log.until("+a +a").await;
    tell(&supervisor, "a", Do::Fail);
    while state(&supervisor, "a").await != Some(ChildState::Waiting) {}
    supervisor.terminate_child("a").await.unwrap();
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(supervisor.observe().await.unwrap(), []);
    assert_eq!(
        supervisor.terminate_child("a").await,
        Err(ChildError::Unknown("a".into()))
    );
    assert_eq!(log.all(), "+a +a");
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn s3_a_child_is_stopped_gently_and_one_that_hangs_is_killed_in_time() {
    let log = Log::new();
    let children = vec![puppet("a", &log, 0), puppet("b", &log, 0)];
    let supervisor = Supervisor::spawn("test", PATIENT, children).await.unwrap();
    tell(&supervisor, "a", Do::Hang);
    let start = tokio::time::Instant::now();
    supervisor.terminate_child("a").await.unwrap();
    assert_eq!(start.elapsed().as_secs(), SECOND.as_secs());
    assert!(supervisor.child::<Do>("a").is_none());
    supervisor.terminate_child("b").await.unwrap();
    assert_eq!(log.all(), "+a +b -b");
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn s5_a_supervisor_answers_while_a_child_takes_its_time_to_stop() {
    let log = Log::new();
    let children = vec![puppet("a", &log, 0), puppet("b", &log, 0)];
    let supervisor = Supervisor::spawn("test", PATIENT, children).await.unwrap();
    tell(&supervisor, "a", Do::Hang);
    let start = tokio::time::Instant::now();
    let removing = {
        let supervisor = supervisor.clone();
        tokio::spawn(async move { supervisor.terminate_child("a").await })
    };
    while state(&supervisor, "a").await != Some(ChildState::Stopping) {}
    tell(&supervisor, "b", Do::Panic);
    log.until("+a +b +b").await;
    assert!(start.elapsed() < SECOND);
    removing.await.unwrap().unwrap();
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn children_that_know_nothing_of_each_other_are_stopped_together() {
    let log = Log::new();
    let children = ["a", "b", "c", "d"]
        .map(|name| puppet(name, &log, 0))
        .to_vec();
    let policy = Policy {
        order: StopOrder::Together,
        ..PATIENT
    };
    let supervisor = Supervisor::spawn("test", policy, children).await.unwrap();
    for name in ["a", "b", "c"] {
        tell(&supervisor, name, Do::Hang);
    }
    let start = tokio::time::Instant::now();
    supervisor.stop().await;
    assert_eq!(
        start.elapsed().as_secs(),
        SECOND.as_secs(),
        "not one after the other"
    );
    assert_eq!(log.all(), "+a +b +c +d -d");
}

/// A supervisor below another: it comes back with the children that were added to it.
#[tokio::test(start_paused = true)]
async fn children_added_to_a_supervisor_survive_its_restart() {
    let log = Log::new();
    let inner = Supervisor::planned("inner", STRICT, vec![]);
    let child = inner.as_child(Restart::Permanent, Duration::from_secs(10));
    let outer = Supervisor::spawn("outer", PATIENT, vec![child])
        .await
        .unwrap();
    inner.add_child(puppet("a", &log, 0)).await.unwrap();
    for runs in 2..=5 {
        tell(&inner, "a", Do::Panic);
        log.until("+a".repeat(runs).replace("a+", "a +").as_str())
            .await;
    }
    while inner.observe().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(state(&inner, "a").await, Some(ChildState::Up));
    assert_eq!(outer.observe().await.unwrap()[0].restarts, 1);
    outer.stop().await;
    assert_eq!(log.all(), "+a +a +a +a +a -a");
    assert_eq!(inner.observe().await, Err(ChildError::Down));
}

fn looping(log: &Log, how: fn(u32) -> Result<(), String>) -> ChildSpec {
    let log = log.clone();
    let runs = Arc::new(Mutex::new(0));
    ChildSpec::task("loop", Restart::Permanent, SECOND, move |mut stopping| {
        let (log, runs) = (log.clone(), Arc::clone(&runs));
        async move {
            log.add("+");
            let run = {
                let mut runs = runs.lock().unwrap();
                *runs += 1;
                *runs
            };
            if run <= 2 {
                return how(run);
            }
            stopping.asked().await;
            log.add("-");
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_ends_fails_or_panics_is_begun_anew_and_is_asked_to_end() {
    let ways: [fn(u32) -> Result<(), String>; 3] =
        [|_| Ok(()), |_| Err("no".into()), |_| panic!("told to")];
    for how in ways {
        let log = Log::new();
        let supervisor = Supervisor::spawn("test", PATIENT, vec![looping(&log, how)])
            .await
            .unwrap();
        log.until("+ + +").await;
        supervisor.stop().await;
        assert_eq!(log.all(), "+ + + -");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_end_is_dropped() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let log = Log::new();
    let task_log = log.clone();
    let deaf = ChildSpec::task("deaf", Restart::Permanent, SECOND, move |_| {
        let dropped = Dropped(task_log.clone());
        async move {
            let _dropped = dropped;
            std::future::pending().await
        }
    });
    let supervisor = Supervisor::spawn("test", PATIENT, vec![deaf])
        .await
        .unwrap();
    supervisor.stop().await;
    log.until("dropped").await;
}
