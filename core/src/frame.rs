use std::time::Duration;

use crate::{
    Arena, DecodeError, EncodeError, Envelope, Lent, Payload, Reply, Request, ResumeToken, SessionId, Text, Unit,
};

/// A unit of the protocol (SPEC §2). Only messages are counted and replayed; everything else can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Frame {
    /// Asks for a new session.
    Open(Open),
    /// Grants it.
    Opened(Opened),
    /// Moves a session to the link that carries this.
    Resume(Offer),
    /// Grants that.
    Resumed {
        /// What the server has taken.
        received: u64,
    },
    /// The session to be resumed is not known.
    Reset {
        /// For people.
        text: Text,
    },
    /// Application data.
    Message(Payload),
    /// Application data that asks for a reply. A message like any other.
    Request(Request),
    /// Application data that answers a request. A message like any other.
    Reply(Reply),
    /// Says what was taken.
    Ack {
        /// The count.
        received: u64,
    },
    /// Asks for a pong.
    Ping {
        /// What its sender has taken.
        received: u64,
    },
    /// Answers a ping.
    Pong {
        /// What its sender has taken.
        received: u64,
    },
    /// Ends the session.
    Close(Close),
}

impl Frame {
    /// Whether the frame is counted and replayed.
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Reply(_) | Self::Request(_))
    }
}

/// The fields of `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Open {
    /// The number of the attachment that begins.
    pub attachment: u64,
    /// What the client can take.
    pub window: Window,
}

/// The fields of `opened`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Opened {
    /// Names the session.
    pub session: SessionId,
    /// The right to resume it.
    pub token: ResumeToken,
    /// How often the server pings; zero is never. Where clients beat by themselves, how often they shall:
    /// [`Config::client_heartbeat`](crate::Config::client_heartbeat).
    pub heartbeat: Duration,
    /// How long a side waits for a sign of life that is due.
    pub timeout: Duration,
    /// How long the client has to show that it holds the token.
    pub proof: Duration,
    /// How long the session waits without a link.
    pub resume: Duration,
    /// What the server can take.
    pub window: Window,
}

/// The fields of `resume`: an offer to continue a session here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Offer {
    /// Which session.
    pub session: SessionId,
    /// The right to it.
    pub token: ResumeToken,
    /// The number of the attachment that begins.
    pub attachment: u64,
    /// What the client has taken.
    pub received: u64,
}

/// The fields of `close`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Close {
    /// A code of SPEC §13.
    pub code: u16,
    /// For people, at most [`Close::MAX_REASON`] bytes.
    pub reason: Text,
    /// What its sender has taken.
    pub received: u64,
}

impl Close {
    /// The longest reason, in bytes: what a WebSocket close frame can hold (RFC 6455 §5.5).
    pub const MAX_REASON: usize = 123;
}

/// What a side can take: the most that may be unacknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Window {
    /// Messages, at least 1.
    pub messages: u32,
    /// Bytes of units, at least 1. No unit may be longer.
    pub bytes: u32,
}

impl Default for Window {
    /// 256 messages and 1 MiB (SPEC §14).
    fn default() -> Self {
        Self { messages: 256, bytes: 1 << 20 }
    }
}

/// Turns one frame into one unit and back. Stateless; held by name.
///
/// A format of your own plugs into the native protocol: implement this and register it with the server.
///
/// Client and server agree on formats by their names, for each link anew. Decoding is given whatever a peer sends, so it must
/// not panic, and must check what it passes on: a [`Json`](crate::Json) reaches others as it is.
///
/// ```
/// use nosphere_core::{DecodeError, EncodeError, Frame, Payload, Unit, WireFormat};
/// use nosphere_wire::JSON;
///
/// /// Text goes as it is, behind a `t`; all else as in `json`, which begins with a brace.
/// #[derive(Debug)]
/// struct Bare;
///
/// impl WireFormat for Bare {
///     fn name(&self) -> &'static str {
///         "bare"
///     }
///
///     fn is_text(&self) -> bool {
///         true
///     }
///
///     fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
///         match frame {
///             Frame::Message(Payload::Text(text)) => Ok(Unit::Text(format!("t{}", text.as_str()).into())),
///             other => JSON.encode(other),
///         }
///     }
///
///     fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
///         match &unit {
///             Unit::Text(text) if text.starts_with('t') => {
///                 Ok(Frame::Message(Payload::Text(text.slice_of(&text.as_str()[1..]))))
///             }
///             _ => JSON.decode(unit),
///         }
///     }
/// }
///
/// let hello = Frame::Message(Payload::Text("hello".into()));
/// let unit = Bare.encode(hello.clone())?;
/// assert_eq!(unit, Unit::Text("thello".into()));
/// assert_eq!(Bare.decode(unit), Ok(hello));
/// # Ok::<(), EncodeError>(())
/// ```
pub trait WireFormat: std::fmt::Debug + Send + Sync {
    /// A short name, unique among the formats of a process: `json`.
    fn name(&self) -> &'static str;

    /// Writes a frame.
    ///
    /// # Errors
    ///
    /// When the format has no way to express the frame. For a message, the sender's application is told.
    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError>;

    /// Reads a frame. Total: any unit gives a frame or an error, in time and memory linear in its length.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Payload`] when the unit is a message with an unreadable payload, else [`DecodeError::Malformed`].
    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError>;

    /// Reads a frame from a unit that is only lent: a format that copies what it keeps into the arena, and no more, needs less
    /// memory than one that is given a copy of the unit.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    fn decode_lent(&self, unit: Lent<'_>, arena: &mut Arena) -> Result<Frame, DecodeError> {
        let _ = arena;
        self.decode(unit.to_unit())
    }

    /// Writes a message that its sender keeps: it may have to be sent again.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    fn encode_kept(&self, payload: &Payload) -> Result<Unit, EncodeError> {
        self.encode(Frame::Message(payload.clone()))
    }

    /// Writes a message that nobody needs any more. It comes back if it cannot be written.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    fn encode_given(&self, payload: Payload) -> Result<Unit, (Payload, EncodeError)> {
        self.encode_kept(&payload).map_err(|error| (payload, error))
    }

    /// What [`encode_kept`](Self::encode_kept) writes around a message's payload, where its unit is nothing else but that and
    /// the payload as it is: then no unit is made, and nothing is copied, to write it to a WebSocket.
    fn envelope(&self, payload: &Payload) -> Option<Envelope> {
        let _ = payload;
        None
    }

    /// Whether units are text; otherwise they are binary. By default, a format with a separator is text.
    fn is_text(&self) -> bool {
        self.separator().is_some()
    }

    /// A byte that no unit of this format contains, to separate units in a batch. Without one, lengths are written.
    fn separator(&self) -> Option<u8> {
        None
    }

    /// Whether units can be told apart when nothing is written between them. For foreign protocols, of which some say how
    /// long a unit is.
    fn is_delimited(&self) -> bool {
        false
    }
}
