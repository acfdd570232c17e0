use std::mem;

use bytes::Bytes;
use nosphere_core::{Lent, Unit};

use crate::header::{Header, Kind, MAX_CONTROL, MAX_HEADER};
use crate::message::Message;
use crate::{Close, Item, ProtocolError, Role, Whole, mask};

/// Turns the bytes of one direction of a WebSocket into [`Item`]s.
///
/// It does no I/O. What it keeps between two calls is what arrived of an incomplete frame or message; between messages
/// it holds no buffer. After a close or an error nothing more comes out.
///
/// # Examples
///
/// ```
/// use nosphere_websocket::{Decoder, Item, Role};
///
/// let mut decoder = Decoder::new(Role::Client, 1024);
/// let mut items = Vec::new();
/// decoder.decode(&mut b"\x81\x05hello\x81\x05wo".to_vec(), &mut items)?;
/// decoder.decode(&mut b"rld".to_vec(), &mut items)?;
/// assert_eq!(items, [Item::Text("hello".into()), Item::Text("world".into())]);
/// # Ok::<(), nosphere_websocket::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    max_message_size: usize,
    role: Role,
    ended: bool,
    partial: Option<Box<Partial>>,
}

impl Decoder {
    /// A decoder for what the peer of `role` sends, in messages of `max_message_size` bytes at most.
    pub fn new(role: Role, max_message_size: usize) -> Self {
        Self { max_message_size, role, ended: false, partial: None }
    }

    /// Takes the next bytes of the stream and appends what they complete to `out`.
    ///
    /// The bytes are unmasked in place; what they hold afterwards has no meaning.
    ///
    /// # Errors
    ///
    /// If the peer broke a rule. What came before the error is in `out`.
    pub fn decode(&mut self, input: &mut [u8], out: &mut Vec<Item>) -> Result<(), ProtocolError> {
        let length = input.len();
        let mut left = length;
        while left > 0 {
            let (item, less) = self.decode_next(&mut input[length - left..])?;
            left = less;
            out.extend(item);
        }
        Ok(())
    }

    /// Takes the next bytes of the stream as far as to the end of one item, and says how many are left. There is no item if
    /// they complete none.
    ///
    /// # Errors
    ///
    /// If the peer broke a rule.
    #[inline(never)]
    pub(crate) fn decode_next(&mut self, input: &mut [u8]) -> Result<(Option<Item>, usize), ProtocolError> {
        if self.ended {
            return Ok((None, 0));
        }
        let result = self.run(input);
        self.ended |= result.is_err();
        if self.ended || self.partial.as_ref().is_some_and(|partial| partial.is_idle()) {
            self.partial = None;
        }
        result
    }

    /// The message that the first `filled` bytes of a buffer begin with, if it is whole and in one frame, as most are that
    /// servers read, and breaks none of the rules that its header can.
    #[inline(always)]
    pub(crate) fn whole_frame(&self, buffer: &[u8], filled: usize) -> Option<WholeFrame> {
        // The shortest frames come seldom enough to be found in another way.
        let head = u64::from_le_bytes(*buffer.first_chunk()?);
        let (opcode, second) = (head as u8, (head >> 8) as u8);
        let (length, header, key) = match second {
            0x80..=0xfd => (usize::from(second & 0x7f), SMALL_HEADER, (head >> 16) as u32),
            0xfe => {
                let length = usize::from(((head >> 16) as u16).swap_bytes());
                // A length that is written too long is an error.
                (if length > 125 { length } else { usize::MAX >> 1 }, SMALL_HEADER + 2, (head >> 32) as u32)
            }
            _ => return None,
        };
        let idle = self.role == Role::Server && !self.ended && self.partial.is_none();
        let whole = header + length <= filled && length <= self.max_message_size;
        let data = opcode == WholeFrame::TEXT || opcode == WholeFrame::BINARY;
        (idle && whole && data).then_some(WholeFrame { opcode, header, length, key })
    }

    /// That message, lent from `plain`, where it is unmasked to; a long binary one is unmasked to memory of its own, since its
    /// format keeps nearly all of it.
    ///
    /// What is unmasked and checked are whole blocks, and the last one of a text ends with zeros: there are no odd bytes to be
    /// looked at one by one. So behind all that may be filled, `buffer` has a block more, and so has `plain`.
    #[inline(always)]
    pub(crate) fn lend<'p>(
        &mut self,
        frame: &WholeFrame,
        buffer: &[u8],
        plain: &'p mut [u8],
    ) -> Result<Whole<'p>, ProtocolError> {
        let WholeFrame { opcode, header, length, key } = *frame;
        if opcode == WholeFrame::BINARY && length >= LONG {
            return Ok(Whole::Own(Unit::Binary(mask::copy(&buffer[header..frame.end()], key.to_le_bytes()))));
        }
        frame.unmask(buffer, plain);
        if opcode == WholeFrame::BINARY {
            return Ok(Whole::Lent(Lent::Binary(&plain[..length])));
        }
        let text = text(plain, length);
        self.ended = text.is_none();
        text.map(|text| Whole::Lent(Lent::Text(text))).ok_or(ProtocolError::InvalidUtf8)
    }

    /// Whether a close or an error ended the stream.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The bytes of memory held for what is incomplete.
    pub fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.capacity())
    }

    fn run(&mut self, mut input: &mut [u8]) -> Result<(Option<Item>, usize), ProtocolError> {
        if let Some(WholeFrame { opcode, header, length, key }) = self.whole_frame(input, input.len()) {
            let (frame, rest) = input.split_at_mut(header + length);
            let payload = &mut frame[header..];
            mask::apply(payload, key.to_le_bytes());
            return Ok((Some(message(opcode == WholeFrame::TEXT, payload)?), rest.len()));
        }
        let mut item = None;
        while !input.is_empty() && item.is_none() {
            let step = match &mut self.partial {
                Some(partial) if partial.frame.is_some() => self.resume(input)?,
                Some(partial) if partial.header.length > 0 => {
                    let Some((header, taken)) = partial.header.complete(input, self.role)? else {
                        return Ok((None, 0));
                    };
                    self.frame(header, &mut input[taken..])?
                }
                _ => match Header::parse(input, self.role)? {
                    Some(header) => self.frame(header, &mut input[header.size..])?,
                    None => {
                        self.partial().header.keep(input);
                        return Ok((None, 0));
                    }
                },
            };
            (item, input) = step;
        }
        Ok((item, if self.ended { 0 } else { input.len() }))
    }

    /// Takes what `input` holds of a frame's payload, and gives back what follows it.
    fn frame<'i>(&mut self, header: Header, input: &'i mut [u8]) -> Result<Step<'i>, ProtocolError> {
        let Header { kind, last, key, length, .. } = header;
        self.check(kind, length)?;
        let length = usize::try_from(length).map_err(|_| self.too_large())?;
        let (payload, rest) = input.split_at_mut(length.min(input.len()));
        mask::apply(payload, key);
        let payload = &*payload;
        if payload.len() == length {
            let item = match kind {
                Kind::Binary | Kind::Text if last => Some(message(kind == Kind::Text, payload)?),
                Kind::Binary | Kind::Continuation | Kind::Text => self.append(kind, last, payload)?,
                Kind::Close | Kind::Ping | Kind::Pong => Some(self.control(kind, payload)?),
            };
            return Ok((item, rest));
        }
        let partial = self.partial();
        match kind {
            Kind::Close | Kind::Ping | Kind::Pong => partial.control.extend_from_slice(payload),
            Kind::Binary | Kind::Continuation | Kind::Text => {
                partial.message(kind).append(payload)?;
            }
        }
        let remaining = length - payload.len();
        let key = mask::advance(key, payload.len());
        partial.frame = Some(OpenFrame { kind, last, key, remaining });
        Ok((None, rest))
    }

    /// Goes on with the frame whose payload is incomplete.
    fn resume<'i>(&mut self, input: &'i mut [u8]) -> Result<Step<'i>, ProtocolError> {
        let partial = self.partial();
        let Some(OpenFrame { kind, last, key, remaining }) = partial.frame.take() else {
            return Ok((None, input));
        };
        let (payload, rest) = input.split_at_mut(remaining.min(input.len()));
        mask::apply(payload, key);
        let payload = &*payload;
        if payload.len() < remaining {
            let remaining = remaining - payload.len();
            let key = mask::advance(key, payload.len());
            partial.frame = Some(OpenFrame { kind, last, key, remaining });
        }
        let complete = partial.frame.is_none();
        let item = match kind {
            Kind::Close | Kind::Ping | Kind::Pong => {
                partial.control.extend_from_slice(payload);
                let payload = complete.then(|| mem::take(&mut partial.control));
                payload.map(|payload| self.control(kind, &payload)).transpose()?
            }
            // The message was begun with the frame's first bytes.
            Kind::Binary | Kind::Continuation | Kind::Text => {
                self.append(Kind::Continuation, last && complete, payload)?
            }
        };
        Ok((item, rest))
    }

    /// Applies the rules that need more than the header.
    fn check(&self, kind: Kind, length: u64) -> Result<(), ProtocolError> {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        match (kind, message) {
            (Kind::Close | Kind::Ping | Kind::Pong, _) => return Ok(()),
            (Kind::Binary | Kind::Text, Some(_)) => return Err(ProtocolError::ContinuationExpected),
            (Kind::Continuation, None) => return Err(ProtocolError::ContinuationUnexpected),
            (Kind::Binary | Kind::Text, None) | (Kind::Continuation, Some(_)) => {}
        }
        let before = message.map_or(0, Message::len);
        match self.max_message_size.checked_sub(before) {
            Some(room) if length <= room as u64 => Ok(()),
            _ => Err(self.too_large()),
        }
    }

    /// The message, if these are its last bytes.
    fn append(&mut self, kind: Kind, last: bool, payload: &[u8]) -> Result<Option<Item>, ProtocolError> {
        let partial = self.partial();
        partial.message(kind).append(payload)?;
        partial.message.take_if(|_| last).map(Message::finish).transpose()
    }

    fn control(&mut self, kind: Kind, payload: &[u8]) -> Result<Item, ProtocolError> {
        Ok(match kind {
            Kind::Close => {
                self.ended = true;
                Item::Close(Close::decode(payload)?)
            }
            Kind::Ping => Item::Ping(Bytes::copy_from_slice(payload)),
            Kind::Binary | Kind::Continuation | Kind::Pong | Kind::Text => Item::Pong(Bytes::copy_from_slice(payload)),
        })
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    fn too_large(&self) -> ProtocolError {
        ProtocolError::MessageTooLarge { limit: self.max_message_size }
    }
}

/// An item, and what is behind it.
type Step<'i> = (Option<Item>, &'i mut [u8]);

/// A message that is whole and in one masked frame of at most 65,535 bytes.
pub(crate) struct WholeFrame {
    /// [`TEXT`](Self::TEXT) or [`BINARY`](Self::BINARY).
    opcode: u8,
    header: usize,
    length: usize,
    /// In the order of the bytes, whatever the processor's is: an array would be taken apart.
    key: u32,
}

impl WholeFrame {
    /// The first byte of a message in one frame.
    pub(crate) const TEXT: u8 = 0x81;
    pub(crate) const BINARY: u8 = 0x82;

    /// How many bytes of its buffer it is.
    #[inline(always)]
    pub(crate) fn end(&self) -> usize {
        self.header + self.length
    }

    #[inline(always)]
    pub(crate) fn opcode(&self) -> u8 {
        self.opcode
    }

    /// The length of its message.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Unmasks the message, in whole blocks, from the buffer that begins with the frame.
    #[inline(always)]
    pub(crate) fn unmask(&self, buffer: &[u8], plain: &mut [u8]) {
        let blocks = self.length.next_multiple_of(mask::BLOCK);
        mask::copy_blocks(&buffer[self.header..][..blocks], &mut plain[..blocks], self.key.to_le_bytes());
    }
}

/// The text that so many bytes are, if they are one. What is behind them becomes zeros: text is valid if it is with zeros behind it,
/// and whole characters.
#[inline(always)]
pub(crate) fn text(plain: &mut [u8], length: usize) -> Option<&str> {
    if let Some(behind) = plain[length..].first_chunk_mut::<{ mask::BLOCK }>() {
        *behind = [0; mask::BLOCK];
    }
    let blocks = &plain[..length.next_multiple_of(mask::BLOCK)];
    simdutf8::basic::from_utf8(blocks).ok()?.get(..length)
}

/// A message in memory of its own.
fn message(text: bool, payload: &[u8]) -> Result<Item, ProtocolError> {
    Ok(if text {
        let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
        Item::Text(text.into())
    } else {
        Item::Binary(Bytes::copy_from_slice(payload))
    })
}

/// What is incomplete: a header, a frame's payload, a fragmented message, or the last two at once.
#[derive(Clone, Debug, Default)]
struct Partial {
    header: PartialHeader,
    frame: Option<OpenFrame>,
    control: Vec<u8>,
    message: Option<Message>,
}

impl Partial {
    /// The message that is being put together, begun if need be.
    fn message(&mut self, kind: Kind) -> &mut Message {
        self.message.get_or_insert_with(|| Message::new(kind == Kind::Text))
    }

    fn is_idle(&self) -> bool {
        self.header.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    fn capacity(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Message::capacity);
        size_of::<Self>() + self.control.capacity().min(2 * MAX_CONTROL) + message
    }
}

/// A frame whose payload is incomplete.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    kind: Kind,
    last: bool,
    /// As it applies to the next byte.
    key: [u8; 4],
    remaining: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct PartialHeader {
    bytes: [u8; MAX_HEADER],
    length: usize,
}

impl PartialHeader {
    /// Keeps as much of `input` as a header can need, and says how much.
    fn keep(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(MAX_HEADER - self.length);
        self.bytes[self.length..][..taken].copy_from_slice(&input[..taken]);
        self.length += taken;
        taken
    }

    /// The header, once `input` completes it, and how many bytes of `input` belong to it.
    fn complete(&mut self, input: &[u8], role: Role) -> Result<Option<(Header, usize)>, ProtocolError> {
        let before = self.length;
        self.keep(input);
        let parsed = Header::parse(&self.bytes[..self.length], role)?;
        Ok(parsed.map(|header| {
            self.length = 0;
            (header, header.size - before)
        }))
    }
}

/// From this length on a binary message is copied at once.
const LONG: usize = 4096;

/// Two bytes and a key.
const SMALL_HEADER: usize = 6;
