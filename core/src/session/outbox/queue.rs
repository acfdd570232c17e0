#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::message::{Body, Shared, digest};
use crate::{Message, MessageRef, Payload, Run, Text, Window, WireFormat};

/// The messages of a session, oldest first; of these the first were handed to the current link.
///
/// Many sessions keep the same broadcasts until each of their clients has acknowledged them, and with every broadcast all of that
/// goes through the processor's caches. So a message that is shared takes 16 bytes here, and payloads of a session's own, which take
/// more, are in another row.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    shared: VecDeque<Entry<Arc<Shared>>>,
    own: VecDeque<Entry<Payload>>,
    /// The place of the oldest message.
    first: u32,
    /// How many of each row were handed to the link.
    shared_sent: usize,
    own_sent: usize,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    message: T,
    /// The length of its unit, if it was handed to the link.
    unit: u32,
    /// Where it stands in the queue, counted from the same beginning as [`Queue::first`], modulo 2^32.
    place: u32,
}

/// What is not queued any more.
#[derive(Default)]
pub(super) struct Gone {
    /// Bytes of payloads,
    pub(super) bytes: usize,
    /// and of the units of those that were with the link.
    pub(super) in_flight: usize,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { shared: VecDeque::new(), own: VecDeque::new(), first: 0, shared_sent: 0, own_sent: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.own.is_empty()
    }

    /// How many messages were handed to the link.
    #[inline]
    pub(super) fn transmitted(&self) -> usize {
        self.shared_sent + self.own_sent
    }

    #[inline(always)]
    pub(super) fn push(&mut self, message: Message) {
        let place = self.first.wrapping_add(self.len() as u32);
        match message.into_body() {
            Body::Own(message) => push(&mut self.own, message, place),
            Body::Shared(message) => push(&mut self.shared, message, place),
        }
    }

    /// The first that was not handed to the link.
    #[inline(always)]
    pub(super) fn next(&self) -> Option<MessageRef<'_>> {
        self.waiting().next()
    }

    /// What was not handed to the link.
    #[inline(always)]
    pub(super) fn waiting(&self) -> Waiting<'_> {
        Waiting { queue: self, shared: self.shared_sent, own: self.own_sent }
    }

    /// How many of those are the first of a run, which takes them in if it has something else and they can be in one; not many more
    /// than there is room for with the peer.
    #[inline]
    pub(super) fn gather(&self, run: &mut Run, format: &dyn WireFormat, room: Window) -> usize {
        if self.own_sent < self.own.len() {
            return 0;
        }
        let wanted = (self.shared.len() - self.shared_sent).min(room.messages as usize);
        let same = self.count_same(run.places(format));
        if same >= wanted {
            return wanted;
        }
        let mut bytes = run.units(same).iter().map(|&unit| unit as usize).sum::<usize>();
        let others = self.shared.range(self.shared_sent + same..self.shared_sent + wanted).map(|entry| &entry.message);
        let others = others.take_while(|message| {
            let fits = bytes < room.bytes as usize;
            bytes += message.len();
            fits
        });
        run.replace(same, others, format);
        run.places(format).len()
    }

    /// How many of those are the first of the messages that lie there.
    #[inline(always)]
    fn count_same(&self, places: &[usize]) -> usize {
        let waiting = self.shared.range(self.shared_sent..).zip(places);
        waiting.take_while(|(entry, place)| Run::place_of(&entry.message) == **place).count()
    }

    /// The [next](Self::next) was handed to the link, as a unit of this length.
    #[inline(always)]
    pub(super) fn transmit(&mut self, unit: u32) {
        if is_shared_next(self.first, self.shared.get(self.shared_sent), self.own.get(self.own_sent)) {
            self.shared[self.shared_sent].unit = unit;
            self.shared_sent += 1;
        } else if let Some(entry) = self.own.get_mut(self.own_sent) {
            entry.unit = unit;
            self.own_sent += 1;
        }
    }

    /// The next ones were.
    #[inline]
    pub(super) fn transmit_many(&mut self, mut units: &[u32]) {
        while self.shared_sent < self.shared.len() && self.own_sent < self.own.len() {
            let Some((&unit, rest)) = units.split_first() else { return };
            self.transmit(unit);
            units = rest;
        }
        if self.own_sent < self.own.len() {
            transmit_many(&mut self.own, &mut self.own_sent, units);
        } else {
            transmit_many(&mut self.shared, &mut self.shared_sent, units);
        }
    }

    /// No more than the first so many were. Gives the bytes of the others' units.
    pub(super) fn retract(&mut self, keep: usize) -> usize {
        let first = self.first;
        retract(&mut self.shared, &mut self.shared_sent, first, keep)
            + retract(&mut self.own, &mut self.own_sent, first, keep)
    }

    /// The oldest is not needed any more.
    #[inline(always)]
    pub(super) fn drop_one(&mut self) -> Gone {
        let shared = is_shared_next(self.first, self.shared.front(), self.own.front());
        self.first = self.first.wrapping_add(1);
        if shared {
            drop_one(&mut self.shared, &mut self.shared_sent)
        } else {
            drop_one(&mut self.own, &mut self.own_sent)
        }
    }

    /// So many of the oldest, which are as many, are not needed any more.
    #[inline(always)]
    pub(super) fn drop_first(&mut self, count: usize) -> Gone {
        // One of the rows has nothing, nearly always.
        let shared = match self.own.is_empty() {
            true => count,
            false => self.shared.partition_point(|entry| entry.index(self.first) < count),
        };
        let mut gone = Gone::default();
        drop_first(&mut self.shared, &mut self.shared_sent, shared, &mut gone);
        drop_first(&mut self.own, &mut self.own_sent, count - shared, &mut gone);
        self.first = self.first.wrapping_add(count as u32);
        gone
    }

    /// Takes the oldest, if nothing was handed to a link.
    #[inline]
    pub(super) fn take_first(&mut self) -> Option<Message> {
        debug_assert!(self.transmitted() == 0);
        let message = if is_shared_next(self.first, self.shared.front(), self.own.front()) {
            self.shared.pop_front()?.into_message()
        } else {
            self.own.pop_front()?.into_message()
        };
        self.first = self.first.wrapping_add(1);
        Some(message)
    }

    /// Puts that back.
    pub(super) fn put_back(&mut self, message: Message) {
        self.first = self.first.wrapping_sub(1);
        let place = self.first;
        match message.into_body() {
            Body::Own(message) => self.own.push_front(Entry { message, unit: 0, place }),
            Body::Shared(message) => self.shared.push_front(Entry { message, unit: 0, place }),
        }
    }

    /// Takes one that was not handed to the link.
    pub(super) fn remove(&mut self, index: usize) -> Option<Message> {
        let (first, length) = (self.first, self.len());
        let message = match self.find_shared(index) {
            Some(at) => self.shared.remove(at)?.into_message(),
            None => self.own.remove(self.own.partition_point(|entry| entry.index(first) < index))?.into_message(),
        };
        let shared = self.shared.partition_point(|entry| entry.index(first) < index);
        let own = self.own.partition_point(|entry| entry.index(first) < index);
        // Whichever side is shorter moves up.
        if index < length / 2 {
            self.shared.range_mut(..shared).for_each(|entry| entry.place = entry.place.wrapping_add(1));
            self.own.range_mut(..own).for_each(|entry| entry.place = entry.place.wrapping_add(1));
            self.first = first.wrapping_add(1);
        } else {
            self.shared.range_mut(shared..).for_each(|entry| entry.place = entry.place.wrapping_sub(1));
            self.own.range_mut(own..).for_each(|entry| entry.place = entry.place.wrapping_sub(1));
        }
        Some(message)
    }

    /// Puts the newest in the place of an older one. Both are shared: they have keys.
    pub(super) fn replace_by_last(&mut self, index: usize) -> Option<Message> {
        let at = self.find_shared(index)?;
        let mut newest = self.shared.pop_back()?;
        let older = self.shared.get_mut(at)?;
        newest.place = older.place;
        Some(std::mem::replace(older, newest).into_message())
    }

    /// Where the message of an index is among those that are shared, if it is.
    fn find_shared(&self, index: usize) -> Option<usize> {
        self.shared.binary_search_by_key(&index, |entry| entry.index(self.first)).ok()
    }

    /// Those that are shared behind the first so many, with their indices. No others are volatile or have a key.
    fn shared_from(&self, start: usize) -> impl DoubleEndedIterator<Item = (usize, &Shared)> {
        let begin = self.shared.partition_point(|entry| entry.index(self.first) < start);
        self.shared.range(begin..).map(|entry| (entry.index(self.first), &*entry.message))
    }

    /// The newest with a key behind the first so many.
    pub(super) fn find_key(&self, start: usize, key: &Text) -> Option<usize> {
        let digest = digest(key);
        let is = |shared: &Shared| shared.key_digest == digest && shared.key() == Some(key);
        self.shared_from(start).rfind(|(_, shared)| is(shared)).map(|(index, _)| index)
    }

    /// The oldest behind them that may be dropped.
    pub(super) fn find_volatile(&self, start: usize) -> Option<usize> {
        self.shared_from(start).find(|(_, shared)| shared.is_volatile()).map(|(index, _)| index)
    }

    /// The first so many, as far as they are shared.
    pub(super) fn first_shared(&self, count: usize) -> impl Iterator<Item = &Shared> {
        self.shared.iter().take_while(move |entry| entry.index(self.first) < count).map(|entry| &*entry.message)
    }

    /// The length of the payload of one that is shared.
    pub(super) fn shared_len(&self, index: usize) -> usize {
        self.find_shared(index).map_or(0, |at| self.shared[at].message.len())
    }

    /// The length of all payloads behind the first so many.
    pub(super) fn length_from(&self, start: usize) -> usize {
        let own = self.own.iter().filter(|entry| entry.index(self.first) >= start).map(|entry| entry.message.len());
        self.shared_from(start).map(|(_, shared)| shared.len()).chain(own).sum()
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> Vec<Message> {
        self.retract(0);
        let mut all = Vec::with_capacity(self.len());
        all.extend(std::iter::from_fn(|| self.take_first()));
        self.shrink();
        all
    }

    /// Gives back memory that a burst has left.
    pub(super) fn shrink(&mut self) {
        if self.shared.is_empty() {
            self.shared = VecDeque::new();
        }
        if self.own.is_empty() {
            self.own = VecDeque::new();
        }
    }
}

/// Where the beginning of the count is, and the capacity of a row, make no difference to what a queue is. Whether a message is shared
/// does, unlike to what a message is.
impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        (self.shared_sent, self.own_sent) == (other.shared_sent, other.own_sent)
            && of_row(&self.shared, self.first).eq(of_row(&other.shared, other.first))
            && of_row(&self.own, self.first).eq(of_row(&other.own, other.first))
    }
}

impl Eq for Queue {}

impl Hash for Queue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.shared_sent, self.own_sent, self.shared.len(), self.own.len()).hash(state);
        of_row(&self.shared, self.first).for_each(|entry| entry.hash(state));
        of_row(&self.own, self.first).for_each(|entry| entry.hash(state));
    }
}

fn of_row<T>(row: &VecDeque<Entry<T>>, first: u32) -> impl Iterator<Item = (usize, u32, &T)> {
    row.iter().map(move |entry| (entry.index(first), entry.unit, &entry.message))
}

/// See [`Queue::waiting`].
pub(super) struct Waiting<'a> {
    queue: &'a Queue,
    /// The next of each row.
    shared: usize,
    own: usize,
}

impl Waiting<'_> {
    pub(super) fn none(self) -> Self {
        Self { shared: self.queue.shared.len(), own: self.queue.own.len(), ..self }
    }
}

impl<'a> Iterator for Waiting<'a> {
    type Item = MessageRef<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<MessageRef<'a>> {
        let (shared, own) = (self.queue.shared.get(self.shared), self.queue.own.get(self.own));
        if is_shared_next(self.queue.first, shared, own) {
            self.shared += 1;
            shared.map(Entry::by_reference)
        } else {
            self.own += 1;
            own.map(Entry::by_reference)
        }
    }
}

/// What a row holds.
trait Queued {
    fn len(&self) -> usize;
    fn by_reference(&self) -> MessageRef<'_>;
    fn into_message(self) -> Message;
}

impl Queued for Arc<Shared> {
    #[inline(always)]
    fn len(&self) -> usize {
        Shared::len(self)
    }

    #[inline(always)]
    fn by_reference(&self) -> MessageRef<'_> {
        MessageRef::of_shared(self)
    }

    fn into_message(self) -> Message {
        Body::Shared(self).into()
    }
}

impl Queued for Payload {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn by_reference(&self) -> MessageRef<'_> {
        MessageRef::own(self)
    }

    #[inline(always)]
    fn into_message(self) -> Message {
        self.into()
    }
}

impl<T: Queued> Entry<T> {
    #[inline(always)]
    fn by_reference(&self) -> MessageRef<'_> {
        self.message.by_reference()
    }

    #[inline(always)]
    fn into_message(self) -> Message {
        self.message.into_message()
    }
}

impl<T> Entry<T> {
    /// How many are before it.
    #[inline(always)]
    fn index(&self, first: u32) -> usize {
        self.place.wrapping_sub(first) as usize
    }
}

/// Whether of the next of each row the shared one comes first.
#[inline(always)]
fn is_shared_next(first: u32, shared: Option<&Entry<Arc<Shared>>>, own: Option<&Entry<Payload>>) -> bool {
    match (shared, own) {
        (Some(shared), Some(own)) => shared.index(first) < own.index(first),
        (shared, _) => shared.is_some(),
    }
}

#[inline(always)]
fn push<T>(row: &mut VecDeque<Entry<T>>, message: T, place: u32) {
    if row.len() == row.capacity() {
        grow(row);
    }
    row.push_back(Entry { message, unit: 0, place });
}

#[cold]
fn grow<T>(row: &mut VecDeque<T>) {
    match row.capacity() {
        // Most sessions never have two at once, and what is allocated here stays for as long as nothing happens.
        0 => row.reserve_exact(1),
        // Who has two has more: a burst, or what is acknowledged by the window.
        1 => row.reserve_exact(7),
        _ => row.reserve(1),
    }
}

#[inline(always)]
fn transmit_many<T>(row: &mut VecDeque<Entry<T>>, sent: &mut usize, units: &[u32]) {
    row.range_mut(*sent..).zip(units).for_each(|(entry, unit)| entry.unit = *unit);
    *sent += units.len();
}

fn retract<T>(row: &mut VecDeque<Entry<T>>, sent: &mut usize, first: u32, keep: usize) -> usize {
    let begin = row.partition_point(|entry| entry.index(first) < keep).min(*sent);
    let retracted = row.range_mut(begin..*sent);
    *sent = begin;
    retracted.map(|entry| std::mem::take(&mut entry.unit) as usize).sum()
}

#[inline(always)]
fn drop_one<T: Queued>(row: &mut VecDeque<Entry<T>>, sent: &mut usize) -> Gone {
    *sent = sent.saturating_sub(1);
    let gone = |entry: Entry<T>| Gone { bytes: entry.message.len(), in_flight: entry.unit as usize };
    row.pop_front().map(gone).unwrap_or_default()
}

#[inline(always)]
fn drop_first<T: Queued>(row: &mut VecDeque<Entry<T>>, sent: &mut usize, count: usize, gone: &mut Gone) {
    if count == 0 {
        return;
    }
    for entry in row.range(..count) {
        gone.bytes += entry.message.len();
        gone.in_flight += entry.unit as usize;
    }
    row.drain(..count);
    *sent = sent.saturating_sub(count);
}
