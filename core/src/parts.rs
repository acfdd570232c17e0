use std::fmt;

use bytes::Bytes;

use crate::{Encoded, Text, Unit, frame_header};

/// What a wire format writes before and behind a payload that goes as it is.
///
/// ```
/// use nosphere_core::Envelope;
///
/// const TEXT: Envelope = Envelope::new(true, br#"{"text":""#, br#""}"#);
/// assert_eq!(TEXT.len(), 11);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Envelope {
    before: [u8; Self::MAX_BEFORE],
    length: u8,
    text: bool,
    after: &'static [u8],
}

impl Envelope {
    /// The most bytes that may stand before a payload.
    pub const MAX_BEFORE: usize = 16;

    /// An envelope of what stands before and behind. `text`: units are text.
    ///
    /// # Panics
    ///
    /// If there are more than [`MAX_BEFORE`](Self::MAX_BEFORE) bytes before.
    pub const fn new(text: bool, before: &[u8], after: &'static [u8]) -> Self {
        assert!(before.len() <= Self::MAX_BEFORE, "an envelope begins with a few bytes");
        let mut copy = [0; Self::MAX_BEFORE];
        copy.split_at_mut(before.len()).0.copy_from_slice(before);
        Self { before: copy, length: before.len() as u8, text, after }
    }

    /// How many bytes it adds to a payload.
    pub const fn len(&self) -> usize {
        self.length as usize + self.after.len()
    }

    /// Whether it adds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit that the envelope and a payload make.
    pub fn unit(&self, payload: &[u8]) -> Unit {
        let before = &self.before[..self.length.into()];
        let unit = Bytes::from([before, payload, self.after].concat());
        match self.text {
            // A payload that is not UTF-8 makes no text, whatever its format says.
            true => Text::from_utf8(unit).map_or_else(Unit::Binary, Unit::Text),
            false => Unit::Binary(unit),
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before[..self.length.into()].escape_ascii();
        write!(f, "Envelope({before}…{})", self.after.escape_ascii())
    }
}

/// A message as a WebSocket frame of a server, in parts that lie where they are: to be written without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameParts<'a> {
    /// The payload, or the whole frame if it is [prepared](Encoded::frame).
    body: &'a [u8],
    unit: usize,
    around: Option<Around>,
}

/// What is written around a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Around {
    /// The frame's header, and what the envelope has before the payload.
    head: [u8; MAX_HEADER + Envelope::MAX_BEFORE],
    length: u8,
    after: &'static [u8],
}

impl<'a> FrameParts<'a> {
    /// A frame that many recipients share, if it is prepared.
    #[inline]
    pub(crate) fn prepared(unit: &'a Encoded) -> Option<Self> {
        Some(Self { body: unit.frame()?, unit: unit.payload_len(), around: None })
    }

    #[inline]
    pub(crate) fn enveloped(body: &'a [u8], envelope: &Envelope) -> Self {
        let unit = body.len() + envelope.len();
        let (header, size) = frame_header(envelope.text, unit);
        let mut head = [0; MAX_HEADER + Envelope::MAX_BEFORE];
        let size = usize::from(size).min(MAX_HEADER);
        head[..MAX_HEADER].copy_from_slice(&header);
        head[size..size + Envelope::MAX_BEFORE].copy_from_slice(&envelope.before);
        let around = Around { head, length: size as u8 + envelope.length, after: envelope.after };
        Self { body, unit, around: Some(around) }
    }

    /// The frame, if it is in one part: it is [prepared](Encoded::frame) for many recipients.
    #[inline]
    pub fn whole(&self) -> Option<&'a [u8]> {
        self.around.is_none().then_some(self.body)
    }

    /// What is to be written, in order. Parts may be empty.
    #[inline]
    pub fn parts(&self) -> [&[u8]; 3] {
        match &self.around {
            Some(around) => [&around.head[..around.length.into()], self.body, around.after],
            None => [&[], self.body, &[]],
        }
    }

    /// The length of the frame, header included.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.around {
            Some(around) => usize::from(around.length) + self.body.len() + around.after.len(),
            None => self.body.len(),
        }
    }

    /// Whether there is nothing to write, which does not happen: a frame has a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of the unit, which windows count.
    #[inline]
    pub fn unit_len(&self) -> usize {
        self.unit
    }
}

/// The longest header of a server's frame.
const MAX_HEADER: usize = 10;
