//! What a peer may get wrong: units, frames, counts and requests.

use nosphere_core::{Action, Batch, Event, Fault, Frame, Reason, SessionError, State, Unit};

use super::support::{
    POLL, SSE, Solo, TRANSPORTS, WS, ack, closed, defaults, opened, ping, pong, resumed, text, texts,
};

/// The session's link is ended for this reason, and the session can be resumed.
fn link_ends(solo: &mut Solo, reason: Reason) {
    assert_eq!(solo.actions(), [Action::Close { reason }]);
    let events = solo.events();
    let [Event::Error(SessionError::Link { reason: told, .. }), Event::Suspended] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*told, reason);
    assert_eq!(solo.end.connection.state(), State::Suspended);
    assert!(solo.end.connection.poll_timeout().is_some());
}

fn server_frames() -> Vec<Frame> {
    vec![Frame::Opened(opened()), resumed(0), Frame::Reset { text: "no".into() }]
}

fn client_frames() -> Vec<Frame> {
    let solo = Solo::server(WS, &defaults());
    let open = nosphere_core::Open { attachment: 2, window: nosphere_core::Window::default() };
    let offer = nosphere_core::Offer {
        session: solo.end.connection.session().unwrap(),
        token: solo.end.connection.token().unwrap(),
        attachment: 2,
        received: 0,
    };
    vec![Frame::Open(open), Frame::Resume(offer)]
}

#[test]
fn a_unit_that_is_no_frame_ends_the_link_and_keeps_the_session() {
    // SPEC FRM-2, WS-3
    let binary = Unit::Binary(b"{\"ack\":0}"[..].into());
    for unit in [Unit::Text("noise".into()), Unit::Text("".into()), binary, Unit::Text(r#"{"nack":1}"#.into())] {
        let mut solo = Solo::proven(WS, &defaults());
        solo.unit(unit.clone());
        link_ends(&mut solo, Reason::Malformed);
        let mut solo = Solo::client(WS, &defaults());
        solo.sent();
        solo.unit(unit);
        link_ends(&mut solo, Reason::Malformed);
    }
}

#[test]
fn a_frame_that_its_sender_may_not_send_ends_the_link() {
    // SPEC FRM-2
    for frame in server_frames().into_iter().chain(client_frames()) {
        let mut solo = Solo::proven(WS, &defaults());
        solo.frame(frame.clone());
        link_ends(&mut solo, Reason::Unexpected);
        let mut solo = Solo::client(WS, &defaults());
        solo.sent();
        solo.frame(frame);
        link_ends(&mut solo, Reason::Unexpected);
    }
}

#[test]
fn a_count_of_what_was_never_sent_ends_the_link() {
    // SPEC DLV-4
    for frame in [ack(2), ping(2), pong(2), closed(2)] {
        let mut solo = Solo::proven(WS, &defaults());
        solo.send("a");
        solo.sent();
        solo.send("not sent yet");
        solo.frame(frame);
        link_ends(&mut solo, Reason::Unexpected);
        assert_eq!(solo.end.connection.acknowledged(), 0);
    }
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    // SPEC FRM-1
    let mut solo = Solo::proven(WS, &defaults());
    solo.raw(r#"{"close":{"code":3001,"reason":"bye","received":0,"mood":"fine"}}"#);
    let end = Event::Disconnected { by: nosphere_core::Side::Client, reason: Reason::Application(3001) };
    assert_eq!(solo.events(), [end]);
}

#[test]
fn a_message_that_cannot_be_read_is_an_error_in_its_place_and_counts() {
    // SPEC FRM-3
    let deep = format!(r#"{{"json":{}{}}}"#, "[".repeat(65), "]".repeat(65));
    for bad in [r#"{"json":[1,}}"#, r#"{"binary":"?"}"#, r#"{"text":7}"#, &deep] {
        for transport in [WS, SSE] {
            let mut solo = Solo::proven(transport, &defaults());
            let units: Vec<Unit> =
                [r#"{"text":"a"}"#, bad, r#"{"text":"b"}"#].into_iter().map(|unit| Unit::Text(unit.into())).collect();
            if transport == WS {
                units.into_iter().for_each(|unit| solo.unit(unit));
            } else {
                let batch = Batch { attachment: Some(1), base: Some(0), received: None, units };
                assert_eq!(solo.batch(batch).outcome, Ok(()));
            }
            let events = solo.events();
            let [Event::Text(_), Event::Error(SessionError::Payload(_)), Event::Text(_)] = &events[..] else {
                panic!("{bad}: {events:?}")
            };
            assert_eq!(solo.end.connection.received(), 3);
        }
    }
}

#[test]
fn unreadable_messages_are_held_back_by_the_window_as_others_are() {
    // SPEC FRM-3, DLV-2
    let mut solo = Solo::proven(WS, &super::support::window(2, 1_000));
    for _ in 0..3 {
        solo.raw(r#"{"json":[}"#);
    }
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Window }]);
}

#[test]
fn a_body_with_one_bad_unit_has_no_effect_at_all() {
    // SPEC PST-1
    for transport in [SSE, POLL] {
        let good = Unit::Text(r#"{"text":"a"}"#.into());
        let refused = |bad: &str, fault: Fault| {
            let mut solo = Solo::proven(transport, &defaults());
            let before = solo.end.connection.clone();
            let units = vec![good.clone(), Unit::Text(bad.into()), good.clone()];
            let answer = solo.batch(Batch { attachment: Some(1), base: Some(0), received: Some(0), units });
            match (answer.outcome, fault) {
                (Err(Fault::Malformed(_)), Fault::Malformed(_)) => {}
                (outcome, fault) => assert_eq!(outcome, Err(fault), "{bad}"),
            }
            assert_eq!(before, solo.end.connection, "{bad}");
        };
        refused("noise", Fault::Malformed(""));
        refused("", Fault::Malformed(""));
        refused(r#"{"ack":1}"#, Fault::Unexpected);
        refused(r#"{"ping":1}"#, Fault::Unexpected);
        refused(r#"{"pong":1}"#, Fault::Unexpected);
        refused(r#"{"close":{"code":1000,"reason":"","received":1}}"#, Fault::Unexpected);
        refused(r#"{"resumed":{"received":0}}"#, Fault::Unexpected);
        refused(r#"{"reset":""}"#, Fault::Unexpected);
        refused(r#"{"open":{"attachment":1,"window":{"messages":1,"bytes":1}}}"#, Fault::Unexpected);
    }
}

#[test]
fn a_gap_is_refused_an_overlap_skipped_and_a_replay_ignored() {
    // SPEC PST-2
    let mut solo = Solo::proven(SSE, &defaults());
    assert_eq!(solo.post(1, vec![text("b")]).outcome, Err(Fault::Gap));
    assert_eq!(solo.post(0, vec![text("a"), text("b")]).outcome, Ok(()));
    assert_eq!(solo.post(3, vec![text("d")]).outcome, Err(Fault::Gap));
    assert_eq!(solo.post(1, vec![text("b"), text("c")]).outcome, Ok(()));
    assert_eq!(solo.post(0, vec![text("a"), text("b"), text("c")]).outcome, Ok(()));
    assert_eq!(solo.post(0, vec![text("a")]).outcome, Ok(()));
    assert_eq!(solo.post(3, vec![text("d")]).outcome, Ok(()));
    solo.events();
    assert_eq!(texts(&solo.end.got), ["a", "b", "c", "d"]);
}

#[test]
fn control_frames_of_a_replayed_body_take_effect_again_and_do_no_harm() {
    // SPEC PST-2
    let mut solo = Solo::proven(SSE, &defaults());
    for _ in 0..2 {
        assert_eq!(solo.post(0, vec![text("a"), ping(0), text("b")]).outcome, Ok(()));
        assert_eq!(solo.sent(), [pong(0)]);
    }
    solo.events();
    assert_eq!(texts(&solo.end.got), ["a", "b"]);
}

#[test]
fn a_header_count_that_cannot_be_is_refused_without_effect() {
    // SPEC DLV-4, PST-1
    let mut solo = Solo::proven(SSE, &defaults());
    let before = solo.end.connection.clone();
    let units = vec![solo.format.encode(text("a")).unwrap()];
    let batch = Batch { attachment: Some(1), base: Some(0), received: Some(1), units };
    assert_eq!(solo.batch(batch).outcome, Err(Fault::Unexpected));
    assert_eq!(before, solo.end.connection);
}

#[test]
fn a_poll_from_the_past_is_stale() {
    // SPEC POL-5
    let mut solo = Solo::proven(POLL, &defaults());
    solo.send("a");
    solo.send("b");
    solo.sent();
    solo.poll(1).unwrap();
    assert_eq!(solo.sent(), [text("b")]);
    let before = solo.end.connection.clone();
    assert_eq!(solo.poll(0), Err(Fault::Stale));
    assert_eq!(solo.poll(3), Err(Fault::Unexpected));
    assert_eq!(before, solo.end.connection);
    solo.poll(1).unwrap();
    assert_eq!(solo.sent(), [text("b")]);
}

#[test]
fn a_second_poll_replaces_the_one_that_waits() {
    // SPEC POL-3
    let mut solo = Solo::proven(POLL, &defaults());
    let first = solo.link;
    solo.poll(0).unwrap();
    let old = solo.end.connection.poll_transmit(first, solo.format, solo.now);
    assert_eq!(old, Some(Action::Close { reason: Reason::Fenced }));
    solo.end.connection.handle_detach(first, Reason::Lost, solo.now);
    solo.send("a");
    assert_eq!(solo.sent(), [text("a")]);
    assert_eq!(solo.events(), [], "a run of polls is one stay");
}

#[test]
fn every_frame_in_every_state_leaves_a_session_that_can_be_used() {
    // SPEC FRM-2
    let frames = || {
        let messages = [text("a"), ack(0), ack(9), ping(0), pong(0), closed(0), closed(9)];
        messages.into_iter().chain(server_frames()).chain(client_frames())
    };
    type Prepare = fn(&mut Solo);
    let states: [Prepare; 5] = [
        |_| (),
        |solo| solo.end.connection.close(Reason::Closed, solo.now),
        |solo| solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now),
        |solo| solo.frame(closed(0)),
        |solo| solo.resume(SSE, 0).unwrap_or_default(),
    ];
    for transport in TRANSPORTS {
        for (i, prepare) in states.iter().enumerate() {
            for frame in frames() {
                for client in [false, true] {
                    let mut solo = if client {
                        Solo::client(transport, &defaults())
                    } else {
                        Solo::proven(transport, &defaults())
                    };
                    if client && i == 4 {
                        continue;
                    }
                    prepare(&mut solo);
                    solo.frame(frame.clone());
                    solo.actions();
                    solo.advance(1_000_000);
                    solo.actions();
                    solo.events();
                    let left = solo.end.connection.poll_timeout();
                    let over = solo.end.connection.state() == State::Closed;
                    assert!(!over || left.is_none(), "{transport} state {i} {frame:?}: {left:?}");
                }
            }
        }
    }
}

#[test]
fn faults_are_told_however_often_links_came_and_went_while_nobody_looked() {
    // SPEC FRM-2
    let mut solo = Solo::proven(WS, &defaults());
    for _ in 0..200 {
        solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
        solo.resume(WS, 0).unwrap();
    }
    solo.raw("noise");
    let events = solo.events();
    assert!(matches!(events[..], [Event::Suspended, Event::Resumed { .. }, Event::Error(_), Event::Suspended]));
}
