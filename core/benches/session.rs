//! What a session costs: time and heap allocations. `cargo bench -p nosphere-core`
//!
//! Every connection here is a server's, native JSON over a WebSocket, with retention and acknowledgements.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use nosphere_core::{
    Arena, Attach, Config, Connection, Event, Lent, LinkId, Message, Opening, Protocol, ResumeToken, SessionId, Time,
    Transport, Window,
};
use nosphere_wire::JSON;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const LINK: LinkId = LinkId(1);
const NOW: Time = Time(1000);
/// 100 bytes of text, and its envelope.
const UNIT: &str = concat!(
    r#"{"text":""#,
    "the quick brown fox jumps over the lazy dog, and then the quick brown fox jumps over the lazy dog...",
    r#""}"#
);

fn main() {
    divan::main();
}

fn opened(config: &Arc<Config>) -> Connection {
    let opening = Opening {
        session: SessionId::from_random([1; 16]),
        token: ResumeToken::from_random([2; 16]),
        attachment: 1,
        window: Window { messages: 4096, bytes: 1 << 24 },
        link: LINK,
        transport: Transport::WebSocket,
    };
    let mut connection = Connection::server(config, Protocol::Native, opening, NOW);
    drain(&mut connection, LINK);
    connection.handle_lent(LINK, Lent::Text(r#"{"ack":0}"#), &mut Arena::default(), &JSON, NOW);
    while connection.poll_event().is_some() {}
    connection
}

/// Hands everything that is due to the link; how many units that was.
fn drain(connection: &mut Connection, link: LinkId) -> usize {
    std::iter::from_fn(|| connection.poll_transmit(link, &JSON, NOW)).map(black_box).count()
}

fn config() -> Arc<Config> {
    Arc::new(Config::default())
}

/// A session begins and says `opened`.
#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let config = config();
    bencher.bench_local(|| opened(&config));
}

/// A message comes and its handler gets it, past the queue.
#[divan::bench]
fn one_in(bencher: Bencher<'_, '_>) {
    let mut connection = opened(&config());
    let mut arena = Arena::default();
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let mut event = None;
        connection.receive_lent(LINK, Lent::Text(black_box(UNIT)), &mut arena, &JSON, || NOW, &mut event);
        assert!(event.is_some());
        // Where it is due, the acknowledgement goes out.
        if connection.wants_transmit() {
            drain(&mut connection, LINK);
        }
        event
    });
}

/// The same by the queue: its handler was busy.
#[divan::bench]
fn one_in_that_waits(bencher: Bencher<'_, '_>) {
    let mut connection = opened(&config());
    let mut arena = Arena::default();
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        connection.handle_lent(LINK, Lent::Text(black_box(UNIT)), &mut arena, &JSON, NOW);
        let event = connection.poll_event();
        assert!(matches!(event, Some(Event::Text(_))));
        if connection.wants_transmit() {
            drain(&mut connection, LINK);
        }
        event
    });
}

/// A message is sent, written, kept, and acknowledged with 63 others.
#[divan::bench]
fn one_out(bencher: Bencher<'_, '_>) {
    let mut connection = opened(&config());
    let mut arena = Arena::default();
    let message = Message::text("the quick brown fox jumps over the lazy dog").shared();
    let mut sent = 0u64;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        assert!(connection.append(black_box(&message)));
        assert_eq!(connection.parts(LINK, &JSON).map(black_box).count(), 1);
        connection.transmit_parts(&[128]);
        sent += 1;
        if sent.is_multiple_of(64) {
            connection.handle_lent(LINK, Lent::Text(&format!("{{\"ack\":{sent}}}")), &mut arena, &JSON, NOW);
        }
    });
}

/// A client comes back to a session that kept nothing for it.
#[divan::bench]
fn attach(bencher: Bencher<'_, '_>) {
    let mut connection = opened(&config());
    let mut number = 1;
    bencher.bench_local(|| {
        number += 1;
        resume(&mut connection, number)
    });
}

/// A client comes back, and gets 1,000 messages again.
#[divan::bench]
fn resume_with_1000_to_replay(bencher: Bencher<'_, '_>) {
    let mut connection = opened(&config());
    let message = Message::text("the quick brown fox jumps over the lazy dog").shared();
    assert!((0..1000).all(|_| connection.append(&message)));
    assert!(message.encode(&JSON).is_ok());
    let mut number = 1;
    bencher.counter(ItemsCount::new(1000usize)).bench_local(|| {
        number += 1;
        // `resumed`, and all of them.
        assert_eq!(resume(&mut connection, number), 1001);
    });
}

fn resume(connection: &mut Connection, number: u64) -> usize {
    let attach =
        Attach { link: LinkId(number), transport: Transport::WebSocket, attachment: Some(number), received: Some(0) };
    assert_eq!(connection.handle_attach(attach, NOW), Ok(()));
    drain(connection, LinkId(number))
}
