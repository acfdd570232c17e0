//! Sessions without a protocol of their own.

use nosphere_core::{Action, Batch, Event, Fault, Message, Overflow, Reason, SendError, Side, State, Unit};

use super::support::{POLL, SSE, Solo, WS, config, defaults, text, texts};

fn numbers(solo: &mut Solo) -> Vec<u64> {
    let number = |action| match action {
        Action::Send { number, .. } => number,
        _ => None,
    };
    solo.actions().into_iter().filter_map(number).collect()
}

fn body(text: &str, base: Option<u64>) -> Batch {
    Batch { attachment: None, base, received: None, units: vec![Unit::Text(text.into())] }
}

#[test]
fn a_websocket_carries_text_and_json_as_they_are_and_ends_with_its_connection() {
    // SPEC PLN-1, PLN-2
    let mut solo = Solo::plain(WS, &defaults());
    solo.send("hello");
    solo.send(serde_json::json!({"a": 1}));
    let payload = |action| match action {
        Action::Send { unit, .. } => unit.payload_bytes(),
        action => panic!("{action:?}"),
    };
    let payloads: Vec<_> = solo.actions().into_iter().map(payload).collect();
    assert_eq!(payloads, [&b"hello"[..], br#"{"a":1}"#]);
    assert_eq!(solo.end.connection.queued(), 0, "written is delivered");
    solo.raw(" [1, 2] ");
    solo.raw(" text ");
    solo.end.connection.handle_detach(solo.link, Reason::Closed, solo.now);
    let events = solo.events();
    assert!(matches!(&events[1..3], [Event::Json(_), Event::Text(text)] if *text == " text "), "{events:?}");
    assert_eq!(events[3], Event::Disconnected { by: Side::Client, reason: Reason::Closed });
    assert!(solo.end.connection.is_finished(), "there is nothing to resume");
}

#[test]
fn a_websocket_that_breaks_ends_the_session_by_the_network_and_a_fault_by_the_server() {
    for (reason, by) in [(Reason::Lost, Side::Network), (Reason::TooLarge, Side::Server)] {
        let mut solo = Solo::plain(WS, &defaults());
        solo.end.connection.handle_detach(solo.link, reason, solo.now);
        assert_eq!(solo.events().last(), Some(&Event::Disconnected { by, reason }));
    }
}

#[test]
fn a_websocket_is_pinged_by_its_own_means_and_ends_without_an_answer() {
    // SPEC HB-1, HB-3
    let mut solo = Solo::plain(WS, &defaults());
    solo.advance(25_000);
    assert_eq!(solo.actions(), [Action::Ping]);
    solo.end.connection.handle_alive(solo.link, solo.now);
    solo.advance(25_000);
    assert_eq!(solo.actions(), [Action::Ping]);
    solo.advance(20_000);
    let end = Event::Disconnected { by: Side::Network, reason: Reason::Timeout };
    assert_eq!(solo.events().last(), Some(&end));
}

#[test]
fn a_full_websocket_is_held_back_by_not_reading_it() {
    let mut solo = Solo::plain(WS, &config(|config| config.window.messages = 2));
    assert!(solo.end.connection.wants_read());
    solo.raw("a");
    solo.raw("b");
    assert!(!solo.end.connection.wants_read());
    solo.raw("what the carrier had read already");
    solo.events();
    assert!(solo.end.connection.wants_read());
    assert_eq!(solo.end.got.len(), 3);
}

#[test]
fn a_websocket_that_this_side_does_not_read_is_not_taken_for_dead() {
    let mut solo = Solo::plain(WS, &config(|config| config.window.messages = 1));
    solo.raw("a");
    // Ping, timeout, and long after: the pong is in the socket, which nobody reads.
    solo.advance(300_000);
    assert_eq!(solo.end.connection.state(), State::Open);
    solo.events();
    assert!(solo.end.connection.wants_read());
    solo.advance(60_000);
    assert_eq!(solo.end.connection.state(), State::Closed);
}

#[test]
fn an_event_stream_that_goes_away_unproved_is_not_kept_for_the_resume_window() {
    // SPEC SES-6
    let mut solo = Solo::plain(SSE, &defaults());
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(10_000);
    let unproved = Event::Disconnected { by: Side::Server, reason: Reason::Unproved };
    assert_eq!(solo.events().last(), Some(&unproved));
    // One that stays has proved itself by that.
    let mut solo = Solo::plain(SSE, &defaults());
    solo.advance(10_000);
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(100_000);
    assert_eq!(solo.end.connection.state(), State::Suspended);
}

#[test]
fn closing_writes_what_is_queued_and_then_ends_the_socket() {
    // SPEC CLS-1
    let mut solo = Solo::plain(WS, &defaults());
    solo.send("a");
    solo.end.connection.close(Reason::Application(3001), solo.now);
    let actions = solo.actions();
    assert!(matches!(actions[..], [Action::Send { .. }, Action::Close { reason: Reason::Application(3001) }]));
    assert_eq!(
        solo.events().last(),
        Some(&Event::Disconnected { by: Side::Server, reason: Reason::Application(3001) })
    );
}

#[test]
fn an_event_stream_is_replayed_from_the_ring_behind_last_event_id() {
    // SPEC PLN-3
    let mut solo = Solo::plain(SSE, &defaults());
    for message in ["a", "b", "c"] {
        solo.send(message);
    }
    assert_eq!(numbers(&mut solo), [1, 2, 3]);
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.send("d");
    solo.attach(SSE, None, Some(1)).unwrap();
    let first = solo.end.connection.clone().poll_transmit(solo.link, solo.format, solo.now);
    assert!(matches!(first, Some(Action::Send { .. })), "nothing is lost, so nothing is told of it");
    assert_eq!(numbers(&mut solo), [2, 3, 4]);
    let resumed = [Event::Connected { transport: SSE }, Event::Suspended, Event::Resumed { transport: SSE }];
    assert_eq!(solo.events(), resumed);
}

#[test]
fn what_the_ring_has_lost_is_told_first() {
    // SPEC PLN-4
    let mut solo = Solo::plain(SSE, &config(|config| config.retained = 2));
    for message in ["a", "b", "c", "d", "e"] {
        solo.send(message);
    }
    assert_eq!(numbers(&mut solo), [1, 2, 3, 4, 5]);
    assert_eq!(solo.end.connection.queued(), 2);
    solo.attach(SSE, None, Some(1)).unwrap();
    assert_eq!(solo.action(), Some(Action::Lost { messages: 2 }));
    assert_eq!(numbers(&mut solo), [4, 5]);
}

#[test]
fn a_count_that_the_stream_never_reached_is_refused() {
    let mut solo = Solo::plain(SSE, &defaults());
    solo.send("a");
    solo.actions();
    assert_eq!(solo.attach(SSE, None, Some(2)), Err(Fault::Unexpected));
}

#[test]
fn the_ring_makes_room_for_new_messages_and_never_overflows_a_client_that_reads() {
    // SPEC LIM-1
    for overflow in [Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest] {
        let mut solo = Solo::plain(
            SSE,
            &config(|config| {
                config.max_queued_bytes = 100;
                config.max_queued_messages = 20;
                config.overflow = overflow;
            }),
        );
        for i in 1..=200 {
            solo.send("0123456789");
            assert_eq!(numbers(&mut solo), [i]);
        }
        assert_eq!(solo.end.connection.queued(), 10);
        assert_eq!(solo.end.connection.dropped(), 0);
    }
}

#[test]
fn an_event_stream_cannot_carry_a_carriage_return() {
    // SPEC PLN-5
    let mut solo = Solo::plain(SSE, &defaults());
    let error = solo.end.send("a\rb", solo.now).unwrap_err();
    assert!(matches!(error, SendError::Inexpressible { .. }));
    assert_eq!(error.into_message(), Message::text("a\rb"));
    solo.send("a\nb");
    solo.send(serde_json::json!("a\rb"));
    assert_eq!(solo.actions().len(), 2, "JSON escapes it");
}

#[test]
fn a_carriage_return_that_was_queued_for_another_transport_is_an_error_on_a_stream() {
    // SPEC PLN-5
    let mut solo = Solo::plain(POLL, &defaults());
    solo.actions();
    solo.send("a\rb");
    solo.send("c");
    solo.attach(SSE, None, None).unwrap();
    assert_eq!(solo.sent(), [text("c")]);
    assert!(solo.events().iter().any(|event| matches!(event, Event::Error(_))));
}

#[test]
fn an_event_stream_has_comments_for_heartbeats_and_needs_no_answer() {
    let mut solo = Solo::plain(SSE, &defaults());
    for _ in 0..100 {
        solo.advance(25_000);
        assert_eq!(solo.actions(), [Action::Ping]);
    }
    assert_eq!(solo.end.connection.state(), State::Open);
}

#[test]
fn posts_count_by_arrival_or_exactly_once_with_a_base() {
    // SPEC PLN-7
    let mut solo = Solo::plain(SSE, &defaults());
    assert_eq!(solo.batch(body("a", None)).outcome, Ok(()));
    assert_eq!(solo.batch(body("a", None)).outcome, Ok(()), "by arrival");
    assert_eq!(solo.batch(body("b", Some(2))).outcome, Ok(()));
    assert_eq!(solo.batch(body("b", Some(2))).outcome, Ok(()), "a repetition");
    assert_eq!(solo.batch(body("c", Some(4))).outcome, Err(Fault::Gap));
    solo.events();
    assert_eq!(texts(&solo.end.got), ["a", "a", "b"]);
}

#[test]
fn a_post_that_was_accepted_is_not_lost_when_the_event_stream_reconnects() {
    let mut solo = Solo::plain(SSE, &defaults());
    assert_eq!(solo.batch(body("a", None)).outcome, Ok(()));
    solo.attach(SSE, None, Some(0)).unwrap();
    assert_eq!(solo.batch(body("b", None)).outcome, Ok(()));
    solo.events();
    assert_eq!(texts(&solo.end.got), ["a", "b"], "a plain client would never send it again");
}

#[test]
fn a_post_between_two_event_streams_is_taken_and_wakes_the_session() {
    let mut solo = Solo::plain(SSE, &defaults());
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    assert_eq!(solo.batch(body("a", None)).outcome, Ok(()));
    let woken = [
        Event::Connected { transport: SSE },
        Event::Suspended,
        Event::Resumed { transport: SSE },
        Event::Text("a".into()),
    ];
    assert_eq!(solo.events(), woken);
}

#[test]
fn posts_are_refused_while_the_handler_is_full_and_taken_as_soon_as_it_is_not() {
    // SPEC LIM-1
    let mut solo = Solo::plain(SSE, &config(|config| config.window.messages = 2));
    assert_eq!(solo.batch(body("a", None)).outcome, Ok(()));
    assert_eq!(solo.batch(body("b", None)).outcome, Ok(()));
    assert_eq!(solo.batch(body("c", None)).outcome, Err(Fault::Window));
    solo.events();
    assert_eq!(solo.batch(body("c", None)).outcome, Ok(()));
}

#[test]
fn polls_bring_one_message_each_and_bring_it_again_until_it_is_acknowledged() {
    // SPEC PLN-6
    let mut solo = Solo::plain(POLL, &defaults());
    assert_eq!(solo.actions(), [Action::Finish], "the first poll is answered at once");
    solo.send("a");
    solo.send("b");
    for (received, number) in [(0, 1), (0, 1), (1, 2), (1, 2)] {
        solo.attach(POLL, None, Some(received)).unwrap();
        let actions = solo.actions();
        assert!(matches!(&actions[..], [Action::Send { number: Some(n), .. }, Action::Finish] if *n == number));
    }
    solo.attach(POLL, None, Some(2)).unwrap();
    assert_eq!(solo.actions(), []);
    assert_eq!(solo.attach(POLL, None, Some(1)), Err(Fault::Stale));
    solo.advance(25_000);
    assert_eq!(solo.actions(), [Action::Finish]);
}

#[test]
fn a_plain_poll_has_to_be_followed_by_another_to_prove_the_session() {
    // SPEC SES-6
    let mut solo = Solo::plain(POLL, &defaults());
    solo.actions();
    solo.advance(10_000);
    let end = Event::Disconnected { by: Side::Server, reason: Reason::Unproved };
    assert_eq!(solo.events().last(), Some(&end));
}

#[test]
fn a_closed_plain_session_is_gone_for_streams_polls_and_posts() {
    // SPEC CLS-4
    for transport in [SSE, POLL] {
        let mut solo = Solo::plain(transport, &defaults());
        solo.end.connection.close(Reason::Closed, solo.now);
        solo.actions();
        assert_eq!(solo.end.connection.state(), State::Closed);
        assert_eq!(solo.attach(transport, None, None), Err(Fault::Closed));
        assert_eq!(solo.batch(body("a", None)).outcome, Err(Fault::Closed));
    }
}

#[test]
fn what_no_stream_has_carried_yet_makes_no_room_for_new_messages() {
    // SPEC LIM-1
    let mut solo = Solo::plain(
        SSE,
        &config(|config| {
            config.max_queued_messages = 2;
            config.overflow = Overflow::DropNewest;
        }),
    );
    solo.send("a");
    solo.send("b");
    assert!(matches!(solo.end.send("c", solo.now), Err(SendError::Full(_))));
    assert_eq!(numbers(&mut solo), [1, 2]);
    solo.send("c");
    assert_eq!(numbers(&mut solo), [3]);
    assert_eq!(solo.events(), [Event::Connected { transport: SSE }, Event::Writable]);
}

#[test]
fn a_closing_session_whose_last_message_no_link_can_carry_ends_at_once() {
    // SPEC PLN-5, CLS-1, CLS-3
    let mut solo = Solo::plain(POLL, &defaults());
    solo.actions();
    solo.send("a\rb");
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.attach(SSE, None, None).unwrap();
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Closed }]);
    assert_eq!(texts(&solo.end.undelivered().unsent), ["a\\rb"]);
}
