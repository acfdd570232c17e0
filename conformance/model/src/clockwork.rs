use std::time::Duration;

use nosphere_core::{Config, Connection, State, Time, Transport};

use crate::{Broken, Rule, Who};

/// A witness to when things happen, which knows the deadlines of SPEC.md and nothing of the timers in core.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Clockwork {
    began: Time,
    state: State,
    /// When that state began.
    since: Time,
    /// When the session was open again at last.
    opened: Time,
    linked: bool,
    /// When the link came or went.
    relinked: Time,
    heard: Time,
    /// The peer has said something, which is a client's proof (SES-6).
    spoken: bool,
    /// The first ping that nothing was heard after.
    pinged: Option<Time>,
}

impl Clockwork {
    pub(crate) fn new(connection: &Connection, now: Time) -> Self {
        let linked = connection.link().is_some();
        Self {
            began: now,
            state: connection.state(),
            since: now,
            opened: now,
            linked,
            relinked: now,
            heard: now,
            spoken: false,
            pinged: None,
        }
    }

    /// Something happened to the connection. `relinked`: it has a new link.
    pub(crate) fn observe(&mut self, connection: &Connection, relinked: bool, now: Time) {
        if connection.state() != self.state {
            (self.state, self.since) = (connection.state(), now);
            if self.state == State::Open {
                self.opened = now;
            }
        }
        if relinked || connection.link().is_some() != self.linked {
            (self.linked, self.relinked, self.pinged) = (connection.link().is_some(), now, None);
        }
    }

    pub(crate) fn hear(&mut self, now: Time) {
        (self.heard, self.spoken, self.pinged) = (now, true, None);
    }

    /// A deadline passed. If it was that of a ping, an answer is due from here on, written or not: a socket that takes
    /// nothing is as dead as one that says nothing.
    pub(crate) fn pass(&mut self, config: &Config, now: Time) {
        if self.linked && self.is_beat(config, now) {
            self.pinged.get_or_insert(now);
        }
    }

    /// The connection asked to be called at this moment, and was. Was it the right one for what it then did?
    pub(crate) fn judge(&self, who: Who, config: &Config, after: &Connection, now: Time) -> Result<(), Broken> {
        let unlinked = self.linked && after.link().is_none();
        let right = match (who, self.state, after.state()) {
            (_, State::Connecting, State::Closed) => self.is(self.began, config.connect_timeout, now),
            (Who::Server, State::Open | State::Suspended | State::Closing, State::Closed)
                if !self.spoken && self.is(self.began, config.proof, now) =>
            {
                true
            }
            (_, State::Suspended, State::Closed) => self.is(self.since, config.resume, now),
            (_, State::Closing, State::Closed) => self.is(self.since, config.close_timeout, now),
            (Who::Server, State::Open | State::Closing, _) if unlinked => {
                self.pinged.is_some_and(|pinged| self.is(pinged, config.timeout, now))
            }
            (Who::Client, _, _) if unlinked => {
                let silence = self.heard.max(self.relinked);
                [Duration::ZERO, config.heartbeat, Config::MAX_POLL_TIME]
                    .iter()
                    .any(|&interval| self.is(silence, interval + config.timeout, now))
            }
            // A closing session that is between two polls gives up the poll, not itself.
            (_, State::Open, State::Suspended) | (Who::Server, State::Closing, State::Closing) if !self.linked => {
                self.is(self.relinked.max(self.opened), config.poll_gap, now)
            }
            (Who::Server, State::Closed, State::Closed) => self.is(self.since, config.resume, now),
            (Who::Client, State::Closed, State::Closed) => self.is(self.since, config.close_timeout, now),
            (Who::Server, State::Open | State::Closing, _) if self.linked => match after.transport() {
                Transport::LongPolling => self.is(self.relinked, config.poll_time, now),
                _ => self.is_beat(config, now),
            },
            (Who::Client, State::Open | State::Closing, _) if self.linked => {
                let held = [config.poll_gap / 2, config.close_timeout / 16];
                held.iter().any(|&held| self.is(self.relinked, held, now))
            }
            (_, from, to) => {
                return Err(Broken::new(Rule::Clock, format!("nothing was due at {now}, yet {from:?} became {to:?}")));
            }
        };
        if right { Ok(()) } else { Err(Broken::new(Rule::Clock, format!("{who:?} at {now}: {self:?}"))) }
    }

    /// A closed session is remembered as long as its client may come back (SPEC CLS-4).
    pub(crate) fn is_remembered(&self, config: &Config, now: Time) -> bool {
        self.state != State::Closed || now < self.since + config.resume
    }

    fn is_beat(&self, config: &Config, now: Time) -> bool {
        now.since(self.relinked).as_millis().is_multiple_of(config.heartbeat.as_millis())
    }

    fn is(&self, start: Time, duration: Duration, now: Time) -> bool {
        start + duration == now
    }
}
