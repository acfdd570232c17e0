use nosphere_core::{Connection, Event, Message, Reason, Reply, SendError, Sent, Side, State, Time};

use crate::clockwork::Clockwork;
use crate::sort::{Numbers, arrived, message_of};
use crate::{Broken, Rule, Sight, Sights, Sort};

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
    /// How many messages the application took when it was their turn.
    pub got: u64,
    /// Its process is gone: the connection is what it was then.
    pub dead: bool,
    /// What the application has seen.
    pub grammar: Grammar,
    pub(crate) clockwork: Clockwork,
    /// Of what sort the messages of both applications are, by turns.
    sorts: &'static [Sort],
    /// Those of its messages that do not go out: they were dropped, or replaced, and the application was told.
    pub(crate) gone: Numbers,
    /// Which messages of its peer it took.
    pub(crate) taken: Numbers,
    /// And which of these before their turn.
    early: Numbers,
}

/// Where an application is in the grammar of events (DESIGN §4):
///
/// `Connected ( Text | Json | Binary | Request | Reply | Heartbeat | Error | Suspended Resumed | Writable )* Disconnected`
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

/// What was handed to a connection.
pub(crate) type Accepted = Result<Sent, SendError>;

impl End {
    pub(crate) fn new(connection: Connection, sorts: &'static [Sort], now: Time) -> Self {
        let clockwork = Clockwork::new(&connection, now);
        let (gone, taken, early) = Default::default();
        Self { connection, sent: 0, got: 0, dead: false, grammar: Grammar::Start, clockwork, sorts, gone, taken, early }
    }

    fn sort(&self, number: u64) -> Sort {
        match self.sorts {
            [] => Sort::Plain,
            sorts => sorts[number as usize % sorts.len()],
        }
    }

    /// The n-th message of an application, from 0.
    fn message(&self, number: u64) -> Message {
        self.sort(number).message(number)
    }

    /// The application sends its next message.
    pub(crate) fn send(&mut self, now: Time) -> Accepted {
        let sent = self.connection.send(self.message(self.sent), now)?;
        match sent {
            Sent::Dropped => self.gone.insert(self.sent),
            // There is one key, and only the newest message of a key is ever replaced.
            Sent::Replaced => {
                let older = (0..self.sent).rfind(|&number| self.sort(number) == Sort::Keyed);
                older.into_iter().for_each(|number| self.gone.insert(number));
            }
            _ => {}
        }
        self.sent += 1;
        Ok(sent)
    }

    /// The application takes one event.
    pub(crate) fn take(&mut self) -> Result<Taken, Broken> {
        let Some(event) = self.connection.poll_event() else { return Ok(Taken::Nothing) };
        self.grammar = self.grammar.after(&event)?;
        if let Some(message) = message_of(&event) {
            let number = self.recognise(&message)?;
            self.in_turn(number)?;
            self.taken.insert(number);
            self.got += 1;
            return Ok(Taken::Message);
        }
        match event {
            Event::Error(error) => Err(Broken::new(Rule::Peace, format!("{error:?}"))),
            _ => Ok(Taken::Notice),
        }
    }

    /// The application takes a reply, whatever waits before it. Whether there was one.
    pub(crate) fn take_reply(&mut self) -> Result<bool, Broken> {
        let Some(Reply { id, payload }) = self.connection.poll_reply() else { return Ok(false) };
        let number = self.recognise(&Message::reply(id, payload))?;
        self.taken.insert(number);
        self.early.insert(number);
        Ok(true)
    }

    /// Which message of its peer this is, if it may come at all.
    fn recognise(&self, message: &Message) -> Result<u64, Broken> {
        let wrong = |how: &str| Broken::new(Rule::Order, format!("{message:?} {how}"));
        let number = Sort::number(message.payload()).ok_or_else(|| wrong("was never sent"))?;
        if arrived(&self.message(number)) != *message {
            return Err(wrong("is not what was sent"));
        }
        if self.taken.contains(number) {
            return Err(wrong("came twice"));
        }
        Ok(number)
    }

    /// Whether it is the turn of a message, as far as its receiver can tell: of those that may not be left out, none before it
    /// is missing, and nothing comes late. What is keyed overtakes others, but not newer ones of its key.
    fn in_turn(&self, number: u64) -> Result<(), Broken> {
        let keyed = self.sort(number) == Sort::Keyed;
        let alike = Numbers::ALL.filter(|other| (self.sort(other) == Sort::Keyed) == keyed);
        let later = self.taken.and(alike).without(self.early).without(Numbers::below(number));
        let firm = |other| matches!(self.sort(other), Sort::Plain | Sort::Reply | Sort::Request);
        let missing = alike.and(Numbers::below(number)).without(self.taken).filter(firm);
        if later.is_empty() && missing.is_empty() {
            return Ok(());
        }
        let how = format!("{number} came, without {missing:?} and after {later:?}");
        Err(Broken::new(Rule::Order, how))
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
        let counted = self.connection.received();
        let (least, most) = (self.got, self.got + self.early.len());
        if counted < least || counted > most {
            return Err(Broken::new(Rule::Count, format!("{counted} count as taken, and {least} to {most} were")));
        }
        Ok(())
    }

    /// Whether replies were taken before their turn, which has not come yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.connection.received() < self.got + self.early.len()
    }

    /// What holds of what two ends know of each other.
    pub(crate) fn check_peer(&self, peer: &Self) -> Result<(), Broken> {
        let forged = peer.taken.without(Numbers::below(self.sent));
        let revived = peer.taken.and(self.gone);
        if forged.is_empty() && revived.is_empty() {
            return Ok(());
        }
        Err(Broken::new(
            Rule::Order,
            format!("{forged:?} came without being sent, and {revived:?} although it was not"),
        ))
    }

    /// What the application sent and was not told to be dropped or replaced.
    pub(crate) fn sent_for_good(&self) -> Numbers {
        Numbers::below(self.sent).without(self.gone)
    }

    /// The same without what may be dropped later.
    pub(crate) fn due(&self) -> Numbers {
        self.sent_for_good().filter(|number| self.sort(number) != Sort::Volatile)
    }

    /// Whether every message of an end that is over was delivered or is handed back, and nothing both.
    pub(crate) fn account(&self, peer: Option<&Self>, sights: &mut Sights) -> Result<(), Broken> {
        let (taken, will_get) = peer.map_or_else(Default::default, |peer| (peer.taken, peer.will_get()));
        let acknowledged = self.connection.acknowledged();
        let left = self.connection.clone().take_undelivered();
        sights.see_if(Sight::Unknown, !left.unknown.is_empty());
        sights.see_if(Sight::Unsent, !left.unsent.is_empty());
        if let Grammar::Disconnected(_, reason) = self.grammar {
            sights.see_end(reason);
        }
        if !matches!(self.grammar, Grammar::Disconnected(..)) {
            return Err(Broken::new(Rule::Grammar, format!("over, and the application saw {:?}", self.grammar)));
        }
        let unknown = self.handed_back(&left.unknown)?;
        let unsent = self.handed_back(&left.unsent)?;
        // What is not handed back was taken, or will be: a peer that has closed in order may have some waiting.
        let lost = self.due().without(taken).without(unknown.or(unsent));
        let waiting = will_get.saturating_sub(peer.map_or(0, |peer| peer.connection.received()));
        let exact = self.sorts.is_empty().then(|| Numbers::below(self.sent).without(Numbers::below(acknowledged)));
        let complete = lost.len() <= waiting && exact.is_none_or(|due| due == unknown.or(unsent));
        // A reply that was taken before its turn counts as little as what was never taken, if its turn does not come.
        let counted = peer.map_or_else(Default::default, |peer| taken.without(peer.early));
        let twice = unknown.and(unsent).or(counted.and(unsent)).or(unknown.or(unsent).and(self.gone));
        if !complete || !twice.is_empty() || will_get < acknowledged || counted.len() > acknowledged + unknown.len() {
            let counts = format!(
                "{} sent, {acknowledged} acknowledged, {unknown:?} unknown, {unsent:?} unsent, {:?} gone, {taken:?} taken",
                self.sent, self.gone
            );
            return Err(Broken::new(Rule::Account, counts));
        }
        Ok(())
    }

    /// Which of its messages came back. They come in the order in which they were sent, or were to be.
    fn handed_back(&self, messages: &[Message]) -> Result<Numbers, Broken> {
        let mut back = Numbers::default();
        for message in messages {
            let number = Sort::number(message.payload()).filter(|&number| self.message(number) == *message);
            let alike = |other| (self.sort(other) == Sort::Keyed) == message.key().is_some();
            match number {
                Some(number) if back.filter(alike).without(Numbers::below(number)).is_empty() => back.insert(number),
                _ => return Err(Broken::new(Rule::Account, format!("{message:?} is handed back after {back:?}"))),
            }
        }
        Ok(back)
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
                | Event::Request(_)
                | Event::Reply(_)
                | Event::Heartbeat
                | Event::Error(_)
                | Event::Writable,
            ) => Ok(self),
            (state, event) => Err(Broken::new(Rule::Grammar, format!("{event:?} after {state:?}"))),
        }
    }
}
