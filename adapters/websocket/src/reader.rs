use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use nosphere_core::{Lent, Unit};
use tokio::io::{AsyncRead, ReadBuf};

use crate::mask::BLOCK;
use crate::{Decoder, Item, ProtocolError};

/// Reads a stream into [`Item`]s, through a buffer that belongs to the thread.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
    leftover: Option<Box<Bytes>>,
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

/// A message that one read brought, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "memory is one's own or another's")]
pub enum Whole<'a> {
    /// In the buffer that it was read into.
    Lent(Lent<'a>),
    /// In memory of its own, since it is long.
    Own(Unit),
}

impl Reader {
    /// A reader; `leftover` is what the HTTP server had read beyond the upgrade request.
    pub fn new(decoder: Decoder, leftover: Bytes) -> Self {
        // Even an empty rest would hold on to the server's buffer.
        Self { decoder, leftover: (!leftover.is_empty()).then(|| Box::new(leftover)) }
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
        self.poll_read(io, cx, |decoder, buffer, filled| decode(decoder, &mut buffer[..filled], out))
    }

    /// [`poll_read_items`](Self::poll_read_items), where a read that is one whole message is given to `take` instead: there is
    /// no item then.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    #[inline]
    pub fn poll_read_whole<'o>(
        &mut self,
        io: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
        out: impl FnOnce() -> &'o mut Vec<Item>,
        take: impl FnOnce(Whole<'_>),
    ) -> Poll<io::Result<ReadOutcome>> {
        self.poll_read(
            io,
            cx,
            #[inline(always)]
            |decoder, buffer, filled| match decoder.lend(buffer, filled) {
                Some(Ok(message)) => {
                    take(message);
                    ReadOutcome::Items
                }
                Some(Err(error)) => ReadOutcome::Error(error),
                None => decode(decoder, &mut buffer[..filled], out()),
            },
        )
    }

    #[inline(always)]
    fn poll_read(
        &mut self,
        io: Pin<&mut (impl AsyncRead + ?Sized)>,
        cx: &mut Context<'_>,
        decode: impl FnOnce(&mut Decoder, &mut [u8], usize) -> ReadOutcome,
    ) -> Poll<io::Result<ReadOutcome>> {
        if !self.needs_stream() {
            if self.decoder.is_ended() {
                return Poll::Ready(Ok(ReadOutcome::End));
            }
            let mut leftover = self.leftover.take().map_or_else(Vec::new, |leftover| leftover.to_vec());
            let filled = leftover.len();
            return Poll::Ready(Ok(decode(&mut self.decoder, &mut leftover, filled)));
        }
        // Taken out while it is used: then this is compiled into its caller.
        let mut buffer = BUFFER.take();
        if buffer.is_empty() {
            // Zeroed once per thread.
            buffer.resize(READ_SIZE + BLOCK, 0);
        }
        let mut free = ReadBuf::new(&mut buffer[..READ_SIZE]);
        let read = io.poll_read(cx, &mut free);
        let filled = free.filled().len();
        let read = read.map_ok(|()| match filled {
            0 => ReadOutcome::End,
            _ => decode(&mut self.decoder, &mut buffer, filled),
        });
        BUFFER.set(buffer);
        read
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
        self.leftover.is_none() && !self.decoder.is_ended()
    }

    /// The decoder, for what it holds.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

#[inline(never)]
fn decode(decoder: &mut Decoder, bytes: &mut [u8], out: &mut Vec<Item>) -> ReadOutcome {
    match decoder.decode(bytes, out) {
        Ok(()) => ReadOutcome::Items,
        Err(error) => ReadOutcome::Error(error),
    }
}

/// The size of a thread's read buffer, but for what makes a whole block of its last bytes.
const READ_SIZE: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
