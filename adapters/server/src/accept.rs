//! WebSocket handshakes that no HTTP server has to see.
//!
//! The first segment of a connection is looked at and left where it is. If it has the whole head of an ordinary handshake for an
//! endpoint, that is answered as it would be behind hyper, to the byte. Whatever is anything else has not been read yet, and
//! is left to the HTTP server.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Extensions, StatusCode};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::date::Date;
use crate::ordinary::{Handshake, MAX_FIELDS};
use crate::request::{Arrival, Asked, Bare, Read, read, read_ordinary};
use crate::shared::Shared;
use crate::websocket::WebSocket;
use crate::{Body, Server};

/// How much of a connection is looked at. A browser's handshake is about 500 bytes, and its cookies.
const MAX_LOOK: usize = 4096;

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
        let (mut stream, mut extensions) = (Some(stream), Some(extensions));
        let mut patience = Patience { limit: shared.config.session.open_timeout, sleep: None };
        // All of it is one step, as a rule, and nothing of it is kept in this future: there is one for each connection.
        let step = std::future::poll_fn(|cx| {
            let Some(first) = &stream else { return Poll::Ready(Step::Done(None)) };
            let asked = match poll_handshake(shared, first, &mut extensions, cx) {
                Poll::Ready(asked) => asked,
                Poll::Pending => ready!(patience.poll(cx).map(|()| None)),
            };
            // Whoever says nothing is the HTTP server's to deal with, and so is whatever goes wrong here.
            let step = stream.take().map(|stream| match asked {
                Some(asked) => answer(shared, stream, asked),
                None => Step::Done(Some(stream)),
            });
            Poll::Ready(step.unwrap_or(Step::Done(None)))
        });
        match step.await {
            Step::Done(stream) => stream,
            Step::Greet(session) => {
                session.await;
                None
            }
            Step::Write(rest) => rest.await,
        }
    }
}

/// What follows on the first segment.
enum Step {
    /// Nothing: the connection is given back, or has a session.
    Done(Option<TcpStream>),
    /// It is to be found out which session is meant.
    Greet(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The client does not read its first answer.
    Write(Pin<Box<dyn Future<Output = Option<TcpStream>> + Send>>),
}

/// Asks the application, and answers.
fn answer(shared: &Arc<Shared>, stream: TcpStream, asked: Asked) -> Step {
    let (answer, arrival) = encode(asked.open_bare(shared));
    let written = match stream.try_write(&answer) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(_) => return Step::Done(None),
    };
    if written < answer.len() {
        let limit = shared.config.session.open_timeout;
        return Step::Write(Box::pin(async move {
            write(limit, &stream, &answer[written..]).await.ok()?;
            match begin(stream, arrival) {
                Step::Greet(session) => session.await,
                Step::Done(stream) => return stream,
                Step::Write(_) => {}
            }
            None
        }));
    }
    begin(stream, arrival)
}

/// The answer is written.
fn begin(stream: TcpStream, arrival: Option<Arrival>) -> Step {
    let Some(arrival) = arrival else { return Step::Done(Some(stream)) };
    let socket = WebSocket::direct(stream, arrival.shared());
    arrival.begin(socket).map_or(Step::Done(None), Step::Greet)
}

/// A limit of time that costs nothing unless it has to be waited for.
struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        sleep.as_mut().poll(cx)
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
    let Some((asked, length)) = read_handshake(shared, bytes.filled(), extensions) else { return Poll::Ready(None) };
    // These bytes are there; what may be behind them is the session's.
    let taken = stream.try_read(&mut bytes.filled_mut()[..length]);
    Poll::Ready(taken.is_ok_and(|taken| taken == length).then_some(asked))
}

/// What the head of a handshake asks for, if nobody has to be waited for and HTTP has no part in it; and how long it is.
fn read_handshake(shared: &Arc<Shared>, bytes: &[u8], extensions: &mut Option<Extensions>) -> Option<(Asked, usize)> {
    if !bytes.starts_with(b"GET /") {
        return None;
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut []);
    let parsed = head.parse_with_uninit_headers(&bytes, &mut fields);
    let Ok(httparse::Status::Complete(length)) = parsed else { return None };
    // Most connections of most servers ask for something else.
    let upgrades = head.headers.iter().any(|field| field.name.eq_ignore_ascii_case("upgrade"));
    if head.version != Some(1) || !upgrades {
        return None;
    }
    let handshake = Handshake::new(&bytes, head.path?, head.headers);
    if let Some((parts, unread, page)) = handshake.ordinary()
        && let Some(asked) = read_ordinary(shared, parts, extensions, unread, page)
    {
        return Some((asked, length));
    }
    let mut parts = handshake.whole()?;
    parts.extensions = extensions.take().unwrap_or_default();
    match read(shared, parts, true) {
        Read::Asked(asked) if asked.opens_websocket(shared) => Some((asked, length)),
        Read::Asked(_) | Read::Answered(_) | Read::Passed(..) => None,
    }
}

async fn write(limit: Duration, stream: &TcpStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        tokio::time::timeout(limit, stream.writable()).await??;
        match stream.try_write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An answer as hyper writes it.
fn encode(answer: Bare) -> (Vec<u8>, Option<Arrival>) {
    let (mut bytes, fields, body, arrival) = match answer {
        Bare::Accepted { answer, fields, arrival } => (answer, fields, Body::default(), Some(arrival)),
        Bare::Refused(response) => {
            let (parts, body) = response.into_parts();
            (status_line(parts.status), Some(parts.headers), body, None)
        }
    };
    for (name, value) in fields.iter().flatten() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let has_length = fields.is_some_and(|fields| fields.contains_key(CONTENT_LENGTH));
    if arrival.is_none() && !has_length {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.as_bytes().len()).as_bytes());
    }
    bytes.extend_from_slice(b"date: ");
    bytes.extend_from_slice(&Date::now());
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(body.as_bytes());
    (bytes, arrival)
}

fn status_line(status: StatusCode) -> Vec<u8> {
    ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or("<none>"), "\r\n"].concat().into_bytes()
}
