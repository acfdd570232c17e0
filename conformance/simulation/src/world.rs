//! What all parts of a run share: the trace, the clock, the counters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nosphere_core::{Event, Reply, Undelivered};
use tokio::time::Instant;

use crate::coverage::{Coverage, Covered};
use crate::payload::Content;
use crate::plan::Op;
use crate::trace::{Entry, Message, Trace, What, Who};

/// A handle on what all parts of a run share.
#[derive(Clone, Debug)]
pub(crate) struct World {
    shared: Arc<Mutex<Inner>>,
    start: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    trace: Trace,
    coverage: Coverage,
    /// The present millisecond, and how often something was done in it.
    busy: (u64, u64),
    /// Notes are for readers, who are rare.
    verbose: bool,
}

/// How often tasks may be polled by the network or act within one millisecond, before it counts as spinning. The largest
/// plans need a few thousand.
const SPINNING: u64 = 200_000;

impl World {
    pub(crate) fn new(verbose: bool) -> Self {
        let inner = Inner { verbose, ..Inner::default() };
        Self { shared: Arc::new(Mutex::new(inner)), start: Instant::now() }
    }

    /// Virtual time since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// The moment of a virtual time.
    pub(crate) fn instant(&self, at: u64) -> Instant {
        self.start + std::time::Duration::from_millis(at)
    }

    pub(crate) fn record(&self, who: Who, what: What) {
        let at = self.now();
        self.lock().trace.entries.push(Entry { at, who, what });
    }

    /// Something for the readers of the trace.
    pub(crate) fn note(&self, who: Who, text: impl FnOnce() -> String) {
        if self.lock().verbose {
            self.record(who, What::Note(text()));
        }
    }

    pub(crate) fn wrong(&self, who: Who, text: impl Into<String>) {
        self.record(who, What::Wrong(text.into()));
    }

    /// An application was told something; gives what that is.
    pub(crate) fn saw(&self, who: Who, event: &Event) -> What {
        let what = self.lock().trace.read(event);
        self.record(who, what.clone());
        what
    }

    /// An application took a reply before its turn.
    pub(crate) fn saw_early(&self, who: Who, reply: Reply) {
        let what = self.lock().trace.read(&Event::Reply(reply));
        self.record(who, if let What::Received(id) = what { What::Early(id) } else { what });
    }

    /// A session has ended, and these came back.
    pub(crate) fn undelivered(&self, who: Who, undelivered: &Undelivered) {
        let what = {
            let inner = self.lock();
            let ids = |messages: &[nosphere_core::Message]| {
                messages.iter().map(|message| inner.trace.identify(message.payload())).collect::<Result<Vec<_>, _>>()
            };
            match (ids(&undelivered.unknown), ids(&undelivered.unsent)) {
                (Ok(unknown), Ok(unsent)) => What::Undelivered { unknown, unsent },
                (Err(wrong), _) | (_, Err(wrong)) => What::Wrong(wrong),
            }
        };
        self.record(who, what);
    }

    /// Makes a message that no other is like.
    pub(crate) fn message(&self, content: Content, op: Op) -> (u32, nosphere_core::Message) {
        let mut inner = self.lock();
        let id = inner.trace.messages.len() as u32;
        inner.trace.messages.push(Message { content, op });
        (id, content.message(id))
    }

    /// What was sent under a number.
    pub(crate) fn sent(&self, id: u32) -> Message {
        self.lock().trace.messages[id as usize].clone()
    }

    pub(crate) fn cover(&self, covered: Covered) {
        self.lock().coverage.add(covered, 1);
    }

    /// Something was done. Nothing that is right is done without end while time stands still.
    pub(crate) fn act(&self) {
        let now = self.now();
        let mut inner = self.lock();
        if inner.busy.0 != now {
            inner.busy = (now, 0);
        }
        inner.busy.1 += 1;
        if inner.busy.1 == SPINNING {
            let what = What::Wrong("something spins: time stands still".into());
            inner.trace.entries.push(Entry { at: now, who: Who::World, what });
        }
        // Whoever does it must stop, or the run never ends: its task dies of this.
        assert!(inner.busy.1 < 2 * SPINNING, "something spins");
    }

    /// Whether the run has failed already.
    pub(crate) fn is_wrong(&self) -> bool {
        self.lock().trace.entries.iter().any(|entry| matches!(entry.what, What::Wrong(_)))
    }

    /// Looks at the trace so far.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Trace) -> R) -> R {
        look(&self.lock().trace)
    }

    /// What was recorded, at the end.
    pub(crate) fn take(&self) -> (Trace, Coverage) {
        let mut inner = self.lock();
        (std::mem::take(&mut inner.trace), std::mem::take(&mut inner.coverage))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
