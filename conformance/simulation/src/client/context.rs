//! What the carriers of a client share.

use nosphere_core::{Action, Connection, Frame, LinkId, Post, Reason, Time, Transport, Unit};

use super::Shared;
use crate::coverage::Covered;
use crate::net::{End, Head, Network};
use crate::plan::{ClientPlan, Request};
use crate::random::Rng;
use crate::trace::{Seen, What, Who};
use crate::world::World;

/// What a carrier needs of its client.
pub(super) struct Context<'a> {
    pub(super) world: &'a World,
    pub(super) network: &'a Network,
    pub(super) plan: &'a ClientPlan,
    pub(super) rng: &'a mut Rng,
    pub(super) idle: &'a mut Vec<End>,
    pub(super) reports: Vec<Report>,
    pub(super) marks: Marks,
    /// How long the client waits for a handshake or for the answer to a POST.
    pub(super) timeout: u64,
    offset: u64,
    who: Who,
}

/// What became of a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// It is lost, or was refused: the client waits before it tries again.
    Failed,
    PollAnswered,
}

/// The highest numbers of messages that were on the wire: what is not above them is a replay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    up: u64,
    down: u64,
}

impl<'a> Context<'a> {
    pub(super) fn new(shared: &'a mut Shared, marks: Marks) -> Self {
        let who = shared.who();
        let Shared { world, network, plan, rng, idle, limits, offset, .. } = shared;
        let (timeout, offset) = (limits.timeout, *offset);
        Self { world, network, plan, rng, idle, reports: Vec::new(), marks, timeout, offset, who }
    }

    /// The client's time.
    pub(super) fn time(&self) -> Time {
        Time(self.world.now() + self.offset)
    }

    pub(super) fn who(&self) -> Who {
        self.who
    }

    pub(super) fn note(&self, text: impl FnOnce() -> String) {
        self.world.note(self.who, text);
    }

    /// A link is lost. If it was the current one, the client does not try again at once.
    pub(super) fn failed(&mut self, connection: &Connection, link: LinkId) {
        if connection.link() == Some(link) {
            self.reports.push(Report::Failed);
        }
    }

    /// A connection for a request: one that waits for it, or a new one.
    pub(super) fn connect(&mut self, request: Request) -> Option<End> {
        while let Some(idle) = self.idle.pop() {
            if self.plan.net.keep_alive && idle.is_usable() {
                self.network.reuse(self.plan.id, &idle, request);
                return Some(idle);
            }
        }
        self.network.dial(self.plan.id, request)
    }

    /// A unit that the server sent.
    pub(super) fn deliver(&mut self, connection: &mut Connection, link: LinkId, unit: Unit) {
        self.note(|| {
            let frame = self.plan.format().decode(unit.clone());
            let told = frame.map_or_else(|error| format!("{error:?}"), |frame| describe(&frame));
            format!("link {}: {told}", link.0)
        });
        let before = connection.next_number();
        connection.handle_unit(link, unit, self.plan.format(), self.time());
        if connection.next_number() == before + 1 {
            if before <= self.marks.down {
                self.world.cover(Covered::ReplayedDown);
            }
            self.marks.down = self.marks.down.max(before);
        }
    }

    /// What the client writes to a WebSocket.
    pub(super) fn transmits(&mut self, action: &Action) {
        if let Action::Send { number: Some(number), .. } = action {
            self.carries(*number);
        }
    }

    /// What the client posts.
    pub(super) fn posts(&mut self, post: &Post) {
        self.note(|| {
            format!(
                "POST {} of attachment {}: {} units behind {}",
                post.id,
                post.attachment,
                post.units.len(),
                post.base
            )
        });
        let format = self.plan.format();
        let messages = post.units.iter().filter(|unit| matches!(format.decode((*unit).clone()), Ok(Frame::Message(_))));
        let count = messages.count() as u64;
        (post.base + 1..=post.base + count).for_each(|number| self.carries(number));
    }

    fn carries(&mut self, number: u64) {
        if number <= self.marks.up {
            self.world.cover(Covered::ReplayedUp);
        }
        self.marks.up = self.marks.up.max(number);
    }

    pub(super) fn moved(&self, transport: Transport) {
        moved(self.world, transport);
    }

    pub(super) fn proven(&self) {
        self.world.cover(Covered::CandidatesProven);
        moved(self.world, Transport::WebSocket);
    }

    /// Why the server refuses a request. Whatever it refuses as wrong is wrong, since this client makes no mistakes.
    pub(super) fn refused(&self, what: &str, head: &Head) -> Reason {
        let reason = head.error.as_deref().and_then(Reason::from_name);
        self.note(|| format!("{what} is refused: {} {:?}", head.status, head.error));
        match reason {
            Some(reason) => self.check_reason(what, reason),
            None => self.world.wrong(self.who, format!("{what} is answered {} {:?}", head.status, head.error)),
        }
        self.world.cover(Covered::Refused);
        reason.unwrap_or(Reason::Unexpected)
    }

    /// The same for what a WebSocket is closed with.
    pub(super) fn check_reason(&self, what: &str, reason: Reason) {
        if reason == Reason::Fenced {
            self.world.cover(Covered::Fenced);
        }
        let wrong = matches!(
            reason,
            Reason::Forbidden
                | Reason::Malformed
                | Reason::Other(_)
                | Reason::TooLarge
                | Reason::Unexpected
                | Reason::Window
        );
        if wrong {
            self.world.wrong(self.who, format!("{what} is refused as {reason}"));
        }
    }
}

/// A frame for readers of a trace, who know the messages already.
fn describe(frame: &Frame) -> String {
    if let Frame::Message(_) = frame {
        return "a message".to_owned();
    }
    if let Frame::Opened(_) = frame { "Opened".to_owned() } else { format!("{frame:?}") }
}

/// The client has moved to a transport.
pub(super) fn moved(world: &World, transport: Transport) {
    world.cover(match transport {
        Transport::LongPolling => Covered::MovesToPolling,
        Transport::ServerSentEvents => Covered::MovesToEventStream,
        Transport::WebSocket | _ => Covered::MovesToWebSocket,
    });
}

/// Counts what an application saw.
pub(crate) fn cover(world: &World, what: &What, client: bool) {
    match what {
        What::Event(Seen::Connected(transport)) if client => {
            world.cover(Covered::Sessions);
            world.cover(match transport {
                Transport::LongPolling => Covered::OpenedOverPolling,
                Transport::ServerSentEvents => Covered::OpenedOverEventStream,
                Transport::WebSocket | _ => Covered::OpenedOverWebSocket,
            });
        }
        What::Event(Seen::Suspended) => world.cover(Covered::Suspended),
        What::Event(Seen::Resumed(_)) => world.cover(Covered::Resumed),
        What::Event(Seen::Disconnected(_, Reason::Expired)) => world.cover(Covered::Expired),
        What::Event(Seen::Disconnected(_, Reason::Unproved)) => world.cover(Covered::Unproved),
        What::Event(Seen::Disconnected(_, Reason::UnknownSession)) => world.cover(Covered::UnknownSession),
        What::Event(Seen::Disconnected(_, Reason::Overflow)) => world.cover(Covered::Overflows),
        What::Undeliverable(_) => world.cover(Covered::Undeliverable),
        What::Broadcast { .. }
        | What::Busy(_)
        | What::Closing
        | What::Crash
        | What::Dropped(_)
        | What::Early(_)
        | What::Event(_)
        | What::Note(_)
        | What::Opened(_)
        | What::Path(_)
        | What::Received(_)
        | What::Sent(_)
        | What::Undelivered { .. }
        | What::Vanished
        | What::Wrong(_) => {}
    }
}
