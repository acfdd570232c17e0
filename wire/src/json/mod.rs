mod decode;
mod encode;
mod exact;
#[cfg(test)]
mod tests;

use decode::Source;
pub(crate) use encode::push_string;
use nosphere_core::{Arena, DecodeError, EncodeError, Envelope, Frame, Lent, Payload, Unit, WireFormat};

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
            Unit::Text(text) => decode::frame(&mut Source::Shared(&text)),
            Unit::Binary(_) => Err(BINARY),
        }
    }

    fn decode_lent(&self, unit: Lent<'_>, arena: &mut Arena) -> Result<Frame, DecodeError> {
        match unit {
            Lent::Text(text) => decode::frame(&mut Source::Lent(text, arena)),
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
    // No bytes are looked at one by one, and the outcome is looked at once: the last 32 overlap those before. Minima, since
    // processors have them for bytes, and compilers make bits of comparisons, for each byte one.
    match text.last_chunk::<32>() {
        None => text.iter().all(|byte| !matches!(byte, ..b' ' | b'"' | b'\\')),
        Some(last) => text.as_chunks().0.iter().fold(Least::of(last), Least::with).is_plain(),
    }
}

/// The least of all bytes so far, in each of 32 places.
struct Least {
    /// With one bit turned over in all of them, a quote is the first behind the control characters.
    turned: [u8; 32],
    /// A backslash is none.
    differing: [u8; 32],
}

impl Least {
    const TURNED: u8 = b'"' ^ b' ';

    #[inline]
    fn of(chunk: &[u8; 32]) -> Self {
        Self { turned: chunk.map(|byte| byte ^ Self::TURNED), differing: chunk.map(|byte| byte ^ b'\\') }
    }

    #[inline]
    fn with(self, chunk: &[u8; 32]) -> Self {
        let Self { mut turned, mut differing } = self;
        for ((turned, differing), byte) in turned.iter_mut().zip(&mut differing).zip(chunk) {
            *turned = (*turned).min(byte ^ Self::TURNED);
            *differing = (*differing).min(byte ^ b'\\');
        }
        Self { turned, differing }
    }

    #[inline]
    fn is_plain(&self) -> bool {
        let both = self.turned.iter().zip(self.differing);
        let both = both.map(|(turned, differing)| turned.saturating_sub(b' ').min(differing));
        !both.fold(false, |any, least| any | (least == 0))
    }
}
