mod decode;
mod encode;
#[cfg(test)]
mod tests;

use decode::Source;
pub(crate) use encode::push_string;
use nosphere_core::{DecodeError, EncodeError, Envelope, Frame, Lent, Payload, Unit, WireFormat};

const NAME: &str = "json";

/// The wire format `json`, the reference (SPEC §3.1): one line of text, `{"text":"hello"}`.
///
/// A message's envelope is everything up to the first `:` and the last `}`; what is between is the payload, and its faults
/// are the payload's (SPEC FRM-3). So a payload is checked where it lies, and never parsed here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stateless for ever: SPEC §3.1 leaves nothing to configure")]
pub struct JsonFormat;

/// The wire format `json`.
pub static JSON: JsonFormat = JsonFormat;

impl WireFormat for JsonFormat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        encode::frame(&frame).map(Unit::Text)
    }

    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        match unit {
            Unit::Text(text) => decode::frame(Source::Shared(&text)),
            Unit::Binary(_) => Err(BINARY),
        }
    }

    fn decode_lent(&self, unit: Lent<'_>) -> Result<Frame, DecodeError> {
        match unit {
            Lent::Text(text) => decode::frame(Source::Lent(text)),
            Lent::Binary(_) => Err(BINARY),
        }
    }

    fn encode_kept(&self, payload: &Payload) -> Result<Unit, EncodeError> {
        encode::message("{", payload).map(|unit| Unit::Text(unit.into()))
    }

    fn envelope(&self, payload: &Payload) -> Option<Envelope> {
        encode::envelope(payload)
    }

    fn separator(&self) -> Option<u8> {
        Some(b'\n')
    }
}

const BINARY: DecodeError = DecodeError::Malformed("binary, where the format is text");

/// Whether a JSON string literal of these characters needs no escapes, and has none.
fn is_plain(text: &[u8]) -> bool {
    let special = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    let Some(last) = text.last_chunk::<16>() else { return text.iter().all(|&byte| special(byte) == 0) };
    // The last chunk overlaps the one before: no loop over single bytes. Without an early exit the compiler compares 16 bytes
    // at once, and looks at the outcome once.
    let mut found = last.map(special);
    for chunk in text.as_chunks::<16>().0 {
        for (found, &byte) in found.iter_mut().zip(chunk) {
            *found |= special(byte);
        }
    }
    found == [0; 16]
}
