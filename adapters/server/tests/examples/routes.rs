use hyper::Method;
use nosphere::Transport;

use crate::http2::Http2;
use crate::program::{Program, leave};
use crate::support::*;

#[tokio::test]
async fn the_application_answers_what_asks_for_no_endpoint() {
    let program = Program::start("routes").await;
    let application = async |asked, body: &str| {
        let answer = send(program.addr, asked, body).await;
        // The server's own answers are never stored.
        assert_eq!(answer.header("cache-control"), None);
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(application(get("/"), "").await, (200, "home".into()));
    assert_eq!(application(get("/nowhere"), "").await, (404, "no such page".into()));
    assert_eq!(application(get("/echo"), "").await, (200, "echo ok".into()));
    // A body comes through whole.
    let long = "x".repeat(60_000);
    assert_eq!(application(post("/echo"), &long).await, (200, long));
    let browser = get("/echo").header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!(application(browser, "").await, (200, "echo ok".into()));
    assert_eq!(application(get("/echo").method(Method::HEAD), "").await, (200, String::new()));
    assert_eq!(application(get("/echo").method(Method::DELETE), "").await.0, 405);
    // Who may post to the application's own path is its business.
    assert_eq!(application(post("/echo").header("origin", "https://app.example"), "x").await, (200, "x".into()));
    // An event stream is not asked of an endpoint where there is none.
    assert_eq!(application(get("/").header("accept", "text/event-stream"), "").await, (200, "home".into()));
    program.end().await;
}

#[tokio::test]
async fn the_endpoint_answers_the_rest_of_the_same_path() {
    let program = Program::start("routes").await;
    let mut ws = Ws::connect(program.addr, "/echo", None).await;
    ws.text("echo").await;
    assert_eq!(ws.next_text().await, r#"{"seen":"echo"}"#);
    let seen = json(&serde_json::json!({ "seen": "echo" }));
    for http in [Http::One, Http::Two] {
        for transport in TRANSPORTS {
            let mut client = Native::open_over(http, program.addr, "/echo", transport, FORMATS[0]).await;
            client.send(text("echo")).await;
            assert_eq!(client.message().await, seen, "{http:?}, {transport}");
            leave(client).await;
        }
    }
    // A plain client that posts beside its event stream.
    let asked = get("/echo").header("accept", "text/event-stream").body(Default::default()).unwrap();
    let mut events = EventReader::new(request(Http::One, program.addr, asked).await);
    let key = events.next().await.expect("a session").data;
    let (session, token) = key.split_once('.').expect("a session and its token");
    let posted = post("/echo").header("nosphere-session", session).header("nosphere-token", token);
    assert_eq!(send(program.addr, posted, "echo").await.status, 204);
    assert_eq!(events.next().await.expect("an answer").data, r#"{"seen":"echo"}"#);
    let stream = tokio::net::TcpStream::connect(program.addr).await.unwrap();
    let mut ws = Http2::over(stream, "http", &program.addr.to_string()).await.websocket("/echo", &[]).await;
    ws.text("echo").await;
    assert_eq!(ws.next_text().await, r#"{"seen":"echo"}"#);
    program.end().await;
}

#[tokio::test]
async fn what_speaks_the_protocol_wrongly_is_refused_by_the_endpoint_and_not_shown_the_page() {
    let program = Program::start("routes").await;
    let broken = || get("/echo").header("nosphere-protocol", "nosphere.v1.nonsense");
    assert_eq!(send(program.addr, broken(), "").await.refusal(), (400, "bad-request"));
    let stray = post("/echo").header("content-type", "application/vnd.nosphere.v1.json");
    assert_eq!(send(program.addr, stray, "").await.refusal(), (400, "bad-request"));
    let foreign = Ws::ask(program.addr, "/echo", None, &[("origin", "https://evil.example")]).await;
    assert_eq!(foreign.err().expect("refused").status(), 403);
    program.end().await;
}

#[tokio::test]
async fn a_path_of_the_endpoints_own_is_all_the_endpoints() {
    let program = Program::start("routes").await;
    let mut client = Native::open(program.addr, "/news/weather", Transport::LongPolling, FORMATS[0]).await;
    assert_eq!(client.message().await, json(&serde_json::json!({ "news": "/news/weather" })));
    leave(client).await;
    assert_eq!(send(program.addr, get("/news/weather"), "").await.text(), "no such page");
    program.end().await;
}
