//! Every limit is finite and has one behaviour.

use std::time::Duration;

use nosphere_core::{
    Action, Config, Event, Json, JsonEncoding, Message, Overflow, PostAnswer, Protocol, Reason, SendError,
    SessionError, Side, State, Text, Undeliverable, Window,
};
use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};

use super::support::{POLL, Pair, SSE, Solo, WS, ack, closed, config, defaults, resumed, text, texts, window};

fn full(solo: &mut Solo, message: &str) -> bool {
    matches!(solo.end.send(message, solo.now), Err(SendError::Full(back)) if back == Message::text(message))
}

fn overflowing(policy: Overflow) -> Solo {
    let mut solo = Solo::proven(
        WS,
        &config(|config| {
            config.max_queued_messages = 2;
            config.overflow = policy;
        }),
    );
    solo.send("a");
    solo.send("b");
    solo
}

#[test]
fn disconnect_ends_the_session_of_a_client_that_reads_too_slowly() {
    // SPEC LIM-1
    let mut solo = overflowing(Overflow::Disconnect);
    assert!(full(&mut solo, "c"));
    assert_eq!(solo.events(), [Event::Disconnected { by: Side::Server, reason: Reason::Overflow }]);
    let actions = solo.actions();
    assert!(matches!(actions[..], [Action::Send { .. }, Action::Close { reason: Reason::Overflow }]));
    assert_eq!(texts(&solo.end.undelivered().unsent), ["a", "b"]);
    assert!(matches!(solo.end.send("d", solo.now), Err(SendError::Closed(_))));
}

#[test]
fn drop_newest_gives_the_new_message_back_and_tells_when_there_is_room() {
    // SPEC LIM-1
    let mut solo = overflowing(Overflow::DropNewest);
    assert!(full(&mut solo, "c"));
    assert_eq!(solo.sent(), [text("a"), text("b")]);
    assert!(full(&mut solo, "c"), "what is not acknowledged is kept");
    assert_eq!(solo.events(), []);
    solo.frame(ack(1));
    assert_eq!(solo.events(), [Event::Writable]);
    solo.send("c");
    assert_eq!(solo.sent(), [text("c")]);
    solo.frame(ack(3));
    assert_eq!(solo.events(), [], "nobody waits for room");
}

#[test]
fn drop_oldest_makes_room_with_what_was_never_handed_to_a_link() {
    // SPEC LIM-1
    let mut solo = overflowing(Overflow::DropOldest);
    solo.send("c");
    assert_eq!(solo.end.connection.dropped(), 1);
    assert_eq!(solo.sent(), [text("b"), text("c")]);
    assert!(full(&mut solo, "d"), "both have numbers");
    assert_eq!(solo.end.connection.dropped(), 1);
    solo.frame(ack(2));
    assert_eq!(solo.events(), [Event::Writable]);
}

#[test]
fn what_makes_room_gives_its_bytes_back() {
    // SPEC LIM-1
    let mut solo = Solo::proven(
        WS,
        &config(|config| {
            config.max_queued_bytes = 10;
            config.overflow = Overflow::DropOldest;
        }),
    );
    for _ in 0..20 {
        solo.send("12345");
    }
    assert_eq!((solo.end.connection.queued(), solo.end.connection.dropped()), (2, 18));
}

#[test]
fn bytes_limit_the_queue_as_messages_do() {
    // SPEC LIM-1
    let mut solo = Solo::proven(
        WS,
        &config(|config| {
            config.max_queued_bytes = 10;
            config.overflow = Overflow::DropNewest;
        }),
    );
    solo.send("12345");
    assert!(full(&mut solo, "123456"));
    solo.send("12345");
    assert!(full(&mut solo, "1"));
    solo.sent();
    solo.frame(ack(2));
    solo.send("longer than the whole queue");
    assert!(full(&mut solo, ""), "one message may be longer than the queue, but only one");
}

#[test]
fn writable_is_told_even_if_the_room_came_while_the_session_was_suspended() {
    let mut solo = overflowing(Overflow::DropNewest);
    assert!(full(&mut solo, "c"));
    solo.sent();
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.resume(WS, 2).unwrap();
    assert_eq!(solo.events(), [Event::Suspended, Event::Resumed { transport: WS }, Event::Writable]);
}

#[test]
fn writable_is_told_once_however_often_the_application_was_refused() {
    // SPEC LIM-1
    let mut solo = overflowing(Overflow::DropNewest);
    for i in 0..100 {
        assert!(full(&mut solo, "c"));
        solo.sent();
        solo.frame(ack(2 * i + 2));
        solo.send("a");
        solo.send("b");
    }
    assert_eq!(solo.events(), [Event::Writable]);
    assert!(full(&mut solo, "c"));
    solo.sent();
    solo.frame(ack(202));
    assert_eq!(solo.events(), [Event::Writable], "once taken, the next one is told");
}

#[test]
fn room_that_an_undeliverable_message_left_is_told_too() {
    let mut solo = Solo::admitted(
        Protocol::Native,
        WS,
        &config(|config| {
            config.max_queued_messages = 1;
            config.overflow = Overflow::DropNewest;
        }),
        Window { messages: 9, bytes: 20 },
    );
    solo.send("1234567890123456");
    assert!(full(&mut solo, "b"));
    solo.sent();
    let events = solo.events();
    assert!(matches!(events[..], [Event::Connected { .. }, Event::Error(_), Event::Writable]), "{events:?}");
}

#[test]
fn a_message_longer_than_the_peer_takes_is_refused_or_told_if_only_its_unit_is() {
    // SPEC §14: unit
    let mut solo = Solo::admitted(Protocol::Native, WS, &defaults(), Window { messages: 9, bytes: 20 });
    let error = solo.end.send("x".repeat(21), solo.now).unwrap_err();
    assert!(matches!(&error, SendError::TooLarge { limit: 20, .. }), "{error}");
    assert_eq!(error.into_message(), Message::text("x".repeat(21)));
    solo.send("x".repeat(12));
    solo.send("ok");
    assert_eq!(solo.sent().last(), Some(&text("ok")));
    let mut exact = Solo::admitted(Protocol::Native, WS, &defaults(), Window { messages: 9, bytes: 20 });
    exact.sent();
    exact.send("x".repeat(20 - r#"{"text":""}"#.len()));
    assert_eq!(exact.sent().len(), 1, "the longest unit");
    exact.send("x".repeat(20));
    let cause = Undeliverable::TooLarge { limit: 20 };
    let error = SessionError::Undeliverable { message: Message::text("x".repeat(12)).into(), cause };
    assert_eq!(solo.events().last(), Some(&Event::Error(error)));
    solo.frame(ack(1));
    assert_eq!(solo.end.connection.acknowledged(), 1, "what was not sent has no number");
}

#[test]
fn a_message_from_before_opened_that_is_too_long_for_the_server_is_told() {
    let mut pair = Pair::new(WS, &defaults(), &window(9, 60));
    pair.client_sends(&"x".repeat(61));
    pair.client_sends("b");
    pair.drive();
    assert_eq!(texts(&pair.server().got), ["b"]);
    assert_eq!(pair.client.count(|event| matches!(event, Event::Error(SessionError::Undeliverable { .. }))), 1);
}

#[test]
fn undeliverable_messages_wait_in_the_queue_while_nobody_takes_their_errors() {
    // SPEC LIM-1
    let mut solo = Solo::admitted(Protocol::Native, WS, &defaults(), Window { messages: 9, bytes: 20 });
    solo.sent();
    for _ in 0..4_000 {
        solo.send("x".repeat(12));
    }
    solo.send("ok");
    assert_eq!(solo.sent(), []);
    let waiting = solo.events().len();
    assert_eq!(waiting, 64, "`Connected` and 63 errors");
    let mut errors = waiting - 1;
    let mut sent = vec![];
    while sent.is_empty() {
        sent = solo.sent();
        errors += solo.events().len();
    }
    assert_eq!((errors, sent), (4_000, vec![text("ok")]));
}

#[test]
fn faults_that_nobody_takes_do_not_pile_up() {
    // SPEC LIM-1
    let mut solo = Solo::proven(WS, &defaults());
    for _ in 0..10_000 {
        solo.raw("noise");
        solo.resume(WS, 0).unwrap();
    }
    let events = solo.events();
    assert!(events.len() < 300, "{} events", events.len());
}

#[test]
fn a_unit_longer_than_the_window_ends_the_link_or_refuses_the_body() {
    // SPEC WS-4
    let longest = || text(&"x".repeat(30 - r#"{"text":""}"#.len()));
    let mut solo = Solo::proven(WS, &window(9, 30));
    solo.frame(longest());
    assert!(matches!(solo.events()[..], [Event::Text(_)]));
    let mut solo = Solo::proven(SSE, &window(9, 30));
    assert_eq!(solo.post(0, vec![longest()]).outcome, Ok(()));
    let mut solo = Solo::proven(WS, &window(9, 30));
    solo.frame(text(&"x".repeat(31)));
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::TooLarge }]);
    let mut solo = Solo::proven(SSE, &window(9, 30));
    let outcome = solo.post(0, vec![text(&"x".repeat(31))]).outcome;
    assert_eq!(outcome.unwrap_err().reason(), Reason::TooLarge);
}

#[test]
fn a_carrier_that_found_a_unit_too_long_ends_the_link() {
    // SPEC WS-4
    let mut solo = Solo::proven(WS, &defaults());
    solo.end.connection.handle_detach(solo.link, Reason::TooLarge, solo.now);
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::TooLarge }]);
    assert!(matches!(solo.events()[..], [Event::Error(SessionError::Link { .. }), Event::Suspended]));
}

#[test]
fn a_poll_is_answered_with_an_empty_batch_when_its_time_is_over() {
    // SPEC POL-4
    let mut solo = Solo::proven(POLL, &defaults());
    solo.advance(24_999);
    assert_eq!(solo.actions(), []);
    solo.advance(1);
    assert_eq!(solo.actions(), [Action::Finish]);
    assert_eq!(solo.end.connection.link(), None);
    assert_eq!(solo.end.connection.state(), State::Open, "between two polls");
}

#[test]
fn a_poll_is_answered_when_the_first_message_comes_with_everything_that_waits() {
    // SPEC POL-4
    let mut solo = Solo::proven(POLL, &defaults());
    solo.send("a");
    solo.send("b");
    let actions = solo.actions();
    assert!(matches!(actions[..], [Action::Send { .. }, Action::Send { .. }, Action::Finish]), "{actions:?}");
}

#[test]
fn between_two_polls_a_session_is_suspended_when_the_gap_is_over() {
    // SPEC SES-2
    let mut solo = Solo::proven(POLL, &defaults());
    solo.send("a");
    solo.actions();
    solo.advance(9_999);
    assert_eq!(solo.events(), []);
    solo.advance(1);
    assert_eq!(solo.events(), [Event::Suspended]);
    solo.advance(119_999);
    assert_eq!(solo.end.connection.state(), State::Suspended);
    solo.poll(0).unwrap();
    assert_eq!(solo.sent(), [text("a")]);
    assert_eq!(solo.events(), [Event::Resumed { transport: POLL }]);
    solo.advance(10_000);
    solo.advance(120_000);
    let end = Event::Disconnected { by: Side::Network, reason: Reason::Expired };
    assert_eq!(solo.events(), [Event::Suspended, end]);
}

#[test]
fn a_poll_that_breaks_may_be_followed_by_the_next_within_the_gap() {
    // SPEC SES-2
    let mut solo = Solo::proven(POLL, &defaults());
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(9_999);
    solo.poll(0).unwrap();
    assert_eq!(solo.events(), []);
}

#[test]
fn deadlines_are_those_of_the_configuration() {
    let config = config(|config| {
        config.resume = Duration::from_secs(1);
        config.close_timeout = Duration::from_secs(2);
        config.poll_gap = Duration::from_secs(3);
    });
    let mut solo = Solo::proven(WS, &config);
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(1_000);
    assert_eq!(solo.end.connection.state(), State::Closed);
    let mut solo = Solo::proven(WS, &config);
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.advance(2_000);
    assert_eq!(solo.end.connection.state(), State::Closed);
    let mut solo = Solo::proven(POLL, &config);
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(3_000);
    assert_eq!(solo.end.connection.state(), State::Suspended);
}

#[test]
fn zero_deadlines_are_met_at_once_and_end() {
    let none = Duration::ZERO;
    let config = config(|config| {
        (config.resume, config.close_timeout, config.poll_gap, config.poll_time) = (none, none, none, none);
        (config.proof, config.heartbeat, config.timeout) = (none, none, none);
    });
    for transport in [WS, SSE, POLL] {
        let mut solo = Solo::server(transport, &config);
        solo.advance(10);
        assert_eq!(solo.end.connection.state(), State::Closed);
    }
}

#[test]
fn a_json_value_nested_too_deep_is_refused_when_it_is_sent() {
    // SPEC JSN-3, MSP-3
    let nested = |depth: usize| (0..depth).fold(serde_json::Value::Null, |value, _| serde_json::json!([value]));
    let objects = |depth: usize| (0..depth).fold(serde_json::json!(7), |value, _| serde_json::json!({"a": value}));
    let mut solo = Solo::proven(WS, &defaults());
    solo.send(objects(64));
    assert!(solo.end.send(objects(65), solo.now).is_err());
    assert!(solo.end.send(serde_json::json!([1, objects(64)]), solo.now).is_err(), "not only the first item");
    assert_eq!(solo.sent().len(), 1);
    solo.send(nested(64));
    let error = solo.end.send(nested(65), solo.now).unwrap_err();
    assert!(matches!(error, SendError::Inexpressible { .. }), "{error}");
    assert!(error.to_string().contains("64"), "{error}");
    let shared = Message::from(nested(65)).shared();
    assert!(solo.end.send(shared.clone(), solo.now).is_err());
    for format in [&JSON as &dyn nosphere_core::WireFormat, &MESSAGEPACK, &PLAIN] {
        assert!(shared.encode(format).is_err(), "{}", format.name());
        assert!(Message::from(nested(65)).encode(format).is_err(), "{}", format.name());
        assert!(Message::from(nested(64)).encode(format).is_ok(), "{}", format.name());
    }
    assert_eq!(solo.sent().len(), 1);
}

#[test]
fn a_shared_message_is_encoded_once_for_each_format() {
    let message = Message::from(Json::from_checked("[1]".into(), JsonEncoding::Text)).shared();
    let (first, second) = (message.encode(&JSON).unwrap(), message.encode(&JSON).unwrap());
    assert_eq!(first.frame().unwrap().as_ptr(), second.frame().unwrap().as_ptr());
    assert_eq!(first.payload(), br#"{"json":[1]}"#);
    assert_ne!(message.encode(&MESSAGEPACK).unwrap().payload(), first.payload());
    assert_eq!(message, Message::from(Json::from_text(&Text::from("[1]")).unwrap()));
}

#[test]
fn every_default_is_finite() {
    // SPEC LIM-1
    let Config { max_queued_bytes, max_queued_messages, retained, window, .. } = Config::default();
    assert_eq!((max_queued_messages, max_queued_bytes, retained), (4_096, 4 << 20, 256));
    assert_eq!(window, Window { messages: 256, bytes: 1 << 20 });
}

#[test]
fn a_tombstone_keeps_no_messages_of_the_peer_and_no_timers_but_its_own() {
    let mut solo = Solo::proven(WS, &defaults());
    solo.resume(SSE, 0).unwrap();
    assert_eq!(solo.sent(), [resumed(0)]);
    assert_eq!(solo.post(0, vec![closed(0)]).outcome, Ok(()));
    solo.actions();
    assert_eq!(solo.end.connection.poll_timeout(), Some(solo.now + Config::default().resume));
}

#[test]
fn writable_waits_for_resumed_if_the_room_came_by_the_answer_to_a_post() {
    let config = config(|config| {
        config.max_queued_messages = 1;
        config.overflow = Overflow::DropNewest;
    });
    let mut solo = Solo::client(SSE, &config);
    solo.send("a");
    let post = solo.end.connection.poll_post(solo.format).unwrap();
    assert!(full(&mut solo, "b"));
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.end.connection.handle_post_answer(post.id, PostAnswer::Accepted { received: 1 }, solo.now);
    assert_eq!(solo.events(), [Event::Suspended]);
    solo.end.connection.attach(solo.link, WS, solo.now);
    solo.actions();
    solo.frame(resumed(1));
    assert_eq!(solo.events(), [Event::Resumed { transport: WS }, Event::Writable]);
}
