//! A WebSocket of a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use nosphere_core::{Action, AttachRequest, Connection, Encoded, Frame, LinkId, Reason, Transport, Unit};
use nosphere_websocket::{Close, CloseState, Decoder, Item, Outgoing, ReadOutcome, Reader, Role, Writer};
use nosphere_wire::negotiation::subprotocol;

use super::{Context as Ctx, Report};
use crate::net::{End, Exchange, Step};
use crate::plan::Request;

/// A WebSocket, from the handshake to its end.
pub(super) struct Socket {
    pub(super) link: LinkId,
    /// A ping has to prove it before it is used.
    candidate: bool,
    stage: Stage,
    /// When it is given up, unless it is open by then.
    deadline: u64,
    /// The server has answered what was asked for.
    answered: bool,
    /// The session knows that it is over.
    reported: bool,
}

enum Stage {
    Upgrading(Box<Exchange>),
    Open(Box<(Reader, Writer, End)>),
    Over,
}

impl Socket {
    /// `None` if there is no connection to be had.
    pub(super) fn new(ctx: &mut Ctx<'_>, link: LinkId, candidate: bool, now: u64) -> Option<Self> {
        let io = ctx.network.dial(ctx.plan.id, Request::Upgrade)?;
        let headers = [
            ("connection", "Upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-version", "13".to_owned()),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned()),
            ("sec-websocket-protocol", subprotocol(ctx.plan.format())),
        ];
        let exchange = Exchange::new(io, "GET", &ctx.plan.path, &headers, &[]);
        Some(Self {
            link,
            candidate,
            stage: Stage::Upgrading(Box::new(exchange)),
            deadline: now + ctx.timeout,
            answered: false,
            reported: false,
        })
    }

    pub(super) fn is_upgrading(&self) -> bool {
        !self.candidate && matches!(self.stage, Stage::Upgrading(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// When to look at it again, whatever happens.
    pub(super) fn deadline(&self) -> Option<u64> {
        (self.deadline != u64::MAX).then_some(self.deadline)
    }

    /// Breaks it off.
    pub(super) fn abort(self) {
        match self.stage {
            Stage::Upgrading(exchange) => exchange.abort(),
            Stage::Open(open) => open.2.abort(),
            Stage::Over => {}
        }
    }

    /// Does what can be done. Whether anything was.
    pub(super) fn poll(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        let now = ctx.world.now();
        if now >= self.deadline {
            let stage = std::mem::replace(&mut self.stage, Stage::Over);
            self.deadline = u64::MAX;
            match stage {
                Stage::Upgrading(exchange) => exchange.abort(),
                Stage::Open(open) => open.2.abort(),
                Stage::Over => return false,
            }
            self.lost(ctx, connection, None);
            return true;
        }
        match &mut self.stage {
            Stage::Upgrading(_) => self.poll_upgrade(ctx, connection, cx),
            Stage::Open(_) => self.poll_open(ctx, connection, cx),
            Stage::Over => false,
        }
    }

    fn poll_upgrade(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        let Stage::Upgrading(exchange) = &mut self.stage else { return false };
        let Poll::Ready(step) = exchange.poll(cx) else { return false };
        let Stage::Upgrading(exchange) = std::mem::replace(&mut self.stage, Stage::Over) else { return false };
        match step {
            Ok(Step::Head(head)) if head.status == 101 => {
                let (io, leftover) = exchange.into_parts();
                let decoder = Decoder::new(Role::Client, ctx.plan.window.1 as usize);
                let mut rng = ctx.rng.clone();
                let writer = Writer::client(move || (rng.next() as u32).to_ne_bytes());
                self.stage = Stage::Open(Box::new((Reader::new(decoder, &leftover), writer, io)));
                if self.candidate {
                    connection.try_link(self.link, Transport::WebSocket);
                } else {
                    self.deadline = u64::MAX;
                    connection.attach(self.link, Transport::WebSocket, ctx.time());
                    ctx.moved(Transport::WebSocket);
                }
            }
            Ok(Step::Head(head)) => {
                ctx.refused("the upgrade", &head);
                self.lost(ctx, connection, None);
            }
            Ok(Step::Data(_) | Step::End) | Err(_) => self.lost(ctx, connection, None),
        }
        true
    }

    fn poll_open(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        let Stage::Open(open) = &mut self.stage else { return false };
        let (reader, writer, io) = &mut **open;
        if self.candidate && connection.link() == Some(self.link) {
            (self.candidate, self.deadline) = (false, u64::MAX);
            ctx.proven();
        }
        let (link, format, time) = (self.link, ctx.plan.format(), ctx.time());
        let mut progress = false;
        let answered = &mut self.answered;
        let next = || {
            let action = connection.poll_transmit(link, format, time)?;
            progress = true;
            ctx.transmits(&action);
            Some(match action {
                Action::Send { unit, .. } => Outgoing::Data(unit),
                Action::Attach(request) => {
                    *answered = false;
                    let frame = match request {
                        AttachRequest::Open(open) => Frame::Open(open),
                        AttachRequest::Resume(offer) => Frame::Resume(offer),
                    };
                    Outgoing::Data(Encoded::new(format.encode(frame).ok()?))
                }
                Action::Ping => Outgoing::Ping(Bytes::new()),
                Action::Close { reason } => Outgoing::Close(Close::new(reason.code(), reason.name())),
                Action::Finish | Action::Lost { .. } | _ => {
                    ctx.world.wrong(ctx.who(), "a client's WebSocket is told what is for other carriers");
                    return None;
                }
            })
        };
        let flushed = writer.poll_flush(Pin::new(io), cx, next);
        if matches!(flushed, Poll::Ready(Err(_))) {
            self.lost(ctx, connection, None);
            self.stage = Stage::Over;
            return true;
        }
        if writer.state() != CloseState::Open && self.deadline == u64::MAX {
            self.deadline = ctx.world.now() + 5000;
            // It was the session's wish, or is its own end that it heard of below.
            self.reported = true;
        }
        let mut items = Vec::new();
        let Poll::Ready(outcome) = reader.poll_read_items(Pin::new(io), cx, &mut items) else {
            return progress;
        };
        let mut end = match outcome {
            Ok(ReadOutcome::Items) => None,
            Ok(ReadOutcome::End) | Err(_) => Some(None),
            Ok(ReadOutcome::Error(error)) => {
                ctx.world.wrong(ctx.who(), format!("the server broke WebSocket's rules: {error}"));
                Some(None)
            }
        };
        if items.is_empty() {
            // So is a message that is not whole yet.
            connection.handle_alive(link, time);
        }
        for item in items {
            let unit = match item {
                Item::Text(text) => Unit::Text(text),
                Item::Binary(bytes) => Unit::Binary(bytes),
                Item::Ping(payload) => {
                    writer.pong(payload);
                    continue;
                }
                Item::Pong(_) => continue,
                Item::Close(close) => {
                    writer.handle_close(&close);
                    end = Some(close.code);
                    break;
                }
            };
            self.answered = true;
            ctx.deliver(connection, link, unit);
        }
        let Some(code) = end else { return true };
        let gone = code.is_none() || writer.is_finished();
        self.lost(ctx, connection, code);
        if gone {
            self.stage = Stage::Over;
        }
        true
    }

    /// Tells the session that the socket is over, once.
    fn lost(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, code: Option<u16>) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        let reason = code.map(Reason::from_code);
        ctx.note(|| format!("WebSocket {} is over: {reason:?}", self.link.0));
        if matches!(self.stage, Stage::Open(_)) {
            ctx.failed(connection, self.link);
        } else if !self.candidate {
            ctx.reports.push(Report::Failed);
        }
        match reason {
            Some(reason) if !self.candidate && !self.answered => {
                ctx.check_reason("the WebSocket", reason);
                connection.handle_refused(self.link, reason, ctx.time());
            }
            Some(reason) => {
                ctx.check_reason("the WebSocket", reason);
                connection.handle_detach(self.link, Reason::Lost, ctx.time());
            }
            None => connection.handle_detach(self.link, Reason::Lost, ctx.time()),
        }
    }
}
