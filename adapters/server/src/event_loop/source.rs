use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use mio::event::Event;
use mio::net::TcpStream;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::ReadBuf;

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
    event_loop: Arc<EventLoop>,
    key: usize,
}

const READABLE: u32 = 1;
const WRITABLE: u32 = 2;
/// There is an end to read, which stays.
const READ_CLOSED: u32 = 4;
/// To write fails, and will.
const WRITE_CLOSED: u32 = 8;
/// One event.
const EVENT: u32 = 16;

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
        Self { stream, ready, waiter: Mutex::default(), waits: AtomicUsize::new(0), event_loop, key }
    }

    pub(crate) fn event_loop(&self) -> &Arc<EventLoop> {
        &self.event_loop
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The queue has said something.
    pub(super) fn note(&self, event: &Event) {
        let bits = bits_of(event);
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
    fn clear(&self, seen: u32, bit: u32) {
        let cleared = |ready: u32| (ready & !(EVENT - 1) == seen & !(EVENT - 1)).then_some(ready & !bit);
        let _ = self.ready.fetch_update(Ordering::AcqRel, Ordering::Acquire, cleared);
    }

    /// Waits for one of these; gives what was seen.
    #[inline]
    fn poll_ready(&self, bits: u32, cx: &Context<'_>) -> Poll<u32> {
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

    /// Reads once.
    #[inline]
    pub(crate) fn poll_read(&self, cx: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let seen = std::task::ready!(self.poll_ready(READABLE | READ_CLOSED, cx));
            let room = buffer.initialize_unfilled();
            let size = room.len();
            match rustix::io::read(&self.stream, room) {
                Ok(read) => {
                    // What is less than there was room for is all that there was.
                    if read > 0 && read < size {
                        self.clear(seen, READABLE);
                    }
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => {
                    self.clear(seen, READABLE);
                    if seen & READ_CLOSED != 0 {
                        // Not to be believed, but to turn here for ever would be worse.
                        return Poll::Ready(Ok(()));
                    }
                }
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
            if seen & (WRITABLE | WRITE_CLOSED) == 0 {
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
                Err(error) => {
                    if error == Errno::AGAIN {
                        self.clear(seen, WRITABLE);
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

impl Drop for Source {
    fn drop(&mut self) {
        // What the queue may still say of it then finds nobody, or one who looks in vain.
        self.event_loop.sources.lock().remove(self.key);
    }
}
