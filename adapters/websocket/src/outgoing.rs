use bytes::{BufMut as _, Bytes};
use nosphere_core::{Encoded, frame_header};

use crate::header::MAX_CONTROL;
use crate::{Close, mask};

/// What a [`Writer`](crate::Writer) sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outgoing {
    /// A close. Nothing is sent after it.
    Close(Close),
    /// A message.
    Data(Encoded),
    /// A ping; what exceeds 125 bytes of payload is left out.
    Ping(Bytes),
}

impl From<Encoded> for Outgoing {
    fn from(encoded: Encoded) -> Self {
        Self::Data(encoded)
    }
}

/// A frame as it is written: a header, unless the body begins with it, and a body.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    header: [u8; 10],
    header_len: u8,
    body: Bytes,
}

impl Frame {
    pub(crate) fn data(encoded: Encoded, key: Option<[u8; 4]>) -> Self {
        if let Some(key) = key {
            let (header, length) = frame_header(encoded.is_text(), encoded.payload().len());
            return Self::masked(&header[..length.into()], encoded.payload(), key);
        }
        let (header, header_len) = match encoded.frame() {
            Some(_) => ([0; 10], 0),
            None => frame_header(encoded.is_text(), encoded.payload().len()),
        };
        Self { header, header_len, body: encoded.into_block() }
    }

    pub(crate) fn close(payload: Vec<u8>, key: Option<[u8; 4]>) -> Self {
        Self::control(CLOSE, payload.into(), key)
    }

    pub(crate) fn ping(payload: Bytes, key: Option<[u8; 4]>) -> Self {
        Self::control(PING, payload, key)
    }

    pub(crate) fn pong(payload: Bytes, key: Option<[u8; 4]>) -> Self {
        Self::control(PONG, payload, key)
    }

    /// What is prepared of the frame, in order.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.header[..self.header_len.into()], &self.body]
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.header_len) + self.body.len()
    }

    fn control(opcode: u8, mut payload: Bytes, key: Option<[u8; 4]>) -> Self {
        payload.truncate(MAX_CONTROL);
        let mut header = [0; 10];
        header[..2].copy_from_slice(&[opcode, payload.len() as u8]);
        match key {
            None => Self { header, header_len: 2, body: payload },
            Some(key) => Self::masked(&header[..2], &payload, key),
        }
    }

    fn masked(header: &[u8], payload: &[u8], key: [u8; 4]) -> Self {
        let mut body = Vec::with_capacity(header.len() + key.len() + payload.len());
        body.put_slice(header);
        body[1] |= 0x80;
        body.put_slice(&key);
        let start = body.len();
        body.put_slice(payload);
        mask::apply(&mut body[start..], key);
        Self { header: [0; 10], header_len: 0, body: body.into() }
    }
}

const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
