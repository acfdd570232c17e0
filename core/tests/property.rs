//! Any sequence of sends, deliveries, losses and takeovers: nothing is lost, doubled or reordered.

use nosphere_core::{Event, Message, Overflow, Reason, RequestId, State, Time, Transport};
use proptest::prelude::*;

use super::support::{Dir, End, Packet, Pair, TRANSPORTS, config};

#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    Attach(Transport),
    Close(Dir),
    Cut,
    /// Delivers the next packet of the n-th channel that has one.
    Deliver(usize),
    Duplicate,
    Expire,
    Lose(usize),
    Send(Dir),
    Swallow,
    Take(Dir, usize),
    TakeReply(Dir),
    Transmit,
    TryLink,
}

fn transport() -> impl Strategy<Value = Transport> {
    prop::sample::select(TRANSPORTS.to_vec())
}

fn dir() -> impl Strategy<Value = Dir> {
    prop_oneof![Just(Dir::Up), Just(Dir::Down)]
}

/// What goes wrong between two ends that mean well.
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (0_u64..500).prop_map(Op::Advance),
        2 => transport().prop_map(Op::Attach),
        1 => Just(Op::Cut),
        8 => (0_usize..6).prop_map(Op::Deliver),
        1 => Just(Op::Duplicate),
        1 => (0_usize..6).prop_map(Op::Lose),
        5 => dir().prop_map(Op::Send),
        1 => Just(Op::Swallow),
        3 => (dir(), 1_usize..5).prop_map(|(dir, n)| Op::Take(dir, n)),
        8 => Just(Op::Transmit),
        1 => Just(Op::TryLink),
    ]
}

/// The same, with applications that wait for replies.
fn op_or_reply() -> impl Strategy<Value = Op> {
    prop_oneof![15 => op(), 1 => dir().prop_map(Op::TakeReply)]
}

/// The same, and ends.
fn op_or_end() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => op_or_reply(),
        1 => dir().prop_map(Op::Close),
        1 => (1_000_u64..60_000).prop_map(Op::Advance),
        1 => Just(Op::Expire),
    ]
}

struct World {
    pair: Pair,
    sends: usize,
    /// Messages are of every sort: requests, replies, volatile and keyed ones.
    mixed: bool,
}

impl World {
    fn new(transport: Transport, open: bool) -> Self {
        let small = config(|config| {
            config.window = nosphere_core::Window { messages: 3, bytes: 60 };
            config.max_queued_messages = 12;
            config.overflow = Overflow::DropNewest;
            config.resume = std::time::Duration::from_secs(600);
        });
        let mut pair =
            if open { Pair::open_with(transport, &small, &small) } else { Pair::new(transport, &small, &small) };
        pair.auto = false;
        pair.client.slow = true;
        pair.servers.iter_mut().for_each(|server| server.slow = true);
        Self { pair, sends: 0, mixed: false }
    }

    fn mixed(transport: Transport, open: bool) -> Self {
        Self { mixed: true, ..Self::new(transport, open) }
    }

    fn apply(&mut self, op: &Op) {
        let pair = &mut self.pair;
        let now = pair.now;
        match *op {
            Op::Advance(millis) => {
                pair.now = Time(now.0 + millis);
                pair.expire();
            }
            Op::Attach(transport) => {
                if pair.client.connection.state() != State::Closed {
                    pair.transport = transport;
                    pair.attach();
                }
            }
            Op::Close(Dir::Up) => pair.client.connection.close(Reason::Closed, now),
            Op::Close(Dir::Down) => {
                if let Some(server) = pair.servers.last_mut() {
                    server.connection.close(Reason::GoingAway, now);
                }
            }
            Op::Cut => {
                if let Some(&link) = pair.links().first() {
                    pair.cut(link);
                }
            }
            Op::Deliver(n) => {
                let mut channels = vec![];
                for (index, sent) in pair.flight.iter().enumerate() {
                    if !channels.iter().any(|&(_, link, dir)| (link, dir) == (sent.link, sent.dir)) {
                        channels.push((index, sent.link, sent.dir));
                    }
                }
                if !channels.is_empty() {
                    pair.deliver(channels[n % channels.len()].0);
                }
                pair.servers.iter_mut().for_each(|server| server.slow = true);
            }
            Op::Duplicate => {
                let post = pair.flight.iter().find(|sent| matches!(sent.packet, Packet::Post(_))).cloned();
                pair.flight.extend(post);
            }
            Op::Expire => {
                if let Some(at) = pair.client.connection.poll_timeout() {
                    pair.now = now.max(at);
                    pair.expire();
                }
            }
            Op::Lose(n) => {
                let lossy = |sent: &&super::support::Sent| {
                    matches!(sent.packet, Packet::Post(_) | Packet::Posted(..) | Packet::Answer(..))
                };
                let lost = pair.flight.iter().filter(lossy).nth(n).cloned();
                match lost.as_ref().map(|sent| &sent.packet) {
                    Some(Packet::Answer(..)) => pair.lose_answer(),
                    Some(_) => pair.lose_post(),
                    None => {}
                }
            }
            Op::Send(dir) => {
                self.sends += 1;
                // From 11 to 40 bytes with their envelopes, of a window of 60.
                let message = Message::text(format!("{}{}", self.sends, "·".repeat(self.sends * 7 % 14)));
                let message = if self.mixed { of_some_sort(self.sends, message) } else { message };
                match dir {
                    Dir::Up => drop(pair.client.send(message, now)),
                    Dir::Down => drop(pair.servers.last_mut().map(|server| server.send(message, now))),
                }
            }
            Op::Swallow => {
                if let Some(&link) = pair.links().last() {
                    pair.swallow(link);
                }
            }
            Op::Take(dir, n) => {
                let end = match dir {
                    Dir::Up => Some(&mut pair.client),
                    Dir::Down => pair.servers.last_mut(),
                };
                if let Some(end) = end {
                    (0..n).for_each(|_| drop(end.take_one()));
                }
            }
            Op::TakeReply(dir) => {
                let end = match dir {
                    Dir::Up => Some(&mut pair.client),
                    Dir::Down => pair.servers.last_mut(),
                };
                drop(end.and_then(End::take_reply));
            }
            Op::Transmit => pair.transmit(),
            Op::TryLink => {
                pair.try_link();
            }
        }
        self.check();
    }

    /// What holds at every moment.
    fn check(&self) {
        let Pair { client, servers, .. } = &self.pair;
        for server in servers {
            let mine = server.connection.session() == client.connection.session();
            delivered(if mine { &client.sent } else { &[] }, server);
            if mine {
                delivered(&server.sent, client);
            }
        }
        for end in servers.iter().chain([client]) {
            assert!(end.connection.queued() <= 12);
            assert!(!end.saw(|event| matches!(event, Event::Error(_))), "{:?}", end.events);
            let same = end.connection.clone();
            assert_eq!(same, end.connection);
        }
    }

    /// From here on the network is good and the applications take what there is.
    fn heal(&mut self) {
        let pair = &mut self.pair;
        pair.auto = true;
        pair.client.slow = false;
        pair.servers.iter_mut().for_each(|server| server.slow = false);
        // A link that swallows everything is noticed by the deadlines.
        pair.advance(100_000);
    }
}

/// The n-th message of a world where they are of every sort.
fn of_some_sort(n: usize, message: Message) -> Message {
    match n % 8 {
        0 => message.volatile(),
        1 => message.keyed("a"),
        2 => message.keyed("b").volatile(),
        3 => Message::request(RequestId(n as u64), message),
        4 => Message::reply(RequestId(n as u64), message).shared(),
        _ => message,
    }
}

fn is_firm(message: &Message) -> bool {
    !message.is_volatile() && message.key().is_none()
}

/// The same as its peer sees it.
fn plain(message: &Message) -> Message {
    if is_firm(message) { message.clone() } else { message.clone().into_payload().into() }
}

/// What a side took of what its peer sent: no message twice, those that may not be dropped or overtaken in their order and
/// without a gap, volatile ones between them where they belong, and of each key always a newer one.
fn delivered(sent: &[Message], to: &End) {
    let at = |message: &Message| {
        let is = |sent: &Message| plain(sent) == *message;
        sent.iter().position(is).unwrap_or_else(|| panic!("{message:?} was never sent"))
    };
    let early: Vec<_> = to.early.iter().map(at).collect();
    let got: Vec<_> = to.got.iter().map(at).collect();
    let ordered = |of: &dyn Fn(&Message) -> bool| {
        let chosen: Vec<_> = got.iter().copied().filter(|&at| of(&sent[at])).collect();
        assert!(chosen.is_sorted_by(|a, b| a < b), "{chosen:?} of {sent:?}");
    };
    ordered(&|message| message.key().is_none());
    for key in ["a", "b"] {
        ordered(&|message| message.key().is_some_and(|of| *of == key));
    }
    assert!(!got.iter().any(|at| early.contains(at)), "{early:?} came again: {got:?}");
    assert!(early.iter().enumerate().all(|(n, at)| !early[..n].contains(at)), "{early:?}");
    let firm = (0..sent.len()).filter(|&at| is_firm(&sent[at]) && !early.contains(&at));
    let taken = got.iter().copied().filter(|&at| is_firm(&sent[at]));
    assert!(taken.eq(firm.take(got.iter().filter(|&&at| is_firm(&sent[at])).count())), "{got:?} of {sent:?}");
}

/// Everything that an ended side sent was delivered or is handed back, and nothing both.
fn accounted_for(end: &mut End, peer_got: usize) {
    let acknowledged = usize::try_from(end.connection.acknowledged()).unwrap();
    let left = end.undelivered();
    let (unknown, unsent) = (left.unknown.len(), left.unsent.len());
    assert_eq!(end.sent[acknowledged..], [left.unknown, left.unsent].concat());
    assert!(peer_got >= acknowledged, "{acknowledged} acknowledged, {peer_got} delivered");
    assert!(peer_got <= acknowledged + unknown, "{unsent} unsent, yet delivered");
}

proptest! {

    // SPEC SES-1, DLV-1, DLV-6, ATT-3, ATT-4
    #[test]
    fn once_a_link_stays_up_everything_has_arrived_once_and_in_order(
        transport in transport(),
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let mut world = World::new(transport, true);
        ops.iter().for_each(|op| world.apply(op));
        world.heal();
        world.check();
        let Pair { client, servers, .. } = &world.pair;
        prop_assert_eq!(client.connection.state(), State::Open);
        prop_assert_eq!(servers[0].connection.state(), State::Open);
        prop_assert_eq!(servers.len(), 1);
        prop_assert_eq!(&client.sent, &servers[0].got);
        prop_assert_eq!(&servers[0].sent, &client.got);
        for end in [client, &servers[0]] {
            prop_assert_eq!(end.count(|event| matches!(event, Event::Connected { .. })), 1);
        }
    }

    // SPEC DLV-1, DLV-6, DLV-7
    #[test]
    fn what_may_be_dropped_leaves_no_gap_and_takes_nothing_else_along(
        transport in transport(),
        ops in prop::collection::vec(op_or_reply(), 0..120),
    ) {
        let mut world = World::mixed(transport, true);
        ops.iter().for_each(|op| world.apply(op));
        world.heal();
        world.check();
        let Pair { client, servers, .. } = &world.pair;
        for (from, to) in [(client, &servers[0]), (&servers[0], client)] {
            prop_assert_eq!(from.connection.state(), State::Open);
            let due = from.sent.iter().filter(|message| is_firm(message));
            let missing: Vec<_> = due.filter(|due| !to.got.contains(due) && !to.early.contains(due)).collect();
            prop_assert!(missing.is_empty(), "{:?}", missing);
            // Whatever was replaced on the way, the newest price arrives.
            let price = |message: &&Message| message.key().is_some_and(|key| *key == "a");
            let newest = from.sent.iter().rfind(price).map(plain);
            prop_assert!(newest.is_none_or(|newest| to.got.contains(&newest)));
            prop_assert_eq!(to.connection.received(), from.connection.acknowledged());
        }
    }

    // SPEC SES-1, CLS-3, DLV-5
    #[test]
    fn every_end_is_told_once_and_accounts_for_every_message(
        transport in transport(),
        ops in prop::collection::vec(op_or_end(), 0..150),
        close in dir(),
    ) {
        let mut world = World::new(transport, false);
        ops.iter().for_each(|op| world.apply(op));
        world.heal();
        world.apply(&Op::Close(close));
        world.heal();
        // The server may have closed a session that the client never heard of.
        world.apply(&Op::Close(Dir::Up));
        world.heal();
        world.pair.advance(2_000_000);
        world.check();
        let Pair { client, servers, .. } = &mut world.pair;
        let session = client.connection.session();
        let mut delivered = 0;
        for server in servers.iter_mut() {
            let mine = server.connection.session() == session;
            delivered += if mine { server.got.len() } else { 0 };
            accounted_for(server, if mine { client.got.len() } else { 0 });
        }
        accounted_for(client, delivered);
        for end in servers.iter().chain([&*client]) {
            let told = |event: &Event| matches!(event, Event::Disconnected { .. });
            prop_assert_eq!(end.connection.state(), State::Closed);
            prop_assert_eq!(end.count(told), 1);
            prop_assert!(end.events.last().is_some_and(told));
            prop_assert!(end.connection.is_finished(), "{:?}", end.connection);
        }
        prop_assert_eq!(world.pair.links(), []);
    }
}
