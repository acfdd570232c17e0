//! What goes out over a link, in either role.

use super::{Action, Connection, Due, FirstWords, Role};
use crate::rules::{Delivery, Greets, Heartbeat};
use crate::session::Next;
use crate::timers::Timer;
use crate::{
    Close, Encoded, Frame, FrameParts, LinkId, MessageRef, Opened, Reason, Run, State, Text, Time, Transport,
    WireFormat,
};

impl Connection {
    /// The next thing to do on a link. Call it whenever the link can take more, until it gives `None`, or until the link
    /// is over: after [`Action::Close`] and [`Action::Finish`].
    ///
    /// A unit that was given out must be written before anything that is given out later; if it cannot be, report
    /// [`handle_detach`](Self::handle_detach). For a link that is not current any more this says [`Action::Close`]; in a
    /// client that moves to another link, as soon as the server has granted that one.
    #[must_use]
    pub fn poll_transmit(&mut self, link: LinkId, format: &dyn WireFormat, now: Time) -> Option<Action> {
        if self.has_only_messages(link) {
            self.unblock();
            let (unit, number) = self.next_message(format)?;
            return Some(Action::Send { unit, number: Some(number) });
        }
        self.poll_any(link, format, now)
    }

    /// What [`poll_transmit`](Self::poll_transmit) would give next for a WebSocket, as far as these are messages that can be
    /// written from where they lie: those that are [prepared](Encoded::frame) for many recipients, and those whose format
    /// adds no more than an [envelope](WireFormat::envelope). Then say which of them were handed to the link:
    /// [`transmit_parts`](Self::transmit_parts).
    #[inline]
    pub fn parts<'a>(&'a self, link: LinkId, format: &'a dyn WireFormat) -> impl Iterator<Item = FrameParts<'a>> {
        let parts = self.session.outbox.parts(format, self.rules.delivery);
        let all = self.has_only_messages(link) && self.rules.delivery != Delivery::Retained;
        if all { parts } else { parts.none() }
    }

    /// How many messages of a run, from its first on, are what [`poll_transmit`](Self::poll_transmit) would give next for a WebSocket.
    /// A run that has something else takes in what waits here, as far as that can be in one. Then say which of them were handed
    /// to the link: [`transmit_parts`](Self::transmit_parts).
    #[inline]
    pub fn gather(&self, link: LinkId, format: &dyn WireFormat, run: &mut Run) -> usize {
        match self.has_only_messages(link) && self.rules.delivery != Delivery::Retained {
            true => self.session.outbox.gather(run, format, self.rules.delivery),
            false => 0,
        }
    }

    /// The first of [those](Self::parts), with units of these lengths, were handed to the link.
    #[inline]
    pub fn transmit_parts(&mut self, lengths: &[u32]) {
        self.session.outbox.transmit_parts(lengths, self.rules.delivery);
        self.note_transmitted();
    }

    /// Whether one message waits for a WebSocket, and there is nothing else to say on it.
    #[inline]
    pub fn has_one_message(&self, link: LinkId) -> bool {
        self.session.outbox.waiting_for_link() == 1 && self.has_only_messages(link)
    }

    /// That [one](Self::has_one_message), if the peer has room for it. It may be written from where it lies, as
    /// [`MessageRef::frame_parts`], if the peer [takes](Self::is_takable) a unit of that length.
    #[inline(always)]
    pub fn last_message(&self) -> Option<MessageRef<'_>> {
        self.session.outbox.last_message(self.rules.delivery)
    }

    /// Whether the peer takes a unit of this length at all.
    #[inline]
    pub fn is_takable(&self, unit: usize) -> bool {
        self.session.outbox.is_takable(unit, self.rules.delivery)
    }

    /// That one, with a unit of this length, was handed to the link.
    #[inline]
    pub fn transmit_last_message(&mut self, length: usize) {
        self.session.outbox.transmit_last_message(length, self.rules.delivery);
        self.note_transmitted();
    }

    /// What [`poll_transmit`](Self::poll_transmit) would give for it.
    #[inline]
    pub fn transmit_last(&mut self, link: LinkId, format: &dyn WireFormat) -> Option<Encoded> {
        debug_assert!(self.has_one_message(link));
        self.unblock();
        self.next_message(format).map(|(unit, _)| unit)
    }

    /// The acknowledgement that [`poll_transmit`](Self::poll_transmit) would give first, on a WebSocket on which there is
    /// nothing else to say but messages, [prepared](Encoded::frame) to be written before those.
    pub fn transmit_ack(&mut self, link: LinkId, format: &dyn WireFormat) -> Option<Encoded> {
        let others = Due { ack: false, ..self.due }.any();
        if !self.due.ack || others || !self.has_only_due(link) {
            return None;
        }
        self.unblock();
        let received = self.report();
        format.encode(Frame::Ack { received }).ok().map(|unit| Encoded::shared(&unit))
    }

    /// Messages were handed to the link from where they lie.
    #[inline]
    fn note_transmitted(&mut self) {
        self.unblock();
        if self.session.awaits_room {
            self.notice_room();
        }
    }

    /// The carrier of the link takes something again.
    #[inline]
    fn unblock(&mut self) {
        if let Some(link) = &mut self.link {
            link.blocked = false;
        }
    }

    /// Whether there may be something to transmit on the current link, or the last one: quick, and never wrong with a no.
    pub fn wants_transmit(&self) -> bool {
        let linked = self.link.as_ref().is_some_and(|link| link.greeting == FirstWords::None && !link.finish);
        !linked || self.state != State::Open || self.due.any() || !self.session.outbox.is_flushed()
    }

    /// Whether messages are all that there may be to say on a link. Nearly always.
    #[inline]
    fn has_only_messages(&self, id: LinkId) -> bool {
        self.has_only_due(id) && !self.due.any()
    }

    /// The same, and what is due.
    #[inline]
    fn has_only_due(&self, id: LinkId) -> bool {
        let plain = self.link.as_ref().is_some_and(|link| link.id == id && link.greeting == FirstWords::None);
        plain && self.state == State::Open && self.transport == Transport::WebSocket
    }

    /// Whatever there is to do.
    fn poll_any(&mut self, link: LinkId, format: &dyn WireFormat, now: Time) -> Option<Action> {
        if let Some(candidate) = self.candidate.as_mut().filter(|candidate| candidate.link == link) {
            let first = !std::mem::replace(&mut candidate.pinged, true);
            return first.then(|| self.control(Frame::Ping { received: 0 }, format)).flatten();
        }
        if !self.link_is(link) {
            // An old link that ended before the server knows of the new one would make it think that the client is gone.
            let early = self.role == Role::Client && self.awaits_greeting() && self.state == State::Open;
            return (!early).then(|| Action::Close { reason: self.end_of(link) });
        }
        self.unblock();
        match self.greeting() {
            FirstWords::Attach if self.state != State::Closed => return self.attach_request(),
            FirstWords::Awaited if self.state != State::Closed => return None,
            FirstWords::Attach
            | FirstWords::Awaited
            | FirstWords::Lost
            | FirstWords::None
            | FirstWords::Opened
            | FirstWords::Resumed => {}
        }
        self.close_if_flushed(now);
        let mut action = self.next_action(format);
        if action.is_none() && self.state == State::Closing {
            // The last message of a plain session was just written.
            self.close_if_flushed(now);
            if self.state == State::Closed {
                action = self.next_action(format);
            }
        }
        let polling = self.transport == Transport::LongPolling && self.role == Role::Server;
        let one_per_poll = polling && self.rules().one_message_per_poll;
        let Some(link) = &mut self.link else { return action };
        match action {
            None if polling && (link.used || link.finish) => self.finish(now),
            Some(Action::Send { number, .. }) => {
                link.used = true;
                link.full |= one_per_poll && (number.is_none() || !format.is_delimited());
                action
            }
            action => action,
        }
    }

    fn next_action(&mut self, format: &dyn WireFormat) -> Option<Action> {
        if self.state == State::Closed {
            return Some(self.farewell(format));
        }
        if self.role == Role::Client && self.transport != Transport::WebSocket {
            // What a client sends over HTTP goes out by POST.
            return None;
        }
        if self.link.as_ref().is_some_and(|link| link.full) {
            return None;
        }
        self.greet(format)
            .or_else(|| self.next_control(format))
            .or_else(|| {
                let (unit, number) = self.next_message(format)?;
                Some(Action::Send { unit, number: Some(number) })
            })
            .or_else(|| {
                let flushed = self.state == State::Closing && self.session.outbox.is_flushed();
                let close = if flushed { self.close_frame() } else { None }?;
                self.control(close, format)
            })
    }

    /// Short frames that no message may delay.
    fn next_control(&mut self, format: &dyn WireFormat) -> Option<Action> {
        if std::mem::take(&mut self.due.pong) {
            let received = self.report();
            return self.control(Frame::Pong { received }, format);
        }
        if std::mem::take(&mut self.due.ping) {
            if !self.pings_by_frames() {
                return Some(Action::Ping);
            }
            self.due.probe = self.rules().heartbeat == Heartbeat::FramesUnansweredAndCarrier;
            let received = self.report();
            return self.control(Frame::Ping { received }, format);
        }
        if std::mem::take(&mut self.due.ack) {
            let received = self.report();
            return self.control(Frame::Ack { received }, format);
        }
        std::mem::take(&mut self.due.probe).then_some(Action::Ping)
    }

    /// The next message that the link can carry, with its number; what it cannot becomes an error event.
    #[inline]
    pub(super) fn next_message(&mut self, format: &dyn WireFormat) -> Option<(Encoded, u64)> {
        if self.session.outbox.is_flushed() {
            return None;
        }
        let rules = self.rules();
        loop {
            match self.session.outbox.next(format, &rules, self.config.retained)? {
                Next::Message { unit, number } => {
                    if self.session.awaits_room {
                        self.notice_room();
                    }
                    return Some((unit, number));
                }
                Next::Undeliverable(cause) => {
                    if !self.reject_next(cause) {
                        return None;
                    }
                }
            }
        }
    }

    /// `close`, unless the current link was told. It counts as told.
    pub(super) fn close_frame(&mut self) -> Option<Frame> {
        let last = self.closing.as_ref().filter(|closing| !closing.sent)?.received;
        let received = if self.state == State::Closed { last } else { self.report() };
        let closing = self.closing.as_mut()?;
        closing.sent = true;
        let (code, reason) = (closing.reason.code(), Text::from_static(closing.reason.name()));
        Some(Frame::Close(Close { code, reason, received }))
    }

    /// The count for a frame; an acknowledgement is not due any more.
    pub(super) fn report(&mut self) -> u64 {
        self.due.ack = false;
        self.session.inbox.report()
    }

    /// What a server says first on a link.
    fn greet(&mut self, format: &dyn WireFormat) -> Option<Action> {
        let link = self.link.as_mut()?;
        match std::mem::replace(&mut link.greeting, FirstWords::None) {
            FirstWords::Lost => {
                let messages = link.counts.get_mut().map_or(0, |counts| std::mem::take(&mut counts.lost));
                link.counts.settle();
                Some(Action::Lost { messages })
            }
            FirstWords::Opened => {
                let (session, token) = self.session.key?;
                let opened = Opened {
                    session,
                    token,
                    heartbeat: match self.rules().heartbeat.is_unanswered() {
                        true => self.config.client_heartbeat,
                        false => self.config.heartbeat,
                    },
                    timeout: self.config.timeout,
                    proof: self.config.proof,
                    resume: self.config.resume,
                    window: self.session.inbox.window(),
                };
                self.control(Frame::Opened(opened), format)
            }
            FirstWords::Resumed => {
                let received = self.report();
                self.control(Frame::Resumed { received }, format)
            }
            FirstWords::None | FirstWords::Attach | FirstWords::Awaited => None,
        }
    }

    /// The last words on the link of a closed session: `close`, unless this side has said it, then the end.
    fn farewell(&mut self, format: &dyn WireFormat) -> Action {
        let reason = self.closing.as_ref().map_or(Reason::Closed, |closing| closing.reason);
        let speaks = match self.role {
            Role::Client => self.transport == Transport::WebSocket && self.is_granted(),
            Role::Server => self.rules().frames,
        };
        if speaks && let Some(close) = self.close_frame().and_then(|close| self.control(close, format)) {
            return close;
        }
        if self.role == Role::Server && self.transport == Transport::LongPolling {
            self.ended_link = self.take_link().map(|link| (link.id, Reason::Closed));
            return Action::Finish;
        }
        self.end_link(reason)
    }

    fn end_link(&mut self, reason: Reason) -> Action {
        if let Some(link) = self.take_link() {
            self.ended_link = Some((link.id, reason));
        }
        Action::Close { reason }
    }

    /// The poll is answered; the next one is expected.
    fn finish(&mut self, now: Time) -> Option<Action> {
        let link = self.take_link()?;
        self.ended_link = Some((link.id, Reason::Closed));
        if self.rules().greets == Greets::EveryAttachment {
            // It was held until there was something to say, which is all that such a client can do.
            self.prove();
        }
        self.timers.stop(Timer::PollTime);
        self.timers.set(Timer::PollGap, now + self.config.poll_gap);
        Some(Action::Finish)
    }

    fn control(&self, frame: Frame, format: &dyn WireFormat) -> Option<Action> {
        let unit = format.encode(frame).ok()?;
        Some(Action::Send { unit: Encoded::new(unit), number: None })
    }

    fn greeting(&self) -> FirstWords {
        self.link.as_ref().map_or(FirstWords::None, |link| link.greeting)
    }

    fn end_of(&self, link: LinkId) -> Reason {
        self.ended_link.filter(|ended| ended.0 == link).map_or(Reason::Fenced, |ended| ended.1)
    }

    /// Whether a ping of the carrier is expected to be answered.
    pub(super) fn pings_are_answered(&self) -> bool {
        self.rules().heartbeat.is_answered()
    }
}
