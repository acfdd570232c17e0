//! HTTP/2 over any stream, WebSockets included.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::*;

/// A connection.
pub(crate) struct Http2 {
    sender: SendRequest<Empty<Bytes>>,
    origin: String,
}

impl Http2 {
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        scheme: &str,
        authority: &str,
    ) -> Self {
        let (sender, connection) = soon(handshake(TokioExecutor::new(), TokioIo::new(stream))).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut client = Self { sender, origin: format!("{scheme}://{authority}") };
        // With its answer come the server's settings, which allow the extended CONNECT.
        client.send(Method::GET, "/").await;
        client
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(self.uri(path)).body(Empty::new());
        let (parts, body) = self.ask(request.expect("a request")).await.into_parts();
        let body = soon(body.collect()).await.expect("a whole body").to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// An event stream.
    pub(crate) async fn events(&mut self, path: &str) -> EventReader {
        let request = Request::builder().uri(self.uri(path)).header("accept", "text/event-stream").body(Empty::new());
        EventReader::new(self.ask(request.expect("a request")).await)
    }

    /// A plain WebSocket (RFC 8441).
    pub(crate) async fn websocket(&mut self, path: &str, headers: &[(&str, &str)]) -> Ws {
        let response = self.connect(path, headers).await;
        assert_eq!(response.status(), 200);
        let upgraded = soon(hyper::upgrade::on(response)).await.expect("a stream");
        Ws::from_raw(Box::new(TokioIo::new(upgraded))).await
    }

    /// The status that refuses a WebSocket.
    pub(crate) async fn refused_websocket(&mut self, path: &str) -> u16 {
        self.connect(path, &[]).await.status().as_u16()
    }

    async fn connect(&mut self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(self.uri(path))
            .extension(hyper::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Empty::new()).expect("a request")).await
    }

    async fn ask(&mut self, request: Request<Empty<Bytes>>) -> Response<Incoming> {
        soon(self.sender.send_request(request)).await.expect("an answer")
    }

    fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}
