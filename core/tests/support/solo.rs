use std::sync::Arc;
use std::time::Duration;

use nosphere_core::{
    Action, Attach, Batch, BatchAnswer, Close, Config, Connection, Event, Fault, Frame, LinkId, Message, Opened,
    Opening, Protocol, ResumeToken, SessionId, Text, Time, Transport, Unit, Window, WireFormat,
};
use nosphere_wire::{JSON, PLAIN};

use super::{End, POLL};

/// One session whose peer is the test.
pub(crate) struct Solo {
    pub(crate) end: End,
    pub(crate) now: Time,
    pub(crate) format: &'static dyn WireFormat,
    pub(crate) link: LinkId,
    links: u64,
    attachment: u64,
}

impl Solo {
    /// A server's session, right after it was admitted.
    pub(crate) fn server(transport: Transport, config: &Arc<Config>) -> Self {
        Self::admitted(Protocol::Native, transport, config, Window::default())
    }

    /// A server's session without a protocol.
    pub(crate) fn plain(transport: Transport, config: &Arc<Config>) -> Self {
        let mut solo = Self::admitted(Protocol::Plain, transport, config, Window::default());
        solo.format = &PLAIN;
        solo
    }

    /// A server's session, right after it was admitted, for a peer with this window.
    pub(crate) fn admitted(protocol: Protocol, transport: Transport, config: &Arc<Config>, window: Window) -> Self {
        let opening = Opening {
            session: SessionId::from_random([1; 16]),
            token: ResumeToken::from_random([2; 16]),
            attachment: 1,
            window,
            link: LinkId(1),
            transport,
        };
        Self::of(Connection::server(config, protocol, opening, Time::ZERO))
    }

    /// A server's session that has said `opened` and heard an `ack`.
    pub(crate) fn proven(transport: Transport, config: &Arc<Config>) -> Self {
        let mut solo = Self::server(transport, config);
        assert!(matches!(solo.sent()[..], [Frame::Opened(_)]));
        if transport == Transport::WebSocket {
            solo.frame(ack(0));
        } else {
            assert_eq!(solo.post(0, vec![ack(0)]).outcome, Ok(()));
        }
        if transport == POLL {
            solo.poll(0).unwrap();
        }
        solo.events();
        solo
    }

    /// A client that has attached over this transport and was granted its session.
    pub(crate) fn client(transport: Transport, config: &Arc<Config>) -> Self {
        let mut solo = Self::of(Connection::client(config, Time::ZERO));
        solo.end.connection.attach(LinkId(1), transport, solo.now);
        assert!(matches!(solo.action(), Some(Action::Attach(_))));
        solo.frame(Frame::Opened(opened()));
        solo.events();
        solo
    }

    pub(crate) fn of(connection: Connection) -> Self {
        Self { end: End::new(connection), now: Time::ZERO, format: &JSON, link: LinkId(1), links: 1, attachment: 1 }
    }

    /// The peer says this over the current link.
    pub(crate) fn frame(&mut self, frame: Frame) {
        self.unit(JSON.encode(frame).unwrap());
    }

    pub(crate) fn unit(&mut self, unit: Unit) {
        self.end.connection.handle_unit(self.link, unit, self.format, self.now);
    }

    pub(crate) fn raw(&mut self, unit: &str) {
        self.unit(Unit::Text(unit.into()));
    }

    /// The client posts this.
    pub(crate) fn post(&mut self, base: u64, frames: Vec<Frame>) -> BatchAnswer {
        let units = frames.into_iter().map(|frame| JSON.encode(frame).unwrap()).collect();
        self.batch(Batch { attachment: Some(self.attachment), base: Some(base), received: None, units })
    }

    pub(crate) fn batch(&mut self, batch: Batch) -> BatchAnswer {
        self.end.connection.handle_batch(batch, self.format, self.now)
    }

    /// The client's next poll.
    pub(crate) fn poll(&mut self, received: u64) -> Result<(), Fault> {
        self.attach(POLL, Some(self.attachment), Some(received))
    }

    /// The client comes back over a new link, with the next attachment.
    pub(crate) fn resume(&mut self, transport: Transport, received: u64) -> Result<(), Fault> {
        let next = self.attachment + 1;
        self.attach(transport, Some(next), Some(received))
    }

    pub(crate) fn attach(
        &mut self,
        transport: Transport,
        attachment: Option<u64>,
        received: Option<u64>,
    ) -> Result<(), Fault> {
        self.links += 1;
        let link = LinkId(self.links);
        let attach = Attach { link, transport, attachment, received };
        self.end.connection.handle_attach(attach, self.now)?;
        self.link = link;
        self.attachment = self.end.connection.attachment();
        Ok(())
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        self.end.send(message, self.now).unwrap();
    }

    pub(crate) fn action(&mut self) -> Option<Action> {
        self.end.connection.poll_transmit(self.link, self.format, self.now)
    }

    /// Everything that the session wants done on its link, up to the link's end.
    pub(crate) fn actions(&mut self) -> Vec<Action> {
        let mut actions = vec![];
        while let Some(action) = self.action() {
            let over = matches!(action, Action::Close { .. } | Action::Finish);
            actions.push(action);
            if over {
                break;
            }
        }
        actions
    }

    /// The frames among that.
    pub(crate) fn sent(&mut self) -> Vec<Frame> {
        let unit = |action| match action {
            Action::Send { unit, .. } if unit.is_text() => {
                Some(Unit::Text(Text::from_utf8(unit.payload_bytes()).unwrap()))
            }
            Action::Send { unit, .. } => Some(Unit::Binary(unit.payload_bytes())),
            _ => None,
        };
        let units = self.actions().into_iter().filter_map(unit);
        units.map(|unit| self.format.decode(unit).unwrap()).collect()
    }

    /// What the application takes.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.end.take()
    }

    /// Time passes; every deadline on the way is met in its moment.
    pub(crate) fn advance(&mut self, millis: u64) {
        let end = Time(self.now.0 + millis);
        while let Some(at) = self.end.connection.poll_timeout().filter(|&at| at <= end) {
            let before = self.end.connection.clone();
            self.now = self.now.max(at);
            self.end.connection.handle_timeout(self.now);
            assert_ne!(before, self.end.connection, "no progress at {at}");
        }
        self.now = end;
    }
}

pub(crate) fn opened() -> Opened {
    Opened {
        session: SessionId::from_random([1; 16]),
        token: ResumeToken::from_random([2; 16]),
        heartbeat: Duration::from_secs(25),
        timeout: Duration::from_secs(20),
        proof: Duration::from_secs(10),
        resume: Duration::from_secs(120),
        window: Window::default(),
    }
}

pub(crate) fn text(text: &str) -> Frame {
    Frame::Message(Message::text(text).into_payload())
}

pub(crate) fn ack(received: u64) -> Frame {
    Frame::Ack { received }
}

pub(crate) fn ping(received: u64) -> Frame {
    Frame::Ping { received }
}

pub(crate) fn pong(received: u64) -> Frame {
    Frame::Pong { received }
}

pub(crate) fn resumed(received: u64) -> Frame {
    Frame::Resumed { received }
}

pub(crate) fn closed(received: u64) -> Frame {
    Frame::Close(Close { code: 1000, reason: Text::from_static("closed"), received })
}
