//! What happens when something arrives, or does not, and when an application or a clock moves.

use nosphere_core::{
    AttachRequest, Fault, Greeted, Greeting, LinkId, Reason, SendError, Sent, State, Transport, WireFormat as _,
};
use nosphere_wire::JSON;

use crate::end::Taken;
use crate::network::Stage;
use crate::{Broken, Dir, End, Link, Packet, Rule, Sight, Step, Who, World};

/// A connection that wants to be called more often than this in one moment never lets time go on.
const MAX_TIMEOUTS: usize = 32;

impl World {
    pub(crate) fn try_step(&mut self, step: Step) -> Result<bool, Broken> {
        match step {
            Step::Answer(id) => Ok(self.post_at(id).is_some_and(|at| self.answer(at))),
            Step::Attach(transport) => Ok(self.attach(transport)),
            Step::Block(who) => Ok(self.block(who)),
            Step::Break(link, who) => Ok(self.lose(link, who)),
            Step::Close(who) => Ok(self.close(who)),
            Step::Deliver(link, dir) => self.deliver(link, dir),
            Step::Duplicate(link) => Ok(self.duplicate(link)),
            Step::Fail(id) => Ok(self.post_at(id).is_some_and(|at| self.fail(at))),
            Step::Forget(id) => Ok(self.post_at(id).is_some_and(|at| {
                let stray = !self.posts[at].awaited;
                if stray {
                    self.posts.remove(at);
                }
                stray
            })),
            Step::Post(id) => Ok(self.post_at(id).is_some_and(|at| self.post(at))),
            Step::Repeat(id) => Ok(self.post_at(id).is_some_and(|at| self.repeat(at))),
            Step::Restart => Ok(self.restart()),
            Step::Send(who) => self.send(who),
            Step::Take(who) => self.take(who),
            Step::TakeReply(who) => self.take_reply(who),
            Step::Timeout(who) => self.timeout(who),
            Step::Try => Ok(self.try_link()),
            Step::Write(who) => self.write(who),
        }
    }

    fn post_at(&self, id: u64) -> Option<usize> {
        self.posts.iter().position(|posting| posting.id == id)
    }

    /// Takes one of a kind of trouble out of the budget.
    pub(crate) fn spend(count: &mut u8) -> bool {
        let left = *count > 0;
        *count -= u8::from(left);
        left
    }

    fn attach(&mut self, transport: Transport) -> bool {
        if self.client.is_over() || self.client.connection.state() == State::Closed {
            return false;
        }
        let run = self.client.connection.state() == State::Open;
        let moves = self.client.connection.link().is_some() || run && transport != self.transport;
        if moves && !Self::spend(&mut self.budget.moves) {
            return false;
        }
        let now = self.clock(Who::Client);
        let id = self.begin(transport);
        self.client.connection.attach(id, transport, now);
        self.client.clockwork.observe(&self.client.connection, true, now);
        self.transport = transport;
        true
    }

    fn try_link(&mut self) -> bool {
        let connection = &self.client.connection;
        let able = connection.link().is_some() && connection.transport() != Transport::WebSocket;
        if !able || !Self::spend(&mut self.budget.moves) {
            return false;
        }
        let id = self.begin(Transport::WebSocket);
        self.client.connection.try_link(id, Transport::WebSocket);
        true
    }

    fn begin(&mut self, transport: Transport) -> LinkId {
        self.numbers += 1;
        let id = LinkId(self.numbers);
        self.links.insert(id, Link::new(transport));
        id
    }

    fn lose(&mut self, id: LinkId, who: Who) -> bool {
        let now = self.clock(who);
        let Some(link) = self.links.get_mut(&id) else { return false };
        let (has, free) = match who {
            Who::Client => (link.has_client, link.is_cut()),
            Who::Server => {
                let has = matches!(link.stage, Stage::Session(_) | Stage::Greeting(_));
                (has, !link.has_client && link.up.is_empty())
            }
        };
        if !has || !free && !Self::spend(&mut self.budget.breaks) {
            return false;
        }
        match who {
            Who::Client => {
                link.has_client = false;
                link.down.clear();
                self.client.connection.handle_detach(id, Reason::Lost, now);
                self.client.clockwork.observe(&self.client.connection, false, now);
            }
            Who::Server => {
                let stage = std::mem::replace(&mut link.stage, Stage::Over);
                link.up.clear();
                if let Stage::Session(session) = stage {
                    let server = &mut self.servers[session];
                    server.connection.handle_detach(id, Reason::Lost, now);
                    server.clockwork.observe(&server.connection, false, now);
                }
            }
        }
        true
    }

    fn close(&mut self, who: Who) -> bool {
        let now = self.clock(who);
        let at = self.mine();
        let Some(end) = self.end(who, at) else { return false };
        if end.dead || matches!(end.connection.state(), State::Closing | State::Closed) {
            return false;
        }
        let reason = if who == Who::Client { Reason::Closed } else { Reason::GoingAway };
        let spent = Self::spend(&mut self.budget.closes);
        if spent && let Some(end) = self.end(who, at) {
            end.connection.close(reason, now);
            end.clockwork.observe(&end.connection, false, now);
            self.excuses.closed.push(who);
        }
        spent
    }

    fn send(&mut self, who: Who) -> Result<bool, Broken> {
        let now = self.clock(who);
        let at = self.mine();
        let left = if who == Who::Client { &mut self.budget.up } else { &mut self.budget.down };
        if !Self::spend(left) {
            return Ok(false);
        }
        let Some(end) = self.end(who, at).filter(|end| !end.dead) else { return Ok(false) };
        let sent = end.send(now);
        let waits = end.connection.queued() as u64 > u64::from(self.scope.window);
        self.sights.see_if(Sight::WindowFull, waits);
        self.sights.see_if(Sight::Dropped, sent == Ok(Sent::Dropped));
        self.sights.see_if(Sight::KeyTaken, sent == Ok(Sent::Replaced));
        match sent {
            Ok(_) | Err(SendError::Full(_) | SendError::Closed(_)) => Ok(true),
            Err(error) => Err(Broken::new(Rule::Account, format!("refused: {error}"))),
        }
    }

    fn take(&mut self, who: Who) -> Result<bool, Broken> {
        let at = self.mine();
        let Some(end) = self.end(who, at).filter(|end| !end.dead) else { return Ok(false) };
        let mut some = false;
        loop {
            match end.take()? {
                Taken::Message => return Ok(true),
                Taken::Nothing => return Ok(some),
                Taken::Notice => some = true,
            }
        }
    }

    fn take_reply(&mut self, who: Who) -> Result<bool, Broken> {
        let at = self.mine();
        let Some(end) = self.end(who, at).filter(|end| !end.dead) else { return Ok(false) };
        let before = end.connection.clone();
        let some = end.take_reply()?;
        let changed = end.connection != before;
        let ahead = end.is_ahead();
        self.sights.see_if(Sight::Early, some && ahead);
        Ok(changed)
    }

    fn block(&mut self, who: Who) -> bool {
        let at = self.mine();
        let Some(end) = self.end(who, at).filter(|end| !end.dead) else { return false };
        let Some(link) = end.connection.link() else { return false };
        let before = end.connection.queued();
        end.connection.handle_blocked(link);
        end.connection.queued() != before
    }

    fn end(&mut self, who: Who, mine: Option<usize>) -> Option<&mut End> {
        match who {
            Who::Client => Some(&mut self.client),
            Who::Server => mine.map(|at| &mut self.servers[at]),
        }
    }

    fn timeout(&mut self, who: Who) -> Result<bool, Broken> {
        if self.deadline(who).is_none() || !Self::spend(&mut self.budget.timeouts) {
            return Ok(false);
        }
        self.excuses.late = true;
        self.expire(who)?;
        Ok(true)
    }

    /// A side's clock stands at its next deadline.
    pub(crate) fn expire(&mut self, who: Who) -> Result<(), Broken> {
        let Some(at) = self.deadline(who) else { return Ok(()) };
        let now = &mut self.now[who.index()];
        *now = at.max(*now);
        let now = *now;
        for link in self.links.values_mut().filter(|_| who == Who::Server) {
            if matches!(&link.stage, Stage::Greeting(greeting) if greeting.poll_timeout() <= now) {
                end_socket(link, Reason::Timeout);
            }
        }
        let ends = match who {
            Who::Client => std::slice::from_mut(&mut self.client),
            Who::Server => &mut self.servers[..],
        };
        for end in ends.iter_mut().filter(|end| !end.dead) {
            let mut calls = 0;
            while end.connection.poll_timeout().is_some_and(|at| at <= now) {
                let before = end.connection.clone();
                end.connection.handle_timeout(now);
                calls += 1;
                if end.connection == before || calls > MAX_TIMEOUTS {
                    return Err(Broken::new(Rule::Progress, format!("a deadline at {now}, and nothing gets on")));
                }
                end.clockwork.judge(who, &self.config, &end.connection, now)?;
                let silent = before.link().is_some() && end.connection.link().is_none();
                self.sights.see_if(Sight::Silence, silent);
                end.clockwork.pass(&self.config, now);
                end.clockwork.observe(&end.connection, false, now);
            }
        }
        self.links.retain(|_, link| !link.is_over());
        Ok(())
    }

    fn restart(&mut self) -> bool {
        if !Self::spend(&mut self.budget.restarts) {
            return false;
        }
        self.excuses.restarted = true;
        self.servers.iter_mut().for_each(|server| server.dead = true);
        for link in self.links.values_mut() {
            if matches!(link.stage, Stage::Session(_) | Stage::Greeting(_)) {
                (link.stage, link.up) = (Stage::Over, Default::default());
            }
        }
        true
    }

    fn duplicate(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get(&id) else { return false };
        let Some(request @ Packet::Request(_)) = link.up.front() else { return false };
        let mut copy = Link::new(link.transport);
        copy.up.push_back(request.clone());
        copy.has_client = false;
        if !Self::spend(&mut self.budget.repeats) {
            return false;
        }
        self.numbers += 1;
        self.links.insert(LinkId(self.numbers), copy);
        true
    }

    pub(crate) fn deliver(&mut self, id: LinkId, dir: Dir) -> Result<bool, Broken> {
        let Some(link) = self.links.get_mut(&id) else { return Ok(false) };
        let way = match dir {
            Dir::Down => &mut link.down,
            Dir::Up => &mut link.up,
        };
        let Some(packet) = way.pop_front() else { return Ok(false) };
        match dir {
            Dir::Down => self.client_reads(id, packet),
            Dir::Up => self.server_reads(id, packet)?,
        }
        Ok(true)
    }

    fn client_reads(&mut self, id: LinkId, packet: Packet) {
        let now = self.clock(Who::Client);
        let Self { client, links, .. } = self;
        let Some(link) = links.get_mut(&id) else { return };
        let connection = &mut client.connection;
        let current = connection.link();
        let mut over = true;
        match packet {
            Packet::Unit(unit) => {
                (link.heard, over) = (true, false);
                connection.handle_unit(id, unit, &JSON, now);
            }
            Packet::Answer(units, received) => {
                connection.handle_received(id, received, now);
                units.into_iter().for_each(|unit| connection.handle_unit(id, unit, &JSON, now));
                connection.handle_detach(id, Reason::Closed, now);
            }
            Packet::End(reason) if !link.heard => connection.handle_refused(id, reason, now),
            Packet::End(_) | Packet::Replaced | Packet::Refused(Fault::Stale) => {
                connection.handle_detach(id, Reason::Lost, now);
            }
            Packet::Refused(fault) => connection.handle_refused(id, fault.reason(), now),
            Packet::Unknown => connection.handle_refused(id, Reason::UnknownSession, now),
            Packet::Request(_) => {}
        }
        if over {
            link.has_client = false;
        }
        let relinked = connection.link() != current && connection.link().is_some();
        self.sights.see_if(Sight::Upgraded, relinked);
        if current == Some(id) {
            client.clockwork.hear(now);
        }
        client.clockwork.observe(&client.connection, relinked, now);
    }

    fn server_reads(&mut self, id: LinkId, packet: Packet) -> Result<(), Broken> {
        let now = self.clock(Who::Server);
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        match packet {
            Packet::Request(request) => {
                self.sights.see_if(Sight::LateRequest, !link.has_client);
                return self.asked(id, request);
            }
            Packet::Unit(unit) => {
                if link.stage == Stage::New {
                    link.stage = Stage::Greeting(Greeting::new(&self.config, now));
                }
                match &mut link.stage {
                    Stage::Session(session) => {
                        let server = &mut self.servers[*session];
                        let current = server.connection.link() == Some(id);
                        server.connection.handle_unit(id, unit, &JSON, now);
                        if current {
                            server.clockwork.hear(now);
                        }
                        server.clockwork.observe(&server.connection, false, now);
                    }
                    Stage::Greeting(greeting) => match greeting.handle_frame(JSON.decode(unit)) {
                        Greeted::Reply(frame) => link.push(Dir::Down, crate::writes::unit(frame)?),
                        Greeted::Fault(reason) => end_socket(link, reason),
                        Greeted::Open(open) => return self.asked(id, AttachRequest::Open(open)),
                        Greeted::Resume(offer) => return self.asked(id, AttachRequest::Resume(offer)),
                    },
                    Stage::New | Stage::Over => {}
                }
            }
            Packet::End(_) => {
                if let Stage::Session(session) = std::mem::replace(&mut link.stage, Stage::Over) {
                    let server = &mut self.servers[session];
                    server.connection.handle_detach(id, Reason::Lost, now);
                    server.clockwork.observe(&server.connection, false, now);
                }
            }
            Packet::Answer(..) | Packet::Refused(_) | Packet::Replaced | Packet::Unknown => {}
        }
        Ok(())
    }
}

pub(crate) fn end_socket(link: &mut Link, reason: Reason) {
    refuse(link, Packet::End(reason));
}

pub(crate) fn refuse(link: &mut Link, packet: Packet) {
    link.push(Dir::Down, packet);
    (link.stage, link.up) = (Stage::Over, Default::default());
}
