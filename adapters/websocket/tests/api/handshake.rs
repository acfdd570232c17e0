//! The opening handshake.

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use nosphere_websocket::handshake::{HandshakeError, Upgrade, accept, is_upgrade};

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let request = request();
    let upgrade = Upgrade::new(&request).unwrap();
    assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    let response = upgrade.response(Some("superchat"));
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers();
    assert_eq!(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["connection"], "Upgrade");
    assert_eq!(headers["sec-websocket-protocol"], "superchat");
    assert!(!headers.contains_key("sec-websocket-extensions"));
}

#[test]
fn a_request_can_be_judged_by_its_parts() {
    let (parts, _) = request().into_parts();
    assert!(is_upgrade(&parts));
    assert!(Upgrade::new(&parts).is_ok());
}

#[test]
fn a_protocol_that_was_not_offered_is_not_answered() {
    let request = request();
    let upgrade = Upgrade::new(&request).unwrap();
    for protocol in [None, Some("other"), Some("chat, superchat"), Some("CHAT"), Some("")] {
        let response = upgrade.response(protocol);
        assert!(!response.headers().contains_key("sec-websocket-protocol"), "{protocol:?}");
    }
}

#[test]
fn offers_may_be_spread_over_fields() {
    let mut request = request();
    request.headers_mut().append("sec-websocket-protocol", HeaderValue::from_static(" ,third,\t"));
    request.headers_mut().append("sec-websocket-protocol", HeaderValue::from_bytes(b"\xff").unwrap());
    let upgrade = Upgrade::new(&request).unwrap();
    assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["chat", "superchat", "third"]);
}

#[test]
fn tokens_are_found_in_lists_whatever_their_case() {
    let request = with("connection", "keep-alive, UPGRADE");
    assert!(Upgrade::new(&request).is_ok());
    let request = with("upgrade", "h2c, WebSocket");
    assert!(Upgrade::new(&request).is_ok());
}

#[test]
fn what_does_not_ask_for_a_websocket_is_no_upgrade() {
    for (name, value) in
        [("connection", "keep-alive"), ("connection", "xupgrade"), ("upgrade", "h2c"), ("upgrade", "websocket/13")]
    {
        assert_refused(&with(name, value), HandshakeError::NotUpgrade, StatusCode::UPGRADE_REQUIRED);
    }
    for version in [Version::HTTP_10, Version::HTTP_2, Version::HTTP_3] {
        let mut request = request();
        *request.version_mut() = version;
        assert!(!is_upgrade(&request), "{version:?}");
    }
    assert!(!is_upgrade(&Request::new(())));
}

#[test]
fn another_version_is_refused_with_the_right_one() {
    for version in ["8", "14", "013", "13, 8", ""] {
        let request = with("sec-websocket-version", version);
        assert_refused(&request, HandshakeError::Version, StatusCode::UPGRADE_REQUIRED);
    }
    let mut request = request();
    request.headers_mut().remove("sec-websocket-version");
    assert_refused(&request, HandshakeError::Version, StatusCode::UPGRADE_REQUIRED);
    let response = HandshakeError::Version.response();
    assert_eq!(response.headers()["sec-websocket-version"], "13");
    assert_eq!(response.headers()["upgrade"], "websocket");
}

#[test]
fn a_key_is_sixteen_bytes_in_base64() {
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWFi",
        "dGhlIHNhbXBsZSBub25!ZQ==",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        assert_refused(&with("sec-websocket-key", key), HandshakeError::Key, StatusCode::BAD_REQUEST);
    }
    let mut request = request();
    request.headers_mut().remove("sec-websocket-key");
    assert_refused(&request, HandshakeError::Key, StatusCode::BAD_REQUEST);
    assert!(Upgrade::new(&with("sec-websocket-key", "abcdefghijklmnopqrstuv==")).is_ok());
}

#[test]
fn only_get_opens_a_websocket() {
    let mut request = request();
    *request.method_mut() = Method::POST;
    assert_refused(&request, HandshakeError::Method, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(HandshakeError::Method.response().headers()["allow"], "GET");
}

#[test]
fn an_extended_connect_is_accepted_without_a_key() {
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = Method::CONNECT;
    assert!(!is_upgrade(&request));
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("connect-udp"));
    assert!(!is_upgrade(&request));
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    assert!(is_upgrade(&request));
    assert_refused(&request, HandshakeError::Version, StatusCode::UPGRADE_REQUIRED);
    request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
    let response = Upgrade::new(&request).unwrap().response(Some("chat"));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(response.headers().len(), 1);
}

#[test]
fn a_client_can_check_the_answer_to_its_key() {
    let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

fn request() -> Request<()> {
    Request::builder()
        .uri("/chat")
        .header("host", "server.example.com")
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "chat, superchat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-extensions", "permessage-deflate")
        .body(())
        .expect("the request is valid")
}

fn with(name: &'static str, value: &'static str) -> Request<()> {
    let mut request = request();
    request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    request
}

fn assert_refused(request: &Request<()>, error: HandshakeError, status: StatusCode) {
    assert_eq!(Upgrade::new(request).map(|_| ()), Err(error), "{request:?}");
    assert_eq!(error.response().status(), status);
}
