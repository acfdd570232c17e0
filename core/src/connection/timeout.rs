//! What happens when time passes.

use super::{Connection, Role};
use crate::rules::Heartbeat;
use crate::timers::Timer;
use crate::{Reason, Side, State, Time};

impl Connection {
    /// Time has passed. Does what is due, and nothing if nothing is; at the moment that
    /// [`poll_timeout`](Self::poll_timeout) gave it always gets on.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.timers.expire(Timer::Tombstone, now) {
            // Closed, and from here on forgotten.
            return;
        }
        if self.timers.expire(Timer::Connect, now) {
            return self.end(Side::Network, Reason::Timeout, now);
        }
        if self.timers.expire(Timer::Proof, now) {
            if self.rules().frames || self.link.is_none() {
                return self.end(Side::Server, Reason::Unproved, now);
            }
            // A plain client has nothing to prove itself with but that it is still here.
            self.prove();
        }
        if self.timers.expire(Timer::Close, now) {
            if self.state == State::Closed {
                return self.forgo_farewell();
            }
            let side = self.own_side();
            return self.end(side, Reason::Closed, now);
        }
        if self.timers.expire(Timer::Resume, now) {
            let left = self.rules().leaves_by_closing && self.ended_link.is_some_and(|ended| ended.1 == Reason::Closed);
            let by = if left { self.peer_side() } else { Side::Network };
            return self.end(by, Reason::Expired, now);
        }
        if self.timers.expire(Timer::Liveness, now) {
            if self.wants_read() {
                return self.drop_link(Reason::Timeout, now);
            }
            // The sign of life may be there: it is this side that does not read, because its application has enough to do.
            self.timers.set(Timer::Liveness, now + self.config.timeout);
        }
        if self.timers.expire(Timer::PollGap, now) {
            self.link_lost(Reason::Lost, now);
        }
        // A client's poll that was held back goes out now.
        if self.timers.expire(Timer::PollTime, now) && self.role == Role::Server {
            self.due.ping = self.rules().heartbeat == Heartbeat::FramesUnanswered && !self.config.heartbeat.is_zero();
            self.finish_poll();
        }
        if self.timers.expire(Timer::Ping, now) {
            self.ping(now);
        }
    }

    /// The server's ping. An idle session gives back what memory its last burst left.
    fn ping(&mut self, now: Time) {
        self.ask(now);
        self.timers.set(Timer::Ping, now + self.config.heartbeat);
        self.session.outbox.shrink();
        self.session.inbox.shrink();
    }

    /// A ping is due, and its answer in time if there is to be one.
    pub(super) fn ask(&mut self, now: Time) {
        debug_assert_eq!(self.role, Role::Server);
        self.due.ping = self.rules().heartbeat != Heartbeat::None;
        if self.pings_are_answered() && !self.timers.is_set(Timer::Liveness) {
            self.timers.set(Timer::Liveness, now + self.config.timeout);
        }
    }

    /// How long a session without a link waits.
    pub(super) fn resume_window(&self) -> std::time::Duration {
        self.client.as_ref().map_or(self.config.resume, |client| client.resume())
    }
}
