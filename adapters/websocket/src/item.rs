use bytes::Bytes;
use nosphere_core::{Text, Unit};

use crate::Close;

/// What a [`Decoder`](crate::Decoder) takes out of a stream: a message that is whole, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6455 has these and no more")]
pub enum Item {
    /// A binary message.
    Binary(Bytes),
    /// The peer closes. Nothing comes after it.
    Close(Close),
    /// The peer wants a pong with the same payload.
    Ping(Bytes),
    /// The answer to a ping, or a heartbeat that wants none.
    Pong(Bytes),
    /// A text message.
    Text(Text),
}

impl From<Unit> for Item {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Binary(bytes) => Self::Binary(bytes),
            Unit::Text(text) => Self::Text(text),
        }
    }
}
