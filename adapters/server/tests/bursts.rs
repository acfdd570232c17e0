//! Many frames in one read, and one frame in many: what is handled, in which order, whoever carries it.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Handler, Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::*;

/// Says what it gets, and waits now and then before.
struct Slow(mpsc::UnboundedSender<Event>);

impl Handler for Slow {
    async fn receive(&mut self, _: &Client, event: Event) -> Result<(), Error> {
        if matches!(&event, Event::Text(text) if text.starts_with("slow")) {
            tokio::task::yield_now().await;
        }
        if matches!(event, Event::Text(_) | Event::Binary(_)) {
            drop(self.0.send(event));
        }
        Ok(())
    }
}

fn slow() -> (Server, mpsc::UnboundedReceiver<Event>) {
    let mut config = ServerConfig::default();
    config.session.window.bytes = 10_000;
    // Nobody waits for another close than the one that comes.
    config.session.close_timeout = 10 * PATIENCE;
    let (sender, events) = mpsc::unbounded_channel();
    let server = Server::builder().config(config).endpoint("/slow", move |_| Slow(sender.clone()));
    (server.build().unwrap(), events)
}

/// A connection that is a socket, or one of those that hyper keeps.
async fn connect(server: &Server, direct: bool) -> Box<dyn Stream> {
    let service = TowerToHyperService::new(server.clone());
    let http = http1::Builder::new();
    let mut near: Box<dyn Stream> = if direct {
        let listener = listen().await;
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        near.set_nodelay(true).unwrap();
        let (far, _) = listener.accept().await.unwrap();
        tokio::spawn(http.serve_connection(TokioIo::new(far), service).with_upgrades());
        Box::new(near)
    } else {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(http.serve_connection(TokioIo::new(far), service).with_upgrades());
        Box::new(near)
    };
    let request = "GET /slow HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    near.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await.unwrap());
    }
    near
}

/// The next frame, which is no ping.
async fn next(stream: &mut (dyn Stream + 'static)) -> (u8, Vec<u8>) {
    soon(async {
        let first = stream.read_u8().await.unwrap();
        let length = match stream.read_u8().await.unwrap() {
            126 => stream.read_u16().await.unwrap(),
            short => u16::from(short),
        };
        let mut payload = vec![0; length.into()];
        stream.read_exact(&mut payload).await.unwrap();
        (first & 15, payload)
    })
    .await
}

/// Frames, and the messages in them.
fn burst() -> (Vec<Vec<u8>>, Vec<Event>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    let long = "é".repeat(150).into_bytes();
    let messages: [(u8, &[u8]); 12] = [
        (1, b"a"),
        (1, b"slow"),
        (2, b"\xff\0"),
        (1, b""),
        (9, b"ping"),
        (1, &long),
        (1, b"slow again"),
        (2, &long[..65]),
        (2, &[]),
        (1, &long[..64]),
        (9, b""),
        (1, b"last"),
    ];
    for (opcode, payload) in messages {
        frames.push(raw_frame(opcode, payload));
        match opcode {
            1 => events.push(Event::Text(str::from_utf8(payload).unwrap().into())),
            2 => events.push(Event::Binary(payload.to_vec().into())),
            _ => {}
        }
    }
    let fragments = [(0x01, "in "), (0x00, "three "), (0x89, "within"), (0x80, "parts")];
    let fragments = fragments.map(|(first, part)| {
        let mut frame = raw_frame(0, part.as_bytes());
        frame[0] = first;
        frame
    });
    frames.insert(6, fragments.concat());
    events.insert(5, Event::Text("in three parts".into()));
    (frames, events)
}

/// The code of the close, which comes last; pongs are passed over.
async fn closed(socket: &mut (dyn Stream + 'static)) -> u16 {
    loop {
        match next(socket).await {
            (8, close) => return u16::from_be_bytes([close[0], close[1]]),
            (10, _) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_burst_is_handled_whole_and_in_order_wherever_it_is_cut() {
    let (server, mut events) = slow();
    let (frames, expected) = burst();
    for direct in [true, false] {
        let stream = [frames.concat(), raw_frame(8, &1000_u16.to_be_bytes())].concat();
        for cut in 0..stream.len() {
            let mut socket = connect(&server, direct).await;
            let (one, two) = stream.split_at(cut);
            socket.write_all(one).await.unwrap();
            let mut end = 0;
            let whole = frames.iter().filter(|frame| {
                end += frame.len();
                end <= cut && frame[0] & 15 < 3
            });
            let mut seen = Vec::new();
            for _ in 0..whole.count() {
                seen.push(soon(events.recv()).await.unwrap());
            }
            socket.write_all(two).await.unwrap();
            assert_eq!(closed(&mut *socket).await, 1000, "cut at {cut}");
            while seen.len() < expected.len() {
                seen.push(soon(events.recv()).await.unwrap());
            }
            assert_eq!(seen, expected, "cut at {cut}");
            soon(socket.read_to_end(&mut Vec::new())).await.unwrap();
        }
    }
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn what_comes_before_a_broken_rule_is_handled_and_what_comes_behind_it_is_not() {
    let (server, mut events) = slow();
    let (frames, expected) = burst();
    let mut unmasked = raw_frame(1, b"bare");
    unmasked[1] &= 0x7f;
    let faults = [
        (raw_frame(1, b"\xc3"), 1007),
        (raw_frame(1, &[&[b'x'; 127][..], &[0xc3]].concat()), 1007),
        (raw_frame(1, &[b'x'; 10_001]), 1009),
        (raw_frame(2, &[b'x'; 10_001]), 1009),
        (raw_frame(0, b"nothing to go on with"), 1002),
        (raw_frame(3, b""), 1002),
        (unmasked, 1002),
    ];
    for direct in [true, false] {
        for (fault, code) in &faults {
            let mut socket = connect(&server, direct).await;
            // Behind the fault, what would complete the character.
            let stream = [frames.concat(), fault.clone(), raw_frame(1, b"\xa9"), raw_frame(1, b"behind")].concat();
            socket.write_all(&stream).await.unwrap();
            assert_eq!(closed(&mut *socket).await, *code, "{fault:?}");
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                seen.push(soon(events.recv()).await.unwrap());
            }
            assert_eq!(seen, expected, "{fault:?}");
        }
    }
    until(|| server.sessions() == 0).await;
    assert!(events.try_recv().is_err(), "what is behind a broken rule");
}
