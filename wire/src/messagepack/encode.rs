use nosphere_core::{
    Close, EncodeError, Envelope, Frame, Json, JsonEncoding, Offer, Open, Opened, Payload, Reply, Request, RequestId,
    Window,
};
use rmp::encode::{ValueWriteError, write_array_len, write_bin, write_bin_len, write_str, write_str_len, write_uint};

use super::{NAME, kind};
use crate::rules::{self, millis};
use crate::transcode;

type Written = Result<(), ValueWriteError>;

/// Writes a frame.
pub(super) fn frame(frame: &Frame) -> Result<Vec<u8>, EncodeError> {
    if let Some(fault) = rules::fault(frame) {
        return Err(EncodeError::new(NAME, fault));
    }
    match frame {
        Frame::Message(payload) => message(payload),
        Frame::Request(Request { id, payload }) => message_behind(&exchange(kind::REQUEST, *id), payload),
        Frame::Reply(Reply { id, payload }) => message_behind(&exchange(kind::REPLY, *id), payload),
        Frame::Ack { .. }
        | Frame::Close(_)
        | Frame::Open(_)
        | Frame::Opened(_)
        | Frame::Ping { .. }
        | Frame::Pong { .. }
        | Frame::Reset { .. }
        | Frame::Resume(_)
        | Frame::Resumed { .. }
        | _ => written(&[], 0, |out| write(out, frame)),
    }
}

/// What a request or a reply begins with.
fn exchange(kind: u64, id: RequestId) -> Vec<u8> {
    let mut open = vec![FIXARRAY | 4, kind as u8];
    // Writing to memory does not fail.
    drop(write_uint(&mut open, id.0));
    open
}

/// A unit that begins with `open`, in memory for as many bytes more.
fn written(open: &[u8], room: usize, write: impl FnOnce(&mut Vec<u8>) -> Written) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(open.len() + room);
    out.extend_from_slice(open);
    write(&mut out).map_err(|_| EncodeError::new(NAME, "a frame that SPEC §2 does not have"))?;
    Ok(out)
}

/// A message.
pub(super) fn message(payload: &Payload) -> Result<Vec<u8>, EncodeError> {
    message_behind(&[FIXARRAY | 2], payload)
}

/// What is written around a payload that is written as it is.
pub(super) fn envelope(payload: &Payload) -> Option<Envelope> {
    const JSON: Envelope = Envelope::new(false, &[FIXARRAY | 2, kind::JSON as u8], b"");
    let mut before = [0; MAX_HEAD];
    before[0] = FIXARRAY | 2;
    let mut room = &mut before[2..];
    let length = u32::try_from(payload.len()).ok()?;
    let kind = match payload {
        Payload::Json(json) => return (json.encoding() == JsonEncoding::MessagePack).then_some(JSON),
        Payload::Text(_) => write_str_len(&mut room, length).map(|_| kind::TEXT),
        Payload::Binary(_) => write_bin_len(&mut room, length).map(|_| kind::BINARY),
    };
    let end = MAX_HEAD - room.len();
    before[1] = kind.ok()? as u8;
    Some(Envelope::new(false, &before[..end], b""))
}

/// A message that begins with what stands before its kind.
fn message_behind(open: &[u8], payload: &Payload) -> Result<Vec<u8>, EncodeError> {
    match payload {
        Payload::Json(json) => json_message(open, json),
        Payload::Text(text) => written(open, 1 + head_length(text.len()) + text.len(), |out| {
            write_uint(out, kind::TEXT)?;
            write_str(out, text)
        }),
        Payload::Binary(bytes) => written(open, 1 + head_length(bytes.len()).max(2) + bytes.len(), |out| {
            write_uint(out, kind::BINARY)?;
            write_bin(out, bytes)
        }),
    }
}

fn json_message(open: &[u8], json: &Json) -> Result<Vec<u8>, EncodeError> {
    let transcoded;
    let payload = match json.encoding() {
        JsonEncoding::MessagePack => json.bytes().as_ref(),
        JsonEncoding::Text => {
            transcoded = transcode::to_messagepack(json.bytes()).map_err(|what| EncodeError::new(NAME, what))?;
            &transcoded
        }
    };
    Ok([open, &[kind::JSON as u8], payload].concat())
}

fn write(out: &mut Vec<u8>, frame: &Frame) -> Written {
    match frame {
        Frame::Open(Open { attachment, window: Window { messages, bytes } }) => {
            integers(out, kind::OPEN, &[*attachment, (*messages).into(), (*bytes).into()])
        }
        Frame::Opened(Opened { session, token, heartbeat, timeout, proof, resume, window }) => {
            head(out, kind::OPENED, 8)?;
            write_bin(out, session.as_bytes())?;
            write_bin(out, token.as_bytes())?;
            for duration in [heartbeat, timeout, proof, resume] {
                write_uint(out, millis(*duration))?;
            }
            write_uint(out, window.messages.into())?;
            write_uint(out, window.bytes.into()).map(drop)
        }
        Frame::Resume(Offer { session, token, attachment, received }) => {
            head(out, kind::RESUME, 4)?;
            write_bin(out, session.as_bytes())?;
            write_bin(out, token.as_bytes())?;
            write_uint(out, *attachment)?;
            write_uint(out, *received).map(drop)
        }
        Frame::Resumed { received } => integers(out, kind::RESUMED, &[*received]),
        Frame::Reset { text } => {
            head(out, kind::RESET, 1)?;
            write_str(out, text)
        }
        Frame::Ack { received } => integers(out, kind::ACK, &[*received]),
        Frame::Ping { received } => integers(out, kind::PING, &[*received]),
        Frame::Pong { received } => integers(out, kind::PONG, &[*received]),
        Frame::Close(Close { code, reason, received }) => {
            head(out, kind::CLOSE, 3)?;
            write_uint(out, (*code).into())?;
            write_str(out, reason)?;
            write_uint(out, *received).map(drop)
        }
        Frame::Message(_) | Frame::Reply(_) | Frame::Request(_) | _ => {
            Err(ValueWriteError::InvalidDataWrite(std::io::ErrorKind::Unsupported.into()))
        }
    }
}

fn integers(out: &mut Vec<u8>, kind: u64, fields: &[u64]) -> Written {
    head(out, kind, fields.len() as u32)?;
    fields.iter().try_for_each(|field| write_uint(out, *field).map(drop))
}

fn head(out: &mut Vec<u8>, kind: u64, fields: u32) -> Written {
    write_array_len(out, 1 + fields)?;
    write_uint(out, kind).map(drop)
}

/// The length of the head of a str, or of a bin of 32 bytes and more.
fn head_length(length: usize) -> usize {
    match length {
        0..32 => 1,
        32..256 => 2,
        256..0x1_0000 => 3,
        _ => 5,
    }
}

/// An array's head, a kind, and the longest head of a str or a bin.
const MAX_HEAD: usize = 7;

/// The head of an array of up to 15 elements.
const FIXARRAY: u8 = 0x90;
