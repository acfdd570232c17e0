//! The server over connections in memory, on a clock that stands still: what depends on one millisecond, or on which of two
//! tasks comes first. Found by `conformance/simulation`.

use std::sync::Mutex;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nosphere::{Event, Reason, RequestHead, Server, ServerConfig, Side, Unit, WireFormat as _};
use nosphere_core::{Frame, Offer, Opened, Window};
use nosphere_wire::JSON;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_websocket_that_breaks_does_not_silence_the_link_that_took_over() {
    let (server, mut log) = server(ServerConfig::default());
    let mut socket = Memory::websocket(&server).await;
    let opened = socket.open().await;
    assert!(matches!(log.next().await.1, Event::Connected { .. }));
    let mut stream = Memory::connect(&server);
    tokio::task::yield_now().await;
    // The server learns of the new link first, and that the old one is gone when it says goodbye to it.
    stream.write(resume(&opened, 2)).await;
    drop(socket);
    stream.read_until("resumed").await;
    server.broadcaster().to("/quiet").send("still there");
    stream.read_until("still there").await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_answered_at_its_time_and_not_later() {
    // SPEC PST-7
    let config = ServerConfig::default();
    let timeout = config.session.timeout;
    let (server, _log) = server(config);
    let mut socket = Memory::websocket(&server).await;
    let opened = socket.open().await;
    let mut stream = Memory::connect(&server);
    stream.write(resume(&opened, 2)).await;
    stream.read_until("resumed").await;
    let mut post = Memory::connect(&server);
    let from = Instant::now();
    let key = key(&opened, 2);
    let head = "Content-Type: application/vnd.nosphere.v1.json\r\nContent-Length: 99\r\nNosphere-Base: 0\r\n";
    post.write(format!("POST /quiet HTTP/1.1\r\nHost: here\r\n{key}{head}\r\n")).await;
    let answer = post.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(from.elapsed(), timeout);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_still_coming_is_a_sign_of_life() {
    // SPEC HB-3: the server hears something.
    let (server, mut log) = server(ServerConfig::default());
    let mut socket = Memory::websocket(&server).await;
    socket.open().await;
    assert!(matches!(log.next().await.1, Event::Connected { .. }));
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(1000));
    for part in raw_frame(1, long.as_bytes()).chunks(50) {
        tokio::time::sleep(Duration::from_secs(10)).await;
        socket.write(part).await;
    }
    assert_eq!(log.next().await.1, Event::Text("x".repeat(1000).into()));
}

#[tokio::test(start_paused = true)]
async fn the_beginning_of_a_frame_that_came_with_the_open_does_not_show_that_opened_arrived() {
    // SPEC SES-6
    let config = ServerConfig::default();
    let proof = config.session.proof;
    let (server, _log) = server(config);
    let mut socket = Memory::websocket(&server).await;
    let from = Instant::now();
    let open = raw_frame(1, br#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#);
    socket.write([&open[..], &raw_frame(1, br#"{"ack":0}"#)[..9]].concat()).await;
    socket.read_until("unproved").await;
    assert_eq!(from.elapsed(), proof);
}

#[tokio::test(start_paused = true)]
async fn a_session_at_rest_holds_nothing_of_the_frame_that_came_behind_a_message() {
    let open = raw_frame(1, br#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#);
    for with_the_open in [false, true] {
        let (server, mut log) = server(ServerConfig::default());
        let mut socket = Memory::websocket(&server).await;
        let text = "x".repeat(200);
        let burst =
            [raw_frame(1, format!(r#"{{"text":"{text}"}}"#).as_bytes()), raw_frame(1, br#"{"ping":0}"#)].concat();
        if with_the_open {
            socket.write([&open[..], &burst].concat()).await;
        } else {
            socket.open().await;
            socket.write(burst).await;
        }
        assert!(matches!(log.next().await.1, Event::Connected { .. }));
        let Event::Text(kept) = log.next().await.1 else { panic!() };
        assert_eq!(kept, text.as_str());
        socket.read_until(r#"{"pong":1}"#).await;
        assert!(kept.into_bytes().is_unique(), "with the open: {with_the_open}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_coming_is_a_sign_of_life() {
    // SPEC HB-3. A client has one POST in flight, so its pong has to wait for this one.
    let (server, mut log) = server(ServerConfig::default());
    let mut socket = Memory::websocket(&server).await;
    let opened = socket.open().await;
    assert!(matches!(log.next().await.1, Event::Connected { .. }));
    let mut stream = Memory::connect(&server);
    stream.write(resume(&opened, 2)).await;
    stream.read_until("resumed").await;
    let mut post = Memory::connect(&server);
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(1000));
    let key = key(&opened, 2);
    let head = format!("Content-Type: application/vnd.nosphere.v1.json\r\nContent-Length: {}\r\n", body.len());
    post.write(format!("POST /quiet HTTP/1.1\r\nHost: here\r\n{key}{head}Nosphere-Base: 0\r\n\r\n")).await;
    for part in body.as_bytes().chunks(50) {
        tokio::time::sleep(Duration::from_secs(10)).await;
        post.write(part).await;
    }
    assert_eq!(log.next().await.1, Event::Text("x".repeat(1000).into()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_during_a_shutdown_gets_what_it_is_owed() {
    let (server, _log) = server(ServerConfig::default());
    let mut socket = Memory::websocket(&server).await;
    let opened = socket.open().await;
    drop(socket);
    tokio::time::sleep(Duration::from_millis(1)).await;
    server.broadcaster().to("/quiet").send("owed");
    let shutdown = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown().await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut socket = Memory::websocket(&server).await;
    let Opened { session, token, .. } = opened;
    let offer = Offer { session, token, attachment: 2, received: 0 };
    let unit = JSON.encode(Frame::Resume(offer)).unwrap();
    socket.write(raw_frame(1, unit.as_bytes())).await;
    let said = socket.read_until("going-away").await;
    assert!(said.contains("resumed") && said.contains("owed"), "{said}");
    socket.write(raw_frame(1, br#"{"close":{"code":1001,"reason":"","received":1}}"#)).await;
    soon(shutdown).await.unwrap();
    // Nobody else gets in.
    let mut socket = Memory::websocket(&server).await;
    socket.write(raw_frame(1, br#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#)).await;
    socket.read_until("going-away").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_server_does_depends_on_nothing_but_its_random_bytes() {
    // DESIGN §9.3. Sessions are in hash maps, whose order changes from one map to the next.
    let ends = async || {
        let next = Mutex::new(0u8);
        let fill = move |bytes: &mut [u8]| {
            let mut next = next.lock().unwrap();
            *next += 1;
            bytes.fill(*next);
            // All in one map of the table.
            bytes[0] = 0;
        };
        let (sender, mut log) = Log::new();
        let builder = Server::builder().random(fill);
        let endpoint = move |_: &RequestHead| Probe::new(&sender, &Probe::quiet());
        let server = builder.endpoint("/quiet", endpoint).build().unwrap();
        let mut sockets = Vec::new();
        for n in 1..20 {
            let mut socket = Memory::websocket(&server).await;
            assert_eq!(socket.open().await.token.as_bytes(), &[n; 16]);
            sockets.push(socket);
        }
        let shutdown = server.shutdown();
        drop(sockets);
        shutdown.await;
        let ended = Event::Disconnected { by: Side::Server, reason: Reason::GoingAway };
        let ends = log.rest().into_iter().filter(|(_, event)| *event == ended).map(|(session, _)| session);
        ends.collect::<Vec<_>>()
    };
    let first = ends().await;
    assert_eq!(first.len(), 19);
    assert_eq!(first, ends().await);
}

fn server(config: ServerConfig) -> (Server, Log) {
    let (sender, log) = Log::new();
    let endpoint = move |_: &RequestHead| Probe::new(&sender, &Probe::quiet());
    let server = Server::builder().config(config).endpoint("/quiet", endpoint).build().unwrap();
    (server, log)
}

/// The request that moves a session to an event stream.
fn resume(opened: &Opened, attachment: u64) -> String {
    let key = key(opened, attachment);
    let what = "Accept: text/event-stream\r\nNosphere-Protocol: nosphere.v1.json\r\n";
    format!("GET /quiet HTTP/1.1\r\nHost: here\r\n{what}{key}\r\n")
}

fn key(opened: &Opened, attachment: u64) -> String {
    let Opened { session, token, .. } = opened;
    let token = token.reveal();
    format!(
        "Nosphere-Session: {session}\r\nNosphere-Token: {token}\r\nNosphere-Attachment: {attachment}\r\n\
         Nosphere-Received: 0\r\n"
    )
}

/// A connection in memory.
struct Memory(DuplexStream);

impl Memory {
    fn connect(server: &Server) -> Self {
        let (near, far) = tokio::io::duplex(1 << 16);
        let service = TowerToHyperService::new(server.clone());
        tokio::spawn(async move {
            drop(http1::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades().await);
        });
        Self(near)
    }

    async fn websocket(server: &Server) -> Self {
        let mut memory = Self::connect(server);
        let request = "GET /quiet HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: nosphere.v1.json\r\n\r\n";
        memory.write(request).await;
        memory.read_until("\r\n\r\n").await;
        memory
    }

    /// Opens a session on a WebSocket, and shows that it is there.
    async fn open(&mut self) -> Opened {
        self.write(raw_frame(1, br#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#)).await;
        let said = self.read_until("}}}").await;
        let unit = &said[said.find('{').unwrap()..];
        let Ok(Frame::Opened(opened)) = JSON.decode(Unit::Text(unit.into())) else { panic!("not opened: {said}") };
        assert_eq!(opened.window, Window::default());
        self.write(raw_frame(1, br#"{"ack":0}"#)).await;
        opened
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn read_until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(end) {
            let count = soon(self.0.read_buf(&mut all)).await.unwrap();
            assert!(count > 0, "the end came first: {:?}", String::from_utf8_lossy(&all));
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}
