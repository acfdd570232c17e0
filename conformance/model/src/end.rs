use nosphere_core::{Connection, Event, Message, Reason, SendError, Side, State, Time};

use crate::clockwork::Clockwork;
use crate::{Broken, Rule, Sight, Sights};

/// A connection and its application.
///
/// The n-th message that an application sends is always the same, so that what the other gets can be told to be the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct End {
    /// The real thing.
    pub connection: Connection,
    /// How many messages were accepted for sending.
    pub sent: u64,
    /// How many messages the application took.
    pub got: u64,
    /// Its process is gone: the connection is what it was then.
    pub dead: bool,
    /// What the application has seen.
    pub grammar: Grammar,
    pub(crate) clockwork: Clockwork,
}

/// Where an application is in the grammar of events (DESIGN §4):
///
/// `Connected ( Text | Json | Binary | Heartbeat | Error | Suspended Resumed | Writable )* Disconnected`
///
/// A session may end while it is suspended, and a client's may end before it was connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the states of the grammar")]
pub enum Grammar {
    /// Nothing was seen.
    #[default]
    Start,
    /// `Connected`, or `Resumed` after it.
    Connected,
    /// `Suspended`.
    Suspended,
    /// The end, and how it came.
    Disconnected(Side, Reason),
}

/// What an application took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Message,
    Nothing,
    Notice,
}

impl End {
    pub(crate) fn new(connection: Connection, now: Time) -> Self {
        let clockwork = Clockwork::new(&connection, now);
        Self { connection, sent: 0, got: 0, dead: false, grammar: Grammar::Start, clockwork }
    }

    /// The n-th message of an application, from 0: from 11 to 40 bytes with its envelope.
    pub(crate) fn message(number: u64) -> String {
        let filler = "·".repeat((number * 7 % 14) as usize);
        format!("{number}{filler}")
    }

    /// The application sends its next message.
    pub(crate) fn send(&mut self, now: Time) -> Result<(), SendError> {
        self.connection.send(Message::text(Self::message(self.sent)), now)?;
        self.sent += 1;
        Ok(())
    }

    /// The application takes one event.
    pub(crate) fn take(&mut self) -> Result<Taken, Broken> {
        let Some(event) = self.connection.poll_event() else { return Ok(Taken::Nothing) };
        self.grammar = self.grammar.after(&event)?;
        match event {
            Event::Text(text) => {
                let due = Self::message(self.got);
                if text.as_str() != due {
                    return Err(Broken::new(Rule::Order, format!("{text:?} came, and {due:?} was due")));
                }
                self.got += 1;
                Ok(Taken::Message)
            }
            Event::Error(error) => Err(Broken::new(Rule::Peace, format!("{error:?}"))),
            _ => Ok(Taken::Notice),
        }
    }

    /// It is over, and everything that its application is to be told was taken.
    pub fn is_over(&self) -> bool {
        self.dead || self.connection.state() == State::Closed && !self.connection.has_events()
    }

    /// What the application has taken, and what nothing keeps from it any more: a session that its peer has closed ends when
    /// the last message was taken (SPEC CLS-2).
    pub(crate) fn will_get(&self) -> u64 {
        match self.connection.state() {
            State::Closed => self.connection.clone().report_received(),
            State::Connecting | State::Open | State::Suspended | State::Closing => self.got,
        }
    }

    /// What there is to know in a line.
    pub(crate) fn brief(&self) -> String {
        let Self { connection, sent, got, .. } = self;
        let state = if self.dead { "dead".to_owned() } else { format!("{:?}", connection.state()) };
        let (acknowledged, queued) = (connection.acknowledged(), connection.queued());
        let link = connection.link();
        format!(
            "{state} {link:?}, {sent} sent, {acknowledged} acknowledged, {queued} queued, {got} got, {:?}",
            self.grammar
        )
    }

    /// What holds of an end at every moment.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let taken = self.connection.received();
        if taken != self.got {
            return Err(Broken::new(Rule::Count, format!("{taken} count as taken, and {} were", self.got)));
        }
        Ok(())
    }

    /// Whether every message of an end that is over was delivered or is handed back, and nothing both.
    pub(crate) fn account(&self, peer: Option<&Self>, sights: &mut Sights) -> Result<(), Broken> {
        let (got, will_get) = peer.map_or((0, 0), |peer| (peer.got, peer.will_get()));
        let acknowledged = self.connection.acknowledged();
        let left = self.connection.clone().take_undelivered();
        let (unknown, unsent) = (left.unknown.len() as u64, left.unsent.len() as u64);
        let handed_back = left.unknown.into_iter().chain(left.unsent);
        let due = (acknowledged..self.sent).map(|number| Message::text(Self::message(number)));
        sights.see_if(Sight::Unknown, unknown > 0);
        sights.see_if(Sight::Unsent, unsent > 0);
        if let Grammar::Disconnected(_, reason) = self.grammar {
            sights.see_end(reason);
        }
        if !matches!(self.grammar, Grammar::Disconnected(..)) {
            return Err(Broken::new(Rule::Grammar, format!("over, and the application saw {:?}", self.grammar)));
        }
        let complete = handed_back.eq(due);
        if !complete || will_get < acknowledged || got > acknowledged + unknown {
            let counts = format!(
                "{} sent, {acknowledged} acknowledged, {unknown} unknown, {unsent} unsent, {got} delivered",
                self.sent
            );
            return Err(Broken::new(Rule::Account, counts));
        }
        Ok(())
    }
}

impl Grammar {
    /// Where the grammar is after an event.
    ///
    /// # Errors
    ///
    /// When the event may not come here.
    pub fn after(self, event: &Event) -> Result<Self, Broken> {
        match (self, event) {
            (Self::Start | Self::Connected | Self::Suspended, Event::Disconnected { by, reason }) => {
                Ok(Self::Disconnected(*by, *reason))
            }
            (Self::Start, Event::Connected { .. }) | (Self::Suspended, Event::Resumed { .. }) => Ok(Self::Connected),
            (Self::Connected, Event::Suspended) => Ok(Self::Suspended),
            (
                Self::Connected,
                Event::Text(_)
                | Event::Json(_)
                | Event::Binary(_)
                | Event::Heartbeat
                | Event::Error(_)
                | Event::Writable,
            ) => Ok(self),
            (state, event) => Err(Broken::new(Rule::Grammar, format!("{event:?} after {state:?}"))),
        }
    }
}
