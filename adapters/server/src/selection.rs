//! From an audience to its recipients on one path, without a look at anybody who cannot be among them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use nosphere_core::{Audience, Listener, SessionId, Tag};

use crate::Member;
use crate::audience::{LocalAudience, Term};
use crate::contain::caught;
use crate::roster::Roster;
use crate::session::Cell;
use crate::topic::Topic;

/// One look at a topic: who is there, and who has joined the tags that an audience names.
pub(crate) struct View<'a> {
    audience: &'a LocalAudience,
    sender: Option<SessionId>,
    members: Arc<Roster>,
    tagged: HashMap<&'a Tag, Arc<Roster>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(topic: &Topic, audience: &'a LocalAudience, sender: Option<SessionId>) -> Self {
        let mut tagged = HashMap::new();
        visit(audience, &mut |tag| {
            tagged.entry(tag).or_insert_with(|| topic.tags().members(tag.as_str()));
        });
        Self { audience, sender, members: topic.members(), tagged }
    }

    /// Who is in the audience. This runs predicates: the caller holds no lock.
    pub(crate) fn select(&self) -> Vec<&Arc<Cell>> {
        let source = self.source(self.audience);
        let mut cells = Vec::new();
        source.collect(self, &mut cells);
        if matches!(source.place, Place::Union(_)) {
            let mut seen = HashSet::new();
            cells.retain(|cell| seen.insert(cell.id()));
        }
        if source.exact {
            return cells;
        }
        let mut panicked = None;
        cells.retain(|cell| {
            caught(|| self.includes(self.audience, cell)).unwrap_or_else(|_| {
                panicked.get_or_insert_with(|| (cell.id(), 0)).1 += 1;
                false
            })
        });
        if let Some((session, sessions)) = panicked {
            tracing::error!(%session, sessions, "an audience's predicate panicked; who it was asked about is left out");
        }
        cells
    }

    fn includes(&self, audience: &LocalAudience, cell: &Arc<Cell>) -> bool {
        match &audience.0 {
            Term::And(all) => all.iter().all(|audience| self.includes(audience, cell)),
            Term::Matching(predicate) => predicate(&Member::new(cell)),
            Term::Named(audience) => audience.includes(&Seen { view: self, session: cell.id() }),
            Term::Not(audience) => !self.includes(audience, cell),
            Term::Or(any) => any.iter().any(|audience| self.includes(audience, cell)),
        }
    }

    /// Where those who can be in an audience are to be found.
    fn source<'v>(&'v self, audience: &'v LocalAudience) -> Source<'v> {
        match &audience.0 {
            Term::And(all) => self.narrowest(all.iter().map(|audience| self.source(audience))),
            Term::Matching(_) | Term::Not(_) => Source::ALL,
            Term::Named(audience) => self.named_source(audience),
            Term::Or(any) => self.union(any.iter().map(|audience| self.source(audience))),
        }
    }

    fn named_source<'v>(&'v self, audience: &'v Audience) -> Source<'v> {
        let place = match audience {
            Audience::And(all) => return self.narrowest(all.iter().map(|audience| self.named_source(audience))),
            Audience::Me => Place::Sender,
            Audience::Only(sessions) => Place::Ids(sessions),
            Audience::Or(any) => return self.union(any.iter().map(|audience| self.named_source(audience))),
            Audience::Tag(tag) => match self.tagged.get(tag) {
                Some(members) => Place::Roster(members),
                None => Place::Union(Vec::new()),
            },
            Audience::Except(_) | Audience::Everyone | Audience::Not(_) | Audience::Others | _ => return Source::ALL,
        };
        Source { place, exact: true }
    }

    fn narrowest<'v>(&self, sides: impl Iterator<Item = Source<'v>>) -> Source<'v> {
        let narrowest = sides.min_by_key(|side| side.len(self));
        narrowest.map_or(Source::ALL, |side| Source { exact: false, ..side })
    }

    fn union<'v>(&self, sides: impl Iterator<Item = Source<'v>>) -> Source<'v> {
        let sides: Vec<_> = sides.collect();
        let exact = sides.iter().all(|side| side.exact);
        let union = Source { place: Place::Union(sides), exact };
        if union.len(self) < self.members.len() { union } else { Source::ALL }
    }
}

/// Where to look.
struct Source<'v> {
    place: Place<'v>,
    /// Whoever is found there is in the audience.
    exact: bool,
}

enum Place<'v> {
    All,
    /// Those of these who are here.
    Ids(&'v BTreeSet<SessionId>),
    Roster(&'v Roster),
    Sender,
    Union(Vec<Source<'v>>),
}

impl<'v> Source<'v> {
    const ALL: Self = Self { place: Place::All, exact: false };

    /// How many it has at most.
    fn len(&self, view: &View<'_>) -> usize {
        match &self.place {
            Place::All => view.members.len(),
            Place::Ids(sessions) => sessions.len(),
            Place::Roster(roster) => roster.len(),
            Place::Sender => 1,
            Place::Union(sides) => sides.iter().fold(0, |sum, side| sum.saturating_add(side.len(view))),
        }
    }

    fn collect(&self, view: &'v View<'_>, cells: &mut Vec<&'v Arc<Cell>>) {
        match &self.place {
            Place::All => cells.extend(view.members.values()),
            Place::Ids(sessions) => cells.extend(sessions.iter().filter_map(|session| view.members.get(*session))),
            Place::Roster(roster) => cells.extend(roster.values()),
            Place::Sender => cells.extend(view.sender.and_then(|sender| view.members.get(sender))),
            Place::Union(sides) => sides.iter().for_each(|side| side.collect(view, cells)),
        }
    }
}

/// A session as an [`Audience`] asks about it.
struct Seen<'v> {
    view: &'v View<'v>,
    session: SessionId,
}

impl Listener for Seen<'_> {
    fn id(&self) -> SessionId {
        self.session
    }

    fn is_sender(&self) -> bool {
        self.view.sender == Some(self.session)
    }

    fn has(&self, tag: &Tag) -> bool {
        self.view.tagged.get(tag).is_some_and(|members| members.contains(self.session))
    }
}

/// Calls a function for each tag that an audience names.
fn visit<'a>(audience: &'a LocalAudience, found: &mut impl FnMut(&'a Tag)) {
    match &audience.0 {
        Term::And(list) | Term::Or(list) => list.iter().for_each(|audience| visit(audience, found)),
        Term::Matching(_) => {}
        Term::Named(audience) => visit_named(audience, found),
        Term::Not(audience) => visit(audience, found),
    }
}

fn visit_named<'a>(audience: &'a Audience, found: &mut impl FnMut(&'a Tag)) {
    match audience {
        Audience::And(list) | Audience::Or(list) => list.iter().for_each(|audience| visit_named(audience, found)),
        Audience::Not(audience) => visit_named(audience, found),
        Audience::Tag(tag) => found(tag),
        Audience::Except(_) | Audience::Everyone | Audience::Me | Audience::Only(_) | Audience::Others | _ => {}
    }
}
