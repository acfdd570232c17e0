//! What only the client role does: attaching, and posting where the link goes one way.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, AttachRequest, Candidate, Connection, FirstWords, Role};
use crate::lifecycle::Input;
use crate::timers::Timer;
use crate::{
    Config, Encoded, Frame, LinkId, Offer, Open, Opened, Protocol, Reason, Side, State, Text, Time, Transport, Unit,
    Window, WireFormat,
};

/// The most units in one body, whatever the server's window: it takes 1,024 (SPEC §14).
const MAX_POST_UNITS: usize = 512;

/// A body of this many bytes gets no further message. With one of 1 MiB on top it is within the 2 MiB of SPEC §14.
const MAX_POST_BYTES: usize = 512 << 10;

/// What a client remembers beside its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    heartbeat: Duration,
    timeout: Duration,
    resume: Duration,
    /// The number of the POST in flight, and its base.
    post: Option<(u64, u64)>,
    posts: u64,
    /// A POST failed: the next one repeats it.
    repeat: bool,
    /// The server has granted the current attachment.
    granted: bool,
    /// A POST is due though it carries no message: `pong`, `ack`, or the first sign of life.
    owes: bool,
    /// The session has ended, and the server is to be told by POST.
    farewell: bool,
    /// What the head of the answer said that the server has taken, while the grant is awaited.
    answered: Option<u64>,
    /// A poll brought messages that the closing session ignores, so the next one will bring them again.
    ignores: bool,
}

/// A body to be posted (SPEC §8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Post {
    /// To be given back with the answer.
    pub id: u64,
    /// The attachment that the request belongs to.
    pub attachment: u64,
    /// The number of messages before the first one of the body.
    pub base: u64,
    /// What this side has taken.
    pub received: u64,
    /// The units, in order.
    pub units: Vec<Unit>,
}

/// What became of a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostAnswer {
    /// 204, with `received`.
    Accepted {
        /// What the server has taken.
        received: u64,
    },
    /// No answer, or one that no server of this protocol gives. The same body is posted again.
    Failed,
    /// 409 `gap`.
    Gap,
    /// Anything else that refuses: the link is not good for more.
    Refused {
        /// The reason of SPEC §13.
        reason: Reason,
    },
}

impl Connection {
    /// A session that is to be opened.
    pub fn client(config: &Arc<Config>, now: Time) -> Self {
        let mut connection = Self::new(Role::Client, Protocol::Native, config, Transport::WebSocket, Window::default());
        connection.client = Some(Box::new(Client {
            heartbeat: config.heartbeat,
            timeout: config.timeout,
            resume: config.resume,
            post: None,
            posts: 0,
            repeat: false,
            granted: false,
            owes: false,
            farewell: false,
            answered: None,
            ignores: false,
        }));
        connection.timers.set(Timer::Connect, now + config.connect_timeout);
        connection
    }

    /// The client has a link for its session: a socket that is open, an event stream or a poll that is about to be asked
    /// for. [`poll_transmit`](Self::poll_transmit) says what to ask.
    ///
    /// While messages wait to be taken, the next poll of a run is held back for up to half the poll gap: it would only
    /// bring them again.
    pub fn attach(&mut self, link: LinkId, transport: Transport, now: Time) {
        if self.state == State::Closed || self.role == Role::Server {
            return;
        }
        // A poll belongs to the run of the polls before it.
        let run = transport == Transport::LongPolling && self.transport == transport && self.is_granted();
        if !run {
            self.candidate = None;
            self.attachment += 1;
            self.session.inbox.discard_untaken();
            if let Some(client) = &mut self.client {
                (client.post, client.repeat, client.granted) = (None, false, false);
            }
        }
        if let Some(client) = &mut self.client {
            client.answered = None;
        }
        self.set_link(link, transport, FirstWords::Attach);
        self.expect_life(now);
        if run && self.session.inbox.has_untaken() {
            self.timers.set(Timer::PollTime, now + self.config.poll_gap / 2);
        } else if run && self.client.as_ref().is_some_and(|client| client.ignores) {
            self.timers.set(Timer::PollTime, now + self.config.close_timeout / 16);
        }
    }

    /// What the server has taken, as the header of an HTTP answer on this link says (SPEC §4): the answer to a poll, for
    /// one. The answer to a POST has its own [place](PostAnswer::Accepted) for it.
    pub fn handle_received(&mut self, link: LinkId, received: u64, now: Time) {
        if !self.link_is(link) || self.state == State::Closed {
            return;
        }
        if self.is_granted() {
            self.acknowledged_by_peer(received, now);
        } else if let Some(client) = &mut self.client {
            client.answered = Some(received);
        }
    }

    /// The answer to a poll begins without a grant: something on the way has repeated the request that resumed, and this is
    /// the answer to the copy that came second. Its `Nosphere-Received` says what `resumed` would (POL-2).
    pub(super) fn grant_by_head(&mut self, now: Time) {
        let known = self.session.key.is_some() && self.transport == Transport::LongPolling;
        if known && let Some(received) = self.client.as_mut().and_then(|client| client.answered.take()) {
            self.resumed(received, now);
        }
    }

    /// The client has a WebSocket that may become its link: a ping has to prove it first (SPEC §9.1).
    ///
    /// There is no deadline for that: give the socket up with [`handle_detach`](Self::handle_detach) when it takes too
    /// long. Trying another link forgets this one.
    pub fn try_link(&mut self, link: LinkId, transport: Transport) {
        if self.role == Role::Client && self.session.key.is_some() && self.state != State::Closed {
            self.candidate = Some(Box::new(Candidate { link, transport, pinged: false }));
        }
    }

    /// The server refused what the link asked for (SPEC §13). The link is over.
    ///
    /// For a poll that is refused as `stale`, and for a link that ended after it was granted, report
    /// [`handle_detach`](Self::handle_detach) instead.
    pub fn handle_refused(&mut self, link: LinkId, reason: Reason, now: Time) {
        if self.link_is(link) && self.role == Role::Client {
            self.refused(reason, now);
            // Nothing is left to be said on it.
            if self.link_is(link) {
                self.link = None;
                self.ended_link = Some((link, reason));
            }
        }
    }

    fn refused(&mut self, reason: Reason, now: Time) {
        let over = matches!(
            reason,
            Reason::Application(_)
                | Reason::Closed
                | Reason::Expired
                | Reason::Forbidden
                | Reason::Malformed
                | Reason::Unexpected
                | Reason::UnknownSession
                | Reason::Unproved
        );
        if over {
            self.end(Side::Server, reason, now);
        } else {
            self.drop_link(reason, now);
        }
    }

    /// The next body to post, if one is due and none is in flight.
    #[must_use]
    pub fn poll_post(&mut self, format: &dyn WireFormat) -> Option<Post> {
        let client = self.client.as_mut()?;
        if self.transport == Transport::WebSocket || !client.granted || client.post.is_some() {
            return None;
        }
        let farewell = std::mem::take(&mut client.farewell);
        if !farewell && !matches!(self.state, State::Open | State::Closing) {
            return None;
        }
        let mut owes = std::mem::take(&mut client.owes) | std::mem::take(&mut client.repeat);
        // A farewell holds no messages, so it fits wherever the server is.
        let outbox = &self.session.outbox;
        let base = if farewell { outbox.acknowledged() } else { outbox.transmitted() };
        let mut units = Vec::new();
        if farewell {
            owes = true;
            units.extend(self.close_frame().and_then(|frame| format.encode(frame).ok()));
        } else {
            self.collect_messages(&mut units, format);
        }
        owes |= std::mem::take(&mut self.due.ack);
        if std::mem::take(&mut self.due.pong) {
            let received = self.session.inbox.taken();
            units.extend(format.encode(Frame::Pong { received }).ok());
        }
        if self.state == State::Closing && self.session.outbox.is_flushed() {
            units.extend(self.close_frame().and_then(|frame| format.encode(frame).ok()));
        }
        if units.is_empty() && !owes {
            return None;
        }
        let received = if farewell { self.report_received() } else { self.report() };
        let client = self.client.as_mut()?;
        client.posts += 1;
        client.post = Some((client.posts, base));
        Some(Post { id: client.posts, attachment: self.attachment, base, received, units })
    }

    fn collect_messages(&mut self, units: &mut Vec<Unit>, format: &dyn WireFormat) {
        let mut bytes = 0;
        while units.len() < MAX_POST_UNITS
            && bytes < MAX_POST_BYTES
            && let Some((unit, _)) = self.next_message(format)
        {
            bytes += unit.payload().len();
            units.push(into_unit(&unit));
        }
    }

    /// What became of a POST. An answer to one that is no longer in flight does nothing.
    pub fn handle_post_answer(&mut self, id: u64, answer: PostAnswer, now: Time) {
        let Some(client) = self.client.as_mut() else { return };
        let Some((_, base)) = client.post.take_if(|post| post.0 == id) else { return };
        if self.state == State::Closed {
            // The farewell itself, or a body that delayed it.
            if answer == PostAnswer::Failed {
                client.farewell = self.timers.is_set(Timer::Close);
                if let Some(closing) = &mut self.closing {
                    closing.sent = false;
                }
            } else if !client.farewell {
                self.timers.stop(Timer::Close);
            }
            return;
        }
        match answer {
            PostAnswer::Accepted { received } => {
                if self.acknowledged_by_peer(received, now)
                    && let Some(closing) = self.closing.as_ref().filter(|closing| closing.sent)
                {
                    let (by, reason) = (closing.by, closing.reason);
                    self.end(by, reason, now);
                }
            }
            PostAnswer::Failed | PostAnswer::Gap => {
                client.repeat = true;
                let back = if answer == PostAnswer::Gap { 0 } else { base };
                self.session.outbox.retract(back);
                if let Some(closing) = &mut self.closing {
                    closing.sent = false;
                }
            }
            PostAnswer::Refused { reason } => {
                self.session.outbox.retract(base);
                self.refused(reason, now);
            }
        }
    }

    /// The session has just ended: a server that only hears POSTs is told by one, until it answers or the close timeout
    /// is over (CLS-2).
    pub(super) fn owe_farewell(&mut self, now: Time) {
        let sent = self.closing.as_ref().is_some_and(|closing| closing.sent);
        if let Some(client) = &mut self.client
            && self.transport != Transport::WebSocket
            && client.granted
            && (!sent || client.post.is_some())
        {
            // What is in flight may hold `close`; if it fails, it is said again.
            client.farewell = !sent;
            self.timers.set(Timer::Close, now + self.config.close_timeout);
        }
    }

    /// The link that the client tries has answered its ping, or said something else.
    pub(super) fn handle_candidate(&mut self, proven: bool, now: Time) {
        let Some(candidate) = self.candidate.take() else { return };
        let Candidate { link, transport, .. } = *candidate;
        if proven {
            self.attach(link, transport, now);
        } else {
            self.ended_link = Some((link, Reason::Unexpected));
        }
    }

    /// Frames with which a server grants or denies. True if the frame was one that was due.
    pub(super) fn handle_grant(&mut self, frame: &Frame, now: Time) -> bool {
        if !self.awaits_greeting() {
            return false;
        }
        let known = self.session.key.is_some();
        match frame {
            Frame::Opened(opened) if !known => self.opened(opened, now),
            Frame::Resumed { received } if known => self.resumed(*received, now),
            Frame::Reset { .. } => self.end(Side::Server, Reason::UnknownSession, now),
            // The answer to a resume of a session that the server has closed.
            Frame::Close(close) if known => self.handle_close(close, now),
            Frame::Ack { .. }
            | Frame::Close(_)
            | Frame::Message(_)
            | Frame::Reply(_)
            | Frame::Request(_)
            | Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::Resume(_)
            | Frame::Resumed { .. } => return false,
        }
        true
    }

    /// Sets the time by which the server must have been heard again (HB-4).
    pub(super) fn expect_life(&mut self, now: Time) {
        let Some(client) = &self.client else { return };
        let interval = match self.transport {
            // What a new attachment asks for is answered at once.
            _ if !client.granted => Some(Duration::ZERO),
            Transport::LongPolling => Some(Config::MAX_POLL_TIME),
            Transport::ServerSentEvents | Transport::Streaming | Transport::WebSocket => {
                Some(client.heartbeat).filter(|heartbeat| !heartbeat.is_zero())
            }
        };
        match interval {
            Some(interval) if self.link.is_some() => {
                self.timers.set(Timer::Liveness, now + interval + client.timeout);
            }
            Some(_) | None => self.timers.stop(Timer::Liveness),
        }
    }

    /// What the client asks for on its new link, unless the next poll has to wait.
    pub(super) fn attach_request(&mut self) -> Option<Action> {
        let again = self.session.inbox.has_untaken() || self.client.as_ref().is_some_and(|client| client.ignores);
        if self.timers.is_set(Timer::PollTime) && again {
            return None;
        }
        self.timers.stop(Timer::PollTime);
        self.ignore(false);
        let received = self.report();
        // A poll's answer begins behind the count that the poll named (POL-1).
        self.session.inbox.seek(received);
        let request = match self.session.key {
            None => AttachRequest::Open(Open { attachment: self.attachment, window: self.session.inbox.window() }),
            Some((session, token)) => {
                AttachRequest::Resume(Offer { session, token, attachment: self.attachment, received })
            }
        };
        // Within a run of polls there is no greeting.
        let greeting = if self.is_granted() { FirstWords::None } else { FirstWords::Awaited };
        if let Some(link) = &mut self.link {
            link.greeting = greeting;
        }
        Some(Action::Attach(request))
    }

    fn opened(&mut self, opened: &Opened, now: Time) {
        self.session.key = Some((opened.session, opened.token));
        self.session.outbox.set_peer(opened.window);
        if let Some(client) = &mut self.client {
            (client.heartbeat, client.timeout, client.resume) = (opened.heartbeat, opened.timeout, opened.resume);
        }
        self.timers.stop(Timer::Connect);
        self.step(Input::Opened);
        self.granted(now);
        // The proof that this client holds the token (SES-6).
        match (self.transport, &mut self.client) {
            (Transport::LongPolling | Transport::ServerSentEvents, Some(client)) => client.owes = true,
            (Transport::LongPolling | Transport::ServerSentEvents | Transport::Streaming | Transport::WebSocket, _) => {
                self.due.ack = true
            }
        }
    }

    fn resumed(&mut self, received: u64, now: Time) {
        let (oldest, highest) = (self.session.outbox.acknowledged(), self.session.outbox.highest_number());
        if !(oldest..=highest).contains(&received) {
            return self.fault(Reason::Unexpected, "a count of what was never sent", now);
        }
        self.session.outbox.resume(received);
        if let Some(closing) = &mut self.closing {
            closing.sent = false;
        }
        self.timers.stop(Timer::Resume);
        self.step(Input::LinkGained);
        self.granted(now);
        self.notice_room();
    }

    fn granted(&mut self, now: Time) {
        if let Some(link) = &mut self.link {
            link.greeting = FirstWords::None;
        }
        if let Some(client) = &mut self.client {
            client.granted = true;
        }
        self.expect_life(now);
    }

    pub(super) fn is_granted(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.granted)
    }

    /// Whether messages came that are ignored.
    pub(super) fn ignore(&mut self, ignores: bool) {
        if let Some(client) = &mut self.client {
            client.ignores = ignores;
        }
    }

    /// There is nothing left to tell the server, or no time.
    pub(super) fn forgo_farewell(&mut self) {
        if let Some(client) = &mut self.client {
            client.farewell = false;
        }
    }
}

impl Client {
    pub(super) fn resume(&self) -> Duration {
        self.resume
    }

    pub(super) fn revoke(&mut self) {
        self.granted = false;
    }
}

fn into_unit(unit: &Encoded) -> Unit {
    if unit.is_text() {
        Text::from_utf8(unit.payload_bytes()).map_or_else(Unit::Binary, Unit::Text)
    } else {
        Unit::Binary(unit.payload_bytes())
    }
}
