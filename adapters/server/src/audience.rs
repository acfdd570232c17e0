use std::collections::BTreeSet;
use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::sync::Arc;

use nosphere_core::{Audience, SessionId, Tag};

use crate::Member;

/// Who gets a broadcast, on this node: an [`Audience`], or one that is told by a function of the application's.
///
/// Whatever takes a `LocalAudience` takes an [`Audience`] or a [`Tag`] too. A function cannot be told to other nodes, so this
/// type cannot be serialised.
///
/// ```
/// use nosphere::{LocalAudience, Others, Tag};
///
/// struct Score(u32);
///
/// let experts = LocalAudience::matching(|member| member.data::<Score>().is_some_and(|score| score.0 > 1000));
/// let audience = experts & Tag::new("chess")? & Others;
/// # Ok::<(), nosphere::InvalidTag>(())
/// ```
///
/// An audience of your own is a type from which this one can be made:
///
/// ```
/// use nosphere::LocalAudience;
///
/// struct Named(&'static str);
///
/// impl From<Named> for LocalAudience {
///     fn from(Named(name): Named) -> Self {
///         Self::matching(move |member| member.principal() == Some(name))
///     }
/// }
///
/// # fn tell(client: &nosphere::Client) {
/// client.broadcast_to(Named("alice"), "hello");
/// # }
/// ```
#[derive(Clone)]
pub struct LocalAudience(pub(crate) Term);

/// An operator or an operand.
#[derive(Clone)]
pub(crate) enum Term {
    And(Vec<LocalAudience>),
    Matching(Arc<Predicate>),
    Named(Audience),
    Not(Box<LocalAudience>),
    Or(Vec<LocalAudience>),
}

pub(crate) type Predicate = dyn Fn(&Member<'_>) -> bool + Send + Sync;

impl LocalAudience {
    /// The sessions for which a function says so.
    ///
    /// It is called by whoever broadcasts, once for each session that can still be in the audience, before the message is
    /// queued for anybody. No lock is held, so it may broadcast, send, join and leave. If it panics, that session is left
    /// out, which is logged, and everybody else gets the message.
    pub fn matching(predicate: impl Fn(&Member<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Term::Matching(Arc::new(predicate)))
    }

    /// Those who are in both. Also `self & other`.
    #[must_use]
    pub fn and(self, other: impl Into<Self>) -> Self {
        let other = other.into();
        let Self(Term::And(mut all)) = self else { return Self(Term::And(vec![self, other])) };
        all.push(other);
        Self(Term::And(all))
    }

    /// Those who are in either. Also `self | other`.
    #[must_use]
    pub fn or(self, other: impl Into<Self>) -> Self {
        let other = other.into();
        let Self(Term::Or(mut any)) = self else { return Self(Term::Or(vec![self, other])) };
        any.push(other);
        Self(Term::Or(any))
    }

    /// Those who are not in this. Also `!self`.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "it does; this is for chains of methods")]
    pub fn not(self) -> Self {
        if let Self(Term::Not(audience)) = self { *audience } else { Self(Term::Not(Box::new(self))) }
    }

    /// For an audience that is everyone, or everyone but the sender: `Some`, with the one who is left out.
    pub(crate) fn all_but(&self, sender: Option<SessionId>) -> Option<Option<SessionId>> {
        match &self.0 {
            Term::Named(Audience::Everyone) => Some(None),
            Term::Named(Audience::Others) => Some(sender),
            Term::And(_) | Term::Matching(_) | Term::Named(_) | Term::Not(_) | Term::Or(_) => None,
        }
    }

    /// A list of ids, if the audience names one that nobody else can be in.
    pub(crate) fn listed(&self) -> Option<&BTreeSet<SessionId>> {
        match &self.0 {
            Term::And(all) => all.iter().find_map(Self::listed),
            Term::Named(audience) => listed(audience),
            Term::Matching(_) | Term::Not(_) | Term::Or(_) => None,
        }
    }
}

fn listed(audience: &Audience) -> Option<&BTreeSet<SessionId>> {
    match audience {
        Audience::And(all) => all.iter().find_map(listed),
        Audience::Only(sessions) => Some(sessions),
        Audience::Except(_)
        | Audience::Everyone
        | Audience::Me
        | Audience::Not(_)
        | Audience::Or(_)
        | Audience::Others
        | Audience::Tag(_)
        | _ => None,
    }
}

impl fmt::Debug for LocalAudience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Term::And(all) => f.debug_tuple("And").field(all).finish(),
            Term::Matching(_) => f.write_str("Matching(…)"),
            Term::Named(audience) => audience.fmt(f),
            Term::Not(audience) => f.debug_tuple("Not").field(audience).finish(),
            Term::Or(any) => f.debug_tuple("Or").field(any).finish(),
        }
    }
}

impl From<Audience> for LocalAudience {
    fn from(audience: Audience) -> Self {
        Self(Term::Named(audience))
    }
}

impl From<&Audience> for LocalAudience {
    fn from(audience: &Audience) -> Self {
        audience.clone().into()
    }
}

impl From<&Self> for LocalAudience {
    fn from(audience: &Self) -> Self {
        audience.clone()
    }
}

impl From<Tag> for LocalAudience {
    fn from(tag: Tag) -> Self {
        Audience::from(tag).into()
    }
}

impl From<&Tag> for LocalAudience {
    fn from(tag: &Tag) -> Self {
        Audience::from(tag).into()
    }
}

impl<A: Into<Self>> BitAnd<A> for LocalAudience {
    type Output = Self;

    fn bitand(self, other: A) -> Self {
        self.and(other)
    }
}

impl BitAnd<LocalAudience> for Audience {
    type Output = LocalAudience;

    fn bitand(self, other: LocalAudience) -> LocalAudience {
        LocalAudience::from(self).and(other)
    }
}

impl BitAnd<LocalAudience> for Tag {
    type Output = LocalAudience;

    fn bitand(self, other: LocalAudience) -> LocalAudience {
        LocalAudience::from(self).and(other)
    }
}

impl<A: Into<Self>> BitOr<A> for LocalAudience {
    type Output = Self;

    fn bitor(self, other: A) -> Self {
        self.or(other)
    }
}

impl BitOr<LocalAudience> for Audience {
    type Output = LocalAudience;

    fn bitor(self, other: LocalAudience) -> LocalAudience {
        LocalAudience::from(self).or(other)
    }
}

impl BitOr<LocalAudience> for Tag {
    type Output = LocalAudience;

    fn bitor(self, other: LocalAudience) -> LocalAudience {
        LocalAudience::from(self).or(other)
    }
}

impl Not for LocalAudience {
    type Output = Self;

    fn not(self) -> Self {
        self.not()
    }
}
