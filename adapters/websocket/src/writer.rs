use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, mem};

use arrayvec::ArrayVec;
use bytes::Bytes;
use nosphere_core::Encoded;
use tokio::io::AsyncWrite;

use crate::outgoing::Frame;
use crate::{Close, CloseState, Closing, Outgoing, ProtocolError, TryWrite};

/// Writes frames, many at once, and keeps the rules about closing.
///
/// It pulls what is to be sent from its caller, and only once everything that it pulled before is written: what waits
/// for a slow peer stays where it can still be dropped or replaced. A pong or a close goes out before anything that was
/// not yet pulled.
///
/// A broken stream is reported once, as an error; nothing is pulled or written after it.
pub struct Writer {
    /// Nearly always nothing.
    waiting: Option<Box<Waiting>>,
    closing: Closing,
    mask: Option<Box<dyn FnMut() -> [u8; 4] + Send>>,
}

/// What is to be written before anything else is pulled. There is something, or this is not there.
#[derive(Default)]
struct Waiting {
    /// What was pulled and is not wholly written.
    rest: Vec<Frame>,
    /// How much of the first frame of `rest` is written.
    written: usize,
    close: Option<Close>,
    pongs: Vec<Bytes>,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "all was written or not")]
pub enum Flush {
    /// The stream takes no more now; flush again when it does.
    Blocked,
    /// Everything is written.
    Done,
}

impl Writer {
    /// A server's writer: its frames are not masked.
    pub fn server() -> Self {
        Self { waiting: None, closing: Closing::new(), mask: None }
    }

    /// A client's writer, with the source of its masking keys, which must be unpredictable (RFC 6455 §10.3).
    pub fn client(mask: impl FnMut() -> [u8; 4] + Send + 'static) -> Self {
        Self { mask: Some(Box::new(mask)), ..Self::server() }
    }

    /// Writes what waits, then what `next` gives, until that is `None` or the stream takes no more.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub fn flush(&mut self, io: &impl TryWrite, next: impl FnMut() -> Option<Outgoing>) -> io::Result<Flush> {
        match self.drive(try_write(io), next) {
            Poll::Ready(result) => result.map(|()| Flush::Done),
            Poll::Pending => Ok(Flush::Blocked),
        }
    }

    /// [`flush`](Self::flush) for a stream that is polled: TLS, HTTP/2.
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    pub fn poll_flush(
        &mut self,
        mut io: Pin<&mut (impl AsyncWrite + ?Sized)>,
        cx: &mut Context<'_>,
        next: impl FnMut() -> Option<Outgoing>,
    ) -> Poll<io::Result<()>> {
        let write = |slices: &[IoSlice<'_>]| {
            if slices.len() == 1 || io.is_write_vectored() {
                return io.as_mut().poll_write_vectored(cx, slices);
            }
            // Without this each header would be a write of its own.
            let mut joined = JOINED.take();
            join(slices, &mut joined);
            let result = io.as_mut().poll_write(cx, &joined);
            JOINED.set(joined);
            result
        };
        ready!(self.drive(write, next))?;
        io.poll_flush(cx)
    }

    /// Writes one message, while the writer is [idle](Self::is_idle).
    ///
    /// # Errors
    ///
    /// If the stream is broken.
    #[inline]
    pub fn flush_one(&mut self, io: &impl TryWrite, unit: Encoded) -> io::Result<Flush> {
        debug_assert!(self.is_idle());
        let frame = Frame::data(unit, self.key());
        match self.drive_one(frame, &mut try_write(io), &mut || None) {
            Poll::Ready(result) => result.map(|()| Flush::Done),
            Poll::Pending => Ok(Flush::Blocked),
        }
    }

    /// Whether nothing comes before what is written next: no rest, no pong, no close.
    pub fn is_idle(&self) -> bool {
        !self.wants_write() && self.closing.state() == CloseState::Open
    }

    /// A message of which the beginning was written elsewhere, while the writer was [idle](Self::is_idle): the rest goes out
    /// before anything else. For a server, whose frames are not masked.
    pub fn resume(&mut self, unit: Encoded, written: usize) {
        let frame = Frame::data(unit, None);
        debug_assert!(self.is_idle() && self.mask.is_none() && written < frame.len());
        self.keep(frame, written);
    }

    /// Queues the answer to a ping. Of many that wait, the latest are sent (RFC 6455 §5.5.3 asks for one).
    pub fn pong(&mut self, payload: Bytes) {
        if self.closing.state() != CloseState::Open {
            return;
        }
        let pongs = &mut self.waiting.get_or_insert_default().pongs;
        if pongs.len() == MAX_PONGS {
            pongs.remove(0);
        }
        pongs.push(payload);
    }

    /// Queues a close, unless one was sent.
    pub fn close(&mut self, close: Close) {
        let close = self.closing.close(close);
        self.queue_close(close);
    }

    /// Queues the answer to the peer's close, if one is due.
    ///
    /// Nothing is pulled after it: flush first what is to answer the messages that came before the close.
    pub fn handle_close(&mut self, close: &Close) {
        let close = self.closing.handle_close(close);
        self.queue_close(close);
    }

    /// Queues the close that tells the peer which rule it broke, unless one was sent.
    ///
    /// Nothing is pulled after it, as with [`handle_close`](Self::handle_close).
    pub fn handle_error(&mut self, error: ProtocolError) {
        let close = self.closing.handle_error(error);
        self.queue_close(close);
    }

    /// The stream ended, or is given up: nothing more is written.
    pub fn handle_end(&mut self) {
        self.fail();
    }

    /// Where the closing handshake stands.
    pub fn state(&self) -> CloseState {
        self.closing.state()
    }

    /// Whether something waits to be written, beside what a caller has.
    pub fn wants_write(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether both sides have closed and everything is written: the transport may end.
    pub fn is_finished(&self) -> bool {
        self.closing.state() == CloseState::Closed && !self.wants_write()
    }

    fn drive(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
        mut next: impl FnMut() -> Option<Outgoing>,
    ) -> Poll<io::Result<()>> {
        if self.wants_write() || self.closing.state() != CloseState::Open {
            return self.drive_many(&mut write, &mut next);
        }
        // Nearly always there is nothing to write, or one message, and the stream takes it.
        let Some(first) = next() else { return Poll::Ready(Ok(())) };
        let mut ahead = (Some(first), next());
        if let (Some(Outgoing::Data(_)), None) = ahead
            && let Some(Outgoing::Data(unit)) = ahead.0.take()
        {
            let frame = Frame::data(unit, self.key());
            return self.drive_one(frame, &mut write, &mut next);
        }
        self.drive_many(&mut write, &mut || ahead.0.take().or_else(|| ahead.1.take()).or_else(&mut next))
    }

    fn drive_one(
        &mut self,
        frame: Frame,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
        next: &mut impl FnMut() -> Option<Outgoing>,
    ) -> Poll<io::Result<()>> {
        let [header, body] = frame.parts().map(IoSlice::new);
        let result = if header.is_empty() { write(&[body]) } else { write(&[header, body]) };
        match result {
            Poll::Ready(Ok(count)) if count == frame.len() => Poll::Ready(Ok(())),
            Poll::Ready(Ok(count)) if count > 0 => {
                self.keep(frame, count);
                self.drive_many(write, next)
            }
            Poll::Ready(result) => {
                self.fail();
                Poll::Ready(Err(result.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into())))
            }
            Poll::Pending => {
                self.keep(frame, 0);
                Poll::Pending
            }
        }
    }

    fn drive_many(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
        next: &mut impl FnMut() -> Option<Outgoing>,
    ) -> Poll<io::Result<()>> {
        let (mut frames, mut written) = match self.waiting.as_mut() {
            Some(waiting) if !waiting.rest.is_empty() => {
                (mem::take(&mut waiting.rest), mem::take(&mut waiting.written))
            }
            _ => (FRAMES.take(), 0),
        };
        let result = loop {
            let more = !frames.is_empty() || self.gather(&mut frames, next);
            let result = write_all(&mut frames, &mut written, write);
            if !more || !matches!(result, Poll::Ready(Ok(()))) {
                break result;
            }
        };
        match &result {
            // Whatever waited was gathered.
            Poll::Ready(Ok(())) => self.waiting = None,
            Poll::Ready(Err(_)) => {
                frames.clear();
                self.fail();
            }
            Poll::Pending => {
                let waiting = self.waiting.get_or_insert_default();
                (waiting.rest, waiting.written) = (frames, written);
                return result;
            }
        }
        FRAMES.set(frames);
        result
    }

    /// Pulls what one write can carry; whether there may be more.
    fn gather(&mut self, frames: &mut Vec<Frame>, next: &mut impl FnMut() -> Option<Outgoing>) -> bool {
        let pongs = self.waiting.as_mut().map(|waiting| mem::take(&mut waiting.pongs));
        for payload in pongs.into_iter().flatten() {
            let key = self.key();
            frames.push(Frame::pong(payload, key));
        }
        let mut bytes = 0;
        while self.closing.state() == CloseState::Open {
            if frames.len() >= MAX_GATHERED || bytes >= MAX_GATHERED_BYTES {
                return true;
            }
            match next() {
                None => return false,
                Some(Outgoing::Close(close)) => self.close(close),
                Some(Outgoing::Data(encoded)) => {
                    bytes += encoded.payload().len();
                    let key = self.key();
                    frames.push(Frame::data(encoded, key));
                }
                Some(Outgoing::Ping(payload)) => {
                    let key = self.key();
                    frames.push(Frame::ping(payload, key));
                }
            }
        }
        if let Some(close) = self.waiting.as_mut().and_then(|waiting| waiting.close.take()) {
            let key = self.key();
            frames.push(Frame::close(close.encode(), key));
        }
        false
    }

    /// A frame of which as much is written was pulled while nothing waited.
    fn keep(&mut self, frame: Frame, written: usize) {
        self.waiting = Some(Box::new(Waiting { rest: vec![frame], written, close: None, pongs: Vec::new() }));
    }

    fn queue_close(&mut self, close: Option<Close>) {
        if close.is_some() {
            self.waiting.get_or_insert_default().close = close;
        }
    }

    fn fail(&mut self) {
        self.waiting = None;
        self.closing.handle_end();
    }

    fn key(&mut self) -> Option<[u8; 4]> {
        self.mask.as_mut().map(|mask| mask())
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("state", &self.closing.state())
            .field("rest", &self.waiting.as_ref().map_or(0, |waiting| waiting.rest.len()))
            .field("masked", &self.mask.is_some())
            .finish_non_exhaustive()
    }
}

fn try_write(io: &impl TryWrite) -> impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    |slices| match io.try_write_vectored(slices) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn write_all(
    frames: &mut Vec<Frame>,
    written: &mut usize,
    write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    while !frames.is_empty() {
        match ready!(write_once(frames, *written, write))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => advance(frames, written, count),
        }
    }
    Poll::Ready(Ok(()))
}

fn advance(frames: &mut Vec<Frame>, written: &mut usize, count: usize) {
    *written += count;
    let mut whole = 0;
    while let Some(frame) = frames.get(whole)
        && *written >= frame.len()
    {
        *written -= frame.len();
        whole += 1;
    }
    if whole == frames.len() {
        frames.clear();
    } else {
        frames.drain(..whole);
    }
}

fn write_once(
    frames: &[Frame],
    written: usize,
    write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut slices = ArrayVec::<IoSlice<'_>, { 2 * MAX_FRAMES }>::new();
    let mut skip = written;
    for frame in frames {
        for part in frame.parts() {
            if part.len() <= skip {
                skip -= part.len();
            } else {
                slices.push(IoSlice::new(&part[skip..]));
                skip = 0;
            }
        }
    }
    write(&slices)
}

/// Copies what comes first into `joined`, up to the size of one write.
fn join(slices: &[IoSlice<'_>], joined: &mut Vec<u8>) {
    joined.clear();
    for slice in slices {
        let room = MAX_JOINED - joined.len();
        joined.extend_from_slice(&slice[..slice.len().min(room)]);
    }
}

/// The most frames that one write carries, a close aside.
const MAX_GATHERED: usize = 64;

/// The most pongs that wait at once.
const MAX_PONGS: usize = 16;

/// Beyond this many bytes of payload, a write gathers no more messages.
const MAX_GATHERED_BYTES: usize = 256 * 1024;

/// The frames of one write, a close included.
const MAX_FRAMES: usize = MAX_GATHERED + 1;

/// The most bytes that are copied together for a stream that cannot write vectored.
const MAX_JOINED: usize = 64 * 1024;

thread_local! {
    /// Empty between two flushes; what it allocated serves all of a thread's writers.
    static FRAMES: Cell<Vec<Frame>> = const { Cell::new(Vec::new()) };
    static JOINED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
