//! What a client can do within the rules, and must not gain by.

use std::io::ErrorKind;
use std::time::Duration;

use nosphere::ServerConfig;
use tokio::io::AsyncReadExt as _;

use crate::support::*;

#[tokio::test]
async fn a_burst_does_not_overflow_the_queue_of_one_who_reads_well() {
    // More than `max_queued_messages`, in fewer reads than it takes to fill the queue.
    const COUNT: usize = 5000;
    let server = TestServer::start(ServerConfig::default()).await;
    let mut raw = Raw::upgrade(server.addr, "/echo", "").await;
    raw.write(raw_frame(1, b"hi").repeat(COUNT)).await;
    let mut echo = vec![0; 4 * COUNT];
    soon(raw.stream.read_exact(&mut echo)).await.unwrap();
    assert!(echo.chunks(4).all(|frame| frame == b"\x81\x02hi"));
    assert_eq!(server.server.sessions(), 1);
}

#[tokio::test]
async fn a_client_that_pings_and_never_reads_keeps_its_place_no_longer_than_the_open_timeout() {
    // SPEC WS-1
    let mut config = ServerConfig::default();
    config.session.open_timeout = Duration::from_millis(200);
    config.session.close_timeout = Duration::from_millis(200);
    let server = TestServer::start(config).await;
    let raw = Raw::upgrade(server.addr, "/echo", "Sec-WebSocket-Protocol: nosphere.v1.json\r\n").await;
    let pings = raw_frame(9, &[b'p'; 120]).repeat(100);
    soon(async {
        loop {
            raw.stream.writable().await.unwrap();
            // The bytes are cut anywhere; whatever the server makes of that, it has to let go.
            match raw.stream.try_write(&pings) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
                Ok(_) => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_belongs_to_whoever_opened_it_even_where_the_token_is_known() {
    // SPEC SES-7
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.principal(|head| head.headers().get("x-user")?.to_str().ok().map(str::to_owned))
    })
    .await;
    let named = |user: Option<&str>, builder: http::request::Builder| match user {
        Some(user) => builder.header("x-user", user),
        None => builder,
    };
    let native = |builder: http::request::Builder| {
        builder.header("nosphere-protocol", "nosphere.v1.json").header("nosphere-attachment", "1")
    };
    let opened = send(server.addr, named(Some("alice"), native(get("/echo"))), "").await;
    let opened: serde_json::Value = serde_json::from_str(opened.text()).unwrap();
    let field = |name: &str| opened["opened"][name].as_str().unwrap().to_owned();
    let (session, token) = (field("session"), field("token"));
    let keyed = |builder: http::request::Builder| {
        let builder = builder.header("nosphere-session", &session).header("nosphere-token", &token);
        builder.header("nosphere-received", "0")
    };
    let posting = || {
        let builder = keyed(post("/echo")).header("nosphere-attachment", "1").header("nosphere-base", "0");
        builder.header("content-type", "application/vnd.nosphere.v1.json")
    };
    for other in [None, Some("mallory")] {
        let answer = send(server.addr, named(other, posting()), r#"{"text":"as alice"}"#).await;
        assert_eq!(answer.refusal(), (403, "forbidden"));
        let answer = send(server.addr, named(other, keyed(native(get("/echo")))), "").await;
        assert_eq!(answer.refusal(), (403, "forbidden"));
        let user: Vec<_> = other.into_iter().map(|user| ("x-user", user)).collect();
        let Ok(mut ws) = Ws::ask(server.addr, "/echo", Some("nosphere.v1.json"), &user).await else { unreachable!() };
        let resume = format!(r#"{{"resume":{{"session":"{session}","token":"{token}","attachment":9,"received":0}}}}"#);
        ws.send(WsMessage::text(resume)).await;
        assert_eq!(ws.closed().await, (4403, "forbidden".into()));
    }
    let answer = send(server.addr, named(Some("alice"), posting()), r#"{"text":"mine"}"#).await;
    assert_eq!(answer.status, 204);
    let answer = send(server.addr, named(Some("alice"), keyed(native(get("/echo")))), "").await;
    assert_eq!(answer.text(), r#"{"text":"mine"}"#);
}
