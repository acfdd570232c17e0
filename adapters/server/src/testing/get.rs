use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use nosphere_core::{Action, AttachRequest, LinkId, Reason, Transport};
use nosphere_wire::batch::decode_batch;
use nosphere_wire::negotiation::{headers, subprotocol};
use tower_service::Service as _;

use super::Refused;
use super::driver::{Hands, count, secret};
use super::event_reader::EventReader;
use crate::Body;
use crate::server::Respond;

/// An event stream or a poll.
pub(super) struct Get {
    link: LinkId,
    transport: Transport,
    stage: Stage,
}

enum Stage {
    /// The core has not said yet what to ask for.
    Held,
    Asked(Respond),
    Answered(Box<Answer>),
}

struct Answer {
    head: http::response::Parts,
    body: Body,
    /// An event stream that was granted; any other body is gathered.
    events: Option<EventReader>,
    gathered: BytesMut,
}

/// What became of a GET.
pub(super) enum Outcome {
    /// It gets on.
    Progress,
    /// The poll was answered, or the session wants no more of this link.
    Over,
    /// The link is lost.
    Lost,
    /// The server refused what was asked for.
    Refused(Refused),
}

impl Get {
    pub(super) fn new(link: LinkId, transport: Transport) -> Self {
        Self { link, transport, stage: Stage::Held }
    }

    pub(super) fn link(&self) -> LinkId {
        self.link
    }

    /// One step. Pending if there is none to be made now.
    pub(super) fn poll(&mut self, hands: &mut Hands<'_>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match hands.connection.poll_transmit(self.link, hands.format, hands.now) {
            Some(Action::Attach(request)) => {
                self.stage = Stage::Asked(hands.server.call(self.request(hands, request)));
                return Poll::Ready(Outcome::Progress);
            }
            Some(Action::Close { .. }) => return Poll::Ready(Outcome::Over),
            // A client is told nothing else where it sends by POST.
            Some(Action::Finish | Action::Lost { .. } | Action::Ping | Action::Send { .. } | _) | None => {}
        }
        match &mut self.stage {
            Stage::Held => Poll::Pending,
            Stage::Asked(respond) => {
                let Ok(response) = ready!(Pin::new(respond).poll(cx));
                self.take_head(hands, response);
                Poll::Ready(Outcome::Progress)
            }
            Stage::Answered(answer) => match ready!(Pin::new(&mut answer.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { return Poll::Ready(Outcome::Progress) };
                    Poll::Ready(self.take_bytes(hands, &bytes))
                }
                // Only clients of other dialects have their answers broken off.
                Some(Err(_)) | None => Poll::Ready(self.take_end(hands)),
            },
        }
    }

    fn request(&self, hands: &Hands<'_>, attach: AttachRequest) -> Request<Body> {
        let mut request = hands.target.request();
        let fields = request.headers_mut();
        if let Ok(protocol) = HeaderValue::try_from(subprotocol(hands.format)) {
            fields.insert(headers::PROTOCOL, protocol);
        }
        fields.insert(headers::TRANSPORT, HeaderValue::from_static(self.transport.name()));
        if self.transport == Transport::ServerSentEvents {
            fields.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        match attach {
            AttachRequest::Open(open) => {
                fields.insert(headers::ATTACHMENT, open.attachment.into());
                let window = format!("{}/{}", open.window.messages, open.window.bytes);
                fields.extend(HeaderValue::try_from(window).ok().map(|window| (headers::WINDOW, window)));
            }
            AttachRequest::Resume(offer) => {
                secret(fields, offer.session, &offer.token);
                fields.insert(headers::ATTACHMENT, offer.attachment.into());
                fields.insert(headers::RECEIVED, offer.received.into());
            }
        }
        request
    }

    fn take_head(&mut self, hands: &mut Hands<'_>, response: Response<Body>) {
        let (head, body) = response.into_parts();
        let granted = head.status == StatusCode::OK;
        if let Some(received) = received(&head.headers).filter(|_| granted) {
            hands.connection.handle_received(self.link, received, hands.now);
        }
        let streams = granted && self.transport == Transport::ServerSentEvents;
        let events = streams.then(EventReader::default);
        self.stage = Stage::Answered(Box::new(Answer { head, body, events, gathered: BytesMut::new() }));
    }

    fn take_bytes(&mut self, hands: &mut Hands<'_>, bytes: &Bytes) -> Outcome {
        let Stage::Answered(answer) = &mut self.stage else { return Outcome::Progress };
        let Some(events) = &mut answer.events else {
            answer.gathered.extend_from_slice(bytes);
            return Outcome::Progress;
        };
        events.push(bytes);
        loop {
            let event = match events.next() {
                Ok(None) => return Outcome::Progress,
                Ok(Some(event)) => event,
                Err(_) => return fault(self.link, hands, Reason::Malformed),
            };
            let current = hands.connection.link() == Some(self.link) && !hands.closing();
            // SPEC SSE-4
            if current && event.id.is_some_and(|id| id != hands.connection.next_number()) {
                return fault(self.link, hands, Reason::Unexpected);
            }
            match event.into_unit(hands.format) {
                Ok(unit) => hands.connection.handle_unit(self.link, unit, hands.format, hands.now),
                Err(_) => return fault(self.link, hands, Reason::Malformed),
            }
        }
    }

    fn take_end(&mut self, hands: &mut Hands<'_>) -> Outcome {
        let stage = std::mem::replace(&mut self.stage, Stage::Held);
        let Stage::Answered(answer) = stage else { return Outcome::Over };
        let Answer { head, gathered, .. } = *answer;
        let body = gathered.freeze();
        let refused = Refused::new(head, body.clone());
        match (refused.status(), refused.name()) {
            (StatusCode::OK, _) if self.transport == Transport::LongPolling => {
                self.take_batch(hands, &body);
                Outcome::Over
            }
            (StatusCode::OK, _) | (StatusCode::NO_CONTENT, Some("replaced")) => {
                hands.connection.handle_detach(self.link, Reason::Lost, hands.now);
                Outcome::Lost
            }
            (StatusCode::CONFLICT, Some("stale")) => {
                // A POST has overtaken the poll: the run goes on.
                hands.connection.handle_detach(self.link, Reason::Closed, hands.now);
                Outcome::Over
            }
            _ => {
                hands.connection.handle_refused(self.link, refused.reason(), hands.now);
                Outcome::Refused(refused)
            }
        }
    }

    fn take_batch(&self, hands: &mut Hands<'_>, body: &Bytes) {
        // No answer holds more units than bytes.
        let reason = match decode_batch(hands.format, body, hands.format.is_text(), body.len()) {
            Ok(units) => {
                for unit in units {
                    hands.connection.handle_unit(self.link, unit, hands.format, hands.now);
                }
                Reason::Closed
            }
            Err(_) => Reason::Malformed,
        };
        hands.connection.handle_detach(self.link, reason, hands.now);
    }
}

/// What the server has taken, as an answer says.
pub(super) fn received(fields: &HeaderMap) -> Option<u64> {
    count(fields.get(headers::RECEIVED)?)
}

/// The server has written what it may not: the link is not good for more.
fn fault(link: LinkId, hands: &mut Hands<'_>, reason: Reason) -> Outcome {
    hands.connection.handle_detach(link, reason, hands.now);
    Outcome::Lost
}
