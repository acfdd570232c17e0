use std::hash::{Hash, Hasher};

use nosphere_core::{Fault, Reason, Transport};

macro_rules! sights {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Something that a check must have come across, or its scope was too small to show anything about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Sight { $($(#[$doc])* $name),* }

        impl Sight {
            /// Every sight.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

sights! {
    /// A session was closed by its client.
    ClosedByClient,
    /// A session was closed by its server.
    ClosedByServer,
    /// A volatile message was dropped when it was sent.
    Dropped,
    /// A reply was taken before its turn.
    Early,
    /// A session was resumed while the turn of a reply that was taken had not come.
    EarlyAgain,
    /// A suspended session was not resumed in time.
    Expired,
    /// A request of an older attachment was refused.
    Fenced,
    /// A newer message took the place of one with its key.
    KeyTaken,
    /// A POST arrived that nobody waited for any more.
    LatePost,
    /// A GET arrived that nobody waited for any more.
    LateRequest,
    /// A volatile message was left out of what is sent again.
    LeftOut,
    /// A message arrived a second time and was passed over.
    Overlap,
    /// A poll gave way to a newer one.
    Replaced,
    /// A session was resumed while messages of its server were not acknowledged.
    ReplayDown,
    /// A session was resumed while messages of its client were not acknowledged.
    ReplayUp,
    /// A session moved to an event stream.
    ResumedOnEventStream,
    /// A session moved to polls.
    ResumedOnPoll,
    /// A session moved to a WebSocket.
    ResumedOnWebSocket,
    /// A poll from the past was refused.
    Stale,
    /// A link was given up for silence.
    Silence,
    /// A client came back to a session that was closed.
    Tombstone,
    /// A client came back to a session that the server does not know.
    UnknownSession,
    /// A message was handed back as unknown.
    Unknown,
    /// A session ended since its client never showed that it has it.
    Unproved,
    /// A message was handed back as unsent.
    Unsent,
    /// A candidate became the link.
    Upgraded,
    /// A message had to wait for the window.
    WindowFull,
}

/// What has come to sight on the way to a world. No part of what the world is: two worlds are the same, however they came
/// about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sights(u32);

impl Sights {
    /// As many bits as there are sights.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// From [`Sights::bits`].
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// What is among them.
    pub fn has(self, sight: Sight) -> bool {
        self.0 & 1 << sight as u32 != 0
    }

    pub(crate) fn see(&mut self, sight: Sight) {
        self.0 |= 1 << sight as u32;
    }

    pub(crate) fn see_if(&mut self, sight: Sight, seen: bool) {
        if seen {
            self.see(sight);
        }
    }

    pub(crate) fn see_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Fenced => self.see(Sight::Fenced),
            Fault::Stale => self.see(Sight::Stale),
            _ => {}
        }
    }

    pub(crate) fn see_end(&mut self, reason: Reason) {
        match reason {
            Reason::Closed => self.see(Sight::ClosedByClient),
            Reason::GoingAway => self.see(Sight::ClosedByServer),
            Reason::Expired => self.see(Sight::Expired),
            Reason::Unproved => self.see(Sight::Unproved),
            Reason::UnknownSession => self.see(Sight::UnknownSession),
            _ => {}
        }
    }

    pub(crate) fn see_resume(&mut self, transport: Transport) {
        match transport {
            Transport::LongPolling => self.see(Sight::ResumedOnPoll),
            Transport::ServerSentEvents => self.see(Sight::ResumedOnEventStream),
            Transport::WebSocket => self.see(Sight::ResumedOnWebSocket),
            _ => {}
        }
    }
}

impl PartialEq for Sights {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sights {}

impl Hash for Sights {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
