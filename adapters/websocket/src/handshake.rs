//! The opening handshake: RFC 6455 §4.2 over HTTP/1.1, RFC 8441 over HTTP/2.
//!
//! These are functions of the request head. Extensions are never negotiated.

use base64_simd::STANDARD;
use http::header::{
    ALLOW, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use sha1::{Digest as _, Sha1};

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

impl<'a> From<(&'a Method, Version, &'a HeaderMap, &'a Extensions)> for Head<'a> {
    fn from(parts: (&'a Method, Version, &'a HeaderMap, &'a Extensions)) -> Self {
        let (method, version, headers, extensions) = parts;
        Self { method, version, headers, extensions }
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
            has_token(head.headers, &UPGRADE, "websocket") && has_token(head.headers, &CONNECTION, "Upgrade")
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
    offers: Offers<'a>,
    /// Absent over HTTP/2.
    key: Option<&'a [u8]>,
}

/// Where the subprotocols are that a client offers.
#[derive(Clone, Copy, Debug)]
enum Offers<'a> {
    Fields(&'a HeaderMap),
    Known(Option<&'a str>),
}

impl<'a> Upgrade<'a> {
    /// Judges a request by the rules of the handshake.
    ///
    /// # Errors
    ///
    /// If a rule is broken; the error knows the answer.
    pub fn new(head: impl Into<Head<'a>>) -> Result<Self, HandshakeError> {
        let head = head.into();
        if is_upgrade(head) { Self::judge(head) } else { Err(HandshakeError::NotUpgrade) }
    }

    /// Judges by the other rules a request of which it is known that it [asks for a WebSocket](is_upgrade).
    ///
    /// # Errors
    ///
    /// If a rule is broken; the error knows the answer.
    pub fn judge(head: impl Into<Head<'a>>) -> Result<Self, HandshakeError> {
        let head = head.into();
        let http1 = head.version == Version::HTTP_11;
        if http1 && *head.method != Method::GET {
            return Err(HandshakeError::Method);
        }
        let version = head.headers.get(SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version.as_bytes() != b"13") {
            return Err(HandshakeError::Version);
        }
        let key = head.headers.get(SEC_WEBSOCKET_KEY).filter(|_| http1).map(HeaderValue::as_bytes);
        if http1 && !key.is_some_and(is_key) {
            return Err(HandshakeError::Key);
        }
        Ok(Self { offers: Offers::Fields(head.headers), key })
    }

    /// A request by HTTP/1.1 of which it is known that it asks by `GET` for a WebSocket of version 13, with this
    /// `Sec-WebSocket-Key` and this list of subprotocols: for whoever reads heads without a map of their fields.
    ///
    /// ```
    /// use nosphere_websocket::handshake::Upgrade;
    ///
    /// let upgrade = Upgrade::of_key(b"dGhlIHNhbXBsZSBub25jZQ==", Some("chat"))?;
    /// assert!(upgrade.protocols().eq(["chat"]));
    /// assert_eq!(upgrade.response(Some("chat")).headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    /// # Ok::<(), nosphere_websocket::handshake::HandshakeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the key is none.
    pub fn of_key(key: &'a [u8], protocols: Option<&'a str>) -> Result<Self, HandshakeError> {
        if is_key(key) {
            Ok(Self { offers: Offers::Known(protocols), key: Some(key) })
        } else {
            Err(HandshakeError::Key)
        }
    }

    /// The subprotocols that the client offers, the one it likes best first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (fields, known) = match self.offers {
            Offers::Fields(fields) => (Some(fields), None),
            Offers::Known(known) => (None, known),
        };
        let fields = fields.into_iter().flat_map(|fields| tokens(fields, &SEC_WEBSOCKET_PROTOCOL));
        fields.chain(known.into_iter().flat_map(list))
    }

    /// The answer that accepts: 101, or 200 over HTTP/2.
    ///
    /// A `protocol` that the client did not offer is left out, as the client would fail on it.
    pub fn response(&self, protocol: Option<&str>) -> Response<()> {
        let mut response = Response::new(());
        if let Some(key) = self.key {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            add_upgrade(response.headers_mut());
            response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept_value(key));
        }
        let protocol = self.offered(protocol).and_then(|protocol| HeaderValue::from_str(protocol).ok());
        if let Some(protocol) = protocol {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }

    /// Writes the answer that accepts over HTTP/1.1, for whoever has no HTTP server: the same as [`response`](Self::response),
    /// in the same order. More fields may follow, and then an empty line.
    ///
    /// ```
    /// use http::Request;
    /// use nosphere_websocket::handshake::Upgrade;
    ///
    /// let request = Request::get("/the-chat")
    ///     .header("upgrade", "websocket")
    ///     .header("connection", "Upgrade")
    ///     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    ///     .header("sec-websocket-version", "13")
    ///     .body(())?;
    /// let mut answer = Vec::new();
    /// Upgrade::new(&request)?.write_response(None, &mut answer);
    /// answer.extend_from_slice(b"\r\n");
    /// assert!(answer.ends_with(b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_response(&self, protocol: Option<&str>, answer: &mut Vec<u8>) {
        answer.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n");
        if let Some(key) = self.key {
            answer.extend_from_slice(b"sec-websocket-accept: ");
            answer.extend_from_slice(&accept_bytes(key));
            answer.extend_from_slice(b"\r\n");
        }
        if let Some(protocol) = self.offered(protocol).filter(|protocol| HeaderValue::from_str(protocol).is_ok()) {
            answer.extend_from_slice(b"sec-websocket-protocol: ");
            answer.extend_from_slice(protocol.as_bytes());
            answer.extend_from_slice(b"\r\n");
        }
    }

    fn offered<'p>(&self, protocol: Option<&'p str>) -> Option<&'p str> {
        protocol.filter(|protocol| {
            // As most clients write it.
            let only = match self.offers {
                Offers::Fields(fields) => fields.get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|value| value == *protocol),
                Offers::Known(known) => known == Some(*protocol),
            };
            only && is_token(protocol) || self.protocols().any(|offered| offered == *protocol)
        })
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
    accept_value(key.as_bytes())
}

fn accept_value(key: &[u8]) -> HeaderValue {
    // Base64 is always a header's value.
    HeaderValue::from_bytes(&accept_bytes(key)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn accept_bytes(key: &[u8]) -> [u8; 28] {
    let mut sha = Sha1::new_with_prefix(key);
    sha.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    // 20 bytes are 28 characters.
    let _ = STANDARD.encode(&sha.finalize(), base64_simd::Out::from_slice(&mut accept));
    accept
}

fn is_key(key: &[u8]) -> bool {
    // 22 characters are 16 bytes, whatever the last bits are: some clients choose their keys as text.
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'+') | (byte == b'/');
    let key: Option<&[u8; 22]> = key.strip_suffix(b"==").and_then(|key| key.try_into().ok());
    // Without an early exit the compiler compares 16 at once.
    key.is_some_and(|key| key.iter().fold(true, |all, &byte| all & in_alphabet(byte)))
}

/// Whether a list has nothing but this, if it has this.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic() & (byte != b','))
}

fn add_upgrade(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    // As most clients write it.
    headers.get(name).is_some_and(|value| value == token)
        || tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// The members of a comma-separated list, which may be spread over several fields.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(list)
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(|token| token.trim_matches([' ', '\t'])).filter(|token| !token.is_empty())
}
