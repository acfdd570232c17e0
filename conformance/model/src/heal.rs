//! From here on the network is good.

use nosphere_core::{Reason, Side, State, Time, Transport};

use crate::world::Excuses;
use crate::{Broken, Budget, Dir, End, Grammar, Rule, Scope, Step, Who, World};

/// A network that still has something to deliver after so many rounds never rests.
const MAX_ROUNDS: usize = 300;

/// How many deadlines pass while a session is idle.
const IDLE_DEADLINES: usize = 12;

/// How many deadlines may pass until everything is as it must be.
const MAX_DEADLINES: usize = 200;

impl World {
    /// Goes on from here with a network that loses nothing and applications that take everything, until everything that
    /// was sent has arrived, or both ends are over and account for it.
    ///
    /// # Errors
    ///
    /// When that does not happen, or another rule breaks on the way.
    pub fn heal(&self) -> Result<Self, Broken> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut world = self.clone();
        world.budget = Budget::default();
        for _ in 0..MAX_DEADLINES {
            world.rest()?;
            if world.is_whole(self.is_untroubled())? {
                return Ok(world);
            }
            if self.is_untroubled() {
                let how = format!("nothing went wrong, yet this waits for a deadline: {}", world.brief());
                return Err(Broken::new(Rule::Delivery, how));
            }
            if !world.pass_time()? {
                break;
            }
        }
        Err(Broken::new(Rule::Delivery, world.brief()))
    }

    /// Nothing has happened but messages, and ends that are closed.
    fn is_untroubled(&self) -> bool {
        let Budget { up, down, closes, .. } = self.scope.budget;
        Budget { up, down, closes, ..self.budget } == self.scope.budget
    }

    fn brief(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(End::brief).collect();
        format!("client {}; servers {servers:?}; {:?} {:?}", self.client.brief(), self.links, self.posts)
    }

    /// Lets everything happen that happens in one moment.
    fn rest(&mut self) -> Result<(), Broken> {
        for _ in 0..MAX_ROUNDS {
            if !self.round()? {
                return Ok(());
            }
        }
        Err(Broken::new(Rule::Progress, format!("the network does not come to rest: {:?}", self.links)))
    }

    fn round(&mut self) -> Result<bool, Broken> {
        let closed = self.client.connection.state() == State::Closed;
        let mut some = false;
        if self.client.connection.link().is_none() && !closed {
            some |= self.go(Step::Attach(self.transport))?;
        }
        some |= self.go(Step::Write(Who::Client))?;
        some |= self.go(Step::Write(Who::Server))?;
        for id in Vec::from_iter(self.links.keys().copied()) {
            for dir in [Dir::Up, Dir::Down] {
                while self.go(Step::Deliver(id, dir))? {
                    some = true;
                }
            }
        }
        for id in Vec::from_iter(self.posts.iter().map(|posting| posting.id)) {
            some |= self.go(Step::Post(id))?;
            some |= self.go(Step::Answer(id))?;
        }
        let Self { client, servers, .. } = self;
        for end in servers.iter_mut().chain([client]).filter(|end| !end.dead) {
            while end.connection.has_events() {
                end.take()?;
                some = true;
            }
        }
        Ok(some)
    }

    fn go(&mut self, step: Step) -> Result<bool, Broken> {
        let done = self.apply(step);
        self.broken.take().map_or(Ok(done), Err)
    }

    /// Both clocks go on to the next deadline of either. False if there is none.
    fn pass_time(&mut self) -> Result<bool, Broken> {
        let left = |who| self.deadline(who).map(|at| at.since(self.clock(who)));
        let Some(step) = [Who::Client, Who::Server].into_iter().filter_map(left).min() else { return Ok(false) };
        for who in [Who::Client, Who::Server] {
            self.now[who.index()] = self.clock(who) + step;
            if self.deadline(who).is_some_and(|at| at <= self.clock(who)) {
                self.expire(who)?;
            }
        }
        Ok(true)
    }

    /// Whether everything that was sent has arrived, or both ends are over and account for it.
    fn is_whole(&mut self, untroubled: bool) -> Result<bool, Broken> {
        let mut sights = self.sights;
        let Self { client, servers, .. } = &*self;
        let server = self.mine().map(|at| &servers[at]);
        if !client.is_over() {
            let open = |end: &End| end.connection.state() == State::Open;
            return Ok(server.is_some_and(|server| {
                let linked = client.connection.link() == server.connection.link();
                let told = self.has_all(client, server, untroubled) && self.has_all(server, client, untroubled);
                open(client) && open(server) && linked && told
            }));
        }
        self.excuse(client)?;
        let Some(server) = server else {
            client.account(None, &mut sights)?;
            self.sights = sights;
            return Ok(true);
        };
        if !server.is_over() {
            return Ok(false);
        }
        client.account(Some(server), &mut sights)?;
        if !server.dead {
            server.account(Some(client), &mut sights)?;
        }
        self.flushed(client, server, untroubled)?;
        self.sights = sights;
        Ok(true)
    }

    /// Whether an end took all that its peer sent, but for what nothing else promises.
    ///
    /// A volatile message is left out when a link is lost or its socket takes nothing; where neither happens, it arrives.
    fn has_all(&self, from: &End, to: &End, untroubled: bool) -> bool {
        let Scope { transports, slow_sockets, .. } = self.scope;
        let always_linked = untroubled && !slow_sockets && !transports.contains(&Transport::LongPolling);
        let due = if always_linked { from.sent_for_good() } else { from.due() };
        due.without(to.taken).is_empty()
    }

    /// Who closes first says what it has to say (CLS-1): nothing came between, and no time has passed.
    fn flushed(&self, client: &End, server: &End, untroubled: bool) -> Result<(), Broken> {
        let Excuses { closed, late, restarted } = &self.excuses;
        let in_time = !*late && !*restarted && self.now == [Time::ZERO; 2];
        let (closer, other) = match closed[..] {
            [Who::Client] => (client, server),
            [Who::Server] => (server, client),
            _ => return Ok(()),
        };
        if in_time && !self.has_all(closer, other, untroubled) {
            let how = format!("closed after {} messages, of which {:?} arrived", closer.sent, other.taken);
            return Err(Broken::new(Rule::Delivery, how));
        }
        Ok(())
    }

    fn excuse_if_over(&self) -> Result<(), Broken> {
        if self.client.is_over() { self.excuse(&self.client) } else { Ok(()) }
    }

    /// Sessions do not end by themselves.
    fn excuse(&self, end: &End) -> Result<(), Broken> {
        let Excuses { closed, late, restarted } = &self.excuses;
        let Grammar::Disconnected(by, reason) = end.grammar else { return Ok(()) };
        let excused = match reason {
            Reason::GoingAway => closed.contains(&Who::Server),
            Reason::Closed if by == Side::Server => *late || !closed.is_empty(),
            Reason::Closed => closed.contains(&Who::Client),
            Reason::Expired | Reason::Timeout | Reason::UnknownSession => *late || *restarted || !closed.is_empty(),
            // The server has no way to tell a client whose first words were lost from one that never meant it (SES-6).
            Reason::Unproved => true,
            _ => false,
        };
        if excused {
            return Ok(());
        }
        Err(Broken::new(Rule::Delivery, format!("the session ended: {:?}", end.grammar)))
    }

    /// A session that says nothing for a while stays as it is, once what is under way has passed: a client whose resuming
    /// poll was repeated may have to wait for a grant that went elsewhere, and ask again.
    fn idle(&mut self) -> Result<(), Broken> {
        let mut before = None;
        for _ in 0..2 {
            before = Some((self.client.connection.state(), self.client.connection.attachment()));
            for _ in 0..IDLE_DEADLINES {
                self.pass_time()?;
                self.rest()?;
            }
        }
        let after = (self.client.connection.state(), self.client.connection.attachment());
        let server = self.mine().map(|at| self.servers[at].connection.state());
        let open = after.0 == State::Open && server == Some(State::Open);
        if before != Some(after) || !open && !self.client.is_over() {
            return Err(Broken::new(Rule::Delivery, format!("idle, and then {after:?}, {server:?}: {}", self.brief())));
        }
        self.excuse_if_over()
    }

    /// Ends what is left: a closed world in which nothing remains to be done or remembered.
    ///
    /// # Errors
    ///
    /// When an end does not come to its end, or another rule breaks on the way.
    pub fn close_down(&self) -> Result<Self, Broken> {
        let mut world = self.heal()?;
        world.idle()?;
        for who in [Who::Server, Who::Client] {
            world.budget.closes = 1;
            world.go(Step::Close(who))?;
            world.budget.closes = 0;
            for _ in 0..MAX_DEADLINES {
                world.rest()?;
                if !world.pass_time()? {
                    break;
                }
            }
        }
        let Self { client, servers, links, posts, .. } = &world;
        let ends = servers.iter().filter(|server| !server.dead).chain([client]);
        let left = ends.filter(|end| !end.connection.is_finished() || !end.is_over()).count();
        if left > 0 || !links.is_empty() || !posts.is_empty() {
            return Err(Broken::new(Rule::Progress, format!("{left} ends are not finished: {}", world.brief())));
        }
        let mine = world.mine();
        let mut sights = world.sights;
        for (at, server) in servers.iter().enumerate().filter(|(_, server)| !server.dead) {
            server.account((mine == Some(at)).then_some(client), &mut sights)?;
        }
        client.account(mine.map(|at| &servers[at]), &mut sights)?;
        world.sights = sights;
        Ok(world)
    }
}
