//! Links, takeover, heartbeat and deadlines around a session.

mod action;
mod client;
mod command;
mod input;
mod output;
mod server;
mod timeout;

use std::sync::Arc;

use crate::lifecycle::{Input, Output};
use crate::rules::Rules;
use crate::seldom::Seldom;
use crate::session::{Inbox, Outbox, Session};
use crate::timers::{Timer, Timers};
use crate::{
    Config, Event, LinkId, MAX_COUNT, Protocol, Reason, SessionError, Side, State, Time, Transport, Undeliverable,
    Window,
};

pub use action::{Action, AttachRequest, Undelivered};
pub use client::{Post, PostAnswer};
pub(crate) use command::too_deep;
pub use server::{Attach, Batch, BatchAnswer, Fault, Opening};

/// One client's connection for its whole life, in either role: sans IO, plain data.
///
/// * `handle_*`: something happened outside. These never fail; a peer's fault becomes an event and the end of a link, and a
///   request that has to be refused gets its [`Fault`].
/// * commands — [`send`](Self::send), [`close`](Self::close): the application wants something.
/// * [`poll_event`](Self::poll_event), [`poll_transmit`](Self::poll_transmit), [`poll_post`](Self::poll_post),
///   [`poll_timeout`](Self::poll_timeout): what to do next, in any order, at any time. None of them waits for another to be
///   drained. After anything above, ask them again.
///
/// A link has a number that the adapter chooses. Reports about a link that is no longer current do nothing, and
/// [`poll_transmit`](Self::poll_transmit) tells its adapter to end it. The [crate's page](crate) shows the loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    role: Role,
    protocol: Protocol,
    /// Those of the protocol on the current transport.
    rules: Rules,
    state: State,
    config: Arc<Config>,
    session: Session,
    /// The number of the current attachment, and what kind it is.
    attachment: u64,
    transport: Transport,
    link: Option<Link>,
    /// The link before, and why it ended.
    ended_link: Option<(LinkId, Reason)>,
    /// Client: a link that may become the current one, once a ping has proved it.
    candidate: Option<Box<Candidate>>,
    timers: Timers,
    due: Due,
    /// Server: the client has shown that it holds the token (SES-6).
    proven: bool,
    closing: Option<Closing>,
    /// Client: what `opened` said, and the POST in flight.
    client: Option<Box<client::Client>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Client,
    Server,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Link {
    id: LinkId,
    /// What must come first.
    greeting: FirstWords,
    /// Something was handed to it: a poll can be answered.
    used: bool,
    /// It takes nothing more: an answer to a poll that holds all it may.
    full: bool,
    /// The poll is to be answered, with whatever there is.
    finish: bool,
    /// Its carrier takes nothing for now.
    blocked: bool,
    counts: Seldom<Counts>,
}

/// What only some links over HTTP have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Counts {
    /// A poll's answer begins behind the count that the poll named, so nothing behind it may be forgotten before (POL-1).
    behind: u64,
    /// A higher count that came meanwhile; it holds once the link is over.
    noted: u64,
    /// Plain: how many messages the ring no longer has.
    lost: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { behind: MAX_COUNT, noted: 0, lost: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FirstWords {
    /// Client: the request to open or to resume.
    Attach,
    /// Client: the answer to that is awaited.
    Awaited,
    /// Plain: messages that the ring no longer has.
    Lost,
    /// Nothing, or done.
    None,
    /// Server: `opened`.
    Opened,
    /// Server: `resumed`.
    Resumed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    link: LinkId,
    transport: Transport,
    pinged: bool,
}

/// Frames other than messages that are to go out. Regenerated from state, so they are only flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Due {
    ack: bool,
    ping: bool,
    pong: bool,
    /// The carrier's own ping, beside that of the protocol.
    probe: bool,
}

impl Due {
    fn any(self) -> bool {
        // One comparison: of four, compilers make a dozen instructions.
        u32::from_ne_bytes([self.ack, self.ping, self.pong, self.probe].map(u8::from)) != 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Closing {
    by: Side,
    reason: Reason,
    /// `close` was handed to the current link.
    sent: bool,
    /// The final count, in the state `Closed`.
    received: u64,
}

impl Connection {
    fn rules(&self) -> Rules {
        self.rules
    }

    fn own_side(&self) -> Side {
        match self.role {
            Role::Client => Side::Client,
            Role::Server => Side::Server,
        }
    }

    fn peer_side(&self) -> Side {
        match self.role {
            Role::Client => Side::Server,
            Role::Server => Side::Client,
        }
    }

    /// Takes a step of the lifecycle. False if the table has none.
    fn step(&mut self, input: Input) -> bool {
        let Some(row) = self.state.on(input) else { return false };
        self.state = row.to;
        let event = match row.output {
            None => return true,
            Some(Output::Connected) => Event::Connected { transport: self.transport },
            Some(Output::Suspended) => Event::Suspended,
            Some(Output::Resumed) => Event::Resumed { transport: self.transport },
            Some(Output::Disconnected) => {
                let (by, reason) = self.closing.as_ref().map_or((Side::Network, Reason::Lost), |c| (c.by, c.reason));
                Event::Disconnected { by, reason }
            }
        };
        self.session.inbox.push(event);
        true
    }

    /// The session is over. Messages that were accepted are still delivered before `Disconnected`.
    fn end(&mut self, by: Side, reason: Reason, now: Time) {
        let sent = self.closing.as_ref().is_some_and(|closing| closing.sent);
        let received = self.session.inbox.accepted();
        // Who closed first, and why, stands: the answer to a `close` does not change it.
        let (by, reason) = self.closing.take().map_or((by, reason), |closing| (closing.by, closing.reason));
        self.closing = Some(Closing { by, reason, sent, received });
        if !self.step(Input::Ended) {
            return;
        }
        self.timers.stop_all();
        self.due = Due::default();
        self.candidate = None;
        if self.role == Role::Server && self.rules().resumable {
            self.timers.set(Timer::Tombstone, now + self.config.resume);
        }
    }

    fn link_is(&self, link: LinkId) -> bool {
        self.link.as_ref().is_some_and(|current| current.id == link)
    }

    /// The peer broke the protocol: its link ends, the session stays (FRM-2).
    fn fault(&mut self, reason: Reason, detail: &'static str, now: Time) {
        if self.state == State::Open && self.session.inbox.has_room_for_errors() {
            self.session.inbox.push(Event::Error(SessionError::Link { reason, detail }));
        }
        self.drop_link(reason, now);
    }

    /// No link like the current one can carry the next message. False if it has to wait until the application, which
    /// takes nothing, can be told.
    fn reject_next(&mut self, cause: Undeliverable) -> bool {
        if self.state == State::Closing {
            self.session.outbox.set_next_aside();
            return true;
        }
        let room = self.session.inbox.has_room_for_errors();
        if room {
            let message = self.session.outbox.remove_next().into();
            self.session.inbox.push(Event::Error(SessionError::Undeliverable { message, cause }));
            self.notice_room();
        }
        room
    }

    /// Ends the current link from this side.
    fn drop_link(&mut self, reason: Reason, now: Time) {
        if let Some(link) = self.take_link() {
            self.ended_link = Some((link.id, reason));
            self.link_lost(reason, now);
        }
    }

    /// The current link is over.
    fn take_link(&mut self) -> Option<Link> {
        let link = self.link.take()?;
        self.session.outbox.drop_volatile();
        if let Some(Counts { noted: noted @ 1.., .. }) = link.counts.get() {
            self.session.outbox.acknowledge((*noted).min(self.session.outbox.highest_number()));
            self.notice_room();
        }
        Some(link)
    }

    /// There is no link any more, and that is not the end of a poll.
    fn link_lost(&mut self, reason: Reason, now: Time) {
        for timer in [Timer::Ping, Timer::Liveness, Timer::PollTime, Timer::PollGap] {
            self.timers.stop(timer);
        }
        self.due = Due::default();
        if let Some(closing) = &mut self.closing {
            closing.sent = false;
        }
        if !self.rules().resumable {
            let by = if reason == Reason::Closed {
                self.peer_side()
            } else if matches!(reason, Reason::Lost | Reason::Timeout) {
                Side::Network
            } else {
                self.own_side()
            };
            return self.end(by, reason, now);
        }
        if self.step(Input::LinkLost) && self.state == State::Suspended {
            self.timers.set(Timer::Resume, now + self.resume_window());
            // What comes next is a new attachment, even if it is another poll: its answer tells at once that it works.
            if let Some(client) = &mut self.client {
                client.revoke();
            }
        }
    }

    /// The link became current; `transport` is its own.
    fn set_link(&mut self, id: LinkId, transport: Transport, greeting: FirstWords) {
        if let Some(old) = self.link.take() {
            self.ended_link = Some((old.id, Reason::Fenced));
        }
        self.transport = transport;
        self.rules = self.protocol.rules(transport);
        self.link =
            Some(Link { id, greeting, used: false, full: false, finish: false, blocked: false, counts: Seldom::new() });
        for timer in [Timer::Ping, Timer::Liveness, Timer::PollTime, Timer::PollGap] {
            self.timers.stop(timer);
        }
    }

    /// There may be room again for a message that was refused.
    fn notice_room(&mut self) {
        let open = self.session.awaits_room && self.state == State::Open;
        if open && self.session.outbox.has_room(self.rules().delivery, &self.config) {
            self.session.awaits_room = false;
            self.session.inbox.push(Event::Writable);
        }
    }

    fn new(role: Role, protocol: Protocol, config: &Arc<Config>, transport: Transport, peer: Window) -> Self {
        Self {
            role,
            protocol,
            rules: protocol.rules(transport),
            state: State::Connecting,
            session: Session {
                key: None,
                inbox: Inbox::new(config.window),
                outbox: Outbox::new(peer),
                awaits_room: false,
            },
            config: Arc::clone(config),
            attachment: 0,
            transport,
            link: None,
            ended_link: None,
            candidate: None,
            timers: Timers::new(),
            due: Due::default(),
            proven: false,
            closing: None,
            client: None,
        }
    }
}
