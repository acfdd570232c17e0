use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::connection::too_deep;
use crate::{EncodeError, Encoded, Frame, Json, Text, WireFormat};

/// How many wire formats' encodings a shared message remembers; further ones are encoded for each recipient.
const REMEMBERED_ENCODINGS: usize = 4;

/// A payload may hold on to this many times its own length, and to this many bytes more.
const MAX_HELD_MULTIPLE: usize = 16;
const MAX_HELD_EXTRA: usize = 256;

/// Whether something of a length must not be a slice of something so much longer.
pub(crate) fn holds_too_much(length: usize, held: usize) -> bool {
    held > MAX_HELD_MULTIPLE * length + MAX_HELD_EXTRA
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "text, JSON and binary are all that SPEC §2 has")]
pub enum Payload {
    /// Bytes.
    Binary(Bytes),
    /// A JSON value.
    Json(Json),
    /// Text.
    Text(Text),
}

impl Payload {
    /// The length of the payload in the encoding that it is in, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len(),
            Self::Json(json) => json.bytes().len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Copies the payload out of the memory that it shares, if that is far larger than itself.
    ///
    /// `held` is the length of what it is a slice of. Queues count what a payload holds; this keeps that near to the truth.
    #[must_use]
    pub fn detached(self, held: usize) -> Self {
        if !holds_too_much(self.len(), held) {
            return self;
        }
        match self {
            Self::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(&bytes)),
            Self::Json(json) => Self::Json(json.detached()),
            Self::Text(text) => Self::Text(text.as_str().into()),
        }
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which kind of message this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Binary(_) => Kind::Binary,
            Self::Json(_) => Kind::Json,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "text, JSON and binary are all that SPEC §2 has")]
pub enum Kind {
    /// Bytes.
    Binary,
    /// A JSON value.
    Json,
    /// Text.
    Text,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binary => "binary",
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// A message to send: a payload for one session, or one shared by many.
///
/// Cloning copies no payload. A [shared](Message::shared) message is encoded once for each wire format, however many
/// sessions it is sent to.
#[derive(Clone)]
pub struct Message(Body);

#[derive(Clone)]
enum Body {
    Own(Payload),
    Shared(Arc<Shared>),
}

struct Shared {
    payload: Payload,
    encodings: [OnceLock<(&'static str, Result<Encoded, EncodeError>)>; REMEMBERED_ENCODINGS],
}

impl Message {
    /// Makes one message for many recipients.
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            Body::Own(payload) => Self(Body::Shared(Arc::new(Shared { payload, encodings: Default::default() }))),
            Body::Shared(_) => self,
        }
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Payload::Binary(bytes.into()).into()
    }

    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Payload::Text(text.into()).into()
    }

    /// What the message holds.
    pub fn payload(&self) -> &Payload {
        match &self.0 {
            Body::Own(payload) => payload,
            Body::Shared(shared) => &shared.payload,
        }
    }

    /// The message's content, without a copy of its bytes.
    pub fn into_payload(self) -> Payload {
        match self.0 {
            Body::Own(payload) => payload,
            Body::Shared(shared) => shared.payload.clone(),
        }
    }

    /// The message as a unit of a wire format.
    ///
    /// # Errors
    ///
    /// When the format cannot express the message, or it is JSON that nests too deep.
    pub fn encode(&self, format: &dyn WireFormat) -> Result<Encoded, EncodeError> {
        if let Payload::Json(json) = self.payload()
            && json.is_too_deep()
        {
            return Err(too_deep());
        }
        let encode = |payload: &Payload| format.encode(Frame::Message(payload.clone()));
        match &self.0 {
            Body::Own(payload) => encode(payload).map(Encoded::new),
            Body::Shared(shared) => {
                let name = format.name();
                for slot in &shared.encodings {
                    let entry = slot.get_or_init(|| (name, encode(&shared.payload).map(|unit| Encoded::shared(&unit))));
                    if entry.0 == name {
                        return entry.1.clone();
                    }
                }
                encode(&shared.payload).map(Encoded::new)
            }
        }
    }
}

impl From<Payload> for Message {
    fn from(payload: Payload) -> Self {
        Self(Body::Own(payload))
    }
}

impl From<Json> for Message {
    fn from(json: Json) -> Self {
        Payload::Json(json).into()
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Payload::Text(text).into()
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Payload::Binary(bytes).into()
    }
}

impl From<serde_json::Value> for Message {
    /// A JSON message. A value that nests deeper than [`MAX_DEPTH`](crate::MAX_DEPTH) is refused when it is sent.
    fn from(value: serde_json::Value) -> Self {
        Json::from_value(&value).into()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.payload() == other.payload()
    }
}

impl Eq for Message {}

impl Hash for Message {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.payload().hash(state);
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.payload().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_payload_lets_go_of_a_large_unit_and_a_large_one_is_not_copied() {
        let unit = Bytes::from(vec![b'1'; 100_000]);
        let within = |payload: &Payload| {
            let bytes = match payload {
                Payload::Binary(bytes) => bytes.as_ptr(),
                Payload::Json(json) => json.bytes().as_ptr(),
                Payload::Text(text) => text.as_ptr(),
            };
            unit.as_ptr_range().contains(&bytes)
        };
        let Ok(text) = Text::from_utf8(unit.clone()) else { panic!("ASCII") };
        let payloads = |length: usize| {
            [
                Payload::Binary(unit.slice(..length)),
                Payload::Json(Json::from_checked(unit.slice(..length), crate::JsonEncoding::Text)),
                Payload::Text(text.slice_of(&text[..length])),
            ]
        };
        for payload in payloads(10) {
            assert!(within(&payload));
            let own = payload.clone().detached(unit.len());
            assert!(!within(&own));
            assert_eq!(own, payload);
        }
        assert!(payloads(10_000).into_iter().all(|payload| within(&payload.detached(unit.len()))));
    }
}
