use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::event_loop::EventLoop;

/// Who polls sessions over WebSocket: see [`Builder::scheduling`](crate::Builder::scheduling).
///
/// It makes no difference to what arrives. It is about WebSockets on plaintext HTTP/1.1, on Linux, Android, Apple's systems, the BSDs and
/// illumos; all other sessions have a task each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheduling {
    /// The sessions that begin on a thread share one task of the runtime, which knows by a queue of its own whose socket is
    /// ready.
    ///
    /// A short message costs a fifth less of the server's own instructions, and a session takes 500 bytes less. But a session
    /// stays with those that it began with: while a handler computes, or blocks its thread, the others of its loop wait, though
    /// another thread may have nothing to do, and `tokio::task::block_in_place` does not help them. A session begins on
    /// the thread that answers its handshake, so connections are to be served by tasks that the runtime spreads. What the runtime
    /// shows of its tasks, [`tokio::task::id`] and consoles, shows one for all of them.
    EventLoops,
    /// Each session has a task of the runtime, which whatever thread is free takes up.
    Tasks,
}

impl Scheduling {
    /// What is best as long as nobody knows better: a thread by itself has nobody who could take a session up.
    pub(crate) fn of_runtime() -> Self {
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread { Self::EventLoops } else { Self::Tasks }
    }
}

/// Who polls what is to be done on a socket.
#[derive(Clone, Debug)]
pub(crate) enum Executor {
    Runtime,
    EventLoop(Arc<EventLoop>),
}

impl Executor {
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Runtime => drop(tokio::spawn(future)),
            Self::EventLoop(event_loop) => event_loop.spawn(Box::pin(future)),
        }
    }

    /// The same, if that is not whoever calls, who goes on with it otherwise.
    pub(crate) fn take(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        match self {
            Self::Runtime => Some(Box::pin(future)),
            Self::EventLoop(event_loop) => {
                event_loop.spawn(Box::pin(future));
                None
            }
        }
    }
}
