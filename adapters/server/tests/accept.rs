//! Handshakes answered without an HTTP server: they, and what is not one of them, are answered to the byte as behind hyper.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Extensions;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use nosphere::{Builder, Event, OriginPolicy, Peer, Refusal, RequestHead, Server, ServerConfig, Sink, handler_fn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tower::Service as _;

use crate::support::{Raw, Ws, raw_frame, soon, until};

/// A server, and what it did.
struct Accepting {
    addr: SocketAddr,
    server: Server,
    /// Requests that came by HTTP, but those for `/next`.
    http: Arc<AtomicUsize>,
    /// Connections that were given back.
    back: Arc<AtomicUsize>,
    /// How often the application was asked for a handler.
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// With `first`, handshakes are offered to the server before HTTP.
async fn start(first: bool, more: impl FnOnce(Builder) -> Builder) -> Accepting {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = |react: fn(&RequestHead) -> Result<(), Refusal>| {
        let asked = Arc::clone(&asked);
        move |head: &RequestHead| {
            asked.fetch_add(1, Ordering::Relaxed);
            let greeting = format!("{:?} {:?} {:?}", head.peer().is_some(), head.parameter("id"), head.query("a"));
            react(head).map(|()| {
                handler_fn(move |client, event| {
                    let greeting = greeting.clone();
                    async move {
                        match event {
                            Event::Connected { .. } => client.send(greeting).map(drop)?,
                            Event::Text(text) => client.send(text).map(drop)?,
                            _ => {}
                        }
                        Ok(())
                    }
                })
            })
        }
    };
    let byte = AtomicUsize::new(0);
    let mut config = ServerConfig::default();
    config.max_head_bytes = 1200;
    config.session.open_timeout = Duration::from_millis(300);
    let builder = Server::builder()
        .config(config)
        .origins(OriginPolicy::same_origin().allow("https://app.example").unwrap())
        // The same sessions on both.
        .random(move |bytes| bytes.fill(byte.fetch_add(1, Ordering::Relaxed) as u8))
        .principal(|head| head.header("authorization").map(str::to_owned))
        .browser_client("/nosphere.js")
        .endpoint("/echo", count(|_| Ok(())))
        .endpoint("/rooms/{id}", count(|_| Ok(())))
        .endpoint("/refused", count(|_| Err(Refusal::forbidden("not you"))))
        .endpoint("/panics", count(|head| panic!("{}", head.path())));
    let server = more(builder).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (http, back) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let task = tokio::spawn({
        let (server, requests, back) = (server.clone(), Arc::clone(&http), Arc::clone(&back));
        async move {
            loop {
                let (mut stream, peer) = listener.accept().await.unwrap();
                let (server, requests, back) = (server.clone(), Arc::clone(&requests), Arc::clone(&back));
                tokio::spawn(async move {
                    if first {
                        let mut extensions = Extensions::new();
                        extensions.insert(Peer(peer));
                        let Some(given) = server.accept(stream, extensions).await else { return };
                        stream = given;
                        back.fetch_add(1, Ordering::Relaxed);
                    }
                    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                        requests.fetch_add(usize::from(request.uri().path() != "/next"), Ordering::Relaxed);
                        request.extensions_mut().insert(Peer(peer));
                        server.clone().call(request)
                    });
                    let auto = auto::Builder::new(TokioExecutor::new());
                    drop(auto.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
                });
            }
        }
    });
    Accepting { addr, server, http, back, asked, task }
}

/// All that the server says to these segments, a message and a close if it is a WebSocket then, and another request if not.
async fn said(addr: SocketAddr, segments: &[Vec<u8>]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for (at, segment) in segments.iter().enumerate() {
        if at > 0 {
            // That segments arrive as such cannot be awaited. If they do not, it is the same request.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(stream.write_all(segment).await);
    }
    let mut all = Vec::new();
    let open = loop {
        if stream.read_buf(&mut all).await.unwrap_or(0) == 0 {
            break false;
        }
        if all.windows(4).any(|end| end == b"\r\n\r\n") {
            break true;
        }
    };
    if open {
        let next = if all.starts_with(b"HTTP/1.1 101") {
            let open: &[u8] = br#"{"open":{"attachment":1}}"#;
            let native = String::from_utf8_lossy(&all).contains("nosphere.v1.json");
            [if native { raw_frame(1, open) } else { raw_frame(1, b"hi") }, raw_frame(8, &1000_u16.to_be_bytes())]
                .concat()
        } else {
            b"GET /next HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".to_vec()
        };
        drop(stream.write_all(&next).await);
        while stream.read_buf(&mut all).await.unwrap_or(0) > 0 {}
    }
    undated(&String::from_utf8_lossy(&all))
}

/// Without the time of day, of which it is checked that it is there.
fn undated(text: &str) -> String {
    let date = |line: &str| line.starts_with("date: ") && line.ends_with(" GMT\r\n") && line.len() == 37;
    text.split_inclusive('\n').map(|line| if date(line) { "date\r\n" } else { line }).collect()
}

const KEYS: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// A handshake for a path, with further fields.
fn ask(path: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEYS}{more}\r\n"
    )
    .into()
}

fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The server, without HTTP.
    Server,
    /// The server, behind HTTP.
    Http,
    /// HTTP by itself.
    Hyper,
}

/// Each request: what it is, its segments, what the answer begins with, and who gives it.
fn requests() -> Vec<(&'static str, Vec<Vec<u8>>, &'static str, By)> {
    use By::{Http, Hyper, Server};
    let long = |length: usize| format!("Cookie: {}\r\n", "c".repeat(length));
    let mut broken = ask("/echo", "X-Bytes: *\r\n");
    let at = broken.iter().position(|&byte| byte == b'*').unwrap();
    broken[at] = 0xff;
    let mut halves = ask("/echo", "");
    let half = halves.split_off(40);
    let mut odd = String::from_utf8(ask("/echo", "")).unwrap();
    odd = odd
        .replace("Upgrade: websocket\r\nConnection: Upgrade", "uPGRADE: WebSocket\r\nCONNECTION: keep-alive, upgrade");
    let of = |request: &str| vec![raw(request)];
    let changed = |from: &str, to: &str| vec![raw(&String::from_utf8(ask("/refused", "")).unwrap().replace(from, to))];
    vec![
        ("plain", vec![ask("/echo", "")], "HTTP/1.1 101 ", Server),
        ("a slash", vec![ask("/echo/", "")], "HTTP/1.1 101 ", Server),
        ("a parameter and a query", vec![ask("/rooms/7?a=b%20c", "")], "HTTP/1.1 101 ", Server),
        ("native", vec![ask("/echo", "Sec-WebSocket-Protocol: chat, nosphere.v1.json\r\n")], "HTTP/1.1 101 ", Server),
        ("no such format", vec![ask("/echo", "Sec-WebSocket-Protocol: nosphere.v9.x\r\n")], "HTTP/1.1 400 ", Http),
        (
            "a token",
            vec![ask("/echo", "Sec-WebSocket-Protocol: nosphere.bearer.c2VjcmV0\r\n")],
            "HTTP/1.1 101 ",
            Server,
        ),
        ("a token in the URL", vec![ask("/echo?nosphere-token=1", "")], "HTTP/1.1 400 ", Http),
        ("other case", of(&odd), "HTTP/1.1 101 ", Server),
        ("line feeds alone", of(&odd.replace("\r\n", "\n")), "HTTP/1.1 101 ", Server),
        ("the own origin", vec![ask("/echo", "Origin: https://chat.example\r\n")], "HTTP/1.1 101 ", Server),
        ("an allowed origin", vec![ask("/echo", "Origin: https://app.example\r\n")], "HTTP/1.1 101 ", Server),
        ("a refusal to that", vec![ask("/refused", "Origin: https://app.example\r\n")], "HTTP/1.1 403 ", Server),
        ("another origin", vec![ask("/echo", "Origin: https://evil.example\r\n")], "HTTP/1.1 403 ", Http),
        ("fields twice", vec![ask("/echo", "Cookie: a\r\nX-A: 1\r\nCookie: b\r\n")], "HTTP/1.1 101 ", Server),
        ("bytes", vec![broken], "HTTP/1.1 101 ", Server),
        ("a refusal", vec![ask("/refused", "")], "HTTP/1.1 403 ", Server),
        ("a panic", vec![ask("/panics", "")], "HTTP/1.1 500 ", Server),
        ("no version", changed("Sec-WebSocket-Version: 13\r\n", ""), "HTTP/1.1 426 ", Server),
        ("a version", changed("Version: 13", "Version: 8"), "HTTP/1.1 426 ", Server),
        ("no key", changed("dGhlIHNhbXBsZSBub25jZQ==", "short"), "HTTP/1.1 400 ", Server),
        ("a head over our limit", vec![ask("/echo", &long(1500))], "HTTP/1.1 431 ", Server),
        ("a head over 4 KiB", vec![ask("/refused", &long(5000))], "HTTP/1.1 431 ", Http),
        ("60 fields", vec![ask("/echo", &"a: b\r\n".repeat(60))], "HTTP/1.1 101 ", Http),
        ("110 fields", vec![ask("/echo", &"a: b\r\n".repeat(110))], "HTTP/1.1 431 ", Hyper),
        ("another path", vec![ask("/nowhere", "")], "HTTP/1.1 404 ", Http),
        ("the script", vec![ask("/nosphere.js", "")], "HTTP/1.1 200 ", Http),
        ("no upgrade", of("GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 404 ", Http),
        ("half an upgrade", changed("Connection: Upgrade\r\n", ""), "HTTP/1.1 404 ", Http),
        ("another upgrade", changed("websocket", "h2c"), "HTTP/1.1 404 ", Http),
        ("a poll", of("GET /echo HTTP/1.1\r\nHost: h\r\nNosphere-Transport: fly\r\n\r\n"), "HTTP/1.1 400 ", Http),
        ("another method", changed("GET", "POST"), "HTTP/1.1 405 ", Http),
        ("another letter", changed("GET", "get"), "HTTP/1.1 405 ", Http),
        ("HTTP/1.0", changed("HTTP/1.1", "HTTP/1.0"), "HTTP/1.0 404 ", Http),
        ("HTTP/1.2", changed("HTTP/1.1", "HTTP/1.2"), "HTTP/1.1 400 ", Hyper),
        ("a whole URL", changed("/refused", "http://chat.example/refused"), "HTTP/1.1 403 ", Http),
        ("a body", vec![[ask("/refused", "Content-Length: 2\r\n"), raw("ab")].concat()], "HTTP/1.1 403 ", Http),
        ("no body", vec![ask("/refused", "Content-Length: 0\r\n")], "HTTP/1.1 403 ", Http),
        (
            "chunks",
            vec![[ask("/refused", "Transfer-Encoding: chunked\r\n"), raw("0\r\n\r\n")].concat()],
            "HTTP/1.1 403 ",
            Http,
        ),
        ("an end", changed("Connection: Upgrade", "Connection: upgrade, Close"), "HTTP/1.1 403 ", Http),
        ("an expectation", vec![ask("/refused", "Expect: 100-continue\r\n")], "HTTP/1.1 403 ", Http),
        ("no field", of("GET /echo HTTP/1.1\r\nHost: h\r\nno field\r\n\r\n"), "HTTP/1.1 400 ", Hyper),
        ("a folded field", vec![ask("/echo", "X-A: b\r\n c\r\n")], "HTTP/1.1 400 ", Hyper),
        ("no path", changed("/refused", "/a b"), "HTTP/1.1 400 ", Hyper),
        ("nothing of HTTP", of("\x16\x03\x01\x02\x00\r\n\r\n"), "HTTP/1.1 400 ", Hyper),
        ("atmosphere.js", vec![ask("/refused", "X-Atmosphere-Transport: websocket\r\n")], "HTTP/1.1 403 ", Http),
        ("two segments", vec![halves, half], "HTTP/1.1 101 ", Http),
        ("a message behind it", vec![[ask("/echo", ""), raw_frame(1, b"at once")].concat()], "HTTP/1.1 101 ", Server),
        (
            "a request behind it",
            vec![[ask("/refused", ""), raw("GET /next HTTP/1.1\r\nhost: h\r\n\r\n")].concat()],
            "HTTP/1.1 403 ",
            Server,
        ),
    ]
}

#[tokio::test]
async fn every_request_is_answered_to_the_byte_as_behind_hyper() {
    let (without, with) = (start(false, |builder| builder).await, start(true, |builder| builder).await);
    for (name, segments, status, by) in requests() {
        let seen = with.http.load(Ordering::Relaxed);
        let expected = soon(said(without.addr, &segments)).await;
        assert!(expected.starts_with(status), "{name}: {expected}");
        assert_eq!(soon(said(with.addr, &segments)).await, expected, "{name}");
        let by_http = with.http.load(Ordering::Relaxed) > seen;
        assert_eq!(by_http, by == By::Http, "{name}: who answered");
        if !expected.starts_with("HTTP/1.1 101") && by == By::Server {
            assert!(expected.contains("HTTP/1.1 404 "), "{name}: the connection goes on: {expected}");
        }
        let asked = (without.asked.load(Ordering::Relaxed), with.asked.load(Ordering::Relaxed));
        assert_eq!(asked.0, asked.1, "{name}: how often the application was asked");
    }
}

#[tokio::test]
async fn a_session_that_http_never_saw_writes_to_its_socket() {
    let accepting = start(true, |builder| builder).await;
    let mut ws = Ws::connect(accepting.addr, "/rooms/7", None).await;
    assert_eq!(ws.next_text().await, r#"true Some("7") None"#, "the address is in the head");
    ws.text("hello").await;
    assert_eq!(ws.next_text().await, "hello");
    assert_eq!(accepting.server.broadcaster().to("/rooms/7").send("all"), 1);
    assert_eq!(ws.next_text().await, "all");
    assert_eq!((accepting.http.load(Ordering::Relaxed), accepting.back.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn who_waits_for_admission_waits_behind_http() {
    let admitted = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&admitted);
    let accepting = start(true, |builder| {
        builder.admission(move |_| {
            gate.store(true, Ordering::Relaxed);
            async { Ok(()) }
        })
    });
    let accepting = accepting.await;
    let mut ws = Ws::connect(accepting.addr, "/echo", None).await;
    assert_eq!(ws.next_text().await, "true None None");
    assert!(admitted.load(Ordering::Relaxed));
    assert_eq!(accepting.http.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_given_back_and_may_still_speak() {
    let accepting = start(true, |builder| builder).await;
    let mut silent = Raw::connect(accepting.addr).await;
    until(|| accepting.back.load(Ordering::Relaxed) == 1).await;
    silent.write(ask("/echo", "")).await;
    assert!(silent.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    assert_eq!(accepting.http.load(Ordering::Relaxed), 1);
    // And one that ends without a word.
    drop(Raw::connect(accepting.addr).await);
    until(|| accepting.back.load(Ordering::Relaxed) == 2).await;
}

#[tokio::test]
async fn a_connection_of_http_2_is_given_back_whole() {
    let accepting = start(true, |builder| builder).await;
    let mut stream = TcpStream::connect(accepting.addr).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut header = [0; 9];
    soon(stream.read_exact(&mut header)).await.unwrap();
    assert_eq!(header[3], 4, "SETTINGS");
    assert_eq!(accepting.back.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_shuts_down_or_is_full_refuses_here_too() {
    let one = |builder: Builder| {
        let mut config = ServerConfig::default();
        config.max_sessions = 1;
        builder.config(config)
    };
    let (without, with) = (start(false, one).await, start(true, one).await);
    let mut sessions = Vec::new();
    for accepting in [&without, &with] {
        sessions.push(Ws::connect(accepting.addr, "/echo", None).await);
        until(|| accepting.server.sessions() == 1).await;
    }
    let segments = [ask("/echo", "")];
    let expected = soon(said(without.addr, &segments)).await;
    assert!(expected.starts_with("HTTP/1.1 503 ") && expected.contains("unavailable"), "{expected}");
    assert_eq!(soon(said(with.addr, &segments)).await, expected);
    drop(sessions);
    for accepting in [&without, &with] {
        accepting.server.shutdown().await;
    }
    let expected = soon(said(without.addr, &segments)).await;
    assert!(expected.starts_with("HTTP/1.1 503 ") && expected.contains("going-away"), "{expected}");
    assert_eq!(soon(said(with.addr, &segments)).await, expected);
}

#[tokio::test]
async fn both_ways_a_session_has_its_socket_to_itself() {
    for first in [false, true] {
        let sinks = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&sinks);
        let accepting = start(first, |builder| {
            builder.endpoint("/sink", move |_| {
                let seen = Arc::clone(&seen);
                handler_fn(move |client, _| {
                    seen.lock().unwrap().push(client.sink());
                    async { Ok(()) }
                })
            })
        });
        let accepting = accepting.await;
        let _ws = Ws::connect(accepting.addr, "/sink", None).await;
        until(|| !sinks.lock().unwrap().is_empty()).await;
        assert_eq!(sinks.lock().unwrap()[0], Sink::Direct);
    }
}
