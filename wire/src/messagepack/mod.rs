mod decode;
mod encode;
mod read;
#[cfg(test)]
mod tests;
mod walk;

use decode::Source;
use nosphere_core::{Arena, DecodeError, EncodeError, Envelope, Frame, Lent, Payload, Unit, WireFormat};
pub(crate) use read::{Problem, Reader};
pub(crate) use walk::{Sink, walk};

const NAME: &str = "messagepack";

/// The wire format `messagepack` (SPEC §3.2): one binary array, the kind first.
///
/// A message's envelope is the array's head and the kind, with a request's or a reply's kind and number between; everything
/// behind them is the payload's, and so are its faults (SPEC FRM-3). A JSON payload stays MessagePack until someone parses it
/// or another format needs it as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stateless for ever: SPEC §3.2 leaves nothing to configure")]
pub struct MessagePackFormat;

/// The wire format `messagepack`.
pub static MESSAGEPACK: MessagePackFormat = MessagePackFormat;

impl WireFormat for MessagePackFormat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        encode::frame(&frame).map(|unit| Unit::Binary(unit.into()))
    }

    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        match unit {
            Unit::Binary(bytes) => decode::own_frame(bytes),
            Unit::Text(_) => Err(TEXT),
        }
    }

    fn decode_lent(&self, unit: Lent<'_>, arena: &mut Arena) -> Result<Frame, DecodeError> {
        match unit {
            Lent::Binary(bytes) => decode::frame(&mut Source::Lent(bytes, arena)),
            Lent::Text(_) => Err(TEXT),
        }
    }

    fn encode_kept(&self, payload: &Payload) -> Result<Unit, EncodeError> {
        encode::message(payload).map(|unit| Unit::Binary(unit.into()))
    }

    fn envelope(&self, payload: &Payload) -> Option<Envelope> {
        encode::envelope(payload)
    }
}

const TEXT: DecodeError = DecodeError::Malformed("text, where the format is binary");

/// The kinds of SPEC §3.2.
mod kind {
    pub(super) const OPEN: u64 = 0;
    pub(super) const OPENED: u64 = 1;
    pub(super) const RESUME: u64 = 2;
    pub(super) const RESUMED: u64 = 3;
    pub(super) const RESET: u64 = 4;
    pub(super) const TEXT: u64 = 5;
    pub(super) const JSON: u64 = 6;
    pub(super) const BINARY: u64 = 7;
    pub(super) const ACK: u64 = 8;
    pub(super) const PING: u64 = 9;
    pub(super) const PONG: u64 = 10;
    pub(super) const CLOSE: u64 = 11;
    pub(super) const REQUEST: u64 = 12;
    pub(super) const REPLY: u64 = 13;
}
