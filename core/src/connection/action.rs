use crate::{Encoded, Message, Offer, Open, Reason};

/// Something for the adapter to do on a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Client: ask for a session, or for its resumption. On a WebSocket this is the first frame; over HTTP, headers.
    Attach(AttachRequest),
    /// End the link with this reason. A poll that waits is answered 204 `replaced` (SPEC POL-3).
    Close {
        /// The reason.
        reason: Reason,
    },
    /// Answer the poll; the link is over and nothing is wrong.
    Finish,
    /// Plain event stream: tell the client how many messages are lost (SPEC PLN-4).
    Lost {
        /// How many.
        messages: u64,
    },
    /// Give a sign of life by the carrier's own means: a WebSocket ping, an SSE comment.
    Ping,
    /// Write a unit.
    Send {
        /// The unit.
        unit: Encoded,
        /// The message's number, if the unit is a message.
        number: Option<u64>,
    },
}

/// What a client asks for when it attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SPEC §2")]
pub enum AttachRequest {
    /// A new session.
    Open(Open),
    /// The continuation of its session.
    Resume(Offer),
}

/// What was left when a session ended (SPEC CLS-3).
///
/// Nothing of it is sent again by itself. What is `unknown` may have arrived, so whoever sends it again needs a way to tell a
/// message that comes twice: an id of its own, for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// Sent, but not acknowledged: the peer may have them.
    pub unknown: Vec<Message>,
    /// Never handed to a link: the peer does not have them.
    pub unsent: Vec<Message>,
}
