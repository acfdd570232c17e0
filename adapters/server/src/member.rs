use std::any::Any;
use std::fmt;
use std::sync::Arc;

use nosphere_core::{SessionId, Transport};

use crate::session::Cell;

/// A session as others see it: what a predicate of a [`LocalAudience`](crate::LocalAudience) decides by, and what
/// [`Members`] consist of.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    cell: &'a Arc<Cell>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(cell: &'a Arc<Cell>) -> Self {
        Self { cell }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.cell.id()
    }

    /// The path that the session was opened on, parameters filled in.
    pub fn path(&self) -> &'a str {
        self.cell.topic().path()
    }

    /// Who opened the session, as [`Builder::principal`](crate::Builder::principal) says.
    pub fn principal(&self) -> Option<&'a str> {
        self.cell.principal()
    }

    /// The transport that carries the session now, or did last.
    pub fn transport(&self) -> Transport {
        self.cell.transport()
    }

    /// Whether the session has joined a tag.
    pub fn has(&self, tag: impl AsRef<str>) -> bool {
        self.cell.kept().is_some_and(|own| own.has(tag.as_ref()))
    }

    /// What [`Client::set_data`](crate::Client::set_data) has set of this type.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.cell.kept()?.data()
    }
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("id", &self.id()).field("path", &self.path()).finish_non_exhaustive()
    }
}

/// The sessions of an audience, as they were at one moment.
///
/// It keeps what it holds of the sessions in memory, ended or not, so it is not for keeping.
///
/// ```
/// use nosphere::{Client, Everyone};
///
/// fn count_by_user(client: &Client) -> std::collections::BTreeMap<String, usize> {
///     let mut sessions = std::collections::BTreeMap::new();
///     for member in client.members(Everyone).iter() {
///         *sessions.entry(member.principal().unwrap_or("somebody").to_owned()).or_default() += 1;
///     }
///     sessions
/// }
/// ```
#[derive(Clone, Default)]
pub struct Members {
    cells: Vec<Arc<Cell>>,
}

impl Members {
    pub(crate) fn new(cells: Vec<Arc<Cell>>) -> Self {
        Self { cells }
    }

    /// Their ids.
    pub fn ids(&self) -> Vec<SessionId> {
        self.cells.iter().map(|cell| cell.id()).collect()
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Member<'_>> {
        self.cells.iter().map(Member::new)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
