use std::str::FromStr;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, HOST, ORIGIN,
    VARY,
};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::{Refusal, headers};
use crate::plain::digits;

/// Which pages may use an endpoint: those of its own origin, unless others are allowed by name (SPEC SEC-2).
///
/// Every request is to be checked, whatever it asks for. One without `Origin` does not come from a page of another origin.
///
/// ```
/// use http::Request;
/// use nosphere_wire::negotiation::OriginPolicy;
///
/// let request = |origin: &str| {
///     let request = Request::post("/the-chat").header("host", "chat.example").header("origin", origin).body(());
///     request.map(|request| request.into_parts().0)
/// };
/// let policy = OriginPolicy::same_origin().allow("https://app.example")?;
/// assert!(policy.check(&request("https://chat.example")?, None).is_ok());
/// assert!(policy.check(&request("https://app.example")?, None).is_ok());
/// assert!(policy.check(&request("https://evil.example")?, None).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    any: bool,
    allowed: Vec<Origin>,
}

impl OriginPolicy {
    /// Allows pages of the endpoint's own origin only.
    pub fn same_origin() -> Self {
        Self::default()
    }

    /// Allows every page of the world, though it cannot read answers that need credentials.
    ///
    /// A WebSocket sends cookies whatever we say: do not combine this with authentication by cookies.
    pub fn any_origin() -> Self {
        Self { any: true, allowed: Vec::new() }
    }

    /// Allows pages of `origin` as well, with credentials: `https://app.example`, or `null`.
    ///
    /// # Errors
    ///
    /// When `origin` is not of the form `<scheme>://<host>` or `<scheme>://<host>:<port>`, or `null`.
    pub fn allow(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        self.allowed.push(origin.parse()?);
        Ok(self)
    }

    /// Checks where a request comes from.
    ///
    /// `scheme` is how the client reached the server, if that is known: behind a proxy that ends TLS it is not. Unless it
    /// is `https`, a page counts as the endpoint's own if its host and port are the request's, by whichever scheme.
    ///
    /// Gives what to say to a browser about an allowed page of another origin, on the answer and on refusals.
    ///
    /// # Errors
    ///
    /// `origin`, when the request comes from a page that is not allowed.
    pub fn check(&self, parts: &Parts, scheme: Option<&Scheme>) -> Result<Option<AllowedOrigin>, Refusal> {
        let mut values = parts.headers.get_all(ORIGIN).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::origin());
        }
        self.check_origin(value, || authority(parts), scheme)
    }

    /// [`check`](Self::check) for a request whose head was read in another way: its one `Origin`, and for whom it is.
    ///
    /// # Errors
    ///
    /// As [`OriginPolicy::check`].
    pub fn check_origin(
        &self,
        value: &HeaderValue,
        authority: impl FnOnce() -> Option<Authority>,
        scheme: Option<&Scheme>,
    ) -> Result<Option<AllowedOrigin>, Refusal> {
        let origin = value.to_str().ok().and_then(|origin| origin.parse::<Origin>().ok());
        if origin.as_ref().is_some_and(|origin| origin.is_own(authority, scheme)) {
            Ok(None)
        } else if origin.is_some_and(|origin| self.allowed.contains(&origin)) {
            Ok(Some(AllowedOrigin { origin: value.clone(), credentials: true }))
        } else if self.any {
            Ok(Some(AllowedOrigin { origin: value.clone(), credentials: false }))
        } else {
            Err(Refusal::origin())
        }
    }

    /// Answers a browser that asks whether a page may send our headers.
    ///
    /// # Errors
    ///
    /// As [`OriginPolicy::check`].
    pub fn preflight(&self, parts: &Parts, scheme: Option<&Scheme>) -> Result<Response<Bytes>, Refusal> {
        let allowed = self.check(parts, scheme)?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allowed) = allowed {
            allowed.write(answer);
            answer.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            let atmosphere = [&headers::atmosphere::OF_REQUESTS[..], &headers::atmosphere::OTHERS].concat();
            let ours = [&headers::OF_REQUESTS[..], &atmosphere, &OTHER_REQUEST_HEADERS].concat();
            let ours: Vec<_> = ours.iter().map(HeaderName::as_str).collect();
            if let Ok(names) = HeaderValue::try_from(ours.join(", ")) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
            }
            answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        Ok(response)
    }
}

/// A page of another origin that may use the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin {
    origin: HeaderValue,
    credentials: bool,
}

impl AllowedOrigin {
    /// The origin as the browser wrote it.
    pub fn origin(&self) -> &HeaderValue {
        &self.origin
    }

    /// Writes on an answer that the page may read it, and our headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.append(VARY, HeaderValue::from_static("Origin"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

/// A text that is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin has the form https://host or https://host:port")]
#[non_exhaustive]
pub struct InvalidOrigin;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// Of a page without an origin: a file, a sandboxed frame.
    Null,
    /// Scheme and host in lower case.
    Tuple { scheme: String, host: String, port: Option<u16> },
}

impl Origin {
    fn is_own(&self, authority: impl FnOnce() -> Option<Authority>, reached_by: Option<&Scheme>) -> bool {
        let Self::Tuple { scheme, host, port } = self else { return false };
        if reached_by == Some(&Scheme::HTTPS) && scheme != "https" {
            return false;
        }
        let Some(authority) = authority() else { return false };
        // Where the request names no port, it is the one that the page's own scheme implies.
        let Some((own_host, own_port)) = host_and_port(&authority) else { return false };
        host.eq_ignore_ascii_case(own_host) && *port == normal_port(scheme, own_port)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text == "null" {
            return Ok(Self::Null);
        }
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        let authority: Authority = authority.parse().map_err(|_| InvalidOrigin)?;
        let (host, port) = host_and_port(&authority).ok_or(InvalidOrigin)?;
        let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if scheme.is_empty() || !scheme.bytes().all(in_scheme) {
            return Err(InvalidOrigin);
        }
        let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
        let port = normal_port(&scheme, port);
        Ok(Self::Tuple { scheme, host, port })
    }
}

/// A name or address and a port, and nothing else that an authority might hold.
fn host_and_port(authority: &Authority) -> Option<(&str, Option<u16>)> {
    let text = authority.as_str();
    let (host, port) = match text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(u16::try_from(digits(port)?).ok()?)),
        None => (text, None),
    };
    let in_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    (!host.is_empty() && host.bytes().all(in_host)).then_some((host, port))
}

/// The port, with the one that the scheme implies filled in.
fn normal_port(scheme: &str, port: Option<u16>) -> Option<u16> {
    port.or(match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })
}

/// Whom the request is for: HTTP/2's `:authority`, or else HTTP/1.1's `Host`.
fn authority(parts: &Parts) -> Option<Authority> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.clone());
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none())?;
    host.to_str().ok()?.parse().ok()
}

/// What else a client of ours may send.
const OTHER_REQUEST_HEADERS: [HeaderName; 3] =
    [http::header::AUTHORIZATION, http::header::CONTENT_TYPE, headers::LAST_EVENT_ID];

/// Our headers on answers.
const EXPOSED: &str = "nosphere-count, nosphere-error, nosphere-lost, nosphere-received, nosphere-session, nosphere-token, \
                       x-atmosphere-error, x-atmosphere-first-request, x-atmosphere-tracking-id";

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// SPEC SEC-2.
    #[test]
    fn a_foreign_page_is_refused_and_the_own_page_is_not() {
        let policy = OriginPolicy::same_origin();
        for (origin, host, own) in [
            ("https://chat.example", "chat.example", true),
            ("http://chat.example", "chat.example", true),
            ("https://chat.example", "chat.example:443", true),
            ("http://chat.example", "chat.example:80", true),
            ("http://CHAT.example:80", "Chat.Example", true),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("https://chat.example", "chat.example:80", false),
            ("https://chat.example", "chat.example:8443", false),
            ("https://chat.example:8443", "chat.example", false),
            ("https://evil.example", "chat.example", false),
            ("https://chat.example.evil", "chat.example", false),
            ("https://evil.example@chat.example", "chat.example", false),
            ("https://chat.example@evil.example", "chat.example", false),
            ("https://chat.example/", "chat.example", false),
            ("https://chat.example:99999", "chat.example", false),
            ("https://chat.example:", "chat.example", false),
            ("chat.example", "chat.example", false),
            ("://chat.example", "chat.example", false),
            ("https://", "", false),
            ("null", "null", false),
            ("", "", false),
            ("https://chat.example https://chat.example", "chat.example", false),
        ] {
            let checked = policy.check(&request(&[("host", host), ("origin", origin)]), None);
            assert_eq!(checked.is_ok(), own, "{origin} {host}");
            match checked {
                Ok(allowed) => assert_eq!(allowed, None),
                Err(refusal) => assert_eq!((refusal.status().as_u16(), refusal.name()), (403, Some("origin"))),
            }
        }
        assert_eq!(policy.check(&request(&[("host", "chat.example")]), None), Ok(None), "not from a page");
        assert!(policy.check(&request(&[("origin", "https://chat.example")]), None).is_err(), "no host");
        let twice = [("host", "a.example"), ("host", "b.example"), ("origin", "https://a.example")];
        assert!(policy.check(&request(&twice), None).is_err());
        let twice = [("host", "a.example"), ("origin", "https://a.example"), ("origin", "https://a.example")];
        assert!(policy.check(&request(&twice), None).is_err());
    }

    /// SPEC SEC-2.
    #[test]
    fn a_page_without_tls_is_foreign_to_a_server_that_knows_that_it_has_tls() {
        let check = |origin, scheme| {
            OriginPolicy::same_origin().check(&request(&[("host", "chat.example"), ("origin", origin)]), Some(scheme))
        };
        assert!(check("https://chat.example", &Scheme::HTTPS).is_ok());
        assert!(check("http://chat.example", &Scheme::HTTPS).is_err());
        assert!(check("https://chat.example", &Scheme::HTTP).is_ok(), "a proxy may end TLS");
    }

    #[test]
    fn http_2_names_its_host_in_the_uri() {
        let parts = |uri: &str, origin: &str| {
            Request::get(uri).header("host", "other.example").header("origin", origin).body(()).unwrap().into_parts().0
        };
        let policy = OriginPolicy::same_origin();
        assert!(policy.check(&parts("https://chat.example/x", "https://chat.example"), None).is_ok());
        assert!(policy.check(&parts("https://chat.example/x", "https://other.example"), None).is_err());
    }

    /// SPEC SEC-2: allowed by name.
    #[test]
    fn allowed_origins_are_exact_and_named_in_the_answer() {
        let policy = OriginPolicy::same_origin().allow("https://app.example").unwrap().allow("null").unwrap();
        let check = |origin| policy.check(&request(&[("host", "chat.example"), ("origin", origin)]), None);
        for origin in ["https://app.example", "https://app.example:443", "null"] {
            let mut answer = HeaderMap::new();
            check(origin).unwrap().unwrap().write(&mut answer);
            assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert_eq!(answer[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
            assert_eq!(answer[VARY], "Origin");
            assert!(answer[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("nosphere-received"));
        }
        for origin in ["http://app.example", "https://app.example:8443", "https://sub.app.example", "file://"] {
            assert!(check(origin).is_err(), "{origin}");
        }
        assert_eq!(check("https://chat.example"), Ok(None));
        for invalid in ["", "*", "app.example", "https://app.example/", "https://*", "https://a@b", "https://a:b"] {
            assert_eq!(OriginPolicy::same_origin().allow(invalid), Err(InvalidOrigin), "{invalid}");
        }
    }

    #[test]
    fn any_origin_is_named_but_gets_no_credentials() {
        for origin in ["https://evil.example", "null", "chrome-extension://abcdef"] {
            let allowed = OriginPolicy::any_origin().check(&request(&[("host", "h"), ("origin", origin)]), None);
            let allowed = allowed.unwrap().unwrap();
            assert_eq!(allowed.origin(), origin);
            let mut answer = HeaderMap::new();
            allowed.write(&mut answer);
            assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
            assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
    }

    #[test]
    fn a_preflight_names_every_header_that_clients_send() {
        let policy = OriginPolicy::same_origin().allow("https://app.example").unwrap();
        let ask = |origin| policy.preflight(&request(&[("host", "chat.example"), ("origin", origin)]), None);
        let answer = ask("https://app.example").unwrap();
        assert_eq!(answer.status(), 204);
        let names = answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        for name in headers::OF_REQUESTS {
            assert!(names.split(", ").any(|listed| listed == name.as_str()), "{name}");
        }
        assert!(names.ends_with("authorization, content-type, last-event-id"));
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_METHODS], "GET, POST");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(ask("https://evil.example").unwrap_err().name(), Some("origin"));
        assert!(!ask("https://chat.example").unwrap().headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/the-chat");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }
}
