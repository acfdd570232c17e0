//! Moving a session from link to link without losing or repeating anything.

use nosphere_core::{Action, AttachRequest, Event, Fault, Frame, LinkId, MAX_COUNT, Offer, Reason, Side, State};

use super::support::{
    POLL, Pair, SSE, Solo, TRANSPORTS, WS, ack, config, defaults, opened, ping, pong, resumed, text, texts,
};

fn suspended(event: &Event) -> bool {
    *event == Event::Suspended
}

fn resumes(event: &Event) -> bool {
    matches!(event, Event::Resumed { .. })
}

/// Both sides have sent two, and of the second ones nobody knows whether they arrived.
fn interrupted(from: nosphere_core::Transport) -> Pair {
    let mut pair = Pair::open(from);
    pair.client_sends("c1");
    pair.server_sends("s1");
    pair.drive();
    pair.client_sends("c2");
    pair.server_sends("s2");
    pair.transmit();
    pair
}

fn all_arrived(pair: &mut Pair) {
    assert_eq!(texts(&pair.client.got), ["s1", "s2", "s3"]);
    assert_eq!(texts(&pair.server().got), ["c1", "c2", "c3"]);
}

#[test]
fn nothing_is_lost_or_doubled_from_any_transport_to_any_whatever_was_in_flight() {
    // SPEC DLV-6, SES-2, ATT-1
    for from in TRANSPORTS {
        for to in TRANSPORTS {
            for delivered in 0..4 {
                let mut pair = interrupted(from);
                for _ in 0..delivered.min(pair.flight.len()) {
                    pair.deliver(0);
                }
                if pair.client.connection.link().is_some() {
                    pair.cut_current();
                }
                pair.lose_all();
                pair.transport = to;
                pair.drive();
                pair.client_sends("c3");
                pair.server_sends("s3");
                pair.advance(1_000);
                all_arrived(&mut pair);
                assert_eq!(pair.client.connection.state(), State::Open, "{from} to {to}, {delivered} delivered");
            }
        }
    }
}

#[test]
fn a_lost_link_is_suspended_and_then_resumed_on_both_sides() {
    // SPEC SES-2
    for (from, to) in [(WS, WS), (WS, SSE), (SSE, POLL), (SSE, WS)] {
        let mut pair = Pair::open(from);
        pair.cut_current();
        pair.transport = to;
        pair.drive();
        let seen = [Event::Connected { transport: from }, Event::Suspended, Event::Resumed { transport: to }];
        assert_eq!(pair.client.events, seen);
        assert_eq!(pair.servers[0].events, seen);
    }
}

#[test]
fn resumed_comes_first_on_every_transport_and_then_everything_behind_the_count() {
    // SPEC WS-2, SSE-2, SSE-3, POL-2, DLV-1, DLV-6
    for transport in TRANSPORTS {
        let mut solo = Solo::proven(WS, &defaults());
        for message in ["a", "b", "c"] {
            solo.send(message);
        }
        assert_eq!(solo.sent().len(), 3);
        solo.resume(transport, 1).unwrap();
        assert_eq!(solo.end.connection.acknowledged(), 1);
        let numbers = |action| match action {
            Action::Send { number, .. } => Some(number),
            _ => None,
        };
        let mut again = solo.end.connection.clone();
        assert_eq!(solo.sent(), [resumed(0), text("b"), text("c")]);
        let actions = std::iter::from_fn(|| again.poll_transmit(solo.link, solo.format, solo.now).and_then(numbers));
        assert_eq!(actions.collect::<Vec<_>>(), [None, Some(2), Some(3)], "{transport}");
    }
}

#[test]
fn what_was_received_but_not_taken_is_discarded_and_comes_again_once() {
    // SPEC DLV-6
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.server().slow = true;
        pair.client.slow = true;
        pair.client_sends("a");
        pair.server_sends("b");
        pair.drive();
        if pair.client.connection.link().is_none() {
            pair.attach();
            pair.transmit();
        }
        pair.cut_current();
        pair.drive();
        assert_eq!(pair.server().connection.received(), 0);
        pair.server().slow = false;
        pair.client.slow = false;
        pair.drive();
        assert_eq!(texts(&pair.server().got), ["a"], "{transport}");
        assert_eq!(texts(&pair.client.got), ["b"], "{transport}");
    }
}

#[test]
fn the_tail_is_numbered_anew_after_a_resume() {
    // SPEC DLV-1, DLV-7
    let config = config(|config| {
        config.max_queued_messages = 3;
        config.overflow = nosphere_core::Overflow::DropOldest;
    });
    let mut solo = Solo::proven(WS, &config);
    for message in ["a", "b", "c"] {
        solo.send(message);
    }
    assert_eq!(solo.sent().len(), 3);
    solo.end.send("d", solo.now).unwrap_err();
    solo.resume(WS, 1).unwrap();
    solo.send("d");
    solo.send("e");
    assert_eq!(solo.end.connection.dropped(), 1, "b has no number any more, so it makes room");
    assert_eq!(solo.sent(), [resumed(0), text("c"), text("d"), text("e")]);
    solo.frame(ack(4));
    assert_eq!(solo.end.connection.queued(), 0);
}

#[test]
fn a_client_tries_a_better_link_and_moves_once_a_ping_proved_it() {
    // SPEC ATT-4
    for from in [SSE, POLL] {
        let mut pair = interrupted(from);
        let link = pair.try_link();
        pair.transmit();
        assert_eq!(pair.client.connection.transport(), from, "the old link stays in use until then");
        pair.drive();
        assert_eq!(pair.client.connection.transport(), WS);
        assert_eq!(pair.client.connection.link(), Some(link));
        assert_eq!(pair.server().connection.transport(), WS);
        pair.client_sends("c3");
        pair.server_sends("s3");
        pair.advance(1_000);
        all_arrived(&mut pair);
        assert_eq!(pair.links(), [link], "the old link is ended");
        assert!(!pair.client.saw(suspended) && !pair.server().saw(suspended), "{from}");
    }
}

#[test]
fn a_candidate_that_answers_with_anything_else_is_dropped_and_the_old_link_stays() {
    let mut solo = Solo::client(SSE, &defaults());
    solo.end.connection.try_link(LinkId(8), WS);
    let mut other = |frame| {
        let unit = solo.format.encode(frame).unwrap();
        solo.end.connection.handle_unit(LinkId(8), unit, solo.format, solo.now);
        solo.end.connection.poll_transmit(LinkId(8), solo.format, solo.now)
    };
    assert_eq!(other(text("a")), Some(Action::Close { reason: Reason::Unexpected }));
    assert_eq!(other(pong(0)), Some(Action::Close { reason: Reason::Unexpected }), "it is not tried any more");
    assert_eq!(solo.end.connection.link(), Some(LinkId(1)));
    assert_eq!(solo.end.connection.attachment(), 1);
}

#[test]
fn a_candidate_that_breaks_costs_nothing() {
    let mut pair = Pair::open(SSE);
    let link = pair.try_link();
    pair.transmit();
    pair.cut(link);
    pair.client_sends("a");
    pair.advance(60_000);
    assert_eq!(texts(&pair.server().got), ["a"]);
    assert_eq!(pair.client.connection.transport(), SSE);
}

#[test]
fn a_server_tries_nothing() {
    let mut solo = Solo::proven(SSE, &defaults());
    let before = solo.end.connection.clone();
    solo.end.connection.try_link(LinkId(8), WS);
    solo.end.connection.attach(LinkId(9), WS, solo.now);
    assert_eq!(before, solo.end.connection);
}

#[test]
fn what_old_links_still_bring_is_ignored_by_both_sides() {
    // SPEC ATT-3, ATT-4
    for transport in TRANSPORTS {
        let mut pair = interrupted(transport);
        if pair.client.connection.link().is_none() {
            pair.attach();
        }
        let old = pair.client.connection.link().unwrap();
        pair.hold(|_| true);
        pair.auto = false;
        pair.attach();
        pair.drive();
        pair.auto = true;
        pair.release();
        pair.client_sends("c3");
        pair.server_sends("s3");
        pair.drive();
        pair.advance(1_000);
        all_arrived(&mut pair);
        assert!(!pair.links().contains(&old), "{transport}");
        assert!(!pair.client.saw(suspended), "{transport}");
    }
}

#[test]
fn the_old_link_is_told_that_it_is_fenced() {
    // SPEC ATT-3
    let mut solo = Solo::proven(WS, &defaults());
    solo.resume(SSE, 0).unwrap();
    let old = solo.end.connection.poll_transmit(LinkId(1), solo.format, solo.now);
    assert_eq!(old, Some(Action::Close { reason: Reason::Fenced }));
    let before = solo.end.connection.clone();
    solo.end.connection.handle_unit(LinkId(1), solo.format.encode(text("a")).unwrap(), solo.format, solo.now);
    solo.end.connection.handle_detach(LinkId(1), Reason::Malformed, solo.now);
    solo.end.connection.handle_alive(LinkId(1), solo.now);
    assert_eq!(before, solo.end.connection);
}

#[test]
fn an_attachment_that_is_not_higher_is_fenced_without_effect() {
    // SPEC ATT-2
    for transport in TRANSPORTS {
        let mut solo = Solo::proven(WS, &defaults());
        solo.resume(SSE, 0).unwrap();
        let before = solo.end.connection.clone();
        for number in [0, 1, 2] {
            assert_eq!(solo.attach(transport, Some(number), Some(0)), Err(Fault::Fenced), "{transport} {number}");
        }
        assert_eq!(before, solo.end.connection);
    }
}

#[test]
fn a_post_of_another_attachment_is_fenced_without_effect() {
    // SPEC PST-3
    let mut solo = Solo::proven(SSE, &defaults());
    solo.resume(SSE, 0).unwrap();
    for attachment in [1, 3] {
        let units = vec![solo.format.encode(text("a")).unwrap()];
        let batch = nosphere_core::Batch { attachment: Some(attachment), base: Some(0), received: None, units };
        assert_eq!(solo.batch(batch).outcome, Err(Fault::Fenced));
    }
    assert_eq!(solo.end.connection.received(), 0);
    assert!(!solo.end.connection.has_events());
    solo.resume(WS, 0).unwrap();
    assert_eq!(solo.post(0, vec![text("a")]).outcome, Err(Fault::Fenced), "a socket takes no POST");
}

#[test]
fn a_resume_with_a_count_that_cannot_be_is_refused_without_effect() {
    // SPEC SES-5
    for transport in TRANSPORTS {
        let mut solo = Solo::proven(WS, &defaults());
        solo.send("a");
        solo.send("b");
        solo.sent();
        solo.frame(ack(1));
        let before = solo.end.connection.clone();
        assert_eq!(solo.resume(transport, 3), Err(Fault::Unexpected));
        assert_eq!(solo.resume(transport, 0), Err(Fault::Unexpected), "what was acknowledged is gone");
        assert_eq!(before, solo.end.connection);
        solo.resume(transport, 2).unwrap();
    }
}

#[test]
fn a_server_that_resumes_with_a_count_that_cannot_be_loses_its_link() {
    // SPEC DLV-4
    for received in [0, 3] {
        let mut solo = Solo::client(WS, &defaults());
        solo.send("a");
        solo.send("b");
        solo.sent();
        solo.frame(ack(1));
        solo.end.connection.attach(LinkId(2), WS, solo.now);
        solo.link = LinkId(2);
        assert!(matches!(solo.action(), Some(Action::Attach(AttachRequest::Resume(Offer { received: 0, .. })))));
        solo.frame(resumed(received));
        assert_eq!(solo.actions(), [Action::Close { reason: Reason::Unexpected }], "{received}");
        let events = solo.events();
        assert!(matches!(
            events[..],
            [Event::Heartbeat, Event::Error(_), Event::Suspended] | [Event::Error(_), Event::Suspended]
        ));
    }
}

#[test]
fn many_resumes_long_idleness_and_no_messages_at_all_are_all_right() {
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        for _ in 0..50 {
            pair.advance(30_000);
            if pair.client.connection.link().is_none() {
                pair.attach();
                pair.transmit();
            }
            pair.cut_current();
        }
        pair.client_sends("still there");
        pair.drive();
        assert_eq!(texts(&pair.server().got), ["still there"], "{transport}");
        assert_eq!(pair.client.connection.state(), State::Open);
    }
}

#[test]
fn reconnecting_without_end_while_nobody_takes_events_does_not_grow_memory() {
    // SPEC LIM-1
    for transport in TRANSPORTS {
        let mut solo = Solo::proven(WS, &defaults());
        for _ in 0..1_000 {
            solo.frame(text("a"));
            solo.frame(ping(0));
            solo.raw("noise");
            solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
            solo.resume(transport, 0).unwrap();
            solo.post(0, vec![text("a"), ping(0)]);
            solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
            solo.advance(10_000);
            solo.resume(WS, 0).unwrap();
        }
        let events = solo.events();
        assert!(events.len() < 300, "{} events", events.len());
        assert!(events.iter().filter(|event| resumes(event)).count() > 0);
    }
}

#[test]
fn a_client_is_fenced_by_another_one_with_its_token_and_comes_back_with_a_higher_number() {
    let mut pair = Pair::open(WS);
    let now = pair.now;
    let attach = nosphere_core::Attach { link: LinkId(900), transport: SSE, attachment: Some(2), received: Some(0) };
    pair.server().connection.handle_attach(attach, now).unwrap();
    pair.client_sends("a");
    pair.drive();
    assert_eq!(texts(&pair.server().got), ["a"]);
    assert_eq!(pair.client.connection.state(), State::Open);
    let ended = |event: &Event| matches!(event, Event::Disconnected { by: Side::Server, .. });
    assert!(!pair.client.saw(ended));
}

#[test]
fn the_next_number_is_the_one_that_an_event_stream_has_to_name() {
    // SPEC SSE-2, SSE-4
    let mut solo = Solo::client(SSE, &defaults());
    assert_eq!(solo.end.connection.next_number(), 1);
    solo.frame(text("a"));
    solo.frame(text("b"));
    assert_eq!(solo.end.connection.next_number(), 3);
    solo.end.take_one();
    solo.end.connection.attach(LinkId(2), SSE, solo.now);
    assert_eq!(solo.end.connection.next_number(), 2, "b comes again");
    solo.end.connection.handle_detach(LinkId(2), Reason::Unexpected, solo.now);
    assert_eq!(solo.end.connection.state(), State::Suspended);
}

#[test]
fn what_the_old_link_was_still_to_be_told_is_not_told_to_the_new_one() {
    // SPEC ATT-3
    let mut solo = Solo::proven(WS, &defaults());
    solo.frame(ping(0));
    solo.resume(WS, 0).unwrap();
    assert_eq!(solo.sent(), [resumed(0)]);
}

#[test]
fn a_suspended_session_waits_for_nothing_but_its_client() {
    // SPEC SES-2
    for transport in [WS, SSE] {
        let mut solo = Solo::proven(transport, &defaults());
        solo.advance(26_000);
        solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
        let expires = solo.now + std::time::Duration::from_secs(120);
        assert_eq!(solo.end.connection.poll_timeout(), Some(expires));
    }
}

#[test]
fn a_server_that_says_anything_before_it_resumes_loses_its_link_and_the_session_stays_as_it_is() {
    // SPEC WS-2
    for frame in [text("a"), ack(0), ping(0), pong(0), Frame::Opened(opened())] {
        let mut solo = Solo::client(WS, &defaults());
        let session = solo.end.connection.session();
        solo.end.connection.attach(LinkId(2), WS, solo.now);
        solo.link = LinkId(2);
        assert!(matches!(solo.actions()[..], [Action::Attach(AttachRequest::Resume(_))]));
        let mut other = opened();
        other.session = [9; 16].into();
        solo.frame(if matches!(frame, Frame::Opened(_)) { Frame::Opened(other) } else { frame.clone() });
        assert_eq!(solo.actions(), [Action::Close { reason: Reason::Unexpected }], "{frame:?}");
        assert_eq!((solo.end.connection.session(), solo.end.connection.received()), (session, 0), "{frame:?}");
        assert!(matches!(solo.events()[..], [Event::Error(_), Event::Suspended]), "{frame:?}");
    }
}

#[test]
fn an_attachment_number_is_at_most_2_to_the_53_minus_1() {
    // SPEC TRM-1
    let mut solo = Solo::proven(WS, &defaults());
    let before = solo.end.connection.clone();
    for number in [MAX_COUNT + 1, MAX_COUNT + 2, u64::MAX] {
        assert_eq!(solo.attach(WS, Some(number), Some(0)), Err(Fault::Unexpected), "{number}");
    }
    assert_eq!(before, solo.end.connection);
    assert_eq!(solo.attach(WS, Some(MAX_COUNT), Some(0)), Ok(()));
}

#[test]
fn a_client_accepts_no_attachment_and_no_body() {
    let mut solo = Solo::client(SSE, &defaults());
    let before = solo.end.connection.clone();
    assert_eq!(solo.attach(SSE, Some(7), Some(0)), Err(Fault::Unexpected));
    assert_eq!(solo.post(0, vec![text("a")]).outcome, Err(Fault::Unexpected));
    assert_eq!(before, solo.end.connection);
}
