//! Back-pressure: windows and acknowledgements.

use nosphere_core::{Action, Event, Fault, Frame, Protocol, Reason, State, Window};

use super::support::{
    Dir, POLL, Packet, Pair, SSE, Solo, TRANSPORTS, WS, ack, config, defaults, pong, resumed, text, texts, window,
};

fn acks(pair: &Pair) -> usize {
    let ack = |packet: &&Packet| matches!(packet, Packet::Unit(unit) if unit.as_bytes().starts_with(b"{\"ack\""));
    pair.flying(Dir::Down).into_iter().chain(pair.flying(Dir::Up)).filter(ack).count()
}

#[test]
fn a_slow_handler_closes_the_window_and_not_the_socket() {
    // SPEC DLV-2, DLV-3
    for transport in TRANSPORTS {
        let mut pair = Pair::open_with(transport, &defaults(), &window(8, 1 << 20));
        pair.server().slow = true;
        for i in 0..20 {
            pair.client_sends(&i.to_string());
        }
        pair.drive();
        assert_eq!(pair.server().take().len(), 8, "{transport}");
        pair.drive();
        assert_eq!(pair.server().take().len(), 8, "{transport}");
        pair.drive();
        assert_eq!(pair.server().take().len(), 4, "{transport}");
        assert_eq!(pair.server().connection.state(), State::Open);
    }
}

#[test]
fn acknowledgements_come_at_half_a_window_and_never_for_each_message() {
    // SPEC DLV-3
    for (transport, count) in [(WS, 1_000), (SSE, 1_000)] {
        let mut pair = Pair::open(transport);
        let mut seen = 0;
        for i in 0..count {
            pair.server_sends(&i.to_string());
            pair.client_sends(&i.to_string());
            pair.transmit();
            seen += acks(&pair);
            while !pair.flight.is_empty() {
                pair.deliver(0);
            }
            pair.client.take();
            pair.server().take();
        }
        assert_eq!((pair.client.got.len(), pair.servers[0].got.len()), (count, count));
        assert!(seen <= 2 * count / 128 + 2, "{seen} acks over {transport}");
        assert!(seen >= count / 128, "{seen} acks over {transport}");
    }
}

#[test]
fn an_ack_is_due_when_half_of_the_messages_or_of_the_bytes_were_taken() {
    // SPEC DLV-3
    let mut solo = Solo::proven(WS, &window(8, 1_000));
    for _ in 0..3 {
        solo.frame(text("a"));
    }
    solo.events();
    assert_eq!(solo.sent(), []);
    solo.frame(text("a"));
    assert_eq!(solo.sent(), [], "received is not taken");
    solo.events();
    assert_eq!(solo.sent(), [ack(4)]);
    solo.frame(text(&"x".repeat(500)));
    assert_eq!(solo.sent(), []);
    solo.events();
    assert_eq!(solo.sent(), [ack(5)]);
}

#[test]
fn a_sender_stops_at_the_peers_messages_and_goes_on_when_they_are_acknowledged() {
    // SPEC DLV-2
    for transport in TRANSPORTS {
        let mut solo = Solo::admitted(Protocol::Native, transport, &defaults(), Window { messages: 2, bytes: 1_000 });
        assert!(matches!(solo.sent()[..], [Frame::Opened(_)]));
        for message in ["a", "b", "c", "d", "e"] {
            solo.send(message);
        }
        let next = |solo: &mut Solo, received| match transport {
            WS => solo.frame(ack(received)),
            SSE => assert_eq!(solo.post(0, vec![ack(received)]).outcome, Ok(())),
            _ => solo.poll(received).unwrap(),
        };
        next(&mut solo, 0);
        assert_eq!(solo.sent(), [text("a"), text("b")]);
        next(&mut solo, 1);
        let rest = if transport == POLL { vec![text("b"), text("c")] } else { vec![text("c")] };
        assert_eq!(solo.sent(), rest, "{transport}");
        next(&mut solo, 3);
        assert_eq!(solo.sent(), [text("d"), text("e")]);
    }
}

#[test]
fn a_sender_stops_when_the_bytes_reach_the_peers_window() {
    // SPEC DLV-2
    let mut solo = Solo::admitted(Protocol::Native, WS, &defaults(), Window { messages: 99, bytes: 100 });
    solo.sent();
    for _ in 0..5 {
        solo.send("x".repeat(50));
    }
    // A unit is `{"text":"…"}`: 61 bytes.
    assert_eq!(solo.sent().len(), 2, "the one that reaches the window is the last");
    solo.frame(ack(1));
    assert_eq!(solo.sent().len(), 1);
    solo.frame(ack(3));
    assert_eq!(solo.sent().len(), 2);
}

#[test]
fn long_and_short_messages_never_wait_for_each_other_without_end() {
    // SPEC DLV-2, DLV-3
    let config = config(|config| {
        config.window = Window { messages: 100, bytes: 1_000 };
        config.heartbeat = std::time::Duration::ZERO;
    });
    for transport in [WS, SSE] {
        for short in [1, 100, 300, 400, 480] {
            let mut pair = Pair::open_with(transport, &config, &config);
            let (short, long) = ("s".repeat(short), "l".repeat(980));
            for message in [&short, &long, &short, &short, &long, &long, &short] {
                pair.client_sends(message);
                pair.server_sends(message);
            }
            pair.drive();
            assert_eq!((pair.client.got.len(), pair.servers[0].got.len()), (7, 7), "{transport}, {}", short.len());
        }
    }
}

#[test]
fn more_messages_than_the_window_end_the_link_and_not_the_session() {
    // SPEC DLV-2
    let mut solo = Solo::proven(WS, &window(2, 1_000));
    for message in ["a", "b", "c"] {
        solo.frame(text(message));
    }
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Window }]);
    assert_eq!(solo.end.connection.state(), State::Suspended);
    solo.resume(WS, 0).unwrap();
    assert_eq!(solo.sent(), [resumed(0)]);
    solo.frame(text("a"));
    solo.events();
    assert_eq!(texts(&solo.end.got), ["a"]);
}

#[test]
fn more_bytes_than_the_window_end_the_link() {
    // SPEC DLV-2
    let mut solo = Solo::proven(WS, &window(99, 100));
    for _ in 0..2 {
        solo.frame(text(&"x".repeat(50)));
    }
    assert_eq!(solo.end.connection.state(), State::Open);
    solo.frame(text("y"));
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Window }]);
}

#[test]
fn a_body_beyond_the_window_is_refused_whole() {
    // SPEC DLV-2, PST-1
    let mut solo = Solo::proven(SSE, &window(2, 100));
    let before = solo.end.connection.clone();
    assert_eq!(solo.post(0, vec![text("a"), text("b"), text("c")]).outcome, Err(Fault::Window));
    assert_eq!(solo.post(0, vec![text(&"x".repeat(89)), text("b")]).outcome, Err(Fault::Window));
    assert_eq!(before, solo.end.connection);
    assert_eq!(solo.post(0, vec![text("a"), text("b")]).outcome, Ok(()));
    assert_eq!(solo.post(1, vec![text("b"), text("c")]).outcome, Err(Fault::Window));
    assert_eq!(solo.post(0, vec![text("a"), text("b")]).outcome, Ok(()), "what is known takes no room");
}

#[test]
fn a_count_frees_the_window_whichever_frame_brings_it() {
    // SPEC DLV-3
    for frame in [ack(1), pong(1), super::support::ping(1)] {
        let mut solo = Solo::admitted(Protocol::Native, WS, &defaults(), Window { messages: 1, bytes: 1_000 });
        solo.send("a");
        solo.send("b");
        assert_eq!(solo.sent().len(), 2);
        solo.frame(frame);
        assert!(solo.sent().contains(&text("b")));
    }
    let mut solo = Solo::admitted(Protocol::Native, SSE, &defaults(), Window { messages: 1, bytes: 1_000 });
    solo.send("a");
    solo.send("b");
    solo.sent();
    let batch = nosphere_core::Batch { attachment: Some(1), base: Some(0), received: Some(1), units: vec![] };
    assert_eq!(solo.batch(batch).outcome, Ok(()));
    assert_eq!(solo.sent(), [text("b")]);
}

#[test]
fn every_answer_to_a_post_tells_what_was_taken() {
    // SPEC DLV-3
    let mut solo = Solo::proven(SSE, &defaults());
    assert_eq!(solo.post(0, vec![text("a"), text("b")]).received, 0);
    solo.end.take_one();
    assert_eq!(solo.post(2, vec![]).received, 1);
    solo.end.take_one();
    assert_eq!(solo.post(9, vec![]).received, 2, "a refusal tells it too");
}

#[test]
fn a_lower_count_than_before_is_ignored() {
    // SPEC DLV-4
    let mut solo = Solo::proven(WS, &defaults());
    for message in ["a", "b", "c"] {
        solo.send(message);
    }
    solo.sent();
    solo.frame(ack(2));
    solo.frame(ack(1));
    assert_eq!((solo.end.connection.acknowledged(), solo.end.connection.queued()), (2, 1));
    assert_eq!(solo.end.connection.state(), State::Open);
}

#[test]
fn a_client_does_not_put_more_into_one_body_than_a_server_takes() {
    // SPEC §14: 1,024 units and 2 MiB
    let mut solo = Solo::client(SSE, &defaults());
    let mut opened = super::support::opened();
    opened.window = Window { messages: 5_000, bytes: 1 << 20 };
    let connection = nosphere_core::Connection::client(&config(|config| config.max_queued_messages = 10_000), solo.now);
    solo.end = super::support::End::new(connection);
    solo.end.connection.attach(solo.link, SSE, solo.now);
    solo.actions();
    solo.frame(Frame::Opened(opened));
    for _ in 0..3_000 {
        solo.send("a");
    }
    let post = solo.end.connection.poll_post(solo.format).unwrap();
    assert!(post.units.len() <= 1_024, "{} units", post.units.len());
    let mut solo = Solo::client(SSE, &defaults());
    for _ in 0..4 {
        solo.send("x".repeat(700_000));
    }
    let post = solo.end.connection.poll_post(solo.format).unwrap();
    let bytes: usize = post.units.iter().map(nosphere_core::Unit::len).sum();
    assert!(bytes <= 2 << 20, "{bytes} bytes");
    assert_eq!(solo.events(), Vec::<Event>::new());
}

#[test]
fn what_is_taken_frees_its_own_bytes_of_the_window_and_no_more() {
    // SPEC DLV-2, DLV-3
    let mut solo = Solo::proven(WS, &window(99, 100));
    let message = || text(&"x".repeat(50));
    solo.frame(message());
    solo.frame(message());
    solo.end.take_one();
    assert_eq!(solo.sent(), [ack(1)]);
    solo.frame(message());
    assert_eq!(solo.end.connection.state(), State::Open);
    solo.frame(message());
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Window }]);
}

#[test]
fn what_waits_to_be_taken_does_not_hasten_an_ack() {
    // SPEC DLV-3
    let mut solo = Solo::proven(WS, &window(99, 1_000));
    solo.frame(text(&"x".repeat(170)));
    solo.frame(text(&"x".repeat(170)));
    solo.end.take_one();
    assert_eq!(solo.sent(), []);
}
