//! The two halves of a session's TCP socket, whoever knows when it is ready: the runtime, or an event loop.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nosphere_websocket::TryWrite;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::Scheduling;
use crate::event_loop::{EventLoop, Source};
use crate::scheduling::Executor;

/// What is read from a socket.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    Runtime(OwnedReadHalf),
    EventLoop(Arc<Source>),
}

/// What is written to a socket. When it is dropped, the peer reads the end.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    Runtime(OwnedWriteHalf),
    EventLoop(Shared),
}

/// A source whose drop is the end of what is written.
#[derive(Debug)]
pub(crate) struct Shared(Arc<Source>);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// The halves of a socket of the runtime's, which an event loop takes over if that is who is to poll, and there is one.
pub(crate) fn split(stream: TcpStream, scheduling: Scheduling) -> io::Result<(ReadHalf, WriteHalf)> {
    if scheduling == Scheduling::EventLoops {
        match EventLoop::here() {
            Ok(event_loop) => {
                let source = event_loop.adopt(stream)?;
                return Ok((ReadHalf::EventLoop(Arc::clone(&source)), WriteHalf::EventLoop(Shared(source))));
            }
            // Most likely there is no descriptor left. The runtime has one for this socket.
            Err(error) => tracing::debug!(%error, "there is no event loop; the session has a task"),
        }
    }
    let (read, write) = stream.into_split();
    Ok((ReadHalf::Runtime(read), WriteHalf::Runtime(write)))
}

impl ReadHalf {
    /// Who knows when it is ready.
    pub(crate) fn executor(&self) -> Executor {
        match self {
            Self::Runtime(_) => Executor::Runtime,
            Self::EventLoop(source) => Executor::EventLoop(Arc::clone(source.event_loop())),
        }
    }

    /// Whether there may be something to read; wakes the task when there is.
    #[inline(always)]
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Runtime(half) => read_ready(half, cx),
            Self::EventLoop(source) => source.poll_read_ready(cx),
        }
    }

    /// Reads once, and says how much that was.
    #[inline(always)]
    pub(crate) fn poll_read_some(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Runtime(half) => read_some(half, cx, buffer),
            Self::EventLoop(source) => source.poll_read(cx, buffer),
        }
    }
}

#[inline(never)]
fn read_ready(half: &OwnedReadHalf, cx: &mut Context<'_>) -> Poll<()> {
    // An error shows where it is read.
    half.as_ref().poll_read_ready(cx).map(drop)
}

#[inline(never)]
fn read_some(half: &mut OwnedReadHalf, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    Pin::new(half).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
}

impl AsyncRead for ReadHalf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_read_some(cx, buffer.initialize_unfilled()).map_ok(|read| buffer.advance(read))
    }
}

impl WriteHalf {
    /// Whether the socket may take something; wakes the task when it does.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // An error shows where it is written.
            Self::Runtime(half) => half.as_ref().poll_write_ready(cx).map(drop),
            Self::EventLoop(source) => source.0.poll_write_ready(cx),
        }
    }

    #[inline]
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Runtime(half) => half.try_write(bytes),
            Self::EventLoop(source) => source.0.try_write(bytes),
        }
    }

    #[inline]
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Runtime(half) => half.try_write_vectored(slices),
            Self::EventLoop(source) => source.0.try_write_vectored(slices),
        }
    }
}

impl TryWrite for WriteHalf {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, slices)
    }
}
