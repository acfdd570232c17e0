//! What a network does to a [`Pair`].

use nosphere_core::{LinkId, PostAnswer, Reason};

use super::pair::{Packet, Pair, Sent, ServerLink, Stage};

impl Pair {
    /// Everything in flight that fits is lost.
    pub(crate) fn lose(&mut self, which: impl Fn(&Sent) -> bool) -> usize {
        let before = self.flight.len();
        self.flight.retain(|sent| !which(sent));
        before - self.flight.len()
    }

    /// Everything in flight that fits waits for [`Self::release`].
    pub(crate) fn hold(&mut self, which: impl Fn(&Sent) -> bool) -> usize {
        let (held, flight) = std::mem::take(&mut self.flight).into_iter().partition(|sent| which(sent));
        self.flight = flight;
        self.held.extend(held);
        self.held.len()
    }

    pub(crate) fn release(&mut self) {
        self.flight.append(&mut self.held);
    }

    /// A link breaks, and both sides see it. What was in flight on it is lost.
    pub(crate) fn cut(&mut self, link: LinkId) {
        self.swallow(link);
        self.client_links.remove(&link);
        self.client.connection.handle_detach(link, Reason::Lost, self.now);
        if let Some(ServerLink { stage: Stage::Session(session), .. }) = self.server_links.remove(&link) {
            self.servers[session].connection.handle_detach(link, Reason::Lost, self.now);
        }
    }

    /// The client's current link breaks.
    pub(crate) fn cut_current(&mut self) {
        let link = self.client.connection.link().expect("the client has no link");
        self.cut(link);
    }

    /// The server forgets every session, as if it had been started anew.
    pub(crate) fn forget(&mut self) {
        self.servers.clear();
        self.server_links.clear();
    }

    /// From here on a link swallows everything, and nobody is told.
    pub(crate) fn swallow(&mut self, link: LinkId) {
        self.black_holes.insert(link);
        self.lose(|sent| sent.link == link);
    }

    /// A POST in flight, or its answer, is lost, and the client notices.
    pub(crate) fn lose_post(&mut self) {
        let lost = self.flight.iter().find_map(|sent| match &sent.packet {
            Packet::Post(post) => Some(post.id),
            Packet::Posted(id, _) => Some(*id),
            _ => None,
        });
        let id = lost.expect("no POST is in flight");
        self.lose(|sent| match &sent.packet {
            Packet::Post(post) => post.id == id,
            Packet::Posted(posted, _) => *posted == id,
            _ => false,
        });
        self.client.connection.handle_post_answer(id, PostAnswer::Failed, self.now);
    }

    /// Everything in flight is lost, and the client notices what it can.
    pub(crate) fn lose_all(&mut self) {
        let is = |sent: &Sent| matches!(sent.packet, Packet::Post(_) | Packet::Posted(..));
        while self.flight.iter().any(is) {
            self.lose_post();
        }
        if self.flight.iter().any(|sent| matches!(sent.packet, Packet::Answer(..))) {
            self.lose_answer();
        }
        self.flight.clear();
    }

    /// A poll's answer in flight is lost, and the client notices.
    pub(crate) fn lose_answer(&mut self) {
        let lost = self.flight.iter().find(|sent| matches!(sent.packet, Packet::Answer(..)));
        let link = lost.expect("no answer is in flight").link;
        self.lose(|sent| sent.link == link);
        self.client_links.remove(&link);
        self.client.connection.handle_detach(link, Reason::Lost, self.now);
    }
}
