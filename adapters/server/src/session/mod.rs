//! One session on this node: its state behind one lock, and the task that feeds its handler.

mod cell;
mod link;
mod links;
mod live;
mod pump;
mod read;
#[cfg(test)]
mod sizes;
mod task;
mod write;

pub(crate) use cell::Cell;
pub(crate) use link::{Link, LinkIo};
pub(crate) use links::HeldLink;
pub(crate) use live::{Activity, Live, Outlet, close_frame};
pub(crate) use task::run;

/// How a session writes to its client.
///
/// It makes no difference to what arrives, only to what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sink {
    /// Whoever sends writes to the socket: a WebSocket on plaintext HTTP/1.1.
    Direct,
    /// The connection's own task writes, woken once for each burst: TLS, HTTP/2, event streams and polls.
    Queued,
    /// There is no link now.
    None,
}
