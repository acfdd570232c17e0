use hyper::Method;
use nosphere::Transport;

use crate::http2::Http2;
use crate::program::{Program, leave};
use crate::support::*;

#[tokio::test]
async fn every_transport_and_format_works_over_both_versions_of_http() {
    let program = Program::start("hyper").await;
    for http in [Http::One, Http::Two] {
        for format in FORMATS {
            for transport in TRANSPORTS {
                let mut client = Native::open_over(http, program.addr, "/echo", transport, format).await;
                client.send(text("hello")).await;
                assert_eq!(client.message().await, text("hello"), "{http:?}, {transport}");
                // And moves to another one, with a message under way.
                client.send(text("moving")).await;
                client.resume(Transport::ServerSentEvents).await;
                assert_eq!(client.message().await, text("moving"), "{http:?}, {transport}");
                leave(client).await;
            }
        }
    }
    program.end().await;
}

#[tokio::test]
async fn a_raw_websocket_works_over_both_versions_of_http() {
    let program = Program::start("hyper").await;
    let stream = tokio::net::TcpStream::connect(program.addr).await.unwrap();
    let mut http2 = Http2::over(stream, "http", &program.addr.to_string()).await;
    for mut ws in [Ws::connect(program.addr, "/echo", None).await, http2.websocket("/echo", &[]).await] {
        ws.text("hello").await;
        assert_eq!(ws.next_text().await, "hello");
    }
    assert_eq!(http2.send(Method::GET, "/nowhere").await.refusal(), (404, ""));
    program.end().await;
}

#[tokio::test]
async fn whoever_listens_to_an_event_stream_is_told_of_the_end() {
    let program = Program::start("hyper").await;
    let stream = tokio::net::TcpStream::connect(program.addr).await.unwrap();
    let mut http2 = Http2::over(stream, "http", &program.addr.to_string()).await;
    let mut plain = http2.events("/echo").await;
    assert_eq!(plain.next().await.expect("a session").name, "session");
    let mut native = Native::open(program.addr, "/echo", Transport::ServerSentEvents, FORMATS[0]).await;
    program.signal("TERM");
    assert_eq!(native.close_frame().await.code, 1001);
    leave(native).await;
    while plain.next().await.is_some() {}
    program.ended().await;
}
