//! Append, then flush: sends only append to a session's ring and put it on this thread's list; the list is written out
//! when the read batch that caused it has been handled, or the handler waits, or a send from outside a session's task ends.

use std::cell::{Cell as Slot, RefCell};
use std::sync::Arc;

use nosphere_core::Time;

use crate::contain::caught;
use crate::session::Cell;

thread_local! {
    static LIST: RefCell<Vec<Arc<Cell>>> = const { RefCell::new(Vec::new()) };
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
    LIST.with_borrow_mut(|list| list.push(Arc::clone(cell)));
}

/// Writes out everything on the list, unless a scope will.
pub(crate) fn flush_outside() {
    if CURRENT.get() == 0 {
        flush();
    }
}

/// Writes out everything on the list.
pub(crate) fn flush() {
    if LIST.with_borrow(Vec::is_empty) {
        return;
    }
    // Taken out while it is used: a flush may put sessions on the list.
    let mut list = LIST.take();
    if let Some(first) = list.first() {
        let (now, mut rest) = (first.now(), list.iter());
        // A wire format of the application may panic; the others on the list have nothing to do with that.
        while let Err(cell) = flush_all(&mut rest, now) {
            cell.cut();
        }
    }
    list.clear();
    LIST.with_borrow_mut(|newer| {
        if newer.is_empty() {
            list.shrink_to(KEPT);
            *newer = list;
        }
    });
}

/// Writes out one after the other. Gives the one at which a panic came.
fn flush_all<'a>(rest: &mut std::slice::Iter<'a, Arc<Cell>>, now: Time) -> Result<(), &'a Arc<Cell>> {
    let mut at = None;
    let flushed = caught(|| {
        for cell in rest {
            at = Some(cell);
            cell.flush(now);
        }
    });
    match at {
        Some(cell) if flushed.is_err() => Err(cell),
        _ => Ok(()),
    }
}

/// How much room the list keeps between flushes.
const KEPT: usize = 16 * 1024;
