use nosphere_core::{Connection, Event, Message, Reason, SessionError, State, Time};
use nosphere_model::Grammar;

/// The application of a fuzzed session: it takes events, checks their order, and keeps account of its messages.
#[derive(Default)]
pub(crate) struct Application {
    grammar: Grammar,
    /// How many messages were accepted for sending, and of how many it was told that no link can carry them.
    sent: u64,
    undeliverable: u64,
}

impl Application {
    pub(crate) fn send(&mut self, connection: &mut Connection, message: Message, now: Time) {
        self.sent += u64::from(connection.send(message, now).is_ok());
    }

    pub(crate) fn take(&mut self, connection: &mut Connection) {
        while let Some(event) = connection.poll_event() {
            self.check(&event);
        }
    }

    /// However it stood, the session ends if nobody does anything any more, and every message is accounted for.
    pub(crate) fn end(&mut self, connection: &mut Connection, mut now: Time) {
        connection.close(Reason::GoingAway, now);
        for _ in 0..64 {
            self.take(connection);
            let Some(at) = connection.poll_timeout() else { break };
            now = now.max(at);
            connection.handle_timeout(now);
        }
        self.take(connection);
        assert_eq!(connection.state(), State::Closed);
        assert!(matches!(self.grammar, Grammar::Disconnected(..)), "no Disconnected");
        assert_eq!(connection.poll_timeout(), None);
        let left = connection.take_undelivered();
        let left = (left.unknown.len() + left.unsent.len()) as u64;
        assert_eq!(connection.acknowledged() + left + self.undeliverable + connection.dropped(), self.sent);
        assert_eq!(connection.queued(), 0);
    }

    fn check(&mut self, event: &Event) {
        self.grammar = self.grammar.after(event).unwrap_or_else(|broken| panic!("{broken}"));
        self.undeliverable += u64::from(matches!(event, Event::Error(SessionError::Undeliverable { .. })));
    }
}
