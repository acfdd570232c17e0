use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nosphere_core::{Config, Connection, LinkId, Overflow, SessionId, State, Time, Transport, Window};

use crate::end::Taken;
use crate::network::{Posting, Stage};
use crate::{Dir, End, Link, Packet, Sights, Sort, Step, Who};

/// A client, the sessions that it opened at a server, their applications, and everything that is on its way between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct World {
    /// The client.
    pub client: End,
    /// Every session that was opened, the last one last.
    pub servers: Vec<End>,
    /// Links that anybody still has.
    pub links: BTreeMap<LinkId, Link>,
    /// POSTs on their way, and their answers.
    pub posts: Vec<Posting>,
    /// What may still go wrong.
    pub budget: Budget,
    /// The first rule that was broken: the world ends there.
    pub broken: Option<Broken>,
    /// What has come to sight on the way.
    pub sights: Sights,
    pub(crate) scope: &'static Scope,
    pub(crate) config: Arc<Config>,
    /// The clocks of the client and of the server: neither knows the other's.
    pub(crate) now: [Time; 2],
    pub(crate) numbers: u64,
    /// What the client attached over last.
    pub(crate) transport: Transport,
    /// What has happened that a healthy session never sees.
    pub(crate) excuses: Excuses,
}

/// What can happen in a world, and how often. The rest of what it is made of is in [`Scope::config`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "every field is the explorer's choice")]
pub struct Scope {
    /// Names it on the command line.
    pub name: &'static str,
    /// What the client attaches over.
    pub transports: &'static [Transport],
    /// How often things may happen.
    pub budget: Budget,
    /// How many messages may be unacknowledged.
    pub window: u32,
    /// Of what sort the messages of both applications are, by turns. Without any they are plain.
    pub sorts: &'static [Sort],
    /// Sockets are slow: each end writes when [`Step::Write`] says so. Otherwise it writes at once.
    pub slow_sockets: bool,
}

/// How often things may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "every field is the explorer's choice")]
pub struct Budget {
    /// Messages of the client.
    pub up: u8,
    /// Messages of the server.
    pub down: u8,
    /// Links that break, and POSTs that fail.
    pub breaks: u8,
    /// Changes of transport while there is a link, with or without a candidate.
    pub moves: u8,
    /// Requests that a proxy repeats.
    pub repeats: u8,
    /// Deadlines that are met although the network could still deliver.
    pub timeouts: u8,
    /// Applications that close.
    pub closes: u8,
    /// Restarts of the server.
    pub restarts: u8,
}

/// What has happened that may end a session, or keep messages from arriving.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Excuses {
    /// Who closed, the first first.
    pub(crate) closed: Vec<Who>,
    pub(crate) late: bool,
    pub(crate) restarted: bool,
}

/// What always holds. [`World::broken`] tells which did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Every message is delivered once, refused, or handed back.
    Account,
    /// Deadlines are met in their moment (SPEC §10 to §12).
    Clock,
    /// What an end says that it took is what its application took, and no more counts as delivered.
    Count,
    /// Once the network is good, everything that was sent arrives, and whatever ends comes to an end.
    Delivery,
    /// Events come in order, `Connected` and `Disconnected` once.
    Grammar,
    /// No message is doubled, lost, or out of its place.
    Order,
    /// Nothing panics.
    Panic,
    /// Two ends that mean well never find a fault with each other.
    Peace,
    /// `handle_timeout` at the moment that was asked for gets on, and the network comes to rest.
    Progress,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::Clock,
        Self::Count,
        Self::Delivery,
        Self::Grammar,
        Self::Order,
        Self::Panic,
        Self::Peace,
        Self::Progress,
    ];
}

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub how: String,
}

impl Broken {
    pub(crate) fn new(rule: Rule, how: String) -> Self {
        Self { rule, how }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.how)
    }
}

impl Scope {
    /// What both ends are configured with. No two deadlines are the same, so that each can be told by its moment.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.close_timeout = Duration::from_millis(4_800);
        config.connect_timeout = Duration::from_millis(31_000);
        config.heartbeat = Duration::from_millis(23_000);
        config.max_queued_messages = 12;
        config.overflow = Overflow::DropNewest;
        config.poll_gap = Duration::from_millis(9_000);
        config.poll_time = Duration::from_millis(24_000);
        config.proof = Duration::from_millis(11_000);
        config.resume = Duration::from_millis(130_000);
        config.timeout = Duration::from_millis(19_000);
        // The largest message has 53 bytes with its envelope.
        config.window = Window { messages: self.window, bytes: 60 };
        config
    }
}

impl Who {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

impl World {
    /// A client that has not attached yet, and a server that has heard of nobody.
    pub fn new(scope: &'static Scope) -> Self {
        let config = Arc::new(scope.config());
        Self {
            client: End::new(Connection::client(&config, Time::ZERO), scope.sorts, Time::ZERO),
            servers: Vec::new(),
            links: BTreeMap::new(),
            posts: Vec::new(),
            budget: scope.budget,
            broken: None,
            sights: Sights::default(),
            scope,
            config,
            now: [Time::ZERO; 2],
            numbers: 0,
            transport: scope.transports[0],
            excuses: Excuses::default(),
        }
    }

    /// Takes a step, if it can be taken here.
    ///
    /// A step that cannot leaves the world as it is, and says so.
    pub fn apply(&mut self, step: Step) -> bool {
        if self.broken.is_some() {
            return false;
        }
        let done = match self.try_step(step) {
            Ok(done) => done,
            Err(broken) => {
                self.broken = Some(broken);
                return true;
            }
        };
        if done && let Err(broken) = self.settle() {
            self.broken = Some(broken);
        }
        done
    }

    /// Every step that can be taken here, and some that may turn out to change nothing.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.broken.is_some() {
            return steps;
        }
        let Budget { up, down, breaks, moves, repeats, timeouts, closes, restarts } = self.budget;
        let Self { client, .. } = self;
        let living = client.connection.state() != State::Closed;
        for (&id, link) in &self.links {
            for dir in [Dir::Up, Dir::Down] {
                if !link.way(dir).is_empty() {
                    steps.push(Step::Deliver(id, dir));
                }
            }
            // Whoever has lost a link tells the other, sooner or later; or nobody does.
            if link.has_client && (breaks > 0 || link.is_cut()) {
                steps.push(Step::Break(id, Who::Client));
            }
            if matches!(link.stage, Stage::Session(_) | Stage::Greeting(_))
                && (breaks > 0 || !link.has_client && link.up.is_empty())
            {
                steps.push(Step::Break(id, Who::Server));
            }
            if repeats > 0 && matches!(link.up.front(), Some(Packet::Request(_))) {
                steps.push(Step::Duplicate(id));
            }
        }
        for posting in &self.posts {
            steps.push(match posting.answer {
                None => Step::Post(posting.id),
                Some(_) => Step::Answer(posting.id),
            });
            if !posting.awaited {
                steps.push(Step::Forget(posting.id));
            } else if breaks > 0 {
                steps.push(Step::Fail(posting.id));
            }
            if repeats > 0 && posting.answer.is_none() {
                steps.push(Step::Repeat(posting.id));
            }
        }
        if living {
            let linked = client.connection.link().is_some();
            let free =
                |transport| !linked && (self.between_polls() == (transport == self.transport) || !self.between_polls());
            let attach = self.scope.transports.iter().filter(|&&transport| free(transport) || moves > 0);
            steps.extend(attach.map(|&transport| Step::Attach(transport)));
            if moves > 0 && linked && client.connection.transport() != Transport::WebSocket {
                steps.push(Step::Try);
            }
        }
        let mine = self.mine();
        for (who, end, messages) in
            [(Who::Client, Some(client), up), (Who::Server, mine.map(|at| &self.servers[at]), down)]
        {
            let Some(end) = end.filter(|end| !end.dead) else { continue };
            if messages > 0 && matches!(end.connection.state(), State::Connecting | State::Open | State::Suspended) {
                steps.push(Step::Send(who));
            }
            if closes > 0 && matches!(end.connection.state(), State::Connecting | State::Open | State::Suspended) {
                steps.push(Step::Close(who));
            }
            if end.connection.has_events() {
                steps.push(Step::Take(who));
                if self.scope.sorts.contains(&Sort::Reply) {
                    steps.push(Step::TakeReply(who));
                }
            }
            if self.scope.slow_sockets && self.scope.sorts.contains(&Sort::Volatile) && end.connection.queued() > 0 {
                steps.push(Step::Block(who));
            }
        }
        for who in [Who::Client, Who::Server] {
            if self.scope.slow_sockets {
                steps.push(Step::Write(who));
            }
            if timeouts > 0 && self.deadline(who).is_some() {
                steps.push(Step::Timeout(who));
            }
        }
        if restarts > 0 && self.servers.iter().any(|server| !server.dead) {
            steps.push(Step::Restart);
        }
        steps
    }

    /// The session that the client is in, by index.
    pub fn mine(&self) -> Option<usize> {
        self.client.connection.session().and_then(|session| self.find(session))
    }

    pub(crate) fn find(&self, session: SessionId) -> Option<usize> {
        self.servers.iter().position(|server| server.connection.session() == Some(session))
    }

    /// The client is in a run of polls, and the next one is due.
    fn between_polls(&self) -> bool {
        let connection = &self.client.connection;
        connection.state() == State::Open && connection.link().is_none()
    }

    pub(crate) fn clock(&self, who: Who) -> Time {
        self.now[who.index()]
    }

    /// The next deadline of a side.
    pub(crate) fn deadline(&self, who: Who) -> Option<Time> {
        match who {
            Who::Client => self.client.connection.poll_timeout(),
            Who::Server => {
                let living = self.servers.iter().filter(|server| !server.dead);
                let greetings = self.links.values().filter_map(|link| match &link.stage {
                    Stage::Greeting(greeting) => Some(greeting.poll_timeout()),
                    Stage::New | Stage::Session(_) | Stage::Over => None,
                });
                living.filter_map(|server| server.connection.poll_timeout()).chain(greetings).min()
            }
        }
    }

    /// What follows of itself: ends write what there is to write, and notices reach the applications.
    fn settle(&mut self) -> Result<(), Broken> {
        for end in self.servers.iter_mut().chain([&mut self.client]) {
            // Only messages wait for an application's leave: that a notice may wait too is for the walks.
            while !self.scope.slow_sockets && !end.dead && end.connection.has_events() {
                let mut ahead = end.clone();
                if ahead.take()? == Taken::Message {
                    break;
                }
                *end = ahead;
            }
        }
        if !self.scope.slow_sockets {
            self.write(Who::Client)?;
            self.write(Who::Server)?;
        }
        self.links.retain(|_, link| !link.is_over());
        self.check()
    }

    /// What holds at every moment.
    fn check(&self) -> Result<(), Broken> {
        self.client.check()?;
        self.servers.iter().try_for_each(End::check)?;
        let (client, server) = (&self.client, self.mine().map(|at| &self.servers[at]));
        if let Some(server) = server {
            client.check_peer(server)?;
            server.check_peer(client)?;
        }
        let claims = [(Some(client), server), (server, Some(client))];
        for (end, peer) in claims {
            let acknowledged = end.map_or(0, |end| end.connection.acknowledged());
            let got = peer.map_or(0, |peer| peer.connection.received());
            if acknowledged > got && acknowledged > peer.map_or(0, End::will_get) {
                let how = format!("{acknowledged} count as delivered, and {got} were");
                return Err(Broken::new(Rule::Count, how));
            }
        }
        Ok(())
    }
}
