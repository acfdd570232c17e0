//! Back-pressure for those who have much to send: who waits until slow recipients have caught up, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_core::Stream;
use nosphere_core::{Message, Time};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::session::{Cell, Live};
use crate::topic::Topic;
use crate::{Client, PathBroadcaster};

/// How soon a client that is waited for is asked again what it has taken: twice as long after each time,
const ASK_SOON: Duration = Duration::from_millis(4);
/// but no longer than this.
const ASK_SELDOM: Duration = Duration::from_secs(1);

/// How many sessions of a path have more than half of their queue used.
#[derive(Debug, Default)]
pub(crate) struct Congestion(AtomicUsize);

impl Congestion {
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Cell {
    /// Keeps account of whether the session is congested, and wakes who waits for the end of that.
    #[inline]
    pub(crate) fn note_room(&self, live: &mut Live) {
        let congested = live.is_congested();
        if congested != live.congested {
            self.turn(live, congested);
        }
    }

    #[cold]
    fn turn(&self, live: &mut Live, congested: bool) {
        live.congested = congested;
        let count = &self.topic().congestion().0;
        if congested {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.fetch_sub(1, Ordering::Relaxed);
            live.given_up = false;
            if let Some(room) = live.awaited.as_mut().and_then(|awaited| awaited.room.take()) {
                room.freed.notify_waiters();
            }
        }
    }

    async fn room(self: &Arc<Self>) {
        loop {
            let room;
            let freed = {
                let mut live = self.lock();
                if !live.congested {
                    return;
                }
                room = Arc::clone(live.awaited.get_or_insert_default().room.get_or_insert_default());
                // Made under the lock, it misses nothing that comes after.
                room.freed.notified()
            };
            let pause = self.change(|live, now| {
                if room.may_ask(now) {
                    live.connection.ask_received(now);
                }
                room.pause(now)
            });
            if tokio::time::timeout(pause, freed).await.is_ok() {
                return;
            }
        }
    }
}

/// Those who wait for one session. What it has in atomics changes under the session's lock.
#[derive(Debug, Default)]
pub(crate) struct Room {
    freed: Notify,
    /// How often the client was asked what it has taken,
    asked: AtomicU32,
    /// and when it may be again, in milliseconds of the server's clock.
    ask_at: AtomicU64,
}

impl Room {
    /// Whether nobody has asked the client lately.
    fn may_ask(&self, now: Time) -> bool {
        let due = self.pause(now).is_zero();
        if due {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let pause = ASK_SOON.saturating_mul(1 << asked.min(16)).min(ASK_SELDOM);
            self.ask_at.store((now + pause).0, Ordering::Relaxed);
        }
        due
    }

    fn pause(&self, now: Time) -> Duration {
        Duration::from_millis(self.ask_at.load(Ordering::Relaxed).saturating_sub(now.0))
    }
}

impl Client {
    /// Waits until not even half of this session's queue is used, or it has no link: what a handler awaits between the
    /// messages of a long answer.
    ///
    /// ```
    /// # use nosphere::{Client, Error};
    /// async fn answer(client: &Client, lines: Vec<String>) -> Result<(), Error> {
    ///     for line in lines {
    ///         client.ready().await;
    ///         client.send(line)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn ready(&self) {
        self.cell().room().await;
    }
}

/// Broadcasting no faster than the recipients read.
impl PathBroadcaster<'_> {
    /// Queues a message for everybody, once no connected recipient has more than half of its queue used; returns for how
    /// many sessions.
    ///
    /// A recipient that reads too slowly is waited for no longer than
    /// [`ServerConfig::patience`](crate::ServerConfig::patience), and then not again until it has caught up; its queue fills
    /// up meanwhile, and what then happens to it is [`Config::overflow`](crate::Config::overflow). Suspended sessions are
    /// not waited for at all.
    ///
    /// ```
    /// # async fn example(server: &nosphere::Server, lines: Vec<String>) {
    /// let broadcaster = server.broadcaster();
    /// for line in lines {
    ///     broadcaster.to("/news").send_when_ready(line).await;
    /// }
    /// # }
    /// ```
    pub async fn send_when_ready(&self, message: impl Into<Message>) -> usize {
        self.room().await;
        self.send(message)
    }

    /// Sends what a stream yields to everybody, until it ends; returns how many messages that were.
    ///
    /// The next message is asked for when the recipients have [room](Self::send_when_ready) for it, so that a stream with
    /// back-pressure of its own, a queue of a broker or a file, is held back as long as they read slowly.
    ///
    /// ```
    /// # async fn example(server: nosphere::Server, ticks: impl futures::Stream<Item = String> + Send + 'static) {
    /// let broadcaster = server.broadcaster();
    /// tokio::spawn(async move { broadcaster.to("/real-time-buzz").pump(ticks).await });
    /// # }
    /// ```
    pub async fn pump<S>(&self, stream: S) -> u64
    where
        S: Stream,
        S::Item: Into<Message>,
    {
        let mut stream = std::pin::pin!(stream);
        let mut count = 0;
        loop {
            self.room().await;
            let Some(message) = std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await else { return count };
            self.send(message);
            count += 1;
        }
    }

    /// Waits for those who are congested, all of them together no longer than the patience.
    async fn room(&self) {
        let mut deadline = None;
        loop {
            let topics = self.all_topics();
            let Some(slow) = topics.iter().find_map(|topic| congested_member(topic)) else { return };
            let deadline = *deadline.get_or_insert_with(|| Instant::now().checked_add(self.shared().config.patience));
            let Some(deadline) = deadline else {
                slow.room().await;
                continue;
            };
            if tokio::time::timeout_at(deadline, slow.room()).await.is_err() {
                topics.iter().for_each(|topic| give_up(topic));
                return;
            }
        }
    }
}

/// Somebody who is waited for.
fn congested_member(topic: &Topic) -> Option<Arc<Cell>> {
    if topic.congestion().is_none() {
        return None;
    }
    let waited_for = |cell: &&Arc<Cell>| {
        let live = cell.lock();
        live.congested && !live.given_up
    };
    topic.members().values().find(waited_for).cloned()
}

/// Those who are congested now are not waited for until that is over.
fn give_up(topic: &Topic) {
    for cell in topic.members().values() {
        let mut live = cell.lock();
        live.given_up = live.congested;
    }
}
