//! Messages that may be dropped or replaced while they wait.

use nosphere_core::{Event, Message, Overflow, RequestId, SendError, Sent, State, Window};

use super::support::{POLL, SSE, Solo, TRANSPORTS, WS, ack, config, resumed, text};

fn send(solo: &mut Solo, message: Message) -> Sent {
    solo.end.connection.send(message, solo.now).unwrap()
}

fn cursor(at: &str) -> Message {
    Message::text(at).volatile()
}

fn price(of: &str) -> Message {
    Message::text(of).keyed(&of[..1])
}

#[test]
fn a_volatile_message_goes_out_over_a_link_that_takes_it() {
    for transport in TRANSPORTS {
        let mut server = Solo::proven(transport, &config(|_| {}));
        assert_eq!(send(&mut server, cursor("1,1")), Sent::Queued);
        assert_eq!(server.sent(), [text("1,1")], "{transport}");
    }
}

#[test]
fn a_volatile_message_is_dropped_without_a_link() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    server.end.connection.handle_detach(server.link, nosphere_core::Reason::Lost, server.now);
    assert_eq!(send(&mut server, cursor("1,1")), Sent::Dropped);
    server.send("firm");
    server.resume(WS, 0).unwrap();
    assert_eq!(server.sent(), [resumed(0), text("firm")]);
}

#[test]
fn a_volatile_message_is_dropped_while_the_window_is_closed() {
    let window = Window { messages: 2, bytes: 1000 };
    let mut server = Solo::admitted(nosphere_core::Protocol::Native, WS, &config(|_| {}), window);
    server.sent();
    server.frame(ack(0));
    server.send("1");
    server.send("2");
    assert_eq!(server.sent().len(), 2);
    assert_eq!(send(&mut server, cursor("1,1")), Sent::Dropped);
    server.frame(ack(1));
    assert_eq!(send(&mut server, cursor("1,2")), Sent::Queued);
    assert_eq!(server.sent(), [text("1,2")]);
}

#[test]
fn a_volatile_message_is_dropped_behind_as_many_as_the_limit_allows() {
    let mut server = Solo::proven(WS, &config(|config| config.max_volatile_waiting = 3));
    server.send("1");
    assert_eq!(send(&mut server, cursor("a")), Sent::Queued);
    server.send("2");
    assert_eq!(send(&mut server, cursor("b")), Sent::Dropped);
    assert_eq!(server.sent(), [text("1"), text("a"), text("2")]);
}

#[test]
fn volatile_messages_that_wait_are_dropped_when_the_socket_takes_nothing_more() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    server.send("1");
    send(&mut server, cursor("a"));
    server.send("2");
    assert!(server.action().is_some());
    let link = server.link;
    server.end.connection.handle_blocked(nosphere_core::LinkId(link.0 + 1));
    assert_eq!(server.end.connection.queued(), 3);
    server.end.connection.handle_blocked(link);
    assert_eq!(send(&mut server, cursor("b")), Sent::Dropped);
    assert_eq!(server.sent(), [text("2")]);
    assert_eq!(send(&mut server, cursor("c")), Sent::Queued);
    assert_eq!(server.sent(), [text("c")]);
}

/// SPEC DLV-7
#[test]
fn volatile_messages_are_left_out_of_what_is_sent_again_and_the_rest_has_no_gap() {
    for transport in TRANSPORTS {
        let mut server = Solo::proven(transport, &config(|_| {}));
        for message in [Message::text("1"), cursor("a"), Message::text("2"), cursor("b"), Message::text("3")] {
            send(&mut server, message);
        }
        assert_eq!(server.sent().len(), 5);
        server.resume(transport, 2).unwrap();
        assert_eq!(server.sent(), [resumed(0), text("2"), text("3")], "{transport}");
        assert_eq!(server.resume(transport, 5), Err(nosphere_core::Fault::Unexpected), "there were but four");
        server.resume(transport, 4).unwrap();
        assert_eq!(server.sent(), [resumed(0)]);
        assert_eq!(server.end.connection.queued(), 0);
    }
}

/// SPEC POL-1
#[test]
fn a_poll_that_is_repeated_gets_the_volatile_messages_that_it_was_answered_with() {
    let mut server = Solo::proven(POLL, &config(|_| {}));
    send(&mut server, cursor("a"));
    server.send("1");
    assert_eq!(server.sent(), [text("a"), text("1")]);
    server.poll(0).unwrap();
    assert_eq!(server.sent(), [text("a"), text("1")]);
}

#[test]
fn a_volatile_message_makes_room_before_any_other_has_to() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Disconnect] {
        let mut server = Solo::proven(
            WS,
            &config(|config| {
                config.max_queued_messages = 3;
                config.overflow = overflow;
            }),
        );
        for message in [Message::text("1"), cursor("a"), Message::text("2"), Message::text("3")] {
            assert_eq!(send(&mut server, message), Sent::Queued);
        }
        assert_eq!(server.sent(), [text("1"), text("2"), text("3")], "{overflow:?}");
        assert_eq!(server.end.connection.dropped(), 0);
    }
}

#[test]
fn a_newer_message_of_a_key_takes_the_place_of_one_that_waits() {
    for transport in TRANSPORTS {
        let mut server = Solo::proven(transport, &config(|_| {}));
        assert_eq!(send(&mut server, price("A 1")), Sent::Queued);
        server.send("between");
        assert_eq!(send(&mut server, price("B 1")), Sent::Queued);
        assert_eq!(send(&mut server, price("A 2")), Sent::Replaced);
        assert_eq!(send(&mut server, price("A 3")), Sent::Replaced);
        assert_eq!(server.sent(), [text("A 3"), text("between"), text("B 1")], "{transport}");
    }
}

#[test]
fn a_message_that_has_its_number_is_not_replaced() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    send(&mut server, price("A 1"));
    assert_eq!(server.sent(), [text("A 1")]);
    assert_eq!(send(&mut server, price("A 2")), Sent::Queued);
    assert_eq!(server.sent(), [text("A 2")]);
    server.frame(ack(2));
    assert_eq!(server.end.connection.queued(), 0);
}

/// Found by `property::what_may_be_dropped_leaves_no_gap_and_takes_nothing_else_along`.
#[test]
fn of_two_messages_of_a_key_that_a_resume_left_the_newer_is_replaced() {
    let mut server = Solo::proven(SSE, &config(|_| {}));
    send(&mut server, price("A 1"));
    assert_eq!(server.sent(), [text("A 1")]);
    send(&mut server, price("A 2"));
    server.resume(SSE, 0).unwrap();
    assert_eq!(send(&mut server, price("A 3")), Sent::Replaced);
    assert_eq!(server.sent(), [resumed(0), text("A 1"), text("A 3")]);
}

#[test]
fn a_replacement_that_does_not_fit_comes_back_and_the_older_one_stays() {
    let mut server = Solo::proven(
        WS,
        &config(|config| {
            config.max_queued_bytes = 8;
            config.overflow = Overflow::DropNewest;
        }),
    );
    send(&mut server, price("A 1"));
    send(&mut server, price("B 1"));
    let refused = server.end.connection.send(price("A 2 is longer"), server.now);
    assert_eq!(refused, Err(SendError::Full(price("A 2 is longer"))));
    assert_eq!(send(&mut server, price("A 222")), Sent::Replaced);
    assert_eq!(server.sent(), [text("A 222"), text("B 1")]);
}

#[test]
fn nothing_that_must_arrive_makes_room_for_what_may_be_dropped() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Disconnect] {
        let mut server = Solo::proven(
            WS,
            &config(|config| {
                config.max_queued_messages = 2;
                config.overflow = overflow;
            }),
        );
        server.send("1");
        server.send("2");
        assert_eq!(send(&mut server, cursor("a")), Sent::Dropped, "{overflow:?}");
        assert_eq!(server.sent(), [text("1"), text("2")]);
        assert_eq!((server.end.connection.dropped(), server.end.connection.state()), (0, State::Open));
        server.frame(ack(2));
        assert!(!server.events().contains(&Event::Writable), "nobody waits for room");
    }
}

#[test]
fn a_request_is_neither_dropped_nor_replaced_for_somebody_waits_for_its_end() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    server.end.connection.handle_detach(server.link, nosphere_core::Reason::Lost, server.now);
    for id in [1, 2] {
        let message = Message::request(RequestId(id), price("A 1").volatile());
        assert_eq!(send(&mut server, message), Sent::Queued);
    }
    assert_eq!(send(&mut server, price("A 2")), Sent::Queued);
    assert_eq!(server.end.connection.queued(), 3);
}

#[test]
fn a_replacement_keeps_its_place_though_others_made_room_before_it() {
    // The ring of a plain event stream holds what was written, until new messages need the room.
    let mut server = Solo::plain(SSE, &config(|config| config.max_queued_bytes = 12));
    for message in ["111", "222", "333"] {
        server.send(message);
    }
    assert_eq!(server.sent().len(), 3);
    for message in [Message::text("K").keyed("K"), Message::text("b"), Message::text("c")] {
        send(&mut server, message);
    }
    assert_eq!(send(&mut server, Message::text("K too").keyed("K")), Sent::Replaced);
    assert_eq!(server.sent(), [text("K too"), text("b"), text("c")]);
}

#[test]
fn what_can_never_fit_drops_nothing() {
    let mut server = Solo::proven(
        WS,
        &config(|config| {
            config.max_queued_bytes = 8;
            config.overflow = Overflow::DropOldest;
        }),
    );
    server.send("1234");
    assert_eq!(server.sent(), [text("1234")]);
    server.send("2");
    server.send("3");
    assert!(server.end.connection.send("12345", server.now).is_err());
    assert_eq!(send(&mut server, Message::text("345")), Sent::Queued);
    assert_eq!(server.sent(), [text("3"), text("345")]);
    assert_eq!(server.end.connection.dropped(), 1);
}

#[test]
fn what_a_ring_remembers_takes_nobodys_room() {
    let mut server = Solo::plain(SSE, &config(|config| config.max_queued_bytes = 100));
    for _ in 0..50 {
        server.send("0123456789");
        assert!(server.end.connection.has_room());
        assert_eq!(server.sent().len(), 1);
    }
    for waiting in 1..=6 {
        server.send("0123456789");
        assert_eq!(server.end.connection.has_room(), waiting < 5, "{waiting}");
    }
}
