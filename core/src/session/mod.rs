//! Numbering, windows, retention and the event queue of one session.

mod inbox;
mod line;
mod outbox;

pub(crate) use inbox::{Arrived, Inbox};
pub(crate) use outbox::{Next, Outbox, Pushed, carriage_return, not_text};

use crate::{ResumeToken, SessionId};

/// The two streams of one session and what names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    /// `None` in a client that is still connecting.
    pub(crate) key: Option<(SessionId, ResumeToken)>,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// A message was refused for want of room; the application waits for `Writable`.
    pub(crate) awaits_room: bool,
}
