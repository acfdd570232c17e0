//! What a run and a client know of each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// How the run tells a client to leave, and is told how it is.
#[derive(Default)]
pub(crate) struct Control(Mutex<Controlled>);

#[derive(Default)]
pub(super) struct Controlled {
    pub(super) leave: bool,
    pub(super) waker: Option<Waker>,
    pub(super) settled: bool,
    pub(super) done: bool,
}

impl Control {
    /// The last session is to end now.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.leave = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Whether everything that the client sent is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.lock();
        state.settled || state.done
    }

    pub(crate) fn is_done(&self) -> bool {
        self.lock().done
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Controlled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
