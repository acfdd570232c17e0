use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nosphere_core::Message;

use crate::shared::Shared;
use crate::topic::{self, Topic};
use crate::{Audience, dirty};

/// Broadcasts from outside of any session. Cheap to clone; usable from any task or thread.
#[derive(Clone)]
pub struct Broadcaster {
    shared: Arc<Shared>,
}

impl Broadcaster {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Everybody on a path or beneath it: `/rooms` reaches `/rooms/1`, and `/` reaches all.
    pub fn to(&self, path: &str) -> PathBroadcaster<'_> {
        PathBroadcaster { shared: &self.shared, path: topic::normal(path).into() }
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcaster").finish_non_exhaustive()
    }
}

/// Broadcasts to the sessions at a path and beneath it.
pub struct PathBroadcaster<'a> {
    shared: &'a Shared,
    path: Box<str>,
}

impl PathBroadcaster<'_> {
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        self.shared.topics.beneath(&self.path)
    }

    pub(crate) fn shared(&self) -> &Shared {
        self.shared
    }

    pub(crate) fn patience(&self) -> Duration {
        self.shared.config.patience
    }

    /// Queues a message for everybody; returns for how many sessions. Nobody being there is not an error.
    pub fn send(&self, message: impl Into<Message>) -> usize {
        self.send_to(&Audience::Everyone, message)
    }

    /// Queues a message for an audience; returns for how many sessions.
    pub fn send_to(&self, audience: &Audience, message: impl Into<Message>) -> usize {
        let message = message.into().shared();
        let topics = self.shared.topics.beneath(&self.path);
        let count = topics.iter().map(|topic| topic.broadcast(&message, audience, None)).sum();
        dirty::flush_outside();
        count
    }
}

impl fmt::Debug for PathBroadcaster<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathBroadcaster").field("path", &self.path).finish_non_exhaustive()
    }
}
