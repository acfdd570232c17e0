//! What a run has exercised.

use std::fmt;

/// The enum, and the list of all that is in it.
macro_rules! covered {
    ($($name:ident,)*) => {
        /// Something that a run can exercise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(clippy::exhaustive_enums, reason = "the list is complete")]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum Covered {
            $($name,)*
        }

        impl Covered {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

covered! {
    Broadcasts,
    BroadcastsFromOutside,
    CandidatesProven,
    Crashes,
    CutsOfBothSides,
    CutsSeenByClient,
    CutsSeenByServer,
    Dropped,
    EarlyReplies,
    Expired,
    Fenced,
    Frozen,
    Holes,
    JumpsOfClients,
    JumpsOfServer,
    LateRequests,
    LostRequests,
    LostResponses,
    Messages,
    MovesToEventStream,
    MovesToPolling,
    MovesToWebSocket,
    Offline,
    OpenedOverEventStream,
    OpenedOverPolling,
    OpenedOverWebSocket,
    Overflows,
    PollsReplaced,
    PostsRepeated,
    Probes,
    Refused,
    Replaced,
    Resumed,
    ReplayedDown,
    ReplayedUp,
    Sessions,
    Shutdowns,
    SlowReaders,
    Stalls,
    Stale,
    Suspended,
    Undeliverable,
    UnknownHandedBack,
    UnknownSession,
    Unproved,
    UnsentHandedBack,
    Vanished,
}

/// How often each was exercised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage([u64; Covered::ALL.len()]);

impl Coverage {
    /// Counts.
    pub fn add(&mut self, covered: Covered, times: u64) {
        self.0[covered as usize] += times;
    }

    /// How often.
    pub fn of(&self, covered: Covered) -> u64 {
        self.0[covered as usize]
    }

    /// Adds what another run has exercised.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine += others;
        }
    }

    /// What was not exercised.
    pub fn missing(&self) -> Vec<Covered> {
        Covered::ALL.iter().copied().filter(|covered| self.of(*covered) == 0).collect()
    }
}

impl Default for Coverage {
    fn default() -> Self {
        Self([0; Covered::ALL.len()])
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Covered::ALL.iter().copied().try_for_each(|covered| writeln!(f, "{:>12}  {covered:?}", self.of(covered)))
    }
}
