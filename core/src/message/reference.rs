use super::Shared;
use crate::connection::too_deep;
use crate::{EncodeError, Encoded, FrameParts, Payload, WireFormat};

/// A [`Message`](crate::Message) where it lies: in the queue of a session, which holds nothing of one that many share but where
/// that is.
#[derive(Clone, Copy)]
pub struct MessageRef<'a>(View<'a>);

#[derive(Clone, Copy)]
enum View<'a> {
    Own(&'a Payload),
    Shared(&'a Shared),
}

impl<'a> MessageRef<'a> {
    #[inline(always)]
    pub(crate) fn own(payload: &'a Payload) -> Self {
        Self(View::Own(payload))
    }

    #[inline(always)]
    pub(crate) fn of_shared(shared: &'a Shared) -> Self {
        Self(View::Shared(shared))
    }

    /// What the message holds.
    pub fn payload(self) -> &'a Payload {
        match self.0 {
            View::Own(payload) => payload,
            View::Shared(shared) => &shared.payload,
        }
    }

    /// Whether many recipients share the message; see [`Message::shared`](crate::Message::shared).
    #[inline(always)]
    pub fn is_shared(self) -> bool {
        matches!(self.0, View::Shared(_))
    }

    /// The message as a WebSocket frame, if nothing has to be copied for that: one that is shared, from where all its
    /// recipients have it, or a payload that goes as it is.
    #[inline(always)]
    pub fn frame_parts(self, format: &dyn WireFormat) -> Option<FrameParts<'a>> {
        match self.0 {
            View::Own(Payload::Json(json)) if json.is_too_deep() => None,
            View::Own(payload) => Some(FrameParts::enveloped(payload.as_bytes(), format.envelope(payload)?)),
            View::Shared(shared) => FrameParts::prepared(shared.encoding(format)?.as_ref().ok()?),
        }
    }

    /// The message as a unit of a wire format.
    ///
    /// # Errors
    ///
    /// When the format cannot express the message, or it is JSON that nests too deep.
    pub fn encode(self, format: &dyn WireFormat) -> Result<Encoded, EncodeError> {
        if let Payload::Json(json) = self.payload()
            && json.is_too_deep()
        {
            return Err(too_deep());
        }
        match self.0 {
            View::Own(payload) => format.encode_kept(payload).map(Encoded::new),
            View::Shared(shared) => match shared.encoding(format) {
                Some(encoding) => encoding.clone(),
                None => shared.encode(format).map(Encoded::new),
            },
        }
    }
}

impl std::fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            View::Own(payload) => payload.fmt(f),
            View::Shared(shared) => shared.fmt(f),
        }
    }
}
