use std::fmt;
use std::sync::Arc;

use nosphere_core::Message;

use crate::shared::Shared;
use crate::topic::{self, Topic};
use crate::{Everyone, LocalAudience, Members, dirty};

/// Broadcasts from outside of any session. Cheap to clone; usable from any task or thread, with a runtime or without.
///
/// Paths are concrete, as requests name them: `/rooms/7` is one, `/rooms/{id}` is none. Clients that are suspended or
/// between two polls are recipients.
///
/// ```
/// # let server = nosphere::Server::builder().build()?;
/// use nosphere::Tag;
///
/// let news = server.broadcaster();
/// std::thread::spawn(move || {
///     news.all().send("good morning");
///     news.to("/rooms").send("to every room");
///     news.at("/rooms/7").send_to(Tag::new("chess")?, "to those in one who play");
///     Ok::<(), nosphere::InvalidTag>(())
/// });
/// # Ok::<(), nosphere::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Broadcaster {
    shared: Arc<Shared>,
}

impl Broadcaster {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Everybody, on all paths.
    pub fn all(&self) -> PathBroadcaster<'_> {
        self.to("/")
    }

    /// Everybody on a path, and nobody beneath it.
    pub fn at(&self, path: &str) -> PathBroadcaster<'_> {
        PathBroadcaster { shared: &self.shared, path: topic::normal(path).into(), beneath: false }
    }

    /// Everybody on a path or beneath it: `/rooms` reaches `/rooms/1`, and `/` reaches all.
    pub fn to(&self, path: &str) -> PathBroadcaster<'_> {
        PathBroadcaster { shared: &self.shared, path: topic::normal(path).into(), beneath: true }
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcaster").finish_non_exhaustive()
    }
}

/// Broadcasts to the sessions of one path, or of that and of those beneath it; see [`Broadcaster`].
pub struct PathBroadcaster<'a> {
    shared: &'a Shared,
    path: Box<str>,
    beneath: bool,
}

impl PathBroadcaster<'_> {
    /// Queues a message for everybody; returns for how many sessions. Nobody being there is not an error.
    pub fn send(&self, message: impl Into<Message>) -> usize {
        self.send_to(Everyone, message)
    }

    /// Queues a message for an audience; returns for how many sessions.
    ///
    /// There is no sender, so [`Others`](crate::Others) is everyone, and [`Me`](crate::Me) nobody.
    pub fn send_to(&self, audience: impl Into<LocalAudience>, message: impl Into<Message>) -> usize {
        let (audience, message) = (audience.into(), message.into().shared());
        let topics = self.topics(&audience);
        let count = topics.iter().map(|topic| topic.broadcast(&message, &audience, None)).sum();
        dirty::flush_outside();
        count
    }

    /// Who is in an audience.
    ///
    /// ```
    /// # use nosphere::Server;
    /// fn who(server: &Server) -> Vec<String> {
    ///     let broadcaster = server.broadcaster();
    ///     let members = broadcaster.to("/rooms").members(nosphere::Everyone);
    ///     members.iter().map(|member| format!("{} in {}", member.id(), member.path())).collect()
    /// }
    /// ```
    pub fn members(&self, audience: impl Into<LocalAudience>) -> Members {
        let audience = audience.into();
        Members::new(self.topics(&audience).iter().flat_map(|topic| topic.select(&audience, None)).collect())
    }

    pub(crate) fn shared(&self) -> &Shared {
        self.shared
    }

    /// How many sessions there are, suspended ones included.
    pub fn sessions(&self) -> usize {
        self.all_topics().iter().map(|topic| topic.len()).sum()
    }

    /// The paths on which there are sessions, in the order of their names.
    pub fn paths(&self) -> Vec<String> {
        let topics = self.all_topics();
        topics.iter().filter(|topic| topic.len() > 0).map(|topic| topic.path().to_owned()).collect()
    }

    /// The topics on which there may be somebody of an audience, in the order of their paths.
    pub(crate) fn topics(&self, audience: &LocalAudience) -> Vec<Arc<Topic>> {
        // One session of many paths is found without a look at all of them.
        let Some(sessions) = audience.listed().filter(|_| self.beneath) else { return self.all_topics() };
        let cells = sessions.iter().filter_map(|session| self.shared.table.get(*session));
        let mut topics: Vec<_> = cells.map(|cell| Arc::clone(cell.topic())).collect();
        topics.retain(|topic| topic::is_beneath(topic.path(), &self.path));
        topics.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        topics.dedup_by(|a, b| Arc::ptr_eq(a, b));
        topics
    }

    pub(crate) fn all_topics(&self) -> Vec<Arc<Topic>> {
        let topics = &self.shared.topics;
        if self.beneath { topics.beneath(&self.path) } else { topics.get(&self.path).into_iter().collect() }
    }
}

impl fmt::Debug for PathBroadcaster<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, beneath, .. } = self;
        f.debug_struct("PathBroadcaster").field("path", path).field("beneath", beneath).finish_non_exhaustive()
    }
}
