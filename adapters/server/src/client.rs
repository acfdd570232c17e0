use std::fmt;
use std::sync::Arc;

use nosphere_core::{Message, Reason, SendError, SessionId, Transport, Undelivered};

use crate::session::Cell;
use crate::{Audience, RequestHead};

/// A handler's hold on its session. Cheap to clone; usable from any task or thread.
#[derive(Clone)]
pub struct Client {
    cell: Arc<Cell>,
}

impl Client {
    pub(crate) fn new(cell: Arc<Cell>) -> Self {
        Self { cell }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// The head of the request that opened the session, while `Connected` is handled; `None` after that.
    pub fn head(&self) -> Option<RequestHead> {
        self.cell.head()
    }

    /// Who opened the session, where [`Builder::principal`](crate::Builder::principal) says.
    pub fn principal(&self) -> Option<&str> {
        self.cell.principal()
    }

    /// Sends a message to this session.
    ///
    /// # Errors
    ///
    /// The message comes back when it cannot be taken: the session is closed, its queue is full, or its transport has no
    /// form for it.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.cell.send(message.into()).map(drop)
    }

    /// Sends a message to everybody else on this session's path; returns for how many it was queued.
    pub fn broadcast(&self, message: impl Into<Message>) -> usize {
        self.broadcast_to(&Audience::Others, message)
    }

    /// Sends a message to an audience on this session's path; returns for how many it was queued.
    pub fn broadcast_to(&self, audience: &Audience, message: impl Into<Message>) -> usize {
        let message = message.into().shared();
        let count = self.cell.topic().broadcast(&message, audience, Some(self.cell.id()));
        crate::dirty::flush_outside();
        count
    }

    /// Ends the session, once what was sent before is written. The handler gets `Disconnected`.
    pub fn close(&self, reason: Reason) {
        self.cell.close(reason);
    }

    /// The session's id. Other clients may see it.
    pub fn id(&self) -> SessionId {
        self.cell.id()
    }

    /// The path that the session was opened on, parameters filled in.
    pub fn path(&self) -> &str {
        self.cell.topic().path()
    }

    /// The transport that carries the session now, or did last.
    pub fn transport(&self) -> Transport {
        self.cell.transport()
    }

    /// In `Disconnected`: the messages that are not known to have arrived. Empty before, and when called again.
    pub fn take_undelivered(&self) -> Undelivered {
        self.cell.take_undelivered()
    }

    /// How the session writes to its client, for tests and diagnostics.
    pub fn sink(&self) -> crate::Sink {
        self.cell.sink()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).field("path", &self.path()).finish_non_exhaustive()
    }
}
