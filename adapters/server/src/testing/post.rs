use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use nosphere_core::{Post, PostAnswer, Reason, Unit};
use nosphere_wire::batch::encode_batch;
use nosphere_wire::negotiation::{headers, media_type};
use tokio::time::Instant;
use tower_service::Service as _;

use super::driver::{Hands, RETRY_DELAY, secret};
use super::get::received;
use crate::Body;
use crate::server::Respond;

/// A POST in flight, or one that is to be repeated.
pub(super) struct Posting {
    id: u64,
    stage: Stage,
}

enum Stage {
    Asked(Respond),
    /// The server had no place for it.
    Waits {
        until: Instant,
    },
}

impl Posting {
    pub(super) fn new(hands: &mut Hands<'_>, post: &Post) -> Self {
        let body = encode_batch(hands.format, post.units.iter().map(Unit::as_bytes));
        let mut request = hands.target.request().map(|_| Body::from(body));
        *request.method_mut() = Method::POST;
        let fields = request.headers_mut();
        let kind = HeaderValue::try_from(media_type(hands.format));
        fields.extend(kind.ok().map(|kind| (CONTENT_TYPE, kind)));
        if let Some((session, token)) = hands.connection.session().zip(hands.connection.token()) {
            secret(fields, session, &token);
        }
        fields.insert(headers::ATTACHMENT, post.attachment.into());
        fields.insert(headers::BASE, post.base.into());
        fields.insert(headers::RECEIVED, post.received.into());
        Self { id: post.id, stage: Stage::Asked(hands.server.call(request)) }
    }

    /// When to look at it again, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Asked(_) => None,
            Stage::Waits { until } => Some(*until),
        }
    }

    /// Ready when its answer has been told to the connection.
    pub(super) fn poll(&mut self, hands: &mut Hands<'_>, cx: &mut Context<'_>) -> Poll<()> {
        let answer = match &mut self.stage {
            Stage::Asked(respond) => match Pin::new(respond).poll(cx) {
                Poll::Ready(Ok(response)) => answer(&response),
                Poll::Pending => return Poll::Pending,
            },
            Stage::Waits { until } if Instant::now() >= *until => Some(PostAnswer::Failed),
            Stage::Waits { .. } => return Poll::Pending,
        };
        match answer {
            Some(answer) => {
                hands.connection.handle_post_answer(self.id, answer, hands.now);
                Poll::Ready(())
            }
            None => {
                self.stage = Stage::Waits { until: Instant::now() + RETRY_DELAY };
                Poll::Pending
            }
        }
    }
}

/// What an answer says. `None` if the server has no place for the body now.
fn answer(response: &Response<Body>) -> Option<PostAnswer> {
    let fields: &HeaderMap = response.headers();
    let name = fields.get(headers::ERROR).and_then(|name| name.to_str().ok());
    Some(match (response.status(), name, received(fields)) {
        (StatusCode::NO_CONTENT, None, Some(received)) => PostAnswer::Accepted { received },
        (StatusCode::CONFLICT, Some("gap"), _) => PostAnswer::Gap,
        (StatusCode::SERVICE_UNAVAILABLE, Some("unavailable"), _) => return None,
        (_, name, _) => PostAnswer::Refused { reason: name.and_then(Reason::from_name).unwrap_or(Reason::Unexpected) },
    })
}
