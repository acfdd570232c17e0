//! From a request to a session: which endpoint, which protocol, which session; and the answer.

mod atmosphere;
mod attach;
mod carrier;
mod greet;
mod post;
#[cfg(test)]
mod tests;
mod upgrade;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use nosphere_core::{Connection, LinkId, Open, Reason, WireFormat};
use nosphere_core::{Fault, Opening, ResumeToken, SessionId, Transport, Window};
use nosphere_long_polling::discard_body;
use nosphere_websocket::handshake::{self, Upgrade};
use nosphere_wire::negotiation::atmosphere::{is_atmosphere, with_error, without_protocol_parameters, write_headers};
use nosphere_wire::negotiation::{AllowedOrigin, Dialect, Intent, Refusal, headers, read_request, take_bearer};

use crate::contain::caught;
use crate::endpoint::{Endpoint, Launch};
use crate::head::Unread;
use crate::session::{Cell, Outlet};
use crate::shared::Shared;
use crate::{Body, RequestHead, topic};
pub(crate) use upgrade::Arrival;
use upgrade::Seat;

/// What comes of a request.
pub(crate) enum Answer<B> {
    Now(Answered<B>),
    /// The answer takes time, or there is a body to read.
    Later(Waiting<B>),
}

/// An answer; or the request, if it is not for an endpoint, with what is to be said if nobody else answers.
pub(crate) type Answered<B> = Result<Response<Body>, (Request<B>, Refusal)>;

/// A request that [`complete`] answers.
pub(crate) enum Waiting<B> {
    Unread(Request<B>),
    Read(Asked, B),
}

/// Answers what asks for a WebSocket without waiting, if it can.
pub(crate) fn begin<B: http_body::Body>(shared: &Arc<Shared>, request: Request<B>) -> Answer<B> {
    if !handshake::is_upgrade(&request) {
        return Answer::Later(Waiting::Unread(request));
    }
    let (parts, body) = request.into_parts();
    match read(shared, parts, true) {
        Read::Answered(response) => Answer::Now(Ok(response)),
        Read::Passed(parts, refusal) => Answer::Now(Err((Request::from_parts(parts, body), refusal))),
        Read::Asked(mut asked) => match asked.upgraded.take() {
            Some(upgraded) if asked.opens_websocket(shared) && body.is_end_stream() => {
                let (response, arrival) = asked.open(shared);
                if let Some(arrival) = arrival {
                    tokio::spawn(arrival.wait(upgraded));
                }
                Answer::Now(Ok(response))
            }
            upgraded => Answer::Later(Waiting::Read(Asked { upgraded, ..asked }, body)),
        },
    }
}

/// Answers what takes time.
pub(crate) async fn complete<B>(shared: Arc<Shared>, waiting: Waiting<B>) -> Answered<B>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (asked, body) = match waiting {
        Waiting::Read(asked, body) => (asked, body),
        Waiting::Unread(request) => {
            let (parts, body) = request.into_parts();
            match read(&shared, parts, false) {
                Read::Answered(response) => return Ok(response),
                Read::Passed(parts, refusal) => return Err((Request::from_parts(parts, body), refusal)),
                Read::Asked(asked) => (asked, body),
            }
        }
    };
    let Asked { mut route, intent, answering, upgraded } = asked;
    let mut body = pin!(body);
    let intent = intent.and_then(|intent| route.receive(&shared, &intent).map(|()| intent));
    let answer = match intent {
        Ok(Intent::Atmosphere(request)) => atmosphere::answer(&shared, &route, request, upgraded, body.as_mut()).await,
        Ok(Intent::Preflight) => {
            shared.origins.preflight(&route.head.to_parts(), None).map(|response| response.map(Body::from))
        }
        Ok(Intent::Attach { protocol, transport, request }) => {
            attach::attach(&shared, &route, protocol, transport.into(), request).await
        }
        Ok(Intent::Post(post)) => post::post(&shared, &route, post, body.as_mut()).await,
        Ok(Intent::WebSocket { protocol, subprotocol }) => match upgraded {
            Some(upgraded) => upgrade::upgrade(&shared, &route, protocol, subprotocol.as_ref(), None, upgraded).await,
            None => Err(Refusal::bad_request("not an upgrade")),
        },
        Ok(_) => Err(Refusal::not_found()),
        Err(refusal) => Err(refusal),
    };
    // A body that has stopped coming is not worth waiting for (SPEC PST-7).
    if answer.as_ref().is_err_and(|refusal| refusal.status() != StatusCode::REQUEST_TIMEOUT) {
        // Or HTTP resets what the client is still sending, and our answer with it.
        let discard = discard_body(body, shared.config.discard_limit());
        // Whether it came to an end or not, the answer goes out now.
        drop(tokio::time::timeout(shared.config.session.close_timeout, discard).await);
    }
    Ok(answering.response(answer))
}

/// What the head of a request says.
pub(crate) enum Read {
    Answered(Response<Body>),
    /// It is not for an endpoint.
    Passed(Parts, Refusal),
    Asked(Asked),
}

/// Something that an endpoint is asked for.
pub(crate) struct Asked {
    route: Route,
    intent: Result<Intent, Refusal>,
    answering: Answering,
    upgraded: Option<OnUpgrade>,
}

/// Reads the head of a request. The application is not asked anything yet.
pub(crate) fn read(shared: &Arc<Shared>, mut parts: Parts, upgrade: bool) -> Read {
    shared.deadlines.start(shared);
    if shared.browser_client.as_deref() == Some(topic::normal(parts.uri.path())) {
        return Read::Answered(crate::browser::respond(&parts));
    }
    let Some((endpoint, parameters)) = find_endpoint(shared, &parts.uri) else {
        return Read::Passed(parts, Refusal::not_found());
    };
    // Before anybody sees the head: who admits requests looks in one place, whatever the transport.
    let taken = if upgrade { take_bearer(&mut parts) } else { Ok(()) };
    let intent = taken.and_then(|()| read_request(&parts, upgrade, &shared.formats));
    if let Ok(Intent::None) = intent {
        let refusal = if is_ordinary(&parts.method) { Refusal::not_found() } else { Refusal::method() };
        return Read::Passed(parts, refusal);
    }
    // What is refused already may be of that dialect, too.
    let atmosphere = match intent {
        Ok(Intent::Atmosphere(_)) => true,
        Ok(_) => false,
        Err(_) => is_atmosphere(&parts, &shared.formats),
    };
    let (allowed, intent) = match shared.origins.check(&parts, None) {
        Ok(allowed) => (allowed, intent),
        Err(refusal) => (None, Err(refusal)),
    };
    let upgraded = parts.extensions.remove::<OnUpgrade>();
    if let Ok(Intent::Atmosphere(_)) = intent {
        // Nor does the application see the client's secret.
        parts.uri = without_protocol_parameters(&parts.uri);
        parts.headers.remove(headers::atmosphere::TRACKING_ID);
    }
    let head = RequestHead::new(parts, Arc::clone(endpoint.mount()), parameters);
    Read::Asked(Asked {
        route: Route { endpoint, head },
        intent,
        answering: Answering { allowed, atmosphere },
        upgraded,
    })
}

/// [`read`] for the head of a handshake that is known to be [ordinary](crate::ordinary): it says who the client is and which
/// protocol it talks, and there is nothing else to look at. `parts` are without headers. `None`: [`read`] has to look at it.
pub(crate) fn read_ordinary(
    shared: &Arc<Shared>,
    mut parts: Parts,
    extensions: &mut Option<Extensions>,
    unread: Unread,
    page: Page<'_>,
) -> Option<Asked> {
    shared.deadlines.start(shared);
    if shared.browser_client.as_deref() == Some(topic::normal(parts.uri.path())) {
        return None;
    }
    let (endpoint, parameters) = find_endpoint(shared, &parts.uri)?;
    let subprotocol = unread.protocol.clone();
    let protocol = match &subprotocol {
        None => Dialect::Plain,
        Some(only) => Dialect::Native(shared.formats.by_subprotocol(only.to_str().ok()?)?),
    };
    let allowed = match page.origin {
        None => None,
        Some(origin) => shared.origins.check_origin(&origin, || page.host?.try_into().ok(), None).ok()?,
    };
    parts.extensions = extensions.take().unwrap_or_default();
    let head = RequestHead::unread(parts, unread, Arc::clone(endpoint.mount()), parameters);
    Some(Asked {
        route: Route { endpoint, head },
        intent: Ok(Intent::WebSocket { protocol, subprotocol }),
        answering: Answering { allowed, atmosphere: false },
        upgraded: None,
    })
}

/// The page that a handshake comes from, and whom it is for.
pub(crate) struct Page<'a> {
    pub(crate) origin: Option<HeaderValue>,
    /// The one `Host`.
    pub(crate) host: Option<&'a [u8]>,
}

impl Asked {
    /// Whether this opens or resumes a session over a WebSocket, and nobody has to be waited for.
    pub(crate) fn opens_websocket(&self, shared: &Shared) -> bool {
        matches!(self.intent, Ok(Intent::WebSocket { .. })) && shared.admission.gate.is_none()
    }

    /// Asks the application, and answers; what follows when the answer is written, if it accepts.
    pub(crate) fn open(mut self, shared: &Arc<Shared>) -> (Response<Body>, Option<Arrival>) {
        let (answer, arrival) =
            match self.route.websocket(shared, self.intent, |handshake, protocol| handshake.response(protocol)) {
                Ok((response, arrival)) => (Ok(response.map(|()| Body::default())), Some(arrival)),
                Err(refusal) => (Err(refusal), None),
            };
        (self.answering.response(answer), arrival)
    }

    /// The same for whoever has no HTTP server.
    pub(crate) fn open_bare(mut self, shared: &Arc<Shared>) -> Bare {
        let write = |handshake: &Upgrade<'_>, protocol: Option<&str>| {
            let mut answer = Vec::with_capacity(256);
            handshake.write_response(protocol, &mut answer);
            answer
        };
        match self.route.websocket(shared, self.intent, write) {
            Ok((answer, arrival)) => {
                let fields = self.answering.allowed.map(|allowed| {
                    let mut fields = HeaderMap::new();
                    allowed.write(&mut fields);
                    fields
                });
                Bare::Accepted { answer, fields, arrival }
            }
            Err(refusal) => Bare::Refused(self.answering.response(Err(refusal))),
        }
    }
}

/// An answer that no HTTP server writes.
pub(crate) enum Bare {
    /// The beginning of the answer, and further fields of it.
    Accepted {
        answer: Vec<u8>,
        fields: Option<HeaderMap>,
        arrival: Arrival,
    },
    Refused(Response<Body>),
}

/// What is to be said to a page with whatever answer.
struct Answering {
    allowed: Option<AllowedOrigin>,
    /// The client is of atmosphere.js.
    atmosphere: bool,
}

impl Answering {
    fn response(self, answer: Result<Response<Body>, Refusal>) -> Response<Body> {
        let mut response = answer.unwrap_or_else(|refusal| {
            if !self.atmosphere {
                return refusal.into_response().map(Body::from);
            }
            let mut response = with_error(refusal).into_response().map(Body::from);
            write_headers(response.headers_mut(), None, false);
            response
        });
        if let Some(allowed) = self.allowed {
            AllowedOrigin::write(&allowed, response.headers_mut());
        }
        response
    }
}

/// Names and values.
type Parameters = Vec<(String, String)>;

/// The endpoint of a request's path, and the parameters in that.
fn find_endpoint(shared: &Shared, uri: &Uri) -> Option<(Arc<Endpoint>, Parameters)> {
    let found = shared.endpoints.at(topic::normal(uri.path())).ok()?;
    let parameters = found.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some((Arc::clone(found.value), parameters.collect()))
}

/// An endpoint, and how a request found it.
pub(crate) struct Route {
    endpoint: Arc<Endpoint>,
    head: RequestHead,
}

impl Route {
    /// The concrete path.
    fn path(&self) -> &str {
        self.head.path()
    }

    /// Finds out who makes a request about a session, if its head may be kept where that is done.
    fn receive(&mut self, shared: &Shared, intent: &Intent) -> Result<(), Refusal> {
        let attaches = match intent {
            Intent::Attach { .. } | Intent::WebSocket { .. } => true,
            Intent::Atmosphere(request) => request.may_open(),
            Intent::None | Intent::Post(_) | Intent::Preflight | _ => false,
        };
        if attaches && self.head.is_longer_than(shared.config.max_head_bytes) {
            return Err(Refusal::head_too_large());
        }
        if !attaches && !matches!(intent, Intent::Post(_) | Intent::Atmosphere(_)) {
            return Ok(());
        }
        caught(|| shared.admission.identify(&mut self.head)).map_err(|_| {
            tracing::error!(path = self.path(), "what tells the principal or the peer panicked");
            Refusal::internal()
        })
    }

    async fn admit(&self, shared: &Shared) -> Result<Box<dyn Launch>, Refusal> {
        shared.admission.admit(&self.head).await?;
        self.endpoint.make(&self.head)
    }

    /// Accepts a WebSocket that [nobody has to be waited for](Asked::opens_websocket).
    fn websocket<A>(
        &mut self,
        shared: &Arc<Shared>,
        intent: Result<Intent, Refusal>,
        answer: impl FnOnce(&Upgrade<'_>, Option<&str>) -> A,
    ) -> Result<(A, Arrival), Refusal> {
        let intent = intent?;
        self.receive(shared, &intent)?;
        let Intent::WebSocket { protocol, subprotocol } = intent else { return Err(Refusal::not_found()) };
        let seat = Seat::take(shared, self, protocol, None)?;
        let handler = self.endpoint.make(&self.head)?;
        Ok(seat.accept(self, subprotocol.as_ref(), handler, answer))
    }
}

/// What a session is opened with.
struct OpenRequest {
    protocol: Dialect,
    attachment: u64,
    window: Window,
    link: LinkId,
    transport: Transport,
    /// The session's id and token, if they are not new.
    key: Option<(SessionId, ResumeToken)>,
    /// How often the client wants heartbeats at most; zero is never.
    heartbeat: Option<Duration>,
}

impl OpenRequest {
    /// What most sessions are opened with.
    fn new(protocol: Dialect, open: Open, link: LinkId, transport: Transport) -> Self {
        let Open { attachment, window } = open;
        Self { protocol, attachment, window, link, transport, key: None, heartbeat: None }
    }
}

/// Makes room for a session. The caller passes it on to [`open`] at once, or there is no session.
fn reserve(shared: &Arc<Shared>, request: &OpenRequest) -> Result<Connection, Reason> {
    let OpenRequest { protocol, attachment, window, link, transport, key, heartbeat } = *request;
    if shared.closing.load(Ordering::Relaxed) {
        return Err(Reason::GoingAway);
    }
    let (session, token) = key.or_else(|| shared.random.key()).ok_or(Reason::Unavailable)?;
    if !shared.table.reserve() {
        return Err(Reason::Unavailable);
    }
    let opening = Opening { session, token, attachment, window, link, transport };
    let config = match heartbeat.filter(|&wanted| wanted.is_zero() || wanted > shared.config.session.heartbeat) {
        Some(heartbeat) if !shared.config.session.heartbeat.is_zero() => {
            let mut config = shared.config.session.clone();
            config.heartbeat = heartbeat;
            &Arc::new(config)
        }
        _ => &shared.session_config,
    };
    Ok(Connection::server(config, protocol.into(), opening, shared.clock.now()))
}

/// Opens a session that has its place, and starts its task. If its id is in use, gives the outlet back.
fn open(
    shared: &Arc<Shared>,
    head: RequestHead,
    connection: Connection,
    format: &'static dyn WireFormat,
    outlet: Outlet,
    launch: impl FnOnce(Arc<Cell>),
) -> Result<Arc<Cell>, Outlet> {
    let topic = head.mount().topic(head.path(), &shared.topics);
    let cell = Cell::new(shared, topic, connection, format, outlet, head).inspect_err(|_| shared.table.release())?;
    launch(Arc::clone(&cell));
    if shared.closing.load(Ordering::Relaxed) {
        // The shutdown may have passed over the table before this session was in it.
        cell.close(Reason::GoingAway);
    }
    Ok(cell)
}

/// The session that a request names, if it is one of this path, its token is right, and who asks is who opened it.
fn find(shared: &Shared, head: &RequestHead, session: SessionId, token: &ResumeToken) -> Result<Arc<Cell>, Refusal> {
    let cell = shared.table.get(session).filter(|cell| cell.topic().path() == head.path());
    let cell = cell.ok_or_else(Refusal::unknown_session)?;
    if !cell.verifies(token) {
        return Err(Refusal::forbidden("the token is not the session's"));
    }
    if cell.principal() != head.principal() {
        return Err(Refusal::forbidden("the session was opened by somebody else"));
    }
    Ok(cell)
}

/// How a fault is told over HTTP.
fn refusal(fault: Fault, received: u64) -> Refusal {
    let refusal = match fault {
        Fault::Closed => Refusal::closed(),
        Fault::Fenced => Refusal::fenced(),
        Fault::Gap => Refusal::gap(),
        Fault::Malformed(detail) => Refusal::malformed(detail),
        Fault::Stale => Refusal::stale(),
        Fault::TooLarge => Refusal::too_large("a unit is longer than the window"),
        Fault::Window => Refusal::window(),
        Fault::Unexpected | _ => Refusal::unexpected("a frame or a count that cannot be"),
    };
    refusal.with_received(received)
}

/// What a page that shares the endpoint's path would be asked for.
fn is_ordinary(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST].contains(method)
}

/// 204: there is nothing to say but in headers.
fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
