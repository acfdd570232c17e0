//! The end of a session, and what each side knows then.

use nosphere_core::{Action, Batch, Event, Fault, Frame, LinkId, Post, PostAnswer, Reason, Side, State};

use super::support::{
    Dir, End, POLL, Pair, SSE, Solo, TRANSPORTS, WS, ack, closed, config, defaults, ping, resumed, text, texts, window,
};

fn end(by: Side, reason: Reason) -> Option<Event> {
    Some(Event::Disconnected { by, reason })
}

fn close_client(pair: &mut Pair) {
    pair.client.connection.close(Reason::Closed, pair.now);
}

fn close_server(pair: &mut Pair, reason: Reason) {
    let now = pair.now;
    pair.server().connection.close(reason, now);
}

fn nothing_left(end: &mut End) {
    let left = end.undelivered();
    assert_eq!((left.unknown, left.unsent), (vec![], vec![]));
}

#[test]
fn a_client_that_closes_is_seen_by_both_sides_and_leaves_nothing_unknown() {
    // SPEC CLS-1, CLS-2, SES-1
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.client_sends("a");
        pair.client_sends("b");
        close_client(&mut pair);
        pair.drive();
        for side in [&pair.client, &pair.servers[0]] {
            assert_eq!(side.events.last().cloned(), end(Side::Client, Reason::Closed), "{transport}");
        }
        assert_eq!(texts(&pair.server().got), ["a", "b"]);
        nothing_left(&mut pair.client);
        nothing_left(pair.server());
        assert!(pair.client.connection.is_finished(), "{transport}");
        assert_eq!(pair.links(), [], "{transport}");
    }
}

#[test]
fn a_server_that_closes_is_seen_by_both_sides_and_leaves_nothing_unknown() {
    // SPEC CLS-1, CLS-2, SES-1
    for transport in TRANSPORTS {
        for reason in [Reason::Closed, Reason::GoingAway, Reason::Application(3042)] {
            let mut pair = Pair::open(transport);
            pair.server_sends("a");
            pair.server_sends("b");
            close_server(&mut pair, reason);
            pair.drive();
            for side in [&pair.client, &pair.servers[0]] {
                assert_eq!(side.events.last().cloned(), end(Side::Server, reason), "{transport}");
            }
            assert_eq!(texts(&pair.client.got), ["a", "b"]);
            nothing_left(&mut pair.client);
            nothing_left(pair.server());
            assert!(pair.client.connection.is_finished(), "{transport}");
            assert_eq!(pair.links(), [], "{transport}");
        }
    }
}

#[test]
fn a_client_answers_close_over_http_with_its_final_count() {
    // SPEC CLS-2
    for transport in [SSE, POLL] {
        let mut solo = Solo::client(transport, &defaults());
        solo.frame(text("a"));
        solo.frame(closed(0));
        let Some(Post { id, units, received, base, .. }) = solo.end.connection.poll_post(solo.format) else {
            panic!("no answer over {transport}")
        };
        assert_eq!((base, received, units.len()), (0, 1, 1));
        assert_eq!(solo.format.decode(units[0].clone()), Ok(closed(1)));
        assert!(!solo.end.connection.is_finished());
        solo.end.connection.handle_post_answer(id, PostAnswer::Accepted { received: 0 }, solo.now);
        assert_eq!(solo.actions(), [Action::Close { reason: Reason::Closed }]);
        solo.events();
        assert!(solo.end.connection.is_finished());
    }
}

#[test]
fn an_answer_to_close_is_posted_again_but_not_for_ever() {
    // SPEC PST-4, CLS-1
    let mut solo = Solo::client(SSE, &defaults());
    solo.frame(closed(0));
    for _ in 0..3 {
        let post = solo.end.connection.poll_post(solo.format).expect("the answer, again");
        assert_eq!(solo.end.connection.poll_post(solo.format), None, "one POST in flight");
        solo.end.connection.handle_post_answer(post.id, PostAnswer::Failed, solo.now);
    }
    solo.actions();
    solo.events();
    assert!(!solo.end.connection.is_finished());
    solo.advance(5_000);
    assert_eq!(solo.end.connection.poll_post(solo.format), None);
    assert!(solo.end.connection.is_finished());
}

#[test]
fn when_both_close_at_once_each_ends_by_itself() {
    // SPEC SES-1
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.client_sends("a");
        pair.server_sends("b");
        close_client(&mut pair);
        close_server(&mut pair, Reason::Application(3000));
        pair.drive();
        pair.advance(5_000);
        assert_eq!(pair.client.events.last().cloned(), end(Side::Client, Reason::Closed), "{transport}");
        assert_eq!(pair.servers[0].events.last().cloned(), end(Side::Server, Reason::Application(3000)));
        assert_eq!(pair.client.got.len() + pair.servers[0].got.len(), 0, "neither side delivers any more");
        assert_eq!(texts(&pair.client.undelivered().unknown), ["a"], "{transport}");
        assert_eq!(texts(&pair.server().undelivered().unknown), ["b"], "{transport}");
    }
}

#[test]
fn two_sides_that_both_close_with_full_windows_wait_for_each_other_only_so_long_and_do_not_spin() {
    // SPEC CLS-1, CLS-3
    for transport in TRANSPORTS {
        let mut pair = Pair::open_with(transport, &window(2, 1 << 20), &window(2, 1 << 20));
        for i in 0..4 {
            pair.client_sends(&i.to_string());
            pair.server_sends(&i.to_string());
        }
        close_client(&mut pair);
        close_server(&mut pair, Reason::GoingAway);
        pair.drive();
        assert_eq!(pair.client.connection.state(), State::Closing, "{transport}");
        pair.advance(5_000);
        for end in [&mut pair.client, &mut pair.servers[0]] {
            let left = end.undelivered();
            assert_eq!((left.unknown.len(), left.unsent.len()), (2, 2), "{transport}");
        }
    }
}

#[test]
fn a_closing_client_hears_acknowledgements_while_the_server_goes_on_sending() {
    // SPEC CLS-1
    let mut pair = Pair::open_with(POLL, &defaults(), &window(2, 1 << 20));
    for i in 0..8 {
        pair.client_sends(&i.to_string());
    }
    close_client(&mut pair);
    for _ in 0..20 {
        pair.server_sends("news");
        pair.advance(200);
        if pair.server().connection.state() == State::Closed {
            break;
        }
    }
    assert_eq!(pair.server().got.len(), 8);
    nothing_left(&mut pair.client);
}

#[test]
fn close_comes_behind_every_message_even_if_they_need_several_windows() {
    // SPEC CLS-1
    for transport in TRANSPORTS {
        let mut pair = Pair::open_with(transport, &window(2, 1 << 20), &window(2, 1 << 20));
        for i in 0..9 {
            pair.client_sends(&i.to_string());
        }
        close_client(&mut pair);
        pair.drive();
        assert_eq!(pair.server().got.len(), 9, "{transport}");
        assert_eq!(pair.server().events.last().cloned(), end(Side::Client, Reason::Closed), "{transport}");
        nothing_left(&mut pair.client);
    }
}

#[test]
fn what_came_before_close_is_delivered_by_an_application_that_takes_it_later() {
    // SPEC CLS-2
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.server().slow = true;
        pair.client_sends("a");
        close_client(&mut pair);
        pair.drive();
        nothing_left(&mut pair.client);
        pair.server().take();
        assert_eq!(texts(&pair.server().got), ["a"], "{transport}");
        assert_eq!(pair.server().events.last().cloned(), end(Side::Client, Reason::Closed));
    }
}

#[test]
fn a_side_that_closes_takes_nothing_more_and_its_peer_learns_what_was_not_taken() {
    // SPEC CLS-1, CLS-3
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.client_sends("taken");
        pair.drive();
        pair.server().slow = true;
        pair.client_sends("waits");
        pair.drive();
        close_server(&mut pair, Reason::Closed);
        pair.client_sends("late");
        pair.drive();
        pair.server().take();
        assert_eq!(texts(&pair.server().got), ["taken"], "{transport}");
        let left = pair.client.undelivered();
        assert_eq!([texts(&left.unknown), texts(&left.unsent)].concat(), ["waits", "late"], "{transport}");
    }
}

#[test]
fn a_body_that_is_ahead_of_what_a_closing_server_kept_is_no_gap() {
    // SPEC CLS-1
    let mut solo = Solo::proven(SSE, &defaults());
    assert_eq!(solo.post(0, vec![text("a"), text("b")]).outcome, Ok(()));
    solo.end.connection.close(Reason::Closed, solo.now);
    assert_eq!(solo.post(2, vec![text("c"), closed(0)]).outcome, Ok(()));
    assert_eq!(solo.end.connection.state(), State::Closed);
}

#[test]
fn without_an_answer_a_session_ends_when_the_close_timeout_is_over() {
    // SPEC CLS-1, CLS-3
    for transport in TRANSPORTS {
        let mut solo = Solo::proven(transport, &defaults());
        solo.send("a");
        solo.end.connection.close(Reason::Application(3999), solo.now);
        let Some(Frame::Close(close)) = solo.sent().pop() else { panic!("no close") };
        assert_eq!((close.code, close.received), (3999, 0));
        solo.send_is_refused();
        solo.advance(4_999);
        assert_eq!(solo.events(), []);
        solo.advance(1);
        assert_eq!(solo.events(), [end(Side::Server, Reason::Application(3999)).unwrap()]);
        assert_eq!(texts(&solo.end.undelivered().unknown), ["a"]);
    }
}

#[test]
fn a_suspended_session_that_is_closed_says_so_when_the_client_comes_back_in_time() {
    // SPEC CLS-1
    let mut solo = Solo::proven(WS, &defaults());
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.send("a");
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.resume(SSE, 0).unwrap();
    let sent = solo.sent();
    assert_eq!(sent, [resumed(0), text("a"), closed(0)]);
    assert_eq!(solo.post(0, vec![closed(1)]).outcome, Ok(()));
    assert_eq!(solo.events(), [Event::Suspended, end(Side::Server, Reason::Closed).unwrap()]);
}

#[test]
fn a_client_whose_close_was_not_answered_resumes_and_hears_close_again() {
    // SPEC CLS-4
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.client_sends("a");
        close_client(&mut pair);
        while pair.server().connection.state() != State::Closed {
            pair.transmit();
            pair.deliver(0);
        }
        pair.server().take();
        pair.transmit();
        if transport == WS {
            pair.cut_current();
        } else {
            pair.lose_post();
            pair.lose(|sent| sent.dir == Dir::Down);
        }
        assert_eq!(pair.client.connection.state(), State::Closing);
        pair.drive();
        assert_eq!(pair.client.events.last().cloned(), end(Side::Client, Reason::Closed), "{transport}");
        nothing_left(&mut pair.client);
        assert!(pair.now.0 < 5_000, "not by the close timeout");
    }
}

#[test]
fn a_tombstone_repeats_close_to_every_resume_and_revives_nothing() {
    // SPEC CLS-4
    let mut solo = Solo::proven(WS, &defaults());
    solo.frame(text("a"));
    solo.frame(closed(0));
    assert_eq!(solo.sent(), [closed(1)]);
    solo.events();
    for transport in TRANSPORTS {
        solo.resume(transport, 0).unwrap();
        assert_eq!(solo.sent(), [closed(1)], "{transport}");
        assert_eq!(solo.end.connection.link(), None);
    }
    assert_eq!(solo.post(1, vec![text("b"), closed(0)]).outcome, Ok(()), "a repeated close");
    assert_eq!(solo.post(1, vec![text("b")]).outcome, Err(Fault::Closed));
    assert_eq!(solo.post(1, vec![ping(0)]).received, 1);
    assert_eq!((solo.events(), solo.end.connection.received()), (vec![], 1));
    assert_eq!(solo.end.connection.state(), State::Closed);
    solo.advance(119_999);
    assert!(!solo.end.connection.is_finished());
    solo.advance(1);
    assert!(solo.end.connection.is_finished());
}

#[test]
fn a_stray_poll_at_a_tombstone_is_answered_with_close_and_revives_nothing() {
    // SPEC CLS-4
    let mut solo = Solo::proven(POLL, &defaults());
    assert_eq!(solo.post(0, vec![closed(0)]).outcome, Ok(()));
    assert_eq!(solo.sent(), [closed(0)], "the poll that waited");
    solo.poll(0).unwrap();
    assert_eq!(solo.sent(), [closed(0)]);
    assert_eq!(solo.end.connection.state(), State::Closed);
}

#[test]
fn a_websocket_is_closed_with_the_code_of_the_close_frame() {
    // SPEC WS-5
    let mut solo = Solo::proven(WS, &defaults());
    solo.end.connection.close(Reason::Application(3007), solo.now);
    assert!(matches!(solo.sent()[..], [Frame::Close(_)]));
    solo.frame(closed(0));
    assert_eq!(solo.actions(), [Action::Close { reason: Reason::Application(3007) }]);
    let mut solo = Solo::proven(WS, &defaults());
    solo.raw(r#"{"close":{"code":3008,"reason":"","received":0}}"#);
    let actions = solo.actions();
    assert!(matches!(actions[..], [Action::Send { .. }, Action::Close { reason: Reason::Application(3008) }]));
}

#[test]
fn an_ended_session_takes_no_more_frames_and_starts_no_more_timers() {
    for transport in TRANSPORTS {
        let mut solo = Solo::client(transport, &defaults());
        solo.frame(closed(0));
        let before = solo.end.connection.clone();
        for frame in [text("a"), ack(9), ping(0), closed(7), resumed(0)] {
            solo.frame(frame);
        }
        assert_eq!(before, solo.end.connection, "{transport}");
    }
}

#[test]
fn unacknowledged_messages_come_back_as_unknown_and_those_never_sent_as_unsent() {
    // SPEC CLS-3, SES-3, DLV-5
    let config = config(|config| config.window.messages = 2);
    for transport in TRANSPORTS {
        let mut pair = Pair::open_with(transport, &defaults(), &config);
        pair.client_sends("acknowledged");
        pair.drive();
        pair.advance(26_000);
        pair.server().slow = true;
        for message in ["a", "b", "c"] {
            pair.client_sends(message);
        }
        pair.drive();
        pair.cut_current();
        pair.forget();
        pair.drive();
        assert_eq!(pair.client.events.last().cloned(), end(Side::Server, Reason::UnknownSession), "{transport}");
        let left = pair.client.undelivered();
        assert_eq!((texts(&left.unknown), texts(&left.unsent)), (vec!["a".into(), "b".into()], vec!["c".into()]));
        assert!(pair.client.undelivered().unknown.is_empty(), "they are handed back once");
        assert!(pair.client.connection.is_finished());
        assert_eq!(pair.links(), []);
    }
}

#[test]
fn nothing_is_handed_back_while_the_session_lives() {
    let mut pair = Pair::open(WS);
    pair.client_sends("a");
    nothing_left(&mut pair.client);
    pair.drive();
    assert_eq!(texts(&pair.server().got), ["a"]);
}

#[test]
fn a_session_that_nobody_resumes_expires_on_both_sides() {
    // SPEC SES-2
    for transport in TRANSPORTS {
        let mut pair = Pair::open(transport);
        pair.server_sends("a");
        pair.cut_current();
        pair.auto = false;
        pair.advance(119_999);
        assert_eq!(pair.client.connection.state(), State::Suspended, "{transport}");
        assert_ne!(pair.server().connection.state(), State::Closed);
        pair.advance(10_001);
        assert_eq!(pair.client.events.last().cloned(), end(Side::Network, Reason::Expired), "{transport}");
        assert_eq!(pair.server().events.last().cloned(), end(Side::Network, Reason::Expired));
        assert_eq!(texts(&pair.server().undelivered().unsent), ["a"]);
    }
}

#[test]
fn closing_twice_and_after_the_end_changes_nothing() {
    let mut solo = Solo::proven(WS, &defaults());
    solo.end.connection.close(Reason::Application(3001), solo.now);
    let before = solo.end.connection.clone();
    solo.end.connection.close(Reason::Internal, solo.now);
    assert_eq!(before, solo.end.connection);
    solo.frame(closed(0));
    solo.end.connection.close(Reason::Internal, solo.now);
    assert_eq!(solo.events(), [end(Side::Server, Reason::Application(3001)).unwrap()]);
}

#[test]
fn a_refused_post_with_410_ends_the_session_of_the_client() {
    // SPEC CLS-4
    let mut solo = Solo::client(SSE, &defaults());
    solo.send("a");
    let post = solo.end.connection.poll_post(solo.format).unwrap();
    let answer = PostAnswer::Refused { reason: Reason::Closed };
    solo.end.connection.handle_post_answer(post.id, answer, solo.now);
    assert_eq!(solo.events(), [end(Side::Server, Reason::Closed).unwrap()]);
    assert_eq!(texts(&solo.end.undelivered().unknown), ["a"]);
}

#[test]
fn a_message_no_format_could_write_is_handed_back_even_by_a_closing_session() {
    // SPEC CLS-3
    let mut solo = Solo::admitted(nosphere_core::Protocol::Native, WS, &defaults(), window(9, 20).window);
    solo.send("1234567890123456");
    solo.end.connection.close(Reason::Closed, solo.now);
    assert!(matches!(solo.sent()[..], [Frame::Opened(_), Frame::Close(_)]));
    solo.frame(closed(0));
    assert_eq!(texts(&solo.end.undelivered().unsent), ["1234567890123456"]);
}

#[test]
fn messages_behind_close_in_one_body_are_not_delivered_and_not_counted() {
    // SPEC CLS-1, PST-1
    let mut solo = Solo::proven(SSE, &defaults());
    let answer = solo.post(0, vec![text("a"), closed(0), text("b")]);
    assert_eq!((answer.outcome, answer.received), (Ok(()), 1));
    solo.events();
    assert_eq!(texts(&solo.end.got), ["a"]);
}

#[test]
fn a_late_report_about_a_link_of_an_ended_session_does_nothing() {
    let mut solo = Solo::proven(WS, &defaults());
    solo.frame(closed(0));
    solo.actions();
    let before = solo.end.connection.clone();
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.end.connection.handle_detach(LinkId(77), Reason::Malformed, solo.now);
    assert_eq!(before, solo.end.connection);
    let batch = Batch { attachment: None, base: None, received: None, units: vec![] };
    assert_eq!(solo.batch(batch).outcome, Err(Fault::Closed));
}

#[test]
fn a_client_whose_queue_overflows_ends_the_session_itself_and_tells_the_server() {
    let limited = config(|config| config.max_queued_messages = 1);
    for transport in [WS, SSE] {
        let mut pair = Pair::open_with(transport, &limited, &defaults());
        pair.client_sends("a");
        pair.client.send("b", pair.now).unwrap_err();
        pair.drive();
        for side in [&pair.client, &pair.servers[0]] {
            assert_eq!(side.events.last().cloned(), end(Side::Client, Reason::Overflow), "{transport}");
        }
    }
}

impl Solo {
    fn send_is_refused(&mut self) {
        let error = self.end.send("late", self.now).unwrap_err();
        assert_eq!(texts(&[error.into_message()]), ["late"]);
    }
}

#[test]
fn an_answer_to_close_that_fails_after_the_close_timeout_is_given_up() {
    // SPEC CLS-1
    let mut solo = Solo::client(SSE, &defaults());
    solo.frame(closed(0));
    let post = solo.end.connection.poll_post(solo.format).unwrap();
    solo.advance(5_000);
    solo.end.connection.handle_post_answer(post.id, PostAnswer::Failed, solo.now);
    assert_eq!(solo.end.connection.poll_post(solo.format), None);
}
