use std::fmt;

use bytes::Bytes;

use crate::{Encoded, Text, Unit, frame_header};

/// What a wire format writes before and behind a payload that goes as it is: a few bytes.
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
    after: [u8; Self::MAX_AFTER],
    before_len: u8,
    after_len: u8,
    text: bool,
}

impl Envelope {
    /// The most bytes that may stand before a payload.
    pub const MAX_BEFORE: usize = 16;

    /// The most bytes that may stand behind a payload.
    pub const MAX_AFTER: usize = 8;

    /// An envelope of what stands before and behind. `text`: units are text.
    ///
    /// # Panics
    ///
    /// If there are more than [`MAX_BEFORE`](Self::MAX_BEFORE) bytes before, or [`MAX_AFTER`](Self::MAX_AFTER) behind.
    pub const fn new(text: bool, before: &[u8], after: &[u8]) -> Self {
        assert!(before.len() <= Self::MAX_BEFORE && after.len() <= Self::MAX_AFTER, "an envelope is a few bytes");
        let mut envelope = Self {
            before: [0; Self::MAX_BEFORE],
            after: [0; Self::MAX_AFTER],
            before_len: before.len() as u8,
            after_len: after.len() as u8,
            text,
        };
        envelope.before.split_at_mut(before.len()).0.copy_from_slice(before);
        envelope.after.split_at_mut(after.len()).0.copy_from_slice(after);
        envelope
    }

    /// How many bytes it adds to a payload.
    #[inline]
    pub const fn len(&self) -> usize {
        self.before_len as usize + self.after_len as usize
    }

    /// Whether it adds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands before a payload.
    pub fn before(&self) -> &[u8] {
        &self.before[..self.before_len.into()]
    }

    /// What stands behind it.
    #[inline]
    pub fn after(&self) -> &[u8] {
        &self.after[..self.after_len.into()]
    }

    /// The unit that the envelope and a payload make.
    pub fn unit(&self, payload: &[u8]) -> Unit {
        let unit = Bytes::from([self.before(), payload, self.after()].concat());
        match self.text {
            // A payload that is not UTF-8 makes no text, whatever its format says.
            true => Text::from_utf8(unit).map_or_else(Unit::Binary, Unit::Text),
            false => Unit::Binary(unit),
        }
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({}…{})", self.before().escape_ascii(), self.after().escape_ascii())
    }
}

/// A message as a WebSocket frame of a server, in parts of which the longest lies where it is: to be written without a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameParts<'a> {
    /// The payload, or the whole frame if it is [prepared](Encoded::frame).
    body: &'a [u8],
    unit: usize,
    envelope: Option<Envelope>,
}

impl<'a> FrameParts<'a> {
    /// A frame that many recipients share, if it is prepared.
    #[inline]
    pub(crate) fn prepared(unit: &'a Encoded) -> Option<Self> {
        Some(Self { body: unit.frame()?, unit: unit.payload_len(), envelope: None })
    }

    #[inline(always)]
    pub(crate) fn enveloped(body: &'a [u8], envelope: Envelope) -> Self {
        Self { body, unit: body.len() + envelope.len(), envelope: Some(envelope) }
    }

    /// The frame, if it is in one part: it is [prepared](Encoded::frame) for many recipients.
    #[inline]
    pub fn whole(&self) -> Option<&'a [u8]> {
        self.envelope.is_none().then_some(self.body)
    }

    /// What is written one after the other: the frame's header and what the envelope has before the payload, put together in
    /// `head`; the payload; and what the envelope has behind it. The first and the last may be empty.
    #[inline(always)]
    pub fn parts<'p>(&'p self, head: &'p mut FrameHead) -> [&'p [u8]; 3] {
        match &self.envelope {
            Some(envelope) => {
                let length = put_head(&mut head.0, envelope, self.unit);
                [&head.0[..length], self.body, envelope.after()]
            }
            None => [&[], self.body, &[]],
        }
    }

    /// Copies the frame to the beginning of `out`, and says how long it is. `None`, and what is in `out` has no meaning, if there is no
    /// room for it; it takes up to [`SPARE`](Self::SPARE) bytes more than its [length](Self::len).
    #[inline(always)]
    pub fn copy_to(&self, out: &mut [u8]) -> Option<usize> {
        let Some(envelope) = &self.envelope else {
            out.get_mut(..self.body.len())?.copy_from_slice(self.body);
            return Some(self.body.len());
        };
        // What the envelope has is copied in lengths that are known beforehand: no loops, no calls.
        let length = put_head(out.first_chunk_mut()?, envelope, self.unit);
        let (body, behind) = out.get_mut(length..)?.split_at_mut_checked(self.body.len())?;
        body.copy_from_slice(self.body);
        *behind.first_chunk_mut()? = envelope.after;
        Some(length + self.body.len() + usize::from(envelope.after_len))
    }

    /// See [`copy_to`](Self::copy_to).
    pub const SPARE: usize = MAX_HEAD + Envelope::MAX_AFTER;

    /// The length of the frame, header included.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.envelope {
            Some(envelope) => usize::from(frame_header(envelope.text, self.unit).1) + self.unit,
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

/// Room for what a frame begins with; see [`FrameParts::parts`].
#[derive(Clone, Copy, Debug)]
pub struct FrameHead([u8; MAX_HEAD]);

impl Default for FrameHead {
    fn default() -> Self {
        Self([0; MAX_HEAD])
    }
}

/// Puts what a frame begins with into an array, and says how much that is.
#[inline(always)]
fn put_head(head: &mut [u8; MAX_HEAD], envelope: &Envelope, unit: usize) -> usize {
    let (header, size) = frame_header(envelope.text, unit);
    head[..MAX_HEADER].copy_from_slice(&header);
    let size = usize::from(size).min(MAX_HEADER);
    head[size..size + Envelope::MAX_BEFORE].copy_from_slice(&envelope.before);
    (size + usize::from(envelope.before_len)).min(MAX_HEAD)
}

/// The longest header of a server's frame,
const MAX_HEADER: usize = 10;

/// and that and an envelope's beginning.
const MAX_HEAD: usize = MAX_HEADER + Envelope::MAX_BEFORE;
