use tokio::sync::watch;

/// What a [`Source`](crate::Source) does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It consumes the queue.
    Connected,
    /// It reaches for the broker.
    #[default]
    Connecting,
    /// It has ended.
    Stopped,
    /// The broker is away; it will try again.
    Waiting,
}

/// What a [`Source`](crate::Source) does, and how much it has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Deliveries that were broadcast, to however few sessions. One whose acknowledgement was lost counts again.
    pub broadcast: u64,
    /// How often it has begun to consume.
    pub connects: u64,
    /// Deliveries that the mapping declined. They are acknowledged.
    pub declined: u64,
    /// For how many sessions deliveries were queued, in all.
    pub queued: u64,
    /// Deliveries that were too large, or that the mapping failed on. They are rejected: the broker drops them, or hands
    /// them to the queue's dead-letter exchange.
    pub rejected: u64,
    /// What it does now.
    pub state: State,
}

/// Watches a [`Source`](crate::Source). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    receiver: watch::Receiver<Status>,
}

impl Monitor {
    /// How the source is.
    pub fn status(&self) -> Status {
        *self.receiver.borrow()
    }

    /// Waits until the source is as `fits` wants it, and gives what it is then; `None` if it ends without.
    pub async fn wait_for(&mut self, mut fits: impl FnMut(&Status) -> bool) -> Option<Status> {
        self.receiver.wait_for(|status| fits(status)).await.ok().map(|status| *status)
    }
}

/// The source's side.
#[derive(Debug)]
pub(crate) struct Reporter {
    sender: watch::Sender<Status>,
}

impl Reporter {
    pub(crate) fn new() -> Self {
        Self { sender: watch::Sender::new(Status::default()) }
    }

    pub(crate) fn monitor(&self) -> Monitor {
        Monitor { receiver: self.sender.subscribe() }
    }

    pub(crate) fn state(&self, state: State) {
        self.count(|status| status.state = state);
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Status)) {
        self.sender.send_modify(change);
    }
}

/// However it ended: a source whose future was dropped has stopped, too.
impl Drop for Reporter {
    fn drop(&mut self) {
        self.state(State::Stopped);
    }
}
