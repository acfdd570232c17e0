//! Polls and POSTs that are lost, late or repeated.

use nosphere_core::{Action, Event, Fault, Json, LinkId, Reason, State};

use super::support::{
    Dir, POLL, Packet, Pair, SSE, Sent, Solo, WS, ack, closed, config, defaults, resumed, text, texts, window,
};

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

/// A client whose first poll has brought a message that its application has not taken.
fn busy(client: &mut Solo) {
    client.frame(text("a"));
    client.end.connection.handle_detach(client.link, Reason::Closed, client.now);
    client.link = LinkId(2);
    client.end.connection.attach(client.link, POLL, client.now);
}

#[test]
fn a_poll_is_held_back_for_half_the_gap_at_most_so_that_the_session_is_not_suspended() {
    // SPEC POL-1, SES-2
    let mut solo = Solo::client(POLL, &defaults());
    busy(&mut solo);
    solo.advance(4_999);
    assert_eq!(solo.actions(), []);
    solo.advance(1);
    assert!(matches!(solo.actions()[..], [Action::Attach(_)]));
    let mut solo = Solo::client(POLL, &defaults());
    busy(&mut solo);
    solo.events();
    assert!(matches!(solo.actions()[..], [Action::Attach(_)]), "at once, when the application has taken it");
}

#[test]
fn a_poll_that_breaks_suspends_the_client_at_once_and_one_that_was_answered_does_not() {
    // SPEC SES-2
    let mut solo = Solo::client(POLL, &defaults());
    let mut answered = solo.end.connection.clone();
    answered.handle_detach(solo.link, Reason::Closed, solo.now);
    assert_eq!(answered.state(), State::Open);
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    assert_eq!(solo.events(), [Event::Suspended]);
    solo.end.connection.attach(LinkId(2), POLL, solo.now);
    solo.link = LinkId(2);
    assert!(matches!(solo.actions()[..], [Action::Attach(_)]));
    solo.frame(resumed(0));
    assert_eq!(solo.events(), [Event::Resumed { transport: POLL }]);
    solo.end.connection.attach(LinkId(3), SSE, solo.now);
    solo.link = LinkId(3);
    solo.actions();
    solo.end.connection.attach(LinkId(4), POLL, solo.now);
    solo.end.connection.handle_detach(LinkId(4), Reason::Closed, solo.now);
    assert_eq!(solo.events(), [Event::Suspended], "it had not been granted");
}

#[test]
fn a_closing_client_is_not_held_back_on_a_new_transport_by_what_its_last_poll_brought() {
    let mut solo = Solo::client(POLL, &defaults());
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.frame(text("too late"));
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.end.connection.attach(LinkId(2), SSE, solo.now);
    solo.link = LinkId(2);
    assert!(matches!(solo.actions()[..], [Action::Attach(_)]));
}

#[test]
fn a_header_count_is_taken_from_the_current_link_once_it_is_granted() {
    // SPEC ATT-4, DLV-3
    let mut solo = Solo::client(SSE, &defaults());
    solo.send("a");
    assert!(solo.end.connection.poll_post(solo.format).is_some());
    let count = |solo: &mut Solo, link| {
        solo.end.connection.handle_received(LinkId(link), 1, solo.now);
        solo.end.connection.acknowledged()
    };
    assert_eq!(count(&mut solo, 9), 0, "another link");
    solo.end.connection.attach(LinkId(2), POLL, solo.now);
    solo.link = LinkId(2);
    solo.actions();
    assert_eq!(count(&mut solo, 1), 0, "the link before");
    assert_eq!(count(&mut solo, 2), 0, "the server has not said yet what it has");
    solo.frame(resumed(0));
    assert_eq!(count(&mut solo, 2), 0, "nothing was sent again yet");
    assert_eq!(solo.end.connection.state(), State::Suspended, "so that is a count that cannot be");
    let mut solo = Solo::client(SSE, &defaults());
    solo.send("a");
    assert!(solo.end.connection.poll_post(solo.format).is_some());
    assert_eq!(count(&mut solo, 1), 1);
}

#[test]
fn a_post_that_acknowledges_more_does_not_move_the_start_of_a_waiting_polls_answer() {
    // SPEC POL-1
    let mut solo = Solo::proven(POLL, &defaults());
    for message in ["a", "b"] {
        solo.send(message);
    }
    assert_eq!(solo.sent(), [text("a"), text("b")]);
    solo.poll(1).unwrap();
    assert_eq!(solo.post(0, vec![ack(2)]).outcome, Ok(()));
    solo.send("c");
    assert_eq!(solo.sent(), [text("b"), text("c")], "the client counts from what its poll named");
    assert_eq!(solo.end.connection.acknowledged(), 2, "it holds once the poll is answered");
    solo.poll(3).unwrap();
    assert_eq!((solo.end.connection.acknowledged(), solo.sent()), (3, vec![]));
    solo.send("d");
    assert_eq!(solo.post(0, vec![closed(3)]).outcome, Ok(()), "the last count of all is not held back");
}

#[test]
fn the_second_copy_of_a_poll_that_resumed_is_answered_in_a_way_that_its_client_understands() {
    // SPEC POL-2
    let mut pair = Pair::open(SSE);
    pair.transport = POLL;
    pair.auto = false;
    pair.client_sends("up");
    pair.cut_current();
    let link = pair.attach();
    pair.transmit();
    let request = pair.flight.iter().find(|sent| sent.link == link).cloned().unwrap();
    pair.hold(|sent| sent.link == link);
    let copy = Sent { link: LinkId(99), ..request };
    pair.flight.push(copy);
    pair.deliver(pair.flight.len() - 1);
    pair.transmit();
    pair.lose(|sent| sent.link == LinkId(99));
    pair.release();
    pair.server_sends("down");
    pair.auto = true;
    pair.drive();
    assert_eq!((texts(&pair.client.got), texts(&pair.servers[0].got)), (vec!["down".into()], vec!["up".into()]));
    assert!(!pair.client.saw(|event| matches!(event, Event::Error(_))), "{:?}", pair.client.events);
    assert_eq!(pair.client.connection.attachment(), 2, "it had to begin anew");
}

#[test]
fn only_the_head_of_an_answer_to_its_own_poll_stands_for_the_grant() {
    // SPEC POL-2, FRM-2
    for (transport, head) in [(POLL, None), (SSE, Some(2)), (WS, Some(2))] {
        let mut solo = Solo::client(transport, &defaults());
        solo.end.connection.handle_detach(LinkId(1), Reason::Lost, solo.now);
        solo.end.connection.attach(LinkId(2), transport, solo.now);
        solo.link = LinkId(2);
        solo.actions();
        if let Some(link) = head {
            solo.end.connection.handle_received(LinkId(link), 0, solo.now);
        }
        solo.frame(text("a"));
        assert_eq!(solo.end.connection.state(), State::Suspended, "{transport}");
        assert_eq!(solo.end.connection.link(), None, "{transport}");
    }
}

#[test]
fn a_count_that_came_while_a_poll_waited_is_not_forgotten_with_the_poll() {
    // SPEC POL-1, POL-5, CLS-3
    let mut solo = Solo::proven(POLL, &defaults());
    solo.send("x");
    assert_eq!(solo.sent(), [text("x")]);
    solo.poll(0).unwrap();
    assert_eq!(solo.post(0, vec![ack(1)]).outcome, Ok(()));
    assert_eq!(solo.poll(0), Err(Fault::Stale), "the client has said that it has more");
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    assert_eq!(solo.end.connection.acknowledged(), 1);
    solo.advance(1_000_000);
    assert_eq!(solo.end.undelivered().unknown, vec![]);
}

#[test]
fn an_answer_without_units_to_a_resuming_poll_grants_as_its_head_says() {
    // SPEC POL-2
    let mut solo = Solo::client(POLL, &defaults());
    solo.end.connection.handle_detach(LinkId(1), Reason::Lost, solo.now);
    solo.end.connection.attach(LinkId(2), POLL, solo.now);
    solo.link = LinkId(2);
    solo.actions();
    solo.end.connection.handle_received(LinkId(2), 0, solo.now);
    solo.end.connection.handle_detach(LinkId(2), Reason::Closed, solo.now);
    assert_eq!(solo.end.connection.state(), State::Open);
    solo.end.connection.attach(LinkId(3), POLL, solo.now);
    assert_eq!(solo.end.connection.attachment(), 2, "the run goes on");
    solo.send("up");
    assert!(solo.end.connection.poll_post(solo.format).is_some());
}

#[test]
fn a_head_whose_count_cannot_be_grants_nothing_and_what_follows_it_is_not_taken() {
    // SPEC POL-2, DLV-4
    let mut solo = Solo::client(POLL, &defaults());
    solo.end.connection.handle_detach(LinkId(1), Reason::Lost, solo.now);
    assert_eq!(solo.events(), [Event::Suspended]);
    solo.end.connection.attach(LinkId(2), POLL, solo.now);
    solo.link = LinkId(2);
    solo.actions();
    solo.end.connection.handle_received(LinkId(2), 7, solo.now);
    solo.frame(text("a"));
    assert_eq!((solo.events(), solo.end.connection.state()), (vec![], State::Suspended));
}
