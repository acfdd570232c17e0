use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use nosphere_core::Action;

/// The most bytes that are gathered before they are handed to the HTTP server.
const CHUNK: usize = 16 * 1024;

/// What a padded stream begins with, so that whoever waits for so much does not hold back the first unit.
const PADDING: usize = 2048;

/// A response body that is a stream of units, for clients of atmosphere.js (SPEC ATM-12).
///
/// `next` asks the connection for the link's next action, and wakes the task when there is one later. The stream ends
/// with [`Action::Close`].
///
/// A unit is handed to the HTTP server by itself, and flushed before the next one, unless it says how long it is: a client
/// cannot tell two of them apart that it reads at once. What is no message is always by itself.
pub struct UnitStream<F> {
    next: F,
    delimited: bool,
    /// Written before the first unit, unless that is a message.
    padded: bool,
    out: BytesMut,
    /// What was handed over is to be flushed before anything else is.
    flushes: bool,
    ended: bool,
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> UnitStream<F> {
    /// A stream of units, which say how long they are if `delimited`. A greeting is `padded` for old clients.
    pub fn new(delimited: bool, padded: bool, next: F) -> Self {
        Self { next, delimited, padded, out: BytesMut::new(), flushes: false, ended: false }
    }

    /// Gathers what may go out at once.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while !self.ended && self.out.len() < CHUNK {
            let Poll::Ready(action) = (self.next)(cx) else { return };
            match action {
                Action::Send { unit, number } => {
                    if std::mem::take(&mut self.padded) && number.is_none() {
                        self.out.put_bytes(b' ', PADDING);
                        self.out.put_u8(b'\n');
                    }
                    self.out.put_slice(unit.payload());
                    self.flushes = number.is_none() || !self.delimited;
                    if self.flushes {
                        return;
                    }
                }
                Action::Ping | Action::Lost { .. } => {}
                Action::Close { .. } | Action::Finish | Action::Attach(_) | _ => self.ended = true,
            }
        }
    }
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> Body for UnitStream<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.flushes) {
            // The HTTP server flushes when there is nothing more for now.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gather(cx);
        match self.out.is_empty() {
            false => Poll::Ready(Some(Ok(Frame::data(self.out.split().freeze())))),
            true if self.ended => Poll::Ready(None),
            true => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.out.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<F> fmt::Debug for UnitStream<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// A response body that is the answer to a poll, for clients of atmosphere.js (SPEC ATM-11): its head goes out at once, so
/// that the client knows that it waits, and its units when they come.
///
/// What the HTTP server has taken counts as written, and nothing is taken from the connection before.
pub struct PollBody<F> {
    next: F,
    out: BytesMut,
    ended: bool,
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> PollBody<F> {
    /// The answer to a poll; `next` is as for [`UnitStream`].
    pub fn new(next: F) -> Self {
        Self { next, out: BytesMut::new(), ended: false }
    }
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> Body for PollBody<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while !self.ended {
            let Poll::Ready(action) = (self.next)(cx) else { return Poll::Pending };
            match action {
                Action::Send { unit, .. } => self.out.put_slice(unit.payload()),
                Action::Ping | Action::Lost { .. } => {}
                Action::Close { .. } | Action::Finish | Action::Attach(_) | _ => self.ended = true,
            }
        }
        let answer = self.out.split().freeze();
        Poll::Ready((!answer.is_empty()).then(|| Ok(Frame::data(answer))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.out.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<F> fmt::Debug for PollBody<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}
