use std::mem;

use bytes::Bytes;
use nosphere_core::{Lent, Unit};

use crate::batch::Batch;
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
        if self.ended {
            return Ok(());
        }
        let mut batch = Batch::new(out);
        let result = self.run(input, &mut batch);
        // A message that turns out not to be UTF-8 came before what ended the run.
        let result = batch.close().and(result);
        self.ended |= result.is_err();
        if self.ended || self.partial.as_ref().is_some_and(|partial| partial.is_idle()) {
            self.partial = None;
        }
        result
    }

    /// The message that the first `filled` bytes of a buffer are, if they are one and no more: most reads of servers are. It is
    /// unmasked in place, and lent; a long binary one is unmasked where it is copied to, since its format keeps nearly all of it.
    ///
    /// With `None`, nothing has happened: [`decode`](Self::decode) takes what this does not. Of the buffer's other bytes, which
    /// have no meaning, some change.
    #[inline(always)]
    pub(crate) fn lend<'i>(
        &mut self,
        buffer: &'i mut [u8],
        filled: usize,
    ) -> Option<Result<Whole<'i>, ProtocolError>> {
        if self.role == Role::Client || self.ended || self.partial.is_some() {
            return None;
        }
        let (first, length, key) = match *buffer {
            [first, second @ 0x80..=0xfd, a, b, c, d, ..] => (first, usize::from(second & 0x7f), [a, b, c, d]),
            [first, 0xfe, high, low, a, b, c, d, ..] => {
                (first, usize::from(u16::from_be_bytes([high, low])), [a, b, c, d])
            }
            _ => return None,
        };
        let header = SMALL_HEADER + if buffer[1] == 0xfe { 2 } else { 0 };
        let text = first == 0x81;
        // A length that is written too long is an error.
        let short = length < 126 && buffer[1] == 0xfe;
        let data = text || first == 0x82;
        if !data || short || length > self.max_message_size || filled != header + length {
            return None;
        }
        // In whole blocks, the last of which ends with whatever is there: no odd bytes to unmask, or to check.
        let padded = buffer.get_mut(header..header + length + mask::BLOCK)?;
        if !text && length >= LONG {
            return Some(Ok(Whole::Own(Unit::Binary(mask::copy(&padded[..length], key)))));
        }
        let blocks = length.next_multiple_of(mask::BLOCK);
        mask::apply_blocks(&mut padded[..blocks], key);
        if !text {
            return Some(Ok(Whole::Lent(Lent::Binary(&padded[..length]))));
        }
        *padded.last_chunk_mut::<{ mask::BLOCK }>()? = [0; mask::BLOCK];
        // Text is valid if it is with zeros behind it, and whole characters.
        let text = simdutf8::basic::from_utf8(&padded[..blocks]).ok().and_then(|text| text.get(..length));
        self.ended = text.is_none();
        Some(text.ok_or(ProtocolError::InvalidUtf8).map(|text| Whole::Lent(Lent::Text(text))))
    }

    /// Whether a close or an error ended the stream.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The bytes of memory held for what is incomplete.
    pub fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.capacity())
    }

    fn run<'i>(&mut self, mut input: &'i mut [u8], batch: &mut Batch<'i, '_>) -> Result<(), ProtocolError> {
        while !input.is_empty() && !self.ended {
            if self.partial.is_none() {
                input = self.small(input, batch)?;
                if input.is_empty() {
                    break;
                }
            }
            input = match &mut self.partial {
                Some(partial) if partial.frame.is_some() => self.resume(input, batch)?,
                Some(partial) if partial.header.length > 0 => {
                    let Some((header, taken)) = partial.header.complete(input, self.role)? else {
                        break;
                    };
                    self.frame(header, &mut input[taken..], batch)?
                }
                _ => match Header::parse(input, self.role)? {
                    Some(header) => self.frame(header, &mut input[header.size..], batch)?,
                    None => {
                        self.partial().header.keep(input);
                        break;
                    }
                },
            };
        }
        Ok(())
    }

    /// Takes the whole, masked messages of at most 125 bytes that `input` begins with: nearly all that servers read, and
    /// no rule but the two about the limit and UTF-8 can be broken by them.
    fn small<'i>(&mut self, mut input: &'i mut [u8], batch: &mut Batch<'i, '_>) -> Result<&'i mut [u8], ProtocolError> {
        while self.role == Role::Server
            && let [first @ (0x81 | 0x82), second @ 0x80..=0xfd, a, b, c, d, rest @ ..] = &*input
            && let length = usize::from(second & 0x7f)
            && length <= rest.len().min(self.max_message_size)
        {
            let (text, key) = (*first == 0x81, [*a, *b, *c, *d]);
            let (payload, rest) = input[SMALL_HEADER..].split_at_mut(length);
            input = rest;
            mask::apply(payload, key);
            batch.message(text, payload)?;
        }
        Ok(input)
    }

    /// Takes what `input` holds of a frame's payload, and gives back what follows it.
    fn frame<'i>(
        &mut self,
        header: Header,
        input: &'i mut [u8],
        batch: &mut Batch<'i, '_>,
    ) -> Result<&'i mut [u8], ProtocolError> {
        let Header { kind, last, key, length, .. } = header;
        self.check(kind, length)?;
        let length = usize::try_from(length).map_err(|_| self.too_large())?;
        let (payload, rest) = input.split_at_mut(length.min(input.len()));
        mask::apply(payload, key);
        let payload = &*payload;
        if payload.len() == length {
            match kind {
                Kind::Text | Kind::Binary if last => batch.message(kind == Kind::Text, payload)?,
                Kind::Binary | Kind::Continuation | Kind::Text => {
                    self.append(kind, last, payload, batch)?;
                }
                Kind::Close | Kind::Ping | Kind::Pong => self.control(kind, payload, batch)?,
            }
            return Ok(rest);
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
        Ok(rest)
    }

    /// Goes on with the frame whose payload is incomplete.
    fn resume<'i>(&mut self, input: &'i mut [u8], batch: &mut Batch<'i, '_>) -> Result<&'i mut [u8], ProtocolError> {
        let partial = self.partial();
        let Some(OpenFrame { kind, last, key, remaining }) = partial.frame.take() else {
            return Ok(input);
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
        match kind {
            Kind::Close | Kind::Ping | Kind::Pong => {
                partial.control.extend_from_slice(payload);
                if complete {
                    let payload = mem::take(&mut partial.control);
                    self.control(kind, &payload, batch)?;
                }
            }
            Kind::Binary | Kind::Continuation | Kind::Text => {
                // The message was begun with the frame's first bytes.
                self.append(Kind::Continuation, last && complete, payload, batch)?;
            }
        }
        Ok(rest)
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

    fn append(
        &mut self,
        kind: Kind,
        last: bool,
        payload: &[u8],
        batch: &mut Batch<'_, '_>,
    ) -> Result<(), ProtocolError> {
        let partial = self.partial();
        partial.message(kind).append(payload)?;
        if last && let Some(message) = partial.message.take() {
            batch.push(message.finish()?)?;
        }
        Ok(())
    }

    fn control(&mut self, kind: Kind, payload: &[u8], batch: &mut Batch<'_, '_>) -> Result<(), ProtocolError> {
        let item = match kind {
            Kind::Close => {
                self.ended = true;
                Item::Close(Close::decode(payload)?)
            }
            Kind::Ping => Item::Ping(Bytes::copy_from_slice(payload)),
            Kind::Binary | Kind::Continuation | Kind::Pong | Kind::Text => Item::Pong(Bytes::copy_from_slice(payload)),
        };
        batch.push(item)
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    fn too_large(&self) -> ProtocolError {
        ProtocolError::MessageTooLarge { limit: self.max_message_size }
    }
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
