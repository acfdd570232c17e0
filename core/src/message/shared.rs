use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use crate::connection::too_deep;
use crate::{EncodeError, Encoded, Frame, Payload, Reply, Request, RequestId, Text, Unit, WireFormat};

/// How many wire formats' encodings a shared message remembers; further ones are encoded for each recipient.
const REMEMBERED_ENCODINGS: usize = 4;

/// A message that many queues may hold, with everything that they have to know of it.
pub(crate) struct Shared {
    pub(super) payload: Payload,
    pub(super) brief: Brief,
    /// Of its key, so that a search looks at few keys.
    pub(crate) key_digest: u32,
    /// What few messages have.
    pub(super) marks: Option<Marks>,
    encodings: [OnceLock<(&'static str, Result<Encoded, EncodeError>)>; REMEMBERED_ENCODINGS],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Marks {
    pub(super) exchange: Option<Exchange>,
    pub(super) key: Option<Text>,
    pub(super) volatile: bool,
}

/// Which side of a request and its reply a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Exchange {
    Reply(RequestId),
    Request(RequestId),
}

/// What a queue has to know of a message.
#[derive(Clone, Copy)]
pub(crate) struct Brief {
    /// The payload's.
    pub(crate) length: usize,
    /// Those of the below that it has.
    pub(crate) traits: u8,
}

impl Brief {
    pub(crate) const BINARY: u8 = 1;
    pub(crate) const TEXT: u8 = 2;
    /// JSON that nests too deep, or a message with marks.
    pub(crate) const SPECIAL: u8 = 4;

    #[inline]
    pub(super) fn new(payload: &Payload, marked: bool) -> Self {
        let traits = match payload {
            Payload::Binary(_) => Self::BINARY,
            Payload::Json(json) if json.is_too_deep() => Self::SPECIAL,
            Payload::Json(_) => 0,
            Payload::Text(_) => Self::TEXT,
        };
        Self { length: payload.len(), traits: if marked { traits | Self::SPECIAL } else { traits } }
    }
}

impl Shared {
    pub(super) fn new(payload: Payload, marks: Option<Marks>) -> Self {
        let brief = Brief::new(&payload, marks.is_some());
        let key_digest = marks.as_ref().and_then(|marks| marks.key.as_ref()).map_or(0, digest);
        Self { payload, brief, key_digest, marks, encodings: Default::default() }
    }

    /// The payload's length.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.brief.length
    }

    /// See [`Message::is_volatile`](crate::Message::is_volatile).
    pub(crate) fn is_volatile(&self) -> bool {
        self.marks.as_ref().is_some_and(|marks| marks.volatile && marks.exchange.is_none())
    }

    /// See [`Message::key`](crate::Message::key).
    pub(crate) fn key(&self) -> Option<&Text> {
        self.marks.as_ref().filter(|marks| marks.exchange.is_none())?.key.as_ref()
    }

    /// What the message is in a format, made when it is first asked for. `None`: there are too many formats.
    #[inline(always)]
    pub(crate) fn encoding(&self, format: &dyn WireFormat) -> Option<&Result<Encoded, EncodeError>> {
        let name = format.name();
        match self.encodings[0].get() {
            // The same text at the same place: nearly always.
            Some((known, encoding)) if std::ptr::eq(*known, name) => Some(encoding),
            _ => self.any_encoding(name, format),
        }
    }

    #[cold]
    fn any_encoding(&self, name: &'static str, format: &dyn WireFormat) -> Option<&Result<Encoded, EncodeError>> {
        let encodings = self
            .encodings
            .iter()
            .map(|slot| slot.get_or_init(|| (name, self.encode(format).map(|unit| Encoded::shared(&unit)))));
        encodings.into_iter().find(|(known, _)| *known == name).map(|(_, encoding)| encoding)
    }

    pub(super) fn encode(&self, format: &dyn WireFormat) -> Result<Unit, EncodeError> {
        if let Payload::Json(json) = &self.payload
            && json.is_too_deep()
        {
            return Err(too_deep());
        }
        let payload = || self.payload.clone();
        match self.marks.as_ref().and_then(|marks| marks.exchange) {
            None => format.encode_kept(&self.payload),
            Some(Exchange::Reply(id)) => format.encode(Frame::Reply(Reply { id, payload: payload() })),
            Some(Exchange::Request(id)) => format.encode(Frame::Request(Request { id, payload: payload() })),
        }
    }
}

/// FNV-1a.
pub(crate) fn digest(key: &Text) -> u32 {
    let step = |digest: u32, byte: &u8| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    key.as_bytes().iter().fold(0x811c_9dc5, step)
}

/// What is remembered of it makes no difference to what a message is.
impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload && self.marks == other.marks
    }
}

impl Eq for Shared {}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.payload.hash(state);
        self.marks.hash(state);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(marks) = &self.marks else { return self.payload.fmt(f) };
        f.debug_struct("Message").field("payload", &self.payload).field("marks", marks).finish()
    }
}
