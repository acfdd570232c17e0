//! A run, as data: made from a seed before the run, so that it can be made smaller.

mod generate;
mod shrink;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nosphere::{Config, Overflow, ServerConfig, Transport, Window};
use nosphere_core::WireFormat;
use nosphere_wire::{JSON, MESSAGEPACK};

use crate::payload::Content;

/// What happens in a run.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "data")]
pub struct Plan {
    /// What it was made from, and what the parts of the run draw their random numbers from.
    pub seed: u64,
    /// The limits of the server.
    pub server: Limits,
    /// Who connects.
    pub clients: Vec<ClientPlan>,
    /// What the server does by itself.
    pub events: Vec<Timed<ServerEvent>>,
    /// When all faults end, in milliseconds.
    pub heals: u64,
    /// By how many milliseconds the server's deadlines are longer than it should be: none, but in tests of this crate.
    pub late: u64,
}

/// A moment, in milliseconds since the start, and what happens then.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "data")]
pub struct Timed<T> {
    /// When.
    pub at: u64,
    /// What.
    pub what: T,
}

/// The limits of the server and of its sessions: times in milliseconds.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "data")]
#[expect(missing_docs, reason = "the names are those of `Config`")]
pub struct Limits {
    pub heartbeat: u64,
    pub timeout: u64,
    pub open_timeout: u64,
    pub proof: u64,
    pub resume: u64,
    pub poll_gap: u64,
    pub poll_time: u64,
    pub close_timeout: u64,
    pub window: (u32, u32),
    pub queued: (usize, usize),
    pub overflow: Overflow,
}

/// A client: an application, its network, and what goes wrong with both.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "data")]
pub struct ClientPlan {
    /// Stays the same when other clients are taken out of the plan.
    pub id: u32,
    /// The endpoint.
    pub path: String,
    /// `messagepack`, or else `json`.
    pub binary: bool,
    /// What it connects over first.
    pub transport: Transport,
    /// What it can take.
    pub window: (u32, u32),
    /// The most messages and bytes that it queues.
    pub queued: (usize, usize),
    /// What it does when it has more.
    pub overflow: Overflow,
    /// When it connects first.
    pub starts: u64,
    /// How many sessions it opens at most, one after the other.
    pub sessions: u32,
    /// How long its application takes for an event.
    pub pace: u64,
    /// The longest that it waits before it tries again.
    pub patience: u64,
    /// The network.
    pub net: NetPlan,
    /// What it does.
    pub actions: Vec<Timed<Action>>,
    /// What goes wrong with its network.
    pub faults: Vec<Timed<Fault>>,
    /// How its last session ends, after the network has healed.
    pub leaves: Leave,
}

/// How fast and how wide the network of a client is.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "data")]
pub struct NetPlan {
    /// The shortest and the longest delay to the server.
    pub up: (u64, u64),
    /// The shortest and the longest delay from the server.
    pub down: (u64, u64),
    /// How many bytes are on their way before a writer has to wait.
    pub buffer: usize,
    /// Whether HTTP connections are used again.
    pub keep_alive: bool,
    /// Whether the server's connections claim to write vectored.
    pub vectored: bool,
}

/// What a client does.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "data")]
pub enum Action {
    /// Closes its session; with a code of its own, or 0.
    Close(u16),
    /// Does nothing for so long, while its clock runs.
    Freeze(u64),
    /// Its clock jumps ahead.
    Jump(u64),
    /// Moves to another transport at once.
    Move(Transport),
    /// Sends so many messages.
    Send {
        /// How many.
        count: u32,
        /// What is in each.
        content: Content,
        /// What the server does with each.
        op: Op,
    },
    /// Takes no events for so long.
    Slow(u64),
    /// Tries whether a WebSocket works, and moves to it then.
    Try,
    /// Is gone without a word, and does not come back.
    Vanish,
}

/// What the server's handler does when it gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "data")]
pub enum Op {
    /// Sends so many messages to everyone on its path.
    Broadcast(Reach, u32),
    /// Closes the session.
    Close,
    /// Fails.
    Fail,
    /// Nothing.
    Nothing,
    /// Sends so many messages back.
    Send(u32),
    /// Takes so long.
    Wait(u64),
}

/// Who gets a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "data")]
pub enum Reach {
    /// All on the path.
    Everyone,
    /// The sender alone.
    Only,
    /// All but the sender.
    Others,
}

/// What goes wrong with a client's network.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "data")]
pub enum Fault {
    /// All connections break.
    Cut(Seen),
    /// Everything that is sent disappears, and nobody is told; after so long both sides see that the connections are broken.
    Hole(u64),
    /// The next request of a kind arrives so much later.
    LateRequest(Request, u64),
    /// The next request of a kind gets lost.
    LostRequest(Request),
    /// The next request of a kind arrives, and its answer gets lost.
    LostResponse(Request),
    /// No connection comes about for so long, and all break.
    Offline(u64),
    /// Nothing arrives for so long; then all of it does.
    Stall(u64),
}

/// Who sees that a connection is broken. Who does not, writes into the void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "data")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Seen {
    ByBoth,
    ByClient,
    ByServer,
}

/// A kind of HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "data")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Request {
    Get,
    Post,
    Upgrade,
}

/// How a client's last session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "data")]
pub enum Leave {
    /// The client closes it.
    Close,
    /// The server closes it, when it is told to by a message.
    Dismissed,
    /// The client disappears.
    Vanish,
    /// The server shuts down.
    Wait,
}

/// What the server does by itself.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "data")]
pub enum ServerEvent {
    /// Somebody broadcasts from outside, to a path and what is beneath it.
    Broadcast {
        /// The path.
        path: String,
        /// What.
        content: Content,
    },
    /// The process dies, and another one takes its place after so long.
    Crash(u64),
    /// The machine sleeps for so long.
    Jump(u64),
    /// The server is shut down, and another one takes its place.
    Shutdown,
}

impl Limits {
    /// The server's configuration, with deadlines that are so much longer.
    pub fn config(&self, late: u64) -> ServerConfig {
        let mut config = ServerConfig::default();
        let session = &mut config.session;
        let ms = |time| Duration::from_millis(time + late);
        session.heartbeat = if self.heartbeat == 0 { Duration::ZERO } else { ms(self.heartbeat) };
        session.timeout = ms(self.timeout);
        session.open_timeout = ms(self.open_timeout);
        session.proof = ms(self.proof);
        session.resume = ms(self.resume);
        session.poll_gap = ms(self.poll_gap);
        session.poll_time = ms(self.poll_time);
        session.close_timeout = ms(self.close_timeout);
        session.window = window(self.window);
        (session.max_queued_messages, session.max_queued_bytes) = self.queued;
        session.overflow = self.overflow;
        config
    }
}

impl ClientPlan {
    /// The configuration of the client's connection.
    pub fn config(&self, server: &Limits) -> Arc<Config> {
        let mut config = server.config(0).session;
        config.window = window(self.window);
        (config.max_queued_messages, config.max_queued_bytes) = self.queued;
        config.overflow = self.overflow;
        Arc::new(config)
    }

    /// The wire format.
    pub fn format(&self) -> &'static dyn WireFormat {
        if self.binary { &MESSAGEPACK } else { &JSON }
    }
}

impl Plan {
    /// Whether nothing goes wrong in it.
    pub fn is_calm(&self) -> bool {
        let calm = |client: &ClientPlan| {
            client.faults.is_empty()
                && !is_short(client.queued)
                // A poll that waits for a slow application may be overtaken by a POST, and then waits once more.
                && client.pace == 0
                // Behind what waits in a narrow network, a ping may come too late.
                && client.net.buffer >= 64 << 10
                && client.leaves != Leave::Vanish
                && client.actions.iter().all(|action| {
                    matches!(action.what, Action::Send { .. } | Action::Close(_) | Action::Move(_) | Action::Try)
                })
        };
        !is_short(self.server.queued)
            && self.clients.iter().all(calm)
            && self.events.iter().all(|event| matches!(event.what, ServerEvent::Broadcast { .. }))
    }
}

/// Whether a queue is so short that plans fill it.
pub(crate) fn is_short(queued: (usize, usize)) -> bool {
    queued.0 < 4096
}

fn window((messages, bytes): (u32, u32)) -> Window {
    Window { messages, bytes }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, server, clients, events, heals, late: _ } = self;
        writeln!(f, "plan of seed {seed}, heals at {heals} ms\n  server {server:?}")?;
        for Timed { at, what } in events {
            writeln!(f, "    {at:>7} ms  {what:?}")?;
        }
        for client in clients {
            let ClientPlan { id, path, binary, transport, starts, sessions, pace, patience, net, leaves, .. } = client;
            let format = if *binary { "messagepack" } else { "json" };
            writeln!(
                f,
                "  client {id} on {path} over {transport}, {format}, from {starts} ms, {sessions} session(s), then {leaves:?}\n    \
                 takes {pace} ms an event, window {:?}, queue {:?} {:?}, tries again within {patience} ms\n    {net:?}",
                client.window, client.queued, client.overflow
            )?;
            for Timed { at, what } in &client.actions {
                writeln!(f, "    {at:>7} ms  {what:?}")?;
            }
            for Timed { at, what } in &client.faults {
                writeln!(f, "    {at:>7} ms  fault: {what:?}")?;
            }
        }
        Ok(())
    }
}
