use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use nosphere_core::{Action, Reason};

/// The most bytes that are gathered before they are handed to the HTTP server.
const CHUNK: usize = 16 * 1024;

/// What a padded stream begins with, so that whoever waits for so much does not hold back the first unit.
const PADDING: usize = 2048;

/// White space at the beginning of a stream, which clients before version 5 trim away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "SPEC ATM-14 has these")]
pub enum Padding {
    /// By itself, before anything else: a client that comes back reads its stream from there on.
    Alone,
    /// None.
    None,
    /// In one piece with the first unit, which is a greeting.
    WithGreeting,
}

/// A response body that is a stream of units, for clients of atmosphere.js (SPEC ATM-14).
///
/// `next` asks the connection for the link's next action, and wakes the task when there is one later. The stream ends
/// with [`Action::Close`].
///
/// A unit is handed to the HTTP server by itself, and flushed before the next one, unless it says how long it is: a client
/// cannot tell two of them apart that it reads at once. What is no message is always by itself.
pub struct UnitStream<F> {
    next: F,
    delimited: bool,
    padding: Padding,
    out: BytesMut,
    /// What was handed over is to be flushed before anything else is.
    flushes: bool,
    ended: bool,
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> UnitStream<F> {
    /// A stream of units, which say how long they are if `delimited`.
    pub fn new(delimited: bool, padding: Padding, next: F) -> Self {
        let mut stream = Self { next, delimited, padding, out: BytesMut::new(), flushes: false, ended: false };
        if padding == Padding::Alone {
            stream.pad();
        }
        stream
    }

    fn pad(&mut self) {
        self.padding = Padding::None;
        self.out.put_bytes(b' ', PADDING);
        self.out.put_u8(b'\n');
    }

    /// Gathers what may go out at once.
    fn gather(&mut self, cx: &mut Context<'_>) {
        while !self.ended && self.out.len() < CHUNK {
            let Poll::Ready(action) = (self.next)(cx) else { return };
            match action {
                Action::Send { unit, number } => {
                    if self.padding == Padding::WithGreeting {
                        self.pad();
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
        if self.out.is_empty() {
            self.gather(cx);
        } else {
            self.flushes = true;
        }
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

/// A body ended before it was whole, and the HTTP server is to let the client know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer was broken off: the server goes away")]
#[non_exhaustive]
pub struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A response body that is the answer to a poll, for clients of atmosphere.js (SPEC ATM-13): its head goes out at once, so
/// that the client knows that it waits, and its units when they come.
///
/// What the HTTP server has taken counts as written, and nothing is taken from the connection before.
///
/// Some browsers do not show the head before there is a body, so the answer may begin with a space if it has to wait. A client
/// whose poll ends with nothing thinks that all is well; so where the server goes away, the answer is broken off.
pub struct PollBody<F> {
    next: F,
    space: bool,
    out: BytesMut,
    ended: bool,
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> PollBody<F> {
    /// The answer to a poll, with a `space` before what has to be waited for; `next` is as for [`UnitStream`].
    pub fn new(space: bool, next: F) -> Self {
        Self { next, space, out: BytesMut::new(), ended: false }
    }
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> Body for PollBody<F> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        while !self.ended {
            let Poll::Ready(action) = (self.next)(cx) else {
                let space = std::mem::take(&mut self.space) && self.out.is_empty();
                return if space {
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
                } else {
                    Poll::Pending
                };
            };
            match action {
                Action::Send { unit, .. } => self.out.put_slice(unit.payload()),
                Action::Ping | Action::Lost { .. } => {}
                Action::Close { reason: Reason::GoingAway } if self.out.is_empty() => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(Broken)));
                }
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use nosphere_core::{Encoded, Unit};

    use super::*;

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a body gives, poll for poll, as long as it has more to say: `None` where it would be flushed.
    fn frames(mut body: impl Body<Data = Bytes, Error: fmt::Debug> + Unpin) -> (Vec<Option<Bytes>>, bool) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut frames = Vec::new();
        loop {
            let wakes = woken.0.load(Ordering::Relaxed);
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)) {
                Poll::Ready(Some(frame)) => frames.push(Some(frame.unwrap().into_data().unwrap())),
                Poll::Ready(None) => {
                    assert!(body.is_end_stream());
                    return (frames, true);
                }
                Poll::Pending if woken.0.load(Ordering::Relaxed) > wakes => frames.push(None),
                Poll::Pending => return (frames, false),
            }
        }
    }

    fn next(actions: impl IntoIterator<Item = Action>) -> impl FnMut(&mut Context<'_>) -> Poll<Action> + Unpin {
        let mut actions: VecDeque<_> = actions.into_iter().collect();
        move |_| actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn send(text: &str, number: Option<u64>) -> Action {
        // Shared, as a broadcast is: the prepared WebSocket header is left out.
        Action::Send { unit: Encoded::shared(&Unit::Text(text.into())), number }
    }

    fn lines(frames: &[Option<Bytes>]) -> Vec<Option<&str>> {
        frames.iter().map(|frame| frame.as_ref().map(|bytes| str::from_utf8(bytes).unwrap())).collect()
    }

    #[test]
    fn units_without_lengths_are_flushed_one_by_one_and_others_gathered() {
        // SPEC ATM-14
        let actions = || [send("hand|shake", None), send("one", Some(1)), send("two", Some(2)), send("X", None)];
        let (alone, ended) = frames(UnitStream::new(false, Padding::None, next(actions())));
        let expected = [Some("hand|shake"), None, Some("one"), None, Some("two"), None, Some("X"), None];
        assert_eq!((lines(&alone), ended), (expected.to_vec(), false));
        let (gathered, _) = frames(UnitStream::new(true, Padding::None, next(actions())));
        assert_eq!(lines(&gathered), [Some("hand|shake"), None, Some("onetwoX"), None]);
    }

    #[test]
    fn padding_is_in_one_piece_with_the_greeting_or_alone() {
        // SPEC ATM-14
        let pad = " ".repeat(PADDING) + "\n";
        let (with, _) =
            frames(UnitStream::new(false, Padding::WithGreeting, next([send("h", None), send("a", Some(1))])));
        assert_eq!(lines(&with), [Some(&*(pad.clone() + "h")), None, Some("a"), None]);
        let (alone, _) = frames(UnitStream::new(true, Padding::Alone, next([send("a", Some(1))])));
        assert_eq!(lines(&alone), [Some(&*pad), None, Some("a")]);
        let (nothing_to_say, _) = frames(UnitStream::new(true, Padding::Alone, next([])));
        assert_eq!(lines(&nothing_to_say), [Some(&*pad), None]);
    }

    #[test]
    fn a_stream_ends_when_its_link_does_after_what_came_before() {
        for end in [Action::Close { reason: Reason::Fenced }, Action::Finish] {
            let actions = [send("last", Some(1)), end.clone(), send("never", Some(2))];
            let (written, ended) = frames(UnitStream::new(true, Padding::None, next(actions)));
            assert_eq!((lines(&written), ended), (vec![Some("last")], true));
            assert_eq!(frames(UnitStream::new(false, Padding::None, next([end]))), (vec![], true));
        }
    }

    #[test]
    fn a_poll_is_answered_whole_and_says_that_it_waits() {
        // SPEC ATM-13
        for space in [false, true] {
            let waits = PollBody::new(space, next([]));
            assert_eq!(frames(waits), (if space { vec![Some(Bytes::from_static(b" "))] } else { vec![] }, false));
            let actions = [send("1|a", Some(1)), send("1|b", Some(2)), Action::Finish];
            let (answer, ended) = frames(PollBody::new(space, next(actions)));
            assert_eq!((lines(&answer), ended), (vec![Some("1|a1|b")], true), "nothing has to be waited for");
            for end in [Action::Close { reason: Reason::Fenced }, Action::Finish] {
                assert_eq!(frames(PollBody::new(space, next([end]))), (vec![], true));
            }
        }
    }

    #[test]
    fn a_poll_with_nothing_to_say_is_broken_off_where_the_server_goes_away() {
        // SPEC ATM-13
        let away = Action::Close { reason: Reason::GoingAway };
        let mut body = PollBody::new(false, next([away.clone()]));
        let first = Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(first, Poll::Ready(Some(Err(Broken)))));
        let (answer, ended) = frames(PollBody::new(false, next([send("a", Some(1)), away])));
        assert_eq!((lines(&answer), ended), (vec![Some("a")], true));
    }

    #[test]
    fn what_is_not_asked_for_is_not_taken_from_the_connection() {
        // SPEC ATM-18
        let mut taken = 0;
        let body = PollBody::new(true, |_: &mut Context<'_>| {
            taken += 1;
            Poll::Ready(Action::Finish)
        });
        drop(body);
        assert_eq!(taken, 0);
    }
}
