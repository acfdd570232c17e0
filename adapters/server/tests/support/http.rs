use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::soon;

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("our headers are ASCII"))
    }

    /// Status and `Nosphere-Error`, which every refusal has.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        assert_eq!(self.header("cache-control"), Some("no-store"), "SPEC NEG-4");
        (self.status, self.header("nosphere-error").unwrap_or_default())
    }

    pub(crate) fn received(&self) -> Option<u64> {
        self.header("nosphere-received").map(|count| count.parse().expect("a count"))
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("UTF-8")
    }
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    Request::builder().method(Method::GET).uri(path)
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::builder().method(Method::POST).uri(path)
}

/// Sends a request on a connection of its own, which ends when the answer is dropped.
#[track_caller]
pub(crate) fn request(
    http: Http,
    addr: SocketAddr,
    request: Request<Full<Bytes>>,
) -> impl Future<Output = Response<Incoming>> {
    soon(async move {
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("an option");
        let stream = TokioIo::new(stream);
        let (mut parts, body) = request.into_parts();
        match http {
            Http::One => {
                parts.headers.entry("host").or_insert_with(|| addr.to_string().parse().expect("a header"));
                let (mut sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                sender.send_request(Request::from_parts(parts, body)).await.expect("an answer")
            }
            Http::Two => {
                parts.uri = format!("http://{addr}{}", parts.uri).parse().expect("a URI");
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
                tokio::spawn(connection);
                sender.send_request(Request::from_parts(parts, body)).await.expect("an answer")
            }
        }
    })
}

/// Sends a request and reads the whole answer.
#[track_caller]
pub(crate) fn exchange(http: Http, addr: SocketAddr, asked: Request<Full<Bytes>>) -> impl Future<Output = Answer> {
    let response = request(http, addr, asked);
    soon(async move {
        let (parts, body) = response.await.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    })
}

/// Sends a request without a body over HTTP/1.1 and reads the whole answer.
#[track_caller]
pub(crate) fn send(addr: SocketAddr, builder: http::request::Builder, body: &str) -> impl Future<Output = Answer> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    exchange(Http::One, addr, builder.body(Full::new(body)).expect("a request"))
}
