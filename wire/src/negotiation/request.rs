use http::header::{ACCEPT, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN};
use http::header::{HeaderMap, HeaderName, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderValue, Method};
use nosphere_core::{Kind, ResumeToken, SessionId, Transport, Window};

use super::atmosphere::{self, AtmosphereRequest};
use super::fields::{self, Fields, single};
use super::formats::MEDIA_TYPE_PREFIX;
use super::{Dialect, Formats, Refusal, bearer, headers};
use crate::EventId;

/// What a request asks of an endpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Intent {
    /// Is of a client of atmosphere.js (SPEC §17).
    Atmosphere(AtmosphereRequest),
    /// Asks for an event stream or a poll.
    Attach {
        /// How the client talks.
        protocol: Dialect,
        /// What it asks for.
        transport: HttpTransport,
        /// For which session.
        request: SessionRequest,
    },
    /// Nothing that is the endpoint's business: the page of the same path, say.
    None,
    /// Brings messages.
    Post(Post),
    /// A browser asks whether a page of another origin may send our headers. [`OriginPolicy::preflight`] answers.
    ///
    /// [`OriginPolicy::preflight`]: super::OriginPolicy::preflight
    Preflight,
    /// Becomes a WebSocket connection.
    WebSocket {
        /// How the client talks.
        protocol: Dialect,
        /// The answer's `Sec-WebSocket-Protocol`.
        subprotocol: Option<HeaderValue>,
    },
}

/// What carries messages to the client over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SPEC §4; every adapter must look at a new one")]
pub enum HttpTransport {
    /// One answer for each request (SPEC §7).
    LongPolling,
    /// An event stream (SPEC §6).
    ServerSentEvents,
}

impl HttpTransport {
    /// The transport that `Nosphere-Transport` names.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::LongPolling, Self::ServerSentEvents].into_iter().find(|transport| transport.name() == name)
    }

    /// The name in `Nosphere-Transport`.
    pub fn name(self) -> &'static str {
        Transport::from(self).name()
    }
}

impl From<HttpTransport> for Transport {
    fn from(transport: HttpTransport) -> Self {
        match transport {
            HttpTransport::LongPolling => Self::LongPolling,
            HttpTransport::ServerSentEvents => Self::ServerSentEvents,
        }
    }
}

/// For which session a client asks for an event stream or a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionRequest {
    /// A new one.
    Open {
        /// The number of the attachment that begins; 1 where a plain client gives none.
        attachment: u64,
        /// What the client can take.
        window: Window,
    },
    /// One that there should be: its next poll, or an offer to resume it.
    Resume {
        /// Which session.
        session: SessionId,
        /// The right to it.
        token: ResumeToken,
        /// The attachment that the request belongs to. A native client always says.
        attachment: Option<u64>,
        /// What the client has taken. A native client always says.
        received: Option<u64>,
    },
}

/// The head of a request that brings messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Post {
    /// How the client talks.
    pub protocol: Dialect,
    /// For which session.
    pub session: SessionId,
    /// The right to it.
    pub token: ResumeToken,
    /// The attachment that the request belongs to. A native client always says.
    pub attachment: Option<u64>,
    /// The number of messages before the first one of the body. A native client always says.
    pub base: Option<u64>,
    /// What the client has taken. A native client always says.
    pub received: Option<u64>,
    /// Which kind of message the body is, if plain. Text may turn out to be JSON:
    /// [`PlainFormat::read_body`](crate::PlainFormat::read_body).
    pub kind: Option<Kind>,
}

/// Reads from its head what a request asks of an endpoint (SPEC §4, §15).
///
/// `upgrade` says that it is a WebSocket upgrade: RFC 6455's GET or RFC 8441's extended CONNECT, which the caller has
/// checked in all but the subprotocol.
///
/// | request | gives |
/// |---|---|
/// | any with a name of SPEC §17, but HEAD and OPTIONS | `Atmosphere` |
/// | upgrade by GET or CONNECT | `WebSocket` |
/// | GET with a protocol | `Attach`, native |
/// | GET without, but with a transport or `Accept: text/event-stream` | `Attach`, plain |
/// | POST with a native content type | `Post`, native |
/// | POST without, but with a session | `Post`, plain |
/// | OPTIONS that asks for GET or POST with one of our headers | `Preflight` |
/// | GET or POST with other headers or parameters of SPEC §4 | 400, what is missing |
/// | another method, upgrades included, with any header or parameter of SPEC §4 or a native content type | 405 |
/// | HEAD, other OPTIONS and CONNECT, whatever they carry | `None` |
/// | anything else | `None` |
///
/// A header or parameter of SPEC §4 that comes twice or is not of its form is refused wherever a request is not `None` or
/// 405; so is a token in the URL.
///
/// # Errors
///
/// When the request is for this endpoint, but cannot be granted as it is.
pub fn read_request(parts: &Parts, upgrade: bool, formats: &Formats) -> Result<Intent, Refusal> {
    if atmosphere::is_atmosphere(parts, formats) {
        return atmosphere::read(parts, upgrade, formats).map(Intent::Atmosphere);
    }
    match (&parts.method, upgrade) {
        (&Method::GET | &Method::CONNECT, true) => websocket(parts, formats),
        (_, true) => Err(Refusal::method()),
        (&Method::GET, false) => get(parts, formats),
        (&Method::POST, false) => post(parts, formats),
        (&Method::OPTIONS, false) if is_preflight(parts, formats) => Ok(Intent::Preflight),
        (&Method::HEAD | &Method::OPTIONS | &Method::CONNECT, false) => Ok(Intent::None),
        (_, false) if fields::has_any(parts) || has_native_content_type(parts) => Err(Refusal::method()),
        (_, false) => Ok(Intent::None),
    }
}

/// SPEC NEG-2.
fn websocket(parts: &Parts, formats: &Formats) -> Result<Intent, Refusal> {
    Fields::read(parts, formats)?;
    // As most clients write it: what is a name as a whole is the first offer. The names of formats have no commas.
    let first = parts.headers.get(SEC_WEBSOCKET_PROTOCOL);
    let known = first.and_then(|line| formats.by_subprotocol(line.to_str().ok()?));
    if let Some(format) = known {
        return Ok(Intent::WebSocket { protocol: Dialect::Native(format), subprotocol: first.cloned() });
    }
    let mut native = false;
    for offered in list(&parts.headers, &SEC_WEBSOCKET_PROTOCOL) {
        let offered = offered.ok_or_else(|| Refusal::bad_request("Sec-WebSocket-Protocol is not of its form"))?;
        native |= offered.starts_with("nosphere.") && !offered.starts_with(bearer::PREFIX);
        if let Some(format) = formats.by_subprotocol(offered) {
            let subprotocol = HeaderValue::from_str(offered).ok();
            return Ok(Intent::WebSocket { protocol: Dialect::Native(format), subprotocol });
        }
    }
    if native {
        return Err(Refusal::bad_request("none of the subprotocols of nosphere is supported here"));
    }
    Ok(Intent::WebSocket { protocol: Dialect::Plain, subprotocol: None })
}

fn get(parts: &Parts, formats: &Formats) -> Result<Intent, Refusal> {
    let fields = Fields::read(parts, formats)?;
    let stream = accepts_event_stream(&parts.headers).then_some(HttpTransport::ServerSentEvents);
    let asked = fields.transport.or(stream);
    if let Some(format) = fields.protocol {
        let transport = asked.unwrap_or(HttpTransport::LongPolling);
        let request = attach_native(&fields)?;
        return Ok(Intent::Attach { protocol: Dialect::Native(format), transport, request });
    }
    let Some(transport) = asked else {
        return if fields::has_any(parts) { Err(missing(&headers::PROTOCOL)) } else { Ok(Intent::None) };
    };
    let event_id = || match transport {
        HttpTransport::LongPolling => None,
        HttpTransport::ServerSentEvents => last_event_id(&parts.headers),
    };
    Ok(Intent::Attach { protocol: Dialect::Plain, transport, request: attach_plain(&fields, event_id)? })
}

fn attach_native(fields: &Fields) -> Result<SessionRequest, Refusal> {
    let attachment = fields.attachment.ok_or_else(|| missing(&headers::ATTACHMENT))?;
    if let Some((session, token)) = key(fields)? {
        let received = Some(fields.received.ok_or_else(|| missing(&headers::RECEIVED))?);
        return Ok(SessionRequest::Resume { session, token, attachment: Some(attachment), received });
    }
    Ok(SessionRequest::Open { attachment, window: fields.window.unwrap_or_default() })
}

fn attach_plain(fields: &Fields, event_id: impl FnOnce() -> Option<EventId>) -> Result<SessionRequest, Refusal> {
    let Fields { attachment, received, .. } = *fields;
    Ok(if let Some((session, token)) = key(fields)? {
        SessionRequest::Resume { session, token, attachment, received }
    } else if let Some(EventId { session, token, count }) = event_id() {
        SessionRequest::Resume { session, token, attachment, received: Some(count) }
    } else {
        SessionRequest::Open { attachment: attachment.unwrap_or(1), window: fields.window.unwrap_or_default() }
    })
}

fn post(parts: &Parts, formats: &Formats) -> Result<Intent, Refusal> {
    let fields = Fields::read(parts, formats)?;
    let content_type = single(parts, &CONTENT_TYPE)?.map(MediaType::read);
    let format = content_type.as_ref().and_then(|media_type| formats.get(media_type.native_name()?));
    let native = fields.protocol.is_some() || content_type.as_ref().is_some_and(MediaType::is_ours);
    if !native && fields.session.is_none() {
        return if fields::has_any(parts) { Err(missing(&headers::SESSION)) } else { Ok(Intent::None) };
    }
    let (session, token) = key(&fields)?.ok_or_else(|| missing(&headers::SESSION))?;
    let Fields { attachment, base, received, .. } = fields;
    if !native {
        let kind = content_type.map_or(Some(Kind::Text), |media_type| media_type.kind());
        let kind = Some(kind.ok_or_else(|| Refusal::content_type(formats))?);
        return Ok(Intent::Post(Post { protocol: Dialect::Plain, session, token, attachment, base, received, kind }));
    }
    let format = format.ok_or_else(|| Refusal::content_type(formats))?;
    if fields.protocol.is_some_and(|named| named.name() != format.name()) {
        return Err(Refusal::bad_request("Nosphere-Protocol and Content-Type name different formats"));
    }
    for (field, name) in [(attachment, headers::ATTACHMENT), (base, headers::BASE), (received, headers::RECEIVED)] {
        field.ok_or_else(|| missing(&name))?;
    }
    let protocol = Dialect::Native(format);
    Ok(Intent::Post(Post { protocol, session, token, attachment, base, received, kind: None }))
}

/// The session and the right to it, which come together or not at all.
fn key(fields: &Fields) -> Result<Option<(SessionId, ResumeToken)>, Refusal> {
    match (fields.session, fields.token) {
        (Some(session), Some(token)) => Ok(Some((session, token))),
        (Some(_), None) => Err(missing(&headers::TOKEN)),
        (None, Some(_)) => Err(missing(&headers::SESSION)),
        (None, None) => Ok(None),
    }
}

fn missing(name: &HeaderName) -> Refusal {
    Refusal::bad_request(format!("{name} is missing"))
}

/// The event that an `EventSource` saw last. It repeats whatever it was given, so anything else is not ours.
fn last_event_id(headers: &HeaderMap) -> Option<EventId> {
    headers.get(headers::LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

pub(super) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    list(headers, &ACCEPT).flatten().any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let refused = |parameter: &str| {
            let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        };
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/event-stream")) && !parts.any(refused)
    })
}

fn is_preflight(parts: &Parts, formats: &Formats) -> bool {
    let headers = &parts.headers;
    let method = headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    let asked = || list(headers, &ACCESS_CONTROL_REQUEST_HEADERS).flatten().filter_map(|name| name.parse().ok());
    let native = |name: HeaderName| headers::OF_REQUESTS.contains(&name) || name == headers::LAST_EVENT_ID;
    headers.contains_key(ORIGIN)
        && method.is_some_and(|method| method == "GET" || method == "POST")
        && (asked().any(native) || formats.has_atmosphere() && atmosphere::is_preflight(parts, asked()))
}

fn has_native_content_type(parts: &Parts) -> bool {
    let values = parts.headers.get_all(CONTENT_TYPE).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| MediaType::read(value).is_ours())
}

/// The items of a header that is a list, in one line or several; `None` for a line that is not ASCII.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    headers.get_all(name).iter().flat_map(|value| {
        let (line, broken) = match value.to_str() {
            Ok(line) => (line, None),
            Err(_) => ("", Some(None)),
        };
        line.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Some).chain(broken)
    })
}

/// A `Content-Type`, as far as we look at it.
struct MediaType {
    /// In lower case.
    essence: String,
    /// The text is in an encoding that is not UTF-8.
    foreign: bool,
}

impl MediaType {
    fn read(value: &str) -> Self {
        let mut parts = value.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let foreign = parts.any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("charset")
                && !["utf-8", "utf8", "us-ascii"].iter().any(|known| value.eq_ignore_ascii_case(known))
        });
        Self { essence, foreign }
    }

    /// The name of a native format.
    fn native_name(&self) -> Option<&str> {
        self.essence.strip_prefix(MEDIA_TYPE_PREFIX)
    }

    /// Whether it says that it is nosphere's, in whatever version and format.
    fn is_ours(&self) -> bool {
        self.essence.starts_with("application/vnd.nosphere.")
    }

    /// The kind of a plain message (SPEC PLN-7).
    fn kind(&self) -> Option<Kind> {
        match &*self.essence {
            "application/octet-stream" => Some(Kind::Binary),
            "application/json" if !self.foreign => Some(Kind::Json),
            "text/plain" if !self.foreign => Some(Kind::Text),
            _ => None,
        }
    }
}
