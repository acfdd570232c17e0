//! How a session parts from a WebSocket.

use std::sync::Arc;

use nosphere_core::Reason;
use nosphere_websocket::Outgoing;

use super::super::read::{End, writer};
use super::super::{Cell, Link, LinkIo, Outlet};
use super::Pump;
use crate::websocket::WebSocket;

impl Pump {
    /// The WebSocket has ended: the connection learns it, and the peer gets its answer.
    pub(super) fn finish_link(&mut self, cell: &Arc<Cell>, end: &End) {
        let Some(link) = &mut self.link else { return };
        let mut live = cell.lock();
        let now = cell.now();
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
        cell.settle(&mut live);
        // A socket that has come to its end has nothing more to hear or to be told; TLS and HTTP/2 have.
        let over = matches!((end, &link.io), (End::Lost, LinkIo::Direct(_)));
        drop(live);
        let taken = self.take_link(cell);
        if let Some((outlet, link)) = taken.filter(|_| !over) {
            linger(cell, outlet, link, Vec::new());
        }
    }

    /// Takes the WebSocket away from the session, and sees its closing handshake through elsewhere, after `rest`.
    pub(in crate::session) fn retire(&mut self, cell: &Arc<Cell>, rest: Vec<Outgoing>) {
        if let Some((outlet, mut link)) = self.take_link(cell) {
            if !self.unread.is_empty() {
                // The peer's close may be in it.
                link.reader.keep(std::mem::take(&mut self.unread));
            }
            linger(cell, outlet, link, rest);
        }
    }

    /// The session ends with a WebSocket that its task has not seen yet.
    pub(in crate::session) fn replace_link(&mut self, link: Link) {
        self.unread.clear();
        self.link = Some(link);
    }

    /// Takes the WebSocket away from the session.
    fn take_link(&mut self, cell: &Arc<Cell>) -> Option<(Outlet, Link)> {
        let link = self.link.take()?;
        let mut live = cell.lock();
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
        let now = cell.now();
        live.connection.handle_detach(link.id, Reason::Lost, now);
        cell.settle(&mut live);
        drop(live);
        Some((outlet, link))
    }
}

/// Sees the closing handshake of a WebSocket through that no session has, after `rest`.
pub(super) fn linger(cell: &Cell, outlet: Outlet, link: Link, rest: Vec<Outgoing>) {
    if let Some(socket) = WebSocket::join(outlet, link) {
        tokio::spawn(socket.linger(rest, cell.shared().config.session.close_timeout));
    }
}
