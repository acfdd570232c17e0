//! Signs of life, both ways.

use std::time::Duration;

use nosphere_core::{Action, Event, Heartbeat, LinkId, Protocol, Reason, State, Time};

use super::support::{
    POLL, Packet, Pair, SSE, Solo, TRANSPORTS, WS, ack, config, defaults, ping, pong, resumed, text, texts, window,
};

fn heartbeat(event: &Event) -> bool {
    *event == Event::Heartbeat
}

#[test]
fn an_idle_session_stays_for_hours_and_sees_nothing_but_heartbeats() {
    // SPEC HB-1, HB-2
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.advance(3_600_000);
        let pings = if transport == POLL { 0 } else { 3_600 / 25 };
        for end in [&pair.client, &pair.servers[0]] {
            assert_eq!(end.connection.state(), State::Open);
            assert_eq!(end.count(heartbeat), pings, "{transport}");
            assert_eq!(end.events.len(), 1 + pings, "{transport}");
        }
    }
}

#[test]
fn a_server_that_hears_nothing_after_its_ping_ends_the_link_and_keeps_the_session() {
    // SPEC HB-3
    for transport in [WS, SSE] {
        let mut solo = Solo::proven(transport, &defaults());
        solo.advance(25_000);
        assert_eq!(solo.sent(), [ping(0)]);
        solo.advance(19_999);
        assert_eq!(solo.end.connection.state(), State::Open);
        solo.advance(1);
        assert_eq!(solo.actions(), [Action::Close { reason: Reason::Timeout }]);
        assert_eq!(solo.events(), [Event::Suspended]);
        assert_eq!(solo.end.connection.link(), None);
    }
}

#[test]
fn whatever_a_client_says_is_a_sign_of_life() {
    // SPEC HB-3
    for frame in [pong(0), ack(0), text("a"), ping(0)] {
        for transport in [WS, SSE] {
            let mut solo = Solo::proven(transport, &defaults());
            solo.advance(25_000);
            solo.sent();
            match transport {
                WS => solo.frame(frame.clone()),
                _ => assert_eq!(solo.post(0, vec![frame.clone()]).outcome, Ok(())),
            }
            solo.advance(20_000);
            assert_eq!(solo.end.connection.state(), State::Open, "{frame:?}");
        }
    }
}

#[test]
fn a_server_asks_what_was_taken_where_an_answer_can_make_room_and_nowhere_else() {
    for transport in [WS, SSE] {
        let mut solo = Solo::proven(transport, &defaults());
        solo.end.connection.ask_received(solo.now);
        assert_eq!(solo.sent(), [], "{transport}: everything is acknowledged");
        solo.send("a");
        solo.end.connection.ask_received(solo.now);
        assert_eq!(solo.sent(), [text("a")], "{transport}: nothing was sent yet");
        solo.end.connection.ask_received(solo.now);
        assert_eq!(solo.sent(), [ping(0)], "{transport}");
        solo.advance(19_999);
        assert_eq!(solo.end.connection.state(), State::Open);
        solo.advance(1);
        assert_eq!(solo.end.connection.state(), State::Suspended, "{transport}: it is a ping like any other");
        solo.end.connection.ask_received(solo.now);
        solo.resume(transport, 0).unwrap();
        assert_eq!(solo.sent(), [resumed(0), text("a")], "{transport}: nobody was there to be asked");
    }
    let mut polls = Solo::proven(POLL, &defaults());
    polls.send("a");
    assert_eq!(polls.sent(), [text("a")]);
    polls.end.connection.ask_received(polls.now);
    polls.poll(0).unwrap();
    assert_eq!(polls.sent(), [text("a")], "every poll says it anyway");
    let mut plain = Solo::plain(WS, &defaults());
    plain.send("a");
    plain.sent();
    plain.end.connection.ask_received(plain.now);
    assert_eq!(plain.actions(), [], "who does not acknowledge cannot be asked");
}

#[test]
fn the_carriers_own_sign_of_life_counts_for_its_link_alone() {
    let mut solo = Solo::proven(WS, &defaults());
    solo.advance(25_000);
    let mut other = solo.end.connection.clone();
    solo.end.connection.handle_alive(solo.link, solo.now);
    other.handle_alive(LinkId(99), solo.now);
    assert_eq!(solo.end.connection.poll_timeout(), Some(Time(50_000)));
    assert_eq!(other.poll_timeout(), Some(Time(45_000)));
}

#[test]
fn a_client_that_hears_nothing_for_heartbeat_and_timeout_treats_the_link_as_lost() {
    // SPEC HB-4
    for (transport, wait) in [(WS, 45_000), (SSE, 45_000), (POLL, 25_000 + 20_000)] {
        let mut pair = Pair::open(transport);
        if transport == POLL {
            pair.transmit();
        }
        let link = pair.client.connection.link().unwrap();
        pair.swallow(link);
        pair.auto = false;
        let start = pair.now;
        while pair.client.connection.state() == State::Open {
            let at = pair.client.connection.poll_timeout().unwrap();
            pair.now = at;
            pair.expire();
        }
        assert_eq!(pair.now - start, Duration::from_millis(wait), "{transport}");
        assert_eq!(pair.client.take(), [Event::Suspended]);
    }
}

#[test]
fn without_heartbeats_nobody_pings_and_nobody_gives_up() {
    // SPEC HB-1
    for transport in [WS, SSE] {
        let mut pair = Pair::open_with(transport, &defaults(), &config(|config| config.heartbeat = Duration::ZERO));
        pair.advance(86_400_000);
        assert_eq!(pair.client.events.len(), 1, "{transport}");
        assert_eq!(pair.servers[0].events.len(), 1, "{transport}");
    }
}

#[test]
fn without_heartbeats_a_client_still_notices_that_its_resume_is_not_answered() {
    let mut pair = Pair::open_with(WS, &defaults(), &config(|config| config.heartbeat = Duration::ZERO));
    pair.auto = false;
    let link = pair.attach();
    pair.swallow(link);
    pair.advance(20_000);
    assert_eq!(pair.client.events.last(), Some(&Event::Suspended));
}

#[test]
fn a_heartbeat_shorter_than_a_millisecond_does_not_make_time_stand_still() {
    let mut solo = Solo::proven(WS, &config(|config| config.heartbeat = Duration::from_micros(1)));
    solo.advance(5);
    assert_eq!(solo.sent(), [ping(0)]);
}

#[test]
fn a_clients_ping_is_answered_over_the_socket_the_stream_or_the_next_poll() {
    // SPEC HB-2
    let mut solo = Solo::proven(WS, &defaults());
    solo.frame(ping(0));
    assert_eq!(solo.sent(), [pong(0)]);
    let mut solo = Solo::proven(SSE, &defaults());
    assert_eq!(solo.post(0, vec![ping(0)]).outcome, Ok(()));
    assert_eq!(solo.sent(), [pong(0)]);
    let mut solo = Solo::proven(POLL, &defaults());
    assert_eq!(solo.post(0, vec![ping(0)]).outcome, Ok(()));
    assert_eq!(solo.sent(), [pong(0)]);
    assert_eq!(solo.post(0, vec![ping(0)]).outcome, Ok(()));
    solo.poll(0).unwrap();
    assert_eq!(solo.sent(), [pong(0)], "a pong that was due between two polls comes with the next");
}

#[test]
fn a_client_answers_a_ping_at_once_by_post() {
    // SPEC HB-2
    let mut pair = Pair::open(SSE);
    pair.now = Time(25_000);
    pair.expire();
    pair.transmit();
    pair.deliver(0);
    pair.transmit();
    let [Packet::Post(post)] = pair.flying(super::support::Dir::Up)[..] else { panic!("no pong") };
    assert_eq!(post.units.len(), 1);
}

#[test]
fn pings_pass_while_a_slow_handler_has_closed_the_window() {
    // SPEC HB-2
    let mut pair = Pair::open_with(WS, &defaults(), &window(4, 1 << 20));
    pair.server().slow = true;
    for i in 0..10 {
        pair.client_sends(&i.to_string());
    }
    pair.advance(600_000);
    assert_eq!(pair.server().connection.state(), State::Open);
    assert_eq!(pair.client.connection.state(), State::Open);
    pair.server().slow = false;
    pair.drive();
    assert_eq!(texts(&pair.server().got).len(), 10);
}

#[test]
fn a_pong_does_not_wait_behind_the_messages_that_wait() {
    // SPEC HB-2
    let mut solo = Solo::proven(WS, &defaults());
    solo.send("a");
    solo.frame(ping(0));
    assert_eq!(solo.sent(), [pong(0), text("a")]);
}

#[test]
fn heartbeats_that_nobody_takes_do_not_pile_up() {
    // SPEC LIM-1
    let mut solo = Solo::proven(WS, &defaults());
    for _ in 0..10_000 {
        solo.frame(ping(0));
        solo.frame(pong(0));
    }
    assert_eq!(solo.events(), [Event::Heartbeat]);
    solo.frame(ping(0));
    assert_eq!(solo.events(), [Event::Heartbeat], "once taken, the next one is told");
}

#[test]
fn counts_travel_on_pings_and_pongs() {
    // SPEC DLV-3
    let mut pair = Pair::open(WS);
    pair.client_sends("a");
    pair.server_sends("b");
    pair.drive();
    assert_eq!((pair.client.connection.acknowledged(), pair.servers[0].connection.acknowledged()), (0, 0));
    pair.advance(25_000);
    assert_eq!((pair.client.connection.acknowledged(), pair.servers[0].connection.acknowledged()), (1, 1));
}

#[test]
fn a_resumed_link_has_its_own_heartbeat() {
    // SPEC HB-1, HB-3
    let mut solo = Solo::proven(WS, &defaults());
    solo.advance(25_000);
    solo.sent();
    solo.resume(WS, 0).unwrap();
    assert_eq!(solo.sent(), [resumed(0)]);
    solo.advance(24_999);
    assert_eq!(solo.sent(), [], "the old link's ping and its deadline are gone");
    assert_eq!(solo.end.connection.state(), State::Open);
    solo.advance(1);
    assert_eq!(solo.sent(), [ping(0)]);
}

#[test]
fn the_first_ping_that_is_not_answered_counts_and_not_the_last() {
    // SPEC HB-3
    let mut solo = Solo::proven(WS, &config(|config| config.heartbeat = Duration::from_secs(5)));
    solo.advance(24_999);
    assert_eq!(solo.end.connection.state(), State::Open);
    solo.advance(1);
    assert_eq!(solo.end.connection.state(), State::Suspended);
}

#[test]
fn each_protocol_keeps_a_link_alive_by_what_its_carrier_has() {
    // SPEC HB-1
    for (protocol, heartbeats) in [
        (Protocol::Native, [Heartbeat::Frames, Heartbeat::Frames, Heartbeat::None]),
        (Protocol::Plain, [Heartbeat::CarrierAnswered, Heartbeat::Carrier, Heartbeat::None]),
    ] {
        assert_eq!(TRANSPORTS.map(|transport| protocol.rules(transport).heartbeat), heartbeats, "{protocol:?}");
    }
}
