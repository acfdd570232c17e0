use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::{BufMut as _, Bytes, BytesMut};
use bytes_utils::Str;

use crate::payload::holds_too_much;

/// What a carrier moves whole: a WebSocket message, the data of an SSE event, an item of a batch.
///
/// SPEC §2. A wire format turns one frame into one unit and back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "carriers move text or bytes, nothing else")]
pub enum Unit {
    /// Bytes without a known encoding.
    Binary(Bytes),
    /// UTF-8 text.
    Text(Text),
}

impl Unit {
    /// The length that windows and size limits count, in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Copies the unit out of the memory that it shares, if that is far larger than itself.
    #[must_use]
    pub fn detached(self, held: usize) -> Self {
        if !holds_too_much(self.len(), held) {
            return self;
        }
        match self {
            Self::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(&bytes)),
            Self::Text(text) => Self::Text(text.as_str().into()),
        }
    }

    /// Whether the unit holds no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content, whichever kind it is.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Binary(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// A [`Unit`] that is only lent, by who has read it into a buffer of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "carriers move text or bytes, nothing else")]
pub enum Lent<'a> {
    /// Bytes without a known encoding.
    Binary(&'a [u8]),
    /// UTF-8 text.
    Text(&'a str),
}

impl Lent<'_> {
    /// The length that windows and size limits count, in bytes.
    pub fn len(self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Whether the unit holds no bytes at all.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A copy of it.
    pub fn to_unit(self) -> Unit {
        match self {
            Self::Binary(bytes) => Unit::Binary(Bytes::copy_from_slice(bytes)),
            Self::Text(text) => Unit::Text(text.into()),
        }
    }
}

/// UTF-8 text that shares its bytes: cloning and slicing copy nothing.
///
/// ```
/// use nosphere_core::Text;
///
/// let text = Text::from("hello, world");
/// let hello = text.slice_of(&text[..5]);
/// assert_eq!(hello.as_str(), "hello");
/// assert_eq!(hello.bytes().as_ptr(), text.bytes().as_ptr());
/// ```
#[derive(Clone, Default)]
pub struct Text {
    string: Str,
    /// Neither equality nor order nor hash sees it.
    verbatim: bool,
}

impl Text {
    /// An empty text.
    pub const fn new() -> Self {
        Self::from_static("")
    }

    /// A text that borrows from the program itself.
    pub const fn from_static(text: &'static str) -> Self {
        Self::unmarked(Str::from_static(text))
    }

    #[inline]
    pub(crate) const fn unmarked(string: Str) -> Self {
        Self { string, verbatim: false }
    }

    /// Takes bytes that are UTF-8, without a copy.
    ///
    /// # Errors
    ///
    /// Gives the bytes back if they are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, Bytes> {
        Str::try_from(bytes).map(Self::unmarked).map_err(|error| error.into_inner())
    }

    /// The text as a string slice.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.string
    }

    /// The same text, with the word of a wire format that it has read it as a JSON string literal without escapes: whoever
    /// writes it again need not look for what has to be escaped.
    ///
    /// A text that is said to be so and is not breaks the JSON that it is written into.
    #[must_use]
    #[inline]
    pub fn assume_verbatim(self) -> Self {
        Self { verbatim: true, ..self }
    }

    /// Whether the text is known to be [verbatim](Self::assume_verbatim) in JSON. One that was not read from JSON is not known to be.
    #[inline]
    pub fn is_verbatim(&self) -> bool {
        self.verbatim
    }

    /// A part of this text that shares its bytes.
    ///
    /// # Panics
    ///
    /// If `part` is not a slice of this very text.
    #[must_use]
    pub fn slice_of(&self, part: &str) -> Self {
        Self { string: self.string.slice_ref(part), verbatim: self.verbatim }
    }

    /// The bytes of the text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.string.into_inner()
    }

    /// The shared bytes of the text.
    pub fn bytes(&self) -> &Bytes {
        self.string.inner()
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.string
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.string == other.string
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.string.cmp(&other.string)
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.string.hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::unmarked(Str::from(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        // In memory of just this length.
        Self::unmarked(Str::from(Box::<str>::from(text)))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// A unit on its way out.
///
/// A unit that many recipients share carries, in the same block and right before its payload, the RFC 6455 header of an
/// unmasked, final frame: WebSocket writes the block as it is, every other carrier takes the payload.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Encoded {
    block: Bytes,
    header: u8,
    text: bool,
}

impl Encoded {
    /// Wraps a unit for one recipient. Copies nothing; there is no prepared header.
    pub fn new(unit: Unit) -> Self {
        match unit {
            Unit::Binary(block) => Self { block, header: 0, text: false },
            Unit::Text(text) => Self { block: text.into_bytes(), header: 0, text: true },
        }
    }

    /// Prepares a unit for many recipients: one copy, header included.
    pub fn shared(unit: &Unit) -> Self {
        let payload = unit.as_bytes();
        let text = matches!(unit, Unit::Text(_));
        let (header, length) = frame_header(text, payload.len());
        let mut block = BytesMut::with_capacity(usize::from(length) + payload.len());
        block.put_slice(&header[..usize::from(length)]);
        block.put_slice(payload);
        Self { block: block.freeze(), header: length, text }
    }

    /// The unit's content.
    pub fn payload(&self) -> &[u8] {
        &self.block[usize::from(self.header)..]
    }

    #[inline]
    pub(crate) fn payload_len(&self) -> usize {
        self.block.len() - usize::from(self.header)
    }

    /// The unit's content, sharing its bytes.
    pub fn payload_bytes(&self) -> Bytes {
        self.block.slice(usize::from(self.header)..)
    }

    /// Header and payload of a whole WebSocket frame, if it was prepared.
    #[inline]
    pub fn frame(&self) -> Option<&Bytes> {
        (self.header != 0).then_some(&self.block)
    }

    /// The block without its prepared header's claim: header and payload if prepared, else the payload alone.
    pub fn into_block(self) -> Bytes {
        self.block
    }

    /// Whether the unit is text.
    pub fn is_text(&self) -> bool {
        self.text
    }
}

impl fmt::Debug for Encoded {
    /// Without the content: a unit may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.text { "text" } else { "binary" };
        write!(f, "Encoded({kind}, {} bytes)", self.payload().len())
    }
}

/// The header of an unmasked, final data frame (RFC 6455 §5.2) and its length.
#[inline]
pub fn frame_header(text: bool, length: usize) -> ([u8; 10], u8) {
    let mut header = [0; 10];
    header[0] = if text { 0x81 } else { 0x82 };
    if length < 126 {
        header[1] = length as u8;
        (header, 2)
    } else if let Ok(short) = u16::try_from(length) {
        header[1] = 126;
        header[2..4].copy_from_slice(&short.to_be_bytes());
        (header, 4)
    } else {
        header[1] = 127;
        header[2..].copy_from_slice(&(length as u64).to_be_bytes());
        (header, 10)
    }
}
