//! What a client posts: how much at once, and what comes again.

use nosphere_core::{Connection, Frame, Post, PostAnswer, Reason, State, Unit, Window};

use super::support::{End, SSE, Solo, ack, closed, config, defaults, opened, text};

/// A client with a large queue of its own, of a server with a large window.
fn client(messages: u32, bytes: u32) -> Solo {
    let mut solo = Solo::client(SSE, &defaults());
    let roomy = config(|config| {
        config.max_queued_messages = 10_000;
        config.max_queued_bytes = 64 << 20;
    });
    solo.end = End::new(Connection::client(&roomy, solo.now));
    solo.end.connection.attach(solo.link, SSE, solo.now);
    solo.actions();
    let mut opened = opened();
    opened.window = Window { messages, bytes };
    solo.frame(Frame::Opened(opened));
    solo
}

fn post(solo: &mut Solo) -> Post {
    solo.end.connection.poll_post(solo.format).expect("a body is due")
}

fn answer(solo: &mut Solo, post: &Post, answer: PostAnswer) {
    solo.end.connection.handle_post_answer(post.id, answer, solo.now);
}

/// A client that had one body accepted, and has another in flight.
fn second_in_flight() -> (Solo, Post) {
    let mut solo = Solo::client(SSE, &defaults());
    solo.send("a");
    let first = post(&mut solo);
    answer(&mut solo, &first, PostAnswer::Accepted { received: 0 });
    solo.send("b");
    let second = post(&mut solo);
    assert_eq!((second.base, second.units.len()), (1, 1));
    (solo, second)
}

fn bytes(post: &Post) -> usize {
    post.units.iter().map(Unit::len).sum()
}

#[test]
fn a_body_has_at_most_512_units_whatever_the_servers_window() {
    // SPEC PST-6
    let mut solo = client(5_000, 1 << 20);
    for _ in 0..600 {
        solo.send("a");
    }
    let first = post(&mut solo);
    assert_eq!(first.units.len(), 512);
    answer(&mut solo, &first, PostAnswer::Accepted { received: 0 });
    let second = post(&mut solo);
    assert_eq!((second.base, second.units.len()), (512, 88));
}

#[test]
fn a_body_ends_with_the_unit_that_reaches_512_kib_whatever_the_servers_window() {
    // SPEC PST-6
    const ENVELOPE: usize = r#"{"text":""}"#.len();
    for (length, units) in [((512 << 10) - ENVELOPE, 1), ((512 << 10) - ENVELOPE - 1, 2), (200_000, 3)] {
        let mut solo = client(5_000, 16 << 20);
        for _ in 0..8 {
            solo.send("x".repeat(length));
        }
        let post = post(&mut solo);
        assert_eq!(post.units.len(), units, "of {length} bytes");
        assert!(bytes(&post) < 2 << 20);
    }
}

#[test]
fn a_body_that_failed_is_repeated_from_its_own_base() {
    // SPEC PST-4
    let (mut solo, second) = second_in_flight();
    answer(&mut solo, &second, PostAnswer::Failed);
    let again = post(&mut solo);
    assert_eq!((again.base, &again.units), (second.base, &second.units));
}

#[test]
fn after_a_gap_everything_that_is_not_acknowledged_is_posted_again() {
    // SPEC PST-2, DLV-5
    let (mut solo, second) = second_in_flight();
    answer(&mut solo, &second, PostAnswer::Gap);
    let again = post(&mut solo);
    let units: Vec<_> = ["a", "b"].map(|message| solo.format.encode(text(message)).unwrap()).into();
    assert_eq!((again.base, again.units), (0, units));
}

#[test]
fn an_answer_to_another_body_than_the_one_in_flight_changes_nothing() {
    // SPEC PST-4
    for wrong in [
        PostAnswer::Accepted { received: 2 },
        PostAnswer::Failed,
        PostAnswer::Gap,
        PostAnswer::Refused { reason: Reason::Closed },
    ] {
        let (mut solo, second) = second_in_flight();
        let before = solo.end.connection.clone();
        for id in [second.id - 1, second.id + 1] {
            solo.end.connection.handle_post_answer(id, wrong, solo.now);
        }
        assert_eq!(before, solo.end.connection);
        answer(&mut solo, &second, PostAnswer::Accepted { received: 2 });
        assert_eq!((solo.end.connection.acknowledged(), solo.end.connection.state()), (2, State::Open));
    }
}

#[test]
fn a_body_that_arrived_though_it_failed_is_not_posted_again_once_the_stream_says_so() {
    // SPEC PST-4, DLV-4
    let (mut solo, second) = second_in_flight();
    answer(&mut solo, &second, PostAnswer::Failed);
    solo.frame(ack(2));
    assert_eq!((solo.end.connection.acknowledged(), solo.end.connection.queued()), (2, 0));
    let again = post(&mut solo);
    assert_eq!((again.base, again.units.len()), (2, 0));
}

/// Whether a body says `close`.
fn closes(post: &Post) -> bool {
    let text = |unit: &Unit| matches!(unit, Unit::Text(text) if text.starts_with(r#"{"close""#));
    post.units.iter().any(text)
}

#[test]
fn a_farewell_is_never_ahead_of_the_server_whatever_became_of_the_body_before() {
    // SPEC CLS-2, PST-2
    let mut solo = Solo::client(SSE, &config(|config| config.max_queued_messages = 2));
    post(&mut solo); // its first sign of life
    solo.end.connection.handle_post_answer(1, PostAnswer::Accepted { received: 0 }, solo.now);
    solo.send("1");
    let first = post(&mut solo);
    solo.send("2");
    assert!(solo.end.connection.send("3", solo.now).is_err(), "one too many: the session ends");
    assert_eq!(solo.end.connection.state(), State::Closed);
    answer(&mut solo, &first, PostAnswer::Failed);
    let farewell = post(&mut solo);
    assert_eq!(farewell.base, 0, "the server may have nothing");
    assert!(closes(&farewell), "{farewell:?}");
}

#[test]
fn a_close_that_is_lost_while_the_server_closes_too_is_said_again() {
    // SPEC CLS-2
    let mut solo = Solo::client(SSE, &defaults());
    post(&mut solo);
    solo.end.connection.handle_post_answer(1, PostAnswer::Accepted { received: 0 }, solo.now);
    solo.end.connection.close(Reason::Closed, solo.now);
    let first = post(&mut solo);
    assert!(closes(&first), "{first:?}");
    solo.frame(closed(0));
    assert_eq!(solo.end.connection.state(), State::Closed);
    answer(&mut solo, &first, PostAnswer::Failed);
    let again = post(&mut solo);
    assert!(closes(&again), "{again:?}");
    answer(&mut solo, &again, PostAnswer::Accepted { received: 0 });
    assert_eq!(solo.end.connection.poll_timeout(), None, "and not for ever");
}
