use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use nosphere_core::{
    Config, Connection, Event, LinkId, Message, Reason, ResumeToken, SendError, SessionId, Side, State as Life, Time,
    Transport, WireFormat,
};
use nosphere_wire::negotiation::headers;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::builder::Target;
use super::get::{Get, Outcome};
use super::post::Posting;
use super::{HISTORY, Refused, WaitError};
use crate::Server;
use crate::clock::Clock;
use crate::shared::Shared;

/// How long a client waits before it asks again for a link that it lost, or for what was refused.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What drives a client's connection: its task, and whoever waits for something to happen.
pub(super) struct Driver {
    state: Mutex<State>,
    /// Something has happened.
    changed: Notify,
    shared: Arc<Shared>,
}

/// What a client is made of.
pub(super) struct Setup {
    pub(super) server: Server,
    pub(super) target: Target,
    pub(super) transport: Transport,
    pub(super) format: &'static dyn WireFormat,
    pub(super) config: Config,
    pub(super) backlog: usize,
}

/// What changes.
pub(super) struct State {
    pub(super) connection: Connection,
    /// What came and the test has not taken.
    pub(super) backlog: VecDeque<Event>,
    /// The latest of all that came.
    pub(super) history: VecDeque<Event>,
    /// How the session ended.
    pub(super) end: Option<(Side, Reason)>,
    /// The latest answer that refused a link.
    pub(super) refused: Option<Refused>,
    server: Server,
    target: Target,
    format: &'static dyn WireFormat,
    transport: Transport,
    max_backlog: usize,
    clock: Clock,
    runtime: Handle,
    links: u64,
    get: Option<Get>,
    post: Option<Posting>,
    /// The test wants no link.
    suspended: bool,
    /// There is no client any more.
    gone: bool,
    retry_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// The client's task.
    task: Waker,
}

/// What carriers work with.
pub(super) struct Hands<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) server: &'a mut Server,
    pub(super) target: &'a Target,
    pub(super) format: &'static dyn WireFormat,
    pub(super) now: Time,
}

impl Driver {
    /// Starts a client: it has asked for its session when this returns.
    pub(super) fn start(setup: Setup) -> Arc<Self> {
        let Setup { server, target, transport, format, config, backlog } = setup;
        let clock = Clock::start();
        let shared = Arc::clone(server.shared());
        let state = State {
            connection: Connection::client(&Arc::new(config), clock.now()),
            backlog: VecDeque::new(),
            history: VecDeque::new(),
            end: None,
            refused: None,
            server,
            target,
            format,
            transport,
            max_backlog: backlog,
            clock,
            runtime: Handle::current(),
            links: 0,
            get: None,
            post: None,
            suspended: false,
            gone: false,
            retry_at: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            task: Waker::noop().clone(),
        };
        let driver = Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), shared });
        driver.shared.test_clients.join(&driver);
        let task = Arc::clone(&driver);
        tokio::spawn(std::future::poll_fn(move |cx| task.poll_task(cx)));
        driver.drive();
        driver
    }

    /// What the task does: everything that can be done, whenever something wakes it.
    fn poll_task(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.task.will_wake(cx.waker()) {
            state.task = cx.waker().clone();
        }
        drop(state);
        self.drive();
        let state = self.lock();
        if state.gone || state.connection.is_finished() && state.post.is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Does everything that can be done now, on behalf of the task. Whether anything was.
    pub(super) fn drive(&self) -> bool {
        let mut state = self.lock();
        let runtime = state.runtime.clone();
        let _entered = runtime.enter();
        let task = state.task.clone();
        let progress = state.drive(&mut Context::from_waker(&task));
        drop(state);
        if progress {
            self.changed.notify_waiters();
            self.shared.test_clients.stir();
        }
        progress
    }

    /// Changes the state, and does what follows from that.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.drive();
        result
    }

    /// Waits for what `look` looks for.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            self.drive();
            if let Some(found) = self.change(&mut look) {
                return found;
            }
            changed.await;
        }
    }

    /// Whether a body is on its way.
    pub(super) fn is_posting(&self) -> bool {
        self.lock().post.is_some()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Queues a message.
    pub(super) fn send(&mut self, message: Message) -> Result<(), SendError> {
        self.connection.send(message, self.clock.now()).map(drop)
    }

    /// Ends the session.
    pub(super) fn close(&mut self, reason: Reason) {
        self.connection.close(reason, self.clock.now());
    }

    /// Drops the link, and wants no other.
    pub(super) fn suspend(&mut self) {
        self.suspended = true;
        self.post = None;
        // What the server sees is that its body is dropped.
        self.get = None;
        if let Some(link) = self.connection.link() {
            self.connection.handle_detach(link, Reason::Lost, self.clock.now());
        }
    }

    /// Asks for a link again, over this transport.
    pub(super) fn resume(&mut self, transport: Transport) {
        self.suspended = false;
        (self.transport, self.retry_at, self.refused) = (transport, None, None);
    }

    /// The client is no more.
    pub(super) fn vanish(&mut self) {
        self.gone = true;
        (self.get, self.post) = (None, None);
        self.task.wake_by_ref();
    }

    /// Whether the session is open, on a link.
    pub(super) fn is_open(&self) -> bool {
        self.connection.state() == Life::Open
    }

    /// How the session ended, for a test that waited for something else.
    pub(super) fn ended(&self, awaited: &str) -> Option<WaitError> {
        let (by, reason) = self.end?;
        Some(WaitError::Ended { awaited: awaited.into(), by, reason })
    }

    /// The transport that the next link has.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// The next event: the oldest that was not taken.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.backlog.pop_front().or_else(|| self.take())
    }

    /// Takes an event from the connection.
    pub(super) fn take(&mut self) -> Option<Event> {
        let event = self.connection.poll_event()?;
        if let Event::Disconnected { by, reason } = event {
            self.end = Some((by, reason));
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(event.clone());
        Some(event)
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            while self.step(cx) {
                progress = true;
            }
            let Some(next) = self.next_deadline() else { return progress };
            if self.timer.deadline() != next {
                self.timer.as_mut().reset(next);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return progress;
            }
        }
    }

    /// Does what can be done. Whether anything was.
    fn step(&mut self, cx: &mut Context<'_>) -> bool {
        if self.gone {
            return false;
        }
        let now = self.clock.now();
        let mut progress = false;
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
            progress = true;
        }
        // A session that is over brings no more than what is here.
        while (self.backlog.len() < self.max_backlog || self.connection.state() == Life::Closed)
            && let Some(event) = self.take()
        {
            self.backlog.push_back(event);
            progress = true;
        }
        if self.wants_link() && self.retry_at.is_none_or(|at| at <= Instant::now()) {
            self.retry_at = None;
            self.links += 1;
            let link = LinkId(self.links);
            self.connection.attach(link, self.transport, now);
            self.get = Some(Get::new(link, self.transport));
            progress = true;
        }
        progress | self.step_get(now, cx) | self.step_post(now, cx)
    }

    fn step_get(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let Some(mut get) = self.get.take() else { return false };
        let current = self.connection.link() == Some(get.link());
        let Poll::Ready(outcome) = get.poll(&mut self.hands(now), cx) else {
            self.get = Some(get);
            return false;
        };
        match outcome {
            Outcome::Progress => self.get = Some(get),
            Outcome::Over => {}
            Outcome::Lost | Outcome::Refused(_) => {
                self.retry_at = current.then(|| Instant::now() + RETRY_DELAY);
                if let Outcome::Refused(refused) = outcome {
                    self.refused = Some(refused);
                }
            }
        }
        true
    }

    fn step_post(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if self.post.is_none()
            && let Some(post) = self.connection.poll_post(self.format)
        {
            self.post = Some(Posting::new(&mut self.hands(now), &post));
            progress = true;
        }
        if let Some(mut post) = self.post.take() {
            if post.poll(&mut self.hands(now), cx).is_ready() {
                progress = true;
            } else {
                self.post = Some(post);
            }
        }
        progress
    }

    fn wants_link(&self) -> bool {
        !self.suspended && self.connection.state() != Life::Closed && self.connection.link().is_none()
    }

    /// Until when nothing happens, unless the server says something.
    fn next_deadline(&self) -> Option<Instant> {
        if self.gone {
            return None;
        }
        let timeout = self.connection.poll_timeout().map(|at| self.clock.instant(at));
        let retry = self.retry_at.filter(|_| self.wants_link());
        let post = self.post.as_ref().and_then(Posting::deadline);
        [timeout, retry, post].into_iter().flatten().min()
    }

    fn hands(&mut self, now: Time) -> Hands<'_> {
        let Self { connection, server, target, format, .. } = self;
        Hands { connection, server, target, format: *format, now }
    }
}

impl Hands<'_> {
    /// Whether messages are ignored, and not counted, since the session is being closed.
    pub(super) fn closing(&self) -> bool {
        matches!(self.connection.state(), Life::Closing | Life::Closed)
    }
}

/// Says for which session a request is, and with what right.
pub(super) fn secret(fields: &mut HeaderMap, session: SessionId, token: &ResumeToken) {
    let value = |text: String| HeaderValue::try_from(text).ok();
    fields.extend(value(session.to_string()).map(|session| (headers::SESSION, session)));
    fields.extend(value(token.reveal()).map(|mut token| {
        token.set_sensitive(true);
        (headers::TOKEN, token)
    }));
}

pub(super) fn count(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}
