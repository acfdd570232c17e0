//! What only the server role does: opening, accepting attachments, applying bodies.

use std::sync::Arc;

use super::{Connection, Counts, Due, FirstWords, Role};
use crate::lifecycle::Input;
use crate::rules::{Delivery, Greets, Heartbeat};
use crate::session::Arrived;
use crate::timers::Timer;
use crate::{
    Config, DecodeError, Frame, LinkId, MAX_COUNT, Protocol, Reason, ResumeToken, SessionId, State, Time, Transport,
    Unit, Window, WireFormat,
};

/// What a new session begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "every field is the caller's choice")]
pub struct Opening {
    /// From a random source.
    pub session: SessionId,
    /// From a secure random source.
    pub token: ResumeToken,
    /// The number of the first attachment: what the client said, or 1.
    pub attachment: u64,
    /// What the client can take.
    pub window: Window,
    /// The first link.
    pub link: LinkId,
    /// What carries it.
    pub transport: Transport,
}

/// A client comes back over a new link, or with its next poll. The token has been [verified](Connection::verifies).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "every field comes from the request")]
pub struct Attach {
    /// The new link.
    pub link: LinkId,
    /// What carries it.
    pub transport: Transport,
    /// The number that the client gave the attachment. Plain clients may give none.
    pub attachment: Option<u64>,
    /// What the client has taken. Plain clients may not know.
    pub received: Option<u64>,
}

/// A body of a POST, read whole. The token has been [verified](Connection::verifies).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "every field comes from the request")]
pub struct Batch {
    /// The attachment that the request belongs to; `None` is the current one.
    pub attachment: Option<u64>,
    /// The number of the client's messages before the first of this body; `None` is the current count.
    pub base: Option<u64>,
    /// What the client has taken.
    pub received: Option<u64>,
    /// The units, in order.
    pub units: Vec<Unit>,
}

/// How a request is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "status and header of the answer")]
pub struct BatchAnswer {
    /// What the session has taken: `Nosphere-Received`.
    pub received: u64,
    /// Why nothing was applied, if nothing was.
    pub outcome: Result<(), Fault>,
}

/// Why a request was refused (SPEC §13). All that it did to the session is to show that its client is there, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The session is closed.
    Closed,
    /// The attachment is not the current one.
    Fenced,
    /// The body's `base` is ahead of the session.
    Gap,
    /// A unit is not a frame.
    Malformed(&'static str),
    /// A poll from the past.
    Stale,
    /// A unit is longer than any may be.
    TooLarge,
    /// A count that cannot be, or a frame that may not come here.
    Unexpected,
    /// More than the window allows.
    Window,
}

/// A unit of a body, read, and its length.
type Received = (Result<Frame, DecodeError>, usize);

impl Connection {
    /// A session that was just admitted.
    pub fn server(config: &Arc<Config>, protocol: Protocol, opening: Opening, now: Time) -> Self {
        let mut connection = Self::new(Role::Server, protocol, config, opening.transport, opening.window);
        connection.session.key = Some((opening.session, opening.token));
        connection.attachment = opening.attachment;
        let rules = connection.rules();
        let greeting = if rules.greets == Greets::Never { FirstWords::None } else { FirstWords::Opened };
        connection.set_link(opening.link, opening.transport, greeting);
        connection.step(Input::Opened);
        if rules.resumable {
            connection.timers.set(Timer::Proof, now + config.proof);
        } else {
            // Without its link it is gone at once.
            connection.proven = true;
        }
        connection.start_link_timers(now);
        // A pong is all that some clients have to prove themselves with.
        connection.due.probe = rules.heartbeat == Heartbeat::FramesUnansweredAndCarrier;
        if rules.empty_first_poll {
            connection.finish_poll();
        }
        connection
    }

    /// The client comes back. The link becomes the current one, unless there is a fault.
    #[must_use = "a refused request must be answered"]
    pub fn handle_attach(&mut self, attach: Attach, now: Time) -> Result<(), Fault> {
        let Attach { link, transport, attachment, received } = attach;
        let polling = transport == Transport::LongPolling;
        let run = self.is_next_of_run(transport);
        if self.role == Role::Client || attachment.is_some_and(|number| number > MAX_COUNT) {
            return Err(Fault::Unexpected);
        }
        let number = attachment.unwrap_or(if run { self.attachment } else { self.attachment + 1 });
        if number < self.attachment || number == self.attachment && !run {
            return Err(Fault::Fenced);
        }
        if self.state == State::Closed {
            return self.show_tombstone(link, transport, number);
        }
        if received.is_some_and(|count| count > self.session.outbox.highest_number()) {
            return Err(Fault::Unexpected);
        }
        let noted = self.link.as_ref().and_then(|link| link.counts.get()).map_or(0, |counts| counts.noted);
        let oldest = self.session.outbox.acknowledged().max(noted);
        let behind = received.is_some_and(|count| count < oldest);
        let next = number > self.attachment;
        let retained = self.rules().delivery == Delivery::Retained;
        if behind && !retained {
            return Err(if next { Fault::Unexpected } else { Fault::Stale });
        }
        let count = received.unwrap_or(oldest);
        let (mut greeting, mut lost) = (FirstWords::None, 0);
        if next {
            self.due = Due::default();
            if self.rules().frames {
                // Other clients would not send it again.
                self.session.inbox.discard_untaken();
            }
            lost = self.session.outbox.resume(count);
            self.attachment = number;
            greeting = match self.protocol.rules(transport).greets {
                Greets::EveryAttachment => FirstWords::Opened,
                Greets::Never if lost > 0 => FirstWords::Lost,
                Greets::Never => FirstWords::None,
                Greets::OpenedThenResumed => FirstWords::Resumed,
            };
        } else {
            self.session.outbox.rewind(count);
        }
        if let Some(closing) = &mut self.closing {
            closing.sent = false;
        }
        self.set_link(link, transport, greeting);
        if let Some(link) = self.link.as_mut().filter(|_| polling || greeting == FirstWords::Lost) {
            let behind = if polling { self.session.outbox.acknowledged() } else { MAX_COUNT };
            *link.counts.make() = Counts { behind, noted: 0, lost };
        }
        self.prove();
        self.timers.stop(Timer::Resume);
        self.step(Input::LinkGained);
        self.start_link_timers(now);
        self.notice_room();
        self.close_if_flushed(now);
        Ok(())
    }

    /// The client says, beside its link, that it leaves. Nothing happens if the session is over.
    pub fn handle_leave(&mut self, now: Time) {
        if self.role == Role::Server {
            self.end(self.peer_side(), Reason::Closed, now);
        }
    }

    /// Whether a link that a client [asks for](Attach) would begin an attachment, and not be the next poll of a run. Who begins
    /// one has to be admitted (SES-7).
    pub fn begins(&self, transport: Transport, attachment: Option<u64>) -> bool {
        attachment.map_or_else(|| !self.is_next_of_run(transport), |number| number != self.attachment)
    }

    fn is_next_of_run(&self, transport: Transport) -> bool {
        [transport, self.transport] == [Transport::LongPolling; 2] && !self.poll_broke()
    }

    /// Whether the client of a protocol that greets every attachment, and does not number them, takes its last poll for
    /// lost: what it asks for next is a new attachment.
    fn poll_broke(&self) -> bool {
        let lost = self.link.is_some() || self.ended_link.is_some_and(|ended| ended.1 != Reason::Closed);
        lost && self.rules().greets == Greets::EveryAttachment
    }

    /// A POST arrived whole. Applies all of it or nothing (PST-1).
    #[must_use = "the request must be answered"]
    pub fn handle_batch(&mut self, batch: Batch, format: &dyn WireFormat, now: Time) -> BatchAnswer {
        let outcome = self.apply(batch, format, now);
        BatchAnswer { received: self.report_received(), outcome }
    }

    fn apply(&mut self, batch: Batch, format: &dyn WireFormat, now: Time) -> Result<(), Fault> {
        let Batch { attachment, base, received, units } = batch;
        if self.role == Role::Client {
            return Err(Fault::Unexpected);
        }
        // Whatever else is wrong with it, the request has the token (SES-6).
        self.prove();
        let mut frames: Vec<Received> = Vec::with_capacity(units.len());
        for unit in units {
            let length = unit.len();
            let frame = format.decode(unit);
            match &frame {
                Err(DecodeError::Malformed(detail)) => return Err(Fault::Malformed(detail)),
                Err(DecodeError::Payload(_)) | Ok(Frame::Message(_) | Frame::Reply(_) | Frame::Request(_)) => {}
                Ok(Frame::Ack { .. } | Frame::Ping { .. } | Frame::Pong { .. } | Frame::Close(_)) => {}
                Ok(_) => return Err(Fault::Unexpected),
            }
            frames.push((frame, length));
        }
        let closes = frames.iter().any(|(frame, _)| matches!(frame, Ok(Frame::Close(_))));
        if self.state == State::Closed {
            return if closes { Ok(()) } else { Err(Fault::Closed) };
        }
        // A page that goes away may have lost its WebSocket before it can say so.
        let beside = self.transport == Transport::WebSocket && !closes && !self.rules().posts_beside_websocket;
        if attachment.is_some_and(|number| number != self.attachment) || beside {
            return Err(Fault::Fenced);
        }
        // Whether its messages can be taken or not, it is a sign of life (HB-3).
        self.heard(now);
        let counts = frames.iter().filter_map(|(frame, _)| match frame {
            Ok(Frame::Ack { received } | Frame::Ping { received } | Frame::Pong { received }) => Some(*received),
            Ok(Frame::Close(close)) => Some(close.received),
            _ => None,
        });
        if counts.chain(received).any(|count| count > self.session.outbox.highest_number()) {
            return Err(Fault::Unexpected);
        }
        // A closing session ignores messages, so none of them can be missing or too many (CLS-1).
        if self.state != State::Closing {
            self.make_way(base, &frames)?;
        }
        self.wake(now);
        if let Some(received) = received {
            self.acknowledged_by_peer(received, now);
        }
        for (frame, length) in frames {
            self.handle_frame(frame, length, now);
        }
        Ok(())
    }

    /// The messages of a body begin behind `base`.
    fn make_way(&mut self, base: Option<u64>, frames: &[Received]) -> Result<(), Fault> {
        let accepted = self.session.inbox.accepted();
        let base = base.unwrap_or(accepted);
        let known = accepted.checked_sub(base).ok_or(Fault::Gap)?;
        let messages = frames.iter().filter(|(frame, _)| frame.as_ref().map_or(true, Frame::is_message));
        let new = messages.map(|(_, length)| *length).skip(usize::try_from(known).unwrap_or(usize::MAX));
        match self.session.inbox.weigh(new, self.rules().frames) {
            Arrived::Accepted | Arrived::Duplicate => {}
            Arrived::Beyond => return Err(Fault::Window),
            Arrived::TooLong => return Err(Fault::TooLarge),
        }
        self.session.inbox.seek(base);
        Ok(())
    }

    /// A POST shows that the client of a suspended session is there; its stream or its next poll has to follow.
    fn wake(&mut self, now: Time) {
        if self.state == State::Suspended {
            self.timers.stop(Timer::Resume);
            self.step(Input::LinkGained);
            self.timers.set(Timer::PollGap, now + self.config.poll_gap);
            self.notice_room();
        }
    }

    /// A closed session says so again, and nothing brings it back (CLS-4).
    fn show_tombstone(&mut self, link: LinkId, transport: Transport, number: u64) -> Result<(), Fault> {
        if !self.rules().frames {
            return Err(Fault::Closed);
        }
        if let Some(closing) = &mut self.closing {
            closing.sent = false;
        }
        let tombstone = self.timers.clone();
        self.attachment = number;
        self.set_link(link, transport, FirstWords::None);
        self.timers = tombstone;
        Ok(())
    }

    /// The client has shown that it received `opened`.
    #[inline]
    pub(super) fn prove(&mut self) {
        if !self.proven {
            self.proven = true;
            self.timers.stop(Timer::Proof);
        }
    }

    pub(super) fn start_link_timers(&mut self, now: Time) {
        let heartbeat = self.rules().heartbeat;
        if self.transport == Transport::LongPolling {
            let beats = heartbeat == Heartbeat::FramesUnanswered && !self.config.heartbeat.is_zero();
            let time = if beats { self.config.heartbeat } else { self.config.poll_time.min(Config::MAX_POLL_TIME) };
            self.timers.set(Timer::PollTime, now + time);
        } else if heartbeat != Heartbeat::None && !self.config.heartbeat.is_zero() {
            self.timers.set(Timer::Ping, now + self.config.heartbeat);
        }
    }

    /// The waiting poll is to be answered with what there is.
    pub(super) fn finish_poll(&mut self) {
        if let Some(link) = &mut self.link {
            link.finish = true;
        }
    }
}

impl Fault {
    /// The reason that a WebSocket is closed with for this fault.
    pub fn reason(self) -> Reason {
        match self {
            Self::Closed => Reason::Closed,
            Self::Fenced => Reason::Fenced,
            Self::Malformed(_) => Reason::Malformed,
            Self::Gap | Self::Stale | Self::Unexpected => Reason::Unexpected,
            Self::TooLarge => Reason::TooLarge,
            Self::Window => Reason::Window,
        }
    }
}
