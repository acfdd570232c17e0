//! DESIGN §7: plaintext HTTP/1.1 is written to directly, everything else through the task that owns it.

use std::sync::{Arc, Mutex};

use http::{Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nosphere::{Client, Error, Event, Handler, Message, Payload, ServerConfig, Sink, Transport};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig as TlsConfig};

use crate::support::*;

/// Answers every text with its sink, and leaves a handle of its client.
struct Teller(Arc<Mutex<Option<Client>>>);

impl Handler for Teller {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        *self.0.lock().unwrap() = Some(client.clone());
        if let Event::Text(_) = event {
            client.send(format!("{:?}", client.sink()))?;
        }
        Ok(())
    }
}

async fn start(serving: Serving) -> (TestServer, Arc<Mutex<Option<Client>>>) {
    let client = Arc::new(Mutex::new(None));
    let left = Arc::clone(&client);
    let server = TestServer::with(ServerConfig::default(), serving, |builder| {
        builder.endpoint("/sink", move |_| Teller(Arc::clone(&left)))
    });
    (server.await, client)
}

/// What a plain WebSocket is told.
async fn told(mut ws: Ws) -> String {
    ws.text("which").await;
    ws.next_text().await
}

#[tokio::test]
async fn hypers_own_http1_gives_the_socket() {
    let (server, _) = start(Serving::Http1).await;
    assert_eq!(told(Ws::connect(server.addr, "/sink", None).await).await, "Direct");
}

#[tokio::test]
async fn hyper_utils_auto_gives_the_socket() {
    let (server, _) = start(Serving::Auto).await;
    assert_eq!(told(Ws::connect(server.addr, "/sink", None).await).await, "Direct");
}

#[tokio::test]
async fn axum_gives_the_socket() {
    let (server, _) = start(Serving::Axum).await;
    assert_eq!(told(Ws::connect(server.addr, "/sink", None).await).await, "Direct");
    let page = send(server.addr, get("/"), "").await;
    assert_eq!((page.status, page.text()), (200, "page"));
    assert_eq!(send(server.addr, get("/nowhere"), "").await.status, 404);
}

#[tokio::test]
async fn what_came_with_the_upgrade_request_is_read() {
    for serving in [Serving::Http1, Serving::Auto, Serving::Axum] {
        let (server, _) = start(serving).await;
        let mut raw = Raw::connect(server.addr).await;
        let request = "GET /sink HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let frame = [&[0x81, 0x85, 0, 0, 0, 0][..], b"which"].concat();
        raw.write([request.as_bytes(), &frame].concat()).await;
        raw.read_until("Direct").await;
    }
}

#[tokio::test]
async fn tls_is_queued() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let config = TlsConfig::builder().with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key);
    let (server, _) = start(Serving::Tls(Arc::new(config.unwrap()))).await;
    let connect = || async {
        let mut roots = RootCertStore::empty();
        roots.add(signed.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    };
    let over = async |path: &str| {
        let stream = soon(connect()).await;
        Ws::over(Box::new(stream), &format!("ws://localhost{path}"), None, &[]).await.ok().unwrap()
    };
    assert_eq!(told(over("/sink").await).await, "Queued");
    exercise(over("/echo").await).await;
    // Sends from outside of its task are written too.
    let (mut one, mut other) = (over("/room").await, over("/room").await);
    until(|| server.server.sessions_on("/room") == 2).await;
    for n in 0..100 {
        one.text(&n.to_string()).await;
        assert_eq!(other.next_text().await, n.to_string());
    }
}

#[tokio::test]
async fn a_websocket_over_http2_is_queued() {
    let (server, _) = start(Serving::Auto).await;
    let stream = TokioIo::new(TcpStream::connect(server.addr).await.unwrap());
    let (mut sender, connection) = soon(http2::handshake(TokioExecutor::new(), stream)).await.unwrap();
    tokio::spawn(connection);
    // With its answer come the server's settings, which allow the extended CONNECT.
    let page = Request::builder().uri(format!("http://{}/", server.addr)).body(Empty::new()).unwrap();
    assert_eq!(soon(sender.send_request(page)).await.unwrap().status(), 404);
    let mut over = async |path: &str, subprotocol: &str| {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://{}{path}", server.addr))
            .extension(hyper::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", subprotocol)
            .body(Empty::<bytes::Bytes>::new());
        let response = soon(sender.send_request(request.unwrap())).await.unwrap();
        assert_eq!(response.status(), 200);
        let upgraded = soon(hyper::upgrade::on(response)).await.unwrap();
        Ws::from_raw(Box::new(TokioIo::new(upgraded))).await
    };
    assert_eq!(told(over("/sink", "").await).await, "Queued");
    exercise(over("/echo", "").await).await;

    // SPEC ATT-3: the task that has the socket ends it when another link takes over.
    for transport in TRANSPORTS {
        let mut native = Native::open(server.addr, "/sink", Transport::LongPolling, FORMATS[0]).await;
        let mut ws = over("/sink", "nosphere.v1.json").await;
        native.attachment += 1;
        ws.send(native.unit(native.offer())).await;
        assert_eq!(ws.next_text().await, r#"{"resumed":{"received":0}}"#);
        native.resume(transport).await;
        assert_eq!(ws.closed().await, (4409, "fenced".into()), "{transport}");
        native.send(text("which")).await;
        let told = native.message().await;
        assert!([text("Queued"), text("None"), text("Direct")].contains(&told), "{told:?}");
    }
    // One queued socket after the other.
    let mut native = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    let mut old = None;
    for n in 0..20 {
        let mut ws = over("/echo", "nosphere.v1.json").await;
        native.attachment += 1;
        ws.send_all([native.unit(native.offer()), WsMessage::text(format!("{{\"text\":\"{n}\"}}"))]).await;
        assert_eq!(ws.next_text().await, format!("{{\"resumed\":{{\"received\":{n}}}}}"));
        assert_eq!(ws.next_text().await, format!("{{\"text\":\"{n}\"}}"));
        native.received += 1;
        if let Some(mut old) = old.replace(ws) {
            assert_eq!(Ws::closed(&mut old).await, (4409, "fenced".into()));
        }
    }
}

/// Says far more at once than a socket takes, of every kind of message: short and long, as it is and to be escaped, for this
/// client and for many.
struct Flood;

fn flood() -> impl Iterator<Item = Message> {
    (0..20).flat_map(|n| {
        let shared = Message::text(format!("shared {n}")).shared();
        let short = (0..n).map(move |at| format!("{n} {at}").into());
        let long = [Message::text("é".repeat(40_000 + n)), shared.clone(), shared];
        let other = [Message::text(format!("a \"quoted\" {n}")), serde_json::json!({ "n": [n, "x"] }).into()];
        short.chain(long).chain(other).chain([Message::text(""), Message::text("y".repeat(1000 + 5 * n))])
    })
}

impl Handler for Flood {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(_) = event {
            flood().try_for_each(|message| client.send(message))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_a_direct_socket_takes_in_part_goes_on_where_it_stopped() {
    let server =
        TestServer::with(ServerConfig::default(), Serving::Auto, |builder| builder.endpoint("/flood", |_| Flood));
    let server = server.await;
    for subprotocol in [None, Some("nosphere.v1.json")] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = soon(socket.connect(server.addr)).await.unwrap();
        let url = format!("ws://{}/flood", server.addr);
        let mut ws = Ws::over(Box::new(stream), &url, subprotocol, &[]).await.ok().unwrap();
        if subprotocol.is_some() {
            ws.text(r#"{"open":{"attachment":1,"window":{"messages":4096,"bytes":8388608}}}"#).await;
            ws.next_text().await;
            ws.text(r#"{"ack":0}"#).await;
            ws.text(r#"{"text":"go"}"#).await;
        } else {
            ws.text("go").await;
        }
        for message in flood() {
            let payload = message.payload();
            let expected = match (subprotocol, payload) {
                (None, _) => String::from_utf8(payload.as_bytes().to_vec()).unwrap(),
                (Some(_), Payload::Json(json)) => format!(r#"{{"json":{}}}"#, json.to_text().unwrap()),
                (Some(_), _) => serde_json::json!({ "text": payload.as_text().unwrap().as_str() }).to_string(),
            };
            assert_eq!(ws.next_text().await, expected);
        }
    }
}

/// Bursts, large messages, a ping and a close.
async fn exercise(mut ws: Ws) {
    ws.send_all((0..200).map(|n| WsMessage::text(n.to_string()))).await;
    for n in 0..200 {
        assert_eq!(ws.next_text().await, n.to_string());
    }
    let large = "x".repeat(700_000);
    ws.text(&large).await;
    assert_eq!(ws.next_text().await, large);
    ws.send(WsMessage::Ping("now".into())).await;
    assert_eq!(ws.next().await, Some(WsMessage::Pong("now".into())));
    // What was asked before the close is answered before the close.
    ws.send_all([WsMessage::text("last"), WsMessage::Close(None)]).await;
    assert_eq!(ws.next_text().await, "last");
    assert!(matches!(ws.next().await, Some(WsMessage::Close(_))));
    assert_eq!(ws.next().await, None);
}

#[tokio::test]
async fn event_streams_and_polls_are_queued_and_no_link_is_none() {
    let (server, client) = start(Serving::Auto).await;
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let mut native = Native::open(server.addr, "/sink", transport, FORMATS[0]).await;
        native.send(text("which")).await;
        let told = native.message().await;
        // A poll's answer may be on its way already when the next message is handled.
        assert!([text("Queued"), text("None")].contains(&told), "{told:?}");
        if transport == Transport::ServerSentEvents {
            assert_eq!(told, text("Queued"));
        }
        native.cut();
        let client = client.lock().unwrap().clone().unwrap();
        until(|| client.sink() == Sink::None).await;
    }
}

#[tokio::test]
async fn a_session_that_moves_takes_the_sink_of_its_link() {
    let (server, _) = start(Serving::Auto).await;
    let mut native = Native::open(server.addr, "/sink", Transport::ServerSentEvents, FORMATS[0]).await;
    for (transport, sink) in [(Transport::WebSocket, "Direct"), (Transport::ServerSentEvents, "Queued")] {
        native.resume(transport).await;
        native.send(text("which")).await;
        assert_eq!(native.message().await, text(sink));
    }
}
