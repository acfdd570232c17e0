use http::request::Builder;
use hyper::Method;
use serde_json::{Value, json as value};

use crate::http2::Http2;
use crate::program::Program;
use crate::support::*;

/// Logs in; gives the cookie.
async fn log_in(program: &Program, name: &str) -> String {
    let answer = send(program.addr, post("/login"), name).await;
    assert_eq!(answer.status, 204);
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("; HttpOnly"), "{cookie}");
    cookie.split(';').next().expect("a first part").to_owned()
}

async fn connect(program: &Program, path: &str, cookie: &str) -> Ws {
    Ws::ask(program.addr, path, None, &[("cookie", cookie)]).await.expect("admitted")
}

async fn next(ws: &mut Ws) -> Value {
    serde_json::from_str(&ws.next_text().await).expect("JSON")
}

#[tokio::test]
async fn ordinary_routes_go_on() {
    let program = Program::start("axum").await;
    assert_eq!(send(program.addr, get("/"), "").await.status, 200);
    assert_eq!(send(program.addr, post("/login"), "  ").await.status, 422);
    assert_eq!(send(program.addr, get("/rooms/lobby/count"), "").await.text(), "0");
    // The server is the fallback: what is neither a route nor an endpoint is its 404.
    assert_eq!(send(program.addr, get("/nowhere"), "").await.refusal(), (404, ""));
    program.end().await;
}

#[tokio::test]
async fn only_who_is_logged_in_is_admitted_by_whatever_transport() {
    let program = Program::start("axum").await;
    for path in ["/rooms/lobby", "/rooms/kitchen", "/live/rooms/lobby"] {
        for cookies in [&[][..], &[("cookie", "login=00000000000000000000000000000000")]] {
            let refused = Ws::ask(program.addr, path, None, cookies).await.err().expect("not admitted");
            assert_eq!(refused.status(), 403);
            assert_eq!(refused.headers()["nosphere-error"], "forbidden");
        }
        let native = |builder: Builder| {
            builder.header("nosphere-protocol", "nosphere.v1.json").header("nosphere-attachment", "1")
        };
        for asked in [get(path).header("accept", "text/event-stream"), native(get(path))] {
            assert_eq!(send(program.addr, asked, "").await.refusal(), (403, "forbidden"));
        }
    }
    program.end().await;
}

#[tokio::test]
async fn middleware_tells_handlers_the_user_and_axum_the_peer_and_gives_the_socket() {
    let program = Program::start("axum").await;
    let cookie = log_in(&program, " Ann ").await;
    for path in ["/rooms/lobby", "/live/rooms/lobby", "/rooms/kitchen"] {
        let mut ws = connect(&program, path, &format!("theme=dark; {cookie}")).await;
        let mut greeting = next(&mut ws).await;
        if greeting == value!({ "left": "Ann" }) {
            // The one of the path before, which is the same room: its end and this beginning are in no order.
            greeting = next(&mut ws).await;
        }
        assert_eq!((&greeting["you"], &greeting["written"]), (&value!("Ann"), &value!("Direct")), "{path}");
        assert!(greeting["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")), "{greeting}");
    }
    program.end().await;
}

#[tokio::test]
async fn the_same_endpoint_is_behind_every_mount() {
    let program = Program::start("axum").await;
    let (ann, bob) = (log_in(&program, "Ann").await, log_in(&program, "Bob").await);
    // The lobby has a route of its own; everything else in /rooms is the fallback's.
    for room in ["lobby", "kitchen"] {
        let mut here = connect(&program, &format!("/rooms/{room}"), &ann).await;
        assert_eq!(next(&mut here).await["you"], "Ann");
        let mut there = connect(&program, &format!("/live/rooms/{room}"), &bob).await;
        assert_eq!(next(&mut there).await["you"], "Bob");
        assert_eq!(next(&mut here).await, value!({ "joined": "Bob" }));
        there.text("hello").await;
        for ws in [&mut here, &mut there] {
            assert_eq!(next(ws).await, value!({ "from": "Bob", "text": "hello" }));
        }
        // A route counts and broadcasts.
        assert_eq!(send(program.addr, get(&format!("/rooms/{room}/count")), "").await.text(), "2");
        let announced = send(program.addr, post(&format!("/rooms/{room}/announcements")), "dinner").await;
        assert_eq!(announced.text(), "2");
        for ws in [&mut here, &mut there] {
            assert_eq!(next(ws).await, value!({ "announced": "dinner" }));
        }
        there.send(WsMessage::Close(None)).await;
        assert_eq!(next(&mut here).await, value!({ "left": "Bob" }));
    }
    program.end().await;
}

#[tokio::test]
async fn a_session_is_resumed_by_nobody_but_its_user() {
    let program = Program::start("axum").await;
    let (ann, bob) = (log_in(&program, "Ann").await, log_in(&program, "Bob").await);
    let ask = |cookie: &str| get("/rooms/lobby").header("cookie", cookie).header("nosphere-transport", "long-polling");
    let opened = send(program.addr, ask(&ann), "").await;
    assert_eq!(opened.status, 204);
    let key = |builder: Builder| {
        let session = opened.header("nosphere-session").expect("a session");
        builder
            .header("nosphere-session", session)
            .header("nosphere-token", opened.header("nosphere-token").expect("a token"))
    };
    let poll = |cookie: &str, received: u64| key(ask(cookie)).header("nosphere-received", received);
    assert_eq!(send(program.addr, poll(&bob, 0), "").await.refusal(), (403, "forbidden"));
    assert_eq!(send(program.addr, key(post("/rooms/lobby")).header("cookie", &bob), "mine").await.status, 403);
    let greeting = send(program.addr, poll(&ann, 0), "").await;
    assert_eq!(greeting.status, 200);
    assert!(greeting.text().contains(r#""you":"Ann""#), "{}", greeting.text());
    assert_eq!(send(program.addr, key(post("/rooms/lobby")).header("cookie", &ann), "hello").await.status, 204);
    assert_eq!(send(program.addr, poll(&ann, 1), "").await.text(), r#"{"from":"Ann","text":"hello"}"#);
    program.end().await;
}

#[tokio::test]
async fn http2_carries_event_streams_and_websockets_through_axum() {
    let program = Program::start("axum").await;
    let cookie = log_in(&program, "Ann").await;
    let asked = get("/rooms/lobby").header("cookie", &cookie).header("accept", "text/event-stream");
    let asked = asked.body(Default::default()).expect("a request");
    let mut events = EventReader::new(request(Http::Two, program.addr, asked).await);
    assert_eq!(events.next().await.expect("a session").name, "session");
    let greeting: Value = serde_json::from_str(&events.next().await.expect("a greeting").data).expect("JSON");
    assert_eq!((&greeting["you"], &greeting["written"]), (&value!("Ann"), &value!("Queued")));

    let stream = tokio::net::TcpStream::connect(program.addr).await.expect("it listens");
    let mut http2 = Http2::over(stream, "http", &program.addr.to_string()).await;
    let mut ws = http2.websocket("/rooms/lobby", &[("cookie", &cookie)]).await;
    assert_eq!(next(&mut ws).await["written"], "Queued");
    assert_eq!(events.next().await.expect("news").data, r#"{"joined":"Ann"}"#);
    // Middleware is around the WebSockets of HTTP/2, too.
    assert_eq!(http2.refused_websocket("/rooms/lobby").await, 403);
    assert_eq!(http2.send(Method::GET, "/rooms/lobby/count").await.text(), "2");
    ws.send(WsMessage::Close(None)).await;
    assert_eq!(events.next().await.expect("news").data, r#"{"left":"Ann"}"#);
    drop(ws);
    program.end().await;
}
