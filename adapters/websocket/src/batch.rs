use std::cell::Cell;

use bytes::Bytes;
use nosphere_core::Text;

use crate::{Item, ProtocolError};

/// The most messages that share one allocation.
pub(crate) const MAX_SHARED: usize = 16;

/// How many times larger than its smallest message a shared allocation may be, beside [`SHARED_SLACK`].
pub(crate) const MAX_RATIO: usize = 16;

/// The bytes that a shared allocation may hold beyond [`MAX_RATIO`] times its smallest message.
pub(crate) const SHARED_SLACK: usize = 256;

/// Copies the messages of one read into few allocations, in order, and checks text many messages at a time.
///
/// A message that is kept keeps its whole allocation, so one is never larger than `MAX_RATIO` times the smallest message
/// in it, plus `SHARED_SLACK`.
pub(crate) struct Batch<'i, 'o> {
    out: &'o mut Vec<Item>,
    /// What is gathered: texts or binaries, none of them empty.
    text: bool,
    gathered: [&'i [u8]; MAX_SHARED],
    count: usize,
    total: usize,
    smallest: usize,
}

impl<'i, 'o> Batch<'i, 'o> {
    pub(crate) fn new(out: &'o mut Vec<Item>) -> Self {
        Self { out, text: false, gathered: [&[]; MAX_SHARED], count: 0, total: 0, smallest: usize::MAX }
    }

    /// Adds a message. Whether it is UTF-8 may turn out later, but before anything that follows it is added.
    #[inline]
    pub(crate) fn message(&mut self, text: bool, payload: &'i [u8]) -> Result<(), ProtocolError> {
        let total = self.total + payload.len();
        let smallest = self.smallest.min(payload.len());
        let fits = self.text == text && total <= MAX_RATIO * smallest + SHARED_SLACK;
        if let Some(free) = self.gathered.get_mut(self.count)
            && fits
            && smallest > 0
        {
            *free = payload;
            self.count += 1;
            (self.total, self.smallest) = (total, smallest);
            return Ok(());
        }
        self.begin(text, payload)
    }

    /// Adds an item that shares nothing.
    pub(crate) fn push(&mut self, item: Item) -> Result<(), ProtocolError> {
        self.close()?;
        self.out.push(item);
        Ok(())
    }

    /// Copies what was gathered.
    ///
    /// # Errors
    ///
    /// At the first text that is not UTF-8.
    pub(crate) fn close(&mut self) -> Result<(), ProtocolError> {
        let result = match (&self.gathered[..self.count], self.text) {
            ([], _) => Ok(()),
            ([only], _) => self.copy(only),
            (_, true) => self.share_text(),
            (_, false) => {
                self.share_binary();
                Ok(())
            }
        };
        (self.count, self.total, self.smallest) = (0, 0, usize::MAX);
        result
    }

    fn begin(&mut self, text: bool, payload: &'i [u8]) -> Result<(), ProtocolError> {
        self.close()?;
        self.text = text;
        if payload.is_empty() {
            return self.copy(payload);
        }
        self.gathered[0] = payload;
        (self.count, self.total, self.smallest) = (1, payload.len(), payload.len());
        Ok(())
    }

    fn share_binary(&mut self) {
        let mut joined = Vec::with_capacity(self.total);
        for piece in &self.gathered[..self.count] {
            joined.extend_from_slice(piece);
        }
        let mut joined = Bytes::from(joined);
        let pieces = self.gathered[..self.count].iter();
        self.out.extend(pieces.map(|piece| Item::Binary(joined.split_to(piece.len()))));
    }

    fn share_text(&mut self) -> Result<(), ProtocolError> {
        let mut joined = JOINED.take();
        joined.clear();
        for piece in &self.gathered[..self.count] {
            joined.extend_from_slice(piece);
        }
        let before = self.out.len();
        let shared = self.share_joined(&joined);
        JOINED.set(joined);
        if shared.is_none() {
            self.out.truncate(before);
            for at in 0..self.count {
                self.copy(self.gathered[at])?;
            }
        }
        Ok(())
    }

    /// Texts are UTF-8 if all of them together are, and each begins with a character.
    fn share_joined(&mut self, joined: &[u8]) -> Option<()> {
        let shared = Text::from(simdutf8::basic::from_utf8(joined).ok()?);
        let mut rest = shared.as_str();
        for piece in &self.gathered[..self.count] {
            let (text, tail) = rest.split_at_checked(piece.len())?;
            rest = tail;
            self.out.push(Item::Text(shared.slice_of(text)));
        }
        Some(())
    }

    fn copy(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        self.out.push(if self.text {
            let text = simdutf8::basic::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
            Item::Text(Text::from(text))
        } else {
            Item::Binary(Bytes::copy_from_slice(payload))
        });
        Ok(())
    }
}

thread_local! {
    /// Where texts are joined to be checked.
    static JOINED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_read_share_an_allocation() {
        let texts = ["x".repeat(100), "y".repeat(100), "z".repeat(120)];
        let items = batch(|batch| texts.iter().try_for_each(|text| batch.message(true, text.as_bytes())));
        assert_eq!(runs(&items), [[100, 100, 120]]);
        let items = batch(|batch| texts.iter().try_for_each(|text| batch.message(false, text.as_bytes())));
        assert_eq!(runs(&items), [[100, 100, 120]]);
    }

    #[test]
    fn a_small_message_never_pins_a_large_allocation() {
        let lengths = [10, 300, 20, 4000, 4000, 1, 5000, 5000, 70_000, 3, 3, 255, 1, 400, 10, 200, 4000];
        let bytes = vec![b'x'; 70_000];
        for items in [
            batch(|batch| lengths.iter().try_for_each(|length| batch.message(true, &bytes[..*length]))),
            batch(|batch| lengths.iter().try_for_each(|length| batch.message(false, &bytes[..*length]))),
        ] {
            let runs = runs(&items);
            assert_eq!(runs.concat(), lengths);
            assert!(runs.len() < lengths.len());
            for run in runs {
                let smallest = run.iter().min().unwrap();
                let total: usize = run.iter().sum();
                assert!(run.len() == 1 || total <= MAX_RATIO * smallest + SHARED_SLACK, "{run:?}");
            }
        }
    }

    #[test]
    fn kinds_and_control_frames_keep_their_order() {
        let items = batch(|batch| {
            batch.message(true, b"a")?;
            batch.message(true, b"b")?;
            batch.message(false, b"c")?;
            batch.push(Item::Ping(Bytes::new()))?;
            batch.message(false, b"d")?;
            batch.message(true, b"")?;
            batch.message(false, b"")?;
            batch.message(true, b"e")
        });
        let expected = [
            Item::Text("a".into()),
            Item::Text("b".into()),
            Item::Binary(Bytes::from_static(b"c")),
            Item::Ping(Bytes::new()),
            Item::Binary(Bytes::from_static(b"d")),
            Item::Text(Text::new()),
            Item::Binary(Bytes::new()),
            Item::Text("e".into()),
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn text_that_is_only_valid_together_is_refused_after_what_is_valid() {
        for texts in [[&b"good"[..], b"a\xc3", b"\xa9b"], [b"good", b"bad\xff", b"good"]] {
            let mut items = Vec::new();
            let mut batch = Batch::new(&mut items);
            texts.iter().try_for_each(|text| batch.message(true, text)).unwrap();
            assert_eq!(batch.close(), Err(ProtocolError::InvalidUtf8));
            assert_eq!(items, [Item::Text("good".into())]);
        }
    }

    fn batch<'i>(fill: impl FnOnce(&mut Batch<'i, '_>) -> Result<(), ProtocolError>) -> Vec<Item> {
        let mut items = Vec::new();
        let mut batch = Batch::new(&mut items);
        fill(&mut batch).and_then(|()| batch.close()).unwrap();
        items
    }

    /// The lengths of messages that lie side by side: separate allocations never do.
    fn runs(items: &[Item]) -> Vec<Vec<usize>> {
        let mut runs: Vec<Vec<usize>> = Vec::new();
        let mut end = std::ptr::null();
        for item in items {
            let bytes = match item {
                Item::Text(text) => text.as_bytes(),
                Item::Binary(bytes) => bytes,
                Item::Close(_) | Item::Ping(_) | Item::Pong(_) => &[],
            };
            let range = bytes.as_ptr_range();
            match runs.last_mut() {
                Some(run) if range.start == end => run.push(bytes.len()),
                _ => runs.push(vec![bytes.len()]),
            }
            end = range.end;
        }
        runs
    }
}
