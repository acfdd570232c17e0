use std::time::Duration;

use nosphere_core::Config;

/// The limits of a server. Those of each session are in [`Config`].
///
/// Every one is finite, and what happens when it is reached is said here, in brackets with its default.
///
/// ```
/// use std::time::Duration;
/// use nosphere::{Server, ServerConfig};
///
/// let mut config = ServerConfig::default();
/// config.max_sessions = 2_000;
/// config.session.heartbeat = Duration::from_secs(10);
/// let server = Server::builder().config(config).build()?;
/// # Ok::<(), nosphere::BuildError>(())
/// ```
///
/// [The guide](crate::guide::limits) lists all of them, with those of each session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The most bodies of one session that are read at a time; a client sends one, and repeats it when its answer is lost.
    /// Further ones are refused with 503 (4).
    pub max_bodies_per_session: usize,
    /// The most bytes of a POST's body (2 MiB). At least the window's bytes and 512 KiB are taken (SPEC PST-6). Of a body that
    /// is refused, eight times as much is read and dropped, within [`Config::close_timeout`]: whoever sends more may find the
    /// connection reset before the answer.
    pub max_body_bytes: usize,
    /// The longest head of a request that a session is opened or resumed with, in bytes of its URI and headers: until the
    /// handler has handled `Connected` it is kept. Longer ones are refused with 431 (16 KiB).
    pub max_head_bytes: usize,
    /// The most requests of one session that wait for their replies; further ones are not sent (1,024).
    pub max_requests_per_session: usize,
    /// The most sessions at a time; further ones are refused with 503 `unavailable` (100,000).
    pub max_sessions: usize,
    /// The most tags that a session joins at a time; it cannot join further ones (1,024).
    pub max_tags_per_session: usize,
    /// The most closed sessions that are remembered; the oldest is forgotten first (10,000).
    pub max_tombstones: usize,
    /// The most units in the body of a POST (1,024).
    pub max_units_per_body: usize,
    /// The most WebSockets that are open and have not said which session they are for; further ones are refused with 503
    /// (10,000).
    pub max_unopened: usize,
    /// The most tags that a session watches at a time; it cannot watch further ones (128).
    pub max_watches_per_session: usize,
    /// How long [`pump`](crate::PathBroadcaster::pump) and [`send_when_ready`](crate::PathBroadcaster::send_when_ready) wait
    /// for recipients that read slowly, before they go on without them until those have caught up (5 s).
    pub patience: Duration,
    /// What applies to every session.
    pub session: Config,
}

impl ServerConfig {
    pub(crate) fn body_limit(&self) -> usize {
        self.max_body_bytes.max(self.session.window.bytes as usize + (512 << 10))
    }

    /// How much of a refused body is read for the sake of the answer. It costs no memory, and ends with the close timeout.
    pub(crate) fn discard_limit(&self) -> usize {
        self.body_limit().saturating_mul(8)
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_bodies_per_session: 4,
            max_body_bytes: 2 << 20,
            max_head_bytes: 16 << 10,
            max_requests_per_session: 1024,
            max_sessions: 100_000,
            max_tags_per_session: 1024,
            max_tombstones: 10_000,
            max_units_per_body: 1024,
            max_unopened: 10_000,
            max_watches_per_session: 128,
            patience: Duration::from_secs(5),
            session: Config::default(),
        }
    }
}
