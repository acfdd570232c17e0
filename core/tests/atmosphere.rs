//! Any life of a client of atmosphere.js: what the end of SPEC §17's source demands, whatever breaks.
//!
//! The client is imitated as far as a server can tell: it takes the first thing that it reads for the handshake whenever it
//! expects one, and everything else for a message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nosphere_core::{
    Action, Attach, Batch, Config, Connection, Event, LinkId, Message, Opening, Overflow, Protocol, Reason,
    ResumeToken, SendError, SessionError, State, Text, Time, Transport, Undeliverable, Unit, Window,
};
use nosphere_wire::atmosphere::{AtmosphereFormat, Greeting};
use proptest::prelude::*;

use super::support::Grammar;

const TRANSPORTS: [Transport; 4] =
    [Transport::LongPolling, Transport::ServerSentEvents, Transport::Streaming, Transport::WebSocket];

#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    Attach(Transport),
    Break(bool),
    Close,
    Expire,
    Heartbeat,
    Leave,
    Push,
    Read,
    Send,
    SendLost,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0_u64..40_000).prop_map(Op::Advance),
        5 => prop::sample::select(TRANSPORTS.to_vec()).prop_map(Op::Attach),
        2 => any::<bool>().prop_map(Op::Break),
        2 => Just(Op::Expire),
        1 => Just(Op::Heartbeat),
        4 => Just(Op::Push),
        10 => Just(Op::Read),
        8 => Just(Op::Send),
        1 => Just(Op::SendLost),
    ]
}

fn op_or_end() -> impl Strategy<Value = Op> {
    prop_oneof![30 => op(), 1 => Just(Op::Leave), 1 => Just(Op::Close)]
}

struct World {
    connection: Connection,
    config: Arc<Config>,
    now: Time,
    modern: bool,
    tracked: bool,
    link: Option<(LinkId, Transport)>,
    links: u64,
    format: &'static AtmosphereFormat,
    /// What the client takes what comes next for.
    awaits: bool,
    /// Units of the answer to this poll, and whether it may have no more.
    answer: usize,
    alone: bool,
    sent: u64,
    /// Messages that the server took, and the client has not seen.
    due: VecDeque<String>,
    /// Messages that the client sent, and the application has not seen.
    said: VecDeque<String>,
    /// Messages that no client can show, and that did not come back.
    lost: usize,
    grammar: Grammar,
    connected: usize,
    disconnected: usize,
}

impl World {
    fn new(transport: Transport, modern: bool, tracked: bool) -> Self {
        let mut config = Config::default();
        config.max_queued_messages = 40;
        config.overflow = Overflow::DropNewest;
        config.client_heartbeat = Duration::from_secs(60);
        let config = Arc::new(config);
        let token = ResumeToken::from_random([7; 16]);
        let format = AtmosphereFormat::of(Greeting::Handshake, tracked, true);
        // A run of polls has had its handshake, by another answer.
        let polls = transport == Transport::LongPolling;
        let opening = Opening {
            session: token.session(),
            token,
            attachment: 1,
            window: Window { messages: u32::MAX, bytes: u32::MAX },
            link: LinkId(0),
            transport,
        };
        Self {
            connection: Connection::server(&config, Protocol::Atmosphere, opening, Time(0)),
            config,
            now: Time(0),
            modern,
            tracked,
            link: Some((LinkId(0), transport)),
            links: 0,
            format: if polls { format.greeting_by(Greeting::None) } else { format },
            awaits: !polls,
            answer: 0,
            alone: false,
            sent: 0,
            due: VecDeque::new(),
            said: VecDeque::new(),
            lost: 0,
            grammar: Grammar::default(),
            connected: 0,
            disconnected: 0,
        }
    }

    fn is_over(&self) -> bool {
        self.connection.state() == State::Closed
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Advance(millis) => {
                let until = Time(self.now.0 + millis);
                while let Some(at) = self.connection.poll_timeout().filter(|&at| at <= until) {
                    self.now = self.now.max(at);
                    self.connection.handle_timeout(self.now);
                    self.read();
                    self.take();
                    self.answer_pings();
                }
                self.now = until;
            }
            Op::Attach(transport) => self.attach(transport),
            Op::Break(closed) => {
                if let Some((link, transport)) = self.link.take() {
                    let closed = closed && transport == Transport::WebSocket;
                    let reason = if closed { Reason::Closed } else { Reason::Lost };
                    self.connection.handle_detach(link, reason, self.now);
                    self.awaits = self.modern;
                }
            }
            Op::Close => self.connection.close(Reason::Closed, self.now),
            Op::Expire => {
                if let Some(at) = self.connection.poll_timeout() {
                    self.now = self.now.max(at);
                    let before = self.connection.clone();
                    self.connection.handle_timeout(self.now);
                    assert_ne!(before, self.connection, "a deadline came and nothing happened");
                    self.read();
                    self.answer_pings();
                }
            }
            Op::Heartbeat => self.say("X".into(), false),
            Op::Leave => self.connection.handle_leave(self.now),
            Op::Push => {
                self.sent += 1;
                self.say(format!("p|{}", self.sent), true);
            }
            Op::Read => self.read(),
            Op::Send => {
                self.sent += 1;
                let message = format!("m|{} 😀", self.sent);
                match self.connection.send(Message::text(message.as_str()), self.now) {
                    Ok(_) => self.due.push_back(message),
                    Err(SendError::Closed(_) | SendError::Full(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Op::SendLost => {
                if self.connection.send(Message::text(" X\n"), self.now).is_ok() {
                    self.lost += 1;
                    self.due.push_back(" X\n".into());
                }
            }
        }
        self.take();
        assert!(self.connection.queued() <= self.config.max_queued_messages);
    }

    /// The client asks for a link, as it may at any time.
    fn attach(&mut self, transport: Transport) {
        self.links += 1;
        let link = LinkId(self.links);
        // To a client that asks again while its poll waits, that has broken. So has everything else.
        let run = transport == Transport::LongPolling
            && self.connection.transport() == Transport::LongPolling
            && self.link.is_none()
            && !self.awaits;
        let greeting = match transport {
            _ if self.modern => Greeting::Handshake,
            Transport::WebSocket => Greeting::Space,
            _ => Greeting::None,
        };
        let attach = Attach { link, transport, attachment: None, received: None };
        if self.connection.handle_attach(attach, self.now).is_err() {
            assert!(self.is_over());
            return;
        }
        self.format = AtmosphereFormat::of(greeting, self.tracked, true);
        self.link = Some((link, transport));
        self.awaits = self.modern && !run;
        (self.answer, self.alone) = (0, false);
    }

    /// The client reads what there is.
    fn read(&mut self) {
        while let Some((link, transport)) = self.link {
            let Some(action) = self.connection.poll_transmit(link, self.format, self.now) else { return };
            match action {
                Action::Send { unit, .. } => {
                    let text = str::from_utf8(unit.payload()).unwrap().to_owned();
                    self.answer += usize::from(transport == Transport::LongPolling);
                    // SPEC ATM-8: the handshake is by itself, lengths or not.
                    self.alone |= self.awaits;
                    self.hear(&text);
                    let alone = !self.tracked || self.alone;
                    assert!(self.answer <= 1 || !alone, "more than one answer in one: {text:?}");
                }
                Action::Ping => assert_eq!(transport, Transport::WebSocket),
                Action::Finish => {
                    assert_eq!(transport, Transport::LongPolling);
                    self.link = None;
                }
                Action::Close { .. } => {
                    self.link = None;
                    self.awaits = self.modern;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn hear(&mut self, unit: &str) {
        let text = if self.tracked && unit != " " {
            let (length, text) = unit.split_once('|').unwrap();
            assert_eq!(length.parse(), Ok(text.encode_utf16().count()));
            text
        } else {
            unit
        };
        let is_handshake = text.ends_with("|60000|X|");
        if std::mem::take(&mut self.awaits) {
            assert!(is_handshake, "{text:?} was taken for the handshake");
            return;
        }
        assert!(!is_handshake, "the page was shown a handshake");
        if text.trim().is_empty() {
            assert!(!self.modern, "the page was shown white space");
        } else if text != "X" {
            self.forgive_lost();
            assert_eq!(Some(text), self.due.pop_front().as_deref(), "lost, doubled or out of order");
        }
    }

    /// What no client can show is passed over in its turn, and comes back.
    fn forgive_lost(&mut self) {
        while self.due.front().is_some_and(|message| message == " X\n") {
            self.due.pop_front();
        }
    }

    /// A WebSocket's client answers pings by itself.
    fn answer_pings(&mut self) {
        if let Some((link, Transport::WebSocket)) = self.link {
            self.connection.handle_alive(link, self.now);
        }
    }

    fn say(&mut self, text: String, message: bool) {
        let unit = Unit::Text(Text::from(text.as_str()));
        let open = !matches!(self.connection.state(), State::Closing | State::Closed);
        if let Some((link, Transport::WebSocket)) = self.link {
            self.connection.handle_unit(link, unit, self.format, self.now);
        } else {
            let batch = Batch { attachment: None, base: None, received: None, units: vec![unit] };
            let answer = self.connection.handle_batch(batch, self.format, self.now);
            assert_eq!(answer.outcome.is_err(), self.is_over(), "{:?}", answer.outcome);
        }
        if message && open {
            self.said.push_back(text);
        }
    }

    fn take(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            self.grammar.check(&event);
            match event {
                Event::Connected { .. } => self.connected += 1,
                Event::Disconnected { .. } => self.disconnected += 1,
                Event::Text(text) => {
                    assert_ne!(&*text, "X", "a heartbeat is no message");
                    assert_eq!(Some(&*text), self.said.pop_front().as_deref());
                }
                Event::Error(SessionError::Undeliverable { message, cause: Undeliverable::Inexpressible(_) }) => {
                    assert_eq!(*message, Message::text(" X\n"));
                    self.lost -= 1;
                }
                Event::Heartbeat | Event::Resumed { .. } | Event::Suspended | Event::Writable => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The client comes back for good, and reads everything.
    fn settle(&mut self) {
        for _ in 0..200 {
            if self.is_over() || self.due.is_empty() && self.lost == 0 {
                break;
            }
            if self.link.is_none() {
                self.attach(Transport::LongPolling);
            }
            self.read();
            self.take();
            if self.lost == 0 {
                self.forgive_lost();
            }
        }
    }
}

fn live(modern: bool, tracked: bool, transport: Transport, ops: &[Op], ends: bool) {
    let mut world = World::new(transport, modern, tracked);
    world.take();
    for op in ops {
        if world.is_over() {
            break;
        }
        world.apply(op);
    }
    if !ends && !world.is_over() {
        world.settle();
        assert!(world.due.is_empty(), "{:?} never came", world.due);
        assert_eq!(world.lost, 0, "not handed back");
        assert_eq!((world.connected, world.disconnected), (1, 0));
    }
    world.connection.handle_leave(world.now);
    world.take();
    assert_eq!((world.connected, world.disconnected), (1, 1), "SPEC ATM-20");
    world.connection.handle_leave(world.now);
    world.take();
    assert_eq!(world.disconnected, 1);
    let attach = Attach { link: LinkId(1 << 40), transport, attachment: None, received: None };
    assert!(world.connection.handle_attach(attach, world.now).is_err(), "SPEC ATM-21");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1_000 }))]

    /// SPEC ATM-8, ATM-9, ATM-10, ATM-11, ATM-13, ATM-18.
    #[test]
    fn nothing_is_lost_doubled_or_taken_for_something_else(
        modern: bool,
        tracked: bool,
        transport in prop::sample::select(TRANSPORTS.to_vec()),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        live(modern, tracked, transport, &ops, false);
    }

    /// SPEC ATM-20, ATM-21, ATM-22.
    #[test]
    fn there_is_one_end_however_it_comes(
        modern: bool,
        tracked: bool,
        transport in prop::sample::select(TRANSPORTS.to_vec()),
        ops in prop::collection::vec(op_or_end(), 0..60),
    ) {
        live(modern, tracked, transport, &ops, true);
    }
}

/// SPEC ATM-2.
#[test]
fn a_token_names_its_session_without_telling_of_itself() {
    let token = ResumeToken::from_random([7; 16]);
    let id = token.session();
    assert_eq!(id, token.session());
    assert_ne!(id.as_bytes(), token.as_bytes());
    assert_ne!(id, ResumeToken::from_random([8; 16]).session());
    assert_eq!(id.to_string().as_bytes()[14], b'5', "of version 5");
}
