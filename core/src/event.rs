use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Cause, EncodeError, Json, JsonError, Message, Payload, PayloadError, RequestId, SessionId, Tag, Text};

/// What the application sees of a session.
///
/// In this order, whatever happens (SPEC SES-1):
///
/// ```text
/// Connected ( Text | Json | Binary | Request | Reply | Heartbeat | Error | Suspended Resumed | Writable )* Disconnected
/// ```
///
/// `Suspended` may also be the last before `Disconnected`, and so may the `Error` of a handler that failed. A client whose session never opened sees `Disconnected` alone.
///
/// A server adds `Joined` and `Left`, wherever a message may come, for those who watch a tag. A
/// [`Connection`](crate::Connection) never makes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
// With a tag of one byte, the seven behind it are moved in three pieces, and an event is moved several times.
#[repr(u64)]
pub enum Event {
    /// A binary message.
    Binary(Bytes),
    /// The session is open. Once, first.
    Connected {
        /// What carries it.
        transport: Transport,
    },
    /// The session is over. Once, last.
    Disconnected {
        /// Who ended it.
        by: Side,
        /// Why.
        reason: Reason,
    },
    /// Something went wrong. It does not end the session, unless it was the handler that failed.
    Error(SessionError),
    /// The peer's ping or pong arrived. Several that nobody has taken yet are one; plain clients have none.
    Heartbeat,
    /// A session has joined a tag that is watched.
    Joined {
        /// Which session.
        session: SessionId,
        /// What it joined.
        tag: Tag,
    },
    /// A JSON message.
    Json(Json),
    /// A session has left a tag that is watched, or has ended.
    Left {
        /// Which session.
        session: SessionId,
        /// What it left.
        tag: Tag,
    },
    /// The answer to a request of this side.
    ///
    /// What answers nothing that was asked, or comes after its time, comes all the same.
    Reply(Reply),
    /// A message whose sender waits for an answer: [`Message::reply`].
    Request(Request),
    /// The session has a link again, perhaps by another transport. Nothing has to be sent again.
    Resumed {
        /// What carries it.
        transport: Transport,
    },
    /// The session lost its link and waits to be resumed. What is sent to it waits, too.
    Suspended,
    /// A text message.
    Text(Text),
    /// There is room in the queue again, after a message was refused as `Full`.
    Writable,
}

impl Event {
    /// The event with its JSON message as a value of the application's own.
    ///
    /// ```
    /// use nosphere_core::{Event, Json, Parsed};
    /// # use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// #[serde(tag = "type", rename_all = "lowercase")]
    /// enum Said { Line { text: String }, Typing }
    ///
    /// fn handle(event: Event) -> String {
    ///     match event.parse() {
    ///         Parsed::Message(Said::Line { text }, _) => text,
    ///         Parsed::Message(Said::Typing, json) => format!("typing: {json:?}"),
    ///         Parsed::Invalid { error, .. } => format!("not what was agreed on: {error}"),
    ///         Parsed::Other(_) => String::new(),
    ///         _ => unreachable!(),
    ///     }
    /// }
    ///
    /// let json = |text| Event::Json(Json::from_text(&String::from(text).into()).unwrap());
    /// assert_eq!(handle(json(r#"{"type":"line","text":"hello"}"#)), "hello");
    /// assert!(handle(json(r#"{"type":"dance"}"#)).starts_with("not what was agreed on"));
    /// ```
    pub fn parse<T: DeserializeOwned>(self) -> Parsed<T> {
        let Self::Json(json) = self else { return Parsed::Other(self) };
        match json.parse() {
            Ok(message) => Parsed::Message(message, json),
            Err(error) => Parsed::Invalid { json, error },
        }
    }
}

/// What [`Event::parse`] makes of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Parsed<T> {
    /// A JSON message that is no `T`.
    Invalid {
        /// The message.
        json: Json,
        /// What is wrong with it.
        error: JsonError,
    },
    /// A JSON message, and that message as it came.
    Message(T, Json),
    /// Anything else.
    Other(Event),
}

impl From<Payload> for Event {
    #[inline]
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Binary(bytes) => Self::Binary(bytes),
            Payload::Json(json) => Self::Json(json),
            Payload::Text(text) => Self::Text(text),
        }
    }
}

/// A message that asks for a reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Request {
    /// What the reply has to name.
    pub id: RequestId,
    /// What is asked.
    pub payload: Payload,
}

/// A message that answers a request.
///
/// On a server it goes to whoever asked, not to the handler.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC §2; formats build it")]
pub struct Reply {
    /// Which request.
    pub id: RequestId,
    /// The answer.
    pub payload: Payload,
}

/// What went wrong. None of it ends the session, but for the failure of its own handler.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The application's own handler failed, or panicked. Its session ends with [`Reason::Internal`].
    #[error("the handler failed: {0}")]
    Handler(Cause),
    /// The peer broke the protocol; its link was ended with this reason. The session can be resumed.
    #[error("the peer's link was ended: {detail}")]
    Link {
        /// What the link was ended with.
        reason: Reason,
        /// What the peer did.
        detail: &'static str,
    },
    /// A message arrived whose payload cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A message was accepted, but the link that should carry it has no form for it. It was not sent.
    #[error("{cause}")]
    Undeliverable {
        /// The message. In a box, or every event would be larger.
        message: Box<Message>,
        /// What is in the way.
        cause: Undeliverable,
    },
}

/// Why an accepted message cannot be handed to a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Undeliverable {
    /// The wire format has no form for it.
    #[error(transparent)]
    Inexpressible(#[from] EncodeError),
    /// Its unit is longer than the peer takes.
    #[error("the unit is longer than {limit} bytes")]
    TooLarge {
        /// The most that the peer takes.
        limit: usize,
    },
}

/// Who did something. Absolute: logs read the same on both ends.
///
/// A lost connection is nobody's doing: that is [`Side::Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two ends and what is between them")]
pub enum Side {
    /// The client.
    Client,
    /// Neither: the connection was lost and nobody came back.
    Network,
    /// The server.
    Server,
}

/// What carries a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Polls that wait.
    LongPolling,
    /// An event stream.
    ServerSentEvents,
    /// A response that stays open, without events around its messages. For clients of atmosphere.js.
    Streaming,
    /// A WebSocket connection.
    WebSocket,
}

impl Transport {
    /// The transport's name in URLs, headers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LongPolling => "long-polling",
            Self::ServerSentEvents => "sse",
            Self::Streaming => "streaming",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a session or a link ended (SPEC §13).
///
/// Codes from 3000 to 3999 are the application's own: [`Reason::Application`].
///
/// ```
/// use nosphere_core::Reason;
///
/// assert_eq!(Reason::GoingAway.code(), 1001);
/// assert_eq!(Reason::from_code(3001), Reason::Application(3001));
/// assert_eq!(Reason::Expired.to_string(), "expired (4412)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A code of the application's own, from 3000 to 3999.
    Application(u16),
    /// Ended by the application of either side.
    Closed,
    /// Not resumed in time.
    Expired,
    /// A newer attachment has the session.
    Fenced,
    /// Wrong token, or refused by admission.
    Forbidden,
    /// The server shuts down.
    GoingAway,
    /// The application failed.
    Internal,
    /// The transport ended, and the protocol cannot resume. Never sent.
    Lost,
    /// A unit that is not a frame.
    Malformed,
    /// A code that this version does not know.
    Other(u16),
    /// The client reads too slowly.
    Overflow,
    /// No sign of life, or no `open` in time.
    Timeout,
    /// A unit or body over the limit.
    TooLarge,
    /// No room for another session.
    Unavailable,
    /// A frame that may not come here, or a count that cannot be.
    Unexpected,
    /// No such session here.
    UnknownSession,
    /// Never shown alive after opening.
    Unproved,
    /// More than the window allows.
    Window,
}

/// Code and name of every reason that has a fixed one.
const CODES: [(Reason, u16, &str); 16] = [
    (Reason::Closed, 1000, "closed"),
    (Reason::GoingAway, 1001, "going-away"),
    (Reason::Lost, 1006, "lost"),
    (Reason::TooLarge, 1009, "too-large"),
    (Reason::Internal, 1011, "internal"),
    (Reason::Malformed, 4400, "malformed"),
    (Reason::Forbidden, 4403, "forbidden"),
    (Reason::Timeout, 4408, "timeout"),
    (Reason::Fenced, 4409, "fenced"),
    (Reason::UnknownSession, 4410, "unknown-session"),
    (Reason::Unproved, 4411, "unproved"),
    (Reason::Expired, 4412, "expired"),
    (Reason::Window, 4413, "window"),
    (Reason::Unexpected, 4422, "unexpected"),
    (Reason::Overflow, 4429, "overflow"),
    (Reason::Unavailable, 4503, "unavailable"),
];

impl Reason {
    /// The reason's code, for `close` frames and WebSocket.
    pub fn code(self) -> u16 {
        if let Self::Application(code) | Self::Other(code) = self {
            return code;
        }
        CODES.iter().find(|entry| entry.0 == self).map_or(1000, |entry| entry.1)
    }

    /// The reason's name, for `Nosphere-Error` and logs.
    pub fn name(self) -> &'static str {
        if let Self::Application(_) = self {
            return "application";
        }
        CODES.iter().find(|entry| entry.0 == self).map_or("other", |entry| entry.2)
    }

    /// The reason that a code stands for.
    pub fn from_code(code: u16) -> Self {
        match code {
            3000..4000 => Self::Application(code),
            _ => CODES.iter().find(|entry| entry.1 == code).map_or(Self::Other(code), |entry| entry.0),
        }
    }

    /// The reason that a name stands for, if it is one of SPEC §13.
    pub fn from_name(name: &str) -> Option<Self> {
        CODES.iter().find(|entry| entry.2 == name).map(|entry| entry.0)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}
