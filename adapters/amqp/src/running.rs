use std::convert::Infallible;
use std::panic::resume_unwind;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Error, Monitor, Status};

/// A [`Source`](crate::Source) in a task of its own. When this is dropped it stops, too, and nobody waits for it.
#[derive(Debug)]
pub struct Running {
    monitor: Monitor,
    stop: oneshot::Sender<Infallible>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// `stop` is dropped to stop `task`.
    pub(crate) fn new(
        monitor: Monitor,
        stop: oneshot::Sender<Infallible>,
        task: JoinHandle<Result<(), Error>>,
    ) -> Self {
        Self { monitor, stop, task }
    }

    /// Stops consuming, and waits until what has been broadcast is acknowledged and the connection closed.
    ///
    /// # Errors
    ///
    /// Why the source had ended by itself, if it had: see [`Source::run`](crate::Source::run). To be told of that, wait for
    /// [`State::Stopped`](crate::State::Stopped) by [`monitor`](Self::monitor).
    pub async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        match self.task.await {
            Ok(ended) => ended,
            // Otherwise the runtime has ended, and the task with it.
            Err(error) => error.try_into_panic().map_or(Ok(()), |panic| resume_unwind(panic)),
        }
    }

    /// How the source is.
    pub fn status(&self) -> Status {
        self.monitor.status()
    }

    /// Watches the source.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }
}
