use nosphere_core::{Arena, Lent, Text, Unit};

use crate::Decoder;
use crate::decoder::{self, WholeFrame};

/// Short messages that came in one read, and in frames of one kind, one behind the other: they are unmasked and checked together,
/// and what is kept of them shares one allocation.
pub(crate) struct Burst {
    /// All of them.
    unit: Option<Unit>,
    /// Where each ends in it, and how many bytes its frame has.
    ends: [(u16, u16); MAX_MESSAGES],
    count: usize,
    next: usize,
    /// Where the next one begins.
    start: u16,
}

impl Burst {
    /// Whether there are any that nobody has asked for.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.count
    }

    /// The next one, and how many bytes its frame has.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<(Lent<'_>, usize)> {
        let &(end, size) = self.ends[..self.count].get(self.next)?;
        let part = self.start.into()..end.into();
        self.next += 1;
        self.start = end;
        let unit = match self.unit.as_ref()? {
            Unit::Text(text) => Lent::Text(text.get(part)?),
            Unit::Binary(bytes) => Lent::Binary(bytes.get(part)?),
        };
        Some((unit, size.into()))
    }

    /// Takes as many as `buffer` begins with, if they are more than one and nothing is wrong with them; `plain` is room for that.
    #[inline(never)]
    pub(crate) fn gather(
        &mut self,
        decoder: &Decoder,
        buffer: &[u8],
        filled: usize,
        plain: &mut [u8],
        arena: &mut Arena,
    ) -> bool {
        self.clear(arena);
        let (mut at, mut length, mut count) = (0, 0, 0);
        let opcode = buffer[0];
        for end in &mut self.ends {
            let Some(frame) = decoder.whole_frame(&buffer[at..], filled - at) else { break };
            if frame.opcode() != opcode || length + frame.len() > Arena::MAX_SHARED {
                break;
            }
            frame.unmask(&buffer[at..], &mut plain[length..]);
            at += frame.end();
            length += frame.len();
            *end = (length as u16, frame.end() as u16);
            count += 1;
        }
        let unit = if count < 2 {
            return false;
        } else if opcode == WholeFrame::TEXT {
            // Each is whole characters if all are, and none begins within one.
            let Some(text) = decoder::text(plain, length) else { return false };
            if !self.ends[..count].iter().all(|&(end, _)| text.is_char_boundary(end.into())) {
                return false;
            }
            Unit::Text(Text::from(text))
        } else {
            Lent::Binary(&plain[..length]).to_unit()
        };
        arena.share(Some(unit.clone()));
        (self.unit, self.count) = (Some(unit), count);
        true
    }

    /// Nobody asks for more of them.
    #[inline(always)]
    pub(crate) fn clear(&mut self, arena: &mut Arena) {
        if self.count > 0 {
            self.forget(arena);
        }
    }

    #[inline(never)]
    fn forget(&mut self, arena: &mut Arena) {
        (self.unit, self.count, self.next, self.start) = (None, 0, 0, 0);
        arena.share(None);
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self { unit: None, ends: [(0, 0); MAX_MESSAGES], count: 0, next: 0, start: 0 }
    }
}

/// The most messages that are taken together. Those of 32 bytes and more fill what may be shared before.
const MAX_MESSAGES: usize = 32;
