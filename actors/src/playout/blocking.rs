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
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn what_is_done_is_answered_and_a_panic_is_passed_on() {
        assert_eq!(blocking(|| 1).await, 1);
        let panics = tokio::spawn(blocking(|| panic!("on purpose")));
        assert!(panics.await.is_err_and(|failed| failed.is_panic()));
    }

    #[test]
    fn the_end_of_the_runtime_is_no_panic() {
        let ended = tokio::runtime::Builder::new_current_thread().build();
        let ended = ended.expect("a runtime");
        let handle = ended.handle().clone();
        ended.shutdown_background();
        let _within = handle.enter();
        let mut context = Context::from_waker(Waker::noop());
        let mut waits = Box::pin(blocking(|| ()));
        assert!(waits.as_mut().poll(&mut context).is_pending());
    }
}
