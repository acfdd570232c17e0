//! What was read from a WebSocket, on its way into the session.

use std::sync::Arc;

use nosphere_core::{Arena, Event, Lent, LinkId, Unit};
use nosphere_websocket::{Close, Item, Next, ProtocolError, Unread, Whole, Writer};

use super::live::Live;
use super::{Cell, Link, LinkIo, Outlet};

/// A WebSocket has ended, in whatever way.
pub(super) enum End {
    Close(Box<Close>),
    Fault(ProtocolError),
    Lost,
}

/// What came next.
pub(super) enum Step {
    Error(ProtocolError),
    Item(Item),
    /// It is handled.
    Message,
    Nothing,
}

impl Step {
    #[inline(always)]
    pub(super) fn take(
        cell: &Arc<Cell>,
        link: &mut Link,
        unread: &mut Unread,
        awaited: bool,
        out: &mut Option<Event>,
    ) -> Self {
        match link.reader.next(unread) {
            Next::Message(message, arena) => {
                take_whole(cell, link.id, message, arena, awaited, out);
                Self::Message
            }
            Next::Item(item) => Self::Item(item),
            Next::Error(error) => Self::Error(error),
            Next::Nothing => Self::Nothing,
        }
    }
}

/// A message that came whole. `awaited`: the handler waits for an event; this one goes `out`, unless something waits before it.
#[inline(always)]
fn take_whole(
    cell: &Arc<Cell>,
    link: LinkId,
    message: Whole<'_>,
    arena: &mut Arena,
    awaited: bool,
    out: &mut Option<Event>,
) {
    match message {
        Whole::Lent(unit) if awaited => take_lent(cell, link, unit, arena, out),
        Whole::Lent(unit) => {
            let Live { connection, format, .. } = &mut *cell.lock();
            connection.handle_lent(link, unit, arena, *format, cell.now());
        }
        Whole::Own(unit) => take_own(cell, &mut cell.lock(), link, unit, awaited, out),
    }
}

/// The same for one that is lent, where the handler waits.
#[inline(always)]
pub(super) fn take_lent(cell: &Arc<Cell>, link: LinkId, unit: Lent<'_>, arena: &mut Arena, out: &mut Option<Event>) {
    let mut live = cell.lock();
    let Live { connection, format, .. } = &mut *live;
    connection.receive_lent(link, unit, arena, *format, || cell.now(), out);
    if out.is_some() {
        // What it leads to is written out, and seen to, when the handler is done or waits.
        live.note_event();
    }
}

/// The same for one in memory of its own, however it came.
#[inline(never)]
fn take_own(cell: &Arc<Cell>, live: &mut Live, link: LinkId, unit: Unit, awaited: bool, out: &mut Option<Event>) {
    let format = live.format;
    if awaited {
        live.connection.receive(link, unit, format, || cell.now(), out);
    } else {
        live.connection.handle_unit(link, unit, format, cell.now());
    }
    if out.is_some() {
        live.note_event();
    }
}

/// Whatever else came. `Err` if it is the last that counts.
#[inline(never)]
pub(super) fn take_item(
    cell: &Arc<Cell>,
    link: &mut Link,
    item: Item,
    awaited: bool,
    out: &mut Option<Event>,
) -> Result<(), End> {
    let mut live = cell.lock();
    match item {
        Item::Text(text) => take_own(cell, &mut live, link.id, Unit::Text(text), awaited, out),
        Item::Binary(bytes) => take_own(cell, &mut live, link.id, Unit::Binary(bytes), awaited, out),
        Item::Close(close) => return Err(End::Close(Box::new(close))),
        Item::Ping(payload) => {
            if let Some(writer) = writer(&mut live.outlet, link) {
                writer.pong(payload);
            }
            live.connection.handle_alive(link.id, cell.now());
        }
        Item::Pong(_) => live.connection.handle_alive(link.id, cell.now()),
    }
    Ok(())
}

/// What was read may have to be answered at once.
pub(super) fn settle_read(cell: &Arc<Cell>, live: &mut Live) {
    if live.wants_write(true) {
        live.write(|| cell.now());
    }
    cell.settle(live);
}

/// A link's writer, unless another link has the session by now.
pub(super) fn writer<'a>(outlet: &'a mut Outlet, link: &'a mut Link) -> Option<&'a mut Writer> {
    match (outlet, &mut link.io) {
        (_, LinkIo::Queued(queued)) => Some(&mut queued.1),
        (Outlet::Direct { link: id, writer, .. }, LinkIo::Direct(_)) if *id == link.id => Some(writer),
        _ => None,
    }
}
