//! Polls and POSTs that are lost, late or repeated.

use nosphere_core::{Event, Fault, Json, Reason, State};

use super::support::{Dir, POLL, Packet, Pair, SSE, Solo, ack, config, defaults, text, texts, window};

fn suspended(event: &Event) -> bool {
    *event == Event::Suspended
}

#[test]
fn a_lost_poll_answer_comes_again() {
    // SPEC POL-1
    let mut pair = Pair::open(POLL);
    pair.server_sends("a");
    pair.server_sends("b");
    pair.transmit();
    pair.lose_answer();
    pair.drive();
    assert_eq!(texts(&pair.client.got), ["a", "b"]);
    let mut solo = Solo::proven(POLL, &defaults());
    solo.send("a");
    assert_eq!(solo.sent(), [text("a")]);
    solo.poll(0).unwrap();
    assert_eq!(solo.sent(), [text("a")], "a client may repeat a poll within its run, too");
    solo.poll(1).unwrap();
    assert_eq!(solo.sent(), []);
}

#[test]
fn polls_of_a_run_keep_their_attachment_and_the_session_is_never_suspended() {
    // SPEC POL-2, SES-2
    let mut pair = Pair::open(POLL);
    for i in 0..20 {
        pair.server_sends(&i.to_string());
        pair.client_sends(&i.to_string());
        pair.advance(5_000);
    }
    pair.advance(200_000);
    assert_eq!(pair.client.connection.attachment(), 1);
    assert_eq!((pair.client.got.len(), pair.servers[0].got.len()), (20, 20));
    assert!(!pair.client.saw(suspended) && !pair.servers[0].saw(suspended));
}

#[test]
fn a_poll_number_does_not_continue_an_attachment_that_another_transport_began() {
    // SPEC POL-2
    let mut solo = Solo::proven(SSE, &defaults());
    assert_eq!(solo.attach(POLL, Some(1), Some(0)), Err(Fault::Fenced));
}

#[test]
fn a_poll_of_a_slow_application_brings_nothing_twice() {
    // SPEC POL-1
    let mut pair = Pair::open(POLL);
    pair.client.slow = true;
    pair.server_sends("a");
    pair.advance(60_000);
    pair.server_sends("b");
    pair.advance(60_000);
    pair.client.slow = false;
    pair.drive();
    assert_eq!(texts(&pair.client.got), ["a", "b"]);
    assert_eq!(pair.client.connection.state(), State::Open);
    assert_eq!(pair.server().connection.state(), State::Open);
}

#[test]
fn a_client_whose_application_is_slow_does_not_poll_for_the_same_messages_without_end() {
    let mut pair = Pair::open(POLL);
    pair.client.slow = true;
    pair.server_sends("a");
    let mut polls = 0;
    for _ in 0..1_000 {
        pair.transmit();
        polls += pair.flight.iter().filter(|sent| matches!(sent.packet, Packet::Request(..))).count();
        while !pair.flight.is_empty() {
            pair.deliver(0);
        }
    }
    assert!(polls <= 2, "{polls} polls in no time");
}

#[test]
fn a_duplicated_post_is_applied_once() {
    // SPEC PST-2
    for transport in [SSE, POLL] {
        let mut pair = Pair::open(transport);
        pair.client_sends("a");
        pair.transmit();
        let copies: Vec<_> =
            pair.flight.iter().filter(|sent| matches!(sent.packet, Packet::Post(_))).cloned().collect();
        assert_eq!(copies.len(), 1);
        pair.flight.extend(copies.clone());
        pair.drive();
        pair.client_sends("b");
        pair.drive();
        pair.flight.extend(copies);
        pair.drive();
        assert_eq!(texts(&pair.server().got), ["a", "b"], "{transport}");
        assert_eq!(pair.client.connection.state(), State::Open);
    }
}

#[test]
fn a_post_whose_answer_is_lost_is_repeated_with_the_same_messages_in_front() {
    // SPEC PST-4
    for transport in [SSE, POLL] {
        let mut pair = Pair::open(transport);
        pair.client_sends("a");
        pair.transmit();
        let post = |pair: &Pair| match pair.flying(Dir::Up)[..] {
            [.., Packet::Post(post)] => post.clone(),
            _ => panic!("no POST"),
        };
        let first = post(&pair);
        pair.lose_post();
        pair.client_sends("b");
        pair.transmit();
        let second = post(&pair);
        assert_eq!((first.base, first.units.len()), (second.base, 1));
        assert_eq!(second.units.len(), 2);
        assert_eq!(first.units[0], second.units[0]);
        pair.step();
        pair.transmit();
        pair.drive();
        assert_eq!(texts(&pair.server().got), ["a", "b"], "{transport}");
    }
}

#[test]
fn a_post_may_wake_a_suspended_session_that_is_between_two_polls() {
    // SPEC SES-2
    let mut solo = Solo::proven(POLL, &defaults());
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(10_000);
    assert_eq!(solo.events(), [Event::Suspended]);
    assert_eq!(solo.post(0, vec![text("a")]).outcome, Ok(()));
    assert_eq!(solo.events(), [Event::Resumed { transport: POLL }, Event::Text("a".into())]);
    solo.advance(10_000);
    assert_eq!(solo.events(), [Event::Suspended], "without a poll it counts as suspended again");
    solo.poll(0).unwrap();
    assert_eq!(solo.events(), [Event::Resumed { transport: POLL }]);
}

#[test]
fn an_ack_that_was_lost_with_a_polls_answer_comes_in_the_header_of_the_next_one() {
    // SPEC DLV-3
    let mut pair = Pair::open_with(POLL, &defaults(), &window(2, 1 << 20));
    pair.server().slow = true;
    pair.client_sends("a");
    pair.client_sends("b");
    pair.client_sends("c");
    pair.drive();
    pair.server().take();
    pair.transmit();
    assert!(matches!(pair.flying(Dir::Down)[..], [Packet::Answer(..)]));
    // The client asks again before it hears that answer.
    pair.attach();
    pair.server().slow = false;
    pair.advance(26_000);
    assert_eq!(texts(&pair.server().got), ["a", "b", "c"]);
    assert!(!pair.client.saw(suspended));
}

#[test]
fn an_ack_that_was_lost_with_the_answer_to_a_repeated_post_is_told_again() {
    // SPEC DLV-3
    let mut solo = Solo::proven(SSE, &config(|config| config.window.messages = 8));
    assert_eq!(solo.post(0, (0..6).map(|i| text(&i.to_string())).collect()).received, 0);
    for _ in 0..3 {
        solo.end.take_one();
    }
    // A proxy repeats the POST, and nobody hears the second answer.
    assert_eq!(solo.post(0, vec![]).received, 3);
    solo.end.take();
    assert_eq!(solo.sent(), [ack(6)], "more than half a window was taken since the stream last said so");
}

#[test]
fn a_post_that_failed_takes_no_room_in_the_window() {
    // SPEC PST-4, DLV-2
    let mut pair = Pair::open_with(SSE, &defaults(), &window(9, 100));
    pair.client_sends(&"x".repeat(50));
    for _ in 0..3 {
        pair.transmit();
        pair.lose_post();
    }
    pair.client_sends("b");
    pair.transmit();
    let [Packet::Post(post)] = pair.flying(Dir::Up)[..] else { panic!("no POST") };
    assert_eq!((post.base, post.units.len()), (0, 2));
}

#[test]
fn a_message_that_the_next_poll_cannot_express_is_told_and_has_no_number_any_more() {
    let mut solo = Solo::proven(POLL, &defaults());
    solo.send(Json::from_text(&"100000000000000000000".into()).unwrap());
    assert_eq!(solo.sent().len(), 1);
    solo.format = &nosphere_wire::MESSAGEPACK;
    solo.poll(0).unwrap();
    assert_eq!(solo.sent(), []);
    assert!(matches!(solo.events()[..], [Event::Error(_)]));
    assert_eq!(solo.poll(1), Err(Fault::Unexpected));
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.advance(5_000);
    assert!(solo.end.undelivered().unknown.is_empty());
}
