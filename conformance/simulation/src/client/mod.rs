//! A client: the client role of the core, an application on top and carriers beneath.

mod context;
mod control;
mod get;
mod posts;
mod socket;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use nosphere_core::{Connection, LinkId, Reason, SendError, Sent, State, Transport};
use tokio::time::Sleep;

pub(crate) use self::context::cover;
use self::context::{Context, Report};
pub(crate) use self::control::Control;
use self::get::Get;
use self::posts::Posting;
use self::socket::Socket;
use crate::coverage::Covered;
use crate::net::{End, Network};
use crate::payload::{Content, Sort};
use crate::plan::{Action, ClientPlan, Fault, Leave, Limits, Op, Plan, Seen, Timed};
use crate::random::Rng;
use crate::trace::{self, What, Who};
use crate::world::World;

/// A client, as a task: done when its last session is over.
pub(crate) struct Client {
    shared: Shared,
    session: Option<Session>,
    timer: Pin<Box<Sleep>>,
    control: Arc<Control>,
}

/// What outlives the client's sessions.
struct Shared {
    world: World,
    network: Network,
    plan: ClientPlan,
    limits: Limits,
    heals: u64,
    rng: Rng,
    agenda: VecDeque<Timed<Action>>,
    faults: VecDeque<Timed<Fault>>,
    idle: Vec<End>,
    /// How far its clock is ahead.
    offset: u64,
    frozen_until: u64,
    slow_until: u64,
    /// How many sessions it had.
    epoch: u32,
    /// When it opens the next one.
    opens_at: u64,
    links: u64,
    vanished: bool,
}

/// One session of the client.
struct Session {
    connection: Connection,
    transport: Transport,
    sockets: Vec<Socket>,
    gets: Vec<Get>,
    posts: Vec<Posting>,
    /// When it tries to attach again.
    retry_at: u64,
    /// When the application takes the next event.
    takes_at: u64,
    /// When what is left of a session that is over is given up.
    ends_at: u64,
    marks: context::Marks,
    /// The client knows which session it has.
    named: bool,
    leaving: bool,
}

impl Client {
    pub(crate) fn new(world: &World, network: &Network, plan: &ClientPlan, whole: &Plan) -> (Self, Arc<Control>) {
        let rng = Rng::new(whole.seed, "application", u64::from(plan.id));
        network.join(plan.id, plan.net.clone(), Rng::new(whole.seed, "network", u64::from(plan.id)));
        let control = Arc::new(Control::default());
        let shared = Shared {
            world: world.clone(),
            network: network.clone(),
            plan: plan.clone(),
            limits: whole.server.clone(),
            heals: whole.heals,
            rng,
            agenda: plan.actions.clone().into(),
            faults: plan.faults.clone().into(),
            idle: Vec::new(),
            offset: 0,
            frozen_until: 0,
            slow_until: 0,
            epoch: 0,
            opens_at: plan.starts,
            links: 0,
            vanished: false,
        };
        let timer = Box::pin(tokio::time::sleep_until(world.instant(0)));
        (Self { shared, session: None, timer, control: Arc::clone(&control) }, control)
    }

    /// Does everything that can be done now. Whether anything was.
    fn step(&mut self, cx: &mut task::Context<'_>) -> bool {
        let Self { shared, session, control, .. } = self;
        let now = shared.world.now();
        let mut progress = shared.next_fault(now);
        if shared.vanished || now < shared.frozen_until {
            return progress;
        }
        if let Some(action) = due(&mut shared.agenda, now) {
            progress = true;
            shared.act(session.as_mut(), action.what);
        }
        if session.is_none() && shared.opens(now) {
            progress = true;
            *session = Some(shared.open());
        }
        let Some(current) = session else { return progress };
        if control.lock().leave && !current.leaving {
            progress = true;
            current.leaving = true;
            shared.leave(current);
        }
        progress |= current.step(shared, cx);
        if current.is_over(shared) {
            progress = true;
            if let Some(session) = session.take() {
                session.give_up();
            }
            shared.idle.clear();
            shared.opens_at = now + shared.rng.skewed(0, 3000);
        }
        progress
    }

    /// Until when nothing happens, unless the network says so.
    fn next(&self) -> Option<u64> {
        let shared = &self.shared;
        let fault = shared.faults.front().map(|fault| fault.at);
        if shared.world.now() < shared.frozen_until {
            return fault.into_iter().chain([shared.frozen_until]).min();
        }
        let action = shared.agenda.front().map(|action| action.at);
        let session = match &self.session {
            Some(session) => session.next(shared),
            None => shared.opens(shared.opens_at).then_some(shared.opens_at),
        };
        fault.into_iter().chain(action).chain(session).min()
    }

    fn is_done(&self) -> bool {
        let shared = &self.shared;
        shared.vanished || self.session.is_none() && !shared.opens(shared.world.now().max(shared.opens_at))
    }
}

impl Future for Client {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        loop {
            self.shared.world.act();
            if self.step(cx) {
                continue;
            }
            let mut state = self.control.lock();
            if self.is_done() {
                state.done = true;
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            // Where nobody pings, the last acknowledgement may never be due (SPEC DLV-3).
            let pings = self.shared.limits.heartbeat > 0;
            let settled = |session: &Session| !pings || session.connection.queued() == 0;
            state.settled = self.session.as_ref().is_none_or(settled);
            drop(state);
            let Some(next) = self.next() else { return Poll::Pending };
            let at = self.shared.world.instant(next);
            self.timer.as_mut().reset(at);
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Shared {
    fn who(&self) -> Who {
        Who::Client(self.plan.id, self.epoch)
    }

    fn opens(&self, at: u64) -> bool {
        self.epoch < self.plan.sessions && at >= self.opens_at && at < self.heals && !self.vanished
    }

    fn time(&self) -> nosphere_core::Time {
        nosphere_core::Time(self.world.now() + self.offset)
    }

    fn open(&mut self) -> Session {
        self.epoch += 1;
        let config = self.plan.config(&self.limits);
        Session {
            connection: Connection::client(&config, self.time()),
            transport: self.plan.transport,
            sockets: Vec::new(),
            gets: Vec::new(),
            posts: Vec::new(),
            retry_at: 0,
            takes_at: 0,
            ends_at: u64::MAX,
            marks: context::Marks::default(),
            named: false,
            leaving: false,
        }
    }

    fn next_fault(&mut self, now: u64) -> bool {
        if now >= self.heals {
            self.faults.clear();
            (self.frozen_until, self.slow_until) = (0, 0);
        }
        let Some(fault) = due(&mut self.faults, now) else { return false };
        self.world.note(self.who(), || format!("fault: {:?}", fault.what));
        self.network.fault(self.plan.id, &fault.what);
        true
    }

    fn act(&mut self, session: Option<&mut Session>, action: Action) {
        let now = self.world.now();
        self.world.note(self.who(), || format!("{action:?}"));
        match (action, session) {
            (Action::Freeze(time), _) => {
                self.world.cover(Covered::Frozen);
                self.frozen_until = (now + time).min(self.heals);
            }
            (Action::Jump(time), _) => {
                self.world.cover(Covered::JumpsOfClients);
                self.offset += time;
            }
            (Action::Vanish, session) => self.vanish(session.is_some()),
            (Action::Slow(time), _) => {
                self.world.cover(Covered::SlowReaders);
                self.slow_until = (now + time).min(self.heals);
            }
            (Action::Close(code), Some(session)) => {
                let reason = if code == 0 { Reason::Closed } else { Reason::Application(code) };
                session.close(self, reason);
            }
            (Action::Move(transport), Some(session)) => {
                session.transport = transport;
                if matches!(session.connection.state(), State::Open | State::Suspended) {
                    session.attach(self);
                }
            }
            (Action::Send { count, content, op }, Some(session)) => {
                for _ in 0..count {
                    session.send(self, content, op);
                }
            }
            (Action::Try, Some(session)) => {
                if session.connection.state() == State::Open && session.connection.transport() != Transport::WebSocket {
                    session.dial(self, true);
                }
            }
            (Action::Close(_) | Action::Move(_) | Action::Send { .. } | Action::Try, None) => {}
        }
    }

    fn leave(&mut self, session: &mut Session) {
        match self.plan.leaves {
            Leave::Close => session.close(self, Reason::Closed),
            Leave::Dismissed => {
                if !session.send(
                    self,
                    Content { kind: nosphere_core::Kind::Text, size: 0, sort: Sort::Plain },
                    Op::Close,
                ) {
                    session.close(self, Reason::Closed);
                }
            }
            Leave::Vanish => self.vanish(true),
            Leave::Wait => {}
        }
    }

    /// The process or the machine is gone; only in the first case the server is told.
    fn vanish(&mut self, had_session: bool) {
        self.vanished = true;
        self.world.cover(Covered::Vanished);
        if had_session {
            self.world.record(self.who(), What::Vanished);
        }
        let seen = if self.rng.chance(50) { Seen::ByBoth } else { Seen::ByClient };
        self.network.fault(self.plan.id, &Fault::Cut(seen));
    }
}

impl Session {
    fn step(&mut self, shared: &mut Shared, cx: &mut task::Context<'_>) -> bool {
        if let Some(id) = self.connection.session().filter(|_| !self.named) {
            self.named = true;
            shared.world.record(shared.who(), What::Opened(id));
        }
        let mut progress = self.expire(shared) | self.take(shared);
        if self.wants_link(shared) {
            progress = true;
            self.attach(shared);
        }
        let mut ctx = Context::new(shared, self.marks);
        for socket in &mut self.sockets {
            progress |= socket.poll(&mut ctx, &mut self.connection, cx);
        }
        for get in &mut self.gets {
            progress |= get.poll(&mut ctx, &mut self.connection, cx);
        }
        while let Some(post) = self.connection.poll_post(ctx.plan.format()) {
            progress = true;
            ctx.posts(&post);
            self.posts.push(Posting::new(&mut ctx, &self.connection, &post));
        }
        for post in &mut self.posts {
            progress |= post.poll(&mut ctx, &mut self.connection, cx);
        }
        let Context { reports, marks, .. } = ctx;
        self.marks = marks;
        self.sockets.retain(|socket| !socket.is_over());
        self.gets.retain(|get| !get.is_over());
        self.posts.retain(|post| !post.is_over());
        for report in reports {
            match report {
                Report::PollAnswered => {}
                Report::Failed => {
                    self.retry_at = shared.world.now() + shared.rng.below(shared.plan.patience + 1);
                    if shared.rng.chance(25) {
                        self.transport = *shared.rng.pick(&TRANSPORTS);
                    }
                }
            }
        }
        progress
    }

    fn expire(&mut self, shared: &Shared) -> bool {
        let now = shared.time();
        let due = self.connection.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.connection.handle_timeout(now);
        }
        due
    }

    /// The application takes events, at its own pace.
    fn take(&mut self, shared: &mut Shared) -> bool {
        let now = shared.world.now();
        if now < shared.slow_until || now < self.takes_at {
            return false;
        }
        // Some wait for a reply in the middle of something else.
        if self.connection.has_events()
            && shared.rng.chance(10)
            && let Some(reply) = self.connection.poll_reply()
        {
            shared.world.cover(Covered::EarlyReplies);
            shared.world.saw_early(shared.who(), reply);
            return true;
        }
        let Some(event) = self.connection.poll_event() else { return false };
        self.takes_at = now + shared.plan.pace;
        let who = shared.who();
        let what = shared.world.saw(who, &event);
        cover(&shared.world, &what, true);
        if let What::Event(trace::Seen::Disconnected(..)) = what {
            let undelivered = self.connection.take_undelivered();
            shared.world.undelivered(who, &undelivered);
            shared.world.record(who, What::Dropped(self.connection.dropped()));
            self.ends_at = now + shared.limits.close_timeout + 5000;
        }
        true
    }

    fn wants_link(&self, shared: &Shared) -> bool {
        self.connection.state() != State::Closed
            && self.connection.link().is_none()
            && shared.world.now() >= self.retry_at
            && !self.sockets.iter().any(Socket::is_upgrading)
    }

    /// Begins a link over the transport of the moment.
    fn attach(&mut self, shared: &mut Shared) {
        if self.transport == Transport::WebSocket {
            return self.dial(shared, false);
        }
        let run = self.connection.transport() == self.transport && self.transport == Transport::LongPolling;
        if run && self.gets.iter().any(Get::is_held) {
            // Another one would be held back from now on, and then longer than the server waits.
            return;
        }
        let link = shared.next_link();
        self.connection.attach(link, self.transport, shared.time());
        self.gets.push(Get::new(link, self.transport));
        if !run {
            context::moved(&shared.world, self.transport);
        }
    }

    fn dial(&mut self, shared: &mut Shared, candidate: bool) {
        let (link, now) = (shared.next_link(), shared.world.now());
        let mut ctx = Context::new(shared, self.marks);
        match Socket::new(&mut ctx, link, candidate, now) {
            Some(socket) => self.sockets.push(socket),
            None if candidate => {}
            None => self.retry_at = now + 1 + shared.rng.below(shared.plan.patience),
        }
    }

    fn send(&mut self, shared: &mut Shared, content: Content, op: Op) -> bool {
        if self.connection.state() == State::Closed {
            return false;
        }
        let (id, message) = shared.world.message(content, op);
        match self.connection.send(message, shared.time()) {
            Ok(Sent::Dropped) => {
                shared.world.cover(Covered::Dropped);
                shared.world.note(shared.who(), || format!("message {id} is dropped"));
                true
            }
            Ok(sent) => {
                shared.world.cover(Covered::Messages);
                if sent == Sent::Replaced {
                    shared.world.cover(Covered::Replaced);
                }
                shared.world.record(shared.who(), What::Sent(id));
                true
            }
            Err(error) => {
                if matches!(error, SendError::Full(_)) {
                    shared.world.cover(Covered::Overflows);
                }
                shared.world.note(shared.who(), || format!("message {id} is refused: {error}"));
                false
            }
        }
    }

    fn close(&mut self, shared: &mut Shared, reason: Reason) {
        if !matches!(self.connection.state(), State::Closing | State::Closed) {
            shared.world.record(shared.who(), What::Closing);
            self.connection.close(reason, shared.time());
        }
    }

    fn is_over(&self, shared: &Shared) -> bool {
        let carriers = self.sockets.len() + self.gets.len() + self.posts.len();
        shared.world.now() >= self.ends_at || self.connection.is_finished() && carriers == 0
    }

    fn next(&self, shared: &Shared) -> Option<u64> {
        let now = shared.world.now();
        let deadline = self.connection.poll_timeout().map(|at| at.0.saturating_sub(shared.offset));
        let takes = self.connection.has_events().then_some(self.takes_at.max(shared.slow_until));
        let unlinked = self.connection.state() != State::Closed && self.connection.link().is_none();
        let retry = (unlinked && self.retry_at > now).then_some(self.retry_at);
        let sockets = self.sockets.iter().filter_map(Socket::deadline);
        let posts = self.posts.iter().map(Posting::deadline);
        let ends = Some(self.ends_at).filter(|at| *at != u64::MAX);
        deadline.into_iter().chain(takes).chain(retry).chain(sockets).chain(posts).chain(ends).min()
    }

    fn give_up(self) {
        self.sockets.into_iter().for_each(Socket::abort);
        self.gets.into_iter().for_each(Get::abort);
        self.posts.into_iter().for_each(Posting::abort);
    }
}

impl Shared {
    fn next_link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }
}

/// The next of a list whose time has come.
fn due<T>(list: &mut VecDeque<Timed<T>>, now: u64) -> Option<Timed<T>> {
    list.front().is_some_and(|next| next.at <= now).then(|| list.pop_front())?
}

const TRANSPORTS: [Transport; 3] = [Transport::LongPolling, Transport::ServerSentEvents, Transport::WebSocket];
