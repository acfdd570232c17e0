//! Frames as a peer writes them, by the library that this crate does not use for assembly.

use nosphere_websocket::{Decoder, Item, ProtocolError, Role};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame from a client.
pub(crate) fn masked(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let key = [0x12, 0xfe, 0x80, 0x55];
    let mut bytes = header(opcode, last, Some(key), payload.len());
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    bytes
}

/// A frame from a server.
pub(crate) fn unmasked(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(opcode, last, None, payload.len());
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn header(opcode: u8, is_final: bool, mask: Option<[u8; 4]>, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = FrameHeader { is_final, opcode: OpCode::from(opcode), mask, ..FrameHeader::default() };
    header.format(length as u64, &mut bytes).expect("a Vec takes all");
    bytes
}

/// What a server's decoder makes of a stream that comes in one piece.
pub(crate) fn decode(bytes: &[u8]) -> (Vec<Item>, Result<(), ProtocolError>) {
    decode_parts(Role::Server, [bytes])
}

/// What a decoder makes of a stream that comes in parts.
pub(crate) fn decode_parts<'a>(
    role: Role,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Item>, Result<(), ProtocolError>) {
    let mut decoder = Decoder::new(role, MAX_MESSAGE_SIZE);
    let mut items = Vec::new();
    let mut result = Ok(());
    for part in parts {
        let next = decoder.decode(&mut part.to_vec(), &mut items);
        assert!(result.is_ok() || next.is_ok(), "an error is reported once");
        result = result.and(next);
    }
    (items, result)
}

pub(crate) const MAX_MESSAGE_SIZE: usize = 100_000;
