use std::borrow::Cow;

use http::HeaderName;
use http::request::Parts;
use nosphere_core::{MAX_COUNT, ResumeToken, SessionId, Window, WireFormat};

use super::request::HttpTransport;
use super::{Formats, Refusal, headers};
use crate::plain::digits;
use crate::rules;

/// The headers of SPEC §4 that may be query parameters as well (SPEC NEG-1).
const PARAMETERS: [HeaderName; 6] =
    [headers::PROTOCOL, headers::TRANSPORT, headers::SESSION, headers::ATTACHMENT, headers::RECEIVED, headers::WINDOW];

/// The headers and parameters of SPEC §4, each checked to be of its form (SPEC NEG-3).
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) attachment: Option<u64>,
    pub(super) base: Option<u64>,
    pub(super) protocol: Option<&'static dyn WireFormat>,
    pub(super) received: Option<u64>,
    pub(super) session: Option<SessionId>,
    pub(super) token: Option<ResumeToken>,
    pub(super) transport: Option<HttpTransport>,
    pub(super) window: Option<Window>,
}

impl Fields {
    /// Reads all fields, needed or not: one that is not of its form is refused wherever it is.
    pub(super) fn read(parts: &Parts, formats: &Formats) -> Result<Self, Refusal> {
        // As most requests for a WebSocket: one look at the names that there are costs less than one for each of ours.
        if parts.uri.query().is_none() && !has_name(parts, headers::PREFIX) {
            return Ok(Self::default());
        }
        if query(parts).any(|(name, _)| name == headers::TOKEN.as_str()) {
            return Err(Refusal::bad_request("the token must be in a header, never in a URL"));
        }
        Ok(Self {
            attachment: field(parts, &headers::ATTACHMENT, |text| count(text).filter(|&number| number > 0))?,
            base: field(parts, &headers::BASE, count)?,
            protocol: field(parts, &headers::PROTOCOL, |name| formats.by_subprotocol(name))?,
            received: field(parts, &headers::RECEIVED, count)?,
            session: field(parts, &headers::SESSION, |id| id.parse().ok())?,
            token: field(parts, &headers::TOKEN, |token| token.parse().ok())?,
            transport: field(parts, &headers::TRANSPORT, HttpTransport::from_name)?,
            window: field(parts, &headers::WINDOW, window)?,
        })
    }
}

/// Whether a request has any header or parameter of SPEC §4.
pub(super) fn has_any(parts: &Parts) -> bool {
    has_name(parts, headers::PREFIX) && headers::OF_REQUESTS.iter().any(|name| parts.headers.contains_key(name))
        || query(parts).any(|(name, _)| headers::OF_REQUESTS.iter().any(|header| header.as_str() == name))
}

/// Whether there is a header whose name begins so.
pub(super) fn has_name(parts: &Parts, prefix: &str) -> bool {
    parts.headers.keys().any(|name| name.as_str().starts_with(prefix))
}

/// The value of a header that may come once.
pub(super) fn single<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("more than one {name}")));
    }
    value.to_str().map(|value| Some(value.trim())).map_err(|_| not_of_its_form(name))
}

fn field<T>(parts: &Parts, name: &HeaderName, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
    let value = match single(parts, name)? {
        Some(value) => Some(Cow::Borrowed(value)),
        None if PARAMETERS.contains(name) => parameter(parts, name)?,
        None => None,
    };
    value.map(|value| read(&value).ok_or_else(|| not_of_its_form(name))).transpose()
}

fn parameter<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<Cow<'a, str>>, Refusal> {
    let mut values = query(parts).filter(|(key, _)| key == name.as_str());
    let Some((_, value)) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::bad_request(format!("more than one {name}")));
    }
    unescape(value).map(Some).ok_or_else(|| not_of_its_form(name))
}

fn not_of_its_form(name: &HeaderName) -> Refusal {
    Refusal::bad_request(format!("{name} is not of its form"))
}

fn count(text: &str) -> Option<u64> {
    digits(text).filter(|&count| count <= MAX_COUNT)
}

fn window(text: &str) -> Option<Window> {
    let (messages, bytes) = text.split_once('/')?;
    let window = rules::window(digits(messages)?, digits(bytes)?)?;
    (window.messages > 0 && window.bytes > 0).then_some(window)
}

/// The parameters of the URL: names unescaped, values not yet. A name that cannot be unescaped is not ours.
pub(super) fn query(parts: &Parts) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    parts.uri.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape(name)?, value))
    })
}

/// Undoes the escapes of `application/x-www-form-urlencoded`.
pub(super) fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}
