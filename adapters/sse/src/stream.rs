use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use nosphere_core::Action;

use crate::EventWriter;

/// The most bytes that are gathered before they are handed to the HTTP server.
const CHUNK: usize = 16 * 1024;

/// A response body that is an event stream.
///
/// `next` asks the connection for the link's next action, and wakes the task when there is one later. The stream ends
/// with [`Action::Close`].
pub struct EventStream<F> {
    events: EventWriter,
    next: F,
    /// The count that a lost message's event carries.
    count: u64,
    ended: bool,
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> EventStream<F> {
    /// A stream that begins with what the writer already holds.
    pub fn new(events: EventWriter, count: u64, next: F) -> Self {
        Self { events, next, count, ended: false }
    }
}

impl<F: FnMut(&mut Context<'_>) -> Poll<Action> + Unpin> Body for EventStream<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while !self.ended && self.events.len() < CHUNK {
            let Poll::Ready(action) = (self.next)(cx) else { break };
            match action {
                Action::Send { unit, number } => {
                    self.count = number.unwrap_or(self.count);
                    self.events.write(&unit, number);
                }
                Action::Lost { messages } => {
                    self.count += messages;
                    let count = self.count;
                    self.events.lost(messages, count);
                }
                Action::Ping => self.events.comment(),
                Action::Close { .. } | Action::Finish | Action::Attach(_) | _ => self.ended = true,
            }
        }
        match self.events.is_empty() {
            false => Poll::Ready(Some(Ok(Frame::data(self.events.take())))),
            true if self.ended => Poll::Ready(None),
            true => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.events.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<F> fmt::Debug for EventStream<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("events", &self.events).field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use nosphere_core::{Encoded, Reason, ResumeToken, SessionId, Unit};

    use super::*;

    /// What a stream writes for some actions, chunk by chunk, and whether it ended.
    fn chunks(events: EventWriter, actions: impl IntoIterator<Item = Action>) -> (Vec<Bytes>, bool) {
        let mut actions: VecDeque<_> = actions.into_iter().collect();
        let next = move |_: &mut Context<'_>| actions.pop_front().map_or(Poll::Pending, Poll::Ready);
        let mut stream = EventStream::new(events, 4, next);
        let mut chunks = Vec::new();
        loop {
            match Pin::new(&mut stream).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => chunks.push(frame.into_data().unwrap()),
                Poll::Ready(None) => {
                    assert!(stream.is_end_stream());
                    return (chunks, true);
                }
                Poll::Pending => return (chunks, false),
            }
            assert_eq!(stream.size_hint().exact(), None);
        }
    }

    fn send(text: &str, number: u64) -> Action {
        Action::Send { unit: Encoded::new(Unit::Text(text.into())), number: Some(number) }
    }

    #[test]
    fn what_comes_at_once_is_one_chunk_and_the_stream_stays_open() {
        let (chunks, ended) = chunks(EventWriter::native(), [send("a", 1), send("b", 2)]);
        assert_eq!(chunks, ["id: 1\ndata: a\n\nid: 2\ndata: b\n\n"]);
        assert!(!ended);
    }

    #[test]
    fn a_large_backlog_is_pulled_chunk_by_chunk() {
        let large = "x".repeat(CHUNK / 2);
        let (chunks, _) = chunks(EventWriter::native(), (1..=8).map(|number| send(&large, number)));
        assert_eq!(chunks.len(), 4);
        assert!(chunks.iter().all(|chunk| chunk.len() < 2 * CHUNK));
    }

    #[test]
    fn the_stream_ends_when_its_link_does_after_what_came_before() {
        for end in [Action::Close { reason: Reason::Fenced }, Action::Finish] {
            let (written, ended) = chunks(EventWriter::native(), [send("last", 1), end.clone(), send("never", 2)]);
            assert_eq!((written, ended), (vec![Bytes::from_static(b"id: 1\ndata: last\n\n")], true));
            assert_eq!(chunks(EventWriter::native(), [end]), (vec![], true));
        }
    }

    #[test]
    fn a_plain_stream_counts_what_is_lost_and_lives_by_comments() {
        // SPEC PLN-3, PLN-4
        let (session, token) = (SessionId::from([0; 16]), ResumeToken::from_random([0x11; 16]));
        let actions = [Action::Lost { messages: 3 }, send("a", 8), Action::Ping, Action::Lost { messages: 2 }];
        let (chunks, _) = chunks(EventWriter::plain(session, token, 4, false), actions);
        let all = String::from_utf8(chunks.concat()).unwrap();
        let name = format!("{session}.{}", token.reveal());
        let expected = [
            format!("event: session\nid: {name}.4\ndata: {name}\n\n"),
            format!("event: reset\nid: {name}.7\ndata: 3\n\n"),
            format!("id: {name}.8\ndata: a\n\n"),
            ":\n\n".into(),
            format!("event: reset\nid: {name}.10\ndata: 2\n\n"),
        ];
        assert_eq!(all, expected.concat());
    }
}
