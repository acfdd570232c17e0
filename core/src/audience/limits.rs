use crate::Audience;

impl Audience {
    /// How deep operators may be nested in an audience that comes from another node: `Everyone` has depth 1.
    pub const MAX_DEPTH: usize = 16;

    /// The most nodes of an audience that comes from another node: every operator, every tag, every id of a list.
    pub const MAX_NODES: usize = 65_536;

    /// Whether other nodes will read this audience.
    ///
    /// # Errors
    ///
    /// When it is over a limit. It works all the same on this node.
    pub fn check(&self) -> Result<(), AudienceTooLarge> {
        self.charge(&mut Budget::new(), 0)
    }

    fn charge(&self, budget: &mut Budget, above: usize) -> Result<(), AudienceTooLarge> {
        budget.take(above)?;
        match self {
            Self::And(list) | Self::Or(list) => list.iter().try_for_each(|audience| audience.charge(budget, above + 1)),
            Self::Except(sessions) | Self::Only(sessions) => budget.take_ids(sessions.len()),
            Self::Not(audience) => audience.charge(budget, above + 1),
            Self::Everyone | Self::Me | Self::Others | Self::Tag(_) => Ok(()),
        }
    }
}

/// How many more nodes there may be.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Audience::MAX_NODES)
    }

    /// Counts an audience that is inside of `above` others.
    pub(super) fn take(&mut self, above: usize) -> Result<(), AudienceTooLarge> {
        if above >= Audience::MAX_DEPTH {
            return Err(AudienceTooLarge::Depth);
        }
        self.take_ids(1)
    }

    pub(super) fn take_ids(&mut self, count: usize) -> Result<(), AudienceTooLarge> {
        self.0 = self.0.checked_sub(count).ok_or(AudienceTooLarge::Nodes)?;
        Ok(())
    }
}

/// An audience is over a limit of those that nodes tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AudienceTooLarge {
    /// Nested deeper than [`Audience::MAX_DEPTH`].
    #[error("an audience may be nested {} deep", Audience::MAX_DEPTH)]
    Depth,
    /// More than [`Audience::MAX_NODES`].
    #[error("an audience may have {} nodes", Audience::MAX_NODES)]
    Nodes,
}
