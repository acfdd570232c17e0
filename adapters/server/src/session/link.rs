use std::fmt;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use nosphere_core::LinkId;
use nosphere_websocket::{Reader, Writer};

use crate::scheduling::Executor;
use crate::socket::ReadHalf;

/// A session's WebSocket, as far as its task owns it.
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) reader: Reader,
    pub(crate) io: LinkIo,
}

/// What the task reads from, and writes to unless others do.
pub(crate) enum LinkIo {
    /// The write half is in the session's [`Outlet`](super::Outlet).
    Direct(ReadHalf),
    Queued(Box<(TokioIo<Upgraded>, Writer)>),
}

impl Link {
    /// Who polls what is to be done on it.
    pub(crate) fn executor(&self) -> Executor {
        match &self.io {
            LinkIo::Direct(half) => half.executor(),
            LinkIo::Queued(_) => Executor::Runtime,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}
