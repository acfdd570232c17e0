//! The server itself, over real sockets: it and its clients take turns in one thread, so the order of everything is the same
//! in every run.

use std::convert::Infallible;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Everyone, Handler, Server};
use tokio::net::TcpListener;

use crate::text;

struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = event {
            client.send(text)?;
        }
        Ok(())
    }
}

struct Room;

impl Handler for Room {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = event {
            client.broadcast_to(&Everyone, text);
        }
        Ok(())
    }
}

pub(crate) fn echo(count: usize) {
    exchange("/echo", 1, count);
}

pub(crate) fn broadcast(count: usize) {
    exchange("/room", 100, count);
}

/// The first of the clients sends, and all of them get it, so many times.
fn exchange(path: &str, clients: usize, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = Server::builder().endpoint("/echo", |_| Echo).endpoint("/room", |_| Room);
        let server = ids(server).build().expect("a server");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, server));
        let mut all = vec![];
        for _ in 0..clients {
            all.push(Socket::open(addr, path).await);
        }
        let message = masked(&format!(r#"{{"text":"{}"}}"#, text(100)));
        for number in 1..=count {
            all[0].write(&message);
            for client in &mut all {
                client.read(2 + 111).await;
            }
            if number % 128 == 0 {
                let acknowledgement = masked(&format!(r#"{{"ack":{number}}}"#));
                all.iter_mut().for_each(|client| client.write(&acknowledgement));
            }
        }
    });
}

/// Other ids for every session, and the same ones in every run.
fn ids(server: nosphere::Builder) -> nosphere::Builder {
    let next = std::sync::atomic::AtomicU64::new(1);
    server.random(move |bytes| {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_le_bytes();
        bytes.iter_mut().zip(number.into_iter().cycle()).for_each(|(byte, number)| *byte = number);
    })
}

async fn serve(listener: TcpListener, server: Server) -> Infallible {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let service = TowerToHyperService::new(server.clone());
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// A client, which lets the server run while it waits.
struct Socket {
    stream: TcpStream,
    /// Bytes that came and were not asked for yet: acknowledgements of the server are among them.
    buffer: Vec<u8>,
}

impl Socket {
    async fn open(addr: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(addr).expect("a server");
        stream.set_nodelay(true).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        let mut socket = Self { stream, buffer: vec![] };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: nosphere.v1.json\r\n\r\n"
        );
        socket.write(head.as_bytes());
        while !socket.buffer.windows(4).any(|end| end == b"\r\n\r\n") {
            socket.more().await;
        }
        socket.buffer.clear();
        socket.write(&masked(r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#));
        while !socket.buffer.ends_with(b"}}}") {
            socket.more().await;
        }
        socket.buffer.clear();
        socket.write(&masked(r#"{"ack":0}"#));
        socket
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("room for it");
    }

    /// A message with a frame of this length. Shorter frames are acknowledgements.
    async fn read(&mut self, length: usize) {
        loop {
            while let [_, payload, ..] = self.buffer[..]
                && self.buffer.len() >= 2 + usize::from(payload)
            {
                let frame = 2 + usize::from(payload);
                self.buffer.drain(..frame);
                if frame == length {
                    return;
                }
            }
            self.more().await;
        }
    }

    async fn more(&mut self) {
        let mut bytes = [0; 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => return self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn masked(text: &str) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    let mut frame = vec![0x81, 0x80 | length];
    frame.extend_from_slice(&KEY);
    frame.extend(text.bytes().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
