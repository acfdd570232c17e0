use nosphere_core::SessionId;

/// Who of a path gets a broadcast.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// All sessions, the sender's included.
    Everyone,
    /// These sessions alone.
    Only(Vec<SessionId>),
    /// All sessions but the sender's.
    #[default]
    Others,
}

impl Audience {
    /// Whether a session gets what `sender` broadcasts; a broadcast from outside has no sender.
    pub(crate) fn includes(&self, session: SessionId, sender: Option<SessionId>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(sessions) => sessions.contains(&session),
            Self::Others => sender != Some(session),
        }
    }
}
