use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use nosphere_core::{
    Action, Connection, Encoded, Event, LinkId, Reason, RequestId, Run, State, Text, Time, WireFormat,
};
use nosphere_websocket::{Close, CloseState, Flush, Outgoing, Writer};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::Link;
use super::write::{One, Units, Written, write_one, write_own, write_run, write_some};
use crate::RequestHead;
use crate::requests::Answer;
use crate::room::Room;
use crate::socket::WriteHalf;

/// What changes. No handler, predicate or filter runs under this lock, and nothing waits under it; wire formats do
/// run.
pub(crate) struct Live {
    pub(crate) connection: Connection,
    /// The wire format of the current link.
    pub(crate) format: &'static dyn WireFormat,
    pub(crate) outlet: Outlet,
    /// A WebSocket that the task has not seen yet.
    pub(crate) arrived: Option<Box<Link>>,
    /// The socket took no more; the task waits until it does.
    pub(crate) blocked: bool,
    /// The session's task.
    pub(super) task: Option<Waker>,
    /// Made when it is first needed.
    pub(super) http: Option<Box<Http>>,
    /// The earliest time at which the deadlines will call.
    pub(super) scheduled: Time,
    /// On some thread's list of sessions to flush.
    pub(crate) dirty: bool,
    pub(super) ended: bool,
    /// The same, and it has left everything that it was in by its id.
    pub(super) gone: bool,
    /// Connected, with more than half of its queue used.
    pub(crate) congested: bool,
    /// Nobody waits any more for that to be over.
    pub(crate) given_up: bool,
    /// Made when it is first needed.
    pub(crate) awaited: Option<Box<Awaited>>,
    /// Until `Connected` was handled.
    pub(super) head: Option<RequestHead>,
    pub(crate) activity: Activity,
    /// How many events the handler was given.
    pub(crate) events: u64,
}

/// Who waits for something from a session.
#[derive(Default)]
pub(crate) struct Awaited {
    /// For its being congested to be over.
    pub(crate) room: Option<Arc<Room>>,
    /// For replies: requests that the client has not answered.
    pub(crate) asked: BTreeMap<RequestId, UnboundedSender<Answer>>,
}

/// What a session has whose client has ever come without a WebSocket.
#[derive(Default)]
pub(super) struct Http {
    /// Whoever carries an event stream or a poll.
    pub(super) carrier: Option<Waker>,
    /// Bodies that are being read.
    pub(super) bodies: u32,
    /// Polls and streams that were replaced and are not ended yet.
    pub(super) held_links: u32,
    /// Who waits to bring a message.
    pub(super) pushes: Option<Arc<Notify>>,
}

/// What a session's handler does, for tests that wait until it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It is about to get an event, or has one.
    Busy,
    /// It waits in the midst of an event.
    Waiting,
    /// It is done with all that it was given.
    Idle,
}

/// Where units go.
pub(crate) enum Outlet {
    Direct {
        link: LinkId,
        half: WriteHalf,
        writer: Writer,
    },
    /// The session's task writes to the WebSocket of this link.
    Task(LinkId),
    /// A response body or a poll's future pulls.
    Carrier,
    None,
}

/// There is no deadline.
pub(super) const NEVER: Time = Time(u64::MAX);

impl Live {
    /// The next event for the handler.
    pub(crate) fn take_event(&mut self) -> Option<Event> {
        let event = self.connection.poll_event()?;
        self.note_event();
        self.note_push();
        Some(event)
    }

    /// There may be room for another push.
    pub(super) fn note_push(&self) {
        if let Some(pushes) = self.http.as_ref().and_then(|http| http.pushes.as_ref()) {
            pushes.notify_waiters();
        }
    }

    /// The handler is about to get an event.
    pub(crate) fn note_event(&mut self) {
        self.activity = Activity::Busy;
        self.events += 1;
    }

    /// Whether there may be something to write; where others write, whether they are to look, which is for the caller to say.
    #[inline]
    pub(crate) fn wants_write(&self, others: bool) -> bool {
        let Outlet::Direct { writer, .. } = &self.outlet else { return others };
        self.connection.wants_transmit() || writer.wants_write()
    }

    /// Writes as much as the socket takes, or wakes whoever carries the link.
    ///
    /// `now` is asked for where it matters, which is seldom.
    #[inline]
    pub(crate) fn write(&mut self, now: impl Fn() -> Time) {
        if !self.write_last(&now) {
            self.write_any(now);
        }
    }

    /// Writes the one message that there is. False if there is more, or the socket does not take all of it.
    #[inline]
    fn write_last(&mut self, now: impl Fn() -> Time) -> bool {
        let Outlet::Direct { link, half, writer } = &mut self.outlet else { return false };
        if !writer.is_idle() || !self.connection.has_one_message(*link) {
            return false;
        }
        let Some(message) = self.connection.last_message() else { return false };
        let takable = |unit| self.connection.is_takable(unit);
        let one = match message.is_shared() {
            true => write_one(half, message, self.format, takable),
            false => write_own(half, message, self.format, takable),
        };
        // Whatever is wrong shows again where it is dealt with; what was written in part is gone on with there.
        match one {
            One::Whole { unit } => {
                self.connection.transmit_last_message(unit);
                self.blocked = false;
                true
            }
            One::Part(written) => {
                self.connection.transmit_last(*link, self.format).inspect(|unit| writer.resume(unit.clone(), written));
                false
            }
            One::Nothing => false,
            One::Elsewhere => {
                let link = *link;
                let unit = self.connection.transmit_last(link, self.format);
                let Some(flushed) = unit.map(|unit| writer.flush_one(half, unit)) else { return false };
                self.note_flush(link, &flushed, now);
                true
            }
        }
    }

    #[inline]
    fn note_flush(&mut self, link: LinkId, flushed: &io::Result<Flush>, now: impl Fn() -> Time) {
        match flushed {
            Ok(Flush::Done) => self.blocked = false,
            Ok(Flush::Blocked) => {
                self.blocked = true;
                self.connection.handle_blocked(link);
            }
            Err(_) => {
                self.connection.handle_detach(link, Reason::Lost, now());
                self.outlet = Outlet::None;
            }
        }
    }

    fn write_any(&mut self, now: impl Fn() -> Time) {
        let time = OnceCell::new();
        let now = || *time.get_or_init(&now);
        self.write_parts(now);
        if !self.wants_write(true) {
            self.blocked = false;
            return;
        }
        let Self { connection, format, outlet, .. } = self;
        match outlet {
            Outlet::Direct { link, half, writer } => {
                let link = *link;
                let flushed = writer.flush(half, || outgoing(connection, link, *format, now));
                self.note_flush(link, &flushed, now);
            }
            Outlet::Carrier => self.wake_carrier(),
            Outlet::Task(_) | Outlet::None => {}
        }
    }

    /// Writes messages from where they lie, behind the acknowledgement that may be due. What the socket does not take is left.
    #[inline]
    fn write_parts(&mut self, now: impl Fn() -> Time) {
        let Outlet::Direct { link, half, writer } = &mut self.outlet else { return };
        if !writer.is_idle() {
            return;
        }
        let mut ack = self.connection.transmit_ack(*link, self.format);
        loop {
            let mut units = Units::new();
            let before = ack.as_ref().and_then(Encoded::frame).map(Bytes::as_ref);
            let gather = |run: &mut Run| self.connection.gather(*link, self.format, run);
            let written = write_run(half, before, gather, &mut units)
                .unwrap_or_else(|| write_some(half, before, self.connection.parts(*link, self.format), &mut units));
            // Whatever is wrong shows again where it is dealt with.
            let taken = written.as_ref().map_or((0, 0), |written| (written.count, written.rest));
            if let Some(ack) = ack.take_if(|_| taken.0 == 0) {
                return writer.resume(ack, taken.1);
            }
            let Some(Written { count, rest, full }) = written else { return };
            let count = count - usize::from(ack.take().is_some());
            self.connection.transmit_parts(&units[..count]);
            if rest > 0
                && let Some(Outgoing::Data(unit)) = outgoing(&mut self.connection, *link, self.format, &now)
            {
                writer.resume(unit, rest);
            }
            if !full || count < units.len() || !self.connection.wants_transmit() {
                return;
            }
        }
    }

    /// Whether somebody who has much to send should wait for this session. One without a link would have them wait for long.
    pub(crate) fn is_congested(&self) -> bool {
        !self.connection.has_room() && !self.ended && self.connection.state() == State::Open
    }

    /// The WebSocket is in its closing handshake, which the task sees to.
    pub(crate) fn is_closing_socket(&self) -> bool {
        matches!(&self.outlet, Outlet::Direct { writer, .. } if writer.state() != CloseState::Open)
    }

    /// What is left to say on the link of a closed session.
    pub(crate) fn last_words(&mut self, link: LinkId, format: &dyn WireFormat, now: Time) -> Vec<Outgoing> {
        let mut words = Vec::new();
        while let Some(next) = outgoing(&mut self.connection, link, format, || now) {
            let last = matches!(next, Outgoing::Close(_));
            words.push(next);
            if last {
                break;
            }
        }
        words
    }

    /// The task of the session, to be woken.
    #[inline]
    pub(super) fn set_task(&mut self, waker: &Waker) {
        let known = self.task.as_ref().is_some_and(|task| task.will_wake(waker));
        // A session that is over has nothing to wake its task for, and may be remembered for long.
        if !known && !self.ended {
            self.task = Some(waker.clone());
        }
    }

    pub(super) fn wake_task(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    pub(super) fn wake_carrier(&mut self) {
        if let Some(carrier) = self.http.as_mut().and_then(|http| http.carrier.take()) {
            carrier.wake();
        }
    }

    pub(super) fn replace_outlet(&mut self, outlet: Outlet) {
        match std::mem::replace(&mut self.outlet, outlet) {
            Outlet::Direct { half, mut writer, .. } => {
                // The client has moved on, and most likely this socket is dead: what it does not take now is dropped.
                writer.close(close_frame(Reason::Fenced));
                drop(writer.flush(&half, || None));
                self.wake_task();
            }
            // The task has the socket, and ends it.
            Outlet::Task(_) => self.wake_task(),
            Outlet::Carrier | Outlet::None => {}
        }
        self.blocked = false;
        self.wake_carrier();
    }
}

/// The next thing to write to a WebSocket.
pub(crate) fn outgoing(
    connection: &mut Connection,
    link: LinkId,
    format: &dyn WireFormat,
    now: impl Fn() -> Time,
) -> Option<Outgoing> {
    loop {
        return Some(match connection.poll_transmit(link, format, now())? {
            Action::Send { unit, .. } => Outgoing::Data(unit),
            Action::Ping => Outgoing::Ping(Bytes::new()),
            Action::Close { reason } => Outgoing::Close(close_frame(reason)),
            // The rest is for other carriers.
            Action::Attach(_) | Action::Finish | Action::Lost { .. } | _ => continue,
        });
    }
}

pub(crate) fn close_frame(reason: Reason) -> Close {
    Close::new(reason.code(), Text::from_static(reason.name()))
}
