mod reference;
mod shared;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
pub use reference::MessageRef;
pub(crate) use shared::{Brief, Shared, digest};
use shared::{Exchange, Marks};

use crate::connection::too_deep;
use crate::{EncodeError, Encoded, Json, Payload, RequestId, Text, WireFormat};

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

/// What a queue takes apart, and puts together again.
#[derive(Clone)]
pub(crate) enum Body {
    Own(Payload),
    Shared(Arc<Shared>),
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

    fn with(self, mark: impl FnOnce(&mut Marks)) -> Self {
        let mut marks = self.marks().cloned().unwrap_or_default();
        mark(&mut marks);
        // What was encoded for others is not this message any more.
        Self::with_marks(self.into_payload(), Some(marks))
    }

    fn with_marks(payload: Payload, marks: Option<Marks>) -> Self {
        Self(Body::Shared(Arc::new(Shared::new(payload, marks))))
    }

    #[inline(always)]
    pub(crate) fn into_body(self) -> Body {
        self.0
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
            Body::Shared(shared) => shared.len(),
        }
    }

    /// Whether there is anything more to the message than its payload.
    pub(crate) fn is_marked(&self) -> bool {
        self.marks().is_some()
    }

    /// Whether the message may be [dropped](Self::volatile). A request or a reply may not: somebody waits for it.
    pub fn is_volatile(&self) -> bool {
        matches!(&self.0, Body::Shared(shared) if shared.is_volatile())
    }

    /// What tells which older message this one [replaces](Self::keyed). A request or a reply replaces none.
    pub fn key(&self) -> Option<&Text> {
        if let Body::Shared(shared) = &self.0 { shared.key() } else { None }
    }

    /// Whether only a protocol with frames of its own has a form for this.
    pub(crate) fn is_exchange(&self) -> bool {
        self.marks().is_some_and(|marks| marks.exchange.is_some())
    }

    fn marks(&self) -> Option<&Marks> {
        match &self.0 {
            Body::Own(_) => None,
            Body::Shared(shared) => shared.marks.as_ref(),
        }
    }

    /// What the message holds.
    pub fn payload(&self) -> &Payload {
        self.by_reference().payload()
    }

    /// The message where it lies.
    pub(crate) fn by_reference(&self) -> MessageRef<'_> {
        match &self.0 {
            Body::Own(payload) => MessageRef::own(payload),
            Body::Shared(shared) => MessageRef::of_shared(shared),
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
        self.by_reference().encode(format)
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
}

impl From<Body> for Message {
    #[inline(always)]
    fn from(body: Body) -> Self {
        Self(body)
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
        self.by_reference().fmt(f)
    }
}
