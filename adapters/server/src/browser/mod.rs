//! The single-file build of the browser client (`adapters/browser`), which a server can serve to its pages.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::Body;

/// What `npm run build` makes in `adapters/browser`.
const SCRIPT: &str = include_str!("nosphere.min.js");

/// Changes with the content.
const TAG: u64 = fnv(SCRIPT.as_bytes());

/// The answer to any request for the script.
pub(crate) fn respond(parts: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    let headers = response.headers_mut();
    if parts.method != Method::GET && parts.method != Method::HEAD {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let tag = format!("\"{TAG:016x}\"");
    // It may be kept, but another version of the server has another script under the same name.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.extend(HeaderValue::try_from(&tag).map(|tag| (ETAG, tag)));
    if is_known(&parts.headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(SCRIPT.len()));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if parts.method == Method::GET {
        *response.body_mut() = Body::from(Bytes::from_static(SCRIPT.as_bytes()));
    }
    response
}

/// Whether the client has this version (RFC 9110 §13.1.2, weak comparison).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// FNV-1a, 64 bits.
const fn fnv(bytes: &[u8]) -> u64 {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}
