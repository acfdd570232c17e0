use std::fmt;

use bytes::{Bytes, BytesMut};
use bytes_utils::StrMut;

use crate::Text;
use crate::payload::{MAX_HELD_EXTRA, MAX_HELD_MULTIPLE};

/// Memory for what is kept of messages that were [lent](crate::Lent): short ones of about the same length share an allocation.
///
/// Whoever keeps one of them keeps what it shares. So no allocation has more than 1,000 bytes, nor more than 16 times the length of
/// a message in it and 256; and what has more than 512 bytes has its own.
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
}

impl Arena {
    /// A copy of a text.
    #[inline(never)]
    pub fn text(&mut self, text: &str) -> Text {
        let class = class(text.len());
        let Some(free) = self.texts.get_mut(class) else { return text.into() };
        if free.inner().capacity() < text.len() {
            refill_text(free, class);
        }
        free.push_str(text);
        Text::unmarked(free.split_built().freeze())
    }

    /// A copy of bytes.
    #[inline(never)]
    pub fn bytes(&mut self, bytes: &[u8]) -> Bytes {
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
    let size = (MAX_HELD_MULTIPLE * below + MAX_HELD_EXTRA).min(MAX_SHARED);
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

/// What allocators still have at hand, rather than look for it.
const MAX_SHARED: usize = 1000;
