use std::collections::VecDeque;

use nosphere_core::{AttachRequest, BatchAnswer, Fault, Greeting, Post, Reason, Transport, Unit};

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two ways")]
pub enum Dir {
    /// From the server to the client.
    Down,
    /// From the client to the server.
    Up,
}

/// A socket, an event stream or a poll, and what is on its way over it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Link {
    /// What it is.
    pub transport: Transport,
    /// The client has it and has not learned that it is gone.
    pub has_client: bool,
    /// Something came over it to the client.
    pub(crate) heard: bool,
    pub(crate) stage: Stage,
    pub(crate) up: VecDeque<Packet>,
    pub(crate) down: VecDeque<Packet>,
    /// A poll's answer so far.
    pub(crate) units: Vec<Unit>,
}

/// What the server makes of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It has heard nothing yet.
    New,
    /// A socket that has not said which session it is for.
    Greeting(Greeting),
    /// The link of a session, by index.
    Session(usize),
    Over,
}

/// Something on its way over a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Packet {
    /// A poll's answer, and its `Nosphere-Received`.
    Answer(Vec<Unit>, u64),
    /// The end of a socket or a stream.
    End(Reason),
    /// A GET that was refused.
    Refused(Fault),
    /// A poll whose place another took.
    Replaced,
    /// A GET.
    Request(AttachRequest),
    /// 410: the session is not known.
    Unknown,
    /// A unit.
    Unit(Unit),
}

/// A POST on its way, or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Posting {
    /// Names it.
    pub id: u64,
    pub(crate) post: Post,
    /// The client waits for the answer.
    pub awaited: bool,
    pub(crate) answer: Option<PostReply>,
}

/// What a server says to a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PostReply {
    Batch(BatchAnswer),
    Unknown,
}

impl Link {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            has_client: true,
            heard: false,
            stage: Stage::New,
            up: VecDeque::new(),
            down: VecDeque::new(),
            units: Vec::new(),
        }
    }

    /// The way in one direction.
    pub fn way(&self, dir: Dir) -> &VecDeque<Packet> {
        match dir {
            Dir::Down => &self.down,
            Dir::Up => &self.up,
        }
    }

    /// The server has it, or will have it when it hears of it.
    pub fn has_server(&self) -> bool {
        !matches!(self.stage, Stage::Over)
    }

    /// The server has left it, and its last words have arrived.
    pub(crate) fn is_cut(&self) -> bool {
        !self.has_server() && self.down.is_empty()
    }

    /// Nobody has it, and nothing on it has an effect any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.has_client && (self.stage == Stage::Over || self.stage == Stage::New && self.up.is_empty())
    }

    pub(crate) fn push(&mut self, dir: Dir, packet: Packet) {
        match dir {
            Dir::Down if self.has_client => self.down.push_back(packet),
            Dir::Up if self.has_server() => self.up.push_back(packet),
            Dir::Down | Dir::Up => {}
        }
    }
}
