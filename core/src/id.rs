use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// The largest count and attachment number: 2⁵³−1, so that every language can hold it (SPEC TRM-1).
pub const MAX_COUNT: u64 = (1 << 53) - 1;

/// Names a session. Not a secret.
///
/// ```
/// use nosphere_core::SessionId;
///
/// let id: SessionId = "24f98d6b-c271-4169-8f9c-217343b62aa7".parse()?;
/// assert_eq!(id.to_string(), "24f98d6b-c271-4169-8f9c-217343b62aa7");
/// # Ok::<(), nosphere_core::InvalidId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    /// An id made of 16 random bytes (UUID version 4).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The id as 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl ResumeToken {
    /// The id of the session that this is the only name of, for protocols whose clients have one secret and nothing else
    /// (SPEC ATM-2).
    ///
    /// It tells nothing about the token, so it may be shown and logged like any other.
    pub fn session(&self) -> SessionId {
        SessionId(Uuid::new_v5(&OF_TOKENS, &self.0))
    }
}

/// The namespace of ids that are made from tokens.
const OF_TOKENS: Uuid = Uuid::from_u128(0x8c6e_5f0a_3d0b_4a5e_9d5e_0f2b_7c1d_4e63);

impl From<[u8; 16]> for SessionId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    /// Reads the hyphenated form.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Tells a request from all others of its sender (SPEC §9.2). At most [`MAX_COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a number that its sender chooses")]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hyphenated form in formats for people, 16 bytes in others.
impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(IdVisitor)
        } else {
            deserializer.deserialize_bytes(IdVisitor)
        }
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = SessionId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session id")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SessionId, E> {
        // The text is not quoted: it may be of any length.
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<SessionId, E> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
        Ok(bytes.into())
    }
}

/// The right to resume a session: 128 random bits. `Debug` does not show them.
///
/// `==` is for tests and model checking; [`ResumeToken::matches`] is for peers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumeToken([u8; 16]);

impl ResumeToken {
    /// A token from 16 bytes of a secure random source.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Compares in constant time (SPEC SEC-1).
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The token as 16 bytes, for the wire only.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The token as 32 hexadecimal digits, for the wire only.
    pub fn reveal(&self) -> String {
        self.0.iter().fold(String::with_capacity(32), |mut hex, byte| {
            for digit in [byte >> 4, byte & 15] {
                hex.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
            hex
        })
    }
}

impl FromStr for ResumeToken {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut bytes = [0; 16];
        if text.len() != 32 {
            return Err(InvalidId);
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |d: u8| match d {
                b'0'..=b'9' => Ok(d - b'0'),
                b'a'..=b'f' => Ok(d - b'a' + 10),
                _ => Err(InvalidId),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(…)")
    }
}

/// A text that is no session id, or no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form that SPEC §2 gives")]
#[non_exhaustive]
pub struct InvalidId;

/// Names a link of a connection: one socket, one event stream, one poll.
///
/// Chosen by the adapter, never used twice for a connection, so that a late report about an old link is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a number, chosen by the adapter")]
pub struct LinkId(pub u64);
