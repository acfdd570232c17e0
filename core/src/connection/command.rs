//! What the application asks of its session, and what anybody may know about it.

use super::{Connection, Role, Undelivered};
use crate::lifecycle::Input;
use crate::message::Brief;
use crate::rules::Delivery;
use crate::session::{Pushed, carriage_return, not_text};
use crate::timers::Timer;
use crate::{
    EncodeError, Event, LinkId, MAX_DEPTH, Message, Payload, Protocol, Reason, Reply, ResumeToken, SendError, Sent,
    SessionId, Side, State, Time, Transport, Window,
};

impl Connection {
    /// Queues a message. It goes out with the next [`poll_transmit`](Self::poll_transmit) or
    /// [`poll_post`](Self::poll_post) that has room for it, over this link or a later one.
    ///
    /// # Errors
    ///
    /// The message comes back, with the reason, when it cannot be taken.
    pub fn send(&mut self, message: impl Into<Message>, now: Time) -> Result<Sent, SendError> {
        match self.append_own(message.into()) {
            None => Ok(Sent::Queued),
            Some(message) => self.try_send(message, now),
        }
    }

    /// [`send`](Self::send), if that needs neither a decision nor the time: the message is queued, or comes back.
    #[inline(always)]
    pub fn append_own(&mut self, message: Message) -> Option<Message> {
        if let Some(length) = self.takes(&message) {
            self.session.outbox.append(message, length);
            return None;
        }
        Some(message)
    }

    fn try_send(&mut self, message: Message, now: Time) -> Result<Sent, SendError> {
        if !matches!(self.state, State::Connecting | State::Open | State::Suspended) {
            return Err(SendError::Closed(message));
        }
        let rules = self.rules();
        let limit = self.session.outbox.peer().bytes as usize;
        let length = message.payload().len();
        if length > limit && rules.frames && self.state != State::Connecting {
            return Err(SendError::TooLarge { message, limit });
        }
        let inexpressible = match message.payload() {
            _ if message.is_exchange() && !rules.frames => {
                Some(EncodeError::new(self.protocol.name(), "requests and replies"))
            }
            Payload::Binary(_) if rules.text_only => Some(not_text()),
            Payload::Json(json) if json.is_too_deep() => Some(too_deep()),
            Payload::Text(text) if rules.no_carriage_return && text.as_bytes().contains(&b'\r') => {
                Some(carriage_return())
            }
            Payload::Binary(_) | Payload::Json(_) | Payload::Text(_) => None,
        };
        if let Some(error) = inexpressible {
            return Err(SendError::Inexpressible { message, error });
        }
        let linked = self.state == State::Open && self.link.as_ref().is_some_and(|link| !link.blocked);
        match self.session.outbox.push(message, linked, rules.delivery, &self.config) {
            Pushed::Dropped => Ok(Sent::Dropped),
            Pushed::Queued => Ok(Sent::Queued),
            Pushed::Replaced => Ok(Sent::Replaced),
            Pushed::Refused(message) => {
                self.session.awaits_room = true;
                Err(SendError::Full(message))
            }
            Pushed::Overflow(message) => {
                self.end(self.own_side(), Reason::Overflow, now);
                self.owe_farewell(now);
                Err(SendError::Full(message))
            }
        }
    }

    /// [`send`](Self::send) for a message of many recipients, if that needs neither a decision nor the time: it is queued, or
    /// nothing happens.
    #[inline]
    pub fn append(&mut self, message: &Message) -> bool {
        let easy = self.takes(message);
        if let Some(length) = easy {
            self.session.outbox.append(message.clone(), length);
        }
        easy.is_some()
    }

    /// The length of a message, if it can be queued as it is. Nearly always.
    #[inline]
    fn takes(&self, message: &Message) -> Option<usize> {
        let Brief { length, traits } = message.brief();
        let binary = if self.rules.text_only { Brief::BINARY } else { 0 };
        let text = if self.rules.no_carriage_return { Brief::TEXT } else { 0 };
        let taken = traits & (Brief::SPECIAL | binary | text) == 0
            && self.state == State::Open
            && length <= self.session.outbox.peer().bytes as usize
            && self.session.outbox.fits(length, &self.config);
        taken.then_some(length)
    }

    /// Asks the peer at once what it has taken, by a ping, if that may make room: left to itself, a peer whose window is larger
    /// than the queue here says so with the next heartbeat only. For an application that waits for room; of use to a server.
    pub fn ask_received(&mut self, now: Time) {
        let unknown = self.role == Role::Server
            && self.state == State::Open
            && self.transport != Transport::LongPolling
            && self.rules().delivery == Delivery::Acknowledged
            && self.session.outbox.awaits_acknowledgement();
        if unknown {
            self.ask(now);
        }
    }

    /// Ends the session: flushes what is queued, within the close timeout, then says `close`. Later calls do nothing.
    ///
    /// Messages that wait to be taken, or come later, are not delivered; the peer learns which.
    pub fn close(&mut self, reason: Reason, now: Time) {
        let by = self.own_side();
        match self.state {
            State::Connecting => self.end(by, reason, now),
            State::Open | State::Suspended => {
                self.step(Input::CloseCommand);
                self.session.inbox.discard_untaken();
                self.timers.stop(Timer::Resume);
                self.timers.set(Timer::Close, now + self.config.close_timeout);
                self.closing = Some(super::Closing { by, reason, sent: false, received: 0 });
                self.close_if_flushed(now);
            }
            State::Closing | State::Closed => {}
        }
    }

    /// The next event for the application. A message counts as received when it is taken here.
    ///
    /// Taking may make an acknowledgement due, or let a client's held poll go: ask for transmits afterwards.
    #[must_use]
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.session.inbox.is_empty() { None } else { self.take_event() }
    }

    fn take_event(&mut self) -> Option<Event> {
        let event = self.session.inbox.pop();
        self.due.ack |= self.session.inbox.is_report_due() && self.rules().frames;
        event
    }

    /// Everything was taken, and the application waits: gives back what memory waiting events needed.
    #[inline]
    pub fn release(&mut self) {
        self.session.inbox.shrink();
    }

    /// The next reply to a request of this side, whatever waits before it.
    ///
    /// For an application that waits for a reply in the middle of something else and takes no events meanwhile. It counts
    /// as received when what came before it was taken, and no event tells of it again.
    #[must_use]
    pub fn poll_reply(&mut self) -> Option<Reply> {
        let reply = self.session.inbox.pop_reply();
        self.due.ack |= self.session.inbox.is_report_due() && self.rules().frames;
        reply
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` is never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// After `Disconnected`: the messages that are not known to have arrived. Empty before, and when called again.
    pub fn take_undelivered(&mut self) -> Undelivered {
        if self.state != State::Closed {
            return Undelivered::default();
        }
        let (unknown, unsent) = self.session.outbox.take_all();
        Undelivered { unknown, unsent }
    }

    /// [`received`](Self::received), for the header of an HTTP answer.
    ///
    /// The peer may go by it, but an acknowledgement that is due stays due: an answer may get lost unnoticed.
    pub fn report_received(&mut self) -> u64 {
        match &self.closing {
            Some(closing) if self.state == State::Closed => closing.received,
            _ => self.session.inbox.tell(),
        }
    }

    /// Whether the link should be read: false while the application has as much to take as the window allows, and nothing
    /// but the carrier can hold the peer back.
    pub fn wants_read(&self) -> bool {
        self.rules().frames || !self.session.inbox.is_full()
    }

    /// Whether there are events to take.
    pub fn has_events(&self) -> bool {
        !self.session.inbox.is_empty()
    }

    /// Where the session is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// The current transport, or the last one.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The current link.
    pub fn link(&self) -> Option<LinkId> {
        self.link.as_ref().map(|link| link.id)
    }

    /// After the end: who ended the session, and why.
    pub fn ended(&self) -> Option<(Side, Reason)> {
        let closing = self.closing.as_ref().filter(|_| self.state == State::Closed)?;
        Some((closing.by, closing.reason))
    }

    /// The number of the current attachment.
    pub fn attachment(&self) -> u64 {
        self.attachment
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The session's id; `None` in a client that is still connecting.
    pub fn session(&self) -> Option<SessionId> {
        self.session.key.map(|(id, _)| id)
    }

    /// The token, for the client's own storage and for plain HTTP.
    pub fn token(&self) -> Option<ResumeToken> {
        self.session.key.map(|(_, token)| token)
    }

    /// Whether a token is this session's, compared in constant time.
    pub fn verifies(&self, token: &ResumeToken) -> bool {
        self.session.key.is_some_and(|(_, own)| own.matches(token))
    }

    /// How many messages of the peer the application has taken.
    pub fn received(&self) -> u64 {
        self.session.inbox.taken()
    }

    /// The number of the next message on the current link.
    ///
    /// A client compares it with the `id` of an event (SPEC SSE-4), and ends the stream with
    /// [`handle_detach`](Self::handle_detach) and [`Reason::Unexpected`] when that is another one.
    pub fn next_number(&self) -> u64 {
        self.session.inbox.position() + 1
    }

    /// How many messages the peer has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.session.outbox.acknowledged()
    }

    /// How many messages [`Overflow::DropOldest`](crate::Overflow::DropOldest) has dropped. Nobody else is told of them.
    pub fn dropped(&self) -> u64 {
        self.session.outbox.dropped()
    }

    /// How many messages are kept: waiting to be sent, or for their acknowledgement.
    pub fn queued(&self) -> usize {
        self.session.outbox.len()
    }

    /// Whether not even half of the queue is used by what waits to be sent, or to be acknowledged: who has much to send waits
    /// for that.
    pub fn has_room(&self) -> bool {
        self.session.outbox.is_half_empty(|| self.rules().delivery, &self.config)
    }

    /// What this side can take.
    pub fn window(&self) -> Window {
        self.session.inbox.window()
    }

    /// Whether nothing is left to do: closed, everything taken, no link, no tombstone to keep.
    pub fn is_finished(&self) -> bool {
        self.state == State::Closed && self.link.is_none() && !self.has_events() && self.poll_timeout().is_none()
    }
}

/// SPEC JSN-3, MSP-3.
pub(crate) fn too_deep() -> EncodeError {
    const _: () = assert!(MAX_DEPTH == 64, "the text below says so");
    EncodeError::new("nosphere", "JSON nested deeper than 64 levels")
}
