//! A head that is read where it lies means what it means when all of it is read.

use bytes::Bytes;
use nosphere_wire::negotiation::OriginPolicy;

use super::*;
use crate::ordinary::{Handshake, MAX_FIELDS};
use crate::{Server, handler_fn};

const HEAD: &str = "GET /rooms/7 HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Protocol: nosphere.v1.json\r\nOrigin: https://chat.example\r\nCookie: a=b\r\n\r\n";

/// What is there, and what stands in its place.
const CHANGES: [(&str, &str); 62] = [
    ("", ""),
    ("/rooms/7", "/rooms/7?a=b"),
    ("/rooms/7", "/rooms/7?"),
    ("/rooms/7", "/rooms/%20é"),
    ("/rooms/7", "/echo/"),
    ("/rooms/7", "/nosphere.js"),
    ("/rooms/7", "/nowhere"),
    ("Host: chat.example\r\n", ""),
    ("Host:", "host:"),
    ("Host:", "HOST:"),
    ("chat.example\r\nUpgrade", "chat.example:443\r\nUpgrade"),
    ("chat.example\r\nUpgrade", "CHAT.example:80\r\nUpgrade"),
    ("chat.example\r\nUpgrade", "chat.é\r\nUpgrade"),
    ("Cookie: a=b", "Host: chat.example"),
    ("Cookie: a=b", "hOST: other.example"),
    ("Upgrade:", "upgrade:"),
    ("Upgrade:", "UPGRADE:"),
    (": websocket", ": WebSocket"),
    (": websocket", ": h2c, websocket"),
    (": websocket", ": h2c"),
    ("Cookie: a=b", "Upgrade: h2c"),
    ("Cookie: a=b", "Upgrade: websocket"),
    ("Connection: Upgrade", "connection: Upgrade"),
    ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
    ("Connection: Upgrade", "CONNECTION: upgrade"),
    ("Connection: Upgrade", "Connection: Upgrade, close"),
    ("Connection: Upgrade", "Connection: close"),
    ("Cookie: a=b", "Connection: close"),
    ("Cookie: a=b", "Connection: Upgrade"),
    ("-Key:", "-KEY:"),
    ("Sec-WebSocket-Key:", "sec-websocket-key:"),
    ("dGhlIHNhbXBsZSBub25jZQ==", "short"),
    ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ***"),
    ("Cookie: a=b", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Version: 13", "Version: 8"),
    ("Sec-WebSocket-Version: 13\r\n", ""),
    ("Cookie: a=b", "Sec-WebSocket-Version: 8"),
    ("nosphere.v1.json", "nosphere.v1.messagepack"),
    ("nosphere.v1.json", "nosphere.v9.json"),
    ("nosphere.v1.json", "chat, nosphere.v1.json"),
    ("nosphere.v1.json", "chat"),
    ("nosphere.v1.json", ""),
    ("nosphere.v1.json", "nosphere.bearer.c2VjcmV0"),
    ("nosphere.v1.json", "nosphere.v1.json, nosphere.bearer.c2VjcmV0"),
    ("nosphere.v1.json", "é"),
    ("Sec-WebSocket-Protocol: nosphere.v1.json\r\n", ""),
    ("Cookie: a=b", "SEC-WebSocket-Protocol: nosphere.bearer.c2VjcmV0"),
    ("Cookie: a=b", "Sec-WebSocket-Protocol: nosphere.v1.messagepack"),
    ("Origin: https://chat.example\r\n", ""),
    ("https://chat.example", "https://app.example"),
    ("https://chat.example", "https://evil.example"),
    ("https://chat.example", "null"),
    ("https://chat.example", "é"),
    ("Cookie: a=b", "ORIGIN: https://evil.example"),
    ("Cookie: a=b", "Nosphere-Window: 1/1"),
    ("Cookie: a=b", "NOSPHERE-Token: x"),
    ("Cookie: a=b", "X-ATMOSPHERE-Transport: websocket"),
    ("Cookie: a=b", "Content-Length: 2"),
    ("Cookie: a=b", "EXPECT: 100-continue"),
    ("Cookie: a=b", "Transfer-encoding: chunked"),
    ("Cookie: a=b", "Authorization: \t Basic eA== "),
    ("Cookie: a=b", "cookie: é\r\nX-A:\r\nX-A: 2\r\nX-Heartbeat-Server: 1\r\nLast-Event-ID: 1"),
];

fn server() -> Server {
    let handler = |_: &RequestHead| handler_fn(|_, _| async { Ok(()) });
    Server::builder()
        .origins(OriginPolicy::same_origin().allow("https://app.example").unwrap())
        .browser_client("/nosphere.js")
        .endpoint("/echo", handler)
        .endpoint("/rooms/{id}", handler)
        .build()
        .unwrap()
}

/// Reads it in both ways, and compares. Whether it is an ordinary one.
fn compare(shared: &Arc<Shared>, text: &str) -> bool {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    if !matches!(request.parse(&bytes), Ok(httparse::Status::Complete(_))) {
        return false;
    }
    let handshake = Handshake::new(&bytes, request.path.unwrap(), request.headers);
    let Some((parts, unread, page)) = handshake.ordinary() else { return false };
    let Some(asked) = read_ordinary(shared, parts, &mut None, unread, page) else { return false };
    let Some(Read::Asked(whole)) = handshake.whole().map(|parts| read(shared, parts, true)) else {
        panic!("only ordinary: {text}");
    };
    assert_eq!(asked.intent, whole.intent, "{text}");
    assert_eq!(asked.answering.allowed, whole.answering.allowed, "{text}");
    assert_eq!(asked.answering.atmosphere, whole.answering.atmosphere, "{text}");
    assert!(Arc::ptr_eq(&asked.route.endpoint, &whole.route.endpoint), "{text}");
    let (one, other) = (&asked.route.head, &whole.route.head);
    for name in ["Host", "cookie", "x-a", "origin", "authorization", "sec-websocket-protocol", "", "no name"] {
        assert_eq!(one.header(name), other.header(name), "{name}, {text}");
    }
    assert_eq!((one.uri(), one.headers()), (other.uri(), other.headers()), "{text}");
    assert_eq!((one.path(), one.parameter("id")), (other.path(), other.parameter("id")), "{text}");
    let judged = |head: &RequestHead| head.upgrade().map(|upgrade| upgrade.response(Some("nosphere.v1.json")));
    let judged = [one, other].map(|head| judged(head).map(|response| response.headers().clone()));
    assert_eq!(judged[0], judged[1], "{text}");
    for limit in [0, 100, 250, 1000] {
        assert_eq!(one.is_longer_than(limit), other.is_longer_than(limit), "{limit}, {text}");
    }
    true
}

#[tokio::test]
async fn two_changes_to_a_handshake_mean_the_same_in_both_ways_of_reading_it() {
    let server = server();
    let mut ordinary = 0;
    for (from, to) in CHANGES {
        for (other_from, other_to) in CHANGES {
            let text = HEAD.replacen(from, to, 1).replacen(other_from, other_to, 1);
            ordinary += usize::from(compare(server.shared(), &text));
        }
    }
    assert!(ordinary > CHANGES.len() * 4, "{ordinary}");
}

#[tokio::test]
async fn what_clients_send_is_ordinary() {
    let server = server();
    let browser = "GET /echo HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
                   Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\nUpgrade: websocket\r\n\
                   Origin: https://app.example\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n\
                   Accept-Language: en\r\nCookie: a=b\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let lower = HEAD.lines().map(|line| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}\r\n", name.to_ascii_lowercase()),
        None => format!("{line}\r\n"),
    });
    let keeps_alive = browser.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade");
    for text in [HEAD, browser, &keeps_alive, &lower.collect::<String>()] {
        assert!(compare(server.shared(), text), "{text}");
    }
}
