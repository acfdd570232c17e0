use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nosphere_core::SessionId;

use crate::roster::ById;
use crate::session::Cell;
use crate::shared::take_place;

/// All sessions by id, living and remembered.
#[derive(Debug)]
pub(crate) struct Table {
    shards: [RwLock<HashSet<ById>>; SHARDS],
    living: AtomicUsize,
    tombstones: Mutex<VecDeque<SessionId>>,
    max_living: usize,
    max_tombstones: usize,
}

impl Table {
    pub(crate) fn new(max_living: usize, max_tombstones: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            living: AtomicUsize::new(0),
            tombstones: Mutex::default(),
            max_living,
            max_tombstones,
        }
    }

    /// Takes a place for a session, if there is one. Whoever gets it calls [`Table::end`] at last.
    pub(crate) fn reserve(&self) -> bool {
        take_place(&self.living, self.max_living)
    }

    /// Gives a place back that no session came to.
    pub(crate) fn release(&self) {
        self.living.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.living() >= self.max_living
    }

    /// False if another session has the id, and does not leave it to others.
    pub(crate) fn insert(&self, cell: &Arc<Cell>) -> bool {
        let mut shard = self.write(cell.id());
        if shard.insert(ById(Arc::clone(cell))) {
            return true;
        }
        let free = shard.get(cell.key()).is_none_or(|ById(known)| known.is_free());
        if free {
            shard.replace(ById(Arc::clone(cell)));
        }
        free
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<Arc<Cell>> {
        self.shard(session)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&session)
            .map(|ById(cell)| Arc::clone(cell))
    }

    /// A session has ended; `remembered` as a tombstone, until [`Table::forget`].
    pub(crate) fn end(&self, cell: &Cell, remembered: bool) {
        self.release();
        if !remembered {
            return self.forget(cell);
        }
        let oldest = {
            let mut tombstones = self.tombstones.lock().unwrap_or_else(PoisonError::into_inner);
            tombstones.push_back(cell.id());
            if tombstones.len() > self.max_tombstones { tombstones.pop_front() } else { None }
        };
        if let Some(oldest) = oldest {
            // Another session may have the id by now.
            self.forget_if(oldest, |known| known.is_gone());
        }
    }

    pub(crate) fn forget(&self, cell: &Cell) {
        self.forget_if(cell.id(), |known| std::ptr::eq(known, cell));
    }

    fn forget_if(&self, session: SessionId, forgotten: impl FnOnce(&Cell) -> bool) {
        let mut shard = self.write(session);
        if let Some(known) = shard.take(&session)
            && !forgotten(&known.0)
        {
            shard.insert(known);
        }
    }

    pub(crate) fn living(&self) -> usize {
        self.living.load(Ordering::Relaxed)
    }

    /// All of them, in the order of their ids: it must not depend on the seeds of hash maps what a server does.
    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        let mut all: Vec<_> =
            shards.flat_map(|shard| shard.iter().map(|ById(cell)| Arc::clone(cell)).collect::<Vec<_>>()).collect();
        all.sort_unstable_by_key(|cell| *cell.id().as_bytes());
        all
    }

    fn write(&self, session: SessionId) -> std::sync::RwLockWriteGuard<'_, HashSet<ById>> {
        self.shard(session).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, session: SessionId) -> &RwLock<HashSet<ById>> {
        &self.shards[usize::from(session.as_bytes()[0]) % SHARDS]
    }
}

const SHARDS: usize = 16;
