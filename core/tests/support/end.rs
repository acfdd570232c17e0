use nosphere_core::{Connection, Event, Message, Reply, Request, SendError, Time, Undelivered};

use super::grammar::Grammar;

/// One end of a [`Pair`](super::Pair): the connection and its application.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) connection: Connection,
    /// What the application has taken, messages included.
    pub(crate) events: Vec<Event>,
    /// The messages among it.
    pub(crate) got: Vec<Message>,
    /// Replies that it took before their turn.
    pub(crate) early: Vec<Message>,
    /// What the application sent and the connection accepted.
    pub(crate) sent: Vec<Message>,
    /// The application takes nothing by itself.
    pub(crate) slow: bool,
    grammar: Grammar,
}

impl End {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            events: vec![],
            got: vec![],
            early: vec![],
            sent: vec![],
            slow: false,
            grammar: Grammar::default(),
        }
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>, now: Time) -> Result<(), SendError> {
        let message = message.into();
        self.connection.send(message.clone(), now).map(|_| self.sent.push(message))
    }

    /// Takes one event.
    pub(crate) fn take_one(&mut self) -> Option<Event> {
        let event = self.connection.poll_event()?;
        self.grammar.check(&event);
        match &event {
            Event::Text(text) => self.got.push(text.clone().into()),
            Event::Json(json) => self.got.push(json.clone().into()),
            Event::Binary(bytes) => self.got.push(bytes.clone().into()),
            Event::Request(Request { id, payload }) => self.got.push(Message::request(*id, payload.clone())),
            Event::Reply(Reply { id, payload }) => self.got.push(Message::reply(*id, payload.clone())),
            _ => {}
        }
        self.events.push(event.clone());
        Some(event)
    }

    /// Takes a reply, whatever waits before it.
    pub(crate) fn take_reply(&mut self) -> Option<Message> {
        let Reply { id, payload } = self.connection.poll_reply()?;
        let reply = Message::reply(id, payload);
        self.early.push(reply.clone());
        Some(reply)
    }

    /// Takes all events, and gives them.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.take_one()).collect()
    }

    /// Whether the application saw such an event.
    pub(crate) fn saw(&self, is: impl Fn(&Event) -> bool) -> bool {
        self.count(is) > 0
    }

    pub(crate) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|event| is(event)).count()
    }

    pub(crate) fn undelivered(&mut self) -> Undelivered {
        self.connection.take_undelivered()
    }
}
