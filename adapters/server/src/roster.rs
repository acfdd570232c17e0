use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::IndexSet;
use nosphere_core::SessionId;

use crate::session::Cell;

/// Sessions by id, in an order that does not depend on the seed of a hash map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster(IndexSet<ById>);

/// A session that a set finds by its id, which is not in the set a second time.
#[derive(Clone, Debug)]
pub(crate) struct ById(pub(crate) Arc<Cell>);

impl Roster {
    pub(crate) fn insert(&mut self, cell: &Arc<Cell>) {
        self.0.replace(ById(Arc::clone(cell)));
    }

    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Arc<Cell>> {
        self.0.swap_take(&session).map(|ById(cell)| cell)
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&Arc<Cell>> {
        self.0.get(&session).map(|ById(cell)| cell)
    }

    pub(crate) fn contains(&self, session: SessionId) -> bool {
        self.0.contains(&session)
    }

    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &Arc<Cell>> {
        self.0.iter().map(|ById(cell)| cell)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Borrow<SessionId> for ById {
    fn borrow(&self) -> &SessionId {
        self.0.key()
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}
