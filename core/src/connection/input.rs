//! What comes over a link, in either role.

use super::{Connection, FirstWords, Role};
use crate::session::Arrived;
use crate::timers::Timer;
use crate::{
    Arena, Close, DecodeError, Event, Frame, Lent, LinkId, MAX_COUNT, Payload, Reason, Reply, Request, SessionError,
    State, Time, Transport, Unit, WireFormat,
};

impl Connection {
    /// A unit arrived over a link. Nothing happens if the link is not the current one, or the client's candidate.
    pub fn handle_unit(&mut self, link: LinkId, unit: Unit, format: &dyn WireFormat, now: Time) {
        if self.candidate.as_ref().is_some_and(|candidate| candidate.link == link) {
            return self.handle_candidate(matches!(format.decode(unit), Ok(Frame::Pong { .. })), now);
        }
        if !self.link_is(link) || self.state == State::Closed {
            return;
        }
        self.heard(now);
        let length = unit.len();
        let frame = format.decode(unit);
        self.handle_frame(frame, length, now);
    }

    /// [`handle_unit`](Self::handle_unit) for a unit that is only lent.
    pub fn handle_lent(&mut self, link: LinkId, unit: Lent<'_>, arena: &mut Arena, format: &dyn WireFormat, now: Time) {
        if self.role == Role::Client {
            return self.handle_unit(link, unit.to_unit(), format, now);
        }
        if self.link_is(link) && self.state != State::Closed {
            self.heard(now);
            let frame = format.decode_lent(unit, arena);
            self.handle_frame(frame, unit.len(), now);
        }
    }

    /// Server: [`handle_unit`](Self::handle_unit) and [`poll_event`](Self::poll_event) in one, for an application that
    /// waits for events: a message that nothing waits before goes `out` at once, and counts as received.
    ///
    /// Other events may wait when this gives none. An event is dear to move, so it is written where it is wanted; nothing may be
    /// there before.
    #[inline]
    pub fn receive(
        &mut self,
        link: LinkId,
        unit: Unit,
        format: &dyn WireFormat,
        now: impl FnOnce() -> Time,
        out: &mut Option<Event>,
    ) {
        let length = unit.len();
        if self.listens(link) {
            self.receive_frame(format.decode(unit), length, now, out);
        }
    }

    /// [`receive`](Self::receive) for a unit that is only lent.
    #[inline(always)]
    pub fn receive_lent(
        &mut self,
        link: LinkId,
        unit: Lent<'_>,
        arena: &mut Arena,
        format: &dyn WireFormat,
        now: impl FnOnce() -> Time,
        out: &mut Option<Event>,
    ) {
        if self.listens(link) {
            self.receive_frame(format.decode_lent(unit, arena), unit.len(), now, out);
        }
    }

    fn listens(&self, link: LinkId) -> bool {
        debug_assert_eq!(self.role, Role::Server);
        self.link_is(link) && self.state != State::Closed
    }

    #[inline(always)]
    fn receive_frame(
        &mut self,
        frame: Result<Frame, DecodeError>,
        length: usize,
        now: impl FnOnce() -> Time,
        out: &mut Option<Event>,
    ) {
        debug_assert!(out.is_none());
        self.timers.stop(Timer::Liveness);
        self.prove();
        match frame {
            Ok(Frame::Message(payload))
                if self.state == State::Open && self.session.inbox.pass(length, self.rules.frames) =>
            {
                self.due.ack |= self.rules.frames && self.session.inbox.is_report_due();
                match payload {
                    payload if payload.holds_too_much(length) => *out = Some(payload.copied().into()),
                    Payload::Binary(bytes) => *out = Some(Event::Binary(bytes)),
                    Payload::Json(json) => *out = Some(Event::Json(json)),
                    Payload::Text(text) => *out = Some(Event::Text(text)),
                }
            }
            frame => self.handle_frame(frame, length, now()),
        }
    }

    /// The carrier showed that the peer is there: a WebSocket pong, for one.
    pub fn handle_alive(&mut self, link: LinkId, now: Time) {
        if self.link_is(link) && self.state != State::Closed {
            self.heard(now);
        }
    }

    /// The carrier of a link takes nothing more for now, until [`poll_transmit`](Self::poll_transmit) is called again: what
    /// is [volatile](crate::Message::volatile) and waits, or comes meanwhile, is dropped.
    pub fn handle_blocked(&mut self, link: LinkId) {
        if let Some(link) = self.link.as_mut().filter(|current| current.id == link) {
            link.blocked = true;
            self.session.outbox.drop_volatile();
        }
    }

    /// A link is gone. `reason` is [`Reason::Lost`] for a lost connection, [`Reason::Closed`] for an orderly end by the
    /// peer, which for an event stream or a poll it is not; anything else is a fault of the peer, found by the carrier.
    pub fn handle_detach(&mut self, link: LinkId, reason: Reason, now: Time) {
        if self.candidate.as_ref().is_some_and(|candidate| candidate.link == link) {
            self.candidate = None;
        }
        if !self.link_is(link) {
            return;
        }
        if self.state == State::Closed {
            self.link = None;
            return;
        }
        if !matches!(reason, Reason::Lost | Reason::Closed) {
            return self.fault(reason, "refused by the carrier", now);
        }
        if reason == Reason::Closed && self.awaits_greeting() {
            // An answer to a poll that has no units has a head all the same.
            self.grant_by_head(now);
        }
        self.take_link();
        self.ended_link = Some((link, reason));
        let between = match self.role {
            Role::Client => reason == Reason::Closed && self.is_granted(),
            // A server cannot tell a client that gives up a poll from one that will come with the next.
            Role::Server => true,
        };
        if between && self.transport == Transport::LongPolling {
            self.timers.stop(Timer::PollTime);
            self.timers.stop(Timer::Liveness);
            self.timers.set(Timer::PollGap, now + self.config.poll_gap);
        } else {
            self.link_lost(reason, now);
        }
    }

    /// The peer is there.
    pub(super) fn heard(&mut self, now: Time) {
        match self.role {
            Role::Server => {
                self.timers.stop(Timer::Liveness);
                self.prove();
            }
            Role::Client => self.expect_life(now),
        }
    }

    pub(super) fn handle_frame(&mut self, frame: Result<Frame, DecodeError>, length: usize, now: Time) {
        let frame = match frame {
            Ok(Frame::Message(payload)) => return self.handle_message(payload.detached(length).into(), length, now),
            Ok(Frame::Request(Request { id, payload })) => {
                let event = Event::Request(Request { id, payload: payload.detached(length) });
                return self.handle_message(event, length, now);
            }
            Ok(Frame::Reply(Reply { id, payload })) => {
                let event = Event::Reply(Reply { id, payload: payload.detached(length) });
                return self.handle_message(event, length, now);
            }
            Err(DecodeError::Payload(error)) => {
                return self.handle_message(Event::Error(SessionError::Payload(error)), length, now);
            }
            Err(DecodeError::Malformed(detail)) => return self.fault(Reason::Malformed, detail, now),
            Ok(frame) => frame,
        };
        if self.role == Role::Client && self.handle_grant(&frame, now) {
            return;
        }
        if self.state == State::Connecting || self.is_ungranted(now) {
            return self.fault(Reason::Unexpected, "a frame before the session was granted", now);
        }
        match frame {
            Frame::Ack { received } => {
                self.acknowledged_by_peer(received, now);
            }
            Frame::Ping { received } => {
                if self.acknowledged_by_peer(received, now) {
                    self.due.pong = true;
                    self.heartbeat_event();
                }
            }
            Frame::Pong { received } => {
                if self.acknowledged_by_peer(received, now) {
                    self.heartbeat_event();
                }
            }
            Frame::Close(close) => self.handle_close(&close, now),
            Frame::Message(_)
            | Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Reply(_)
            | Frame::Request(_)
            | Frame::Reset { .. }
            | Frame::Resume(_)
            | Frame::Resumed { .. } => self.fault(Reason::Unexpected, "a frame that may not come here", now),
        }
    }

    fn handle_message(&mut self, event: Event, length: usize, now: Time) {
        match self.state {
            State::Open | State::Suspended => {}
            // Closed by the application: the peer learns from `close` that this was not taken.
            State::Closing | State::Closed => return self.ignore(true),
            State::Connecting => return self.fault(Reason::Unexpected, "a message before `opened`", now),
        }
        if self.is_ungranted(now) {
            return self.fault(Reason::Unexpected, "a message before the session was granted", now);
        }
        match self.session.inbox.arrive(event, length, self.rules().frames) {
            Arrived::Accepted | Arrived::Duplicate => {}
            Arrived::Beyond => self.fault(Reason::Window, "more than the window allows", now),
            Arrived::TooLong => self.fault(Reason::TooLarge, "a unit that is longer than any may be", now),
        }
    }

    pub(super) fn handle_close(&mut self, close: &Close, now: Time) {
        if let Some(counts) = self.link.as_mut().and_then(|link| link.counts.get_mut()) {
            counts.behind = MAX_COUNT;
        }
        if !self.acknowledged_by_peer(close.received, now) {
            return;
        }
        let by = self.peer_side();
        self.end(by, Reason::from_code(close.code), now);
        self.owe_farewell(now);
    }

    /// Takes note of the peer's count. False if it cannot be, which is a fault.
    pub(super) fn acknowledged_by_peer(&mut self, received: u64, now: Time) -> bool {
        if received > self.session.outbox.highest_number() {
            self.fault(Reason::Unexpected, "a count of what was never sent", now);
            return false;
        }
        let mut kept = MAX_COUNT;
        if let Some(counts) = self.link.as_mut().and_then(|link| link.counts.get_mut()) {
            kept = counts.behind;
            counts.noted = counts.noted.max(received);
        }
        self.session.outbox.acknowledge(received.min(kept));
        self.notice_room();
        self.close_if_flushed(now);
        true
    }

    fn heartbeat_event(&mut self) {
        if self.state == State::Open {
            self.session.inbox.push(Event::Heartbeat);
        }
    }

    fn is_ungranted(&mut self, now: Time) -> bool {
        if !self.awaits_greeting() {
            return false;
        }
        self.grant_by_head(now);
        !self.is_granted()
    }

    pub(super) fn awaits_greeting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| matches!(link.greeting, FirstWords::Attach | FirstWords::Awaited))
    }

    /// Plain sessions have no `close`: they are over once everything is written.
    pub(super) fn close_if_flushed(&mut self, now: Time) {
        if self.state == State::Closing && !self.rules().frames && self.session.outbox.is_flushed() {
            let side = self.own_side();
            self.end(side, Reason::Closed, now);
        }
    }

    /// Whether pings are frames of the protocol.
    pub(super) fn pings_by_frames(&self) -> bool {
        self.rules().heartbeat.is_by_frames()
    }
}
