//! The implementation under test, and how to reach it.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Outcome<T = ()> = Result<T, Error>;

/// Until what is due counts as not coming.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longer than a poll may wait.
const POLL_PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const JSON: &str = "nosphere.v1.json";
pub(crate) const MESSAGEPACK: &str = "nosphere.v1.messagepack";
pub(crate) const JSON_BODY: &str = "application/vnd.nosphere.v1.json";

/// Fails unless both are equal.
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub(crate) fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(what: &str, got: T, expected: U) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}").into()) }
}

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    authority: String,
    path: String,
}

impl Peer {
    pub(crate) fn new(url: &str, path: &str) -> Outcome<Self> {
        let uri: Uri = url.parse()?;
        if uri.scheme_str() != Some("http") {
            return Err("the URL must begin with http://".into());
        }
        let authority = uri.authority().ok_or("the URL names no host")?.as_str();
        let authority = if uri.port().is_some() { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority, path: path.to_owned() })
    }

    async fn connect(&self) -> Outcome<TcpStream> {
        Ok(TcpStream::connect(&self.authority).await?)
    }

    /// A WebSocket on which nothing was said, and the subprotocol that was chosen.
    pub(crate) async fn dial(&self, headers: &[(&str, &str)]) -> Result<(Socket, Option<String>), tungstenite::Error> {
        let mut request = format!("ws://{}{}", self.authority, self.path).into_client_request()?;
        request.headers_mut().extend(fields(headers));
        let stream = TcpStream::connect(&self.authority).await?;
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
        let chosen = response.headers().get("sec-websocket-protocol");
        Ok((Socket(socket), chosen.and_then(|chosen| chosen.to_str().ok()).map(str::to_owned)))
    }

    /// A WebSocket of the format `json` on which nothing was said.
    pub(crate) async fn socket(&self) -> Outcome<Socket> {
        Ok(self.dial(&[("sec-websocket-protocol", JSON)]).await?.0)
    }

    /// A session on a WebSocket.
    pub(crate) async fn open(&self) -> Outcome<(Socket, Key)> {
        let mut socket = self.socket().await?;
        socket.send(&open(256)).await?;
        let key = Key::of(&socket.next().await?)?;
        socket.send(&json!({"ack": 0})).await?;
        Ok((socket, key))
    }

    /// A session goes on on a WebSocket; the answer to the offer.
    pub(crate) async fn resume(&self, key: &Key, attachment: u64, received: u64) -> Outcome<(Socket, Value)> {
        let mut socket = self.socket().await?;
        socket.send(&key.offer(attachment, received)).await?;
        let answer = socket.next().await?;
        Ok((socket, answer))
    }

    pub(crate) async fn request(&self, method: Method, headers: &[(&str, &str)], body: &str) -> Outcome<Answer> {
        let response = self.respond(method, headers, body).await?;
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await??.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) async fn get(&self, headers: &[(&str, &str)]) -> Outcome<Answer> {
        self.request(Method::GET, headers, "").await
    }

    /// The events of a stream.
    pub(crate) async fn stream(&self, headers: &[(&str, &str)]) -> Outcome<(HeaderMap, Events)> {
        let response = self.respond(Method::GET, headers, "").await?;
        same("the status", response.status(), StatusCode::OK)?;
        let (parts, body) = response.into_parts();
        Ok((parts.headers, Events { body, text: String::new() }))
    }

    pub(crate) async fn respond(
        &self,
        method: Method,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Outcome<http::Response<Incoming>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await?)).await?;
        // What becomes of the connection, its requests tell.
        tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.parse()?;
        request.headers_mut().insert(http::header::HOST, self.authority.parse()?);
        request.headers_mut().extend(fields(headers));
        Ok(tokio::time::timeout(POLL_PATIENCE, sender.send_request(request)).await??)
    }

    /// The same endpoint with a query.
    pub(crate) fn with_query(&self, query: &str) -> Self {
        Self { path: format!("{}?{query}", self.path), ..self.clone() }
    }
}

fn fields(headers: &[(&str, &str)]) -> HeaderMap {
    let field =
        |(name, value): &(&str, &str)| Some((HeaderName::try_from(*name).ok()?, HeaderValue::try_from(*value).ok()?));
    headers.iter().filter_map(field).collect()
}

/// `open` with a window of so many messages.
pub(crate) fn open(messages: u64) -> Value {
    json!({"open": {"attachment": 1, "window": {"messages": messages, "bytes": 1 << 20}}})
}

/// A session's id and token.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) session: String,
    pub(crate) token: String,
}

impl Key {
    pub(crate) fn of(frame: &Value) -> Outcome<Self> {
        let field = |name: &str| frame["opened"][name].as_str().map(str::to_owned);
        match (field("session"), field("token")) {
            (Some(session), Some(token)) => Ok(Self { session, token }),
            _ => Err(format!("expected opened, got {frame}").into()),
        }
    }

    pub(crate) fn offer(&self, attachment: u64, received: u64) -> Value {
        let Self { session, token } = self;
        json!({"resume": {"session": session, "token": token, "attachment": attachment, "received": received}})
    }
}

#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn send(&mut self, frame: &Value) -> Outcome {
        self.send_raw(Message::text(frame.to_string())).await
    }

    pub(crate) async fn send_raw(&mut self, message: Message) -> Outcome {
        Ok(self.0.send(message).await?)
    }

    /// The next message, whatever it is.
    pub(crate) async fn next_raw(&mut self) -> Outcome<Message> {
        loop {
            let next =
                tokio::time::timeout(PATIENCE, self.0.next()).await.map_err(|_| "waited in vain for a message")?;
            let message = next.ok_or("the connection ended")??;
            if !message.is_ping() && !message.is_pong() {
                return Ok(message);
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Outcome<Value> {
        let message = self.next_raw().await?;
        if !message.is_text() {
            return Err(format!("expected a frame, got {message:?}").into());
        }
        Ok(serde_json::from_str(message.to_text()?)?)
    }

    /// The next frame that is `kind`; others that are no messages are passed over.
    pub(crate) async fn frame(&mut self, kind: &str) -> Outcome<Value> {
        loop {
            let frame = self.next().await?;
            if let Some(value) = frame.get(kind) {
                return Ok(value.clone());
            }
            if ["text", "json", "binary"].iter().any(|message| frame.get(message).is_some()) {
                return Err(format!("expected {kind}, got {frame}").into());
            }
        }
    }

    /// Fails unless the next messages are these texts.
    pub(crate) async fn texts(&mut self, expected: &[&str]) -> Outcome {
        for expected in expected {
            same("the next message", self.frame("text").await?, *expected)?;
        }
        Ok(())
    }

    /// Fails unless the peer closes with this code; what it says before is passed over.
    pub(crate) async fn closes(&mut self, code: u16) -> Outcome {
        loop {
            if let Message::Close(close) = self.next_raw().await? {
                return same("the close code", close.map(|close| u16::from(close.code)), Some(code));
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Fails unless it has this status, and this `Nosphere-Error` if it is not empty.
    pub(crate) fn is(&self, status: u16, error: &str) -> Outcome {
        let expected = Some(error).filter(|error| !error.is_empty());
        same("the answer", (self.status.as_u16(), self.header("nosphere-error")), (status, expected))
    }

    /// The frames of a body in `json`.
    pub(crate) fn frames(&self) -> Outcome<Vec<Value>> {
        self.is(200, "")?;
        let units = std::str::from_utf8(&self.body)?.split_terminator('\n');
        Ok(units.map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

/// An event of a stream: its name, data and id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) id: String,
}

#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The next event; comments are passed over.
    pub(crate) async fn next(&mut self) -> Outcome<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = Self::read(block);
                self.text = rest.to_owned();
                if event != Event::default() {
                    return Ok(event);
                }
            }
            let frame =
                tokio::time::timeout(PATIENCE, self.body.frame()).await.map_err(|_| "waited in vain for an event")?;
            if let Ok(data) = frame.ok_or("the stream ended")??.into_data() {
                self.text.push_str(std::str::from_utf8(&data)?);
            }
        }
    }

    fn read(block: &str) -> Event {
        let mut event = Event::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.name = value.to_owned(),
                "id" => event.id = value.to_owned(),
                "data" if event.data.is_empty() => event.data = value.to_owned(),
                "data" => event.data = format!("{}\n{value}", event.data),
                _ => {}
            }
        }
        event
    }
}
