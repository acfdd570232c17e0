use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;

use super::Refusal;
use super::request::list;

/// What a subprotocol begins with that is none, but a token.
pub(super) const PREFIX: &str = "nosphere.bearer.";

/// Puts the token that a browser offers as a subprotocol, since it cannot set headers on a WebSocket, where every other client
/// has it: in `Authorization` (SPEC NEG-5).
///
/// For upgrades, before [`read_request`](super::read_request) and before anybody is asked whether the request is admitted. The
/// offer is gone from `Sec-WebSocket-Protocol` afterwards. A request with an `Authorization` of its own keeps that.
///
/// ```
/// use http::Request;
/// use nosphere_wire::negotiation::take_bearer;
///
/// let offers = "nosphere.v1.json, nosphere.bearer.c2VjcmV0";
/// let (mut parts, ()) = Request::get("/the-chat").header("sec-websocket-protocol", offers).body(())?.into_parts();
/// take_bearer(&mut parts)?;
/// assert_eq!(parts.headers["authorization"], "Bearer secret");
/// assert_eq!(parts.headers["sec-websocket-protocol"], "nosphere.v1.json");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// 400 for more than one token, and for one that is no unpadded base64url of visible ASCII.
pub fn take_bearer(parts: &mut Parts) -> Result<(), Refusal> {
    // Hardly any request has one, and whether it may have one is seen before its offers are taken apart.
    let mut lines = parts.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    if !lines.any(|line| line.as_bytes().windows(PREFIX.len()).any(|part| part == PREFIX.as_bytes())) {
        return Ok(());
    }
    let offers = || list(&parts.headers, &SEC_WEBSOCKET_PROTOCOL);
    let is_token = |offer: Option<&str>| offer.is_some_and(|offer| offer.starts_with(PREFIX));
    if !offers().any(is_token) {
        return Ok(());
    }
    let (tokens, others): (Vec<_>, Vec<_>) = offers().partition(|offer| is_token(*offer));
    let token = match *tokens {
        [Some(token)] => token.strip_prefix(PREFIX).and_then(credentials),
        _ => None,
    };
    let token = token.ok_or_else(|| Refusal::bad_request("the token in Sec-WebSocket-Protocol is not of its form"))?;
    // What is not ASCII is refused when the offers are read.
    if let Some(others) = others.into_iter().collect::<Option<Vec<_>>>() {
        let others = HeaderValue::try_from(others.join(", ")).ok().filter(|others| !others.is_empty());
        parts.headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Some(others) = others {
            parts.headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
        }
    }
    parts.headers.entry(AUTHORIZATION).or_insert(token);
    Ok(())
}

fn credentials(encoded: &str) -> Option<HeaderValue> {
    let token = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", &*token].concat()).ok()?;
    value.set_sensitive(true); // hyper and others write headers into logs
    Some(value)
}
