//! The opening handshake: RFC 6455 §4.2 over HTTP/1.1, RFC 8441 over HTTP/2.
//!
//! These are functions of the request head. Extensions are never negotiated.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    ALLOW, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use sha1_smol::Sha1;

/// The head of a request, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    method: &'a Method,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> From<&'a Parts> for Head<'a> {
    fn from(parts: &'a Parts) -> Self {
        let Parts { method, version, headers, extensions, .. } = parts;
        Self { method, version: *version, headers, extensions }
    }
}

impl<'a, B> From<&'a Request<B>> for Head<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}

/// Whether a request asks for a WebSocket, rightly or not.
///
/// Over HTTP/1.1 that is `Upgrade: websocket` with `Connection: upgrade`, over HTTP/2 a `CONNECT` with the `:protocol`
/// `websocket`.
pub fn is_upgrade<'a>(head: impl Into<Head<'a>>) -> bool {
    let head = head.into();
    match head.version {
        Version::HTTP_11 => {
            has_token(head.headers, &UPGRADE, "websocket") && has_token(head.headers, &CONNECTION, "upgrade")
        }
        Version::HTTP_2 => {
            let protocol = head.extensions.get::<hyper::ext::Protocol>();
            *head.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
        }
        _ => false,
    }
}

/// A valid request for a WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'a> {
    headers: &'a HeaderMap,
    /// Absent over HTTP/2.
    key: Option<&'a HeaderValue>,
}

impl<'a> Upgrade<'a> {
    /// Judges a request by the rules of the handshake.
    ///
    /// # Errors
    ///
    /// If a rule is broken; the error knows the answer.
    pub fn new(head: impl Into<Head<'a>>) -> Result<Self, HandshakeError> {
        let head = head.into();
        if !is_upgrade(head) {
            return Err(HandshakeError::NotUpgrade);
        }
        let http1 = head.version == Version::HTTP_11;
        if http1 && *head.method != Method::GET {
            return Err(HandshakeError::Method);
        }
        let version = head.headers.get(SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version.as_bytes() != b"13") {
            return Err(HandshakeError::Version);
        }
        let key = head.headers.get(SEC_WEBSOCKET_KEY).filter(|_| http1);
        if http1 && !key.is_some_and(is_key) {
            return Err(HandshakeError::Key);
        }
        Ok(Self { headers: head.headers, key })
    }

    /// The subprotocols that the client offers, the one it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        tokens(self.headers, &SEC_WEBSOCKET_PROTOCOL)
    }

    /// The answer that accepts: 101, or 200 over HTTP/2.
    ///
    /// A `protocol` that the client did not offer is left out, as the client would fail on it.
    pub fn response(&self, protocol: Option<&str>) -> Response<()> {
        let mut response = Response::new(());
        if let Some(key) = self.key {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            add_upgrade(response.headers_mut());
            response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept(key));
        }
        let protocol = protocol
            .filter(|protocol| self.protocols().any(|offered| offered == *protocol))
            .and_then(|protocol| HeaderValue::from_str(protocol).ok());
        if let Some(protocol) = protocol {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Why a request for a WebSocket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The key is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    /// The method is not GET.
    #[error("a WebSocket is opened by GET")]
    Method,
    /// The request does not ask for a WebSocket.
    #[error("the request does not ask for a WebSocket")]
    NotUpgrade,
    /// The version of the protocol is not 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
}

impl HandshakeError {
    /// The status that refuses the request.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Key => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// The answer that refuses the request. Its `Upgrade` and `Connection` are HTTP/1.1's; hyper leaves them out of HTTP/2.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Key => {}
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NotUpgrade | Self::Version => {
                add_upgrade(headers);
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
        }
        response
    }
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let mut sha = Sha1::from(key.as_bytes());
    sha.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let length = BASE64.encode_slice(sha.digest().bytes(), &mut accept);
    // 20 bytes are 28 characters, and base64 is always a header's value.
    let accept = length.ok().and_then(|length| HeaderValue::from_bytes(&accept[..length]).ok());
    accept.unwrap_or_else(|| HeaderValue::from_static(""))
}

fn is_key(key: &HeaderValue) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut bytes) == Ok(16)
}

fn add_upgrade(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    // Alone, as it mostly is.
    headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(token.as_bytes()))
        || tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a comma-separated list, which may be spread over several fields.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

/// Takes a key whose last character has bits that 16 bytes do not fill: some clients choose their keys as text.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
