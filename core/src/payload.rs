use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Json, JsonError, Text};

/// A payload may hold on to this many times its own length, and to this many bytes more.
pub(crate) const MAX_HELD_MULTIPLE: usize = 16;
pub(crate) const MAX_HELD_EXTRA: usize = 256;

/// Whether something of a length must not be a slice of something so much longer.
pub(crate) fn holds_too_much(length: usize, held: usize) -> bool {
    held > MAX_HELD_MULTIPLE * length + MAX_HELD_EXTRA
}

/// The content of a message.
///
/// ```
/// use nosphere_core::{Kind, Payload};
///
/// let payload = Payload::Text("hello".into());
/// assert_eq!(payload.kind(), Kind::Text);
/// assert_eq!(payload.as_text().map(|text| text.as_str()), Some("hello"));
/// assert!(payload.parse::<u32>().is_err(), "a text is not JSON, whatever it holds");
/// ```
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
        self.as_bytes().len()
    }

    /// The payload in the encoding that it is in.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Binary(bytes) => bytes,
            Self::Json(json) => json.bytes(),
            Self::Text(text) => text.as_bytes(),
        }
    }

    /// Copies the payload out of the memory that it shares, if that is far larger than itself.
    ///
    /// `held` is the length of what it is a slice of. Queues count what a payload holds; this keeps that near to the truth.
    #[must_use]
    pub fn detached(self, held: usize) -> Self {
        if self.holds_too_much(held) { self.copied() } else { self }
    }

    /// Whether that would be a copy: nearly never.
    #[inline]
    pub(crate) fn holds_too_much(&self, held: usize) -> bool {
        holds_too_much(self.len(), held)
    }

    #[cold]
    pub(crate) fn copied(self) -> Self {
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

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&Text> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The value, if it is JSON.
    pub fn as_json(&self) -> Option<&Json> {
        if let Self::Json(json) = self { Some(json) } else { None }
    }

    /// The bytes, if it is binary.
    pub fn as_binary(&self) -> Option<&Bytes> {
        if let Self::Binary(bytes) = self { Some(bytes) } else { None }
    }

    /// Parses the value, if it is JSON.
    ///
    /// # Errors
    ///
    /// When it is not, or is not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        match self {
            Self::Json(json) => json.parse(),
            Self::Binary(_) | Self::Text(_) => Err(JsonError::other(self.kind())),
        }
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
