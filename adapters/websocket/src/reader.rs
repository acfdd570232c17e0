use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nosphere_core::{Arena, Lent, Unit};
use tokio::io::{AsyncRead, ReadBuf};

use crate::burst::Burst;
use crate::mask::BLOCK;
use crate::{Decoder, Item, ProtocolError};

/// Reads a stream into [`Item`]s, through a buffer that belongs to the thread.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
    /// What is to be read before the stream.
    kept: Option<Unread>,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a stream goes on, ends, or breaks a rule")]
pub enum ReadOutcome {
    /// The stream ended, after a close or without one.
    End,
    /// The peer broke a rule; what came before it is delivered.
    Error(ProtocolError),
    /// The stream goes on. There may be no item yet.
    Items,
}

/// The bytes of one read, as far as nobody has asked for what they hold: [`Reader::next`].
///
/// They are in the thread's buffer, to which it goes back when this is dropped.
#[derive(Default)]
pub struct Unread(Option<Box<Buffer>>);

/// What comes next in [`Unread`] bytes.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a message, or anything else, or nothing")]
pub enum Next<'u> {
    /// Nothing that is whole: the rest is in the decoder, or it is behind a close or an error. What `Unread` had is used up.
    Nothing,
    /// The peer broke a rule. The rest has no meaning.
    Error(ProtocolError),
    /// Whatever is no message that came whole and in one frame.
    Item(Item),
    /// Such a message, and memory for what is kept of it.
    Message(Whole<'u>, &'u mut Arena),
}

/// A message that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "memory is one's own or another's")]
pub enum Whole<'a> {
    /// In memory of the [`Unread`] that it came from, unmasked.
    Lent(Lent<'a>),
    /// In memory of its own, since it is long.
    Own(Unit),
}

impl Reader {
    /// A reader; `leftover` is what the HTTP server had read beyond the upgrade request.
    pub fn new(decoder: Decoder, leftover: &[u8]) -> Self {
        Self { decoder, kept: (!leftover.is_empty()).then(|| Unread::of(leftover)) }
    }

    /// Reads once into `unread`, of which nothing is left. False: the stream has ended, or is not read any more, after a close or
    /// an error.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub fn poll_fill(
        &mut self,
        io: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
        unread: &mut Unread,
    ) -> Poll<io::Result<bool>> {
        self.fill_with(unread, |buffer| {
            let mut free = ReadBuf::new(buffer);
            io.poll_read(cx, &mut free).map_ok(|()| free.filled().len())
        })
    }

    /// The same by something else that reads, and says how much that was.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    #[inline(always)]
    pub fn fill_with(
        &mut self,
        unread: &mut Unread,
        read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<bool>> {
        debug_assert!(unread.is_empty());
        if !self.needs_stream() {
            *unread = self.kept.take().unwrap_or_default();
            return Poll::Ready(Ok(!unread.is_empty()));
        }
        let mut buffer = BUFFER.take().unwrap_or_else(|| unread.spare());
        match read(&mut buffer.bytes[..READ_SIZE]) {
            Poll::Ready(Ok(filled @ 1..)) => {
                (buffer.start, buffer.end) = (0, filled.min(READ_SIZE));
                unread.0 = Some(buffer);
                Poll::Ready(Ok(true))
            }
            read @ (Poll::Ready(_) | Poll::Pending) => {
                unread.clear();
                BUFFER.set(Some(buffer));
                read.map_ok(|_| false)
            }
        }
    }

    /// What comes next in what was read.
    #[inline(always)]
    pub fn next<'u>(&mut self, unread: &'u mut Unread) -> Next<'u> {
        let Some(buffer) = unread.0.as_deref_mut() else { return Next::Nothing };
        if buffer.burst.is_empty() {
            let rest = &mut buffer.bytes[buffer.start..];
            let filled = buffer.end - buffer.start;
            let Some(frame) = self.decoder.whole_frame(rest, filled) else {
                return match self.decoder.decode_next(&mut rest[..filled]) {
                    Ok((item, left)) => {
                        buffer.start = buffer.end - left;
                        item.map_or(Next::Nothing, Next::Item)
                    }
                    Err(error) => Next::Error(error),
                };
            };
            let more = frame.end() < filled;
            let plain = &mut buffer.plain;
            if !more || !buffer.burst.gather(&self.decoder, rest, filled, plain, &mut buffer.arena) {
                buffer.start += frame.end();
                return match self.decoder.lend(&frame, rest, &mut buffer.plain) {
                    Ok(message) => Next::Message(message, &mut buffer.arena),
                    Err(error) => Next::Error(error),
                };
            }
        }
        match buffer.next_found() {
            Some((unit, arena)) => Next::Message(Whole::Lent(unit), arena),
            None => Next::Nothing,
        }
    }

    /// What was read and not asked for is to be read first.
    pub fn keep(&mut self, unread: Unread) {
        self.kept = unread.detached();
    }

    /// Reads once and appends the items which that completes to `out`.
    ///
    /// After a close or an error the stream is not read any more, and the outcome is [`ReadOutcome::End`].
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub fn poll_read_items(
        &mut self,
        io: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
        out: &mut Vec<Item>,
    ) -> Poll<io::Result<ReadOutcome>> {
        let mut unread = Unread::default();
        if !ready!(self.poll_fill(io, cx, &mut unread))? {
            return Poll::Ready(Ok(ReadOutcome::End));
        }
        Poll::Ready(Ok(match self.decoder.decode(unread.rest(), out) {
            Ok(()) => ReadOutcome::Items,
            Err(error) => ReadOutcome::Error(error),
        }))
    }

    /// [`poll_read_items`](Self::poll_read_items) as a future. Dropping it loses nothing.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub async fn read_items(
        &mut self,
        io: &mut (impl AsyncRead + Unpin + ?Sized),
        out: &mut Vec<Item>,
    ) -> io::Result<ReadOutcome> {
        std::future::poll_fn(|cx| self.poll_read_items(Pin::new(&mut *io), cx, out)).await
    }

    /// Whether the next read is one of the stream.
    #[inline]
    pub fn needs_stream(&self) -> bool {
        self.kept.is_none() && !self.decoder.is_ended()
    }

    /// The decoder, for what it holds.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

impl Unread {
    /// Bytes that were read elsewhere.
    fn of(bytes: &[u8]) -> Self {
        let mut copy = Vec::with_capacity(bytes.len() + BLOCK);
        copy.extend_from_slice(bytes);
        copy.resize(bytes.len() + BLOCK, 0);
        Self(Some(Box::new(Buffer { end: bytes.len(), ..Buffer::new(copy) })))
    }

    /// Whether nothing is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|buffer| buffer.start == buffer.end)
    }

    /// What [`Reader::next`] would give, if it is one of several short messages that it has found together: a shorter way.
    #[inline(always)]
    pub fn next_found(&mut self) -> Option<(Lent<'_>, &mut Arena)> {
        self.0.as_deref_mut()?.next_found()
    }

    /// Nothing of it is asked for any more. The same as to drop it.
    #[inline(always)]
    pub fn clear(&mut self) {
        if let Some(mut buffer) = self.0.take()
            && buffer.is_of_thread
        {
            let Buffer { burst, arena, .. } = &mut *buffer;
            burst.clear(arena);
            // By `set`, it would be looked whether the slot is new. Where there is none any more, the thread ends.
            let _ = BUFFER.try_with(
                #[inline(always)]
                |slot| {
                    if let Some(other) = slot.replace(Some(buffer)) {
                        superfluous(other);
                    }
                },
            );
        }
    }

    /// The thread's buffer, which is not at its place: the one that is used up here, or else another.
    #[cold]
    fn spare(&mut self) -> Box<Buffer> {
        self.clear();
        BUFFER.take().unwrap_or_else(Buffer::of_thread)
    }

    /// All that is left.
    fn rest(&mut self) -> &mut [u8] {
        self.0.as_deref_mut().map_or(&mut [], |buffer| &mut buffer.bytes[buffer.start..buffer.end])
    }

    /// The same in memory of its own, if there is anything.
    fn detached(mut self) -> Option<Self> {
        if self.is_empty() {
            return None;
        }
        let lent = self.0.as_ref().is_some_and(|buffer| buffer.is_of_thread);
        Some(if lent { Self::of(self.rest()) } else { self })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.as_ref().map_or(0, |buffer| buffer.end - buffer.start);
        f.debug_struct("Unread").field("length", &length).finish()
    }
}

/// Where a read puts what it brings.
struct Buffer {
    /// A block more than a read may bring, so that the last bytes of it are in a whole block.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Where messages are unmasked to, one after the other: as long.
    plain: Vec<u8>,
    burst: Burst,
    arena: Arena,
    is_of_thread: bool,
}

impl Buffer {
    fn new(bytes: Vec<u8>) -> Self {
        let plain = vec![0; bytes.len()];
        let (burst, arena) = (Burst::default(), Arena::default());
        Self { bytes, start: 0, end: 0, plain, burst, arena, is_of_thread: false }
    }

    /// See [`Unread::next_found`].
    #[inline(always)]
    fn next_found(&mut self) -> Option<(Lent<'_>, &mut Arena)> {
        let (unit, size) = self.burst.next()?;
        self.start += size;
        Some((unit, &mut self.arena))
    }

    /// Zeroed once per thread.
    #[cold]
    fn of_thread() -> Box<Self> {
        Box::new(Self { is_of_thread: true, ..Self::new(vec![0; READ_SIZE + BLOCK]) })
    }
}

/// Somebody else needed one, while this thread's was used.
#[cold]
#[inline(never)]
fn superfluous(buffer: Box<Buffer>) {
    drop(buffer);
}

/// The most that a read brings.
const READ_SIZE: usize = 64 * 1024;

thread_local! {
    /// Taken out while it is used.
    static BUFFER: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
}
