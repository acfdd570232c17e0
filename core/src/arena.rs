use std::fmt;

use bytes::{Bytes, BytesMut};
use bytes_utils::StrMut;

use crate::payload::{MAX_HELD_EXTRA, MAX_HELD_MULTIPLE, holds_too_much};
use crate::{Text, Unit};

/// Memory for what is kept of messages that were [lent](crate::Lent): short ones share an allocation if they are of about the same
/// length, or came together ([`share`](Self::share)).
///
/// Whoever keeps one of them keeps what it shares. So no allocation that is shared has more than 1,000 bytes, nor more than 16 times
/// the length of what is kept of it and 256; and what is copied and has more than 512 bytes has its own.
///
/// ```
/// use nosphere_core::Arena;
///
/// let mut arena = Arena::default();
/// let (first, second) = (arena.text("hello"), arena.text("world"));
/// assert_eq!((first.as_str(), second.as_str()), ("hello", "world"));
/// assert_eq!(first.as_bytes().as_ptr_range().end, second.as_bytes().as_ptr());
/// ```
#[derive(Default)]
pub struct Arena {
    /// What is free of the last allocation for each class of lengths.
    texts: [StrMut; CLASSES],
    bytes: [BytesMut; CLASSES],
    /// What several messages came in, of which slices are kept.
    shared: Option<Unit>,
}

impl Arena {
    /// The most bytes of an allocation that several messages share.
    ///
    /// It is what allocators still have at hand, rather than look for it.
    pub const MAX_SHARED: usize = 1000;

    /// From now on, what is kept of this unit is a slice of it, and no copy, unless it is too short for as much; of no unit, if that
    /// is said. It has several messages that came together, and no more bytes than [`MAX_SHARED`](Self::MAX_SHARED).
    ///
    /// The unit is held until something else is said.
    pub fn share(&mut self, unit: Option<Unit>) {
        debug_assert!(unit.as_ref().is_none_or(|unit| unit.len() <= Self::MAX_SHARED));
        self.shared = unit;
    }

    /// A text in memory that outlasts the one that it is lent from.
    #[inline]
    pub fn text(&mut self, text: &str) -> Text {
        if let Some(Unit::Text(shared)) = &self.shared
            && may_be_slice(shared.as_bytes(), text.as_bytes())
        {
            return shared.slice_of(text);
        }
        self.copy_text(text)
    }

    #[inline(never)]
    fn copy_text(&mut self, text: &str) -> Text {
        let class = class(text.len());
        let Some(free) = self.texts.get_mut(class) else { return text.into() };
        if free.inner().capacity() < text.len() {
            refill_text(free, class);
        }
        free.push_str(text);
        Text::unmarked(free.split_built().freeze())
    }

    /// Bytes in memory that outlasts the one that they are lent from.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Bytes {
        if let Some(Unit::Binary(shared)) = &self.shared
            && may_be_slice(shared, bytes)
        {
            return shared.slice_ref(bytes);
        }
        self.copy_bytes(bytes)
    }

    #[inline(never)]
    fn copy_bytes(&mut self, bytes: &[u8]) -> Bytes {
        let class = class(bytes.len());
        let Some(free) = self.bytes.get_mut(class) else { return Bytes::copy_from_slice(bytes) };
        if free.capacity() < bytes.len() {
            refill(free, class);
        }
        free.extend_from_slice(bytes);
        free.split().freeze()
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").finish_non_exhaustive()
    }
}

/// Whether something is a part of what is shared, and long enough to keep all of that.
#[inline(always)]
fn may_be_slice(shared: &[u8], part: &[u8]) -> bool {
    let (shared_range, part_range) = (shared.as_ptr_range(), part.as_ptr_range());
    let within = shared_range.start <= part_range.start && part_range.end <= shared_range.end;
    within && !holds_too_much(part.len(), shared.len())
}

/// Lengths up to 16, and then each up to twice as much. Those that share nothing are beyond the last.
#[inline]
fn class(length: usize) -> usize {
    (length.saturating_sub(1) / FIRST_CLASS).checked_ilog2().map_or(0, |class| class as usize + 1)
}

/// Room for messages of a class: the same allocation again if nobody has anything of it any more, or else another one.
#[cold]
#[inline(never)]
fn refill(free: &mut BytesMut, class: usize) {
    // All that a class has are longer than this.
    let below = if class == 0 { 0 } else { FIRST_CLASS << (class - 1) };
    let size = (MAX_HELD_MULTIPLE * below + MAX_HELD_EXTRA).min(Arena::MAX_SHARED);
    free.clear();
    if !free.try_reclaim(size) {
        *free = BytesMut::with_capacity(size);
    }
}

#[cold]
#[inline(never)]
fn refill_text(free: &mut StrMut, class: usize) {
    let mut bytes = std::mem::take(free).into_inner();
    refill(&mut bytes, class);
    // Nothing is text.
    *free = StrMut::try_from(bytes).unwrap_or_default();
}

/// The longest of the first class.
const FIRST_CLASS: usize = 16;

/// The last one is for up to 512 bytes.
const CLASSES: usize = 6;
