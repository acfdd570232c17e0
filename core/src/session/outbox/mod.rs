mod push;
mod queue;

pub(crate) use push::Pushed;
use queue::{Gone, Queue, Waiting};

use crate::rules::{Delivery, Rules};
use crate::seldom::Seldom;
use crate::{Config, EncodeError, Encoded, FrameParts, Message, MessageRef, Run, Undeliverable, Window, WireFormat};

/// The outgoing stream of a session: send queue and retention in one.
///
/// `queue` holds everything behind `acknowledged`, oldest first. Of these the first `numbered` have a number that the attachment
/// can no longer change, as have all that were handed to the current link; what is behind them may still be dropped or replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    queue: Queue,
    acknowledged: u64,
    numbered: usize,
    /// Bytes of the units that were transmitted.
    in_flight: usize,
    /// Bytes of the payloads of all messages.
    queued: usize,
    special: Seldom<Special>,
    peer: Window,
}

/// What few sessions ever have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Special {
    /// How many of the messages are volatile, and how many have a key.
    volatile: usize,
    keyed: usize,
    /// How many messages were dropped to make room for newer ones.
    dropped: u64,
    /// Messages that no link can carry, found when the application had no use for errors any more.
    set_aside: Vec<Message>,
}

/// See [`Outbox::parts`].
pub(crate) struct Parts<'a> {
    outbox: &'a Outbox,
    waiting: Waiting<'a>,
    format: &'a dyn WireFormat,
    delivery: Delivery,
    /// In flight, once those that were given are.
    messages: usize,
    bytes: usize,
}

impl Parts<'_> {
    /// None of them.
    pub(crate) fn none(self) -> Self {
        Self { waiting: self.waiting.none(), ..self }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = FrameParts<'a>;

    // Compiled into each loop: put together from others' iterators, this is a call for each frame.
    #[inline(always)]
    fn next(&mut self) -> Option<FrameParts<'a>> {
        if self.outbox.is_window_full(self.delivery, self.messages, self.bytes) {
            return None;
        }
        let parts = self.waiting.next()?.frame_parts(self.format)?;
        if !self.outbox.is_takable(parts.unit_len(), self.delivery) {
            return None;
        }
        self.messages += 1;
        self.bytes += parts.unit_len();
        Some(parts)
    }
}

/// What there is to transmit.
#[derive(Debug)]
pub(crate) enum Next {
    Message {
        unit: Encoded,
        number: u64,
    },
    /// The link cannot carry the next message. It stays until it is [removed](Outbox::remove_next).
    Undeliverable(Undeliverable),
}

impl Outbox {
    pub(crate) fn new(peer: Window) -> Self {
        Self {
            queue: Queue::new(),
            acknowledged: 0,
            numbered: 0,
            in_flight: 0,
            queued: 0,
            special: Seldom::new(),
            peer,
        }
    }

    pub(crate) fn set_peer(&mut self, peer: Window) {
        self.peer = peer;
    }

    pub(crate) fn peer(&self) -> Window {
        self.peer
    }

    /// Queues a message without marks that [fits](Self::fits), of this length.
    #[inline]
    pub(crate) fn append(&mut self, message: Message, length: usize) {
        debug_assert!(!message.is_marked() && message.len() == length);
        self.queued += length;
        self.queue.push(message);
    }

    fn is_window_closed(&self, delivery: Delivery) -> bool {
        self.is_window_full(delivery, self.queue.transmitted(), self.in_flight)
    }

    #[inline]
    fn is_window_full(&self, delivery: Delivery, messages: usize, bytes: usize) -> bool {
        let windowed = delivery == Delivery::Acknowledged;
        windowed && (messages >= self.peer.messages as usize || bytes >= self.peer.bytes as usize)
    }

    /// Whether there is room for another message.
    pub(crate) fn has_room(&self, delivery: Delivery, config: &Config) -> bool {
        self.fits(1, config) || self.can_forget(delivery)
    }

    /// Whether not even half of the room is used, by what cannot be forgotten.
    pub(crate) fn is_half_empty(&self, delivery: impl FnOnce() -> Delivery, config: &Config) -> bool {
        let is_little = |messages: usize, bytes: usize| {
            messages * 2 < config.max_queued_messages && bytes * 2 < config.max_queued_bytes
        };
        let forgettable = || delivery() == Delivery::Retained;
        is_little(self.len(), self.queued)
            || forgettable() && is_little(self.waiting_for_link(), self.queued.saturating_sub(self.in_flight))
    }

    /// Whether there is room for a message of this length without anything making room.
    #[inline]
    pub(crate) fn fits(&self, bytes: usize, config: &Config) -> bool {
        self.queue.len() < config.max_queued_messages
            && (self.queued + bytes <= config.max_queued_bytes || self.queue.is_empty())
    }

    /// Whether the oldest message is kept only for a client that may come back: new ones need the room more.
    fn can_forget(&self, delivery: Delivery) -> bool {
        delivery == Delivery::Retained && self.queue.transmitted() > 0
    }

    /// The next message for the link, if the peer's window has room for it (DLV-2).
    #[inline]
    pub(crate) fn next(&mut self, format: &dyn WireFormat, rules: &Rules, retained: usize) -> Option<Next> {
        if rules.delivery == Delivery::Written && !rules.no_carriage_return && self.queue.transmitted() == 0 {
            return self.next_written(format);
        }
        let windowed = rules.delivery == Delivery::Acknowledged;
        let limit = self.peer.bytes as usize;
        if self.is_window_closed(rules.delivery) {
            return None;
        }
        let unit = match self.queue.next()?.encode(format) {
            Ok(unit) => unit,
            Err(error) => return Some(Next::Undeliverable(error.into())),
        };
        let length = unit.payload().len();
        if windowed && length > limit {
            return Some(Next::Undeliverable(Undeliverable::TooLarge { limit }));
        }
        if rules.no_carriage_return && unit.is_text() && unit.payload().contains(&b'\r') {
            return Some(Next::Undeliverable(carriage_return().into()));
        }
        if rules.text_only && !unit.is_text() {
            return Some(Next::Undeliverable(not_text().into()));
        }
        self.queue.transmit(length as u32);
        self.note_transmitted(length);
        let number = self.transmitted();
        let keep = match rules.delivery {
            Delivery::Acknowledged => usize::MAX,
            Delivery::Retained => retained,
            Delivery::Written => 0,
        };
        while self.queue.transmitted() > keep {
            self.pop();
        }
        Some(Next::Message { unit, number })
    }

    /// [`next`](Self::next), where nothing is kept of what was handed to a link.
    fn next_written(&mut self, format: &dyn WireFormat) -> Option<Next> {
        let message = self.queue.take_first()?;
        self.forget(&message);
        match message.encode_last(format) {
            Ok(unit) => {
                self.numbered = self.numbered.saturating_sub(1);
                self.acknowledged += 1;
                Some(Next::Message { unit, number: self.acknowledged })
            }
            Err((message, error)) => {
                self.note_queued(&message);
                self.queue.put_back(message);
                Some(Next::Undeliverable(error.into()))
            }
        }
    }

    /// What [`next`](Self::next) would give one after the other, as far as it can be written from where it lies.
    #[inline]
    pub(crate) fn parts<'a>(&'a self, format: &'a dyn WireFormat, delivery: Delivery) -> Parts<'a> {
        let (waiting, messages) = (self.queue.waiting(), self.queue.transmitted());
        Parts { outbox: self, waiting, format, delivery, messages, bytes: self.in_flight }
    }

    /// How many of those are the first of a run, which takes them in if it has something else and they can be in one.
    #[inline]
    pub(crate) fn gather(&self, run: &mut Run, format: &dyn WireFormat, delivery: Delivery) -> usize {
        if delivery != Delivery::Acknowledged {
            return self.queue.gather(run, format, Window { messages: u32::MAX, bytes: u32::MAX });
        }
        // Before anything is put together that others do not wait for.
        if self.is_window_closed(delivery) || (self.peer.bytes as usize) < Run::MAX_FRAME {
            return 0;
        }
        let messages = self.peer.messages - self.queue.transmitted() as u32;
        let room = Window { messages, bytes: self.peer.bytes - self.in_flight as u32 };
        let count = self.queue.gather(run, format, room);
        let mut bytes = 0;
        let fits = |unit: &&u32| {
            let fits = bytes < room.bytes as usize;
            bytes += **unit as usize;
            fits
        };
        run.units(count).iter().take_while(fits).count()
    }

    /// The only one of those, if nothing else waits.
    #[inline(always)]
    pub(crate) fn last_message(&self, delivery: Delivery) -> Option<MessageRef<'_>> {
        if self.waiting_for_link() != 1 || delivery == Delivery::Retained || self.is_window_closed(delivery) {
            return None;
        }
        self.queue.next()
    }

    /// Whether the peer takes a unit of this length at all.
    #[inline]
    pub(crate) fn is_takable(&self, unit: usize, delivery: Delivery) -> bool {
        delivery != Delivery::Acknowledged || unit <= self.peer.bytes as usize
    }

    /// That one, with a unit of this length, was transmitted.
    #[inline(always)]
    pub(crate) fn transmit_last_message(&mut self, length: usize, delivery: Delivery) {
        if delivery == Delivery::Written {
            return self.pop();
        }
        self.queue.transmit(length as u32);
        self.note_transmitted(length);
    }

    /// The first of those, with units of these lengths, were transmitted.
    #[inline]
    pub(crate) fn transmit_parts(&mut self, lengths: &[u32], delivery: Delivery) {
        if delivery == Delivery::Written {
            return self.pop_many(lengths.len());
        }
        self.queue.transmit_many(lengths);
        self.note_transmitted(lengths.iter().map(|&length| length as usize).sum());
    }

    /// Messages were, with so many bytes.
    #[inline(always)]
    fn note_transmitted(&mut self, bytes: usize) {
        self.in_flight += bytes;
        self.numbered = self.numbered.max(self.queue.transmitted());
    }

    /// Removes the message that [`next`](Self::next) found undeliverable.
    pub(crate) fn remove_next(&mut self) -> Message {
        self.remove(self.queue.transmitted())
    }

    /// The same, and keeps it for [`take_all`](Self::take_all).
    pub(crate) fn set_next_aside(&mut self) {
        let message = self.remove_next();
        self.special.make().set_aside.push(message);
    }

    /// Whether messages that were transmitted are kept for as long as the peer has not said that it took them.
    pub(crate) fn awaits_acknowledgement(&self) -> bool {
        self.queue.transmitted() > 0
    }

    /// The peer has taken as many, which is not more than [`highest_number`](Self::highest_number) (DLV-4).
    pub(crate) fn acknowledge(&mut self, received: u64) {
        debug_assert!(received <= self.highest_number());
        self.pop_many(received.saturating_sub(self.acknowledged) as usize);
    }

    /// Starts again behind `received`, on the same attachment: numbers stay.
    ///
    /// Messages between `received` and the oldest that is kept are lost; returns how many.
    pub(crate) fn rewind(&mut self, received: u64) -> u64 {
        let lost = self.acknowledged.saturating_sub(received);
        while self.acknowledged < received.min(self.highest_number()) {
            self.pop();
        }
        self.in_flight -= self.queue.retract(0);
        lost
    }

    /// Starts again behind `received`, on a new attachment: the tail is numbered anew (DLV-6, DLV-7).
    pub(crate) fn resume(&mut self, received: u64) -> u64 {
        let lost = self.rewind(received);
        self.numbered = 0;
        self.drop_volatile();
        lost
    }

    /// Goes back to the message behind `count`, which was handed to a carrier that failed.
    pub(crate) fn retract(&mut self, count: u64) {
        self.in_flight -= self.queue.retract(count.saturating_sub(self.acknowledged) as usize);
    }

    /// The number of messages that were handed to the current link or acknowledged before.
    pub(crate) fn transmitted(&self) -> u64 {
        self.acknowledged + self.queue.transmitted() as u64
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The highest number that this attachment gave.
    pub(crate) fn highest_number(&self) -> u64 {
        self.acknowledged + self.numbered as u64
    }

    /// How many messages were not handed to the link.
    #[inline]
    pub(crate) fn waiting_for_link(&self) -> usize {
        self.queue.len() - self.queue.transmitted()
    }

    /// Whether everything was handed to the link.
    pub(crate) fn is_flushed(&self) -> bool {
        self.waiting_for_link() == 0
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.special.get().map_or(0, |special| special.dropped)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Takes everything that is not acknowledged: what may have been received, and what was never sent.
    pub(crate) fn take_all(&mut self) -> (Vec<Message>, Vec<Message>) {
        let mut unknown = self.queue.take_all();
        let Special { dropped, set_aside: mut unsent, .. } = self.special.take();
        unsent.extend(unknown.split_off(self.numbered));
        (self.numbered, self.in_flight, self.queued) = (0, 0, 0);
        if dropped > 0 {
            self.special.make().dropped = dropped;
        }
        (unknown, unsent)
    }

    /// Gives back memory that a burst has left.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink();
        self.special.settle();
    }

    fn remove(&mut self, index: usize) -> Message {
        let Some(message) = self.queue.remove(index) else { unreachable!("the index was looked up") };
        self.forget(&message);
        // A numbered message is removed only if the format of its own attachment refuses it after it accepted it.
        if index < self.numbered {
            self.numbered -= 1;
        }
        message
    }

    /// A message comes into the queue.
    fn note_queued(&mut self, message: &Message) {
        self.queued += message.len();
        let (volatile, keyed) = (message.is_volatile(), message.key().is_some());
        if volatile || keyed {
            let special = self.special.make();
            special.volatile += usize::from(volatile);
            special.keyed += usize::from(keyed);
        }
    }

    /// A message has left it.
    fn forget(&mut self, message: &Message) {
        self.queued -= message.len();
        if let Some(special) = self.special.get_mut() {
            special.volatile -= usize::from(message.is_volatile());
            special.keyed -= usize::from(message.key().is_some());
        }
    }

    /// The oldest are about to leave it.
    #[inline]
    fn forget_special(&mut self, count: usize) {
        if let Some(special) = self.special.get_mut() {
            for shared in self.queue.first_shared(count) {
                special.volatile -= usize::from(shared.is_volatile());
                special.keyed -= usize::from(shared.key().is_some());
            }
        }
    }

    /// The oldest are not needed any more.
    fn pop_many(&mut self, count: usize) {
        let count = count.min(self.queue.len());
        self.forget_special(count);
        let gone = self.queue.drop_first(count);
        self.note_gone(&gone, count);
    }

    #[inline]
    fn pop(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        self.forget_special(1);
        let gone = self.queue.drop_one();
        self.note_gone(&gone, 1);
    }

    #[inline(always)]
    fn note_gone(&mut self, gone: &Gone, count: usize) {
        self.queued -= gone.bytes;
        self.in_flight -= gone.in_flight;
        self.numbered = self.numbered.saturating_sub(count);
        self.acknowledged += count as u64;
    }
}

/// SPEC ATM-12.
pub(crate) fn not_text() -> EncodeError {
    EncodeError::new("atmosphere over HTTP", "binary messages")
}

/// SPEC PLN-5.
pub(crate) fn carriage_return() -> EncodeError {
    EncodeError::new("plain over sse", "a carriage return")
}
