use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use nosphere_core::{DecodeError, EncodeError, Frame, Kind, Reason, ResumeToken, SessionId, Unit, Window, WireFormat};

use super::*;
use crate::batch::BatchError;
use crate::{JSON, MESSAGEPACK};

const SESSION: &str = "24f98d6b-c271-4169-8f9c-217343b62aa7";
const TOKEN: &str = "00112233445566778899aabbccddeeff";
const JSON_PROTOCOL: (&str, &str) = ("nosphere-protocol", "nosphere.v1.json");
const JSON_BODY: (&str, &str) = ("content-type", "application/vnd.nosphere.v1.json");
const STREAM: (&str, &str) = ("accept", "text/event-stream");
const KEY: [(&str, &str); 2] = [("nosphere-session", SESSION), ("nosphere-token", TOKEN)];

type Headers<'a> = &'a [(&'a str, &'a str)];

/// SPEC §4, NEG-2.
#[test]
fn a_websocket_takes_the_first_subprotocol_that_is_supported() {
    let native = |format| Ok((Dialect::Native(format), true));
    let plain = Ok((Dialect::Plain, false));
    for (headers, expected) in [
        (&["nosphere.v1.json"][..], native(&JSON)),
        (&["nosphere.v1.messagepack"], native(&MESSAGEPACK)),
        (&["nosphere.v1.messagepack, nosphere.v1.json"], native(&MESSAGEPACK)),
        (&["chat,nosphere.v2.json ,\tnosphere.v1.json"], native(&JSON)),
        (&["chat", "nosphere.v1.json"], native(&JSON)),
        (&[], plain),
        (&["chat, graphql-ws"], plain),
        (&["Nosphere.v1.json"], plain),
        (&["nosphere.v2.json"], Err("bad-request")),
        (&["chat, nosphere.v1.cbor"], Err("bad-request")),
        (&["nosphere."], Err("bad-request")),
        (&["nosphere.v1.JSON"], Err("bad-request")),
        (&["nosphere.v1.json\u{e9}"], Err("bad-request")),
    ] {
        let headers: Vec<_> = headers.iter().map(|&value| ("sec-websocket-protocol", value)).collect();
        for method in [Method::GET, Method::CONNECT] {
            let intent = read_request(&parts(method, "/", &headers), true, &Formats::default());
            let read = match intent {
                Ok(Intent::WebSocket { protocol, subprotocol: None }) => Ok((protocol, false)),
                Ok(Intent::WebSocket { protocol, subprotocol: Some(value) }) => {
                    assert_eq!(value, subprotocol(protocol.format()));
                    Ok((protocol, true))
                }
                Err(refusal) => Err(refusal.name().unwrap()),
                other => panic!("{other:?}"),
            };
            assert_eq!(read, expected, "{headers:?}");
        }
    }
}

#[test]
fn every_name_begins_with_what_is_looked_for_first() {
    assert!(headers::OF_REQUESTS.iter().all(|name| name.as_str().starts_with(headers::PREFIX)));
    let prefix = headers::atmosphere::PREFIX;
    assert!(headers::atmosphere::OF_DIALECT.iter().all(|name| name.as_str().starts_with(prefix)));
}

/// SPEC §4, §6, §7.
#[test]
fn a_native_get_opens_or_continues_on_the_transport_that_it_names() {
    let open = |attachment, window| SessionRequest::Open { attachment, window };
    let resume = SessionRequest::Resume { session: session(), token: token(), attachment: Some(2), received: Some(17) };
    let default = Window { messages: 256, bytes: 1 << 20 };
    let one = ("nosphere-attachment", "1");
    let [id, secret] = KEY;
    let (two, received) = (("nosphere-attachment", "2"), ("nosphere-received", "17"));
    let sse = ("nosphere-transport", "sse");
    let polling = ("nosphere-transport", "long-polling");
    use HttpTransport::{LongPolling, ServerSentEvents};
    let cases: [(&str, Headers<'_>, HttpTransport, SessionRequest); 14] = [
        ("/", &[JSON_PROTOCOL, one], LongPolling, open(1, default)),
        ("/", &[JSON_PROTOCOL, one, ("accept", "*/*")], LongPolling, open(1, default)),
        ("/", &[JSON_PROTOCOL, one, STREAM], ServerSentEvents, open(1, default)),
        ("/", &[JSON_PROTOCOL, one, STREAM, polling], LongPolling, open(1, default)),
        ("/", &[JSON_PROTOCOL, one, sse], ServerSentEvents, open(1, default)),
        (
            "/",
            &[JSON_PROTOCOL, one, ("nosphere-window", "8/1024")],
            LongPolling,
            open(1, Window { messages: 8, bytes: 1024 }),
        ),
        ("/", &[JSON_PROTOCOL, two, id, secret, received], LongPolling, resume),
        ("/", &[JSON_PROTOCOL, two, id, secret, received, STREAM], ServerSentEvents, resume),
        ("/?nosphere-protocol=nosphere.v1.json&nosphere-attachment=1", &[], LongPolling, open(1, default)),
        (
            "/?nosphere-protocol=nosphere%2Ev1%2ejson&a=%zz&nosphere%2dattachment=1&nosphere-window=8%2F1024",
            &[sse],
            ServerSentEvents,
            open(1, Window { messages: 8, bytes: 1024 }),
        ),
        (
            "/?nosphere-transport=sse&nosphere-session=24f98d6b-c271-4169-8f9c-217343b62aa7&nosphere-attachment=2\
             &nosphere-received=17",
            &[JSON_PROTOCOL, secret],
            ServerSentEvents,
            resume,
        ),
        (
            "/?nosphere-attachment=7&nosphere-transport=sse",
            &[JSON_PROTOCOL, one, polling],
            LongPolling,
            open(1, default),
        ),
        ("/", &[JSON_PROTOCOL, ("nosphere-attachment", "9007199254740991")], LongPolling, open((1 << 53) - 1, default)),
        ("/", &[JSON_PROTOCOL, one, STREAM, ("last-event-id", "x")], ServerSentEvents, open(1, default)),
    ];
    for (uri, headers, transport, request) in cases {
        let expected = Intent::Attach { protocol: Dialect::Native(&JSON), transport, request };
        assert_eq!(read(Method::GET, uri, headers), Ok(expected), "{uri} {headers:?}");
    }
}

/// SPEC §4: what all requests, and all but the opening one, must have.
#[test]
fn a_native_request_without_a_field_is_told_which() {
    let [id, secret] = KEY;
    let attachment = ("nosphere-attachment", "1");
    let received = ("nosphere-received", "0");
    let base = ("nosphere-base", "0");
    let whole = [JSON_PROTOCOL, attachment, received, id, secret];
    for (missing, name) in
        [(1, "nosphere-attachment"), (2, "nosphere-received"), (3, "nosphere-session"), (4, "nosphere-token")]
    {
        let headers: Vec<_> = without(&whole, missing);
        assert_bad_request(read(Method::GET, "/", &headers), name);
    }
    assert_bad_request(read(Method::GET, "/", &[attachment]), "nosphere-protocol");
    let whole = [JSON_BODY, attachment, received, id, secret, base];
    assert!(matches!(read(Method::POST, "/", &whole), Ok(Intent::Post(_))));
    for (missing, name) in [
        (1, "nosphere-attachment"),
        (2, "nosphere-received"),
        (3, "nosphere-session"),
        (4, "nosphere-token"),
        (5, "nosphere-base"),
    ] {
        assert_bad_request(read(Method::POST, "/", &without(&whole, missing)), name);
    }
    assert_bad_request(read(Method::POST, "/?nosphere-base=0", &without(&whole, 5)), "nosphere-base");
    assert_bad_request(read(Method::POST, "/", &[attachment]), "nosphere-session");
}

/// SPEC NEG-1, SEC-1.
#[test]
fn a_token_in_the_url_is_refused_even_beside_the_header() {
    for uri in ["/?nosphere-token=00112233445566778899aabbccddeeff", "/?a=b&nosphere%2Dtoken", "/?nosphere-token="] {
        for method in [Method::GET, Method::POST] {
            assert_bad_request(read(method, uri, &[JSON_PROTOCOL, KEY[1]]), "token");
        }
        let upgrade = read_request(&parts(Method::GET, uri, &[]), true, &Formats::default());
        assert_bad_request(upgrade, "token");
    }
}

/// SPEC NEG-3, TRM-1.
#[test]
fn a_field_that_is_not_of_its_form_is_refused_whether_it_is_needed_or_not() {
    let broken = [
        ("nosphere-protocol", &["json", "nosphere.v1.cbor", "nosphere.v2.json", "plain", "", "nosphere.v1."][..]),
        ("nosphere-transport", &["websocket", "SSE", "", "polling"]),
        ("nosphere-session", &["", "1", "24f98d6bc27141698f9c217343b62aa7", "{24f98d6b-c271-4169-8f9c-217343b62aa7}"]),
        (
            "nosphere-attachment",
            &["", "0", "-1", "+1", "1.0", "0x1", "9007199254740992", "99999999999999999999", "1, 2"],
        ),
        ("nosphere-received", &["", "-1", "+1", "1e3", "9007199254740992", "a"]),
        ("nosphere-window", &["", "1", "/", "1/", "/1", "0/1", "1/0", "1/1/1", "-1/1", "1 / 1", "a/b"]),
    ];
    for (name, values) in broken {
        for value in values {
            let escaped = value.replace('+', "%2B").replace(' ', "+");
            let uri = format!("/?{name}={escaped}");
            assert_bad_request(read(Method::GET, "/", &[(name, value), STREAM]), name);
            assert_bad_request(read(Method::GET, uri.as_str(), &[STREAM]), name);
            assert_bad_request(read(Method::POST, &uri, &[("content-type", "text/plain")]), name);
        }
    }
    for (name, value) in
        [("nosphere-token", "00112233445566778899AABBCCDDEEFF"), ("nosphere-token", ""), ("nosphere-base", "-1")]
    {
        assert_bad_request(read(Method::GET, "/", &[(name, value), STREAM]), name);
    }
    for uri in ["/?nosphere-received=%", "/?nosphere-received=%3", "/?nosphere-received=%ff", "/?nosphere-received"] {
        assert_bad_request(read(Method::GET, uri, &[STREAM]), "nosphere-received");
    }
    assert_bad_request(read(Method::GET, "/", &[("nosphere-received", "\u{e9}"), STREAM]), "nosphere-received");
}

/// SPEC NEG-3.
#[test]
fn a_field_that_comes_twice_is_refused_even_if_the_values_agree() {
    for name in headers::OF_REQUESTS {
        let twice = [STREAM, (name.as_str(), "1"), (name.as_str(), "1")];
        assert_bad_request(read(Method::GET, "/", &twice), "more than one");
    }
    assert_bad_request(read(Method::GET, "/?nosphere-received=1&nosphere-received=1", &[STREAM]), "more than one");
    assert_bad_request(read(Method::POST, "/", &[JSON_BODY, JSON_BODY]), "more than one");
}

/// SPEC §4, §15.
#[test]
fn a_get_without_a_protocol_is_plain_if_it_asks_for_a_transport() {
    let polling = ("nosphere-transport", "long-polling");
    let default = SessionRequest::Open { attachment: 1, window: Window::default() };
    use HttpTransport::{LongPolling, ServerSentEvents};
    let resume =
        |attachment, received| SessionRequest::Resume { session: session(), token: token(), attachment, received };
    let event_id = format!("{SESSION}.{TOKEN}.17");
    let [id, secret] = KEY;
    let cases: [(Headers<'_>, HttpTransport, SessionRequest); 12] = [
        (&[STREAM], ServerSentEvents, default),
        (&[("accept", "text/html;q=0.5, Text/Event-Stream ; q=0.1")], ServerSentEvents, default),
        (&[("accept", "text/html"), STREAM], ServerSentEvents, default),
        (&[polling], LongPolling, default),
        (&[polling, STREAM], LongPolling, default),
        (&[polling, id, secret], LongPolling, resume(None, None)),
        (
            &[polling, id, secret, ("nosphere-received", "3"), ("nosphere-attachment", "2")],
            LongPolling,
            resume(Some(2), Some(3)),
        ),
        (&[STREAM, ("last-event-id", &event_id)], ServerSentEvents, resume(None, Some(17))),
        (&[STREAM, ("last-event-id", &event_id), id, secret], ServerSentEvents, resume(None, None)),
        (&[STREAM, ("last-event-id", "17")], ServerSentEvents, default),
        (&[STREAM, ("last-event-id", "\u{e9}")], ServerSentEvents, default),
        (&[polling, ("last-event-id", &event_id)], LongPolling, default),
    ];
    for (headers, transport, request) in cases {
        let expected = Intent::Attach { protocol: Dialect::Plain, transport, request };
        assert_eq!(read(Method::GET, "/", headers), Ok(expected), "{headers:?}");
    }
    assert_bad_request(read(Method::GET, "/", &[STREAM, id]), "nosphere-token");
    assert_bad_request(read(Method::GET, "/", &[STREAM, secret]), "nosphere-session");
}

/// SPEC §8, PST-5.
#[test]
fn the_content_type_of_a_post_names_the_format() {
    let rest = [
        ("nosphere-attachment", "2"),
        ("nosphere-base", "5"),
        ("nosphere-received", "7"),
        ("nosphere-session", SESSION),
        ("nosphere-token", TOKEN),
    ];
    for (content_type, format) in [
        ("application/vnd.nosphere.v1.json", Some(&JSON as &'static dyn WireFormat)),
        ("Application/VND.nosphere.v1.JSON; charset=utf-8", Some(&JSON)),
        ("application/vnd.nosphere.v1.messagepack", Some(&MESSAGEPACK)),
        ("application/vnd.nosphere.v1.cbor", None),
        ("application/vnd.nosphere.v2.json", None),
    ] {
        let read = read(Method::POST, "/", &[&rest[..], &[("content-type", content_type)]].concat());
        let Some(format) = format else {
            let refusal = read.unwrap_err();
            assert_eq!((refusal.status(), refusal.name()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("content-type")));
            let accept = refusal.into_response().headers()["accept"].clone();
            assert_eq!(accept, "application/vnd.nosphere.v1.json, application/vnd.nosphere.v1.messagepack");
            continue;
        };
        let Ok(Intent::Post(post)) = read else { panic!("{read:?}") };
        assert_eq!(post.protocol, Dialect::Native(format));
        assert_eq!((post.session, post.token, post.kind), (session(), token(), None));
        assert_eq!((post.attachment, post.base, post.received), (Some(2), Some(5), Some(7)));
    }
    let named = |content_type| {
        let headers = [&rest[..], &[JSON_PROTOCOL, ("content-type", content_type)]].concat();
        read(Method::POST, "/", &headers).map_err(|refusal| refusal.status().as_u16())
    };
    assert!(matches!(named("application/vnd.nosphere.v1.json"), Ok(Intent::Post(_))));
    assert_eq!(named("application/vnd.nosphere.v1.messagepack"), Err(400));
    assert_eq!(named("text/plain"), Err(415));
}

/// SPEC PLN-7.
#[test]
fn the_content_type_of_a_plain_post_tells_its_kind() {
    for (content_type, kind) in [
        (None, Some(Kind::Text)),
        (Some("text/plain"), Some(Kind::Text)),
        (Some("text/plain;charset=UTF-8"), Some(Kind::Text)),
        (Some("TEXT/plain; Charset=\"utf-8\""), Some(Kind::Text)),
        (Some("application/json"), Some(Kind::Json)),
        (Some("application/octet-stream"), Some(Kind::Binary)),
        (Some("text/plain;charset=iso-8859-1"), None),
        (Some("application/json;charset=iso-8859-1"), None),
        (Some("text/html"), None),
        (Some("application/x-www-form-urlencoded"), None),
        (Some("application/jsonp"), None),
        (Some(""), None),
    ] {
        let content_type = content_type.map(|value| ("content-type", value));
        let headers: Vec<_> = KEY.into_iter().chain(content_type).collect();
        match (read(Method::POST, "/", &headers), kind) {
            (Ok(Intent::Post(post)), Some(kind)) => {
                assert_eq!((post.protocol, post.kind), (Dialect::Plain, Some(kind)));
                assert_eq!((post.attachment, post.base, post.received), (None, None, None));
            }
            (Err(refusal), None) => assert_eq!(refusal.name(), Some("content-type")),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
    let uri = format!("/?nosphere-session={SESSION}");
    assert!(matches!(read(Method::POST, &uri, &[KEY[1]]), Ok(Intent::Post(_))));
    assert_bad_request(read(Method::POST, &uri, &[]), "nosphere-token");
}

/// SPEC §4: any other request is not the endpoint's business.
#[test]
fn what_has_no_sign_of_us_is_none() {
    let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let cases: [(Method, &str, Headers<'_>); 15] = [
        (Method::GET, "/", &[]),
        (Method::GET, "/?a=b&token=1&nosphere=2", &[html]),
        (Method::GET, "/", &[("accept", "text/event-stream;q=0")]),
        (Method::GET, "/", &[("accept", "text/event-stream; q=0.0")]),
        (Method::GET, "/", &[("accept", "text/*")]),
        (Method::GET, "/", &[("last-event-id", "17")]),
        (Method::GET, "/", &[JSON_BODY]),
        (Method::GET, "/", &[("nosphere-error", "1")]),
        (Method::POST, "/", &[("content-type", "application/x-www-form-urlencoded")]),
        (Method::POST, "/", &[STREAM]),
        (Method::PUT, "/", &[STREAM]),
        (Method::DELETE, "/", &[]),
        (Method::HEAD, "/", &[JSON_PROTOCOL]),
        (Method::OPTIONS, "/", &[JSON_PROTOCOL]),
        (Method::CONNECT, "example.org:443", &[]),
    ];
    for (method, uri, headers) in cases {
        assert_eq!(read(method, uri, headers), Ok(Intent::None), "{headers:?}");
    }
}

/// SPEC §13, `method`.
#[test]
fn another_method_with_a_sign_of_us_is_refused_with_allow() {
    let cases: [(&str, Headers<'_>); 5] = [
        ("/", &[KEY[0]]),
        ("/", &[("nosphere-base", "x")]),
        ("/?nosphere-session=1", &[]),
        ("/?nosphere-token=1", &[]),
        ("/", &[JSON_BODY]),
    ];
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE] {
        for (uri, headers) in cases {
            let refusal = read(method.clone(), uri, headers).unwrap_err();
            assert_eq!((refusal.status(), refusal.name()), (StatusCode::METHOD_NOT_ALLOWED, Some("method")));
            assert_eq!(refusal.into_response().headers()[ALLOW], "GET, POST, OPTIONS");
        }
    }
    let upgrade = read_request(&parts(Method::POST, "/", &[]), true, &Formats::default());
    assert_eq!(upgrade.unwrap_err().name(), Some("method"));
}

#[test]
fn a_preflight_is_ours_if_it_asks_for_one_of_our_headers() {
    let ask = |method: &'static str, names: &'static str| {
        let headers = [
            ("origin", "https://app.example"),
            ("access-control-request-method", method),
            ("access-control-request-headers", names),
        ];
        read(Method::OPTIONS, "/", &headers)
    };
    assert_eq!(ask("POST", "content-type, nosphere-token"), Ok(Intent::Preflight));
    assert_eq!(ask("GET", "Nosphere-Protocol"), Ok(Intent::Preflight));
    assert_eq!(ask("GET", "last-event-id"), Ok(Intent::Preflight));
    assert_eq!(ask("PUT", "nosphere-token"), Ok(Intent::None));
    assert_eq!(ask("POST", "content-type"), Ok(Intent::None));
    // SPEC ATM-7: what every library sends, and no name of a dialect.
    assert_eq!(ask("POST", "x-requested-with, authtoken"), Ok(Intent::None));
    assert_eq!(ask("POST", "x-requested-with, x-atmosphere-transport"), Ok(Intent::Preflight));
}

/// SPEC §13.
#[test]
fn every_refusal_has_its_row() {
    for (refusal, status, name) in [
        (Refusal::closed(), 410, "closed"),
        (Refusal::going_away(), 503, "going-away"),
        (Refusal::too_large("x"), 413, "too-large"),
        (Refusal::internal(), 500, "internal"),
        (Refusal::malformed("x"), 400, "malformed"),
        (Refusal::forbidden("x"), 403, "forbidden"),
        (Refusal::timeout(), 408, "timeout"),
        (Refusal::fenced(), 409, "fenced"),
        (Refusal::unknown_session(), 410, "unknown-session"),
        (Refusal::unproved(), 410, "unproved"),
        (Refusal::expired(), 410, "expired"),
        (Refusal::window(), 400, "window"),
        (Refusal::unexpected("x"), 400, "unexpected"),
        (Refusal::overflow(), 503, "overflow"),
        (Refusal::unavailable(), 503, "unavailable"),
        (Refusal::new(Reason::Application(3000), "x"), 410, "closed"),
        (Refusal::new(Reason::Lost, "x"), 410, "closed"),
        (Refusal::replaced(), 204, "replaced"),
        (Refusal::bad_request("x"), 400, "bad-request"),
        (Refusal::origin(), 403, "origin"),
        (Refusal::not_found(), 404, ""),
        (Refusal::method(), 405, "method"),
        (Refusal::gap(), 409, "gap"),
        (Refusal::stale(), 409, "stale"),
        (Refusal::content_type(&Formats::default()), 415, "content-type"),
        (Refusal::websocket_version(), 426, ""),
        (BatchError::TooManyUnits { limit: 1 }.into(), 413, "too-large"),
        (BatchError::Truncated.into(), 400, "malformed"),
        (DecodeError::Malformed("x").into(), 400, "malformed"),
    ] {
        assert_eq!((refusal.status().as_u16(), refusal.name().unwrap_or_default()), (status, name));
        assert!(!refusal.text().is_empty());
    }
    let response = Refusal::websocket_version().into_response();
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert!(Refusal::content_type(&Formats::none()).into_response().headers().get("accept").is_none());
}

/// SPEC NEG-4, §4.
#[test]
fn a_refusal_is_never_stored_and_its_body_is_one_line() {
    let response = Refusal::forbidden("no\r\nSet-Cookie: x\u{1}").with_received(3).into_response();
    assert_eq!(response.body(), "no  Set-Cookie: x ");
    let headers = response.headers();
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    assert_eq!(headers[CONTENT_TYPE], "text/plain;charset=utf-8");
    assert_eq!(headers[headers::ERROR], "forbidden");
    assert_eq!(headers[headers::RECEIVED], "3");
    let response = Refusal::replaced().into_response();
    assert!(response.body().is_empty());
    assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    assert!(!response.headers().contains_key(CONTENT_TYPE));
}

#[test]
fn a_format_of_your_own_is_negotiated_like_the_others() {
    let mut formats = Formats::default();
    assert_eq!(formats.register(&Own("json")), Err(RegisterError::Duplicate("json")));
    assert_eq!(formats.register(&Own("plain")), Err(RegisterError::Duplicate("plain")));
    for name in ["", "JSON", "a b", "a/b", "a,b", "é"] {
        let format: &'static Own = Box::leak(Box::new(Own(name)));
        assert_eq!(formats.register(format), Err(RegisterError::Name(name)));
    }
    for length in [64, 65] {
        let format: &'static Own = Box::leak(Box::new(Own("0-_.z".repeat(13)[..length].to_owned().leak())));
        assert_eq!(formats.clone().register(format).is_ok(), length == 64);
    }
    assert_eq!(formats.register(&Own("own")), Ok(()));
    assert_eq!(formats.register(&Own("own")), Err(RegisterError::Duplicate("own")));
    let parts = parts(Method::GET, "/", &[("sec-websocket-protocol", "nosphere.v1.own")]);
    let expected = Intent::WebSocket {
        protocol: Dialect::Native(&Own("own")),
        subprotocol: Some(HeaderValue::from_static("nosphere.v1.own")),
    };
    assert_eq!(read_request(&parts, true, &formats), Ok(expected));
    assert_eq!(media_type(&Own("own")), "application/vnd.nosphere.v1.own");
    assert_eq!(format!("{formats:?}"), r#"["json", "messagepack", "own"]"#);
}

#[derive(Debug)]
struct Own(&'static str);

impl WireFormat for Own {
    fn name(&self) -> &'static str {
        self.0
    }

    fn encode(&self, _: Frame) -> Result<Unit, EncodeError> {
        Err(EncodeError::new(self.0, "anything"))
    }

    fn decode(&self, _: Unit) -> Result<Frame, DecodeError> {
        Err(DecodeError::Malformed("always"))
    }
}

fn assert_bad_request(read: Result<Intent, Refusal>, names: &str) {
    let text = read.unwrap_err().to_string();
    assert!(text.starts_with("400 bad-request: ") && text.contains(names), "{text} does not name {names}");
}

fn without<'a>(headers: Headers<'a>, index: usize) -> Vec<(&'a str, &'a str)> {
    let mut headers = headers.to_vec();
    headers.remove(index);
    headers
}

fn read(method: Method, uri: &str, headers: Headers<'_>) -> Result<Intent, Refusal> {
    read_request(&parts(method, uri, headers), false, &Formats::default())
}

fn parts(method: Method, uri: &str, headers: Headers<'_>) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn session() -> SessionId {
    SESSION.parse().unwrap()
}

fn token() -> ResumeToken {
    TOKEN.parse().unwrap()
}
