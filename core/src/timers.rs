use crate::Time;

/// The deadlines of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// The peer must have answered `close` (CLS-1).
    Close,
    /// A client's session must be open.
    Connect,
    /// The peer must have given a sign of life (HB-3, HB-4).
    Liveness,
    /// The next ping is due (HB-1).
    Ping,
    /// The next poll must have come (SES-2).
    PollGap,
    /// The waiting poll must be answered (POL-4).
    PollTime,
    /// The client must have proved itself (SES-6).
    Proof,
    /// A suspended session must have been resumed (SES-2).
    Resume,
    /// The closed session may be forgotten (CLS-4).
    Tombstone,
}

const TIMERS: usize = 9;
const NEVER: u64 = u64::MAX;

/// One deadline for each [`Timer`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timers([u64; TIMERS]);

impl Timers {
    pub(crate) fn new() -> Self {
        Self([NEVER; TIMERS])
    }

    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = at.0;
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = NEVER;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::new();
    }

    /// Stops the timer and says so, if it is due.
    pub(crate) fn expire(&mut self, timer: Timer, now: Time) -> bool {
        let due = self.0[timer as usize] <= now.0;
        if due {
            self.stop(timer);
        }
        due
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize] != NEVER
    }

    pub(crate) fn next(&self) -> Option<Time> {
        let next = self.0.iter().copied().fold(NEVER, u64::min);
        (next != NEVER).then_some(Time(next))
    }
}
