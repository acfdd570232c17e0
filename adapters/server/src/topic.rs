use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use nosphere_core::{Message, SessionId};

use crate::room::Congestion;
use crate::roster::Roster;
use crate::selection::View;
use crate::session::Cell;
use crate::tags::TagIndex;
use crate::{LocalAudience, dirty};

/// The sessions on one concrete path.
///
/// Members are read as a snapshot, so that a broadcast never holds up those who come and go; `order` is held while a
/// message is appended to its recipients, never while it is written, and makes all of them see the same order.
#[derive(Debug)]
pub(crate) struct Topic {
    path: Box<str>,
    order: Mutex<()>,
    congestion: Congestion,
    members: RwLock<Arc<Roster>>,
    tags: TagIndex,
}

impl Topic {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn congestion(&self) -> &Congestion {
        &self.congestion
    }

    pub(crate) fn join(&self, cell: &Arc<Cell>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut members).insert(cell);
    }

    pub(crate) fn leave(&self, session: SessionId) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut members).remove(session);
    }

    pub(crate) fn len(&self) -> usize {
        self.members.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn members(&self) -> Arc<Roster> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn tags(&self) -> &TagIndex {
        &self.tags
    }

    /// Queues a message for the members of an audience; returns for how many.
    pub(crate) fn broadcast(&self, message: &Message, audience: &LocalAudience, sender: Option<SessionId>) -> usize {
        let Some(left_out) = audience.all_but(sender) else {
            let view = View::new(self, audience, sender);
            // Before the order is held: a predicate may itself broadcast here.
            let recipients = view.select();
            return self.in_order(|| recipients.into_iter().filter(|cell| cell.append(message)).count());
        };
        self.in_order(|| {
            let members = self.members();
            dirty::push_all(&members);
            let recipients = members.values().filter(|cell| left_out != Some(cell.id()));
            recipients.map(|cell| usize::from(cell.append_listed(message))).sum()
        })
    }

    /// Appends to sessions as one broadcast does, which comes before or after every other at all of them.
    pub(crate) fn in_order<R>(&self, append: impl FnOnce() -> R) -> R {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        append()
    }

    /// Who is in an audience.
    pub(crate) fn select(&self, audience: &LocalAudience, sender: Option<SessionId>) -> Vec<Arc<Cell>> {
        View::new(self, audience, sender).select().into_iter().cloned().collect()
    }
}

/// All topics by path. A topic lives as long as somebody is on it.
#[derive(Debug)]
pub(crate) struct Topics {
    shards: [RwLock<HashMap<Box<str>, Weak<Topic>>>; SHARDS],
    hasher: std::hash::RandomState,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), hasher: std::hash::RandomState::new() }
    }

    /// The topic of a path, made if there is none.
    pub(crate) fn enter(&self, path: &str) -> Arc<Topic> {
        let mut shard = self.shard(path).write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = shard.get(path).and_then(Weak::upgrade) {
            return topic;
        }
        if shard.len() == shard.capacity() {
            shard.retain(|_, topic| topic.strong_count() > 0);
        }
        let topic = Arc::new(Topic {
            path: path.into(),
            order: Mutex::default(),
            congestion: Congestion::default(),
            members: RwLock::default(),
            tags: TagIndex::default(),
        });
        shard.insert(path.into(), Arc::downgrade(&topic));
        topic
    }

    /// The topic of a path, if somebody is on it.
    pub(crate) fn get(&self, path: &str) -> Option<Arc<Topic>> {
        self.shard(path).read().unwrap_or_else(PoisonError::into_inner).get(path)?.upgrade()
    }

    /// Every topic at a path or beneath it: `/a` is above `/a/b`, and `/` above all.
    pub(crate) fn beneath(&self, path: &str) -> Vec<Arc<Topic>> {
        let mut found: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| {
                let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
                let topics = shard.iter().filter(|(other, _)| is_beneath(other, path));
                topics.filter_map(|(_, topic)| topic.upgrade()).collect::<Vec<_>>()
            })
            .collect();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        found
    }

    fn shard(&self, path: &str) -> &RwLock<HashMap<Box<str>, Weak<Topic>>> {
        &self.shards[self.hasher.hash_one(path) as usize % SHARDS]
    }
}

/// Whether a path is another, or beneath it.
pub(crate) fn is_beneath(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as topics are named by it: with a leading slash, and without one at the end.
pub(crate) fn normal(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

const SHARDS: usize = 16;
