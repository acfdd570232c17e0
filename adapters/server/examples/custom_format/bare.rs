use nosphere::{DecodeError, EncodeError, Frame, JSON, Kind, Payload, PayloadError, Text, Unit, WireFormat};

/// Text and binary messages as they are behind one letter, everything else as in `json`.
///
/// All units are binary, so there is no separator: batches write lengths, event streams base64.
#[derive(Debug)]
pub(crate) struct Bare;

impl WireFormat for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        let unit = match frame {
            Frame::Message(Payload::Text(text)) => [b"t", text.as_bytes()].concat(),
            Frame::Message(Payload::Binary(bytes)) => [b"b", &*bytes].concat(),
            other => JSON.encode(other)?.as_bytes().to_vec(),
        };
        Ok(Unit::Binary(unit.into()))
    }

    // Any bytes give a frame or an error. One that is a message, but cannot be read, costs the peer that message; what is
    // no frame at all costs it the link. Slices share the unit's memory: nothing is copied.
    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        let Unit::Binary(bytes) = unit else { return Err(DecodeError::Malformed("text, where the format is binary")) };
        let payload = match bytes.first() {
            Some(b't') => {
                let text = Text::from_utf8(bytes.slice(1..));
                Payload::Text(text.map_err(|_| PayloadError::new(Kind::Text, "not UTF-8"))?)
            }
            Some(b'b') => Payload::Binary(bytes.slice(1..)),
            _ => {
                let json = Text::from_utf8(bytes).map_err(|_| DecodeError::Malformed("not UTF-8"))?;
                return JSON.decode(Unit::Text(json));
            }
        };
        Ok(Frame::Message(payload))
    }
}
