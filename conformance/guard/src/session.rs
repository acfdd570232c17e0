//! A session of the server's role, natively, in JSON.

use std::hint::black_box;
use std::sync::Arc;

use nosphere_core::{
    Action, Attach, Config, Connection, Event, LinkId, Message, Opening, Protocol, Reason, ResumeToken, SessionId,
    Text, Time, Transport, Unit, Window,
};
use nosphere_wire::JSON;

use crate::text;

const NOW: Time = Time::ZERO;

struct Session {
    connection: Connection,
    link: LinkId,
}

impl Session {
    /// One that is open and proved, over a WebSocket.
    fn new(config: &Arc<Config>) -> Self {
        let link = LinkId(1);
        let opening = Opening {
            session: SessionId::from_random([1; 16]),
            token: ResumeToken::from_random([2; 16]),
            attachment: 1,
            window: Window { messages: 2_000, bytes: 8 << 20 },
            link,
            transport: Transport::WebSocket,
        };
        let mut session = Self { connection: Connection::server(config, Protocol::Native, opening, NOW), link };
        session.take(r#"{"ack":0}"#.into());
        session.events();
        session.transmit();
        session
    }

    fn take(&mut self, unit: Text) {
        self.connection.handle_unit(self.link, Unit::Text(unit), &JSON, NOW);
    }

    fn events(&mut self) -> usize {
        let mut messages = 0;
        while let Some(event) = self.connection.poll_event() {
            messages += usize::from(matches!(event, Event::Text(_)));
            black_box(event);
        }
        messages
    }

    fn transmit(&mut self) -> usize {
        let mut units = 0;
        while let Some(action) = self.connection.poll_transmit(self.link, &JSON, NOW) {
            units += usize::from(matches!(action, Action::Send { .. }));
            black_box(action);
        }
        units
    }

    /// The client has lost its link and comes back on another one.
    fn come_back(&mut self, received: u64) {
        self.connection.handle_detach(self.link, Reason::Lost, NOW);
        self.link = LinkId(self.link.0 + 1);
        let attach = Attach {
            link: self.link,
            transport: Transport::WebSocket,
            attachment: Some(self.link.0),
            received: Some(received),
        };
        self.connection.handle_attach(attach, NOW).expect("a good offer");
    }
}

pub(crate) fn message_in(count: usize) {
    let mut session = Session::new(&Arc::default());
    let unit = Text::from(format!(r#"{{"text":"{}"}}"#, text(100)));
    for _ in 0..count {
        session.take(unit.clone());
        assert_eq!(session.events(), 1);
        // An acknowledgement, at half a window.
        session.transmit();
    }
}

pub(crate) fn message_out(count: usize) {
    let mut session = Session::new(&Arc::default());
    let text = Text::from(text(100));
    for number in 1..=count {
        session.connection.send(text.clone(), NOW).expect("room");
        assert_eq!(session.transmit(), 1);
        if number % 128 == 0 {
            session.take(format!(r#"{{"ack":{number}}}"#).into());
        }
    }
}

pub(crate) fn open(count: usize) {
    let config = Arc::default();
    for _ in 0..count {
        black_box(Session::new(&config));
    }
}

pub(crate) fn attach(count: usize) {
    let mut session = Session::new(&Arc::default());
    for _ in 0..count {
        session.come_back(0);
        session.events();
        assert_eq!(session.transmit(), 1, "resumed");
    }
}

pub(crate) fn replay(count: usize) {
    let mut session = Session::new(&Arc::default());
    for _ in 0..1_000 {
        session.connection.send(Message::from(text(100)), NOW).expect("room");
    }
    assert_eq!(session.transmit(), 1_000);
    for _ in 0..count {
        session.come_back(0);
        session.events();
        assert_eq!(session.transmit(), 1_001, "resumed, and all of them");
    }
}
