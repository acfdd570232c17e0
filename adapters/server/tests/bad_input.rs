//! Every kind of bad input: what is answered, that the session's other messages are not lost, and that nothing stays.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use nosphere::{
    Event, OriginPolicy, Overflow, Reason, Refusal, ServerConfig, SessionError, SessionId, Side, Transport, WireFormat,
};
use nosphere_core::{Frame, ResumeToken};
use serde_json::json;

use crate::support::*;

/// A session that says something bad over its WebSocket, between two messages.
async fn fault(format: &'static dyn WireFormat, bad: WsMessage, code: u16, name: &str) {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, format).await;
    client.send(text("before")).await;
    client.ws().send(bad.clone()).await;
    // Nothing behind it is taken.
    let behind = client.unit(Frame::Message(text("behind")));
    client.ws().try_send(behind).await;
    let closed = tokio::time::timeout(PATIENCE / 2, client.ws().closed()).await;
    assert_eq!(closed.ok(), Some((code, name.into())), "{bad:?}");
    let session = client.session;
    let told = Reason::from_code(code);
    server.log.find(session, |event| *event == Event::Text("before".into())).await;
    match server.log.of(session).await {
        Event::Error(SessionError::Link { reason, .. }) => assert_eq!(reason, told, "{bad:?}"),
        other => panic!("{bad:?}: {other:?}"),
    }
    assert_eq!(server.log.of(session).await, Event::Suspended);

    client.resume(Transport::WebSocket).await;
    assert_eq!(server.log.of(session).await, Event::Resumed { transport: Transport::WebSocket });
    client.send(text("after")).await;
    assert_eq!(client.message().await, text("before"));
    assert_eq!(client.message().await, text("after"));
    assert_eq!(server.log.of(session).await, Event::Text("after".into()));
    end(&mut client).await;
    until(|| server.server.sessions() == 0).await;
}

/// Closes a session.
async fn end(client: &mut Native) {
    let received = client.received;
    client.frame(Frame::Close(nosphere_core::Close { code: 1000, reason: "".into(), received })).await;
}

const JSON: usize = 0;
const MESSAGEPACK: usize = 1;

#[tokio::test]
async fn a_malformed_unit_ends_the_link_and_not_the_session() {
    // SPEC FRM-2, WS-3
    for unit in ["", "{", "[]", "null", "hello", r#"{"nope":1}"#, r#"{"ack":-1}"#, r#"{"text":"a"} x"#] {
        fault(FORMATS[JSON], WsMessage::text(unit), 4400, "malformed").await;
    }
    fault(FORMATS[JSON], WsMessage::binary(b"{\"text\":\"a\"}".to_vec()), 4400, "malformed").await;
    fault(FORMATS[MESSAGEPACK], WsMessage::text("\u{92}"), 4400, "malformed").await;
    for unit in [&[][..], &[0xc0], &[0x92, 99, 0], &[0x90], &[0x92, 5, 0xa1, b'a', 0], &[0xc1]] {
        fault(FORMATS[MESSAGEPACK], WsMessage::binary(unit.to_vec()), 4400, "malformed").await;
    }
}

#[tokio::test]
async fn a_truncated_unit_ends_the_link_and_not_the_session() {
    for unit in [r#"{"json":{"a":1"#, r#"{"text":"a"#, r#"{"close":{"code":1000,"#] {
        fault(FORMATS[JSON], WsMessage::text(unit), 4400, "malformed").await;
    }
    for unit in [&[0x92][..], &[0x92, 8], &[0x92, 8, 0xcd, 1], &[0x94, 11, 0xcd, 0x03, 0xe8, 0xa0], &[0xdc, 0]] {
        fault(FORMATS[MESSAGEPACK], WsMessage::binary(unit.to_vec()), 4400, "malformed").await;
    }
}

#[tokio::test]
async fn an_oversized_unit_ends_the_link_and_not_the_session() {
    // SPEC WS-4
    let mut config = ServerConfig::default();
    config.session.window.bytes = 1000;
    let mut server = TestServer::start(config).await;
    let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
    client.send(text("before")).await;
    client.ws().text(&format!(r#"{{"text":"{}"}}"#, "x".repeat(1000))).await;
    let (code, _) = client.ws().closed().await;
    assert_eq!(code, 1009);
    server
        .log
        .find(
            client.session,
            |event| matches!(event, Event::Error(SessionError::Link { reason, .. }) if *reason == Reason::TooLarge),
        )
        .await;
    client.resume(Transport::ServerSentEvents).await;
    client.send(text("after")).await;
    assert_eq!(client.message().await, text("before"));
    assert_eq!(client.message().await, text("after"));
}

#[tokio::test]
async fn a_length_that_is_only_claimed_allocates_nothing_and_is_refused() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut raw = Raw::upgrade(server.addr, "/echo", "").await;
    // 2⁶² bytes of text.
    raw.write([&[0x81, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat()).await;
    assert!(raw.read_until("\u{3}").await.contains("\u{3}"), "1009 is 0x03f1");
    let client = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    let key = format!(
        "Nosphere-Session: {}\r\nNosphere-Token: {}\r\nNosphere-Attachment: 1\r\nNosphere-Received: 0\r\nNosphere-Base: 0",
        client.session,
        client.token.reveal()
    );
    let mut raw = Raw::connect(server.addr).await;
    raw.write(format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\n{key}\r\nContent-Type: application/vnd.nosphere.v1.json\r\n\
         Content-Length: 1099511627776\r\n\r\n"
    ))
    .await;
    let answer = raw.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("nosphere-error: too-large"), "{answer}");
}

#[tokio::test]
async fn deep_nesting_is_an_error_in_the_messages_place() {
    // SPEC FRM-3, JSN-3, MSP-3
    let mut server = TestServer::start(ServerConfig::default()).await;
    let array = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
    for depth in [64, 65, 100_000] {
        client.ws().text(&format!(r#"{{"json":{}}}"#, array(depth))).await;
    }
    client.ws().text(r#"{"text":"after"}"#).await;
    let session = client.session;
    server.log.find(session, |event| matches!(event, Event::Json(_))).await;
    for _ in 0..2 {
        let event = server.log.of(session).await;
        assert!(matches!(event, Event::Error(SessionError::Payload(_))), "{event:?}");
    }
    assert_eq!(server.log.of(session).await, Event::Text("after".into()));
    client.message().await;
    assert_eq!(client.message().await, text("after"));
    // They are counted.
    client.ws().text(r#"{"ping":2}"#).await;
    assert_eq!(client.ws().next_text().await, r#"{"pong":4}"#);

    let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[1]).await;
    for depth in [65, 100_000] {
        let unit = [&[0x92, 6][..], &vec![0x91; depth], &[0xc0]].concat();
        client.ws().binary(&unit).await;
    }
    client.send(text("after")).await;
    assert_eq!(client.message().await, text("after"));
    for _ in 0..2 {
        server.log.find(client.session, |event| matches!(event, Event::Error(SessionError::Payload(_)))).await;
    }

    // Plain: it does not count as JSON.
    let mut ws = Ws::connect(server.addr, "/echo", None).await;
    ws.text(&array(65)).await;
    assert_eq!(ws.next_text().await, array(65));
    assert!(server.log.rest().iter().any(|(_, event)| *event == Event::Text(array(65).as_str().into())));
}

#[tokio::test]
async fn unreadable_payloads_are_errors_in_the_messages_place() {
    // SPEC FRM-3
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let body = "{\"json\":{\"a\" 1}}\n{\"binary\":\"?\"}\n{\"text\":\"after\"}";
    let answer = exchange(Http::One, server.addr, client.post_request(0, 1, body.into())).await;
    assert_eq!(answer.status, 204);
    assert_eq!(client.message().await, text("after"));
    for _ in 0..2 {
        server.log.find(client.session, |event| matches!(event, Event::Error(SessionError::Payload(_)))).await;
    }

    let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[1]).await;
    let units =
        [&[0x92, 5][..], &[0x92, 5, 0xa5, b'a'], &[0x92, 7, 0xc4, 200, 1], &[0x92, 7, 0xc6, 255, 255, 255, 255]];
    for unit in units {
        client.ws().binary(unit).await;
        server.log.find(client.session, |event| matches!(event, Event::Error(SessionError::Payload(_)))).await;
    }
    // They are counted.
    client.frame(Frame::Ping { received: 0 }).await;
    assert_eq!(client.ws().next().await, Some(WsMessage::binary(vec![0x92u8, 10, 4])));
}

#[tokio::test]
async fn a_frame_that_may_not_come_now_ends_the_link_and_not_the_session() {
    // SPEC FRM-2
    let open = r#"{"open":{"attachment":2,"window":{"messages":1,"bytes":1}}}"#;
    let id = "24f98d6b-c271-4169-8f9c-217343b62aa7";
    let token = "00112233445566778899aabbccddeeff";
    let resume = format!(r#"{{"resume":{{"session":"{id}","token":"{token}","attachment":2,"received":0}}}}"#);
    let opened = format!(
        r#"{{"opened":{{"session":"{id}","token":"{token}","heartbeat":1,"timeout":1,"proof":1,"resume":1,"window":{{"messages":1,"bytes":1}}}}}}"#
    );
    for unit in [open, &resume, &opened, r#"{"resumed":{"received":0}}"#, r#"{"reset":"no"}"#] {
        fault(FORMATS[JSON], WsMessage::text(unit), 4422, "unexpected").await;
    }
}

#[tokio::test]
async fn the_first_frame_must_open_or_resume() {
    // SPEC WS-1
    let server = TestServer::start(quick()).await;
    let refused = async |units: Vec<&str>, code: u16, name: &str| {
        let mut ws = Ws::connect(server.addr, "/echo", Some("nosphere.v1.json")).await;
        ws.send_all(units.into_iter().map(WsMessage::text)).await;
        assert_eq!(ws.closed().await, (code, name.into()));
    };
    for unit in
        [r#"{"text":"a"}"#, r#"{"ack":0}"#, r#"{"pong":0}"#, r#"{"close":{"code":1000,"reason":"","received":0}}"#]
    {
        refused(vec![unit], 4422, "unexpected").await;
    }
    refused(vec![r#"{"ping":0}"#; 17], 4422, "unexpected").await;
    refused(vec!["hello"], 4400, "malformed").await;
    refused(vec![r#"{"open":{"attachment":0,"window":{"messages":1,"bytes":1}}}"#], 4400, "malformed").await;
    refused(vec![], 4408, "timeout").await;
    assert_eq!(server.server.sessions(), 0);
}

#[tokio::test]
async fn websocket_rules_that_are_broken_close_with_their_codes() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let broken: [(&[u8], u16); 6] = [
        (&[0x81, 1, b'a'], 1002),                      // not masked
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),             // no such opcode
        (&[0xc1, 0x80, 0, 0, 0, 0], 1002),             // a reserved bit
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),             // nothing to continue
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),             // a ping in pieces
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007), // not UTF-8
    ];
    for (bytes, code) in broken {
        let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
        client.send(text("before")).await;
        soon(tokio::io::AsyncWriteExt::write_all(client.ws().stream(), bytes)).await.unwrap();
        assert_eq!(client.ws().closed().await.0, code, "{bytes:?}");
        server.log.find(client.session, |event| *event == Event::Suspended).await;
        client.resume(Transport::WebSocket).await;
        assert_eq!(client.message().await, text("before"));

        // In the same segment as `open`.
        let mut raw = Raw::upgrade(server.addr, "/echo", "Sec-WebSocket-Protocol: nosphere.v1.json\r\n").await;
        let open = r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#;
        raw.write([&raw_frame(1, open.as_bytes()), bytes].concat()).await;
        let mut ws = Ws::from_raw(Box::new(raw.stream)).await;
        assert_eq!(ws.closed().await.0, code, "{bytes:?} with open");
    }
}

#[tokio::test]
async fn an_unknown_or_foreign_session_is_reset() {
    // SPEC SES-3
    let server = TestServer::start(ServerConfig::default()).await;
    let owner = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    for (session, path) in [(SessionId::from([7; 16]), "/echo"), (owner.session, "/quiet"), (owner.session, "/rooms/1")]
    {
        let mut thief = Native::open(server.addr, path, Transport::LongPolling, FORMATS[0]).await;
        (thief.session, thief.token, thief.attachment) = (session, owner.token, 2);
        for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
            let answer = exchange(Http::One, server.addr, thief.get_request(transport, 0)).await;
            assert_eq!(answer.refusal(), (410, "unknown-session"));
            assert_eq!(answer.received(), None);
        }
        assert_eq!(thief.post_frames(0, vec![]).await.refusal(), (410, "unknown-session"));
        let mut ws = thief.socket().await;
        ws.send(thief.unit(thief.offer())).await;
        assert_eq!(ws.next_text().await, r#"{"reset":"unknown session"}"#);
        assert_eq!(ws.closed().await, (4410, "unknown-session".into()));
    }
    still_there(owner).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_without_effect() {
    // SPEC SES-4
    let server = TestServer::start(ServerConfig::default()).await;
    let mut owner = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let token = std::mem::replace(&mut owner.token, ResumeToken::from_random([9; 16]));
    owner.attachment = 2;
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let answer = exchange(Http::One, server.addr, owner.get_request(transport, 0)).await;
        assert_eq!(answer.refusal(), (403, "forbidden"));
        assert_eq!(answer.received(), None);
    }
    assert_eq!(owner.post_frames(0, vec![Frame::Message(text("evil"))]).await.refusal(), (403, "forbidden"));
    let mut ws = owner.socket().await;
    ws.send(owner.unit(owner.offer())).await;
    assert_eq!(ws.closed().await, (4403, "forbidden".into()));
    (owner.token, owner.attachment) = (token, 1);
    still_there(owner).await;
}

/// The session works on the link that it has.
async fn still_there(mut client: Native) {
    client.send(text("still")).await;
    assert_eq!(client.message().await, text("still"));
}

/// The head of a first POST of the session, whose body has this length.
fn post_head(client: &Native, length: &str) -> String {
    let key = format!("Nosphere-Session: {}\r\nNosphere-Token: {}", client.session, client.token.reveal());
    format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\n{key}\r\nNosphere-Attachment: 1\r\nNosphere-Received: 0\r\nNosphere-Base: 0\r\n\
         Content-Type: application/vnd.nosphere.v1.json\r\n{length}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    // SPEC PST-5
    let mut config = ServerConfig::default();
    // And 512 KiB (SPEC PST-6).
    config.session.window.bytes = 1000;
    config.max_body_bytes = 1000;
    config.max_units_per_body = 10;
    let limit = 1000 + (512 << 10);
    let server = TestServer::start(config).await;
    let client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let large = " ".repeat(limit + 1);
    let many = "{\"text\":\"a\"}\n".repeat(11);
    for body in [&large, &many] {
        for http in [Http::One, Http::Two] {
            let answer = exchange(http, server.addr, client.post_request(0, 1, body.clone().into())).await;
            assert_eq!(answer.refusal(), (413, "too-large"));
            assert_eq!(answer.received(), Some(0), "SPEC §4");
        }
    }
    // Without a length beforehand.
    let mut raw = Raw::connect(server.addr).await;
    let head = post_head(&client, "Transfer-Encoding: chunked");
    raw.write(format!("{head}{:x}\r\n{large}\r\n", large.len())).await;
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 413"));
    still_there(client).await;
}

#[tokio::test]
async fn who_writes_a_body_over_the_limit_to_its_end_gets_the_answer_and_not_a_reset_connection() {
    // RFC 9112 §9.6. More than what kernels keep for whoever does not read.
    let mut config = ServerConfig::default();
    config.max_body_bytes = 4 << 20;
    let server = TestServer::start(config).await;
    let client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let piece = " ".repeat(4 << 20);
    let mut raw = Raw::connect(server.addr).await;
    raw.write(post_head(&client, &format!("Content-Length: {}", 7 * piece.len()))).await;
    for _ in 0..7 {
        raw.write(&piece).await;
    }
    assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 413"));
    still_there(client).await;
}

#[tokio::test]
async fn a_wrong_method_is_405_a_wrong_content_type_415_and_no_endpoint_404() {
    let server = TestServer::start(ServerConfig::default()).await;
    let client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let key = |builder: http::request::Builder| {
        builder
            .header("nosphere-session", client.session.to_string())
            .header("nosphere-token", client.token.reveal())
            .header("nosphere-attachment", 1)
            .header("nosphere-received", 0)
            .header("nosphere-base", 0)
    };
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = send(server.addr, key(http::Request::builder().method(method).uri("/echo")), "").await;
        assert_eq!(answer.refusal(), (405, "method"));
        assert_eq!(answer.header("allow"), Some("GET, POST, OPTIONS"));
    }
    for kind in ["application/vnd.nosphere.v1.cbor", "application/vnd.nosphere.v2.json", "image/png", "text/html"] {
        let answer = send(server.addr, key(post("/echo")).header("content-type", kind), "x").await;
        assert_eq!(answer.refusal(), (415, "content-type"), "{kind}");
        assert!(answer.header("accept").is_some_and(|kinds| kinds.contains("application/vnd.nosphere.v1.json")));
    }
    for path in ["/", "/nowhere", "/echo/more", "/rooms", "/rooms/1/2"] {
        let answers = [
            send(server.addr, key(post(path)), "").await,
            send(server.addr, get(path).header("accept", "text/event-stream"), "").await,
            send(server.addr, get(path), "").await,
        ];
        for answer in answers {
            assert_eq!(answer.refusal(), (404, ""), "{path}");
        }
        assert_eq!(Ws::ask(server.addr, path, None, &[]).await.err().unwrap().status(), 404);
    }
    // A page on the endpoint's own path would not be the endpoint's business.
    assert_eq!(send(server.addr, get("/echo"), "").await.status, 404);
    still_there(client).await;
}

#[tokio::test]
async fn headers_that_are_not_of_their_form_are_400() {
    // SPEC NEG-1, NEG-2, NEG-3
    let server = TestServer::start(ServerConfig::default()).await;
    let client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let poll = || get("/echo").header("nosphere-protocol", "nosphere.v1.json");
    for (name, value) in [
        ("nosphere-attachment", "0"),
        ("nosphere-attachment", "-1"),
        ("nosphere-attachment", "9007199254740992"),
        ("nosphere-session", "me"),
        ("nosphere-window", "0/0"),
        ("nosphere-transport", "pigeon"),
        ("nosphere-received", "1e3"),
    ] {
        let answer = send(server.addr, poll().header(name, value), "").await;
        assert_eq!(answer.refusal(), (400, "bad-request"), "{name}: {value}");
    }
    assert_eq!(send(server.addr, poll(), "").await.refusal(), (400, "bad-request"), "no attachment");
    let other = get("/echo").header("nosphere-protocol", "nosphere.v9.json").header("nosphere-attachment", 1);
    assert_eq!(send(server.addr, other, "").await.refusal(), (400, "bad-request"));
    let url = format!("/echo?nosphere-session={}&nosphere-token={}", client.session, client.token.reveal());
    assert_eq!(send(server.addr, get(&url), "").await.refusal(), (400, "bad-request"));
    let upgrade = async |subprotocol, headers: &[(&'static str, &str)]| {
        let refused = Ws::ask(server.addr, "/echo", subprotocol, headers).await.err().unwrap();
        (
            refused.status().as_u16(),
            refused.headers().get("nosphere-error").map(|name| name.to_str().unwrap().to_owned()),
        )
    };
    assert_eq!(upgrade(Some("nosphere.v2.json"), &[]).await, (400, Some("bad-request".into())));
    assert_eq!(upgrade(None, &[("sec-websocket-version", "8")]).await.0, 426);
    assert_eq!(upgrade(None, &[("sec-websocket-key", "short")]).await.0, 400);
    // A session in the format of its run.
    let mut poller = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    let wrong = poller.get_request(Transport::LongPolling, 0);
    let (mut parts, body) = wrong.into_parts();
    parts.headers.insert("nosphere-protocol", "nosphere.v1.messagepack".parse().unwrap());
    let answer = exchange(Http::One, server.addr, http::Request::from_parts(parts, body)).await;
    assert_eq!(answer.refusal(), (400, "bad-request"));
    assert_eq!(answer.received(), Some(0), "SPEC §4");
    poller.send(text("on")).await;
    assert_eq!(poller.message().await, text("on"));
    still_there(client).await;
}

#[tokio::test]
async fn a_refused_handshake_says_so_on_every_transport_and_on_resumption() {
    // SPEC SES-7
    let admit = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asked = std::sync::Arc::clone(&admit);
    let (sender, _log) = Log::new();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/members", move |head| match (head.headers().get("x-member"), &asked) {
            (_, asked) if !asked.load(std::sync::atomic::Ordering::Relaxed) => Err(Refusal::forbidden("not any more")),
            _ => Ok(Probe::new(&sender, &Probe::echo())),
        })
    })
    .await;
    let refused = Ws::ask(server.addr, "/refused", None, &[]).await.err().unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["nosphere-error"]), (403, &"forbidden".parse().unwrap()));
    let native = get("/refused").header("nosphere-protocol", "nosphere.v1.json").header("nosphere-attachment", 1);
    let answer = send(server.addr, native, "").await;
    assert_eq!((answer.refusal(), answer.text()), ((403, "forbidden"), "not you"));
    let stream = get("/refused").header("accept", "text/event-stream");
    assert_eq!(send(server.addr, stream, "").await.refusal(), (403, "forbidden"));
    assert_eq!(server.server.sessions(), 0);

    let mut client = Native::open(server.addr, "/members", Transport::LongPolling, FORMATS[0]).await;
    admit.store(false, std::sync::atomic::Ordering::Relaxed);
    // The next poll of a run is not a resumption.
    client.send(text("member")).await;
    assert_eq!(client.message().await, text("member"));
    client.attachment = 2;
    let answer = exchange(Http::One, server.addr, client.get_request(Transport::ServerSentEvents, 1)).await;
    assert_eq!(answer.refusal(), (403, "forbidden"));
    assert_eq!(Ws::ask(server.addr, "/members", Some("nosphere.v1.json"), &[]).await.err().unwrap().status(), 403);
    client.attachment = 1;
    client.send(text("still")).await;
    assert_eq!(client.message().await, text("still"));
}

#[tokio::test]
async fn a_foreign_origin_is_refused_unless_it_is_allowed() {
    // SPEC SEC-2
    let policy = OriginPolicy::same_origin().allow("https://app.example").unwrap();
    let strict = TestServer::start(ServerConfig::default()).await;
    let open = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| builder.origins(policy)).await;
    for (server, allowed) in [(&strict, false), (&open, true)] {
        for (origin, fine) in [
            ("https://app.example", allowed),
            ("https://evil.example", false),
            ("http://app.example", false),
            ("null", false),
            (&*format!("http://{}", server.addr), true),
        ] {
            let ws = Ws::ask(server.addr, "/echo", None, &[("origin", origin)]).await;
            assert_eq!(ws.is_ok(), fine, "{origin}");
            if let Err(refused) = ws {
                assert_eq!(
                    (refused.status().as_u16(), &refused.headers()["nosphere-error"]),
                    (403, &"origin".parse().unwrap())
                );
            }
            let client = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
            let (mut parts, body) = client.post_request(0, 1, "{\"text\":\"a\"}".into()).into_parts();
            parts.headers.insert("origin", origin.parse().unwrap());
            let answer = exchange(Http::One, server.addr, http::Request::from_parts(parts, body)).await;
            assert_eq!(answer.refusal(), if fine { (204, "") } else { (403, "origin") });
            let cross = fine && allowed && origin.starts_with("https");
            assert_eq!(answer.header("access-control-allow-origin"), cross.then_some(origin));
            let poll = get("/echo").header("nosphere-transport", "long-polling").header("origin", origin);
            let answer = send(server.addr, poll, "").await;
            assert_eq!(answer.refusal(), if fine { (204, "") } else { (403, "origin") });
            if cross {
                assert!(answer.header("access-control-expose-headers").unwrap().contains("nosphere-session"));
            }
            let ask = http::Request::builder().method("OPTIONS").uri("/echo").header("origin", origin);
            let ask = ask.header("access-control-request-method", "POST");
            let answer = send(server.addr, ask.header("access-control-request-headers", "nosphere-token"), "").await;
            assert_eq!(answer.status, if fine { 204 } else { 403 });
            assert_eq!(answer.header("access-control-allow-origin"), cross.then_some(origin));
            assert_eq!(answer.header("access-control-allow-headers").is_some(), cross);
        }
    }
    // Refusals too can be read by a page that is allowed.
    let asked = post("/echo").header("nosphere-session", "me").header("origin", "https://app.example");
    let answer = send(open.addr, asked, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, Some("https://app.example")));
}

#[tokio::test]
async fn input_on_a_fenced_link_is_409_or_ignored() {
    // SPEC PST-3, ATT-2, ATT-3
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    client.send(text("one")).await;
    let old = client.resume(Transport::LongPolling).await;
    let evil = || Bytes::from_static(b"{\"text\":\"evil\"}");
    for attachment in [1, 3] {
        let answer = exchange(Http::One, server.addr, client.post_request(1, attachment, evil())).await;
        assert_eq!((answer.refusal(), answer.received()), ((409, "fenced"), Some(1)));
    }
    client.attachment = 1;
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let answer = exchange(Http::One, server.addr, client.get_request(transport, 0)).await;
        assert_eq!((answer.refusal(), answer.received()), ((409, "fenced"), Some(1)));
    }
    let mut ws = client.socket().await;
    ws.send(client.unit(client.offer())).await;
    assert_eq!(ws.closed().await, (4409, "fenced".into()));
    drop(old);

    client.attachment = 2;
    assert_eq!(client.message().await, text("one"));
    client.resume(Transport::WebSocket).await;
    assert_eq!(client.post_frames(1, vec![Frame::Message(text("evil"))]).await.refusal(), (409, "fenced"));
    let Carrier::Ws(mut old) = client.resume(Transport::WebSocket).await else { panic!() };
    old.try_send(WsMessage::text("{\"text\":\"evil\"}")).await;
    client.send(text("two")).await;
    assert_eq!(client.message().await, text("two"));
    let texts = |event: &Event| matches!(event, Event::Text(_));
    assert_eq!(server.log.find(client.session, texts).await, Event::Text("one".into()));
    assert_eq!(server.log.find(client.session, texts).await, Event::Text("two".into()));
}

#[tokio::test]
async fn a_second_poll_replaces_one_that_waits() {
    // SPEC POL-3
    let server = TestServer::start(ServerConfig::default()).await;
    for http in [Http::One, Http::Two] {
        let mut client = Native::open_over(http, server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
        let poll = |client: &Native| {
            tokio::spawn(exchange(http, server.addr, client.get_request(Transport::LongPolling, client.received)))
        };
        let mut waiting = poll(&client);
        for _ in 0..3 {
            let newer = poll(&client);
            let replaced = soon(&mut waiting).await;
            let answer = replaced.unwrap();
            assert_eq!((answer.refusal(), answer.received()), ((204, "replaced"), Some(0)));
            waiting = newer;
        }
        let sending = client.send(text("a"));
        sending.await;
        let answer = soon(waiting).await.unwrap();
        assert_eq!(answer.text(), "{\"text\":\"a\"}");
    }
}

#[tokio::test]
async fn a_replayed_post_is_skipped_and_a_gap_refused() {
    // SPEC PST-1, PST-2
    let mut server = TestServer::start(ServerConfig::default()).await;
    let client = Native::open(server.addr, "/quiet", Transport::ServerSentEvents, FORMATS[0]).await;
    let post = async |base, words: &str| {
        let frames = words.split(' ').map(|word| Frame::Message(text(word))).collect();
        client.post_frames(base, frames).await
    };
    assert_eq!(post(0, "a b").await.status, 204);
    assert_eq!(post(0, "a b").await.status, 204);
    assert_eq!(post(1, "b c d").await.status, 204);
    let answer = post(5, "x").await;
    assert_eq!(answer.refusal(), (409, "gap"));
    let mut seen = String::new();
    while seen.len() < 4 {
        if let Event::Text(text) = server.log.of(client.session).await {
            seen += &text;
        }
    }
    assert_eq!(seen, "abcd");
    until_received(&client, 4).await;
    // A body with a bad unit is not applied at all.
    let body = "{\"text\":\"e\"}\n{\"nope\":0}";
    let answer = exchange(Http::One, server.addr, client.post_request(4, 1, body.into())).await;
    assert_eq!((answer.refusal(), answer.received()), ((400, "malformed"), Some(4)));
    let body = "{\"text\":\"e\"}\n{\"open\":{\"attachment\":2,\"window\":{\"messages\":1,\"bytes\":1}}}";
    let answer = exchange(Http::One, server.addr, client.post_request(4, 1, body.into())).await;
    assert_eq!((answer.refusal(), answer.received()), ((400, "unexpected"), Some(4)));
    assert_eq!(post(4, "e").await.status, 204);
    assert_eq!(server.log.of(client.session).await, Event::Text("e".into()));

    // Truncated batches.
    let client = Native::open(server.addr, "/quiet", Transport::ServerSentEvents, FORMATS[1]).await;
    for body in [&[0, 0, 0, 3, 0x92, 5][..], &[0, 0, 0], &[255, 255, 255, 255, 0x92]] {
        let answer = exchange(Http::One, server.addr, client.post_request(0, 1, Bytes::copy_from_slice(body))).await;
        assert_eq!((answer.refusal(), answer.received()), ((400, "malformed"), Some(0)));
    }
}

/// Asks until the server has taken so many messages.
async fn until_received(client: &Native, count: u64) {
    soon(async {
        while client.post_frames(count, Vec::new()).await.received() != Some(count) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_ack_for_what_was_never_sent_is_refused() {
    // SPEC DLV-4, SES-5, POL-5
    for unit in [r#"{"ack":2}"#, r#"{"ping":9007199254740991}"#, r#"{"close":{"code":1000,"reason":"","received":9}}"#]
    {
        fault(FORMATS[0], WsMessage::text(unit), 4422, "unexpected").await;
    }
    let server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    client.send(text("one")).await;
    assert_eq!(client.message().await, text("one"));
    for received in [2, 1 << 50] {
        client.received = received;
        let refused = client.post_frames(1, vec![Frame::Message(text("evil"))]).await;
        assert_eq!((refused.refusal(), refused.received()), ((400, "unexpected"), Some(1)));
        assert_eq!(client.poll().await.refusal(), (400, "unexpected"));
        client.attachment = 2;
        let asked = client.get_request(Transport::ServerSentEvents, received);
        assert_eq!(exchange(Http::One, server.addr, asked).await.refusal(), (400, "unexpected"));
        let mut ws = client.socket().await;
        ws.send(client.unit(client.offer())).await;
        assert_eq!(ws.closed().await, (4422, "unexpected".into()));
        client.attachment = 1;
    }
    client.received = 1;
    client.send(text("two")).await;
    assert_eq!(client.message().await, text("two"));
    // A poll from the past: the count has been seen to be higher.
    assert_eq!(client.post_frames(2, Vec::new()).await.status, 204);
    client.received = 0;
    assert_eq!(client.poll().await.refusal(), (409, "stale"));
    client.received = 2;
    client.send(text("three")).await;
    assert_eq!(client.message().await, text("three"));
}

#[tokio::test]
async fn plain_bodies_that_are_not_what_they_say_are_refused() {
    // SPEC PLN-7
    let mut server = TestServer::start(ServerConfig::default()).await;
    let first = send(server.addr, get("/echo").header("nosphere-transport", "long-polling"), "").await;
    let (session, token) = (first.header("nosphere-session").unwrap(), first.header("nosphere-token").unwrap());
    let key = || post("/echo").header("nosphere-session", session).header("nosphere-token", token);
    for body in ["{", "", "1 2", &"[".repeat(100_000)] {
        let answer = send(server.addr, key().header("content-type", "application/json"), body).await;
        assert_eq!((answer.refusal(), answer.received()), ((400, "malformed"), Some(0)), "{body:.9}");
    }
    let utf8 = key().header("content-type", "text/plain").body(Full::new(Bytes::from_static(b"\xff"))).unwrap();
    let answer = exchange(Http::One, server.addr, utf8).await;
    assert_eq!((answer.refusal(), answer.received()), ((400, "malformed"), Some(0)));
    assert_eq!(send(server.addr, key(), "fine").await.status, 204);
    let id = session.parse().unwrap();
    server.log.find(id, |event| *event == Event::Text("fine".into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_bounded_and_harms_nobody() {
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest] {
        for transport in TRANSPORTS {
            let mut config = ServerConfig::default();
            config.session.overflow = overflow;
            config.session.max_queued_bytes = 1 << 20;
            config.session.max_queued_messages = 100;
            let mut server = TestServer::start(config).await;
            let lazy = Native::open(server.addr, "/room", transport, FORMATS[0]).await;
            let mut other = Native::open(server.addr, "/room", Transport::WebSocket, FORMATS[0]).await;
            let mut sender = Native::open(server.addr, "/room", Transport::WebSocket, FORMATS[0]).await;
            let filler = "x".repeat(20_000);
            for n in 0..150 {
                sender.send(json(&json!({"n": n, "filler": filler}))).await;
                match other.message().await {
                    nosphere::Payload::Json(got) => {
                        assert_eq!(got.parse::<serde_json::Value>().unwrap()["n"], n, "{overflow:?} {transport}");
                    }
                    got => panic!("{got:?}"),
                }
                // The window of the sender opens by acknowledgements.
                sender.frame(Frame::Ping { received: 0 }).await;
                let answer = sender.next().await;
                assert!(
                    matches!(answer, Some(Frame::Ack { .. } | Frame::Pong { .. })),
                    "{answer:?} {n} {overflow:?} {transport}"
                );
            }
            let overflowed = Event::Disconnected { by: Side::Server, reason: Reason::Overflow };
            if overflow == Overflow::Disconnect {
                let events = server.log.end(lazy.session).await;
                assert_eq!(events.last(), Some(&overflowed), "{transport}");
                until(|| server.server.sessions_on("/room") == 2).await;
            } else if transport != Transport::LongPolling {
                assert_eq!(server.server.sessions_on("/room"), 3, "{overflow:?} {transport}");
            }
            end(&mut other).await;
            end(&mut sender).await;
            drop(lazy);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_claims_to_take_all_and_never_reads_is_bounded() {
    let news = "x".repeat(60_000);
    let open = r#"{"open":{"attachment":1,"window":{"messages":4294967295,"bytes":4294967295}}}"#;
    for native in [true, false] {
        let mut server = TestServer::start(ServerConfig::default()).await;
        let lazy = if native {
            let mut raw = Raw::upgrade(server.addr, "/quiet", "Sec-WebSocket-Protocol: nosphere.v1.json\r\n").await;
            raw.frame(1, open.as_bytes()).await;
            raw.frame(1, br#"{"ack":0}"#).await;
            raw
        } else {
            Raw::upgrade(server.addr, "/quiet", "").await
        };
        let (session, _) = server.log.next().await;
        let mut other = Native::open(server.addr, "/quiet", Transport::WebSocket, FORMATS[0]).await;
        let everybody = server.server.broadcaster();
        let ended = loop {
            // The system's buffers fill first, then the session's queue.
            let count = everybody.to("/quiet").send(&*news);
            other.message().await;
            if count == 1 {
                break server.log.end(session).await.pop();
            }
        };
        assert_eq!(ended, Some(Event::Disconnected { by: Side::Server, reason: Reason::Overflow }));
        until(|| server.server.sessions() == 1).await;
        drop(lazy);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_at_any_step_leaves_nothing() {
    let mut config = quick();
    config.session.timeout = Duration::from_millis(200);
    let mut server = TestServer::start(config).await;
    let mut good = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
    let addr = server.addr;
    let mut left = Vec::new();
    for n in 0..3 {
        // TCP only, and half a request.
        drop(Raw::connect(addr).await);
        let mut raw = Raw::connect(addr).await;
        raw.write("GET /echo HTTP/1.1\r\nHost: x\r\nUpgr").await;
        drop(raw);
        // After the upgrade, before `open`; in the middle of it.
        let native = "Sec-WebSocket-Protocol: nosphere.v1.json\r\n";
        drop(Raw::upgrade(addr, "/echo", native).await);
        let mut raw = Raw::upgrade(addr, "/echo", native).await;
        raw.write(&raw_frame(1, br#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#)[..20]).await;
        drop(raw);
        let mut raw = Raw::upgrade(addr, "/echo", native).await;
        raw.frame(8, &[]).await;
        drop(raw);
        // After `open`, without a word; after a message; in the middle of one.
        for transport in TRANSPORTS {
            left.push(Native::silent(Http::One, addr, "/echo", transport, FORMATS[0]).await.session);
            let mut client = Native::open(addr, "/echo", transport, FORMATS[n % 2]).await;
            client.send(text("bye")).await;
            left.push(client.session);
        }
        let mut client = Native::open(addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
        let part = &raw_frame(1, br#"{"text":"half"}"#)[..9];
        soon(tokio::io::AsyncWriteExt::write_all(client.ws().stream(), part)).await.unwrap();
        left.push(client.session);
        drop(client);
        // In the middle of a POST's body.
        let client = Native::open(addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
        let mut raw = Raw::connect(addr).await;
        raw.write(head_of_a_hundred_bytes(&client) + "\r\n{\"text\":\"ha").await;
        left.push(client.session);
        drop((raw, client));
        // While a poll waits, over both versions of HTTP.
        for http in [Http::One, Http::Two] {
            let client = Native::open_over(http, addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
            let poll = tokio::spawn(exchange(http, addr, client.get_request(Transport::LongPolling, 0)));
            tokio::task::yield_now().await;
            poll.abort();
            left.push(client.session);
        }
        // Plain ones.
        drop(Ws::connect(addr, "/echo", None).await);
        let stream = get("/echo").header("accept", "text/event-stream").body(Full::default()).unwrap();
        drop(EventReader::new(request(Http::Two, addr, stream).await).next().await);
        send(addr, get("/echo").header("nosphere-transport", "long-polling"), "").await;

        good.send(text(&n.to_string())).await;
        assert_eq!(good.message().await, text(&n.to_string()));
    }
    until(|| server.server.sessions() == 1).await;
    for session in left {
        let events = server.log.end(session).await;
        assert!(matches!(events[0], Event::Connected { .. }));
        let Some(Event::Disconnected { by, reason }) = events.last() else { unreachable!() };
        let expected = [(Side::Network, Reason::Expired), (Side::Server, Reason::Unproved)];
        assert!(expected.contains(&(*by, *reason)), "{events:?}");
        assert!(!events.iter().any(|event| *event == Event::Text("half".into())));
    }
    good.send(text("good")).await;
    assert_eq!(good.message().await, text("good"));
    drop(good);
    until(|| server.server.sessions() == 0).await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    // SPEC PST-7
    let mut config = ServerConfig::default();
    config.session.timeout = Duration::from_millis(100);
    let server = TestServer::start(config).await;
    let client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let mut raw = Raw::connect(server.addr).await;
    raw.write(head_of_a_hundred_bytes(&client) + "\r\n{\"text\":\"ha").await;
    let answer = raw.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("nosphere-error: timeout"), "{answer}");
    still_there(client).await;
}

/// The head of a POST whose body is to have 100 bytes, but for the empty line.
fn head_of_a_hundred_bytes(client: &Native) -> String {
    format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nNosphere-Session: {}\r\nNosphere-Token: {}\r\nNosphere-Attachment: 1\r\n\
         Nosphere-Received: 0\r\nNosphere-Base: 0\r\nContent-Type: application/vnd.nosphere.v1.json\r\n\
         Content-Length: 100\r\n",
        client.session,
        client.token.reveal()
    )
}

#[tokio::test]
async fn bodies_that_one_session_sends_at_once_are_bounded() {
    let server = TestServer::start(ServerConfig::default()).await;
    let client = Native::open(server.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    let head = head_of_a_hundred_bytes(&client);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::connect(server.addr).await;
        // Its answer says that the body is being read.
        raw.write(format!("{head}Expect: 100-continue\r\n\r\n")).await;
        assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 100"));
        open.push(raw);
    }
    let mut raw = Raw::connect(server.addr).await;
    raw.write(format!("{head}\r\n{}", " ".repeat(100))).await;
    let answer = raw.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("nosphere-error: unavailable"), "{answer}");
    drop((raw, open));
    still_there(client).await;
}

#[tokio::test]
async fn a_client_that_never_proves_itself_is_ended() {
    // SPEC SES-6
    let mut server = TestServer::start(quick()).await;
    for transport in TRANSPORTS {
        let mut client = Native::silent(Http::One, server.addr, "/echo", transport, FORMATS[0]).await;
        if transport != Transport::LongPolling {
            assert_eq!(client.close_frame().await.code, 4411, "{transport}");
        }
        let events = server.log.end(client.session).await;
        assert_eq!(events.last(), Some(&Event::Disconnected { by: Side::Server, reason: Reason::Unproved }));
    }
    until(|| server.server.sessions() == 0).await;
}
