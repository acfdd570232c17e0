//! Opening a session, and proving it.

use std::time::Duration;

use nosphere_core::{
    Action, AttachRequest, Config, Connection, DecodeError, Event, Fault, Frame, Greeted, Greeting, LinkId, MAX_COUNT,
    Open, Reason, ResumeToken, Side, State, Time, Window,
};

use super::support::{
    Dir, POLL, Packet, Pair, SSE, Solo, TRANSPORTS, WS, ack, closed, config, defaults, ping, text, texts, window,
};

const OPEN: Open = Open { attachment: 1, window: Window { messages: 256, bytes: 1 << 20 } };

#[test]
fn each_side_sees_connected_once_and_first_over_every_transport() {
    // SPEC SES-1
    for transport in TRANSPORTS {
        let pair = Pair::open(transport);
        assert_eq!(pair.client.events, [Event::Connected { transport }]);
        assert_eq!(pair.servers[0].events, [Event::Connected { transport }]);
        assert_eq!(pair.client.connection.session(), pair.servers[0].connection.session());
        assert_eq!(pair.client.connection.token(), pair.servers[0].connection.token());
    }
}

#[test]
fn a_client_that_opens_proves_itself_over_every_transport() {
    // SPEC SES-6
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.advance(60_000);
        assert_eq!(pair.server().connection.state(), State::Open, "{transport}");
    }
}

#[test]
fn a_session_whose_opened_never_arrived_is_ended_as_unproved() {
    // SPEC SES-6
    for transport in TRANSPORTS {
        let mut solo = Solo::server(transport, &defaults());
        solo.sent();
        solo.advance(9_999);
        assert_eq!(solo.end.connection.state(), State::Open);
        solo.advance(1);
        let end = Event::Disconnected { by: Side::Server, reason: Reason::Unproved };
        assert_eq!(solo.events().last(), Some(&end), "{transport}");
        assert_eq!(solo.end.connection.state(), State::Closed);
    }
}

#[test]
fn an_unproved_session_that_lost_its_link_is_ended_just_the_same() {
    // SPEC SES-6
    let mut solo = Solo::server(WS, &defaults());
    solo.sent();
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(10_000);
    let end = Event::Disconnected { by: Side::Server, reason: Reason::Unproved };
    assert_eq!(solo.events(), [Event::Connected { transport: WS }, Event::Suspended, end]);
}

#[test]
fn even_a_request_that_is_refused_proves_the_session_since_it_has_the_token() {
    // SPEC SES-6
    let mut solo = Solo::server(SSE, &defaults());
    solo.sent();
    assert_eq!(solo.post(7, vec![text("a")]).outcome, Err(Fault::Gap));
    solo.advance(10_000);
    assert_eq!(solo.end.connection.state(), State::Open);
}

#[test]
fn the_server_says_opened_before_anything_else() {
    // SPEC WS-2, SSE-3
    for transport in TRANSPORTS {
        let mut solo = Solo::server(transport, &defaults());
        solo.send("early");
        solo.end.connection.close(Reason::Closed, solo.now);
        let sent = solo.sent();
        assert!(matches!(&sent[..], [Frame::Opened(_), Frame::Message(_), Frame::Close(_)]), "{sent:?}");
    }
}

#[test]
fn opened_states_what_is_configured() {
    let config = config(|config| {
        config.heartbeat = Duration::from_millis(1);
        config.timeout = Duration::from_millis(2);
        config.proof = Duration::from_millis(3);
        config.resume = Duration::from_millis(4);
        config.window = Window { messages: 5, bytes: 6 };
    });
    let mut solo = Solo::server(WS, &config);
    let sent = solo.sent();
    let [Frame::Opened(opened)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((opened.heartbeat, opened.timeout), (config.heartbeat, config.timeout));
    assert_eq!((opened.proof, opened.resume), (config.proof, config.resume));
    assert_eq!((opened.window, solo.end.connection.window()), (config.window, config.window));
    assert_eq!(Some(opened.session), solo.end.connection.session());
    assert!(solo.end.connection.verifies(&opened.token));
}

#[test]
fn what_is_sent_before_the_session_is_open_arrives_once_it_is() {
    // SPEC DLV-1
    for transport in TRANSPORTS {
        let mut pair = Pair::new(transport, &defaults(), &defaults());
        pair.client_sends("a");
        pair.client_sends("b");
        pair.drive();
        assert_eq!(texts(&pair.server().got), ["a", "b"], "{transport}");
    }
}

#[test]
fn a_client_that_lost_its_link_before_opened_asks_again_with_a_higher_attachment() {
    // SPEC ATT-1
    for transport in TRANSPORTS {
        let mut pair = Pair::new(transport, &defaults(), &defaults());
        pair.transmit();
        pair.deliver(0);
        pair.transmit();
        pair.cut_current();
        pair.drive();
        assert_eq!(pair.client.connection.attachment(), 2);
        assert_eq!(pair.client.events, [Event::Connected { transport }]);
        assert_eq!(pair.servers.len(), 2);
        pair.advance(60_000);
        assert!(pair.servers[0].saw(|event| matches!(event, Event::Disconnected { .. })), "{transport}");
        assert_eq!(pair.servers[1].connection.state(), State::Open);
    }
}

#[test]
fn a_client_that_cannot_open_in_time_gives_up_and_ends_its_link() {
    for transport in TRANSPORTS {
        let mut pair = Pair::new(transport, &config(|c| c.timeout = Duration::from_secs(60)), &defaults());
        let link = pair.attach();
        pair.swallow(link);
        pair.advance(30_000);
        assert_eq!(pair.client.events, [Event::Disconnected { by: Side::Network, reason: Reason::Timeout }]);
        assert_eq!(pair.links(), [], "{transport}");
        assert!(pair.client.connection.is_finished());
    }
}

#[test]
fn a_client_that_gives_up_before_it_attached_asks_for_nothing() {
    let mut connection = Connection::client(&defaults(), Time::ZERO);
    connection.attach(LinkId(1), WS, Time::ZERO);
    connection.close(Reason::Closed, Time::ZERO);
    let mut solo = Solo::of(connection);
    assert_eq!(solo.events(), [Event::Disconnected { by: Side::Client, reason: Reason::Closed }]);
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Closed }]);
    assert!(solo.end.connection.is_finished());
    solo.end.connection.attach(LinkId(2), WS, Time::ZERO);
    assert!(solo.end.connection.is_finished(), "a closed client does not attach");
}

#[test]
fn a_client_hands_back_what_it_could_not_send_because_it_never_opened() {
    // SPEC CLS-3
    let mut pair = Pair::new(WS, &defaults(), &defaults());
    pair.client_sends("a");
    pair.client.connection.close(Reason::Closed, pair.now);
    let undelivered = pair.client.undelivered();
    assert_eq!((texts(&undelivered.unsent), undelivered.unknown), (vec!["a".to_owned()], vec![]));
}

#[test]
fn a_server_that_says_anything_before_it_grants_loses_its_link() {
    // SPEC WS-2
    for frame in [text("a"), ack(0), ping(0), closed(0), Frame::Resumed { received: 0 }] {
        let mut solo = Solo::of(Connection::client(&defaults(), Time::ZERO));
        solo.end.connection.attach(LinkId(1), WS, solo.now);
        assert_eq!(solo.actions(), [Action::Attach(AttachRequest::Open(OPEN))]);
        solo.frame(frame.clone());
        assert_eq!(solo.actions(), [Action::Close { reason: Reason::Unexpected }], "{frame:?}");
        assert_eq!(solo.events(), [], "{frame:?}");
    }
}

#[test]
fn an_open_states_the_clients_window() {
    let mut solo = Solo::of(Connection::client(&window(3, 4), Time::ZERO));
    solo.end.connection.attach(LinkId(1), SSE, solo.now);
    let window = Window { messages: 3, bytes: 4 };
    assert_eq!(solo.actions(), [Action::Attach(AttachRequest::Open(Open { attachment: 1, window }))]);
}

#[test]
fn a_refused_client_ends_or_tries_again_as_the_refusal_tells() {
    for (reason, state) in [
        (Reason::Forbidden, State::Closed),
        (Reason::Application(3001), State::Closed),
        (Reason::Unavailable, State::Connecting),
        (Reason::GoingAway, State::Connecting),
    ] {
        let mut connection = Connection::client(&defaults(), Time::ZERO);
        connection.attach(LinkId(1), POLL, Time::ZERO);
        connection.handle_refused(LinkId(9), reason, Time::ZERO);
        assert_eq!(connection.link(), Some(LinkId(1)), "another link was refused");
        connection.handle_refused(LinkId(1), reason, Time::ZERO);
        assert_eq!(connection.state(), state, "{reason}");
        assert_eq!(connection.link(), None, "{reason}: the refused link is over");
    }
}

#[test]
fn before_open_a_socket_may_ping_sixteen_times_and_say_nothing_else() {
    // SPEC WS-1
    let mut greeting = Greeting::new(&Config::default(), Time(500));
    for _ in 0..16 {
        assert_eq!(greeting.handle_frame(Ok(ping(MAX_COUNT))), Greeted::Reply(Frame::Pong { received: 0 }));
    }
    assert_eq!(greeting.clone().handle_frame(Ok(Frame::Open(OPEN))), Greeted::Open(OPEN));
    assert_eq!(greeting.handle_frame(Ok(ping(0))), Greeted::Fault(Reason::Unexpected));
    assert_eq!(greeting.poll_timeout(), Time(10_500));
    for frame in [text("a"), ack(0), closed(0), Frame::Pong { received: 0 }] {
        assert_eq!(greeting.handle_frame(Ok(frame)), Greeted::Fault(Reason::Unexpected));
    }
    let malformed = Err(DecodeError::Malformed("noise"));
    assert_eq!(greeting.handle_frame(malformed), Greeted::Fault(Reason::Malformed));
}

#[test]
fn the_network_of_these_tests_really_carries_what_the_transports_carry() {
    let mut pair = Pair::new(POLL, &defaults(), &defaults());
    pair.transmit();
    assert!(matches!(pair.flying(Dir::Up)[..], [Packet::Request(..)]));
    pair.deliver(0);
    pair.transmit();
    assert!(matches!(pair.flying(Dir::Down)[..], [Packet::Answer(..)]));
    pair.deliver(0);
    pair.transmit();
    assert!(matches!(pair.flying(Dir::Up)[..], [Packet::Request(..), Packet::Post(_)]));
}

#[test]
fn no_token_but_the_sessions_own_verifies() {
    // SPEC SES-4, SEC-1
    let solo = Solo::server(WS, &defaults());
    let token = solo.end.connection.token().unwrap();
    assert!(solo.end.connection.verifies(&token));
    for at in 0..16 {
        let mut bytes = *token.as_bytes();
        bytes[at] ^= 1;
        assert!(!solo.end.connection.verifies(&ResumeToken::from_random(bytes)), "byte {at}");
    }
    assert!(!Connection::client(&defaults(), Time::ZERO).verifies(&token), "there is no session yet");
}

#[test]
fn a_poll_that_ends_before_it_granted_the_session_is_a_lost_link() {
    let mut connection = Connection::client(&config(|config| config.timeout = Duration::from_secs(60)), Time::ZERO);
    connection.attach(LinkId(1), POLL, Time::ZERO);
    let mut solo = Solo::of(connection);
    assert_eq!(solo.actions(), [Action::Attach(AttachRequest::Open(OPEN))]);
    let waits = solo.end.connection.poll_timeout();
    solo.end.connection.handle_detach(LinkId(1), Reason::Closed, solo.now);
    assert_eq!(waits, Some(Time(30_000)));
    assert_eq!(solo.end.connection.poll_timeout(), waits, "no gap between two polls begins");
}
