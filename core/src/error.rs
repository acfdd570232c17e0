use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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

/// What an application's handler failed with.
///
/// Two are equal if they say the same.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Wraps an error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// The error itself, if it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Cause {}

impl Hash for Cause {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
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
///
/// ```
/// use nosphere_core::{Message, SendError};
///
/// /// Keeps for later what the queue has no room for; gives up what will never go.
/// fn retry(result: Result<(), SendError>, later: &mut Vec<Message>) -> Result<(), SendError> {
///     match result {
///         Err(SendError::Full(message)) => later.push(message),
///         other => other?,
///     }
///     Ok(())
/// }
/// # assert!(retry(Err(SendError::Full("a".into())), &mut Vec::new()).is_ok());
/// ```
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
