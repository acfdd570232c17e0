use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use nosphere_core::Time;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::session::Cell;
use crate::shared::Shared;

/// The deadlines of all sessions: a heap a shard, and one task for each, instead of a timer for each session.
///
/// A session has an entry for the earliest deadline that it ever announced. When that comes, it is asked for its real one:
/// deadlines that move back, as they do with every message, cost nothing.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// Made when they are started. As many as the runtime has workers, not as the machine has cores: a runtime of one
    /// thread does the same on every machine.
    shards: OnceLock<Box<[Arc<Shard>]>>,
}

#[derive(Debug, Default)]
struct Shard {
    heap: Mutex<BinaryHeap<Entry>>,
    sooner: Notify,
}

#[derive(Debug)]
struct Entry {
    at: Reverse<Time>,
    cell: Weak<Cell>,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { shards: OnceLock::new() }
    }

    /// Starts the tasks, once. Within a runtime.
    pub(crate) fn start(&self, shared: &Arc<Shared>) {
        self.shards.get_or_init(|| {
            let shards: Box<[Arc<Shard>]> =
                (0..Handle::current().metrics().num_workers()).map(|_| Arc::default()).collect();
            for shard in &shards {
                tokio::spawn(drive(Arc::downgrade(shared), Arc::clone(shard)));
            }
            shards
        });
    }

    /// Calls [`Cell::handle_deadline`] at a time.
    pub(crate) fn schedule(&self, at: Time, cell: &Arc<Cell>) {
        // There are no sessions before the first request, which starts the tasks.
        let Some(shards) = self.shards.get() else { return };
        let shard = &shards[usize::from(cell.id().as_bytes()[1]) % shards.len()];
        let mut heap = shard.heap.lock().unwrap_or_else(PoisonError::into_inner);
        let sooner = heap.peek().is_none_or(|first| at < first.at.0);
        heap.push(Entry { at: Reverse(at), cell: Arc::downgrade(cell) });
        if sooner {
            shard.sooner.notify_one();
        }
    }
}

impl Drop for Deadlines {
    fn drop(&mut self) {
        for shard in self.shards.get().into_iter().flatten() {
            shard.sooner.notify_one();
        }
    }
}

async fn drive(shared: Weak<Shared>, shard: Arc<Shard>) {
    loop {
        let Some(next) = shared.upgrade().map(|shared| shard.advance(&shared)) else { return };
        // The server is not held while waiting; when it goes, the last to hold it wakes this task.
        match next {
            Some(at) => drop(tokio::time::timeout_at(at, shard.sooner.notified()).await),
            None => shard.sooner.notified().await,
        }
    }
}

impl Shard {
    /// Handles what is due; returns when the next deadline is.
    fn advance(&self, shared: &Shared) -> Option<Instant> {
        loop {
            let now = shared.clock.now();
            let mut due = Vec::new();
            let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
            while heap.peek().is_some_and(|first| first.at.0 <= now) {
                due.extend(heap.pop().and_then(|entry| Some((entry.at.0, entry.cell.upgrade()?))));
            }
            let next = heap.peek().map(|first| first.at.0);
            drop(heap);
            if due.is_empty() {
                return next.map(|at| shared.clock.instant(at));
            }
            for (at, cell) in due {
                cell.handle_deadline(at, now);
            }
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use nosphere_core::{
        Action, Attach, Connection, LinkId, Message, Opening, Protocol, ResumeToken, SessionId, Transport, Window,
    };
    use nosphere_wire::JSON;

    use super::*;
    use crate::session::Outlet;

    #[tokio::test(start_paused = true)]
    async fn a_long_life_leaves_no_entries_behind() {
        let shared = Shared::new(
            Default::default(),
            Default::default(),
            Default::default(),
            crate::admission::Admission::default(),
            Default::default(),
            matchit::Router::new(),
            None,
        );
        let shared = Arc::new(shared);
        shared.deadlines.start(&shared);
        let transport = Transport::LongPolling;
        let opening = Opening {
            session: SessionId::from_random([1; 16]),
            token: ResumeToken::from_random([2; 16]),
            attachment: 1,
            window: Window::default(),
            link: LinkId(0),
            transport,
        };
        let connection = Connection::server(&shared.session_config, Protocol::Native, opening, shared.clock.now());
        let head = crate::RequestHead::new(
            http::Request::new(()).into_parts().0,
            Arc::new(crate::endpoint::Mount::new("/")),
            Vec::new(),
        );
        let cell = Cell::new(&shared, shared.topics.enter("/"), connection, &JSON, Outlet::Carrier, head).ok().unwrap();
        for poll in 0..2000u64 {
            // The poll is answered, sometimes when its time is over; the next one comes soon.
            let action = || cell.poll_action(LinkId(poll), &JSON, &mut Context::from_waker(Waker::noop()));
            while action() != Poll::Ready(Action::Finish) {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(poll % 7 * 1000)).await;
            let attach = Attach { link: LinkId(poll + 1), transport, attachment: Some(1), received: Some(poll / 2) };
            cell.attach(attach, &JSON).unwrap();
            if poll % 2 == 0 {
                cell.send(Message::text("x")).unwrap();
            }
        }
        let entries: usize =
            shared.deadlines.shards.get().unwrap().iter().map(|shard| shard.heap.lock().unwrap().len()).sum();
        assert!(entries < 10, "{entries} entries for one session");
    }
}
