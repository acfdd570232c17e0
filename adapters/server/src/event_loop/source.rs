use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};

use mio::event::Event;
use mio::net::TcpStream;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::task::coop::poll_proceed;

use super::EventLoop;

/// A socket whose readiness an [`EventLoop`] knows. One task waits for it, which need not be one of that loop.
#[derive(Debug)]
pub(crate) struct Source {
    stream: TcpStream,
    /// What is known of its readiness: [`READABLE`] and the others, and above them a count of events, since what a call found is about
    /// the events before it. The queue says a thing once, when it changes: what is ready stays so until a call of the kernel says
    /// otherwise.
    ready: AtomicU32,
    waiter: Mutex<Option<Waker>>,
    /// What tells the waiter from others, to see without the lock that it is still the same; changed with it.
    waits: AtomicUsize,
    /// Given up when the stream is closed: nothing more is said of it then.
    place: Place,
}

/// A place on the list of a loop's sockets.
#[derive(Debug)]
struct Place {
    event_loop: Arc<EventLoop>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.event_loop.leave(self.key);
    }
}

const READABLE: u32 = 1;
const WRITABLE: u32 = 2;
/// There is an end to read.
const READ_CLOSED: u32 = 4;
/// To write fails.
const WRITE_CLOSED: u32 = 8;
/// Nobody watches it any more, since the loop has ended.
const UNWATCHED: u32 = 16;
/// The last read filled its buffer.
const FULL: u32 = 32;
/// One event.
const EVENT: u32 = 64;

/// A peer that has gone is an error, and no signal.
#[cfg(not(target_vendor = "apple"))]
const WITHOUT_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
/// Here there is no such flag. A Rust program ignores the signal, unless it says otherwise.
#[cfg(target_vendor = "apple")]
const WITHOUT_SIGNAL: SendFlags = SendFlags::empty();

/// What an event says of a socket, in the bits of its readiness.
fn bits_of(event: &Event) -> u32 {
    let mut bits = 0;
    for (is, bit) in [
        (event.is_readable() || event.is_error(), READABLE),
        (event.is_writable() || event.is_error(), WRITABLE),
        (event.is_read_closed(), READ_CLOSED),
        (event.is_write_closed(), WRITE_CLOSED),
    ] {
        if is {
            bits |= bit;
        }
    }
    bits
}

impl Source {
    pub(super) fn new(stream: TcpStream, event_loop: Arc<EventLoop>, key: usize) -> Self {
        // A socket can be written to when it is new, and is ready to be read when the queue says so.
        let ready = AtomicU32::new(WRITABLE);
        let place = Place { event_loop, key };
        Self { stream, ready, waiter: Mutex::default(), waits: AtomicUsize::new(0), place }
    }

    pub(crate) fn event_loop(&self) -> &Arc<EventLoop> {
        &self.place.event_loop
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The loop has ended: whoever waits for it is told so, when there is nothing else to read or to write.
    pub(super) fn abandon(&self) {
        self.ready.fetch_or(UNWATCHED, Ordering::AcqRel);
        if let Some(waiter) = &*self.waiter.lock() {
            waiter.wake_by_ref();
        }
    }

    /// The queue has said something, of this socket or of one that had its place before.
    #[inline]
    pub(super) fn note(&self, event: &Event) {
        self.note_bits(bits_of(event));
    }

    #[inline]
    fn note_bits(&self, bits: u32) {
        let noted = |ready: u32| Some((ready | bits).wrapping_add(EVENT));
        let before = match self.ready.fetch_update(Ordering::AcqRel, Ordering::Acquire, noted) {
            Ok(before) | Err(before) => before,
        };
        // That a socket could still be written to is nothing that anybody waits for.
        if bits & !(before & WRITABLE) != 0
            && let Some(waiter) = &*self.waiter.lock()
        {
            waiter.wake_by_ref();
        }
    }

    /// A call has found that this is not so any more, unless an event has come since what it had seen.
    fn clear(&self, seen: u32, bits: u32) {
        let cleared = |ready: u32| (ready & !(EVENT - 1) == seen & !(EVENT - 1)).then_some(ready & !bits);
        let _ = self.ready.fetch_update(Ordering::AcqRel, Ordering::Acquire, cleared);
    }

    /// Waits for one of these; gives what was seen.
    #[inline]
    fn poll_ready(&self, bits: u32, cx: &Context<'_>) -> Poll<u32> {
        let bits = bits | UNWATCHED;
        let ready = self.ready.load(Ordering::Acquire);
        if ready & bits != 0 {
            return Poll::Ready(ready);
        }
        // It is a task of a loop or of the runtime, and as long as its waker is kept, no other one has its address.
        if self.waits.load(Ordering::Acquire) == cx.waker().data() as usize {
            return Poll::Pending;
        }
        self.wait(cx.waker());
        // An event that came before has not found the waiter.
        let ready = self.ready.load(Ordering::Acquire);
        if ready & bits != 0 { Poll::Ready(ready) } else { Poll::Pending }
    }

    #[cold]
    fn wait(&self, waker: &Waker) {
        let mut waiter = self.waiter.lock();
        let before = waiter.replace(waker.clone());
        self.waits.store(waker.data() as usize, Ordering::Release);
        drop(waiter);
        drop(before);
    }

    /// Whether there may be something to read; wakes the task when there is.
    #[inline]
    pub(crate) fn poll_read_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_ready(READABLE | READ_CLOSED, cx).map(|_| ())
    }

    /// Whether the socket may take something; wakes the task when it does.
    pub(crate) fn poll_write_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.poll_ready(WRITABLE | WRITE_CLOSED, cx).map(|_| ())
    }

    /// Reads once. A socket that fills the buffer each time uses up what a task may do in a turn, as the runtime's do.
    #[inline(always)]
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let seen = ready!(self.poll_ready(READABLE | READ_CLOSED, cx));
            if seen & FULL != 0 {
                ready!(poll_proceed(cx)).made_progress();
            }
            match rustix::io::read(&self.stream, &mut *buffer) {
                Ok(read) => {
                    // What is less than there was room for is all that there was.
                    if read > 0 && read < buffer.len() {
                        self.clear(seen, READABLE | FULL);
                    } else {
                        self.ready.fetch_or(FULL, Ordering::AcqRel);
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(Errno::AGAIN) if seen & UNWATCHED != 0 => return Poll::Ready(Err(unwatched())),
                // What has ended says so again and again: another socket was meant.
                Err(Errno::AGAIN) => self.clear(seen, READABLE | READ_CLOSED | FULL),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    #[inline]
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_with(bytes.len(), |stream| rustix::net::send(stream, bytes, WITHOUT_SIGNAL))
    }

    #[inline]
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // How many there are is known by who wrote them; a socket that took less says so at the next attempt.
        self.try_with(0, |stream| rustix::io::writev(stream, slices))
    }

    #[inline]
    fn try_with(&self, size: usize, write: impl Fn(&TcpStream) -> Result<usize, Errno>) -> io::Result<usize> {
        loop {
            let seen = self.ready.load(Ordering::Acquire);
            if seen & (WRITABLE | WRITE_CLOSED | UNWATCHED) == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match write(&self.stream) {
                Ok(written) => {
                    if written < size {
                        self.clear(seen, WRITABLE);
                    }
                    return Ok(written);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if seen & UNWATCHED != 0 => return Err(unwatched()),
                Err(error) => {
                    if error == Errno::AGAIN {
                        self.clear(seen, WRITABLE | WRITE_CLOSED);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Nothing more will be written.
    pub(crate) fn shutdown(&self) {
        // A socket that is broken needs no end.
        drop(self.stream.shutdown(Shutdown::Write));
    }
}

#[cold]
fn unwatched() -> io::Error {
    io::Error::other("the event loop that watched the socket has ended")
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    /// A socket that this thread's loop watches, and its other end.
    async fn adopted() -> (Arc<Source>, tokio::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let peer = tokio::net::TcpStream::connect(addr).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("a connection");
        (EventLoop::here().and_then(|here| here.adopt(stream)).expect("a queue"), peer)
    }

    /// Tokens are used again, and a loop may be about to say of a socket what was meant for the one before.
    #[tokio::test]
    async fn what_was_said_of_a_socket_that_has_gone_does_not_end_the_one_that_has_its_place() {
        let (source, mut peer) = adopted().await;
        let mut memory = [0; 8];

        source.note_bits(READABLE | READ_CLOSED | WRITABLE | WRITE_CLOSED);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(source.poll_read(&mut cx, &mut memory).is_pending(), "an end that is none");
        assert!(source.poll_read_ready(&cx).is_pending(), "an end that stays");

        peer.write_all(b"hello").await.expect("the other end reads");
        let read = poll_fn(|cx| source.poll_read(cx, &mut memory)).await.expect("nothing is wrong with it");
        assert_eq!(&memory[..read], b"hello");
    }

    #[tokio::test]
    async fn a_socket_whose_loop_has_ended_says_so_and_what_it_has_yet() {
        let (source, mut peer) = adopted().await;
        peer.write_all(b"hello").await.expect("the other end reads");
        poll_fn(|cx| source.poll_read_ready(cx)).await;
        source.event_loop().close();
        let mut memory = [0; 8];
        let read = poll_fn(|cx| source.poll_read(cx, &mut memory)).await.expect("what came before");
        assert_eq!(&memory[..read], b"hello");
        poll_fn(|cx| source.poll_read(cx, &mut memory)).await.expect_err("nobody would say that there is more");
    }
}
