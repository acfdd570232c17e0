use std::time::Duration;

use crate::Window;

/// The limits and deadlines of a connection. Every one is finite; SPEC §14 says what happens when one is reached that the peer
/// has to do with.
///
/// ```
/// use std::time::Duration;
/// use nosphere_core::Config;
///
/// let mut config = Config::default();
/// config.resume = Duration::from_secs(600);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Config {
    /// How often a client whose protocol lets it beat by itself, that of atmosphere.js, is asked to; zero is never (0 s).
    pub client_heartbeat: Duration,
    /// How long a flush may take after `close` (5 s).
    pub close_timeout: Duration,
    /// How long a client tries to open its session (30 s).
    pub connect_timeout: Duration,
    /// How often the server pings; zero is never (25 s).
    pub heartbeat: Duration,
    /// The most bytes of payload that a session keeps for sending (4 MiB).
    pub max_queued_bytes: usize,
    /// The most messages that a session keeps for sending, acknowledgement awaited included (4,096).
    pub max_queued_messages: usize,
    /// The most messages that may wait before one that is [volatile](crate::Message::volatile), or it is dropped (64).
    pub max_volatile_waiting: usize,
    /// How long a link may stay without saying which session it is for (10 s).
    pub open_timeout: Duration,
    /// What happens when the queue is full.
    pub overflow: Overflow,
    /// How long the client may be between two polls before the session counts as suspended (10 s).
    pub poll_gap: Duration,
    /// How long a poll waits for something to answer (25 s, and at most [`Config::MAX_POLL_TIME`]).
    pub poll_time: Duration,
    /// How long the client has to show that it received `opened` (10 s).
    pub proof: Duration,
    /// How long a session waits for its client when it has no link (120 s).
    pub resume: Duration,
    /// How many messages are kept for a plain event stream to come back to (256).
    pub retained: usize,
    /// How long a side waits for a sign of life that is due (20 s).
    pub timeout: Duration,
    /// What this side can take. No unit may be longer than its `bytes`.
    pub window: Window,
}

impl Config {
    /// The longest that a poll may wait: clients count on it (SPEC POL-4).
    pub const MAX_POLL_TIME: Duration = Duration::from_secs(25);
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client_heartbeat: Duration::ZERO,
            close_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(25),
            max_queued_bytes: 4 << 20,
            max_queued_messages: 4096,
            max_volatile_waiting: 64,
            open_timeout: Duration::from_secs(10),
            overflow: Overflow::default(),
            poll_gap: Duration::from_secs(10),
            poll_time: Duration::from_secs(25),
            proof: Duration::from_secs(10),
            resume: Duration::from_secs(120),
            retained: 256,
            timeout: Duration::from_secs(20),
            window: Window::default(),
        }
    }
}

/// What happens to a message for a session whose queue is full, because its client reads too slowly.
///
/// A queue is full with [`Config::max_queued_messages`] or [`Config::max_queued_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The session ends with `overflow`.
    #[default]
    Disconnect,
    /// The message is refused; its sender gets it back.
    DropNewest,
    /// The oldest message that was never handed to a link makes room. If there is none, the new one is refused.
    DropOldest,
}
