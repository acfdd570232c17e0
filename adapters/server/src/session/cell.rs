use std::fmt;
use std::sync::{Arc, OnceLock};

use nosphere_core::{
    Connection, Message, Reason, ResumeToken, SendError, Sent, SessionId, Side, State, Time, Transport, Undelivered,
    WireFormat,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::Sink;
use super::live::{Activity, Live, NEVER, Outlet};
use super::pump::flush_own;
use crate::own::Own;
use crate::shared::Shared;
use crate::topic::Topic;
use crate::{RequestHead, dirty, tags};

/// A session of this node, shared by its task, its links and everybody who broadcasts to it.
pub(crate) struct Cell {
    id: SessionId,
    topic: Arc<Topic>,
    shared: Arc<Shared>,
    live: Mutex<Live>,
    /// Who opened the session, where the application says.
    principal: Option<Box<str>>,
    /// Made when it is first used; `None` when the session's task is gone and it never was.
    own: OnceLock<Option<Box<Own>>>,
}

impl Cell {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        topic: Arc<Topic>,
        connection: Connection,
        format: &'static dyn WireFormat,
        outlet: Outlet,
        head: RequestHead,
    ) -> Result<Arc<Self>, Outlet> {
        let Some(id) = connection.session() else { return Err(outlet) };
        let principal = head.principal().map(Into::into);
        let live = Live {
            connection,
            format,
            outlet,
            arrived: None,
            blocked: false,
            task: None,
            http: None,
            scheduled: NEVER,
            dirty: false,
            ended: false,
            gone: false,
            congested: false,
            given_up: false,
            awaited: None,
            head: Some(head),
            activity: Activity::Busy,
            events: 0,
        };
        let cell = Arc::new(Self {
            id,
            topic,
            shared: Arc::clone(shared),
            live: Mutex::new(live),
            principal,
            own: OnceLock::new(),
        });
        if !cell.shared.table.insert(&cell) {
            let outlet = std::mem::replace(&mut cell.lock().outlet, Outlet::None);
            return Err(outlet);
        }
        cell.topic.join(&cell);
        // What the new session has to say first, `opened`; a plain one has nothing to say.
        flush_own(&cell, &mut cell.lock(), true);
        Ok(cell)
    }

    pub(crate) fn now(&self) -> Time {
        self.shared.clock.now()
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// What finds the session in a set.
    pub(crate) fn key(&self) -> &SessionId {
        &self.id
    }

    pub(crate) fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// How many messages the client has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.lock().connection.acknowledged()
    }

    pub(crate) fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// What the application keeps with the session, unless it is too late for that.
    pub(crate) fn own(&self) -> Option<&Own> {
        self.own.get_or_init(|| Some(Box::default())).as_deref()
    }

    /// The session's task is gone, and with it what the application keeps here.
    pub(crate) fn clear(&self) {
        if let Some(own) = self.own.get_or_init(|| None) {
            own.clear();
        }
    }

    /// What the application keeps with the session, if it ever did.
    pub(crate) fn kept(&self) -> Option<&Own> {
        self.own.get()?.as_deref()
    }

    /// Whether the handler has seen the end, or is about to.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().ended
    }

    /// Whether nothing refers to the session by its id any more, but that it is remembered.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// The same, and another session may have the id: its client was away for too long, or the server is about to end, and for
    /// the client nothing is over.
    pub(crate) fn is_free(&self) -> bool {
        let live = self.lock();
        let reason = live.connection.ended().map(|ended| ended.1);
        live.gone && matches!(reason, Some(Reason::Expired | Reason::GoingAway | Reason::Unproved))
    }

    /// Who ended the session, and why, if that has happened.
    pub(crate) fn ended_by(&self) -> Option<(Side, Reason)> {
        self.lock().connection.ended()
    }

    /// Tells when there may be room for another push: a body was read, or a message taken.
    pub(crate) fn pushes(&self) -> Arc<Notify> {
        Arc::clone(self.lock().http.get_or_insert_default().pushes.get_or_insert_default())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn transport(&self) -> Transport {
        self.lock().connection.transport()
    }

    pub(crate) fn sink(&self) -> Sink {
        match self.lock().outlet {
            Outlet::Direct { .. } => Sink::Direct,
            Outlet::Task(_) | Outlet::Carrier => Sink::Queued,
            Outlet::None => Sink::None,
        }
    }

    /// For plain HTTP, which has no frame to tell it.
    pub(crate) fn token(&self) -> Option<ResumeToken> {
        self.lock().connection.token()
    }

    /// The head of the request that opened the session, until the handler has handled `Connected`.
    pub(crate) fn head(&self) -> Option<RequestHead> {
        self.lock().head.clone()
    }

    pub(crate) fn forget_head(&self) {
        self.lock().head = None;
    }

    pub(crate) fn verifies(&self, token: &ResumeToken) -> bool {
        self.lock().connection.verifies(token)
    }

    pub(crate) fn take_undelivered(&self) -> Undelivered {
        self.lock().connection.take_undelivered()
    }

    /// Sends a message from the application.
    pub(crate) fn send(self: &Arc<Self>, message: Message) -> Result<Sent, SendError> {
        let mut live = self.lock();
        let Some(message) = live.connection.append_own(message) else {
            self.queued(live);
            return Ok(Sent::Queued);
        };
        let result = live.connection.send(message, self.now());
        self.queued(live);
        result
    }

    /// A message may have been queued.
    #[inline(always)]
    fn queued(self: &Arc<Self>, mut live: MutexGuard<'_, Live>) {
        self.note_room(&mut live);
        self.mark(&mut live);
        drop(live);
        dirty::flush_outside();
    }

    /// Appends a broadcast. Whether it was queued. The caller flushes.
    pub(crate) fn append(self: &Arc<Self>, message: &Message) -> bool {
        matches!(self.append_or_refuse(message), Ok(Sent::Queued | Sent::Replaced))
    }

    /// The same for one of many, who are [on the list](dirty::push_all) together.
    #[inline]
    pub(crate) fn append_listed(self: &Arc<Self>, message: &Message) -> bool {
        let mut live = self.lock();
        if live.connection.append(message) {
            self.note_room(&mut live);
            live.dirty = true;
            return true;
        }
        drop(live);
        self.append(message)
    }

    pub(crate) fn append_or_refuse(self: &Arc<Self>, message: &Message) -> Result<Sent, SendError> {
        let mut live = self.lock();
        let sent = live.connection.send(message.clone(), self.shared.clock.now());
        self.note_room(&mut live);
        // A refusal may have ended the session.
        self.mark(&mut live);
        sent
    }

    pub(crate) fn close(self: &Arc<Self>, reason: Reason) {
        self.change(|live, now| live.connection.close(reason, now));
    }

    /// The deadline `at` that this session announced has come; perhaps it has moved since.
    pub(crate) fn handle_deadline(self: &Arc<Self>, at: Time, now: Time) {
        self.change(|live, _| {
            if live.scheduled != at {
                // An entry that a sooner one overtook. That one was followed by others, which see to the rest.
                return;
            }
            live.scheduled = NEVER;
            if live.connection.poll_timeout().is_some_and(|at| at <= now) {
                live.connection.handle_timeout(now);
            }
        });
        let live = self.lock();
        if live.connection.state() == State::Closed && live.ended && live.connection.poll_timeout().is_none() {
            drop(live);
            self.shared.table.forget(self);
        }
    }

    /// The handler is about to see `Disconnected`.
    pub(crate) fn end(&self) {
        let mut live = self.lock();
        if !std::mem::replace(&mut live.ended, true) {
            let remembered = live.connection.poll_timeout().is_some();
            live.task = None;
            live.head = None;
            self.note_room(&mut live);
            live.lose_requests(self.id);
            drop(live);
            self.topic.leave(self.id);
            tags::end(self);
            // Before the table remembers it, which may mean to forget it at once.
            self.lock().gone = true;
            self.shared.table.end(self, remembered);
        }
    }

    /// The task is gone. If it did not come to the end of the session, the session is over and forgotten.
    pub(crate) fn abandon(self: &Arc<Self>) {
        if !self.lock().ended {
            self.close(Reason::Internal);
            self.end();
            self.shared.table.forget(self);
        }
    }

    /// Writes out what the session has to say, or wakes who does, unless somebody has done so since it was marked.
    #[inline]
    pub(crate) fn flush(self: &Arc<Self>, now: impl Fn() -> Time) {
        let mut live = self.lock();
        if live.dirty {
            self.flush_live(&mut live, now);
        }
    }

    /// The same, for one that is locked.
    pub(crate) fn flush_live(self: &Arc<Self>, live: &mut Live, now: impl Fn() -> Time) {
        live.dirty = false;
        live.write(now);
        if live.blocked || matches!(live.outlet, Outlet::Task(_)) || live.is_closing_socket() {
            self.wake_task(live);
        }
        // To write makes nobody congested.
        if live.congested {
            self.note_room(live);
        }
        self.settle_rest(live);
    }

    /// Takes the link away, after something went wrong while it was written to. The client may resume.
    pub(crate) fn cut(self: &Arc<Self>) {
        self.cut_live(&mut self.lock(), self.now());
    }

    /// The same, for one that is locked.
    #[cold]
    pub(crate) fn cut_live(self: &Arc<Self>, live: &mut Live, now: Time) {
        tracing::error!(session = %self.id, "a wire format panicked; the link is cut");
        live.dirty = false;
        live.outlet = Outlet::None;
        if let Some(link) = live.connection.link() {
            live.connection.handle_detach(link, Reason::Internal, now);
        }
        live.wake_carrier();
        live.wake_task();
        self.settle(live);
    }

    /// Changes the connection, and does what follows from that.
    pub(crate) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Live, Time) -> R) -> R {
        let result = {
            let mut live = self.lock();
            let result = change(&mut live, self.shared.clock.now());
            self.mark(&mut live);
            self.settle(&mut live);
            result
        };
        dirty::flush_outside();
        result
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock()
    }

    /// The handler is done, or waits.
    pub(crate) fn rest(&self, live: &mut Live, activity: Activity) {
        if live.activity != activity {
            live.activity = activity;
            self.shared.test_clients.stir();
        }
    }

    /// The session's task has something to look at.
    pub(crate) fn wake(&self) {
        self.wake_task(&self.lock());
    }

    /// There may be something to write.
    #[inline]
    fn mark(self: &Arc<Self>, live: &mut Live) {
        // A task sees to its own session before it gives up the thread.
        if !std::mem::replace(&mut live.dirty, true) && !dirty::is_current(self) {
            dirty::push(self);
        }
    }

    /// Wakes the task if there are events for it, and keeps the deadline.
    #[inline]
    pub(crate) fn settle(self: &Arc<Self>, live: &mut Live) {
        self.note_room(live);
        self.settle_rest(live);
    }

    #[inline]
    fn settle_rest(self: &Arc<Self>, live: &mut Live) {
        if live.connection.has_events() {
            self.wake_task(live);
        }
        if let Some(at) = live.connection.poll_timeout()
            && at < live.scheduled
        {
            self.schedule(live, at);
        }
    }

    #[cold]
    fn schedule(self: &Arc<Self>, live: &mut Live, at: Time) {
        live.scheduled = at;
        self.shared.deadlines.schedule(at, self);
    }

    fn wake_task(&self, live: &Live) {
        if let Some(task) = live.task.as_ref().filter(|_| !dirty::is_current(self)) {
            task.wake_by_ref();
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("id", &self.id).finish_non_exhaustive()
    }
}
