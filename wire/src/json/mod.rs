mod decode;
mod encode;
mod exact;
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
    // No bytes are looked at one by one, and the outcome is looked at once: the last 32 overlap those before.
    let found = match text.last_chunk::<32>() {
        None => text.iter().fold(0, |found, &byte| found | special(byte)),
        Some(last) => {
            let add = |mut found: [u8; 32], chunk: &[u8; 32]| {
                for (found, &byte) in found.iter_mut().zip(chunk) {
                    *found |= special(byte);
                }
                found
            };
            let found = text.as_chunks().0.iter().fold(add([0; 32], last), add);
            found.into_iter().fold(0, |any, found| any | found)
        }
    };
    found < 0x80
}

/// Has its highest bit set for a control character, a quote and a backslash, and for nothing else.
///
/// Without comparisons, which compilers turn into bits of their own for each byte, it costs less.
#[inline]
fn special(byte: u8) -> u8 {
    // With one bit turned over in all characters, the quote is the first behind the control characters.
    let control_or_quote = (byte ^ (b'"' ^ b' ')).wrapping_sub(b' ' + 1);
    let backslash = (byte ^ b'\\').wrapping_sub(1);
    (control_or_quote | backslash) & !byte
}
