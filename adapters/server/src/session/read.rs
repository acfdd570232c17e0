//! What was read from a WebSocket, on its way into the session.

use std::cell::Cell as Slot;
use std::sync::Arc;

use nosphere_core::{Event, LinkId, Unit};
use nosphere_websocket::{Close, Item, ProtocolError, Whole, Writer};

use super::live::Live;
use super::{Cell, Link, LinkIo, Outlet};

/// A WebSocket has ended, in whatever way.
pub(super) enum End {
    Close(Box<Close>),
    Fault(ProtocolError),
    Lost,
}

/// A message that was read by itself.
pub(super) fn take_whole(cell: &Arc<Cell>, link: LinkId, message: Whole<'_>, awaited: bool) -> Option<Event> {
    let mut live = cell.lock();
    let format = live.format;
    let connection = &mut live.connection;
    if awaited {
        let event = match message {
            Whole::Lent(unit) => connection.receive_lent(link, unit, format, || cell.now()),
            Whole::Own(unit) => connection.receive(link, unit, format, || cell.now()),
        };
        if event.is_some() {
            // What it leads to is written out, and seen to, when the handler is done or waits.
            live.note_event();
            return event;
        }
    } else {
        match message {
            Whole::Lent(unit) => connection.handle_lent(link, unit, format, cell.now()),
            Whole::Own(unit) => connection.handle_unit(link, unit, format, cell.now()),
        }
    }
    settle_read(cell, &mut live);
    None
}

/// Handles what was read; until there is a message for a handler that waits for one, or to the end.
pub(super) fn handle_items(
    cell: &Arc<Cell>,
    live: &mut Live,
    link: &mut Link,
    items: &mut Vec<Item>,
    end: &mut Option<End>,
    awaited: bool,
) -> Option<Event> {
    let format = live.format;
    while let Some(item) = items.pop() {
        let unit = match item {
            Item::Text(text) => Unit::Text(text),
            Item::Binary(bytes) => Unit::Binary(bytes),
            Item::Close(close) => {
                *end = Some(End::Close(Box::new(close)));
                break;
            }
            Item::Ping(payload) => {
                if let Some(writer) = writer(&mut live.outlet, link) {
                    writer.pong(payload);
                }
                live.connection.handle_alive(link.id, cell.now());
                continue;
            }
            Item::Pong(_) => {
                live.connection.handle_alive(link.id, cell.now());
                continue;
            }
        };
        if !awaited {
            live.connection.handle_unit(link.id, unit, format, cell.now());
        } else if let Some(event) = live.connection.receive(link.id, unit, format, || cell.now()) {
            live.note_event();
            return Some(event);
        }
    }
    items.clear();
    give_back(items);
    settle_read(cell, live);
    None
}

/// What was read may have to be answered at once.
fn settle_read(cell: &Arc<Cell>, live: &mut Live) {
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

/// Where a read puts what it brings.
pub(super) fn item_buffer() -> Vec<Item> {
    ITEMS.take()
}

/// Nothing of it waits any more.
pub(super) fn give_back(items: &mut Vec<Item>) {
    debug_assert!(items.is_empty());
    ITEMS.set(std::mem::take(items));
}

thread_local! {
    /// What a read brought, until it is handled.
    static ITEMS: Slot<Vec<Item>> = const { Slot::new(Vec::new()) };
}
