use crate::Time;

/// The deadlines of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// The peer must have given a sign of life (HB-3, HB-4).
    Liveness,
    /// The next ping is due (HB-1).
    Ping,
    /// The peer must have answered `close` (CLS-1).
    Close,
    /// A client's session must be open.
    Connect,
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

/// How many of them a session has to which nothing happens. They come first.
const OFTEN: usize = 2;
const TIMERS: usize = 9;
const NEVER: u64 = u64::MAX;

/// One deadline for each [`Timer`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timers {
    often: [u64; OFTEN],
    /// The others, while there is one of them.
    seldom: Option<Box<[u64; TIMERS - OFTEN]>>,
    /// The earliest: asked for with every message, and seldom another one.
    next: u64,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { often: [NEVER; OFTEN], seldom: None, next: NEVER }
    }

    #[inline]
    fn at(&self, timer: Timer) -> u64 {
        let index = timer as usize;
        match (index.checked_sub(OFTEN), &self.seldom) {
            (None, _) => self.often[index],
            (Some(index), Some(seldom)) => seldom[index],
            (Some(_), None) => NEVER,
        }
    }

    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.change(timer, at.0);
    }

    #[inline]
    pub(crate) fn stop(&mut self, timer: Timer) {
        if self.at(timer) != NEVER {
            self.change(timer, NEVER);
        }
    }

    fn change(&mut self, timer: Timer, at: u64) {
        match (timer as usize).checked_sub(OFTEN) {
            None => self.often[timer as usize] = at,
            Some(index) => self.seldom.get_or_insert_with(|| Box::new([NEVER; TIMERS - OFTEN]))[index] = at,
        }
        if self.seldom.as_ref().is_some_and(|seldom| seldom.iter().all(|at| *at == NEVER)) {
            self.seldom = None;
        }
        let seldom = self.seldom.as_deref().into_iter().flatten();
        self.next = self.often.iter().chain(seldom).copied().fold(NEVER, u64::min);
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::new();
    }

    /// Stops the timer and says so, if it is due.
    pub(crate) fn expire(&mut self, timer: Timer, now: Time) -> bool {
        let due = self.at(timer) <= now.0;
        if due {
            self.stop(timer);
        }
        due
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at(timer) != NEVER
    }

    #[inline]
    pub(crate) fn next(&self) -> Option<Time> {
        (self.next != NEVER).then_some(Time(self.next))
    }
}
