mod parting;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nosphere_core::{Event, Reason, State};
use nosphere_websocket::{CloseState, Unread, Writer};
use parking_lot::MutexGuard;

use self::parting::linger;
use super::live::{Activity, Live, close_frame, outgoing};
use super::read::{End, Step, settle_read, take_item, take_lent};
use super::{Cell, Link, LinkIo, Outlet};
use crate::contain::caught;
use crate::dirty;
use crate::presence::Merge;

/// Moves what arrives on a WebSocket into the connection, and events out of it.
pub(super) struct Pump {
    pub(super) link: Option<Link>,
    /// What a read of the link brought and is not handled yet. It does not outlast a turn of the task.
    unread: Unread,
    /// The WebSocket has ended, in whatever way; what came before it is handled first.
    end: Option<End>,
    /// The connection's events, and changes of what the session watches.
    merge: Merge,
    /// How many events were taken since everything was written out.
    took: u32,
    /// Nothing was left to do but to read, and the link may be read: when the task is woken, most likely there is something.
    rested: bool,
}

impl Pump {
    pub(super) fn new(link: Option<Link>) -> Self {
        Self { link, unread: Unread::default(), end: None, merge: Merge::default(), took: 0, rested: false }
    }

    /// Lets others on this thread have their turn after many events.
    #[inline]
    fn poll_turn(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>) -> Poll<()> {
        if self.took < YIELD_AFTER { Poll::Ready(()) } else { self.give_way(cell, cx) }
    }

    #[cold]
    fn give_way(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>) -> Poll<()> {
        self.queue_unread(cell, cx);
        self.flush(cell);
        self.took = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next event goes into `out`. Everything that handling the one before has sent is written first.
    #[inline(always)]
    pub(super) fn poll_event(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>, out: &mut Option<Event>) -> Poll<()> {
        ready!(self.poll_turn(cell, cx));
        // If there is nothing to read, what woke the task is found below.
        let rest = !self.unread.is_empty() && !self.merge.has_change(cell);
        let found = rest && self.take_found(cell, out);
        let reads = std::mem::take(&mut self.rested) || rest;
        if (found || reads && self.poll_read(cell, cx, true, out).is_ready()) && out.is_some() {
            self.count(cell);
            return Poll::Ready(());
        }
        if self.unread.is_empty() && self.has_rest(cell, cx) {
            return Poll::Pending;
        }
        self.poll_any_event(cell, cx, out)
    }

    /// What a turn of the task ends with, nearly always: there is no event, nothing to write but what the handler has sent, and
    /// nothing to read. Whether that was all.
    #[inline(never)]
    fn has_rest(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>) -> bool {
        let mut live = cell.lock();
        if self.merge.has_next(cell, &live) || !dirty::is_flushed() {
            return false;
        }
        live.set_task(cx.waker());
        flush_own(cell, &mut live, std::mem::take(&mut self.took) > 0);
        if !self.is_calm(&live) || !self.comes_to_rest(cell, &mut live, Activity::Idle) || !live.connection.wants_read()
        {
            return false;
        }
        drop(live);
        self.rested = self.is_drained(cx);
        self.rested
    }

    /// The next event, whatever it is and whatever else is to be done.
    #[inline(never)]
    fn poll_any_event(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>, out: &mut Option<Event>) -> Poll<()> {
        loop {
            let mut live = cell.lock();
            if self.merge.has_next(cell, &live) {
                *out = self.merge.next(cell, &mut live);
                drop(live);
            } else if !self.unread.is_empty() {
                drop(live);
                ready!(self.poll_read(cell, cx, true, out));
                if out.is_none() {
                    continue;
                }
            } else if dirty::is_flushed() {
                // Nearly always nothing else is left to do than to write and to wait.
                live.set_task(cx.waker());
                ready!(self.poll_io(cell, live, cx, Activity::Idle, out));
                if out.is_none() {
                    continue;
                }
            } else {
                drop(live);
            }
            if let Some(reply) = out.take_if(|event| matches!(event, Event::Reply(_))) {
                self.took += 1;
                if let Event::Reply(reply) = reply {
                    cell.take_reply(reply);
                }
                ready!(self.poll_turn(cell, cx));
            } else if let Some(event) = out {
                if matches!(event, Event::Disconnected { .. }) {
                    cell.end();
                }
                self.count(cell);
                return Poll::Ready(());
            } else {
                // No two sessions are locked at once.
                dirty::flush();
            }
        }
    }

    /// An event was taken.
    #[inline]
    fn count(&mut self, cell: &Arc<Cell>) {
        self.took += 1;
        if self.took.is_multiple_of(FLUSH_EVERY) {
            // A burst must not fill the queues of those who read well.
            self.flush(cell);
        }
    }

    /// Writes out what the handler has sent, and the acknowledgements of what it took.
    fn flush(&self, cell: &Arc<Cell>) {
        flush_own(cell, &mut cell.lock(), self.took > 0);
        dirty::flush();
    }

    /// Reads and writes while the handler waits.
    pub(super) fn poll_background(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>) {
        self.queue_unread(cell, cx);
        cell.lock().set_task(cx.waker());
        dirty::flush();
        while self.poll_io(cell, cell.lock(), cx, Activity::Busy, &mut None).is_ready() {}
        self.take_replies(cell);
        self.flush(cell);
        self.took = 0;
    }

    /// The handler waits. What it waits for may be behind events that wait for the handler.
    fn take_replies(&mut self, cell: &Arc<Cell>) {
        let mut live = cell.lock();
        while let Some(reply) = live.connection.poll_reply() {
            drop(live);
            self.took += 1;
            cell.take_reply(reply);
            live = cell.lock();
        }
        if live.connection.state() == State::Closed {
            live.lose_requests(cell.id());
        }
        cell.rest(&mut live, Activity::Waiting);
    }

    /// Writes, and takes one step on the WebSocket. Ready if it got on.
    ///
    /// If that is all there is to do, the handler comes to rest: it is done with what it was given, or waits.
    #[inline(always)]
    fn poll_io(
        &mut self,
        cell: &Arc<Cell>,
        mut live: MutexGuard<'_, Live>,
        cx: &mut Context<'_>,
        rest: Activity,
        out: &mut Option<Event>,
    ) -> Poll<()> {
        flush_own(cell, &mut live, std::mem::take(&mut self.took) > 0);
        if !self.is_calm(&live) {
            if self.link.is_none() && live.arrived.is_none() {
                return if self.comes_to_rest(cell, &mut live, rest) { Poll::Pending } else { Poll::Ready(()) };
            }
            if self.tend(cell, &mut live, cx) {
                drop(live);
                match self.end.take() {
                    Some(end) => self.finish_link(cell, &end),
                    None => self.retire(cell, Vec::new()),
                }
                return Poll::Ready(());
            }
        }
        if !self.comes_to_rest(cell, &mut live, rest) {
            return Poll::Ready(());
        }
        let wants_read = live.connection.wants_read();
        drop(live);
        if !wants_read {
            return Poll::Pending;
        }
        let idle = rest == Activity::Idle;
        let read = if self.is_drained(cx) { Poll::Pending } else { self.poll_read(cell, cx, idle, out) };
        self.rested = read.is_pending() && idle;
        read
    }

    /// Whether the link is the session's, and nothing has to be done about it but to read.
    #[inline]
    fn is_calm(&self, live: &Live) -> bool {
        let Some(Link { id, io: LinkIo::Direct(_), .. }) = &self.link else { return false };
        let open = |writer: &Writer| writer.state() == CloseState::Open;
        let current = matches!(&live.outlet, Outlet::Direct { link, writer, .. } if link == id && open(writer));
        current && !live.blocked && live.arrived.is_none() && self.end.is_none()
    }

    /// Whether there is nothing to read, as far as the runtime knows; it wakes the task when there is.
    #[inline]
    fn is_drained(&self, cx: &mut Context<'_>) -> bool {
        match &self.link {
            Some(Link { io: LinkIo::Direct(half), reader, .. }) if reader.needs_stream() => {
                half.poll_ready(cx).is_pending()
            }
            _ => false,
        }
    }

    /// Does for the link whatever has to be done. Whether it is over.
    #[inline(never)]
    fn tend(&mut self, cell: &Arc<Cell>, live: &mut Live, cx: &mut Context<'_>) -> bool {
        if let Some(link) = live.arrived.take() {
            if let Some(mut old) = self.link.replace(*link)
                && let LinkIo::Queued(queued) = &mut old.io
            {
                queued.1.close(close_frame(Reason::Fenced));
                linger(cell, Outlet::None, old, Vec::new());
            }
            self.end = None;
        }
        let Some(link) = &mut self.link else { return false };
        let mut closing = live.is_closing_socket();
        match &mut link.io {
            LinkIo::Direct(_) => {
                if let Outlet::Direct { half, .. } = &live.outlet
                    && live.blocked
                    && half.poll_ready(cx).is_ready()
                {
                    live.write(|| cell.now());
                    if live.blocked {
                        // Readiness was stale, and is clear now: this registers for the next.
                        if let Outlet::Direct { half, .. } = &live.outlet
                            && half.poll_ready(cx).is_ready()
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
                let now = cell.now();
                let Live { connection, format, outlet, .. } = live;
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
        cell.settle(live);
        closing || self.end.is_some()
    }

    /// Whether there is no event. What this task does itself does not wake it.
    fn comes_to_rest(&self, cell: &Arc<Cell>, live: &mut Live, rest: Activity) -> bool {
        if rest == Activity::Idle {
            if self.merge.has_next(cell, live) {
                return false;
            }
            cell.rest(live, rest);
            live.connection.release();
        }
        true
    }

    /// The same as [`poll_read`](Self::poll_read) if what comes next was found together with others. Whether it was.
    #[inline(never)]
    fn take_found(&mut self, cell: &Arc<Cell>, out: &mut Option<Event>) -> bool {
        let Self { link: Some(link), unread, .. } = self else { return false };
        let Some((unit, arena)) = unread.next_found() else { return false };
        take_lent(cell, link.id, unit, arena, out);
        if out.is_some() {
            self.passed();
        } else {
            self.read_on(cell, Step::Message, false, true, out);
        }
        true
    }

    /// Handles what was read, or else what a read brings. Ready if it got on. `awaited`: the handler waits for events, so a message
    /// that nothing waits before goes `out` to it, and the rest is left.
    #[inline(never)]
    fn poll_read(
        &mut self,
        cell: &Arc<Cell>,
        cx: &mut Context<'_>,
        awaited: bool,
        out: &mut Option<Event>,
    ) -> Poll<()> {
        let Self { link: Some(link), unread, .. } = self else { return Poll::Pending };
        let mut partial = false;
        if unread.is_empty() {
            // What was kept is no news of the peer.
            partial = link.reader.needs_stream();
            let filled = ready!(match &mut link.io {
                LinkIo::Direct(half) => link.reader.fill_with(unread, |buffer| half.poll_read_some(cx, buffer)),
                LinkIo::Queued(queued) => link.reader.poll_fill(Pin::new(&mut queued.0), cx, unread),
            });
            if !matches!(filled, Ok(true)) {
                self.end = Some(End::Lost);
                settle_read(cell, &mut cell.lock());
                return Poll::Ready(());
            }
        }
        let step = Step::take(cell, link, unread, awaited, out);
        if out.is_some() {
            self.passed();
            return Poll::Ready(());
        }
        self.read_on(cell, step, partial, awaited, out);
        Poll::Ready(())
    }

    /// Handles what came first, if it was no message for the handler, and what follows. `partial`: it is the stream's, and not what
    /// was kept.
    #[inline(never)]
    fn read_on(&mut self, cell: &Arc<Cell>, first: Step, mut partial: bool, awaited: bool, out: &mut Option<Event>) {
        let Self { link: Some(link), unread, .. } = self else { return };
        let mut step = first;
        loop {
            match step {
                Step::Message => {}
                Step::Item(item) => {
                    if let Err(end) = take_item(cell, link, item, awaited, out) {
                        self.end = Some(end);
                        break;
                    }
                }
                Step::Error(error) => {
                    self.end = Some(End::Fault(error));
                    break;
                }
                Step::Nothing => break,
            }
            partial = false;
            if out.is_some() {
                return self.passed();
            }
            if awaited && cell.lock().connection.has_events() {
                return self.give_back();
            }
            step = Step::take(cell, link, unread, awaited, out);
        }
        unread.clear();
        self.settle_read(cell, partial);
    }

    /// A message goes to the handler.
    #[inline(always)]
    fn passed(&mut self) {
        self.merge.passed();
        self.give_back();
    }

    /// A buffer that is used up goes back to its thread.
    #[inline(always)]
    fn give_back(&mut self) {
        if self.unread.is_empty() {
            self.unread.clear();
        }
    }

    /// Everything that was read is handled. `partial`: the stream brought nothing that was whole.
    #[inline(never)]
    fn settle_read(&mut self, cell: &Arc<Cell>, partial: bool) {
        let mut live = cell.lock();
        if let Some(link) = self.link.as_ref().filter(|_| partial && self.end.is_none()) {
            // A long message that is not whole yet is a sign of life, too (SPEC HB-3).
            live.connection.handle_alive(link.id, cell.now());
        }
        settle_read(cell, &mut live);
    }

    /// The handler does not take what was read now.
    fn queue_unread(&mut self, cell: &Arc<Cell>, cx: &mut Context<'_>) {
        while !self.unread.is_empty() && self.poll_read(cell, cx, false, &mut None).is_ready() {}
    }
}

/// Writes out what a session has to say, if it has, and sees to what follows. `took`: what was taken since then may have to
/// be acknowledged.
#[inline]
pub(super) fn flush_own(cell: &Arc<Cell>, live: &mut Live, took: bool) {
    if live.dirty || live.wants_write(took) {
        if caught(|| cell.flush_live(live, || cell.now())).is_err() {
            cell.cut_live(live, cell.now());
        }
    } else {
        cell.settle(live);
    }
}

/// After how many events what they led to is written out, though more are waiting.
const FLUSH_EVERY: u32 = 64;

/// After how many events a task gives up its thread, though more are waiting.
const YIELD_AFTER: u32 = 512;
