//! An event stream or a poll of a client.

use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use nosphere_core::{Action, AttachRequest, Connection, LinkId, Reason, State, Text, Transport, Unit};
use nosphere_wire::batch::decode_batch;
use nosphere_wire::negotiation::subprotocol;

use super::{Context as Ctx, Report};
use crate::coverage::Covered;
use crate::net::{Exchange, Head, Step};
use crate::plan::Request;

/// A GET that brings what the server has to say.
pub(super) struct Get {
    pub(super) link: LinkId,
    transport: Transport,
    exchange: Option<Exchange>,
    head: Option<Head>,
    /// What came of a poll's answer, or of an event stream's unfinished line.
    body: Vec<u8>,
    /// The `id` of the event that is being read.
    id: Option<u64>,
    over: bool,
}

impl Get {
    /// The session has a link, and will say what to ask for.
    pub(super) fn new(link: LinkId, transport: Transport) -> Self {
        Self { link, transport, exchange: None, head: None, body: Vec::new(), id: None, over: false }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the session does not let it go yet.
    pub(super) fn is_held(&self) -> bool {
        self.exchange.is_none() && !self.over
    }

    /// Breaks it off.
    pub(super) fn abort(self) {
        if let Some(exchange) = self.exchange {
            exchange.abort();
        }
    }

    /// Does what can be done. Whether anything was.
    pub(super) fn poll(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        if self.over {
            return false;
        }
        match connection.poll_transmit(self.link, ctx.plan.format(), ctx.time()) {
            Some(Action::Attach(request)) => {
                match self.ask(ctx, request) {
                    Some(exchange) => self.exchange = Some(exchange),
                    None => self.lost(ctx, connection),
                }
                return true;
            }
            Some(Action::Close { reason }) => {
                ctx.note(|| format!("{} {} is left: {reason}", self.transport, self.link.0));
                self.over = true;
                if let Some(exchange) = self.exchange.take() {
                    exchange.abort();
                }
                return true;
            }
            Some(other) => {
                ctx.world.wrong(ctx.who(), format!("a client's {} is told {other:?}", self.transport));
                return true;
            }
            None => {}
        }
        let Some(exchange) = &mut self.exchange else { return false };
        let before = exchange.moved();
        let step = exchange.poll(cx);
        if exchange.moved() > before {
            // An answer that takes its time is a sign of life, too.
            connection.handle_alive(self.link, ctx.time());
        }
        let Poll::Ready(step) = step else { return false };
        match step {
            Ok(Step::Head(head)) => self.take_head(ctx, connection, head),
            Ok(Step::Data(bytes)) => {
                self.body.extend_from_slice(&bytes);
                if self.transport == Transport::ServerSentEvents && self.is_granted() {
                    self.take_events(ctx, connection);
                }
            }
            Ok(Step::End) if self.transport == Transport::LongPolling && self.is_granted() => {
                self.take_answer(ctx, connection);
            }
            Ok(Step::End) if self.is_granted() => self.lost(ctx, connection),
            Ok(Step::End) => self.take_refusal(ctx, connection),
            Err(_) => self.lost(ctx, connection),
        }
        true
    }

    fn ask(&self, ctx: &mut Ctx<'_>, request: AttachRequest) -> Option<Exchange> {
        let mut headers = vec![("nosphere-protocol", subprotocol(ctx.plan.format()))];
        match self.transport {
            Transport::ServerSentEvents => headers.push(("accept", "text/event-stream".to_owned())),
            _ if ctx.rng.chance(50) => headers.push(("nosphere-transport", "long-polling".to_owned())),
            Transport::LongPolling | Transport::WebSocket | _ => {}
        }
        match request {
            AttachRequest::Open(open) => {
                headers.push(("nosphere-attachment", open.attachment.to_string()));
                headers.push(("nosphere-window", format!("{}/{}", open.window.messages, open.window.bytes)));
            }
            AttachRequest::Resume(offer) => {
                headers.push(("nosphere-session", offer.session.to_string()));
                headers.push(("nosphere-token", offer.token.reveal()));
                headers.push(("nosphere-attachment", offer.attachment.to_string()));
                headers.push(("nosphere-received", offer.received.to_string()));
            }
        }
        let io = ctx.connect(Request::Get)?;
        Some(Exchange::new(io, "GET", &ctx.plan.path, &headers, &[]))
    }

    fn is_granted(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.status == 200)
    }

    fn take_head(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, head: Head) {
        // An event stream's first words are still to come: until then the count is not the session's business.
        if let Some(received) = head.received.filter(|_| head.status == 200) {
            connection.handle_received(self.link, received, ctx.time());
        }
        self.head = Some(head);
    }

    fn take_events(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection) {
        while let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.body.drain(..=end).collect();
            let Ok(line) = str::from_utf8(&line[..end]) else {
                return ctx.world.wrong(ctx.who(), "an event stream that is not UTF-8");
            };
            if let Some(id) = line.strip_prefix("id: ") {
                self.id = id.parse().ok();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let id = self.id.take();
                // A closing session ignores messages, and does not count them.
                let current = connection.link() == Some(self.link) && connection.state() != State::Closing;
                if let Some(id) = id.filter(|_| current)
                    && id != connection.next_number()
                {
                    let expected = connection.next_number();
                    ctx.world.wrong(ctx.who(), format!("SSE-4: the event's id is {id}, not {expected}"));
                }
                let unit = match ctx.plan.binary {
                    true => STANDARD.decode(data).ok().map(|bytes| Unit::Binary(bytes.into())),
                    false => Some(Unit::Text(Text::from(data))),
                };
                match unit {
                    Some(unit) => ctx.deliver(connection, self.link, unit),
                    None => ctx.world.wrong(ctx.who(), "an event that is not base64"),
                }
            } else if !line.is_empty() {
                ctx.world.wrong(ctx.who(), format!("a line of an event stream: {line:?}"));
            }
        }
    }

    /// The same as in `core`'s tests: the count, the units, the end of the poll.
    fn take_answer(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection) {
        let body = Bytes::from(std::mem::take(&mut self.body));
        let format = ctx.plan.format();
        match decode_batch(format, &body, format.is_text(), 100_000) {
            Ok(units) => {
                for unit in units {
                    ctx.deliver(connection, self.link, unit);
                }
            }
            Err(error) => ctx.world.wrong(ctx.who(), format!("a poll's answer is no batch: {error}")),
        }
        connection.handle_detach(self.link, Reason::Closed, ctx.time());
        self.over = true;
        if let Some(io) = self.exchange.take().and_then(Exchange::into_idle) {
            ctx.idle.push(io);
        }
        ctx.reports.push(Report::PollAnswered);
    }

    fn take_refusal(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection) {
        let Some(head) = self.head.take() else { return self.lost(ctx, connection) };
        ctx.note(|| format!("{} {} is refused: {head:?}", self.transport, self.link.0));
        match (head.status, head.error.as_deref()) {
            (204, Some("replaced")) => {
                ctx.world.cover(Covered::PollsReplaced);
                self.lost(ctx, connection);
            }
            (409, Some("stale")) => {
                // A POST has overtaken the poll. The run goes on.
                ctx.world.cover(Covered::Stale);
                self.over = true;
                connection.handle_detach(self.link, Reason::Closed, ctx.time());
            }
            _ => {
                let reason = ctx.refused(self.transport.name(), &head);
                self.over = true;
                ctx.failed(connection, self.link);
                connection.handle_refused(self.link, reason, ctx.time());
            }
        }
    }

    fn lost(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection) {
        ctx.note(|| format!("{} {} is lost", self.transport, self.link.0));
        self.over = true;
        ctx.failed(connection, self.link);
        connection.handle_detach(self.link, Reason::Lost, ctx.time());
    }
}
