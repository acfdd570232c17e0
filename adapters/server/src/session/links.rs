//! What links do to their session: they come, carry and go.

use std::sync::Arc;
use std::task::{Context, Poll};

use nosphere_core::{
    Action, Attach, Batch, BatchAnswer, Fault, LinkId, Protocol, Reason, State, Transport, WireFormat,
};
use nosphere_websocket::Outgoing;

use super::live::{Outlet, close_frame};
use super::{Cell, Link};

impl Cell {
    /// A client comes back over HTTP, or with its next poll. Whether that begins an attachment.
    pub(crate) fn attach(
        self: &Arc<Self>,
        attach: Attach,
        format: &'static dyn WireFormat,
    ) -> Result<bool, (Fault, u64)> {
        self.change(|live, now| {
            let attachment = live.connection.attachment();
            let answer = live.connection.handle_attach(attach, now);
            if let Err(fault) = answer {
                return Err((fault, live.connection.report_received()));
            }
            live.replace_outlet(Outlet::Carrier);
            live.format = format;
            Ok(live.connection.attachment() != attachment)
        })
    }

    /// The current link.
    pub(crate) fn link(&self) -> Option<LinkId> {
        self.lock().connection.link()
    }

    /// Takes one of the places for links that were replaced and wait for their end, until it is dropped.
    pub(crate) fn hold_link(self: &Arc<Self>, limit: u32) -> Option<HeldLink> {
        let mut live = self.lock();
        let held_links = &mut live.http.get_or_insert_default().held_links;
        if *held_links >= limit {
            return None;
        }
        *held_links += 1;
        Some(HeldLink(Arc::clone(self)))
    }

    /// See [`Connection::begins`].
    pub(crate) fn begins(&self, transport: Transport, attachment: Option<u64>) -> bool {
        self.lock().connection.begins(transport, attachment)
    }

    /// Whether the session talks in this protocol, and, within a run of polls, in this format.
    pub(crate) fn speaks(&self, protocol: Protocol, format: &dyn WireFormat, begins: bool) -> bool {
        let live = self.lock();
        live.connection.protocol() == protocol && (begins || live.format.name() == format.name())
    }

    /// A client comes back over a WebSocket. Gives the socket back if it may not, or if the session is closed, with what is
    /// to be said then.
    pub(crate) fn attach_websocket(
        self: &Arc<Self>,
        attach: Attach,
        format: &'static dyn WireFormat,
        outlet: Outlet,
        link: Link,
    ) -> Result<(), Box<(Outlet, Link, Vec<Outgoing>)>> {
        self.change(|live, now| match live.connection.handle_attach(attach, now) {
            Err(fault) => {
                let rest = vec![Outgoing::Close(close_frame(fault.reason()))];
                Err(Box::new((outlet, link, rest)))
            }
            Ok(()) if live.connection.state() == State::Closed => {
                let rest = live.last_words(link.id, format, now);
                Err(Box::new((outlet, link, rest)))
            }
            Ok(()) => {
                live.replace_outlet(outlet);
                live.format = format;
                live.arrived = Some(Box::new(link));
                live.wake_task();
                Ok(())
            }
        })
    }

    /// Takes one of the places for bodies that are read at a time, until it is dropped.
    pub(crate) fn body(&self, limit: usize) -> Option<BodyPlace<'_>> {
        let mut live = self.lock();
        let bodies = &mut live.http.get_or_insert_default().bodies;
        if *bodies as usize >= limit {
            return None;
        }
        *bodies += 1;
        Some(BodyPlace(self))
    }

    /// The client of an attachment is there, though it has not said anything yet.
    pub(crate) fn hear(self: &Arc<Self>, attachment: Option<u64>) {
        self.change(|live, now| {
            let current = attachment.is_none_or(|number| number == live.connection.attachment());
            if let Some(link) = live.connection.link().filter(|_| current) {
                live.connection.handle_alive(link, now);
            }
        });
    }

    pub(crate) fn handle_batch(self: &Arc<Self>, batch: Batch, format: &dyn WireFormat) -> BatchAnswer {
        self.change(|live, now| live.connection.handle_batch(batch, format, now))
    }

    pub(crate) fn report_received(&self) -> u64 {
        self.lock().connection.report_received()
    }

    /// Pulls the next action for an event stream or a poll.
    pub(crate) fn poll_action(
        self: &Arc<Self>,
        link: LinkId,
        format: &dyn WireFormat,
        cx: &mut Context<'_>,
    ) -> Poll<Action> {
        let mut live = self.lock();
        let now = self.now();
        match live.connection.poll_transmit(link, format, now) {
            Some(action) => {
                self.settle(&mut live);
                Poll::Ready(action)
            }
            None => {
                let carrier = &mut live.http.get_or_insert_default().carrier;
                if !carrier.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    *carrier = Some(cx.waker().clone());
                }
                self.settle(&mut live);
                Poll::Pending
            }
        }
    }

    pub(crate) fn detach(self: &Arc<Self>, link: LinkId, reason: Reason) {
        self.change(|live, now| {
            live.connection.handle_detach(link, reason, now);
            if matches!(live.outlet, Outlet::Carrier) && live.connection.link().is_none() {
                live.outlet = Outlet::None;
            }
        });
    }
}

/// A place for a body; see [`Cell::body`].
pub(crate) struct BodyPlace<'a>(&'a Cell);

impl Drop for BodyPlace<'_> {
    fn drop(&mut self) {
        let mut live = self.0.lock();
        if let Some(http) = &mut live.http {
            http.bodies -= 1;
        }
        live.note_push();
    }
}

/// A place for a link; see [`Cell::hold_link`].
pub(crate) struct HeldLink(Arc<Cell>);

impl Drop for HeldLink {
    fn drop(&mut self) {
        if let Some(http) = &mut self.0.lock().http {
            http.held_links -= 1;
        }
    }
}
