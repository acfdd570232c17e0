use std::collections::VecDeque;
use std::net::SocketAddr;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::Full;
use nosphere::{Json, Payload, SessionId, Transport, Window, WireFormat};
use nosphere_core::{Close, Frame, Offer, Open, ResumeToken, Unit};
use nosphere_wire::batch::{decode_batch, encode_batch};
use nosphere_wire::{JSON, MESSAGEPACK};

use super::{Answer, EventReader, Http, Ws, WsMessage, exchange, get, post, request};

pub(crate) const FORMATS: [&dyn WireFormat; 2] = [&JSON, &MESSAGEPACK];

pub(crate) const TRANSPORTS: [Transport; 3] =
    [Transport::WebSocket, Transport::ServerSentEvents, Transport::LongPolling];

pub(crate) fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

pub(crate) fn json(value: &serde_json::Value) -> Payload {
    Payload::Json(Json::new(value).expect("JSON"))
}

/// A client of the native protocol, by the letter of SPEC.md and with no core in it.
pub(crate) struct Native {
    /// Where its next connection goes.
    pub(crate) addr: SocketAddr,
    http: Http,
    path: String,
    format: &'static dyn WireFormat,
    pub(crate) session: SessionId,
    pub(crate) token: ResumeToken,
    pub(crate) attachment: u64,
    /// How many messages of the server were taken.
    pub(crate) received: u64,
    /// How many messages the server is known to have taken, and those behind.
    base: u64,
    outbox: VecDeque<Frame>,
    /// How many messages went out on this attachment or before.
    sent: u64,
    pub(crate) carrier: Carrier,
    waiting: VecDeque<Frame>,
}

/// What carries frames to the client.
pub(crate) enum Carrier {
    None,
    Poll,
    Sse(EventReader),
    Ws(Box<Ws>),
}

impl Native {
    pub(crate) async fn open(
        addr: SocketAddr,
        path: &str,
        transport: Transport,
        format: &'static dyn WireFormat,
    ) -> Self {
        Self::open_over(Http::One, addr, path, transport, format).await
    }

    pub(crate) async fn open_over(
        http: Http,
        addr: SocketAddr,
        path: &str,
        transport: Transport,
        format: &'static dyn WireFormat,
    ) -> Self {
        let mut client = Self::silent(http, addr, path, transport, format).await;
        client.prove().await;
        client
    }

    /// A session whose client does not show that it got `opened`.
    pub(crate) async fn silent(
        http: Http,
        addr: SocketAddr,
        path: &str,
        transport: Transport,
        format: &'static dyn WireFormat,
    ) -> Self {
        let mut client = Self {
            addr,
            http,
            path: path.into(),
            format,
            session: [0; 16].into(),
            token: ResumeToken::from_random([0; 16]),
            attachment: 1,
            received: 0,
            base: 0,
            outbox: VecDeque::new(),
            sent: 0,
            carrier: Carrier::None,
            waiting: VecDeque::new(),
        };
        client.attach(transport).await;
        match client.next().await {
            Some(Frame::Opened(opened)) => (client.session, client.token) = (opened.session, opened.token),
            other => panic!("not opened: {other:?}"),
        }
        client
    }

    /// Shows that `opened` arrived (SPEC SES-6).
    pub(crate) async fn prove(&mut self) {
        match &self.carrier {
            Carrier::Ws(_) => self.frame(Frame::Ack { received: 0 }).await,
            _ => assert_eq!(self.post_frames(0, Vec::new()).await.status, 204),
        }
    }

    /// Moves to another link; gives the old one, which may be dropped, or used to break rules.
    pub(crate) async fn resume(&mut self, transport: Transport) -> Carrier {
        self.attachment += 1;
        let old = std::mem::replace(&mut self.carrier, Carrier::None);
        self.waiting.clear();
        self.attach(transport).await;
        match self.next().await {
            Some(Frame::Resumed { received }) => {
                self.acknowledged(received);
                self.sent = received;
            }
            other => panic!("not resumed: {other:?}"),
        }
        self.flush().await;
        old
    }

    /// Sends a message and keeps it until it is acknowledged.
    pub(crate) async fn send(&mut self, message: Payload) {
        self.exchange(Frame::Message(message)).await;
    }

    /// The same with a message of any sort.
    pub(crate) async fn exchange(&mut self, message: Frame) {
        self.outbox.push_back(message);
        self.flush().await;
    }

    /// The next frame; a ping is answered. `None` at the end of the link.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = loop {
            if let Some(frame) = self.waiting.pop_front() {
                break frame;
            }
            match &mut self.carrier {
                Carrier::None => return None,
                Carrier::Poll => {
                    let answer = self.poll().await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    self.waiting.extend(self.frames(&answer));
                }
                Carrier::Sse(events) => {
                    let event = events.next().await?;
                    let unit = match self.format.is_text() {
                        true => Unit::Text(event.data.into()),
                        false => Unit::Binary(STANDARD.decode(event.data).expect("base64").into()),
                    };
                    let frame = self.format.decode(unit).expect("a frame");
                    let number = frame.is_message().then(|| (self.received + 1).to_string());
                    assert_eq!(event.id, number, "SPEC SSE-2");
                    break frame;
                }
                Carrier::Ws(ws) => {
                    let unit = match ws.next().await? {
                        WsMessage::Text(text) => Unit::Text(text.as_str().into()),
                        WsMessage::Binary(bytes) => Unit::Binary(bytes),
                        WsMessage::Ping(_) | WsMessage::Pong(_) => continue,
                        WsMessage::Close(_) | WsMessage::Frame(_) => return None,
                    };
                    assert_eq!(self.format.is_text(), matches!(unit, Unit::Text(_)));
                    break self.format.decode(unit).expect("a frame");
                }
            }
        };
        match &frame {
            Frame::Message(_) | Frame::Reply(_) | Frame::Request(_) => {
                self.received += 1;
                // Long before half of any window. A poll says it by itself.
                if self.received.is_multiple_of(16) && !matches!(self.carrier, Carrier::Poll) {
                    let ack = Frame::Ack { received: self.received };
                    Box::pin(self.frame(ack)).await;
                }
            }
            Frame::Ack { received } | Frame::Pong { received } => self.acknowledged(*received),
            Frame::Ping { received } => {
                self.acknowledged(*received);
                let pong = Frame::Pong { received: self.received };
                Box::pin(self.frame(pong)).await;
            }
            _ => {}
        }
        Some(frame)
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Payload {
        loop {
            match self.next().await {
                Some(Frame::Message(payload)) => return payload,
                Some(Frame::Ack { .. } | Frame::Ping { .. } | Frame::Pong { .. }) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// The `close` of the session; what comes before is passed over.
    pub(crate) async fn close_frame(&mut self) -> Close {
        loop {
            match self.next().await {
                Some(Frame::Close(close)) => return close,
                Some(_) => {}
                None => panic!("no close"),
            }
        }
    }

    /// Ends the session.
    pub(crate) async fn close(mut self) {
        let received = self.received;
        self.frame(Frame::Close(Close { code: 1000, reason: "".into(), received })).await;
    }

    /// Sends a frame as it is.
    pub(crate) async fn frame(&mut self, frame: Frame) {
        let unit = self.format.encode(frame.clone()).expect("a unit");
        match &mut self.carrier {
            Carrier::Ws(ws) => ws.send(message(unit)).await,
            _ => {
                let answer = self.post_frames(self.sent, vec![frame]).await;
                assert_eq!(answer.status, 204, "{answer:?}");
            }
        }
    }

    /// Sends a POST, as if `base` messages had been sent.
    pub(crate) fn post_frames(&self, base: u64, frames: Vec<Frame>) -> impl Future<Output = Answer> + use<> {
        let units: Vec<_> = frames.into_iter().map(|frame| self.format.encode(frame).expect("a unit")).collect();
        let body = encode_batch(self.format, units.iter().map(Unit::as_bytes));
        exchange(self.http, self.addr, self.post_request(base, self.attachment, body))
    }

    pub(crate) fn post_request(&self, base: u64, attachment: u64, body: Bytes) -> http::Request<Full<Bytes>> {
        let builder = self.key(post(&self.path), attachment);
        let builder = builder.header("content-type", format!("application/vnd.nosphere.v1.{}", self.format.name()));
        builder.header("nosphere-base", base).body(Full::new(body)).expect("a request")
    }

    /// One poll of the current run.
    pub(crate) fn poll(&self) -> impl Future<Output = Answer> + use<> {
        exchange(self.http, self.addr, self.get_request(Transport::LongPolling, self.received))
    }

    /// The frames of a poll's answer.
    pub(crate) fn frames(&self, answer: &Answer) -> Vec<Frame> {
        let units = decode_batch(self.format, &answer.body, self.format.is_text(), 10_000).expect("a batch");
        units.into_iter().map(|unit| self.format.decode(unit).expect("a frame")).collect()
    }

    /// Asks for an event stream or a poll on the current attachment.
    pub(crate) fn get_request(&self, transport: Transport, received: u64) -> http::Request<Full<Bytes>> {
        let mut builder = get(&self.path).header("nosphere-protocol", format!("nosphere.v1.{}", self.format.name()));
        builder = match transport {
            Transport::ServerSentEvents => builder.header("accept", "text/event-stream"),
            _ => builder,
        };
        builder = if self.session == [0; 16].into() {
            builder.header("nosphere-attachment", self.attachment)
        } else {
            let session = builder.header("nosphere-session", self.session.to_string());
            let token = session.header("nosphere-token", self.token.reveal());
            token.header("nosphere-attachment", self.attachment).header("nosphere-received", received)
        };
        builder.body(Full::default()).expect("a request")
    }

    /// The offer to resume on the current attachment.
    pub(crate) fn offer(&self) -> Frame {
        Frame::Resume(Offer {
            session: self.session,
            token: self.token,
            attachment: self.attachment,
            received: self.received,
        })
    }

    pub(crate) fn ws(&mut self) -> &mut Ws {
        match &mut self.carrier {
            Carrier::Ws(ws) => ws,
            _ => panic!("not a WebSocket"),
        }
    }

    /// A WebSocket for this format, nothing said on it.
    pub(crate) async fn socket(&self) -> Ws {
        let name = format!("nosphere.v1.{}", self.format.name());
        let ws = Ws::connect(self.addr, &self.path, Some(&name)).await;
        assert_eq!(ws.subprotocol.as_ref(), Some(&name));
        ws
    }

    pub(crate) fn unit(&self, frame: Frame) -> WsMessage {
        message(self.format.encode(frame).expect("a unit"))
    }

    /// Drops the link as a lost network would.
    pub(crate) fn cut(&mut self) {
        self.carrier = Carrier::None;
    }

    async fn attach(&mut self, transport: Transport) {
        let fresh = self.session == [0; 16].into();
        self.carrier = match transport {
            Transport::WebSocket => {
                let mut ws = self.socket().await;
                let open = Frame::Open(Open { attachment: self.attachment, window: Window::default() });
                ws.send(self.unit(if fresh { open } else { self.offer() })).await;
                Carrier::Ws(Box::new(ws))
            }
            Transport::ServerSentEvents => {
                let asked = self.get_request(transport, self.received);
                Carrier::Sse(EventReader::new(request(self.http, self.addr, asked).await))
            }
            _ => Carrier::Poll,
        };
    }

    /// Sends what was not sent on this attachment.
    async fn flush(&mut self) {
        let frames: Vec<_> = self.outbox.iter().skip((self.sent - self.base) as usize).cloned().collect();
        let (before, count) = (self.sent, frames.len() as u64);
        if count == 0 {
            return;
        }
        self.sent += count;
        if let Carrier::Ws(ws) = &mut self.carrier {
            let format = self.format;
            let units = frames.into_iter().map(|frame| message(format.encode(frame).expect("a unit")));
            ws.send_all(units.collect::<Vec<_>>()).await;
        } else {
            let answer = self.post_frames(before, frames).await;
            assert_eq!(answer.status, 204, "{answer:?}");
            self.acknowledged(answer.received().expect("SPEC §4"));
        }
    }

    fn acknowledged(&mut self, received: u64) {
        assert!(received <= self.base + self.outbox.len() as u64);
        while self.base < received {
            self.outbox.pop_front();
            self.base += 1;
        }
    }

    fn key(&self, builder: http::request::Builder, attachment: u64) -> http::request::Builder {
        builder
            .header("nosphere-session", self.session.to_string())
            .header("nosphere-token", self.token.reveal())
            .header("nosphere-attachment", attachment)
            .header("nosphere-received", self.received)
    }
}

fn message(unit: Unit) -> WsMessage {
    match unit {
        Unit::Text(text) => WsMessage::text(text.as_str()),
        Unit::Binary(bytes) => WsMessage::binary(bytes),
    }
}

const STANDARD: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;
