use std::num::NonZeroU16;
use std::time::Duration;

/// The limits of a [`Source`](crate::Source), and how long it waits for what.
///
/// ```
/// use std::time::Duration;
/// use nosphere_amqp::Config;
///
/// let mut config = Config::default();
/// config.backoff_max = Duration::from_secs(5);
/// config.wait_at_start = true;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The longest wait before the next attempt to reach the broker (30 s).
    pub backoff_max: Duration,
    /// The wait before the second attempt to reach the broker (100 ms). It doubles with every further one. Of each wait a
    /// random part is taken, at least half, so that many nodes do not come back at one moment.
    pub backoff_min: Duration,
    /// How long saying goodbye to the broker may take (5 s). A message that is being broadcast is finished first.
    pub close_timeout: Duration,
    /// How long reaching the broker, logging in and beginning to consume may take (10 s).
    pub connect_timeout: Duration,
    /// How often each side of an idle connection shows that it is alive, in whole seconds (20 s). A broker that is silent
    /// for twice as long is gone. The broker may ask for a shorter one, and the URI may name another:
    /// `amqp://…?heartbeat=10`.
    pub heartbeat: Duration,
    /// The most bytes in the body of a delivery (1 MiB: the window of a session, unless configured, since no client takes
    /// more in one unit). A longer one is rejected.
    pub max_message_bytes: usize,
    /// The most deliveries that the broker hands over ahead of their acknowledgement (64). They wait in memory, as long as
    /// the broker lets them be, whatever `max_message_bytes` says.
    pub prefetch: NonZeroU16,
    /// Whether a broker that cannot be reached at first is waited for, as one that goes away later is (no: it is an error).
    pub wait_at_start: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backoff_max: Duration::from_secs(30),
            backoff_min: Duration::from_millis(100),
            close_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(20),
            max_message_bytes: nosphere::Window::default().bytes as usize,
            prefetch: NonZeroU16::MIN.saturating_add(63),
            wait_at_start: false,
        }
    }
}
