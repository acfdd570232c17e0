//! Event streams and polls.

use std::sync::Arc;
use std::task::Context;

use http::{HeaderValue, Response};
use nosphere_core::{Attach, Fault, LinkId, Open, Reason, Transport};
use nosphere_long_polling::Answer;
use nosphere_sse::{EventStream, EventWriter};
use nosphere_wire::negotiation::{Dialect, Refusal, SessionRequest, headers};

use super::{OpenRequest, Route, find, no_content, open, refusal, reserve};
use crate::Body;
use crate::session::{Cell, Outlet};
use crate::shared::Shared;

pub(super) async fn attach(
    shared: &Arc<Shared>,
    route: &Route,
    protocol: Dialect,
    transport: Transport,
    request: SessionRequest,
) -> Result<Response<Body>, Refusal> {
    let plain_stream = protocol.is_plain() && transport == Transport::ServerSentEvents;
    let link = shared.next_link();
    let opening = async |attachment, window| {
        let handler = route.admit(shared).await?;
        let request = OpenRequest::new(protocol, Open { attachment, window }, link, transport);
        let connection = reserve(shared, &request).map_err(|reason| Refusal::new(reason, "no new sessions now"))?;
        let launch = |cell| handler.spawn(cell, None);
        let head = route.head.clone();
        open(shared, head, connection, protocol.format(), Outlet::Carrier, launch).map_err(|_| Refusal::internal())
    };
    let (cell, count, reset, opened) = match request {
        SessionRequest::Open { attachment, window } => (opening(attachment, window).await?, 0, false, true),
        SessionRequest::Resume { session, token, attachment, received } => {
            match find(shared, &route.head, session, &token) {
                Ok(cell) => {
                    let attach = Attach { link, transport, attachment, received };
                    match resume(shared, &cell, route, protocol, attach).await {
                        // The status that tells an `EventSource` to stop.
                        Err(None) if plain_stream => return Ok(no_content()),
                        Err(None) => return Err(refusal(Fault::Closed, cell.report_received())),
                        Err(Some(refusal)) => return Err(refusal),
                        Ok(()) => {
                            let count = received.unwrap_or_else(|| cell.acknowledged());
                            (cell, count, false, false)
                        }
                    }
                }
                // A stock `EventSource` cannot open a session but by asking for the one it had.
                Err(refusal) if plain_stream && refusal.name() == Some(Reason::UnknownSession.name()) => {
                    (opening(1, nosphere_core::Window::default()).await?, 0, true, true)
                }
                Err(refusal) => return Err(refusal),
            }
        }
        _ => return Err(Refusal::bad_request("no such request")),
    };
    let guard = Guard { cell, link };
    let mut response = match transport {
        Transport::ServerSentEvents => stream(guard, protocol, count, reset),
        Transport::LongPolling | Transport::WebSocket | _ => poll(guard, protocol, opened).await?,
    };
    response.headers_mut().entry(http::header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `Err(None)`: the session is closed.
async fn resume(
    shared: &Shared,
    cell: &Arc<Cell>,
    route: &Route,
    protocol: Dialect,
    attach: Attach,
) -> Result<(), Option<Refusal>> {
    let begins = cell.begins(attach.transport, attach.attachment);
    if !cell.speaks(protocol.into(), protocol.format(), begins) {
        let refusal = Refusal::bad_request("the session talks in another protocol or format");
        return Err(Some(refusal.with_received(cell.report_received())));
    }
    if begins {
        // The handler of a resumption is not used: the session has one.
        drop(route.admit(shared).await?);
    }
    cell.attach(attach, protocol.format())
        .map(drop)
        .map_err(|(fault, received)| (fault != Fault::Closed).then(|| refusal(fault, received)))
}

fn stream(guard: Guard, protocol: Dialect, count: u64, reset: bool) -> Response<Body> {
    let format = protocol.format();
    let received = guard.cell.report_received();
    let events = match guard.cell.token() {
        Some(token) if protocol.is_plain() => EventWriter::plain(guard.cell.id(), token, count, reset),
        _ => EventWriter::native(),
    };
    let next = move |cx: &mut Context<'_>| guard.cell.poll_action(guard.link, format, cx);
    let mut response = nosphere_sse::response(Body::stream(EventStream::new(events, count, next)));
    response.headers_mut().insert(headers::RECEIVED, received.into());
    response
}

async fn poll(guard: Guard, protocol: Dialect, opened: bool) -> Result<Response<Body>, Refusal> {
    let format = protocol.format();
    let answer = nosphere_long_polling::answer(protocol, |cx| guard.cell.poll_action(guard.link, format, cx)).await;
    let received = guard.cell.report_received();
    match answer {
        Answer::Finished(response) => {
            let mut response = response.map(Body::from);
            let fields = response.headers_mut();
            fields.insert(headers::RECEIVED, received.into());
            if let Some(token) = guard.cell.token().filter(|_| opened && protocol.is_plain()) {
                let value = |text: String| HeaderValue::try_from(text).ok();
                fields.extend(value(guard.cell.id().to_string()).map(|id| (headers::SESSION, id)));
                fields.extend(value(token.reveal()).map(|mut token| {
                    token.set_sensitive(true);
                    (headers::TOKEN, token)
                }));
            }
            Ok(response)
        }
        Answer::Ended(Reason::Fenced) => Err(Refusal::replaced().with_received(received)),
        Answer::Ended(reason) => Err(Refusal::new(reason, "the poll was ended").with_received(received)),
        _ => Err(Refusal::internal()),
    }
}

/// Tells the session when its stream or poll is gone.
pub(super) struct Guard {
    pub(super) cell: Arc<Cell>,
    pub(super) link: LinkId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cell.detach(self.link, Reason::Lost);
    }
}
