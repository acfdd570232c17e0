//! A client by the letter of SPEC.md, with no core in it.

use std::future::poll_fn;
use std::pin::Pin;

use nosphere_core::{Close, Encoded, Frame, Offer, Open, Opened, Unit, Window, WireFormat as _};
use nosphere_websocket::{Decoder, Item, ReadOutcome, Reader, Role, Writer};
use nosphere_wire::JSON;
use nosphere_wire::batch::{decode_batch, encode_batch};

use crate::net::{End, Exchange, Head, Network, Step};
use crate::plan::Request;

const PATH: &str = "/lobby";
const TYPE: &str = "application/vnd.nosphere.v1.json";
const PROTOCOL: &str = "nosphere.v1.json";

/// Everything that a probe does goes through here.
pub(super) struct Raw {
    pub(super) network: Network,
    pub(super) session: Option<Opened>,
    pub(super) attachment: u64,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) error: Option<String>,
    pub(super) frames: Vec<Frame>,
}

impl Raw {
    pub(super) fn new(network: &Network) -> Self {
        Self { network: network.clone(), session: None, attachment: 1 }
    }

    fn dial(&self, request: Request) -> Result<End, String> {
        self.network.dial(0, request).ok_or_else(|| "no connection".to_owned())
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers =
            vec![("nosphere-protocol", PROTOCOL.to_owned()), ("nosphere-attachment", self.attachment.to_string())];
        if let Some(opened) = &self.session {
            headers.push(("nosphere-session", opened.session.to_string()));
            headers.push(("nosphere-token", opened.token.reveal()));
            headers.push(("nosphere-received", "0".to_owned()));
        }
        headers
    }

    /// One poll, begun now; its answer is awaited with [`answer`].
    pub(super) fn begin_poll(&self) -> Result<Exchange, String> {
        let mut headers = self.headers();
        headers.push(("nosphere-transport", "long-polling".to_owned()));
        Ok(Exchange::new(self.dial(Request::Get)?, "GET", PATH, &headers, &[]))
    }

    pub(super) async fn poll(&self) -> Result<Answer, String> {
        answer(self.begin_poll()?).await
    }

    /// A POST whose body claims to be so much longer than it is.
    pub(super) fn begin_post(&self, frames: Vec<Frame>, base: u64, missing: usize) -> Result<Exchange, String> {
        let mut headers = self.headers();
        headers.remove(0);
        headers.push(("content-type", TYPE.to_owned()));
        headers.push(("nosphere-base", base.to_string()));
        let units = frames.into_iter().map(|frame| JSON.encode(frame)).collect::<Result<Vec<_>, _>>();
        let units = units.map_err(|error| error.to_string())?;
        let mut body = encode_batch(&JSON, units.iter().map(Unit::as_bytes)).to_vec();
        body.extend(std::iter::repeat_n(b'\n', missing));
        let io = self.dial(Request::Post)?;
        Ok(Exchange::withholding(io, "POST", PATH, &headers, &body, missing))
    }

    pub(super) async fn post(&self, frames: Vec<Frame>, base: u64) -> Result<Answer, String> {
        answer(self.begin_post(frames, base, 0)?).await
    }

    /// Opens a session by a poll, and shows that it got it.
    pub(super) async fn open_by_poll(&mut self) -> Result<(), String> {
        let answer = self.poll().await?;
        match answer.frames.as_slice() {
            [Frame::Opened(opened), ..] => self.session = Some(*opened),
            _ => return Err(format!("not opened: {answer:?}")),
        }
        self.post(Vec::new(), 0).await.and_then(|answer| expect_status(&answer, 204))
    }

    /// An event stream, its first event read.
    pub(super) async fn stream(&mut self) -> Result<Stream, String> {
        let mut headers = self.headers();
        headers.push(("accept", "text/event-stream".to_owned()));
        let exchange = Exchange::new(self.dial(Request::Get)?, "GET", PATH, &headers, &[]);
        let mut stream = Stream { exchange, buffer: Vec::new() };
        match stream.next().await? {
            Some(Frame::Opened(opened)) => self.session = Some(opened),
            Some(Frame::Resumed { .. }) => {}
            other => return Err(format!("neither opened nor resumed: {other:?}")),
        }
        Ok(stream)
    }

    /// A WebSocket on which nothing was said.
    pub(super) async fn socket(&self) -> Result<Socket, String> {
        let headers = [
            ("connection", "Upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-version", "13".to_owned()),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
            ("sec-websocket-protocol", PROTOCOL.to_owned()),
        ];
        let mut exchange = Exchange::new(self.dial(Request::Upgrade)?, "GET", PATH, &headers, &[]);
        match poll_fn(|cx| exchange.poll(cx)).await {
            Ok(Step::Head(Head { status: 101, .. })) => {}
            Ok(Step::Head(head)) => return Err(format!("no upgrade: {head:?}")),
            Ok(Step::Data(_) | Step::End) | Err(_) => return Err("no upgrade".into()),
        }
        let (io, leftover) = exchange.into_parts();
        let reader = Reader::new(Decoder::new(Role::Client, 1 << 20), &leftover);
        Ok(Socket { reader, writer: Writer::client(|| [1, 2, 3, 4]), io, waiting: Vec::new() })
    }

    /// A WebSocket with a session that has shown that it got it.
    pub(super) async fn open_socket(&mut self) -> Result<Socket, String> {
        let mut socket = self.socket().await?;
        socket.send(Frame::Open(Open { attachment: self.attachment, window: Window::default() })).await?;
        match socket.next().await? {
            Some(Said::Frame(Frame::Opened(opened))) => self.session = Some(opened),
            other => return Err(format!("not opened: {other:?}")),
        }
        socket.send(Frame::Ack { received: 0 }).await?;
        Ok(socket)
    }

    /// What the server answers to an offer, and the socket.
    pub(super) async fn resume_socket(&mut self) -> Result<(Socket, Option<Said>), String> {
        self.attachment += 1;
        let mut socket = self.socket().await?;
        let opened = self.session.ok_or("no session")?;
        let offer = Offer { session: opened.session, token: opened.token, attachment: self.attachment, received: 0 };
        socket.send(Frame::Resume(offer)).await?;
        let said = socket.next().await?;
        Ok((socket, said))
    }
}

/// Reads an answer whole.
pub(super) async fn answer(mut exchange: Exchange) -> Result<Answer, String> {
    let (mut head, mut body) = (None, Vec::new());
    loop {
        match poll_fn(|cx| exchange.poll(cx)).await.map_err(|error| error.to_string())? {
            Step::Head(first) => head = Some(first),
            Step::Data(bytes) => body.extend(bytes),
            Step::End => break,
        }
    }
    let Head { status, error, .. } = head.ok_or("an answer without a head")?;
    let mut frames = Vec::new();
    if status == 200 {
        let units = decode_batch(&JSON, &body.into(), true, 10_000).map_err(|error| error.to_string())?;
        frames =
            units.into_iter().map(|unit| JSON.decode(unit)).collect::<Result<_, _>>().map_err(|e| format!("{e:?}"))?;
    }
    Ok(Answer { status, error, frames })
}

pub(super) fn expect_status(answer: &Answer, status: u16) -> Result<(), String> {
    if answer.status == status { Ok(()) } else { Err(format!("{status} was expected: {answer:?}")) }
}

/// An event stream.
pub(super) struct Stream {
    exchange: Exchange,
    buffer: Vec<u8>,
}

impl Stream {
    /// The next frame; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, String> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = str::from_utf8(&line[..end]).map_err(|error| error.to_string())?;
                if let Some(data) = line.strip_prefix("data: ") {
                    return JSON.decode(Unit::Text(data.into())).map(Some).map_err(|error| format!("{error:?}"));
                }
            }
            match poll_fn(|cx| self.exchange.poll(cx)).await {
                Ok(Step::Head(head)) if head.status == 200 => {}
                Ok(Step::Head(head)) => return Err(format!("no event stream: {head:?}")),
                Ok(Step::Data(bytes)) => self.buffer.extend(bytes),
                Ok(Step::End) | Err(_) => return Ok(None),
            }
        }
    }
}

/// A WebSocket.
pub(super) struct Socket {
    reader: Reader,
    writer: Writer,
    io: End,
    waiting: Vec<Item>,
}

/// What the server says on a WebSocket.
#[derive(Debug)]
pub(super) enum Said {
    Frame(Frame),
    /// The WebSocket's own close, and its code.
    End(Option<u16>),
}

impl Socket {
    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), String> {
        let unit = JSON.encode(frame).map_err(|error| error.to_string())?;
        let mut next = Some(Encoded::new(unit).into());
        let Self { writer, io, .. } = self;
        poll_fn(|cx| writer.poll_flush(Pin::new(io), cx, || next.take())).await.map_err(|error| error.to_string())
    }

    /// `None` when the connection is gone.
    pub(super) async fn next(&mut self) -> Result<Option<Said>, String> {
        loop {
            if !self.waiting.is_empty() {
                let unit = match self.waiting.remove(0) {
                    Item::Text(text) => Unit::Text(text),
                    Item::Binary(bytes) => Unit::Binary(bytes),
                    Item::Close(close) => return Ok(Some(Said::End(close.code))),
                    Item::Ping(_) | Item::Pong(_) => continue,
                };
                return JSON.decode(unit).map(|frame| Some(Said::Frame(frame))).map_err(|error| format!("{error:?}"));
            }
            let Self { reader, io, waiting, .. } = self;
            match poll_fn(|cx| reader.poll_read_items(Pin::new(io), cx, waiting)).await {
                Ok(ReadOutcome::Items) => {}
                Ok(ReadOutcome::End) | Err(_) => return Ok(None),
                Ok(ReadOutcome::Error(error)) => return Err(error.to_string()),
            }
        }
    }
}

/// `close`, as an application says it.
pub(super) fn close() -> Frame {
    Frame::Close(Close { code: 1000, reason: "".into(), received: 0 })
}
