use crate::{Kind, Message};

/// Why a wire format cannot write a frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{format} cannot express {what}")]
#[non_exhaustive]
pub struct EncodeError {
    /// The format's name.
    pub format: &'static str,
    /// What it has no way to express.
    pub what: &'static str,
}

impl EncodeError {
    /// `format` cannot express `what`.
    pub fn new(format: &'static str, what: &'static str) -> Self {
        Self { format, what }
    }
}

/// Why a unit cannot be read. The peer's fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The unit is not a frame. It is not counted; the link ends (SPEC FRM-2).
    #[error("malformed unit: {0}")]
    Malformed(&'static str),
    /// The unit is a message, which is counted, but its payload cannot be read (SPEC FRM-3).
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// Why a message's payload cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("unreadable {kind} message: {problem}")]
#[non_exhaustive]
pub struct PayloadError {
    /// What the message said it was.
    pub kind: Kind,
    /// What is wrong with it.
    pub problem: String,
}

impl PayloadError {
    /// A `kind` message with a `problem`.
    pub fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into() }
    }
}

/// What became of a message that was taken for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sent {
    /// It is [volatile](Message::volatile), and cannot go out now.
    Dropped,
    /// It goes out when its turn comes.
    Queued,
    /// It took the place of an older one of the same [key](Message::keyed).
    Replaced,
}

/// Why a message was not taken for sending. The message comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is closing or closed.
    #[error("the session is closed")]
    Closed(Message),
    /// The queue is full, and the policy is to refuse. `Writable` follows when there is room.
    #[error("the session's queue is full")]
    Full(Message),
    /// The session's wire format, or its transport, cannot express the message.
    #[error("{error}")]
    Inexpressible {
        /// The message.
        message: Message,
        /// What is in the way.
        error: EncodeError,
    },
    /// The message is longer than the peer can take.
    #[error("the message is longer than {limit} bytes")]
    TooLarge {
        /// The message.
        message: Message,
        /// The most bytes that the peer takes.
        limit: usize,
    },
}

impl SendError {
    /// The message that was not taken.
    pub fn into_message(self) -> Message {
        match self {
            Self::Closed(message) | Self::Full(message) => message,
            Self::Inexpressible { message, .. } | Self::TooLarge { message, .. } => message,
        }
    }
}
