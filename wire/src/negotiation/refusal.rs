use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use nosphere_core::{DecodeError, PayloadError, Reason};

use super::{Formats, headers as names, media_type};
use crate::batch::BatchError;

/// The methods that endpoints answer.
const METHODS: &str = "GET, POST, OPTIONS";

/// An answer over HTTP that says no, in the terms of SPEC §13.
///
/// ```
/// # use nosphere_wire::negotiation::{Refusal, headers};
/// let response = Refusal::gap().with_received(17).into_response();
/// assert_eq!(response.status(), 409);
/// assert_eq!(response.headers()[headers::ERROR], "gap");
/// assert_eq!(response.headers()[headers::RECEIVED], "17");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    status: StatusCode,
    name: Option<&'static str>,
    text: String,
    /// Instead of the text, with its content type.
    body: Option<Box<(Bytes, HeaderValue)>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Refusals with a code of SPEC §13.
impl Refusal {
    /// The refusal that says over HTTP what a close code says over WebSocket. Codes of the application's own, and others
    /// that SPEC §13 does not list, are `closed`.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        let (status, reason) = match reason {
            Reason::GoingAway | Reason::Overflow | Reason::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, reason),
            Reason::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, reason),
            Reason::Internal => (StatusCode::INTERNAL_SERVER_ERROR, reason),
            Reason::Malformed | Reason::Unexpected | Reason::Window => (StatusCode::BAD_REQUEST, reason),
            Reason::Forbidden => (StatusCode::FORBIDDEN, reason),
            Reason::Timeout => (StatusCode::REQUEST_TIMEOUT, reason),
            Reason::Fenced => (StatusCode::CONFLICT, reason),
            Reason::Expired | Reason::UnknownSession | Reason::Unproved => (StatusCode::GONE, reason),
            Reason::Application(_) | Reason::Closed | Reason::Lost | Reason::Other(_) | _ => {
                (StatusCode::GONE, Reason::Closed)
            }
        };
        Self::named(status, Some(reason.name()), text)
    }

    /// 410 `closed`: ended by the application of either side.
    pub fn closed() -> Self {
        Self::new(Reason::Closed, "the session is closed")
    }

    /// 503 `going-away`: the server shuts down.
    pub fn going_away() -> Self {
        Self::new(Reason::GoingAway, "the server shuts down")
    }

    /// 413 `too-large`: a unit or body over the limit.
    pub fn too_large(text: impl Into<String>) -> Self {
        Self::new(Reason::TooLarge, text)
    }

    /// 500 `internal`: the application failed.
    pub fn internal() -> Self {
        Self::new(Reason::Internal, "the application failed")
    }

    /// 400 `malformed`: a unit that is not a frame.
    pub fn malformed(text: impl Into<String>) -> Self {
        Self::new(Reason::Malformed, text)
    }

    /// Refused by admission, with a status of the application's own and a text for people.
    ///
    /// To a client it is `forbidden`, whatever the status: it is not to try again by itself. A status that is no
    /// redirection and no error becomes 403.
    ///
    /// ```
    /// use http::{HeaderValue, StatusCode, header};
    /// use nosphere_wire::negotiation::Refusal;
    ///
    /// let refusal = Refusal::by_admission(StatusCode::UNAUTHORIZED, "who are you?")
    ///     .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    ///     .with_body(HeaderValue::from_static("application/json"), r#"{"login":"/login"}"#);
    /// let response = refusal.into_response();
    /// assert_eq!((response.status().as_u16(), &response.body()[..9]), (401, &br#"{"login":"#[..]));
    /// ```
    pub fn by_admission(status: StatusCode, text: impl Into<String>) -> Self {
        let refuses = status.is_redirection() || status.is_client_error() || status.is_server_error();
        let status = if refuses { status } else { StatusCode::FORBIDDEN };
        Self::named(status, Some(Reason::Forbidden.name()), text)
    }

    /// 403 `forbidden`: a wrong token, or refused by admission.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(Reason::Forbidden, text)
    }

    /// 408 `timeout`: no sign of life in time.
    pub fn timeout() -> Self {
        Self::new(Reason::Timeout, "no sign of life in time")
    }

    /// 409 `fenced`: a newer attachment has the session.
    pub fn fenced() -> Self {
        Self::new(Reason::Fenced, "a newer attachment has the session")
    }

    /// 410 `unknown-session`: no such session here.
    pub fn unknown_session() -> Self {
        Self::new(Reason::UnknownSession, "no such session here")
    }

    /// 410 `unproved`: never shown alive after opening.
    pub fn unproved() -> Self {
        Self::new(Reason::Unproved, "the client never showed that it got its token")
    }

    /// 410 `expired`: not resumed in time.
    pub fn expired() -> Self {
        Self::new(Reason::Expired, "the session was not resumed in time")
    }

    /// 400 `window`: more than the window allows.
    pub fn window() -> Self {
        Self::new(Reason::Window, "more than the window allows")
    }

    /// 400 `unexpected`: a frame that may not come here, or a count that cannot be.
    pub fn unexpected(text: impl Into<String>) -> Self {
        Self::new(Reason::Unexpected, text)
    }

    /// 503 `overflow`: the client reads too slowly.
    pub fn overflow() -> Self {
        Self::new(Reason::Overflow, "the client reads too slowly")
    }

    /// 503 `unavailable`: no room for another session.
    pub fn unavailable() -> Self {
        Self::new(Reason::Unavailable, "no room for another session")
    }
}

/// Refusals that exist over HTTP only.
impl Refusal {
    /// 204 `replaced`: a newer poll took this one's place.
    pub fn replaced() -> Self {
        Self::named(StatusCode::NO_CONTENT, Some("replaced"), "a newer poll took this one's place")
    }

    /// 400 `bad-request`: a header or parameter is missing or not of its form.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::named(StatusCode::BAD_REQUEST, Some("bad-request"), text)
    }

    /// 403 `origin`: a foreign origin that is not allowed.
    pub fn origin() -> Self {
        Self::named(StatusCode::FORBIDDEN, Some("origin"), "pages of this origin may not use the endpoint")
    }

    /// 404: no such endpoint.
    pub fn not_found() -> Self {
        Self::named(StatusCode::NOT_FOUND, None, "no such endpoint")
    }

    /// 405 `method`, with `Allow`.
    pub fn method() -> Self {
        let refusal = Self::named(StatusCode::METHOD_NOT_ALLOWED, Some("method"), "the method must be one of Allow");
        refusal.with_header(ALLOW, HeaderValue::from_static(METHODS))
    }

    /// 409 `gap`: a POST's `base` is ahead of the session. Add what was received.
    pub fn gap() -> Self {
        Self::named(StatusCode::CONFLICT, Some("gap"), "the base is ahead of what was received")
    }

    /// 409 `stale`: a poll from the past.
    pub fn stale() -> Self {
        Self::named(StatusCode::CONFLICT, Some("stale"), "a later poll has acknowledged more")
    }

    /// 431 `head`: the request's headers are too long.
    pub fn head_too_large() -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::named(status, Some("head"), "the request's headers are too long")
    }

    /// 415 `content-type`: names no wire format. `Accept` lists those that there are.
    pub fn content_type(formats: &Formats) -> Self {
        let accept: Vec<_> = formats.iter().map(media_type).collect();
        let refusal =
            Self::named(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("content-type"), "the content type is not supported");
        match HeaderValue::try_from(accept.join(", ")) {
            Ok(accept) if !accept.is_empty() => refusal.with_header(ACCEPT, accept),
            _ => refusal,
        }
    }

    /// 501, with `X-Atmosphere-error`: what a client of atmosphere.js asks for is not to be had. It falls back, if it can.
    pub fn atmosphere(what: &'static str) -> Self {
        Self::named(StatusCode::NOT_IMPLEMENTED, None, what)
            .with_header(names::atmosphere::ERROR, HeaderValue::from_static(what))
    }

    /// 426: not WebSocket version 13.
    pub fn websocket_version() -> Self {
        let refusal = Self::named(StatusCode::UPGRADE_REQUIRED, None, "the WebSocket version must be 13");
        refusal
            .with_header(UPGRADE, HeaderValue::from_static("websocket"))
            .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
    }
}

/// The parts of a refusal.
impl Refusal {
    fn named(status: StatusCode, name: Option<&'static str>, text: impl Into<String>) -> Self {
        Self { status, name, text: text.into(), body: None, headers: Vec::new() }
    }

    /// Adds the count of client messages that the server has taken, as every answer about a known session must.
    #[must_use]
    pub fn with_received(self, received: u64) -> Self {
        self.with_header(names::RECEIVED, received.into())
    }

    /// Answers with this body instead of the text.
    #[must_use]
    pub fn with_body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.body = Some(Box::new((body.into(), content_type)));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer's status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The name of SPEC §13, if it has one.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// What is said to people.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole answer (SPEC §4, NEG-4).
    pub fn into_response(self) -> Response<Bytes> {
        let text = || (self.text.replace(char::is_control, " ").into(), TEXT);
        let (body, content_type) = self.body.map_or_else(text, |body| *body);
        let empty = self.status == StatusCode::NO_CONTENT;
        let body = if empty { Bytes::new() } else { body };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(name) = self.name {
            headers.insert(names::ERROR, HeaderValue::from_static(name));
        }
        if !empty {
            headers.insert(CONTENT_TYPE, content_type);
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.name.unwrap_or("refused"), self.text)
    }
}

impl std::error::Error for Refusal {}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::TooManyUnits { .. } => Self::too_large(error.to_string()),
            BatchError::NotUtf8 | BatchError::Truncated => Self::malformed(error.to_string()),
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::malformed(error.to_string())
    }
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Self {
        Self::malformed(error.to_string())
    }
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain;charset=utf-8");
