use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nosphere_core::SessionId;
use tokio::sync::Notify;

use super::driver::Driver;
use crate::session::Activity;
use crate::shared::Shared;

/// The test clients of a server, and those who wait until it has nothing more to do. Empty where nobody tests.
#[derive(Default)]
pub(crate) struct TestClients {
    drivers: Mutex<Vec<Weak<Driver>>>,
    /// How many wait for the server.
    watching: AtomicUsize,
    stirred: Notify,
}

impl TestClients {
    /// A handler has come to the end of an event, or waits in the midst of it; or a client has got on.
    ///
    /// Sessions say so under their lock: whoever watches, and finds a session busy under that lock, is told when it is not.
    pub(crate) fn stir(&self) {
        if self.watching.load(Ordering::Relaxed) > 0 {
            self.stirred.notify_waiters();
        }
    }

    pub(super) fn join(&self, driver: &Arc<Driver>) {
        let mut drivers = self.lock();
        drivers.retain(|driver| driver.strong_count() > 0);
        drivers.push(Arc::downgrade(driver));
    }

    fn all(&self) -> Vec<Arc<Driver>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Driver>>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TestClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClients").finish_non_exhaustive()
    }
}

/// Waits until a session's handler has dealt with what came so far, or waits for something in the midst of it.
pub(super) async fn attended(shared: &Shared, session: SessionId) {
    let busy = || {
        let Some(cell) = shared.table.get(session) else { return false };
        let live = cell.lock();
        live.activity == Activity::Busy || live.activity == Activity::Idle && live.connection.has_events()
    };
    watch(shared, || !busy()).await;
}

/// Waits until all clients have sent what they can send, all handlers have dealt with what came, and all clients have got
/// what can be sent to them.
pub(super) async fn settled(shared: &Shared) {
    watch(shared, || {
        // If no handler did anything between two looks, and no client could do anything meanwhile, nobody will: whatever
        // one of them might have begun at a look, the other look or the clients would show it.
        let before = census(shared);
        let drivers = shared.test_clients.all();
        let progress = drivers.iter().fold(false, |progress, driver| progress | driver.drive() | driver.is_posting());
        !progress && before.is_ok() && before == census(shared)
    })
    .await;
}

/// The paths of the sessions whose handlers are not done.
pub(super) fn busy(shared: &Shared) -> Vec<String> {
    census(shared).err().unwrap_or_default()
}

/// How many events each session's handler was given; or the paths of the sessions whose handlers are not done with theirs.
fn census(shared: &Shared) -> Result<Vec<(SessionId, u64)>, Vec<String>> {
    let (mut counts, mut busy) = (Vec::new(), Vec::new());
    for cell in shared.table.all() {
        let live = cell.lock();
        if live.activity == Activity::Idle && !live.connection.has_events() {
            counts.push((cell.id(), live.events));
        } else {
            busy.push(cell.topic().path().to_owned());
        }
    }
    if busy.is_empty() { Ok(counts) } else { Err(busy) }
}

/// Waits for a condition, looking whenever the server or a client has got on.
async fn watch(shared: &Shared, mut holds: impl FnMut() -> bool) {
    let clients = &shared.test_clients;
    let _watching = Watching::new(&clients.watching);
    loop {
        let mut stirred = std::pin::pin!(clients.stirred.notified());
        stirred.as_mut().enable();
        if holds() {
            return;
        }
        stirred.await;
    }
}

/// One who watches, until it is dropped.
struct Watching<'a>(&'a AtomicUsize);

impl<'a> Watching<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
