use super::Outbox;
use crate::rules::Delivery;
use crate::{Config, Message, Overflow, Text};

/// What became of a message that was to be queued.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It is volatile, and would have to wait.
    Dropped,
    Queued,
    /// An older one of the same key gave its place.
    Replaced,
    /// There is no room; the policy is to refuse.
    Refused(Message),
    /// There is no room; the policy is to end the session.
    Overflow(Message),
}

impl Outbox {
    /// Queues a message. `linked`: there is a link that it may go out on.
    pub(crate) fn push(&mut self, message: Message, linked: bool, delivery: Delivery, config: &Config) -> Pushed {
        let volatile = message.is_volatile();
        if volatile && !(linked && self.takes_volatile(delivery, config)) {
            return Pushed::Dropped;
        }
        // The place of the one that is replaced. Making room may move it, and even empty it.
        let mut place = message.key().and_then(|key| self.find(key));
        while !self.fits_at(place, message.len(), config) {
            let removed = if self.can_forget(delivery) {
                self.pop();
                0
            } else if let Some(at) = self.oldest_volatile().filter(|&at| Some(at) != place) {
                self.remove(at);
                at
            } else if volatile {
                // Nothing else has to go for what may be dropped itself.
                return Pushed::Dropped;
            } else if config.overflow == Overflow::DropOldest && self.could_fit(message.len(), config) {
                self.remove(self.numbered);
                self.special.make().dropped += u64::from(place != Some(self.numbered));
                self.numbered
            } else {
                return match config.overflow {
                    Overflow::Disconnect => Pushed::Overflow(message),
                    Overflow::DropNewest | Overflow::DropOldest => Pushed::Refused(message),
                };
            };
            place = place.filter(|&at| at != removed).map(|at| at - usize::from(removed < at));
        }
        self.note_queued(&message);
        self.queue.push(message);
        let Some(older) = place.and_then(|at| self.queue.replace_by_last(at)) else { return Pushed::Queued };
        self.forget(&older);
        Pushed::Replaced
    }

    /// Whether a message fits, at the end or in the place of another one.
    fn fits_at(&self, place: Option<usize>, bytes: usize, config: &Config) -> bool {
        let Some(at) = place else { return self.fits(bytes, config) };
        let older = self.queue.shared_len(at);
        self.queued - older + bytes <= config.max_queued_bytes || self.queue.len() == 1
    }

    /// Whether a message would fit if everything made room for it that may.
    fn could_fit(&self, bytes: usize, config: &Config) -> bool {
        let waiting: usize = self.queue.length_from(self.numbered);
        let fits = self.queued - waiting + bytes <= config.max_queued_bytes || self.numbered == 0;
        self.numbered < self.queue.len().min(config.max_queued_messages) && fits
    }

    /// Whether what is sent now would go out now, as far as this side can tell.
    fn takes_volatile(&self, delivery: Delivery, config: &Config) -> bool {
        self.waiting_for_link() < config.max_volatile_waiting && !self.is_window_closed(delivery)
    }

    /// The message of a key that waits, and may still be replaced. After a resume there may be older ones before it.
    fn find(&self, key: &Text) -> Option<usize> {
        if self.special.get()?.keyed == 0 { None } else { self.queue.find_key(self.numbered, key) }
    }

    fn oldest_volatile(&self) -> Option<usize> {
        if self.special.get()?.volatile == 0 { None } else { self.queue.find_volatile(self.numbered) }
    }

    /// Drops what is volatile and was not handed to a link in time.
    pub(crate) fn drop_volatile(&mut self) {
        while let Some(at) = self.oldest_volatile() {
            self.remove(at);
        }
    }
}
