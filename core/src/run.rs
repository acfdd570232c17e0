use std::fmt;
use std::sync::{Arc, Weak};

use crate::WireFormat;
use crate::message::Shared;

/// Short messages that many recipients share, as WebSocket frames one behind the other.
///
/// A burst of broadcasts goes to one recipient after the other, and nearly all get the same of it. So it is put together for the first
/// of them, and the others are found to wait for just that, message by message, without a look at any:
/// [`Connection::gather`](crate::Connection::gather).
///
/// A run has frames until it takes in others, and knows their messages again without keeping these alive. It has no more than
/// [`MAX_FRAMES`](Self::MAX_FRAMES), of no more than [`MAX_FRAME`](Self::MAX_FRAME) bytes each and [`MAX_BYTES`](Self::MAX_BYTES)
/// together; other messages are [parts](crate::Connection::parts).
pub struct Run {
    /// The name of the format, known again by its address: formats of one name encode alike.
    format: &'static str,
    /// Where each message lies,
    places: Vec<usize>,
    /// and nothing else comes to lie.
    kept_free: Vec<Weak<Shared>>,
    units: Vec<u32>,
    /// Where each frame ends.
    ends: Vec<usize>,
    frames: Vec<u8>,
}

impl Run {
    /// The longest frame.
    pub const MAX_FRAME: usize = 1024;

    /// The most bytes of all.
    pub const MAX_BYTES: usize = 32 * 1024;

    /// The most frames.
    pub const MAX_FRAMES: usize = 256;

    /// One that has nothing.
    pub const fn new() -> Self {
        Self {
            format: "",
            places: Vec::new(),
            kept_free: Vec::new(),
            units: Vec::new(),
            ends: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// The first so many frames.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[inline]
    pub fn frames(&self, count: usize) -> &[u8] {
        match count.checked_sub(1) {
            Some(last) => &self.frames[..self.ends[last]],
            None => &[],
        }
    }

    /// The lengths of their units.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[inline]
    pub fn units(&self, count: usize) -> &[u32] {
        &self.units[..count]
    }

    /// Where the messages lie, if they are of this format.
    #[inline(always)]
    pub(crate) fn places(&self, format: &dyn WireFormat) -> &[usize] {
        if std::ptr::eq(self.format, format.name()) { &self.places } else { &[] }
    }

    /// Where a message lies.
    #[inline(always)]
    pub(crate) fn place_of(message: &Arc<Shared>) -> usize {
        Arc::as_ptr(message).addr()
    }

    /// Puts these in the place of all but the first so many, as far as there is room for them and they can be in a run.
    #[inline(never)]
    pub(crate) fn replace<'a>(
        &mut self,
        keep: usize,
        messages: impl Iterator<Item = &'a Arc<Shared>>,
        format: &dyn WireFormat,
    ) {
        self.format = format.name();
        self.places.truncate(keep);
        self.kept_free.truncate(keep);
        self.units.truncate(keep);
        self.ends.truncate(keep);
        self.frames.truncate(self.ends.last().copied().unwrap_or(0));
        for message in messages.take(Self::MAX_FRAMES - keep) {
            let Some(Ok(unit)) = message.encoding(format) else { return };
            let Some(frame) = unit.frame().filter(|frame| frame.len() <= Self::MAX_FRAME) else { return };
            if self.frames.len() + frame.len() > Self::MAX_BYTES {
                return;
            }
            self.frames.extend_from_slice(frame);
            self.ends.push(self.frames.len());
            self.units.push(unit.payload_len() as u32);
            self.places.push(Self::place_of(message));
            self.kept_free.push(Arc::downgrade(message));
        }
    }
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run({} frames, {} bytes)", self.places.len(), self.frames.len())
    }
}
