//! Heads of handshakes, as clients that nobody has to think about write them.
//!
//! Most have what opens a session once each, in one of two spellings, beside fields that only the application may care for.
//! These are answered from where they lie. Any other is read by the rules for all requests, and for the application the map of
//! fields is made when it asks.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap,
    HeaderName, ORIGIN, PRAGMA, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderValue, Request, Uri};
use httparse::Header;
use nosphere_websocket::handshake;
use nosphere_wire::negotiation::headers::may_be_ours;

use crate::head::Unread;
use crate::request::Page;

/// How many header fields a head may have.
pub(crate) const MAX_FIELDS: usize = 48;

/// A head that asks for a WebSocket by `GET` and HTTP/1.1, has no body, and lets the connection stay open after a refusal.
pub(crate) struct Handshake<'a> {
    bytes: &'a Bytes,
    path: &'a str,
    fields: &'a [Header<'a>],
}

impl<'a> Handshake<'a> {
    pub(crate) fn new(bytes: &'a Bytes, path: &'a str, fields: &'a [Header<'a>]) -> Self {
        Self { bytes, path, fields }
    }

    /// What [`read_ordinary`](crate::request::read_ordinary) wants, if it is one of these.
    pub(crate) fn ordinary(&self) -> Option<(Parts, Unread, Page<'a>)> {
        if self.path.contains('?') {
            return None;
        }
        let (mut upgrade, mut connection, mut version) = (false, false, false);
        let (mut host, mut key, mut origin, mut protocol) = (None, None, None, None);
        for &Header { name, value } in self.fields {
            let before = match name {
                "Upgrade" | "upgrade" if value == b"websocket" => {
                    upgrade = true;
                    continue;
                }
                "Connection" | "connection" if value == b"Upgrade" || value == b"keep-alive, Upgrade" => {
                    connection = true;
                    continue;
                }
                "Sec-WebSocket-Version" | "sec-websocket-version" if value == b"13" => {
                    version = true;
                    continue;
                }
                "Host" | "host" => host.replace(value),
                "Origin" | "origin" => origin.replace(value),
                "Sec-WebSocket-Key" | "sec-websocket-key" => key.replace(value),
                "Sec-WebSocket-Protocol" | "sec-websocket-protocol" => protocol.replace(value),
                // What browsers send beside.
                "Accept-Encoding"
                | "Accept-Language"
                | "Cache-Control"
                | "Cookie"
                | "Pragma"
                | "Sec-WebSocket-Extensions"
                | "User-Agent" => continue,
                _ if SPECIAL.iter().any(|special| name.eq_ignore_ascii_case(special)) || may_be_ours(name) => {
                    return None;
                }
                _ => continue,
            };
            if before.is_some() {
                return None;
            }
        }
        if !(upgrade && connection && version) {
            return None;
        }
        let value = |value: &[u8]| HeaderValue::from_maybe_shared(self.bytes.slice_ref(value)).ok();
        let (protocol, origin) = (optional(protocol, value)?, optional(origin, value)?);
        let unread = Unread { bytes: self.bytes.clone(), key: key?.try_into().ok()?, protocol };
        Some((self.parts()?, unread, Page { origin, host }))
    }

    /// Everything, if it asks for a WebSocket.
    pub(crate) fn whole(&self) -> Option<Parts> {
        let mut parts = self.parts()?;
        parts.headers = map(self.bytes, self.fields.iter().map(|field| (field.name.as_bytes(), field.value)))?;
        for (name, value) in &parts.headers {
            match *name {
                // A body.
                CONTENT_LENGTH | EXPECT | TRANSFER_ENCODING => return None,
                // The connection ends with the answer.
                CONNECTION if !stays_open(value) => return None,
                _ => {}
            }
        }
        handshake::is_upgrade(&parts).then_some(parts)
    }

    /// Without headers.
    fn parts(&self) -> Option<Parts> {
        let mut parts = Request::new(()).into_parts().0;
        parts.uri = Uri::from_maybe_shared(self.bytes.slice_ref(self.path.as_bytes())).ok()?;
        Some(parts)
    }
}

/// What has a meaning to the handshake, or to HTTP, however it is spelled.
const SPECIAL: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "origin",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "transfer-encoding",
    "upgrade",
];

/// `None` if there is a value that cannot be read.
fn optional<T, R>(value: Option<T>, read: impl FnOnce(T) -> Option<R>) -> Option<Option<R>> {
    value.map_or(Some(None), |value| read(value).map(Some))
}

/// The fields of a head that was parsed before, and found to be whole and right: only where they are is still to be seen.
pub(crate) fn headers(head: &Bytes) -> HeaderMap {
    map(head, lines(head)).unwrap_or_default()
}

/// The first value of one of these, if it is text.
pub(crate) fn header<'a>(head: &'a Bytes, name: &str) -> Option<&'a str> {
    let (_, value) = lines(head).find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))?;
    // As `HeaderValue::to_str` has it.
    let visible = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    str::from_utf8(value).ok().filter(|value| value.bytes().all(visible))
}

/// Names and values.
fn lines(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = head;
    let lines = std::iter::from_fn(move || {
        let (line, behind) = rest.split_at_checked(memchr::memchr(b'\n', rest)? + 1)?;
        rest = behind;
        Some(line)
    });
    lines.skip(1).map_while(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

/// `None` if a name or a value cannot be one.
fn map<'a>(bytes: &Bytes, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.size_hint().0.max(8));
    for (field, value) in fields {
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?;
        headers.try_append(name(field)?, value).ok()?;
    }
    Some(headers)
}

/// The name of a field. Those that browsers and most clients send come as these write them.
fn name(name: &[u8]) -> Option<HeaderName> {
    Some(match name {
        b"Accept-Encoding" => ACCEPT_ENCODING,
        b"Accept-Language" => ACCEPT_LANGUAGE,
        b"Cache-Control" => CACHE_CONTROL,
        b"Connection" => CONNECTION,
        b"Cookie" => COOKIE,
        b"Host" => HOST,
        b"Origin" => ORIGIN,
        b"Pragma" => PRAGMA,
        b"Sec-WebSocket-Extensions" => SEC_WEBSOCKET_EXTENSIONS,
        b"Sec-WebSocket-Key" => SEC_WEBSOCKET_KEY,
        b"Sec-WebSocket-Protocol" => SEC_WEBSOCKET_PROTOCOL,
        b"Sec-WebSocket-Version" => SEC_WEBSOCKET_VERSION,
        b"Upgrade" => UPGRADE,
        b"User-Agent" => USER_AGENT,
        _ => return HeaderName::from_bytes(name).ok(),
    })
}

fn stays_open(connection: &HeaderValue) -> bool {
    let close = |token: &str| token.trim().eq_ignore_ascii_case("close");
    connection.to_str().is_ok_and(|value| !value.split(',').any(close))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// httparse's rules for names and values are those of `http`, and the lines are found again.
    #[test]
    fn all_fields_that_are_parsed_are_in_the_map_that_is_made_later() {
        for byte in 0..=255_u8 {
            for end in ["\r\n", "\n"] {
                let around = |before: &str, after: &str| {
                    let field = [before.as_bytes(), &[byte], after.as_bytes(), end.as_bytes()].concat();
                    [
                        format!("GET / HTTP/1.1{end}Host: a:b{end}X:{end}").as_bytes(),
                        &field,
                        b"Host:\tc \t",
                        end.as_bytes(),
                        end.as_bytes(),
                        b"a:b\r\n",
                    ]
                    .concat()
                };
                for head in
                    [around("X", ": y"), around("", "x: y"), around("X: ", "y"), around("X:", ""), around("X: y", "")]
                {
                    let head = Bytes::from(head);
                    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
                    let mut request = httparse::Request::new(&mut fields);
                    if !matches!(request.parse(&head), Ok(httparse::Status::Complete(_))) {
                        continue;
                    }
                    let whole = map(&head, request.headers.iter().map(|field| (field.name.as_bytes(), field.value)));
                    assert_eq!(Some(headers(&head)), whole, "{head:?}");
                    assert_eq!(whole.as_ref().map(HeaderMap::len), Some(request.headers.len()), "{head:?}");
                    for name in ["x", "X", "HOST"] {
                        let first =
                            whole.as_ref().and_then(|whole| whole.get(name)).and_then(|value| value.to_str().ok());
                        assert_eq!(header(&head, name), first, "{name}, {head:?}");
                    }
                }
            }
        }
    }
}
