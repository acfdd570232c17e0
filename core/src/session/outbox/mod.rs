mod push;

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;

pub(crate) use push::Pushed;

use crate::rules::{Delivery, Rules};
use crate::seldom::Seldom;
use crate::{Config, EncodeError, Encoded, FrameParts, Message, Text, Undeliverable, Window, WireFormat};

/// The outgoing stream of a session: send queue and retention in one.
///
/// `entries` holds everything behind `acknowledged`, oldest first. Of these the first `transmitted` were handed to the
/// current link, and the first `numbered` have a number that the attachment can no longer change; what is behind them
/// may still be dropped or replaced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outbox {
    entries: VecDeque<Entry>,
    acknowledged: u64,
    transmitted: usize,
    numbered: usize,
    /// Bytes of the units that were transmitted.
    in_flight: usize,
    /// Bytes of the payloads of all entries.
    queued: usize,
    special: Seldom<Special>,
    peer: Window,
}

/// What few sessions ever have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Special {
    /// How many of the entries are volatile, and how many have a key.
    volatile: usize,
    keyed: usize,
    /// How many messages were dropped to make room for newer ones.
    dropped: u64,
    /// Messages that no link can carry, found when the application had no use for errors any more.
    set_aside: Vec<Message>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    message: Message,
    /// The length of its unit, once it was transmitted.
    unit: u32,
    /// A digest of its key, so that a search looks at few keys.
    key: u32,
}

/// See [`Outbox::parts`].
pub(crate) struct Parts<'a> {
    outbox: &'a Outbox,
    waiting: Iter<'a, Entry>,
    format: &'a dyn WireFormat,
    delivery: Delivery,
    /// In flight, once those that were given are.
    messages: usize,
    bytes: usize,
}

impl Parts<'_> {
    /// None of them.
    pub(crate) fn none(self) -> Self {
        Self { waiting: Iter::default(), ..self }
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
        let parts = self.waiting.next()?.message.frame_parts(self.format)?;
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
            entries: VecDeque::new(),
            acknowledged: 0,
            transmitted: 0,
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
        self.put(Entry { message, unit: 0, key: NO_KEY });
    }

    #[inline]
    fn put(&mut self, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            self.grow();
        }
        self.entries.push_back(entry);
    }

    #[cold]
    fn grow(&mut self) {
        match self.entries.capacity() {
            // Most sessions never have two at once, and what is allocated here stays for as long as nothing happens.
            0 => self.entries.reserve_exact(1),
            // Who has two has more: a burst, or what is acknowledged by the window.
            1 => self.entries.reserve_exact(7),
            _ => self.entries.reserve(1),
        }
    }

    fn is_window_closed(&self, delivery: Delivery) -> bool {
        self.is_window_full(delivery, self.transmitted, self.in_flight)
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
        is_little(self.entries.len(), self.queued)
            || forgettable()
                && is_little(self.entries.len() - self.transmitted, self.queued.saturating_sub(self.in_flight))
    }

    /// Whether there is room for a message of this length without anything making room.
    #[inline]
    pub(crate) fn fits(&self, bytes: usize, config: &Config) -> bool {
        self.entries.len() < config.max_queued_messages
            && (self.queued + bytes <= config.max_queued_bytes || self.entries.is_empty())
    }

    /// Whether the oldest message is kept only for a client that may come back: new ones need the room more.
    fn can_forget(&self, delivery: Delivery) -> bool {
        delivery == Delivery::Retained && self.transmitted > 0
    }

    /// The next message for the link, if the peer's window has room for it (DLV-2).
    #[inline]
    pub(crate) fn next(&mut self, format: &dyn WireFormat, rules: &Rules, retained: usize) -> Option<Next> {
        if rules.delivery == Delivery::Written && !rules.no_carriage_return && self.transmitted == 0 {
            return self.next_written(format);
        }
        let windowed = rules.delivery == Delivery::Acknowledged;
        let limit = self.peer.bytes as usize;
        if self.is_window_closed(rules.delivery) {
            return None;
        }
        let entry = self.entries.get_mut(self.transmitted)?;
        let unit = match entry.message.encode(format) {
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
        entry.unit = length as u32;
        self.in_flight += length;
        self.transmitted += 1;
        self.numbered = self.numbered.max(self.transmitted);
        let number = self.acknowledged + self.transmitted as u64;
        let keep = match rules.delivery {
            Delivery::Acknowledged => usize::MAX,
            Delivery::Retained => retained,
            Delivery::Written => 0,
        };
        while self.transmitted > keep {
            self.pop();
        }
        Some(Next::Message { unit, number })
    }

    /// [`next`](Self::next), where nothing is kept of what was handed to a link.
    fn next_written(&mut self, format: &dyn WireFormat) -> Option<Next> {
        let entry = self.entries.pop_front()?;
        self.forget(&entry);
        let Entry { message, unit, key } = entry;
        match message.encode_last(format) {
            Ok(unit) => {
                self.numbered = self.numbered.saturating_sub(1);
                self.acknowledged += 1;
                Some(Next::Message { unit, number: self.acknowledged })
            }
            Err((message, error)) => {
                self.push_back(Entry { message, unit, key });
                self.entries.rotate_right(1);
                Some(Next::Undeliverable(error.into()))
            }
        }
    }

    /// What [`next`](Self::next) would give one after the other, as far as it can be written from where it lies.
    #[inline]
    pub(crate) fn parts<'a>(&'a self, format: &'a dyn WireFormat, delivery: Delivery) -> Parts<'a> {
        let waiting = self.entries.range(self.transmitted..);
        Parts { outbox: self, waiting, format, delivery, messages: self.transmitted, bytes: self.in_flight }
    }

    /// The only one of those, if nothing else waits.
    #[inline(always)]
    pub(crate) fn last_message(&self, delivery: Delivery) -> Option<&Message> {
        if self.waiting_for_link() != 1 || delivery == Delivery::Retained || self.is_window_closed(delivery) {
            return None;
        }
        self.entries.back().map(|entry| &entry.message)
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
        if let Some(entry) = self.entries.back_mut() {
            entry.unit = length as u32;
            self.in_flight += length;
            self.transmitted += 1;
            self.numbered = self.numbered.max(self.transmitted);
        }
    }

    /// The first of those, with units of these lengths, were transmitted.
    #[inline]
    pub(crate) fn transmit_parts(&mut self, lengths: &[u32], delivery: Delivery) {
        if delivery == Delivery::Written {
            return self.pop_many(lengths.len());
        }
        for (entry, &length) in self.entries.range_mut(self.transmitted..).zip(lengths) {
            entry.unit = length;
            self.in_flight += length as usize;
        }
        self.transmitted += lengths.len();
        self.numbered = self.numbered.max(self.transmitted);
    }

    /// Removes the message that [`next`](Self::next) found undeliverable.
    pub(crate) fn remove_next(&mut self) -> Message {
        self.remove(self.transmitted)
    }

    /// The same, and keeps it for [`take_all`](Self::take_all).
    pub(crate) fn set_next_aside(&mut self) {
        let message = self.remove_next();
        self.special.make().set_aside.push(message);
    }

    /// Whether messages that were transmitted are kept for as long as the peer has not said that it took them.
    pub(crate) fn awaits_acknowledgement(&self) -> bool {
        self.transmitted > 0
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
        self.transmitted = 0;
        self.in_flight = 0;
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
        let keep = (count.saturating_sub(self.acknowledged) as usize).min(self.transmitted);
        let bytes: usize = self.entries.range(keep..self.transmitted).map(|entry| entry.unit as usize).sum();
        self.transmitted = keep;
        self.in_flight -= bytes;
    }

    /// The number of messages that were handed to the current link or acknowledged before.
    pub(crate) fn transmitted(&self) -> u64 {
        self.acknowledged + self.transmitted as u64
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
        self.entries.len() - self.transmitted
    }

    /// Whether everything was handed to the link.
    pub(crate) fn is_flushed(&self) -> bool {
        self.transmitted == self.entries.len()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.special.get().map_or(0, |special| special.dropped)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes everything that is not acknowledged: what may have been received, and what was never sent.
    pub(crate) fn take_all(&mut self) -> (Vec<Message>, Vec<Message>) {
        let mut unknown: Vec<_> = std::mem::take(&mut self.entries).into_iter().map(|entry| entry.message).collect();
        let Special { dropped, set_aside: mut unsent, .. } = self.special.take();
        unsent.extend(unknown.split_off(self.numbered));
        (self.transmitted, self.numbered, self.in_flight, self.queued) = (0, 0, 0, 0);
        if dropped > 0 {
            self.special.make().dropped = dropped;
        }
        (unknown, unsent)
    }

    /// Gives back memory that a burst has left.
    pub(crate) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        self.special.settle();
    }

    fn remove(&mut self, index: usize) -> Message {
        let Some(entry) = self.entries.remove(index) else { unreachable!("the index was looked up") };
        self.forget(&entry);
        // A numbered message is removed only if the format of its own attachment refuses it after it accepted it.
        if index < self.numbered {
            self.numbered -= 1;
        }
        entry.message
    }

    fn push_back(&mut self, entry: Entry) {
        self.queued += entry.message.len();
        let (volatile, keyed) = (entry.message.is_volatile(), entry.key != NO_KEY);
        if volatile || keyed {
            let special = self.special.make();
            special.volatile += usize::from(volatile);
            special.keyed += usize::from(keyed);
        }
        self.put(entry);
    }

    /// An entry has gone.
    #[inline]
    fn forget(&mut self, entry: &Entry) {
        self.queued -= entry.message.len();
        if let Some(special) = self.special.get_mut() {
            special.volatile -= usize::from(entry.message.is_volatile());
            special.keyed -= usize::from(entry.key != NO_KEY);
        }
    }

    /// The oldest are not needed any more.
    fn pop_many(&mut self, count: usize) {
        let count = count.min(self.entries.len());
        let transmitted = count.min(self.transmitted);
        self.in_flight -= self.entries.range(..transmitted).map(|entry| entry.unit as usize).sum::<usize>();
        for entry in self.entries.range(..count) {
            self.queued -= entry.message.len();
        }
        if let Some(special) = self.special.get_mut() {
            for entry in self.entries.range(..count) {
                special.volatile -= usize::from(entry.message.is_volatile());
                special.keyed -= usize::from(entry.key != NO_KEY);
            }
        }
        self.entries.drain(..count);
        self.transmitted -= transmitted;
        self.numbered = self.numbered.saturating_sub(count);
        self.acknowledged += count as u64;
    }

    #[inline]
    fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        self.forget(&entry);
        if self.transmitted > 0 {
            self.transmitted -= 1;
            self.in_flight -= entry.unit as usize;
        }
        self.numbered = self.numbered.saturating_sub(1);
        self.acknowledged += 1;
    }
}

/// FNV-1a. Never [`NO_KEY`].
fn digest(key: &Text) -> u32 {
    let step = |digest: u32, byte: &u8| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    key.as_bytes().iter().fold(0x811c_9dc5, step).max(NO_KEY + 1)
}

const NO_KEY: u32 = 0;

/// SPEC ATM-12.
pub(crate) fn not_text() -> EncodeError {
    EncodeError::new("atmosphere over HTTP", "binary messages")
}

/// SPEC PLN-5.
pub(crate) fn carriage_return() -> EncodeError {
    EncodeError::new("plain over sse", "a carriage return")
}
