use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::connection::too_deep;
use crate::{
    EncodeError, Encoded, Frame, FrameParts, Json, Payload, Reply, Request, RequestId, Text, Unit, WireFormat,
};

/// How many wire formats' encodings a shared message remembers; further ones are encoded for each recipient.
const REMEMBERED_ENCODINGS: usize = 4;

/// A message to send: a payload for one session, or one shared by many.
///
/// Cloning copies no payload. A [shared](Message::shared) message is encoded once for each wire format, however many
/// sessions it is sent to.
///
/// ```
/// use nosphere_core::Message;
///
/// let hello = Message::text("hello");
/// // Either goes out now, or not at all.
/// let cursor = Message::text("17,4").volatile();
/// // A newer one of the same key takes its place while it waits.
/// let price = Message::text("ACME 12.30").keyed("ACME");
/// ```
#[derive(Clone)]
pub struct Message(Body);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Marks {
    exchange: Option<Exchange>,
    key: Option<Text>,
    volatile: bool,
}

/// Which side of a request and its reply a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Exchange {
    Reply(RequestId),
    Request(RequestId),
}

#[derive(Clone)]
enum Body {
    Own(Payload),
    Shared(Arc<Shared>),
}

struct Shared {
    payload: Payload,
    brief: Brief,
    /// What few messages have.
    marks: Option<Marks>,
    encodings: [OnceLock<(&'static str, Result<Encoded, EncodeError>)>; REMEMBERED_ENCODINGS],
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
    fn new(payload: &Payload, marked: bool) -> Self {
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
    /// What the message is in a format, made when it is first asked for. `None`: there are too many formats.
    #[inline(always)]
    fn encoding(&self, format: &dyn WireFormat) -> Option<&Result<Encoded, EncodeError>> {
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

    fn encode(&self, format: &dyn WireFormat) -> Result<Unit, EncodeError> {
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

impl Message {
    /// Makes one message for many recipients.
    ///
    /// Broadcasts do so by themselves. It is for a message that is sent to several sessions one by one.
    ///
    /// ```
    /// use nosphere_core::Message;
    ///
    /// let news = Message::text("news").shared();
    /// let copies = [news.clone(), news.clone(), news]; // encoded once, whoever gets them
    /// ```
    #[must_use]
    pub fn shared(self) -> Self {
        match self.0 {
            Body::Own(payload) => Self::with_marks(payload, None),
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

    /// A message that asks for a reply, which names the same id (SPEC §9.2).
    ///
    /// In the crate `nosphere`, `Client::request` chooses the id and waits for the reply.
    pub fn request(id: RequestId, message: impl Into<Self>) -> Self {
        message.into().with(|marks| marks.exchange = Some(Exchange::Request(id)))
    }

    /// The answer to a request.
    pub fn reply(id: RequestId, message: impl Into<Self>) -> Self {
        message.into().with(|marks| marks.exchange = Some(Exchange::Reply(id)))
    }

    /// The same message, to be dropped when it cannot go out now: for a cursor's place, or anything else that is worthless
    /// a moment later.
    ///
    /// It is dropped when the session has no link, when its peer's window or its socket takes nothing, and when
    /// [`Config::max_volatile_waiting`](crate::Config::max_volatile_waiting) messages wait before it. Nobody is told,
    /// and no number is left unused: a message has none until it is handed to a link. What a handler sends in one go counts
    /// as waiting until it goes out. When the queue is full it is dropped, too: no other message has to make room for it.
    #[must_use]
    pub fn volatile(self) -> Self {
        self.with(|marks| marks.volatile = true)
    }

    /// The same message, to take the place of an older one of the same key that still waits: for a ticker's price, or
    /// anything else of which only the newest counts.
    ///
    /// It takes that very place in the queue, so that what changes often does not wait for ever; it may thus overtake
    /// what was sent between the two.
    #[must_use]
    pub fn keyed(self, key: impl Into<Text>) -> Self {
        let key = key.into();
        self.with(|marks| marks.key = Some(key))
    }

    /// What a queue has to know, without a look at the payload that many recipients share.
    #[inline]
    pub(crate) fn brief(&self) -> Brief {
        match &self.0 {
            Body::Own(payload) => Brief::new(payload, false),
            Body::Shared(shared) => shared.brief,
        }
    }

    /// The payload's length.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Body::Own(payload) => payload.len(),
            Body::Shared(shared) => shared.brief.length,
        }
    }

    /// Whether there is anything more to the message than its payload.
    pub(crate) fn is_marked(&self) -> bool {
        self.marks().is_some()
    }

    /// Whether the message may be [dropped](Self::volatile). A request or a reply may not: somebody waits for it.
    pub fn is_volatile(&self) -> bool {
        self.marks().is_some_and(|marks| marks.volatile && marks.exchange.is_none())
    }

    /// What tells which older message this one [replaces](Self::keyed). A request or a reply replaces none.
    pub fn key(&self) -> Option<&Text> {
        self.marks().filter(|marks| marks.exchange.is_none())?.key.as_ref()
    }

    /// Whether only a protocol with frames of its own has a form for this.
    pub(crate) fn is_exchange(&self) -> bool {
        self.exchange().is_some()
    }

    fn exchange(&self) -> Option<Exchange> {
        self.marks()?.exchange
    }

    fn marks(&self) -> Option<&Marks> {
        match &self.0 {
            Body::Own(_) => None,
            Body::Shared(shared) => shared.marks.as_ref(),
        }
    }

    fn with(self, mark: impl FnOnce(&mut Marks)) -> Self {
        let mut marks = self.marks().cloned().unwrap_or_default();
        mark(&mut marks);
        // What was encoded for others is not this message any more.
        Self::with_marks(self.into_payload(), Some(marks))
    }

    fn with_marks(payload: Payload, marks: Option<Marks>) -> Self {
        let brief = Brief::new(&payload, marks.is_some());
        Self(Body::Shared(Arc::new(Shared { payload, brief, marks, encodings: Default::default() })))
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
        match &self.0 {
            Body::Own(payload) => format.encode_kept(payload).map(Encoded::new),
            Body::Shared(shared) => match shared.encoding(format) {
                Some(encoding) => encoding.clone(),
                None => shared.encode(format).map(Encoded::new),
            },
        }
    }

    /// [`encode`](Self::encode) for a message that is not needed any more. It comes back if it cannot be encoded.
    pub(crate) fn encode_last(self, format: &dyn WireFormat) -> Result<Encoded, (Self, EncodeError)> {
        match self.0 {
            Body::Own(Payload::Json(json)) if json.is_too_deep() => Err((json.into(), too_deep())),
            Body::Own(payload) => {
                format.encode_given(payload).map(Encoded::new).map_err(|(payload, error)| (payload.into(), error))
            }
            Body::Shared(_) => self.encode(format).map_err(|error| (self, error)),
        }
    }

    /// Whether many recipients share the message; see [`shared`](Self::shared).
    #[inline]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Body::Shared(_))
    }

    /// The message as a WebSocket frame, if nothing has to be copied for that: one that is shared, from where all its
    /// recipients have it, or a payload that goes as it is.
    #[inline(always)]
    pub fn frame_parts(&self, format: &dyn WireFormat) -> Option<FrameParts<'_>> {
        match &self.0 {
            Body::Own(Payload::Json(json)) if json.is_too_deep() => None,
            Body::Own(payload) => Some(FrameParts::enveloped(payload.as_bytes(), format.envelope(payload)?)),
            Body::Shared(shared) => FrameParts::prepared(shared.encoding(format)?.as_ref().ok()?),
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
        self.payload() == other.payload() && self.marks() == other.marks()
    }
}

impl Eq for Message {}

impl Hash for Message {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.payload().hash(state);
        self.marks().hash(state);
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(marks) = self.marks() else { return self.payload().fmt(f) };
        f.debug_struct("Message").field("payload", self.payload()).field("marks", marks).finish()
    }
}
