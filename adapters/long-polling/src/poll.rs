use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use nosphere_core::{Action, Encoded, Reason, json};
use nosphere_wire::batch::BatchWriter;
use nosphere_wire::negotiation::{Dialect, headers, media_type};

/// What a poll is answered with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The units of the connection, or none because the poll time is over.
    Finished(Response<Bytes>),
    /// The poll is not the connection's link any more, for this reason.
    Ended(Reason),
}

/// Waits for what the connection has for this poll.
///
/// `next` asks the connection for the link's next action, and wakes the task when there is one later. Dropping the future
/// takes nothing that the client could miss: its next poll says what it has.
pub async fn answer(protocol: Dialect, mut next: impl FnMut(&mut Context<'_>) -> Poll<Action>) -> Answer {
    let mut units: Vec<(Encoded, Option<u64>)> = Vec::new();
    let mut lost = None;
    loop {
        match poll_fn(&mut next).await {
            Action::Send { unit, number } => units.push((unit, number)),
            Action::Lost { messages } => lost = Some(messages),
            Action::Finish => break,
            Action::Close { reason } if units.is_empty() => return Answer::Ended(reason),
            Action::Close { .. } => break,
            // For clients, and for carriers that need a sign of life.
            Action::Attach(_) | Action::Ping | _ => {}
        }
    }
    let mut response = match protocol {
        Dialect::Native(format) => {
            let mut batch = BatchWriter::new(format);
            for (unit, _) in &units {
                batch.push(unit.payload());
            }
            let mut response = Response::new(batch.finish());
            if let Ok(value) = HeaderValue::try_from(media_type(format)) {
                response.headers_mut().insert(CONTENT_TYPE, value);
            }
            response
        }
        Dialect::Plain | _ => plain(units.first()),
    };
    let fields = response.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(messages) = lost {
        fields.insert(LOST, messages.into());
    }
    Answer::Finished(response)
}

/// One message as it is (SPEC PLN-6).
fn plain(message: Option<&(Encoded, Option<u64>)>) -> Response<Bytes> {
    let Some((unit, number)) = message else {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return response;
    };
    let kind = match unit.payload().first() {
        _ if !unit.is_text() => "application/octet-stream",
        Some(b'{' | b'[') if json::check(unit.payload()).is_ok() => "application/json",
        _ => "text/plain;charset=utf-8",
    };
    let mut response = Response::new(unit.payload_bytes());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(number) = number {
        response.headers_mut().insert(headers::COUNT, (*number).into());
    }
    response
}

/// How many messages a plain client has missed that came from an event stream (SPEC PLN-4, PLN-6).
const LOST: HeaderName = HeaderName::from_static("nosphere-lost");

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use nosphere_core::Unit;
    use nosphere_wire::{JSON, MESSAGEPACK};

    use super::*;

    async fn answered(protocol: Dialect, actions: impl IntoIterator<Item = Action>) -> Answer {
        let mut actions: VecDeque<_> = actions.into_iter().collect();
        answer(protocol, move |_| actions.pop_front().map_or(Poll::Pending, Poll::Ready)).await
    }

    async fn finished(protocol: Dialect, actions: impl IntoIterator<Item = Action>) -> Response<Bytes> {
        match answered(protocol, actions).await {
            Answer::Finished(response) => {
                assert_eq!(response.headers()[CACHE_CONTROL], "no-store", "SPEC NEG-4");
                response
            }
            Answer::Ended(reason) => panic!("{reason}"),
        }
    }

    fn text(text: &str, number: u64) -> Action {
        Action::Send { unit: Encoded::new(Unit::Text(text.into())), number: Some(number) }
    }

    fn binary(bytes: &'static [u8], number: u64) -> Action {
        // Shared, as a broadcast is: the prepared WebSocket header is left out.
        Action::Send { unit: Encoded::shared(&Unit::Binary(bytes.into())), number: Some(number) }
    }

    #[tokio::test]
    async fn native_units_are_batched() {
        // SPEC BAT-1, BAT-2
        let json = finished(Dialect::Native(&JSON), [text("{\"text\":\"a\"}", 1), text("{}", 2), Action::Finish]).await;
        assert_eq!((json.status(), json.body().as_ref()), (StatusCode::OK, &b"{\"text\":\"a\"}\n{}"[..]));
        assert_eq!(json.headers()[CONTENT_TYPE], "application/vnd.nosphere.v1.json");
        let packed =
            finished(Dialect::Native(&MESSAGEPACK), [binary(&[7, 8], 1), binary(&[9], 2), Action::Finish]).await;
        assert_eq!(packed.body().as_ref(), [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]);
        assert_eq!(packed.headers()[CONTENT_TYPE], "application/vnd.nosphere.v1.messagepack");
        let empty = finished(Dialect::Native(&JSON), [Action::Finish]).await;
        assert_eq!((empty.status(), empty.body().len()), (StatusCode::OK, 0));
    }

    #[tokio::test]
    async fn a_plain_answer_is_one_message_as_it_is() {
        // SPEC PLN-6
        let kinds = [
            (text("hi", 7), "text/plain;charset=utf-8", &b"hi"[..]),
            (text("{no json}", 7), "text/plain;charset=utf-8", b"{no json}"),
            (text("[1]", 7), "application/json", b"[1]"),
            (text("", 7), "text/plain;charset=utf-8", b""),
            (binary(b"[1]", 7), "application/octet-stream", b"[1]"),
        ];
        for (action, kind, content) in kinds {
            let response = finished(Dialect::Plain, [action, Action::Finish]).await;
            assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, content));
            assert_eq!(
                (&response.headers()[CONTENT_TYPE], &response.headers()[headers::COUNT]),
                (&kind.parse().unwrap(), &HeaderValue::from(7))
            );
        }
        let nothing = finished(Dialect::Plain, [Action::Finish]).await;
        assert_eq!((nothing.status(), nothing.body().len()), (StatusCode::NO_CONTENT, 0));
        assert!(!nothing.headers().contains_key(headers::COUNT));
    }

    #[tokio::test]
    async fn what_is_lost_is_told() {
        let response = finished(Dialect::Plain, [Action::Lost { messages: 3 }, text("on", 9), Action::Finish]).await;
        assert_eq!((&response.headers()[LOST], &response.headers()[headers::COUNT]), (&3.into(), &9.into()));
    }

    #[tokio::test]
    async fn a_poll_that_lost_its_session_says_why_unless_it_has_something() {
        let close = Action::Close { reason: Reason::Fenced };
        let ended = answered(Dialect::Native(&JSON), [close.clone()]).await;
        assert!(matches!(ended, Answer::Ended(Reason::Fenced)));
        let response = finished(Dialect::Native(&JSON), [text("{}", 1), close]).await;
        assert_eq!(response.body(), "{}");
    }

    #[tokio::test]
    async fn an_answer_waits_until_there_is_something() {
        let mut waits = 3;
        let next = |cx: &mut Context<'_>| {
            waits -= 1;
            match waits {
                0 => Poll::Ready(Action::Finish),
                _ => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        };
        assert!(matches!(answer(Dialect::Plain, next).await, Answer::Finished(_)));
        assert_eq!(waits, 0);
    }
}
