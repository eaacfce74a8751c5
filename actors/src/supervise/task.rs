//! A loop as a child: what ends by itself or panics has failed, and is restarted like an actor.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError};

use super::child::{ChildSpec, Restart};

/// Tells a loop that it is to end.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns when the loop is to end. Cancel-safe.
    pub async fn asked(&mut self) {
        // A sender that is gone means the same.
        let _gone = self.0.wait_for(|asked| *asked).await;
    }
}

impl ChildSpec {
    /// A loop: `make` makes it anew for each start. It is asked to end by what it is given, and
    /// dropped when that takes longer than `shutdown`.
    pub fn task<F>(
        name: impl Into<String>,
        restart: Restart,
        shutdown: Duration,
        make: impl Fn(Stopping) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self::actor(name, restart, shutdown, move || {
            let (stop, asked) = watch::channel(false);
            (TaskActor(PhantomData), (stop, make(Stopping(asked))))
        })
    }
}

struct TaskActor<F>(PhantomData<fn() -> F>);

struct Running {
    stop: watch::Sender<bool>,
    /// The loop.
    work: AbortHandle,
    /// Whether the loop has ended.
    ended: watch::Receiver<bool>,
}

/// Nothing of a child outlives it.
impl Drop for Running {
    fn drop(&mut self) {
        self.work.abort();
    }
}

struct Ended(Result<(), String>);

impl<F> Actor for TaskActor<F>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    type Msg = Ended;
    type State = Running;
    type Arguments = (watch::Sender<bool>, F);

    async fn pre_start(
        &self,
        me: ActorRef<Ended>,
        (stop, work): (watch::Sender<bool>, F),
    ) -> Result<Running, ActorProcessingErr> {
        let work = tokio::spawn(work);
        let handle = work.abort_handle();
        let (tell, ended) = watch::channel(false);
        tokio::spawn(async move {
            let result = match work.await {
                Ok(result) => result,
                Err(error) if error.is_panic() => {
                    Err(format!("it panicked: {}", panic_text(error)))
                }
                Err(_) => Err("it was cancelled".to_owned()),
            };
            // Nobody listens when the actor is gone already.
            let _ = tell.send(true);
            let _ = me.cast(Ended(result));
        });
        Ok(Running {
            stop,
            work: handle,
            ended,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<Ended>,
        Ended(result): Ended,
        _: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match result {
            Ok(()) => me.stop(None),
            Err(reason) => return Err(reason.into()),
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Ended>,
        state: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        // Nobody listens when the loop has ended already.
        let _ = state.stop.send(true);
        let _ = state.ended.wait_for(|ended| *ended).await;
        Ok(())
    }
}

fn panic_text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else {
        return "the runtime ended".to_owned();
    };
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no words".to_owned())
}
