//! WebSockets, from the upgrade to the session.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Response};
use hyper::upgrade::OnUpgrade;
use nosphere_core::{Attach, Frame, Offer, Open, Reason, ResumeToken, Text, Transport, Window, WireFormat};
use nosphere_websocket::Outgoing;
use nosphere_websocket::handshake::{HandshakeError, Upgrade};
use nosphere_wire::atmosphere::AtmosphereFormat;
use nosphere_wire::negotiation::{Dialect, Refusal};

use super::atmosphere::{self, Found};
use super::greet::{Greet, data};
use super::{OpenRequest, Route, find, open, reserve};
use crate::endpoint::Launch;
use crate::session::close_frame;
use crate::shared::{Shared, take_place};
use crate::websocket::WebSocket;
use crate::{Body, RequestHead};

/// Accepts a WebSocket, once it is admitted.
pub(super) async fn upgrade(
    shared: &Arc<Shared>,
    route: &Route,
    protocol: Dialect,
    subprotocol: Option<&HeaderValue>,
    visit: Option<Visit>,
    upgraded: OnUpgrade,
) -> Result<Response<Body>, Refusal> {
    // Whoever waits for admission has a place already.
    let seat = Seat::take(shared, route, protocol, visit)?;
    let handler = route.admit(shared).await?;
    let (response, arrival) =
        seat.accept(route, subprotocol, handler, |handshake, protocol| handshake.response(protocol));
    tokio::spawn(arrival.wait(upgraded));
    Ok(response.map(|()| Body::default()))
}

/// A valid request for a WebSocket, for which there is room.
pub(super) struct Seat<'a> {
    handshake: Upgrade<'a>,
    protocol: Dialect,
    visit: Option<Visit>,
    place: Place,
}

impl<'a> Seat<'a> {
    pub(super) fn take(
        shared: &Arc<Shared>,
        route: &'a Route,
        protocol: Dialect,
        visit: Option<Visit>,
    ) -> Result<Self, Refusal> {
        let handshake = match route.head.upgrade() {
            Ok(handshake) => handshake,
            Err(HandshakeError::Method) => return Err(Refusal::method()),
            Err(HandshakeError::Version) => return Err(Refusal::websocket_version()),
            Err(error) => return Err(Refusal::bad_request(error.to_string())),
        };
        // A native client may want to resume: what its session is owed as the server shuts down, and for which there is
        // always room.
        let opens = visit.as_ref().map_or_else(|| protocol.is_plain(), |visit| !visit.known);
        if opens && shared.closing.load(Ordering::Relaxed) {
            return Err(Refusal::going_away());
        }
        let full = opens && shared.table.is_full();
        let place = Place::take(shared).filter(|_| !full).ok_or_else(Refusal::unavailable)?;
        Ok(Self { handshake, protocol, visit, place })
    }

    /// The answer, and what follows when it is written.
    pub(super) fn accept<A>(
        self,
        route: &Route,
        subprotocol: Option<&HeaderValue>,
        handler: Box<dyn Launch>,
        answer: impl FnOnce(&Upgrade<'_>, Option<&str>) -> A,
    ) -> (A, Arrival) {
        let Self { handshake, protocol, visit, place } = self;
        let answer = answer(&handshake, subprotocol.and_then(|name| name.to_str().ok()));
        (answer, Arrival { head: route.head.clone(), protocol, visit, handler, place })
    }
}

/// A WebSocket that has not said which session it is for.
pub(crate) struct Arrival {
    head: RequestHead,
    protocol: Dialect,
    visit: Option<Visit>,
    handler: Box<dyn Launch>,
    place: Place,
}

/// A client of atmosphere.js, whose request says which session it wants.
pub(super) struct Visit {
    pub(super) tracking: ResumeToken,
    pub(super) heartbeat: Option<Duration>,
    /// There is such a session.
    pub(super) known: bool,
}

impl Arrival {
    /// Waits for the connection, and begins.
    pub(super) async fn wait(self, upgraded: OnUpgrade) {
        let limit = self.place.0.config.session.open_timeout;
        if let Ok(Ok(upgraded)) = tokio::time::timeout(limit, upgraded).await {
            let socket = WebSocket::new(upgraded, self.shared());
            if let Some(rest) = self.begin(socket) {
                rest.await;
            }
        }
    }

    /// Opens the session, or finds out which one is meant, which takes time: that is for the caller to go on with, unless the
    /// socket is somebody else's to poll.
    pub(crate) fn begin(self, socket: io::Result<WebSocket>) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let socket =
            socket.inspect_err(|error| tracing::warn!(%error, "a WebSocket cannot be watched, and ends")).ok()?;
        let executor = socket.executor();
        match self.protocol {
            Dialect::Atmosphere(format) => executor.take(self.enter(socket, format)),
            Dialect::Native(format) => executor.take(Greet::new(self, socket, format)),
            Dialect::Plain | _ => {
                self.open(socket, Open { attachment: 1, window: Window::default() });
                None
            }
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.place.0
    }

    pub(super) fn open(self, socket: WebSocket, request: Open) {
        let Self { head, protocol, handler, place, .. } = self;
        let shared = &place.0;
        let link = shared.next_link();
        let request = OpenRequest::new(protocol, request, link, Transport::WebSocket);
        let connection = match reserve(shared, &request) {
            Ok(connection) => connection,
            Err(reason) => {
                let limit = shared.config.session.close_timeout;
                tokio::spawn(socket.linger(vec![Outgoing::Close(close_frame(reason))], limit));
                return;
            }
        };
        let (outlet, link) = socket.split(link);
        drop(open(shared, head, connection, protocol.format(), outlet, |cell| handler.spawn(cell, Some(link))));
    }

    /// Opens the session that a client of atmosphere.js names, or goes on with it.
    async fn enter(self, mut socket: WebSocket, format: &'static AtmosphereFormat) {
        let Self { head, visit, handler, place, .. } = self;
        let shared = &place.0;
        let limit = shared.config.session.close_timeout;
        let refuse = |reason| vec![Outgoing::Close(close_frame(reason))];
        let Some(Visit { tracking, heartbeat, .. }) = visit else { return };
        let mut handler = Some(handler);
        for _ in 0..MAX_RACES {
            let link = shared.next_link();
            let found = atmosphere::find_settled(shared, &head, &tracking).await;
            let refused = match found {
                Ok(Found::Living(cell)) => {
                    let transport = Transport::WebSocket;
                    let attach = Attach { link, transport, attachment: None, received: None };
                    let (outlet, link) = socket.split(link);
                    match cell.attach_websocket(attach, format, outlet, link) {
                        Ok(()) => return,
                        Err(refused) => (refused.0, refused.1),
                    }
                }
                Ok(Found::Nobody | Found::Ending) => {
                    let request = atmosphere::opening(tracking, format, heartbeat, link, Transport::WebSocket);
                    let connection = match reserve(shared, &request) {
                        Ok(connection) => connection,
                        Err(reason) => return socket.linger(refuse(reason), limit).await,
                    };
                    let (outlet, link) = socket.split(link);
                    let mut link = Some(link);
                    let launch = |cell| {
                        if let Some(handler) = handler.take() {
                            handler.spawn(cell, link.take());
                        }
                    };
                    match (atmosphere::begin(shared, head.clone(), connection, format, outlet, launch), link) {
                        (Err(outlet), Some(link)) => (outlet, link),
                        _ => return,
                    }
                }
                Ok(Found::Left) => return socket.linger(refuse(Reason::Closed), limit).await,
                Err(refusal) => {
                    let reason = refusal.name().and_then(Reason::from_name).unwrap_or(Reason::Forbidden);
                    return socket.linger(refuse(reason), limit).await;
                }
            };
            // The session ended, or another link opened it, a moment ago.
            match WebSocket::join(refused.0, refused.1) {
                Some(joined) => socket = joined,
                None => return,
            }
        }
        socket.linger(refuse(Reason::Unavailable), limit).await;
    }

    pub(super) async fn resume(self, socket: WebSocket, offer: Offer, format: &'static dyn WireFormat) {
        let shared = &self.place.0;
        let cell = match find(shared, &self.head, offer.session, &offer.token) {
            Ok(cell) if cell.speaks(self.protocol.into(), format, true) => cell,
            Err(refusal) if refusal.name() == Some(Reason::UnknownSession.name()) => {
                let reset = Frame::Reset { text: Text::from_static("unknown session") };
                return self.refuse(socket, data(reset, format), Reason::UnknownSession).await;
            }
            _ => return self.refuse(socket, None, Reason::Forbidden).await,
        };
        let link = shared.next_link();
        let attach = Attach {
            link,
            transport: Transport::WebSocket,
            attachment: Some(offer.attachment),
            received: Some(offer.received),
        };
        let (outlet, link) = socket.split(link);
        if let Err(refused) = cell.attach_websocket(attach, format, outlet, link) {
            let (outlet, link, rest) = *refused;
            if let Some(socket) = WebSocket::join(outlet, link) {
                socket.linger(rest, self.linger_limit()).await;
            }
        }
    }

    pub(super) async fn refuse(self, socket: WebSocket, words: Option<Outgoing>, reason: Reason) {
        let words = words.into_iter().chain([Outgoing::Close(close_frame(reason))]).collect();
        socket.linger(words, self.linger_limit()).await;
    }

    pub(super) fn linger_limit(&self) -> Duration {
        self.place.0.config.session.close_timeout
    }
}

/// How often a WebSocket tries again to get the session that it names, when that changes in between.
const MAX_RACES: usize = 8;

/// One of the places for WebSockets that are not open yet; given back when dropped.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        take_place(&shared.unopened, shared.config.max_unopened).then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.unopened.fetch_sub(1, Ordering::Relaxed);
    }
}
