use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::{ProtocolError, Role};

/// A frame header that obeys every rule which can be judged by the header alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) last: bool,
    pub(crate) key: [u8; 4],
    /// The payload's length, as claimed.
    pub(crate) length: u64,
    /// The header's own length.
    pub(crate) size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Header {
    /// Reads a header from the start of `bytes`; `None` if it is incomplete.
    pub(crate) fn parse(bytes: &[u8], role: Role) -> Result<Option<Self>, ProtocolError> {
        let mut cursor = Cursor::new(bytes);
        let Ok(parsed) = FrameHeader::parse(&mut cursor) else {
            return Err(ProtocolError::Opcode(bytes[0] & 0x0f));
        };
        let Some((header, length)) = parsed else {
            return Ok(None);
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(ProtocolError::ReservedBits);
        }
        let (kind, control) = match header.opcode {
            OpCode::Data(Data::Continue) => (Kind::Continuation, false),
            OpCode::Data(Data::Text) => (Kind::Text, false),
            OpCode::Data(Data::Binary) => (Kind::Binary, false),
            OpCode::Control(Control::Close) => (Kind::Close, true),
            OpCode::Control(Control::Ping) => (Kind::Ping, true),
            OpCode::Control(Control::Pong) => (Kind::Pong, true),
            OpCode::Data(Data::Reserved(opcode)) | OpCode::Control(Control::Reserved(opcode)) => {
                return Err(ProtocolError::Opcode(opcode));
            }
        };
        if control {
            if !header.is_final {
                return Err(ProtocolError::ControlFragmented);
            }
            if length > MAX_CONTROL as u64 {
                return Err(ProtocolError::ControlTooLong);
            }
        }
        let key = match (role, header.mask) {
            (Role::Server, Some(key)) => key,
            (Role::Client, None) => [0; 4],
            (Role::Server, None) => return Err(ProtocolError::MaskMissing),
            (Role::Client, Some(_)) => return Err(ProtocolError::MaskUnexpected),
        };
        let shortest = match bytes[1] & 0x7f {
            126 => 126,
            127 => 1 << 16,
            _ => 0,
        };
        if length < shortest || length > i64::MAX as u64 {
            return Err(ProtocolError::Length);
        }
        let size = cursor.position() as usize;
        Ok(Some(Self { kind, last: header.is_final, key, length, size }))
    }
}

/// The longest header: two bytes, a length of eight, a key of four.
pub(crate) const MAX_HEADER: usize = 14;

/// The longest payload of a control frame.
pub(crate) const MAX_CONTROL: usize = 125;

#[cfg(test)]
mod tests {
    use nosphere_core::frame_header;

    use super::*;

    #[test]
    fn the_prepared_header_of_core_is_what_the_library_writes() {
        for length in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 65_537, 1 << 24, 1 << 32] {
            for text in [true, false] {
                let data = if text { Data::Text } else { Data::Binary };
                let header = FrameHeader { opcode: OpCode::Data(data), ..FrameHeader::default() };
                let mut expected = Vec::new();
                header.format(length as u64, &mut expected).unwrap();
                let (bytes, size) = frame_header(text, length);
                assert_eq!(&bytes[..usize::from(size)], expected, "{length}");
            }
        }
    }
}
