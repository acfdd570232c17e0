//! What a session is told of those who join and leave the tags that it watches.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nosphere_core::{Event, SessionId, Tag};

use crate::session::{Cell, Live};

/// The changes that wait for a session's handler.
///
/// Joining and leaving cancel each other out, so what waits is the difference between what the handler knows and what is:
/// for each tag, at most as many as it was told of and as many as are there now.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Something waits. Looked at before every event, without the lock.
    waiting: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    /// By number, in the order in which they came.
    changes: BTreeMap<u64, Change>,
    numbers: HashMap<(Tag, SessionId), u64>,
}

#[derive(Debug)]
struct Change {
    tag: Tag,
    session: SessionId,
    joined: bool,
}

impl Changes {
    /// A session has joined a tag or left it. Whether this is the first change that waits.
    pub(crate) fn note(&self, tag: &Tag, session: SessionId, joined: bool) -> bool {
        let mut queue = self.lock();
        let was_empty = queue.changes.is_empty();
        let key = (tag.clone(), session);
        // Joining and leaving alternate, so the one that waits is the opposite of this one.
        if let Some(number) = queue.numbers.remove(&key) {
            queue.changes.remove(&number);
        } else {
            let number = queue.next;
            queue.next += 1;
            queue.numbers.insert(key, number);
            queue.changes.insert(number, Change { tag: tag.clone(), session, joined });
        }
        self.settle(&mut queue);
        was_empty && !queue.changes.is_empty()
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    pub(crate) fn take(&self) -> Option<Event> {
        if !self.is_waiting() {
            return None;
        }
        let mut queue = self.lock();
        let (_, Change { tag, session, joined }) = queue.changes.pop_first()?;
        let key = (tag, session);
        queue.numbers.remove(&key);
        self.settle(&mut queue);
        let (tag, session) = key;
        Some(if joined { Event::Joined { session, tag } } else { Event::Left { session, tag } })
    }

    /// Drops what waits about a tag.
    pub(crate) fn forget(&self, tag: &str) {
        let mut queue = self.lock();
        queue.changes.retain(|_, change| change.tag.as_str() != tag);
        queue.numbers.retain(|(other, _), _| other.as_str() != tag);
        self.settle(&mut queue);
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        let mut queue = self.lock();
        *queue = Queue::default();
        self.settle(&mut queue);
    }

    fn settle(&self, queue: &mut Queue) {
        if queue.changes.is_empty() && queue.numbers.capacity() > KEPT {
            queue.numbers = HashMap::new();
        }
        self.waiting.store(!queue.changes.is_empty(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Merges a connection's events with the changes of what its session watches, each in turn where both wait.
///
/// While the session is suspended, changes wait: its client hears nothing, and the difference is all that it needs later.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    /// The handler has seen `Connected` or `Resumed`, and nothing that ended that.
    linked: bool,
    change_next: bool,
}

impl Merge {
    #[inline]
    pub(crate) fn next(&mut self, cell: &Cell, live: &mut Live) -> Option<Event> {
        if std::mem::take(&mut self.change_next)
            && let Some(event) = self.change(cell, live)
        {
            return Some(event);
        }
        let Some(event) = live.take_event() else { return self.change(cell, live) };
        self.change_next = true;
        if matches!(event, Event::Connected { .. } | Event::Resumed { .. }) {
            self.linked = true;
        } else if matches!(event, Event::Suspended | Event::Disconnected { .. }) {
            self.linked = false;
        }
        Some(event)
    }

    /// An event came past the connection's queue.
    pub(crate) fn passed(&mut self) {
        self.change_next = true;
    }

    #[inline]
    fn change(&self, cell: &Cell, live: &mut Live) -> Option<Event> {
        let event = self.changes(cell)?.take()?;
        live.note_event();
        Some(event)
    }

    /// Whether [`next`](Self::next) has one.
    pub(crate) fn has_next(&self, cell: &Cell, live: &Live) -> bool {
        live.connection.has_events() || self.has_change(cell)
    }

    /// Whether a change of what the session watches waits.
    #[inline]
    pub(crate) fn has_change(&self, cell: &Cell) -> bool {
        self.changes(cell).is_some_and(Changes::is_waiting)
    }

    fn changes<'a>(&self, cell: &'a Cell) -> Option<&'a Changes> {
        cell.kept().map(|own| &own.changes).filter(|_| self.linked)
    }
}

/// How much room a queue keeps when it is empty.
const KEPT: usize = 64;
