use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use mio::{Events, Poll as Queue};
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Id;
use tokio::task::coop::has_budget_remaining;

use super::task::Task;
use super::{EventLoop, TURNING};

/// The runtime's task of a loop.
pub(super) struct Driver {
    event_loop: Arc<EventLoop>,
    /// The runtime watches the queue as one more descriptor.
    queue: AsyncFd<Queue>,
    events: Events,
    /// Those who are polled next.
    batch: VecDeque<Arc<Task>>,
}

impl Driver {
    /// Within a runtime.
    pub(super) fn new(runtime: Id) -> io::Result<(Self, Arc<EventLoop>)> {
        let queue = Queue::new()?;
        let event_loop = Arc::new(EventLoop {
            runtime,
            registry: queue.registry().try_clone()?,
            sources: Default::default(),
            tasks: Some(Slab::new()).into(),
            woken: Default::default(),
            successor: Default::default(),
            orphaned: Default::default(),
        });
        #[expect(deprecated, reason = "the other one is unsafe, and a queue owns its descriptor")]
        let queue = AsyncFd::with_interest(queue, Interest::READABLE)?;
        let driver = Self {
            event_loop: Arc::clone(&event_loop),
            queue,
            events: Events::with_capacity(MAX_EVENTS),
            batch: VecDeque::new(),
        };
        Ok((driver, event_loop))
    }

    /// Polls who was woken, as long as that is this turn's, and says how much of it that was. Who uses up what a task of the
    /// runtime may do in a turn is behind all others in the next.
    fn run_woken(&mut self, rest: usize) -> usize {
        let mut spent = 0;
        if self.batch.is_empty() {
            self.event_loop.woken.take(&mut self.batch);
        }
        while spent < rest
            && let Some(task) = self.batch.pop_front()
        {
            spent += if task.poll() { MANY } else { 1 };
            if !has_budget_remaining() {
                break;
            }
        }
        spent
    }

    /// Wakes those whose sockets are ready. Pending if none is.
    fn poll_sockets(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = std::task::ready!(self.queue.poll_read_ready_mut(cx))?;
            match guard.get_inner_mut().poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let count = self.events.iter().count();
            if count < MAX_EVENTS {
                // That was all. What becomes ready from now on makes the queue ready anew.
                guard.clear_ready();
            }
            if count == 0 {
                continue;
            }
            for event in &self.events {
                // Unlocked at once: this may be the last to hold the source, which then takes itself off the list.
                let source = self.event_loop.sources.lock().get(event.token().0).and_then(Weak::upgrade);
                // Whoever has gone in the meantime has nothing to be told.
                if let Some(source) = source {
                    source.note(event);
                }
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let _turn = Turn::of(&this.event_loop);
        this.event_loop.woken.set_driver(cx.waker());
        let mut spent = 0;
        while spent < MAX_POLLED && has_budget_remaining() {
            match this.poll_sockets(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // There is nothing to be done without a queue. All sessions end as they do when a runtime shuts down.
                    tracing::error!(%error, "the event loop cannot go on");
                    return Poll::Ready(());
                }
                Poll::Pending if this.batch.is_empty() && this.event_loop.woken.is_empty() => {
                    return if this.event_loop.is_over() { Poll::Ready(()) } else { Poll::Pending };
                }
                Poll::Pending => {}
            }
            spent += this.run_woken(MAX_POLLED - spent);
        }
        // The runtime's other tasks have their turn, and its own sockets are looked at.
        pin!(tokio::task::yield_now()).poll(cx)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.event_loop.close();
    }
}

/// While a driver polls its tasks on a thread.
struct Turn {
    outer: usize,
}

impl Turn {
    fn of(event_loop: &Arc<EventLoop>) -> Self {
        Self { outer: TURNING.replace(Arc::as_ptr(event_loop) as usize) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNING.set(self.outer);
    }
}

/// How many sockets become ready at a time.
const MAX_EVENTS: usize = 256;

/// After how many polls of sessions the runtime's other tasks have their turn.
const MAX_POLLED: usize = 256;

/// As how many of these the poll of a session counts that was woken by the end of it: most likely it has handled as many events as
/// it may.
const MANY: usize = 32;
