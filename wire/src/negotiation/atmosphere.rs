//! What a request of an atmosphere.js client asks of an endpoint (SPEC §17).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use nosphere_core::{ResumeToken, SessionId, Transport};

use super::fields::{has_name, query, unescape};
use super::headers::atmosphere as names;
use super::request::accepts_event_stream;
use super::{Formats, Refusal};
use crate::atmosphere::{AtmosphereFormat, Greeting};

/// What a client of atmosphere.js asks for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AtmosphereRequest {
    /// A link to the client: a WebSocket, a stream, a poll.
    Attach(Attachment),
    /// The client leaves, beside its link.
    Close {
        /// Which session.
        tracking: Option<ResumeToken>,
    },
    /// The first of a run of polls, which only fetches the handshake: the next one is the attachment.
    Handshake(Attachment),
    /// Nothing that could be sent or kept: a client that subscribes with `polling`. It gets an empty answer.
    Nothing,
    /// One message.
    Push(Push),
}

impl AtmosphereRequest {
    /// Whether a session may begin with the request, or go on over another link.
    pub fn may_open(&self) -> bool {
        matches!(self, Self::Attach(_) | Self::Handshake(_) | Self::Push(_))
    }
}

/// A link that a client of atmosphere.js asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attachment {
    /// What carries it.
    pub transport: Transport,
    /// Which session, if the client names one. The id is a secret, and the only one: whoever knows it has the session.
    pub tracking: Option<ResumeToken>,
    /// How units are written.
    pub format: &'static AtmosphereFormat,
    /// The client is of version 5 or later: it hands white space to the page, and expects a handshake on every link.
    pub modern: bool,
    /// How often the client wants heartbeats at most; zero is never.
    pub heartbeat: Option<Duration>,
}

/// One message of a client of atmosphere.js.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Push {
    /// Which session.
    pub tracking: Option<ResumeToken>,
    /// The message, if it is in the head. Otherwise it is the body.
    pub body: Option<Bytes>,
    /// The message is bytes, and not text.
    pub binary: bool,
    /// How the message is read.
    pub format: &'static AtmosphereFormat,
}

/// Whether a request is of this dialect, and the dialect is served (SPEC ATM-1): it has one of the names that no client leaves
/// out.
pub fn is_atmosphere(parts: &Parts, formats: &Formats) -> bool {
    ![Method::HEAD, Method::OPTIONS].contains(&parts.method) && formats.has_atmosphere() && is_ours(parts)
}

fn is_ours(parts: &Parts) -> bool {
    let named = |name: &HeaderName| parts.headers.contains_key(name);
    has_name(parts, names::PREFIX) && names::OF_DIALECT.iter().any(named)
        || query(parts).any(|(name, _)| names::OF_DIALECT.iter().any(|known| name.eq_ignore_ascii_case(known.as_str())))
}

/// Whether a preflight asks for one of this dialect's names, or is for a URL that has one.
pub(super) fn is_preflight(parts: &Parts, mut asked: impl Iterator<Item = HeaderName>) -> bool {
    is_ours(parts) || asked.any(|name| names::OF_REQUESTS.contains(&name))
}

/// Reads what a request of this dialect asks for (SPEC ATM-1 to ATM-6).
pub(super) fn read(parts: &Parts, upgrade: bool, formats: &Formats) -> Result<AtmosphereRequest, Refusal> {
    let transport = value(parts, &names::TRANSPORT);
    let transport = transport.as_deref().map(str::trim).map(str::to_ascii_lowercase);
    let tracking = value(parts, &names::TRACKING_ID);
    let tracking = tracking.as_deref().and_then(tracking_id);
    let closes = transport.as_deref() == Some("close");
    match (&parts.method, upgrade) {
        (&Method::GET | &Method::CONNECT, true) => {
            attachment(parts, Transport::WebSocket, tracking, formats).map(AtmosphereRequest::Attach)
        }
        (_, true) => Err(Refusal::method()),
        (&Method::GET | &Method::POST, false) if closes => Ok(AtmosphereRequest::Close { tracking }),
        (&Method::POST, false) => Ok(push(parts, tracking, None, formats)),
        (&Method::GET, false) => {
            if let Some(body) = value(parts, &names::POST_BODY) {
                if is_of_another_site(parts) {
                    return Err(Refusal::origin());
                }
                let body = Bytes::from(body.into_owned());
                return Ok(push(parts, tracking, Some(body), formats));
            }
            let transport = match transport.as_deref() {
                Some("jsonp") => return Err(Refusal::atmosphere("JSONP is not supported")),
                Some("polling") => return Ok(AtmosphereRequest::Nothing),
                Some("sse") => Transport::ServerSentEvents,
                Some("streaming") => Transport::Streaming,
                Some("websocket") => return Err(Refusal::atmosphere("Websocket protocol not supported")),
                None if accepts_event_stream(&parts.headers) => Transport::ServerSentEvents,
                // Whatever else is in use, `ajax` and `undefined` among it, are polls.
                Some(_) | None => Transport::LongPolling,
            };
            let attachment = attachment(parts, transport, tracking, formats)?;
            let fetches = attachment.tracking.is_none() && attachment.format.greeting() == Greeting::Handshake;
            Ok(if fetches && transport == Transport::LongPolling {
                AtmosphereRequest::Handshake(attachment)
            } else {
                AtmosphereRequest::Attach(attachment)
            })
        }
        _ => Err(Refusal::method()),
    }
}

/// Whether a browser says that another site's page asks, and not which: as it does for images, which it gets without `Origin`
/// and with the user's cookies. Where there is an `Origin`, that is checked.
fn is_of_another_site(parts: &Parts) -> bool {
    let site = parts.headers.get("sec-fetch-site");
    !parts.headers.contains_key(ORIGIN) && site.is_some_and(|site| site != "same-origin" && site != "none")
}

fn attachment(
    parts: &Parts,
    transport: Transport,
    tracking: Option<ResumeToken>,
    formats: &Formats,
) -> Result<Attachment, Refusal> {
    let version = value(parts, &names::FRAMEWORK);
    let version = version.as_deref().and_then(Version::read);
    let modern = version.as_ref().is_some_and(|version| version.major >= 5);
    let expects = value(parts, &names::PROTOCOL).is_some_and(|value| !value.eq_ignore_ascii_case("false"));
    // A name that is no id is the client's own invention: it expects no handshake, and does not use ours.
    let first = value(parts, &names::TRACKING_ID).is_none_or(|id| matches!(id.trim(), "" | "0"));
    if first && expects && version.is_none_or(|version| version.joined < Version::FIRST) {
        return Err(Refusal::atmosphere("Atmosphere Protocol version not supported."));
    }
    let greeting = if expects && (first || modern) {
        Greeting::Handshake
    } else if transport == Transport::WebSocket && !first && !modern {
        Greeting::Space
    } else {
        Greeting::None
    };
    let tracked = value(parts, &names::TRACK_MESSAGE_SIZE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let heartbeat = value(parts, &names::HEARTBEAT_SERVER).and_then(|seconds| seconds.trim().parse::<u32>().ok());
    Ok(Attachment {
        transport,
        tracking,
        format: AtmosphereFormat::of(greeting, tracked, formats.atmosphere_beats()),
        modern,
        heartbeat: heartbeat.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn push(parts: &Parts, tracking: Option<ResumeToken>, body: Option<Bytes>, formats: &Formats) -> AtmosphereRequest {
    let content_type = value(parts, &CONTENT_TYPE);
    let binary = content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/octet-stream")
    });
    let format = AtmosphereFormat::of(Greeting::None, false, formats.atmosphere_beats());
    AtmosphereRequest::Push(Push { tracking, body, binary, format })
}

/// The id of a session that a client names, if it is one: no server gave out any other.
fn tracking_id(text: &str) -> Option<ResumeToken> {
    let id: SessionId = text.trim().parse().ok()?;
    Some(ResumeToken::from_random(*id.as_bytes()))
}

/// The value of a header, or of the query parameter of the same name in whatever case. The first one counts.
fn value<'a>(parts: &'a Parts, name: &HeaderName) -> Option<Cow<'a, str>> {
    if let Some(value) = parts.headers.get(name) {
        return Some(String::from_utf8_lossy(value.as_bytes()));
    }
    let (_, value) = query(parts).find(|(key, _)| key.eq_ignore_ascii_case(name.as_str()))?;
    unescape(value)
}

/// The version that a client says it has: `4.0.1`, `3.1.3-javascript`.
struct Version {
    major: u32,
    /// Major, minor and patch, written one behind the other: what the original compares.
    joined: u64,
}

impl Version {
    /// The first that knows the handshake: 2.2.1.
    const FIRST: u64 = 221;

    fn read(text: &str) -> Option<Self> {
        let numbers = text.trim().split('-').next()?;
        let mut parts = numbers.split('.');
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some()
            || [major, minor, patch].iter().any(|part| part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()))
        {
            return None;
        }
        let joined = [major, minor, patch].concat().parse().ok()?;
        Some(Self { major: major.parse().ok()?, joined })
    }
}

/// The URI of a request as the application is to see it: without the parameters of the protocol (SPEC ATM-4).
pub fn without_protocol_parameters(uri: &Uri) -> Uri {
    let own = |name: &str| {
        let starts = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-atmo"));
        starts || name == "_" || ["x-heartbeat-server", "content-type"].iter().any(|n| name.eq_ignore_ascii_case(n))
    };
    let Some(query) = uri.query() else { return uri.clone() };
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !unescape(name).is_some_and(|name| own(&name))
        })
        .collect();
    let path = if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) };
    let mut parts = uri.clone().into_parts();
    let Ok(path) = PathAndQuery::try_from(path) else { return uri.clone() };
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

/// What a client of atmosphere.js is told with a refusal (SPEC ATM-6).
pub fn with_error(refusal: Refusal) -> Refusal {
    if refusal.status() == StatusCode::NOT_IMPLEMENTED {
        return refusal;
    }
    let text = refusal.text().replace(char::is_control, " ");
    match HeaderValue::from_bytes(text.as_bytes()) {
        Ok(text) => refusal.with_header(names::ERROR, text),
        Err(_) => refusal,
    }
}

/// What is on every answer to a client of atmosphere.js (SPEC ATM-5).
pub fn write_headers(headers: &mut HeaderMap, tracking: Option<&ResumeToken>, first: bool) {
    let id = tracking.map(|token| SessionId::from(*token.as_bytes()).to_string());
    headers.extend(id.and_then(|id| HeaderValue::try_from(id).ok()).map(|mut id| {
        id.set_sensitive(true);
        (names::TRACKING_ID, id)
    }));
    if first {
        headers.insert(names::FIRST_REQUEST, HeaderValue::from_static("true"));
    }
    for (name, value) in NO_CACHE {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

const NO_CACHE: [(HeaderName, &str); 4] = [
    (http::header::EXPIRES, "-1"),
    (http::header::CACHE_CONTROL, "no-store, no-cache, must-revalidate"),
    (http::header::PRAGMA, "no-cache"),
    (HeaderName::from_static("x-accel-buffering"), "no"),
];

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// SPEC ATM-4.
    #[test]
    fn the_applications_own_parameters_are_left_as_they_are_and_no_other() {
        for (whole, own) in [
            ("/c", "/c"),
            ("/c?", "/c?"),
            ("/c?_=1", "/c"),
            ("/c?a=%26&X-Atmosphere-Transport=sse&b=&c", "/c?a=%26&b=&c"),
            ("/c?x-ATMO-protocol=true&a=1&a=2&_=3", "/c?a=1&a=2"),
            ("/c?content-type=x&Content-Type=y&CONTENT%2DTYPE=z&type=w", "/c?type=w"),
            ("/c?X-Heartbeat-Server=1&X-Heartbeat=2&x-atmo", "/c?X-Heartbeat=2"),
            ("/c?%E4=1&__=2&_a=3&\u{e4}", "/c?%E4=1&__=2&_a=3&\u{e4}"),
            ("https://h:1/c/d?X-Atmosphere-tracking-id=0&a", "https://h:1/c/d?a"),
        ] {
            let Ok(uri) = whole.parse::<Uri>() else { continue };
            let expected = if own == "/c?" { "/c" } else { own };
            assert_eq!(without_protocol_parameters(&uri).to_string().trim_end_matches('?'), expected, "{whole}");
        }
    }

    /// SPEC ATM-5: the id is a secret.
    #[test]
    fn the_tracking_id_is_not_for_logs() {
        let token = ResumeToken::from_random([0x24; 16]);
        let mut headers = HeaderMap::new();
        write_headers(&mut headers, Some(&token), true);
        assert!(headers[names::TRACKING_ID].is_sensitive());
        let (parts, ()) =
            Request::get("/c?X-Atmosphere-tracking-id=24f98d6b-c271-4169-8f9c-217343b62aa7&X-Atmosphere-Transport=sse")
                .body(())
                .unwrap()
                .into_parts();
        let request = read(&parts, false, &Formats::default()).unwrap();
        assert!(!format!("{request:?}").contains("24f98d6b"), "{request:?}");
    }

    #[test]
    fn versions_are_compared_as_the_original_does() {
        for (text, major) in [("2.2.12-jquery", 2), ("4.0.1", 4), ("10.0.0", 10), (" 5.0.7 ", 5)] {
            assert_eq!(Version::read(text).map(|version| version.major), Some(major));
        }
        for text in ["", "4", "4.0", "4.0.1.2", "4.x.1", "-4.0.1", "4..1", "99999999999.0.0"] {
            assert!(Version::read(text).is_none(), "{text}");
        }
        assert!(Version::read("2.0.3").is_some_and(|version| version.joined < Version::FIRST));
        assert!(Version::read("2.2.1").is_some_and(|version| version.joined >= Version::FIRST));
    }
}
