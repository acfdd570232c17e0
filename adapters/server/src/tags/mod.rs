//! Which sessions have joined which tags, on one path, and who watches them.
//!
//! The order of locks is: a session's own ([`Joined`]), the index, a tag, a watcher's changes. Whoever is to be woken is
//! woken when all of them are free.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use indexmap::IndexMap;
use nosphere_core::{InvalidTag, SessionId, Tag};

use crate::roster::Roster;
use crate::session::Cell;

/// The tags of one path. A tag is here as long as somebody has joined it or watches it.
#[derive(Debug, Default)]
pub(crate) struct TagIndex {
    tags: RwLock<HashMap<Tag, Arc<Tagged>>>,
}

/// One tag.
#[derive(Debug)]
pub(crate) struct Tagged {
    tag: Tag,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Read as a snapshot, as a topic's are.
    members: Arc<Roster>,
    watchers: Roster,
    /// No longer in the index: whoever comes goes to a new one.
    gone: bool,
}

/// Whom to wake, since their first change waits for them.
type Wake = Vec<Arc<Cell>>;

impl TagIndex {
    /// Who has joined a tag.
    pub(crate) fn members(&self, tag: &str) -> Arc<Roster> {
        let tagged = self.tags.read().unwrap_or_else(PoisonError::into_inner).get(tag).cloned();
        tagged.map(|tagged| Arc::clone(&tagged.lock().members)).unwrap_or_default()
    }

    /// How many tags there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.write().len()
    }

    /// Changes a tag, which is made if there is none.
    fn change<R>(&self, tag: &Tag, change: impl FnOnce(&mut State) -> R) -> (Arc<Tagged>, R) {
        let found = self.tags.read().unwrap_or_else(PoisonError::into_inner).get(tag).cloned();
        if let Some(tagged) = found {
            let mut state = tagged.lock();
            if !state.gone {
                let result = change(&mut state);
                drop(state);
                return (tagged, result);
            }
        }
        let mut tags = self.write();
        let tagged = Arc::clone(tags.entry(tag.clone()).or_insert_with(|| Arc::new(Tagged::new(tag.clone()))));
        // None goes while the index is held.
        let result = change(&mut tagged.lock());
        (tagged, result)
    }

    /// Removes those of some tags that nobody has joined or watches.
    fn vacate<'a>(&self, left: impl IntoIterator<Item = &'a Arc<Tagged>>) {
        let mut tags = self.write();
        for tagged in left {
            let mut state = tagged.lock();
            if !state.gone && state.members.is_empty() && state.watchers.is_empty() {
                state.gone = true;
                tags.remove(&tagged.tag);
            }
        }
        if tags.capacity() > KEPT && tags.len() < tags.capacity() / 4 {
            let room = tags.len() * 2;
            tags.shrink_to(room);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Tag, Arc<Tagged>>> {
        self.tags.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tagged {
    fn new(tag: Tag) -> Self {
        Self { tag, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member goes. Whether that leaves nobody.
    fn leave(&self, session: SessionId, wake: &mut Wake) -> bool {
        let mut state = self.lock();
        Arc::make_mut(&mut state.members).remove(session);
        state.tell(&self.tag, session, false, wake);
        state.members.is_empty() && state.watchers.is_empty()
    }

    /// A watcher goes. Whether that leaves nobody.
    fn unwatch(&self, session: SessionId) -> bool {
        let mut state = self.lock();
        state.watchers.remove(session);
        state.members.is_empty() && state.watchers.is_empty()
    }
}

impl State {
    fn tell(&self, tag: &Tag, session: SessionId, joined: bool, wake: &mut Wake) {
        let watchers = self.watchers.values().filter(|watcher| watcher.id() != session);
        let first = |cell: &&Arc<Cell>| cell.kept().is_some_and(|own| own.changes.note(tag, session, joined));
        wake.extend(watchers.filter(first).cloned());
    }
}

/// The tags of one session.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    joined: IndexMap<Tag, Arc<Tagged>>,
    watched: IndexMap<Tag, Arc<Tagged>>,
    /// What it was in to the end, for the handler's last look.
    last: Vec<Tag>,
    over: bool,
}

impl Joined {
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.joined.contains_key(tag)
    }

    pub(crate) fn tags(&self) -> Vec<Tag> {
        if self.over { self.last.clone() } else { self.joined.keys().cloned().collect() }
    }

    pub(crate) fn forget(&mut self) {
        self.last = Vec::new();
    }

    /// Whether there may be one more of `tags` for a session.
    fn check(&self, cell: &Cell, count: usize, limit: usize) -> Result<(), JoinError> {
        // The second, since what the session owns may not have been there when it ended.
        if self.over || cell.is_over() {
            return Err(JoinError::Ended);
        }
        if count >= limit { Err(JoinError::TooMany { limit }) } else { Ok(()) }
    }
}

/// A session joins a tag. Whether it was not in it before.
pub(crate) fn join(cell: &Arc<Cell>, tag: Tag) -> Result<bool, JoinError> {
    let mut wake = Wake::new();
    {
        let mut own = cell.own().ok_or(JoinError::Ended)?.joined();
        if own.has(tag.as_str()) {
            return Ok(false);
        }
        own.check(cell, own.joined.len(), cell.shared().config.max_tags_per_session)?;
        let (tagged, ()) = cell.topic().tags().change(&tag, |state| {
            Arc::make_mut(&mut state.members).insert(cell);
            state.tell(&tag, cell.id(), true, &mut wake);
        });
        own.joined.insert(tag, tagged);
    }
    wake.iter().for_each(|cell| cell.wake());
    Ok(true)
}

/// A session leaves a tag. Whether it was in it.
pub(crate) fn leave(cell: &Cell, tag: &str) -> bool {
    let mut wake = Wake::new();
    {
        let Some(mut own) = cell.kept().map(|own| own.joined()) else { return false };
        let Some(tagged) = own.joined.swap_remove(tag) else { return false };
        if tagged.leave(cell.id(), &mut wake) {
            cell.topic().tags().vacate([&tagged]);
        }
    }
    wake.iter().for_each(|cell| cell.wake());
    true
}

/// A session watches a tag: from the list that this returns on, its changes wait for the session.
pub(crate) fn watch(cell: &Arc<Cell>, tag: Tag) -> Result<Arc<Roster>, JoinError> {
    let own = cell.own().ok_or(JoinError::Ended)?;
    let mut joined = own.joined();
    if !joined.watched.contains_key(&tag) {
        joined.check(cell, joined.watched.len(), cell.shared().config.max_watches_per_session)?;
    }
    let (tagged, members) = cell.topic().tags().change(&tag, |state| {
        state.watchers.insert(cell);
        // What waits is older than the list.
        own.changes.forget(tag.as_str());
        Arc::clone(&state.members)
    });
    joined.watched.insert(tag, tagged);
    Ok(members)
}

/// A session watches a tag no longer. Whether it did.
pub(crate) fn unwatch(cell: &Cell, tag: &str) -> bool {
    let Some(own) = cell.kept() else { return false };
    let mut joined = own.joined();
    let Some(tagged) = joined.watched.swap_remove(tag) else { return false };
    if tagged.unwatch(cell.id()) {
        cell.topic().tags().vacate([&tagged]);
    }
    own.changes.forget(tag);
    true
}

/// A session has ended: it leaves all its tags, and watches none.
pub(crate) fn end(cell: &Cell) {
    let Some(own) = cell.kept() else { return };
    let (joined, watched) = {
        let mut own = own.joined();
        own.over = true;
        own.last = own.joined.keys().cloned().collect();
        (std::mem::take(&mut own.joined), std::mem::take(&mut own.watched))
    };
    let mut wake = Wake::new();
    let mut left: Vec<_> = watched.values().filter(|tagged| tagged.unwatch(cell.id())).collect();
    own.changes.clear();
    left.extend(joined.values().filter(|tagged| tagged.leave(cell.id(), &mut wake)));
    if !left.is_empty() {
        cell.topic().tags().vacate(left);
    }
    wake.iter().for_each(|cell| cell.wake());
}

/// Why a session cannot join or watch a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The session is over.
    #[error("the session is over")]
    Ended,
    /// The text is no tag.
    #[error(transparent)]
    Invalid(#[from] InvalidTag),
    /// The session has joined, or watches, as many as it may: see
    /// [`max_tags_per_session`](crate::ServerConfig::max_tags_per_session) and
    /// [`max_watches_per_session`](crate::ServerConfig::max_watches_per_session).
    #[error("a session has at most {limit} tags")]
    TooMany {
        /// How many it may.
        limit: usize,
    },
}

impl From<Infallible> for JoinError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// How much room an index keeps, however few tags are left.
const KEPT: usize = 64;
