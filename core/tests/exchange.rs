//! Requests and their replies.

use nosphere_core::{Event, Frame, Message, Payload, Reply, Request, RequestId, SendError};

use super::support::{POLL, SSE, Solo, TRANSPORTS, WS, ack, config, resumed, text};

fn request(id: u64, body: &str) -> Frame {
    Frame::Request(Request { id: RequestId(id), payload: Payload::Text(body.into()) })
}

fn reply(id: u64, body: &str) -> Frame {
    Frame::Reply(Reply { id: RequestId(id), payload: Payload::Text(body.into()) })
}

fn replied(id: u64, body: &str) -> Reply {
    Reply { id: RequestId(id), payload: Payload::Text(body.into()) }
}

fn asked(id: u64, body: &str) -> Event {
    Event::Request(Request { id: RequestId(id), payload: Payload::Text(body.into()) })
}

/// SPEC REQ-1
#[test]
fn requests_and_replies_are_counted_and_come_again_like_any_message() {
    for transport in TRANSPORTS {
        let mut server = Solo::proven(transport, &config(|_| {}));
        server.send(Message::request(RequestId(7), "what?"));
        server.send(Message::reply(RequestId(8), "that"));
        assert_eq!(server.sent(), [request(7, "what?"), reply(8, "that")], "{transport}");
        server.resume(transport, 1).unwrap();
        assert_eq!(server.sent(), [resumed(0), reply(8, "that")], "{transport}");
        assert_eq!(server.end.connection.acknowledged(), 1);
    }
}

#[test]
fn a_shared_message_that_becomes_a_request_is_not_sent_as_what_it_was_encoded_for_before() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    let shared = Message::text("both").shared();
    server.send(shared.clone());
    assert_eq!(server.sent(), [text("both")]);
    server.send(Message::request(RequestId(1), shared.clone()).shared());
    server.send(shared);
    assert_eq!(server.sent(), [request(1, "both"), text("both")]);
}

#[test]
fn a_reply_is_taken_before_its_turn_and_counts_when_that_comes() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    for frame in [text("first"), reply(1, "yes"), request(2, "and you?"), reply(3, "no"), text("last")] {
        server.frame(frame);
    }
    let connection = &mut server.end.connection;
    assert_eq!(connection.poll_reply(), Some(replied(1, "yes")));
    assert_eq!(connection.poll_reply(), Some(replied(3, "no")));
    assert_eq!(connection.poll_reply(), None);
    assert_eq!(connection.received(), 0);
    assert_eq!(connection.poll_event(), Some(Event::Text("first".into())));
    assert_eq!(connection.received(), 2);
    assert_eq!(connection.poll_event(), Some(asked(2, "and you?")));
    assert_eq!(connection.received(), 4);
    assert_eq!(connection.poll_event(), Some(Event::Text("last".into())));
    assert_eq!((connection.received(), connection.poll_event()), (5, None));
}

#[test]
fn a_reply_that_nobody_waits_for_is_an_event() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    server.frame(reply(9, "late"));
    assert_eq!(server.events(), [Event::Reply(replied(9, "late"))]);
    assert_eq!(server.end.connection.poll_reply(), None);
}

/// SPEC DLV-6: it is sent again, since it did not count yet.
#[test]
fn a_reply_that_was_taken_before_its_turn_is_not_told_again_when_the_client_sends_it_again() {
    for transport in [WS, SSE, POLL] {
        let mut server = Solo::proven(WS, &config(|_| {}));
        server.frame(text("first"));
        server.frame(reply(1, "yes"));
        assert_eq!(server.end.connection.poll_reply(), Some(replied(1, "yes")));
        server.resume(transport, 0).unwrap();
        server.sent();
        if transport == WS {
            server.frame(text("first"));
            server.frame(reply(1, "yes"));
        } else {
            server.post(0, vec![text("first"), reply(1, "yes")]).outcome.unwrap();
        }
        assert_eq!(server.end.connection.poll_reply(), None, "{transport}");
        let messages = |event: &Event| matches!(event, Event::Text(_) | Event::Reply(_));
        let taken: Vec<_> = server.events().into_iter().filter(messages).collect();
        assert_eq!(taken, [Event::Text("first".into())]);
        assert_eq!(server.end.connection.received(), 2);
    }
}

/// SPEC DLV-3
#[test]
fn an_application_that_only_takes_replies_opens_its_window_again() {
    let mut server = Solo::proven(WS, &config(|config| config.window.messages = 4));
    for round in 0..20 {
        server.frame(reply(round, "yes"));
        assert_eq!(server.end.connection.poll_reply(), Some(replied(round, "yes")));
        let acknowledged = if round % 2 == 1 { vec![ack(round + 1)] } else { vec![] };
        assert_eq!(server.sent(), acknowledged, "after {round}");
    }
    assert!(server.events().is_empty());
}

#[test]
fn a_client_without_frames_cannot_be_asked_and_the_request_comes_back() {
    for transport in TRANSPORTS {
        let mut server = Solo::plain(transport, &config(|_| {}));
        let refused = server.end.send(Message::request(RequestId(1), "what?"), server.now).unwrap_err();
        assert!(matches!(refused, SendError::Inexpressible { .. }), "{refused:?}");
        assert_eq!(refused.into_message(), Message::request(RequestId(1), "what?"));
    }
}

/// A client may lose its link as often as it likes, and need not send again what was volatile to it.
#[test]
fn replies_that_were_taken_early_and_never_come_again_are_not_remembered_for_ever() {
    let mut server = Solo::proven(WS, &config(|config| config.window.messages = 4));
    for round in 0..100 {
        server.frame(text("in the way"));
        for reply_of in 0..3 {
            server.frame(reply(round * 3 + reply_of, "yes"));
            assert!(server.end.connection.poll_reply().is_some());
        }
        server.resume(WS, 0).unwrap();
        server.sent();
    }
    // Other messages take their place, and then their ids mean nothing any more.
    for _ in 0..4 {
        server.frame(text("instead"));
    }
    server.events();
    server.sent();
    for id in 0..300 {
        server.frame(reply(id, "new"));
        assert_eq!(server.end.connection.poll_reply(), Some(replied(id, "new")), "{id}");
        server.sent();
    }
}

#[test]
fn there_are_no_events_where_only_a_reply_was_that_was_taken_before_its_turn() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    server.frame(text("first"));
    server.frame(reply(1, "yes"));
    assert!(server.end.connection.poll_reply().is_some());
    assert_eq!(server.events(), [Event::Text("first".into())]);
    assert!(!server.end.connection.has_events());
    assert_eq!(server.end.connection.received(), 2);
}

#[test]
fn a_reply_that_was_left_out_when_the_tail_was_sent_again_does_not_swallow_a_later_one() {
    let mut server = Solo::proven(WS, &config(|_| {}));
    server.frame(text("first"));
    server.frame(reply(1, "volatile"));
    assert_eq!(server.end.connection.poll_reply(), Some(replied(1, "volatile")));
    server.resume(WS, 0).unwrap();
    server.sent();
    for frame in [text("first"), text("second"), reply(1, "another")] {
        server.frame(frame);
    }
    assert_eq!(server.end.connection.poll_reply(), Some(replied(1, "another")));
}
