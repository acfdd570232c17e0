//! WebSocket handshakes that no HTTP server has to see.
//!
//! The first segment of a connection is looked at and left where it is. If it has the whole head of an ordinary handshake for an
//! endpoint, that is answered as it would be behind hyper, to the byte. Whatever is anything else has not been read yet, and
//! is left to the HTTP server.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Extensions, HeaderValue, Request, Response, Uri};
use nosphere_websocket::handshake;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::date::Date;
use crate::request::{Asked, Read, read};
use crate::shared::Shared;
use crate::websocket::WebSocket;
use crate::{Body, Server};

/// How much of a connection is looked at. A browser's handshake is about 500 bytes, and its cookies.
const MAX_LOOK: usize = 4096;

/// How many header fields it may have.
const MAX_FIELDS: usize = 48;

impl Server {
    /// Answers a connection that begins with a WebSocket handshake for an endpoint, at half of what it costs behind an HTTP
    /// server; gives any other back, for that.
    ///
    /// Of a connection that is given back nothing was read, or else one handshake that the server refused, and answered so: the
    /// client may go on with another request. `extensions` are what the application finds in
    /// [`RequestHead::extensions`](crate::RequestHead::extensions), the [`Peer`](crate::Peer) for example: middleware does not
    /// see these requests. Answers are the same either way.
    ///
    /// What is taken is `GET` by HTTP/1.1 whose head comes in one piece of at most 4 KiB. With an
    /// [admission](crate::Builder::admission), which may take time, and for clients of atmosphere.js nothing is. A connection
    /// on which nothing comes for [`Config::open_timeout`](crate::Config::open_timeout) is given back as it is.
    ///
    /// ```no_run
    /// use hyper_util::rt::{TokioExecutor, TokioIo};
    /// use hyper_util::server::conn::auto;
    /// use hyper_util::service::TowerToHyperService;
    /// use nosphere::{Peer, Server, http::Extensions};
    ///
    /// # async fn example(server: Server, listener: tokio::net::TcpListener) -> Result<(), nosphere::Error> {
    /// let http = auto::Builder::new(TokioExecutor::new());
    /// loop {
    ///     let (stream, peer) = listener.accept().await?;
    ///     let (server, http) = (server.clone(), http.clone());
    ///     tokio::spawn(async move {
    ///         let mut extensions = Extensions::new();
    ///         extensions.insert(Peer(peer));
    ///         let Some(stream) = server.accept(stream, extensions).await else { return };
    ///         // In a box, or every task is as large as this.
    ///         let service = TowerToHyperService::new(server);
    ///         drop(Box::pin(http.serve_connection_with_upgrades(TokioIo::new(stream), service)).await);
    ///     });
    /// }
    /// # }
    /// ```
    pub async fn accept(&self, stream: TcpStream, extensions: Extensions) -> Option<TcpStream> {
        let shared = self.shared();
        if shared.admission.gate.is_some() {
            return Some(stream);
        }
        let mut extensions = Some(extensions);
        let look = std::future::poll_fn(|cx| poll_handshake(shared, &stream, &mut extensions, cx));
        // Whoever says nothing is the HTTP server's to deal with, and so is whatever goes wrong here.
        let asked = tokio::time::timeout(shared.config.session.open_timeout, look).await.ok().flatten();
        let Some(asked) = asked else { return Some(stream) };
        let (answer, arrival) = {
            let (response, arrival) = asked.open(shared);
            (encode(&response), arrival)
        };
        write(shared, &stream, &answer).await.ok()?;
        match arrival {
            Some(arrival) => {
                let socket = WebSocket::direct(stream, arrival.max_message_size());
                if let Some(rest) = arrival.begin(socket) {
                    rest.await;
                }
                None
            }
            None => Some(stream),
        }
    }
}

/// Waits for the first segment, and takes it if it is the head of a handshake.
fn poll_handshake(
    shared: &Arc<Shared>,
    stream: &TcpStream,
    extensions: &mut Option<Extensions>,
    cx: &mut Context<'_>,
) -> Poll<Option<Asked>> {
    let mut bytes = [const { MaybeUninit::uninit() }; MAX_LOOK];
    let mut bytes = ReadBuf::uninit(&mut bytes);
    if ready!(stream.poll_peek(cx, &mut bytes)).is_err() {
        return Poll::Ready(None);
    }
    let Some((mut parts, length)) = parse(bytes.filled()) else { return Poll::Ready(None) };
    parts.extensions = extensions.take().unwrap_or_default();
    let asked = match read(shared, parts, true) {
        Read::Asked(asked) if asked.opens_websocket(shared) => asked,
        Read::Asked(_) | Read::Answered(_) | Read::Passed(..) => return Poll::Ready(None),
    };
    // These bytes are there; what may be behind them is the session's.
    let taken = stream.try_read(&mut bytes.filled_mut()[..length]);
    Poll::Ready(taken.is_ok_and(|taken| taken == length).then_some(asked))
}

/// The head of a handshake without anything unusual, and its length.
fn parse(bytes: &[u8]) -> Option<(Parts, usize)> {
    if !bytes.starts_with(b"GET /") {
        return None;
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let parsed = head.parse_with_uninit_headers(&bytes, &mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed else { return None };
    let upgrades = head.headers.iter().any(|field| field.name.eq_ignore_ascii_case("upgrade"));
    if head.version != Some(1) || !upgrades {
        return None;
    }
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(head.path?.as_bytes())).ok()?;
    let headers = request.headers_mut();
    headers.reserve(head.headers.len());
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).ok()?;
        // A body, or a connection that ends with the answer.
        if [CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING].contains(&name) || name == CONNECTION && !stays_open(&value) {
            return None;
        }
        headers.try_append(name, value).ok()?;
    }
    handshake::is_upgrade(&request).then(|| (request.into_parts().0, length))
}

fn stays_open(connection: &HeaderValue) -> bool {
    let close = |token: &str| token.trim().eq_ignore_ascii_case("close");
    connection == "Upgrade" || connection.to_str().is_ok_and(|value| !value.split(',').any(close))
}

async fn write(shared: &Shared, stream: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    loop {
        match stream.try_write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) if written == rest.len() => return Ok(()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // A client that does not read its first answer.
                tokio::time::timeout(shared.config.session.open_timeout, stream.writable()).await??;
            }
            Err(error) => return Err(error),
        }
    }
}

/// An answer as hyper writes it.
fn encode(response: &Response<Body>) -> Vec<u8> {
    let status = response.status();
    let mut bytes = Vec::with_capacity(512);
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or("<none>"), "\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let body = response.body().as_bytes();
    if !status.is_informational() && !response.headers().contains_key(CONTENT_LENGTH) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"date: ");
    bytes.extend_from_slice(&Date::now());
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(body);
    bytes
}
