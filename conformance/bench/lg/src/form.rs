//! The forms that messages have: what a client writes, and what of the server's bytes is a message.
//!
//! A message begins, somewhere, with ten digits: two for who published it, eight for its place among that client's messages.
//! So the generator sees what was lost, doubled or out of order, without parsing anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::options::Error;

pub(crate) const DIGITS: usize = 10;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Bytes are counted, nothing is understood: for the limit.
    Raw,
    Plain,
    /// nosphere.v1.json
    Json,
    /// nosphere.v1.messagepack
    MessagePack,
    /// Socket.IO over Engine.IO 4.
    SocketIo,
}

impl Protocol {
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "raw" => Self::Raw,
            "plain" => Self::Plain,
            "json" => Self::Json,
            "messagepack" => Self::MessagePack,
            "socketio" => Self::SocketIo,
            _ => return Err(format!("no protocol {name}").into()),
        })
    }

    pub(crate) fn native(self) -> bool {
        matches!(self, Self::Json | Self::MessagePack)
    }

    pub(crate) fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Json => Some("nosphere.v1.json"),
            Self::MessagePack => Some("nosphere.v1.messagepack"),
            Self::Raw | Self::Plain | Self::SocketIo => None,
        }
    }

    pub(crate) fn upgrade(self, path: &str, host: &str) -> Vec<u8> {
        let path = if self == Self::SocketIo { "/socket.io/?EIO=4&transport=websocket" } else { path };
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
        if let Some(subprotocol) = self.subprotocol() {
            head += &format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
        }
        (head + "\r\n").into_bytes()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Json,
    Binary,
}

/// A message of one test: its bytes on the way to the server, and where its digits are both ways.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) protocol: Protocol,
    /// Masked WebSocket frames.
    frames: Vec<u8>,
    /// Where the digits are in `frames`, and in the masked payload of that frame.
    digits: usize,
    masked: usize,
    /// Where the digits are in a unit of the server.
    pub(crate) offset: usize,
    /// How many bytes a raw delivery has.
    pub(crate) raw: usize,
}

impl Form {
    pub(crate) fn new(protocol: Protocol, kind: Kind, size: usize, event: &str) -> Result<Self, Error> {
        if size < 24 {
            return Err("a message has 24 bytes at least".into());
        }
        let letters: String = "0".repeat(DIGITS).chars().chain(('a'..='z').cycle()).take(size).collect();
        let json = format!("{{\"data\":\"{}\"}}", &letters[..size - 11]);
        let (before, units) = match (protocol, kind) {
            (Protocol::Raw | Protocol::Plain, Kind::Text) => (0, vec![(1, letters.into_bytes())]),
            (Protocol::Raw | Protocol::Plain, Kind::Binary) => (0, vec![(2, letters.into_bytes())]),
            (Protocol::Raw | Protocol::Plain, Kind::Json) => (9, vec![(1, json.into_bytes())]),
            (Protocol::Json, Kind::Text) => (9, vec![(1, format!("{{\"text\":\"{letters}\"}}").into_bytes())]),
            (Protocol::Json, Kind::Json) => (17, vec![(1, format!("{{\"json\":{json}}}").into_bytes())]),
            // Digits are letters of base64, too.
            (Protocol::Json, Kind::Binary) => {
                let coded = STANDARD.encode(&letters);
                (11, vec![(1, format!("{{\"binary\":\"0000000000{}\"}}", &coded[DIGITS..]).into_bytes())])
            }
            (Protocol::MessagePack, Kind::Text) => packed(5, &[(0xd9, 1), (0xda, 2), (0xdb, 4)], letters.as_bytes()),
            (Protocol::MessagePack, Kind::Binary) => packed(7, &[(0xc4, 1), (0xc5, 2), (0xc6, 4)], letters.as_bytes()),
            (Protocol::MessagePack, Kind::Json) => {
                let (before, units) = packed(6, &[(0xd9, 1), (0xda, 2), (0xdb, 4)], &letters.as_bytes()[..size - 11]);
                // A map of one entry, whose value is the string.
                let unit = [&units[0].1[..2], b"\x81\xa4data", &units[0].1[2..]].concat();
                (before + 6, vec![(2, unit)])
            }
            (Protocol::SocketIo, Kind::Binary) => {
                let head = format!("451-[\"{event}b\",{{\"_placeholder\":true,\"num\":0}}]");
                (0, vec![(1, head.into_bytes()), (2, letters.into_bytes())])
            }
            (Protocol::SocketIo, _) => {
                let unit = format!("42[\"{event}\",\"{letters}\"]");
                (7 + event.len(), vec![(1, unit.into_bytes())])
            }
        };
        let mut frames = vec![];
        let mut start = 0;
        for (opcode, unit) in &units {
            let header = frame(&mut frames, *opcode, unit);
            start = frames.len() - unit.len();
            debug_assert!(header > 0);
        }
        let raw = if protocol == Protocol::Raw { server_frame(size) } else { 0 };
        Ok(Self { protocol, frames, digits: start + before, masked: before, offset: before, raw })
    }

    /// Bytes that a raw echo sends back: those that came.
    pub(crate) fn echoed_raw(&mut self) {
        self.raw = self.frames.len();
    }

    /// Appends the message.
    pub(crate) fn write(&self, out: &mut Vec<u8>, publisher: u8, number: u32) {
        let at = out.len() + self.digits;
        out.extend_from_slice(&self.frames);
        let value = u64::from(publisher) * 100_000_000 + u64::from(number) % 100_000_000;
        let mut rest = value;
        for place in (0..DIGITS).rev() {
            let digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            out[at + place] = digit ^ MASK[(self.masked + place) & 3];
        }
    }
}

/// A message in MessagePack: where its content begins, and the unit.
fn packed(kind: u8, heads: &[(u8, usize)], content: &[u8]) -> (usize, Vec<(u8, Vec<u8>)>) {
    let bits = if content.len() < 256 {
        0
    } else if content.len() < 65536 {
        1
    } else {
        2
    };
    let (head, width) = heads[bits];
    let mut unit = vec![0x92, kind, head];
    unit.extend_from_slice(&(content.len() as u32).to_be_bytes()[4 - width..]);
    let before = unit.len();
    unit.extend_from_slice(content);
    (before, vec![(2, unit)])
}

/// What the digits say: who published it, and which it is.
pub(crate) fn digits(unit: &[u8], offset: usize) -> Option<(u8, u32)> {
    let mut value = 0u64;
    for digit in unit.get(offset..offset + DIGITS)? {
        value = value * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(((value / 100_000_000) as u8, (value % 100_000_000) as u32))
}

/// Appends a masked frame; returns the length of its header.
pub(crate) fn frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) -> usize {
    let start = out.len();
    out.push(0x80 | opcode);
    match payload.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ ..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let header = out.len() - start;
    out.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ MASK[index & 3]));
    header
}

fn server_frame(payload: usize) -> usize {
    payload
        + if payload < 126 {
            2
        } else if payload < 65536 {
            4
        } else {
            10
        }
}

/// A frame of the server at the start of some bytes: its opcode, and where its payload is.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        length => (2, length as usize),
    };
    (bytes.len() >= start + length).then_some((first & 0x0f, start..start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_carries_its_digits_in_every_form() {
        for protocol in [Protocol::Plain, Protocol::Json, Protocol::MessagePack, Protocol::SocketIo] {
            for kind in [Kind::Text, Kind::Json, Kind::Binary] {
                for size in [100, 128, 16384, 70000] {
                    let form = Form::new(protocol, kind, size, "e").unwrap();
                    let mut out = vec![1, 2, 3];
                    form.write(&mut out, 42, 1234567);
                    let mut at = 3;
                    let mut last = vec![];
                    while at < out.len() {
                        // The mask stands between the header and the payload.
                        let (_, payload) =
                            parse(&out[at..]).or_else(|| parse(&[&out[at..], &[0; 4]].concat())).unwrap();
                        let payload = at + payload.start + 4..at + payload.end + 4;
                        last = out[payload.clone()].iter().enumerate().map(|(i, byte)| byte ^ MASK[i & 3]).collect();
                        at = payload.end;
                    }
                    assert_eq!(digits(&last, form.offset), Some((42, 1234567)), "{protocol:?} {kind:?} {size}");
                    // The digits have overwritten nothing but digits.
                    let json = match (protocol, kind) {
                        (Protocol::Json, _) | (Protocol::Plain, Kind::Json) => &last[..],
                        (Protocol::SocketIo, Kind::Text | Kind::Json) => &last[2..],
                        _ => continue,
                    };
                    serde_json::from_slice::<serde_json::Value>(json).unwrap();
                }
            }
        }
    }
}
