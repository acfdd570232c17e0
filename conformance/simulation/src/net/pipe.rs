//! A connection in memory, with a delay, and everything that can go wrong with one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::cut_later;
use crate::coverage::Covered;
use crate::plan::{NetPlan, Seen};
use crate::random::Rng;
use crate::world::World;

/// An end of a connection.
pub(crate) struct End {
    conn: Arc<Conn>,
    side: Side,
    timer: Option<Pin<Box<Sleep>>>,
    vectored: bool,
}

/// Whose end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// Both directions of a connection.
pub(crate) struct Conn {
    world: World,
    state: Mutex<State>,
}

struct State {
    up: Direction,
    down: Direction,
    /// Who sees that it is broken.
    client_cut: bool,
    server_cut: bool,
}

struct Direction {
    queue: VecDeque<(u64, Bytes)>,
    buffered: usize,
    capacity: usize,
    /// When the last byte arrives.
    last: u64,
    delay: (u64, u64),
    extra: u64,
    rng: Rng,
    fate: Fate,
    /// The writer has said that nothing more comes.
    finished: bool,
    /// Nobody reads any more.
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// What is written arrives.
    Arrives,
    /// It gets lost, and that breaks the connection.
    Breaks,
    /// It gets lost.
    Lost,
}

/// A connection of a client to the server.
pub(super) fn pair(world: &World, plan: &NetPlan, rng: &mut Rng) -> (End, End) {
    let mut direction = |delay| Direction {
        queue: VecDeque::new(),
        buffered: 0,
        capacity: plan.buffer,
        last: world.now(),
        delay,
        extra: 0,
        rng: Rng::new(rng.next(), "direction", 0),
        fate: Fate::Arrives,
        finished: false,
        abandoned: false,
        reader: None,
        writer: None,
    };
    let (up, down) = (direction(plan.up), direction(plan.down));
    let state = State { up, down, client_cut: false, server_cut: false };
    let conn = Arc::new(Conn { world: world.clone(), state: Mutex::new(state) });
    let end = |side, vectored| End { conn: Arc::clone(&conn), side, timer: None, vectored };
    (end(Side::Client, false), end(Side::Server, plan.vectored))
}

impl Conn {
    /// The connection breaks. Whoever does not see it writes into the void.
    pub(super) fn cut(&self, seen: Seen) {
        let mut state = self.lock();
        match seen {
            Seen::ByBoth => (state.client_cut, state.server_cut) = (true, true),
            Seen::ByClient => state.client_cut = true,
            Seen::ByServer => state.server_cut = true,
        }
        state.swallow();
        state.wake();
    }

    /// Everything that is on its way or comes after it disappears.
    pub(super) fn swallow(&self) {
        self.lock().swallow();
    }

    /// Nothing arrives before a time.
    pub(super) fn stall(&self, until: u64) {
        let mut state = self.lock();
        for direction in state.both() {
            direction.last = direction.last.max(until);
            direction.queue.iter_mut().for_each(|(at, _)| *at = (*at).max(until));
        }
        state.wake();
    }

    /// What is late arrives, and what is broken is seen to be.
    pub(super) fn heal(&self) {
        let now = self.world.now();
        let mut state = self.lock();
        for direction in state.both() {
            direction.extra = 0;
            direction.last = direction.last.min(now);
            direction.queue.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
        }
        if state.both().iter().any(|direction| direction.fate != Fate::Arrives) {
            (state.client_cut, state.server_cut) = (true, true);
        }
        state.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn both(&mut self) -> [&mut Direction; 2] {
        [&mut self.up, &mut self.down]
    }

    fn swallow(&mut self) {
        for direction in self.both() {
            direction.fate = Fate::Lost;
            direction.queue.clear();
        }
    }

    fn wake(&mut self) {
        for direction in self.both() {
            let wakers = [direction.reader.take(), direction.writer.take()];
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }

    fn is_cut(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client_cut,
            Side::Server => self.server_cut,
        }
    }
}

impl End {
    pub(super) fn weak(&self) -> Weak<Conn> {
        Arc::downgrade(&self.conn)
    }

    /// What the client writes arrives so much later.
    pub(super) fn delay(&self, time: u64) {
        self.conn.world.cover(Covered::LateRequests);
        self.conn.lock().up.extra = time;
    }

    /// What the client writes is lost, and sooner or later the connection breaks.
    pub(super) fn lose_request(&self) {
        self.conn.world.cover(Covered::LostRequests);
        let mut state = self.conn.lock();
        state.up.fate = Fate::Breaks;
    }

    /// What the server answers is lost, and so the connection breaks.
    pub(super) fn lose_response(&self) {
        self.conn.world.cover(Covered::LostResponses);
        self.conn.lock().down.fate = Fate::Breaks;
    }

    /// Whether the peer is still there, as far as one can see.
    pub(crate) fn is_usable(&self) -> bool {
        let mut state = self.conn.lock();
        let broken = state.is_cut(self.side);
        let (incoming, outgoing) = self.directions(&mut state);
        !broken && !incoming.finished && !outgoing.abandoned && incoming.queue.is_empty()
    }

    /// Ends the connection at once, both ways.
    pub(crate) fn abort(self) {
        self.conn.cut(Seen::ByBoth);
    }

    fn directions<'a>(&self, state: &'a mut State) -> (&'a mut Direction, &'a mut Direction) {
        match self.side {
            Side::Client => (&mut state.down, &mut state.up),
            Side::Server => (&mut state.up, &mut state.down),
        }
    }

    fn wait(&mut self, until: u64, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.conn.world.instant(until);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    fn write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.conn.world.act();
        let now = self.conn.world.now();
        let mut state = self.conn.lock();
        if state.is_cut(self.side) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let (_, direction) = self.directions(&mut state);
        // Whoever writes into the void is not told that nobody is there.
        if direction.finished || direction.abandoned && direction.fate == Fate::Arrives {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = direction.capacity.saturating_sub(direction.buffered);
        if room == 0 {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = Vec::new();
        for slice in slices {
            bytes.extend_from_slice(&slice[..slice.len().min(room - bytes.len())]);
        }
        let count = bytes.len();
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        direction.buffered += count;
        let (low, high) = direction.delay;
        direction.last = direction.last.max(now + direction.extra + direction.rng.range(low, high));
        match direction.fate {
            Fate::Arrives => direction.queue.push_back((direction.last, bytes.into())),
            Fate::Lost => {}
            Fate::Breaks => {
                direction.fate = Fate::Lost;
                let time = direction.last - now;
                // As long as the answer would have taken, or much longer.
                let time = if direction.rng.chance(60) { time } else { direction.rng.skewed(time, time + 30_000) };
                cut_later(vec![Arc::downgrade(&self.conn)], time);
            }
        }
        if let Some(reader) = direction.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.conn.world.act();
        loop {
            let now = self.conn.world.now();
            let conn = Arc::clone(&self.conn);
            let mut state = conn.lock();
            if state.is_cut(self.side) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let (direction, _) = self.directions(&mut state);
            let next = match direction.queue.front_mut() {
                Some((at, bytes)) if *at <= now => {
                    let count = bytes.len().min(buffer.remaining());
                    buffer.put_slice(&bytes[..count]);
                    bytes.advance(count);
                    if bytes.is_empty() {
                        direction.queue.pop_front();
                    }
                    direction.buffered -= count;
                    if let Some(writer) = direction.writer.take() {
                        writer.wake();
                    }
                    return Poll::Ready(Ok(()));
                }
                Some((at, _)) => Some(*at),
                None if direction.finished && direction.fate == Fate::Arrives => {
                    if direction.last <= now {
                        return Poll::Ready(Ok(()));
                    }
                    Some(direction.last)
                }
                None => None,
            };
            direction.reader = Some(cx.waker().clone());
            drop(state);
            match next {
                Some(at) if self.wait(at, cx).is_ready() => {}
                Some(_) | None => return Poll::Pending,
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.conn.lock();
        let (_, direction) = self.directions(&mut state);
        direction.finish();
        Poll::Ready(Ok(()))
    }
}

impl Direction {
    fn finish(&mut self) {
        self.finished = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.conn.lock();
        let (incoming, outgoing) = self.directions(&mut state);
        outgoing.finish();
        incoming.abandoned = true;
        if let Some(writer) = incoming.writer.take() {
            writer.wake();
        }
    }
}
