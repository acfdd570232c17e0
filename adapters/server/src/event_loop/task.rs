use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use super::{Boxed, EventLoop};
use crate::contain::caught;

/// A future that an [`EventLoop`] polls.
pub(super) struct Task {
    event_loop: Arc<EventLoop>,
    key: usize,
    /// On the list of those who are to be polled.
    listed: AtomicBool,
    /// Until it has ended. Locked by the loop's driver alone.
    future: Mutex<Option<Boxed>>,
}

impl Task {
    pub(super) fn new(event_loop: Arc<EventLoop>, key: usize, future: Boxed) -> Arc<Self> {
        Arc::new(Self { event_loop, key, listed: AtomicBool::new(false), future: Mutex::new(Some(future)) })
    }

    /// Lets it go on. Whether it was woken meanwhile, as one is that gives way after many events.
    pub(super) fn poll(self: Arc<Self>) -> bool {
        // Whoever wakes it from now on means the next time.
        self.listed.swap(false, Ordering::AcqRel);
        let waker = Waker::from(Arc::clone(&self));
        let mut future = self.future.lock();
        let Some(running) = future.as_mut() else { return false };
        // As with the runtime's own tasks, a panic ends this one and no other.
        let polled = caught(|| running.as_mut().poll(&mut Context::from_waker(&waker)));
        let waits = matches!(polled, Ok(Poll::Pending));
        drop(future);
        if !waits {
            self.end();
        }
        if EventLoop::has_successor() {
            self.event_loop.begin_successor();
        }
        self.listed.load(Ordering::Relaxed)
    }

    /// The future has ended; it goes on as what that has begun.
    #[inline(never)]
    fn end(self: &Arc<Self>) {
        let successor = self.event_loop.take_successor();
        let goes_on = successor.is_some();
        let ended = std::mem::replace(&mut *self.future.lock(), successor);
        if goes_on {
            self.wake_by_ref();
        } else {
            let entry = self.event_loop.tasks.lock().as_mut().and_then(|tasks| tasks.try_remove(self.key));
            drop(entry);
        }
        // What it owns may panic, too.
        drop(caught(|| drop(ended)));
    }

    /// It ends as it is.
    pub(super) fn cancel(&self) {
        let ended = self.future.lock().take();
        drop(caught(|| drop(ended)));
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            let event_loop = Arc::clone(&self.event_loop);
            event_loop.woken.push(&event_loop, self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.event_loop.woken.push(&self.event_loop, Arc::clone(self));
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Who is to be polled, and who is to be woken for that.
#[derive(Debug, Default)]
pub(super) struct Woken(Mutex<Woke>);

#[derive(Debug, Default)]
struct Woke {
    tasks: VecDeque<Arc<Task>>,
    driver: Option<Waker>,
    /// There is no driver any more.
    closed: bool,
}

impl Woken {
    #[inline(always)]
    fn push(&self, event_loop: &EventLoop, task: Arc<Task>) {
        let mut woke = self.0.lock();
        if woke.closed {
            return;
        }
        woke.tasks.push_back(task);
        // The driver looks at the list before it gives up its thread.
        if woke.tasks.len() == 1
            && !event_loop.is_turning_here()
            && let Some(driver) = &woke.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Takes all of them; `into` is empty, and its memory serves for the next.
    pub(super) fn take(&self, into: &mut VecDeque<Arc<Task>>) {
        std::mem::swap(&mut self.0.lock().tasks, into);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().tasks.is_empty()
    }

    /// The runtime's task that polls them.
    pub(super) fn set_driver(&self, waker: &Waker) {
        let mut woke = self.0.lock();
        if !woke.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            woke.driver = Some(waker.clone());
        }
    }

    pub(super) fn wake_driver(&self) {
        if let Some(driver) = &self.0.lock().driver {
            driver.wake_by_ref();
        }
    }

    /// Nobody polls them any more: they are let go, since each holds its loop.
    pub(super) fn close(&self) {
        let mut woke = self.0.lock();
        woke.closed = true;
        let (tasks, driver) = (std::mem::take(&mut woke.tasks), woke.driver.take());
        drop(woke);
        drop((tasks, driver));
    }
}
