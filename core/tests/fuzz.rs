//! Any operation on a single connection, in any state: no panic, no growth, no event out of place.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use nosphere_core::{
    Action, Attach, Batch, Connection, Event, Frame, LinkId, Message, Offer, Open, Opening, Overflow, PostAnswer,
    Protocol, Reason, ResumeToken, SessionId, State, Text, Time, Transport, Unit, Window, WireFormat,
};
use nosphere_wire::{JSON, PLAIN};
use proptest::prelude::*;

use super::support::{End, TRANSPORTS, ack, closed, config, opened, ping, pong, resumed, text};

#[derive(Clone, Debug)]
enum Op {
    Alive(u64),
    Attach(u64, Transport, Option<u64>, Option<u64>),
    Batch(Option<u64>, Option<u64>, Option<u64>, Vec<Unit>),
    ClientAttach(u64, Transport),
    Close(Reason),
    Detach(u64, Reason),
    Post,
    PostAnswer(u64, PostAnswer),
    Refused(u64, Reason),
    Send(Message),
    Take,
    TakeUndelivered,
    Time(u64),
    Timeout,
    Transmit(u64),
    TryLink(u64, Transport),
    Unit(u64, Unit),
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..6, 1 => any::<u64>()]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        6 => "[a-z]{0,40}".prop_map(|content| text(&content)),
        1 => count().prop_map(ack),
        1 => count().prop_map(ping),
        1 => count().prop_map(pong),
        1 => count().prop_map(closed),
        1 => count().prop_map(resumed),
        1 => Just(Frame::Opened(opened())),
        1 => Just(Frame::Reset { text: Text::from_static("") }),
        1 => count().prop_map(|attachment| Frame::Open(Open { attachment, window: Window::default() })),
        1 => count().prop_map(|received| Frame::Resume(Offer {
            session: SessionId::from_random([1; 16]),
            token: ResumeToken::from_random([2; 16]),
            attachment: 2,
            received,
        })),
    ]
}

fn unit() -> impl Strategy<Value = Unit> {
    prop_oneof![
        20 => frame().prop_map(|frame| JSON.encode(frame).unwrap_or(Unit::Text("{}".into()))),
        1 => Just(Unit::Text("noise".into())),
        1 => Just(Unit::Text(r#"{"json":[}"#.into())),
        1 => Just(Unit::Binary(b"bytes"[..].into())),
    ]
}

fn reason() -> impl Strategy<Value = Reason> {
    let often = [Reason::Closed, Reason::Lost, Reason::Lost, Reason::Fenced, Reason::TooLarge, Reason::UnknownSession];
    prop_oneof![
        3 => prop::sample::select(often.to_vec()),
        1 => (3_000_u16..5_000).prop_map(Reason::from_code),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        "[a-z\r]{0,60}".prop_map(Message::text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Message::binary),
        any::<i64>().prop_map(|number| Message::from(serde_json::json!({ "n": number }))),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop::sample::select(TRANSPORTS.to_vec())
}

fn op() -> impl Strategy<Value = Op> {
    let link = || 0_u64..4;
    let answer = prop_oneof![
        3 => count().prop_map(|received| PostAnswer::Accepted { received }),
        1 => Just(PostAnswer::Failed),
        1 => Just(PostAnswer::Gap),
        1 => reason().prop_map(|reason| PostAnswer::Refused { reason }),
    ];
    let count = || prop::option::of(count());
    prop_oneof![
        1 => link().prop_map(Op::Alive),
        2 => (link(), transport(), count(), count()).prop_map(|(l, t, a, r)| Op::Attach(l, t, a, r)),
        4 => (count(), count(), count(), prop::collection::vec(unit(), 0..6))
            .prop_map(|(a, b, r, units)| Op::Batch(a, b, r, units)),
        3 => (link(), transport()).prop_map(|(l, t)| Op::ClientAttach(l, t)),
        1 => prop_oneof![9 => Just(None), 1 => reason().prop_map(Some)]
            .prop_map(|reason| reason.map_or(Op::Take, Op::Close)),
        2 => (link(), reason()).prop_map(|(l, r)| Op::Detach(l, r)),
        3 => Just(Op::Post),
        3 => (0_u64..8, answer).prop_map(|(id, answer)| Op::PostAnswer(id, answer)),
        1 => (link(), reason()).prop_map(|(l, r)| Op::Refused(l, r)),
        6 => message().prop_map(Op::Send),
        4 => Just(Op::Take),
        1 => Just(Op::TakeUndelivered),
        2 => (0_u64..30_000).prop_map(Op::Time),
        2 => Just(Op::Timeout),
        8 => link().prop_map(Op::Transmit),
        1 => (link(), transport()).prop_map(|(l, t)| Op::TryLink(l, t)),
        12 => (link(), unit()).prop_map(|(l, u)| Op::Unit(l, u)),
    ]
}

/// How many events may wait: what the window allows, and a bounded number of others.
const MOST_EVENTS: usize = 4 + 200;

struct World {
    end: End,
    format: &'static dyn WireFormat,
    now: Time,
}

impl World {
    fn new(role: Role, transport: Transport) -> Self {
        let config = config(|config| {
            config.window = Window { messages: 4, bytes: 200 };
            config.max_queued_messages = 5;
            config.max_queued_bytes = 300;
            config.retained = 3;
            config.overflow = Overflow::DropOldest;
        });
        let opening = Opening {
            session: SessionId::from_random([1; 16]),
            token: ResumeToken::from_random([2; 16]),
            attachment: 1,
            window: Window { messages: 3, bytes: 100 },
            link: LinkId(0),
            transport,
        };
        let (connection, format): (_, &dyn WireFormat) = match role {
            Role::Client => (Connection::client(&config, Time::ZERO), &JSON),
            Role::Native => (Connection::server(&config, Protocol::Native, opening, Time::ZERO), &JSON),
            Role::Plain => (Connection::server(&config, Protocol::Plain, opening, Time::ZERO), &PLAIN),
        };
        Self { end: End::new(connection), format, now: Time::ZERO }
    }

    fn apply(&mut self, op: Op) {
        let (now, format) = (self.now, self.format);
        let connection = &mut self.end.connection;
        match op {
            Op::Alive(link) => connection.handle_alive(LinkId(link), now),
            Op::Attach(link, transport, attachment, received) => {
                let attach = Attach { link: LinkId(link), transport, attachment, received };
                connection.handle_attach(attach, now).unwrap_or_default();
            }
            Op::Batch(attachment, base, received, units) => {
                let answer = connection.handle_batch(Batch { attachment, base, received, units }, format, now);
                assert!(answer.received <= connection.received() + 4);
            }
            Op::ClientAttach(link, transport) => connection.attach(LinkId(link), transport, now),
            Op::Close(reason) => connection.close(reason, now),
            Op::Detach(link, reason) => connection.handle_detach(LinkId(link), reason, now),
            Op::Post => {
                if let Some(post) = connection.poll_post(format) {
                    assert!(post.units.len() <= 1_024);
                }
            }
            Op::PostAnswer(id, answer) => connection.handle_post_answer(id, answer, now),
            Op::Refused(link, reason) => connection.handle_refused(LinkId(link), reason, now),
            Op::Send(message) => drop(self.end.send(message, now)),
            Op::Take => drop(self.end.take_one()),
            Op::TakeUndelivered => {
                let left = connection.take_undelivered();
                let none = left.unknown.is_empty() && left.unsent.is_empty();
                assert!(none || connection.state() == State::Closed);
            }
            Op::Time(millis) => self.now = Time(now.0 + millis),
            Op::Timeout => self.expire(),
            Op::Transmit(link) => {
                let link = LinkId(link);
                let current = connection.link() == Some(link);
                if let Some(action) = connection.poll_transmit(link, format, now)
                    && !current
                {
                    let candidate = matches!(action, Action::Send { number: None, .. });
                    assert!(candidate || matches!(action, Action::Close { .. }), "{action:?} on an old link");
                }
            }
            Op::TryLink(link, transport) => connection.try_link(LinkId(link), transport),
            Op::Unit(link, unit) => {
                if connection.wants_read() {
                    connection.handle_unit(LinkId(link), unit, format, now);
                }
            }
        }
        self.check();
    }

    fn expire(&mut self) {
        let connection = &mut self.end.connection;
        while connection.poll_timeout().is_some_and(|at| at <= self.now) {
            let before = connection.clone();
            connection.handle_timeout(self.now);
            assert_ne!(before, *connection, "a timeout makes progress");
        }
        let before = connection.clone();
        connection.handle_timeout(self.now);
        assert_eq!(before, *connection, "a spurious timeout does nothing");
    }

    fn check(&self) {
        let connection = &self.end.connection;
        assert!(connection.queued() <= 5);
        let mut copy = connection.clone();
        assert_eq!(hash(&copy), hash(connection));
        let waiting = std::iter::from_fn(|| copy.poll_event()).count();
        assert!(waiting <= MOST_EVENTS, "{waiting} events wait");
        assert_eq!(waiting > 0, connection.has_events());
        if connection.is_finished() {
            assert_eq!((connection.state(), connection.poll_timeout()), (State::Closed, None));
        }
    }
}

fn hash(connection: &Connection) -> u64 {
    let mut hasher = DefaultHasher::new();
    connection.hash(&mut hasher);
    hasher.finish()
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Client,
    Native,
    Plain,
}

proptest! {

    // SPEC LIM-1
    #[test]
    fn any_operations_in_any_order_do_no_harm(
        role in prop::sample::select(vec![Role::Client, Role::Native, Role::Plain]),
        transport in transport(),
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let mut world = World::new(role, transport);
        ops.into_iter().for_each(|op| world.apply(op));
        // Whatever happened, it comes to an end.
        for _ in 0..10_000 {
            let Some(at) = world.end.connection.poll_timeout() else { break };
            world.now = world.now.max(at);
            world.expire();
            if let Some(link) = world.end.connection.link() {
                world.end.connection.handle_detach(link, Reason::Lost, world.now);
            }
            world.end.take();
        }
        let state = world.end.connection.state();
        if world.end.connection.poll_timeout().is_none() && state == State::Closed {
            world.end.take();
            let told = world.end.saw(|event| matches!(event, Event::Disconnected { .. }));
            prop_assert!(told);
        }
    }

    #[test]
    fn the_same_operations_at_the_same_times_have_the_same_outcome(
        transport in transport(),
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let mut worlds = [(); 2].map(|()| World::new(Role::Native, transport));
        for op in ops {
            worlds.iter_mut().for_each(|world| world.apply(op.clone()));
        }
        prop_assert_eq!(&worlds[0].end.connection, &worlds[1].end.connection);
        prop_assert_eq!(&worlds[0].end.events, &worlds[1].end.events);
    }
}
