//! One task of the runtime in which many sessions live, with a readiness queue of its own for their sockets.
//!
//! To wake a task, to schedule it and to ask the runtime for readiness costs more than everything else that a short message
//! costs. Here a runtime's task is woken once for all sockets that are ready by then, and polls the sessions itself.

mod driver;
mod source;
mod task;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Wake;

use mio::{Interest, Registry, Token};
use parking_lot::Mutex;
use slab::Slab;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};

use driver::Driver;
pub(crate) use source::Source;
use task::{Task, Woken};

/// What sessions and their sockets have in common that are polled by one task.
pub(crate) struct EventLoop {
    runtime: Id,
    registry: Registry,
    /// Of sockets, what becomes ready: by the token of their registration.
    sources: Mutex<Slab<Weak<Source>>>,
    /// Every task that has not ended; `None` when the runtime has shut down.
    tasks: Mutex<Option<Slab<Arc<Task>>>>,
    woken: Woken,
    /// What the task that is being polled has begun.
    successor: Mutex<Option<Boxed>>,
    /// The thread whose sessions begin here has ended, or has another runtime now.
    orphaned: AtomicBool,
}

/// What a task does.
type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// The loop of those sessions that begin on this thread.
    static HERE: RefCell<Here> = const { RefCell::new(Here(Weak::new())) };
    /// The loop that polls its tasks on this thread right now, by its address.
    static TURNING: Cell<usize> = const { Cell::new(0) };
    /// That loop has a successor of the task that it polls.
    static SUCCEEDED: Cell<bool> = const { Cell::new(false) };
}

impl EventLoop {
    /// The loop of this thread, which is started when it is first asked for. Within a runtime.
    pub(crate) fn here() -> io::Result<Arc<Self>> {
        let runtime = Handle::current().id();
        HERE.with_borrow_mut(|here| {
            // A thread may have had another runtime before.
            let known = here.0.upgrade().filter(|known| known.runtime == runtime && known.tasks.lock().is_some());
            if let Some(known) = known {
                return Ok(known);
            }
            let (driver, event_loop) = Driver::new(runtime)?;
            tokio::spawn(driver);
            *here = Here(Arc::downgrade(&event_loop));
            Ok(event_loop)
        })
    }

    /// Takes a socket over from the runtime.
    pub(crate) fn adopt(self: &Arc<Self>, stream: TcpStream) -> io::Result<Arc<Source>> {
        let stream = mio::net::TcpStream::from_std(stream.into_std()?);
        let mut sources = self.sources.lock();
        let entry = sources.vacant_entry();
        let key = entry.key();
        let mut source = Source::new(stream, Arc::clone(self), key);
        // To drop the source takes it off the list, which is locked.
        let registered = self.registry.register(source.stream(), Token(key), Interest::READABLE | Interest::WRITABLE);
        let source = Arc::new(source);
        entry.insert(Arc::downgrade(&source));
        drop(sources);
        if self.tasks.lock().is_none() {
            source.abandon();
        }
        registered.map(|()| source)
    }

    /// A socket has closed.
    fn leave(&self, key: usize) {
        let mut sources = self.sources.lock();
        sources.remove(key);
        if sources.is_empty() && self.orphaned.load(Ordering::Acquire) {
            self.woken.wake_driver();
        }
    }

    /// Whether nobody will ever need it again.
    fn is_over(&self) -> bool {
        self.orphaned.load(Ordering::Acquire)
            && self.sources.lock().is_empty()
            && self.tasks.lock().as_ref().is_none_or(Slab::is_empty)
    }

    /// Nobody polls its tasks and watches its sockets any more.
    fn close(&self) {
        let tasks = self.tasks.lock().take();
        for (_, task) in tasks.iter().flatten() {
            task.cancel();
        }
        self.woken.close();
        // Sessions of other loops may have sockets of this one.
        let sources: Vec<_> = self.sources.lock().iter().filter_map(|(_, source)| source.upgrade()).collect();
        sources.iter().for_each(|source| source.abandon());
    }

    /// Polls a future to its end, as a task of this loop. If a task of it begins one and ends with that, as handshakes do, it goes on
    /// as the other.
    pub(crate) fn spawn(self: &Arc<Self>, future: Boxed) {
        if self.is_turning_here() && !SUCCEEDED.replace(true) {
            *self.successor.lock() = Some(future);
        } else {
            self.begin(future);
        }
    }

    /// Whether the task that was just polled has begun another one.
    #[inline]
    fn has_successor() -> bool {
        SUCCEEDED.get()
    }

    fn take_successor(&self) -> Option<Boxed> {
        SUCCEEDED.set(false);
        self.successor.lock().take()
    }

    /// The task that has begun it goes on itself.
    #[cold]
    fn begin_successor(self: &Arc<Self>) {
        self.take_successor().into_iter().for_each(|successor| self.begin(successor));
    }

    fn begin(self: &Arc<Self>, future: Boxed) {
        let mut tasks = self.tasks.lock();
        // The runtime has shut down: as its own tasks do then, this one does not begin.
        let Some(all) = tasks.as_mut() else { return };
        let entry = all.vacant_entry();
        let task = Task::new(Arc::clone(self), entry.key(), future);
        entry.insert(Arc::clone(&task));
        drop(tasks);
        task.wake();
    }

    /// Whether this loop polls its tasks on this thread right now.
    fn is_turning_here(&self) -> bool {
        TURNING.get() == std::ptr::from_ref(self) as usize
    }
}

/// A thread's hold on its loop.
struct Here(Weak<EventLoop>);

impl Drop for Here {
    fn drop(&mut self) {
        if let Some(event_loop) = self.0.upgrade() {
            event_loop.orphaned.store(true, Ordering::Release);
            event_loop.woken.wake_driver();
        }
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the session's own future, each session has these.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_a_loop_has_of_each_session_does_not_grow_unnoticed() {
        for (size, limit, what) in [
            // Eight of these are for mio's own assertions.
            (size_of::<Source>(), 72, "a socket"),
            (size_of::<Task>(), 48, "a task, but for its future"),
        ] {
            assert!(size <= limit, "{size}: {what}");
        }
    }
}
