//! Append, then flush: sends only append to a session's ring and put it on this thread's list; the list is written out
//! when the read batch that caused it has been handled, or the handler waits, or a send from outside a session's task ends.

use std::cell::{Cell as Slot, RefCell};
use std::sync::Arc;

use nosphere_core::Time;

use crate::contain::caught;
use crate::roster::Roster;
use crate::session::Cell;

/// Who is to be flushed.
enum Listed {
    /// Those of a whole topic who are marked.
    All(Arc<Roster>),
    One(Arc<Cell>),
}

thread_local! {
    static LIST: RefCell<Vec<Listed>> = const { RefCell::new(Vec::new()) };
    /// Whether anything is on the list: asked at each turn of a session, and this is the quickest way to know.
    static LISTED: Slot<bool> = const { Slot::new(false) };
    /// The session whose task is being polled on this thread, by its address.
    static CURRENT: Slot<usize> = const { Slot::new(0) };
}

/// A session's task is being polled: what it sends waits for the task's own [`flush`], which comes before it gives up the
/// thread.
pub(crate) struct Scope {
    outer: usize,
}

impl Scope {
    pub(crate) fn enter(session: usize) -> Self {
        Self { outer: CURRENT.replace(session) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

/// Whether the session's task is being polled on this thread right now, so that waking it would be idle work.
pub(crate) fn is_current(cell: &Cell) -> bool {
    CURRENT.get() == std::ptr::from_ref(cell) as usize
}

/// What tells a session in a [`Scope`].
pub(crate) fn address(cell: &Arc<Cell>) -> usize {
    Arc::as_ptr(cell) as usize
}

/// Puts a session on the list. The caller has marked it as dirty, so that it is there once.
pub(crate) fn push(cell: &Arc<Cell>) {
    LIST.with_borrow_mut(|list| list.push(Listed::One(Arc::clone(cell))));
    LISTED.set(true);
}

/// Puts all sessions of a topic on the list, of which the caller has marked some, or will before the next flush.
pub(crate) fn push_all(roster: &Arc<Roster>) {
    LIST.with_borrow_mut(|list| {
        let known = matches!(list.last(), Some(Listed::All(last)) if Arc::ptr_eq(last, roster));
        if !known {
            list.push(Listed::All(Arc::clone(roster)));
        }
    });
    LISTED.set(true);
}

/// Writes out everything on the list, unless a scope will.
#[inline]
pub(crate) fn flush_outside() {
    if CURRENT.get() == 0 {
        flush();
    }
}

/// Whether nothing is on the list.
#[inline]
pub(crate) fn is_flushed() -> bool {
    !LISTED.get()
}

/// Writes out everything on the list.
#[inline]
pub(crate) fn flush() {
    if !is_flushed() {
        flush_list();
    }
}

fn flush_list() {
    // Taken out while it is used: a flush may put sessions on the list.
    let mut list = LIST.take();
    LISTED.set(false);
    for listed in list.drain(..) {
        match listed {
            Listed::All(roster) => flush_all(roster.values()),
            Listed::One(cell) => flush_all(std::iter::once(&cell)),
        }
    }
    LIST.with_borrow_mut(|newer| {
        if newer.is_empty() {
            list.shrink_to(KEPT);
            *newer = list;
        }
    });
}

/// Writes out one after the other.
fn flush_all<'a>(mut cells: impl Iterator<Item = &'a Arc<Cell>>) {
    let Some(mut at) = cells.next() else { return };
    let start = at;
    let time = std::cell::OnceCell::new();
    let now = || *time.get_or_init(|| start.now());
    // A wire format of the application may panic; the others on the list have nothing to do with that.
    while caught(|| flush_from(&mut at, &mut cells, &now)).is_err() {
        at.cut();
        let Some(next) = cells.next() else { return };
        at = next;
    }
}

fn flush_from<'a>(at: &mut &'a Arc<Cell>, cells: &mut impl Iterator<Item = &'a Arc<Cell>>, now: &impl Fn() -> Time) {
    at.flush(now);
    for cell in cells {
        *at = cell;
        cell.flush(now);
    }
}

/// How much room the list keeps between flushes.
const KEPT: usize = 16 * 1024;
