use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Uri};
use nosphere_websocket::handshake::{HandshakeError, Upgrade};

use crate::endpoint::Mount;
use crate::ordinary;

/// The head of the request that opens or resumes a session.
///
/// Admission and the factory of handlers see it, and so does the handler while it handles `Connected`
/// ([`Client::head`](crate::Client::head)). It is cheap to clone, but do not keep it: it may hold on to all of the buffer that
/// the request was read into. What a handler wants to keep, it copies.
///
/// ```
/// use nosphere::{Refusal, RequestHead};
///
/// struct Room { id: u64, user: String }
///
/// fn room(head: &RequestHead) -> Result<Room, Refusal> {
///     let id = head.parameter("id").and_then(|id| id.parse().ok());
///     Ok(Room {
///         id: id.ok_or_else(|| Refusal::forbidden("no such room"))?,
///         user: head.principal().unwrap_or("somebody").to_owned(),
///     })
/// }
/// ```
#[derive(Clone)]
pub struct RequestHead(Arc<Head>);

#[derive(Clone)]
struct Head {
    /// Without headers.
    parts: Parts,
    headers: OnceLock<HeaderMap>,
    /// Where the headers are until somebody asks for them.
    unread: Option<Unread>,
    endpoint: Arc<Mount>,
    parameters: Vec<(String, String)>,
    principal: Option<Box<str>>,
}

/// The head of a handshake that was read no further than it takes to answer it.
#[derive(Clone)]
pub(crate) struct Unread {
    pub(crate) bytes: Bytes,
    pub(crate) key: [u8; 24],
    pub(crate) protocol: Option<HeaderValue>,
}

/// The address of whoever makes a request, as an extension of that request: for servers that know it and say so.
///
/// ```
/// # fn handle<B>(mut request: http::Request<B>, address: std::net::SocketAddr) {
/// request.extensions_mut().insert(nosphere::Peer(address));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an address, named")]
pub struct Peer(pub SocketAddr);

impl RequestHead {
    pub(crate) fn new(mut parts: Parts, endpoint: Arc<Mount>, parameters: Vec<(String, String)>) -> Self {
        let headers = std::mem::take(&mut parts.headers).into();
        Self(Arc::new(Head { parts, headers, unread: None, endpoint, parameters, principal: None }))
    }

    /// Of `parts` without headers, which are in `unread`.
    pub(crate) fn unread(
        parts: Parts,
        unread: Unread,
        endpoint: Arc<Mount>,
        parameters: Vec<(String, String)>,
    ) -> Self {
        let (headers, unread) = (OnceLock::new(), Some(unread));
        Self(Arc::new(Head { parts, headers, unread, endpoint, parameters, principal: None }))
    }

    pub(crate) fn set_peer(&mut self, peer: SocketAddr) {
        Arc::make_mut(&mut self.0).parts.extensions.insert(Peer(peer));
    }

    pub(crate) fn set_principal(&mut self, principal: String) {
        Arc::make_mut(&mut self.0).principal = Some(principal.into_boxed_str());
    }

    /// A copy of everything.
    pub(crate) fn to_parts(&self) -> Parts {
        let mut parts = self.0.parts.clone();
        parts.headers.clone_from(self.headers());
        parts
    }

    /// Judges a request that [asks for a WebSocket](nosphere_websocket::handshake::is_upgrade).
    pub(crate) fn upgrade(&self) -> Result<Upgrade<'_>, HandshakeError> {
        let Head { parts, unread, .. } = &*self.0;
        match unread {
            None => Upgrade::judge((&parts.method, parts.version, self.headers(), &parts.extensions)),
            Some(Unread { key, protocol, .. }) => {
                Upgrade::of_key(key, protocol.as_ref().and_then(|protocol| protocol.to_str().ok()))
            }
        }
    }

    /// Whether more than so many bytes are kept with it.
    pub(crate) fn is_longer_than(&self, limit: usize) -> bool {
        // All of the head, or more.
        if self.0.unread.as_ref().is_some_and(|unread| unread.bytes.len() <= limit) {
            return false;
        }
        let uri = self.uri().path_and_query().map_or(0, |path| path.as_str().len());
        self.headers().iter().fold(uri, |sum, (name, value)| sum + name.as_str().len() + value.len()) > limit
    }

    /// The path that the endpoint was mounted on, `/rooms/{id}`.
    pub fn endpoint(&self) -> &str {
        self.0.endpoint.path()
    }

    pub(crate) fn mount(&self) -> &Mount {
        &self.0.endpoint
    }

    /// The value of a parameter of that path: `id` in `/rooms/{id}`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The request's path, without a slash at its end: what the session broadcasts to.
    pub fn path(&self) -> &str {
        crate::topic::normal(self.uri().path())
    }

    /// The request's URI.
    pub fn uri(&self) -> &Uri {
        &self.0.parts.uri
    }

    /// The first value of a parameter of the query, decoded.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All parameters of the query, decoded, in their order.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        form_urlencoded::parse(self.uri().query().unwrap_or_default().as_bytes())
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0
            .headers
            .get_or_init(|| self.0.unread.as_ref().map(|unread| ordinary::headers(&unread.bytes)).unwrap_or_default())
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        match &self.0.unread {
            // One look does not need the map.
            Some(unread) if self.0.headers.get().is_none() => ordinary::header(&unread.bytes, name),
            _ => self.headers().get(name).and_then(|value| value.to_str().ok()),
        }
    }

    /// What middleware put into the request.
    pub fn extensions(&self) -> &Extensions {
        &self.0.parts.extensions
    }

    /// What middleware put into the request, of one type: an authenticated user, say.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions().get()
    }

    /// The address of whoever makes the request, if the server says: as the extension [`Peer`], or by
    /// [`Builder::peer`](crate::Builder::peer).
    pub fn peer(&self) -> Option<SocketAddr> {
        self.extension().map(|&Peer(address)| address)
    }

    /// Who makes the request, as [`Builder::principal`](crate::Builder::principal) found.
    pub fn principal(&self) -> Option<&str> {
        self.0.principal.as_deref()
    }
}

impl fmt::Debug for RequestHead {
    /// Without headers, query and extensions, since those may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.0.parts.method)
            .field("path", &self.uri().path())
            .field("endpoint", &self.endpoint())
            .field("parameters", &self.0.parameters)
            .field("peer", &self.peer())
            .field("principal", &self.principal())
            .finish_non_exhaustive()
    }
}
