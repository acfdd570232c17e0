use bytes::Bytes;
use nosphere_core::Text;

use crate::{Item, ProtocolError};

/// A message of which a part has arrived; it grows with what really came.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Binary(Vec<u8>),
    Text(PartialText),
}

impl Message {
    pub(crate) fn new(text: bool) -> Self {
        if text { Self::Text(PartialText::default()) } else { Self::Binary(Vec::new()) }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        match self {
            Self::Binary(binary) => {
                binary.extend_from_slice(bytes);
                Ok(())
            }
            Self::Text(text) => text.append(bytes),
        }
    }

    pub(crate) fn finish(self) -> Result<Item, ProtocolError> {
        match self {
            Self::Binary(binary) => Ok(Item::Binary(Bytes::from(binary))),
            Self::Text(text) => text.finish().map(Item::Text),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Binary(binary) => binary.len(),
            Self::Text(text) => text.whole.len() + text.cut.len(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Binary(binary) => binary.capacity(),
            Self::Text(text) => text.whole.capacity() + text.cut.capacity(),
        }
    }
}

/// Text that is checked as it comes: whole characters, then what a cut left of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartialText {
    whole: String,
    cut: Vec<u8>,
}

impl PartialText {
    fn append(&mut self, mut bytes: &[u8]) -> Result<(), ProtocolError> {
        while !self.cut.is_empty() {
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(());
            };
            bytes = rest;
            self.cut.push(*byte);
            match str::from_utf8(&self.cut) {
                Ok(text) => {
                    self.whole.push_str(text);
                    self.cut.clear();
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(ProtocolError::InvalidUtf8),
            }
        }
        if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
            self.whole.push_str(text);
            return Ok(());
        }
        let mut chunks = bytes.utf8_chunks();
        if let Some(chunk) = chunks.next() {
            self.whole.push_str(chunk.valid());
            self.cut.extend_from_slice(chunk.invalid());
        }
        // What is merely cut off stands at the very end and may yet become a character.
        let cut = str::from_utf8(&self.cut).err();
        if chunks.next().is_some() || cut.is_some_and(|error| error.error_len().is_some()) {
            return Err(ProtocolError::InvalidUtf8);
        }
        Ok(())
    }

    fn finish(self) -> Result<Text, ProtocolError> {
        if self.cut.is_empty() { Ok(Text::from(self.whole)) } else { Err(ProtocolError::InvalidUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append_all(parts: &[&[u8]]) -> Result<Text, ProtocolError> {
        let mut text = PartialText::default();
        for part in parts {
            text.append(part)?;
        }
        text.finish()
    }

    #[test]
    fn characters_cut_anywhere_are_put_together() {
        let text = "aé–𝄞z";
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let (head, tail) = text.as_bytes().split_at(second);
                let parts = [&head[..first], &head[first..], tail];
                assert_eq!(append_all(&parts), Ok(text.into()), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_can_no_longer_become_a_character_fails_at_once() {
        for (first, second) in [
            (&b"a\xf4"[..], &b"\x90"[..]), // beyond U+10FFFF
            (b"a\xed", b"\xa0"),           // a surrogate
            (b"a\xe0", b"\x80"),           // overlong
            (b"\xc3", b"a"),
            (b"", b"\xff"),
            (b"", b"\xc0"),
            (b"", b"ok\xc3a\xc3"),
        ] {
            let mut text = PartialText::default();
            assert_eq!(text.append(first), Ok(()), "{first:x?}");
            assert_eq!(text.append(second), Err(ProtocolError::InvalidUtf8), "{second:x?}");
        }
    }

    #[test]
    fn a_message_must_not_end_within_a_character() {
        assert_eq!(append_all(&[b"a\xc3"]), Err(ProtocolError::InvalidUtf8));
    }
}
