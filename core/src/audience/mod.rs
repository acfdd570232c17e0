mod decode;
mod limits;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::{BitAnd, BitOr, Not};

use serde::Serialize;

use crate::{SessionId, Tag};

pub use limits::AudienceTooLarge;

/// Who of those on a path gets a broadcast: what can be named, and therefore told to other nodes.
///
/// Combined by methods or by operators:
///
/// ```
/// use nosphere_core::{Audience, Tag};
///
/// let (room, muted) = (Tag::new("room 7")?, Tag::new("muted")?);
/// let listeners = Audience::Others & room & !muted;
/// assert_eq!(serde_json::to_string(&listeners)?, r#"{"and":["others",{"tag":"room 7"},{"not":{"tag":"muted"}}]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Reading one is bounded, whoever wrote it: by [`Audience::MAX_DEPTH`] and [`Audience::MAX_NODES`]. What is made here may
/// be larger, and then is of use on this node alone; [`check`](Audience::check) tells. Whatever is done with one, dropping
/// it included, takes stack for each level of nesting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Audience {
    /// Those who are in all of these; everyone, if there are none.
    And(Vec<Self>),
    /// All sessions but these, the sender's included.
    Except(BTreeSet<SessionId>),
    /// All sessions, the sender's included.
    Everyone,
    /// The sender's session alone; nobody, if the broadcast comes from outside of any session.
    Me,
    /// Those who are not in this.
    Not(Box<Self>),
    /// These sessions alone.
    Only(BTreeSet<SessionId>),
    /// Those who are in any of these; nobody, if there are none.
    Or(Vec<Self>),
    /// All sessions but the sender's; everyone, if the broadcast comes from outside of any session.
    #[default]
    Others,
    /// The sessions that have joined this tag.
    Tag(Tag),
}

/// What an [`Audience`] asks of a session.
pub trait Listener {
    /// The session's id.
    fn id(&self) -> SessionId;

    /// Whether the broadcast comes from this session.
    fn is_sender(&self) -> bool;

    /// Whether the session has joined a tag.
    fn has(&self, tag: &Tag) -> bool;
}

impl Audience {
    /// These sessions alone.
    pub fn only(sessions: impl IntoIterator<Item = SessionId>) -> Self {
        Self::Only(sessions.into_iter().collect())
    }

    /// All sessions but these, the sender's included.
    pub fn except(sessions: impl IntoIterator<Item = SessionId>) -> Self {
        Self::Except(sessions.into_iter().collect())
    }

    /// Those who are in all of these; everyone, if there are none.
    pub fn all_of<A: Into<Self>>(audiences: impl IntoIterator<Item = A>) -> Self {
        Self::And(audiences.into_iter().map(Into::into).collect())
    }

    /// Those who are in any of these; nobody, if there are none.
    ///
    /// ```
    /// use nosphere_core::{Audience, Tag};
    ///
    /// let rooms = ["north", "south"].map(Tag::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    /// let both = Audience::any_of(rooms);
    /// # Ok::<(), nosphere_core::InvalidTag>(())
    /// ```
    pub fn any_of<A: Into<Self>>(audiences: impl IntoIterator<Item = A>) -> Self {
        Self::Or(audiences.into_iter().map(Into::into).collect())
    }

    /// Those who are in both. Also `self & other`.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        match (self, other.into()) {
            (Self::And(mut all), Self::And(more)) => {
                all.extend(more);
                Self::And(all)
            }
            (Self::And(mut all), other) => {
                all.push(other);
                Self::And(all)
            }
            (first, other) => Self::And(vec![first, other]),
        }
    }

    /// Those who are in either. Also `self | other`.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        match (self, other.into()) {
            (Self::Or(mut any), Self::Or(more)) => {
                any.extend(more);
                Self::Or(any)
            }
            (Self::Or(mut any), other) => {
                any.push(other);
                Self::Or(any)
            }
            (first, other) => Self::Or(vec![first, other]),
        }
    }

    /// Those who are not in this. Also `!self`.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it does; this is for chains of methods")]
    pub fn not(self) -> Self {
        if let Self::Not(audience) = self { *audience } else { Self::Not(Box::new(self)) }
    }

    /// Whether a session gets the broadcast.
    pub fn includes(&self, listener: &impl Listener) -> bool {
        match self {
            Self::And(all) => all.iter().all(|audience| audience.includes(listener)),
            Self::Except(sessions) => !sessions.contains(&listener.id()),
            Self::Everyone => true,
            Self::Me => listener.is_sender(),
            Self::Not(audience) => !audience.includes(listener),
            Self::Only(sessions) => sessions.contains(&listener.id()),
            Self::Or(any) => any.iter().any(|audience| audience.includes(listener)),
            Self::Others => !listener.is_sender(),
            Self::Tag(tag) => listener.has(tag),
        }
    }
}

impl From<Tag> for Audience {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<&Tag> for Audience {
    fn from(tag: &Tag) -> Self {
        Self::Tag(tag.clone())
    }
}

impl<A: Into<Self>> BitAnd<A> for Audience {
    type Output = Self;

    fn bitand(self, other: A) -> Self {
        self.and(other)
    }
}

impl<A: Into<Self>> BitOr<A> for Audience {
    type Output = Self;

    fn bitor(self, other: A) -> Self {
        self.or(other)
    }
}

impl Not for Audience {
    type Output = Self;

    fn not(self) -> Self {
        self.not()
    }
}

impl<A: Into<Audience>> BitAnd<A> for Tag {
    type Output = Audience;

    fn bitand(self, other: A) -> Audience {
        Audience::from(self).and(other)
    }
}

impl<A: Into<Audience>> BitOr<A> for Tag {
    type Output = Audience;

    fn bitor(self, other: A) -> Audience {
        Audience::from(self).or(other)
    }
}

impl Not for Tag {
    type Output = Audience;

    fn not(self) -> Audience {
        Audience::from(self).not()
    }
}
