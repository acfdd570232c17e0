//! Between `close` and the end.

use std::time::Duration;

use nosphere_core::{Reason, State};

use super::support::{SSE, Solo, WS, closed, config, defaults, resumed, text};

#[test]
fn a_closing_server_says_close_again_on_every_new_link() {
    // SPEC CLS-1
    let mut solo = Solo::proven(WS, &defaults());
    solo.end.connection.close(Reason::Closed, solo.now);
    assert_eq!(solo.sent(), [closed(0)]);
    solo.resume(WS, 0).unwrap();
    assert_eq!(solo.sent(), [resumed(0), closed(0)]);
}

#[test]
fn a_suspended_session_that_is_closed_waits_for_the_close_timeout_and_no_longer_for_the_resume_window() {
    // SPEC CLS-1
    let mut solo = Solo::proven(WS, &config(|config| config.resume = Duration::from_secs(1)));
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.advance(4_999);
    assert_eq!(solo.end.connection.state(), State::Closing);
    solo.advance(1);
    assert_eq!(solo.end.connection.state(), State::Closed);
}

#[test]
fn a_closing_session_that_loses_its_link_still_has_its_whole_close_timeout() {
    // SPEC CLS-1
    let mut solo = Solo::proven(WS, &config(|config| config.resume = Duration::from_secs(1)));
    solo.end.connection.close(Reason::Closed, solo.now);
    solo.end.connection.handle_detach(solo.link, Reason::Lost, solo.now);
    solo.advance(4_999);
    assert_eq!(solo.end.connection.state(), State::Closing);
    solo.advance(1);
    assert_eq!(solo.end.connection.state(), State::Closed);
}

#[test]
fn a_closing_server_answers_bodies_with_what_it_has_taken() {
    // SPEC CLS-1, DLV-3
    let mut solo = Solo::proven(SSE, &defaults());
    assert_eq!(solo.post(0, vec![text("a"), text("b")]).outcome, Ok(()));
    solo.events();
    solo.end.connection.close(Reason::Closed, solo.now);
    assert_eq!(solo.post(2, vec![text("c")]).received, 2);
}
