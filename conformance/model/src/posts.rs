//! What becomes of POSTs.

use nosphere_core::{Batch, BatchAnswer, Fault, PostAnswer, Reason};
use nosphere_wire::JSON;

use crate::network::{PostReply, Posting};
use crate::{Sight, Who, World};

impl World {
    pub(crate) fn repeat(&mut self, at: usize) -> bool {
        if self.posts[at].answer.is_some() || !Self::spend(&mut self.budget.repeats) {
            return false;
        }
        self.numbers += 1;
        let copy = Posting { id: self.numbers, awaited: false, ..self.posts[at].clone() };
        self.posts.push(copy);
        true
    }

    pub(crate) fn fail(&mut self, at: usize) -> bool {
        if !self.posts[at].awaited || !Self::spend(&mut self.budget.breaks) {
            return false;
        }
        let posting = &mut self.posts[at];
        posting.awaited = false;
        let id = posting.post.id;
        if posting.answer.is_some() {
            self.posts.remove(at);
        }
        self.answered(id, PostAnswer::Failed);
        true
    }

    pub(crate) fn post(&mut self, at: usize) -> bool {
        if self.posts[at].answer.is_some() {
            return false;
        }
        let now = self.clock(Who::Server);
        let post = self.posts[at].post.clone();
        let session = self.client.connection.session().and_then(|session| self.living(session));
        let reply = match session {
            None => PostReply::Unknown,
            Some(session) => {
                let server = &mut self.servers[session];
                let batch = Batch {
                    attachment: Some(post.attachment),
                    base: Some(post.base),
                    received: Some(post.received),
                    units: post.units,
                };
                let known = server.connection.next_number() - 1;
                self.sights.see_if(Sight::Overlap, post.base < known && !batch.units.is_empty());
                let answer = server.connection.handle_batch(batch, &JSON, now);
                self.sights.see_if(Sight::LatePost, !self.posts[at].awaited);
                if let Err(fault) = answer.outcome {
                    self.sights.see_fault(fault);
                }
                server.clockwork.observe(&server.connection, false, now);
                if answer.outcome.is_ok() {
                    server.clockwork.hear(now);
                }
                PostReply::Batch(answer)
            }
        };
        if self.posts[at].awaited {
            self.posts[at].answer = Some(reply);
        } else {
            self.posts.remove(at);
        }
        true
    }

    pub(crate) fn answer(&mut self, at: usize) -> bool {
        let Some(reply) = self.posts[at].answer else { return false };
        let posting = self.posts.remove(at);
        let answer = match reply {
            PostReply::Batch(BatchAnswer { received, outcome: Ok(()) }) => PostAnswer::Accepted { received },
            PostReply::Batch(BatchAnswer { outcome: Err(Fault::Gap), .. }) => PostAnswer::Gap,
            PostReply::Batch(BatchAnswer { outcome: Err(fault), .. }) => PostAnswer::Refused { reason: fault.reason() },
            PostReply::Unknown => PostAnswer::Refused { reason: Reason::UnknownSession },
        };
        self.answered(posting.post.id, answer);
        true
    }

    fn answered(&mut self, id: u64, answer: PostAnswer) {
        let now = self.clock(Who::Client);
        self.client.connection.handle_post_answer(id, answer, now);
        self.client.clockwork.observe(&self.client.connection, false, now);
    }
}
