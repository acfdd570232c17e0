use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nosphere_core::{
    Action, Attach, AttachRequest, Batch, BatchAnswer, Config, Connection, Encoded, Fault, Frame, Greeted, Greeting,
    LinkId, Opening, Post, PostAnswer, Protocol, Reason, ResumeToken, SessionId, State, Text, Time, Transport, Unit,
    WireFormat as _,
};
use nosphere_wire::JSON;

use super::{End, POLL, WS, defaults};

/// A client and the sessions that it opened, in virtual time, over a network that the test can make fail.
///
/// What one side writes is in [`flight`](Self::flight) until it is delivered, so a test can lose, repeat or hold it.
pub(crate) struct Pair {
    pub(crate) now: Time,
    pub(crate) client: End,
    /// Every session that the client opened, the last one last.
    pub(crate) servers: Vec<End>,
    /// What the client attaches over.
    pub(crate) transport: Transport,
    /// The client attaches whenever it has no link.
    pub(crate) auto: bool,
    pub(crate) flight: Vec<Sent>,
    /// Held back by the test.
    pub(crate) held: Vec<Sent>,
    config: Arc<Config>,
    pub(super) client_links: BTreeMap<LinkId, Transport>,
    pub(super) server_links: BTreeMap<LinkId, ServerLink>,
    /// Links that swallow everything, without a word to either side.
    pub(super) black_holes: BTreeSet<LinkId>,
    /// Links over which the client heard something.
    answered: BTreeSet<LinkId>,
    links: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dir {
    Down,
    Up,
}

/// Something on its way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) link: LinkId,
    pub(crate) dir: Dir,
    pub(crate) packet: Packet,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Packet {
    /// A poll's answer, and its `Nosphere-Received`.
    Answer(Vec<Unit>, u64),
    /// The end of a socket or a stream.
    End(Reason),
    Post(Post),
    Posted(u64, BatchAnswer),
    /// A GET that was refused.
    Refused(Fault),
    /// A poll that another one replaced.
    Replaced,
    /// A GET.
    Request(AttachRequest, Transport),
    /// The session is not known: to a GET, or to a POST.
    Unknown(Option<u64>),
    Unit(Unit),
}

pub(super) struct ServerLink {
    transport: Transport,
    pub(super) stage: Stage,
    /// A poll's answer so far.
    units: Vec<Unit>,
}

pub(super) enum Stage {
    Greeting(Greeting),
    Session(usize),
    Over,
}

impl Pair {
    /// A client that has not attached yet.
    pub(crate) fn new(transport: Transport, client: &Arc<Config>, server: &Arc<Config>) -> Self {
        Self {
            now: Time::ZERO,
            client: End::new(Connection::client(client, Time::ZERO)),
            servers: vec![],
            transport,
            auto: true,
            flight: vec![],
            held: vec![],
            config: Arc::clone(server),
            client_links: BTreeMap::new(),
            server_links: BTreeMap::new(),
            black_holes: BTreeSet::new(),
            answered: BTreeSet::new(),
            links: 0,
        }
    }

    /// An open session with default limits.
    pub(crate) fn open(transport: Transport) -> Self {
        Self::open_with(transport, &defaults(), &defaults())
    }

    /// An open session.
    pub(crate) fn open_with(transport: Transport, client: &Arc<Config>, server: &Arc<Config>) -> Self {
        let mut pair = Self::new(transport, client, server);
        pair.drive();
        assert_eq!((pair.client.connection.state(), pair.server().connection.state()), (State::Open, State::Open));
        pair
    }

    /// The session that the client opened last.
    pub(crate) fn server(&mut self) -> &mut End {
        self.servers.last_mut().expect("no session was opened")
    }

    pub(crate) fn client_sends(&mut self, message: &str) {
        self.client.send(message, self.now).unwrap();
    }

    pub(crate) fn server_sends(&mut self, message: &str) {
        let now = self.now;
        self.server().send(message, now).unwrap();
    }

    /// The client begins a link, over [`Self::transport`].
    pub(crate) fn attach(&mut self) -> LinkId {
        let link = self.new_link(self.transport);
        self.client.connection.attach(link, self.transport, self.now);
        link
    }

    /// The client tries a better link.
    pub(crate) fn try_link(&mut self) -> LinkId {
        let link = self.new_link(WS);
        self.client.connection.try_link(link, WS);
        link
    }

    fn new_link(&mut self, transport: Transport) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        self.client_links.insert(link, transport);
        link
    }

    /// Both sides write what they have to write.
    pub(crate) fn transmit(&mut self) {
        if self.auto && self.client.connection.link().is_none() && self.client.connection.state() != State::Closed {
            self.attach();
        }
        for link in Vec::from_iter(self.client_links.keys().copied()) {
            self.client_writes(link);
        }
        if let Some(post) = self.client.connection.poll_post(&JSON) {
            self.push(LinkId(0), Dir::Up, Packet::Post(post));
        }
        for link in Vec::from_iter(self.server_links.keys().copied()) {
            self.server_writes(link);
        }
    }

    fn client_writes(&mut self, link: LinkId) {
        while let Some(action) = self.client.connection.poll_transmit(link, &JSON, self.now) {
            let websocket = self.client_links[&link] == WS;
            let packet = match action {
                Action::Attach(request) if !websocket => Packet::Request(request, self.client_links[&link]),
                Action::Attach(AttachRequest::Open(open)) => unit(Frame::Open(open)),
                Action::Attach(AttachRequest::Resume(offer)) => unit(Frame::Resume(offer)),
                Action::Send { unit, number } => {
                    assert!(websocket, "the client writes {number:?} to a link that goes one way");
                    Packet::Unit(own(&unit))
                }
                Action::Close { reason } => {
                    self.client_links.remove(&link);
                    return self.push(link, Dir::Up, Packet::End(reason));
                }
                action => panic!("a client does not {action:?}"),
            };
            self.push(link, Dir::Up, packet);
        }
    }

    fn server_writes(&mut self, link: LinkId) {
        let Some(ServerLink { transport, stage, units }) = self.server_links.get_mut(&link) else { return };
        let Stage::Session(session) = *stage else { return };
        let mut out = vec![];
        let mut over = false;
        while !over && let Some(action) = self.servers[session].connection.poll_transmit(link, &JSON, self.now) {
            match action {
                Action::Send { unit, .. } if *transport == POLL => units.push(own(&unit)),
                Action::Send { unit, .. } => out.push(Packet::Unit(own(&unit))),
                Action::Finish => {
                    let received = self.servers[session].connection.report_received();
                    out.push(Packet::Answer(std::mem::take(units), received));
                    over = true;
                }
                Action::Close { .. } if *transport == POLL => (_, over) = (out.push(Packet::Replaced), true),
                Action::Close { reason } => (_, over) = (out.push(Packet::End(reason)), true),
                action => panic!("a native server does not {action:?}"),
            }
        }
        if over {
            self.server_links.remove(&link);
        }
        out.into_iter().for_each(|packet| self.push(link, Dir::Down, packet));
    }

    /// Delivers the packet at an index of [`Self::flight`].
    pub(crate) fn deliver(&mut self, index: usize) {
        let Sent { link, dir, packet } = self.flight.remove(index);
        match dir {
            Dir::Up => self.server_reads(link, packet),
            Dir::Down => self.client_reads(link, packet),
        }
    }

    fn client_reads(&mut self, link: LinkId, packet: Packet) {
        let now = self.now;
        let connection = &mut self.client.connection;
        match packet {
            Packet::Unit(unit) => {
                self.answered.insert(link);
                connection.handle_unit(link, unit, &JSON, now);
            }
            Packet::Answer(units, received) => {
                connection.handle_received(link, received, now);
                units.into_iter().for_each(|unit| connection.handle_unit(link, unit, &JSON, now));
                connection.handle_detach(link, Reason::Closed, now);
            }
            Packet::End(reason) if !self.answered.contains(&link) => connection.handle_refused(link, reason, now),
            Packet::End(_) | Packet::Replaced | Packet::Refused(Fault::Stale) => {
                connection.handle_detach(link, Reason::Lost, now);
            }
            Packet::Refused(fault) => connection.handle_refused(link, fault.reason(), now),
            Packet::Unknown(None) => connection.handle_refused(link, Reason::UnknownSession, now),
            Packet::Unknown(Some(id)) => {
                connection.handle_post_answer(id, PostAnswer::Refused { reason: Reason::UnknownSession }, now);
            }
            Packet::Posted(id, BatchAnswer { received, outcome }) => {
                let answer = match outcome {
                    Ok(()) => PostAnswer::Accepted { received },
                    Err(Fault::Gap) => PostAnswer::Gap,
                    Err(fault) => PostAnswer::Refused { reason: fault.reason() },
                };
                connection.handle_post_answer(id, answer, now);
            }
            Packet::Request(..) | Packet::Post(_) => unreachable!("only a client asks"),
        }
        if self.client.connection.link() != Some(link) && self.client_links.get(&link) != Some(&WS) {
            self.client_links.remove(&link);
        }
    }

    fn server_reads(&mut self, link: LinkId, packet: Packet) {
        let now = self.now;
        match packet {
            Packet::Request(request, transport) => self.server_asked(link, transport, request),
            Packet::Post(post) => {
                let Post { id, attachment, base, received, units, .. } = post;
                let batch = Batch { attachment: Some(attachment), base: Some(base), received: Some(received), units };
                let session = self.client.connection.session().expect("the client posts to a session");
                let answer = match self.find(session) {
                    Some(session) => {
                        let connection = &mut self.servers[session].connection;
                        Packet::Posted(id, connection.handle_batch(batch, &JSON, now))
                    }
                    None => Packet::Unknown(Some(id)),
                };
                self.push(LinkId(0), Dir::Down, answer);
            }
            Packet::Unit(unit) => {
                let greeting = || Stage::Greeting(Greeting::new(&self.config, now));
                let state = self.server_links.entry(link).or_insert_with(|| ServerLink {
                    transport: WS,
                    stage: greeting(),
                    units: vec![],
                });
                match &mut state.stage {
                    Stage::Session(session) => {
                        self.servers[*session].connection.handle_unit(link, unit, &JSON, now);
                    }
                    Stage::Greeting(greeting) => match greeting.handle_frame(JSON.decode(unit)) {
                        Greeted::Reply(frame) => self.push(link, Dir::Down, super::pair::unit(frame)),
                        Greeted::Fault(reason) => self.end_socket(link, reason),
                        Greeted::Open(open) => self.server_asked(link, WS, AttachRequest::Open(open)),
                        Greeted::Resume(offer) => self.server_asked(link, WS, AttachRequest::Resume(offer)),
                    },
                    Stage::Over => {}
                }
            }
            Packet::End(_) => {
                if let Some(ServerLink { stage: Stage::Session(session), .. }) = self.server_links.remove(&link) {
                    self.servers[session].connection.handle_detach(link, Reason::Lost, now);
                }
            }
            packet => unreachable!("only a server says {packet:?}"),
        }
    }

    fn server_asked(&mut self, link: LinkId, transport: Transport, request: AttachRequest) {
        let now = self.now;
        let session = match request {
            AttachRequest::Open(open) => {
                let random = (self.servers.len() as u128 + 1).to_be_bytes();
                let opening = Opening {
                    session: SessionId::from_random(random),
                    token: ResumeToken::from_random(random),
                    attachment: open.attachment,
                    window: open.window,
                    link,
                    transport,
                };
                let connection = Connection::server(&self.config, Protocol::Native, opening, now);
                self.servers.push(End::new(connection));
                self.servers.len() - 1
            }
            AttachRequest::Resume(offer) => {
                let attach =
                    Attach { link, transport, attachment: Some(offer.attachment), received: Some(offer.received) };
                let refusal = match self.find(offer.session) {
                    None => Packet::Unknown(None),
                    Some(session) => {
                        assert!(self.servers[session].connection.verifies(&offer.token));
                        match self.servers[session].connection.handle_attach(attach, now) {
                            Ok(()) => return self.bind(link, transport, session),
                            Err(fault) => Packet::Refused(fault),
                        }
                    }
                };
                return match refusal {
                    Packet::Unknown(_) if transport == WS => {
                        let text = Text::from_static("unknown session");
                        self.push(link, Dir::Down, unit(Frame::Reset { text }));
                        self.end_socket(link, Reason::UnknownSession);
                    }
                    Packet::Refused(fault) if transport == WS => self.end_socket(link, fault.reason()),
                    refusal => self.push(link, Dir::Down, refusal),
                };
            }
        };
        self.bind(link, transport, session);
    }

    fn bind(&mut self, link: LinkId, transport: Transport, session: usize) {
        self.server_links.insert(link, ServerLink { transport, stage: Stage::Session(session), units: vec![] });
    }

    fn end_socket(&mut self, link: LinkId, reason: Reason) {
        if let Some(state) = self.server_links.get_mut(&link) {
            state.stage = Stage::Over;
        }
        self.push(link, Dir::Down, Packet::End(reason));
    }

    fn find(&self, session: SessionId) -> Option<usize> {
        let is = |end: &End| end.connection.session() == Some(session) && !end.connection.is_finished();
        self.servers.iter().position(is)
    }

    fn push(&mut self, link: LinkId, dir: Dir, packet: Packet) {
        if !self.black_holes.contains(&link) {
            self.flight.push(Sent { link, dir, packet });
        }
    }

    /// Both sides write, what is in flight arrives, the applications take. Whether anything happened.
    pub(crate) fn step(&mut self) -> bool {
        self.transmit();
        let mut some = !self.flight.is_empty();
        for _ in 0..self.flight.len() {
            self.deliver(0);
        }
        for end in self.servers.iter_mut().chain([&mut self.client]).filter(|end| !end.slow) {
            some |= !end.take().is_empty();
        }
        some
    }

    /// Steps until nothing happens any more.
    pub(crate) fn drive(&mut self) {
        for _ in 0..10_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the pair does not come to rest: {:?}", self.flight);
    }

    /// Lets time pass, and everything happen that happens meanwhile.
    pub(crate) fn advance(&mut self, millis: u64) {
        let end = Time(self.now.0 + millis);
        self.drive();
        loop {
            let deadlines = self.servers.iter().chain([&self.client]).filter_map(|end| end.connection.poll_timeout());
            let Some(at) = deadlines.min().filter(|&at| at <= end) else { break };
            self.now = self.now.max(at);
            self.expire();
            self.drive();
        }
        self.now = end;
    }

    /// Tells both sides the time. Each must get on if it asked for this moment.
    pub(crate) fn expire(&mut self) {
        for end in self.servers.iter_mut().chain([&mut self.client]) {
            let mut calls = 0;
            while end.connection.poll_timeout().is_some_and(|at| at <= self.now) {
                let before = end.connection.clone();
                end.connection.handle_timeout(self.now);
                assert_ne!(before, end.connection, "no progress at {}", self.now);
                calls += 1;
                assert!(calls < 32, "no end of deadlines at {}", self.now);
            }
        }
    }

    /// Everything that is in flight from a side.
    pub(crate) fn flying(&self, dir: Dir) -> Vec<&Packet> {
        self.flight.iter().filter(|sent| sent.dir == dir).map(|sent| &sent.packet).collect()
    }

    /// The links that the client has open.
    pub(crate) fn links(&self) -> Vec<LinkId> {
        self.client_links.keys().copied().collect()
    }
}

fn unit(frame: Frame) -> Packet {
    Packet::Unit(JSON.encode(frame).unwrap())
}

fn own(unit: &Encoded) -> Unit {
    Unit::Text(Text::from_utf8(unit.payload_bytes()).unwrap())
}
