//! Clients of atmosphere.js (SPEC §17).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use nosphere_core::{
    Attach, Batch, Connection, Fault, Frame, LinkId, Open, Opened, Reason, ResumeToken, Side, Text, Transport, Unit,
    Window, WireFormat as _,
};
use nosphere_long_polling::{BodyError, Padding, PollBody, UnitStream, read_body};
use nosphere_sse::{EventStream, EventWriter};
use nosphere_wire::atmosphere::{AtmosphereFormat, Greeting};
use nosphere_wire::negotiation::atmosphere::{AtmosphereRequest, Attachment, Push, write_headers};
use nosphere_wire::negotiation::{Dialect, Refusal};
use tokio::time::{Instant, timeout_at};

use super::attach::Guard;
use super::carrier::{self, Hold};
use super::{OpenRequest, Route, open, refusal, reserve, upgrade};
use crate::patient::{Patient, Stalled};
use crate::session::{Cell, Outlet};
use crate::shared::Shared;
use crate::strays::Stray;
use crate::{Body, RequestHead};

/// What a client without acknowledgements can take: whatever is written.
const UNLIMITED: Window = Window { messages: u32::MAX, bytes: u32::MAX };

/// How long a request waits for the last session of the same id to be over with.
const ENDING: Duration = Duration::from_secs(2);

pub(super) async fn answer<B>(
    shared: &Arc<Shared>,
    route: &Route,
    request: AtmosphereRequest,
    upgraded: Option<OnUpgrade>,
    body: B,
) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match request {
        AtmosphereRequest::Attach(attachment) if attachment.transport == Transport::WebSocket => match upgraded {
            Some(upgraded) => websocket(shared, route, attachment, upgraded).await,
            None => Err(Refusal::bad_request("not an upgrade")),
        },
        AtmosphereRequest::Attach(attachment) => attach(shared, route, attachment).await,
        AtmosphereRequest::Close { tracking } => close(shared, &route.head, tracking),
        AtmosphereRequest::Handshake(attachment) => handshake(shared, route, attachment).await,
        AtmosphereRequest::Push(request) => push(shared, route, request, body).await,
        AtmosphereRequest::Nothing | _ => Ok(empty(None)),
    }
}

/// What there is of the session that a request names.
pub(super) enum Found {
    /// A session that can go on.
    Living(Arc<Cell>),
    /// None. A new one may have the id.
    Nobody,
    /// The client has left: nothing that it sends afterwards brings it back.
    Left,
    /// One that is about to be over with.
    Ending,
}

pub(super) fn find(shared: &Shared, head: &RequestHead, tracking: &ResumeToken) -> Result<Found, Refusal> {
    let id = tracking.session();
    let nobody = || match shared.strays.get(id, shared.clock.now()) {
        Some(Stray::Left) => Found::Left,
        Some(Stray::Issued) | None => Found::Nobody,
    };
    let Some(cell) = shared.table.get(id) else { return Ok(nobody()) };
    if !cell.verifies(tracking) || cell.topic().path() != head.path() {
        return Err(Refusal::forbidden("the session is on another path"));
    }
    if cell.principal() != head.principal() {
        return Err(Refusal::forbidden("the session was opened by somebody else"));
    }
    match cell.ended_by() {
        None => Ok(Found::Living(cell)),
        Some((Side::Client, Reason::Closed)) => Ok(Found::Left),
        // It was away for too long, or the server is about to end: for the client nothing is over.
        Some((_, Reason::Expired | Reason::GoingAway | Reason::Unproved)) if cell.is_free() => Ok(nobody()),
        Some((_, Reason::Expired | Reason::GoingAway | Reason::Unproved)) => Ok(Found::Ending),
        Some(_) => Err(Refusal::closed()),
    }
}

/// The same, once it is sure.
pub(super) async fn find_settled(
    shared: &Shared,
    head: &RequestHead,
    tracking: &ResumeToken,
) -> Result<Found, Refusal> {
    let deadline = Instant::now() + ENDING;
    loop {
        match find(shared, head, tracking)? {
            Found::Ending if Instant::now() >= deadline => return Err(Refusal::unavailable()),
            // Looking is simpler than being told, and seldom.
            Found::Ending => tokio::time::sleep(Duration::from_millis(5)).await,
            found @ (Found::Living(_) | Found::Nobody | Found::Left) => return Ok(found),
        }
    }
}

/// A tracking id that no other client has.
fn new_tracking(shared: &Shared) -> Result<ResumeToken, Refusal> {
    let (id, _) = shared.random.key().ok_or_else(Refusal::unavailable)?;
    Ok(ResumeToken::from_random(*id.as_bytes()))
}

/// What a session is opened with.
pub(super) fn opening(
    tracking: ResumeToken,
    format: &'static AtmosphereFormat,
    heartbeat: Option<Duration>,
    link: LinkId,
    transport: Transport,
) -> OpenRequest {
    let request = Open { attachment: 1, window: UNLIMITED };
    let key = Some((tracking.session(), tracking));
    OpenRequest { key, heartbeat, ..OpenRequest::new(Dialect::Atmosphere(format), request, link, transport) }
}

/// The first poll of a run: its answer is the handshake, and nothing is kept but the id.
async fn handshake(shared: &Arc<Shared>, route: &Route, attachment: Attachment) -> Result<Response<Body>, Refusal> {
    if shared.closing.load(Ordering::Relaxed) {
        return Err(Refusal::going_away());
    }
    if shared.table.is_full() {
        return Err(Refusal::unavailable());
    }
    // The next poll asks again; but whoever is not wanted should not come so far.
    drop(route.admit(shared).await?);
    let tracking = new_tracking(shared)?;
    let config = &shared.config.session;
    let opened = Opened {
        session: tracking.session(),
        token: tracking,
        heartbeat: config.client_heartbeat,
        timeout: config.timeout,
        proof: config.proof,
        resume: config.resume,
        window: config.window,
    };
    let unit = attachment.format.encode(Frame::Opened(opened)).map_err(|_| Refusal::internal())?;
    let now = shared.clock.now();
    shared.strays.put(tracking.session(), Stray::Issued, now + config.proof, now, shared.config.max_unopened);
    let mut response = empty(Some((&tracking, true)));
    *response.body_mut() = Body::from(Bytes::copy_from_slice(unit.as_bytes()));
    Ok(response)
}

/// A stream, or a poll.
async fn attach(shared: &Arc<Shared>, route: &Route, attachment: Attachment) -> Result<Response<Body>, Refusal> {
    let Attachment { transport, tracking, mut format, modern, heartbeat, .. } = attachment;
    let first = tracking.is_none();
    let tracking = match tracking {
        Some(tracking) => tracking,
        None => new_tracking(shared)?,
    };
    let link = shared.next_link();
    if shared.strays.get(tracking.session(), shared.clock.now()) == Some(Stray::Issued) {
        // The client has the handshake.
        format = format.greeting_by(Greeting::None);
    }
    let (cell, returns) = loop {
        match find_settled(shared, &route.head, &tracking).await? {
            Found::Left => return Ok(empty(Some((&tracking, false)))),
            Found::Living(cell) => match resume(shared, &cell, route, transport, link, format).await? {
                Some(returns) => break (cell, returns),
                // It has just ended.
                None => continue,
            },
            Found::Nobody | Found::Ending => {}
        }
        let handler = route.admit(shared).await?;
        let Found::Nobody = find(shared, &route.head, &tracking)? else {
            // Much may have happened meanwhile.
            continue;
        };
        let request = opening(tracking, format, heartbeat, link, transport);
        let mut connection = reserve(shared, &request).map_err(|reason| Refusal::new(reason, "no new sessions now"))?;
        if !first {
            // Who names an id has it.
            connection.handle_alive(link, shared.clock.now());
        }
        let launch = |cell| handler.spawn(cell, None);
        if let Ok(cell) = begin(shared, route.head.clone(), connection, format, Outlet::Carrier, launch) {
            break (cell, false);
        }
        // Somebody else was faster with the same id.
    };
    shared.strays.remove(tracking.session());
    let mut response = respond(Guard { cell, link }, transport, format, !modern, returns);
    write_headers(response.headers_mut(), Some(&tracking), first);
    Ok(response)
}

/// Opens a session, as [`open`] does; and ends it if its client left at the same moment.
pub(super) fn begin(
    shared: &Arc<Shared>,
    head: RequestHead,
    connection: Connection,
    format: &'static AtmosphereFormat,
    outlet: Outlet,
    launch: impl FnOnce(Arc<Cell>),
) -> Result<Arc<Cell>, Outlet> {
    let cell = open(shared, head, connection, format, outlet, launch)?;
    if shared.strays.get(cell.id(), shared.clock.now()) == Some(Stray::Left) {
        leave(&cell);
    }
    Ok(cell)
}

fn leave(cell: &Arc<Cell>) {
    cell.change(|live, now| live.connection.handle_leave(now));
}

/// The session goes on over another link. Whether that is a new attachment; `None`: it has ended.
async fn resume(
    shared: &Shared,
    cell: &Arc<Cell>,
    route: &Route,
    transport: Transport,
    link: LinkId,
    format: &'static AtmosphereFormat,
) -> Result<Option<bool>, Refusal> {
    if cell.begins(transport, None) {
        // The handler of a resumption is not used: the session has one.
        drop(route.admit(shared).await?);
    }
    match cell.attach(Attach { link, transport, attachment: None, received: None }, format) {
        Ok(begins) => Ok(Some(begins)),
        Err((Fault::Closed, _)) => Ok(None),
        Err((fault, received)) => Err(refusal(fault, received)),
    }
}

/// `old`: the client is of a version before 5. `returns`: it had another link before.
fn respond(
    guard: Guard,
    transport: Transport,
    format: &'static AtmosphereFormat,
    old: bool,
    returns: bool,
) -> Response<Body> {
    let greets = format.greeting() == Greeting::Handshake;
    let cell = Arc::clone(&guard.cell);
    let next = move |cx: &mut Context<'_>| guard.cell.poll_action(guard.link, format, cx);
    match transport {
        Transport::ServerSentEvents => {
            nosphere_sse::response(Body::stream(EventStream::new(EventWriter::atmosphere(old), 0, next)))
        }
        Transport::Streaming => {
            let padding = match old {
                true if greets => Padding::WithGreeting,
                true => Padding::Alone,
                false => Padding::None,
            };
            let next = carrier::paused(greets, next);
            let delimited = format.is_delimited();
            text(if old {
                Body::stream(UnitStream::new(delimited, padding, carrier::held(cell, Hold::Stream, next)))
            } else {
                Body::stream(UnitStream::new(delimited, padding, next))
            })
        }
        Transport::LongPolling | Transport::WebSocket | _ => {
            let next = carrier::held(Arc::clone(&cell), Hold::Poll, next);
            text(if !old {
                Body::stream(PollBody::new(false, carrier::broken(cell, next)))
            } else if returns {
                Body::stream(PollBody::new(true, carrier::paused(false, next)))
            } else {
                Body::stream(PollBody::new(true, next))
            })
        }
    }
}

async fn websocket(
    shared: &Arc<Shared>,
    route: &Route,
    attachment: Attachment,
    upgraded: OnUpgrade,
) -> Result<Response<Body>, Refusal> {
    let first = attachment.tracking.is_none();
    let tracking = match attachment.tracking {
        Some(tracking) => tracking,
        None => new_tracking(shared)?,
    };
    let known = match find_settled(shared, &route.head, &tracking).await? {
        Found::Living(_) => true,
        Found::Nobody | Found::Ending => false,
        Found::Left => return Err(Refusal::closed()),
    };
    let visit = upgrade::Visit { tracking, heartbeat: attachment.heartbeat, known };
    let dialect = Dialect::Atmosphere(attachment.format);
    let mut response = upgrade::upgrade(shared, route, dialect, None, Some(visit), upgraded).await?;
    write_headers(response.headers_mut(), Some(&tracking), first);
    Ok(response)
}

/// The client leaves. That is granted whether there is anything to leave or not.
fn close(shared: &Shared, head: &RequestHead, tracking: Option<ResumeToken>) -> Result<Response<Body>, Refusal> {
    let Some(tracking) = tracking else { return Ok(empty(None)) };
    match find(shared, head, &tracking) {
        Ok(Found::Living(cell)) => leave(&cell),
        Ok(Found::Nobody | Found::Ending) => {
            let now = shared.clock.now();
            let until = now + shared.config.session.resume;
            shared.strays.put(tracking.session(), Stray::Left, until, now, shared.config.max_tombstones);
            // It may have begun meanwhile: either this sees the session, or the session sees that.
            if let Ok(Found::Living(cell)) = find(shared, head, &tracking) {
                leave(&cell);
            }
        }
        Ok(Found::Left) => {}
        Err(refusal) if refusal.status() == StatusCode::FORBIDDEN => return Err(refusal),
        Err(_) => {}
    }
    Ok(empty(Some((&tracking, false))))
}

/// One message.
async fn push<B>(shared: &Arc<Shared>, route: &Route, push: Push, body: B) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Push { tracking, body: given, binary, format, .. } = push;
    let tracking = tracking.ok_or_else(|| Refusal::bad_request("a message needs the id of its session"))?;
    let cell = match find_settled(shared, &route.head, &tracking).await? {
        Found::Living(cell) => cell,
        Found::Left => return Err(Refusal::closed()),
        Found::Nobody | Found::Ending => adopt(shared, route, tracking, format).await?,
    };
    let deadline = Instant::now() + shared.config.session.timeout;
    // Until its message is taken: what waits for a slow handler is bounded, too.
    let (body, _place) = match given {
        Some(body) => (body, None),
        None => {
            // Clients push without waiting for the last answer, and never again: so this waits for them.
            let pushes = cell.pushes();
            let place = loop {
                let mut changed = std::pin::pin!(pushes.notified());
                changed.as_mut().enable();
                if let Some(place) = cell.body(shared.config.max_bodies_per_session) {
                    break place;
                }
                timeout_at(deadline, changed).await.map_err(|_| Refusal::unavailable())?;
            };
            let body = Patient::new(body, shared.config.session.timeout, || cell.hear(None));
            let body = read_body(body, shared.config.body_limit()).await.map_err(|error| match &error {
                BodyError::TooLarge(_) => Refusal::too_large(error.to_string()),
                BodyError::Broken(cause) if cause.is::<Stalled>() => Refusal::timeout(),
                BodyError::Broken(_) | _ => Refusal::bad_request("the body ended early"),
            })?;
            (body, Some(place))
        }
    };
    let unit = if binary {
        Unit::Binary(body)
    } else {
        Unit::Text(Text::from_utf8(body).map_err(|_| Refusal::malformed("the body is not UTF-8"))?)
    };
    let pushes = cell.pushes();
    loop {
        let mut changed = std::pin::pin!(pushes.notified());
        changed.as_mut().enable();
        let batch = Batch { attachment: None, base: None, received: None, units: vec![unit.clone()] };
        let answer = cell.handle_batch(batch, format);
        match answer.outcome {
            Ok(()) => return Ok(empty(Some((&tracking, false)))),
            // The handler is slow.
            Err(Fault::Window) => timeout_at(deadline, changed).await.map_err(|_| Refusal::unavailable())?,
            Err(fault) => return Err(refusal(fault, answer.received)),
        }
    }
}

/// A session for a client that has one in mind: the server was restarted, or the session has expired.
async fn adopt(
    shared: &Arc<Shared>,
    route: &Route,
    tracking: ResumeToken,
    format: &'static AtmosphereFormat,
) -> Result<Arc<Cell>, Refusal> {
    let handler = route.admit(shared).await?;
    match find(shared, &route.head, &tracking)? {
        Found::Nobody | Found::Ending => {}
        // Much may have happened meanwhile.
        Found::Living(cell) => return Ok(cell),
        Found::Left => return Err(Refusal::closed()),
    }
    let link = shared.next_link();
    let request = opening(tracking, format, None, link, Transport::LongPolling);
    let mut connection = reserve(shared, &request).map_err(|reason| Refusal::new(reason, "no new sessions now"))?;
    // Who names an id has it. It is between two polls.
    connection.handle_alive(link, shared.clock.now());
    connection.handle_detach(link, Reason::Lost, shared.clock.now());
    let launch = |cell| handler.spawn(cell, None);
    if let Ok(cell) = begin(shared, route.head.clone(), connection, format, Outlet::None, launch) {
        return Ok(cell);
    }
    // Somebody else was faster with the same id.
    match find(shared, &route.head, &tracking)? {
        Found::Living(cell) => Ok(cell),
        Found::Left => Err(Refusal::closed()),
        Found::Nobody | Found::Ending => Err(Refusal::unavailable()),
    }
}

/// 200 and nothing else: what is said in a body, a client shows to its page.
fn empty(tracking: Option<(&ResumeToken, bool)>) -> Response<Body> {
    let mut response = text(Body::from(Bytes::new()));
    write_headers(response.headers_mut(), tracking.map(|(id, _)| id), tracking.is_some_and(|(_, first)| first));
    response
}

fn text(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    // A browser that guesses the type waits for more.
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}
