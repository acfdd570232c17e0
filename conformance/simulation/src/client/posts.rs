//! The POSTs of a client.

use std::task::{Context, Poll};

use nosphere_core::{Connection, Post, PostAnswer, Unit};
use nosphere_wire::batch::encode_batch;
use nosphere_wire::negotiation::media_type;

use super::Context as Ctx;
use crate::coverage::Covered;
use crate::net::{Exchange, Head, Step};
use crate::plan::Request;

/// A POST in flight, or one that failed and waits for its time to be told.
pub(super) struct Posting {
    id: u64,
    stage: Stage,
    /// When it is given up, unless it gets on before.
    deadline: u64,
}

enum Stage {
    Asking(Box<Exchange>, Option<Head>),
    Failed,
    Over,
}

impl Posting {
    pub(super) fn new(ctx: &mut Ctx<'_>, connection: &Connection, post: &Post) -> Self {
        let now = ctx.world.now();
        let format = ctx.plan.format();
        let key = connection.session().zip(connection.token());
        let failed = |rng: &mut crate::random::Rng| Self {
            id: post.id,
            stage: Stage::Failed,
            deadline: now + 1 + rng.below(500),
        };
        let Some((session, token)) = key else {
            ctx.world.wrong(ctx.who(), "a POST without a session");
            return failed(ctx.rng);
        };
        let headers = [
            ("content-type", media_type(format)),
            ("nosphere-session", session.to_string()),
            ("nosphere-token", token.reveal()),
            ("nosphere-attachment", post.attachment.to_string()),
            ("nosphere-base", post.base.to_string()),
            ("nosphere-received", post.received.to_string()),
        ];
        let Some(io) = ctx.connect(Request::Post) else { return failed(ctx.rng) };
        let body = encode_batch(format, post.units.iter().map(Unit::as_bytes));
        let exchange = Exchange::new(io, "POST", &ctx.plan.path, &headers, &body);
        let deadline = now + ctx.timeout;
        Self { id: post.id, stage: Stage::Asking(Box::new(exchange), None), deadline }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// Breaks it off.
    pub(super) fn abort(self) {
        if let Stage::Asking(exchange, _) = self.stage {
            exchange.abort();
        }
    }

    /// Does what can be done. Whether anything was.
    pub(super) fn poll(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection, cx: &mut Context<'_>) -> bool {
        let now = ctx.world.now();
        match &mut self.stage {
            Stage::Over => false,
            Stage::Failed if now >= self.deadline => {
                self.stage = Stage::Over;
                ctx.world.cover(Covered::PostsRepeated);
                connection.handle_post_answer(self.id, PostAnswer::Failed, ctx.time());
                true
            }
            Stage::Failed => false,
            Stage::Asking(exchange, head) => {
                let before = exchange.moved();
                let step = exchange.poll(cx);
                if exchange.moved() > before {
                    self.deadline = now + ctx.timeout;
                }
                let Poll::Ready(step) = step else {
                    if now < self.deadline {
                        return false;
                    }
                    ctx.note(|| format!("POST {} is given up", self.id));
                    // What was sent may still arrive.
                    self.fail(ctx);
                    return true;
                };
                match step {
                    Ok(Step::Head(answer)) => *head = Some(answer),
                    Ok(Step::Data(_)) => {}
                    Ok(Step::End) => self.answered(ctx, connection),
                    Err(_) => {
                        ctx.note(|| format!("POST {} is lost", self.id));
                        self.fail(ctx);
                    }
                }
                true
            }
        }
    }

    fn fail(&mut self, ctx: &mut Ctx<'_>) {
        self.stage = Stage::Failed;
        self.deadline = ctx.world.now() + 1 + ctx.rng.below(500);
    }

    fn answered(&mut self, ctx: &mut Ctx<'_>, connection: &mut Connection) {
        let Stage::Asking(exchange, Some(head)) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        if let Some(io) = exchange.into_idle() {
            ctx.idle.push(io);
        }
        let answer = match (head.status, head.error.as_deref(), head.received) {
            (204, None, Some(received)) => PostAnswer::Accepted { received },
            (409, Some("gap"), _) => PostAnswer::Gap,
            // This client gave up several while the server still reads them.
            (503, Some("unavailable"), _) => return self.fail(ctx),
            _ => PostAnswer::Refused { reason: ctx.refused("a POST", &head) },
        };
        ctx.note(|| format!("POST {} is answered: {answer:?}", self.id));
        connection.handle_post_answer(self.id, answer, ctx.time());
    }
}
