//! What a message costs in heap allocations, through the real server over real sockets.
//!
//! The server runs on one thread, and that thread's allocations are counted; its clients are on another. Two runs differ in
//! nothing but how many messages are exchanged, or how many recipients there are: the difference is what those cost.
//!
//! A program of its own, because whatever counts allocations is the allocator of the whole program.

#![expect(clippy::unwrap_used, reason = "what is not expected fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use allocation_counter::measure;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Everyone, Handler, Server};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Takes messages and answers nothing, but `done`.
struct Sink;

impl Handler for Sink {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = &event
            && *text == "done"
        {
            client.send(text.clone())?;
        }
        Ok(())
    }
}

struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = event {
            client.send(text)?;
        }
        Ok(())
    }
}

struct Broadcast;

impl Handler for Broadcast {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = event {
            client.broadcast_to(Everyone, text);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Native,
    Plain,
}

use Protocol::{Native, Plain};

/// What is sent: about the length of the goals' messages.
const TEXT: &str = "the quick brown fox jumps over the lazy dog, and then the quick brown fox jumps over the lazy dog";

/// Enough for every queue to have grown as far as it will.
const WARM: usize = 600;
const MORE: usize = 1000;

/// How many messages come in one read, where several do.
const BURST: usize = 4;

/// Now and then an acknowledgement comes in one read with a message, and what is read together is copied together.
const SLACK: i64 = MORE as i64 / 10;

#[test]
fn a_received_message_is_one_allocation_at_most() {
    for protocol in [Plain, Native] {
        let cost = cost(|count| run("/sink", protocol, 1, count));
        // One for each message: what the handler gets. A read, a wake-up and an acknowledgement need none.
        assert!(cost <= MORE as i64 + SLACK, "{cost} allocations for {MORE} messages");
    }
}

#[test]
fn an_answer_needs_no_allocation() {
    for protocol in [Plain, Native] {
        let cost = cost(|count| run("/echo", protocol, 1, count));
        // It goes out from where it came to, whatever its format puts around it.
        assert!(cost <= MORE as i64 + SLACK, "{cost} allocations for {MORE} messages and their answers");
    }
}

#[test]
fn messages_of_one_read_and_their_answers_need_one_allocation_each_at_most() {
    for protocol in [Plain, Native] {
        let cost = cost(|count| run("/bursts", protocol, 1, count));
        assert!(cost <= MORE as i64 + SLACK, "{cost} allocations for {MORE} messages in bursts and their answers");
    }
}

#[test]
fn a_recipient_of_a_broadcast_needs_no_allocation() {
    for protocol in [Plain, Native] {
        let few = cost(|count| run("/broadcast", protocol, 3, count));
        let many = cost(|count| run("/broadcast", protocol, 23, count));
        assert!(
            (many - few).abs() <= 20 * SLACK,
            "{} allocations for 20 recipients more of {MORE} broadcasts",
            many - few
        );
        assert!(few <= 6 * MORE as i64, "{few} allocations for {MORE} broadcasts, whoever gets them");
    }
}

#[test]
fn an_idle_session_stays_small() {
    // 80 of these are the socket and its readiness, 64 the loop's task, 584 what is shared of the session, 48 its queue. The rest are
    // the session's future, with its handler's in it, and tables. A native client has not acknowledged its message, so that is kept.
    for (protocol, limit) in [(Plain, 1_220), (Native, 1_320)] {
        // What a thread has once, it has then.
        let idle = |members| idle(protocol, members, |_| {});
        idle(1);
        let each = (idle(900) - idle(450)) / 450;
        assert!(each <= limit, "{each} bytes for each session");
    }
}

#[test]
fn a_session_whose_last_read_was_a_ping_keeps_no_read_buffer() {
    let idle = |members| {
        idle(Native, members, |socket| {
            socket.write(br#"{"ping":0}"#);
            while !socket.read().starts_with("{\"pong\"") {}
        })
    };
    idle(1);
    let each = (idle(90) - idle(45)) / 45;
    assert!(each < 4_000, "{each} bytes for each session");
}

/// How many bytes are held for sessions that have exchanged a message, and then something else.
fn idle(protocol: Protocol, members: usize, last: impl Fn(&mut Socket) + Copy + Send + 'static) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut clients, mut release) = (None, None);
    let counted = measure(|| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let (done, ended) = oneshot::channel();
            let (hold, held) = std::sync::mpsc::channel::<()>();
            release = Some(hold);
            clients = Some(thread::spawn(move || {
                let mut sockets: Vec<_> = (0..members).map(|_| Socket::open(addr, "/echo", protocol)).collect();
                for socket in &mut sockets {
                    socket.send(TEXT);
                    socket.receive();
                    last(socket);
                }
                done.send(()).unwrap();
                // Until the other end is dropped.
                held.recv().unwrap_err();
            }));
            tokio::select! {
                () = serve(&listener) => {}
                result = ended => result.expect("the clients came to their end"),
            }
        });
    });
    drop(release);
    clients.unwrap().join().unwrap();
    counted.bytes_current
}

/// How many allocations more messages need.
fn cost(run: impl Fn(usize) -> u64) -> i64 {
    run(WARM + MORE) as i64 - run(WARM) as i64
}

/// Exchanges so many messages with members of a path, one after the other; gives the server's allocations.
fn run(path: &'static str, protocol: Protocol, members: usize, count: usize) -> u64 {
    let mut clients = None;
    let counted = measure(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let (done, ended) = oneshot::channel();
            clients = Some(thread::spawn(move || {
                exchange(addr, path, protocol, members, count);
                done.send(()).unwrap();
            }));
            tokio::select! {
                () = serve(&listener) => {}
                result = ended => result.expect("the clients came to their end"),
            }
        });
    });
    clients.unwrap().join().unwrap();
    counted.count_total
}

async fn serve(listener: &TcpListener) {
    let server = Server::builder()
        .endpoint("/sink", |_| Sink)
        .endpoint("/echo", |_| Echo)
        .endpoint("/bursts", |_| Echo)
        .endpoint("/broadcast", |_| Broadcast)
        .build()
        .unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(server.clone());
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            drop(http.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        });
    }
}

fn exchange(addr: SocketAddr, path: &str, protocol: Protocol, members: usize, count: usize) {
    let mut sockets: Vec<_> = (0..members).map(|_| Socket::open(addr, path, protocol)).collect();
    if path == "/bursts" {
        for _ in 0..count / BURST {
            sockets[0].send_burst(TEXT);
            (0..BURST).for_each(|_| sockets[0].receive());
        }
        return;
    }
    for _ in 0..count {
        sockets[0].send(TEXT);
        if path != "/sink" {
            sockets.iter_mut().for_each(Socket::receive);
        }
    }
    if path == "/sink" {
        sockets[0].send("done");
        sockets[0].receive();
    }
}

/// A client that does no more than this needs.
struct Socket {
    stream: TcpStream,
    protocol: Protocol,
    received: usize,
}

impl Socket {
    fn open(addr: SocketAddr, path: &str, protocol: Protocol) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        let subprotocol = if protocol == Native { "Sec-WebSocket-Protocol: nosphere.v1.json\r\n" } else { "" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"));
        let mut socket = Self { stream, protocol, received: 0 };
        if protocol == Native {
            socket.write(br#"{"open":{"attachment":1,"window":{"messages":64,"bytes":1048576}}}"#);
            assert!(socket.read().starts_with("{\"opened\""));
            socket.write(br#"{"ack":0}"#);
        }
        socket
    }

    fn send(&mut self, text: &str) {
        let frame = self.frame(text);
        self.stream.write_all(&frame).unwrap();
    }

    /// Sends the same several times, in one segment.
    fn send_burst(&mut self, text: &str) {
        let frames = self.frame(text).repeat(BURST);
        self.stream.write_all(&frames).unwrap();
    }

    fn frame(&self, text: &str) -> Vec<u8> {
        match self.protocol {
            Plain => frame(text.as_bytes()),
            Native => frame(format!("{{\"text\":\"{text}\"}}").as_bytes()),
        }
    }

    /// Reads a message, passing over acknowledgements, and acknowledges it when that is due.
    fn receive(&mut self) {
        while self.read().starts_with("{\"ack\"") {}
        self.received += 1;
        if self.protocol == Native && self.received.is_multiple_of(32) {
            self.write(format!("{{\"ack\":{}}}", self.received).as_bytes());
        }
    }

    fn write(&mut self, payload: &[u8]) {
        self.stream.write_all(&frame(payload)).unwrap();
    }

    fn read(&mut self) -> String {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).unwrap();
        assert_eq!(header[0], 0x81);
        let length = if header[1] == 126 {
            let mut length = [0; 2];
            self.stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        } else {
            usize::from(header[1])
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        String::from_utf8(payload).unwrap()
    }
}

/// A frame, masked with zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[0x81, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}
