use nosphere_core::{Connection, Event, Message, Reason, RequestId, Sent, SessionError, State, Time};
use nosphere_model::Grammar;

/// The application of a fuzzed session: it takes events, checks their order, and keeps account of its messages.
#[derive(Default)]
pub(crate) struct Application {
    grammar: Grammar,
    /// How many messages were accepted for sending, and were not dropped or replaced there and then.
    sent: u64,
    /// Of how many it was told that no link can carry them.
    undeliverable: u64,
    /// How many of them may be dropped without a word.
    volatile: u64,
    /// How many messages, and faults of messages, it took in their turn; and how many replies before it.
    taken: u64,
    early: u64,
}

impl Application {
    pub(crate) fn send(&mut self, connection: &mut Connection, message: &Message, now: Time) {
        let before = (connection.queued(), connection.dropped());
        let volatile = message.is_volatile();
        let sent = connection.send(message.clone(), now);
        match sent {
            Ok(Sent::Queued) => self.sent += 1,
            Ok(Sent::Dropped) => {
                assert!(volatile, "{message:?} was dropped");
                assert_eq!((connection.queued(), connection.dropped()), before, "what was dropped had an effect");
                return;
            }
            Ok(Sent::Replaced) => assert!(message.key().is_some(), "{message:?} replaced another"),
            Ok(sent) => panic!("{sent:?}"),
            Err(error) => return assert_eq!(error.into_message(), *message, "another message came back"),
        }
        self.volatile += u64::from(volatile);
    }

    pub(crate) fn take(&mut self, connection: &mut Connection) {
        while let Some(event) = connection.poll_event() {
            self.check(&event);
            self.check_count(connection);
        }
    }

    /// Takes a reply before its turn.
    pub(crate) fn take_reply(&mut self, connection: &mut Connection) {
        self.early += u64::from(connection.poll_reply().is_some());
        self.check_count(connection);
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
        let accounted = connection.acknowledged() + left + self.undeliverable + connection.dropped();
        let least = self.sent.saturating_sub(self.volatile);
        assert!((least..=self.sent).contains(&accounted), "{accounted} of {least} to {}", self.sent);
        assert_eq!(connection.queued(), 0);
    }

    fn check(&mut self, event: &Event) {
        self.grammar = self.grammar.after(event).unwrap_or_else(|broken| panic!("{broken}"));
        self.undeliverable += u64::from(matches!(event, Event::Error(SessionError::Undeliverable { .. })));
        self.taken += u64::from(matches!(
            event,
            Event::Text(_)
                | Event::Json(_)
                | Event::Binary(_)
                | Event::Request(_)
                | Event::Reply(_)
                | Event::Error(SessionError::Payload(_))
        ));
    }

    /// What was taken early counts when its turn comes, and nothing else counts.
    fn check_count(&self, connection: &Connection) {
        let counted = connection.received();
        let most = self.taken + self.early;
        assert!((self.taken..=most).contains(&counted), "{counted} of {} to {most}", self.taken);
    }
}

/// A message of any sort.
pub(crate) fn message(argument: u8) -> Message {
    let text = "x".repeat(usize::from(argument));
    let message = Message::text(text);
    match argument % 8 {
        0 => message.volatile(),
        1 => message.keyed("a"),
        2 => message.keyed(["a", "b"][usize::from(argument >> 3 & 1)]).volatile(),
        3 => Message::request(RequestId(u64::from(argument)), message),
        4 => Message::reply(RequestId(u64::from(argument)), message.shared()).keyed("b"),
        5 => message.keyed("b").shared(),
        _ => message,
    }
}
