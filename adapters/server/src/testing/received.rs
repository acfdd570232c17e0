use std::fmt;

use bytes::Bytes;
use nosphere_core::{Event, JsonError, Kind, Payload, Reply, Request, Text};
use serde::de::DeserializeOwned;

/// A message that a test client has received.
///
/// A text compares with a string: `assert_eq!(joe.receive().await?, "hello")`.
#[derive(Clone, PartialEq, Eq)]
pub struct Received(Payload);

impl Received {
    /// The message that an event is, if it is one. Nothing else here tells events apart.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let payload = match event {
            Event::Binary(bytes) => Payload::Binary(bytes.clone()),
            Event::Json(json) => Payload::Json(json.clone()),
            Event::Text(text) => Payload::Text(text.clone()),
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Error(_)
            | Event::Heartbeat
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::Reply(_)
            | Event::Request(_)
            | Event::Resumed { .. }
            | Event::Suspended
            | Event::Writable
            | _ => return None,
        };
        Some(Self(payload))
    }

    /// The same, for requests and replies too.
    pub(super) fn noise(event: &Event) -> Option<Self> {
        if let Event::Reply(Reply { payload, .. }) | Event::Request(Request { payload, .. }) = event {
            return Some(Self(payload.clone()));
        }
        Self::of(event)
    }

    /// Parses a JSON message.
    ///
    /// # Errors
    ///
    /// When it is a message of another kind, or not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OtherMessage> {
        match &self.0 {
            Payload::Json(json) => json.parse().map_err(|error| OtherMessage::Value { error, received: self.clone() }),
            Payload::Binary(_) | Payload::Text(_) => Err(self.is_no(Kind::Json)),
        }
    }

    /// A text message's text.
    ///
    /// # Errors
    ///
    /// When it is a message of another kind.
    pub fn text(&self) -> Result<&Text, OtherMessage> {
        match &self.0 {
            Payload::Text(text) => Ok(text),
            Payload::Binary(_) | Payload::Json(_) => Err(self.is_no(Kind::Text)),
        }
    }

    /// A binary message's bytes.
    ///
    /// # Errors
    ///
    /// When it is a message of another kind.
    pub fn binary(&self) -> Result<&Bytes, OtherMessage> {
        match &self.0 {
            Payload::Binary(bytes) => Ok(bytes),
            Payload::Json(_) | Payload::Text(_) => Err(self.is_no(Kind::Binary)),
        }
    }

    /// The message as it came.
    pub fn payload(&self) -> &Payload {
        &self.0
    }

    fn is_no(&self, expected: Kind) -> OtherMessage {
        OtherMessage::Kind { expected, received: self.clone() }
    }
}

impl PartialEq<str> for Received {
    fn eq(&self, other: &str) -> bool {
        matches!(&self.0, Payload::Text(text) if text.as_str() == other)
    }
}

impl PartialEq<&str> for Received {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message that is not what the test takes it for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtherMessage {
    /// It is of another kind.
    #[error("not a {expected} message: {received:?}")]
    Kind {
        /// The kind that was asked for.
        expected: Kind,
        /// The message.
        received: Received,
    },
    /// It is JSON, and not the type that was asked for.
    #[error("{error}, in {received:?}")]
    Value {
        /// What is wrong.
        error: JsonError,
        /// The message.
        received: Received,
    },
}
