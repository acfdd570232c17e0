use std::sync::Arc;
use std::time::Duration;

use nosphere_core::{
    Action, AttachRequest, Config, Connection, LinkId, Message, PostAnswer, Reason, State, Text, Time, Unit, Window,
    WireFormat,
};
use nosphere_wire::JSON;

use crate::application::{Application, message};
use crate::session::{transport, unit};

/// Any operations on one client: the event grammar, one POST in flight, attachments that only rise, old links that are
/// ignored, limits, and deadlines that get on.
pub fn client(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = move || bytes.next();
    let format: &dyn WireFormat = &JSON;
    let mut config = Config::default();
    config.max_queued_messages = 8;
    config.window = Window { messages: 4, bytes: 256 };
    let config = Arc::new(config);
    let mut now = Time::ZERO;
    let mut connection = Connection::client(&config, now);
    let mut application = Application::default();
    let (mut links, mut former, mut attachment) = (0, None, 0);
    // The POST in flight, and the attachment that it belongs to.
    let mut post: Option<(u64, u64)> = None;
    while let Some(operation) = next() {
        let argument = next().unwrap_or_default();
        let number = u64::from(argument & 0x0f);
        match operation {
            240..=244 => application.send(&mut connection, &message(argument), now),
            245..=249 => application.take_reply(&mut connection),
            250.. => connection.handle_blocked(LinkId(number)),
            _ => match operation % 14 {
                0 => application.send(&mut connection, &Message::text("x".repeat(usize::from(argument))), now),
                1 => connection.close(Reason::Closed, now),
                2 => {
                    links += 1;
                    former = connection.link().or(former);
                    connection.attach(LinkId(links), transport(argument), now);
                }
                3 => {
                    links += 1;
                    connection.try_link(LinkId(links), transport(argument));
                }
                4 => connection.handle_detach(LinkId(links), reason(argument), now),
                // Whatever a link that was replaced still brings, and suffers.
                5 if former.is_some() && connection.link() != former => {
                    let former = former.unwrap_or(LinkId(0));
                    let before = connection.clone();
                    connection.handle_unit(former, said(argument), format, now);
                    connection.handle_detach(former, reason(argument), now);
                    connection.handle_refused(former, reason(argument), now);
                    connection.handle_received(former, number, now);
                    assert_eq!(connection, before, "{former:?} is not the link any more");
                }
                5..=8 => connection.handle_unit(LinkId(links), said(argument), format, now),
                9 => {
                    let flying = post.filter(|post| post.1 == connection.attachment());
                    if let Some(body) = connection.poll_post(format) {
                        assert_eq!(flying, None, "two bodies at once");
                        assert_eq!(body.attachment, connection.attachment());
                        assert_eq!(connection.poll_post(format), None, "two bodies at once");
                        post = Some((body.id, body.attachment));
                    }
                }
                10 => {
                    let answer = match argument % 5 {
                        0 | 1 => PostAnswer::Accepted { received: number },
                        2 => PostAnswer::Failed,
                        3 => PostAnswer::Gap,
                        _ => PostAnswer::Refused { reason: reason(argument) },
                    };
                    if let Some((id, _)) = post.take() {
                        connection.handle_post_answer(id, answer, now);
                    }
                    let before = connection.clone();
                    connection.handle_post_answer(u64::MAX, answer, now);
                    assert_eq!(connection, before, "an answer to nothing");
                }
                11 => match argument % 4 {
                    0 => connection.handle_refused(LinkId(links), reason(argument), now),
                    1 => connection.handle_received(LinkId(links), number, now),
                    2 => now = now + Duration::from_millis(u64::from(argument) * 100),
                    _ => {
                        if let Some(at) = connection.poll_timeout() {
                            now = now.max(at);
                            let before = connection.clone();
                            connection.handle_timeout(now);
                            assert_ne!(connection, before, "a deadline came and nothing happened");
                        }
                    }
                },
                12 => {
                    while let Some(action) = connection.poll_transmit(LinkId(links), format, now) {
                        if let Action::Attach(AttachRequest::Open(_) | AttachRequest::Resume(_)) = action {
                            assert!(connection.attachment() >= attachment, "an attachment from the past");
                            attachment = connection.attachment();
                        }
                        if matches!(action, Action::Close { .. }) {
                            break;
                        }
                    }
                }
                _ => application.take(&mut connection),
            },
        }
        assert!(connection.queued() <= config.max_queued_messages);
        assert!(connection.state() != State::Open || connection.session().is_some());
    }
    application.end(&mut connection, now);
}

fn reason(argument: u8) -> Reason {
    match argument >> 4 & 7 {
        0 => Reason::Lost,
        1 => Reason::Closed,
        2 => Reason::Fenced,
        3 => Reason::UnknownSession,
        4 => Reason::Unexpected,
        5 => Reason::Unavailable,
        6 => Reason::TooLarge,
        _ => Reason::Application(3000),
    }
}

/// What a server may say, and what it may not.
fn said(argument: u8) -> Unit {
    let number = argument & 0x0f;
    let text = match argument >> 4 & 7 {
        0 | 1 => {
            r#"{"opened":{"session":"24f98d6b-c271-4169-8f9c-217343b62aa7","token":"00112233445566778899aabbccddeeff","heartbeat":25000,"timeout":20000,"proof":10000,"resume":120000,"window":{"messages":4,"bytes":256}}}"#
                .to_owned()
        }
        2 | 3 => format!(r#"{{"resumed":{{"received":{number}}}}}"#),
        4 => r#"{"reset":"unknown session"}"#.to_owned(),
        5 => r#"{"text":"news"}"#.to_owned(),
        _ => return unit(argument),
    };
    Unit::Text(Text::from(text))
}
