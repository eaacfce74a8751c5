//! Work that may wait for a disk, off the threads that keep the time.

use std::panic::resume_unwind;

use tokio::task::spawn_blocking;

/// Runs `work` where it may block. A panic there is passed on. Where the runtime ends before its turn has come, this
/// does not return: whoever waits ends, too.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = spawn_blocking(work).await;
    match done.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn what_is_done_is_answered_and_a_panic_is_passed_on() {
        assert_eq!(blocking(|| 1).await, 1);
        let panics = tokio::spawn(blocking(|| panic!("on purpose")));
        assert!(panics.await.is_err_and(|failed| failed.is_panic()));
    }

    #[test]
    fn the_end_of_the_runtime_is_no_panic() {
        let build = |threads| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.max_blocking_threads(threads).build()
        };
        let (one, other) = (build(1).expect("a runtime"), build(1).expect("a runtime"));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut waits = Box::pin(blocking(|| ()));
        one.block_on(async {
            // The only thread is taken, so that is still waiting when the runtime ends.
            drop(spawn_blocking(move || held.recv()));
            assert!(polled(&mut waits).await.is_pending());
        });
        one.shutdown_background();
        drop(release);
        assert!(other.block_on(polled(&mut waits)).is_pending());
    }

    async fn polled<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }
}
