//! Who may start a process, and in which order.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::gate::StartGate;

#[tokio::test(start_paused = true)]
async fn whoever_is_on_air_soonest_starts_first() {
    let gate = StartGate::new(1);
    let now = Instant::now();
    let held = gate.enter(now).await;
    let (started, mut order) = mpsc::unbounded_channel();
    for due in [30, 10, 20] {
        let (gate, started) = (gate.clone(), started.clone());
        tokio::spawn(async move {
            let permit = gate.enter(now + Duration::from_secs(due)).await;
            started.send(due).unwrap();
            drop(permit);
        });
    }
    tokio::task::yield_now().await;
    assert!(order.try_recv().is_err(), "only one at a time");
    drop(held);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(order.recv().await.unwrap());
    }
    assert_eq!(seen, [10, 20, 30]);
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_keeps_nobody_out() {
    let gate = StartGate::new(2);
    let now = Instant::now();
    let held = [gate.enter(now).await, gate.enter(now).await];
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.enter(now).await }
    });
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.is_err());
    drop(held);
    let (_first, _second) = (gate.enter(now).await, gate.enter(now).await);
}
