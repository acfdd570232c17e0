use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use nosphere_core::{Cause, Event, Lent, Reason, SendError, SessionError, State};
use nosphere_websocket::{CloseState, Item, Outgoing, ReadOutcome};
use pin_project_lite::pin_project;

use super::live::{Activity, Live, close_frame, outgoing};
use super::read::{End, handle_items, item_buffer, take_lent, writer};
use super::{Cell, Link, LinkIo, Outlet};
use crate::contain::{caught, contain};
use crate::dirty::{self, Scope};
use crate::presence::Merge;
use crate::websocket::WebSocket;
use crate::{Client, Handler};

/// The task of a session: gives events to its handler, one after the other, and reads the session's WebSocket, if it has
/// one, meanwhile too.
pub(crate) fn run<H: Handler>(
    cell: Arc<Cell>,
    handler: H,
    link: Option<Link>,
) -> impl Future<Output = ()> + Send + 'static {
    Task { session: dirty::address(&cell), task: drive(cell, handler, link) }
}

pin_project! {
    /// Whatever a session's task does is done in the session's scope.
    struct Task<F> {
        session: usize,
        #[pin]
        task: F,
    }
}

impl<F: Future> Future for Task<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = Scope::enter(*this.session);
        let polled = this.task.poll(cx);
        // What a handler's end has sent to others.
        dirty::flush();
        polled
    }
}

async fn drive<H: Handler>(cell: Arc<Cell>, handler: H, link: Option<Link>) {
    let client = Client::new(Arc::clone(&cell));
    let mut driver = Driver {
        cell,
        link,
        items: Vec::new(),
        end: None,
        merge: Merge::default(),
        took: 0,
        waker: None,
        rested: false,
    };
    // Dropped before the driver, whatever happens: that one writes out what is left.
    let mut handler = handler;
    let mut failed = false;
    loop {
        let event = std::future::poll_fn(|cx| driver.poll_event(cx)).await;
        let last = matches!(event, Event::Disconnected { .. });
        // Of messages that were accepted before the end, the client was told that they are received.
        if !failed || last || is_message(&event) {
            let connected = matches!(event, Event::Connected { .. });
            let failure = driver.deliver(&mut handler, &client, event).await;
            if connected {
                driver.cell.forget_head();
            }
            if let Some(cause) = failure.filter(|_| !failed && !last) {
                failed = true;
                driver.cell.close(Reason::Internal);
                let event = Event::Error(SessionError::Handler(cause));
                driver.deliver(&mut handler, &client, event).await;
            }
        }
        if last {
            break;
        }
    }
    // What its end sends to others goes out with the last words.
    drop(handler);
    drop(client);
    driver.finish();
}

fn is_message(event: &Event) -> bool {
    matches!(event, Event::Binary(_) | Event::Json(_) | Event::Request(_) | Event::Text(_))
}

/// Moves what arrives on a WebSocket into the connection, and events out of it.
struct Driver {
    cell: Arc<Cell>,
    link: Option<Link>,
    /// What a read of the link brought and is not handled yet, the last first. It does not outlast a turn of the task.
    items: Vec<Item>,
    /// The WebSocket has ended, in whatever way; what came before it is handled first.
    end: Option<End>,
    /// The connection's events, and changes of what the session watches.
    merge: Merge,
    /// How many events were taken since everything was written out.
    took: u32,
    /// The waker that the session knows.
    waker: Option<Waker>,
    /// Nothing was left to do but to read, and the link may be read: when the task is woken, most likely there is something.
    rested: bool,
}

impl Driver {
    /// Has the handler handle an event, and reads and writes meanwhile. Gives what it failed with, which is logged.
    async fn deliver<H: Handler>(&mut self, handler: &mut H, client: &Client, event: Event) -> Option<Cause> {
        // Within a block of its own, so that what `receive` does before it gives its future may panic too.
        let mut future = pin!(contain(async { handler.receive(client, event).await }));
        let result = std::future::poll_fn(|cx| {
            let result = future.as_mut().poll(cx);
            if result.is_pending() {
                self.poll_background(cx);
            }
            result
        })
        .await;
        let session = self.cell.id();
        match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) if matches!(error.downcast_ref(), Some(SendError::Closed(_))) => {
                // It answered a message of a client that had gone by then.
                tracing::debug!(%session, %error, "the handler had something to say after the end");
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(%session, %error, "the handler failed; its session ends");
                Some(Cause::new(error))
            }
            Err(panicked) => {
                tracing::error!(%session, message = panicked.message(), "the handler panicked; its session ends");
                Some(Cause::new(panicked))
            }
        }
    }

    /// Lets others on this thread have their turn after many events.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.took < YIELD_AFTER {
            return Poll::Ready(());
        }
        self.queue_items();
        self.flush();
        self.took = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next event. Everything that handling the one before has sent is written first.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        ready!(self.poll_turn(cx));
        // If there is nothing to read, what woke the task is found below.
        if std::mem::take(&mut self.rested)
            && let Poll::Ready(Some(event)) = self.poll_read(cx, true)
        {
            self.took += 1;
            return Poll::Ready(event);
        }
        loop {
            let mut live = self.cell.lock();
            let mut event = self.merge.next(&self.cell, &mut live);
            if event.is_none()
                && let Some(link) = self.link.as_mut().filter(|_| !self.items.is_empty())
            {
                event = handle_items(&self.cell, &mut live, link, &mut self.items, &mut self.end, true);
                if event.is_none() {
                    continue;
                }
                self.merge.passed();
            }
            drop(live);
            if let Some(Event::Reply(reply)) = event {
                self.took += 1;
                self.cell.take_reply(reply);
                ready!(self.poll_turn(cx));
                continue;
            }
            if let Some(event) = event {
                self.took += 1;
                if self.took.is_multiple_of(FLUSH_EVERY) {
                    // A burst must not fill the queues of those who read well.
                    self.flush();
                }
                if matches!(event, Event::Disconnected { .. }) {
                    self.cell.end();
                }
                return Poll::Ready(event);
            }
            self.register(cx);
            dirty::flush();
            if let Some(event) = ready!(self.poll_io(cx, Activity::Idle)) {
                self.took += 1;
                return Poll::Ready(event);
            }
        }
    }

    /// Writes out what the handler has sent, and the acknowledgements of what it took.
    fn flush(&self) {
        flush_own(&self.cell, &mut self.cell.lock(), self.took > 0);
        dirty::flush();
    }

    /// Reads and writes while the handler waits.
    fn poll_background(&mut self, cx: &mut Context<'_>) {
        self.queue_items();
        self.register(cx);
        dirty::flush();
        while self.poll_io(cx, Activity::Busy).is_ready() {}
        self.take_replies();
        self.flush();
        self.took = 0;
    }

    /// The handler waits. What it waits for may be behind events that wait for the handler.
    fn take_replies(&mut self) {
        let mut live = self.cell.lock();
        while let Some(reply) = live.connection.poll_reply() {
            drop(live);
            self.took += 1;
            self.cell.take_reply(reply);
            live = self.cell.lock();
        }
        if live.connection.state() == State::Closed {
            live.lose_requests(self.cell.id());
        }
        self.cell.rest(&mut live, Activity::Waiting);
    }

    /// Writes, and takes one step on the WebSocket. Ready if it got on.
    ///
    /// If that is all there is to do, the handler comes to rest: it is done with what it was given, or waits.
    fn poll_io(&mut self, cx: &mut Context<'_>, rest: Activity) -> Poll<Option<Event>> {
        let mut live = self.cell.lock();
        flush_own(&self.cell, &mut live, std::mem::take(&mut self.took) > 0);
        if let Some(link) = live.arrived.take() {
            if let Some(mut old) = self.link.replace(*link)
                && let LinkIo::Queued(queued) = &mut old.io
            {
                queued.1.close(close_frame(Reason::Fenced));
                linger(&self.cell, Outlet::None, old, Vec::new());
            }
            self.end = None;
        }
        let Some(link) = &mut self.link else {
            return if self.comes_to_rest(&mut live, rest) { Poll::Pending } else { Poll::Ready(None) };
        };
        let mut closing = live.is_closing_socket();
        match &mut link.io {
            LinkIo::Direct(_) => {
                if let Outlet::Direct { half, .. } = &live.outlet
                    && live.blocked
                    && half.as_ref().poll_write_ready(cx).is_ready()
                {
                    live.write(|| self.cell.now());
                    if live.blocked {
                        // Readiness was stale, and is clear now: this registers for the next.
                        if let Outlet::Direct { half, .. } = &live.outlet
                            && half.as_ref().poll_write_ready(cx).is_ready()
                        {
                            cx.waker().wake_by_ref();
                        }
                    }
                }
                // The write half is gone: the socket broke, or another link has the session.
                closing |= !matches!(&live.outlet, Outlet::Direct { link: id, .. } if *id == link.id);
            }
            LinkIo::Queued(queued) => {
                let (io, writer) = &mut **queued;
                let now = self.cell.now();
                let Live { connection, format, outlet, .. } = &mut *live;
                // Another link may have the session by now.
                let current = matches!(outlet, Outlet::Task(id) if *id == link.id);
                let flushed = writer.poll_flush(Pin::new(io), cx, || outgoing(connection, link.id, *format, || now));
                if flushed.is_pending() {
                    connection.handle_blocked(link.id);
                }
                if matches!(flushed, Poll::Ready(Err(_))) {
                    connection.handle_detach(link.id, Reason::Lost, now);
                    if current {
                        *outlet = Outlet::None;
                    }
                }
                closing |= writer.state() != CloseState::Open;
            }
        }
        self.cell.settle(&mut live);
        if let Some(end) = self.end.take() {
            drop(live);
            self.finish_link(&end);
            return Poll::Ready(None);
        }
        if closing {
            drop(live);
            self.retire(Vec::new());
            return Poll::Ready(None);
        }
        if !self.comes_to_rest(&mut live, rest) {
            return Poll::Ready(None);
        }
        let wants_read = live.connection.wants_read();
        drop(live);
        if !wants_read {
            return Poll::Pending;
        }
        let read = self.poll_read(cx, rest == Activity::Idle);
        self.rested = read.is_pending() && rest == Activity::Idle;
        read
    }

    /// Whether there is no event. What this task does itself does not wake it.
    fn comes_to_rest(&self, live: &mut Live, rest: Activity) -> bool {
        if rest == Activity::Idle {
            if self.merge.has_next(&self.cell, live) {
                return false;
            }
            self.cell.rest(live, rest);
            live.connection.release();
        }
        true
    }

    /// One read. Ready if it got on. `awaited`: the handler waits for events, so a message that nothing waits before is given
    /// at once.
    fn poll_read(&mut self, cx: &mut Context<'_>, awaited: bool) -> Poll<Option<Event>> {
        let Self { cell, link: Some(link), items, .. } = self else { return Poll::Pending };
        let (mut event, mut lent, mut early) = (None, false, false);
        let outcome = if let Some(rest) = link.early.take() {
            let (mut arrived, outcome) = *rest;
            early = true;
            items.append(&mut arrived);
            Ok(outcome)
        } else {
            let id = link.id;
            let take = |unit: Lent<'_>| {
                lent = true;
                event = take_lent(cell, id, unit, awaited);
            };
            let out = || {
                *items = item_buffer();
                items
            };
            ready!(match &mut link.io {
                LinkIo::Direct(half) => link.reader.poll_read_lent(Pin::new(half), cx, out, take),
                LinkIo::Queued(queued) => link.reader.poll_read_lent(Pin::new(&mut queued.0), cx, out, take),
            })
        };
        if lent {
            if event.is_some() {
                self.merge.passed();
            }
            return Poll::Ready(event);
        }
        self.end = match outcome {
            Ok(ReadOutcome::Items) => None,
            Ok(ReadOutcome::End) | Err(_) => Some(End::Lost),
            Ok(ReadOutcome::Error(error)) => Some(End::Fault(error)),
        };
        let mut live = self.cell.lock();
        if !early && self.items.is_empty() && self.end.is_none() {
            // A long message that is not whole yet is a sign of life, too (SPEC HB-3).
            live.connection.handle_alive(link.id, self.cell.now());
        }
        self.items.reverse();
        let event = handle_items(&self.cell, &mut live, link, &mut self.items, &mut self.end, awaited);
        if event.is_some() {
            self.merge.passed();
        }
        Poll::Ready(event)
    }

    /// The handler does not take what was read now.
    fn queue_items(&mut self) {
        if let Some(link) = self.link.as_mut().filter(|_| !self.items.is_empty()) {
            handle_items(&self.cell, &mut self.cell.lock(), link, &mut self.items, &mut self.end, false);
        }
    }

    /// The WebSocket has ended: the connection learns it, and the peer gets its answer.
    fn finish_link(&mut self, end: &End) {
        let Some(link) = &mut self.link else { return };
        let mut live = self.cell.lock();
        let now = self.cell.now();
        // What was sent before goes out before the answer to the close.
        live.write(|| now);
        let writer = writer(&mut live.outlet, link);
        let reason = match end {
            End::Close(close) => {
                if let Some(writer) = writer {
                    writer.handle_close(close);
                }
                Reason::Closed
            }
            End::Fault(error) => {
                if let Some(writer) = writer {
                    writer.handle_error(*error);
                }
                if error.close_code() == Reason::TooLarge.code() { Reason::TooLarge } else { Reason::Malformed }
            }
            End::Lost => {
                if let Some(writer) = writer {
                    writer.handle_end();
                }
                Reason::Lost
            }
        };
        live.connection.handle_detach(link.id, reason, now);
        self.cell.settle(&mut live);
        drop(live);
        self.retire(Vec::new());
    }

    /// Takes the WebSocket away from the session, and sees its closing handshake through elsewhere, after `rest`.
    fn retire(&mut self, rest: Vec<Outgoing>) {
        let Some(link) = self.link.take() else { return };
        let mut live = self.cell.lock();
        let current = match &live.outlet {
            Outlet::Direct { link: id, .. } | Outlet::Task(id) => *id == link.id,
            Outlet::Carrier | Outlet::None => false,
        };
        let outlet = if current {
            live.blocked = false;
            std::mem::replace(&mut live.outlet, Outlet::None)
        } else {
            Outlet::None
        };
        let now = self.cell.now();
        live.connection.handle_detach(link.id, Reason::Lost, now);
        self.cell.settle(&mut live);
        drop(live);
        linger(&self.cell, outlet, link, rest);
    }

    fn register(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.cell.set_task(cx.waker());
        }
    }

    /// The handler is done: the last words go out, and the socket is closed.
    fn finish(mut self) {
        let cell = Arc::clone(&self.cell);
        let now = cell.now();
        let mut live = cell.lock();
        live.dirty = false;
        if let Some(link) = live.arrived.take() {
            self.link = Some(*link);
        }
        live.write(|| now);
        let format = live.format;
        let rest = self.link.as_ref().map(|link| live.last_words(link.id, format, now)).unwrap_or_default();
        // The handler has had its chance; what is remembered of the session holds no messages.
        let undelivered = live.connection.take_undelivered();
        drop(live);
        drop(undelivered);
        self.retire(rest);
        // What the handler sent to others in its last event.
        dirty::flush();
    }
}

impl Drop for Driver {
    /// Whatever ended the task, a panic of a format or the end of the runtime: nobody takes the session's events any more.
    fn drop(&mut self) {
        self.cell.abandon();
        let mut live = self.cell.lock();
        self.cell.rest(&mut live, Activity::Idle);
        flush_own(&self.cell, &mut live, true);
        drop(live);
        self.cell.clear();
    }
}

/// Writes out what a session has to say, if it has. `took`: what was taken since then may have to be acknowledged.
#[inline]
fn flush_own(cell: &Arc<Cell>, live: &mut Live, took: bool) {
    let wants = live.dirty || live.wants_write(took);
    if wants && caught(|| cell.flush_live(live, || cell.now())).is_err() {
        cell.cut_live(live, cell.now());
    }
}

fn linger(cell: &Cell, outlet: Outlet, link: Link, rest: Vec<Outgoing>) {
    if let Some(socket) = WebSocket::join(outlet, link) {
        tokio::spawn(socket.linger(rest, cell.shared().config.session.close_timeout));
    }
}

/// After how many events what they led to is written out, though more are waiting.
const FLUSH_EVERY: u32 = 64;

/// After how many events a task gives up its thread, though more are waiting.
const YIELD_AFTER: u32 = 512;
